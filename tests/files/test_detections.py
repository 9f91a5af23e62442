"""Detections files: what is read is what was written; what is wrong is named."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_data import vrd_folder

from files.detections import (
    Detections,
    from_flat,
    read_detections,
    select,
    write_detections,
)
from files.io import InputError


def two_images() -> dict[str, Detections]:
    return {
        "b.jpg": Detections(
            np.array([[0, 0, 9.5, 19.25], [5, 5, 5, 5]], np.float32),
            np.array([[2, 0], [1, -1]]),
            np.array([[0.6, 0.55], [0.1, 0]], np.float32),
        ),
        "a/ü.jpg": Detections.empty(),
    }


def write_json(path: Path, value) -> Path:
    path.write_text(json.dumps(value))
    return path


def same(a: Detections, b: Detections) -> bool:
    pairs = ((a.boxes, b.boxes), (a.candidates, b.candidates), (a.scores, b.scores))
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("ending", ["json", "h5"])
def test_what_is_written_is_read_back(tmp_path, ending):
    path = tmp_path / f"detections.{ending}"
    images = two_images()
    assert write_detections(path, ["cat", "dog", "naïve"], iter(images.items())) == 2
    file = read_detections(path)
    assert file.classes == ["cat", "dog", "naïve"]
    assert list(file) == list(images)
    assert len(file) == 2
    assert "b.jpg" in file
    assert "c.jpg" not in file
    assert all(same(file[name], images[name]) for name in images)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # no temporary file is left


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_flat_arrays_become_candidates_best_first(data):
    rows = data.draw(
        st.lists(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.1, 0.5, 0.9])), min_size=1, max_size=4))
    )
    flat = [pair for row in rows for pair in row]
    boxes = np.zeros((len(rows), 4))
    found = from_flat(boxes, [len(row) for row in rows], [c for c, _ in flat], [s for _, s in flat])
    for i, row in enumerate(rows):
        wanted = sorted(row, key=lambda pair: -pair[1])  # stable, as the array must be
        assert [c for c in found.candidates[i] if c >= 0] == [c for c, _ in wanted]
        assert found.scores[i, : len(row)].tolist() == np.float32([s for _, s in wanted]).tolist()


def test_json_with_names_numbers_and_other_scores(tmp_path):
    box = {"category": "cat", "score": 0.4, "bbox": [1, 2, 3, 4], "scores": {"dog": 0.5, "cat": 0.4}}
    file = read_detections(write_json(tmp_path / "d.json", {"a.jpg": [box], "b.jpg": []}))
    assert file.classes == ["cat", "dog"]
    assert file["a.jpg"].candidates.tolist() == [[1, 0]]  # the better score leads
    assert file["a.jpg"].scores.tolist() == [pytest.approx([0.5, 0.4])]
    assert file["b.jpg"].boxes.shape == (0, 4)

    numbered = {"classes": ["x", "y"], "images": {"a.jpg": [{"category": 1, "score": 1, "bbox": [0, 0, 1, 1]}]}}
    file = read_detections(write_json(tmp_path / "d.json", numbered), default_classes=["ignored"])
    assert file.classes == ["x", "y"]
    assert file["a.jpg"].candidates.tolist() == [[1]]


def test_real_detections_with_the_datasets_own_numbers():
    vrd = vrd_folder()
    names = json.loads((vrd / "objects.json").read_text())
    file = read_detections(vrd / "detections_test.json", default_classes=names)
    assert len(file) == 500
    assert set(file.classes) <= set(names)
    assert file.dropped == 0
    first = file["3845770407_1a8cd41230_b.jpg"]
    assert first.boxes[0].tolist() == [272, 213, 562, 890]
    assert file.classes[first.candidates[1, 0]] == names[26]
    assert "0 person, 1 sky" in file.convention


def test_boxes_without_a_pixel_are_left_out_and_counted(tmp_path, capsys):
    boxes = [[5, 5, 5, 5], [5, 5, 4, 9], [9, 9, 20, 8]]
    items = [{"category": "a", "score": 0.5, "bbox": box} for box in boxes]
    file = read_detections(write_json(tmp_path / "d.json", {"a.jpg": items}))
    assert file.dropped == 2
    assert file["a.jpg"].boxes.tolist() == [[5, 5, 5, 5]]
    assert "left out 2 boxes" in capsys.readouterr().err


GOOD = {"category": "cat", "score": 0.5, "bbox": [0, 0, 9, 9]}


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ([GOOD, GOOD | {"score": 1.5}], ["a.jpg", "box 1", "1.5", "between 0 and 1"]),
        ([GOOD | {"score": -0.1}], ["a.jpg", "box 0", "-0.1"]),
        ([GOOD | {"bbox": [0, 0, 1e300, 9]}], ["a.jpg", "box 0", "finite"]),
        ([GOOD | {"bbox": [0, 0, 9]}], ["a.jpg", "$[0].bbox"]),
        ([GOOD | {"category": None}], ["a.jpg", "$[0].category"]),
        ([GOOD | {"category": 3}], ["a.jpg", "box 0", "category 3"]),
        ([GOOD | {"category": 10**30}], ["a.jpg"]),
        ([GOOD | {"scores": {"dog": 7}}], ["a.jpg", "box 0", "7"]),
        ({"boxes": []}, ["a.jpg", "array"]),
    ],
)
def test_a_bad_box_is_refused_by_file_image_and_box(tmp_path, image, words):
    path = write_json(tmp_path / "d.json", {"fine.jpg": [GOOD], "a.jpg": image})
    with pytest.raises(InputError) as error:
        read_detections(path)
    assert all(word in str(error.value) for word in [str(path), *words])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a": NaN}', b"\xff", b'{"a.jpg": [{"category": "x"}]}'])
def test_what_is_no_detections_json_is_refused(tmp_path, content):
    path = tmp_path / "d.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"d\.json"):
        read_detections(path)


def test_names_outside_the_files_own_classes_and_bad_numbers_are_refused(tmp_path):
    path = write_json(tmp_path / "d.json", {"classes": ["dog"], "images": {"a.jpg": [GOOD]}})
    with pytest.raises(InputError, match="'cat'"):
        read_detections(path)
    path = write_json(tmp_path / "d.json", {"classes": ["dog"], "images": {"a.jpg": [GOOD | {"category": 1}]}})
    with pytest.raises(InputError, match="category 1; there are 1"):
        read_detections(path)


def test_endings_and_missing_files(tmp_path):
    for name in ("d.txt", "d"):
        with pytest.raises(InputError, match=r"\.json or \.h5"):
            write_detections(tmp_path / name, [], {})
        with pytest.raises(InputError, match=r"\.json or \.h5"):
            read_detections(tmp_path / name)
    for name in ("d.json", "d.h5"):
        with pytest.raises(InputError, match="no such file"):
            read_detections(tmp_path / name)


def damage(path: Path, key: str, value) -> None:
    with h5py.File(path, "r+") as file:
        del file[key]
        if value is not None:
            file[key] = value


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("boxes", None, ["'boxes'"]),
        ("boxes", np.zeros((2, 5), np.float32), ["boxes"]),
        ("boxes", np.array([[0, 0, 1, 1], [0, np.nan, 1, 1]]), ["b.jpg", "box 1", "finite"]),
        ("scores", np.array([0.6, np.nan, 0.1], np.float32), ["b.jpg", "box 0", "nan"]),
        ("scores", np.zeros(2, np.float32), ["scores"]),
        ("candidates", np.array([2, 0, 3]), ["b.jpg", "box 1", "category 3", "3 classes"]),
        ("candidates", np.array([2, 0, -1]), ["b.jpg", "box 1", "category -1"]),
        ("image_offsets", np.array([0, 2]), ["image_offsets"]),
        ("candidate_offsets", np.array([0, 3, 3]), ["b.jpg", "box 1", "no category"]),
        ("classes", np.zeros(3), ["'classes'"]),
    ],
)
def test_a_damaged_hdf5_file_is_refused(tmp_path, key, value, words):
    path = tmp_path / "d.h5"
    write_detections(path, ["a", "b", "c"], two_images())
    damage(path, key, value)
    with pytest.raises(InputError) as error:
        read_detections(path)
    assert all(word in str(error.value) for word in [str(path), *words])


def test_a_cut_off_hdf5_file_is_refused(tmp_path):
    path = tmp_path / "d.h5"
    write_detections(path, ["a", "b", "c"], two_images())
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="not an HDF5 file"):
        read_detections(path)


def test_select_keeps_what_the_graph_knows():
    found = Detections(
        np.arange(16, dtype=np.float32).reshape(4, 4),
        np.array([[0, 1, 2], [3, -1, -1], [1, 0, -1], [2, 1, -1]]),
        np.array([[0.5, 0.45, 0.4], [0.9, 0, 0], [0.7, 0.6, 0], [0.8, 0.004, 0]], np.float32),
    )
    # classes 0 and 1 are one entity; class 2 has no counterpart
    mapped = select(found, np.array([5, 5, -1, 6]), threshold=0.005)
    assert mapped.entities.tolist() == [[6], [5], [5]]
    assert mapped.classes.tolist() == [[3], [1], [0]]
    assert mapped.scores[:, 0].tolist() == pytest.approx([0.9, 0.7, 0.5])
    assert mapped.boxes[:, 0].tolist() == [4, 8, 0]
    assert len(select(found, np.array([5, 5, -1, 6]), maximum=1)) == 1
    assert len(select(found, np.array([-1, -1, -1, -1]))) == 0
    assert len(select(Detections.empty(), np.array([0]))) == 0


def hdf5_file(path, **changed):
    """A detections file of two images; `changed` puts something else where it has a dataset (None: nothing)."""
    contents = {
        "classes": np.array(["dog", "cat"], object),
        "image_names": np.array(["1.jpg", "2.jpg"], object),
        "image_offsets": np.array([0, 1, 2]),
        "boxes": np.array([[1, 1, 9, 9], [2, 2, 8, 8]], np.float32),
        "candidate_offsets": np.array([0, 1, 3]),
        "candidates": np.array([0, 1, 0], np.int32),
        "scores": np.array([0.5, 0.6, 0.3], np.float32),
    } | changed
    with h5py.File(path, "w") as file:
        for name, value in contents.items():
            if callable(value):
                value(file, name)
            elif value is not None:
                file.create_dataset(name, data=value, dtype=h5py.string_dtype() if value.dtype == object else None)
    return path


def announced(shape, dtype):
    return lambda file, name: file.create_dataset(name, shape, dtype)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("image_names", announced((10**9,), h5py.string_dtype()), "announces 8,000,000,000 bytes and stores 0"),
        ("image_offsets", announced((10**9,), np.int64), "announces 8,000,000,000 bytes and stores 0"),
        ("candidates", announced((10**9,), np.int32), "announces 4,000,000,000 bytes and stores 0"),
        ("classes", np.zeros(2, [("a", "f4")]), "wrong type"),
        ("image_names", np.array([b"\xe4.jpg", b"2.jpg"], object), "not UTF-8"),
        ("boxes", None, "no dataset 'boxes'"),
        ("boxes", np.array(["a"], object), "wrong type"),
        ("scores", np.array([0.5, 0.6], np.float32), "do not fit together"),
        ("scores", np.array([0.5, np.nan, 0.5], np.float32), "score nan"),
        ("image_offsets", np.array([0, 1, 10**12]), "'image_offsets' does not fit"),
        ("image_offsets", np.array([0, 3, 2]), "'image_offsets' does not fit"),
        ("candidate_offsets", np.array([0.0, 1.0, 3.0]), "wrong type"),
        ("image_names", np.array(["1.jpg", "1.jpg"], object), "'image_names' has '1.jpg' twice"),
        (
            "boxes",
            np.array([[1, 1, 9, 9], [2, 2, 8, 1e300]]),
            "'2.jpg', box 0 has a corner that is not a finite number",
        ),
        (
            "boxes",
            np.array([[1, 1, 9, 9], [-(2**63), 2, 8, 8]]),
            "box 0 has a corner that is not a finite number within",
        ),
        ("candidates", np.array([0, 2, 0], np.int32), "category 2, but there are 2 classes"),
        ("classes", np.array(["dog"], object), "has 2 categories, but there are 1 classes"),
    ],
)
def test_hdf5_that_does_not_fit_is_one_line(tmp_path, key, value, said):
    assert list(read_detections(hdf5_file(tmp_path / "whole.h5"))) == ["1.jpg", "2.jpg"]
    with pytest.raises(InputError, match=said) as error:
        read_detections(hdf5_file(tmp_path / "x.h5", **{key: value}))
    assert "x.h5: " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_piece_of_hdf5_is_one_line(tmp_path):
    boxes = np.tile(np.array([[1, 1, 9, 9]], np.float32), (1000, 1)) + np.arange(1000)[:, None]
    path = hdf5_file(
        tmp_path / "x.h5",
        boxes=lambda file, name: file.create_dataset(name, data=boxes, compression="gzip"),
        image_offsets=np.array([0, 500, 1000]),
        candidate_offsets=np.arange(1001),
        candidates=np.zeros(1000, np.int32),
        scores=np.ones(1000, np.float32),
    )
    with h5py.File(path) as file:
        place = file["boxes"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[place : place + 30] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.h5: .*write it with"):
        read_detections(path)


def test_an_image_whose_table_would_take_gigabytes_is_refused(tmp_path):
    classes = [f"c{i}" for i in range(6000)]
    box = {"category": "c0", "score": 0.5, "bbox": [0, 0, 9, 9]}
    boxes = [box] * 5999 + [box | {"scores": dict.fromkeys(classes, 0.5)}]
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"classes": classes, "images": {"small.jpg": [box], "large.jpg": boxes}}))
    with pytest.raises(InputError, match=r"'large.jpg' has 6,000 boxes with up to 6,000 categories"):
        read_detections(path)


def test_composed_and_decomposed_names_are_one(tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"cafe\u0301.jpg": [{"category": "cup", "score": 0.5, "bbox": [0, 0, 9, 9]}]}))
    file = read_detections(path)
    assert "caf\u00e9.jpg" in file
    assert len(file["caf\u00e9.jpg"]) == len(file["cafe\u0301.jpg"]) == 1
    assert "cafe.jpg" not in file
