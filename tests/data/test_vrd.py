"""Reading VRD: its box order, its objects, its vocabulary, its official split."""

import json

import numpy as np
import pytest
from PIL import Image
from real_data import vrd_folder

from create_graph import main
from data.vrd import read_vrd
from files.io import InputError
from files.splits import Split
from semantic_graph import SemanticActionGraph


def triplet(subject, predicate, object_):
    """subject, object_: (category, [ymin, ymax, xmin, xmax])."""
    ends = {"subject": subject, "object": object_}
    return {"predicate": predicate} | {end: {"category": c, "bbox": box} for end, (c, box) in ends.items()}


MAN, DOG, BIG_DOG = (0, [1, 10, 21, 25]), (1, [5, 9, 7, 7]), (1, [5, 90, 7, 70])
TRAIN = {
    "a.jpg": [triplet(MAN, 0, DOG), triplet(MAN, 0, DOG), triplet(DOG, 1, BIG_DOG)],
    "b.jpg": [triplet(DOG, 0, MAN)],
}
TEST = {"c.jpg": [], "d.jpg": [triplet(MAN, 2, DOG)]}


def write(folder, train=None, test=None, **names):
    folder.mkdir(exist_ok=True)
    files = {"annotations_train": train or TRAIN, "annotations_test": test or TEST}
    files |= {"objects": ["man", "dog", "cat"], "predicates": ["on", "by", "below"]} | names
    for name, value in files.items():
        (folder / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


def test_objects_are_the_unique_boxes_and_repeated_triplets_stay(tmp_path):
    annotations, is_test = read_vrd(write(tmp_path))
    assert is_test.tolist() == [False, False, True, True]
    first, second, third, _ = annotations.records()
    # ymin, ymax, xmin, xmax = 1, 10, 21, 25, inclusive: 5 wide and 10 high
    objects = [(o.object_id, o.name, o.x, o.y, o.w, o.h) for o in first.labels.objects]
    assert objects == [(0, "man", 21, 1, 5, 10), (1, "dog", 7, 5, 1, 5), (2, "dog", 7, 5, 64, 86)]
    edges = [(r.subject_id, r.predicate, r.object_id) for r in first.labels.relationships]
    assert edges == [(0, "on", 1), (0, "on", 1), (1, "by", 2)]
    assert [o.name for o in second.labels.objects] == ["dog", "man"]
    assert (third.image_name, third.labels.objects, third.labels.relationships) == ("c.jpg", [], [])


def test_a_thing_next_to_itself_is_two_things_with_one_box(tmp_path):
    train = {"a.jpg": [triplet(DOG, 0, MAN), triplet(DOG, 1, DOG), triplet(DOG, 1, DOG)]}
    annotations, _ = read_vrd(write(tmp_path, train=train))
    labels = next(iter(annotations.records())).labels
    assert [(o.name, o.x, o.y, o.w, o.h) for o in labels.objects] == [
        ("dog", 7, 5, 1, 5),
        ("man", 21, 1, 5, 10),
        ("dog", 7, 5, 1, 5),
    ]
    edges = [(r.subject_id, r.predicate, r.object_id) for r in labels.relationships]
    assert edges == [(0, "on", 1), (0, "by", 2), (0, "by", 2)]


def test_the_vocabulary_keeps_the_files_order_and_every_word(tmp_path):
    folder, output = write(tmp_path / "vrd"), tmp_path / "out"
    arguments = ["--dataset", "vrd", "--annotations", str(folder), "--output", str(output), "--num_validation", "1"]
    assert main([*arguments, "--min_occurrences", "1"]) == 0
    graph = SemanticActionGraph.load(output / "graph.pickle")
    assert graph.entities == graph.annotation_categories == ["man", "dog", "cat"]
    assert graph.predicates == graph.annotation_predicates == ["on", "by", "below"]  # "below" is only in the test set
    assert [
        len(Split(output / "data" / "data_samples" / f"{n}_data.json")) for n in ("train", "validation", "test")
    ] == [1, 1, 2]
    assert len(Split(output / "data" / "data_samples" / "test_data.json")[1].labels.relationships) == 1

    assert main([*arguments, "--min_occurrences", "2", "--graph_from", "all"]) == 0
    graph = SemanticActionGraph.load(output / "graph.pickle")
    assert (graph.entities, graph.predicates) == (["man", "dog"], ["on"])
    assert graph.annotation_categories == ["man", "dog", "cat"]
    assert json.loads((output / "entity_counts.json").read_text()) == {"dog": 4, "man": 3}
    assert graph.predicate_counts(np.array([0, 1]), np.array([1, 0])).tolist() == [[2], [1]]


def test_the_wrong_data_set_is_named(tmp_path, capsys):
    assert main(["--annotations", str(write(tmp_path)), "--output", str(tmp_path)]) == 2
    assert "holds VRD, not Visual Genome; give --dataset vrd" in capsys.readouterr().err


def bad(change):
    train = json.loads(json.dumps(TRAIN))
    change(train["a.jpg"][2])
    return train


BYTE = json.dumps(TRAIN).index('{"predicate": 1')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda item: item["subject"].update(category=3), "category 3 is not in objects.json"),
        (lambda item: item.update(predicate=-1), "predicate -1 is not in predicates.json"),
        (lambda item: item.update(predicate="on"), "Expected `int`, got `str`"),
        (lambda item: item["object"].update(bbox=[1, 2, 3]), "of length 4"),
        (lambda item: item["object"].update(bbox=[1, 2, 3, float("nan")]), "NaN is not a number"),
        (lambda item: item["object"].update(bbox=[1, 2, 3, 1e300]), "Expected `float` <="),
        (lambda item: item.pop("subject"), "`subject`"),
    ],
)
def test_a_bad_relationship_is_named_or_left_out_and_counted(tmp_path, change, message):
    folder = write(tmp_path, train=bad(change))
    with pytest.raises(InputError, match=f"train.json: image 'a.jpg', relationship 2 at byte {BYTE}: .*{message}"):
        read_vrd(folder)
    annotations, _ = read_vrd(folder, skip_bad_items=True)
    assert annotations.dropped == {("relationship", "malformed (--skip_bad_items)"): 1}
    assert len(annotations.relationship_id) == 4


def test_an_empty_box_is_dropped_with_its_relationship(tmp_path):
    annotations, _ = read_vrd(write(tmp_path, train=bad(lambda item: item["object"].update(bbox=[9, 8, 1, 5]))))
    assert annotations.dropped == {
        ("object", "its box is empty"): 1,
        ("relationship", "its subject or object was dropped"): 1,
    }


SHARES = {"a.jpg": [triplet((0, [0.1, 0.4, 0.2, 0.9]), 0, (1, [0.2, 0.3, 0.25, 0.5]))]}
CORNERS = {"a.jpg": [triplet((0, [21, 1, 25, 10]), 0, (1, [70, 5, 79, 9]))]}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"test": TEST | {"b.jpg": []}}, "annotations_test.json: image 'b.jpg' comes twice; an image belongs to one"),
        ({"train": CORNERS, "test": {"c.jpg": []}}, r"2 of 2 boxes .* reversed; VRD's boxes are \[ymin, ymax, xmin"),
        ({"train": SHARES, "test": {"c.jpg": []}}, r"within 0\.\.1; VRD's boxes are \[ymin, ymax, xmin, xmax\] in"),
        ({"train": json.dumps(TRAIN)[:300]}, "cut off"),
        ({"train": "[1]"}, "wrong shape"),
        ({"train": '{"a.jpg": {}}'}, "image 'a.jpg' at byte 10: Expected `array`"),
        ({"objects": ["man", "man"]}, "repeats the name 'man'"),
        ({"predicates": '{"on": 0}'}, "wrong shape"),
    ],
)
def test_bad_files(tmp_path, files, message):
    with pytest.raises(InputError, match=message):
        read_vrd(write(tmp_path, **files))


def test_a_missing_file_says_where_to_get_it(tmp_path):
    (write(tmp_path) / "predicates.json").unlink()
    with pytest.raises(InputError, match=r"predicates\.json: no such file; .*data/download\.py vrd"):
        read_vrd(tmp_path)


def test_the_real_data_keep_every_triplet(tmp_path, capsys):
    vrd = vrd_folder()
    arguments = ["--dataset", "vrd", "--annotations", str(vrd), "--min_occurrences", "1", "--output", str(tmp_path)]
    assert main(arguments) == 0
    splits = {n: Split(tmp_path / "data" / "data_samples" / f"{n}_data.json") for n in ("train", "validation", "test")}
    assert {name: len(split) for name, split in splits.items()} == {"train": 3402, "validation": 378, "test": 500}
    sizes = {name: sum(len(record.labels.relationships) for record in split) for name, split in splits.items()}
    assert sizes["test"] == 3986
    assert sizes["train"] + sizes["validation"] == 29857
    graph = SemanticActionGraph.load(tmp_path / "graph.pickle")
    assert (len(graph.entities), len(graph.predicates)) == (100, 70)
    assert graph.predicate_edges[:, 3].sum() == sizes["train"]
    assert "0 dropped" in capsys.readouterr().out
    raw = json.loads((vrd / "annotations_test.json").read_text())
    for record in splits["test"]:
        expected = [
            (
                graph.entities[t["subject"]["category"]],
                graph.predicates[t["predicate"]],
                graph.entities[t["object"]["category"]],
            )
            for t in raw[record.image_name]
        ]
        names = {item.object_id: item.name for item in record.labels.objects}
        assert [(names[r.subject_id], r.predicate, names[r.object_id]) for r in record.labels.relationships] == expected


def test_forty_photographs_to_train_on_and_twenty_to_test_on(tmp_path, capsys):
    vrd = vrd_folder()
    arguments = ["--dataset", "vrd", "--annotations", str(vrd), "--images_dir", str(vrd / "images")]
    arguments += ["--num_train", "40", "--num_validation", "0", "--num_test", "20", "--min_occurrences", "1"]
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    names = [
        {r.image_name for r in Split(tmp_path / "data" / "data_samples" / f"{n}_data.json")} for n in ("train", "test")
    ]
    assert [len(part) for part in names] == [40, 20]
    assert names[0] | names[1] == {path.name for path in (vrd / "images").iterdir()}
    assert "divided instead" in capsys.readouterr().out
    for record in Split(tmp_path / "data" / "data_samples" / "test_data.json"):
        assert (record.width, record.height) == Image.open(vrd / "images" / record.image_name).size
