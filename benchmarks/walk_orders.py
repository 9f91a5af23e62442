"""What choosing where to look is worth: recall after so many pairs, in the agent's order and in others, side by side.

    python benchmarks/walk_orders.py --run RUN_0 RUN_1 RUN_2 --supervised CLASSIFIER_0 CLASSIFIER_1 CLASSIFIER_2 \\
        --train_data vrd_run/data/data_samples/train_data.json \\
        --test_data vrd_run/data/data_samples/test_data.json --detections VRD/detections_test.json

A trained agent (`--run`: best.pt of main.py --train with --frontier best_first; several seeds: their mean) looks at T
pairs an image, in each order; nothing else differs. Recall of every budget is that of what had been said until then:
its own best 50 and 100.

    learned        the agent's own: by the candidate network's Q, which costs a hundredth of a look
    breadth first  the most confident object with all others, then the next one
    random         any pair
    confidence     by the detector's confidence in both objects
    table          confidence x how often pairs of these categories are annotated in training
    lookahead      by what the networks would say there: all pairs are looked at before the first one counts

--supervised: a run with the same flags and --no-use_memory --no-new_phrases_only, which is a classifier of pairs with
equal inputs and as many networks; it is trained here where its folder has no best.pt. Its scores stand as they are and
damped by hand: a tenth for a triplet that repeats a more confident one (same words, both boxes overlap).
--also: agents trained otherwise (another discount, no memory), each in its own order.

Prints the tables with paired bootstrap intervals over images, draws recall against pairs, and says what the candidate
network costs in multiply-adds and in seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from benchmarks.pair_orders import Order, annotated_share, orders
from boxes import iou
from engine.options import parse
from engine.parts import Parts, make_agent, make_parts, open_detections, open_scenes, read_agent, trained_network
from engine.results import counts_of
from engine.walk import Findings, best, own_choices, walk
from evaluation import train_triplets
from files.io import InputError, atomic_write, reports_input_errors, write_json
from files.splits import Split
from metrics.figures import RESAMPLES, Counts, difference, figures, mean_counts
from scenes.scene import SceneSet
from vrl_model import Agent, Judgement

BINS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # of chances, for the calibration
CURVE = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80)
TASKS = ("relationship", "relationship_k1", "phrase", "zero_shot_relationship")
DAMPED = 0.1  # of a score, where a more confident triplet has said it
Seen = set[tuple[str, ...]]  # triplets of the training images
Systems = dict[str, dict[str, list[Counts]]]  # name -> task -> one a seed


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
        argv += ["--images_dir", options.images_dir] if options.images_dir else []
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


def calibration(policies: Sequence[Ordered]) -> list[list[str]]:
    """Pairs by the chance that the candidate network gives them: how many, the mean chance, the share that paid."""
    chance, found = np.concatenate([call for policy in policies for call in policy.calls], axis=1)
    bins = np.clip(np.digitize(chance, BINS) - 1, 0, len(BINS) - 2)
    rows = [["chance", "pairs", "expected", "found"]]
    for i in range(len(BINS) - 1):
        here = bins == i
        if here.any():
            means = f"{chance[here].mean():.3f}", f"{found[here].mean():.3f}"
            rows.append([f"{BINS[i]:g} to {BINS[i + 1]:g}", str(here.sum()), *means])
    return [*rows, ["all", str(len(chance)), f"{chance.mean():.3f}", f"{found.mean():.3f}"]]


def draw(curves: dict[str, list[float]], whole: float, path: Path) -> None:
    """R@50 against pairs looked at."""
    figure, axes = pyplot.subplots(figsize=(6.5, 4))
    for name, values in curves.items():
        axes.plot(CURVE, values, marker=".", label=name)
    axes.axhline(whole, color="0.8", linewidth=1)
    axes.set(xscale="log", xlabel="pairs looked at in an image", ylabel="relationship R@50, per cent")
    axes.set_xticks(CURVE[::2], [str(t) for t in CURVE[::2]])
    axes.minorticks_off()
    axes.legend(frameon=False)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=150, bbox_inches="tight")
    pyplot.close(figure)


@dataclasses.dataclass
class Tally:
    """What all agents found: one entry a seed in each list."""

    budgets: dict[str, list[list[Counts]]] = dataclasses.field(
        default_factory=dict
    )  # order -> after T pairs, all pairs
    curves: dict[str, list[list[float]]] = dataclasses.field(default_factory=dict)  # order -> R@50 after CURVE pairs
    systems: Systems = dataclasses.field(default_factory=dict)
    looks: dict[str, list[Ordered]] = dataclasses.field(default_factory=dict)  # agent -> its walk over every pair
    stops: dict[str, list[Ordered]] = dataclasses.field(default_factory=dict)  # agent -> its walk that ends by itself

    def add(self, name: str, tasks: dict[str, Counts]) -> None:
        """One more seed of a system."""
        row = self.systems.setdefault(name, {})
        for task in TASKS:
            row.setdefault(task, []).append(tasks[task])

    def walk(self, run: Run, name: str, order: Order | None, options: argparse.Namespace, seen: Seen) -> None:
        """Every pair in one order; in an agent's own order also a walk that ends by itself."""
        found, policy = run.walk(order, name=name)
        scenes = run.scenes
        whole = tasks_of(found, scenes, seen)
        of_budgets = [recall_within(found, t, scenes) for t in options.budgets]
        self.budgets.setdefault(name, []).append([*of_budgets, whole["relationship"]])
        curve = [figures(recall_within(found, t, scenes))["recall"]["50"] for t in CURVE]
        self.curves.setdefault(name, []).append(curve)
        if order is None:
            self.looks.setdefault(name, []).append(policy)
            self.add(f"{name}, every pair", whole)
            found, policy = run.walk(may_stop=True, name=f"{name}, stops")
            self.stops.setdefault(name, []).append(policy)
            self.add(f"{name}, stops by itself", tasks_of(found, scenes, seen))


def walk_all(runs: Sequence[Run], options: argparse.Namespace, seen: Seen) -> Tally:
    """The agents in every order, and the other agents in their own."""
    tally = Tally()
    for run in runs:
        table = annotated_share(SceneSet(Split(options.train_data), run.parts.graph))
        for name, order in orders(run.agent(), run.scenes, table, options.seed).items():
            tally.walk(run, name, order, options, seen)
    for name, *folders in options.also or ():
        for folder in folders:
            tally.walk(Run(Path(folder), options), name, None, options, seen)
    return tally


def walk_supervised(tally: Tally, runs: Sequence[Run], options: argparse.Namespace, seen: Seen) -> None:
    """The classifiers of pairs with equal inputs, one for each run, as they stand and damped by hand."""
    for run, folder in zip(runs, map(Path, options.supervised), strict=True):
        if not (folder / "best.pt").exists():
            train_supervised(run.parts, folder, options.train_data)
        if not (folder / "graph.pickle").exists():
            run.parts.graph.save(folder / "graph.pickle")
        control = Run(folder, options)
        scenes = control.scenes
        found, _ = control.walk(name="supervised")
        tally.add("supervised classifier", tasks_of(found, scenes, seen))
        tally.add("supervised, damped by hand", tasks_of(damped(found, scenes), scenes, seen))


def tasks_of(found: Findings, scenes: SceneSet, seen: Seen) -> dict[str, Counts]:
    """What all pairs that were looked at found, of every task of TASKS."""
    tasks = counts_of(best(found), scenes, scenes.images, seen)[0]
    own = counts_of(best(own_choices(found)), scenes, scenes.images)[0]
    return tasks | {"relationship_k1": own["relationship"]}


def recall_within(found: Findings, budget: int, scenes: SceneSet) -> Counts:
    """What had been found after `budget` looks at each image."""
    return counts_of(within(found, budget), scenes, scenes.images)[0]["relationship"]


def table(title: str, rows: list[list[str]]) -> str:
    """Markdown: a title and a table whose first row is its head."""
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([title, "", head, "| --- " * len(rows[0]) + "|", *body, ""])


def report(tally: Tally, runs: Sequence[Run], options: argparse.Namespace) -> str:
    """All tables, in Markdown."""
    budgets = {name: means(seeds) for name, seeds in tally.budgets.items()}
    systems = {name: {task: mean_counts(seeds) for task, seeds in row.items()} for name, row in tally.systems.items()}
    head = ["", *(f"{t} pairs" for t in options.budgets), "all pairs"]
    learned = budgets["learned"]
    lines = [
        table(
            f"Relationship R@50 / R@100 after so many looks at an image, mean of {len(runs)} agents:",
            [head, *([name, *map(recall, row)] for name, row in budgets.items())],
        ),
        table(
            "The learned order of each agent:",
            [head, *([f"seed {i}", *map(recall, row)] for i, row in enumerate(tally.budgets["learned"]))],
        ),
        table(
            "The learned order less each other's, 95 % intervals (paired bootstrap over images):",
            [head, *([n, *map(interval, learned, row)] for n, row in budgets.items() if n != "learned")],
        ),
        table("All pairs:", [["", *TASKS], *([name, *map(recall, row.values())] for name, row in systems.items())]),
    ]
    for agent in ("learned, every pair", "learned, stops by itself"):
        others = {name: row for name, row in systems.items() if not name.startswith("learned")}
        differences = [[n, *(interval(systems[agent][t], row[t]) for t in TASKS)] for n, row in others.items()]
        lines += [table(f"{agent}, less:", [["", *TASKS], *differences])] if others else []
    lines += [costs(tally, runs), ""]
    lines += [table("Pairs by the chance of something new there:", calibration(tally.looks["learned"]))]
    return "\n".join(lines)


def means(seeds: Sequence[Sequence[Counts]]) -> list[Counts]:
    """Of each column, over the seeds."""
    return [mean_counts(column) for column in zip(*seeds, strict=True)]


def costs(tally: Tally, runs: Sequence[Run]) -> str:
    """When the agents stop, and what choosing costs beside looking."""
    lines = []
    for name, looks in tally.looks.items():
        shares = (f"{stop.looks / all_.looks:.0%}" for stop, all_ in zip(tally.stops[name], looks, strict=True))
        lines.append(f"{name}: stops by itself after {', '.join(shares)} of the pairs.")
    looks, stops = tally.looks["learned"], tally.stops["learned"]
    pairs, judged = sum(policy.looks for policy in looks), sum(policy.judged for policy in looks)
    look, judge = runs[0].multiply_adds(), runs[0].network.candidate.multiply_adds
    lines.append(
        f"A look costs {look:,} multiply-adds, judging a candidate {judge:,} ({judge / look:.2%}); {judged / pairs:.2f}"
        f" are judged for each pair, {judged * judge / (pairs * look):.2%} of the looks' multiply-adds."
    )
    for title, walks in (("Every pair", looks), ("Stopping by itself", stops)):
        seconds = (sum(getattr(walk, f"{what}_seconds") for walk in walks) for what in ("look", "judge"))
        lines.append("{}: {:.1f} s of looks, {:.1f} s of judging candidates.".format(title, *seconds))
    return "\n".join(lines)


def run(options: argparse.Namespace) -> None:
    """Walk in every order, compare, draw."""
    output = Path(options.output_dir)
    runs = [Run(Path(folder), options) for folder in options.run]
    seen = train_triplets(Split(options.train_data))
    tally = walk_all(runs, options, seen)
    if options.supervised:
        if len(options.supervised) != len(runs):
            raise InputError(f"--supervised: give a folder for each of the {len(runs)} runs")
        walk_supervised(tally, runs, options, seen)
    text = report(tally, runs, options)
    print(text)
    output.mkdir(parents=True, exist_ok=True)
    with atomic_write(output / "orders.md", "w") as file:
        file.write(text)
    curves = {name: np.mean(rows, axis=0).tolist() for name, rows in tally.curves.items()}
    draw(
        curves,
        max(figures(means(seeds)[-1])["recall"]["50"] for seeds in tally.budgets.values()),
        output / "orders.png",
    )
    results = {
        "budgets": {n: [figures(c, RESAMPLES) for c in means(seeds)] for n, seeds in tally.budgets.items()},
        "systems": {
            n: {task: [figures(c)["recall"] for c in seeds] for task, seeds in row.items()}
            for n, row in tally.systems.items()
        },
        "curve": {"pairs": CURVE, **curves},
    }
    write_json(output / "orders.json", results, indent=2)
    print(f"Written to {output / 'orders.md'}, {output / 'orders.json'} and {output / 'orders.png'}.")


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--run",
        required=True,
        nargs="+",
        metavar="DIR",
        help="--output_dir of main.py --train, with its graph.pickle; several seeds: their mean",
    )
    parser.add_argument(
        "--supervised",
        nargs="+",
        metavar="DIR",
        help="one for each run: trained without memory where it has no best.pt",
    )
    parser.add_argument(
        "--also",
        nargs="+",
        action="append",
        metavar="NAME_AND_DIRS",
        help="another agent in its own order: a name, then its folders, one a seed; several: several times",
    )
    parser.add_argument("--train_data", required=True, help="the training split: the table, zero-shot triplets")
    parser.add_argument("--test_data", required=True, help="the split to walk over")
    parser.add_argument("--images_dir", metavar="DIR", help="for agents that see pixels")
    parser.add_argument("--detections", metavar="FILE", help="detected boxes of the test images; else annotated ones")
    parser.add_argument("--budgets", type=int, nargs="+", default=[10, 20, 40], help="pairs an image")
    parser.add_argument("--output_dir", default="walk_orders", help="where everything is written")
    parser.add_argument("--seed", type=int, default=0, help="of the random order")
    run(parser.parse_args(argv))
    return 0


if __name__ == "__main__":
    sys.exit(main())
