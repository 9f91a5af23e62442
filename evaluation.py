"""Scoring of predicted relationships and attributes: recall@N by VRD's protocol.

    python evaluation.py --predictions predictions.json --ground_truth data/data_samples/test_data.json

The protocol is that of Lu et al., "Visual Relationship Detection with Language Priors" (ECCV 2016),
as their published evaluation code has it:

- Of each image the N most confident predictions count; equal scores keep the order of the file.
- In order of confidence a prediction is matched to the not-yet-matched ground-truth phrase of the same
  labels with the greatest overlap (ties: the first annotated), and is a hit when that overlap is at least 0.5.
- Relationship: overlap = min(IoU of the subjects, IoU of the objects). Phrase: IoU of the two union boxes.
  Attribute: labels (entity, attribute), overlap = IoU of the one box.
- Recall = all hits / all ground-truth phrases of the set. A phrase annotated twice counts twice, an image
  with no annotation counts nothing.
- Zero-shot: the same predictions, ground truth restricted to phrases that the training split never has.
- Mean recall: that same recall for each predicate (or attribute) that the ground truth has, averaged.
- Boxes are inclusive pixels: width = x2 - x1 + 1.

One difference from the published code: it counts an image with one or two annotated triplets as three (it takes
MATLAB's `length` of an n x 3 matrix), which makes the totals too large; here every phrase counts once.

`evaluate_arrays` is the fast core on label numbers; `evaluate` is the same on names.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

import boxes as box
from data.splits import ImageRecord, Split
from formats import InputError, decode_json, read_json, reports_input_errors, write_json

MINIMUM_OVERLAP = 0.5


# ---------------------------------------------------------------- the core, on arrays


@dataclass
class Phrases:
    """Relationships or attributes of a set of images, as n rows of flat arrays.

    image: (n,) int, which image. labels: (n, 3) int (subject, predicate, object) or (n, 2) int (entity, attribute).
    boxes: (n, 2, 4) float, subject and object, or (n, 1, 4), inclusive corners. scores: (n,) float; unused in truth.
    """

    image: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows: np.ndarray) -> Phrases:
        scores = None if self.scores is None else self.scores[rows]
        return Phrases(self.image[rows], self.labels[rows], self.boxes[rows], scores)


class Scenes(NamedTuple):
    """All relationships and all attributes of a set of images."""

    relationships: Phrases
    attributes: Phrases


def instance_overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, B, 4), (n, B, 4) -> (n,): the smallest IoU among the B corresponding boxes."""
    return box.iou(a, b).min(axis=1)


def union_overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, 2, 4), (n, 2, 4) -> (n,): IoU of the boxes around both."""
    return box.iou(box.union_box(a[:, 0], a[:, 1]), box.union_box(b[:, 0], b[:, 1]))


def ranks(predicted: Phrases) -> np.ndarray:
    """(n,) int: place of each prediction in its image by falling score, from 0; equal scores keep their order."""
    order = np.lexsort((-predicted.scores, predicted.image))  # stable
    images = predicted.image[order]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(images, images)
    return rank


def match(
    predicted: Phrases,
    truth: Phrases,
    overlap: Callable[[np.ndarray, np.ndarray], np.ndarray] = instance_overlap,
) -> np.ndarray:
    """Match predictions to ground truth image by image, the most confident first (see the head of this file).

    Returns (n,) int: the row of `truth` that each prediction hits, -1 for none. Greedy matching looks only
    backwards, so what the first N predictions of an image hit does not depend on the rest of them.
    """
    pair_p, pair_t = _pairs_of_equal_labels(predicted, truth)
    overlaps = overlap(predicted.boxes[pair_p], truth.boxes[pair_t])
    passing = overlaps >= MINIMUM_OVERLAP
    pair_p, pair_t, overlaps = pair_p[passing], pair_t[passing], overlaps[passing]
    # Only what has equal labels and overlaps enough is left: few enough to walk through one by one.
    order = np.lexsort((pair_t, -overlaps, ranks(predicted)[pair_p]))
    hit = [-1] * len(predicted)
    taken = [False] * len(truth)
    for p, t in zip(pair_p[order].tolist(), pair_t[order].tolist(), strict=True):
        if hit[p] < 0 and not taken[t]:
            hit[p] = t
            taken[t] = True
    return np.array(hit, dtype=np.int64)


def _pairs_of_equal_labels(predicted: Phrases, truth: Phrases) -> tuple[np.ndarray, np.ndarray]:
    """All (prediction, truth) rows of the same image with the same labels, as two (m,) int arrays."""
    rows = np.concatenate([np.column_stack([x.image, x.labels]) for x in (predicted, truth)])
    key = np.zeros(len(rows), dtype=np.int64)  # one number for each distinct row, column by column: no overflow
    for column in rows.T:
        _, column = np.unique(column, return_inverse=True)
        _, key = np.unique(key * (column.max(initial=0) + 1) + column, return_inverse=True)
    p_key, t_key = key[: len(predicted)], key[len(predicted) :]
    by_key = np.argsort(t_key, kind="stable")
    first = np.searchsorted(t_key[by_key], p_key, side="left")
    count = np.searchsorted(t_key[by_key], p_key, side="right") - first
    pair_p = np.repeat(np.arange(len(predicted)), count)
    within = np.arange(len(pair_p)) - np.repeat(np.cumsum(count) - count, count)
    return pair_p, by_key[np.repeat(first, count) + within]


def recall_at(
    predicted: Phrases,
    truth: Phrases,
    overlap: Callable[[np.ndarray, np.ndarray], np.ndarray] = instance_overlap,
    ns: Sequence[int] = (50, 100),
) -> dict[str, Any]:
    """Hits, recall, mean recall and precision (all per cent, None when there is nothing to divide by) at each N.

    Returns {"total": int, "hits": {"50": int, …}, "recall": {…}, "mean_recall": {…}, "precision": {…}}.
    """
    rank = ranks(predicted)
    kept = rank < max(ns)
    predicted, rank = predicted[kept], rank[kept]
    hit = match(predicted, truth, overlap)
    # Labels are (subject, predicate, object) or (entity, attribute): column 1 is what mean recall averages over.
    totals = np.bincount(truth.labels[:, 1])
    result: dict[str, Any] = {"total": len(truth), "hits": {}, "recall": {}, "mean_recall": {}, "precision": {}}
    for n in ns:
        rows = hit[(rank < n) & (hit >= 0)]
        found = np.bincount(truth.labels[rows, 1], minlength=len(totals))
        recalls = found[totals > 0] / totals[totals > 0]
        result["hits"][str(n)] = len(rows)
        result["recall"][str(n)] = _per_cent(len(rows), len(truth))
        result["mean_recall"][str(n)] = _per_cent(float(recalls.sum()), len(recalls))
        result["precision"][str(n)] = _per_cent(len(rows), int((rank < n).sum()))
    return result


def _per_cent(part: float, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def evaluate_arrays(
    predicted: Scenes,
    truth: Scenes,
    unseen: tuple[np.ndarray, np.ndarray] | None = None,
    ns: Sequence[int] = (50, 100),
) -> dict[str, dict[str, Any]]:
    """Every task, on label numbers that mean the same in both: {"relationship": {…}, "phrase": {…}, "attribute": {…}},
    each as `recall_at` gives it.

    unseen: (relationships,) and (attributes,) bool, which rows of the ground truth never occur in training;
    adds "zero_shot_relationship", "zero_shot_phrase" and "zero_shot_attribute", which have no precision.
    """
    tasks = {
        "relationship": (predicted.relationships, truth.relationships, instance_overlap, 0),
        "phrase": (predicted.relationships, truth.relationships, union_overlap, 0),
        "attribute": (predicted.attributes, truth.attributes, instance_overlap, 1),
    }
    results = {name: recall_at(p, t, overlap, ns) for name, (p, t, overlap, _) in tasks.items()}
    if unseen is not None:
        for name, (p, t, overlap, kind) in tasks.items():
            result = recall_at(p, t[unseen[kind]], overlap, ns)
            del result["precision"]  # most predictions are not meant to be zero-shot
            results[f"zero_shot_{name}"] = result
    return results


# ---------------------------------------------------------------- the same, on names

Box = tuple[float, float, float, float]


class PredictedRelationship(msgspec.Struct, gc=False):
    """One predicted triplet: names, boxes as inclusive corners (x1, y1, x2, y2), a confidence."""

    subject: str
    predicate: str
    object: str
    subject_box: Box
    object_box: Box
    score: float


class PredictedAttribute(msgspec.Struct, gc=False):
    """One predicted attribute of the entity in a box."""

    entity: str
    attribute: str
    box: Box
    score: float


class ImagePredictions(msgspec.Struct):
    """What is predicted for one image."""

    relationships: list[PredictedRelationship] = []
    attributes: list[PredictedAttribute] = []


def read_predictions(path: str | Path) -> dict[str, ImagePredictions]:
    """Read predictions.json: `{image_name: {"relationships": […], "attributes": […]}}`.

    Raises InputError naming the file, the image and the item.
    """
    images = read_json(path, dict[str, msgspec.Raw], "write it with main.py --test, or see the layout in the README")
    return {name: decode_json(raw, f"{path}: image {name!r}", ImagePredictions) for name, raw in images.items()}


def train_triplets(records: Iterable[ImageRecord]) -> set[tuple[str, ...]]:
    """What a training split has: every (subject, predicate, object) and every (entity, attribute), as names."""
    seen: set[tuple[str, ...]] = set()
    for record in records:
        names = {thing.object_id: thing.name for thing in record.labels.objects}
        seen.update((thing.name, attribute) for thing in record.labels.objects for attribute in thing.attributes)
        for edge in record.labels.relationships:
            seen.add((names[edge.subject_id], edge.predicate, names[edge.object_id]))
    return seen


def evaluate(
    predictions: Mapping[str, Any],
    ground_truth: Iterable[ImageRecord],
    train_triplets: Collection[tuple[str, ...]] | None = None,
    ns: Sequence[int] = (50, 100),
) -> dict[str, Any]:
    """Score predictions by name (plain dicts in predictions.json's layout, or `read_predictions`' result).

    ground_truth: records of a split. train_triplets: see the function of that name; adds the zero-shot tasks.
    Returns `evaluate_arrays`' tasks, and before them "images", "images_without_predictions" (their ground truth
    is missed) and "unknown_images" (names that the ground truth does not have; what is predicted there is not counted).
    Raises InputError when a prediction is malformed or no predicted image is in the ground truth.
    """
    vocabulary: dict[str, int] = {}
    images, truth, names = _truth_scenes(ground_truth, vocabulary)
    unknown = [name for name in predictions if name not in images]
    if predictions and len(unknown) == len(predictions):
        raise InputError(
            f"predictions: none of the {len(unknown)} images ({unknown[0]!r}, …) is in the ground truth; "
            "give the split that they were made for"
        )
    predicted = _predicted_scenes(predictions, images, vocabulary)
    unseen = None
    if train_triplets is not None:
        unseen = tuple(np.array([name not in train_triplets for name in part], dtype=bool) for part in names)
    counts = {
        "images": len(images),
        "images_without_predictions": len(images) - (len(predictions) - len(unknown)),
        "unknown_images": unknown,
    }
    return counts | evaluate_arrays(predicted, truth, unseen, ns)


class _Columns:
    """Rows of names and boxes, gathered for one `Phrases`."""

    def __init__(self, labels: int, boxes: int) -> None:
        self.widths = labels, boxes
        self.image: list[int] = []
        self.names: list[tuple[str, ...]] = []
        self.boxes: list[tuple[Box, ...]] = []
        self.scores: list[float] = []

    def add(self, image: int, names: tuple[str, ...], boxes: tuple[Box, ...], score: float = 0.0) -> None:
        self.image.append(image)
        self.names.append(names)
        self.boxes.append(boxes)
        self.scores.append(score)

    def phrases(self, vocabulary: dict[str, int]) -> Phrases:
        """Number the names (new ones are added to the vocabulary) and make arrays."""
        labels, boxes = self.widths
        numbers = [vocabulary.setdefault(name, len(vocabulary)) for names in self.names for name in names]
        return Phrases(
            np.array(self.image, dtype=np.int64),
            np.array(numbers, dtype=np.int64).reshape(-1, labels),
            np.array(self.boxes, dtype=np.float64).reshape(-1, boxes, 4),
            np.array(self.scores, dtype=np.float64),
        )


def _truth_scenes(
    records: Iterable[ImageRecord], vocabulary: dict[str, int]
) -> tuple[dict[str, int], Scenes, tuple[list[tuple[str, ...]], list[tuple[str, ...]]]]:
    """Ground truth as arrays. Returns ({image name: number}, scenes, names of each row of the two parts)."""
    images: dict[str, int] = {}
    relationships, attributes = _Columns(3, 2), _Columns(2, 1)
    for record in records:
        if record.image_name in images:
            raise InputError(f"ground truth: image {record.image_name!r} is there twice; keep one of them")
        image = images[record.image_name] = len(images)
        names = {thing.object_id: thing.name for thing in record.labels.objects}
        corners = {thing.object_id: _corners(thing) for thing in record.labels.objects}
        for thing in record.labels.objects:
            for attribute in thing.attributes:
                attributes.add(image, (thing.name, attribute), (corners[thing.object_id],))
        for edge in record.labels.relationships:
            labels = names[edge.subject_id], edge.predicate, names[edge.object_id]
            relationships.add(image, labels, (corners[edge.subject_id], corners[edge.object_id]))
    scenes = Scenes(relationships.phrases(vocabulary), attributes.phrases(vocabulary))
    return images, scenes, (relationships.names, attributes.names)


def _corners(thing: Any) -> Box:
    return thing.x, thing.y, thing.x + thing.w - 1, thing.y + thing.h - 1


def _predicted_scenes(predictions: Mapping[str, Any], images: Mapping[str, int], vocabulary: dict[str, int]) -> Scenes:
    relationships, attributes = _Columns(3, 2), _Columns(2, 1)
    for name, found in predictions.items():
        if name not in images:
            continue
        try:
            found = msgspec.convert(found, ImagePredictions)
        except msgspec.ValidationError as error:
            raise InputError(f"predictions: image {name!r} has the wrong shape: {error}") from None
        image = images[name]
        for r in found.relationships:
            relationships.add(image, (r.subject, r.predicate, r.object), (r.subject_box, r.object_box), r.score)
        for a in found.attributes:
            attributes.add(image, (a.entity, a.attribute), (a.box,), a.score)
    scenes = Scenes(relationships.phrases(vocabulary), attributes.phrases(vocabulary))
    image_names = list(images)
    for kind, phrases in zip(Scenes._fields, scenes, strict=True):
        _check_numbers(kind, phrases, image_names)
    return scenes


def _check_numbers(kind: str, phrases: Phrases, image_names: list[str]) -> None:
    """Raises InputError for a score or box that is no number, or a box with no pixel."""
    finite = np.isfinite(phrases.boxes).all(axis=(1, 2)) & np.isfinite(phrases.scores)
    sides = phrases.boxes[..., 2:] - phrases.boxes[..., :2] + 1
    for good, trouble in (
        (finite, "a score or box that is no finite number"),
        ((sides > 0).all(axis=(1, 2)), "a box with no pixel (x2 < x1 or y2 < y1)"),
    ):
        if not good.all():
            row = int(np.argmin(good))
            item = row - int(np.argmax(phrases.image == phrases.image[row]))  # an image's rows stand together
            raise InputError(
                f"predictions: image {image_names[phrases.image[row]]!r}, {kind}[{item}] has {trouble}; "
                "boxes are [x1, y1, x2, y2] in pixels, both corners inside"
            )


# ---------------------------------------------------------------- the script


def format_table(results: Mapping[str, Any]) -> str:
    """The tasks of `evaluate` or `evaluate_arrays` as a text table, one row a task that has ground truth."""
    tasks = {name: result for name, result in results.items() if isinstance(result, dict) and result["total"]}
    if not tasks:
        return "The ground truth has no relationship and no attribute: nothing to score."
    ns = list(next(iter(tasks.values()))["hits"])
    columns = [f"{title}@{n}" for title in ("hits", "R", "mR", "P") for n in ns]
    rows = [["task", "total", *columns]]
    for name, result in tasks.items():
        cells = [str(result["hits"][n]) for n in ns]
        for key in ("recall", "mean_recall", "precision"):
            values = result.get(key, {})
            cells += ["" if values.get(n) is None else f"{values[n]:.2f}" for n in ns]
        rows.append([name.replace("zero_shot_", "zero-shot "), str(result["total"]), *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Command line: read, score, print the table, write JSON."""
    parser = argparse.ArgumentParser(
        description="Score predicted relationships and attributes against a split: recall@N by VRD's protocol.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--predictions", default="predictions.json", help="what a system found, by image name")
    parser.add_argument("--ground_truth", default="data/data_samples/test_data.json", help="the split to score against")
    parser.add_argument("--train_data", help="the training split; adds zero-shot recall")
    parser.add_argument("--output", default="results.json", help="where the numbers are written")
    arguments = parser.parse_args(argv)

    predictions = read_predictions(arguments.predictions)
    seen = train_triplets(Split(arguments.train_data)) if arguments.train_data else None
    results = evaluate(predictions, Split(arguments.ground_truth), seen)
    unknown = results["unknown_images"]
    if unknown:
        print(
            f"warning: {len(unknown)} predicted images are not in the ground truth and do not count: {unknown[0]!r}, …",
            file=sys.stderr,
        )
    print(format_table(results))
    write_json(arguments.output, results, indent=2)
    missing = results["images_without_predictions"]
    print(
        f"\n{results['images']} images, {missing} of them without predictions. Per cent; written to {arguments.output}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
