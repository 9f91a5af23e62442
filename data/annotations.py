"""The annotations of a data set as columns of numbers, and the choice of the vocabulary.

Visual Genome has 3.8 million objects. As Python objects they would take gigabytes; as
columns they take 200 MB, and counting and filtering them is a few array operations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from data.splits import ImageRecord, Labels, ObjectRecord, RelationshipRecord
from formats import InputError
from semantic_graph import SemanticActionGraph


@dataclass
class Annotations:
    """n images, m objects, a attributes, r relationships. Rows are sorted by image.

    Names are indices into `entity_names`, `attribute_names` and `predicate_names`, which hold
    canonical names. Attributes and relationships refer to objects by row.
    """

    image_names: list[str]
    image_ids: np.ndarray  # (n,) int64
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
    annotation_categories: list[str] | None = None
    annotation_predicates: list[str] | None = None
    dropped: Counter = field(default_factory=Counter)
    """{(kind, reason): how many}, kind is "object", "attribute" or "relationship" (or "item")."""

    def drop(self, kind: str, reason: str, count: int) -> None:
        """Note that `count` things of a kind were left out."""
        if count:
            self.dropped[kind, reason] += int(count)

    def keep_objects(self, masks: dict[str, np.ndarray]) -> None:
        """Keep the objects where every (m,) mask {reason to drop: mask} is true, and what hangs on them."""
        keep = np.ones(len(self.object_id), bool)
        for reason, mask in masks.items():
            self.drop("object", reason, (keep & ~mask).sum())
            keep &= mask
        if keep.all():
            return
        row = np.cumsum(keep) - 1
        for name in ("object_image", "object_id", "object_box", "object_name"):
            setattr(self, name, getattr(self, name)[keep])
        self.keep_attributes(keep[self.attribute_object], "its object was dropped")
        self.keep_relationships(
            keep[self.relationship_subject] & keep[self.relationship_object], "its subject or object was dropped"
        )
        self.other_names = self.other_names[keep[self.other_names[:, 0]]]
        self.other_names[:, 0] = row[self.other_names[:, 0]]
        self.attribute_object = row[self.attribute_object]
        self.relationship_subject = row[self.relationship_subject]
        self.relationship_object = row[self.relationship_object]

    def keep_attributes(self, keep: np.ndarray, reason: str) -> None:
        """Keep the attributes where the (a,) mask is true."""
        if keep.all():
            return
        self.drop("attribute", reason, len(keep) - keep.sum())
        self.attribute_object, self.attribute_name = self.attribute_object[keep], self.attribute_name[keep]

    def keep_relationships(self, keep: np.ndarray, reason: str) -> None:
        """Keep the relationships where the (r,) mask is true."""
        if keep.all():
            return
        self.drop("relationship", reason, len(keep) - keep.sum())
        for name in ("id", "subject", "predicate", "object"):
            setattr(self, f"relationship_{name}", getattr(self, f"relationship_{name}")[keep])

    def keep_images(self, rows: np.ndarray) -> None:
        """Keep the images of these rows (ascending); what is left out is not counted as dropped."""
        keep = np.zeros(len(self.image_ids), bool)
        keep[rows] = True
        dropped = self.dropped.copy()
        self.keep_objects({"": keep[self.object_image]})
        self.dropped = dropped
        self.object_image = (np.cumsum(keep) - 1)[self.object_image]
        self.image_names = [self.image_names[row] for row in rows]
        self.image_ids = self.image_ids[rows]

    def records(self, rows: np.ndarray) -> Iterator[ImageRecord]:
        """The images of these rows as the records of a split file."""
        object_start = np.searchsorted(self.object_image, np.arange(len(self.image_ids) + 1))
        attribute_start = np.searchsorted(self.attribute_object, np.arange(len(self.object_id) + 1))
        image_of_relationship = self.object_image[self.relationship_subject]
        relationship_start = np.searchsorted(image_of_relationship, np.arange(len(self.image_ids) + 1))
        for row in rows.tolist():
            a, b = object_start[row], object_start[row + 1]
            starts = attribute_start[a : b + 1]
            words = [self.attribute_names[i] for i in self.attribute_name[starts[0] : starts[-1]].tolist()]
            ends = (starts - starts[0]).tolist()
            ids = self.object_id[a:b].tolist()
            objects = [
                ObjectRecord(id_, *box, self.entity_names[name], words[first:last])
                for id_, box, name, first, last in zip(
                    ids,
                    _plain_boxes(self.object_box[a:b]),
                    self.object_name[a:b].tolist(),
                    ends,
                    ends[1:],
                    strict=False,
                )
            ]
            c, d = relationship_start[row], relationship_start[row + 1]
            relationships = [
                RelationshipRecord(id_, self.predicate_names[predicate], ids[subject], ids[object_])
                for id_, predicate, subject, object_ in zip(
                    self.relationship_id[c:d].tolist(),
                    self.relationship_predicate[c:d].tolist(),
                    (self.relationship_subject[c:d] - a).tolist(),
                    (self.relationship_object[c:d] - a).tolist(),
                    strict=True,
                )
            ]
            yield ImageRecord(self.image_names[row], Labels(int(self.image_ids[row]), objects, relationships))


def _plain_boxes(boxes: np.ndarray) -> list[list[int | float]]:
    """(k, 4) boxes as lists; whole numbers are written as integers."""
    if (boxes == np.floor(boxes)).all():
        return boxes.astype(np.int64).tolist()
    return [[int(value) if value == int(value) else value for value in box] for box in boxes.tolist()]


@dataclass
class Vocabulary:
    """The names that enter the graph, {name: count}, in the graph's order."""

    entities: dict[str, int]
    attributes: dict[str, int]
    predicates: dict[str, int]


def choose_vocabulary(annotations: Annotations, counted: np.ndarray, minimum: int) -> Vocabulary:
    """Cut the annotations down to the names seen at least `minimum` times; return these with their counts.

    counted: (n,) bool, the images that are counted (the training split). Entities are chosen
    first. Attributes and predicates are counted on what is left, so that every count equals
    what a reader of the split files would count. An object with several names takes the first
    that is in the vocabulary. Names are ordered by falling count, then by name; a data set with
    its own lists of names (VRD) keeps their order, and at a minimum of 1 keeps all of them.

    Changes `annotations` in place. Raises InputError when no entity is seen often enough.
    """
    counts = np.bincount(
        annotations.object_name[counted[annotations.object_image]], minlength=len(annotations.entity_names)
    )
    enough = counts >= max(minimum, 1)
    if annotations.annotation_categories is not None and minimum <= 1:
        enough[:] = True
    if not enough.any():
        most = counts.max(initial=0)
        raise InputError(
            f"no entity name occurs {minimum} times in the {int(counted.sum())} images that are counted "
            f"(the most frequent: {most}); use a smaller --min_occurances"
        )
    _take_first_known_name(annotations, enough)
    annotations.keep_objects({f"its name is seen fewer than {minimum} times": enough[annotations.object_name]})

    # One attribute given twice to one object is one attribute.
    pairs = annotations.attribute_object.astype(np.int64) * max(len(annotations.attribute_names), 1)
    first = np.zeros(len(pairs), bool)
    first[np.unique(pairs + annotations.attribute_name, return_index=True)[1]] = True
    annotations.keep_attributes(first, "given twice to one object")
    attribute_counts = np.bincount(
        annotations.attribute_name[counted[annotations.object_image[annotations.attribute_object]]],
        minlength=len(annotations.attribute_names),
    )
    enough_attribute = attribute_counts >= max(minimum, 1)
    annotations.keep_attributes(
        enough_attribute[annotations.attribute_name], f"its name is seen fewer than {minimum} times"
    )
    predicate_counts = np.bincount(
        annotations.relationship_predicate[counted[annotations.object_image[annotations.relationship_subject]]],
        minlength=len(annotations.predicate_names),
    )
    enough_predicate = predicate_counts >= max(minimum, 1)
    if annotations.annotation_predicates is not None and minimum <= 1:
        enough_predicate[:] = True
    annotations.keep_relationships(
        enough_predicate[annotations.relationship_predicate], f"its predicate is seen fewer than {minimum} times"
    )

    counts = np.bincount(
        annotations.object_name[counted[annotations.object_image]], minlength=len(annotations.entity_names)
    )
    own_order = annotations.annotation_categories is not None
    entities, annotations.object_name = _renumber(
        annotations.entity_names, counts, enough, annotations.object_name, own_order
    )
    attributes, annotations.attribute_name = _renumber(
        annotations.attribute_names, attribute_counts, enough_attribute, annotations.attribute_name, False
    )
    predicates, annotations.relationship_predicate = _renumber(
        annotations.predicate_names, predicate_counts, enough_predicate, annotations.relationship_predicate, own_order
    )
    annotations.entity_names, annotations.attribute_names = list(entities), list(attributes)
    annotations.predicate_names = list(predicates)
    return Vocabulary(entities, attributes, predicates)


def _take_first_known_name(annotations: Annotations, known: np.ndarray) -> None:
    """Give each object whose first name is unknown the first of its other names that is known."""
    others = annotations.other_names[known[annotations.other_names[:, 1]]]
    rows, first = np.unique(others[:, 0], return_index=True)
    unknown = ~known[annotations.object_name[rows]]
    annotations.object_name[rows[unknown]] = others[first[unknown], 1]
    annotations.other_names = annotations.other_names[:0]


def _renumber(
    names: list[str], counts: np.ndarray, keep: np.ndarray, column: np.ndarray, own_order: bool
) -> tuple[dict[str, int], np.ndarray]:
    """Kept names in vocabulary order with their counts, and the column of name indices in that order."""
    kept = np.flatnonzero(keep)
    if not own_order:
        kept = np.array(sorted(kept.tolist(), key=lambda i: (-counts[i], names[i])), dtype=np.int64)
    index = np.full(len(names), -1, np.int64)
    index[kept] = np.arange(len(kept))
    return {names[i]: int(counts[i]) for i in kept.tolist()}, index[column].astype(np.int32)


def build_graph(annotations: Annotations, counted: np.ndarray) -> SemanticActionGraph:
    """The graph of what `choose_vocabulary` left, from the images where the (n,) mask is true."""
    c, a, p = map(len, (annotations.entity_names, annotations.attribute_names, annotations.predicate_names))
    bearer = annotations.attribute_object[counted[annotations.object_image[annotations.attribute_object]]]
    attribute = annotations.attribute_name[counted[annotations.object_image[annotations.attribute_object]]]
    keys, counts = np.unique(annotations.object_name[bearer].astype(np.int64) * a + attribute, return_counts=True)
    attribute_edges = np.stack([*np.unravel_index(keys, (c, max(a, 1))), counts], axis=1)

    chosen = counted[annotations.object_image[annotations.relationship_subject]]
    subject = annotations.object_name[annotations.relationship_subject[chosen]].astype(np.int64)
    object_ = annotations.object_name[annotations.relationship_object[chosen]]
    keys = (subject * p + annotations.relationship_predicate[chosen]) * c + object_
    keys, counts = np.unique(keys, return_counts=True)
    predicate_edges = np.stack([*np.unravel_index(keys, (c, max(p, 1), c)), counts], axis=1)
    return SemanticActionGraph(
        annotations.entity_names,
        annotations.attribute_names,
        annotations.predicate_names,
        attribute_edges,
        predicate_edges,
        annotations.entity_aliases,
        annotations.predicate_aliases,
        annotations.annotation_categories,
        annotations.annotation_predicates,
    )
