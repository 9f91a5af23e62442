"""benchmarks/ablations.py: its rows are commands that main.py takes, and no departure from the paper lacks one."""

from __future__ import annotations

import pytest

from benchmarks.ablations import ROWS
from engine.options import PRESETS, parse

BEST = parse(["--train", "--preset", "best"])


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_a_command(name):
    assert parse(["--train", "--preset", "best", *ROWS[name]]).train


def test_each_setting_of_the_best_preset_has_a_row_without_it():
    rows = [parse(["--train", "--preset", "best", *flags]) for flags in ROWS.values()]
    lacking = [key for key in PRESETS["best"] if all(getattr(row, key) == getattr(BEST, key) for row in rows)]
    assert not lacking
