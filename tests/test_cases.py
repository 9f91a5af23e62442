"""Input that is well-formed but does not fit what it is used with (the folder `cases` of the data): each is told.

Situations that users of such systems reported in public. A README in each folder has the command and what is right.
"""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from limited import Outcome, run_limited
from PIL import Image
from real_data import data_folder
from tiny_run import SMALL, World, copy_of_run

pytestmark = pytest.mark.slow


@pytest.fixture
def cases(tmp_path) -> Path:
    """A writable copy."""
    folder = tmp_path / "cases"
    shutil.copytree(data_folder("cases"), folder, copy_function=shutil.copyfile)
    return folder


def run(folder: Path, *words: str | Path) -> Outcome:
    done = run_limited([str(word) for word in words], folder, seconds=40)
    assert not done.fault, done
    return done


def says(done: Outcome, *patterns: str) -> None:
    for pattern in patterns:
        assert re.search(pattern, done.out + done.err), f"{pattern!r} is not in\n{done}"


def make_graph(cases: Path, name: str, *more: str) -> Outcome:
    return run(cases, "create_graph.py", "--annotations", name, "--min_occurrences", "1", "--output", "o", *more)


ALL_TO_TRAIN = ["--num_validation", "0", "--num_test", "0"]


def test_attributes_that_stand_in_scene_graphs_are_read(cases):
    done = make_graph(cases, "attributes_in_scene_graphs", *ALL_TO_TRAIN)
    assert done.status == 0, done
    says(done, r"3 attributes", r"Attributes: 9 kept")


def test_a_data_set_without_attributes(cases):
    done = make_graph(cases, "no_attributes_file", *ALL_TO_TRAIN)
    assert done.status == 0, done
    says(done, r"attributes\.json")


def test_boxes_past_the_edge_are_cut_and_those_outside_left_out(cases):
    done = make_graph(cases, "vg_boxes_outside_image", *ALL_TO_TRAIN)
    assert done.status == 0, done
    says(done, r"Objects: 3 kept, 2 dropped", r"Relationships: 1 kept, 1 dropped")
    truth = "o/data/data_samples/train_data.json"
    predictions = "vg_boxes_outside_image/visible_parts.json"
    done = run(cases, "evaluation.py", "--predictions", predictions, "--ground_truth", truth, "--output", "o/r.json")
    assert done.status == 0, done
    assert json.loads((cases / "o/r.json").read_text())["relationship"]["recall"]["50"] == 100


def test_a_tiny_data_set_is_told_which_flag_to_lower(cases):
    assert make_graph(cases, "tiny_data_set").status == 0
    files = {f"{split}_data": f"o/data/data_samples/{split}_data.json" for split in ("train", "validation")}
    flags = [word for name, path in (files | {"graph": "o/graph.pickle", "output_dir": "o/run"}).items()
             for word in (f"--{name}", path)]  # fmt: skip
    preset = ["--preset", "best", "--image_embedding_model_type", "none", "--num_workers", "0", "--device", "cpu"]
    done = run(cases, "main.py", "--train", *preset, *flags, "--replay_buffer_minimum_number_samples", "5")
    assert done.status == 0 or (done.refused and "--batch_size" in done.err), done


def predict(cases: Path, photos: str, detections: str, *more: str) -> Outcome:
    flags = ["--detections", detections, "--output_dir", "out", "--device", "cpu", "--num_workers", "0"]
    return run(cases, "main.py", "--predict", photos, *flags, *more)


def predicted(cases: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((cases / "out/predictions").glob("*.json"))]


def test_good_boxes_are_taken_as_they_are(cases):
    assert predict(cases, "boxes_off_photo/photos", "boxes_off_photo/good.json").status == 0
    [graph] = predicted(cases)
    assert [(thing["x"], thing["y"], thing["w"], thing["h"]) for thing in graph["objects"]] == [
        (115, 60, 41, 131),
        (170, 135, 86, 56),
    ]
    assert graph["relationships"]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("normalised", r"0\.\.1|0 to 1|shares"),
        ("ten_times_too_large", r"my\.jpg"),
        ("left_of_photo", r"my\.jpg"),
        ("xywh", r"x, y, w"),
        ("unsure", r"threshold 0\.3"),
    ],
)
def test_boxes_that_cannot_be_this_photos_are_told(cases, name, word):
    threshold = ["--object_detection_threshold", "0.3"]
    done = predict(cases, "boxes_off_photo/photos", f"boxes_off_photo/{name}.json", *threshold)
    says(done, word)
    assert done.refused or all(not graph["objects"] for graph in predicted(cases)), done


def test_what_numbers_were_taken_for_is_told(cases):
    says(
        predict(cases, "boxes_off_photo/photos", "boxes_off_photo/coco_numbers.json"), r"numbers are taken for .* 1 sky"
    )


def test_boxes_of_a_tool_that_ignored_exif_are_told(cases):
    done = predict(cases, "boxes_off_photo/rotated", "boxes_off_photo/exif_ignored.json")
    says(done, r"turned\.jpg|EXIF|rotat")
    inside = [thing["x"] + thing["w"] <= 241 for graph in predicted(cases) for thing in graph["objects"]]
    assert done.refused or all(inside), done


@pytest.mark.parametrize("name", ["coco_annotations", "path_keys"])
def test_layouts_that_people_have_are_read(cases, name):
    done = predict(cases, "boxes_off_photo/photos", f"formats_people_have/{name}.json")
    assert done.status == 0, done
    [graph] = predicted(cases)
    assert graph["objects"]


def test_results_for_a_number_that_no_photo_has_are_told(cases):
    done = predict(cases, "boxes_off_photo/photos", "formats_people_have/coco_results.json")
    assert done.refused, done
    says(done, r"has boxes of '1', and none of the 1 photos \('my\.jpg'\)")


def test_a_list_of_paths_can_be_given(cases):
    paths = (cases / "formats_people_have/list.txt").read_text().split("\n")
    (cases / "list.txt").write_text("\n".join(str(cases / "boxes_off_photo/photos" / Path(p).name) for p in paths if p))
    assert predict(cases, "list.txt", "boxes_off_photo/good.json").status == 0
    assert predicted(cases)


def test_files_that_were_passed_over_are_named_by_kind(cases):
    (cases / "b.json").write_text(json.dumps({"a.jpg": [{"category": "man", "score": 0.9, "bbox": [1, 1, 40, 40]}]}))
    done = predict(cases, "folder_with_other_formats/photos", "b.json")
    says(done, r"(?i)heic", r"(?i)subfolder|--recursive")


def visualize(cases: Path, graph: Path | str, *more: str) -> Outcome:
    return run(cases, "graphviz/visualize.py", "--graph", graph, "--output", "g.svg", "--no-open", *more)


def test_a_loose_relationship_is_left_out_when_drawing(cases):
    done = visualize(cases, "drawing_a_visual_genome_graph/dangling.json")
    assert done.status == 0, done
    says(done, r"1 relationship")


def test_an_image_is_picked_from_visual_genomes_list(cases):
    assert visualize(cases, "drawing_a_visual_genome_graph/scene_graphs.json", "--image_id", "7").status == 0


def test_a_record_of_a_split_is_drawn(cases):
    assert visualize(cases, "drawing_a_visual_genome_graph/split_record.json").status == 0


def test_names_in_other_scripts_are_drawn_or_told(cases):
    done = visualize(cases, "names_without_glyphs/graph.json", "--image", "boxes_off_photo/photos/my.jpg")
    assert done.status == 0, done
    for thing in json.loads((cases / "names_without_glyphs/graph.json").read_text())["objects"]:
        assert thing["name"] in (cases / "g.svg").read_text()


def test_photos_of_another_size_are_told(made: World, cases):
    script, half = cases / "wrong_size_images/halve.py", cases / "half"
    sys_argv, sys.argv = sys.argv, ["halve.py", str(made.splits / "test_data.json"), str(made.images), str(half)]
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = sys_argv
    assert {Image.open(path).size for path in half.iterdir()} != {Image.open(p).size for p in made.images.iterdir()}
    agent = copy_of_run(made, cases / "run")
    done = run(cases, "main.py", "--test", *made.files(agent, images_dir=half), "--device", "cpu", "--num_workers", "0")
    says(done, r"size")


def test_resuming_after_the_split_changed_is_refused(made: World, cases):
    split, output = cases / "train.json", cases / "run"
    records = made.records("train")
    split.write_text(json.dumps(records))
    words = ["main.py", "--train", *made.files(output, train_data=split), *SMALL]
    assert run(cases, *words, "--num_epochs", "1").status == 0
    split.write_text(json.dumps(records[::-1][:-3]))
    done = run(cases, *words, "--num_epochs", "2", "--resume")
    assert done.refused, done
    assert "train.json" in done.err
