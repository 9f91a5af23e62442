"""The best-first walk: its order, what pays, memory and where it stops, worked out by hand."""

import numpy as np
import pytest
from small_world import image, make_graph, scene_set, seen, street_graph

from boxes import pair_context
from engine.best_first import BestFirstEnvironment, make_environment
from environment import SceneGraphEnvironment
from files.options import Rules
from scenes.records import CERTAIN

PERSON, TWIN, BICYCLE = (10, 10, 40, 100), (12, 10, 40, 100), (40, 60, 60, 60)  # the first two overlap: IoU 0.9
PERSON_BOX = {"person": 1.0}
GRAPH = make_graph(["person", "bicycle"], [], ["riding", "near"], [], [("person", "riding", "bicycle", 1)])


def begin(promised, objects, relationships=(), boxes=None, likely=None, may_stop=True, graph=GRAPH, **rules):
    """A walk over one image. promised: {(subject, object): Q}, -0.5 for the others; it may also be a function."""
    detected = [seen(graph, boxes, likely)] if boxes else None
    scenes = scene_set(graph, [image(objects, relationships)], detected, neighbour_factor=100)
    env = BestFirstEnvironment(scenes, 1, Rules(frontier="best_first", **rules))
    env.assign([np.arange(1)])
    asked = []

    def promise(candidates):
        pairs = [(int(c["subject"]), int(c["object"])) for c in candidates]
        asked.append(pairs)
        if callable(promised):
            return np.array([promised(c) for c in candidates], dtype=np.float32)
        return np.array([promised.get(pair, -0.5) for pair in pairs], dtype=np.float32)

    env.advance(promise, may_stop=may_stop)
    return env, promise, asked


def say(env, attribute=-1, predicate=-1, chances=(0.0, 0.0)):
    return env.say(env.states(), np.array([attribute]), np.array([predicate]), np.array([chances], dtype=np.float32))


def order_of(env, promise, may_stop=True):
    """Walk to the end: the pairs in their order, and the last `advance`."""
    pairs = []
    while env.active.any():
        state = env.states()[0]
        pairs.append((int(state["subject"]), int(state["object"])))
        say(env, chances=np.zeros(len(env.graph.predicates)))
        last = env.advance(promise, may_stop=may_stop)
    return pairs, last


THREE = [("person", PERSON), ("bicycle", BICYCLE), ("bicycle", (200, 0, 50, 50))]


def test_the_pair_of_the_highest_q_is_next_whatever_its_subject():
    env, promise, _ = begin({(0, 1): 0.2, (2, 0): 0.9, (1, 0): 0.4, (0, 2): 0.1}, THREE)
    pairs, last = order_of(env, promise)
    assert pairs == [(2, 0), (1, 0), (0, 1), (0, 2)]  # (1, 2) and (2, 1) promise less than nothing: Terminal
    assert [part.tolist() for part in last] == [[0], [True]]


def test_every_pair_is_looked_at_where_the_walk_may_not_stop():
    env, promise, _ = begin({(2, 0): 0.9}, THREE, may_stop=False)
    pairs, last = order_of(env, promise, may_stop=False)
    assert pairs == [(2, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 1)]  # equals in their order
    assert [part.tolist() for part in last] == [[0], [True]]


def test_one_pair_is_looked_at_even_where_nothing_is_promised():
    env, promise, _ = begin({}, THREE)
    assert order_of(env, promise)[0] == [(0, 1)]


def test_running_out_of_steps_is_no_end_what_is_left_keeps_its_value():
    env, promise, _ = begin({(0, 1): 0.5, (1, 0): 0.25}, THREE, maximum_steps=1)
    pairs, last = order_of(env, promise)
    assert pairs == [(0, 1)]
    assert [part.tolist() for part in last] == [[0.25], [True]]


def test_an_image_with_nothing_to_look_at_is_passed_over():
    scenes = scene_set(GRAPH, [image([("person", PERSON)]), image(THREE)], neighbour_factor=100)
    env = BestFirstEnvironment(scenes, 1, Rules(frontier="best_first"))
    env.assign([np.arange(2)])
    env.advance(lambda candidates: np.zeros(len(candidates), np.float32))
    assert env.states()["scene"].tolist() == [1]


def test_an_annotation_pays_once_though_two_boxes_lie_on_the_person():
    """Looking pays 1 less the cost of 0.25 where something new is annotated."""
    boxes = [PERSON, TWIN, BICYCLE]
    detected = {"boxes": boxes, "likely": [{"person": 0.9}, {"person": 0.8}, {"bicycle": 0.5}]}
    annotated = [("person", PERSON), ("bicycle", BICYCLE)], [(0, "riding", 1)]
    for new_only, second in ((True, [0, -1, -0.25]), (False, [0, 1, 0.75])):
        env, promise, asked = begin(
            {(0, 2): 0.9, (1, 2): 0.8}, *annotated, **detected, step_cost=0.25, new_phrases_only=new_only
        )
        assert env.states()["certainty"][0] == pytest.approx(0.45)
        assert say(env, predicate=1, chances=[0.5, 0.25]).tolist() == [[0, -1, 0.75]]  # near is wrong; riding was there
        env.advance(promise)
        state = env.states()[0]
        assert (state["subject"], state["object"]) == (1, 2)
        assert state["repeats"].tolist() == [0.75, 1, 0, 0]
        assert state["memory"][0].tolist() == [round(CERTAIN * 0.5), round(CERTAIN * 0.25)]
        assert state["memory"][4:].tolist() == [[0, 0], state["memory"][0].tolist()]  # of the bicycle: as object
        assert say(env, predicate=0).tolist() == [second]
        # only what repeats, or is exchanged with, the pair looked at was judged a second time
        assert asked == [[(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)], [(1, 2), (2, 0)]]


def test_two_annotations_of_one_triplet_pay_twice():
    """Annotators drew the person twice, and said both times that they ride: two looks, two rewards."""
    objects = [("person", PERSON), ("person", TWIN), ("bicycle", BICYCLE)]
    env, promise, _ = begin(
        {(0, 2): 0.9, (1, 2): 0.8}, objects, [(0, "riding", 2), (1, "riding", 2)], new_phrases_only=True, step_cost=0.0
    )
    for _ in range(2):
        assert say(env, predicate=0).tolist() == [[0, 1, 1]]
        env.advance(promise)


def test_what_was_said_of_the_exchanged_pair_is_remembered():
    env, promise, _ = begin({(0, 1): 0.9, (1, 0): 0.8}, THREE)
    say(env, predicate=0, chances=[0.2, 0.4])
    env.advance(promise)
    state = env.states()[0]
    assert (state["subject"], state["object"]) == (1, 0)
    assert state["repeats"].tolist() == pytest.approx([0, 0, 0.6, 1])
    said = [51, 102]
    assert state["memory"].tolist() == [[0, 0], said, [0, 0], said, said, [0, 0]]
    assert [GRAPH.phrase(int(key)) for key in state["history"][:2]] == ["person riding bicycle"] * 2


def test_a_pair_that_repeats_is_judged_again_and_loses_its_place():
    boxes = [PERSON, TWIN, BICYCLE]

    def promised(candidate):
        promises = {(0, 2): 0.9, (1, 2): 0.8, (2, 0): 0.3}
        q = promises.get((int(candidate["subject"]), int(candidate["object"])), -1)
        return q - 0.7 * candidate["repeats"][1]  # likely said already

    detected = {"boxes": boxes, "likely": [PERSON_BOX, PERSON_BOX, {"bicycle": 1.0}]}
    env, promise, _ = begin(promised, [("person", PERSON)], **detected)
    assert order_of(env, promise)[0] == [(0, 2), (2, 0), (1, 2)]


def test_attributes_are_asked_for_where_an_object_is_looked_at_by_itself():
    graph = street_graph()
    objects = [("person", PERSON, "young", "wet"), ("bicycle", BICYCLE, "red")]
    env, promise, asked = begin(
        {(0, -1): 0.9, (0, 1): 0.8}, objects, [(0, "riding", 1)], graph=graph, step_cost=0.5, new_phrases_only=True
    )
    assert asked == [[(0, -1), (0, 1), (1, -1), (1, 0)]]
    young, wet = (graph.attributes.index(word) for word in ("young", "wet"))
    zeros = np.zeros(len(graph.predicates))
    assert say(env, attribute=young, chances=zeros).tolist() == [[1, 0, 0.5]]
    env.advance(promise)
    state = env.states()
    assert (state["subject"][0], state["object"][0]) == (0, 1)
    assert not state["attributes_right"].any()
    assert wet >= 0


def test_exploration_takes_any_pair_of_the_frontier():
    for number, expected in ((0.0, (0, 1)), (0.99, (2, 1)), (0.4, (1, 0))):
        scenes = scene_set(GRAPH, [image(THREE)], neighbour_factor=100)
        env = BestFirstEnvironment(scenes, 1, Rules(frontier="best_first"))
        env.assign([np.arange(1)])
        promise = lambda candidates: np.arange(len(candidates), dtype=np.float32)  # noqa: E731
        env.advance(promise, epsilon=0.3, uniform=np.array([[0.2, number]]))
        state = env.states()[0]
        assert (int(state["subject"]), int(state["object"])) == expected


def test_near_pairs_only():
    """The frontier holds neighbours: N(s) of section 3.2, however near that is."""
    scenes = scene_set(GRAPH, [image(THREE)], neighbour_factor=0.5)
    env = BestFirstEnvironment(scenes, 1, Rules(frontier="best_first"))
    env.assign([np.arange(1)])
    promise = lambda candidates: np.ones(len(candidates), np.float32)  # noqa: E731
    env.advance(promise)
    assert order_of(env, promise)[0] == [(0, 1), (1, 0)]


def test_the_environment_of_each_frontier():
    scenes = scene_set(GRAPH, [image(THREE)])
    assert type(make_environment(scenes, 1, Rules())) is SceneGraphEnvironment
    assert type(make_environment(scenes, 1, Rules(frontier="best_first"))) is BestFirstEnvironment


def test_the_context_of_pairs_is_that_of_pair_context():
    """Worked out from one table of an image's boxes, not box by box."""
    rng = np.random.default_rng(0)
    objects = [(GRAPH.entities[rng.integers(2)], rng.integers(1, 90, 4).tolist()) for _ in range(7)]
    scenes = scene_set(GRAPH, [image(objects)], neighbour_factor=100)
    env = BestFirstEnvironment(scenes, 1, Rules(frontier="best_first"))
    env.assign([np.arange(1)])
    seen_context = []

    def promise(candidates):
        seen_context.append(candidates)
        return np.zeros(len(candidates), np.float32)

    env.advance(promise)
    candidates = seen_context[0]
    scene = scenes[0]
    boxes, category = (np.repeat(part[None], len(candidates), axis=0) for part in (scene.boxes, scene.candidates[:, 0]))
    ends = candidates["subject"].astype(int), candidates["object"].astype(int)
    assert np.allclose(candidates["context"], pair_context(boxes, category, *ends), atol=1e-6)
