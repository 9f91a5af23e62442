"""Scenes: what instances an image has, which are neighbours, and which annotated objects they overlap."""

import numpy as np
import pytest
from small_world import image, make_graph, scene_set, seen, street_graph

from boxes import from_xywh, neighbours
from files.detections import Detections, read_detections, write_detections
from files.options import SceneOptions
from files.splits import Labels
from scenes.class_map import ClassMap
from scenes.scene import DetectedInstances, annotated_instances
from semantic_graph import SemanticActionGraph


def near(a, b, factor=0.5):
    return bool(neighbours(from_xywh(np.array([a, b])), factor)[0, 1])


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((5, 5, 10, 10), True),
        ((10, 0, 10, 10), False),  # they touch: |10 - 0| is not less than 0.5 (10 + 10)
        ((9, 0, 10, 10), True),  # one column of pixels in common
        ((0, 10, 10, 10), False),
        ((9, 10, 10, 10), False),  # near in x alone
        ((2, 2, 3, 3), True),  # inside
        ((-90, -90, 200, 200), True),  # around
        ((40, 0, 10, 10), False),
    ],
)
def test_neighbours_by_centres_and_sizes(other, expected):
    """Port fault: the neighbour test mixed up corners and sizes. Here |dx| < 0.5 (w + w'), |dy| < 0.5 (h + h')."""
    assert near((0, 0, 10, 10), other) == expected
    assert near(other, (0, 0, 10, 10)) == expected


def test_neighbours_are_all_found_and_none_is_its_own():
    """Port fault: a faulty comparison dropped objects."""
    boxes = from_xywh(np.array([(0, 0, 10, 10)] * 4))
    assert neighbours(boxes).sum() == 12
    assert not neighbours(boxes).diagonal().any()


def test_neighbour_factor_widens_the_reach():
    assert not near((0, 0, 10, 10), (15, 0, 10, 10), 0.5)
    assert not near((0, 0, 10, 10), (15, 0, 10, 10), 0.75)  # 15 is not less than 0.75 * 20
    assert near((0, 0, 10, 10), (15, 0, 10, 10), 0.76)
    graph = street_graph()
    record = image([("person", (0, 0, 10, 10)), ("dog", (500, 500, 10, 10))])
    assert not scene_set(graph, [record])[0].neighbours.any()
    assert scene_set(graph, [record], neighbour_factor=100)[0].neighbours[0, 1]


def test_annotated_objects_are_instances_with_confidence_one():
    graph = street_graph()
    record = image([("dog", (3, 4, 10, 20)), ("unicorn", (0, 0, 5, 5)), ("Person ", (1, 1, 2, 2))])
    instances = annotated_instances(record, graph)
    assert instances.boxes.tolist() == [[3, 4, 12, 23], [1, 1, 2, 2]]  # w and h count pixels; no unicorn
    assert instances.candidates.tolist() == [[3], [0]]
    assert instances.candidate_scores.tolist() == [[1], [1]]
    assert annotated_instances(record, graph, exact=True).candidates.tolist() == [[3]]


def test_alias_counts_unless_exact():
    graph = SemanticActionGraph(
        ["man"], ["red"], ["on"], np.zeros((0, 3)), np.zeros((0, 4)), {"guy": "man"}, {"upon": "on"}
    )
    record = image([("guy", (0, 0, 9, 9), "red"), ("man", (5, 5, 9, 9))], [(0, "upon", 1), (1, "on", 0)])
    loose, exact = scene_set(graph, [record])[0], scene_set(graph, [record], use_exact_match=True)[0]
    assert loose.gt_categories.tolist() == [0, 0]
    assert loose.gt_relationships.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert len(loose.boxes) == 2
    assert len(exact.boxes) == 1
    assert exact.gt_categories.tolist() == [0]  # there is no "guy"
    assert exact.gt_relationships.tolist() == []


def test_overlap_needs_half_and_looks_at_every_object():
    """Port fault: the overlap function returned the last index whatever the IoU."""
    graph = street_graph()
    record = image([("dog", (0, 0, 10, 10)), ("dog", (100, 0, 10, 10)), ("person", (100, 0, 10, 10))])
    boxes = [(0, 0, 10, 5), (0, 0, 7, 7), (100, 0, 10, 10), (50, 0, 10, 10)]
    scene = scene_set(graph, [record], [seen(graph, boxes, [{"dog": 0.9}] * 4)])[0]
    expected = [
        [True, False, False, False],  # 50 of 100 pixels: exactly one half counts; 49 of 100 does not
        [False, False, True, False],
        [False, False, True, False],  # whatever the category: that is compared when the instance's is settled
    ]
    assert scene.gt_overlaps.tolist() == expected


def test_unknown_words_leave_annotations_out():
    graph = street_graph()
    record = image(
        [("dog", (0, 0, 10, 10), "red", "sparkling"), ("hat", (5, 5, 10, 10), "wet")],
        [(0, "near", 1), (0, "teaching", 1)],
    )
    scene = scene_set(graph, [record])[0]
    assert scene.gt_attributes.tolist() == [[0, 1], [1, 3]]
    assert scene.gt_relationships.tolist() == [[0, 3, 1]]


def test_image_without_anything():
    graph = make_graph(["dog"], [], ["on"], [], [])
    scene = scene_set(graph, [image([])])[0]
    assert scene.boxes.shape == (0, 4)
    assert scene.neighbours.shape == scene.gt_overlaps.shape == (0, 0)
    assert scene.gt_attributes.shape == (0, 2)
    assert scene.gt_relationships.shape == (0, 3)


# Detections -----------------------------------------------------------------------------------


def detected(tmp_path, classes, rows, graph, maps=(), **options):
    """rows: (box, {class number: score}); the instances that come out of a real detections file."""
    width = max(len(scores) for _, scores in rows)
    candidates = np.full((len(rows), width), -1)
    confidences = np.zeros((len(rows), width), np.float32)
    for row, (_, scores) in enumerate(rows):
        candidates[row, : len(scores)], confidences[row, : len(scores)] = list(scores), list(scores.values())
    path = tmp_path / "detections.h5"
    boxes = np.array([box for box, _ in rows], np.float32)
    write_detections(path, classes, {"1.jpg": Detections(boxes, candidates, confidences)})
    return DetectedInstances(read_detections(path), graph, SceneOptions(**options), maps)


def likely(instances, graph):
    """[{category: confidence}] of every instance."""
    return [
        {graph.entities[c]: round(float(v), 4) for c, v in zip(row, scores, strict=True) if c >= 0}
        for row, scores in zip(instances.candidates, instances.candidate_scores, strict=True)
    ]


def test_ambiguous_categories_lie_within_a_tenth_of_the_best(tmp_path):
    graph = street_graph()
    rows = [((0, 0, 9, 9), {0: 0.9, 3: 0.85, 1: 0.8, 4: 0.79}), ((5, 5, 9, 9), {2: 0.95, 5: 0.05})]
    make = detected(tmp_path, graph.entities, rows, graph)
    # 0.8 is exactly a tenth below 0.9; the more confident instance comes first
    expected = [{"hat": 0.95}, {"person": 0.9, "dog": 0.85, "bicycle": 0.8}]
    assert likely(make("1.jpg"), graph) == expected
    make = detected(tmp_path, graph.entities, rows, graph, use_ambiguity_aware_mining=False)
    assert likely(make("1.jpg"), graph) == [{"hat": 0.95}, {"person": 0.9}]


def test_classes_that_the_graph_does_not_know_are_passed_over(tmp_path):
    graph = street_graph()
    rows = [((0, 0, 9, 9), {1: 0.9, 0: 0.5, 2: 0.45}), ((0, 0, 5, 5), {1: 0.99})]
    make = detected(tmp_path, ["dog", "unicorn", "hat"], rows, graph)
    assert make.mapped.unknown == ["unicorn"]
    found = make("1.jpg")
    assert likely(found, graph) == [{"dog": 0.5, "hat": 0.45}]  # the best that is known; the second box has none
    assert found.boxes.tolist() == [[0, 0, 9, 9]]


def test_threshold_and_maximum(tmp_path):
    graph = street_graph()
    rows = [((i, 0, 9 + i, 9), {3: score}) for i, score in enumerate([0.3, 0.004, 0.9, 0.5])]
    boxes = detected(tmp_path, graph.entities, rows, graph)("1.jpg").boxes
    assert boxes[:, 0].tolist() == [2, 3, 0]  # the sure ones first; 0.004 is under 0.005
    boxes = detected(tmp_path, graph.entities, rows, graph, maximum_num_entities_per_image=2)("1.jpg").boxes
    assert boxes[:, 0].tolist() == [2, 3]
    boxes = detected(tmp_path, graph.entities, rows, graph, object_detection_threshold=0.5)("1.jpg").boxes
    assert boxes[:, 0].tolist() == [2, 3]


def test_image_that_the_detector_never_saw(tmp_path):
    graph = street_graph()
    make = detected(tmp_path, graph.entities, [((0, 0, 9, 9), {0: 0.9})], graph)
    assert make("other.jpg").boxes.shape == (0, 4)
    scenes = scene_set(graph, [image([("dog", (0, 0, 9, 9))], name="other.jpg")])
    scenes.detected = make
    assert scenes[0].gt_overlaps.shape == (1, 0)


def test_candidates_are_no_wider_than_the_widest_instance(tmp_path):
    """A detector that scores a hundred classes must not make the walk a hundred times as wide."""
    graph = make_graph([f"word {i}" for i in range(100)], [], [], [], [])
    rows = [((0, 0, 9, 9), {0: 0.9, 7: 0.85} | dict.fromkeys(range(8, 100), 0.0005)), ((5, 5, 9, 9), {3: 0.5})]
    found = detected(tmp_path, graph.entities, rows, graph)("1.jpg")
    assert found.candidates.tolist() == [[0, 7], [3, -1]]
    assert found.candidate_scores.shape == (2, 2)


# The set of scenes ------------------------------------------------------------------------------


def test_scenes_are_kept_and_the_oldest_forgotten():
    graph = street_graph()
    scenes = scene_set(graph, [image([("dog", (i, 0, 9, 9))], name=f"{i}.jpg") for i in range(3)], keep=2)
    assert len(scenes) == 3
    first = scenes[0]
    assert scenes[0] is first
    scenes[1], scenes[0], scenes[2]  # 1 has been asked for the longest ago
    assert scenes[0] is first
    assert scenes[1].image_name == "1.jpg"


def test_object_ids_say_who_is_related():
    record = image([("dog", (0, 0, 9, 9)), ("hat", (0, 0, 9, 9))], [(1, "near", 0)])
    record.labels = Labels(1, record.labels.objects[::-1], record.labels.relationships)
    assert scene_set(street_graph(), [record])[0].gt_relationships.tolist() == [[0, 3, 1]]  # hat near dog


def test_two_classes_of_one_entity_are_one_candidate(tmp_path):
    graph = street_graph()
    rows = [((0, 0, 9, 9), {0: 0.6, 1: 0.58, 2: 0.55})]
    found = detected(
        tmp_path, ["poodle", "beagle", "person"], rows, graph, maps=[ClassMap({"poodle": ["dog"], "beagle": ["dog"]})]
    )
    assert likely(found("1.jpg"), graph) == [{"dog": pytest.approx(0.6), "person": pytest.approx(0.55)}]
    assert found("1.jpg").candidates.shape == (1, 2)
