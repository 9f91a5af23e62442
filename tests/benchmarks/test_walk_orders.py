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
    budgets, systems = walked[1]["budgets"], walked[1]["systems"]
    assert budgets["the same"] == budgets["learned"]
    one, other = systems["learned, every pair"]["relationship"]
    assert one == other
    assert systems["the same, every pair"]["relationship"] == [one]
    assert systems["supervised classifier"]["relationship"] == [one, one]


def test_tables_and_picture_are_there(walked):
    output = walked[0]
    text = (output / "orders.md").read_text()
    assert "| learned | " in text
    assert "| breadth first | " in text
    assert "the same: stops by itself after" in text
    assert Image.open(output / "orders.png").size[0] > 600
