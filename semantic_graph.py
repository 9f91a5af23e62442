"""The semantic action graph: which attributes a category can have, and which predicates can
hold between two categories, each with how often the annotations say so.

G = (V, E) of Liang, Lee, Xing (CVPR 2017, section 3.1). Nodes: entity categories C,
attributes A, predicates P. Edges: attribute phrases in C x A and predicate phrases in
C x P x C. The environment asks for the edges of a whole batch of categories at once, so
they lie in compressed rows: no query loops over edges.
"""

from __future__ import annotations

import difflib
import hashlib
import pickle
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec
import numpy as np

from files.io import InputError, atomic_write, read_bytes
from files.pickles import read_plain_pickle

FORMAT = "semantic action graph 1"
CURE = "make it with create_graph.py, which writes graph.pickle"


def fold_name(name: str) -> str:
    """Lower-cased, trimmed, inner spaces folded: `" Wears  a"` -> `"wears a"`."""
    return " ".join(name.lower().split())


def alias_map(groups: Iterable[Sequence[str]]) -> dict[str, str]:
    """Alias groups (the first name of each is its canonical one) -> {name: canonical name}.

    A name that stands in several groups belongs to the first. A canonical name that is itself
    an alias of an earlier group takes that group's canonical name along, so that
    `aliases[aliases[name]] == aliases[name]` for every name.
    """
    aliases: dict[str, str] = {}
    for group in groups:
        names = [name for name in map(fold_name, group) if name]
        if names:
            canonical = aliases.setdefault(names[0], names[0])
            for name in names[1:]:
                aliases.setdefault(name, canonical)
    return aliases


def read_aliases(path: str | Path) -> dict[str, str]:
    """Read an alias file (one group a line, comma-separated) into an `alias_map`.

    Raises InputError when the file cannot be read or is not UTF-8 text.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text at byte {error.start}; save it as UTF-8") from None
    return alias_map(line.split(",") for line in text.splitlines())


class _Rows:
    """Sparse rows of (column, count). Row r holds `columns[start[r]:start[r + 1]]`, most frequent
    first (ties: lower column first), so that the k best of a row are its first k entries."""

    def __init__(self, keys: np.ndarray, columns: np.ndarray, counts: np.ndarray, width: int):
        """keys, columns, counts: (E,) integers, each (key, column) once. width: number of columns."""
        order = np.lexsort((columns, -counts.astype(np.int64), keys))
        self.width = width
        self.columns = columns[order].astype(np.int32)
        self.counts = counts[order].astype(np.int32)
        self.keys, start = np.unique(keys[order], return_index=True)
        self.start = np.append(start, len(columns)).astype(np.int64)

    def _find(self, keys: np.ndarray, max_size: int | None) -> tuple[np.ndarray, np.ndarray]:
        """(B,) keys -> the batch row and the position of every edge asked for, (n,) each."""
        if len(self.keys) == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        row = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        first = self.start[row]
        size = np.where(self.keys[row] == keys, self.start[row + 1] - first, 0)
        if max_size is not None:
            size = np.minimum(size, max_size)
        batch = np.repeat(np.arange(len(keys)), size)
        # position of an edge = first of its row + how many edges of that row came before it
        before = np.cumsum(size) - size
        return batch, np.repeat(first - before, size) + np.arange(len(batch))

    def dense_counts(self, keys: np.ndarray) -> np.ndarray:
        """(B,) keys -> (B, width) float32 counts."""
        batch, position = self._find(keys, None)
        counts = np.zeros((len(keys), self.width), np.float32)
        counts[batch, self.columns[position]] = self.counts[position]
        return counts

    def best(self, keys: np.ndarray, max_size: int | None) -> np.ndarray:
        """(B,) keys -> (B, width) bool: the `max_size` most frequent columns of each row."""
        batch, position = self._find(keys, max_size)
        chosen = np.zeros((len(keys), self.width), bool)
        chosen[batch, self.columns[position]] = True
        return chosen


class _GraphFile(msgspec.Struct, forbid_unknown_fields=True):
    """What `graph.pickle` holds; edges are parallel columns of integers."""

    format: str
    entities: list[str]
    attributes: list[str]
    predicates: list[str]
    attribute_phrases: dict[str, list[int]]  # category, attribute, count
    predicate_phrases: dict[str, list[int]]  # subject, predicate, object, count
    entity_aliases: dict[str, str]
    predicate_aliases: dict[str, str]
    annotation_categories: list[str] | None
    annotation_predicates: list[str] | None
    made_in: str | None = None


_ATTRIBUTE_COLUMNS = ("category", "attribute", "count")
_PREDICATE_COLUMNS = ("subject", "predicate", "object", "count")


class SemanticActionGraph:
    """Vocabularies and counted edges.

    entities, attributes, predicates: the names; an index anywhere else means these lists.
    attribute_edges: (E_A, 3) int32 rows (category, attribute, count), sorted.
    predicate_edges: (E_P, 4) int32 rows (subject, predicate, object, count), sorted.
    entity_aliases, predicate_aliases: {alias: canonical name}, see `alias_map`.
    annotation_categories, annotation_predicates: the names that integers in the data set's own
        files mean (VRD), in that order; None where its files use names.
    made_in: the run of create_graph.py that made the graph; the splits of that run tell the same.
    """

    def __init__(
        self,
        entities: Sequence[str],
        attributes: Sequence[str],
        predicates: Sequence[str],
        attribute_edges: np.ndarray,
        predicate_edges: np.ndarray,
        entity_aliases: Mapping[str, str] | None = None,
        predicate_aliases: Mapping[str, str] | None = None,
        annotation_categories: Sequence[str] | None = None,
        annotation_predicates: Sequence[str] | None = None,
        made_in: str | None = None,
    ):
        self.entities, self.attributes, self.predicates = list(entities), list(attributes), list(predicates)
        self.attribute_edges = _sorted_rows(attribute_edges, 3)
        self.predicate_edges = _sorted_rows(predicate_edges, 4)
        self.entity_aliases = dict(entity_aliases or {})
        self.predicate_aliases = dict(predicate_aliases or {})
        self.annotation_categories = None if annotation_categories is None else list(annotation_categories)
        self.annotation_predicates = None if annotation_predicates is None else list(annotation_predicates)
        self.made_in = made_in
        self._entity_index = {name: index for index, name in enumerate(self.entities)}
        self._attribute_index = {name: index for index, name in enumerate(self.attributes)}
        self._predicate_index = {name: index for index, name in enumerate(self.predicates)}
        category, attribute, count = self.attribute_edges.T
        self._attribute_rows = _Rows(category, attribute, count, len(self.attributes))
        subject, predicate, object_, count = self.predicate_edges.T
        self._predicate_rows = _Rows(self._pair_keys(subject, object_), predicate, count, len(self.predicates))

    def _pair_keys(self, subject: np.ndarray, object_: np.ndarray) -> np.ndarray:
        """(B,), (B,) category indices -> (B,) int64 keys; -1 where either is not a category."""
        subject, object_ = np.asarray(subject, np.int64), np.asarray(object_, np.int64)
        return np.where((subject < 0) | (object_ < 0), -1, subject * len(self.entities) + object_)

    # Names ----------------------------------------------------------------------------------

    def entity_index(self, name: str, exact: bool = False) -> int:
        """Index of an entity name, -1 if unknown. Not exact: folded, and through the alias groups."""
        return _look_up(self._entity_index, name, exact, self.entity_aliases)

    def attribute_index(self, name: str, exact: bool = False) -> int:
        """Index of an attribute name, -1 if unknown. Not exact: folded."""
        return _look_up(self._attribute_index, name, exact, {})

    def predicate_index(self, name: str, exact: bool = False) -> int:
        """Index of a predicate name, -1 if unknown. Not exact: folded, and through the alias groups."""
        return _look_up(self._predicate_index, name, exact, self.predicate_aliases)

    def no_such_word(self, word: str) -> InputError:
        """The error for a word that is neither entity nor attribute nor predicate; it names those spelled like it."""
        names = sorted({*self.entities, *self.attributes, *self.predicates})
        near = difflib.get_close_matches(fold_name(word), names, n=4, cutoff=0.5)
        hint = f"did you mean {', '.join(map(repr, near))}?" if near else f"it has {len(names):,} other names"
        return InputError(f"the semantic action graph has no word {word!r}; {hint}")

    # Batch queries --------------------------------------------------------------------------

    def attribute_counts(self, category: np.ndarray) -> np.ndarray:
        """(B,) category indices -> (B, A) float32: how often each attribute phrase occurs; 0 = no edge."""
        return self._attribute_rows.dense_counts(np.asarray(category, np.int64))

    def predicate_counts(self, subject: np.ndarray, object: np.ndarray) -> np.ndarray:
        """(B,), (B,) category indices -> (B, P) float32: how often each phrase occurs; 0 = no edge."""
        return self._predicate_rows.dense_counts(self._pair_keys(subject, object))

    def attribute_action_set(self, category: np.ndarray, max_size: int | None = None) -> np.ndarray:
        """(B,) -> (B, A) bool: the `max_size` most frequent attributes of each category (None: all).

        This is the adaptive action set before the history is taken out (paper, section 3.2).
        Ties go to the lower index. A category of -1 has none.
        """
        return self._attribute_rows.best(np.asarray(category, np.int64), max_size)

    def predicate_action_set(self, subject: np.ndarray, object: np.ndarray, max_size: int | None = None) -> np.ndarray:
        """(B,), (B,) -> (B, P) bool: the `max_size` most frequent predicates of each pair (None: all)."""
        return self._predicate_rows.best(self._pair_keys(subject, object), max_size)

    def entity_counts(self) -> np.ndarray:
        """(C,) float64: how often each category takes part in a phrase."""
        entities = len(self.entities)
        parts = ((self.attribute_edges, 0, 2), (self.predicate_edges, 0, 3), (self.predicate_edges, 2, 3))
        return sum(np.bincount(rows[:, at], rows[:, count], entities) for rows, at, count in parts)

    def subject_predicate_counts(self) -> np.ndarray:
        """(C, P) float32: how often each category is the subject of each predicate."""
        return self._marginal(self.predicate_edges[:, 0])

    def object_predicate_counts(self) -> np.ndarray:
        """(C, P) float32: how often each category is the object of each predicate."""
        return self._marginal(self.predicate_edges[:, 2])

    def _marginal(self, category: np.ndarray) -> np.ndarray:
        shape = (len(self.entities), len(self.predicates))
        key = category.astype(np.int64) * shape[1] + self.predicate_edges[:, 1]
        return np.bincount(key, self.predicate_edges[:, 3], shape[0] * shape[1]).reshape(shape).astype(np.float32)

    # Phrases as numbers ---------------------------------------------------------------------

    def relationship_key(self, subject: np.ndarray, predicate: np.ndarray, object: np.ndarray) -> np.ndarray:
        """Category, predicate, category indices (n,) -> int64 (n,): one number for each "subject predicate object"."""
        return (subject.astype(np.int64) * len(self.predicates) + predicate) * len(self.entities) + object

    def attribute_key(self, attribute: np.ndarray, category: np.ndarray) -> np.ndarray:
        """Attribute and category indices (n,) -> int64 (n,): one for each "attribute category"; -1 where attribute is.

        They follow the relationships' numbers, so that no number has two meanings.
        """
        relationships = len(self.entities) ** 2 * len(self.predicates)
        key = relationships + attribute.astype(np.int64) * len(self.entities) + category
        return np.where(attribute >= 0, key, -1)

    def phrase(self, key: int) -> str:
        """The words of a key, as a person would say them: "person riding bicycle", "young person"."""
        entities, predicates = len(self.entities), len(self.predicates)
        attribute, category = divmod(key - entities**2 * predicates, entities)
        if attribute >= 0:
            return f"{self.attributes[attribute]} {self.entities[category]}"
        rest, object = divmod(key, entities)
        subject, predicate = divmod(rest, predicates)
        return f"{self.entities[subject]} {self.predicates[predicate]} {self.entities[object]}"

    # Files ----------------------------------------------------------------------------------

    def fingerprint(self) -> str:
        """Hexadecimal hash of the vocabularies and edges: equal graphs, equal fingerprints."""
        digest = hashlib.sha256(msgspec.json.encode([self.entities, self.attributes, self.predicates]))
        digest.update(self.attribute_edges.astype("<i4").tobytes())
        digest.update(self.predicate_edges.astype("<i4").tobytes())
        return digest.hexdigest()[:32]

    def save(self, path: str | Path) -> None:
        """Write `graph.pickle`: a plain dict of lists, strings and integers."""
        with atomic_write(path) as file:
            self.write(file)

    def write(self, out: IO[bytes]) -> None:
        """Write what `save` writes into an open file."""
        columns = zip(_ATTRIBUTE_COLUMNS, self.attribute_edges.T.tolist(), strict=True)
        phrases = zip(_PREDICATE_COLUMNS, self.predicate_edges.T.tolist(), strict=True)
        file = _GraphFile(
            format=FORMAT,
            entities=self.entities,
            attributes=self.attributes,
            predicates=self.predicates,
            attribute_phrases=dict(columns),
            predicate_phrases=dict(phrases),
            entity_aliases=self.entity_aliases,
            predicate_aliases=self.predicate_aliases,
            annotation_categories=self.annotation_categories,
            annotation_predicates=self.annotation_predicates,
            made_in=self.made_in,
        )
        pickle.dump({name: getattr(file, name) for name in file.__struct_fields__}, out, protocol=4)

    @classmethod
    def load(cls, path: str | Path) -> SemanticActionGraph:
        """Read a file that `save` wrote. Raises InputError naming what is wrong with it."""
        value = read_plain_pickle(path, CURE)
        try:
            file = msgspec.convert(value, _GraphFile)
            msgspec.json.encode(file)  # a name with half a character (a lone surrogate) cannot be written anywhere
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            raise InputError(f"{path}: is not a semantic action graph ({error}); {CURE}") from None
        if file.format != FORMAT:
            raise InputError(f"{path}: has format {file.format!r}, this version reads {FORMAT!r}; {CURE}")
        sizes = {"entities": file.entities, "attributes": file.attributes, "predicates": file.predicates}
        for kind, names in sizes.items():
            if any(not _is_text(name) for name in names):
                raise InputError(f"{path}: {kind} has a name that is not text (a lone surrogate); {CURE}")
            if len(set(names)) != len(names):
                twice = next(name for name, count in Counter(names).items() if count > 1)
                raise InputError(f"{path}: {kind} repeats the name {twice!r}; {CURE}")
        c, a, p = map(len, sizes.values())
        return cls(
            file.entities,
            file.attributes,
            file.predicates,
            _read_edges(path, "attribute_phrases", file.attribute_phrases, {"category": c, "attribute": a}),
            _read_edges(path, "predicate_phrases", file.predicate_phrases, {"subject": c, "predicate": p, "object": c}),
            file.entity_aliases,
            file.predicate_aliases,
            file.annotation_categories,
            file.annotation_predicates,
            file.made_in,
        )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _look_up(indices: Mapping[str, int], name: str, exact: bool, aliases: Mapping[str, str]) -> int:
    if exact or name in indices:
        return indices.get(name, -1)
    folded = fold_name(name)
    return indices.get(aliases.get(folded, folded), -1)


def _sorted_rows(edges: np.ndarray, width: int) -> np.ndarray:
    edges = np.asarray(edges, np.int32).reshape(-1, width)
    return edges[np.lexsort(edges.T[::-1])]


def _read_edges(path: str | Path, name: str, columns: dict[str, list[int]], limits: dict[str, int]) -> np.ndarray:
    """Columns of integers -> (E, len(limits) + 1) int32, each index checked against its limit."""
    expected = [*limits, "count"]
    if sorted(columns) != sorted(expected) or len({len(column) for column in columns.values()}) != 1:
        raise InputError(f"{path}: {name} needs the equally long lists {', '.join(expected)}; {CURE}")
    try:
        edges = np.array([columns[key] for key in expected], dtype=np.int32).T
    except OverflowError:
        raise InputError(f"{path}: {name} holds a number that is too large; {CURE}") from None
    for index, limit in enumerate(limits.values()):
        bad = np.flatnonzero((edges[:, index] < 0) | (edges[:, index] >= limit))
        if len(bad):
            where = f"{name}[{expected[index]!r}][{bad[0]}]"
            raise InputError(f"{path}: {where} is {edges[bad[0], index]}, outside the vocabulary; {CURE}")
    if (edges[:, -1] < 1).any():
        raise InputError(f"{path}: {name} holds a count below 1; {CURE}")
    return edges
