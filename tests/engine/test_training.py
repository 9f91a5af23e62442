"""Training as its user sees it: what it says, what it writes, what it refuses to call trained."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
import torch
from limited import start_call
from tiny_run import SMALL, World

from engine.loop import slots_per_transition
from engine.options import parse
from engine.parts import make_parts
from engine.training import TrainingRun
from files.checkpoints import load_checkpoint
from learning_curve import draw_learning_curves
from main import main


def train(made: World, output: Path, *more: str) -> int:
    return main(["--train", *made.files(output), *SMALL, "--num_epochs", "2", *more])


@pytest.fixture(scope="module")
def run(made, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("with_events") / "run"
    assert train(made, output, "--tensorboard") == 0
    return output


def rows(output: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((output / "log.csv").open()))


@pytest.mark.slow
def test_it_ends_with_what_was_made_and_where(made, tmp_path, capsys):
    handlers = [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)]
    assert train(made, tmp_path) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("epoch ")] == ["epoch 1", "epoch 2"]
    transitions = sum(int(row["transitions"]) for row in rows(tmp_path))
    updates = load_checkpoint(tmp_path / "last.pt")["loops"][0]["updates"]
    assert f"Trained 2 epochs: {transitions} transitions, {updates} updates" in lines[-1]
    assert str(tmp_path) in lines[-1]
    for name in ("best.pt", "last.pt", "log.csv", "learning_curve.png", "image_states.pickle"):
        assert name in lines[-1]
        assert (tmp_path / name).exists()
    assert said.err == "", "no bar where the output is not a terminal"
    assert [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)] == handlers, "Ctrl-C is as before"


def test_a_detectors_boxes_are_simulated_beside_annotated_ones_alone(made, tmp_path):
    """A real detector's boxes have wrong names, and things that nobody annotated, already."""
    path = tmp_path / "boxes.json"
    path.write_text(
        json.dumps(
            {
                record["image_name"]: [
                    {"category": o["name"], "score": 0.9, "bbox": [o["x"], o["y"], o["x"] + o["w"], o["y"] + o["h"]]}
                    for o in record["labels"]["objects"]
                ]
                for record in made.records("train")
            }
        )
    )
    shares = []
    for files in ([*made.files(tmp_path), "--unannotated", "0.7"], made.files(tmp_path, train_detections=path)):
        parts = make_parts(parse(["--train", *files, *SMALL, "--misnamed", "0.4"]), torch.device("cpu"))
        assert parts.model.knows_detected
        scenes = TrainingRun(parts).scenes
        shares.append((scenes.misnamed, scenes.unannotated))
    assert shares == [(0.4, 0.7), (0.0, 0.0)]


def train_on_a_terminal(name: str, words: list[str]) -> None:
    """In a process of its own: stderr is the terminal, stdout goes nowhere."""
    sys.stdout, sys.stderr = open(os.devnull, "w"), open(name, "w", encoding="utf-8")  # noqa: SIM115
    sys.exit(main(words))


@pytest.mark.slow
def test_a_bar_on_a_terminal(made, tmp_path):
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
    words = ["--train", *made.files(tmp_path), *SMALL, "--num_epochs", "3"]
    process = start_call(train_on_a_terminal, os.ttyname(end), words)
    said, ended = b"", False
    while not ended:
        ended = not process.is_alive()  # then what is left to read is the last
        while select.select([terminal], [], [], 0.1)[0]:
            said += os.read(terminal, 10_000)
    assert process.exitcode == 0
    text = said.decode()
    assert "epoch 3/3" in text
    assert "validation" in text
    (shown, *_) = [part for part in text.split("\r") if "transitions/s" in part]
    for word in ("epoch", "ε ", "reward ", "loss ", "transitions/s", "<"):  # 00:01<00:03: gone and left
        assert word in shown


def test_tensorboard_events_are_what_the_log_says(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    log = rows(run)
    made = np.cumsum([int(row["transitions"]) for row in log]).tolist()
    for name in ("reward", "loss", "loss_predicate", "epsilon", "validation_relationship_R50"):
        scalars = events.Scalars(f"epoch/{name}")
        assert [event.step for event in scalars] == made
        assert [event.value for event in scalars] == pytest.approx([float(row[name]) for row in log], rel=1e-4)


@pytest.mark.parametrize(
    ("images", "batch_size", "slots"),
    [(1, 64, 64), (400, 64, 64), (1024, 64, 128), (3780, 64, 192), (100_000, 64, 192), (3780, 256, 256), (48, 2, 6)],
)
def test_images_walked_over_side_by_side(images, batch_size, slots):
    """Up to three times the batch size, where each slot has eight images or more."""
    assert batch_size * slots_per_transition(images, batch_size) == slots


def test_no_events_unless_asked_for(made):
    assert not (made.run / "tensorboard").exists()


@pytest.mark.slow
def test_events_go_on_where_the_run_does(made, run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(made, run, "--tensorboard", "--num_epochs", "3", "--resume") == 0
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    steps = [event.step for event in events.Scalars("epoch/loss")]
    assert steps == np.cumsum([int(row["transitions"]) for row in rows(run)]).tolist()
    assert len(steps) == 3


@pytest.mark.slow
def test_a_split_too_small_to_learn_from_is_told(made, tmp_path, capsys):
    most = ["--replay_buffer_minimum_number_samples", "19000"]
    assert train(made, tmp_path, *most) != 0
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert "nothing was learned" in line
    assert "Lower --replay_buffer_minimum_number_samples" in line
    assert said.out.count("nothing learned yet") == 2
    assert "loss 0" not in said.out
    assert [row["loss"] for row in rows(tmp_path)] == ["", ""], "not measured"
    assert not (tmp_path / "best.pt").exists(), "an agent that learned nothing is not the best"
    draw_learning_curves([tmp_path / "log.csv"], tmp_path / "drawn.png")

    assert train(made, tmp_path, *most, "--resume") != 0
    again = capsys.readouterr().err
    assert again == said.err
