"""Policies that learn nothing from images: what the agent is compared with."""

from __future__ import annotations

import numpy as np
import torch

from semantic_graph import SemanticActionGraph
from vrl_model import Judgement, QValues


class FrequencyPolicy:
    """The baseline that knows only how often phrases occur: P(attribute | s), P(predicate | s, o), P(object | s)."""

    def __init__(self, graph: SemanticActionGraph) -> None:
        self.graph = graph
        self.objects = np.zeros((len(graph.entities), len(graph.entities) + 1))
        np.add.at(self.objects, (graph.predicate_edges[:, 0], graph.predicate_edges[:, 2]), graph.predicate_edges[:, 3])
        self.objects[:, -1] = -1  # Terminal last

    def __call__(self, states: np.ndarray) -> Judgement:
        """Shares of the counts."""
        subject, object_ = states["subject_category"], states["object_category"]
        attribute = _distribution(self.graph.attribute_counts(subject))
        predicate = _distribution(self.graph.predicate_counts(subject, object_))
        return Judgement(QValues(attribute, predicate, torch.from_numpy(self.objects[subject])), attribute, predicate)

    def promise(self, candidates: np.ndarray) -> np.ndarray:
        """Best first: pairs of categories that are often annotated, of confident boxes."""
        subject, object_ = candidates["subject_category"], candidates["object_category"]
        counts = self.graph.predicate_counts(subject, object_).sum(axis=1)
        counts = np.where(object_ < 0, self.graph.attribute_counts(subject).sum(axis=1), counts)
        return (counts / (counts + 1) * candidates["certainty"]).astype(np.float32)


def _distribution(counts: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


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
