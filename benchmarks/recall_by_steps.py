"""How much of an image the agent has to look at: recall when its walk ends after t steps.

    python benchmarks/recall_by_steps.py --pickle image_states.pickle --output recall_by_steps.png

Reads the walks that main.py --test wrote (several pickles: one curve each). Prints a table and draws the curves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from files.io import atomic_write, reports_input_errors, write_json
from files.predictions import prediction_scenes
from files.scene_graphs import Graph, predictions_from_graphs, read_image_states
from metrics.vrd import evaluate_arrays

STEPS = (2, 5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320)


def cut(graph: Graph, steps: int) -> Graph:
    """What the walk had said after so many steps."""
    return graph | {
        kind: [item for item in graph[kind] if item["step"] < steps] for kind in ("attributes", "relationships")
    }


def curve(states: dict[str, list[Graph]]) -> list[dict[str, float]]:
    """For each number of steps: the share of all pairs visited, relationship R@50 and R@100."""
    images = {graph["image_name"]: i for i, graph in enumerate(states["gt"])}
    vocabulary: dict[str, int] = {}
    truth = prediction_scenes(predictions_from_graphs(states["gt"]), images, vocabulary)
    longest = max((len(graph.get("steps", [])) for graph in states["curr"]), default=0)
    pairs = sum(n * (n - 1) for n in (len({*map(tuple, boxes(graph))}) for graph in states["curr"]))
    rows = []
    for steps in [*(s for s in STEPS if s < longest), longest]:
        graphs = [cut(graph, steps) for graph in states["curr"]]
        found = prediction_scenes(predictions_from_graphs(graphs), images, vocabulary)
        recall = evaluate_arrays(found, truth)["relationship"]["recall"]
        visited = sum(object_ >= 0 for graph in states["curr"] for _, object_ in graph["steps"][:steps])
        rows.append({"steps": steps, "pairs": visited / max(pairs, 1), "R@50": recall["50"], "R@100": recall["100"]})
    return rows


def boxes(graph: Graph) -> list[list[float]]:
    return [[thing[key] for key in "xywh"] for thing in graph["objects"]]


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pickle", nargs="+", default=["image_states.pickle"], help="one curve each")
    parser.add_argument("--output", default="recall_by_steps.png", help="the picture; a .json of the numbers beside it")
    arguments = parser.parse_args(argv)
    curves = {path: curve(read_image_states(path)) for path in arguments.pickle}
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for path, rows in curves.items():
        print(f"{path}\nsteps  pairs visited   R@50  R@100")
        for row in rows:
            print(f"{row['steps']:5}  {row['pairs']:12.1%}  {row['R@50']:5.2f}  {row['R@100']:5.2f}")
        share = 100 * np.array([row["pairs"] for row in rows])
        label = Path(path).resolve().parent.name
        axes.plot(share, [row["R@50"] for row in rows], marker="o", label=f"{label}: R@50")
        axes.plot(share, [row["R@100"] for row in rows], marker="s", linestyle="--", label=f"{label}: R@100")
    axes.set(
        xlabel="pairs of objects visited, per cent",
        ylabel="relationship recall, per cent",
        xlim=(0, None),
        ylim=(0, None),
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with atomic_write(arguments.output) as file:
        figure.savefig(file, format=Path(arguments.output).suffix[1:] or "png", dpi=144)
    write_json(Path(arguments.output).with_suffix(".json"), curves, indent=1)
    print(f"The curves are in {arguments.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
