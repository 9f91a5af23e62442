"""benchmarks/baselines.py: frequencies and damping by hand, messages by loops, and the command from end to end."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_world import image, scene_set, seen, street_graph
from tiny_run import SMALL

import main
from benchmarks import baselines
from benchmarks.pair_networks import Encoder, Members, MessagePassing, Training, batches, mirrored, probabilities, train
from benchmarks.pairs import all_pairs, annotated_rows, damped, labels, predictions
from benchmarks.trained import damped_findings
from engine.walk import Findings
from evaluation import evaluate
from files.splits import Split
from scenes.simulated import SimulatedScenes

GRAPH = street_graph()
PERSON, BICYCLE, HAT = (10, 10, 40, 100), (40, 60, 60, 60), (300, 5, 20, 15)
RIDING, NEXT_TO, WEARING, NEAR = range(4)


def street():
    """Two images of a person, a bicycle that the person touches, and a hat far away."""
    objects = [("person", PERSON), ("bicycle", BICYCLE), ("hat", HAT)]
    records = [
        image(objects, [(0, "riding", 1), (0, "next to", 1), (0, "wearing", 2)], "a.jpg"),
        image(objects, [(0, "riding", 1)], "b.jpg"),
    ]
    return scene_set(GRAPH, records)


def world_of(scenes):
    pairs = all_pairs(scenes)
    right = labels(pairs, scenes, len(GRAPH.predicates))
    return SimpleNamespace(graph=GRAPH, pairs=pairs, right=right)


def test_pairs_are_ordered_pairs_of_an_image():
    scenes = street()
    pairs = all_pairs(scenes)
    assert list(zip(pairs["scene"].tolist(), pairs["subject"].tolist(), pairs["object"].tolist(), strict=True)) == [
        (i, s, o) for i in range(2) for s in range(3) for o in range(3) if s != o
    ]
    assert pairs[0]["extent"].tolist() == [10, 5, 319, 119]
    words = [(pairs[row]["subject"], pairs[row]["object"]) for row in annotated_rows(pairs, scenes)]
    assert words == [(0, 1), (0, 1), (0, 2), (0, 1)]


def test_frequencies_count_pairs_that_are_not_annotated_and_one_average_pair():
    probability = baselines.frequencies(world_of(street()), overlap=False)
    pairs = all_pairs(street())[:6]
    average = np.array([2, 1, 1, 0]) / 12
    chance = probability(pairs)
    # person - bicycle twice: riding twice, next to once; person - hat twice: wearing once; bicycle - hat: nothing
    assert chance[0] == pytest.approx((np.array([2, 1, 0, 0]) + average) / 3)
    assert chance[1] == pytest.approx((np.array([0, 0, 1, 0]) + average) / 3)
    assert chance[3] == pytest.approx(average / 3)
    unknown = pairs[:1].copy()
    unknown["object_category"] = GRAPH.entities.index("tree")
    assert probability(unknown)[0] == pytest.approx(average)


def test_frequencies_of_overlapping_boxes_say_nothing_of_others():
    probability = baselines.frequencies(world_of(street()), overlap=True)
    chance = probability(all_pairs(street())[:6])
    average = np.array([2, 1, 0, 0]) / 4  # person - bicycle and bicycle - person, twice each
    assert chance[0] == pytest.approx((np.array([2, 1, 0, 0]) + average) / 3)
    assert not chance[1].any()
    assert chance[2] == pytest.approx(average / 3)


def twin_pairs():
    """A person, two boxes of one bicycle, a bicycle elsewhere."""
    boxes = [PERSON, BICYCLE, (42, 62, 60, 60), (200, 60, 60, 60)]
    likely = [{"person": 1.0}, {"bicycle": 0.9}, {"bicycle": 0.8}, {"bicycle": 0.7}]
    pairs = all_pairs(scene_set(GRAPH, [image([])], [seen(GRAPH, boxes, likely)]))
    return pairs[(pairs["subject"] == 0)]


def test_what_was_said_of_an_overlapping_pair_is_worth_a_tenth():
    pairs = twin_pairs()
    score = np.array([[0.9, 0.1, 0, 0.2], [0.8, 0.3, 0, 0.2], [0.7, 0.2, 0, 0.2]])
    expected = score.copy()
    expected[1, RIDING] = 0.08  # said of the first box with more confidence
    expected[0, NEXT_TO] = 0.01  # said of the second
    expected[1, NEAR] = 0.02  # equal: the first row says it
    assert damped(pairs, score) == pytest.approx(expected)
    assert score[1, RIDING] == 0.8


def test_damping_looks_at_one_image_and_at_equal_words():
    pairs = twin_pairs()
    score = np.full((3, 4), 0.5)
    other = pairs.copy()
    other["scene"] = [0, 1, 1]
    assert damped(other, score) == pytest.approx(score)
    dog = pairs.copy()
    dog["object_category"][1] = GRAPH.entities.index("dog")
    assert damped(dog, score) == pytest.approx(score)


def test_a_walk_is_damped_as_its_pairs_are():
    """The same triplets found by a walk, in the order in which it looked."""
    boxes = [PERSON, BICYCLE, (42, 62, 60, 60), (200, 60, 60, 60)]
    likely = [{"person": 1.0}, {"bicycle": 0.9}, {"bicycle": 0.8}, {"bicycle": 0.7}]
    scenes = scene_set(
        GRAPH, [image([]), image([])], [seen(GRAPH, boxes[::3], likely[::3]), seen(GRAPH, boxes, likely)]
    )
    columns = {"scene": [1, 1, 1, 1, 0], "subject": [0, 0, 0, 0, 0], "object": [2, 1, 1, 3, 1], "step": [0, 1, 1, 2, 0]}
    columns |= {"predicate": [RIDING, RIDING, NEAR, RIDING, RIDING], "score": [0.8, 0.9, 0.2, 0.7, 0.6]}
    found = Findings({key: np.array(values) for key, values in columns.items()}, {}, {})
    result = damped_findings(found, scenes).relationships
    assert result["score"] == pytest.approx([0.08, 0.9, 0.2, 0.7, 0.6])
    assert result["object"].tolist() == columns["object"]


def test_what_is_written_serves_all_predicates_and_own_choices(monkeypatch):
    monkeypatch.setattr("benchmarks.pairs.SHOWN", 3)
    scenes = street()
    pairs = all_pairs(scenes)
    score = np.zeros((12, 4))
    score[:3] = [[0.9, 0.8, 0.7, 0.6], [0, 0, 0.2, 0.1], [0, 0.15, 0, 0]]
    found = predictions(pairs, score, scenes.records, GRAPH)["a.jpg"]["relationships"]
    said = {(r["subject"], r["predicate"], r["object"]): r["score"] for r in found}
    assert said == {
        ("person", "riding", "bicycle"): 0.9,
        ("person", "next to", "bicycle"): 0.8,
        ("person", "wearing", "bicycle"): 0.7,
        ("person", "wearing", "hat"): 0.2,
        ("bicycle", "next to", "person"): 0.15,
    }
    assert predictions(pairs, score, scenes.records, GRAPH)["b.jpg"]["relationships"] == []


# ---------------------------------------------------------------- networks


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_messages_are_gated_sums_over_the_pairs_of_an_object():
    """Equations 3 and 4 of Xu et al. 2017, with loops."""
    torch.manual_seed(0)
    network = MessagePassing(np.zeros((3, 0), np.float32), Encoder(), 4, hidden=5)
    objects, pairs = torch.randn(3, 5), torch.randn(4, 5)
    subject, object_ = torch.tensor([0, 0, 1, 2]), torch.tensor([1, 2, 0, 1])
    to_objects, to_pairs = network.messages(objects, pairs, subject, object_)

    def gate(number, end, pair):
        return sigmoid(network.gates[number](torch.cat([objects[end], pairs[pair]])).item())

    for i in range(3):
        message = torch.zeros(5)
        for p in range(4):
            if subject[p] == i:
                message += gate(0, i, p) * pairs[p]
            if object_[p] == i:
                message += gate(1, i, p) * pairs[p]
        assert torch.allclose(to_objects[i], message, atol=1e-6)
    for p in range(4):
        s, o = int(subject[p]), int(object_[p])
        message = gate(2, s, p) * objects[s] + gate(3, o, p) * objects[o]
        assert torch.allclose(to_pairs[p], message, atol=1e-6)


def test_an_image_is_judged_by_itself_whatever_its_company(monkeypatch):
    torch.manual_seed(0)
    members = Members([MessagePassing(np.zeros((len(GRAPH.entities), 0), np.float32), Encoder(), 4)]).eval()
    pairs = all_pairs(street())
    together = probabilities(members, Encoder(), pairs, 4)
    monkeypatch.setattr("benchmarks.pair_networks.PAIRS_AT_ONCE", 2)
    apart = probabilities(members, Encoder(), pairs, 4)
    assert together == pytest.approx(apart, abs=1e-6)
    assert together.shape == (12, 4)


def test_messages_reach_a_pair_from_the_rest_of_its_image():
    torch.manual_seed(0)
    members = Members([MessagePassing(np.zeros((len(GRAPH.entities), 0), np.float32), Encoder(), 4)]).eval()
    pairs = all_pairs(street())[:6]
    before = probabilities(members, Encoder(), pairs, 4)[0]
    pairs["context"][2:] += 1  # of other pairs
    assert probabilities(members, Encoder(), pairs, 4)[0] != pytest.approx(before, abs=1e-7)


def test_mirrored_pairs_lie_left_for_right_and_swap_their_words():
    pairs = all_pairs(street())[:1]
    right = np.array([[True, False, False, False]])
    other, swapped = mirrored(pairs, right, np.array([True]), np.array([1, 0, 2, 3]))
    # extent 10 to 319: x -> 329 - x
    assert other["subject_box"].tolist() == [[280, 10, 319, 109]]
    assert other["object_box"].tolist() == [[230, 60, 289, 119]]
    assert swapped.tolist() == [[False, True, False, False]]
    assert pairs["subject_box"].tolist() == [[10, 10, 49, 109]]


def test_a_batch_is_whole_images_and_a_second_box_has_its_objects_labels():
    """Of each pass other boxes; a label where both boxes overlap those of an annotated pair."""
    scenes = SimulatedScenes(street(), jitter=0.0, twice=1.0, misnamed=0.0, seed=0)
    drawn = [part for part, _ in zip(batches(scenes, 20, np.random.default_rng(0)), range(4), strict=False)]
    for pairs, right in drawn:
        assert len(pairs) == 6 * 5  # three objects, each with a second box
        riding = pairs[right[:, RIDING]]
        assert set(zip(riding["subject"].tolist(), riding["object"].tolist(), strict=True)) <= {
            (s, o) for s in (0, 3) for o in (1, 4)
        }
        assert len(riding) >= 1
    assert {int(pairs["scene"][0]) for pairs, _ in drawn[:2]} == {0, 1}
    boxes = [pairs["subject_box"] for pairs, _ in drawn if pairs["scene"][0] == 0]
    assert not np.array_equal(*boxes)


def test_message_passing_learns_what_is_annotated():
    torch.manual_seed(0)
    scenes = street()
    members = Members([MessagePassing(np.zeros((len(GRAPH.entities), 0), np.float32), Encoder(), 4) for _ in range(2)])
    options = Training(passes=300, batch_size=12, learning_rate=0.01, averaging=0.9, mirror=False)
    network = train(members, Encoder(), scenes, len(all_pairs(scenes)), options)
    chance = probabilities(network, Encoder(), all_pairs(scenes)[:6], 4)
    assert chance[0, RIDING] > 0.7
    assert chance[1, WEARING] > 0.2  # in one of two equal images
    assert chance[2:].max() < 0.1


@pytest.mark.slow
def test_one_command_makes_one_table(made, tmp_path, capsys):
    files = [text for name in ("train", "test") for text in (f"--{name}_data", str(made.splits / f"{name}_data.json"))]
    command = ["--graph", str(made.graph), *files, "--detections", str(made.detections), "--passes", "1"]
    command += ["--images_dir", str(made.images), "--num_members", "1"]
    flags = ["--", *SMALL[4:], "--num_epochs", "1"]
    assert baselines.main([*command, "--output_dir", str(tmp_path), *flags]) == 0
    text = capsys.readouterr().out
    for method in baselines.METHODS:
        assert f"| {method} |" in text
    results = json.loads((tmp_path / "results.json").read_text())["methods"]
    assert results["frequency"]["relationship"]["recall"]["50"] > 0
    assert (tmp_path / "table.md").read_text() in text
    # its files are what evaluation.py scores
    found = json.loads((tmp_path / "frequency" / "predictions.json").read_text())
    again = evaluate(found, Split(made.splits / "test_data.json"))
    assert again["relationship"]["recall"] == pytest.approx(results["frequency"]["relationship"]["recall"])
    # a second call finds them there, and compares an agent with them
    agent = ["--agent", "the agent", str(tmp_path / "frequency_overlap")]
    assert baselines.main([*command, "--output_dir", str(tmp_path), *agent, *flags]) == 0
    text = capsys.readouterr().out
    assert "remove it to make it again" in text
    for measure in ("recall", "mean recall"):
        assert f"| the agent less, {measure} |" in text
    assert text.count("| frequency_overlap | +0.00 [+0.00, +0.00]") == 2


@pytest.mark.slow
def test_the_classifier_is_the_projects_own_training_without_memory(made, tmp_path, capsys):
    """What it is said to find is what main.py --test finds where it looks at every pair; trained once, found again."""
    files = [text for name in ("train", "test") for text in (f"--{name}_data", str(made.splits / f"{name}_data.json"))]
    command = ["--methods", "classifier", "classifier_damped", "--graph", str(made.graph), *files, "--num_members", "2"]
    command += ["--detections", str(made.detections), "--output_dir", str(tmp_path)]
    command += ["--", *SMALL[4:], "--num_epochs", "1"]
    assert baselines.main(command) == 0
    assert capsys.readouterr().out.count("Trained 1 epochs") == 1
    found = json.loads((tmp_path / "results.json").read_text())["methods"]
    folder, tested = tmp_path / "classifier" / "seed_0", tmp_path / "tested"
    saved = torch.load(folder / "best.pt", weights_only=True)["options"]
    assert not saved["model"]["use_memory"]
    assert not saved["rules"]["new_phrases_only"]
    assert (saved["model"]["num_members"], saved["model"]["image_embedding_model_type"]) == (2, "none")
    flags = ["--test", "--step_cost", "0", "--checkpoint", str(folder / "best.pt"), "--device", "cpu"]
    assert main.main([*flags, *made.files(tested, detections=made.detections)]) == 0
    results = json.loads((tested / "results.json").read_text())
    tasks = {"relationship": "relationship", "relationship, k = 1": "relationship_k1", "predicate": "predicate"}
    for column, task in tasks.items():
        for measure in ("recall", "mean_recall"):
            assert found["classifier"][column][measure] == pytest.approx(results[task][measure]), column
    given = json.loads((folder / "given_predictions.json").read_text())
    assert all(phrases["relationships"] for phrases in given.values())
    # what is missing is made again, with the network that is there
    before = (folder / "given_predictions.json").read_bytes()
    (folder / "given_predictions.json").unlink()
    assert baselines.main(command) == 0
    assert "all 1 epochs are done" in capsys.readouterr().out
    assert (folder / "given_predictions.json").read_bytes() == before


def test_training_that_fails_ends_with_its_own_message(made, tmp_path, capsys):
    files = [text for name in ("train", "test") for text in (f"--{name}_data", str(made.splits / f"{name}_data.json"))]
    command = ["--methods", "classifier", "--graph", str(made.graph), *files, "--output_dir", str(tmp_path)]
    with pytest.raises(SystemExit) as stop:
        baselines.main([*command, "--", "--num_epochs", "0"])
    assert stop.value.code == 2
    assert "error: --num_epochs must be at least 1" in capsys.readouterr().err
    assert not list((tmp_path / "classifier").rglob("*.json"))
