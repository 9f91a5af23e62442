"""What of a scene graph is drawn."""

from __future__ import annotations

import pytest
from small_graphs import graph_of, hand_worked_pair, thing

from drawing.selection import items_to_draw


@pytest.fixture
def pair() -> tuple[dict, dict]:
    return hand_worked_pair()


def chosen(objects: list[int], attributes: list[int], relationships: list[int]) -> dict[str, list[int]]:
    return {"objects": objects, "attributes": attributes, "relationships": relationships}


def test_all_is_shown_without_limits(pair):
    assert items_to_draw(pair[0]) == chosen([0, 1, 2], [0, 1], [0, 1])


def test_min_score_takes_what_hangs_on_a_weak_object_along(pair):
    assert items_to_draw(pair[0], min_score=0.65) == chosen([0, 1, 2], [0], [])
    assert items_to_draw(pair[0], min_score=0.85) == chosen([0, 2], [], [])


def test_max_relationships_keeps_the_best_and_their_objects(pair):
    prediction, _ = pair
    prediction["relationships"].append({"predicate": "under", "subject": 2, "object": 0, "score": 0.3})
    assert items_to_draw(prediction, max_relationships=1) == chosen([0, 1], [0, 1], [0])
    assert items_to_draw(prediction, max_relationships=2)["objects"] == [0, 1, 2], (
        "nothing was cut, nothing is left out"
    )


def test_max_relationships_shows_the_most_confident_of_each_pair_and_two_attributes_of_each_object(pair):
    prediction, truth = pair
    prediction["attributes"] += [{"attribute": word, "object": 0, "score": 0.1} for word in ("young", "old")]
    assert items_to_draw(prediction, max_relationships=9) == chosen([0, 1, 2], [0, 1, 2], [0])
    truth["relationships"].append({"predicate": "on", "subject": 0, "object": 1})
    assert items_to_draw(truth, max_relationships=9)["relationships"] == [0, 1, 2], "annotated: all stay"


def test_of_very_many_objects_the_connected_and_the_most_confident_are_drawn():
    graph = graph_of([thing(str(i), score=0.5 + i / 200) for i in range(80)])
    graph["relationships"] = [{"predicate": "on", "subject": 0, "object": 1}]
    assert items_to_draw(graph, max_relationships=5)["objects"] == [0, 1, *range(22, 80)]
    assert len(items_to_draw(graph)["objects"]) == 80


def test_unsure_objects_are_drawn_only_where_a_relationship_needs_them():
    graph = graph_of([thing(str(i), score=score) for i, score in enumerate((0.1, 0.1, 0.8, 0.4, 0.39))])
    graph["relationships"] = [{"predicate": "on", "subject": 0, "object": 1}]
    assert items_to_draw(graph, max_relationships=5)["objects"] == [0, 1, 2, 3]
