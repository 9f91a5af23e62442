"""The best-first walk against a slow second implementation (slow_episode.py), on random tiny scenes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_episode import SlowBestFirst
from small_world import scene_set, seen
from test_environment_oracle import ATTRIBUTES, PREDICATES, graphs, images

from engine.best_first import BestFirstEnvironment
from files.options import Rules
from scenes.records import CERTAIN, unpacked

rules = st.builds(
    Rules,
    frontier=st.just("best_first"),
    maximum_steps=st.sampled_from([3, 300]),
    positive_reward=st.sampled_from([1.0, 2.0]),
    step_cost=st.sampled_from([0.0, 0.25]),
    new_phrases_only=st.booleans(),
)


def promise_of(seed, scene, s, o, repeats):
    """Some Q for a candidate, with ties, and less for what repeats: eighths, which float32 holds exactly."""
    number = (seed * 31 + scene * 17 + s * 7 + (o + 1) * 5) % 11 - 4
    return (number - 2 * repeats[1] - repeats[3]) / 8 - min(repeats[0], 1) / 16


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    graph=graphs(),
    pictures=st.lists(images(), min_size=1, max_size=5),
    num_slots=st.integers(1, 3),
    rules=rules,
    factor=st.sampled_from([0.5, 100.0]),
    may_stop=st.booleans(),
    least=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_best_first_episodes_are_what_a_slow_implementation_says(
    graph, pictures, num_slots, rules, factor, may_stop, least, seed
):
    """Order, stops, memory, what pays and rewards agree; several slots together are the same as one by one."""
    records = [record for record, _ in pictures]
    for number, record in enumerate(records):
        record.image_name = str(number)
    instances = [seen(graph, [box for box, _ in found], [likely for _, likely in found]) for _, found in pictures]
    env = BestFirstEnvironment(scene_set(graph, records, instances, neighbour_factor=factor), num_slots, rules)
    queues = [list(range(len(pictures)))[slot::num_slots] for slot in range(num_slots)]
    env.assign([np.array(queue, dtype=np.int64) for queue in queues])

    def promise(candidates):
        return np.array(
            [
                promise_of(seed, int(c["scene"]), int(c["subject"]), int(c["object"]), c["repeats"].tolist())
                for c in candidates
            ],
            dtype=np.float32,
        )

    def begin(slot):
        while queues[slot]:
            number = queues[slot].pop(0)

            def q(s, o, repeats, number=number):
                return promise_of(seed, number, s, -1 if o is None else o, repeats)

            slow = SlowBestFirst(records[number], pictures[number][1], graph, rules, q, factor)
            if slow.frontier:
                slow.look(slow.next_pair(may_stop, least))
                return number, slow
        return None

    chance = np.random.default_rng(seed)
    episodes = [begin(slot) for slot in range(num_slots)]
    env.advance(promise, may_stop=may_stop, least=least)
    while any(episodes):
        slots = [slot for slot in range(num_slots) if episodes[slot]]
        assert np.flatnonzero(env.active).tolist() == slots
        states = env.states()
        chances = chance.integers(0, 2, (len(slots), len(PREDICATES))) * 0.25
        attribute, predicate = np.full(len(slots), -1), np.full(len(slots), -1)
        for row, slot in enumerate(slots):
            number, slow = episodes[slot]
            state = states[row]
            s, o = slow.looked[-1]
            assert (state["scene"], state["subject"], state["object"]) == (number, s, -1 if o is None else o)
            assert state["repeats"].tolist() == slow.repeats(s, o)
            assert state["memory"].tolist() == [[round(CERTAIN * c) for c in part] for part in slow.memory()]
            right = {PREDICATES[p] for p in np.flatnonzero(unpacked(state["predicates_right"][None], 2)[0])}
            assert right == set(slow.right_relations().values())
            right = {ATTRIBUTES[a] for a in np.flatnonzero(unpacked(state["attributes_right"][None], 3)[0])}
            assert right == set(slow.right_marks().values())
            certainty = slow.confidence[s] * (1 if o is None else slow.confidence[o])
            assert abs(state["certainty"] - certainty) < 1e-6
            if o is None:
                attribute[row] = chance.integers(len(ATTRIBUTES))
            else:
                predicate[row] = chance.integers(len(PREDICATES))
        rewards = env.say(states, attribute, predicate, chances)
        for row, slot in enumerate(slots):
            said = [
                None if n < 0 else words[n] for n, words in ((attribute[row], ATTRIBUTES), (predicate[row], PREDICATES))
            ]
            assert rewards[row].tolist() == episodes[slot][1].say(*said, chances[row].tolist())
        following, done = env.advance(promise, may_stop=may_stop, least=least)
        for row, slot in enumerate(slots):
            slow = episodes[slot][1]
            assert following[row] == slow.best_left()
            pair = slow.next_pair(may_stop, least)
            assert done[row] == (pair is None)
            if pair is None:
                episodes[slot] = begin(slot)
            else:
                slow.look(pair)
    assert not env.active.any()
