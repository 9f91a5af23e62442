"""graphviz/precision_recall.py: the numbers by hand and by a slow second implementation, and the picture."""

import importlib.util
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from files import scene_graphs as files

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "graphviz" / "precision_recall.py"
specification = importlib.util.spec_from_file_location("precision_recall", SCRIPT)  # graphviz/ is not a package
script = importlib.util.module_from_spec(specification)
sys.modules["precision_recall"] = script
specification.loader.exec_module(script)


def graph(name, attributes=(), relationships=(), shift=0):
    """Two objects; attributes (word, object, score), relationships (predicate, subject, object, score)."""
    return {
        "image_name": name,
        "objects": [
            {"name": "man", "x": shift, "y": 0, "w": 10, "h": 10},
            {"name": "horse", "x": 20, "y": 0, "w": 10, "h": 10},
        ],
        "attributes": [
            {"attribute": word, "object": index, **({"score": score} if score is not None else {})}
            for word, index, score in attributes
        ],
        "relationships": [
            {"predicate": word, "subject": s, "object": o, **({"score": score} if score is not None else {})}
            for word, s, o, score in relationships
        ],
    }


TRUTH = [
    graph("1.jpg", [("tall", 0, None), ("brown", 1, None)], [("ride", 0, 1, None)]),
    graph("2.jpg", [], [("ride", 0, 1, None), ("feed", 0, 1, None)]),
]
FOUND = [
    graph("1.jpg", [("tall", 0, 0.9), ("old", 0, 0.8), ("brown", 1, 0.3)], [("ride", 0, 1, 0.7)]),
    graph("2.jpg", [("tall", 0, 0.95)], [("ride", 0, 1, 0.6), ("ride", 0, 1, 0.5)]),
]


def test_counts_and_curves_by_hand():
    curves = script.precision_recall(TRUTH, FOUND, "here")
    attributes, relationships, both = (curves[kind] for kind in ("attributes", "relationships", "both"))
    # by falling score: 0.95 wrong (the image has none), 0.9 right, 0.8 wrong, 0.3 right
    assert (attributes.hits, attributes.predicted, attributes.total) == (2, 4, 2)
    assert attributes.precision == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert attributes.recall == pytest.approx([0, 1 / 2, 1 / 2, 1])
    assert attributes.average_precision == pytest.approx(1 / 2 * 1 / 2 + 1 / 2 * 1 / 2)
    # 0.7 right, 0.6 right, 0.5 the second time the same
    assert relationships.precision == pytest.approx([1, 1, 2 / 3])
    assert relationships.recall == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert (both.hits, both.predicted, both.total) == (4, 7, 5)
    assert both.precision[-1] == pytest.approx(4 / 7)
    assert both.recall[-1] == pytest.approx(4 / 5)


def test_a_box_that_overlaps_too_little_is_wrong():
    found = [graph("1.jpg", [("tall", 0, 1), ("brown", 1, 1)], [("ride", 0, 1, 1)], shift=4), graph("2.jpg")]
    curves = script.precision_recall(TRUTH, found, "here")  # 60 of 140 pixels
    assert (curves["attributes"].hits, curves["relationships"].hits) == (1, 0)


def test_equal_scores_enter_together():
    curve = script.precision_recall_curve(np.array([True, False, True]), np.array([0.5, 0.5, 0.9]), 4)
    assert curve.precision == pytest.approx([1, 2 / 3])
    assert curve.recall == pytest.approx([1 / 4, 1 / 2])


@settings(max_examples=60, deadline=None)
@given(items=st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.3])), max_size=12), more=st.integers(0, 3))
def test_curve_agrees_with_counting_at_every_threshold(items, more):
    total = sum(hit for hit, _ in items) + more
    hit, scores = np.array([hit for hit, _ in items], bool), np.array([score for _, score in items], float)
    curve = script.precision_recall_curve(hit, scores, total)
    points = []
    for threshold in sorted({score for _, score in items}, reverse=True):
        taken = [hit for hit, score in items if score >= threshold]
        points.append((Fraction(sum(taken), len(taken)), Fraction(sum(taken), max(total, 1))))
    assert curve.precision == pytest.approx([float(precision) for precision, _ in points])
    assert curve.recall == pytest.approx([float(recall) for _, recall in points])


def run(folder, *arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], cwd=folder, capture_output=True, text=True)


def test_pickle_and_folder_give_the_same_table_and_a_picture(tmp_path):
    files.write_image_states(tmp_path / "image_states.pickle", TRUTH, FOUND)
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    assert rows["attributes"] == ["2", "4", "2", "50.00", "100.00", "50.00"]
    assert rows["relationships"] == ["3", "3", "2", "66.67", "66.67", "66.67"]
    assert rows["both"][:5] == ["5", "7", "4", "57.14", "80.00"]
    with Image.open(tmp_path / "precision_recall.png") as picture:
        assert picture.width > 600
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 50  # not an empty page

    subprocess.run([sys.executable, ROOT / "graphviz" / "pickle_to_files.py"], cwd=tmp_path, check=True)
    again = run(tmp_path, "--graphs", "graphs", "--output", "curve.svg")
    assert again.stdout.splitlines()[:4] == done.stdout.splitlines()[:4]
    assert (tmp_path / "curve.svg").read_text().startswith("<?xml")


def test_nothing_predicted_and_nothing_annotated_still_end_well(tmp_path):
    for truth, found in ((TRUTH[:1], [graph("1.jpg")]), ([graph("1.jpg")], FOUND[:1]), ([], [])):
        path = tmp_path / "image_states.pickle"
        files.write_image_states(path, truth, found)
        assert script.main(["--pickle", str(path), "--output", str(tmp_path / "curve.png")]) == 0


def test_bad_input_is_one_line(tmp_path, capsys):
    path = tmp_path / "image_states.pickle"
    boxless = graph("1.jpg", [("tall", 0, 1)])
    boxless["objects"][0] |= {"w": 0, "h": 0}
    files.write_image_states(path, TRUTH[:1], [boxless])
    for arguments, named in (
        (["--pickle", str(tmp_path / "none.pickle")], "none.pickle"),
        (["--graphs", str(tmp_path)], "pickle_to_files"),
        (["--pickle", str(path), "--output", str(tmp_path / "curve.doc")], "curve.doc"),
        (["--pickle", str(path), "--output", str(tmp_path / "curve.png")], "attributes[0] of image '1.jpg'"),
    ):
        assert script.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert named in error
