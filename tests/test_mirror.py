"""Learning from mirrored boxes."""

from __future__ import annotations

import numpy as np
from small_world import make_graph

from files.options import Rules
from q_learning import mirror_partners, mirrored
from replay_memory import transition_dtype
from scenes.records import state_dtype

PREDICATES = ["on", "on the left of", "on the right of", "left"]


def transitions(count: int) -> np.ndarray:
    graph = make_graph(["a", "b"], [], PREDICATES, [], [])
    out = np.zeros(count, dtype=transition_dtype(state_dtype(graph, Rules())))
    state = out["state"]
    state["object"] = 1
    state["extent"] = [10, 0, 99, 49]
    state["subject_box"] = [10, 5, 29, 24]
    state["object_box"] = [50, 5, 59, 14]
    state["predicates_right"] = np.packbits([True, True, False, False])
    out["action"] = [-1, 1, 0]
    return out


def test_left_and_right_change_places_where_both_are_known():
    assert mirror_partners(PREDICATES).tolist() == [0, 2, 1, 3], '"left" has no partner and stays'


def test_boxes_right_predicates_and_the_action_are_mirrored_in_the_chosen_rows():
    before = transitions(2)
    after = mirrored(before, np.array([False, True]), mirror_partners(PREDICATES))
    assert after[0] == before[0]
    state = after["state"][1]
    assert state["subject_box"].tolist() == [80, 5, 99, 24], "columns 10 to 29 of 10 to 99 become 80 to 99"
    assert state["object_box"].tolist() == [50, 5, 59, 14], "columns 50 to 59 lie in the middle"
    assert np.unpackbits(state["predicates_right"])[:4].tolist() == [1, 0, 1, 0]
    assert after["action"][1].tolist() == [-1, 2, 0]
    assert before["state"]["subject_box"][1].tolist() == [10, 5, 29, 24], "what is remembered stays as it is"


def test_twice_mirrored_is_as_before():
    before = transitions(3)
    chosen = np.array([True, False, True])
    partner = mirror_partners(PREDICATES)
    np.testing.assert_array_equal(mirrored(mirrored(before, chosen, partner), chosen, partner), before)


def test_no_object_and_no_predicate_stay_none():
    before = transitions(1)
    before["state"]["object"], before["state"]["object_box"], before["action"][:, 1] = -1, 0, -1
    after = mirrored(before, np.array([True]), mirror_partners(PREDICATES))
    assert after["state"]["object_box"].tolist() == [[0, 0, 0, 0]]
    assert after["action"][:, 1].tolist() == [-1]
