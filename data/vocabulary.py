"""Choosing the vocabulary, and the semantic action graph of what is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.annotations import Annotations
from files.io import InputError
from semantic_graph import SemanticActionGraph


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
