"""metrics/figures.py: intervals and paired differences are those of evaluating the drawn images again."""

import numpy as np
import pytest
from phrases import FAR, FEED, RIDE, A, B, image, relation

from evaluation import compare, evaluate, ground_truth_arrays, score_against
from metrics.figures import count, difference, draws, figures, recalls

PROTOCOLS = {"vrd": "relationship", "sgg": "graph_constraint"}
EAT = ("man", "eat", "horse")
PAIRS = [(A, B, RIDE), (B, A, RIDE), (A, FAR, FEED), (B, FAR, EAT)]


def world(seed, images=8):
    """A split whose images have some of PAIRS, and predictions that find some of them."""
    rng = np.random.default_rng(seed)
    truth, found = [], {}
    for i in range(images):
        annotated = [PAIRS[j] for j in rng.choice(4, rng.integers(0, 4), replace=False)]
        truth.append(image(f"{i}.jpg", annotated))
        said = [relation(s, o, float(rng.random()), names) for s, o, names in PAIRS if rng.random() < 0.5]
        found[f"{i}.jpg"] = {"relationships": said}
    return truth, found


def repeated(truth, found, times):
    """The same with image i as often as `times` says."""
    more, predictions = [], {}
    for record, count_ in zip(truth, times, strict=True):
        for copy in range(int(count_)):
            name = f"{copy} {record.image_name}"
            more.append(type(record)(name, record.labels))
            predictions[name] = found[record.image_name]
    return more, predictions


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", range(3))
def test_weighting_images_is_evaluating_them_as_often(protocol, seed):
    task = PROTOCOLS[protocol]
    truth, found = world(seed)
    truth = [record for record in truth if record.labels.relationships]
    found = {record.image_name: found[record.image_name] for record in truth}
    counts, _ = score_against(found, ground_truth_arrays(truth), protocol, (1, 3))
    weights = draws(len(truth), 20)
    values = recalls(counts[task], weights)
    for row, times in enumerate(weights):
        again = evaluate(*reversed(repeated(truth, found, times)), ns=(1, 3), protocol=protocol)[task]
        drawn = {edge.predicate for i in np.flatnonzero(times) for edge in truth[i].labels.relationships}
        for n in (1, 3):
            assert values["recall"][n][row] == pytest.approx(again["recall"][str(n)], rel=1e-5)
            if len(drawn) == len(counts[task].words):
                assert values["mean_recall"][n][row] == pytest.approx(again["mean_recall"][str(n)], rel=1e-5)


def test_a_predicate_that_no_drawn_image_has_keeps_its_figure():
    """Two images: one has word 0, found; the other has word 1, not found."""
    for per_image in (False, True):
        counts = count(np.array([0, 1]), np.array([0, 1]), {1: np.array([True, False])}, per_image)
        values = recalls(counts, np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]]))
        assert values["recall"][1].tolist() == [100, 50, 0]
        assert values["mean_recall"][1].tolist() == [50, 50, 50]


def test_draws_have_as_many_images_as_there_are_and_repeat():
    weights = draws(50, 200)
    assert weights.shape == (200, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.std() == pytest.approx(1, abs=0.05)  # nearly Poisson of mean 1
    assert (draws(50, 200) == weights).all()


def test_the_interval_is_the_middle_of_the_draws():
    """100 images with one phrase each, 40 found: the figure is a binomial share, 40 +- 1.96 sqrt(0.4 0.6 / 100)."""
    for per_image in (False, True):
        counts = count(np.arange(100), np.zeros(100, int), {1: np.arange(100) < 40}, per_image)
        result = figures(counts, 4000)
        assert result["recall"]["1"] == pytest.approx(40)
        low, high = result["recall_interval"]["1"]
        assert low == pytest.approx(40 - 9.6, abs=1.1)
        assert high == pytest.approx(40 + 9.6, abs=1.1)
        assert result["mean_recall_interval"] == result["recall_interval"]


def test_a_paired_difference_leaves_out_what_is_hard_for_both():
    """One system finds all of the other's 40 and 5 more: the interval of the difference is far from the two's own."""
    image_number, word = np.arange(100), np.zeros(100, int)
    one = count(image_number, word, {1: np.arange(100) < 45}, False)
    other = count(image_number, word, {1: np.arange(100) < 40}, False)
    result = difference(one, other, 4000)
    assert result["recall"]["1"] == pytest.approx(5)
    low, high = result["recall_interval"]["1"]
    assert 1 <= low <= 2  # 5 +- 1.96 sqrt(0.05 0.95 / 100), skewed as a binomial is
    assert 9 <= high <= 10
    itself = difference(one, one, 100)
    assert itself["recall_interval"]["1"] == [0, 0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_comparison_is_the_difference_of_the_figures(protocol):
    truth, one = world(0)
    _, other = world(1)
    arrays = ground_truth_arrays(truth)
    counts = [score_against(found, arrays, protocol)[0] for found in (one, other)]
    apart = [evaluate(found, truth, protocol=protocol) for found in (one, other)]
    for task, result in compare(*counts).items():
        if result["total"]:
            for measure in ("recall", "mean_recall"):
                for n, value in result[measure].items():
                    low, high = result[f"{measure}_interval"][n]
                    assert value == pytest.approx(apart[0][task][measure][n] - apart[1][task][measure][n])
                    assert low <= value <= high
