"""benchmarks/walk_orders.py: an agent's walk in several orders, its tables and its picture."""

import json
import shutil

import pytest
from PIL import Image
from tiny_run import copy_of_run

from benchmarks import walk_orders

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def walked(made, tmp_path_factory):
    """The tiny agent taken for two seeds, for another agent, and for the classifier."""
    folder = tmp_path_factory.mktemp("orders")
    run, output = copy_of_run(made, folder / "run"), folder / "out"
    shutil.copy(made.graph, run / "graph.pickle")
    splits = [
        word for split in ("train", "test") for word in (f"--{split}_data", str(made.splits / f"{split}_data.json"))
    ]
    files = [*splits, "--images_dir", str(made.images), "--output_dir", str(output)]
    words = ["--run", str(run), str(run), "--supervised", str(run), str(run), "--also", "the same", str(run)]
    assert walk_orders.main([*words, *files, "--budgets", "3", "1000"]) == 0
    return output, json.loads((output / "orders.json").read_text())


def test_after_more_pairs_than_there_are_everything_is_found(walked):
    for after_3, after_1000, whole in walked[1]["budgets"].values():
        assert after_3["hits"]["100"] <= whole["hits"]["100"]
        assert after_1000 == whole


def test_the_same_agent_is_the_same_however_often_it_is_given(walked):
    budgets, seeds = walked[1]["budgets"], walked[1]["seeds"]
    assert budgets["the same"] == budgets["learned"]
    one, other = seeds["learned, every pair"]["relationship"]
    assert one == other
    assert seeds["the same, every pair"]["relationship"] == [one]
    assert seeds["supervised classifier"]["relationship"] == [one, one]
    less = walked[1]["differences"]["learned, every pair"]["the same, every pair"]["zero_shot_relationship"]
    assert less["mean_recall"] == less["recall"] == {"50": 0, "100": 0}


def test_mean_recall_stands_beside_recall_in_every_table(walked):
    output, results = walked
    text = (output / "orders.md").read_text()
    system, one = "supervised, damped by hand", results["systems"]["supervised, damped by hand"]["relationship"]
    for measure, name in (("recall", "R@50 / R@100"), ("mean_recall", "mR@50 / mR@100")):
        titles = "Relationship {} after", "each agent, {}:", "each other's, {}, 95 %", "All pairs, {}:", "less, {}:"
        for title in titles:
            assert title.format(name) in text
        shown = text.split(f"All pairs, {name}:")[1].split(f"| {system} | ")[1].split(" | ")[0]
        assert shown == " / ".join(f"{one[measure][n]:.1f}" for n in ("50", "100"))
        low, high = one[f"{measure}_interval"]["50"]
        assert low <= one[measure]["50"] <= high
    assert one["mean_recall"] != one["recall"]


def test_tables_and_picture_are_there(walked):
    output = walked[0]
    text = (output / "orders.md").read_text()
    assert "| learned | " in text
    assert "| breadth first | " in text
    assert "the same: stops by itself after" in text
    assert Image.open(output / "orders.png").size[0] > 600
