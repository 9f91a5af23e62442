"""What a run is trained on: resuming with other inputs, beginning with other weights, diverging, two runs at once."""

import json
import shutil

import numpy as np
import pytest
import torch
from tiny_run import SMALL

import q_learning
from files.checkpoints import load_checkpoint, save_checkpoint
from files.locks import folder_lock
from main import main

ONE = [*SMALL, "--no-learning_rate_decay"]


def refused(capsys, argv) -> str:
    """The one line that the command ends with."""
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


@pytest.fixture(scope="module")
def trained(made, tmp_path_factory):
    """A run of one epoch on splits of its own."""
    folder = tmp_path_factory.mktemp("trained")
    for name in ("train", "validation"):
        shutil.copy(made.splits / f"{name}_data.json", folder)
    assert main(["--train", *files(made, folder, folder / "run"), *ONE, "--num_epochs", "1"]) == 0
    return folder


def files(made, folder, output):
    own = {f"{name}_data": folder / f"{name}_data.json" for name in ("train", "validation")}
    return made.files(output, **own)


@pytest.mark.parametrize("name", ["train_data", "validation_data"])
@pytest.mark.parametrize("change", [lambda records: records[::-1], lambda records: records[:-1]])
def test_resuming_with_another_split_is_refused(made, trained, tmp_path, capsys, name, change):
    shutil.copytree(trained, tmp_path / "copy")
    path = tmp_path / "copy" / f"{name}.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    argv = ["--train", "--resume", *files(made, tmp_path / "copy", tmp_path / "copy/run"), *ONE, "--num_epochs", "2"]
    line = refused(capsys, argv)
    assert f"--{name} {path}" in line
    assert "--init_from" in line


def test_resuming_with_another_batch_size_is_refused(made, trained, capsys):
    argv = ["--train", "--resume", *files(made, trained, trained / "run"), *ONE, "--batch_size", "8"]
    assert "--batch_size 16" in refused(capsys, argv)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("as_subject", lambda env: env["subject"]),
        ("scene", lambda env: env["scene"] + 1000),
        ("queues", lambda env: env["queues"] - 1),
        ("boxes", lambda env: env["boxes"].double()),
    ],
)
def test_resuming_with_a_walk_that_does_not_fit_is_refused(made, trained, tmp_path, capsys, name, change):
    shutil.copytree(trained, tmp_path / "copy")
    path = tmp_path / "copy/run/last.pt"
    saved = load_checkpoint(path)
    env = saved["loops"][0]["env"]
    env[name] = change(env)
    save_checkpoint(path, {key: value for key, value in saved.items() if key != "format"})
    argv = ["--train", "--resume", *files(made, tmp_path / "copy", tmp_path / "copy/run"), *ONE, "--num_epochs", "2"]
    assert f"{path}: does not hold what it should" in refused(capsys, argv)


def test_a_moved_split_with_the_same_content_resumes(made, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "moved")
    flags = files(made, tmp_path / "moved", tmp_path / "moved/run")
    assert main(["--train", "--resume", *flags, *ONE, "--num_epochs", "2"]) == 0
    assert len(load_checkpoint(tmp_path / "moved/run/last.pt")["rows"]) == 2


def test_a_new_run_begins_with_the_weights_of_a_checkpoint(made, trained, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(q_learning.Learner, "update", lambda self, rows: begun.append(self) or torch.zeros(3))
    source = trained / "run/best.pt"
    flags = ["--init_from", str(source), "--learning_rate", "0.01", "--num_epochs", "1"]
    # the fusion sizes are the checkpoint's: they need not be given
    sizes = [word for word in ONE if word not in ("--fusion_sizes", "32")]
    main(["--train", *files(made, trained, tmp_path), *sizes, *flags])
    weights = begun[0].agent.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in load_checkpoint(source)["network"].items())


def test_a_loss_that_is_no_number_stops_the_run_and_writes_nothing(made, trained, tmp_path, capsys, monkeypatch):
    shutil.copytree(trained, tmp_path / "copy")
    before = {path.name: path.read_bytes() for path in (tmp_path / "copy/run").glob("*.pt")}
    losses = q_learning.Learner.losses
    monkeypatch.setattr(q_learning.Learner, "losses", lambda self, rows: losses(self, rows) * float("nan"))
    flags = files(made, tmp_path / "copy", tmp_path / "copy/run")
    assert "training has diverged" in refused(capsys, ["--train", "--resume", *flags, *ONE, "--num_epochs", "2"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "copy/run").glob("*.pt")} == before


@pytest.mark.parametrize("what", ["--test", "--train"])
def test_a_network_of_nan_is_refused(made, trained, tmp_path, capsys, what):
    saved = load_checkpoint(trained / "run/best.pt")
    name = next(name for name, value in saved["network"].items() if value.is_floating_point() and value.numel())
    saved["network"][name].view(-1)[0] = float("nan")
    save_checkpoint(tmp_path / "nan.pt", {key: value for key, value in saved.items() if key != "format"})
    flag = "--checkpoint" if what == "--test" else "--init_from"
    argv = [what, *files(made, trained, tmp_path / "out"), flag, tmp_path / "nan.pt", "--device", "cpu"]
    assert str(tmp_path / "nan.pt") in refused(capsys, argv if what == "--test" else [*argv, *ONE])


def test_word_vectors_of_nan_are_refused(made, trained, tmp_path, capsys):
    vectors = np.ones((len(json.loads((made.folder / "entity_counts.json").read_text())), 4), np.float32)
    vectors[1, 2] = np.nan
    np.save(tmp_path / "vectors.npy", vectors)
    argv = ["--train", *files(made, trained, tmp_path / "out"), *ONE, "--entity_vectors", tmp_path / "vectors.npy"]
    assert "vectors.npy" in refused(capsys, argv)


def test_a_second_run_in_the_same_folder_is_refused(made, trained, tmp_path, capsys):
    with folder_lock(tmp_path):
        line = refused(capsys, ["--train", *files(made, trained, tmp_path), *ONE])
    assert str(tmp_path) in line
    assert "--output_dir" in line


def test_a_mistyped_training_split_is_an_error_in_the_test(made, trained, tmp_path, capsys):
    flags = made.files(trained / "run", train_data=tmp_path / "trian_data.json")
    assert "trian_data.json: no such file" in refused(capsys, ["--test", *flags, "--device", "cpu"])


def test_boxes_that_are_all_under_the_threshold_are_told(made, trained, tmp_path, capsys):
    flags = ["--detections", made.detections, "--object_detection_threshold", "1.5", "--device", "cpu"]
    line = refused(capsys, ["--test", *files(made, trained, trained / "run"), *flags])
    assert "--object_detection_threshold is 1.5" in line
    assert str(made.detections) in line


def test_a_data_set_smaller_than_a_batch_is_told_which_flags_to_lower(made, trained, tmp_path, capsys):
    large = ["--batch_size", "4096", "--replay_buffer_minimum_number_samples", "5", "--num_epochs", "1"]
    assert "--batch_size" in refused(capsys, ["--train", *files(made, trained, tmp_path), *ONE, *large])
