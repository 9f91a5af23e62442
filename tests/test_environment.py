"""The episode, by hand: traversal, next-object action sets, rewards, history, slots, checkpoints."""

import numpy as np
import pytest
from small_world import Walker, image, make_graph, scene_set, seen, street_graph

from environment import Rules, SceneGraphEnvironment
from phrase_keys import PhraseKeys

PERSON, BICYCLE, HAT, DOG = (10, 10, 40, 100), (40, 60, 60, 60), (15, 5, 20, 15), (300, 300, 20, 20)


def street(relationships=((0, "riding", 1), (0, "wearing", 2))):
    """A person who overlaps a bicycle and a hat, and a dog far away."""
    return image(
        [("person", PERSON, "young", "big"), ("bicycle", BICYCLE, "red"), ("hat", HAT), ("dog", DOG)], relationships
    )


def street_walk(confidences=(0.9, 0.8, 0.7, 0.6), rules=None):
    graph = street_graph()
    likely = [{name: c} for name, c in zip(("person", "bicycle", "hat", "dog"), confidences, strict=True)]
    return Walker(
        graph, scene_set(graph, [street()], [seen(graph, [PERSON, BICYCLE, HAT, DOG], likely)]), rules or Rules()
    )


def crowd_walk(count, rules=None, graph=None):
    """A person among `count` overlapping objects of different categories, falling confidence; none annotated."""
    words = [f"thing {i}" for i in range(count)]
    graph = graph or make_graph(["person", *words], ["red"], ["on"], [], [])
    boxes = [(0, 0, 100, 100)] + [(i, i, 30, 30) for i in range(count)]
    likely = [{"person": 1.0}] + [{word: 0.99 - 0.01 * i} for i, word in enumerate(words)]
    return Walker(graph, scene_set(graph, [image([])], [seen(graph, boxes, likely)]), rules)


# Traversal --------------------------------------------------------------------------------------


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
    # hat was mined first, so it is the next subject though bicycle is surer; dog, mined by nobody, comes last
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


# The state --------------------------------------------------------------------------------------


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
    keys = PhraseKeys(walk.graph)
    return [keys.text(int(key)) if key >= 0 else None for key in walk.state["history"]]


def test_history_holds_the_last_two_attribute_phrases_of_the_subject():
    walk = street_walk()
    assert phrases(walk) == [None] * 4
    walk.step("bicycle", attribute="young")
    assert phrases(walk)[2:] == ["young person", None]
    walk.step("hat", attribute="wet", predicate="riding")
    assert phrases(walk)[2:] == ["wet person", "young person"]
    walk.step("Terminal", attribute="big", predicate="wearing")
    assert walk.pair == (1, -1)
    assert phrases(walk) == [None] * 4  # nothing has been said of the bicycle


def test_history_skips_steps_without_an_attribute():
    walk = street_walk()
    walk.step("bicycle", attribute="young")
    walk.step("hat", predicate="riding")
    assert phrases(walk)[2:] == ["young person", None]


def test_history_holds_the_relationship_phrases_of_the_pair():
    walk = street_walk()
    walk.step("bicycle")
    assert phrases(walk)[:2] == [None, None]  # the pair's first visit: its predicate is said in this step
    walk.step("hat", predicate="riding")
    assert phrases(walk)[:2] == [None, None]  # another pair
    walk.step("Terminal", predicate="wearing")
    walk.step("person")
    assert walk.pair == (1, 0)
    assert phrases(walk)[:2] == ["person riding bicycle", None]  # said when the person was the subject


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
    walk = crowd_walk(30, Rules(maximum_objects_per_subject=30, maximum_action_set_size=30), graph)
    for thing, word in zip(things, words, strict=True):
        walk.step(thing, attribute=word)
    assert walk.pair[0] == 0
    assert walk.words("attributes_given") == set(words)


# Next-object action sets --------------------------------------------------------------------------


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
    assert walk.state["subject_category"] == graph.entities.index("bag")  # not dog, though surer
    assert walk.next_objects == [("person", 0), ("shoe", 2), ("Terminal", -1)]
    assert walk.env.candidate_scores[0, :3, 0] == pytest.approx([0.95, 0.75, 0.45])  # the confidence in what it bears


def test_a_subject_nobody_mined_bears_its_best_category():
    graph = street_graph()
    likely = [{"dog": 0.8, "bag": 0.75}]
    walk = Walker(graph, scene_set(graph, [image([])], [seen(graph, [DOG], likely)]))
    assert walk.state["subject_category"] == graph.entities.index("dog")


def test_the_next_object_set_keeps_the_surest_categories():
    walk = crowd_walk(7, Rules(maximum_action_set_size=3))
    assert walk.next_objects == [("thing 0", 1), ("thing 1", 2), ("thing 2", 3), ("Terminal", -1)]
    walk.step("thing 0")
    assert walk.next_objects == [("thing 1", 2), ("thing 2", 3), ("thing 3", 4), ("Terminal", -1)]


# Rewards ------------------------------------------------------------------------------------------


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
    """An object of an unknown category is no reason to reward Terminal, nor a first step without an object."""
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
    """More words than 16 bits count, as Visual Genome has with --min_occurances 1."""
    graph = make_graph([f"word {i}" for i in range(40_000)], [], [], [], [])
    record = image([("word 39999", (0, 0, 20, 20)), ("word 35000", (5, 5, 20, 20))])
    walk = Walker(graph, scene_set(graph, [record]))
    assert walk.state["subject_category"] == 39_999
    assert walk.next_objects == [("word 35000", 1), ("Terminal", -1)]
    assert walk.step("word 35000")[0][2] == 5
    assert walk.state["object_category"] == 35_000


# Many images together -----------------------------------------------------------------------------


def fleet():
    """Four images of one, two, three and four objects."""
    graph = street_graph()
    objects = street().labels.objects
    records = []
    for count in (1, 2, 3, 4):
        record = street([(0, "riding", 1)] if count > 1 else [])
        record.labels.objects = objects[:count]
        record.image_name = f"{count}.jpg"
        records.append(record)
    return graph, scene_set(graph, records)


def terminal(env):
    """Choose Terminal everywhere; the rewards and what ended."""
    none = np.full(int(env.active.sum()), -1)
    return env.step(env.states(), none, none, np.full(len(none), env.terminal))


def test_slots_go_through_their_own_queues():
    graph, scenes = fleet()
    env = SceneGraphEnvironment(scenes, graph, 3, Rules())
    env.assign([np.array([1, 0]), np.array([3]), np.array([], dtype=int)])
    rows = []
    while env.active.any():
        rows.append((np.flatnonzero(env.active).tolist(), env.states()["scene"].tolist()))
        terminal(env)
    assert rows == [([0, 1], [1, 3]), ([0, 1], [1, 3]), ([0, 1], [0, 3]), ([1], [3])]


def test_idle_slots_do_not_disturb_the_others():
    graph, scenes = fleet()
    env = SceneGraphEnvironment(scenes, graph, 2, Rules())
    env.assign([np.array([0]), np.array([2])])
    none = np.array([-1, -1])
    env.step(env.states(), none, none, np.array([env.terminal, graph.entities.index("bicycle")]))
    assert env.active.tolist() == [False, True]  # slot 0 is done with its image of one object
    alone = Walker(graph, scene_set(graph, [scenes.records[2]]))
    alone.step("bicycle")
    for name in ("entities", "instances", "entity_rewards", "attributes_right", "predicates_right"):
        assert env.states()[0][name].tolist() == alone.state[name].tolist(), name
    assert alone.step("hat")[0][2] == 5


def test_assigning_again_starts_over():
    graph, scenes = fleet()
    env = SceneGraphEnvironment(scenes, graph, 1, Rules())
    env.assign([np.array([3])])
    first = env.states()
    none = np.array([-1])
    env.step(first, np.array([0]), none, np.array([1]))
    env.assign([np.array([3])])
    assert env.states().tobytes() == first.tobytes()


def test_going_on_from_a_copy():
    graph, scenes = fleet()
    env = SceneGraphEnvironment(scenes, graph, 2, Rules())
    env.assign([np.array([0, 3]), np.array([1, 2])])
    terminal(env)
    saved = env.state_dict()
    kept = {name: array.copy() for name, array in saved.items()}
    copy = SceneGraphEnvironment(scenes, graph, 2, Rules())
    copy.load_state_dict(saved)
    while env.active.any():
        assert env.states().tobytes() == copy.states().tobytes()
        for mine, other in zip(terminal(env), terminal(copy), strict=True):
            assert mine.tolist() == other.tolist()
    assert not copy.active.any()
    assert all((kept[name] == saved[name]).all() for name in saved)  # a saved state does not move on


def test_going_back_to_an_earlier_state():
    graph, _ = fleet()
    many = image([("person", (i, i, 50, 50)) for i in range(12)], name="many.jpg")
    scenes = scene_set(graph, [street(), many])
    env = SceneGraphEnvironment(scenes, graph, 1, Rules())
    env.assign([np.array([0, 1])])
    saved, first = env.state_dict(), env.states()
    for _ in range(5):
        terminal(env)
    assert env.states()["scene"] == 1
    env.load_state_dict(saved)
    assert env.states().tobytes() == first.tobytes()


# Phrases ------------------------------------------------------------------------------------------


def test_phrase_keys_and_their_words():
    graph = street_graph()
    keys = PhraseKeys(graph)
    texts, numbers = [], []
    for s, subject in enumerate(graph.entities):
        for a, attribute in enumerate(graph.attributes):
            texts.append(f"{attribute} {subject}")
            numbers += keys.attribute(np.array([a]), np.array([s])).tolist()
        for p, predicate in enumerate(graph.predicates):
            for o, other in enumerate(graph.entities):
                texts.append(f"{subject} {predicate} {other}")
                numbers += keys.relationship(np.array([s]), np.array([p]), np.array([o])).tolist()
    assert len(set(numbers)) == len(numbers)
    assert [keys.text(number) for number in numbers] == texts
    assert keys.attribute(np.array([-1]), np.array([2])).tolist() == [-1]
