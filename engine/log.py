"""What one sees of a training run: log.csv and its picture, the progress bar, TensorBoard, a line for each epoch."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from engine import distributed as ranks
from engine.loop import TrainingLoop
from files.checkpoints import count_of
from files.io import atomic_write
from learning_curve import draw_learning_curves

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

COLUMNS = (
    "epoch", "transitions", "epsilon", "reward", "loss", "loss_attribute", "loss_predicate", "loss_entity", "seconds",
    "transitions_per_second", "validation_relationship_R50", "validation_relationship_R100",
    "validation_attribute_R50", "validation_attribute_R100",
)  # fmt: skip
DRAW_SECONDS = 10.0  # between two drawings of the curves, each of which takes half a second
SHOW_SECONDS = 1.0  # between two looks at the loss, which wait for the device


class TrainingLog:
    """The log of a run. Every rank has one; only rank 0 writes and prints."""

    def __init__(self, output: Path, tensorboard: bool) -> None:
        self.output, self.tensorboard = output, tensorboard
        self.rows: list[dict[str, Any]] = []  # one an epoch: the columns of log.csv
        self.bar = tqdm(disable=True)
        self.events: SummaryWriter | None = None
        self.shown_at = self.drawn_at = time.monotonic()
        self.undrawn = False  # whether an epoch has ended since the curves were drawn

    def take_up(self, rows: list[dict[str, Any]], epochs: int) -> None:
        """Go on from the rows of `epochs` epochs. Raises ValueError when they are not."""
        for number, row in enumerate(rows, 1):
            numbers = [row["seconds"], *(value for value in row.values() if value is not None)]
            fair = all(isinstance(value, int | float) and math.isfinite(value) for value in numbers)
            if row["epoch"] != number or not fair:
                raise ValueError(f"row {number} of the log is not an epoch's")
            count_of(row["transitions"])
        if len(rows) != epochs:
            raise ValueError(f"the log has {len(rows)} epochs, the run {epochs}")
        self.rows = rows

    def open(self, loop: TrainingLoop | None) -> None:
        """Open the TensorBoard events; what a killed run wrote after its checkpoint is dropped.

        loop: where a run is resumed within an epoch.
        """
        if self.tensorboard and ranks.rank() == 0:
            from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

            self.events = SummaryWriter(str(self.output / "tensorboard"), purge_step=self.transitions(loop) + 1)

    def close(self) -> None:
        """Draw the curves if they are behind, close the TensorBoard events."""
        if self.undrawn:
            self._draw()
        if self.events is not None:
            self.events.close()

    def transitions(self, loop: TrainingLoop | None = None) -> int:
        """Made in this run; loop: within an epoch."""
        return (loop.sums.transitions if loop else 0) + sum(row["transitions"] for row in self.rows)

    def show(self, loop: TrainingLoop, epsilon: float) -> None:
        """How the epoch goes, on the progress bar and in TensorBoard, about once a second."""
        now = time.monotonic()
        if now - self.shown_at < SHOW_SECONDS or (self.bar.disable and self.events is None):
            return
        self.shown_at = now
        values = loop.so_far()
        loss = "loss -" if values["loss"] is None else f"loss {values['loss']:.3g}"
        self.bar.set_postfix_str(
            f"ε {epsilon:.3g}, reward {values['reward']:.2f}, {loss}, "
            f"{values['transitions_per_second']:.0f} transitions/s"
        )
        self._write_events("within_epoch", values, self.transitions(loop))

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Write an epoch's row to log.csv and TensorBoard, print it, and draw learning_curve.png when it is time."""
        self.rows.append(row)
        if ranks.rank():
            return
        with atomic_write(self.output / "log.csv", "w") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
                for row in self.rows
            )
        self.undrawn = True
        if time.monotonic() - self.drawn_at > DRAW_SECONDS:
            self._draw()
        print(summary(row), flush=True)
        self._write_events("epoch", row, self.transitions())

    def _draw(self) -> None:
        draw_learning_curves([self.output / "log.csv"], self.output / "learning_curve.png")
        self.undrawn, self.drawn_at = False, time.monotonic()

    def _write_events(self, title: str, values: dict[str, Any], transitions: int) -> None:
        if self.events is not None:
            for name, value in values.items():
                if value is not None:
                    self.events.add_scalar(f"{title}/{name}", value, transitions)

    def made(self, updates: int, validated: bool) -> str:
        """What the run has made, and where."""
        learned = [row for row in self.rows if row["loss"] is not None] or self.rows
        best = max(learned, key=lambda row: (recall(row), row["epoch"]))
        seconds = sum(row["seconds"] for row in self.rows)
        return (
            f"Trained {len(self.rows)} epochs: {self.transitions()} transitions, {updates} updates, {seconds:.0f} s. "
            f"In {self.output}: best.pt (the agent of epoch {best['epoch']}), last.pt (to resume from), log.csv, "
            f"learning_curve.png{', image_states.pickle' if validated else ''}."
        )


def recall(row: dict[str, Any]) -> float:
    """By which agents are compared: mean validation recall at 50; 0 where nothing was measured."""
    measured = [row.get(f"validation_{task}_R50") for task in ("relationship", "attribute")]
    return float(np.mean([value for value in measured if value is not None] or [0.0]))


def summary(row: dict[str, Any]) -> str:
    """One line about an epoch."""
    text = (
        f"epoch {row['epoch']}: epsilon {row['epsilon']:.3g}, {row['transitions']} transitions "
        f"({row['transitions_per_second']:.0f}/s), reward a step {row['reward']:.3f}, "
    )
    text += "nothing learned yet" if row["loss"] is None else f"loss {row['loss']:.4g}"
    for task in ("relationship", "attribute"):
        if row.get(f"validation_{task}_R50") is not None:
            text += f", validation {task} R@50 {row[f'validation_{task}_R50']:.2f}"
    return text
