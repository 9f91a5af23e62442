"""Split files: written, opened lazily, refused when they are wrong."""

import gzip
import json
import pickle

import pytest

from files.io import InputError
from files.splits import (
    MOST_OBJECTS,
    ImageRecord,
    Labels,
    ObjectRecord,
    RelationshipRecord,
    Split,
    write_split,
)


def record(number: int) -> ImageRecord:
    objects = [ObjectRecord(7, 1, 2, 30, 40, "man", ["tall"]), ObjectRecord(9, 5.5, 6, 7, 8, "café")]
    return ImageRecord(f"{number}.jpg", Labels(number, objects, [RelationshipRecord(3, "on", 7, 9)]))


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "train_data.json"
    assert write_split(path, (record(number) for number in range(5))) == 5
    split = Split(path)
    assert len(split) == 5
    assert list(split) == [record(number) for number in range(5)]
    assert split[-1] == record(4)
    assert split[1:3] == [record(1), record(2)]
    with pytest.raises(IndexError):
        split[5]


def test_the_file_is_the_documented_json_one_image_a_line(tmp_path):
    path = tmp_path / "train_data.json"
    write_split(path, [record(1), record(2)])
    lines = path.read_text().splitlines()
    assert (lines[0], len(lines), lines[-1]) == ("[", 4, "]")
    assert json.loads(path.read_text())[0] == {
        "image_name": "1.jpg",
        "labels": {
            "image_id": 1,
            "objects": [
                {"object_id": 7, "x": 1, "y": 2, "w": 30, "h": 40, "name": "man", "attributes": ["tall"]},
                {"object_id": 9, "x": 5.5, "y": 6, "w": 7, "h": 8, "name": "café", "attributes": []},
            ],
            "relationships": [{"relationship_id": 3, "predicate": "on", "subject_id": 7, "object_id": 9}],
        },
    }
    assert type(Split(path)[0].labels.objects[0].x) is int


def test_the_size_of_the_photo_is_kept_where_it_is_known(tmp_path):
    known = ImageRecord("1.jpg", record(1).labels, width=640, height=480)
    write_split(tmp_path / "x.json", [known, record(2)])
    first, second = json.loads((tmp_path / "x.json").read_text())
    assert (first["width"], first["height"]) == (640, 480)
    assert sorted(second) == ["image_name", "labels"]
    assert list(Split(tmp_path / "x.json")) == [known, record(2)]


def test_any_json_layout_is_read(tmp_path):
    path = tmp_path / "train_data.json"
    write_split(path, [record(1), record(2)])
    path.write_text(json.dumps(json.loads(path.read_text()), indent=3, sort_keys=True))
    assert list(Split(path)) == [record(1), record(2)]


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "x.json"
    write_split(path, [record(1)])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert list(Split(path)) == [record(1)]


def test_where_boxes_lie_is_left_to_create_graph_in_its_own_files(tmp_path):
    outside = ImageRecord("1.jpg", record(1).labels, width=3, height=3)
    write_split(tmp_path / "x.json", [ImageRecord("0.jpg", record(0).labels, made_in="abc"), outside])
    assert pickle.loads(pickle.dumps(Split(tmp_path / "x.json")))[1] == outside


def test_an_empty_split(tmp_path):
    write_split(tmp_path / "x.json", [])
    assert list(Split(tmp_path / "x.json")) == []


def test_a_worker_process_can_have_a_split(tmp_path):
    write_split(tmp_path / "x.json", [record(1)])
    assert pickle.loads(pickle.dumps(Split(tmp_path / "x.json")))[0] == record(1)


def test_a_failure_while_writing_leaves_the_old_file(tmp_path):
    write_split(tmp_path / "x.json", [record(1)])

    def failing():
        yield record(2)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_split(tmp_path / "x.json", failing())
    assert list(Split(tmp_path / "x.json")) == [record(1)]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        (b'{"a": 1}', "not a list of images"),
        (b'[{"image_name": "a"', "cut off"),
        (b"hello", "not valid JSON"),
        (gzip.compress(b"[]", mtime=0), r"compressed \(gzip\); unpack it"),
    ],
)
def test_a_file_that_is_no_list_is_refused_when_opened(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_bytes(text)
    with pytest.raises(InputError, match=message):
        Split(path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Split(tmp_path / "x.json")
    with pytest.raises(InputError, match="is a folder"):
        Split(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda item: item.pop("image_name"), "item 1: .*image_name"),
        (lambda item: item["labels"]["objects"][0].update(x="3"), r"item 1: .*objects\[0\]\.x"),
        (lambda item: item["labels"]["relationships"][0].update(subject_id=8), "item 1: relationship 3 names object 8"),
        (lambda item: item["labels"].update(objects=None), "item 1: Expected `array`"),
        (lambda item: item.update(width=640), "item 1: give width and height, or neither"),
        (lambda item: item.update(width=0, height=480), r"item 1: Expected `int` >= 1 - at `\$\.width`"),
        (lambda item: item["labels"]["objects"][0].update(x=10**400), r"item 1: Expected `int` <= 1000000000"),
        (lambda item: item["labels"]["objects"][0].update(h=-1e300), r"item 1: Expected `float` >= 0"),
        (lambda item: item["labels"]["objects"][1].update(w=-1), r"item 1: Expected `int` >= 0 .*objects\[1\]\.w"),
        (lambda item: item["labels"]["objects"][1].update(object_id=7), "item 1: '1.jpg' has object 7 twice"),
        (lambda item: item.update(width=320, height=6), "item 1: '1.jpg' of 320 x 6: the box of object 9 lies outside"),
        (
            lambda item: [o.update(x=0, y=0.25, w=0.5, h=0.5) for o in item["labels"]["objects"]],
            "item 1: all boxes of '1.jpg' lie within 0..1; boxes are in pixels",
        ),
        (lambda item: item["labels"]["objects"][0].update(object_id=10**400), r"item 1: Expected `int` <="),
        (lambda item: item["labels"].update(image_id=-(10**400)), r"item 1: Expected `int` >="),
    ],
)
def test_a_wrong_image_is_named_when_it_is_asked_for(tmp_path, change, message):
    path = tmp_path / "x.json"
    write_split(path, [record(0), record(1)])
    items = json.loads(path.read_text())
    change(items[1])
    path.write_text(json.dumps(items))
    split = Split(path)
    assert split[0] == record(0)
    with pytest.raises(InputError, match=message):
        split[1]


def test_an_image_with_more_objects_than_can_be_numbered_is_refused(tmp_path):
    objects = [ObjectRecord(number, 1, 2, 30, 40, "man") for number in range(MOST_OBJECTS + 1)]
    write_split(tmp_path / "x.json", [ImageRecord("1.jpg", Labels(1, objects, []))])
    with pytest.raises(InputError, match=r"item 0: '1.jpg' has 32,001 objects; an image may have 32,000"):
        Split(tmp_path / "x.json")[0]
