"""Layouts of boxes that people have: ours, COCO's results, COCO's annotations; each says how it was read."""

import json
from pathlib import Path

import pytest

from files.detections import read_detections
from files.io import InputError

BOX = {"category": "dog", "score": 0.5, "bbox": [10, 20, 49, 59]}
COCO = {"image_id": 7, "category_id": 18, "bbox": [10, 20, 40, 40], "score": 0.5}
IMAGES = [{"id": 7, "file_name": "my.jpg", "width": 320, "height": 240}, {"id": 8, "file_name": "none.jpg"}]
DOG = [{"id": 18, "name": "dog", "supercategory": "animal"}]


def read(tmp_path: Path, value):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(value))
    return read_detections(path)


SAME_DOG = {
    "our layout": {"my.jpg": [BOX], "none.jpg": []},
    "COCO annotations": {"images": IMAGES, "categories": DOG, "annotations": [{"id": 1, "iscrowd": 0, **COCO}]},
    "COCO results with lists": {"images": IMAGES, "categories": DOG, "results": [COCO]},
    "names in the items": [{"file_name": "my.jpg", "category": "dog", "bbox": [10, 20, 40, 40], "score": 0.5}],
    "COCO's own numbers": [COCO | {"image_id": "my.jpg"}],
}


@pytest.mark.parametrize("layout", SAME_DOG)
def test_one_dog_in_every_layout(tmp_path, layout):
    file = read(tmp_path, SAME_DOG[layout])
    found = file["my.jpg"]
    assert found.boxes.tolist() == [[10, 20, 49, 59]]  # inclusive corners of 40 x 40 pixels
    assert [file.classes[c] for c in found.candidates[0]] == ["dog"]
    assert found.scores.tolist() == [[0.5]]
    assert ("COCO's layout" in file.convention) == (layout != "our layout")
    assert ("corners" in file.convention) == (layout == "our layout")
    if "none.jpg" in json.dumps(SAME_DOG[layout]):
        assert len(file["none.jpg"]) == 0


def test_of_two_lists_the_one_with_boxes_is_read(tmp_path):
    file = read(tmp_path, {"images": IMAGES, "categories": DOG, "annotations": [], "results": [COCO]})
    assert len(file["my.jpg"]) == 1


def test_the_sizes_of_photos_where_the_file_says_them(tmp_path):
    images = [*IMAGES, {"id": 9, "file_name": "odd.jpg", "width": 0, "height": 240}]
    assert read(tmp_path, {"images": images, "annotations": [COCO]}).sizes == {"my.jpg": (320, 240)}
    assert read(tmp_path, [COCO]).sizes == {}


def test_boxes_without_a_score_are_certain_and_counted(tmp_path):
    without = {key: value for key, value in BOX.items() if key != "score"}
    file = read(tmp_path, {"my.jpg": [without, BOX]})
    assert file["my.jpg"].scores.tolist() == [[1.0], [0.5]]
    assert "boxes without a score (1)" in file.convention


def test_a_word_beside_a_number_that_says_the_same(tmp_path):
    item = COCO | {"file_name": "photos/my.jpg", "category": "Dog "}
    file = read(tmp_path, {"images": IMAGES, "categories": DOG, "annotations": [item]})
    assert list(file) == ["my.jpg", "none.jpg"]
    assert len(file["my.jpg"]) == 1


def test_crowds_and_captions_are_left_out_and_counted(tmp_path):
    items = [COCO, COCO | {"iscrowd": 1}, {"image_id": 7, "caption": "a dog"}]
    file = read(tmp_path, {"images": IMAGES, "categories": DOG, "annotations": items})
    assert len(file["my.jpg"]) == 1
    assert "2 items of crowds or without a box" in file.convention


def test_what_numbers_are_taken_for_is_said(tmp_path):
    file = read(tmp_path, [COCO])
    assert file.classes == ["dog"]
    assert "COCO's own (1 person" in file.convention
    assert list(file) == ["7"]
    assert file.numbered


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"my.jpg": [BOX | {"category": 1}]}, ["my.jpg", "category 1", '"classes"']),
        ([COCO | {"category_id": 0}], ["item 0", "category 0", '"categories"']),
        ([COCO, COCO | {"category_id": 12}], ["item 1", "category 12"]),
        ({"images": IMAGES, "categories": DOG, "annotations": [COCO | {"category_id": 3}]}, ["item 0", "category 3"]),
        ({"images": IMAGES, "categories": DOG, "annotations": [COCO | {"image_id": 9}]}, ["item 0", "image_id 9"]),
        ([{"bbox": [1, 2, 3, 4], "category": "dog"}], ["item 0", '"image_id"']),
        ([{"bbox": [1, 2, 3, 4], "image_id": 7}], ["item 0", '"category_id"']),
        ([COCO | {"bbox": [1, 2, 3]}], ["item 0", "3 numbers"]),
        ([COCO | {"score": 1.5}], ["1.5", "between 0 and 1"]),
        ({"images": IMAGES * 2, "categories": DOG, "annotations": [COCO]}, ['"images"']),
        ({"images": IMAGES, "categories": [*DOG, {"id": 18, "name": "cat"}], "results": [COCO]}, ["18", "dog", "cat"]),
        ({"images": IMAGES, "annotations": [COCO], "results": [COCO]}, ["annotations", "results", "leave one"]),
        ({"images": IMAGES, "categories": DOG, "results": [COCO | {"category": "cat"}]}, ["item 0", "'cat'", "'dog'"]),
        ({"images": IMAGES, "results": [COCO | {"file_name": "your.jpg"}]}, ["item 0", "'your.jpg'", "'my.jpg'"]),
        ({"images": IMAGES, "categories": DOG}, ['no "annotations"']),
        ({}, ["holds no image"]),
        ({"my.jpg": [BOX | {"bbox": [115, 60, 41, 131]}]}, ["1 of 1", "x, y, width, height", "COCO's layout"]),
        ({"my.jpg": [BOX | {"bbox": [0.36, 0.25, 0.5, 0.8]}]}, ["from 0 to 1", "multiply"]),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(tmp_path, value, words):
    with pytest.raises(InputError) as error:
        read(tmp_path, value)
    assert all(word in str(error.value) for word in ["boxes.json", *words])
    assert "\n" not in str(error.value)
