"""Reading GQA's scene graphs (Hudson and Manning, CVPR 2019).

`train_sceneGraphs.json`, `val_sceneGraphs.json`: `{image id: {"width", "height", "objects": {id: {"name",
"x", "y", "w", "h", "attributes": [name, ...], "relations": [{"name", "object": id}, ...]}}}}`. Ids are
strings, of digits in GQA's own files. Boxes are in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from data.annotations import Annotations
from data.json_list import ADVICE
from data.records import LARGEST_ID, NO_OBJECT, annotations_of
from files.io import InputError, decode_json, read_bytes
from files.splits import ImageRecord, Labels, ObjectRecord, RelationshipRecord, Side

CURE = "run: python data/download.py gqa"

Coordinate = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Name = Annotated[str, msgspec.Meta(max_length=1000)]


class _Relation(msgspec.Struct, gc=False):
    name: Name
    object: str


class _Object(msgspec.Struct, gc=False):
    name: Name
    x: Coordinate
    y: Coordinate
    w: Coordinate
    h: Coordinate
    attributes: list[Name] = []
    relations: list[_Relation] = []


class _Image(msgspec.Struct, gc=False):
    objects: dict[str, _Object]
    width: Side | None = None
    height: Side | None = None


class _Shell(msgspec.Struct):
    """An image whose objects are looked at one by one."""

    objects: dict[str, msgspec.Raw]
    width: Side | None = None
    height: Side | None = None


def read_gqa(
    directory: str | Path, skip_bad_items: bool = False
) -> tuple[Annotations, Sequence[np.ndarray | None] | None]:
    """Read the `*sceneGraphs.json` of a folder.

    Returns the annotations and the rows of the training, validation and test images: of the
    `train_` and the `val_` file, the latter are for testing (GQA keeps its own test graphs) and
    validation is cut from training; with a `test_` file too each is what it says; None for a
    single file. Raises InputError naming file, image and object; with skip_bad_items malformed
    images and objects are left out and counted instead.
    """
    directory = Path(directory)
    paths = {part: directory / f"{part}_sceneGraphs.json" for part in ("train", "val", "test")}
    paths = {part: path for part, path in paths.items() if path.exists()}
    if not paths:
        paths = dict(enumerate(sorted(directory.glob("*sceneGraphs.json"))[:1]))
    if not paths:
        raise InputError(f"{directory}: holds no train_sceneGraphs.json and no val_sceneGraphs.json; {CURE}")
    rows: dict[str | int, np.ndarray] = {}
    bad = 0

    def records() -> Iterator[ImageRecord]:
        nonlocal bad
        end = 0
        for part, path in paths.items():
            begin = end
            for key, raw in decode_json(read_bytes(path, CURE), path, dict[str, msgspec.Raw]).items():
                image, faults = _read_image(path, key, raw, skip_bad_items)
                bad += faults
                if image is not None:
                    yield _record(key, image, LARGEST_ID - end)
                    end += 1
            rows[part] = np.arange(begin, end)

    annotations = annotations_of(records(), directory)
    annotations.drop_items(bad)
    if len(rows) == 3:
        return annotations, (rows["train"], rows["val"], rows["test"])
    if "train" in rows and len(rows) == 2:
        return annotations, (rows["train"], None, rows.get("val", rows.get("test")))
    return annotations, None


def _read_image(path: Path, key: str, raw: msgspec.Raw, skip: bool) -> tuple[_Image | None, int]:
    """The image, and how many faults were left out (the image itself is one)."""
    try:
        return msgspec.json.decode(raw, type=_Image), 0
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        place, fault = f"image {key!r}", error
    objects, faults = {}, 0
    try:
        shell = msgspec.json.decode(raw, type=_Shell)
        for number, item in shell.objects.items():
            try:
                objects[number] = msgspec.json.decode(item, type=_Object)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                if not skip:
                    place, fault = f"image {key!r}, object {number!r}", error
                    break
                faults += 1
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        shell = None
    if not skip:
        raise InputError(f"{path}: {place}: {fault}; {ADVICE}")
    return (None, 1) if shell is None else (_Image(objects, shell.width, shell.height), faults)


def _record(key: str, image: _Image, number: int) -> ImageRecord:
    """The image in the split files' layout. number: its id where the key is none."""
    ids = {object_id: row for row, object_id in enumerate(image.objects)}
    if all(map(_is_number, ids)) and len(set(map(int, ids))) == len(ids):
        ids = {object_id: int(object_id) for object_id in ids}
    objects, relationships = [], []
    for object_id, thing in image.objects.items():
        objects.append(ObjectRecord(ids[object_id], thing.x, thing.y, thing.w, thing.h, thing.name, thing.attributes))
        for relation in thing.relations:
            ends = ids[object_id], ids.get(relation.object, NO_OBJECT)
            relationships.append(RelationshipRecord(len(relationships), relation.name, *ends))
    known = image.width is not None and image.height is not None
    size = (image.width, image.height) if known else (None, None)
    labels = Labels(int(key) if _is_number(key) else number, objects, relationships)
    return ImageRecord(f"{key}.jpg", labels, *size)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 13
