"""Reading VRD (Lu, Krishna, Bernstein, Fei-Fei, ECCV 2016) annotations.

`annotations_{train,test}.json`: `{file name: [{"predicate", "subject": {"category", "bbox":
[ymin, ymax, xmin, xmax]}, "object": {...}}]}`; the integers are indices into `objects.json`
and `predicates.json`. Boxes are inclusive pixels, and are kept in the file's own coordinates.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from boxes import from_xywh
from data.annotations import Annotations
from data.json_list import ADVICE, describe_fault, mask_not_finite, offset_in
from files.box_checks import from_0_to_1
from files.io import InputError, decode_json, read_bytes, read_json

MOST_EMPTY = 0.02  # of all boxes; of more the numbers mean something else
CURE = "get it with: python data/download.py vrd"


Coordinate = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]


class _End(msgspec.Struct):
    category: int
    bbox: tuple[Coordinate, Coordinate, Coordinate, Coordinate]


class _Relationship(msgspec.Struct):
    predicate: int
    subject: _End
    object: _End


def read_vrd(directory: str | Path, skip_bad_items: bool = False) -> tuple[Annotations, np.ndarray]:
    """Read the four files of a folder.

    Returns the annotations, training images first, and an (n,) bool mask of the test images.
    An image's objects are its unique (category, box) pairs; repeated triplets are kept. Nothing is next to
    itself: a triplet whose two ends are one such pair relates two objects with one box. Raises
    InputError naming file, image and byte offset, also for an image of both parts and for boxes in another
    layout; with skip_bad_items single bad relationships are left out and counted instead.
    """
    directory = Path(directory)
    categories = _read_names(directory / "objects.json")
    predicates = _read_names(directory / "predicates.json")
    images: list[tuple[str, list[_Relationship]]] = []
    bad: list[int] = []  # the image of each relationship that is left out
    sizes = []
    met: set[str] = set()
    for part in ("train", "test"):
        path = directory / f"annotations_{part}.json"
        text = read_bytes(path, CURE)
        data = mask_not_finite(text)
        for name, raw in decode_json(data, path, dict[str, msgspec.Raw]).items():
            if name in met:
                raise InputError(f"{path}: image {name!r} comes twice; an image belongs to one split")
            met.add(name)
            relationships, skipped = _read_image(
                path, name, text, data, raw, len(categories), len(predicates), skip_bad_items
            )
            images.append((name, relationships))
            bad += [len(images) - 1] * skipped
        sizes.append(len(images))

    objects: list[tuple] = []  # image, id in the image, x, y, w, h, category
    triplets: list[tuple[int, int, int, int]] = []  # id in the image, subject row, predicate, object row
    for image, (_, relationships) in enumerate(images):
        rows: dict[tuple, int] = {}
        for number, relationship in enumerate(relationships):
            twins = relationship.subject == relationship.object
            ends = []
            for end, is_twin in ((relationship.subject, False), (relationship.object, twins)):
                key = (end.category, end.bbox, is_twin)
                if key not in rows:
                    ymin, ymax, xmin, xmax = end.bbox
                    box = (xmin, ymin, xmax - xmin + 1, ymax - ymin + 1)
                    objects.append((image, len(rows), *box, end.category))
                    rows[key] = len(objects) - 1
                ends.append(rows[key])
            triplets.append((number, ends[0], relationship.predicate, ends[1]))
    table = np.array(objects, np.float64).reshape(-1, 7)
    triplet = np.array(triplets, np.int64).reshape(-1, 4)
    _check_boxes(directory, table[:, 2:6])
    annotations = Annotations(
        image_names=[name for name, _ in images],
        image_ids=np.arange(len(images)),
        image_size=np.zeros((len(images), 2), np.int32),
        entity_names=categories,
        attribute_names=[],
        predicate_names=predicates,
        object_image=table[:, 0].astype(np.int64),
        object_id=table[:, 1].astype(np.int64),
        object_box=table[:, 2:6],
        object_name=table[:, 6].astype(np.int64),
        attribute_object=np.zeros(0, np.int64),
        attribute_name=np.zeros(0, np.int64),
        relationship_id=triplet[:, 0],
        relationship_subject=triplet[:, 1],
        relationship_predicate=triplet[:, 2],
        relationship_object=triplet[:, 3],
        annotation_categories=categories,
        annotation_predicates=predicates,
    )
    annotations.drop("relationship", "malformed (--skip_bad_items)", np.array(bad, np.int64))
    annotations.keep_objects({"its box is empty": (annotations.object_box[:, 2:] > 0).all(axis=1)})
    return annotations, np.arange(len(images)) >= sizes[0]


def _check_boxes(directory: Path, boxes: np.ndarray) -> None:
    """Raise InputError when (n, 4) boxes x, y, w, h look like those of another layout."""
    empty = int((boxes[:, 2:] <= 0).any(axis=1).sum())
    if empty > max(1, MOST_EMPTY * len(boxes)):
        raise InputError(
            f"{directory}: {empty} of {len(boxes)} boxes of annotations_{{train,test}}.json are empty or reversed; "
            "VRD's boxes are [ymin, ymax, xmin, xmax]"
        )
    if from_0_to_1(from_xywh(boxes)):
        raise InputError(
            f"{directory}: all boxes of annotations_{{train,test}}.json lie within 0..1; "
            "VRD's boxes are [ymin, ymax, xmin, xmax] in pixels"
        )


def _read_names(path: Path) -> list[str]:
    names = read_json(path, list[str], CURE)
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: repeats the name {repeated[0]!r}; {CURE}")
    return names


def _read_image(
    path: Path,
    name: str,
    text: bytes,
    data: bytes,
    raw: msgspec.Raw,
    num_categories: int,
    num_predicates: int,
    skip: bool,
) -> tuple[list[_Relationship], int]:
    """One image's relationships, and how many malformed ones were left out.

    text: the file. data: the same with NaN masked, of which `raw` is a part.
    """
    try:
        items = msgspec.json.decode(raw, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        if skip:
            return [], 1
        raise InputError(f"{path}: image {name!r} at byte {offset_in(data, raw)}: {error}; {ADVICE}") from None
    relationships = []
    for number, item in enumerate(items):
        try:
            relationship = msgspec.json.decode(item, type=_Relationship)
            _check(relationship, num_categories, num_predicates)
            relationships.append(relationship)
        except (msgspec.DecodeError, RecursionError) as error:
            if not skip:
                begin = offset_in(data, item)
                fault = describe_fault(error, text[begin : begin + len(bytes(item))])
                place = f"image {name!r}, relationship {number} at byte {begin}"
                raise InputError(f"{path}: {place}: {fault}; {ADVICE}") from None
    return relationships, len(items) - len(relationships)


def _check(relationship: _Relationship, num_categories: int, num_predicates: int) -> None:
    if not 0 <= relationship.predicate < num_predicates:
        raise msgspec.ValidationError(f"predicate {relationship.predicate} is not in predicates.json")
    for end in (relationship.subject, relationship.object):
        if not 0 <= end.category < num_categories:
            raise msgspec.ValidationError(f"category {end.category} is not in objects.json")
