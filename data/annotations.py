"""The annotations of a data set as columns of numbers, and the split files made of them.

Visual Genome has 3.8 million objects. As Python objects they would take gigabytes; as
columns they take 200 MB, and counting and filtering them is a few array operations.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import IO

import msgspec
import numpy as np
from tqdm import tqdm

from data.processes import Workers
from files.io import InputError
from files.splits import MOST_OBJECTS, ImageRecord, Labels, ObjectRecord, RelationshipRecord, SplitWriter

OUTSIDE = "its box is outside the image"
SPLITS = ("train", "validation", "test")
PART_IMAGES = 500  # that a process encodes at a time


@dataclass
class Annotations:
    """n images, m objects, a attributes, r relationships. Rows are sorted by image.

    Names are indices into `entity_names`, `attribute_names` and `predicate_names`, which hold
    canonical names. Attributes and relationships refer to objects by row.
    """

    image_names: list[str]
    image_ids: np.ndarray  # (n,) int64
    image_size: np.ndarray  # (n, 2) int32 width, height in pixels; 0 where unknown
    entity_names: list[str]
    attribute_names: list[str]
    predicate_names: list[str]
    object_image: np.ndarray  # (m,) image row
    object_id: np.ndarray  # (m,) int64
    object_box: np.ndarray  # (m, 4) x, y, w, h: first pixel, and number of pixels
    object_name: np.ndarray  # (m,)
    attribute_object: np.ndarray  # (a,) object row
    attribute_name: np.ndarray  # (a,)
    relationship_id: np.ndarray  # (r,) int64
    relationship_subject: np.ndarray  # (r,) object row
    relationship_predicate: np.ndarray  # (r,)
    relationship_object: np.ndarray  # (r,) object row
    other_names: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    """(k, 2) object row, name: what an object is called besides `object_name`, best first."""
    entity_aliases: dict[str, str] = field(default_factory=dict)
    predicate_aliases: dict[str, str] = field(default_factory=dict)
    fixed_words: dict[str, int] = field(default_factory=dict)
    """{"entity", "attribute" or "predicate": k}: the first k names are the vocabulary, all and in this order."""
    annotation_categories: list[str] | None = None
    annotation_predicates: list[str] | None = None
    cut: int = 0
    """How many boxes were cut at the edge of their photo."""
    _dropped: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """{(kind, reason): (n + 1,) how many of each image; the last: of images that are not here}."""

    @property
    def dropped(self) -> Counter:
        """{(kind, reason): how many} of these images; kind is "object", "attribute" or "relationship" (or "item")."""
        counts = {key: int(images.sum()) for key, images in self._dropped.items()}
        return Counter({key: count for key, count in counts.items() if count})

    def drop(self, kind: str, reason: str, images: np.ndarray) -> None:
        """Note that things of a kind were left out. images: the row of the image of each, -1 where it is not here."""
        n = len(self.image_ids)
        counts = np.bincount(np.where(images < 0, n, images), minlength=n + 1)
        self._dropped[kind, reason] = self._dropped.get((kind, reason), 0) + counts

    def drop_items(self, count: int) -> None:
        """Note that so many malformed items of a file were left out."""
        self.drop("item", "malformed (--skip_bad_items)", np.full(count, -1))

    def names_of(self, kind: str) -> list[str]:
        """entity_names, attribute_names or predicate_names."""
        return getattr(self, f"{kind}_names")

    def keep_objects(self, masks: dict[str, np.ndarray]) -> None:
        """Keep the objects where every (m,) mask {reason to drop: mask} is true, and what hangs on them."""
        keep = np.ones(len(self.object_id), bool)
        for reason, mask in masks.items():
            self.drop("object", reason, self.object_image[keep & ~mask])
            keep &= mask
        if keep.all():
            return
        row = (np.cumsum(keep) - 1).astype(np.int32)
        self.keep_attributes(keep[self.attribute_object], "its object was dropped")
        self.keep_relationships(
            keep[self.relationship_subject] & keep[self.relationship_object], "its subject or object was dropped"
        )
        for name in ("object_image", "object_id", "object_box", "object_name"):
            setattr(self, name, getattr(self, name)[keep])
        self.other_names = self.other_names[keep[self.other_names[:, 0]]]
        self.other_names[:, 0] = row[self.other_names[:, 0]]
        self.attribute_object = row[self.attribute_object]
        self.relationship_subject = row[self.relationship_subject]
        self.relationship_object = row[self.relationship_object]

    def cut_at_edges(self) -> None:
        """Cut boxes at the edge of their photo, where its size is known; drop and count those wholly outside."""
        width, height = self.image_size[self.object_image].T
        known = width > 0
        low, high = self.object_box[:, :2], self.object_box[:, :2] + self.object_box[:, 2:]
        new_low = np.where(known[:, None], np.maximum(low, 0), low)
        new_high = np.where(known[:, None], np.minimum(high, np.stack([width, height], axis=1)), high)
        inside = (new_high > new_low).all(axis=1)
        self.cut += int(((new_low != low) | (new_high != high)).any(axis=1)[inside].sum())
        self.object_box = np.concatenate([new_low, new_high - new_low], axis=1)
        self.keep_objects({OUTSIDE: inside})

    def keep_attributes(self, keep: np.ndarray, reason: str, images: np.ndarray | None = None) -> None:
        """Keep the attributes where the (a,) mask is true. images: (a,) image rows (None: those of their objects)."""
        if keep.all():
            return
        images = self.object_image[self.attribute_object] if images is None else images
        self.drop("attribute", reason, images[~keep])
        self.attribute_object, self.attribute_name = self.attribute_object[keep], self.attribute_name[keep]

    def keep_relationships(self, keep: np.ndarray, reason: str, images: np.ndarray | None = None) -> None:
        """Keep the relationships where the (r,) mask is true. images: as for attributes."""
        if keep.all():
            return
        images = self.object_image[self.relationship_subject] if images is None else images
        self.drop("relationship", reason, images[~keep])
        for name in ("id", "subject", "predicate", "object"):
            setattr(self, f"relationship_{name}", getattr(self, f"relationship_{name}")[keep])

    def keep_images(self, rows: np.ndarray) -> None:
        """Keep the images of these rows (ascending), and what is noted as left out of them."""
        keep = np.zeros(len(self.image_ids), bool)
        keep[rows] = True
        dropped = {key: counts[np.append(rows, -1)] for key, counts in self._dropped.items()}
        self.keep_objects({"": keep[self.object_image]})
        self._dropped = dropped
        self.object_image = (np.cumsum(keep) - 1)[self.object_image]
        self.image_names = [self.image_names[row] for row in rows]
        self.image_ids, self.image_size = self.image_ids[rows], self.image_size[rows]

    def check_numbers_of_objects(self, source: object) -> None:
        """Raise InputError naming the image that has more objects than a split file may."""
        counts = np.bincount(self.object_image, minlength=1)
        if counts.max() > MOST_OBJECTS:
            raise InputError(
                f"{source}: image {self.image_names[counts.argmax()]!r} has {counts.max():,} objects; "
                f"an image may have {MOST_OBJECTS:,}: take it out of the annotations"
            )

    def fingerprint(self, graph: str, rows: Sequence[np.ndarray]) -> str:
        """Hexadecimal hash of the annotations, of the graph's fingerprint and of the image rows of each split."""
        digest = hashlib.sha256(msgspec.json.encode([graph, self.image_names]))
        columns = (self.object_image, self.object_box, self.object_name, self.attribute_object, self.attribute_name)
        columns += (self.relationship_subject, self.relationship_predicate, self.relationship_object)
        for array in (*columns, *rows):
            digest.update(np.ascontiguousarray(array, "<f8" if array.dtype.kind == "f" else "<i8"))
        return digest.hexdigest()[:16]

    def parts(self, size: int) -> Iterator[Annotations]:
        """`size` images at a time as annotations of their own (views, not copies)."""
        bounds = np.append(np.arange(0, len(self.image_ids), size), len(self.image_ids))
        objects = np.searchsorted(self.object_image, bounds)
        attributes = np.searchsorted(self.attribute_object, objects)
        relationships = np.searchsorted(self.object_image[self.relationship_subject], bounds)
        for (i, j), (a, b), (c, d), (e, f) in zip(
            *map(pairwise, (bounds, objects, attributes, relationships)), strict=True
        ):
            yield replace(
                self,
                image_names=self.image_names[i:j],
                image_ids=self.image_ids[i:j],
                image_size=self.image_size[i:j],
                object_image=self.object_image[a:b] - i,
                object_id=self.object_id[a:b],
                object_box=self.object_box[a:b],
                object_name=self.object_name[a:b],
                attribute_object=self.attribute_object[c:d] - a,
                attribute_name=self.attribute_name[c:d],
                relationship_id=self.relationship_id[e:f],
                relationship_subject=self.relationship_subject[e:f] - a,
                relationship_predicate=self.relationship_predicate[e:f],
                relationship_object=self.relationship_object[e:f] - a,
                entity_aliases={},
                predicate_aliases={},
                _dropped={},
            )

    def records(self) -> Iterator[ImageRecord]:
        """The images as the records of a split file."""
        images = np.arange(len(self.image_ids) + 1)
        object_start = np.searchsorted(self.object_image, images).tolist()
        relationship_start = np.searchsorted(self.object_image[self.relationship_subject], images).tolist()
        attribute_start = np.searchsorted(self.attribute_object, np.arange(len(self.object_id) + 1)).tolist()
        words = [self.attribute_names[i] for i in self.attribute_name.tolist()]
        attributes = [words[a:b] for a, b in pairwise(attribute_start)]
        ids = self.object_id.tolist()
        names = [self.entity_names[i] for i in self.object_name.tolist()]
        boxes = zip(*(_plain_numbers(side) for side in self.object_box.T), strict=True)
        objects = [
            ObjectRecord(id_, x, y, w, h, name, own)
            for id_, (x, y, w, h), name, own in zip(ids, boxes, names, attributes, strict=True)
        ]
        relationships = [
            RelationshipRecord(id_, self.predicate_names[predicate], ids[subject], ids[object_])
            for id_, predicate, subject, object_ in zip(
                self.relationship_id.tolist(),
                self.relationship_predicate.tolist(),
                self.relationship_subject.tolist(),
                self.relationship_object.tolist(),
                strict=True,
            )
        ]
        for name, id_, (width, height), (a, b), (c, d) in zip(
            self.image_names,
            self.image_ids.tolist(),
            self.image_size.tolist(),
            pairwise(object_start),
            pairwise(relationship_start),
            strict=True,
        ):
            yield ImageRecord(name, Labels(id_, objects[a:b], relationships[c:d]), width or None, height or None)


def _plain_numbers(values: np.ndarray) -> list[int | float]:
    """Whole numbers as integers."""
    whole = values.astype(np.int64)
    if (whole == values).all():
        return whole.tolist()
    return [int(value) if value == int(value) else value for value in values.tolist()]


def write_splits(
    files: Sequence[IO[bytes]], annotations: Annotations, rows: Sequence[np.ndarray], made_in: str, workers: Workers
) -> None:
    """Write split files, one pass over the images. rows: for each file, the image rows that go into it."""
    split_of = np.full(len(annotations.image_ids), -1)
    for number, part in enumerate(rows):
        split_of[part] = number
    split_parts = np.split(split_of, range(PART_IMAGES, len(split_of), PART_IMAGES))
    tasks = zip(annotations.parts(PART_IMAGES), split_parts, strict=True)
    results = workers.in_order(_encode, tasks, large=len(split_of) > 4 * PART_IMAGES)
    writers = [SplitWriter(file, made_in) for file in files]
    with tqdm(total=len(split_of), desc="splits", unit=" images", disable=None, leave=False) as bar:
        for texts in results:
            for number, text in texts:
                writers[number].add(text)
            bar.update(PART_IMAGES)
    for writer in writers:
        writer.end()


def _encode(task: tuple[Annotations, np.ndarray]) -> list[tuple[int, bytes]]:
    """(split, JSON of its images one a line) for each split that has some of the images."""
    annotations, split_of = task
    encode = msgspec.json.Encoder().encode
    lines: dict[int, list[bytes]] = {}
    for record, split in zip(annotations.records(), split_of.tolist(), strict=True):
        lines.setdefault(split, []).append(encode(record))
    return [(split, b",\n".join(text)) for split, text in lines.items() if split >= 0]
