"""Commands that are killed (SIGKILL, at random moments) and run again leave what an unkilled run leaves, bit for bit.

A few kills of each kind; `python benchmarks/kills.py` does as many as one likes.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tiny_run import World, copy_of_world

from benchmarks.kills import KINDS, Trial, prepare


@pytest.fixture(scope="module")
def ready(made: World, tmp_path_factory) -> World:
    return prepare(copy_of_world(made, tmp_path_factory.mktemp("kills") / "world"))


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_killed_command_ends_as_if_it_had_not_been(name, ready: World, tmp_path: Path):
    trial, moments, killed = Trial(name, ready, tmp_path), random.Random(0), 0
    for _ in range(6):
        count, wrong = trial.kill(moments, most=2)
        assert not wrong
        killed += count
        if killed:
            return
    pytest.fail("no kill came before the end")
