"""Joining what was read from several files, by image and object id.

Each file is condensed to columns of numbers where it is decoded, range by range. Here the
ranges become one table a file, and the ids become rows: array operations, no loops over objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from data.annotations import Annotations
from semantic_graph import fold_name


@dataclass
class Columns:
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


class ColumnBuilder:
    """Columns that grow batch by batch."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = defaultdict(list)

    def add(self, dtype: type = np.int64, /, **columns: list) -> None:
        """Append a batch to each of the columns."""
        for key, values in columns.items():
            self._parts[key].append(np.array(values, dtype).ravel())

    def build(self, names: list[str]) -> Columns:
        """All batches as one, in the narrowest type that holds them."""
        arrays = {key: np.concatenate(self._parts.pop(key)) for key in list(self._parts)}
        others, merged = (arrays.pop(key, _NONE).reshape(-1, 2) for key in ("others", "merged"))
        image_id, size = (arrays.pop(key, _NONE) for key in ("image_id", "size"))
        return Columns({key: _compact(array) for key, array in arrays.items()}, names, image_id, size, others, merged)


class NameIndex(dict):
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


_NONE = np.zeros(0, np.int64)


def _compact(array: np.ndarray) -> np.ndarray:
    """As int32 when nothing is lost by it (nothing is, in Visual Genome)."""
    with np.errstate(invalid="ignore"):
        small = array.astype(np.int32)
    return small if (small == array).all() else array


def gather(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """The arrays as one; also when there are none."""
    return np.concatenate([np.zeros(0, np.int32), *arrays])


def concatenate(parts: list[Columns], aliases: dict[str, str], keys: tuple[str, ...]) -> Columns:
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
    columns = Columns(
        {key: gather(part.rows.pop(key) for part in parts if part.rows) for key in keys},
        list(index),
        *(gather(getattr(part, key) for part in parts) for key in ("image_id", "size")),
        *(
            np.concatenate([_NONE.reshape(0, 2), *(getattr(part, key) for part in parts)])
            for key in ("others", "merged")
        ),
    )
    parts.clear()
    return columns


def join(objects: Columns, attributes: Columns, relationships: Columns) -> Annotations:
    """One table of everything: rows instead of ids. What cannot be resolved is dropped and counted.

    Rows of objects have id, x, y, w, h, name; of attributes id (of the object), name; of
    relationships id, subject, object, name. Images are in the order of their ids.
    """
    image_ids = np.unique(objects.image_id)
    image = np.repeat(np.searchsorted(image_ids, objects.image_id).astype(np.int32), objects.size)
    order = _sorting(image)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order), dtype=np.int32)
    image, ids = image[order], objects.rows.pop("id")[order]
    others = np.stack([rank[objects.others[:, 0]], objects.others[:, 1]], axis=1)
    others = others[np.argsort(others[:, 0], kind="stable")]
    merged_row, merged_id = rank[objects.merged[:, 0]], objects.merged[:, 1]
    lookup, repeated, absorbed = _object_lookup(image, ids, merged_row, merged_id)

    attribute_image = _image_rows(image_ids, attributes)
    described = lookup(attribute_image, attributes.rows["id"])
    edge_image = _image_rows(image_ids, relationships)
    subject = lookup(edge_image, relationships.rows["subject"])
    object_ = lookup(edge_image, relationships.rows["object"])
    edge_id = relationships.rows["id"]
    again = _of_repeated_items(relationships)

    attribute_order = _sorting(described)
    edge_order = _sorting(edge_image)
    annotations = Annotations(
        image_names=[f"{id_}.jpg" for id_ in image_ids.tolist()],
        image_ids=image_ids,
        image_size=np.zeros((len(image_ids), 2), np.int32),
        entity_names=objects.names,
        attribute_names=attributes.names,
        predicate_names=relationships.names,
        object_image=image,
        object_id=ids,
        object_box=np.stack([objects.rows.pop(key)[order] for key in ("x", "y", "w", "h")], axis=1),
        object_name=objects.rows.pop("name")[order],
        attribute_object=described[attribute_order],
        attribute_name=attributes.rows["name"][attribute_order],
        relationship_id=np.where(edge_id < 0, np.arange(len(edge_id)), edge_id)[edge_order],
        relationship_subject=subject[edge_order],
        relationship_predicate=relationships.rows["name"][edge_order],
        relationship_object=object_[edge_order],
        other_names=others,
    )
    known = annotations.attribute_object >= 0
    annotations.keep_attributes(
        known, "its object is not among the objects of its image", attribute_image[attribute_order]
    )
    named = _is_named(annotations.attribute_names)
    annotations.keep_attributes(named[annotations.attribute_name], "it has no name")
    again, images = again[edge_order], edge_image[edge_order]
    annotations.keep_relationships(~again, "its image is listed a second time", images)
    images = images[~again]
    subject, object_ = annotations.relationship_subject, annotations.relationship_object
    annotations.keep_relationships(
        (subject >= 0) & (object_ >= 0), "its subject or object is not among the objects of its image", images
    )
    annotations.keep_relationships(
        annotations.relationship_subject != annotations.relationship_object, "it is between an object and itself"
    )
    named = _is_named(annotations.predicate_names)
    annotations.keep_relationships(named[annotations.relationship_predicate], "it has no predicate")

    named = _is_named(annotations.entity_names)[annotations.object_name]
    annotations.keep_objects(
        {
            "an earlier object of its image has its id": ~repeated,
            "it is merged into another object": ~absorbed,
            "it has no name": named,
            "its box is empty": (annotations.object_box[:, 2:] > 0).all(axis=1),
        }
    )
    return annotations


def _sorting(keys: np.ndarray) -> np.ndarray:
    """(n,) int32 order that sorts the keys, equal ones as they stand."""
    return np.argsort(keys, kind="stable").astype(np.int32)


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
    keys = image * np.int64(span) + ids
    unique, first = np.unique(keys, return_index=True)
    repeated = np.ones(len(keys), bool)
    repeated[first] = False
    merged_row, merged_id = merged_row[~repeated[merged_row]], merged_id[~repeated[merged_row]]

    first = first.astype(np.int32)
    target = np.arange(len(keys), dtype=np.int32)
    merged_key = image[merged_row] * np.int64(span) + merged_id
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
            return np.full(len(object_ids), -1, np.int32)
        wanted = np.where((image_rows < 0) | (object_ids >= span), -1, image_rows * np.int64(span) + object_ids)
        at = np.minimum(np.searchsorted(table, wanted), len(table) - 1)
        return np.where(table[at] == wanted, table_rows[at], -1)

    return lookup, repeated, absorbed


def _root(parent: dict[int, int], row: int) -> int:
    while row in parent:
        row = parent[row]
    return row


def _image_rows(image_ids: np.ndarray, columns: Columns) -> np.ndarray:
    """The row of each entry's image; -1 when objects.json does not have it."""
    if len(image_ids) == 0:
        return np.full(int(columns.size.sum()), -1)
    row = np.minimum(np.searchsorted(image_ids, columns.image_id), len(image_ids) - 1)
    return np.repeat(np.where(image_ids[row] == columns.image_id, row, -1).astype(np.int32), columns.size)


def _of_repeated_items(columns: Columns) -> np.ndarray:
    """(rows,) bool: which rows belong to an item whose image an earlier item of the file has."""
    again = np.ones(len(columns.image_id), bool)
    again[np.unique(columns.image_id, return_index=True)[1]] = False
    return np.repeat(again, columns.size)


def _is_named(names: list[str]) -> np.ndarray:
    return np.array([name != "" for name in names], bool)
