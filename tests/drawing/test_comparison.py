"""What is a hit, what is missed: a predicted scene graph beside its ground truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import graph_of, hand_worked_pair, thing

import boxes
from drawing.comparison import corners, hits_at, mark, with_missed
from evaluation import evaluate
from files.scene_graphs import predictions_from_graphs
from files.splits import ImageRecord, Labels, ObjectRecord, RelationshipRecord


@pytest.fixture
def pair() -> tuple[dict, dict]:
    return hand_worked_pair()


def statuses(graph: dict) -> dict[str, list[str]]:
    return {kind: [item["status"] for item in graph[kind]] for kind in ("objects", "attributes", "relationships")}


def test_hits_and_misses_by_hand(pair):
    marked, truth = mark(*pair)
    assert statuses(marked) == {
        "objects": ["hit", "hit", "extra"],
        "attributes": ["hit", "extra"],
        "relationships": ["hit", "extra"],
    }
    assert statuses(truth) == {
        "objects": ["found", "found", "missed"],
        "attributes": ["found", "missed"],
        "relationships": ["found", "missed"],
    }


def test_missed_items_hang_on_the_predicted_counterpart(pair):
    union = with_missed(*mark(*pair))
    assert [o["name"] for o in union["objects"]] == ["man", "horse", "hat", "tree"]
    missed = union["relationships"][-1]
    assert (missed["predicate"], missed["subject"], missed["object"]) == ("behind", 3, 0)
    assert union["attributes"][-1] == {"attribute": "green", "object": 3, "status": "missed"}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_hits_agree_with_the_evaluation(seed):
    random = np.random.default_rng(seed)

    def graph(scored: bool) -> dict:
        count = int(random.integers(1, 6))
        objects = [
            thing(
                str(random.choice(["a", "b"])), *random.integers(0, 6, 2).tolist(), *random.integers(8, 14, 2).tolist()
            )
            for _ in range(count)
        ]
        items = [
            {"predicate": str(random.choice(["on", "by"])), "subject": int(s), "object": int(o)}
            for s, o in random.integers(0, count, (6, 2))
        ]
        words = [{"attribute": str(random.choice(["x", "y"])), "object": int(o)} for o in random.integers(0, count, 4)]
        if scored:
            for item in items + words:
                item["score"] = float(random.integers(0, 4)) / 4
        return graph_of(objects, words, items)

    prediction, truth = graph(True), graph(False)
    record = ImageRecord(
        "1.jpg",
        Labels(
            1,
            [
                ObjectRecord(i, o["x"], o["y"], o["w"], o["h"], o["name"], attributes=[])
                for i, o in enumerate(truth["objects"])
            ],
            [
                RelationshipRecord(i, r["predicate"], r["subject"], r["object"])
                for i, r in enumerate(truth["relationships"])
            ],
        ),
    )
    for item in truth["attributes"]:
        record.labels.objects[item["object"]].attributes.append(item["attribute"])
    results = evaluate(predictions_from_graphs([prediction]), [record], ns=(2, 100))
    for n in (2, 100):
        assert hits_at(prediction, truth, "relationships", n) == results["relationship"]["hits"][str(n)]
        assert hits_at(prediction, truth, "attributes", n) == results["attribute"]["hits"][str(n)]


def test_boxes_match_the_annotations_convention():
    """The last pixel is x + w - 1: the corners that matching uses are those of `boxes`."""
    assert corners(graph_of([thing("man", 3, 4, 5, 6)])).tolist() == [[3, 4, 7, 9]]
    assert boxes.area(corners(graph_of([thing("man", 3, 4, 5, 6)]))).tolist() == [30]
