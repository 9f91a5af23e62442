"""Annotations from whole images, one after another: GQA, and data sets of your own."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np

from data.annotations import Annotations
from data.join import ColumnBuilder, NameIndex, concatenate, join
from files.io import InputError
from files.splits import ImageRecord

BATCH_IMAGES = 1000
NO_OBJECT = 1 << 53  # a relationship's end that its image does not have
LARGEST_ID = 1 << 40


def annotations_of(records: Iterable[ImageRecord], source: str | Path) -> Annotations:
    """The images as columns, in the order given; what cannot be resolved is dropped and counted (see `join`).

    Boxes are cut at the edges of photos whose size is known. Raises InputError, which begins with `source`, for an
    id below 0 or above 2 ** 40, and for an image or image_id that comes twice.
    """
    objects, attributes, relationships = ColumnBuilder(), ColumnBuilder(), ColumnBuilder()
    entities, words, predicates = NameIndex(), NameIndex(), NameIndex()
    image_names: list[str] = []
    image_ids: list[int] = []
    sizes: list[tuple[int, int]] = []
    records = iter(records)
    while batch := list(islice(records, BATCH_IMAGES)):
        rows = list(range(len(image_names), len(image_names) + len(batch)))
        things = [record.labels.objects for record in batch]
        edges = [record.labels.relationships for record in batch]
        all_things = [thing for part in things for thing in part]
        all_edges = [edge for part in edges for edge in part]
        objects.add(
            image_id=rows,
            size=list(map(len, things)),
            id=[thing.object_id for thing in all_things],
            name=[entities[thing.name] for thing in all_things],
        )
        objects.add(np.float64, **{side: [getattr(thing, side) for thing in all_things] for side in "xywh"})
        attributes.add(
            image_id=rows,
            size=[sum(len(thing.attributes) for thing in part) for part in things],
            id=[thing.object_id for thing in all_things for _ in thing.attributes],
            name=[words[word] for thing in all_things for word in thing.attributes],
        )
        relationships.add(
            image_id=rows,
            size=list(map(len, edges)),
            id=[edge.relationship_id for edge in all_edges],
            subject=[edge.subject_id for edge in all_edges],
            object=[edge.object_id for edge in all_edges],
            name=[predicates[edge.predicate] for edge in all_edges],
        )
        image_names += [record.image_name for record in batch]
        image_ids += [record.labels.image_id for record in batch]
        sizes += [(record.width or 0, record.height or 0) for record in batch]
        for record in batch:
            _check_ids(source, record)
    _check_once(f"{source}: image", image_names)
    _check_once(f"{source}: image_id", image_ids)
    annotations = join(
        concatenate([objects.build(entities.names)], {}, ("id", "x", "y", "w", "h", "name")),
        concatenate([attributes.build(words.names)], {}, ("id", "name")),
        concatenate([relationships.build(predicates.names)], {}, ("id", "subject", "object", "name")),
    )
    annotations.image_names, annotations.image_ids = image_names, np.array(image_ids, np.int64)
    annotations.image_size = np.array(sizes, np.int32).reshape(-1, 2)
    annotations.cut_at_edges()
    return annotations


def _check_ids(source: str | Path, record: ImageRecord) -> None:
    labels = record.labels
    ids = [labels.image_id, *(thing.object_id for thing in labels.objects)]
    if min(ids) < 0 or max(ids) > LARGEST_ID:
        bad = min(ids) if min(ids) < 0 else max(ids)
        raise InputError(
            f"{source}: image {record.image_name!r}: the id {bad} is not from 0 to {LARGEST_ID}; number from 1"
        )


def _check_once(kind: str, values: list) -> None:
    if len(set(values)) != len(values):
        seen: set = set()
        twice = next(value for value in values if value in seen or seen.add(value))
        raise InputError(f"{kind} {twice!r} comes twice; an image belongs to one split")
