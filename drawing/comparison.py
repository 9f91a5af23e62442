"""Which predictions are right: one predicted scene graph held against the annotated one.

The matching is the evaluation's (`metrics.vrd.match`), reported item by item so that pictures can show it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import boxes
from files.predictions import Phrases
from files.scene_graphs import Graph
from metrics.matching import MINIMUM_OVERLAP, ranks
from metrics.vrd import match


def corners(graph: Graph) -> np.ndarray:
    """(objects, 4) inclusive corners in pixels of the graph's objects."""
    sides = [[o["x"], o["y"], o["w"], o["h"]] for o in graph["objects"]]
    return boxes.from_xywh(np.array(sides, dtype=np.float64).reshape(-1, 4))


def match_objects(prediction: Graph, truth: Graph) -> np.ndarray:
    """(predicted objects,) the annotated object of the same name with the greatest IoU >= 0.5, or -1."""
    names = np.array([o["name"] for o in prediction["objects"]], dtype=object)
    true_names = np.array([o["name"] for o in truth["objects"]], dtype=object)
    if not len(names) or not len(true_names):
        return np.full(len(names), -1)
    overlap = boxes.iou(corners(prediction)[:, None], corners(truth)[None])
    overlap = np.where(names[:, None] == true_names[None], overlap, 0.0)
    return np.where(overlap.max(axis=1) >= MINIMUM_OVERLAP, overlap.argmax(axis=1), -1)


def match_items(prediction: Graph, truth: Graph, kind: str) -> np.ndarray:
    """For each predicted item of `kind` ("relationships" or "attributes") the annotated one that it hits, or -1."""
    vocabulary: dict[str, int] = {}
    return match(_phrases(prediction, kind, vocabulary), _phrases(truth, kind, vocabulary))


def hits_at(prediction: Graph, truth: Graph, kind: str, n: int) -> int:
    """How many of the `n` most confident predictions of `kind` hit."""
    rank = ranks(_phrases(prediction, kind, {}))
    return int(((match_items(prediction, truth, kind) >= 0) & (rank < n)).sum())


def _phrases(graph: Graph, kind: str, vocabulary: dict[str, int]) -> Phrases:
    """A graph's relationships or attributes in the evaluation's form; new names are added to the vocabulary."""
    keys = ("subject", "predicate", "object") if kind == "relationships" else ("object", "attribute")
    ends = [key for key in keys if key in ("subject", "object")]
    names, place = [o["name"] for o in graph["objects"]], corners(graph)
    labels = [[names[item[key]] if key in ends else item[key] for key in keys] for item in graph[kind]]
    numbers = [vocabulary.setdefault(name, len(vocabulary)) for row in labels for name in row]
    rows = [item[end] for item in graph[kind] for end in ends]
    return Phrases(
        image=np.zeros(len(labels), dtype=np.int64),
        labels=np.array(numbers, dtype=np.int64).reshape(-1, len(keys)),
        boxes=place[np.array(rows, dtype=np.int64)].reshape(-1, len(ends), 4),
        scores=np.array([item.get("score", 1.0) for item in graph[kind]], dtype=np.float64),
    )


def mark(prediction: Graph, truth: Graph) -> tuple[Graph, Graph]:
    """Copies of both graphs whose items carry "status".

    In the prediction "hit" (annotated too) or "extra" (not annotated), in the truth "found" or
    "missed". An object also carries "match", the index of its counterpart in the other graph, where it has one.
    """
    hits = {
        "objects": match_objects(prediction, truth).tolist(),
        "attributes": match_items(prediction, truth, "attributes").tolist(),
        "relationships": match_items(prediction, truth, "relationships").tolist(),
    }
    marked, marked_truth = dict(prediction), dict(truth)
    for kind, hit in hits.items():
        found = {true: i for i, true in reversed(list(enumerate(hit))) if true >= 0}
        marked[kind] = _with_status(prediction[kind], dict(enumerate(hit)), "hit", "extra")
        marked_truth[kind] = _with_status(truth[kind], found, "found", "missed")
    return marked, marked_truth


def _with_status(items: Iterable[dict[str, Any]], match: dict[int, int], yes: str, no: str) -> list[dict[str, Any]]:
    marked = []
    for i, item in enumerate(items):
        other = match.get(i, -1)
        marked.append({**item, "status": yes, "match": other} if other >= 0 else {**item, "status": no})
    return marked


def with_missed(marked: Graph, marked_truth: Graph) -> Graph:
    """One graph of both: the marked prediction, and after it what it missed of the truth (status "missed").

    Missed relationships and attributes hang on the predicted object where the annotated one was found.
    """
    objects = list(marked["objects"])
    place: dict[int, int] = {}
    for index, item in enumerate(marked_truth["objects"]):
        if item["status"] == "found":
            place[index] = item["match"]
        else:
            place[index] = len(objects)
            objects.append(item)
    attributes = [{**a, "object": place[a["object"]]} for a in marked_truth["attributes"] if a["status"] == "missed"]
    relationships = [
        {**r, "subject": place[r["subject"]], "object": place[r["object"]]}
        for r in marked_truth["relationships"]
        if r["status"] == "missed"
    ]
    return {
        **marked,
        "objects": objects,
        "attributes": marked["attributes"] + attributes,
        "relationships": marked["relationships"] + relationships,
    }
