"""predictions.json: what a system says about images, by name, and as the arrays that are scored.

    {image_name: {"relationships": [{"subject", "predicate", "object", "subject_box", "object_box", "score"}],
                  "attributes": [{"entity", "attribute", "box", "score"}]}}

Boxes are [x1, y1, x2, y2] with both corners inside, in the ground truth's own pixels.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from files.box_checks import from_0_to_1
from files.io import InputError, decode_json, read_json
from files.splits import ImageRecord

FARTHEST = 1e9  # pixels; a corner beyond says nothing

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
    images = read_json(path, dict[str, msgspec.Raw], "write it with main.py --test, or see docs/formats.md")
    return {name: decode_json(raw, f"{path}: image {name!r}", ImagePredictions) for name, raw in images.items()}


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


class PhrasesOfImages(NamedTuple):
    """All relationships and all attributes of a set of images."""

    relationships: Phrases
    attributes: Phrases


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
) -> tuple[dict[str, int], PhrasesOfImages]:
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
    return images, PhrasesOfImages(relationships.phrases(), attributes.phrases())


def _corners(thing: Any) -> Box:
    return thing.x, thing.y, thing.x + thing.w - 1, thing.y + thing.h - 1


def named_as(predictions: Mapping[str, Any], images: Collection[str]) -> dict[str, Any]:
    """The predictions by the images' own names, where these differ in composed and decomposed letters alone."""
    composed = {unicodedata.normalize("NFC", name): name for name in images if not name.isascii()}
    return {
        name if name in images else composed.get(unicodedata.normalize("NFC", name), name): found
        for name, found in predictions.items()
    }


def prediction_scenes(
    predictions: Mapping[str, Any], images: Mapping[str, int], vocabulary: dict[str, int], source: str = "predictions"
) -> PhrasesOfImages:
    """Predictions of the images that have a number, as arrays; names that are new get a number in the vocabulary.

    Raises InputError naming `source`, the image and the item: wrong shape, a number that is not finite, a corner
    beyond `FARTHEST`, an empty box.
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
    scenes = PhrasesOfImages(relationships.phrases(), attributes.phrases())
    for kind, phrases in zip(PhrasesOfImages._fields, scenes, strict=True):
        _check_numbers(phrases, list(images), f"{source}: {kind}")
    return scenes


def check_boxes_are_pixels(predicted: PhrasesOfImages, truth: PhrasesOfImages, source: str) -> None:
    """Raise InputError when all predicted boxes lie within 0 to 1, as shares of the image do, unlike annotated ones."""
    found, annotated = (np.concatenate([part.boxes.ravel() for part in phrases]) for phrases in (predicted, truth))
    if from_0_to_1(found.reshape(-1, 4)) and annotated.max(initial=0) > 1:
        raise InputError(
            f"{source}: all boxes lie within 0 to 1, as shares of the image; boxes must be in the ground truth's pixels"
        )


def _check_numbers(phrases: Phrases, image_names: list[str], source: str) -> None:
    finite = np.isfinite(phrases.boxes).all(axis=(1, 2)) & np.isfinite(phrases.scores)
    with np.errstate(invalid="ignore"):  # infinity - infinity
        filled = (phrases.boxes[..., 2:] - phrases.boxes[..., :2] + 1 > 0).all(axis=(1, 2))
    near = (np.abs(phrases.boxes) <= FARTHEST).all(axis=(1, 2))
    good = finite & near & filled
    if good.all():
        return
    row = int(np.argmin(good))
    image = phrases.image[row]
    item = row - int(np.argmax(phrases.image == image))  # an image's rows stand together
    if not finite[row]:
        trouble = "a score or corner that is not finite"
    elif not near[row]:
        trouble = "a corner beyond 1,000,000,000 pixels"
    else:
        trouble = "a box with no pixel (x2 < x1 or y2 < y1)"
    raise InputError(
        f"{source}[{item}] of image {image_names[image]!r} has {trouble}; "
        "boxes are [x1, y1, x2, y2] in pixels, both corners inside"
    )
