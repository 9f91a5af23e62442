"""Split files: `{train,validation,test}_data.json`, one image a line.

A file is a JSON list of images:

    {"image_name": "7.jpg",
     "labels": {"image_id": 7,
                "objects": [{"object_id", "x", "y", "w", "h", "name", "attributes": [name, ...]}, ...],
                "relationships": [{"relationship_id", "predicate", "subject_id", "object_id"}, ...]},
     "width": 800, "height": 600}

Boxes are in pixels of the photo as a viewer shows it (EXIF orientation applied). `width` and
`height` are that photo's size; both are left out where the data set does not tell. `attributes`
may be left out too. The first image of a file also has `made_in`, the run of create_graph.py.

The file is memory-mapped and cut into images when it is opened; an image is decoded when it is
asked for, so a split of 100 000 images opens at once and takes no memory to speak of.
"""

from __future__ import annotations

import codecs
import mmap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Annotated

import msgspec
import numpy as np
from msgspec import Meta

from files.box_checks import from_0_to_1
from files.io import InputError, atomic_write, clear_read_errors

MOST_OBJECTS = 32_000  # in an image: the environment numbers them with 16 bits

# Limits keep absurd numbers (JSON has integers of 400 digits) out of the arrays made of them.
Coordinate = Annotated[int, Meta(ge=-(10**9), le=10**9)] | Annotated[float, Meta(ge=-1e9, le=1e9)]
Id = Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)]
Extent = Annotated[int, Meta(ge=0, le=10**9)] | Annotated[float, Meta(ge=0, le=1e9)]
Side = Annotated[int, Meta(ge=1, le=10**6)]


class ObjectRecord(msgspec.Struct):
    """An object. x, y: first pixel; w, h: pixels, so the last pixel is x + w - 1, y + h - 1."""

    object_id: Id
    x: Coordinate
    y: Coordinate
    w: Extent
    h: Extent
    name: str
    attributes: list[str] = []


class RelationshipRecord(msgspec.Struct):
    """(subject, predicate, object); the ids are `object_id`s of the same image."""

    relationship_id: Id
    predicate: str
    subject_id: Id
    object_id: Id


class Labels(msgspec.Struct):
    """The annotations of one image."""

    image_id: Id
    objects: list[ObjectRecord]
    relationships: list[RelationshipRecord]


class ImageRecord(msgspec.Struct, omit_defaults=True):
    """One item of a split file. width, height: pixels of the annotated photo; both None where unknown.

    made_in: the run of create_graph.py that made the file; its first image tells (see files/one_set.py).
    """

    image_name: str
    labels: Labels
    width: Side | None = None
    height: Side | None = None
    made_in: str | None = None


class Split(Sequence[ImageRecord]):
    """The images of a split file, decoded one by one as they are asked for.

    Boxes of a file that was written by hand are compared with their photo's size; create_graph.py does it itself.
    """

    def __init__(self, path: str | Path, cure: str = "make the file with create_graph.py", any_box: bool = False):
        """Raises InputError, which ends in `cure`, when the file is missing or is not a JSON list.

        any_box: whoever reads the file looks at where its boxes lie.
        """
        self.path, self._cure = Path(path), cure
        self._items = _raw_items(self.path, cure)
        self._any_box = any_box or (len(self._items) > 0 and b'"made_in"' in bytes(self._items[0]))
        self._decoder = msgspec.json.Decoder(ImageRecord)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> ImageRecord:
        """The image at `index`. Raises InputError naming the file and the item when it is malformed."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        raw = self._items[index]
        index = index + len(self) if index < 0 else index
        try:
            record = self._decoder.decode(raw)
        except msgspec.ValidationError as error:
            raise InputError(f"{self.path}: item {index}: {error}; {self._cure}") from None
        except UnicodeDecodeError:
            raise InputError(f"{self.path}: item {index}: is not UTF-8 text; save the file as UTF-8") from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise InputError(f"{self.path}: item {index}: {error}") from None
        _check(f"{self.path}: item {index}", record, self._cure)
        if not self._any_box:
            _check_boxes(f"{self.path}: item {index}", record)
        return record

    def __iter__(self) -> Iterator[ImageRecord]:
        return (self[index] for index in range(len(self)))

    def __reduce__(self) -> tuple:
        # A worker process opens the file itself: the mapping cannot be sent to it.
        return Split, (self.path, self._cure, self._any_box)


def _raw_items(path: Path, cure: str) -> list[msgspec.Raw]:
    """The undecoded items of a JSON list; they are slices of the mapped file."""
    try:
        with clear_read_errors(path, cure), open(path, "rb") as file:
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:  # mmap refuses an empty file
        raise InputError(f"{path}: is empty; {cure}") from None
    if buffer[:2] == b"\x1f\x8b":
        raise InputError(f"{path}: is compressed (gzip); unpack it and give the JSON file")
    try:
        text = memoryview(buffer)[3 * (buffer[:3] == codecs.BOM_UTF8) :]  # Windows editors write the mark
        return msgspec.json.decode(text, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        raise InputError(f"{path}: is not a list of images; {cure}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON: {error}; is the file cut off? {cure}") from None


def _check(place: str, record: ImageRecord, cure: str) -> None:
    if (record.width is None) != (record.height is None):
        raise InputError(f"{place}: give width and height, or neither")
    objects = record.labels.objects
    if len(objects) > MOST_OBJECTS:
        raise InputError(
            f"{place}: {record.image_name!r} has {len(objects):,} objects; an image may have {MOST_OBJECTS:,}"
        )
    ids = {item.object_id for item in objects}
    if len(ids) < len(objects):
        twice = next(id_ for id_, count in Counter(item.object_id for item in objects).items() if count > 1)
        raise InputError(f"{place}: {record.image_name!r} has object {twice} twice; give each object its own object_id")
    for relationship in record.labels.relationships:
        for end in (relationship.subject_id, relationship.object_id):
            if end not in ids:
                raise InputError(
                    f"{place}: relationship {relationship.relationship_id} names object {end}, "
                    f"which the image does not have; {cure}"
                )


def _check_boxes(place: str, record: ImageRecord) -> None:
    objects, width, height = record.labels.objects, record.width, record.height
    first_may_be = objects and objects[0].x + objects[0].w < 1.1  # saves the array for nearly all images
    if first_may_be and from_0_to_1(np.array([(o.x, o.y, o.x + o.w, o.y + o.h) for o in objects], np.float64)):
        raise InputError(
            f"{place}: all boxes of {record.image_name!r} lie within 0..1; boxes are in pixels: "
            "multiply them by the photo's width and height"
        )
    for thing in objects if width is not None else ():
        if thing.x >= width or thing.y >= height or thing.x + thing.w <= 0 or thing.y + thing.h <= 0:
            raise InputError(
                f"{place}: {record.image_name!r} of {width} x {height}: the box of object {thing.object_id} "
                "lies outside of the photo; give x, y, w, h in pixels"
            )


class SplitWriter:
    """Writes images into an open file, one a line."""

    def __init__(self, file: IO[bytes], made_in: str | None = None):
        """made_in: is noted with the first image."""
        self._file, self._begin, self._made_in = file, b"[\n", made_in

    def add(self, text: bytes) -> None:
        """Images as JSON, with `,` between them."""
        if self._begin == b"[\n" and self._made_in:
            text = b'{"made_in":%b,%b' % (msgspec.json.encode(self._made_in), text[1:])
        self._file.write(self._begin + text)
        self._begin = b",\n"

    def end(self) -> None:
        """Close the list."""
        self._file.write(b"\n]\n" if self._begin == b",\n" else b"[]\n")


def write_split(path: str | Path, records: Iterable[ImageRecord]) -> int:
    """Write records, one a line, atomically. Returns how many there were."""
    count = 0
    with atomic_write(path) as file:
        writer = SplitWriter(file)
        for record in records:
            writer.add(msgspec.json.encode(record))
            count += 1
        writer.end()
    return count
