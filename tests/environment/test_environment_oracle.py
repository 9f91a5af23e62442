"""The environment against a slow second implementation (slow_episode.py) on random tiny scenes and random actions."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_episode import SlowEpisode
from small_world import image, make_graph, scene_set, seen

from action_sets import ActionSetMaker
from environment import SceneGraphEnvironment, rewards
from files.options import Rules
from scenes.records import unpacked

ENTITIES, ATTRIBUTES, PREDICATES = ["person", "dog", "hat"], ["red", "wet", "big"], ["on", "near"]

boxes = st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(1, 6)] * 2)
# unicorn is annotated, but not in the graph
objects = st.tuples(
    st.sampled_from([*ENTITIES, *ENTITIES, "unicorn"]), boxes, st.lists(st.sampled_from(ATTRIBUTES), max_size=3)
)


@st.composite
def graphs(draw):
    counts = st.integers(0, 2)
    attribute_edges = [(c, a, draw(counts)) for c in ENTITIES for a in ATTRIBUTES]
    predicate_edges = [(s, p, o, draw(counts)) for s in ENTITIES for p in PREDICATES for o in ENTITIES]
    return make_graph(
        ENTITIES,
        ATTRIBUTES,
        PREDICATES,
        [edge for edge in attribute_edges if edge[-1]],
        [edge for edge in predicate_edges if edge[-1]],
    )


@st.composite
def images(draw):
    """An image's annotations, and its instances: some on annotated boxes, some anywhere, some ambiguous."""
    annotated = draw(st.lists(objects, max_size=5))
    place = st.integers(0, max(len(annotated) - 1, 0))
    relation = st.tuples(place, st.sampled_from(PREDICATES), place)
    relations = draw(st.lists(relation, max_size=6)) if annotated else []
    where = st.one_of(boxes, st.sampled_from([box for _, box, _ in annotated])) if annotated else boxes
    instances = []
    for _ in range(draw(st.integers(0, 5))):
        # confidences in eighths: float32 holds them exactly, and there are ties
        first, *others = draw(st.lists(st.sampled_from(ENTITIES), min_size=1, max_size=3, unique=True))
        best = draw(st.integers(2, 8)) / 8
        instances.append((draw(where), {first: best} | {other: best - i / 16 for i, other in enumerate(others)}))
    return image([(name, box, *words) for name, box, words in annotated], relations), instances


rules = st.builds(
    Rules,
    maximum_objects_per_subject=st.integers(1, 5),
    maximum_steps=st.sampled_from([3, 300]),
    maximum_adaptive_action_space_size=st.integers(1, 4),
    positive_reward=st.sampled_from([1.0, 2.0]),
    next_object_reward=st.sampled_from(["new_object", "relationship"]),
)


def check_state(state, sets, slow, graph):
    """A state record and its action sets say what the slow episode says."""
    entities = graph.entities
    assert state["subject"] == slow.subject
    assert state["object"] == (-1 if slow.object is None else slow.object)
    assert entities[state["subject_category"]] == slow.category(slow.subject)
    assert state["object_category"] == (-1 if slow.object is None else entities.index(slow.category(slow.object)))

    texts = [graph.phrase(int(key)) for key in state["history"][:2] if key >= 0]
    assert texts == slow.relationship_phrases()
    texts = [graph.phrase(int(key)) for key in state["history"][2:] if key >= 0]
    assert texts == slow.attribute_phrases()

    offers = slow.next_objects()
    count, first = len(offers), len(graph.attributes) + len(graph.predicates)
    assert [entities[e] for e in state["entities"][:count]] == list(offers)
    assert state["entities"][count:].tolist() == [len(entities)] + [-1] * (len(state["entities"]) - count - 1)
    assert state["instances"][:count].tolist() == list(offers.values())
    earned = rewards(state[None], graph, slow.rules)[0]
    assert earned[first + state["entities"][: count + 1]].tolist() == [
        slow.entity_reward(name) for name in [*offers, "Terminal"]
    ]
    assert not state["entities_right"][count:].any()

    assert {graph.attributes[a] for a in np.flatnonzero(sets.attribute)} == slow.attributes()
    assert {graph.predicates[p] for p in np.flatnonzero(sets.predicate)} == slow.predicates()
    assert [*np.flatnonzero(sets.entity)] == sorted([*(entities.index(name) for name in offers), len(entities)])

    right = {ATTRIBUTES[a] for a in np.flatnonzero(unpacked(state["attributes_right"][None], 3)[0])}
    assert right == {a for a in ATTRIBUTES if slow.attribute_reward(a) > 0}
    right = {PREDICATES[p] for p in np.flatnonzero(unpacked(state["predicates_right"][None], 2)[0])}
    assert right == {p for p in PREDICATES if slow.object is not None and slow.predicate_reward(p) > 0}


@settings(max_examples=80, deadline=None)
@given(
    graph=graphs(),
    pictures=st.lists(images(), min_size=1, max_size=5),
    num_slots=st.integers(1, 3),
    rules=rules,
    factor=st.sampled_from([0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_episodes_are_what_a_slow_implementation_says(graph, pictures, num_slots, rules, factor, seed):
    """States, action sets, rewards and ends agree; several slots together are the same as one by one."""
    chance = random.Random(seed)
    records = [record for record, _ in pictures]
    for number, record in enumerate(records):
        record.image_name = str(number)
    instances = [seen(graph, [box for box, _ in found], [likely for _, likely in found]) for _, found in pictures]
    scenes = scene_set(graph, records, instances, neighbour_factor=factor)
    env = SceneGraphEnvironment(scenes, num_slots, rules)
    queues = [list(range(len(pictures)))[slot::num_slots] for slot in range(num_slots)]
    env.assign([np.array(queue, dtype=np.int64) for queue in queues])
    action_sets = ActionSetMaker(graph, rules)

    def begin(slot):
        while queues[slot]:
            number = queues[slot].pop(0)
            slow = SlowEpisode(records[number], pictures[number][1], graph, rules, factor)
            if not slow.done:
                return number, slow
        return None

    episodes = [begin(slot) for slot in range(num_slots)]
    while any(episodes):
        slots = [slot for slot in range(num_slots) if episodes[slot]]
        assert np.flatnonzero(env.active).tolist() == slots
        states = env.states()
        sets = action_sets(states)
        words, numbers = [], []
        for row, slot in enumerate(slots):
            number, slow = episodes[slot]
            assert states["scene"][row] == number
            check_state(states[row], type(sets)(*(mask[row] for mask in sets)), slow, graph)
            triple = [
                chance.choice(sorted(slow.attributes()) or [None]),
                chance.choice(sorted(slow.predicates()) or [None]),
                chance.choice([*slow.next_objects(), "Terminal"]),
            ]
            words.append(triple)
            vocabularies = (graph.attributes, graph.predicates, [*graph.entities, "Terminal"])
            numbers.append([-1 if w is None else v.index(w) for w, v in zip(triple, vocabularies, strict=True)])
        rewards, done = env.step(states, *np.array(numbers).T)
        for row, slot in enumerate(slots):
            slow = episodes[slot][1]
            assert rewards[row].tolist() == slow.step(*words[row])
            assert done[row] == slow.done
            if slow.done:
                episodes[slot] = begin(slot)
    assert not env.active.any()
