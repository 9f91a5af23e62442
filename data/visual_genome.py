"""Reading Visual Genome 1.4 annotations (Krishna et al., IJCV 2017).

Objects come from `objects.json`, relationships from `relationships.json`, attributes from
`attributes.json` by `object_id`. `scene_graphs.json` repeats the first two; it is used for
images that they lack, and in their place where they are missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from data.annotations import Annotations
from data.json_list import ItemType, read_lists
from data.processes import available_cores
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


@dataclass
class _Columns:
    """Part of a file, or all of it, condensed.

    rows: equally long arrays. names: what rows["name"] points into. image_id, size: of each item
    of the file, its image and how many rows it has. others: (k, 2) row, further name of an
    object. merged: (k, 2) row, further id of an object.
    """

    rows: dict[str, np.ndarray]
    names: list[str]
    image_id: np.ndarray
    size: np.ndarray
    others: np.ndarray
    merged: np.ndarray


class _Gathering:
    """Columns that grow batch by batch."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = defaultdict(list)

    def add(self, dtype: type = np.int64, /, **columns: list) -> None:
        for key, values in columns.items():
            self._parts[key].append(np.array(values, dtype).ravel())

    def finish(self, names: list[str]) -> _Columns:
        arrays = {key: np.concatenate(self._parts.pop(key)) for key in list(self._parts)}
        others, merged = (arrays.pop(key, _NONE).reshape(-1, 2) for key in ("others", "merged"))
        image_id, size = (arrays.pop(key, _NONE) for key in ("image_id", "size"))
        return _Columns({key: _compact(array) for key, array in arrays.items()}, names, image_id, size, others, merged)


_NONE = np.zeros(0, np.int64)


def _compact(array: np.ndarray) -> np.ndarray:
    """As int32 when nothing is lost by it (nothing is, in Visual Genome)."""
    with np.errstate(invalid="ignore"):
        small = array.astype(np.int32)
    return small if (small == array).all() else array


def read_visual_genome(directory: str | Path, skip_bad_items: bool = False, workers: int | None = None) -> Annotations:
    """Read the annotations in a folder; images are in the order of their ids.

    Names are folded and replaced by the canonical names of `object_alias.txt` and
    `relationship_alias.txt`, where these are. workers: number of processes (None: one a core);
    the result does not depend on it. Raises InputError naming file, item and byte.
    """
    directory = Path(directory)
    workers = workers or available_cores()
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
        held = [np.unique(_gather(part.image_id for part in parts[kind])) for kind in ("objects", "relationships")]
        ids = np.concatenate(found["scene graph ids"][0]) if "scene graph ids" in found else None
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


def _aliases(path: Path) -> dict[str, str]:
    return read_aliases(path) if path.exists() else {}


# Condensing decoded items, in the worker processes ----------------------------------------------


class _Names(dict):
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


def _object_columns(batches: Iterable[list[_ObjectsOfImage]]) -> _Columns:
    columns, index, begin = _Gathering(), _Names(), 0
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
    return columns.finish(index.names)


def _attribute_columns(batches: Iterable[list[_AttributesOfImage]]) -> _Columns:
    columns, index = _Gathering(), _Names()
    for items in batches:
        bearers = [[object_ for object_ in item.attributes if object_.attributes] for item in items]
        objects = [object_ for bearer in bearers for object_ in bearer]
        columns.add(
            image_id=[item.image_id for item in items],
            size=[sum([len(object_.attributes) for object_ in bearer]) for bearer in bearers],
            id=[object_.object_id for object_ in objects for _ in object_.attributes],
            name=[index[name] for object_ in objects for name in object_.attributes],
        )
    return columns.finish(index.names)


def _relationship_columns(batches: Iterable[list[_RelationshipsOfImage]]) -> _Columns:
    columns, index = _Gathering(), _Names()
    for items in batches:
        edges = [edge for item in items for edge in item.relationships]
        columns.add(
            subject=[edge.subject.object_id for edge in edges], object=[edge.object.object_id for edge in edges]
        )
        _add_edges(columns, index, items, edges)
    return columns.finish(index.names)


def _scene_graph_columns(batches: Iterable[list[_SceneGraph]], held: list[np.ndarray]) -> tuple[_Columns, _Columns]:
    """Objects and relationships of the images whose objects, or relationships, are not held already."""
    columns, index, lacking = _Gathering(), _Names(), []
    for items in batches:
        ids = [item.image_id for item in items]
        lacking.append([items[row] for row in np.flatnonzero(~np.isin(ids, held[0]))])
        items = [items[row] for row in np.flatnonzero(~np.isin(ids, held[1]))]
        edges = [edge for item in items for edge in item.relationships]
        columns.add(subject=[edge.subject_id for edge in edges], object=[edge.object_id for edge in edges])
        _add_edges(columns, index, items, edges)
    return _object_columns(lacking), columns.finish(index.names)


def _add_edges(columns: _Gathering, index: _Names, items: list[Any], edges: list[Any]) -> None:
    columns.add(
        image_id=[item.image_id for item in items],
        size=[len(item.relationships) for item in items],
        id=[-1 if edge.relationship_id is None else edge.relationship_id for edge in edges],
        name=[index[edge.predicate] for edge in edges],
    )


def _image_ids(batches: Iterable[list[Any]]) -> np.ndarray:
    return np.array([item.image_id for items in batches for item in items], np.int64)


# Joining the files by image and object id -------------------------------------------------------


def _gather(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([_NONE[:0].astype(np.int32), *arrays])


def _concatenate(parts: list[_Columns], aliases: dict[str, str], keys: tuple[str, ...]) -> _Columns:
    """The parts of a file as one, with canonical names. Empties the list, so that only one copy stays."""
    index: dict[str, int] = {}
    begin = 0
    for part in parts:
        if part.rows:
            canonical = [aliases.get(name, name) for name in part.names]
            number = np.array([index.setdefault(name, len(index)) for name in canonical], np.int32)
            part.rows["name"] = number[part.rows["name"]]
            part.others[:, 1] = number[part.others[:, 1]]
            part.others[:, 0] += begin
            part.merged[:, 0] += begin
            begin += len(part.rows["name"])
    columns = _Columns(
        {key: _gather(part.rows[key] for part in parts if part.rows) for key in keys},
        list(index),
        *(_gather(getattr(part, key) for part in parts) for key in ("image_id", "size")),
        *(
            np.concatenate([_NONE.reshape(0, 2), *(getattr(part, key) for part in parts)])
            for key in ("others", "merged")
        ),
    )
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
    merged_row, merged_id = merged_row[~repeated[merged_row]], merged_id[~repeated[merged_row]]

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
