"""What choosing where to look is worth: recall after so many pairs, in the agent's order and in others, side by side.

    python benchmarks/walk_orders.py --run RUN_0 RUN_1 RUN_2 --supervised CLASSIFIER_0 CLASSIFIER_1 CLASSIFIER_2 \\
        --train_data vrd_run/data/data_samples/train_data.json \\
        --test_data vrd_run/data/data_samples/test_data.json --detections VRD/detections_test.json

A trained agent (`--run`: best.pt of main.py --train with --frontier best_first; several seeds: their mean) looks at T
pairs an image, in each order; nothing else differs. Recall of every budget is that of what had been said until then:
its own best 50 and 100. Objects by themselves, of which attributes are asked, are no pairs, and do not count; the
orders that know nothing of attributes look at them last.

    learned        the agent's own: by the candidate network's Q, which costs a hundredth of a look
    breadth first  the most confident object with all others, then the next one
    random         any pair
    confidence     by the detector's confidence in both objects
    table          confidence x how often pairs of these categories are annotated in training
    lookahead      by what the networks would say there: all pairs are looked at before the first one counts

--supervised: a run with the same flags and --no-use_memory --no-new_phrases_only, which is a classifier of pairs with
equal inputs and as many networks: what benchmarks/baselines.py trains into OUT/classifier/seed_N. Its scores stand as
they are and damped by hand: a tenth for a triplet that repeats a more confident one (same words, both boxes overlap).
--also: agents trained otherwise (another discount, no memory), each in its own order.

Prints the tables, recall and mean recall over predicates, with paired bootstrap intervals over images, draws recall
against pairs, and says what the candidate network costs in multiply-adds and in seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from benchmarks.pair_orders import Order, annotated_share, orders
from benchmarks.tables import MEASURES, interval, share, table
from benchmarks.trained import TASKS, Ordered, Run, damped_findings, recall_within, tasks_of
from evaluation import train_triplets
from files.io import InputError, atomic_write, reports_input_errors, write_json
from files.splits import Split
from metrics.figures import RESAMPLES, Counts, difference, figures, mean_counts
from scenes.scene import SceneSet

BINS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # of chances, for the calibration
CURVE = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80)
OURS = ("learned, every pair", "learned, stops by itself")  # the systems that the others are compared with
Seen = set[tuple[str, ...]]  # triplets of the training images
Systems = dict[str, dict[str, list[Counts]]]  # name -> task -> one a seed


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

    def means(self) -> dict[str, dict[str, Counts]]:
        """Of every system, over its seeds: name -> task."""
        return {name: {task: mean_counts(seeds) for task, seeds in row.items()} for name, row in self.systems.items()}

    def mean_curves(self) -> dict[str, list[float]]:
        """R@50 of every order after CURVE pairs, over the seeds."""
        return {name: np.mean(rows, axis=0).tolist() for name, rows in self.curves.items()}

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
            tally.walk(open_run(folder, options), name, None, options, seen)
    return tally


def walk_supervised(tally: Tally, runs: Sequence[Run], options: argparse.Namespace, seen: Seen) -> None:
    """The classifiers of pairs with equal inputs, one for each run, as they stand and damped by hand."""
    for run, folder in zip(runs, options.supervised, strict=True):
        control = open_run(folder, options, run.parts.arguments.graph)
        scenes = control.scenes
        found, _ = control.walk(name="supervised")
        tally.add("supervised classifier", tasks_of(found, scenes, seen))
        tally.add("supervised, damped by hand", tasks_of(damped_findings(found, scenes), scenes, seen))


def open_run(folder: str, options: argparse.Namespace, graph: str | Path | None = None) -> Run:
    """An agent and the test images; graph: left out, the one in its folder."""
    graph = graph or Path(folder) / "graph.pickle"
    return Run(Path(folder), graph, options.test_data, options.images_dir, options.detections)


def report(tally: Tally, runs: Sequence[Run], options: argparse.Namespace) -> str:
    """All tables, in Markdown."""
    budgets = {name: means(seeds) for name, seeds in tally.budgets.items()}
    systems = tally.means()
    head = ["", *(f"{t} pairs" for t in options.budgets), "all pairs"]
    learned = budgets["learned"]
    lines: list[str] = []
    for measure, name in MEASURES.items():
        rows = [[order, *(share(counts, measure) for counts in row)] for order, row in budgets.items()]
        seeds = [[f"seed {i}", *(share(c, measure) for c in row)] for i, row in enumerate(tally.budgets["learned"])]
        less = [
            [order, *(interval(one, other, measure) for one, other in zip(learned, row, strict=True))]
            for order, row in budgets.items()
            if order != "learned"
        ]
        lines += [
            table(f"Relationship {name} after so many pairs of an image, mean of {len(runs)} agents:", [head, *rows]),
            table(f"The learned order of each agent, {name}:", [head, *seeds]),
            table(
                f"The learned order less each other's, {name}, 95 % intervals (paired bootstrap over images):",
                [head, *less],
            ),
        ]
        rows = [[system, *(share(row[task], measure) for task in TASKS)] for system, row in systems.items()]
        lines.append(table(f"All pairs, {name}:", [["", *TASKS], *rows]))
        for agent in OURS:
            less = [
                [system, *(interval(systems[agent][task], row[task], measure) for task in TASKS)]
                for system, row in systems.items()
                if not system.startswith("learned")
            ]
            lines += [table(f"{agent}, less, {name}:", [["", *TASKS], *less])] if less else []
    lines += [costs(tally, runs), ""]
    lines += [table("Pairs by the chance of something new there:", calibration(tally.looks["learned"]))]
    return "\n".join(lines)


def numbers(tally: Tally) -> dict[str, Any]:
    """What is written as JSON: figures with 95 % intervals of the mean over the seeds, and of every seed."""
    systems = tally.means()
    return {
        "budgets": {name: [figures(c, RESAMPLES) for c in means(seeds)] for name, seeds in tally.budgets.items()},
        "systems": {
            name: {task: figures(counts, RESAMPLES) for task, counts in row.items()} for name, row in systems.items()
        },
        "seeds": {
            name: {task: [figures(counts) for counts in seeds] for task, seeds in row.items()}
            for name, row in tally.systems.items()
        },
        "differences": {
            agent: {
                name: {task: difference(systems[agent][task], row[task]) for task in TASKS}
                for name, row in systems.items()
                if name not in OURS
            }
            for agent in OURS
        },
        "curve": {"pairs": CURVE, **tally.mean_curves()},
    }


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
    members = len(runs[0].network.members)
    lines.append(
        f"A look costs {look:,} multiply-adds, judging a candidate {judge:,} ({judge / look:.2%}); {judged / pairs:.2f}"
        f" are judged for each pair, {judged * judge / (pairs * look):.2%} of the looks' multiply-adds"
        f" ({judged * judge * members / (pairs * look):.2%} of one network's)."
    )
    for title, walks in (("Every pair", looks), ("Stopping by itself", stops)):
        seconds = (sum(getattr(walk, f"{what}_seconds") for walk in walks) for what in ("look", "judge"))
        lines.append("{}: {:.1f} s of looks, {:.1f} s of judging candidates.".format(title, *seconds))
    return "\n".join(lines)


def run(options: argparse.Namespace) -> None:
    """Walk in every order, compare, draw."""
    output = Path(options.output_dir)
    runs = [open_run(folder, options) for folder in options.run]
    if options.supervised and len(options.supervised) != len(runs):
        raise InputError(f"--supervised: give a folder for each of the {len(runs)} runs")
    seen = train_triplets(Split(options.train_data))
    tally = walk_all(runs, options, seen)
    if options.supervised:
        walk_supervised(tally, runs, options, seen)
    text = report(tally, runs, options)
    print(text)
    output.mkdir(parents=True, exist_ok=True)
    with atomic_write(output / "orders.md", "w") as file:
        file.write(text)
    whole = max(figures(means(seeds)[-1])["recall"]["50"] for seeds in tally.budgets.values())
    draw(tally.mean_curves(), whole, output / "orders.png")
    write_json(output / "orders.json", numbers(tally), indent=2)
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
        help="one for each run: the same, trained without memory and with all labels",
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
