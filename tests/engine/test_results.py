"""What a walk found: recall, scene graphs, and that both ways of scoring agree."""

import json

import numpy as np
import pytest
from small_world import image, scene_set, seen, street_graph
from test_walk import BICYCLE, DOG, GRAPH, HAT, PERSON, POLICY, opinion, street_scenes

from engine.baselines import FrequencyPolicy, RandomPolicy, occurrences
from engine.results import found_boxes, graphs, score
from engine.walk import Findings, walk
from evaluation import evaluate, train_triplets
from files.options import Rules
from files.scene_graphs import checked_graph, predictions_from_graphs, write_image_states


def annotated_scenes():
    """Two images of a person, a bicycle and a hat; the walk of POLICY finds next to in the first, not riding."""
    objects = [("person", PERSON, "young", "big"), ("bicycle", BICYCLE), ("hat", HAT, "wet")]
    first = image(objects, [(0, "next to", 1), (0, "wearing", 2)], "a.jpg")
    second = image(objects[:2], [(0, "riding", 1)], "b.jpg")
    return scene_set(GRAPH, [first, second])


def test_recall_by_hand():
    scenes = annotated_scenes()
    found = walk(POLICY, scenes, Rules(), [0, 1])
    tasks = score(found, scenes, [0, 1])
    # person next to bicycle, person wearing hat are found; person riding bicycle is not
    assert tasks["relationship"]["hits"] == {"50": 2, "100": 2}
    assert tasks["relationship"]["total"] == 3
    assert tasks["relationship"]["recall"]["50"] == pytest.approx(200 / 3)
    # young and big twice are found; the hat is said to be red
    assert tasks["attribute"]["hits"]["50"] == 3
    assert tasks["attribute"]["total"] == 5
    assert "zero_shot_relationship" not in tasks


def test_zero_shot_counts_what_training_never_showed():
    scenes = annotated_scenes()
    found = walk(POLICY, scenes, Rules(), [0, 1])
    shown = train_triplets([scenes.records[1], image([("person", PERSON), ("hat", HAT)], [(0, "wearing", 1)])])
    tasks = score(found, scenes, [0, 1], shown)
    assert tasks["zero_shot_relationship"]["total"] == 1  # person next to bicycle
    assert tasks["zero_shot_relationship"]["hits"]["50"] == 1


def test_images_in_any_order_and_only_those_asked_for():
    scenes = annotated_scenes()
    found = walk(POLICY, scenes, Rules(), [0, 1])
    assert score(found, scenes, [1, 0])["relationship"]["hits"]["50"] == 2
    only = walk(POLICY, scenes, Rules(), [1])
    tasks = score(only, scenes, [1])
    assert (tasks["relationship"]["hits"]["50"], tasks["relationship"]["total"]) == (0, 1)


def test_images_that_could_not_be_walked_over_count_as_missed():
    scenes = annotated_scenes()
    only = walk(POLICY, scenes, Rules(), [0])
    tasks = score(only, scenes, [0, 1])
    assert (tasks["relationship"]["hits"]["50"], tasks["relationship"]["total"]) == (2, 3)


def test_nothing_found():
    scenes = annotated_scenes()
    tasks = score(Findings({}, {}, {}), scenes, [0, 1])
    assert tasks["relationship"]["recall"] == {"50": 0.0, "100": 0.0}
    truth, predicted = graphs(Findings({}, {}, {}), scenes, [0, 1])
    assert [len(graph["objects"]) for graph in truth] == [3, 2]
    assert [graph["relationships"] for graph in predicted] == [[], []]


def test_a_walk_that_relates_nothing():
    """As of an agent that has learned nothing yet, and takes Terminal whenever it can."""
    scenes = annotated_scenes()
    found = walk(opinion({}, {}, {"Terminal": 1}), scenes, Rules(), [0, 1])
    assert score(found, scenes, [0, 1])["relationship"]["hits"]["50"] == 0
    assert [graph["relationships"] for graph in graphs(found, scenes, [0, 1])[1]] == [[], []]


def test_boxes_of_what_was_found():
    scenes = street_scenes(3)
    boxes = found_boxes(scenes, np.array([2, 2, 0]), np.array([1, 0, 3]))
    assert boxes.tolist() == [[40, 60, 99, 119], [10, 10, 49, 109], [300, 300, 319, 319]]
    assert found_boxes(scenes, np.zeros(0, int), np.zeros(0, int)).shape == (0, 4)


def test_the_graph_of_a_walk():
    scenes = street_scenes()
    found = walk(POLICY, scenes, Rules(), [0])
    truth, (graph,) = graphs(found, scenes, [0])
    assert truth[0]["image_name"] == graph["image_name"] == "0.jpg"
    assert graph["objects"] == [
        {"name": "person", "x": 10, "y": 10, "w": 40, "h": 100, "score": 1.0},
        {"name": "bicycle", "x": 40, "y": 60, "w": 60, "h": 60, "score": 0.5},
        {"name": "hat", "x": 15, "y": 5, "w": 20, "h": 15, "score": 0.25},
        {"name": "dog", "x": 300, "y": 300, "w": 20, "h": 20, "score": 0.125},
    ]
    assert graph["steps"] == [[0, -1], [0, 2], [0, 1], [2, -1], [1, -1], [3, -1]]
    relationships = [(r["subject"], r["predicate"], r["object"], r["score"]) for r in graph["relationships"]]
    assert relationships == [(0, "next to", 1, pytest.approx(0.45)), (0, "wearing", 2, pytest.approx(0.1))]
    for relationship in graph["relationships"]:  # "step" is the row of "steps" in which it was said
        assert graph["steps"][relationship["step"]] == [relationship["subject"], relationship["object"]]
    for attribute in graph["attributes"]:
        assert graph["steps"][attribute["step"]][0] == attribute["object"]
    assert checked_graph(json.loads(json.dumps(graph)), "graph") == graph


def test_the_graph_bears_the_categories_that_the_walk_settled():
    graph = street_graph()
    boxes = [(0, 0, 50, 50), (5.25, 5, 30, 30.5), (400, 400, 9, 9)]
    likely = [{"person": 0.95}, {"dog": 0.8, "hat": 0.75}, {"bag": 0.5, "shoe": 0.45}]
    scenes = scene_set(graph, [image([])], [seen(graph, boxes, likely)])
    policy = opinion({"red": 5}, {"wearing": 5}, {"hat": 3, "dog": 2})
    found = walk(policy, scenes, Rules(), [0])
    _, (predicted,) = graphs(found, scenes, [0])
    names = [(thing["name"], thing["score"]) for thing in predicted["objects"]]
    # hat was chosen though dog is more confident; nobody mined the bag, so it keeps its best category
    assert names == [("person", 0.95), ("hat", 0.75), ("bag", 0.5)]
    assert (predicted["objects"][1]["x"], predicted["objects"][1]["h"]) == (5.25, 30.5)
    assert predicted["relationships"][0]["object"] == 1
    assert [a["object"] for a in predicted["attributes"] if a["attribute"] == "red"] == [1]


def random_scenes(seed, count=12):
    """Annotated images, walked over on boxes that lie near the annotated ones."""
    rng = np.random.default_rng(seed)
    records, found = [], []
    for i in range(count):
        number = int(rng.integers(0, 5))
        boxes = np.column_stack([rng.integers(0, 40, (number, 2)), rng.integers(10, 60, (number, 2))])
        names = rng.choice(GRAPH.entities[:4], number).tolist()
        words = [rng.choice(GRAPH.attributes, 2).tolist() for _ in range(number)]
        pairs = rng.integers(0, number, (4, 2)).tolist() if number else []
        relationships = [(s, str(rng.choice(GRAPH.predicates)), o) for s, o in pairs]
        objects = [(name, box.tolist(), *more) for name, box, more in zip(names, boxes, words, strict=True)]
        records.append(image(objects, relationships, f"{i}.jpg"))
        likely = [{name: round(float(rng.uniform(0.2, 1)), 3)} for name in names]
        found.append(seen(GRAPH, boxes + rng.integers(-3, 4, boxes.shape), likely))
    return scene_set(GRAPH, records, found)


@pytest.mark.parametrize("seed", range(3))
def test_scoring_a_walk_is_scoring_its_predictions_file(seed):
    """`score` on arrays and evaluation.py on predictions.json give the same figures."""
    scenes = random_scenes(seed)
    shown = train_triplets(scenes.records[:4])
    for policy in (RandomPolicy(GRAPH, seed), FrequencyPolicy(GRAPH, occurrences(scenes.records, GRAPH))):
        found = walk(policy, scenes, Rules(predicates_per_pair=3), range(len(scenes)))
        tasks = score(found, scenes, range(len(scenes)), shown)
        _, predicted = graphs(found, scenes, range(len(scenes)))
        predictions = json.loads(json.dumps(predictions_from_graphs(predicted)))
        expected = evaluate(predictions, scenes.records, shown)
        assert tasks["relationship"]["total"] > 0
        for task in tasks.keys() - {"predicates"}:
            assert tasks[task]["hits"] == expected[task]["hits"], task
            assert tasks[task]["recall"] == pytest.approx(expected[task]["recall"]), task
            assert tasks[task]["mean_recall"] == pytest.approx(expected[task]["mean_recall"]), task


def test_graphs_go_into_image_states(tmp_path):
    scenes = random_scenes(5)
    found = walk(RandomPolicy(GRAPH, 0), scenes, Rules(), range(len(scenes)))
    truth, predicted = graphs(found, scenes, range(len(scenes)))
    write_image_states(tmp_path / "image_states.pickle", truth, predicted)  # refuses what is not plain data
    assert len(truth) == len(predicted) == len(scenes)
    assert [graph["image_name"] for graph in truth] == [record.image_name for record in scenes.records]


def test_recall_of_ground_truth_itself_is_whole():
    """Everything annotated is within reach: neighbours, in the graph, said with the right word."""
    record = image(
        [("person", PERSON, "young"), ("bicycle", BICYCLE, "red"), ("dog", DOG)], [(0, "next to", 1), (1, "next to", 0)]
    )
    scenes = scene_set(GRAPH, [record])
    policy = opinion({"young": 9, "red": 8}, {"next to": 9}, {"bicycle": 3, "person": 2, "Terminal": 1})
    found = walk(policy, scenes, Rules(), [0])
    tasks = score(found, scenes, [0])
    assert tasks["relationship"]["recall"]["50"] == tasks["attribute"]["recall"]["50"] == 100
