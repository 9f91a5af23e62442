"""A trained agent that looks at the pairs of test images in any order: what it says, what that costs, what it finds."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.pair_orders import Order
from benchmarks.pairs import all_pairs, damped, rows_of
from engine.options import parse
from engine.parts import Parts, make_agent, make_parts, open_detections, open_scenes, read_agent, trained_network
from engine.results import counts_of
from engine.walk import Findings, best, own_choices, walk
from files.io import InputError
from files.splits import Split
from metrics.figures import Counts
from scenes.scene import SceneSet
from vrl_model import Agent, Judgement

TASKS = ("relationship", "relationship_k1", "phrase", "zero_shot_relationship")


class Ordered:
    """The agent looking in another order, and what that costs."""

    def __init__(self, agent: Agent, order: Order | None = None) -> None:
        self.agent, self.order = agent, order or agent.promise
        self.looks = self.judged = 0
        self.look_seconds = self.judge_seconds = 0.0
        self.calls: list[np.ndarray] = []  # how likely something new was, and whether there was something

    def __call__(self, states: np.ndarray) -> Judgement:
        started = time.perf_counter()
        judgement = self.agent(states)
        self.look_seconds += time.perf_counter() - started
        self.looks += len(states)
        low, high = self.agent.network.rewards[2]
        chance = (judgement.q.entity[:, 0].numpy() - low) / (high - low)
        found = states["predicates_right"].any(axis=1) | states["attributes_right"].any(axis=1)
        self.calls.append(np.stack([chance * states["certainty"], found]))
        return judgement

    def promise(self, candidates: np.ndarray) -> np.ndarray:
        started = time.perf_counter()
        q = self.order(candidates)
        self.judge_seconds += time.perf_counter() - started
        self.judged += len(candidates)
        return q


def checkpoint_of(run: Path) -> Path:
    """best.pt, else last.pt of a training's --output_dir. Raises InputError where there is neither."""
    path = next((run / name for name in ("best.pt", "last.pt") if (run / name).exists()), None)
    if path is None:
        raise InputError(f"{run}: has neither best.pt nor last.pt; train first")
    return path


class Run:
    """A trained agent and the images that it is tested on."""

    def __init__(
        self,
        folder: Path,
        graph: str | Path,
        test_data: str,
        images_dir: str | None = None,
        detections: str | None = None,
        flags: Sequence[str] = (),
    ) -> None:
        """folder: of main.py --train. flags: of main.py --test, in place of what the agent was trained with."""
        path = checkpoint_of(folder)
        saved = read_agent(path)
        argv = ["--test", "--checkpoint", str(path), "--graph", str(graph), "--output_dir", str(folder)]
        argv += ["--test_data", test_data, *(["--images_dir", images_dir] if images_dir else []), *flags]
        agent = parse(argv).of_agent(saved["options"], path, {})
        self.parts: Parts = make_parts(agent, torch.device("cpu"), saved)
        every = {"predicates_per_pair": len(self.parts.graph.predicates), "attributes_per_step": 1}
        self.rules = dataclasses.replace(agent, **every)
        self.network = trained_network(self.parts, saved)
        if not self.network.options.best_first:
            raise InputError(f"{path}: was trained with --frontier breadth_first; the orders are those of best_first")
        of_file = open_detections(detections, self.parts.graph) if detections else None
        self.scenes = open_scenes(self.parts, Split(test_data), of_file)

    def walk(self, order: Order | None = None, may_stop: bool = False, name: str = "walk") -> tuple[Findings, Ordered]:
        """Look at every pair, or stop by itself; every predicate of every pair is kept."""
        policy = Ordered(self.agent(), order)
        found = walk(
            policy, self.scenes, self.rules, self.scenes.images, 128, maximum_choices=0, progress=name,
            may_stop=may_stop, most=sys.maxsize,
        )  # fmt: skip
        return found, policy

    def agent(self) -> Agent:
        return make_agent(self.parts, self.network, self.scenes)

    def multiply_adds(self) -> int:
        """Of one look: every layer of every member."""
        layers = (layer for member in self.network.members for layer in member.modules())
        return sum(layer.weight.numel() for layer in layers if isinstance(layer, torch.nn.Linear))


def scores_of(found: Findings, pairs: np.ndarray, num_predicates: int) -> np.ndarray:
    """What was said of every pair of `all_pairs`: (n, P) scores, 0 where nothing was said."""
    part = found.relationships
    scores = np.zeros((len(pairs), num_predicates))
    if part:
        scores[rows_of(pairs, part["scene"], part["subject"], part["object"]), part["predicate"]] = part["score"]
    return scores


def damped_findings(found: Findings, scenes: SceneSet) -> Findings:
    """A walk over every pair, its scores damped for what is said again (see `benchmarks.pairs.damped`)."""
    part, pairs = found.relationships, all_pairs(scenes)
    scores = damped(pairs, scores_of(found, pairs, len(scenes.graph.predicates)))
    row = rows_of(pairs, part["scene"], part["subject"], part["object"])
    return found._replace(relationships=part | {"score": scores[row, part["predicate"]]})


def within(found: Findings, budget: int) -> Findings:
    """What had been said after `budget` pairs of each image: the best of it. Objects by themselves are no pairs."""
    pairs = {key: values[found.steps["object"] >= 0] for key, values in found.steps.items()}
    order = np.lexsort((pairs["step"], pairs["scene"]))
    scene, step = pairs["scene"][order], pairs["step"][order]
    beyond = np.arange(len(scene)) - np.searchsorted(scene, scene) == budget  # the first pair of each image too many
    limit = np.full(max(scene.max(initial=0), found.relationships["scene"].max(initial=0)) + 1, np.iinfo(np.int64).max)
    limit[scene[beyond]] = step[beyond]
    rows = found.relationships["step"] < limit[found.relationships["scene"]]
    return best(found._replace(relationships={key: values[rows] for key, values in found.relationships.items()}))


def tasks_of(found: Findings, scenes: SceneSet, seen: set[tuple[str, ...]]) -> dict[str, Counts]:
    """What all pairs that were looked at found, of every task of TASKS. seen: triplets of the training images."""
    tasks = counts_of(best(found), scenes, scenes.images, seen)[0]
    own = counts_of(best(own_choices(found)), scenes, scenes.images)[0]
    return tasks | {"relationship_k1": own["relationship"]}


def recall_within(found: Findings, budget: int, scenes: SceneSet) -> Counts:
    """What had been found after `budget` pairs of each image."""
    return counts_of(within(found, budget), scenes, scenes.images)[0]["relationship"]
