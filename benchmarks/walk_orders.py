"""What choosing where to look is worth: recall after so many pairs, in the agent's order and in others, side by side.

    python benchmarks/walk_orders.py --run vrd_run --supervised supervised_run --output_dir orders \\
        --train_data vrd_run/data/data_samples/train_data.json \\
        --test_data vrd_run/data/data_samples/test_data.json --detections VRD/detections_test.json

One trained agent (`--run`: best.pt of main.py --train with --frontier best_first) looks at T pairs an image, in each
order; nothing else differs. Recall of every budget is that of what had been said until then: its own best 50 and 100.

    learned        the agent's own: by the candidate network's Q, which costs a hundredth of a look
    breadth first  the most confident object with all others, then the next one
    random         any pair
    confidence     by the detector's confidence in both objects
    table          confidence x how often pairs of these categories are annotated in training
    lookahead      by what the networks would say there: all pairs are looked at before the first one counts

--supervised: a run with the same flags and --no-use_memory --no-new_phrases_only, which is a classifier of pairs with
equal inputs and as many networks; it is trained here where its folder has no best.pt. Its scores stand as they are and
damped by hand: a tenth for a triplet that repeats a more confident one (same words, both boxes overlap).

Prints the tables with paired bootstrap intervals over images, draws recall against pairs, and says what the candidate
network costs in multiply-adds and in seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from boxes import iou
from engine.options import parse
from engine.parts import Parts, make_agent, make_parts, open_detections, open_scenes, read_agent, trained_network
from engine.results import counts_of
from engine.walk import Findings, best, walk
from environment import best_first_dtype
from evaluation import train_triplets
from files.io import InputError, atomic_write, reports_input_errors, text_table, write_json
from files.splits import Split
from metrics.figures import Counts, difference, figures
from scenes.scene import SceneSet
from vrl_model import Agent, Judgement

BINS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # of chances, for the calibration
CURVE = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80)
DAMPED = 0.1  # of a score, where a more confident triplet has said it
Order = Callable[[np.ndarray], np.ndarray]


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
        found = states["predicates_right"].any(axis=1)
        self.calls.append(np.stack([chance * states["certainty"], found]))
        return judgement

    def promise(self, candidates: np.ndarray) -> np.ndarray:
        started = time.perf_counter()
        q = self.order(candidates)
        self.judge_seconds += time.perf_counter() - started
        self.judged += len(candidates)
        return q


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
        chance = agent(states).predicate_confidence.sum(dim=1).numpy()
        return chance.astype(np.float32) * candidates["certainty"] + np.float32(1e-6)

    return {
        "learned": None,
        "lookahead": lookahead,
        "table": lambda c: (table[c["subject_category"], c["object_category"]] * c["certainty"]).astype(np.float32),
        "confidence": lambda c: c["certainty"].copy(),
        "breadth first": breadth_first,
        "random": lambda c: 1 - rng.random(len(c)).astype(np.float32),
    }


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


def damped(found: Findings, scenes: SceneSet) -> Findings:
    """Scores of triplets that repeat a more confident one (same words, both boxes overlap it), times DAMPED."""
    part = {key: values.copy() for key, values in found.relationships.items()}
    starts = np.flatnonzero(np.diff(part["scene"], prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(part["scene"])], strict=True):
        rows = slice(start, end)
        scene = scenes[int(part["scene"][start])]
        boxes, category = scene.boxes.astype(np.float64), scene.candidates[:, 0]
        alike = (iou(boxes[:, None], boxes[None]) >= 0.5) & (category[:, None] == category)
        if not (alike.sum(axis=1) > 1).any():
            continue
        subject, object_ = part["subject"][rows].astype(int), part["object"][rows].astype(int)
        predicate, score = part["predicate"][rows], part["score"][rows]
        same = alike[subject[:, None], subject] & alike[object_[:, None], object_]
        same &= predicate[:, None] == predicate
        order = np.arange(len(score))
        before = (score[None] > score[:, None]) | ((score[None] == score[:, None]) & (order[None] < order[:, None]))
        score[(same & before).any(axis=1)] *= DAMPED
    order = np.lexsort((-part["score"], part["scene"]))
    return found._replace(relationships={key: values[order] for key, values in part.items()})


def within(found: Findings, budget: int) -> Findings:
    """What had been said after `budget` looks at each image: the best of it."""
    rows = found.relationships["step"] < budget
    return best(found._replace(relationships={key: values[rows] for key, values in found.relationships.items()}))


class Run:
    """A trained agent and the images that it is tested on."""

    def __init__(self, run: Path, options: argparse.Namespace) -> None:
        path = run / "best.pt"
        saved = read_agent(path)
        argv = ["--test", "--checkpoint", str(path), "--graph", str(run / "graph.pickle"), "--output_dir", str(run)]
        argv += ["--test_data", options.test_data, "--train_data", options.train_data]
        agent = parse(argv).of_agent(saved["options"], path, {})
        self.parts: Parts = make_parts(agent, torch.device("cpu"), saved)
        every = {"predicates_per_pair": len(self.parts.graph.predicates), "attributes_per_step": 1}
        self.rules = dataclasses.replace(agent, **every)
        self.network = trained_network(self.parts, saved)
        if not self.network.options.best_first:
            raise InputError(f"{path}: was trained with --frontier breadth_first; the orders are those of best_first")
        detections = open_detections(options.detections, self.parts.graph) if options.detections else None
        self.scenes = open_scenes(self.parts, Split(options.test_data), detections)

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


def train_supervised(agent: Parts, output: Path, train_data: str) -> None:
    """The agent's flags without memory and with all labels: main.py --train."""
    flags = ["--preset", "best", "--no-use_memory", "--no-new_phrases_only", "--graph", agent.arguments.graph]
    flags += ["--train_data", train_data, "--validation_data", train_data.replace("train_data", "validation_data")]
    for name in ("entity_vectors", "learned_category_vectors", "image_embedding_model_type", "num_members", "seed"):
        if getattr(agent.arguments, name) is not None:
            flags += [f"--{name}", str(getattr(agent.arguments, name))]
    command = [
        sys.executable,
        str(Path(__file__).resolve().parents[1] / "main.py"),
        "--train",
        *flags,
        "--output_dir",
        str(output),
    ]
    subprocess.run(command, check=True)


def interval(one: Counts, other: Counts) -> str:
    """R@50 and R@100 of one less the other's, with 95 % intervals."""
    values = difference(one, other)
    return ", ".join(
        f"{values['recall'][n]:+.2f} [{values['recall_interval'][n][0]:.2f}, {values['recall_interval'][n][1]:.2f}]"
        for n in ("50", "100")
    )


def recall(counts: Counts) -> str:
    values = figures(counts)["recall"]
    return " / ".join(f"{values[n]:.1f}" for n in ("50", "100"))


def calibration(policy: Ordered) -> list[list[str]]:
    """Pairs by the chance that the candidate network gives them: how many, the mean chance, the share that paid."""
    chance, found = np.concatenate(policy.calls, axis=1)
    bins = np.clip(np.digitize(chance, BINS) - 1, 0, len(BINS) - 2)
    rows = [["chance", "pairs", "expected", "found"]]
    for i in range(len(BINS) - 1):
        here = bins == i
        if here.any():
            means = f"{chance[here].mean():.3f}", f"{found[here].mean():.3f}"
            rows.append([f"{BINS[i]:g} to {BINS[i + 1]:g}", str(here.sum()), *means])
    return [*rows, ["all", str(len(chance)), f"{chance.mean():.3f}", f"{found.mean():.3f}"]]


def draw(curves: dict[str, list[float]], whole: dict[str, float], path: Path) -> None:
    """R@50 against pairs looked at."""
    figure, axes = pyplot.subplots(figsize=(6.5, 4))
    for name, values in curves.items():
        axes.plot(CURVE, values, marker=".", label=name)
    axes.axhline(max(whole.values()), color="0.8", linewidth=1)
    axes.set(xscale="log", xlabel="pairs looked at in an image", ylabel="relationship R@50, per cent")
    axes.set_xticks(CURVE[::2], [str(t) for t in CURVE[::2]])
    axes.minorticks_off()
    axes.legend(frameon=False)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=150, bbox_inches="tight")
    pyplot.close(figure)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Walk in every order, compare, draw."""
    output = Path(options.output_dir)
    agent_run = Run(Path(options.run), options)
    scenes = agent_run.scenes
    seen = train_triplets(Split(options.train_data))
    table = annotated_share(SceneSet(Split(options.train_data), agent_run.parts.graph))

    def score(found: Findings, of: SceneSet = scenes) -> dict[str, Counts]:
        return counts_of(best(found), of, of.images, seen)[0]

    whole, budgets, curves, results = {}, {}, {}, {}
    for name, order in orders(agent_run.agent(), scenes, table, options.seed).items():
        found, policy = agent_run.walk(order, name=name)
        whole[name] = score(found)
        budgets[name] = [score(within(found, budget))["relationship"] for budget in options.budgets]
        curves[name] = [figures(score(within(found, t))["relationship"])["recall"]["50"] for t in CURVE]
        if name == "learned":
            cost = policy
    rows = [["order", *(f"{t} pairs" for t in options.budgets), "all pairs"]]
    rows += [[name, *map(recall, budgets[name]), recall(whole[name]["relationship"])] for name in budgets]
    print("Relationship R@50 / R@100 after so many looks at an image, one agent\n" + text_table(rows))
    print("\nThe learned order less each other's, R@50 and R@100, 95 % intervals (paired bootstrap over images)")
    lines = [["order", *(f"{t} pairs" for t in options.budgets)]]
    lines += [[n, *map(interval, budgets["learned"], budgets[n])] for n in budgets if n != "learned"]
    print(text_table(lines))
    stopped, policy = agent_run.walk(may_stop=True, name="stops by itself")
    pairs = cost.looks
    kinds = ("relationship", "phrase", "zero_shot_relationship")
    systems = {"agent, every pair": whole["learned"], "agent, stops by itself": score(stopped)}
    if options.supervised:
        other = Path(options.supervised)
        if not (other / "best.pt").exists():
            train_supervised(agent_run.parts, other, options.train_data)
        if not (other / "graph.pickle").exists():
            agent_run.parts.graph.save(other / "graph.pickle")
        control = Run(other, options)
        found, _ = control.walk(name="supervised")
        systems["supervised classifier"] = score(found, control.scenes)
        systems["supervised, damped by hand"] = score(damped(found, control.scenes), control.scenes)
    rows = [["", *kinds]] + [[name, *(recall(counts[k]) for k in kinds)] for name, counts in systems.items()]
    print("\n" + text_table(rows))
    for name in list(systems)[1:]:
        first = systems["agent, every pair"]["relationship"]
        print(f"agent, every pair, less {name}: {interval(first, systems[name]['relationship'])}")
    calibrated = calibration(cost)
    look, judge = agent_run.multiply_adds(), agent_run.network.candidate.multiply_adds
    results = {
        "pairs": pairs,
        "pairs_before_stopping": policy.looks,
        "budgets": {n: [figures(c)["recall"] for c in counts] for n, counts in budgets.items()},
        "curve": {"pairs": CURVE, **curves},
        "systems": {n: {k: figures(c, 1000) for k, c in counts.items()} for n, counts in systems.items()},
        "calibration": calibrated,
        "multiply_adds": {"look": look, "candidate": judge, "candidates_judged": cost.judged},
        "seconds": {"looks": cost.look_seconds, "candidates": cost.judge_seconds},
    }
    print(
        f"\nStops after {policy.looks} of {pairs} pairs ({policy.looks / pairs:.0%}).\n"
        f"A look costs {look:,} multiply-adds, judging a candidate {judge:,} ({judge / look:.2%}); "
        f"{cost.judged / pairs:.2f} judged for each pair, {cost.judged * judge / (pairs * look):.2%} of the looks' "
        "multiply-adds. On this machine "
        f"{cost.judge_seconds:.1f} s beside {cost.look_seconds:.1f} s of looks without pixels."
    )
    print("\nIs a chance what it says? Pairs by the chance of something new\n" + text_table(calibrated))
    output.mkdir(parents=True, exist_ok=True)
    draw(curves, {name: figures(c["relationship"])["recall"]["50"] for name, c in whole.items()}, output / "orders.png")
    write_json(output / "orders.json", results, indent=2)
    print(f"Written to {output / 'orders.json'} and {output / 'orders.png'}.")
    return results


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--run", required=True, help="--output_dir of main.py --train, with its graph.pickle")
    parser.add_argument("--supervised", metavar="DIR", help="the same without memory; trained where it has no best.pt")
    parser.add_argument("--train_data", required=True, help="the training split: the table, zero-shot triplets")
    parser.add_argument("--test_data", required=True, help="the split to walk over")
    parser.add_argument("--detections", metavar="FILE", help="detected boxes of the test images; else annotated ones")
    parser.add_argument("--budgets", type=int, nargs="+", default=[10, 20, 40], help="pairs an image")
    parser.add_argument("--output_dir", default="walk_orders", help="where everything is written")
    parser.add_argument("--seed", type=int, default=0, help="of the random order")
    run(parser.parse_args(argv))
    return 0


if __name__ == "__main__":
    sys.exit(main())
