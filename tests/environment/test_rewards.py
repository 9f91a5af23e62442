"""Rewards of the episode, by hand: what earns one, what does not."""

import pytest
from small_world import Walker, image, make_graph, scene_set, seen, street_graph
from street import BICYCLE, PERSON, street, street_walk

from files.options import Rules


def test_attribute_reward():
    walk = street_walk()
    assert walk.step("bicycle", attribute="young")[0][0] == 1
    assert walk.step("hat", attribute="wet", predicate="riding")[0][0] == -1
    assert walk.step("Terminal", predicate="wearing")[0][0] == 0  # none taken
    assert walk.step("Terminal", attribute="red")[0][0] == 1  # the bicycle's


def test_predicate_reward():
    walk = street_walk()
    assert walk.step("bicycle")[0][1] == 0
    assert walk.step("hat", predicate="riding")[0][1] == 1
    assert walk.step("Terminal", predicate="riding")[0][1] == -1  # person wearing hat
    assert walk.pair == (1, -1)
    walk.step("person")
    assert walk.step("Terminal", predicate="riding")[0][1] == -1  # the bicycle does not ride the person


def test_next_object_reward_is_for_new_objects_only():
    walk = street_walk()
    assert walk.step("bicycle")[0][2] == 5
    assert walk.step("hat")[0][2] == 5
    assert walk.step("Terminal")[0][2] == -1
    assert walk.step("person")[0][2] == -1  # found: the walk began with it
    assert walk.step("hat")[0][2] == -1  # found by the person


def test_positive_reward_is_a_flag():
    walk = street_walk(rules=Rules(positive_reward=10))
    assert walk.step("bicycle", attribute="young")[0] == (10, 0, 5)
    assert walk.step("Terminal", attribute="wet", predicate="riding")[0] == (-1, 10, -1)


def test_two_detections_of_one_object_are_rewarded_once():
    graph = street_graph()
    record = image([("person", (0, 0, 50, 50)), ("dog", (10, 10, 20, 20))])
    boxes = [(0, 0, 50, 50), (10, 10, 20, 20), (10, 10, 20, 18)]
    likely = [{"person": 0.9}, {"dog": 0.8}, {"dog": 0.7}]
    walk = Walker(graph, scene_set(graph, [record], [seen(graph, boxes, likely)]))
    assert walk.step("dog")[0][2] == 5
    assert walk.step("dog")[0][2] == -1


def ambiguous_walk(annotated):
    """A person, and a box that may be a dog or a bag, where `annotated` is annotated."""
    graph = street_graph()
    record = image(
        [("person", (0, 0, 50, 50)), (annotated, (10, 10, 20, 20), "wet")], [(0, "near", 1), (1, "next to", 0)]
    )
    boxes = [(0, 0, 50, 50), (10, 10, 20, 20)]
    return Walker(graph, scene_set(graph, [record], [seen(graph, boxes, [{"person": 0.9}, {"dog": 0.8, "bag": 0.75}])]))


@pytest.mark.parametrize(("chosen", "right"), [("dog", False), ("bag", True)])
def test_rewards_need_the_annotated_category(chosen, right):
    walk = ambiguous_walk("bag")
    assert walk.step(chosen)[0][2] == (5 if right else -1)
    assert walk.step("Terminal", predicate="near")[0][1] == (1 if right else -1)
    assert walk.pair == (1, -1)
    assert walk.step("person", attribute="wet")[0][0] == (1 if right else -1)
    assert walk.step("Terminal", predicate="next to")[0][1] == (1 if right else -1)


@pytest.mark.parametrize(("height", "right"), [(10, True), (9, False)])
def test_rewards_need_half_the_overlap(height, right):
    """20 x 10 of 20 x 20 pixels is exactly one half."""
    graph = street_graph()
    record = image([("person", (0, 0, 50, 50)), ("dog", (10, 10, 20, 20), "wet")], [(0, "near", 1)])
    boxes = [(0, 0, 50, 50), (10, 10, 20, height)]
    walk = Walker(graph, scene_set(graph, [record], [seen(graph, boxes, [{"person": 0.9}, {"dog": 0.8}])]))
    assert walk.step("dog")[0][2] == (5 if right else -1)
    assert walk.step("Terminal", predicate="near")[0][1] == (1 if right else -1)
    assert walk.step("Terminal", attribute="wet")[0][0] == (1 if right else -1)


def test_any_overlapping_annotated_object_will_do():
    """Port fault: the overlap function returned the last index; here each of several objects in one place counts."""
    graph = street_graph()
    record = image(
        [
            ("person", (0, 0, 50, 50), "young"),
            ("person", (0, 0, 50, 49), "wet"),
            ("dog", (10, 10, 20, 20)),
            ("dog", (400, 10, 20, 20), "big"),
        ],
        [(1, "near", 2), (0, "next to", 3)],
    )
    boxes = [(0, 0, 50, 50), (10, 10, 20, 20)]
    walk = Walker(graph, scene_set(graph, [record], [seen(graph, boxes, [{"person": 0.9}, {"dog": 0.8}])]))
    assert walk.step("dog", attribute="young")[0][0] == 1
    # near is the second person's; next to stands between the first person and the other dog
    assert walk.words("predicates_right") == {"near"}
    assert walk.step("Terminal", attribute="wet", predicate="near")[0][:2] == (1, 1)
    assert walk.step("Terminal", attribute="big")[0][0] == -1


def test_words_the_graph_does_not_know_earn_nothing():
    """Neither an object of an unknown category nor a first step without an object rewards Terminal."""
    graph = street_graph()
    record = image([("person", PERSON), ("unicorn", PERSON), ("unicorn", BICYCLE)], [(0, "riding", 2)])
    boxes = [PERSON, BICYCLE]
    walk = Walker(graph, scene_set(graph, [record], [seen(graph, boxes, [{"person": 0.9}, {"bicycle": 0.8}])]))
    assert walk.words("predicates_right") == set()
    assert walk.step("Terminal")[0] == (0, 0, -1)
    assert walk.step("Terminal")[0] == (0, 0, -1)


def test_every_annotated_predicate_of_a_pair_is_rewarded():
    """However often the others are annotated (a triplet may be annotated twice, boxes may be annotated twice)."""
    graph = street_graph()
    record = street([(0, "near", 1)] * 12 + [(0, "riding", 1)])
    walk = Walker(graph, scene_set(graph, [record]))
    walk.step("bicycle")
    assert walk.step("Terminal", predicate="riding")[0][1] == 1


def test_every_annotated_attribute_is_rewarded():
    graph = street_graph()
    record = image([("person", PERSON, "young")] * 25 + [("person", PERSON, "wet")])
    walk = Walker(graph, scene_set(graph, [record], [seen(graph, [PERSON], [{"person": 0.9}])]))
    assert walk.step("Terminal", attribute="wet")[0][0] == 1


def test_reward_for_related_objects():
    """next_object_reward "relationship" (not in the paper): +5 when the pair is annotated, found or not."""
    graph = street_graph()
    walk = Walker(
        graph, scene_set(graph, [street([(0, "riding", 1), (1, "near", 0)])]), Rules(next_object_reward="relationship")
    )
    assert walk.step("bicycle")[0][2] == 5
    assert walk.step("hat")[0][2] == -1  # new, but not related to the person
    assert walk.step("Terminal")[0][2] == -1
    assert walk.step("person")[0][2] == 5


def test_large_vocabularies():
    """More words than 16 bits count, as Visual Genome has with --min_occurrences 1."""
    graph = make_graph([f"word {i}" for i in range(40_000)], [], [], [], [])
    record = image([("word 39999", (0, 0, 20, 20)), ("word 35000", (5, 5, 20, 20))])
    walk = Walker(graph, scene_set(graph, [record]))
    assert walk.state["subject_category"] == 39_999
    assert walk.next_objects == [("word 35000", 1), ("Terminal", -1)]
    assert walk.step("word 35000")[0][2] == 5
    assert walk.state["object_category"] == 35_000
