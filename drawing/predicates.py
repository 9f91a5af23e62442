"""Recall of each predicate as a picture: which relationships a system finds, from the frequent to the rare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from files.io import atomic_write

MOST = 60  # predicates in a picture
COLOURS = ("#1b6ca8", "#c8553d")


def draw_predicates(rows: Mapping[str, Mapping[str, Any]], path: str | Path) -> None:
    """Draw "predicates" of results.json, in their order, into a .png, .svg or .pdf.

    rows: {predicate: {"annotated": int, task: {"50": per cent, …}, …}}; the recall at the largest number of predictions
    is drawn, of two tasks the second as a dot. Only the first MOST predicates are drawn.
    """
    from matplotlib.figure import Figure  # takes longer to import than to score

    names = list(rows)[:MOST]
    shown = [rows[name] for name in names]
    tasks = [key for key, value in (shown[0] if shown else {}).items() if isinstance(value, Mapping)]
    figure = Figure(figsize=(6.4, 1.2 + 0.19 * max(len(names), 5)), layout="constrained")
    axes = figure.subplots()
    for number, task in enumerate(tasks):
        n = max(shown[0][task], key=int)
        values = [row[task][n] for row in shown]
        label = f"{task.replace('_', ' ')}, recall@{n}"
        if number:
            axes.plot(values, range(len(names)), "o", color=COLOURS[1], markersize=3.5, label=label, clip_on=False)
        else:
            axes.barh(range(len(names)), values, color=COLOURS[0], height=0.7, label=label)
    # Names come from data: parse_math would take a $ for a formula.
    axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(names)), [str(row["annotated"]) for row in shown], fontsize=7, color="#5b5b5b")
    for side in (axes, right):
        side.tick_params(axis="y", length=0)
    axes.set(xlim=(0, 100), ylim=(len(names) - 0.4, -0.6), xlabel="recall (%); right: annotated relationships")
    axes.grid(axis="x", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    right.spines["right"].set_visible(False)
    if tasks:
        figure.legend(frameon=False, loc="outside upper left", ncols=2, fontsize=8)
    with atomic_write(path) as file:
        figure.savefig(file, format=Path(path).suffix[1:].lower(), dpi=130)
