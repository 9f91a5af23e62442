"""Reading Visual Genome 1.4 annotations (Krishna et al., IJCV 2017).

Objects come from `objects.json`, relationships from `relationships.json`, attributes from
`attributes.json` by `object_id`. `scene_graphs.json` repeats the first two; it is used for
images that they lack, and in their place where they are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from data.annotations import Annotations
from data.json_list import ItemType, read_lists
from formats import InputError, read_json
from semantic_graph import fold_name, read_aliases

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
    objects: list[_Object]
    relationships: list[_Edge]


class _SceneGraphId(msgspec.Struct, gc=False):
    image_id: Id


class _Names(dict[str | None, int]):
    """Raw name -> index into `names`, the folded names met so far."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self._index: dict[str, int] = {}

    def __missing__(self, raw: str | None) -> int:
        folded = fold_name(raw or "")
        index = self._index.setdefault(folded, len(self.names))
        if index == len(self.names):
            self.names.append(folded)
        self[raw] = index
        return index


@dataclass
class _Columns:
    """Part of a file, or all of it, condensed.

    image_id, size: of each item, its image and its number of rows. rows: arrays with one entry a
    row. names: what the array `rows["name"]` points into. others, merged: (k, 2), see `_object_columns`.
    """

    image_id: np.ndarray
    size: np.ndarray
    rows: dict[str, np.ndarray]
    names: list[str]
    others: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    merged: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))


def read_visual_genome(directory: str | Path, skip_bad_items: bool = False, workers: int | None = None) -> Annotations:
    """Read the annotations in a folder; images are in the order of their ids.

    Names are folded and replaced by the canonical names of `object_alias.txt` and
    `relationship_alias.txt`, where these are. workers: number of processes (None: one a core);
    the result does not depend on it. Raises InputError naming file, item and byte.
    """
    directory = Path(directory)
    workers = workers or _cores()
    entity_aliases = _aliases(directory / "object_alias.txt")
    predicate_aliases = _aliases(directory / "relationship_alias.txt")
    scene_graphs = directory / "scene_graphs.json"
    jobs = {
        "objects": (directory / "objects.json", _OBJECTS, _object_columns),
        "relationships": (directory / "relationships.json", _RELATIONSHIPS, _relationship_columns),
        "attributes": (directory / "attributes.json", _ATTRIBUTES, _attribute_columns),
    }
    if scene_graphs.exists():  # the others but the attributes are then not needed
        jobs = {kind: job for kind, job in jobs.items() if kind == "attributes" or job[0].exists()}
        if len(jobs) == 3:
            jobs["scene graph ids"] = (scene_graphs, _SCENE_GRAPH_IDS, _image_ids)
    found = dict(zip(jobs, read_lists(list(jobs.values()), skip_bad_items, workers, "annotations"), strict=True))
    bad = sum(count for _, count in found.values())
    parts = {kind: found[kind][0] if kind in found else [] for kind in ("objects", "relationships", "attributes")}
    if scene_graphs.exists():
        held = [np.unique(_gather([part.image_id for part in parts[kind]])) for kind in ("objects", "relationships")]
        ids = _gather(found["scene graph ids"][0]) if "scene graph ids" in found else None
        if ids is None or not (np.isin(ids, held[0]).all() and np.isin(ids, held[1]).all()):
            job = (scene_graphs, _SCENE_GRAPHS, partial(_scene_graph_columns, held=held))
            ((lacking, count),) = read_lists([job], skip_bad_items, workers, "scene graphs")
            bad += count if ids is None else 0  # else they were counted with the ids
            parts["objects"] += [objects for objects, _ in lacking]
            parts["relationships"] += [relationships for _, relationships in lacking]
    annotations = _join(
        _concatenate(parts["objects"], entity_aliases, ("id", "x", "y", "w", "h", "name")),
        _concatenate(parts["attributes"], {}, ("id", "name")),
        _concatenate(parts["relationships"], predicate_aliases, ("id", "subject", "object", "name")),
    )
    annotations.entity_aliases, annotations.predicate_aliases = entity_aliases, predicate_aliases
    annotations.drop("item", "malformed (--skip_bad_items)", bad)
    return annotations


def read_split_file(path: str | Path, image_ids: np.ndarray) -> list[np.ndarray]:
    """Read `{"train": [image ids], "validation": [...], "test": [...]}` as sorted rows of (n,) sorted image_ids.

    Raises InputError when an id is not annotated or stands in it twice.
    """
    splits = read_json(path, _SplitFile)
    ids = [np.array(part, np.int64) for part in (splits.train, splits.validation, splits.test)]
    everything = np.concatenate(ids)
    unknown = everything[~np.isin(everything, image_ids)]
    if len(unknown):
        raise InputError(
            f"{path}: image {unknown[0]} has no annotations; take it out, or give --num_train and the like"
        )
    if len(np.unique(everything)) != len(everything):
        raise InputError(f"{path}: an image stands in it twice; an image belongs to one split")
    return [np.sort(np.searchsorted(image_ids, part)) for part in ids]


class _SplitFile(msgspec.Struct):
    train: list[Id]
    validation: list[Id]
    test: list[Id]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _aliases(path: Path) -> dict[str, str]:
    return read_aliases(path) if path.exists() else {}


# Condensing decoded items, in the worker processes ----------------------------------------------


def _object_columns(items: list[_ObjectsOfImage]) -> _Columns:
    """`others`: (row, name) for further names of an object; `merged`: (row, another id of it)."""
    objects = [object_ for item in items for object_ in item.objects]
    index = _Names()
    first, others, merged = [], [], []
    for row, object_ in enumerate(objects):
        names = object_.names
        if names and len(names) == 1:
            first.append(index[names[0]])
        else:
            known = [number for number in map(index.__getitem__, names or [object_.name]) if index.names[number]]
            first.append(known[0] if known else index[""])
            others += [(row, number) for number in known[1:]]
        if object_.merged_object_ids:
            merged += [(row, id_) for id_ in object_.merged_object_ids]
    rows = {key: _compact([getattr(object_, key) for object_ in objects]) for key in ("x", "y", "w", "h")}
    rows["id"] = np.array([object_.object_id for object_ in objects], np.int64)
    rows["name"] = np.array(first, np.int32)
    return _Columns(
        _image_ids(items),
        np.array([len(item.objects) for item in items], np.int64),
        rows,
        index.names,
        np.array(others, np.int64).reshape(-1, 2),
        np.array(merged, np.int64).reshape(-1, 2),
    )


def _attribute_columns(items: list[_AttributesOfImage]) -> _Columns:
    index = _Names()
    ids, names, sizes = [], [], []
    for item in items:
        before = len(names)
        for object_ in item.attributes:
            if object_.attributes:
                ids += [object_.object_id] * len(object_.attributes)
                names += [index[name] for name in object_.attributes]
        sizes.append(len(names) - before)
    rows = {"id": np.array(ids, np.int64), "name": np.array(names, np.int32)}
    return _Columns(_image_ids(items), np.array(sizes, np.int64), rows, index.names)


def _relationship_columns(items: list[_RelationshipsOfImage]) -> _Columns:
    edges = [edge for item in items for edge in item.relationships]
    subjects = [edge.subject.object_id for edge in edges]
    return _edge_columns(items, edges, subjects, [edge.object.object_id for edge in edges])


def _scene_graph_columns(items: list[_SceneGraph], held: list[np.ndarray]) -> tuple[_Columns, _Columns]:
    """Objects and relationships of the images whose objects, or relationships, are not held already."""
    ids = _image_ids(items)
    objects, relationships = ([items[i] for i in np.flatnonzero(~np.isin(ids, known))] for known in held)
    edges = [edge for item in relationships for edge in item.relationships]
    subjects = [edge.subject_id for edge in edges]
    edge_columns = _edge_columns(relationships, edges, subjects, [edge.object_id for edge in edges])
    return _object_columns(objects), edge_columns


def _edge_columns(items: list[Any], edges: list[Any], subjects: list[int], objects: list[int]) -> _Columns:
    index = _Names()
    rows = {
        "id": np.array([-1 if edge.relationship_id is None else edge.relationship_id for edge in edges], np.int64),
        "subject": np.array(subjects, np.int64),
        "object": np.array(objects, np.int64),
        "name": np.array([index[edge.predicate] for edge in edges], np.int32),
    }
    sizes = np.array([len(item.relationships) for item in items], np.int64)
    return _Columns(_image_ids(items), sizes, rows, index.names)


def _image_ids(items: list[Any]) -> np.ndarray:
    return np.array([item.image_id for item in items], np.int64)


def _compact(values: list[float]) -> np.ndarray:
    """As int32 when all are whole numbers (they are, in Visual Genome), else as float64."""
    array = np.array(values, np.float64)
    whole = array.astype(np.int32)
    return whole if (whole == array).all() else array


# Joining the files by image and object id -------------------------------------------------------


def _gather(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int64)


def _concatenate(parts: list[_Columns], aliases: dict[str, str], keys: tuple[str, ...]) -> _Columns:
    """The parts of a file as one, with canonical names. The list of parts is emptied on the way."""
    index: dict[str, int] = {}
    begin = 0
    for part in parts:
        canonical = [aliases.get(name, name) for name in part.names]
        number = np.array([index.setdefault(name, len(index)) for name in canonical], np.int32)
        part.rows["name"] = number[part.rows["name"]]
        part.others[:, 1] = number[part.others[:, 1]]
        part.others[:, 0] += begin
        part.merged[:, 0] += begin
        begin += len(part.rows["name"])
    columns = _Columns(
        _gather([part.image_id for part in parts]),
        _gather([part.size for part in parts]),
        {key: _gather([part.rows[key] for part in parts]) for key in keys},
        list(index),
    )
    if parts:
        columns.others = np.concatenate([part.others for part in parts])
        columns.merged = np.concatenate([part.merged for part in parts])
    parts.clear()
    return columns


def _join(objects: _Columns, attributes: _Columns, relationships: _Columns) -> Annotations:
    """Rows in place of ids; what cannot be resolved is dropped and counted."""
    image_ids = np.unique(objects.image_id)
    image = np.searchsorted(image_ids, np.repeat(objects.image_id, objects.size))
    order = np.argsort(image, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    image, ids = image[order], objects.rows["id"][order]
    others = np.stack([rank[objects.others[:, 0]], objects.others[:, 1]], axis=1)
    others = others[np.argsort(others[:, 0], kind="stable")]
    merged_row, merged_id = rank[objects.merged[:, 0]], objects.merged[:, 1]
    lookup, repeated, absorbed = _object_lookup(image, ids, merged_row, merged_id)

    bearer = lookup(_image_rows(image_ids, attributes), attributes.rows["id"])
    edge_image = _image_rows(image_ids, relationships)
    subject = lookup(edge_image, relationships.rows["subject"])
    object_ = lookup(edge_image, relationships.rows["object"])
    edge_id = relationships.rows["id"]
    again = _of_repeated_items(relationships)

    attribute_order = np.argsort(bearer, kind="stable")
    edge_order = np.argsort(edge_image, kind="stable")
    annotations = Annotations(
        image_names=[f"{id_}.jpg" for id_ in image_ids.tolist()],
        image_ids=image_ids,
        entity_names=objects.names,
        attribute_names=attributes.names,
        predicate_names=relationships.names,
        object_image=image,
        object_id=ids,
        object_box=np.stack([objects.rows[key][order] for key in ("x", "y", "w", "h")], axis=1),
        object_name=objects.rows["name"][order],
        attribute_object=bearer[attribute_order],
        attribute_name=attributes.rows["name"][attribute_order],
        relationship_id=np.where(edge_id < 0, np.arange(len(edge_id)), edge_id)[edge_order],
        relationship_subject=subject[edge_order],
        relationship_predicate=relationships.rows["name"][edge_order],
        relationship_object=object_[edge_order],
        other_names=others,
    )
    known = annotations.attribute_object >= 0
    annotations.keep_attributes(known, "its object is not among the objects of its image")
    named = _is_named(annotations.attribute_names)
    annotations.keep_attributes(named[annotations.attribute_name], "it has no name")
    annotations.keep_relationships(~again[edge_order], "its image is listed a second time")
    subject, object_ = annotations.relationship_subject, annotations.relationship_object
    annotations.keep_relationships(
        (subject >= 0) & (object_ >= 0), "its subject or object is not among the objects of its image"
    )
    annotations.keep_relationships(
        annotations.relationship_subject != annotations.relationship_object, "it is between an object and itself"
    )
    named = _is_named(annotations.predicate_names)
    annotations.keep_relationships(named[annotations.relationship_predicate], "it has no predicate")

    named = _is_named(annotations.entity_names)[annotations.object_name]
    annotations.keep_objects(
        {
            "its id stands in its image already": ~repeated,
            "it is merged into another object": ~absorbed,
            "it has no name": named,
            "its box is empty": (annotations.object_box[:, 2:] > 0).all(axis=1),
        }
    )
    return annotations


def _object_lookup(
    image: np.ndarray, ids: np.ndarray, merged_row: np.ndarray, merged_id: np.ndarray
) -> tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], np.ndarray, np.ndarray]:
    """Resolve object ids within an image.

    image, ids: (m,) of the objects. merged_row, merged_id: (k,) further ids of an object.
    Returns a function from image rows and ids (-1 image: none) to object rows (-1: no such
    object), and two (m,) masks: objects whose id an earlier one has, and objects that are
    merged into another.
    """
    span = 1 + max(ids.max(initial=0), merged_id.max(initial=0))
    keys = image * span + ids
    unique, first = np.unique(keys, return_index=True)
    repeated = np.ones(len(keys), bool)
    repeated[first] = False

    target = np.arange(len(keys))
    merged_key = image[merged_row] * span + merged_id
    place = np.minimum(np.searchsorted(unique, merged_key), max(len(unique) - 1, 0))
    exists = unique[place] == merged_key if len(unique) else np.zeros(0, bool)
    parent: dict[int, int] = {}
    for owner, row in zip(merged_row[exists].tolist(), first[place[exists]].tolist(), strict=True):
        owner, row = _root(parent, owner), _root(parent, row)
        if owner != row:
            parent[row] = owner
    absorbed = np.zeros(len(keys), bool)
    if parent:
        rows = np.array(list(parent))
        target[rows] = [_root(parent, row) for row in parent]
        absorbed[rows] = True
    # first the objects' own ids, then those that only a list of merged ids names
    all_keys = np.concatenate([unique, merged_key[~exists]])
    all_rows = np.concatenate([first, merged_row[~exists]])
    table, chosen = np.unique(all_keys, return_index=True)
    table_rows = target[all_rows[chosen]]

    def lookup(image_rows: np.ndarray, object_ids: np.ndarray) -> np.ndarray:
        if len(table) == 0:
            return np.full(len(object_ids), -1)
        wanted = np.where((image_rows < 0) | (object_ids >= span), -1, image_rows * span + object_ids)
        at = np.minimum(np.searchsorted(table, wanted), len(table) - 1)
        return np.where(table[at] == wanted, table_rows[at], -1)

    return lookup, repeated, absorbed


def _root(parent: dict[int, int], row: int) -> int:
    while row in parent:
        row = parent[row]
    return row


def _image_rows(image_ids: np.ndarray, columns: _Columns) -> np.ndarray:
    """The row of each entry's image; -1 when objects.json does not have it."""
    if len(image_ids) == 0:
        return np.full(int(columns.size.sum()), -1)
    row = np.minimum(np.searchsorted(image_ids, columns.image_id), len(image_ids) - 1)
    return np.repeat(np.where(image_ids[row] == columns.image_id, row, -1), columns.size)


def _of_repeated_items(columns: _Columns) -> np.ndarray:
    """(rows,) bool: which rows belong to an item whose image an earlier item of the file has."""
    again = np.ones(len(columns.image_id), bool)
    again[np.unique(columns.image_id, return_index=True)[1]] = False
    return np.repeat(again, columns.size)


def _is_named(names: list[str]) -> np.ndarray:
    return np.array([name != "" for name in names], bool)


_OBJECTS = ItemType(_ObjectsOfImage, {"objects": _Object})
_ATTRIBUTES = ItemType(_AttributesOfImage, {"attributes": _Attributes})
_RELATIONSHIPS = ItemType(_RelationshipsOfImage, {"relationships": _Relationship})
_SCENE_GRAPHS = ItemType(_SceneGraph, {"objects": _Object, "relationships": _Edge})
_SCENE_GRAPH_IDS = ItemType(_SceneGraphId, {})
