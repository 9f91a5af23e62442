"""Training that is killed, stopped or spread over processes: real processes, real signals, the same weights."""

from __future__ import annotations

import os
import random
import resource
import shlex
import signal
import subprocess
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from limited import ROOT, Outcome, end, run_limited, said, start

from create_graph import main as create_graph
from data.make_sample import main as make_sample
from files.checkpoints import load_checkpoint

pytestmark = pytest.mark.slow
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
FLAGS = shlex.split(
    "--train --preset paper --no-use_skip_thought --image_embedding_model_type none --use_box_geometry "
    "--category_vectors 8 --fusion_sizes 16 8 "
    "--num_epochs 2 --batch_size 2 --replay_buffer_minimum_number_samples 50 --target_update_frequency 20 "
    "--dropout 0.1 --double_dqn --checkpoint_minutes 0.0005 --device cpu"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_sample(["--output", str(folder / "data"), "--num_images", "48"])
    create_graph(["--annotations", str(folder / "data/raw_data"), "--output", str(folder), "--min_occurrences", "1"])
    return folder


def command(world: Path, output: str, *more: str) -> list[str]:
    return [str(ROOT / "main.py"), *FLAGS, "--output_dir", str(world / output), *more]


def run(world: Path, output: str, *more: str, launcher: tuple[str, ...] = ()) -> Outcome:
    done = run_limited([*launcher, *command(world, output, *more)], world, seconds=80)
    assert not done.status, done
    return done


@pytest.fixture(scope="module")
def whole(world) -> dict:
    """A run that was never stopped."""
    run(world, "whole")
    return load_checkpoint(world / "whole" / "last.pt")


def assert_same(world: Path, output: str, whole: dict) -> None:
    other = load_checkpoint(world / output / "last.pt")
    for part in ("network", "target"):
        for name, tensor in whole[part].items():
            assert torch.equal(tensor, other[part][name]), f"{part} {name}"
    mine, theirs = (saved["loops"][0] for saved in (whole, other))
    assert (mine["memory"]["memory"] == theirs["memory"]["memory"]).all()
    keys = ("epoch", "transitions", "epsilon", "reward", "loss")
    assert [[row[k] for k in keys] for row in whole["rows"]] == [[row[k] for k in keys] for row in other["rows"]]


def ended(process: BaseProcess, world: Path) -> str:
    """Wait until it has ended. Returns what it said."""
    process.join(120)
    late = process.is_alive()
    end(process)
    assert not late
    return "".join(said(world))


def wait_for_checkpoint(process: BaseProcess, path: Path, newer_than: float = 0.0) -> None:
    for _ in range(2400):
        if not process.is_alive() or (path.exists() and path.stat().st_mtime > newer_than):
            return
        time.sleep(0.05)
    raise AssertionError("no checkpoint was written")


def test_killed_at_random_moments_the_run_ends_with_the_same_weights(world, whole):
    moments = random.Random(0)
    path = world / "killed" / "last.pt"
    killed = 0
    for attempt in range(3):
        before = path.stat().st_mtime if path.exists() else 0.0
        process = start(command(world, "killed", *(["--resume"] if attempt else [])), world)
        wait_for_checkpoint(process, path, before)
        time.sleep(moments.random() * 0.15)
        killed += process.is_alive()
        end(process)
        assert load_checkpoint(path)["format"], "what a kill leaves behind is whole"
    assert killed, "at least one kill came before the end"
    run(world, "killed", "--resume")
    assert_same(world, "killed", whole)


def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(world, whole):
    process = start(command(world, "stopped"), world)
    wait_for_checkpoint(process, world / "stopped" / "last.pt")
    os.kill(process.pid, signal.SIGINT)
    text = ended(process, world)
    assert process.exitcode in (0, 130), text
    if process.exitcode == 130:
        assert "--resume" in text
    assert "Traceback" not in text
    run(world, "stopped", "--resume")
    assert_same(world, "stopped", whole)


def test_a_full_disk_leaves_the_previous_checkpoint(world, whole):
    output = world / "whole"
    before = (output / "last.pt").read_bytes()
    process = start(command(world, "whole", "--resume", "--num_epochs", "4"), world)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    text = ended(process, world)
    assert process.exitcode == 2, text
    assert "Traceback" not in text
    assert "last.pt" in text or "disk" in text
    assert (output / "last.pt").read_bytes() == before
    assert not list(output.glob(".*.tmp")), "nothing half-written is left"


@pytest.mark.parametrize("preset", ["paper", "best"])
def test_two_processes_learn_what_one_learns(world, preset):
    """N ranks with batch B / N give the updates of one with batch B, but for the order of additions."""
    without_dropout = ["--dropout", "0", "--checkpoint_minutes", "9", "--num_epochs", "1"]
    if preset == "best":  # with few images: at the end a rank has no states left
        without_dropout += shlex.split("--preset best --num_members 1 --batch_size 16")
    run(world, "one", *without_dropout)
    run(world, "two", *without_dropout, launcher=TWO)
    one, two = (load_checkpoint(world / name / "last.pt") for name in ("one", "two"))
    slots = [[len(loop["memory"]["added"]) for loop in saved["loops"]] for saved in (one, two)]
    if preset == "paper":
        assert slots == [[4], [2, 2]], "more than the batch: they take turns in a sample"
    for name, tensor in one["network"].items():
        torch.testing.assert_close(tensor, two["network"][name], rtol=1e-3, atol=1e-5)
    assert [row["transitions"] for row in one["rows"]] == [row["transitions"] for row in two["rows"]]
    recalls = [[row["validation_relationship_R50"] for row in saved["rows"]] for saved in (one, two)]
    assert recalls[0] == pytest.approx(recalls[1], abs=1.0)


def test_a_rank_that_dies_ends_the_job(world):
    process = start([*TWO, *command(world, "dies", "--num_epochs", "2000")], world)
    wait_for_checkpoint(process, world / "dies" / "last.pt")
    ranks = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
    os.kill(int(ranks.stdout.split()[-1]), signal.SIGKILL)
    text = ended(process, world)
    assert process.exitcode != 0
    assert "FAILED" in text or "failed" in text
