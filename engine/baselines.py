"""Policies that learn nothing from images: what the agent is compared with."""

from __future__ import annotations

import numpy as np
import torch

from engine.walk import Policy
from semantic_graph import SemanticActionGraph
from vrl_model import Judgement, QValues


def frequency_policy(graph: SemanticActionGraph) -> Policy:
    """The baseline that knows only how often phrases occur: P(attribute | s), P(predicate | s, o), P(object | s)."""
    objects = np.zeros((len(graph.entities), len(graph.entities) + 1))
    np.add.at(objects, (graph.predicate_edges[:, 0], graph.predicate_edges[:, 2]), graph.predicate_edges[:, 3])
    objects[:, -1] = -1  # Terminal last

    def judge(states: np.ndarray) -> Judgement:
        subject, object_ = states["subject_category"], states["object_category"]
        attribute = _distribution(graph.attribute_counts(subject))
        predicate = _distribution(graph.predicate_counts(subject, object_))
        return Judgement(QValues(attribute, predicate, torch.from_numpy(objects[subject])), attribute, predicate)

    return judge


def _distribution(counts: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def random_policy(graph: SemanticActionGraph, seed: int) -> Policy:
    """The baseline that knows nothing but the action sets."""
    rng = np.random.default_rng(seed)
    sizes = (len(graph.attributes), len(graph.predicates), len(graph.entities) + 1)

    def judge(states: np.ndarray) -> Judgement:
        q = QValues(*(torch.from_numpy(rng.random((len(states), size))) for size in sizes))
        return Judgement(q, q.attribute, q.predicate)

    return judge
