"""Reading Visual Genome 1.4 annotations (Krishna et al., IJCV 2017).

Objects come from `objects.json`, relationships from `relationships.json`, attributes from
`attributes.json` by `object_id`. `scene_graphs.json` repeats all three; it is used for images that
they lack, and instead of them where they are missing. The photos' sizes come from
`image_data.json`, where that is; boxes are then cut at the edge of the photo.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from data.annotations import Annotations
from data.join import ColumnBuilder, Columns, NameIndex, concatenate, gather, join
from data.json_list import ItemType, read_lists
from data.processes import Workers
from files.io import InputError, read_json
from files.splits import Side
from semantic_graph import read_aliases

# The typed decoder skips what is not named here. Limits keep absurd values out of the columns.
Id = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
Coordinate = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Name = Annotated[str, msgspec.Meta(max_length=1000)]


class _Object(msgspec.Struct, gc=False):
    object_id: Id
    x: Coordinate
    y: Coordinate
    w: Coordinate
    h: Coordinate
    names: list[Name] | None = None
    name: Name | None = None
    merged_object_ids: list[Id] | None = None


class _ObjectsOfImage(msgspec.Struct, gc=False):
    image_id: Id
    objects: list[_Object]


class _Attributes(msgspec.Struct, gc=False):
    object_id: Id
    attributes: list[Name | None] | None = None


class _ObjectWithAttributes(_Object, gc=False):
    attributes: list[Name | None] | None = None


class _AttributesOfImage(msgspec.Struct, gc=False):
    image_id: Id
    attributes: list[_Attributes]


class _End(msgspec.Struct, gc=False):
    object_id: Id


class _Relationship(msgspec.Struct, gc=False):
    predicate: Name | None
    subject: _End
    object: _End
    relationship_id: Id | None = None


class _RelationshipsOfImage(msgspec.Struct, gc=False):
    image_id: Id
    relationships: list[_Relationship]


class _Edge(msgspec.Struct, gc=False):
    predicate: Name | None
    subject_id: Id
    object_id: Id
    relationship_id: Id | None = None


class _SceneGraph(msgspec.Struct, gc=False):
    image_id: Id
    objects: list[_ObjectWithAttributes]
    relationships: list[_Edge]


class _SceneGraphId(msgspec.Struct, gc=False):
    image_id: Id


class _ImageData(msgspec.Struct, gc=False):
    image_id: Id
    width: Side
    height: Side


_OBJECTS = ItemType(_ObjectsOfImage, {"objects": _Object})
_ATTRIBUTES = ItemType(_AttributesOfImage, {"attributes": _Attributes})
_RELATIONSHIPS = ItemType(_RelationshipsOfImage, {"relationships": _Relationship})
_SCENE_GRAPHS = ItemType(_SceneGraph, {"objects": _ObjectWithAttributes, "relationships": _Edge})
_SCENE_GRAPH_IDS = ItemType(_SceneGraphId, {})
_IMAGE_DATA = ItemType(_ImageData, {})


def read_visual_genome(
    directory: str | Path, skip_bad_items: bool = False, workers: Workers | None = None
) -> Annotations:
    """Read the annotations in a folder; images are in the order of their ids.

    Names are folded and replaced by the canonical names of `object_alias.txt` and
    `relationship_alias.txt`, where these are. The result does not depend on the number of
    workers (None: this process does it all). Raises InputError naming file, item and byte.
    """
    directory = Path(directory)
    workers = workers or Workers(1)
    entity_aliases = _aliases(directory / "object_alias.txt")
    predicate_aliases = _aliases(directory / "relationship_alias.txt")
    scene_graphs = directory / "scene_graphs.json"
    jobs = {
        "objects": (directory / "objects.json", _OBJECTS, _object_columns),
        "relationships": (directory / "relationships.json", _RELATIONSHIPS, _relationship_columns),
        "attributes": (directory / "attributes.json", _ATTRIBUTES, _attribute_columns),
    }
    kinds = tuple(jobs)
    for kind in kinds if scene_graphs.exists() else ("attributes",):  # without attributes one can do
        if not jobs[kind][0].exists():
            del jobs[kind]
    if scene_graphs.exists() and len(jobs) == len(kinds):
        jobs["scene graph ids"] = (scene_graphs, _SCENE_GRAPH_IDS, _image_ids)
    if (directory / "image_data.json").exists():
        jobs["sizes"] = (directory / "image_data.json", _IMAGE_DATA, _image_sizes)
    found = dict(zip(jobs, read_lists(list(jobs.values()), skip_bad_items, workers, "annotations"), strict=True))
    bad = sum(count for _, count in found.values())
    parts = {kind: found[kind][0] if kind in found else [] for kind in kinds}
    if scene_graphs.exists():
        held = [np.unique(gather(part.image_id for part in parts[kind])) for kind in kinds]
        ids = gather(found["scene graph ids"][0]) if "scene graph ids" in found else None
        if ids is None or not all(np.isin(ids, images).all() for images in held):
            job = (scene_graphs, _SCENE_GRAPHS, partial(_scene_graph_columns, held=held))
            ((lacking, count),) = read_lists([job], skip_bad_items, workers, "scene graphs")
            bad += count - (0 if ids is None else found["scene graph ids"][1])
            for kind, columns in zip(kinds, zip(*lacking, strict=True), strict=False):
                parts[kind] += columns
    annotations = join(
        concatenate(parts["objects"], entity_aliases, ("id", "x", "y", "w", "h", "name")),
        concatenate(parts["attributes"], {}, ("id", "name")),
        concatenate(parts["relationships"], predicate_aliases, ("id", "subject", "object", "name")),
    )
    annotations.entity_aliases, annotations.predicate_aliases = entity_aliases, predicate_aliases
    if "sizes" in found:
        _set_image_sizes(annotations, gather(found["sizes"][0]).reshape(-1, 3))
        annotations.cut_at_edges()
    annotations.drop_items(bad)
    return annotations


def _set_image_sizes(annotations: Annotations, sizes: np.ndarray) -> None:
    """sizes: (k, 3) image id, width, height. Of an image listed twice the first counts."""
    ids, first = np.unique(sizes[:, 0], return_index=True)
    _, rows, known = np.intersect1d(annotations.image_ids, ids, assume_unique=True, return_indices=True)
    annotations.image_size[rows] = sizes[first[known], 1:]


def read_split_file(path: str | Path, image_ids: np.ndarray) -> list[np.ndarray]:
    """Read `{"train": [image ids], "validation": [...], "test": [...]}` as sorted rows of (n,) sorted image_ids.

    Raises InputError when an id is not annotated or appears twice.
    """
    splits = read_json(path, _SplitFile)
    ids = [np.array(part, np.int64) for part in (splits.train, splits.validation, splits.test)]
    everything = np.concatenate(ids)
    unknown = everything[~np.isin(everything, image_ids)]
    if len(unknown):
        raise InputError(
            f"{path}: image {unknown[0]} has no annotations; take it out, or give --num_train and the like"
        )
    values, counts = np.unique(everything, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"{path}: image {values[counts > 1][0]} appears twice; an image belongs to one split")
    return [np.sort(np.searchsorted(image_ids, part)) for part in ids]


class _SplitFile(msgspec.Struct):
    train: list[Id]
    validation: list[Id]
    test: list[Id]


def _aliases(path: Path) -> dict[str, str]:
    return read_aliases(path) if path.exists() else {}


# Condensing decoded items, in the worker processes ----------------------------------------------


def _object_columns(batches: Iterable[list[_ObjectsOfImage]]) -> Columns:
    columns, index, begin = ColumnBuilder(), NameIndex(), 0
    for items in batches:
        objects = [object_ for item in items for object_ in item.objects]
        names = [object_.names for object_ in objects]
        first = [index[name[0]] if name and len(name) == 1 else -1 for name in names]
        others = []
        for row, number in enumerate(first):
            if number < 0:
                words = [
                    number
                    for number in map(index.__getitem__, names[row] or [objects[row].name])
                    if index.names[number]
                ]
                first[row] = words[0] if words else index[""]
                others += [(begin + row, number) for number in words[1:]]
        lists = [object_.merged_object_ids for object_ in objects]
        merged = [(begin + row, id_) for row, ids in enumerate(lists) if ids for id_ in ids]
        columns.add(
            image_id=[item.image_id for item in items],
            size=[len(item.objects) for item in items],
            id=[object_.object_id for object_ in objects],
            name=first,
            others=others,
            merged=merged,
        )
        columns.add(np.float64, x=[object_.x for object_ in objects], y=[object_.y for object_ in objects])
        columns.add(np.float64, w=[object_.w for object_ in objects], h=[object_.h for object_ in objects])
        begin += len(objects)
    return columns.build(index.names)


def _attribute_columns(batches: Iterable[list[_AttributesOfImage]]) -> Columns:
    columns, index = ColumnBuilder(), NameIndex()
    for items in batches:
        _add_attributes(columns, index, [item.image_id for item in items], [item.attributes for item in items])
    return columns.build(index.names)


def _add_attributes(columns: ColumnBuilder, index: NameIndex, image_ids: list[int], lists: list[list[Any]]) -> None:
    """lists: of each image, objects with `attributes`."""
    lists = [[object_ for object_ in objects if object_.attributes] for objects in lists]
    described = [object_ for objects in lists for object_ in objects]
    columns.add(
        image_id=image_ids,
        size=[sum([len(object_.attributes) for object_ in objects]) for objects in lists],
        id=[object_.object_id for object_ in described for _ in object_.attributes],
        name=[index[name] for object_ in described for name in object_.attributes],
    )


def _relationship_columns(batches: Iterable[list[_RelationshipsOfImage]]) -> Columns:
    columns, index = ColumnBuilder(), NameIndex()
    for items in batches:
        edges = [edge for item in items for edge in item.relationships]
        columns.add(
            subject=[edge.subject.object_id for edge in edges], object=[edge.object.object_id for edge in edges]
        )
        _add_edges(columns, index, items, edges)
    return columns.build(index.names)


def _scene_graph_columns(
    batches: Iterable[list[_SceneGraph]], held: list[np.ndarray]
) -> tuple[Columns, Columns, Columns]:
    """Objects, relationships and attributes of the images that are not held already, of each kind."""
    lacking: list[list[_SceneGraph]] = []
    edge_columns, edge_index = ColumnBuilder(), NameIndex()
    attribute_columns, attribute_index = ColumnBuilder(), NameIndex()
    for items in batches:
        ids = [item.image_id for item in items]
        of_kind = [[items[row] for row in np.flatnonzero(~np.isin(ids, images))] for images in held]
        lacking.append(of_kind[0])
        edges = [edge for item in of_kind[1] for edge in item.relationships]
        edge_columns.add(subject=[edge.subject_id for edge in edges], object=[edge.object_id for edge in edges])
        _add_edges(edge_columns, edge_index, of_kind[1], edges)
        described = of_kind[2]
        _add_attributes(
            attribute_columns, attribute_index, [i.image_id for i in described], [i.objects for i in described]
        )
    return (
        _object_columns(lacking),
        edge_columns.build(edge_index.names),
        attribute_columns.build(attribute_index.names),
    )


def _add_edges(columns: ColumnBuilder, index: NameIndex, items: list[Any], edges: list[Any]) -> None:
    columns.add(
        image_id=[item.image_id for item in items],
        size=[len(item.relationships) for item in items],
        id=[-1 if edge.relationship_id is None else edge.relationship_id for edge in edges],
        name=[index[edge.predicate] for edge in edges],
    )


def _image_ids(batches: Iterable[list[Any]]) -> np.ndarray:
    return np.array([item.image_id for items in batches for item in items], np.int64)


def _image_sizes(batches: Iterable[list[_ImageData]]) -> np.ndarray:
    """(3 k,) image id, width, height of k images, one after the other."""
    return np.array([(i.image_id, i.width, i.height) for items in batches for i in items], np.int64).ravel()
