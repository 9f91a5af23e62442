"""Graph and splits of two runs of create_graph.py: what --test and evaluation.py refuse, and what they take."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_run import World

import create_graph
import evaluation
from data.vocabulary import PLURAL
from main import main


def divided(made: World, folder: Path, *flags: str, fixed_words: bool = True) -> Path:
    """The tiny world divided anew; the folder of its splits. fixed_words: those of the tiny world's graph."""
    argv = ["--annotations", str(made.folder / "raw_data"), "--output", str(folder), "--seed", "7"]
    for kind, plural in PLURAL.items() if fixed_words else ():
        argv += [f"--{plural}", str(made.folder / f"{kind}_counts.json")]
    assert create_graph.main([*argv, "--num_validation", "4", "--min_occurrences", "1", *flags]) == 0
    return folder / "data" / "data_samples"


@pytest.fixture(scope="module")
def other(made, tmp_path_factory) -> Path:
    """Another division of the same world, with the same words."""
    return divided(made, tmp_path_factory.mktemp("other"), "--num_test", "6")


@pytest.fixture(scope="module")
def agent(made, tmp_path_factory) -> Path:
    """A random walk needs no checkpoint: the graph of the tiny world alone, beside its splits."""
    folder = tmp_path_factory.mktemp("set")
    shutil.copy(made.graph, folder)
    shutil.copytree(made.splits, folder / "data" / "data_samples")
    return folder


@pytest.fixture
def tests(agent, tmp_path, monkeypatch, capsys):
    """tests(test=, train=, graph=) -> exit status, what was printed, the error's lines; never a half-written result."""
    monkeypatch.chdir(tmp_path)

    def run(test: Path, train: Path | None = None, graph: Path = agent / "graph.pickle") -> tuple[int, str, list[str]]:
        argv = ["--test", "--policy", "random", "--image_embedding_model_type", "none", "--device", "cpu"]
        argv += ["--graph", str(graph), "--test_data", str(test), "--output_dir", str(tmp_path / "out")]
        status = main(argv + (["--train_data", str(train)] if train else []))
        printed = capsys.readouterr()
        assert (tmp_path / "out" / "results.json").exists() == (status == 0)
        return status, printed.out, printed.err.splitlines()

    return run


def refused(result: tuple[int, str, list[str]], *words: object) -> None:
    status, _, errors = result
    assert status == 2
    assert len(errors) == 1
    for word in ("error: ", "two runs of create_graph.py", "files of one run", *map(str, words)):
        assert word in errors[0]


def test_one_run_is_tested_without_a_word(tests, agent):
    samples = agent / "data" / "data_samples"
    status, printed, errors = tests(samples / "test_data.json", samples / "train_data.json")
    assert (status, errors) == (0, [])
    assert "Note" not in printed


@pytest.mark.parametrize("replaced", [["test"], ["test", "validation"], ["test", "validation", "train"]])
def test_what_a_killed_run_leaves_is_refused(tests, agent, other, tmp_path, replaced):
    shutil.copytree(agent, tmp_path / "set")
    samples = tmp_path / "set" / "data" / "data_samples"
    for name in replaced:  # in the order of the renames; the graph's would be the next
        shutil.copy(other / f"{name}_data.json", samples)
    result = tests(samples / "test_data.json", samples / "train_data.json", tmp_path / "set" / "graph.pickle")
    refused(result, tmp_path / "set" / "graph.pickle", samples / "test_data.json")


def test_splits_of_two_runs_in_one_folder_are_refused(tests, made, other, tmp_path):
    shutil.copy(made.splits / "train_data.json", tmp_path)
    shutil.copy(other / "test_data.json", tmp_path)
    refused(tests(tmp_path / "test_data.json", tmp_path / "train_data.json"), tmp_path / "train_data.json")


def test_images_of_the_training_split_are_not_tested(tests, made, other):
    trained = {record["image_name"] for record in made.records("train")}
    assert trained & {record["image_name"] for record in json.loads((other / "test_data.json").read_text())}
    refused(tests(other / "test_data.json", made.splits / "train_data.json"), "both have the image")


def test_other_images_divided_elsewhere_are_tested(tests, made, other, tmp_path):
    records = json.loads((other / "test_data.json").read_text())
    for record in records:
        record["image_name"] = f"elsewhere_{record['image_name']}"
    (tmp_path / "test_data.json").write_text(json.dumps(records))
    status, printed, errors = tests(tmp_path / "test_data.json", made.splits / "train_data.json")
    assert (status, errors) == (0, [])
    assert "Note: " in printed
    assert "zero-shot" in printed


def test_splits_of_ones_own_run_are_tested_by_an_agent_from_elsewhere(tests, other):
    """As the pretrained agent is, on VRD's test images and zero-shot triplets."""
    status, printed, errors = tests(other / "test_data.json", other / "train_data.json")
    assert (status, errors) == (0, [])
    assert "whether the agent was trained on some of its images, the files do not tell" in printed


def test_a_training_split_of_a_third_run_is_refused(tests, made, other, tmp_path):
    third = divided(made, tmp_path / "third", "--num_test", "3") / "train_data.json"
    refused(tests(other / "test_data.json", third), third, other / "test_data.json")


def test_words_that_the_graph_does_not_have_are_named(tests, made, tmp_path):
    wider = divided(made, tmp_path / "wider", "--num_test", "6", fixed_words=False) / "test_data.json"
    refused(tests(wider), wider, "the graph has no ")


def test_a_split_that_names_no_run_is_tested(tests, agent, tmp_path):
    shutil.copytree(agent, tmp_path / "set")
    path = tmp_path / "set" / "data" / "data_samples" / "test_data.json"
    records = json.loads(path.read_text())
    del records[0]["made_in"]
    records[0]["labels"]["objects"][0]["name"] = "axolotl"
    path.write_text(json.dumps(records))
    status, printed, _ = tests(path, path.with_name("train_data.json"), tmp_path / "set" / "graph.pickle")
    assert status == 0
    assert "Note" not in printed


def test_a_split_of_other_words_is_warned_of(tests, agent, tmp_path):
    records = json.loads((agent / "data" / "data_samples" / "test_data.json").read_text())
    del records[0]["made_in"]
    for record in records:
        for thing in record["labels"]["objects"]:
            thing["name"] = "axolotl"
    (tmp_path / "test_data.json").write_text(json.dumps(records))
    _, _, errors = tests(tmp_path / "test_data.json", agent / "data" / "data_samples" / "train_data.json")
    (warning,) = [line for line in errors if line.startswith("warning: ") and "names" in line]
    assert "knows none of its objects' names ('axolotl', ...)" in warning


def test_scoring_refuses_images_of_the_training_split(made, other, tmp_path, capsys):
    (tmp_path / "predictions.json").write_text("{}")
    argv = ["--predictions", str(tmp_path / "predictions.json"), "--output", str(tmp_path / "results.json")]
    argv += ["--ground_truth", str(other / "test_data.json"), "--train_data"]
    assert evaluation.main([*argv, str(other / "train_data.json")]) == 0
    (tmp_path / "results.json").unlink()
    capsys.readouterr()
    assert evaluation.main([*argv, str(made.splits / "train_data.json")]) == 2
    assert "two runs of create_graph.py, and both have the image" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()
