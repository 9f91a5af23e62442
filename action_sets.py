"""Adaptive action sets, and choosing within them (Liang et al. 2017, section 3.2).

The set of next objects depends on the image, so the environment makes it (`SceneGraphEnvironment.states`); those of
attributes and predicates follow from the semantic action graph.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from files.options import Rules
from scenes.records import unpacked
from semantic_graph import SemanticActionGraph


class ActionSets(NamedTuple):
    """The adaptive action sets of n states as masks: bool (n, A), (n, P), (n, C + 1); best first the last is (n, 1)."""

    attribute: np.ndarray
    predicate: np.ndarray
    entity: np.ndarray


class ActionSetMaker:
    """State records -> adaptive action sets, by the semantic action graph."""

    def __init__(self, graph: SemanticActionGraph, rules: Rules) -> None:
        self.graph, self.rules = graph, rules
        if rules.predicate_action_set == "word":
            self.by_subject = graph.subject_predicate_counts()
            self.by_object = graph.object_predicate_counts()

    def __call__(self, states: np.ndarray) -> ActionSets:
        """(n,) records (`scenes.records.state_dtype`) -> masks of n states."""
        graph, size = self.graph, self.rules.maximum_adaptive_action_space_size
        subject, object_ = states["subject_category"].astype(np.int64), states["object_category"].astype(np.int64)
        if self.rules.use_adaptive_action_sets:
            attribute = graph.attribute_action_set(subject, size)
            predicate = self._predicates(subject, object_, size)
        else:
            attribute = np.ones((len(states), len(graph.attributes)), dtype=bool)
            predicate = np.ones((len(states), len(graph.predicates)), dtype=bool)
        predicate[states["object"] < 0] = False
        attribute &= ~unpacked(states["attributes_given"], len(graph.attributes))
        if self.rules.frontier == "best_first":  # attributes are asked for where an object is looked at by itself
            attribute[states["object"] >= 0] = False
            return ActionSets(attribute, predicate, np.ones((len(states), 1), dtype=bool))
        entity = np.zeros((len(states), len(graph.entities) + 2), dtype=bool)
        entity[np.arange(len(states))[:, None], states["entities"]] = True
        return ActionSets(attribute, predicate, entity[:, :-1])  # the last column took the padding

    def _predicates(self, subject: np.ndarray, object_: np.ndarray, size: int) -> np.ndarray:
        if self.rules.predicate_action_set == "phrase":
            return self.graph.predicate_action_set(subject, object_, size)
        support = np.minimum(self.by_subject[subject], self.by_object[object_])
        best = np.argsort(-support, axis=1, kind="stable")[:, :size]
        chosen = np.zeros(support.shape, dtype=bool)
        np.put_along_axis(chosen, best, np.take_along_axis(support, best, axis=1) > 0, axis=1)
        return chosen


def best_allowed(q: torch.Tensor, allowed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The highest Q of an allowed action, and which: (n, k), bool (n, k) -> (n,), int64 (n,).

    -infinity and -1 where none is allowed.
    """
    if not q.shape[1]:
        return q.new_full((len(q),), -torch.inf), torch.full((len(q),), -1, device=q.device)
    best, action = q.masked_fill(~allowed, -torch.inf).max(dim=1)
    return best, action.masked_fill(best == -torch.inf, -1)


def greedy(q: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """The allowed action with the highest Q: (n, k), bool (n, k) -> int64 (n,), -1 where none is allowed."""
    return best_allowed(q, allowed)[1]


def random_action(allowed: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """An allowed action by a random number in [0, 1): bool (n, k), (n,) -> int64 (n,), -1 where none is allowed."""
    count = allowed.sum(axis=1)
    nth = np.minimum((uniform * count).astype(np.int64), count - 1) + 1
    if not allowed.shape[1]:
        return np.full(len(allowed), -1)
    place = (np.cumsum(allowed, axis=1, dtype=np.int32) == nth[:, None]).argmax(axis=1)
    return np.where(count > 0, place, -1)
