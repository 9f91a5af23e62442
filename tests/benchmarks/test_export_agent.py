"""benchmarks/export_agent.py: the agents of several trainings in one small file, which says what they said."""

import json

import numpy as np
import pytest
from tiny_run import SMALL

from benchmarks import export_agent
from files.checkpoints import load_checkpoint, save_checkpoint
from main import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(made, tmp_path_factory):
    """A training without pixels, its entity vectors longer than there are entities."""
    folder = tmp_path_factory.mktemp("export")
    count = len(json.loads((made.folder / "entity_counts.json").read_text()))
    vectors = np.random.default_rng(0).standard_normal((count, 3 * count)).astype(np.float32)
    np.save(folder / "vectors.npy", vectors)
    flags = [*SMALL, "--category_vectors", "0", "--entity_vectors", str(folder / "vectors.npy"), "--num_epochs", "1"]
    assert main(["--train", *made.files(folder / "run"), *flags]) == 0
    (folder / "run" / "graph.pickle").write_bytes(made.graph.read_bytes())
    return folder, count


def scores(made, checkpoint, output):
    files = made.files(output)
    assert main(["--test", *files, "--checkpoint", str(checkpoint), "--device", "cpu"]) == 0
    found = json.loads((output / "predictions.json").read_text())
    return np.array([row["score"] for name in sorted(found) for row in found[name]["relationships"]])


def test_the_small_agent_says_what_the_trained_one_says(made, trained, capsys):
    folder, count = trained
    assert export_agent.main(["--run", str(folder / "run"), "--output", str(folder / "small")]) == 0
    small = load_checkpoint(folder / "small" / "agent.pt")
    assert small["network"]["entity_vectors.vectors"].shape == (count + 1, count)
    assert small["description"]["model"]["entity_vector_dimension"] == count
    sizes = [path.stat().st_size for path in (folder / "small" / "agent.pt", folder / "run" / "best.pt")]
    assert sizes[0] < sizes[1]
    one = scores(made, folder / "run" / "best.pt", folder / "one")
    other = scores(made, folder / "small" / "agent.pt", folder / "other")
    assert len(one) > 100
    assert np.abs(one - other).max() < 0.003


def test_two_runs_decide_together(made, trained, capsys):
    """A run merged with itself has twice the networks, and says the same."""
    folder, _ = trained
    run = str(folder / "run")
    assert export_agent.main(["--run", run, run, "--output", str(folder / "both")]) == 0
    assert load_checkpoint(folder / "both" / "agent.pt")["description"]["model"]["num_members"] == 4
    one = scores(made, folder / "run" / "best.pt", folder / "one_again")
    assert np.abs(one - scores(made, folder / "both" / "agent.pt", folder / "two")).max() < 0.003


def test_runs_of_different_networks_are_refused(made, trained, tmp_path, capsys):
    folder, _ = trained
    assert main(["--train", *made.files(tmp_path / "run"), *SMALL, "--num_epochs", "1"]) == 0
    assert export_agent.main(["--run", str(folder / "run"), str(tmp_path / "run"), "--output", str(tmp_path)]) == 2
    assert "train with one command" in capsys.readouterr().err
    assert not (tmp_path / "agent.pt").exists()


def test_a_folder_without_a_training_is_refused(made, tmp_path, capsys):
    (tmp_path / "graph.pickle").write_bytes(made.graph.read_bytes())
    assert export_agent.main(["--run", str(tmp_path), "--output", str(tmp_path)]) == 2
    assert "train first" in capsys.readouterr().err


def test_weights_that_are_not_finite_are_refused(trained, tmp_path, capsys):
    folder, _ = trained
    saved = load_checkpoint(folder / "run" / "best.pt")
    saved["network"]["members.0.fusion.0.weight"][3, 4] = float("nan")
    saved.pop("format")
    save_checkpoint(tmp_path / "best.pt", saved)
    (tmp_path / "graph.pickle").write_bytes((folder / "run" / "graph.pickle").read_bytes())
    assert export_agent.main(["--run", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "not all finite" in capsys.readouterr().err
