"""evaluation.py: scoring by name, the script, and bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from phrases import FAR, FEED, ONE_RIDE, RIDE, A, B, attribute, image, relation
from PIL import Image

import evaluation
from files.io import InputError
from files.predictions import read_predictions
from files.splits import ImageRecord, write_split

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def split(tmp_path):
    path = tmp_path / "test_data.json"
    write_split(path, [image("1.jpg", [(A, B, RIDE)], [(A, ("man", "tall"))]), image("2.jpg")])
    return path


def run(tmp_path, split, predictions, *more):
    path = tmp_path / "predictions.json"
    path.write_text(predictions if isinstance(predictions, str) else json.dumps(predictions))
    output = str(tmp_path / "results.json")
    return evaluation.main(["--predictions", str(path), "--ground_truth", str(split), "--output", output, *more])


def test_the_script_prints_a_table_and_writes_json(tmp_path, split):
    predictions = tmp_path / "predictions.json"
    predictions.write_text(json.dumps({"1.jpg": {"relationships": [relation(A, B)]}}))
    train, output = tmp_path / "train_data.json", tmp_path / "out" / "results.json"
    write_split(train, [image("t.jpg", [(A, B, FEED)])])
    command = [sys.executable, ROOT / "evaluation.py", "--predictions", predictions, "--ground_truth", split]
    done = subprocess.run([*command, "--train_data", train, "--output", output], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    table = done.stdout.split("\n\n")[0]
    rows = {line.split("  ")[0]: line.split() for line in table.splitlines()}
    assert rows["relationship"][1:6] == ["1", "1", "1", "100.00", "100.00"]
    assert rows["zero-shot relationship"][2:5] == ["1", "1", "1"]
    assert rows["attribute"][1:6] == ["1", "0", "0", "0.00", "0.00"]
    assert str(output) in done.stdout
    results = json.loads(output.read_text())
    assert results["relationship"]["hits"] == {"50": 1, "100": 1}
    assert results["images"] == 2


def test_the_protocol_of_scene_graph_generation_at_any_k(tmp_path, split, capsys):
    train = tmp_path / "train_data.json"
    write_split(train, [image("t.jpg", [(A, B, FEED)])])
    found = {"1.jpg": {"relationships": [relation(FAR, B, 0.9), relation(A, B, 0.8)]}}
    more = ["--protocol", "sgg", "--recall_at", "1", "20", "--train_data", str(train)]
    assert run(tmp_path, split, found, *more) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    for task in ("graph_constraint", "no_graph_constraint", "zero_shot_graph_constraint"):
        assert results[task]["recall"] == {"1": 0, "20": 100}
        assert results[task]["recall_interval"]["20"] == [100, 100]
    assert results["graph_constraint"]["mean_recall"]["20"] == 50  # "feed" is a word of the training split
    assert results["predicates"]["ride"]["no_graph_constraint"] == {"1": 0, "20": 100}
    with Image.open(tmp_path / "results.predicates.png") as picture:
        assert min(picture.size) > 100
    assert "zero-shot no graph constraint" in capsys.readouterr().out


@pytest.mark.parametrize("protocol", ["vrd", "sgg"])
def test_two_systems_are_compared_on_the_same_images(tmp_path, split, capsys, protocol):
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"1.jpg": {"relationships": [relation(FAR, B)]}}))
    found = {"1.jpg": {"relationships": [relation(A, B)]}}
    assert run(tmp_path, split, found, "--compare", str(other), "--protocol", protocol) == 0
    differences = json.loads((tmp_path / "results.json").read_text())["differences"]
    task = {"vrd": "relationship", "sgg": "graph_constraint"}[protocol]
    assert differences[task]["recall"]["50"] == 100
    assert differences[task]["recall_interval"]["50"] == [100, 100]
    assert "+100.00 [+100.00, +100.00]" in capsys.readouterr().out


def test_recall_at_nothing_is_refused(tmp_path, split, capsys):
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, split, {}, "--recall_at", "0")
    assert stop.value.code == 2
    assert "less than 1" in capsys.readouterr().err


@pytest.mark.parametrize("output", [".", "", "/"])
def test_an_output_that_is_no_file_is_refused_at_once(tmp_path, split, capsys, output):
    assert evaluation.main(["--predictions", "nowhere.json", "--ground_truth", str(split), "--output", output]) == 2
    assert "name a file, results.json for instance" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--predictions", "--ground_truth", "--compare", "--train_data"])
def test_an_output_that_is_an_input_is_refused(tmp_path, split, capsys, flag):
    (tmp_path / "input.json").write_text("{}")
    (tmp_path / "link.json").symlink_to("input.json")
    files = {"--predictions": "nowhere.json", "--ground_truth": str(split)}
    files |= {flag: str(tmp_path / "input.json"), "--output": str(tmp_path / "link.json")}
    assert evaluation.main([word for pair in files.items() for word in pair]) == 2
    assert f"link.json is the file of {flag}; name another one" in capsys.readouterr().err
    assert (tmp_path / "input.json").read_text() == "{}"


def test_a_name_that_is_not_utf8_is_written_in_printable_form(tmp_path, split):
    found = {"1.jpg": {"relationships": [relation(A, B)]}}
    other = os.fsdecode(os.fsencode(tmp_path) + b"/other\xff.json")
    Path(other).write_text(json.dumps(found))
    assert run(tmp_path, split, found, "--compare", other) == 0
    assert json.loads((tmp_path / "results.json").read_text())["compared_with"].endswith("/other\\xff.json")


def test_names_that_the_ground_truth_never_has_are_told(tmp_path, split, capsys):
    found = relation(A, B) | {"predicate": "Ride"}
    assert run(tmp_path, split, {"1.jpg": {"relationships": [found]}}) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ")
    assert "no predicted predicate ('Ride', …) is one of the ground truth's; names are compared exactly" in line


def test_reading_predictions_back_gives_the_same_scores(tmp_path, split):
    plain = {"1.jpg": {"relationships": [relation(A, B)], "attributes": [attribute(A)]}}
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(plain))
    truth = msgspec.json.decode(split.read_bytes(), type=list[ImageRecord])
    assert evaluation.evaluate(read_predictions(path), truth) == evaluation.evaluate(plain, truth)


def test_images_the_ground_truth_does_not_have_are_told_and_do_not_count(tmp_path, split, capsys):
    found = {"1.jpg": {"relationships": [relation(A, B)]}, "9.jpg": {"relationships": [relation(A, B)]}}
    assert run(tmp_path, split, found) == 0
    streams = capsys.readouterr()
    assert "'9.jpg'" in streams.err
    assert json.loads((tmp_path / "results.json").read_text())["relationship"]["precision"]["50"] == 100.0


def test_composed_and_decomposed_names_are_one(tmp_path, split):
    truth = json.loads(split.read_text())
    truth[0]["image_name"] = "caf\u00e9.jpg"
    split.write_text(json.dumps(truth))
    assert run(tmp_path, split, {"cafe\u0301.jpg": {"relationships": [relation(A, B)]}}) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["relationship"]["recall"]["50"] == 100
    assert results["unknown_images"] == []


BAD = {
    "cut off": ('{"1.jpg": {"relationships": [', "cut off"),
    "a list": ("[]", "wrong shape"),
    "misspelt key": ({"1.jpg": {"relationship": []}}, "relationship"),
    "NaN": ('{"1.jpg": {"attributes": [{"entity":"a","attribute":"b","box":[0,0,1,1],"score":NaN}]}}', "NaN"),
    "three corners": ({"1.jpg": {"attributes": [attribute((0, 0, 1))]}}, "$.attributes[0].box"),
    "no score": ({"1.jpg": {"attributes": [attribute(A, None)]}}, "$.attributes[0].score"),
    "empty box": ({"1.jpg": {"relationships": [relation(A, B), relation(A, (5, 0, 4, 9))]}}, "relationships[1]"),
    "far corner": ({"1.jpg": {"relationships": [relation(A, (0, 0, 2e9, 9))]}}, "a corner beyond 1,000,000,000"),
    "shares": ({"1.jpg": {"attributes": [attribute((0.1, 0.2, 0.5, 1))]}}, "all boxes lie within 0 to 1"),
    "no image known": ({"x/1.jpg": {}}, "'x/1.jpg'"),
}


@pytest.mark.parametrize(("predictions", "named"), BAD.values(), ids=BAD)
def test_bad_predictions_give_one_clear_line(tmp_path, split, capsys, predictions, named):
    assert run(tmp_path, split, predictions) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "predictions.json" in error
    assert named in error
    assert not (tmp_path / "results.json").exists()


def test_missing_files_are_named(tmp_path, split, capsys):
    assert evaluation.main(["--predictions", str(tmp_path / "none.json"), "--ground_truth", str(split)]) == 2
    assert "none.json" in capsys.readouterr().err
    assert run(tmp_path, tmp_path / "no_split.json", {"1.jpg": {}}) == 2
    assert "no_split.json" in capsys.readouterr().err
    assert run(tmp_path, split, {"1.jpg": {}}, "--train_data", str(tmp_path / "no_train.json")) == 2
    assert "no_train.json" in capsys.readouterr().err


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(number):
    for found in (relation(A, B, number), relation((0, 0, number, 9), B)):
        with pytest.raises(InputError, match=r"relationships\[0\] of image '1.jpg'"):
            evaluation.evaluate({"1.jpg": {"relationships": [found]}}, ONE_RIDE)


def test_an_image_twice_in_the_ground_truth_is_refused():
    with pytest.raises(InputError, match="twice"):
        evaluation.evaluate({}, ONE_RIDE * 2)
