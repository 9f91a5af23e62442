"""Orders in which pairs of objects can be looked at, as Q values of candidates: the highest is looked at next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scenes.records import best_first_dtype
from scenes.scene import SceneSet
from vrl_model import Agent

LAST = -1.0  # less than any pair's
Order = Callable[[np.ndarray], np.ndarray]  # candidates (n,) -> (n,) float32


def orders(agent: Agent, scenes: SceneSet, table: np.ndarray, seed: int) -> dict[str, Order | None]:
    """What to look at next, as Q of candidates; None: the agent's own."""
    rng = np.random.default_rng(seed)
    places: dict[int, np.ndarray] = {}

    def breadth_first(candidates: np.ndarray) -> np.ndarray:
        for scene in np.unique(candidates["scene"]).tolist():
            places.setdefault(scene, np.argsort(np.argsort(-scenes[scene].candidate_scores[:, 0], kind="stable")))
        place = [
            places[scene][subject] * 1000 + places[scene][other]
            for scene, subject, other in candidates[["scene", "subject", "object"]].tolist()
        ]
        return 1e6 - np.array(place, dtype=np.float32)

    def lookahead(candidates: np.ndarray) -> np.ndarray:
        states = np.zeros(len(candidates), dtype=agent_dtype(scenes, agent))
        for name in candidates.dtype.names:
            states[name] = candidates[name]
        allowed = agent.action_sets(states).predicate  # of the others nothing was learned
        chance = (agent(states).predicate_confidence.numpy() * allowed).sum(axis=1)
        return chance.astype(np.float32) * candidates["certainty"] + np.float32(1e-6)

    others: dict[str, Order] = {
        "lookahead": lookahead,
        "table": lambda c: (table[c["subject_category"], c["object_category"]] * c["certainty"]).astype(np.float32),
        "confidence": lambda c: c["certainty"].copy(),
        "breadth first": breadth_first,
        "random": lambda c: 1 - rng.random(len(c)).astype(np.float32),
    }
    return {"learned": None} | {name: pairs_first(order) for name, order in others.items()}


def pairs_first(order: Order) -> Order:
    """The order of pairs, and after them the objects by themselves (of which their attributes are asked)."""
    return lambda candidates: np.where(candidates["object"] < 0, np.float32(LAST), order(candidates))


def agent_dtype(scenes: SceneSet, agent: Agent) -> np.dtype:
    """Of the agent's states."""
    return best_first_dtype(scenes.graph, agent.action_sets.rules)


def annotated_share(scenes: SceneSet) -> np.ndarray:
    """How often a pair of two categories is annotated, of how often it could be: (C, C), a little towards the mean."""
    size = len(scenes.graph.entities)
    pairs, annotated = np.zeros((size, size)), np.zeros((size, size))
    for scene in scenes:
        category = scene.candidates[:, 0]
        np.add.at(pairs, (category[:, None], category), 1 - np.eye(len(category)))
        ends = np.unique(scene.gt_relationships[:, [0, 2]], axis=0)
        np.add.at(annotated, (scene.gt_categories[ends[:, 0]], scene.gt_categories[ends[:, 1]]), 1)
    mean = annotated.sum() / max(pairs.sum(), 1)
    return (annotated + mean) / (pairs + 1)
