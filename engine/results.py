"""What a walk found, in the forms others read: arrays to score, scene graphs to draw, predictions by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.walk import Findings
from evaluation import ground_truth_arrays, task_counts, task_figures
from files.predictions import Phrases, PhrasesOfImages
from files.scene_graphs import Graph, graph_from_record
from metrics.figures import Counts
from scenes.scene import SceneSet

DECIMALS = 3  # of a pixel, in boxes that are written; scores are those of the written boxes


def score(
    found: Findings,
    scenes: SceneSet,
    images: Sequence[int],
    seen: set[tuple[str, ...]] | None = None,
    protocol: str = "vrd",
    ns: Sequence[int] | None = None,
    resamples: int = 0,
) -> dict[str, Any]:
    """Figures of a walk over `images` by a protocol, as `evaluation.task_figures` (VRD's or scene graph generation's).

    seen: `train_triplets` of the training split; adds zero-shot. ns: how many predictions of an image count. resamples:
    of the images, for 95 % intervals; 0: none.
    """
    counts, vocabulary = counts_of(found, scenes, images, seen, protocol, ns)
    return task_figures(counts, vocabulary, resamples)


def counts_of(
    found: Findings,
    scenes: SceneSet,
    images: Sequence[int],
    seen: set[tuple[str, ...]] | None = None,
    protocol: str = "vrd",
    ns: Sequence[int] | None = None,
) -> tuple[dict[str, Counts], dict[str, int]]:
    """As `score`, before it is summed up: what can be compared image by image; and the numbers of the words."""
    records = (scenes.records[int(image)] for image in images)
    truth = ground_truth_arrays(records, seen, scenes.graph.predicates if protocol == "sgg" else ())
    predicted = _phrases(found, scenes, images, truth.vocabulary)
    return task_counts(predicted, truth, protocol, ns), truth.vocabulary


def _phrases(found: Findings, scenes: SceneSet, images: Sequence[int], vocabulary: dict[str, int]) -> PhrasesOfImages:
    """A walk's findings with the labels numbered by `vocabulary` and the images by their place in `images`."""

    def numbers(names: list[str]) -> np.ndarray:
        return np.array([vocabulary.setdefault(name, len(vocabulary)) for name in names], dtype=np.int64)

    graph = scenes.graph
    entities, predicates, attributes = map(numbers, (graph.entities, graph.predicates, graph.attributes))
    place = np.full(len(scenes), -1, dtype=np.int64)
    place[np.asarray(images, dtype=np.int64)] = np.arange(len(images))
    r, a = found.relationships, found.attributes
    none = PhrasesOfImages(_no_phrases(3, 2), _no_phrases(2, 1))
    relationships = none.relationships
    if r:
        labels = [entities[r["subject_category"]], predicates[r["predicate"]], entities[r["object_category"]]]
        boxes = [found_boxes(scenes, r["scene"], r[end]) for end in ("subject", "object")]
        relationships = Phrases(place[r["scene"]], np.stack(labels, 1), np.stack(boxes, 1), r["score"])
    attributes_found = none.attributes
    if a:
        labels = np.stack([entities[a["subject_category"]], attributes[a["attribute"]]], axis=1)
        boxes = found_boxes(scenes, a["scene"], a["subject"])[:, None]
        attributes_found = Phrases(place[a["scene"]], labels, boxes, a["score"])
    return PhrasesOfImages(relationships, attributes_found)


def _no_phrases(labels: int, boxes: int) -> Phrases:
    return Phrases(np.zeros(0, np.int64), np.zeros((0, labels), np.int64), np.zeros((0, boxes, 4)), np.zeros(0))


def found_boxes(scenes: SceneSet, scene: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """(n,) scene and instance numbers, scenes in runs -> (n, 4) float64 inclusive corners, as they are written."""
    starts = np.flatnonzero(np.diff(scene, prepend=-1))
    parts = [
        scenes[int(scene[start])].boxes[rows]
        for start, rows in zip(starts, np.split(instance, starts)[1:], strict=True)
    ]
    return np.round(np.concatenate(parts).astype(np.float64), DECIMALS) if parts else np.zeros((0, 4))


def graphs(
    found: Findings, scenes: SceneSet, images: Sequence[int], own_words: bool = False
) -> tuple[list[Graph], list[Graph]]:
    """(ground truth, predicted) scene graphs of `images`, with scores and the walk's steps on what is predicted.

    An object appears once for each category under which the walk met it. own_words: names are the detector's,
    with the agent's word beside them where that is another (see `DetectedInstances.labels`).
    """
    relationships, attributes, steps = (_rows_by_scene(part) for part in found)
    truth = [graph_from_record(scenes.records[int(image)]) for image in images]
    predicted = []
    for image in map(int, images):
        parts = (relationships.get(image), attributes.get(image), steps.get(image))
        predicted.append(_graph(scenes, image, *parts, scenes.labels(image) if own_words else None))
    return truth, predicted


def _rows_by_scene(found: dict[str, np.ndarray]) -> dict[int, dict[str, list]]:
    if not found or not len(found["scene"]):
        return {}
    order = np.argsort(found["scene"], kind="stable")
    scene, starts = np.unique(found["scene"][order], return_index=True)
    parts = {key: np.split(values[order], starts[1:]) for key, values in found.items()}
    return {int(s): {key: parts[key][i].tolist() for key in parts} for i, s in enumerate(scene)}


def _graph(
    scenes: SceneSet,
    image: int,
    relationships: dict[str, list] | None,
    attributes: dict[str, list] | None,
    steps: dict[str, list] | None,
    labels: list[list[dict[str, Any]]] | None,
) -> Graph:
    instances, graph = scenes[image], scenes.graph
    objects: list[dict[str, Any]] = []
    index: dict[tuple[int, int], int] = {}

    def node(instance: int, category: int) -> int:
        key = (instance, category)
        if key not in index:
            index[key] = len(objects)
            x1, y1, x2, y2 = (_plain(value) for value in instances.boxes[instance].tolist())
            place = instances.candidates[instance].tolist().index(category)
            objects.append(
                {
                    **(labels[instance][place] if labels else {"name": graph.entities[category]}),
                    "x": x1,
                    "y": y1,
                    "w": _plain(x2 - x1 + 1),
                    "h": _plain(y2 - y1 + 1),
                    "score": round(float(instances.candidate_scores[instance, place]), 6),
                }
            )
        return index[key]

    out: Graph = {"image_name": scenes.records[image].image_name, "objects": objects}
    settled: dict[int, int] = {}  # the category that an instance has at the end
    if steps:
        settled.update(zip(steps["subject"], steps["subject_category"], strict=True))
        settled.update((o, c) for o, c in zip(steps["object"], steps["object_category"], strict=True) if o >= 0)
    for instance in range(len(instances.boxes)):  # also what the walk never came to
        node(instance, settled.get(instance, int(instances.candidates[instance, 0])))
    out["attributes"] = [
        {"attribute": graph.attributes[a], "object": node(s, c), "score": round(v, 6), "step": step}
        for a, s, c, v, step in _columns(attributes, "attribute", "subject", "subject_category", "score", "step")
    ]
    out["relationships"] = [
        {
            "predicate": graph.predicates[p],
            "subject": node(s, sc),
            "object": node(o, oc),
            "score": round(v, 6),
            "step": step,
        }
        for p, s, sc, o, oc, v, step in _columns(
            relationships, "predicate", "subject", "subject_category", "object", "object_category", "score", "step"
        )
    ]
    out["steps"] = [
        [node(s, sc), node(o, oc) if o >= 0 else -1]
        for s, sc, o, oc in _columns(steps, "subject", "subject_category", "object", "object_category")
    ]
    return out


def _columns(part: dict[str, list] | None, *names: str) -> zip | tuple:
    return zip(*(part[name] for name in names), strict=True) if part else ()


def _plain(value: float) -> int | float:
    return int(value) if float(value).is_integer() else round(value, DECIMALS)
