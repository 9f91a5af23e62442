"""Choosing the vocabulary, and the semantic action graph of what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.annotations import Annotations
from files.io import InputError, decode_json, read_bytes
from semantic_graph import SemanticActionGraph, fold_name

PLURAL = {"entity": "entities", "attribute": "attributes", "predicate": "predicates"}


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
    that is in the vocabulary. Names are ordered by falling count, then by name; a fixed list of
    names (`fixed_words`) is kept whole and in its order; a data set with its own lists of names
    (VRD) keeps their order, and at a minimum of 1 keeps all of them.

    Changes `annotations` in place. Raises InputError when no entity is seen often enough.
    """
    if minimum <= 1 and annotations.annotation_categories is not None:
        annotations.fixed_words.setdefault("entity", len(annotations.entity_names))
        annotations.fixed_words.setdefault("predicate", len(annotations.predicate_names))
    counts = _count_objects(annotations, counted)
    enough, reason = _chosen(annotations, "entity", counts, minimum)
    if not enough.any():
        most = counts.max(initial=0)
        raise InputError(
            f"no entity name occurs {minimum} times in the {int(counted.sum())} images that are counted "
            f"(the most frequent: {most}); use a smaller --min_occurrences"
        )
    _take_first_known_name(annotations, enough)
    annotations.keep_objects({reason: enough[annotations.object_name]})
    if len(annotations.object_id) == 0:
        raise InputError("no object is left: no name of an object is in the list; check --entities")

    # One attribute given twice to one object is one attribute.
    pairs = annotations.attribute_object.astype(np.int64) * max(len(annotations.attribute_names), 1)
    first = np.zeros(len(pairs), bool)
    first[np.unique(pairs + annotations.attribute_name, return_index=True)[1]] = True
    annotations.keep_attributes(first, "given twice to one object")
    attribute_counts = np.bincount(
        annotations.attribute_name[counted[annotations.object_image[annotations.attribute_object]]],
        minlength=len(annotations.attribute_names),
    )
    enough_attribute, reason = _chosen(annotations, "attribute", attribute_counts, minimum)
    annotations.keep_attributes(enough_attribute[annotations.attribute_name], reason)
    predicate_counts = np.bincount(
        annotations.relationship_predicate[counted[annotations.object_image[annotations.relationship_subject]]],
        minlength=len(annotations.predicate_names),
    )
    enough_predicate, reason = _chosen(annotations, "predicate", predicate_counts, minimum)
    annotations.keep_relationships(enough_predicate[annotations.relationship_predicate], reason)

    counts = _count_objects(annotations, counted)
    entities, annotations.object_name = _renumber(annotations, "entity", counts, enough, annotations.object_name)
    attributes, annotations.attribute_name = _renumber(
        annotations, "attribute", attribute_counts, enough_attribute, annotations.attribute_name
    )
    predicates, annotations.relationship_predicate = _renumber(
        annotations, "predicate", predicate_counts, enough_predicate, annotations.relationship_predicate
    )
    annotations.entity_names, annotations.attribute_names = list(entities), list(attributes)
    annotations.predicate_names = list(predicates)
    return Vocabulary(entities, attributes, predicates)


def _count_objects(annotations: Annotations, counted: np.ndarray) -> np.ndarray:
    """(names,) how many objects of the counted images have each entity name as their first."""
    names = annotations.object_name[counted[annotations.object_image]]
    return np.bincount(names, minlength=len(annotations.entity_names))


def _chosen(annotations: Annotations, kind: str, counts: np.ndarray, minimum: int) -> tuple[np.ndarray, str]:
    """(names,) bool: which enter the vocabulary; and why the others do not."""
    noun = "its predicate" if kind == "predicate" else "its name"
    if kind in annotations.fixed_words:
        return np.arange(len(counts)) < annotations.fixed_words[kind], f"{noun} is not in the list of {PLURAL[kind]}"
    return counts >= max(minimum, 1), f"{noun} is seen fewer than {minimum} times"


def _take_first_known_name(annotations: Annotations, known: np.ndarray) -> None:
    """Give each object whose first name is unknown the first of its other names that is known."""
    others = annotations.other_names[known[annotations.other_names[:, 1]]]
    rows, first = np.unique(others[:, 0], return_index=True)
    unknown = ~known[annotations.object_name[rows]]
    annotations.object_name[rows[unknown]] = others[first[unknown], 1]
    annotations.other_names = annotations.other_names[:0]


def _renumber(
    annotations: Annotations, kind: str, counts: np.ndarray, keep: np.ndarray, column: np.ndarray
) -> tuple[dict[str, int], np.ndarray]:
    """Kept names in vocabulary order with their counts, and the column of name indices in that order."""
    names, kept = annotations.names_of(kind), np.flatnonzero(keep)
    own_order = kind != "attribute" and annotations.annotation_categories is not None
    if not own_order and kind not in annotations.fixed_words:
        kept = np.array(sorted(kept.tolist(), key=lambda i: (-counts[i], names[i])), dtype=np.int64)
    index = np.full(len(names), -1, np.int64)
    index[kept] = np.arange(len(kept))
    return {names[i]: int(counts[i]) for i in kept.tolist()}, index[column].astype(np.int32)


def read_word_list(path: str | Path) -> list[str]:
    """The names of a file: one a line, or a JSON list, or `{name: count}` as create_graph.py writes it.

    Names are folded. Raises InputError when there is none, or one appears twice.
    """
    data = read_bytes(path, "give a file with one name a line")
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{"):
        names = list(decode_json(data, path, list[str] | dict[str, int]))
    else:
        try:
            names = data.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: is not UTF-8 text at byte {error.start}; save it as UTF-8") from None
    names = [name for name in map(fold_name, names) if name]
    if not names:
        raise InputError(f"{path}: holds no name; write one a line")
    for name, count in Counter(names).most_common(1):
        if count > 1:
            raise InputError(f"{path}: has {name!r} {count} times; keep one of them")
    return names


def use_word_list(annotations: Annotations, kind: str, words: Sequence[str], path: str | Path) -> None:
    """Make `words` the whole vocabulary of a kind ("entity", "attribute" or "predicate"), in this order.

    A word that an alias group knows under another name takes that group over. Raises InputError
    naming `path` when two words are of one group.
    """
    aliases = {"entity": annotations.entity_aliases, "predicate": annotations.predicate_aliases}.get(kind, {})
    named: dict[str, str] = {}  # canonical name -> the word for it
    for word in words:
        other = named.setdefault(aliases.get(word, word), word)
        if other != word:
            raise InputError(f"{path}: {other!r} and {word!r} are one by the alias file; take one of them out")
    for name, canonical in aliases.items():
        aliases[name] = named.get(canonical, canonical)
    for word in words if aliases else ():
        aliases.setdefault(word, word)
    names = [named.get(name, name) for name in annotations.names_of(kind)]
    index = {word: number for number, word in enumerate(words)}
    number = np.array([index.setdefault(name, len(index)) for name in names], np.int32)
    setattr(annotations, f"{kind}_names", list(index))
    annotations.fixed_words[kind] = len(words)
    column = {"entity": "object_name", "attribute": "attribute_name", "predicate": "relationship_predicate"}[kind]
    setattr(annotations, column, number[getattr(annotations, column)])
    if kind == "entity":
        annotations.other_names[:, 1] = number[annotations.other_names[:, 1]]


def build_graph(annotations: Annotations, counted: np.ndarray) -> SemanticActionGraph:
    """The graph of what `choose_vocabulary` left, from the images where the (n,) mask is true."""
    c, a, p = map(len, (annotations.entity_names, annotations.attribute_names, annotations.predicate_names))
    described = annotations.attribute_object[counted[annotations.object_image[annotations.attribute_object]]]
    attribute = annotations.attribute_name[counted[annotations.object_image[annotations.attribute_object]]]
    keys, counts = np.unique(annotations.object_name[described].astype(np.int64) * a + attribute, return_counts=True)
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
