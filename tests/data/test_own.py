"""Data sets of your own: the example of docs/own_data.md, and what is checked in them."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from create_graph import main
from data.own import read_own
from files.io import InputError
from files.splits import Split
from semantic_graph import SemanticActionGraph

ROOT = Path(__file__).resolve().parents[2]
MAN = {"object_id": 1, "name": "Man", "x": 10, "y": 20, "w": 30, "h": 40, "attributes": ["tall"]}
DOG = {"object_id": 2, "name": "dog", "x": 50, "y": 20, "w": 30, "h": 40}
EDGE = {"relationship_id": 1, "subject_id": 1, "predicate": "near", "object_id": 2}


def image(number, *objects, edges=(EDGE,), **more):
    labels = {"image_id": number, "objects": list(objects or (MAN, DOG)), "relationships": list(edges)}
    return {"image_name": f"{number}.jpg", "labels": labels} | more


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, images in files.items():
        (folder / f"{name}_data.json").write_text(json.dumps(images))
    return folder


def run(source, output, *more):
    arguments = ["--dataset", "own", "--annotations", str(source), "--output", str(output), "--min_occurrences", "1"]
    return main([*arguments, *more])


def sizes(output):
    names = ("train", "validation", "test")
    return [len(Split(output / "data" / "data_samples" / f"{name}_data.json")) for name in names]


def test_the_example_of_the_page_runs(tmp_path):
    page = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in example.splitlines() if line]) <= 10
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True)
    (command,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    program, script, *arguments = shlex.split(command)
    assert program == "python"
    subprocess.run(
        [sys.executable, str(ROOT / script), *arguments], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL
    )
    graph = SemanticActionGraph.load(tmp_path / "graph.pickle")
    assert (graph.entities, graph.attributes, graph.predicates) == (["dog", "man"], ["tall"], ["walking"])
    first, second = Split(tmp_path / "data" / "data_samples" / "train_data.json")
    assert (first.image_name, second.image_name, first.width, first.height) == ("a.jpg", "b.jpg", 320, 240)


def test_what_is_read_is_what_was_written(tmp_path):
    annotations, rows = read_own(write(tmp_path, train=[image(7), image(3, width=60, height=70)]))
    first, second = annotations.records()
    assert rows is None
    assert [first.image_name, second.image_name] == ["7.jpg", "3.jpg"]
    assert [(o.object_id, o.name, o.x, o.w, o.attributes) for o in second.labels.objects] == [
        (1, "man", 10, 30, ["tall"]),
        (2, "dog", 50, 10, []),  # cut at the edge of a photo that is 60 wide
    ]
    assert [(r.relationship_id, r.subject_id, r.predicate, r.object_id) for r in first.labels.relationships] == [
        (1, 1, "near", 2)
    ]


def test_boxes_outside_of_a_photo_of_known_size_are_counted(tmp_path, capsys):
    images = [image(1), image(2, width=45, height=70), image(3, width=500, height=500)]
    assert run(write(tmp_path / "a", train=images), tmp_path, "--num_validation", "0", "--num_test", "0") == 0
    text = capsys.readouterr().out
    assert "1  its box is outside the image" in text
    assert "1  its subject or object was dropped" in text


def test_the_division_is_yours_where_there_are_files_for_it(tmp_path):
    images = [image(i) for i in range(40)]
    assert (
        run(write(tmp_path / "a", train=images[:20]), tmp_path / "o", "--num_validation", "3", "--num_test", "5") == 0
    )
    assert sizes(tmp_path / "o") == [12, 3, 5]
    assert run(write(tmp_path / "a", test=images[20:24]), tmp_path / "o") == 0
    assert sizes(tmp_path / "o") == [18, 2, 4]
    assert run(write(tmp_path / "a", validation=images[30:]), tmp_path / "o") == 0
    assert sizes(tmp_path / "o") == [20, 10, 4]
    (tmp_path / "a" / "test_data.json").unlink()
    assert run(tmp_path / "a", tmp_path / "o", "--num_validation", "4") == 0
    assert sizes(tmp_path / "o") == [20, 4, 0]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([image(1), image(1)], "image '1.jpg' comes twice; an image belongs to one split"),
        ([image(1), image(1, image_name="2.jpg")], "image_id 1 comes twice"),
        ([image(1, MAN | {"object_id": -1}, DOG, edges=[])], "image '1.jpg': the id -1 is not from 0 to"),
        ([image(1, MAN | {"x": 10**400})], "train_data.json: item 0: Expected `int` <= 1000000000"),
        ([image(1), {"image_name": "2.jpg"}], "item 1: Object missing required field `labels`; see docs/own_data.md"),
        ([image(1), image(2, MAN, DOG, DOG)], "item 1: '2.jpg' has object 2 twice; give each object its own object_id"),
        ([image(1, edges=[EDGE | {"object_id": 5}])], "item 0: relationship 1 names object 5"),
        ([image(1, width=500)], "item 0: give width and height, or neither"),
        (
            [image(1, *({**o, "x": 0.1, "y": 0.2, "w": 0.3, "h": 0.4} for o in (MAN, DOG)))],
            "all boxes lie within 0..1; multiply them by the photo's width and height",
        ),
        ({"images": []}, "train_data.json: is not a list of images; see docs/own_data.md"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, capsys, images, message):
    source = write(tmp_path / "a", train=images)
    with pytest.raises(InputError, match=re.escape(message)):
        read_own(source)
    assert run(source, tmp_path / "o") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not os.path.exists(tmp_path / "o")


def test_bad_items_are_left_out_on_request(tmp_path):
    source = write(tmp_path, train=[image(1), {"image_name": "2.jpg"}, image(3, MAN, DOG, DOG), image(4)])
    annotations, _ = read_own(source, skip_bad_items=True)
    assert annotations.image_names == ["1.jpg", "4.jpg"]
    assert annotations.dropped == {("item", "malformed (--skip_bad_items)"): 2}


def test_no_file_at_all(tmp_path, capsys):
    assert run(tmp_path, tmp_path / "o") == 2
    assert "train_data.json: no such file; see docs/own_data.md" in capsys.readouterr().err
