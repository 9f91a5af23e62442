"""main.py --test --task: PredCls, SGCls and SGDet from the command line."""

import json

import pytest
from PIL import Image
from small_world import image
from tiny_run import SMALL

from engine.task_boxes import annotated_boxes
from evaluation import evaluate, train_triplets
from faster_rcnn import build_detector
from faster_rcnn.weights import save_detector
from files.detections import read_detections
from files.scene_graphs import read_image_states
from files.splits import Split
from main import main
from semantic_graph import SemanticActionGraph

RANDOM = [*SMALL, "--policy", "frequency"]


def results(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_predcls_is_scored_by_the_protocol_of_scene_graphs(made, tmp_path, capsys):
    files = made.files(tmp_path)
    assert main(["--test", *files, *RANDOM, "--task", "predcls", "--recall_at", "3", "20", "200"]) == 0
    out = capsys.readouterr().out
    assert "with graph constraint" in out
    assert "95 % interval" in out
    said = results(tmp_path)
    assert (said["task"], said["protocol"], said["boxes"]) == ("predcls", "sgg", "annotated")
    truth = Split(made.splits / "test_data.json")
    seen = train_triplets(Split(made.splits / "train_data.json"))
    found = json.loads((tmp_path / "predictions.json").read_text())
    words = SemanticActionGraph.load(made.graph).predicates
    again = evaluate(found, truth, seen, (3, 20, 200), protocol="sgg", predicates=words)
    for task in ("graph_constraint", "no_graph_constraint", "zero_shot_graph_constraint"):
        assert again[task]["recall"] == pytest.approx(said[task]["recall"])
        assert again[task]["mean_recall"] == pytest.approx(said[task]["mean_recall"])
    assert 0 < said["graph_constraint"]["recall"]["3"] < said["graph_constraint"]["recall"]["200"]
    assert said["no_graph_constraint"]["recall"]["200"] > said["graph_constraint"]["recall"]["200"]
    assert said["predicates"] == again["predicates"]
    with Image.open(tmp_path / "predicates.png") as picture:
        assert min(picture.size) > 100
    assert main(["--test", *files, *RANDOM, "--task", "predcls", "--detections", str(made.detections)]) == 2
    assert "annotated" in capsys.readouterr().err


@pytest.mark.slow
def test_sgdet_walks_over_detected_boxes(made, tmp_path, capsys):
    assert main(["--test", *made.files(tmp_path), *RANDOM, "--task", "sgdet"]) == 2
    assert "--detections" in capsys.readouterr().err
    flags = ["--task", "sgdet", "--detections", str(made.detections)]
    assert main(["--test", *made.files(tmp_path), *RANDOM, *flags]) == 0
    said = results(tmp_path)
    assert said["boxes"] == str(made.detections)
    assert list(said["graph_constraint"]["recall"]) == ["20", "50", "100"]


@pytest.mark.slow
def test_sgcls_has_the_annotated_boxes_and_the_detectors_words(made, tmp_path):
    graph = SemanticActionGraph.load(made.graph)
    detector = build_detector("fasterrcnn_efficientnet_lite0", graph.entities)
    save_detector(detector, tmp_path / "detector.pt")
    flags = ["--task", "sgcls", "--detector_weights", str(tmp_path / "detector.pt")]
    assert main(["--test", *made.files(tmp_path), *RANDOM, *flags]) == 0
    assert results(tmp_path)["task"] == "sgcls"
    classified = read_detections(tmp_path / "classified_test.h5")
    states = read_image_states(tmp_path / "image_states.pickle")["curr"]
    for record, state in zip(Split(made.splits / "test_data.json"), states, strict=True):
        boxes = annotated_boxes(record)
        found = classified[record.image_name]
        assert sorted(map(tuple, found.boxes.tolist())) == sorted(map(tuple, boxes.tolist()))
        assert found.candidates.shape[1] == len(graph.entities)  # of a network that knows nothing no class is left out
        places = {(thing["x"], thing["y"]) for thing in state["objects"]}
        assert places == {(int(x), int(y)) for x, y, *_ in boxes}


def test_an_object_drawn_twice_is_one_box():
    record = image([("person", (1, 2, 3, 4)), ("man", (1, 2, 3, 4)), ("hat", (1, 2, 3, 5))])
    assert annotated_boxes(record).tolist() == [[1, 2, 3, 5], [1, 2, 3, 6]]
    assert annotated_boxes(image([])).shape == (0, 4)
