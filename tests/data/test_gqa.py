"""GQA's scene graphs: joined, checked, divided as its files are."""

import json

import pytest

from create_graph import main
from data.gqa import read_gqa
from files.io import InputError
from files.splits import Split
from semantic_graph import SemanticActionGraph


def thing(name, x=10, y=20, w=30, h=40, attributes=(), relations=()):
    links = [{"name": word, "object": object_id} for word, object_id in relations]
    return {"name": name, "x": x, "y": y, "w": w, "h": h, "attributes": list(attributes), "relations": links}


TRAIN = {
    "2407890": {
        "width": 640,
        "height": 480,
        "location": "indoors",
        "weather": "none",
        "objects": {
            "271881": thing("Chair ", attributes=["brown", "Wooden"], relations=[("to the left of", "271882")]),
            "271882": thing("table", x=600, w=100, relations=[("to the right of", "271881"), ("near", "9")]),
            "271883": thing("lamp", x=700),
            "271884": thing("lamp", h=0),
        },
    },
    "12": {"objects": {"1": thing("chair")}},
}
VAL = {
    "n161313": {"width": 50, "height": 60, "objects": {"a": thing("chair", relations=[("on", "b")]), "b": thing("rug")}}
}


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for part, value in files.items():
        text = value if isinstance(value, str) else json.dumps(value)
        (folder / f"{part}_sceneGraphs.json").write_text(text)
    return folder


def test_an_image_is_read_with_its_size_attributes_and_relations(tmp_path):
    annotations, rows = read_gqa(write(tmp_path, train=TRAIN))
    first, second = annotations.records()
    assert rows is None
    assert (first.image_name, first.labels.image_id, first.width, first.height) == ("2407890.jpg", 2407890, 640, 480)
    # the table is cut at the edge of the photo, the first lamp lies outside of it, the second has no pixel
    assert [(o.object_id, o.name, o.x, o.w, o.attributes) for o in first.labels.objects] == [
        (271881, "chair", 10, 30, ["brown", "wooden"]),
        (271882, "table", 600, 40, []),
    ]
    edges = [(r.subject_id, r.predicate, r.object_id) for r in first.labels.relationships]
    assert edges == [(271881, "to the left of", 271882), (271882, "to the right of", 271881)]
    assert (second.image_name, second.width, len(second.labels.objects)) == ("12.jpg", None, 1)
    assert annotations.dropped == {
        ("relationship", "its subject or object is not among the objects of its image"): 1,
        ("object", "its box is empty"): 1,
        ("object", "its box is outside the image"): 1,
    }


def test_ids_that_are_no_numbers(tmp_path):
    (record,) = read_gqa(write(tmp_path, val=VAL))[0].records()
    assert record.image_name == "n161313.jpg"
    assert [(o.object_id, o.name) for o in record.labels.objects] == [(0, "chair"), (1, "rug")]
    assert [(r.subject_id, r.predicate, r.object_id) for r in record.labels.relationships] == [(0, "on", 1)]


def test_the_validation_file_is_for_testing_and_validation_is_cut_from_training(tmp_path):
    images = {str(i): {"width": 50, "height": 60, "objects": {"7": thing("rug")}} for i in range(1, 31)}
    source = write(tmp_path / "a", train=images, val=VAL)
    arguments = ["--dataset", "gqa", "--annotations", str(source), "--output", str(tmp_path), "--min_occurrences", "1"]
    assert main(arguments) == 0
    splits = [Split(tmp_path / "data" / "data_samples" / f"{n}_data.json") for n in ("train", "validation", "test")]
    assert [len(split) for split in splits] == [27, 3, 1]
    assert splits[2][0].image_name == "n161313.jpg"
    assert SemanticActionGraph.load(tmp_path / "graph.pickle").entities == ["rug"]


def bad(change):
    train = json.loads(json.dumps(TRAIN))
    change(train["2407890"])
    return train


@pytest.mark.parametrize(
    ("change", "message", "left"),
    [
        (
            lambda image: image["objects"]["271881"].update(x="10"),
            "image '2407890', object '271881': Expected `float`",
            2,
        ),
        (lambda image: image["objects"]["271881"].update(x=10**400), "image '2407890', object '271881': ", 2),
        (lambda image: image["objects"]["271881"].pop("name"), "image '2407890', object '271881': .*`name`", 2),
        (lambda image: image["objects"]["271881"].update(relations=[{"name": "on"}]), "image .*: .*`object`", 2),
        (lambda image: image.update(objects=[]), "image '2407890': Expected `object`, got `array`", 1),
        (lambda image: image.update(width=-4), "image '2407890': Expected `int` >= 1", 1),
    ],
)
def test_what_is_malformed_is_named_or_left_out_and_counted(tmp_path, change, message, left):
    source = write(tmp_path, train=bad(change))
    with pytest.raises(InputError, match=f"train_sceneGraphs.json: {message}.*; --skip_bad_items") as error:
        read_gqa(source)
    assert "\n" not in str(error.value)
    annotations, _ = read_gqa(source, skip_bad_items=True)
    assert annotations.dropped["item", "malformed (--skip_bad_items)"] == 1
    assert len(annotations.object_id) == left


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no train_sceneGraphs.json .*download.py gqa"),
        ({"train": "[]"}, "train_sceneGraphs.json: has the wrong shape"),
        ({"train": json.dumps(TRAIN)[:300]}, "is not valid JSON"),
        ({"train": TRAIN, "val": TRAIN}, "image '2407890.jpg' comes twice"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, files, message):
    with pytest.raises(InputError, match=message):
        read_gqa(write(tmp_path / "a", **files))
