"""Learning curves of one or several runs in one picture, from their CSV logs.

    python learning_curve.py RUN1/log.csv RUN2/log.csv --output curve.png

One small plot for each thing logged: reward, losses, epsilon, recall. An empty cell is a thing not measured in
that epoch. main.py writes the logs.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from files.io import InputError, atomic_write, read_bytes, remove_leftovers, reports_input_errors

# Title of a plot -> the columns drawn in it, each with its name in the legend.
PLOTS: dict[str, dict[str, str]] = {
    "reward": {"reward": ""},
    "loss": {"loss": "all", "loss_attribute": "attribute", "loss_predicate": "predicate", "loss_entity": "entity"},
    "epsilon": {"epsilon": ""},
    "relationship recall, validation (%)": {
        "validation_relationship_R50": "R@50",
        "validation_relationship_R100": "R@100",
    },
    "attribute recall, validation (%)": {"validation_attribute_R50": "R@50", "validation_attribute_R100": "R@100"},
    "transitions per second": {"transitions_per_second": ""},
}
ENDINGS = (".png", ".svg", ".pdf")
LARGEST = 1e15  # beyond, matplotlib finds no place for its ticks
# Okabe and Ito's palette: told apart with every kind of colour vision. The dash tells columns apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DASHES = ("-", "--", ":", "-.")

Log = dict[str, list[float]]


def read_log(path: str | Path) -> Log:
    """A CSV log as {column: one number an epoch}; an empty cell is NaN.

    Raises InputError naming the file, line and column for a cell that is not a number, a row of another length,
    a file with no column "epoch", with a column twice, or with no epoch yet.
    """
    try:
        text = read_bytes(path, "give the log.csv that main.py --train wrote").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file; give the log.csv that main.py --train wrote") from None
    rows = csv.reader(io.StringIO(text))
    columns = [name.strip() for name in next(rows, [])]
    if "epoch" not in columns:
        raise InputError(
            f'{path}: has no column "epoch" in its first line; give the log.csv that main.py --train wrote'
        )
    if repeated := [name for name in columns if name and columns.count(name) > 1]:
        raise InputError(f"{path}: its first line names column {repeated[0]!r} more than once; remove one of them")
    log: Log = {name: [] for name in columns}
    try:
        for row in rows:
            if not row:
                continue
            if len(row) != len(columns):
                raise InputError(f"{path}: line {rows.line_num} has {len(row)} cells, its header has {len(columns)}")
            for name, cell in zip(columns, row, strict=True):
                log[name].append(_number(cell, f"{path}: line {rows.line_num}, column {name!r}"))
    except csv.Error as error:
        raise InputError(f"{path}: line {rows.line_num} is not CSV ({error})") from None
    if not log["epoch"]:
        raise InputError(f"{path}: holds no epoch yet; wait for the first one to end")
    return log


def _number(cell: str, where: str) -> float:
    try:
        value = float(cell) if cell.strip() else math.nan
    except ValueError:
        raise InputError(f"{where} holds {cell!r}, which is not a number") from None
    if math.isfinite(value) and abs(value) > LARGEST:
        raise InputError(f"{where} holds {cell!r}, which is too large to draw")
    return value


def run_names(paths: Sequence[Path]) -> list[str]:
    """What runs are called in the legend: as much of the paths' ends as tells them apart, without "log.csv"."""
    parts = [path.parts[:-1] if path.name == "log.csv" and len(path.parts) > 1 else path.parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{i}: {name}" for i, name in enumerate(names, 1)]


def draw_learning_curves(csv_paths: Sequence[str | Path], output: str | Path) -> None:
    """Draw the logs of one or several runs into the picture `output` (.png, .svg or .pdf).

    What no run has measured gets no plot. Raises InputError as `read_log`, or when nothing can be drawn.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    paths, output = [Path(path) for path in csv_paths], Path(output)
    if output.suffix.lower() not in ENDINGS:
        raise InputError(f"{output}: curves are drawn as {', '.join(ENDINGS)}; choose one of these endings")
    logs = [read_log(path) for path in paths]
    measured = {
        title: [name for name in columns if any(_has(log, name) for log in logs)] for title, columns in PLOTS.items()
    }
    measured = {title: names for title, names in measured.items() if names}
    if not measured:
        known = ", ".join(name for columns in PLOTS.values() for name in columns)
        raise InputError(f"{paths[0]}: holds nothing to draw; the columns that are drawn are {known}")

    across = min(3, len(measured))
    down = math.ceil(len(measured) / across)
    figure = Figure(figsize=(4.2 * across, 2.9 * down + 0.5), layout="constrained")
    plots = figure.subplots(down, across, squeeze=False).ravel()
    for plot in plots[len(measured) :]:
        plot.set_axis_off()
    for plot, (title, names) in zip(plots, measured.items(), strict=False):
        for run, log in enumerate(logs):
            for dash, name in zip(DASHES, names, strict=False):
                if _has(log, name):
                    _draw_line(plot, log["epoch"], log[name], COLOURS[run % len(COLOURS)], dash)
        plot.set_title(title, fontsize=10, loc="left")
        plot.grid(alpha=0.25)
        plot.spines[["top", "right"]].set_visible(False)
        plot.xaxis.get_major_locator().set_params(integer=True)
        plot.set_xlabel("epoch", fontsize=9)
        if len(names) > 1:
            lines = [Line2D([], [], color="#444444", linestyle=dash) for dash, _ in zip(DASHES, names, strict=False)]
            plot.legend(lines, [PLOTS[title][name] for name in names], fontsize=8, frameon=False)
    if len(logs) > 1:
        colours = [Line2D([], [], color=COLOURS[run % len(COLOURS)], linewidth=3) for run in range(len(logs))]
        names = [name.replace("$", r"\$") for name in run_names(paths)]  # no formulas from folder names
        figure.legend(colours, names, loc="outside upper left", ncols=min(4, len(logs)), frameon=False, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=output.suffix[1:].lower(), dpi=150)
    with atomic_write(output) as file:
        file.write(buffer.getvalue())


def _has(log: Log, name: str) -> bool:
    return any(map(math.isfinite, log.get(name, [])))


def _draw_line(plot, epochs: list[float], values: list[float], colour: str, dash: str) -> None:
    """A line through what was measured: epochs in between that were not do not break it."""
    points = [(x, y) for x, y in zip(epochs, values, strict=True) if math.isfinite(x) and math.isfinite(y)]
    marker = "o" if len(points) <= 30 else None  # a single epoch is a point, not an invisible line
    plot.plot(*zip(*points, strict=True), color=colour, linestyle=dash, marker=marker, markersize=3, linewidth=1.6)


@reports_input_errors
def main(argv: list[str] | None = None) -> None:
    """Command line: see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], epilog=__doc__.split("\n", 1)[1].strip())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG.csv", help="log of a run, or the run's folder")
    parser.add_argument("--output", type=Path, default=Path("learning_curve.png"), help="default: %(default)s")
    arguments = parser.parse_args(argv)
    logs = [path / "log.csv" if path.is_dir() else path for path in arguments.logs]
    remove_leftovers(arguments.output)
    draw_learning_curves(logs, arguments.output)
    print(f"Learning curves of {len(logs)} run{'s' if len(logs) > 1 else ''}: {arguments.output.resolve()}")


if __name__ == "__main__":
    sys.exit(main())
