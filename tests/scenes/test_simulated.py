"""Annotated scenes with boxes as a detector gives them."""

import numpy as np
from small_world import image, make_graph, scene_set

from scenes.simulated import DETECTED, SimulatedScenes, detected, simulated, with_unannotated

GRAPH = make_graph(["person", "bicycle"], [], ["riding"], [], [("person", "riding", "bicycle", 1)])
RECORD = image([("person", (100, 100, 80, 200)), ("bicycle", (150, 200, 120, 120))], [(0, "riding", 1)])


NAMES = np.array([0.25, 0.75])


def scenes_of(jitter=0.0, twice=1.0, seed=0, misnamed=0.0, images=3):
    return SimulatedScenes(scene_set(GRAPH, [RECORD] * images, neighbour_factor=100), jitter, twice, misnamed, seed)


def test_every_object_is_boxed_twice_where_all_are():
    scene = scenes_of()[0]
    assert scene.candidates[:, 0].tolist() == [0, 1, 0, 1]
    assert (scene.boxes[:2] == scene_set(GRAPH, [RECORD])[0].boxes).all()  # without jitter the first ones stay
    assert (scene.boxes[2:] != scene.boxes[:2]).all()
    assert (scene.boxes[:, 2:] >= scene.boxes[:, :2]).all()
    assert scene.gt_relationships.tolist() == [[0, 0, 1]]  # what is annotated stays what it is


def test_second_boxes_overlap_the_first_most_of_the_time():
    """Else they would not be two boxes of one thing: IoU >= 0.5."""
    scenes = scenes_of(jitter=0.05)
    overlaps = []
    for scenes.epoch in range(60):
        overlaps += scenes[0].gt_overlaps[[0, 1], [2, 3]].tolist()
    assert 0.7 < np.mean(overlaps) <= 1


def test_corners_move_by_a_share_of_the_sides():
    instances = scene_set(GRAPH, [RECORD]).instances(0)
    rng = np.random.default_rng(0)
    moved = np.stack([simulated(instances, rng, 0.1, 0.0).boxes - instances.boxes for _ in range(4000)])
    sides = np.array([[80, 200, 80, 200], [120, 120, 120, 120]])
    assert np.allclose(moved.std(axis=0), 0.1 * sides, rtol=0.05)
    assert np.allclose(moved.mean(axis=0), 0, atol=1.5)


def test_the_share_that_is_boxed_twice():
    instances = scene_set(GRAPH, [RECORD]).instances(0)
    rng = np.random.default_rng(0)
    assert abs(np.mean([len(simulated(instances, rng, 0.0, 0.25).boxes) - 2 for _ in range(4000)]) - 0.5) < 0.05


def test_scenes_differ_by_epoch_image_and_seed_and_by_nothing_else():
    first, again, other = scenes_of(0.1), scenes_of(0.1), scenes_of(0.1, seed=1)
    boxes = first[0].boxes
    assert (again[2].boxes != boxes).any()
    assert (again[0].boxes == boxes).all()
    assert (other[0].boxes != boxes).any()
    first.epoch = 1
    assert (first[0].boxes != boxes).any()
    assert first.graph is GRAPH
    assert len(first) == 3


def test_a_detector_misses_some_objects_and_misnames_others():
    instances = scene_set(GRAPH, [RECORD]).instances(0)
    rng = np.random.default_rng(0)
    found = [detected(instances, rng, 0.4, NAMES) for _ in range(4000)]
    right = [(part.boxes[:, None] == instances.boxes).all(axis=2).any(axis=1) for part in found]
    wrong = ~np.concatenate(right)
    assert abs((~wrong).sum() / 8000 - 0.8) < 0.02  # half of the share is missed
    assert abs(wrong.sum() / 8000 - 0.4) < 0.02
    names = np.concatenate([part.candidates[:, 0] for part in found])[wrong]
    assert abs(np.mean(names == 1) - 0.75) < 0.03


def test_a_detector_is_less_sure_of_wrong_names():
    instances = scene_set(GRAPH, [RECORD]).instances(0)
    rng = np.random.default_rng(0)
    found = [detected(instances, rng, 1.0, NAMES) for _ in range(2000)]
    scores = np.concatenate([part.candidate_scores[:, 0] for part in found])
    wrong = np.concatenate(
        [np.arange(len(part.boxes)) >= len(part.boxes) - 2 for part in found]
    )  # the two that come last
    assert ((scores >= 0.5) & (scores <= 1)).all()
    assert scores[~wrong].mean() > scores[wrong].mean() + 0.1


def test_a_third_of_the_walks_see_a_detectors_boxes():
    scenes = scenes_of(twice=0.0, misnamed=0.3, images=900)
    certain = np.mean([(scene.candidate_scores == 1).all() for scene in scenes])
    assert abs(certain - (1 - DETECTED)) < 0.05
    assert all((scene.candidate_scores == 1).all() for scene in scenes_of(twice=0.0, images=50))


def test_wrong_names_are_as_likely_as_they_are_frequent():
    """person takes part in one phrase, bicycle in one, wheel in none: never a wrong name."""
    graph = make_graph(["person", "bicycle", "wheel"], [], ["riding"], [], [("person", "riding", "bicycle", 5)])
    scenes = SimulatedScenes(scene_set(graph, [RECORD]), 0.0, 0.0, 1.0, 0)
    assert scenes.names.tolist() == [0.5, 0.5, 0.0]


def test_without_phrases_every_wrong_name_is_as_likely():
    scenes = SimulatedScenes(scene_set(make_graph(["person", "bicycle"], [], [], [], []), [RECORD] * 40), 0, 0, 1.0, 0)
    assert scenes.names.tolist() == [0.5, 0.5]
    assert any((scene.candidate_scores < 1).any() for scene in scenes)


def with_others(unannotated, misnamed=0.0, images=300):
    """Even images have a person on a bicycle, odd ones three dogs."""
    graph = make_graph(["person", "bicycle", "dog"], [], ["riding"], [], [("person", "riding", "bicycle", 1)])
    dogs = image([("dog", (10 * i, 10, 30, 30)) for i in range(3)], [])
    return SimulatedScenes(scene_set(graph, [RECORD, dogs] * (images // 2)), 0.0, 0.0, misnamed, 0, unannotated)


def test_things_that_nobody_annotated_are_those_of_another_image():
    """In a third of the walks, at their places there, as many as the share allows; what is annotated stays."""
    scenes = with_others(1.0)
    found = [scenes[i] for i in range(0, len(scenes), 2)]
    dogs = [int((scene.candidates[:, 0] == 2).sum()) for scene in found]
    others = [scene for scene in found if len(scene.boxes) > 2]
    assert {len(scene.boxes) for scene in others} == {3, 4, 5}
    assert max(dogs) == 3
    assert len(others) < len(found) / 2, "a third of the walks, and there not always"
    for scene in others:
        assert scene.candidates[:2, 0].tolist() == [0, 1]
        assert scene.gt_relationships.tolist() == [[0, 0, 1]]
        assert (scene.candidate_scores < 1).all()
    places = {tuple(box) for scene in others for box in scene.boxes[2:].tolist()}
    assert (10.0, 10.0, 39.0, 39.0) in places


def test_the_share_of_things_that_nobody_annotated():
    instances, other = scene_set(GRAPH, [RECORD]).instances(0), with_others(1.0).instances(1)
    rng = np.random.default_rng(0)
    counts = [len(with_unannotated(instances, other, rng, 0.5).boxes) - 2 for _ in range(4000)]
    assert abs(np.mean(counts) - 3 * 0.25) < 0.05, "uniformly between none and the share"


def test_resuming_knows_how_many_boxes_there_may_be():
    """Else the replay memory's objects of other images would be refused as objects that there are not."""
    scenes = with_others(1.0, misnamed=1.0)
    for scenes.epoch in range(5):
        assert all(len(scenes[i].boxes) <= scenes.most_boxes(i) for i in range(len(scenes)))


def test_an_images_own_objects_are_not_what_nobody_annotated():
    scenes = SimulatedScenes(scene_set(GRAPH, [RECORD]), 0.0, 0.0, 0.0, 0, unannotated=1.0)
    for scenes.epoch in range(30):
        assert len(scenes[0].boxes) == 2
