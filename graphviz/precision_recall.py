"""Precision and recall of predicted attributes, relationships and both together, and their curve as a picture.

    python graphviz/precision_recall.py [--pickle image_states.pickle | --graphs FOLDER] [--output precision_recall.png]

Reads image_states.pickle, or the folder of JSON files that pickle_to_files.py makes from it. A predicted attribute or
relationship is right when it has the labels of a ground-truth one and each of its boxes has IoU >= 0.5 with that one's;
predictions are matched one to one, the most confident first (see metrics/vrd.py). Point k of the curve takes the k most
confident predictions of all images; equal confidences enter together.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from any folder

from files.io import InputError, atomic_write, remove_leftovers, reports_input_errors
from files.predictions import prediction_scenes
from files.scene_graphs import default_pickle, predictions_from_graphs, read_graph_folder, read_image_states
from metrics.vrd import match

COLOURS = {"relationships": "#1b6ca8", "attributes": "#c8553d", "both": "#5b5b5b"}


@dataclass
class Curve:
    """precision, recall: (points,) in 0 … 1 as the threshold falls; hits, predicted, total: counts of everything."""

    precision: np.ndarray
    recall: np.ndarray
    hits: int
    predicted: int
    total: int

    @property
    def average_precision(self) -> float:
        """Area under the curve, each gain in recall weighed with the precision at which it comes."""
        return float((np.diff(self.recall, prepend=0.0) * self.precision).sum())


def precision_recall_curve(hit: np.ndarray, scores: np.ndarray, total: int) -> Curve:
    """hit (n,) bool, scores (n,) of n predictions, total ground-truth items -> one point for each distinct score."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(hit[order])
    last = np.append(np.diff(scores[order]) != 0, True)[: len(order)]  # the end of a run of equal scores
    return Curve(
        precision=hits[last] / (np.flatnonzero(last) + 1),
        recall=hits[last] / max(total, 1),
        hits=int(hit.sum()),
        predicted=len(hit),
        total=total,
    )


def precision_recall(gt: Sequence[dict], curr: Sequence[dict], source: str) -> dict[str, Curve]:
    """Ground-truth and predicted graphs of the same images -> curves of "relationships", "attributes" and "both".

    Raises InputError naming `source` when a box is empty or two graphs are of one image.
    """
    truth, found = predictions_from_graphs(gt), predictions_from_graphs(curr)
    images = {name: number for number, name in enumerate(truth)}
    vocabulary: dict[str, int] = {}
    wanted = prediction_scenes(truth, images, vocabulary, f"{source}: ground truth")
    predicted = prediction_scenes(found, images, vocabulary, f"{source}: prediction")
    parts = {
        kind: (match(part, target) >= 0, part.scores, len(target))
        for kind, part, target in zip(predicted._fields, predicted, wanted, strict=True)
    }
    hit, scores, totals = zip(*parts.values(), strict=True)
    parts["both"] = np.concatenate(hit), np.concatenate(scores), sum(totals)
    return {kind: precision_recall_curve(*part) for kind, part in parts.items()}


def draw_curves(curves: dict[str, Curve], output: Path, title: str) -> None:
    """Draw the curves that have ground truth into a picture (PNG, SVG or PDF by the file's ending)."""
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.subplots()
    for kind, curve in curves.items():
        if not curve.total or not curve.predicted:
            continue
        style = {"color": COLOURS[kind], "linewidth": 2, "linestyle": "--" if kind == "both" else "-"}
        axes.plot(
            100 * curve.recall,
            100 * curve.precision,
            label=f"{kind}: average precision {100 * curve.average_precision:.1f}",
            **style,
        )
        axes.plot(
            100 * curve.recall[-1], 100 * curve.precision[-1], "o", color=COLOURS[kind], markersize=6, clip_on=False
        )
    axes.set(xlim=(0, 100), ylim=(0, 102), xlabel="recall (%)", ylabel="precision (%)", title=title)
    axes.grid(color="#dddddd", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        figure.legend(frameon=False, loc="outside lower center", title="the dot: everything that was predicted")
    else:
        axes.text(50, 50, "nothing was predicted, or there is no ground truth", ha="center", color="#5b5b5b")
    with atomic_write(output) as file:
        figure.savefig(file, format=output.suffix[1:].lower(), dpi=150)


def format_table(curves: dict[str, Curve]) -> str:
    """What all predictions together reach, one row a kind."""
    lines = [f"{'':14}{'annotated':>10}{'predicted':>11}{'hits':>8}{'precision':>11}{'recall':>9}{'AP':>8}"]
    for kind, curve in curves.items():
        precision = f"{100 * curve.hits / curve.predicted:.2f}" if curve.predicted else "-"
        recall = f"{100 * curve.hits / curve.total:.2f}" if curve.total else "-"
        average = f"{100 * curve.average_precision:.2f}" if curve.total else "-"
        lines.append(
            f"{kind:14}{curve.total:10}{curve.predicted:11}{curve.hits:8}{precision:>11}{recall:>9}{average:>8}"
        )
    return "\n".join(lines)


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="Precision and recall of attributes, relationships and both at IoU 0.5, and their curve."
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--pickle", type=Path, default=default_pickle(), help="default: %(default)s")
    source.add_argument("--graphs", type=Path, help="folder of gt_graph_<i>.json and curr_graph_<i>.json, instead")
    parser.add_argument("--output", type=Path, default=Path("precision_recall.png"), help="default: %(default)s")
    arguments = parser.parse_args(argv)
    if arguments.output.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"--output {arguments.output}: name a .png, .svg or .pdf file")
    path = arguments.graphs or arguments.pickle
    states = read_graph_folder(path) if arguments.graphs else read_image_states(path)

    curves = precision_recall(states["gt"], states["curr"], str(path))
    print(format_table(curves))
    images = len(states["gt"])
    remove_leftovers(arguments.output)
    draw_curves(curves, arguments.output, f"Scene graphs of {images} image{'' if images == 1 else 's'}, IoU ≥ 0.5")
    print(f"\nPer cent; images: {images}. The curve is in {arguments.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
