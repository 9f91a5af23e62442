"""Policies that learn nothing from images: what the agent is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch

from files.splits import ImageRecord
from semantic_graph import SemanticActionGraph
from vrl_model import Judgement, QValues


class Occurrences(NamedTuple):
    """How often categories occur in a split, annotated with anything or not."""

    objects: np.ndarray  # (C,) int64: objects of each category
    pairs: np.ndarray  # (C, C) int64: ordered pairs of different objects of an image, subject then object


def occurrences(records: Iterable[ImageRecord], graph: SemanticActionGraph, exact: bool = False) -> Occurrences:
    """Count the objects of a split and their ordered pairs; objects that the graph does not know are left out."""
    size = len(graph.entities)
    objects, pairs = np.zeros(size, dtype=np.int64), np.zeros((size, size), dtype=np.int64)
    for record in records:
        found = np.array([graph.entity_index(thing.name, exact) for thing in record.labels.objects], dtype=np.int64)
        category, number = np.unique(found[found >= 0], return_counts=True)
        objects[category] += number
        pairs[np.ix_(category, category)] += np.outer(number, number)
        pairs[category, category] -= number  # an object with itself
    return Occurrences(objects, pairs)


class FrequencyPolicy:
    """The baseline that knows only how often phrases occur.

    P(annotated with the attribute | s) and P(annotated with the predicate | s, o), counted over all objects and pairs
    of the training split, those without annotation too; the next object is the one most often related to s. One object
    or pair that is as the average of all is added to each count, so that one pair proves little.
    """

    def __init__(self, graph: SemanticActionGraph, seen: Occurrences) -> None:
        self.graph, self.seen = graph, seen
        self.objects = np.zeros((len(graph.entities), len(graph.entities) + 1))
        np.add.at(self.objects, (graph.predicate_edges[:, 0], graph.predicate_edges[:, 2]), graph.predicate_edges[:, 3])
        self.objects[:, -1] = -1  # Terminal last
        self.of_an_object = _average(graph.attribute_edges, len(graph.attributes), seen.objects)
        self.of_a_pair = _average(graph.predicate_edges, len(graph.predicates), seen.pairs)

    def __call__(self, states: np.ndarray) -> Judgement:
        """Shares of the counts."""
        subject, object_ = states["subject_category"], states["object_category"]
        of_object, of_pair = self.graph.attribute_counts(subject), self.graph.predicate_counts(subject, object_)
        attribute = _share(of_object + self.of_an_object, self.seen.objects[subject])
        predicate = _share(of_pair + self.of_a_pair, self.seen.pairs[subject, object_])
        return Judgement(QValues(attribute, predicate, torch.from_numpy(self.objects[subject])), attribute, predicate)

    def promise(self, candidates: np.ndarray) -> np.ndarray:
        """Best first: pairs of categories that are often annotated, of confident boxes."""
        subject, object_ = candidates["subject_category"], candidates["object_category"]
        of_pair = self.graph.predicate_counts(subject, object_).sum(axis=1) / (self.seen.pairs[subject, object_] + 1)
        of_object = self.graph.attribute_counts(subject).sum(axis=1) / (self.seen.objects[subject] + 1)
        return (np.where(object_ < 0, of_object, of_pair).clip(max=1) * candidates["certainty"]).astype(np.float32)


def _average(edges: np.ndarray, width: int, number: np.ndarray) -> np.ndarray:
    """(width,) how often an object or pair is annotated with each word, over all of them."""
    return np.bincount(edges[:, 1], weights=edges[:, -1], minlength=width) / max(number.sum(), 1)


def _share(counts: np.ndarray, number: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.minimum(counts / (number + 1)[:, None], 1))


class RandomPolicy:
    """The baseline that knows nothing but the action sets."""

    def __init__(self, graph: SemanticActionGraph, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.sizes = (len(graph.attributes), len(graph.predicates), len(graph.entities) + 1)

    def __call__(self, states: np.ndarray) -> Judgement:
        """Random numbers in [0, 1)."""
        q = QValues(*(torch.from_numpy(self.rng.random((len(states), size))) for size in self.sizes))
        return Judgement(q, q.attribute, q.predicate)

    def promise(self, candidates: np.ndarray) -> np.ndarray:
        """Random numbers in (0, 1]: it never stops by itself."""
        return 1 - self.rng.random(len(candidates)).astype(np.float32)
