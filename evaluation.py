"""Scoring of any system's relationships and attributes, by name: recall@N by VRD's protocol (see recall.py).

    python evaluation.py --predictions predictions.json --ground_truth data/data_samples/test_data.json

Predictions: `{image_name: {"relationships": [{"subject", "predicate", "object", "subject_box", "object_box", "score"}],
"attributes": [{"entity", "attribute", "box", "score"}]}}`, boxes [x1, y1, x2, y2] with both corners inside, in the
ground truth's own pixels. Ground truth: a split file. Names are compared exactly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from files.io import InputError, decode_json, read_json, reports_input_errors, write_json
from files.splits import ImageRecord, Split
from recall import Phrases, Scenes, evaluate_arrays

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


class ImagePredictions(msgspec.Struct, forbid_unknown_fields=True):
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
    source: str = "predictions",
) -> dict[str, Any]:
    """Score predictions by name (plain dicts in predictions.json's layout, or `read_predictions`' result).

    ground_truth: records of a split. train_triplets: see the function of that name; adds the zero-shot tasks.
    Returns `evaluate_arrays`' tasks, and before them "images", "images_without_predictions" (their ground truth
    is missed) and "unknown_images" (names that the ground truth does not have; what is predicted there is not counted).
    Raises InputError naming `source` when a prediction is malformed or no predicted image is in the ground truth.
    """
    vocabulary: dict[str, int] = {}
    images, truth = truth_scenes(ground_truth, vocabulary)
    unknown = [name for name in predictions if name not in images]
    if predictions and len(unknown) == len(predictions):
        raise InputError(
            f"{source}: none of the {len(unknown)} images ({unknown[0]!r}, …) is in the ground truth; "
            "give the split that they were made for"
        )
    predicted = prediction_scenes(predictions, images, vocabulary, source)
    unseen = None if train_triplets is None else unseen_rows(truth, train_triplets, vocabulary)
    counts = {
        "images": len(images),
        "images_without_predictions": len(images) - (len(predictions) - len(unknown)),
        "unknown_images": unknown,
    }
    return counts | evaluate_arrays(predicted, truth, unseen, ns)


def unseen_rows(
    truth: Scenes, train_triplets: Collection[tuple[str, ...]], vocabulary: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """(relationships,) and (attributes,) bool: which ground-truth phrases the training split never has."""
    seen = {tuple(vocabulary.get(name, -1) for name in names) for names in train_triplets}
    relationships, attributes = (
        np.array([tuple(row) not in seen for row in part.labels.tolist()], dtype=bool) for part in truth
    )
    return relationships, attributes


class _Columns:
    """Rows of names and boxes, gathered flat for one `Phrases`."""

    def __init__(self, vocabulary: dict[str, int], labels: int, boxes: int) -> None:
        self.vocabulary, self.shape = vocabulary, (labels, boxes)
        self.image: list[int] = []
        self.labels: list[int] = []
        self.boxes: list[float] = []
        self.scores: list[float] = []

    def extend(self, image: int, names: Iterable[str], boxes: Iterable[Box], scores: Sequence[float]) -> None:
        """One row a score, its names and boxes in a row. A name that is new gets the next number of the vocabulary."""
        number, vocabulary = self.vocabulary.setdefault, self.vocabulary
        self.image += [image] * len(scores)
        self.labels += [number(name, len(vocabulary)) for name in names]
        self.boxes += chain.from_iterable(boxes)
        self.scores += scores

    def phrases(self) -> Phrases:
        labels, boxes = self.shape
        return Phrases(
            np.array(self.image, dtype=np.int64),
            np.array(self.labels, dtype=np.int64).reshape(-1, labels),
            np.array(self.boxes, dtype=np.float64).reshape(-1, boxes, 4),
            np.array(self.scores, dtype=np.float64),
        )


def truth_scenes(
    records: Iterable[ImageRecord], vocabulary: dict[str, int], source: str = "ground truth"
) -> tuple[dict[str, int], Scenes]:
    """Ground truth as arrays, numbering images and names. Returns ({image name: number}, scenes).

    Raises InputError when an image is there twice.
    """
    images: dict[str, int] = {}
    relationships, attributes = _Columns(vocabulary, 3, 2), _Columns(vocabulary, 2, 1)
    for record in records:
        if record.image_name in images:
            raise InputError(f"{source}: image {record.image_name!r} is there twice; keep one of them")
        image = images[record.image_name] = len(images)
        things = {thing.object_id: thing for thing in record.labels.objects}
        edges = [
            (things[edge.subject_id], edge.predicate, things[edge.object_id]) for edge in record.labels.relationships
        ]
        marks = [(thing, attribute) for thing in record.labels.objects for attribute in thing.attributes]
        relationships.extend(
            image,
            (name for subject, predicate, other in edges for name in (subject.name, predicate, other.name)),
            (_corners(thing) for subject, _, other in edges for thing in (subject, other)),
            [0.0] * len(edges),
        )
        attributes.extend(
            image,
            (name for thing, attribute in marks for name in (thing.name, attribute)),
            (_corners(thing) for thing, _ in marks),
            [0.0] * len(marks),
        )
    return images, Scenes(relationships.phrases(), attributes.phrases())


def _corners(thing: Any) -> Box:
    return thing.x, thing.y, thing.x + thing.w - 1, thing.y + thing.h - 1


def prediction_scenes(
    predictions: Mapping[str, Any], images: Mapping[str, int], vocabulary: dict[str, int], source: str = "predictions"
) -> Scenes:
    """Predictions of the images that have a number, as arrays; names that are new get a number in the vocabulary.

    Raises InputError naming `source`, the image and the item: wrong shape, a number that is not finite, an empty box.
    """
    relationships, attributes = _Columns(vocabulary, 3, 2), _Columns(vocabulary, 2, 1)
    for name, found in predictions.items():
        if name not in images:
            continue
        try:
            found = msgspec.convert(found, ImagePredictions)
        except msgspec.ValidationError as error:
            raise InputError(f"{source}: image {name!r} has the wrong shape: {error}") from None
        image = images[name]
        relationships.extend(
            image,
            (name for r in found.relationships for name in (r.subject, r.predicate, r.object)),
            (box for r in found.relationships for box in (r.subject_box, r.object_box)),
            [r.score for r in found.relationships],
        )
        attributes.extend(
            image,
            (name for a in found.attributes for name in (a.entity, a.attribute)),
            (a.box for a in found.attributes),
            [a.score for a in found.attributes],
        )
    scenes = Scenes(relationships.phrases(), attributes.phrases())
    for kind, phrases in zip(Scenes._fields, scenes, strict=True):
        _check_numbers(phrases, list(images), f"{source}: {kind}")
    return scenes


def _check_numbers(phrases: Phrases, image_names: list[str], source: str) -> None:
    finite = np.isfinite(phrases.boxes).all(axis=(1, 2)) & np.isfinite(phrases.scores)
    with np.errstate(invalid="ignore"):  # infinity - infinity
        filled = (phrases.boxes[..., 2:] - phrases.boxes[..., :2] + 1 > 0).all(axis=(1, 2))
    good = finite & filled
    if good.all():
        return
    row = int(np.argmin(good))
    image = phrases.image[row]
    item = row - int(np.argmax(phrases.image == image))  # an image's rows stand together
    trouble = "a box with no pixel (x2 < x1 or y2 < y1)" if finite[row] else "a score or corner that is not finite"
    raise InputError(
        f"{source}[{item}] of image {image_names[image]!r} has {trouble}; "
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
    results = evaluate(predictions, Split(arguments.ground_truth), seen, source=arguments.predictions)
    unknown = results["unknown_images"]
    if unknown:
        print(
            f"warning: {len(unknown)} predicted images are not in the ground truth and do not count: {unknown[0]!r}, …",
            file=sys.stderr,
        )
    print(format_table(results))
    write_json(arguments.output, results, indent=2)
    missing = results["images_without_predictions"]
    print(f"\nPer cent; images: {results['images']}, without predictions: {missing}. Written to {arguments.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
