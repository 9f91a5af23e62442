"""graphviz/visualize.py as a user starts it."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "graphviz" / "visualize.py"


@pytest.fixture(scope="module")
def main():
    """The script's `main`; its folder is not a package, since the PyPI package of that name must stay importable."""
    spec = importlib.util.spec_from_file_location("visualize", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def hand_written(tmp_path) -> Path:
    path = tmp_path / "my graph.json"
    path.write_text(
        '{"objects": [{"name": "dog", "attributes": ["brown"]}, {"name": "man"}],'
        ' "relationships": [{"subject": 1, "predicate": "walks", "object": 0}]}'
    )
    return path


def test_hand_written_graph_beside_its_file(main, hand_written, capsys):
    assert not main(["--graph", str(hand_written), "--no-open"])
    output = hand_written.with_suffix(".html")
    assert f"Drew 2 objects, 1 attribute, 1 relationship: {output}" in capsys.readouterr().out
    assert "walks" in output.read_text()


def test_visual_genome_layout(main, tmp_path, monkeypatch):
    person = {"object_id": 11, "names": ["man"], "x": 5, "y": 5, "w": 40, "h": 80, "synsets": []}
    horse = {"object_id": 12, "names": ["horse"], "x": 30, "y": 40, "w": 60, "h": 60, "synsets": []}
    edge = {"relationship_id": 1, "predicate": "ON", "subject_id": 11, "object_id": 12, "synsets": []}
    graph = {"image_id": 1, "objects": [person, horse], "relationships": [edge]}
    (tmp_path / "vg.json").write_text(json.dumps(graph))
    Image.new("RGB", (100, 120)).save(tmp_path / "photo.jpg")
    arguments = ["--graph", "vg.json", "--image", "photo.jpg", "--output", "vg.svg", "--no-open"]
    monkeypatch.chdir(tmp_path)
    assert not main(arguments)
    assert "ON" in (tmp_path / "vg.svg").read_text()


def test_limits_are_told(main, tmp_path, capsys):
    objects = [{"name": name, "x": 0, "y": 0, "w": 9, "h": 9} for name in "abc"]
    edges = [
        {"predicate": "on", "subject": 0, "object": 1, "score": 0.9},
        {"predicate": "by", "subject": 1, "object": 2, "score": 0.2},
    ]
    graph = {"image_name": "1.jpg", "objects": objects, "attributes": [], "relationships": edges}
    path = tmp_path / "g.json"
    path.write_text(json.dumps(graph))
    for option in (["--min_score", "0.5"], ["--max_relationships", "1"]):
        assert not main(["--graph", str(path), "--output", str(tmp_path / "g.svg"), "--no-open", *option])
        assert "1 of 2 relationships:" in capsys.readouterr().out
        assert ">on<" in (tmp_path / "g.svg").read_text()
        assert ">by<" not in (tmp_path / "g.svg").read_text()


def test_of_a_predicted_graph_low_confidence_is_left_out(main, tmp_path, capsys):
    objects = [{"name": f"o{i}", "x": 0, "y": 0, "w": 9, "h": 9, "score": 1} for i in range(50)]
    edges = [{"predicate": f"p{i:02}", "subject": i, "object": i + 1, "score": 0.9 - i / 50} for i in range(49)]
    path = tmp_path / "g.json"
    for scored, drawn in ((True, "31 of 50 objects, 0 attributes, 30 of 49"), (False, "50 objects, 0 attributes, 49")):
        if not scored:
            edges = [{key: edge[key] for key in ("predicate", "subject", "object")} for edge in edges]
            objects = [{"name": item["name"]} for item in objects]
        path.write_text(json.dumps({"objects": objects, "relationships": edges}))
        assert not main(["--graph", str(path), "--output", str(tmp_path / "g.svg"), "--no-open"])
        assert f"Drew {drawn} relationships:" in capsys.readouterr().out


def test_one_image_of_a_list_is_drawn_without_its_loose_relationship(main, tmp_path, capsys):
    objects = [
        {"object_id": i, "names": [name], "x": 9, "y": 9, "w": 9, "h": 9} for i, name in enumerate(("man", "hat"))
    ]
    edges = [
        {"predicate": "wears", "subject_id": 0, "object_id": 1},
        {"predicate": "near", "subject_id": 0, "object_id": 99},
    ]
    graphs = [{"image_id": i, "objects": objects, "relationships": edges} for i in (7, 8)]
    (tmp_path / "scene_graphs.json").write_text(json.dumps(graphs))
    arguments = ["--graph", str(tmp_path / "scene_graphs.json"), "--output", str(tmp_path / "g.svg"), "--no-open"]
    assert main(arguments) == 2
    assert "is a list of 2 graphs; say which one with --image_id" in capsys.readouterr().err
    assert not main([*arguments, "--image_id", "7"])
    said = capsys.readouterr()
    assert "1 relationship left out: subject or object is not there" in said.err
    assert "Drew 2 objects, 0 attributes, 1 relationship:" in said.out


def test_a_graph_too_large_to_lay_out_is_drawn_in_part_and_that_is_said(main, tmp_path, capsys):
    edges = [{"predicate": "on", "subject": i, "object": j} for i in range(60) for j in range(60) if i != j]
    path = tmp_path / "g.json"
    path.write_text(json.dumps({"objects": [{"name": f"o{i}"} for i in range(60)], "relationships": edges}))
    assert not main(["--graph", str(path), "--output", str(tmp_path / "g.svg"), "--no-open"])
    assert "120 of 3,540 relationships:" in capsys.readouterr().out


def test_a_photo_of_another_size_than_the_boxes_is_told(main, tmp_path, capsys):
    objects = [{"name": name, "x": x, "y": 40, "w": 100, "h": 100} for name, x in (("man", 300), ("hat", 400))]
    Image.new("RGB", (320, 240)).save(tmp_path / "half.png")
    arguments = ["--image", str(tmp_path / "half.png"), "--output", str(tmp_path / "g.html"), "--no-open"]
    cases = [({}, "boxes cannot be of their photos"), ({"width": 640, "height": 480}, "boxes are drawn in proportion")]
    for size, said in cases:
        (tmp_path / "g.json").write_text(json.dumps({"image_name": "half.png", "objects": objects, **size}))
        assert not main(["--graph", str(tmp_path / "g.json"), *arguments])
        assert said in capsys.readouterr().err
        assert f'width="{size.get("width", 320)}"' in (tmp_path / "g.html").read_text()


def test_a_photo_one_pixel_wide_is_drawn(main, tmp_path):
    (tmp_path / "g.json").write_text(json.dumps({"objects": [{"name": "man", "x": 0, "y": 9, "w": 1, "h": 900}]}))
    Image.new("RGB", (1, 3000)).save(tmp_path / "thin.png")
    files = ["--graph", str(tmp_path / "g.json"), "--image", str(tmp_path / "thin.png")]
    for ending in ("png", "svg", "html"):
        assert not main([*files, "--output", str(tmp_path / f"x.{ending}"), "--no-open"])


def test_ground_truth_shows_hits_and_misses(main, tmp_path):
    objects = [{"name": name, "x": 0, "y": 0, "w": 9, "h": 9} for name in "ab"]
    for name, predicate in (("curr", "on"), ("gt", "by")):
        edges = [{"predicate": predicate, "subject": 0, "object": 1}]
        graph = {"image_name": "1.jpg", "objects": objects, "attributes": [], "relationships": edges}
        (tmp_path / f"{name}.json").write_text(json.dumps(graph))
    output = tmp_path / "both.svg"
    files = ["--graph", str(tmp_path / "curr.json"), "--ground_truth", str(tmp_path / "gt.json")]
    assert not main([*files, "--output", str(output), "--no-open"])
    markup = output.read_text()
    for words in ("a on b, not annotated", "a by b, missed", "a 1, hit" if "a 1" in markup else "a, hit"):
        assert words in markup


def test_ground_truth_of_another_image_is_refused(main, tmp_path, capsys):
    for file, name in (("curr", "photos/1.jpg"), ("own", "1.jpg"), ("other", "2.jpg")):
        (tmp_path / f"{file}.json").write_text(json.dumps({"image_name": name, "objects": [{"name": "man"}]}))
    arguments = ["--graph", str(tmp_path / "curr.json"), "--output", str(tmp_path / "g.svg"), "--no-open"]
    assert main([*arguments, "--ground_truth", str(tmp_path / "other.json")]) == 2
    assert "other.json: is of image '2.jpg', but" in capsys.readouterr().err
    assert not main([*arguments, "--ground_truth", str(tmp_path / "own.json")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--graph", "missing.json"], "missing.json: no such file"),
        (["--graph", "my graph.json", "--output", "x.gif"], "x.gif: pictures are drawn as"),
        (["--graph", "my graph.json", "--image", "no.jpg"], "no.jpg: no such image file"),
        (["--graph", "bad.json"], "bad.json: is not valid JSON"),
        (["--graph", "my graph.json", "--ground_truth", "bad.json"], "bad.json: is not valid JSON"),
    ],
)
def test_bad_input_is_one_line(main, hand_written, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(hand_written.parent)
    Path("bad.json").write_text("{")
    assert main([*arguments, "--no-open"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(p.name for p in hand_written.parent.iterdir()) == ["bad.json", "my graph.json"]


def test_browser_opens_only_with_a_display(hand_written, tmp_path):
    browser = tmp_path / "browser.sh"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{tmp_path}/opened"\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    plain = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    plain["BROWSER"] = f"{browser} %s"
    for environment, options, opens in (
        (plain, [], False),
        (plain | {"DISPLAY": ":0"}, ["--no-open"], False),
        (plain | {"DISPLAY": ":0"}, [], True),
    ):
        command = [sys.executable, str(SCRIPT), "--graph", hand_written.name, *options]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        output = hand_written.with_suffix(".html").resolve()
        assert str(output) in result.stdout
        assert (tmp_path / "opened").exists() == opens
    assert (tmp_path / "opened").read_text().strip() == output.as_uri()
