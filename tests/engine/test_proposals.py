"""Where the boxes of a split come from: what is taken for fresh, and what is said about boxes that cannot be used."""

import itertools
import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.photos import Photo
from engine.proposals import few_at_once
from faster_rcnn import build_detector, save_detector
from main import main


@pytest.mark.slow
def test_boxes_are_detected_again_when_the_weights_were_replaced_by_an_older_file(made, tmp_path, capsys):
    def weights(seed: int) -> None:
        torch.manual_seed(seed)
        save_detector(build_detector("fasterrcnn_efficientnet_lite0", ["man", "dog"]), tmp_path / "detector.pt")

    flags = ["--use_fastrcnn_proposals", "--detector_weights", str(tmp_path / "detector.pt"), "--device", "cpu"]
    files = made.files(tmp_path / "out", checkpoint=made.run / "best.pt")
    command = ["--test", *files, *flags, "--maximum_num_entities_per_image", "3"]
    weights(0)
    assert main(command) == 0
    boxes = (tmp_path / "out" / "detections_test.h5").read_bytes()
    assert main(command) == 0
    assert "remove it to detect them again" in capsys.readouterr().out
    assert (tmp_path / "out" / "detections_test.h5").read_bytes() == boxes
    weights(1)
    os.utime(tmp_path / "detector.pt", (1e9, 1e9))
    assert main(command) == 0
    assert "detecting again" in capsys.readouterr().out
    assert (tmp_path / "out" / "detections_test.h5").read_bytes() != boxes


def boxes_of(made, change, path):
    boxes = json.loads(made.detections.read_text())
    for items in boxes.values():
        for item in items:
            change(item)
    path.write_text(json.dumps(boxes))
    return path


def test_boxes_of_low_confidence_are_counted(made, tmp_path, capsys):
    scores = itertools.cycle([0.2, 0.9])
    boxes = boxes_of(made, lambda item: item.update(score=next(scores)), tmp_path / "boxes.json")
    flags = ["--detections", str(boxes), "--object_detection_threshold", "0.3", "--device", "cpu"]
    assert main(["--test", *made.files(tmp_path / "out", checkpoint=made.run / "best.pt"), *flags]) == 0
    said = capsys.readouterr().err
    assert "boxes score under --object_detection_threshold 0.3" in said


def test_boxes_of_larger_photos_are_refused_in_a_test(made, tmp_path, capsys):
    """The sample's splits tell the size of their photos."""
    boxes = boxes_of(made, lambda item: item.update(bbox=[4 * v + 900 for v in item["bbox"]]), tmp_path / "boxes.json")
    files = made.files(tmp_path / "out", checkpoint=made.run / "best.pt")
    assert main(["--test", *files, "--detections", str(boxes), "--device", "cpu"]) == 2
    assert "boxes cannot be of their photos" in capsys.readouterr().err


def test_boxes_of_larger_photos_are_refused_where_only_the_photos_tell_their_size(made, tmp_path, capsys):
    records = [{key: value for key, value in record.items() if key not in ("width", "height", "made_in")}
               for record in made.records("test")]  # fmt: skip
    (tmp_path / "test.json").write_text(json.dumps(records))
    boxes = boxes_of(made, lambda item: item.update(bbox=[10 * v + 10 for v in item["bbox"]]), tmp_path / "boxes.json")
    files = made.files(tmp_path / "out", checkpoint=made.run / "best.pt", test_data=tmp_path / "test.json")
    assert main(["--test", *files, "--detections", str(boxes), "--device", "cpu"]) == 2
    assert "boxes cannot be of their photos" in capsys.readouterr().err


def test_large_photos_go_through_the_detector_one_by_one():
    def sizes_together(*sizes):
        photos = [Photo(Path(str(i)), Path(), "", image=Image.new("1", size)) for i, size in enumerate(sizes)]
        together = list(few_at_once(photos))
        assert [photo for part in together for photo in part] == photos
        return [len(part) for part in together]

    small, large = (800, 600), (3000, 2000)
    assert sizes_together(*[small] * 6) == [4, 2]
    assert sizes_together(large, large, small, small, large) == [1, 1, 2, 1]
    assert sizes_together() == []
