"""metrics/vrd.py: VRD's protocol rule by rule, against a slow second implementation, and on the real annotations."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phrases import FAR, FEED, ONE_RIDE, RIDE, A, B, around, attribute, box_iou, image, relation
from real_data import vrd_folder

import evaluation
from files.predictions import Phrases, PhrasesOfImages
from metrics.matching import ranks
from metrics.vrd import counts, match


def hits(relations, truth=ONE_RIDE, task="relationship", ns=(50,)):
    result = evaluation.evaluate({"1.jpg": {"relationships": relations}}, truth, ns=ns)
    return [result[task]["hits"][str(n)] for n in ns]


# ---------------------------------------------------------------- each rule, by hand


def test_right_boxes_and_labels_hit_and_other_labels_miss():
    assert hits([relation(A, B)]) == [1]
    assert hits([relation(A, B, names=FEED)]) == [0]
    assert hits([relation(B, A)]) == [0]  # the names fit, the boxes are swapped
    assert hits([relation(A, B, names=("Man", "ride", "horse"))]) == [0]  # names are compared exactly


def test_an_overlap_of_exactly_half_counts_and_pixels_are_inclusive():
    half = (0, 0, 9, 4)  # 50 of A's 100 pixels; without the +1 it would be 36 of 81
    assert hits([relation(half, B)]) == [1]
    assert hits([relation((0, 0, 9, 3), B)]) == [0]


def test_relationship_takes_the_worse_of_two_boxes_and_phrase_the_union():
    found = [relation(A, (20, 0, 29, 3))]  # IoU 1 and 0.4; the unions are the same
    assert hits(found) == [0]
    assert hits(found, task="phrase") == [1]
    assert hits([relation(B, A)], task="phrase") == [1]  # the union does not know which is which
    assert hits([relation(A, FAR)], task="phrase") == [0]


def test_one_annotation_is_found_once():
    assert hits([relation(A, B, 0.9), relation(A, B, 0.8)]) == [1]


def test_a_triplet_annotated_twice_counts_twice():
    twice = [image("1.jpg", [(A, B, RIDE), (A, B, RIDE)])]
    one = evaluation.evaluate({"1.jpg": {"relationships": [relation(A, B)]}}, twice)
    assert (one["relationship"]["total"], one["relationship"]["recall"]["50"]) == (2, 50.0)
    assert hits([relation(A, B), relation(A, B)], twice) == [2]


def test_the_greatest_overlap_is_taken_not_the_first():
    close = (0, 0, 9, 8)
    truth = [image("1.jpg", [(close, B, RIDE), (A, B, RIDE)])]
    only_close = (0, 0, 8, 4)  # 45 of the 90 pixels of `close`, 45 of the 100 of A
    assert hits([relation(A, B, 0.9), relation(only_close, B, 0.8)], truth) == [2]
    assert hits([relation(close, B, 0.9), relation(only_close, B, 0.8)], truth) == [1]


def test_of_equal_overlaps_the_first_annotated_is_taken():
    left, right, between = (0, 0, 9, 9), (4, 0, 13, 9), (2, 0, 11, 9)
    truth = [image("1.jpg", [(left, B, RIDE), (right, B, RIDE)])]
    assert hits([relation(between, B, 0.9), relation(right, B, 0.8)], truth) == [2]
    assert hits([relation(between, B, 0.9), relation(left, B, 0.8)], truth) == [1]


def test_the_most_confident_chooses_first():
    truth = [image("1.jpg", [((0, 0, 9, 8), B, RIDE), (A, B, RIDE)])]
    picky, easy = (0, 0, 8, 4), A  # picky: 45 of 90 pixels of the first, 45 of 100 of the second
    assert hits([relation(picky, B, 0.8), relation(easy, B, 0.9)], truth) == [2]
    assert hits([relation(picky, B, 0.8), relation((0, 0, 9, 8), B, 0.9)], truth) == [1]


def test_a_prediction_that_misses_takes_nothing_away():
    assert hits([relation((0, 0, 9, 3), B, 0.9), relation(A, B, 0.1)]) == [1]


def test_only_the_n_most_confident_of_each_image_count():
    wrong = [relation(FAR, FAR, 0.9)] * 2
    assert hits([relation(A, B, 0.5), *wrong], ns=(2, 3)) == [0, 1]


def test_equal_scores_keep_the_order_of_the_file():
    right, wrong = relation(A, B), relation(FAR, FAR)
    assert hits([right, wrong], ns=(1,)) == [1]
    assert hits([wrong, right], ns=(1,)) == [0]
    phrases = Phrases(np.array([1, 0, 1, 1, 0]), None, None, np.array([0.5, 0.1, 0.7, 0.5, 0.1]))
    assert ranks(phrases).tolist() == [1, 0, 0, 2, 1]


def test_recall_is_over_the_whole_set_and_an_empty_image_counts_nothing():
    truth = [
        *ONE_RIDE,
        image("2.jpg", [(A, B, RIDE), (A, B, FEED), (B, A, RIDE)]),
        image("empty.jpg"),
    ]
    found = {
        "1.jpg": {"relationships": [relation(A, B)]},
        "empty.jpg": {"relationships": [relation(A, B)]},
    }
    result = evaluation.evaluate(found, truth)
    assert result["relationship"]["total"] == 4
    assert result["relationship"]["recall"]["50"] == 25.0  # not the mean over images, 50
    assert result["relationship"]["precision"]["50"] == 50.0  # what is predicted on the empty image is wrong
    assert (result["images"], result["images_without_predictions"]) == (3, 1)


def test_mean_recall_is_over_the_predicates_that_are_annotated():
    truth = [image("1.jpg", [(A, B, RIDE), (B, A, RIDE), (A, B, FEED)])]
    found = [relation(A, B), relation(A, B, names=FEED), relation(A, B, names=("man", "eat", "horse"))]
    result = evaluation.evaluate({"1.jpg": {"relationships": found}}, truth)["relationship"]
    assert result["mean_recall"]["50"] == 75.0  # ride 1 of 2, feed 1 of 1
    assert result["recall"]["50"] == pytest.approx(200 / 3)


def test_attributes_need_the_entity_the_attribute_and_half_the_box():
    truth = [image("1.jpg", attributes=[(A, ("man", "tall")), (B, ("dog", "tall"))])]
    found = [
        attribute(A, 0.9),
        attribute(A, 0.8, ("man", "old")),
        attribute(A, 0.7, ("dog", "tall")),
        attribute((20, 0, 29, 4), 0.6, ("dog", "tall")),
    ]
    result = evaluation.evaluate({"1.jpg": {"attributes": found}}, truth, ns=(1, 4))["attribute"]
    assert result["hits"] == {"1": 1, "4": 2}
    assert result["precision"] == {"1": 100.0, "4": 50.0}


def test_zero_shot_restricts_the_ground_truth_not_the_predictions():
    train = [image("t.jpg", [(A, B, RIDE)], [(A, ("man", "tall"))])]
    truth = [image("1.jpg", [(A, B, RIDE), (A, B, FEED)], [(A, ("man", "tall")), (A, ("man", "old"))])]
    found = {
        "1.jpg": {
            "relationships": [relation(A, B, 0.9), relation(A, B, 0.8, FEED)],
            "attributes": [attribute(A, 0.9, ("man", "old"))],
        }
    }
    result = evaluation.evaluate(found, truth, evaluation.train_triplets(train), ns=(1, 2))
    assert result["zero_shot_relationship"]["total"] == 1
    assert result["zero_shot_relationship"]["hits"] == {"1": 0, "2": 1}  # the seen triplet still takes a place
    assert result["zero_shot_phrase"]["recall"] == {"1": 0.0, "2": 100.0}
    assert result["zero_shot_attribute"]["recall"]["1"] == 100.0
    assert "precision" not in result["zero_shot_relationship"]
    assert "zero_shot_relationship" not in evaluation.evaluate(found, truth)


def test_train_triplets_holds_relationships_and_attributes():
    train = [image("t.jpg", [(A, B, RIDE)], [(A, ("man", "tall"))])]
    assert evaluation.train_triplets(train) == {RIDE, ("man", "tall")}


def test_nothing_to_score_gives_no_numbers():
    result = evaluation.evaluate({}, [image("1.jpg")], set())
    for task in ("relationship", "phrase", "attribute", "zero_shot_relationship"):
        assert result[task]["total"] == 0
        assert result[task]["recall"] == {"50": None, "100": None} == result[task]["mean_recall"]
    assert "nothing to score" in evaluation.format_table(result)


# ---------------------------------------------------------------- a slow second implementation


def slow_figures(predictions, truth, overlap, ns, seen=()):
    """The protocol on names, with loops: {n: hits}, total, {n: mean recall}, {n: precision} (fractions)."""
    total, per_word = 0, {}
    found = {n: {} for n in ns}
    kept_count = dict.fromkeys(ns, 0)
    for name, annotated in truth.items():
        annotated = [item for item in annotated if item[0] not in seen]
        total += len(annotated)
        for item in annotated:
            per_word[item[0][1]] = per_word.get(item[0][1], 0) + 1
        for n in ns:
            kept = sorted(predictions.get(name, []), key=lambda p: -p[2])[:n]
            kept_count[n] += len(kept)
            free = list(range(len(annotated)))
            for labels, boxes, _ in kept:
                best, best_overlap = None, Fraction(0)
                for i in free:
                    if annotated[i][0] == labels and overlap(boxes, annotated[i][1]) > best_overlap:
                        best, best_overlap = i, overlap(boxes, annotated[i][1])
                if best_overlap >= Fraction(1, 2):
                    free.remove(best)
                    found[n][labels[1]] = found[n].get(labels[1], 0) + 1
    hits = {str(n): sum(found[n].values()) for n in ns}
    means = {
        str(n): sum(Fraction(found[n].get(word, 0), count) for word, count in per_word.items()) / len(per_word)
        if per_word
        else None
        for n in ns
    }
    precision = {str(n): Fraction(hits[str(n)], kept_count[n]) if kept_count[n] else None for n in ns}
    return hits, total, means, precision


OVERLAPS = {
    "relationship": lambda a, b: min(box_iou(a[0], b[0]), box_iou(a[1], b[1])),
    "phrase": lambda a, b: box_iou(around(*a), around(*b)),
    "attribute": lambda a, b: box_iou(a[0], b[0]),
}

some_box = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
triplet = st.tuples(st.sampled_from("ab"), st.sampled_from("pq"), st.sampled_from("ab"))
pair = st.tuples(st.sampled_from("ab"), st.sampled_from("pq"))
few_scores = st.sampled_from([0.1, 0.5, 0.9])


def phrases(labels, count, scored):
    boxes = st.tuples(*[some_box] * count)
    parts = (labels, boxes, few_scores) if scored else (labels, boxes)
    return st.lists(st.tuples(*parts), max_size=7)


a_scene = st.tuples(
    phrases(triplet, 2, False),
    phrases(pair, 1, False),
    phrases(triplet, 2, True),
    phrases(pair, 1, True),
    st.booleans(),
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(scenes=st.lists(a_scene, max_size=4), seen=st.sets(st.one_of(triplet, pair), max_size=5))
def test_agrees_with_the_slow_implementation(scenes, seen):
    ns = (1, 3, 5)
    truth, predictions = [], {}
    annotated = {"relationship": {}, "attribute": {}}
    found = {"relationship": {}, "attribute": {}}
    for i, (relations, attributes, found_relations, found_attributes, has_predictions) in enumerate(scenes):
        name = f"{i}.jpg"
        truth.append(
            image(name, [(*boxes, names) for names, boxes in relations], [(b, names) for names, (b,) in attributes])
        )
        annotated["relationship"][name], annotated["attribute"][name] = relations, attributes
        if has_predictions:
            found["relationship"][name], found["attribute"][name] = found_relations, found_attributes
            predictions[name] = {
                "relationships": [relation(*boxes, score, names) for names, boxes, score in found_relations],
                "attributes": [attribute(b, score, names) for names, (b,), score in found_attributes],
            }
    result = evaluation.evaluate(predictions, truth, seen, ns)
    for task, overlap in OVERLAPS.items():
        kind = "attribute" if task == "attribute" else "relationship"
        for prefix, known in (("", ()), ("zero_shot_", seen)):
            hits, total, means, precision = slow_figures(found[kind], annotated[kind], overlap, ns, known)
            ours = result[prefix + task]
            assert (ours["hits"], ours["total"]) == (hits, total)
            for n in map(str, ns):
                assert ours["recall"][n] == (pytest.approx(100 * hits[n] / total) if total else None)
                assert ours["mean_recall"][n] == (None if means[n] is None else pytest.approx(float(100 * means[n])))
                if not prefix:
                    expected = None if precision[n] is None else pytest.approx(float(100 * precision[n]))
                    assert ours["precision"][n] == expected


# ---------------------------------------------------------------- arrays


def test_arrays_need_no_order_and_no_small_numbers():
    huge = 2**32 - 1  # in 64 bits a plain product would forget the image and the subject
    labels = np.array([[huge, 3, huge], [7, huge, 7], [huge, 3, huge]])
    boxes = np.array([[A, B], [A, B], [B, A]], dtype=np.float64)
    truth = Phrases(np.array([5, 2, 5]), labels, boxes)
    shuffled = np.array([2, 0, 1])
    predicted = Phrases(truth.image[shuffled], labels[shuffled], boxes[shuffled], np.array([0.1, 0.2, 0.3]))
    assert match(predicted, truth).tolist() == [2, 0, 1]
    other_image = Phrases(np.array([2, 5, 2]), labels, boxes, np.ones(3))
    assert match(other_image, truth).tolist() == [-1, -1, -1]


def test_no_prediction_and_no_ground_truth_are_fine():
    def none(labels, boxes):
        return Phrases(np.zeros(0, int), np.zeros((0, labels), int), np.zeros((0, boxes, 4)), np.zeros(0))

    empty = PhrasesOfImages(none(3, 2), none(2, 1))
    unseen = np.zeros(0, bool), np.zeros(0, bool)
    assert counts(empty, empty, unseen)["zero_shot_phrase"].total == 0


# ---------------------------------------------------------------- the real test set


def test_vrd_annotations_as_predictions_are_all_found():
    vrd = vrd_folder()
    entities, predicates = (json.loads((vrd / f"{kind}.json").read_text()) for kind in ("objects", "predicates"))

    def records(part):
        for name, relations in json.loads((vrd / f"annotations_{part}.json").read_text()).items():
            rows = []
            for r in relations:
                ends = r["subject"], r["object"]
                boxes = [(b[2], b[0], b[3], b[1]) for b in (end["bbox"] for end in ends)]
                subject, other = (entities[end["category"]] for end in ends)
                rows.append((*boxes, (subject, predicates[r["predicate"]], other)))
            yield image(name, rows), {"relationships": [relation(s, o, names=names) for s, o, names in rows]}

    truth, found = zip(*records("test"), strict=True)
    predictions = {record.image_name: item for record, item in zip(truth, found, strict=True)}
    seen = evaluation.train_triplets(record for record, _ in records("train"))
    result = evaluation.evaluate(predictions, truth, seen)
    for task in ("relationship", "phrase"):
        assert result[task]["total"] == 3986
        assert result[task]["recall"]["100"] == 100.0
    assert result["zero_shot_relationship"]["hits"]["100"] == result["zero_shot_relationship"]["total"] == 621
