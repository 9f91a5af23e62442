"""The scripts end to end on a world of 24 images: what they write, what they print, that a seed repeats them."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import PIXELS, SMALL, World, copy_of_run

import evaluation
import faster_rcnn.train
from engine import training as engine
from files.checkpoints import load_checkpoint
from files.detections import read_detections
from files.scene_graphs import read_image_states
from files.vector_cache import VectorCache
from main import main
from semantic_graph import SemanticActionGraph
from skipthoughts.train import main as train_skipthoughts

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tested(made, tmp_path_factory) -> Path:
    """The agent of the tiny world, tested on a detector's boxes beside both baselines, two predicates a pair."""
    output = copy_of_run(made, tmp_path_factory.mktemp("tested") / "run")
    flags = ["--detections", str(made.detections), "--predicates_per_pair", "2", "--attributes_per_step", "2"]
    assert main(["--test", *made.files(output), *flags, "--policy", "agent", "frequency", "random"]) == 0
    return output


def test_training_writes_its_files(made):
    assert {"best.pt", "last.pt", "log.csv", "learning_curve.png", "image_states.pickle"} <= {
        path.name for path in made.run.iterdir()
    }
    rows = list(csv.DictReader((made.run / "log.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["epsilon"]) < float(rows[0]["epsilon"]) == 1
    assert float(rows[1]["loss"]) > 0
    assert all(0 <= float(row["validation_relationship_R50"]) <= 100 for row in rows)
    states = read_image_states(made.run / "image_states.pickle")
    assert [graph["image_name"] for graph in states["curr"]] == [r["image_name"] for r in made.records("validation")]


STEADY = [*SMALL, "--no-learning_rate_decay", "--seed", "5"]  # decay depends on --num_epochs


@pytest.fixture(scope="module")
def two_epochs(made, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("two_epochs") / "run"
    assert main(["--train", "--test", *made.files(output), *STEADY, "--num_epochs", "2"]) == 0
    return output


def same_weights(one: Path, other: Path) -> bool:
    a, b = (load_checkpoint(path) for path in (one, other))
    return all(torch.equal(a["network"][name], b["network"][name]) for name in a["network"] | b["network"])


@pytest.mark.slow
def test_one_seed_makes_a_run_repeatable(made, two_epochs, tmp_path, monkeypatch):
    written, write = [], engine.write_image_states
    monkeypatch.setattr(
        engine, "write_image_states", lambda path, *graphs: written.append(path) or write(path, *graphs)
    )
    assert main(["--train", "--test", *made.files(tmp_path), *STEADY, "--num_epochs", "2"]) == 0
    assert written == [tmp_path / "image_states.pickle"] * 2  # after every epoch
    assert same_weights(tmp_path / "last.pt", two_epochs / "last.pt")
    a, b = (json.loads((folder / "results.json").read_text()) for folder in (tmp_path, two_epochs))
    assert a.pop("checkpoint") != b.pop("checkpoint")
    assert a == b
    for name in ("predictions.json", "image_states.pickle"):
        assert (tmp_path / name).read_bytes() == (two_epochs / name).read_bytes()


@pytest.mark.slow
def test_going_on_is_as_if_never_stopped(made, two_epochs, tmp_path):
    assert main(["--train", *made.files(tmp_path), *STEADY, "--num_epochs", "1"]) == 0
    assert not same_weights(tmp_path / "last.pt", two_epochs / "last.pt")
    assert main(["--train", "--resume", *made.files(tmp_path), *STEADY, "--num_epochs", "2"]) == 0
    assert same_weights(tmp_path / "last.pt", two_epochs / "last.pt")


# Test ---------------------------------------------------------------------------------------------

SCORED = ("relationship", "phrase", "attribute", "zero_shot_relationship", "zero_shot_phrase", "zero_shot_attribute")


def rescored(made: World, predictions: Path, output: Path) -> dict:
    flags = [
        "--ground_truth",
        str(made.splits / "test_data.json"),
        "--train_data",
        str(made.splits / "train_data.json"),
    ]
    assert evaluation.main(["--predictions", str(predictions), *flags, "--output", str(output)]) == 0
    return json.loads(output.read_text())


def test_the_predictions_score_what_the_results_say(made, tested, tmp_path):
    results = json.loads((tested / "results.json").read_text())
    again = rescored(made, tested / "predictions.json", tmp_path / "again.json")
    assert {task: again[task] for task in SCORED} == {task: results[task] for task in SCORED}
    assert results["relationship"]["hits"]["100"] > 0
    assert results["attribute"]["hits"]["100"] > 0
    given = rescored(made, tested / "predicate_predictions.json", tmp_path / "given.json")
    assert given["relationship"] == results["predicate"]
    assert given["zero_shot_relationship"] == results["zero_shot_predicate"]
    assert given["relationship"]["hits"]["100"] > 0


def test_what_test_says(made, tested, capsys):
    flags = ["--detections", str(made.detections), "--policy", "agent", "frequency", "--predicates_per_pair", "1"]
    assert main(["--test", *made.files(tested), *flags]) == 0
    out = capsys.readouterr().out
    for words in (
        "agent of",
        "best.pt on 4 images",
        "detections.json",
        "frequency R@50",
        "pairs of objects",
        "results.json",
    ):
        assert words in out
    results = json.loads((tested / "results.json").read_text())
    assert list(results["policies"]) == ["agent", "frequency"]
    assert results["relationship"] == results["policies"]["agent"]["relationship"]
    assert results["relationship"] == results["relationship_k1"]  # one predicate a pair


def test_the_baselines_need_no_checkpoint(made, tmp_path, capsys):
    flags = ["--image_embedding_model_type", "none", "--use_box_geometry", "--policy", "frequency"]
    assert main(["--test", *made.files(tmp_path), *flags]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["policy"] == "frequency"
    assert results["boxes"] == "annotated"
    assert results["checkpoint"] is None
    assert results["relationship"]["recall"]["100"] > 0
    again = rescored(made, tmp_path / "predicate_predictions.json", tmp_path / "again.json")
    assert again["relationship"] == results["predicate"]


def test_the_states_of_a_test_go_through_the_scripts(made, tested, tmp_path):
    """image_states.pickle -> JSON -> picture, by the scripts themselves, from another folder."""

    def run(script: str, *arguments: object) -> None:
        command = [sys.executable, str(ROOT / "graphviz" / script), *map(str, arguments)]
        subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)

    run("pickle_to_files.py", "--pickle", tested / "image_states.pickle", "--output", tmp_path / "graphs")
    graph = json.loads((tmp_path / "graphs" / "curr_graph_0.json").read_text())
    assert graph["relationships"]
    assert graph["attributes"]
    photo, truth = made.images / graph["image_name"], tmp_path / "graphs" / "gt_graph_0.json"
    flags = ["--image", photo, "--ground_truth", truth, "--max_relationships", 5, "--no-open"]
    run(
        "visualize.py", "--graph", tmp_path / "graphs" / "curr_graph_0.json", *flags, "--output", tmp_path / "graph.png"
    )
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")


# Your own detector --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector(made, tmp_path_factory) -> Path:
    """A detector after one pass over the 18 training images: it knows little, but finds boxes."""
    weights = tmp_path_factory.mktemp("detector") / "detector.pt"
    files = ["--train_data", made.splits / "train_data.json", "--validation_data", made.splits / "validation_data.json"]
    files += ["--images_dir", made.images, "--graph", made.graph, "--output", weights]
    flags = ["--num_epochs", 1, "--num_workers", 0, "--device", "cpu"]
    assert faster_rcnn.train.main([str(word) for word in (*files, *flags)]) == 0
    return weights


@pytest.mark.slow
def test_from_photos_to_graphs_by_a_detector_of_ones_own(made, detector, tmp_path, capsys):
    flags = ["--use_fastrcnn_proposals", "--detector_weights", str(detector), "--maximum_num_entities_per_image", "8"]
    files = made.files(tmp_path)
    assert main(["--train", "--test", *files, *PIXELS, *flags, "--num_epochs", "1"]) == 0
    for split, count in (("train", 18), ("test", 4)):
        file = read_detections(tmp_path / f"detections_{split}.h5")
        assert len(file) == count
        assert all(len(file[name]) <= 8 for name in file)
    assert "detections_test.h5" in json.loads((tmp_path / "results.json").read_text())["boxes"]
    states = read_image_states(tmp_path / "image_states.pickle")["curr"]
    detected = read_detections(tmp_path / "detections_test.h5")[states[0]["image_name"]]
    boxes, best = detected.boxes, np.sort(detected.scores.max(axis=1))
    found = np.array([[thing["x"], thing["y"]] for thing in states[0]["objects"]])
    assert np.abs(found[:, None] - boxes[None, :, :2]).max(axis=2).min(axis=1).max() < 0.01

    capsys.readouterr()  # a second test takes the boxes that are there, and the threshold sifts them
    assert main(["--test", *files, *flags, "--object_detection_threshold", str(best[-2])]) == 0
    assert "remove it to detect them again" in capsys.readouterr().out
    assert len(read_image_states(tmp_path / "image_states.pickle")["curr"][0]["objects"]) < len(states[0]["objects"])

    photo = made.images / states[0]["image_name"]
    assert main(["--predict", str(photo), *files, "--detector_weights", str(detector)]) == 0
    graph = json.loads((tmp_path / "predictions" / f"{photo.stem}.json").read_text())
    assert graph["image_name"] == photo.name
    assert graph["objects"]


@pytest.mark.slow
def test_a_checkpoint_holds_the_entity_vectors(made, tmp_path):
    """The file is needed for the first training alone; what follows is the same with it and without."""
    vectors, output = tmp_path / "vectors.npy", tmp_path / "run"
    entities = SemanticActionGraph.load(made.graph).entities
    np.save(vectors, np.random.default_rng(0).normal(size=(len(entities), 6)))
    flags = [*SMALL, "--num_epochs", "1", "--entity_vectors", str(vectors)]
    assert main(["--train", "--test", *made.files(output), *flags]) == 0
    results = (output / "results.json").read_text()
    vectors.unlink()
    (output / "results.json").unlink()
    assert main(["--test", "--preset", "best", *made.files(output)]) == 0
    assert (output / "results.json").read_text() == results
    assert main(["--predict", str(made.images), "--detections", str(made.detections), *made.files(output)]) == 0
    more, again = tmp_path / "more", ["--num_epochs", "1", "--init_from", str(output / "best.pt")]
    assert main(["--train", *made.files(more), *SMALL, *again]) == 0
    first, second = (load_checkpoint(folder / "best.pt")["network"] for folder in (output, more))
    assert torch.equal(first["entity_vectors.vectors"], second["entity_vectors.vectors"])


@pytest.mark.slow
def test_history_phrases(made, tmp_path):
    """Skip-thoughts trained on the split's phrases; their vectors stay for the next run."""
    model, output = tmp_path / "model", tmp_path / "run"
    small = ["--model", "uni", "--dim", "8", "--dim_word", "6", "--num_epochs", "1"]
    assert not train_skipthoughts(
        ["--from_graphs", str(made.splits / "train_data.json"), "--output", str(model), *small]
    )
    flags = ["--use_skip_thought", "--skip_thought_dir", str(model), "--skip_thought_model", "uni"]
    assert main(["--train", "--test", *made.files(output), *SMALL, *flags, "--num_epochs", "1"]) == 0
    (kept,) = (output / "feature_cache" / "phrases").iterdir()
    phrases = [key.decode() for key in VectorCache(kept).sources()]
    assert all(len(VectorCache(kept).read(phrase.encode())) == 4 * 8 for phrase in phrases)
    graph = SemanticActionGraph.load(made.graph)
    assert all(phrase.split()[0] in " ".join(graph.entities + graph.attributes) for phrase in phrases)
    assert any(f" {predicate} " in phrase for phrase in phrases for predicate in graph.predicates)
    states = load_checkpoint(output / "best.pt")["description"]["model"]
    assert states["phrase_dimension"] == 8


def test_without_an_agent_nothing_else_is_asked_for(tmp_path, capsys):
    """Not the graph, not weights that would have to be downloaded: the checkpoint is what is missing."""
    assert main(["--test", "--output_dir", str(tmp_path)]) == 2
    assert "has no checkpoint" in capsys.readouterr().err
