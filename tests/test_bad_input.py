"""Whatever is wrong with the input: one line on stderr that names the file and the cure, exit status 2, no traceback.

What is wrong with one image among many, or with one box, is skipped or left out with a warning instead.
"""

import json
import pickle
import re
import runpy
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from limited import ROOT
from small_world import image
from tiny_run import PIXELS, SMALL, World, copy_of_run

import create_graph
import data.download
import data.make_sample
import faster_rcnn.train
import skipthoughts.train
from files.checkpoints import save_checkpoint
from files.locks import file_lock, folder_lock
from files.scene_graphs import read_image_states, write_image_states
from files.splits import write_split
from main import main


def complaint(capsys, argv: list) -> str:
    """The one line that main.py ends with."""
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    lines = capsys.readouterr().err.splitlines()
    lines = [
        line for line in lines if not line.startswith(("Downloading", "warning: skipped"))
    ]  # a detector, where there is no internet
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def flags_for(made: World, what: str, output: Path, **others) -> list:
    """A command that works: train (no pixels), test and predict with the tiny world's agent."""
    if what == "train":
        return ["--train", *made.files(output, **others), *SMALL, "--num_epochs", 1]
    others = {"checkpoint": made.run / "best.pt", "detections": made.detections} | others
    if what == "predict":
        others = {"predict": made.images / made.records("test")[0]["image_name"]} | others
    return [*(["--test"] if what == "test" else []), *made.files(output, **others), "--device", "cpu"]


# A file that is not there, or is something else --------------------------------------------------

FILES = [
    ("train", "graph"), ("train", "train_data"), ("train", "validation_data"), ("train", "train_detections"),
    ("train", "entity_vectors"), ("test", "graph"), ("test", "test_data"), ("test", "detections"),
    ("test", "checkpoint"), ("test", "class_map"), ("test", "image_embedding_weights"), ("predict", "graph"),
    ("predict", "detections"), ("predict", "checkpoint"),
]  # fmt: skip
ENDINGS = {"graph": "pickle", "checkpoint": "pt", "entity_vectors": "npy", "image_embedding_weights": "pth"}


@pytest.mark.parametrize(("what", "flag"), [*FILES, ("predict", "predict")])
def test_a_file_that_is_not_there(made, tmp_path, capsys, what, flag):
    missing = tmp_path / f"missing.{ENDINGS.get(flag, 'json')}"
    assert str(missing) in complaint(capsys, flags_for(made, what, tmp_path / "out", **{flag: missing}))


@pytest.mark.parametrize(("what", "flag"), FILES)
def test_a_folder_in_place_of_a_file(made, tmp_path, capsys, what, flag):
    folder = tmp_path / f"folder.{ENDINGS.get(flag, 'json')}"
    folder.mkdir()
    assert str(folder) in complaint(capsys, flags_for(made, what, tmp_path / "out", **{flag: folder}))


@pytest.mark.parametrize(("what", "flag"), FILES)
@pytest.mark.parametrize("content", [b"", b'[{"image_name": "1.jpg", "lab', b"[1, 2]", b"{}"])
def test_a_file_of_something_else(made, tmp_path, capsys, what, flag, content):
    path = tmp_path / f"wrong.{ENDINGS.get(flag, 'json')}"
    path.write_bytes(content)
    if (flag, content) == ("class_map", b"{}"):
        return  # a map of nothing is one
    assert str(path) in complaint(capsys, flags_for(made, what, tmp_path / "out", **{flag: path}))


@pytest.mark.parametrize(("what", "flag"), [("train", "images_dir"), ("test", "images_dir")])
def test_images_that_are_not_there(made, tmp_path, capsys, what, flag):
    pixels = ["--image_embedding_model_type", "efficientnet_lite0"]
    argv = [*flags_for(made, what, tmp_path / "out", **{flag: tmp_path / "nowhere"}), *pixels]
    assert str(tmp_path / "nowhere") in complaint(capsys, argv)


def test_skip_thoughts_that_are_not_there(made, tmp_path, capsys):
    argv = [
        *flags_for(made, "train", tmp_path / "out"),
        "--use_skip_thought",
        "--skip_thought_dir",
        tmp_path / "nowhere",
    ]
    assert str(tmp_path / "nowhere") in complaint(capsys, argv)


def test_there_is_no_agent_yet(made, tmp_path, capsys):
    assert "train first" in complaint(capsys, ["--test", *made.files(tmp_path), *SMALL])
    assert "nothing to resume" in complaint(capsys, ["--train", "--resume", *made.files(tmp_path), *SMALL])


# Contents that do not fit ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{"image_name": 3, "labels": {"image_id": 1, "objects": [], "relationships": []}}], "item 0"),
        ([{"image_name": "1.jpg"}], "item 0"),
        ([{"image_name": "1.jpg", "labels": {"image_id": 1, "objects": [{"x": 1}], "relationships": []}}], "item 0"),
        (
            [
                {
                    "image_name": "1.jpg",
                    "labels": {
                        "image_id": 1,
                        "objects": [],
                        "relationships": [{"relationship_id": 7, "predicate": "on", "subject_id": 1, "object_id": 2}],
                    },
                }
            ],
            "relationship 7",
        ),
        ([], "no image"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("what", ["train", "test"])
def test_a_split_of_the_wrong_shape(made, tmp_path, capsys, what, content, said):
    path = tmp_path / "split.json"
    path.write_text(json.dumps(content))
    line = complaint(capsys, flags_for(made, what, tmp_path / "out", **{f"{what}_data": path}))
    assert str(path) in line
    assert said in line


def test_an_empty_validation_split_is_none(made, tmp_path):
    (tmp_path / "none.json").write_text("[]\n")
    argv = flags_for(made, "train", tmp_path / "out", validation_data=tmp_path / "none.json")
    assert main(list(map(str, argv))) == 0
    assert (tmp_path / "out" / "best.pt").exists()


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ({"category": 10**6, "score": 0.5, "bbox": [1, 1, 9, 9]}, "category 1000000"),
        ({"category": "dog", "score": 2, "bbox": [1, 1, 9, 9]}, "score 2"),
        ({"category": "dog", "score": 0.5, "bbox": [1, 1, 9]}, "bbox"),
        ({"category": "dog", "score": 0.5, "bbox": [1, 1, 9, 1e300]}, "corner"),
        ({"category": "dog", "score": "high", "bbox": [1, 1, 9, 9]}, "score"),
    ],
)
@pytest.mark.parametrize("what", ["test", "predict"])
def test_detections_that_do_not_fit(made, tmp_path, capsys, what, box, said):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({record["image_name"]: [box] for record in made.records("test")}))
    line = complaint(capsys, flags_for(made, what, tmp_path / "out", detections=path))
    assert str(path) in line
    assert said in line


def test_detections_of_other_images(made, tmp_path, capsys):
    (tmp_path / "boxes.json").write_text(
        json.dumps({"another.jpg": [{"category": "dog", "score": 1, "bbox": [1, 1, 9, 9]}]})
    )
    line = complaint(capsys, flags_for(made, "test", tmp_path / "out", detections=tmp_path / "boxes.json"))
    assert "none of the 4 images" in line


def test_a_category_that_the_graph_does_not_know_is_left_out_and_said_once(made, tmp_path, capsys):
    boxes = (
        {"category": "dog", "score": 0.5, "bbox": [1, 1, 90, 90]},
        {"category": "unicorn", "score": 0.9, "bbox": [1, 1, 9, 9]},
    )
    names = [record["image_name"] for record in made.records("test")]
    (tmp_path / "boxes.json").write_text(json.dumps(dict.fromkeys(names, boxes)))
    argv = flags_for(made, "test", tmp_path / "out", detections=tmp_path / "boxes.json")
    assert main(list(map(str, argv))) == 0
    printed = capsys.readouterr()
    said = [line for line in (printed.out + printed.err).splitlines() if "unicorn" in line]
    assert len(said) == 1
    assert "--class_map" in said[0]
    states = read_image_states(tmp_path / "out" / "image_states.pickle")["curr"]
    assert [[thing["name"] for thing in graph["objects"]] for graph in states] == [["dog"]] * 4


def test_a_detector_of_which_the_graph_knows_no_class(made, tmp_path, capsys):
    box = {"category": 0, "score": 0.5, "bbox": [1, 1, 9, 9]}
    images = {record["image_name"]: [box] for record in made.records("test")}
    (tmp_path / "boxes.json").write_text(json.dumps({"classes": ["unicorn"], "images": images}))
    for what in ("test", "predict"):
        line = complaint(capsys, flags_for(made, what, tmp_path / "out", detections=tmp_path / "boxes.json"))
        assert "boxes.json: the agent knows none of its 1 classes (unicorn" in line
        assert "--class_map" in line


def test_a_class_map_to_nowhere(made, tmp_path, capsys):
    (tmp_path / "map.json").write_text('{"dog": "unicorn"}')
    assert "'unicorn'" in complaint(capsys, flags_for(made, "test", tmp_path / "out", class_map=tmp_path / "map.json"))


def test_a_graph_of_another_vocabulary(made, tmp_path, capsys):
    raw = str(made.folder / "raw_data")
    create_graph.main(["--annotations", raw, "--output", str(tmp_path), "--min_occurrences", "6"])
    for what in ("test", "predict"):
        line = complaint(capsys, flags_for(made, what, tmp_path / "out", graph=tmp_path / "graph.pickle"))
        assert "a different graph" in line
        assert "--graph" in line


def test_a_network_made_by_other_flags_is_told_by_these(made, tmp_path, capsys):
    line = complaint(capsys, [*flags_for(made, "test", tmp_path / "out"), "--no-use_memory", "--dropout", "0.5"])
    assert "--use_memory: True, here False; --dropout: 0.3, here 0.5" in line
    assert re.search(r"--use_memory \(numbers\): \d+, here 0; give the same flags", line)


@pytest.mark.parametrize("content", [{"format": "another"}, {"network": torch.zeros(2)}])
def test_a_checkpoint_of_something_else(made, tmp_path, capsys, content):
    torch.save(content, tmp_path / "x.pt")
    assert "x.pt: is not a checkpoint" in complaint(
        capsys, flags_for(made, "test", tmp_path / "out", checkpoint=tmp_path / "x.pt")
    )
    save_checkpoint(tmp_path / "y.pt", content)
    assert "y.pt" in complaint(capsys, flags_for(made, "test", tmp_path / "out", checkpoint=tmp_path / "y.pt"))


def test_a_checkpoint_of_another_network(made, tmp_path, capsys):
    argv = [*flags_for(made, "test", tmp_path / "out"), "--fusion_sizes", 64]
    assert "fusion_sizes" in complaint(capsys, argv)


def test_pickles_and_hdf5_files_of_something_else(made, tmp_path, capsys):
    (tmp_path / "graph.pickle").write_bytes(pickle.dumps({"entities": ["dog"]}))
    assert "graph.pickle" in complaint(
        capsys, flags_for(made, "train", tmp_path / "out", graph=tmp_path / "graph.pickle")
    )
    with h5py.File(tmp_path / "boxes.h5", "w") as file:
        file["boxes"] = np.zeros((3, 4))
    assert "boxes.h5" in complaint(capsys, flags_for(made, "test", tmp_path / "out", detections=tmp_path / "boxes.h5"))


# Flags that cannot be ----------------------------------------------------------------------------


def test_flags_that_cannot_be(made, tmp_path, capsys):
    train = flags_for(made, "train", tmp_path / "out")
    nothing = ["--preset", "paper", "--image_embedding_model_type", "none", "--no-use_skip_thought"]
    assert "the state is empty" in complaint(capsys, ["--train", *made.files(tmp_path / "out"), *nothing])
    assert "--device" in complaint(capsys, [*train, "--device", "nowhere"])
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "below", "/proc/nothing"):
        assert "--output_dir" in complaint(capsys, [*train, "--output_dir", output])
    photo = made.images / made.records("test")[0]["image_name"]
    agent = [*made.files(tmp_path / "out", checkpoint=made.run / "best.pt"), "--device", "cpu"]
    line = complaint(capsys, ["--predict", photo, *agent])
    assert "--detections" in line
    assert "--detector_weights" in line
    assert "--detector" in complaint(capsys, ["--test", "--use_fastrcnn_proposals", *agent])
    missing = [*agent, "--detector_weights", tmp_path / "missing.pt"]
    assert "missing.pt" in complaint(capsys, ["--predict", photo, *missing])
    assert "missing.pt" in complaint(capsys, ["--test", "--use_fastrcnn_proposals", *missing])
    (tmp_path / "empty").mkdir()
    assert "no image" in complaint(capsys, ["--predict", tmp_path / "empty", *agent, "--detections", made.detections])
    own = tmp_path / "out" / "predictions"
    shutil.copytree(made.images, own, dirs_exist_ok=True)  # the lock of the run before may be there
    assert "another --output_dir" in complaint(capsys, ["--predict", own, *agent, "--detections", made.detections])


@pytest.mark.parametrize(
    "words",
    [[], ["--num_epochs", "0"], ["--num_epochs", "x"], ["--policy", "nobody"], ["--seed", "-1"], ["--nonsense"]],
)
def test_words_that_are_no_flags(capsys, words):
    try:
        status = main([*(["--train"] if words else []), *words])
    except SystemExit as stop:  # argparse's own
        status = stop.code
    assert status == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_a_second_run_at_the_same_place_is_refused_by_every_command(made, tmp_path, capsys):
    train_data, output = made.splits / "train_data.json", tmp_path / "out"
    states = tmp_path / "states.pickle"
    graph = {"image_name": "7.jpg", "objects": [], "attributes": [], "relationships": []}
    write_image_states(states, [graph], [graph])
    detector = ["--train_data", train_data, "--validation_data", train_data, "--graph", made.graph, "--num_epochs", "1"]
    detector += ["--images_dir", made.images, "--backbone_weights", "none", "--device", "cpu", "--num_workers", "0"]
    raw = made.folder / "raw_data"
    folders = {
        create_graph.main: ["--annotations", raw, "--min_occurrences", "3", "--output", output],
        skipthoughts.train.main: ["--from_graphs", train_data, "--device", "cpu", "--output", output],
        data.download.main: ["vrd", "--base_url", "http://localhost:9", "--output", output],
        data.make_sample.main: ["--num_images", "3", "--output", output],
    }
    files = {faster_rcnn.train.main: [*detector, "--output", tmp_path / "d.pt"]}
    with folder_lock(output), file_lock(tmp_path / "d.pt"):
        for command, argv in (folders | files).items():
            capsys.readouterr()
            assert command([str(word) for word in argv]) == 2
            assert re.search("error: .*another run .*another --output", capsys.readouterr().err), command.__module__
        for script, argv in {"gallery.py": ["--pickle", states], "pickle_to_files.py": ["--pickle", states]}.items():
            run = runpy.run_path(str(ROOT / "graphviz" / script))["main"]
            assert run([str(word) for word in [*argv, "--output", output]]) == 2
            assert "another run" in capsys.readouterr().err, script


# One among many ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_images_that_do_not_decode_are_skipped_and_counted(made, tmp_path, capsys):
    images = tmp_path / "VG_100K"
    shutil.copytree(made.images, images)
    train, test = ([record["image_name"] for record in made.records(split)] for split in ("train", "test"))
    (images / train[0]).write_bytes(b"no image")
    (images / train[1]).unlink()
    (images / test[0]).write_bytes((images / test[0]).read_bytes()[:400])
    argv = [*made.files(tmp_path / "out", images_dir=images), *PIXELS, "--num_epochs", "1"]
    assert main(["--train", "--test", *argv]) == 0
    printed = capsys.readouterr()
    warnings = [line for line in printed.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 3
    for name in (train[0], train[1], test[0]):
        assert sum(name in line for line in warnings) == 1
    assert json.loads((tmp_path / "out" / "results.json").read_text())["images_skipped"] == 1
    assert "1 images were skipped" in printed.out


@pytest.mark.slow
def test_odd_boxes_and_few_objects(made, tmp_path):
    """Zero area, beyond the image's edge, one object, none: all are walked over, nothing is fatal."""
    names = [record["image_name"] for record in made.records("train")][:5]
    photos = [
        image([], name=names[0]),
        image([("dog", (10, 10, 30, 30), "black")], name=names[1]),
        image([("dog", (10, 10, 0, 0)), ("tree", (5, 5, 40, 40))], [(0, "near", 1)], name=names[2]),
        image([("dog", (-50, -60, 99999, 99999)), ("tree", (4000, 4000, 10, 10))], [(0, "near", 1)], name=names[3]),
        image([("unicorn", (1, 1, 9, 9)), ("tree", (5, 5, 40, 40), "unseen")], [(0, "near", 1)], name=names[4]),
    ]
    write_split(tmp_path / "odd.json", photos)
    files = made.files(
        tmp_path / "out", **{f"{split}_data": tmp_path / "odd.json" for split in ("train", "validation", "test")}
    )
    flags = ["--num_epochs", "1", "--batch_size", "4", "--replay_buffer_minimum_number_samples", "4"]
    assert main(["--train", "--test", *files, *PIXELS, *flags, "--policy", "agent", "frequency", "random"]) == 0
    states = read_image_states(tmp_path / "out" / "image_states.pickle")["curr"]
    assert [len(graph["objects"]) for graph in states[:4]] == [0, 1, 2, 2]


def test_only_images_without_objects(made, tmp_path, capsys):
    write_split(tmp_path / "none.json", [image([], name=r["image_name"]) for r in made.records("test")])
    argv = flags_for(made, "test", tmp_path / "out", test_data=tmp_path / "none.json")
    assert main(list(map(str, argv))) == 0
    assert "nothing to score" in capsys.readouterr().out
    argv = flags_for(made, "train", copy_of_run(made, tmp_path / "again"), train_data=tmp_path / "none.json")
    assert "nothing was learned" in complaint(capsys, argv)
