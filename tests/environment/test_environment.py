"""The episode, by hand: traversal, the state with its history, next-object action sets."""

import pytest
from small_world import Walker, image, make_graph, scene_set, seen, street_graph
from street import DOG, PERSON, crowd_walk, street_walk

from files.options import Rules

# Traversal -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confidences", "first"), [((0.9, 0.8, 0.7, 0.6), 0), ((0.1, 0.8, 0.7, 0.6), 1), ((0.5, 0.5, 0.2, 0.5), 0)]
)
def test_starts_with_the_most_confident_instance(confidences, first):
    assert street_walk(confidences).pair == (first, -1)


def test_breadth_first_then_the_most_confident():
    walk = street_walk()
    visited = []
    for entity in ("hat", "bicycle", "Terminal", "Terminal", "Terminal", "Terminal"):
        visited.append(walk.pair)
        _, done = walk.step(entity)
        assert done == (len(visited) == 6)
    # hat was mined first, so it is the next subject though bicycle is more confident; dog, mined by nobody, comes last
    assert visited == [(0, -1), (0, 2), (0, 1), (2, -1), (1, -1), (3, -1)]


def test_mined_objects_come_before_surer_ones():
    walk = street_walk((0.9, 0.3, 0.2, 0.8))
    subjects = [walk.pair[0]]
    for entity in ("hat", "Terminal", "Terminal"):
        walk.step(entity)
        subjects.append(walk.pair[0])
    assert subjects == [0, 0, 2, 3]  # hat (0.2) before dog (0.8), for it was mined


def test_objects_of_earlier_subjects_keep_their_place():
    graph = street_graph()
    # person overlaps bicycle and hat; bicycle overlaps car and hat
    boxes = [(0, 0, 30, 30), (20, 20, 30, 30), (22, 22, 5, 5), (45, 45, 20, 20)]
    likely = [{"person": 0.9}, {"bicycle": 0.8}, {"hat": 0.7}, {"car": 0.6}]
    walk = Walker(graph, scene_set(graph, [image([])], [seen(graph, boxes, likely)]))
    subjects = []
    for entity in ("bicycle", "hat", "Terminal", "car", "hat", "Terminal", "Terminal", "Terminal"):
        subjects.append(walk.pair[0])
        walk.step(entity)
    assert subjects == [0, 0, 0, 1, 1, 1, 2, 3]  # hat, mined by the person, precedes car, mined before it by bicycle


def test_an_instance_is_a_subject_once_though_mined_again():
    walk = street_walk()
    walk.step("bicycle")
    walk.step("Terminal")
    assert walk.pair == (1, -1)
    assert ("person", 0) in walk.next_objects  # it may be the object of its neighbours
    walk.step("person")
    assert walk.pair == (1, 0)
    walk.step("Terminal")
    assert walk.pair == (2, -1)  # the hat; the person has had its turn


def test_a_subject_without_neighbours_offers_terminal_alone():
    walk = street_walk((0.1, 0.2, 0.3, 0.9))
    assert walk.pair == (3, -1)
    assert walk.next_objects == [("Terminal", -1)]


def test_a_subject_ends_when_all_neighbours_are_mined():
    walk = street_walk()
    walk.step("hat")
    assert walk.next_objects == [("bicycle", 1), ("Terminal", -1)]
    walk.step("bicycle")
    assert walk.next_objects == [("Terminal", -1)]
    assert walk.pair == (0, 1)  # the last object has its step, in which its predicate is said
    walk.step("Terminal")
    assert walk.pair == (2, -1)


@pytest.mark.parametrize("limit", [5, 2])
def test_a_subject_ends_after_five_objects(limit):
    walk = crowd_walk(7, Rules(maximum_objects_per_subject=limit))
    for i in range(limit):
        assert len(walk.next_objects) == 7 - i + 1
        walk.step(f"thing {i}")
    assert walk.next_objects == [("Terminal", -1)]
    assert walk.pair == (0, limit)
    walk.step("Terminal")
    assert walk.pair == (1, -1)


def test_every_neighbour_is_new_to_the_next_subject():
    walk = crowd_walk(3)
    for i in range(3):
        walk.step(f"thing {i}")
    walk.step("Terminal")
    assert walk.pair == (1, -1)
    assert [name for name, _ in walk.next_objects] == ["person", "thing 1", "thing 2", "Terminal"]


@pytest.mark.parametrize("limit", [1, 3, 300])
def test_an_image_ends_at_the_step_limit(limit):
    walk = street_walk(rules=Rules(maximum_steps=limit))
    done, steps = False, 0
    while not done:
        assert walk.env.active.all()
        _, done = walk.step("Terminal")
        steps += 1
    assert steps == min(limit, 4)
    assert not walk.env.active.any()
    assert len(walk.env.states()) == 0


def test_running_out_of_steps_is_no_end_what_would_have_been_next_is_known():
    short, long = (street_walk(rules=Rules(maximum_steps=steps)) for steps in (2, 300))
    assert not short.step("hat")[1]
    assert not short.env.cut_off[0].any()
    assert short.step("bicycle", predicate="wearing")[1]
    long.step("hat")
    long.step("bicycle", predicate="wearing")
    was_cut_off, states = short.env.cut_off
    assert was_cut_off.tolist() == [True]
    assert states.tobytes() == long.env.states().tobytes()


def test_an_image_that_ends_with_its_last_step_has_ended():
    walk = street_walk(rules=Rules(maximum_steps=4))
    assert [walk.step("Terminal")[1] for _ in range(4)] == [False, False, False, True]
    assert not walk.env.cut_off[0].any()


def test_an_image_of_one_object_is_one_step():
    graph = street_graph()
    walk = Walker(graph, scene_set(graph, [image([("person", PERSON, "young")])]))
    assert walk.pair == (0, -1)
    assert walk.next_objects == [("Terminal", -1)]
    assert walk.step("Terminal", attribute="young") == ((1, 0, -1), True)


def test_images_without_objects_are_passed_over():
    graph = street_graph()
    records = [image([], name=str(i)) for i in range(4)]
    records[2] = image([("dog", DOG)], name="2")
    walk = Walker(graph, scene_set(graph, records))
    assert walk.state["scene"] == 2
    assert walk.step("Terminal")[1]
    assert not walk.env.active.any()
    assert not Walker(graph, scene_set(graph, [image([])])).env.active.any()


# The state -----------------------------------------------------------------------------------------


def test_the_first_step_of_a_subject_has_no_object():
    walk = street_walk()
    for _ in range(2):
        state = walk.state
        assert state["object"] == state["object_category"] == -1
        assert not state["object_box"].any()
        assert walk.words("predicates_right") == set()
        walk.step("Terminal")


def test_the_state_names_boxes_and_categories():
    walk = street_walk()
    walk.step("bicycle")
    state = walk.state
    assert (state["subject_category"], state["object_category"]) == (0, 1)
    assert state["subject_box"].tolist() == [10, 10, 49, 109]
    assert state["object_box"].tolist() == [40, 60, 99, 119]
    assert state["extent"].tolist() == [10, 5, 319, 319]


def phrases(walk):
    """The history of the state, in words; None where there is no phrase."""
    return [walk.graph.phrase(int(key)) if key >= 0 else None for key in walk.state["history"]]


def test_history_holds_the_last_two_attribute_phrases_of_the_subject():
    walk = street_walk()
    assert phrases(walk) == [None] * 4
    walk.step("bicycle", attribute="young")
    assert phrases(walk)[2:] == ["young person", None]
    walk.step("hat", attribute="wet", predicate="riding")
    assert phrases(walk)[2:] == ["wet person", "young person"]
    walk.step("Terminal", attribute="big", predicate="wearing")
    assert walk.pair == (1, -1)
    assert phrases(walk) == [None, "person riding bicycle", None, None]  # of the bicycle no attribute was said


def test_history_skips_steps_without_an_attribute():
    walk = street_walk()
    walk.step("bicycle", attribute="young")
    walk.step("hat", predicate="riding")
    assert phrases(walk)[2:] == ["young person", None]


def test_history_holds_what_was_said_of_the_pair_and_of_the_subject():
    walk = street_walk()
    walk.step("bicycle")
    assert phrases(walk)[:2] == [None, None]  # the pair's predicate is said in this step
    walk.step("hat", predicate="riding")
    assert phrases(walk)[:2] == [None, "person riding bicycle"]  # another pair of the same subject
    walk.step("Terminal", predicate="wearing")
    assert phrases(walk)[:2] == [None, "person riding bicycle"]  # the bicycle, alone: it took part as the object
    walk.step("person")
    assert walk.pair == (1, 0)
    assert phrases(walk)[:2] == ["person riding bicycle"] * 2  # of the pair, with its ends exchanged; of the bicycle


def test_attributes_are_given_once():
    """H_A(s): the state lists what the subject has been given, and nothing of another."""
    walk = street_walk()
    walk.step("bicycle", attribute="young")
    walk.step("hat", attribute="big", predicate="riding")
    assert walk.words("attributes_given") == {"young", "big"}
    walk.step("Terminal")
    assert walk.words("attributes_given") == set()


def test_attributes_are_given_once_in_a_long_visit():
    """Δ_a is without H_A(s) however many objects a subject may visit (--maximum_objects_per_subject)."""
    words = [f"word {i}" for i in range(30)]
    things = [f"thing {i}" for i in range(30)]
    graph = make_graph(["person", *things], words, ["on"], [("person", word, 1) for word in words], [])
    walk = crowd_walk(30, Rules(maximum_objects_per_subject=30, maximum_adaptive_action_space_size=30), graph)
    for thing, word in zip(things, words, strict=True):
        walk.step(thing, attribute=word)
    assert walk.pair[0] == 0
    assert walk.words("attributes_given") == set(words)


# Next-object action sets ---------------------------------------------------------------------------


def test_next_objects_are_the_neighbours_surest_first():
    assert street_walk().next_objects == [("bicycle", 1), ("hat", 2), ("Terminal", -1)]
    assert street_walk((0.9, 0.2, 0.3, 0.9)).next_objects == [("hat", 2), ("bicycle", 1), ("Terminal", -1)]


def test_a_category_stands_for_its_surest_instance_and_then_for_the_next():
    graph = street_graph()
    boxes = [(0, 0, 50, 50), (5, 5, 9, 9), (9, 9, 9, 9), (20, 20, 9, 9)]
    likely = [{"person": 0.95}, {"dog": 0.5}, {"dog": 0.8}, {"dog": 0.6}]
    walk = Walker(graph, scene_set(graph, [image([])], [seen(graph, boxes, likely)]))
    for instance in (2, 3, 1):
        assert walk.next_objects == [("dog", instance), ("Terminal", -1)]
        walk.step("dog")
        assert walk.pair == (0, instance)
    assert walk.next_objects == [("Terminal", -1)]


def test_choosing_a_category_settles_the_ambiguous_instance():
    graph = street_graph()
    boxes = [(0, 0, 50, 50), (5, 5, 30, 30), (8, 8, 9, 9)]
    likely = [{"person": 0.95}, {"dog": 0.8, "bag": 0.75, "hat": 0.72}, {"bag": 0.5, "shoe": 0.45}]
    walk = Walker(graph, scene_set(graph, [image([])], [seen(graph, boxes, likely)]))
    # bag 0.75 is instance 1's; instance 2's bag (0.5) stands behind it
    assert walk.next_objects == [("dog", 1), ("bag", 1), ("hat", 1), ("shoe", 2), ("Terminal", -1)]
    walk.step("bag")
    assert walk.pair == (0, 1)
    assert walk.state["object_category"] == graph.entities.index("bag")
    assert walk.next_objects == [("bag", 2), ("shoe", 2), ("Terminal", -1)]
    walk.step("shoe")
    walk.step("Terminal")
    assert walk.state["subject_category"] == graph.entities.index("bag")  # not dog, though more confident
    assert walk.next_objects == [("person", 0), ("shoe", 2), ("Terminal", -1)]
    assert walk.env.candidate_scores[0, :3, 0] == pytest.approx([0.95, 0.75, 0.45])  # the confidence in its category


def test_a_subject_nobody_mined_bears_its_best_category():
    graph = street_graph()
    likely = [{"dog": 0.8, "bag": 0.75}]
    walk = Walker(graph, scene_set(graph, [image([])], [seen(graph, [DOG], likely)]))
    assert walk.state["subject_category"] == graph.entities.index("dog")


def test_the_next_object_set_keeps_the_surest_categories():
    walk = crowd_walk(7, Rules(maximum_adaptive_action_space_size=3))
    assert walk.next_objects == [("thing 0", 1), ("thing 1", 2), ("thing 2", 3), ("Terminal", -1)]
    walk.step("thing 0")
    assert walk.next_objects == [("thing 1", 2), ("thing 2", 3), ("thing 3", 4), ("Terminal", -1)]
