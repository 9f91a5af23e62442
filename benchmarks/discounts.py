"""What looking ahead is worth in the paper's breadth-first walk: recall after so many steps, for several discounts.

    python benchmarks/discounts.py --graph vrd_run/graph.pickle --runs d00 d05 d09 \\
        --test_data vrd_run/data/data_samples/test_data.json --detections VRD/detections_test.json

Each run (best.pt of main.py --train with --frontier breadth_first) walks as it has learned to; the first one then with
the same network's words but another next object:

    never leaving          its own order, but Terminal only where no neighbour is left
    lookahead              the neighbour of which the network would say most: all of a subject's pairs are judged first
    lookahead and leaving  the same, and Terminal where the best is less likely than --leave_below to be annotated

A step opens a subject or looks at a pair. Recall after T steps is that of what had been said until then: of every
predicate of each pair, the best 50 and 100; mean recall is over predicates.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.tables import MEASURES, interval, share, table
from benchmarks.trained import recall_within
from boxes import pair_context
from engine.options import parse
from engine.parts import make_agent, make_parts, open_detections, open_scenes, read_agent, trained_network
from engine.walk import walk
from files.io import InputError, reports_input_errors
from files.splits import Split
from metrics.figures import Counts
from vrl_model import Agent, Judgement

RULES = ("own", "never leaving", "lookahead", "lookahead and leaving")


class NextObject:
    """An agent whose next object a rule of RULES chooses."""

    def __init__(self, agent: Agent, rule: str, leave_below: float) -> None:
        self.agent, self.rule = agent, rule
        self.terminal = (
            leave_below if rule == "lookahead and leaving" else -1.0
        )  # what Terminal is worth beside chances

    def __call__(self, states: np.ndarray) -> Judgement:
        """The agent's words; the next object by the rule."""
        judgement = self.agent(states)
        if self.rule == "own":
            return judgement
        entity = judgement.q.entity.clone()
        if self.rule == "never leaving":
            entity[:, -1] = entity.min() - 1
        else:
            row, place = np.nonzero(states["instances"] >= 0)
            entity[:, -1] = self.terminal
            entity[row, states["entities"][row, place]] = self.chances(states[row], states["instances"][row, place])
        return judgement._replace(q=judgement.q._replace(entity=entity))

    def chances(self, states: np.ndarray, instances: np.ndarray) -> torch.Tensor:
        """How likely pairs of the states' subjects with these instances are annotated, as the network says: (n,)."""
        states = states.copy()
        states["object"], states["history"] = instances, -1
        certainty = np.zeros(len(states), dtype=np.float32)
        for index in np.unique(states["scene"]).tolist():
            rows = np.flatnonzero(states["scene"] == index)
            scene = self.agent.encoder.scenes[index]
            subject, other = states["subject"][rows].astype(np.int64), instances[rows].astype(np.int64)
            category, score = scene.candidates[:, 0], scene.candidate_scores.max(axis=1)
            boxes, categories = (np.repeat(part[None], len(rows), axis=0) for part in (scene.boxes, category))
            states["object_category"][rows], states["object_box"][rows] = category[other], scene.boxes[other]
            states["context"][rows] = pair_context(boxes, categories, subject, other)
            certainty[rows] = score[subject] * score[other]
        return self.agent(states).predicate_confidence.sum(dim=1) * torch.from_numpy(certainty)


def measure(folder: str, options: argparse.Namespace) -> dict[str, tuple[list[Counts], float]]:
    """Of each walk of one run, its own first: what it has found after so many steps, and the steps an image takes."""
    path = Path(folder) / "best.pt"
    saved = read_agent(path)
    argv = ["--test", "--graph", options.graph, "--test_data", options.test_data, "--images_dir", options.images_dir]
    parts = make_parts(
        parse([*argv, "--output_dir", folder]).of_agent(saved["options"], path), torch.device("cpu"), saved
    )
    if parts.model.best_first:
        raise InputError(f"{path}: was trained with --frontier best_first, which benchmarks/walk_orders.py is for")
    rules = dataclasses.replace(
        parts.arguments, predicates_per_pair=len(parts.graph.predicates), maximum_steps=max(options.budgets)
    )
    detections = open_detections(options.detections, parts.graph) if options.detections else None
    scenes = open_scenes(parts, Split(options.test_data), detections)
    agent = make_agent(parts, trained_network(parts, saved), scenes)
    walks = {}
    for rule in RULES if folder == options.runs[0] else RULES[:1]:
        policy = NextObject(agent, rule, options.leave_below)
        found = walk(policy, scenes, rules, scenes.images, 128, 0, progress=f"{folder}, {rule}", most=sys.maxsize)
        counts = [recall_within(found, budget, scenes) for budget in options.budgets]
        walks[rule] = counts, len(found.steps["scene"]) / len(scenes.images)
    return walks


def run(options: argparse.Namespace) -> None:
    """Walk with each agent in each order; print recall and mean recall by steps."""
    steps = [f"{budget} steps" for budget in options.budgets]
    measured = {folder: measure(folder, options) for folder in options.runs}
    own = {folder: walks["own"][0] for folder, walks in measured.items()}
    first, *others = own
    for kind, name in MEASURES.items():
        rows = [
            [f"{Path(folder).name}, {rule}", *(share(part, kind) for part in counts), f"{taken:.1f}"]
            for folder, walks in measured.items()
            for rule, (counts, taken) in walks.items()
        ]
        print(table(f"Relationship {name}", [["", *steps, "steps taken"], *rows]))
        if others:
            less = [
                [
                    Path(other).name,
                    *(interval(one, base, kind) for one, base in zip(own[other], own[first], strict=True)),
                ]
                for other in others
            ]
            title = f"Own walks less that of {Path(first).name}, {name} [95 % intervals, paired bootstrap over images]"
            print(table(title, [["", *steps], *less]))


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--runs", nargs="+", required=True, help="--output_dir of main.py --train, one for each agent")
    parser.add_argument("--graph", default="graph.pickle", help="the semantic action graph")
    parser.add_argument("--test_data", default="data/data_samples/test_data.json", help="the split to walk over")
    parser.add_argument("--images_dir", default="data/VG_100K/", help="its images, for runs with pixels")
    parser.add_argument("--detections", metavar="FILE", help="detected boxes of its images; else annotated ones")
    parser.add_argument("--budgets", type=int, nargs="+", default=[10, 20, 40], help="steps an image")
    parser.add_argument("--leave_below", type=float, default=0.1, help="chance below which lookahead leaves a subject")
    run(parser.parse_args(argv))
    return 0


if __name__ == "__main__":
    sys.exit(main())
