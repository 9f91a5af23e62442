"""Reading Visual Genome: its quirks, files too large to hold, and every kind of bad file."""

import json
import os

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from real_data import data_folder

from benchmarks.make_visual_genome import write_visual_genome
from benchmarks.plain_create_graph import plain_create_graph
from data import json_list
from data.processes import Workers
from data.visual_genome import read_split_file, read_visual_genome
from data.vocabulary import build_graph, choose_vocabulary
from files.io import InputError


def thing(object_id, names="man", **more):
    names = {"names": [names]} if isinstance(names, str) else {"names": names} if names is not None else {}
    return {"object_id": object_id, "x": 1, "y": 2, "w": 30, "h": 40, "synsets": [], **names} | more


def edge(relationship_id, subject, predicate, object_):
    ends = {"subject": thing(subject), "object": thing(object_)}
    return {"relationship_id": relationship_id, "predicate": predicate, "synsets": [], **ends}


def write(folder, objects=None, relationships=None, attributes=None, scene_graphs=None, **aliases):
    """objects etc.: {image id: list}; scene_graphs: {image id: (objects, relationships)}."""
    folder.mkdir(exist_ok=True)
    for name, lists in {"objects": objects, "relationships": relationships, "attributes": attributes}.items():
        if lists is not None:
            items = [{"image_id": image, name: elements} for image, elements in lists.items()]
            (folder / f"{name}.json").write_text(json.dumps(items))
    if scene_graphs is not None:
        items = [{"image_id": i, "objects": o, "relationships": r} for i, (o, r) in scene_graphs.items()]
        (folder / "scene_graphs.json").write_text(json.dumps(items))
    for name, text in aliases.items():
        (folder / f"{name}_alias.txt").write_text(text)
    return folder


def records(folder, minimum=1, **options):
    annotations = read_visual_genome(folder, **options)
    choose_vocabulary(annotations, np.ones(len(annotations.image_ids), bool), minimum)
    return list(annotations.records()), annotations.dropped


def triplets(record):
    names = {item.object_id: item.name for item in record.labels.objects}
    return [(names[r.subject_id], r.predicate, names[r.object_id]) for r in record.labels.relationships]


# Quirks -----------------------------------------------------------------------------------------


def test_an_image_is_joined_from_three_files_in_any_order(tmp_path):
    folder = write(
        tmp_path / "a",
        objects={7: [thing(1), thing(2, "dog")], 3: [thing(1, "cat")]},
        relationships={3: [], 7: [edge(5, 1, "holds", 2)]},
        attributes={3: [thing(1, attributes=["black"])], 7: [thing(2, attributes=["small", "old"]), thing(1)]},
    )
    (first, second), dropped = records(folder)
    assert (first.image_name, second.image_name) == ("3.jpg", "7.jpg")
    assert first.labels.objects[0].attributes == ["black"]
    assert [(o.object_id, o.name, o.attributes) for o in second.labels.objects] == [
        (1, "man", []),
        (2, "dog", ["small", "old"]),
    ]
    assert triplets(second) == [("man", "holds", "dog")]
    assert second.labels.relationships[0].relationship_id == 5
    assert not dropped


def test_names_are_folded_and_replaced_by_canonical_ones(tmp_path):
    folder = write(
        tmp_path / "a",
        objects={1: [thing(1, " The  GUY"), thing(2, None, name="Dog "), thing(3, "woman")]},
        relationships={1: [edge(1, 1, "ON", 2), edge(2, 1, "wears ", 3)]},
        attributes={1: [thing(1, attributes=[" Very  Tall"])]},
        object="man,the guy,guy\n",
        relationship="on,on top of\nwearing,wears\n",
    )
    (record,), _ = records(folder)
    assert [item.name for item in record.labels.objects] == ["man", "dog", "woman"]
    assert record.labels.objects[0].attributes == ["very tall"]
    assert triplets(record) == [("man", "on", "dog"), ("man", "wearing", "woman")]


def test_an_object_with_several_names_takes_the_first_in_the_vocabulary(tmp_path):
    folder = write(
        tmp_path / "a",
        objects={1: [thing(1), thing(2), thing(3, ["fellow", "", "man"]), thing(4, ["fellow"]), thing(5, ["", "man"])]},
        relationships={},
        attributes={},
    )
    (record,), dropped = records(folder, minimum=3)  # man is seen three times as a first name, fellow twice
    assert [item.object_id for item in record.labels.objects] == [1, 2, 3, 5]
    assert dropped == {("object", "its name is seen fewer than 3 times"): 1}


def test_merged_ids_are_followed(tmp_path):
    folder = write(
        tmp_path / "a",
        objects={
            1: [
                thing(1, "dog", merged_object_ids=[10, 2]),  # 10 is not an object by itself, 2 is
                thing(2, "puppy", merged_object_ids=[3]),
                thing(3, "animal", merged_object_ids=[1]),  # a circle
                thing(4),
            ]
        },
        relationships={1: [edge(1, 4, "sees", 10), edge(2, 3, "sees", 4), edge(3, 2, "sees", 10)]},
        attributes={1: [thing(2, attributes=["brown"]), thing(10, attributes=["old"]), thing(1, attributes=["brown"])]},
    )
    (record,), dropped = records(folder)
    assert [(item.object_id, item.name) for item in record.labels.objects] == [(1, "dog"), (4, "man")]
    assert sorted(record.labels.objects[0].attributes) == ["brown", "old"]
    assert triplets(record) == [("man", "sees", "dog"), ("dog", "sees", "man")]
    assert dropped == {
        ("object", "it is merged into another object"): 2,
        ("relationship", "it is between an object and itself"): 1,
        ("attribute", "given twice to one object"): 1,
    }


def test_everything_that_is_dropped_is_counted_with_its_reason(tmp_path):
    folder = write(
        tmp_path / "a",
        objects={
            1: [thing(1), thing(2, "dog"), thing(2, "cat"), thing(3, []), thing(4, ""), thing(5, w=0), thing(6, h=-4)],
        },
        relationships={
            1: [
                edge(1, 1, "on", 2),
                edge(2, 1, "on", 1),
                edge(3, 1, " ", 2),
                edge(4, 1, "on", 99),
                edge(5, 3, "on", 1),
            ],
            2: [edge(6, 1, "on", 2)],
        },
        attributes={
            1: [thing(1, attributes=["tall", ""]), thing(77, attributes=["red"]), thing(5, attributes=["big"])]
        },
    )
    (record,), dropped = records(folder)
    assert len(record.labels.objects) == 2
    assert dropped == {
        ("object", "an earlier object of its image has its id"): 1,
        ("object", "it has no name"): 2,
        ("object", "its box is empty"): 2,
        ("attribute", "it has no name"): 1,
        ("attribute", "its object is not among the objects of its image"): 1,
        ("attribute", "its object was dropped"): 1,
        ("relationship", "it is between an object and itself"): 1,
        ("relationship", "it has no predicate"): 1,
        ("relationship", "its subject or object is not among the objects of its image"): 2,
        ("relationship", "its subject or object was dropped"): 1,
    }


def test_scene_graphs_stand_in_for_what_is_lacking(tmp_path):
    short = {"relationship_id": 8, "predicate": "on", "subject_id": 1, "object_id": 2}
    whole = ([thing(1), thing(2, "dog")], [short])
    folder = write(tmp_path / "a", attributes={1: [thing(1, attributes=["tall"])]}, scene_graphs={1: whole})
    (record,), _ = records(folder)
    assert triplets(record) == [("man", "on", "dog")]
    assert record.labels.objects[0].attributes == ["tall"]

    folder = write(
        tmp_path / "b",
        objects={1: [thing(1), thing(2, "cat")]},
        relationships={1: [], 2: []},
        attributes={},
        scene_graphs={1: whole, 2: whole, 3: whole},
    )
    found, _ = records(folder)
    assert [triplets(record) for record in found] == [[], [], [("man", "on", "dog")]]
    assert [[item.name for item in record.labels.objects] for record in found][:2] == [["man", "cat"], ["man", "dog"]]


def test_a_data_set_without_attributes_json(tmp_path):
    folder = write(tmp_path, objects={1: [thing(1), thing(2, "dog")]}, relationships={1: [edge(5, 1, "holds", 2)]})
    (record,), dropped = records(folder)
    assert triplets(record) == [("man", "holds", "dog")]
    assert [item.attributes for item in record.labels.objects] == [[], []]
    assert not dropped


def test_attributes_in_scene_graphs_are_read_for_images_that_attributes_json_lacks(tmp_path):
    described = [thing(1, attributes=["tall", "Old "]), thing(2, "dog")]
    folder = write(
        tmp_path,
        attributes={1: [thing(2, attributes=["brown"])]},
        scene_graphs={1: (described, []), 2: (described, [])},
    )
    (first, second), _ = records(folder)
    assert [item.attributes for item in first.labels.objects] == [[], ["brown"]]
    assert [item.attributes for item in second.labels.objects] == [["tall", "old"], []]
    write(folder, objects={1: [thing(1)], 2: [thing(1)]}, relationships={1: [], 2: []})
    (folder / "attributes.json").write_text("[]")
    found, _ = records(folder)
    assert [[item.attributes for item in record.labels.objects] for record in found] == [[["tall", "old"]]] * 2


def test_boxes_are_cut_at_the_edge_of_a_photo_of_known_size(tmp_path):
    boxes = [(-60, 0, 100, 200), (300, 200, 100, 100), (216, -904, 8, 24), (5000, 10, 20, 20), (0, 0, 320, 240)]
    objects = [thing(i, x=x, y=y, w=w, h=h) for i, (x, y, w, h) in enumerate(boxes)]
    folder = write(tmp_path, objects={1: objects, 2: objects}, relationships={1: [edge(1, 0, "near", 2)], 2: []})
    (folder / "image_data.json").write_text(json.dumps([{"image_id": 1, "width": 320, "height": 240}]))
    annotations = read_visual_genome(folder)
    first, second = annotations.records()
    assert [(o.x, o.y, o.w, o.h) for o in first.labels.objects] == [
        (0, 0, 40, 200),
        (300, 200, 20, 40),
        (0, 0, 320, 240),
    ]
    assert [(o.x, o.y, o.w, o.h) for o in second.labels.objects] == boxes
    assert annotations.cut == 2
    assert annotations.dropped == {
        ("object", "its box is outside the image"): 2,
        ("relationship", "its subject or object was dropped"): 1,
    }


def test_what_was_dropped_is_counted_over_the_images_that_are_kept(tmp_path):
    folder = write(
        tmp_path,
        objects={1: [thing(1), thing(2, w=0)], 2: [thing(1), thing(2, w=0), thing(3, "")], 3: [thing(1)]},
        relationships={
            1: [edge(1, 1, "on", 7)],
            2: [edge(1, 1, "on", 1)],
            3: [edge(1, 1, "on", 2)],
            9: [edge(1, 1, "on", 2)],
        },
        attributes={2: [thing(7, attributes=["red"])], 3: [thing(1, attributes=["", "tall"])]},
    )
    annotations = read_visual_genome(folder)
    annotations.keep_images(np.array([1, 2]))
    assert annotations.dropped == {
        ("object", "its box is empty"): 1,
        ("object", "it has no name"): 1,
        ("attribute", "its object is not among the objects of its image"): 1,
        ("attribute", "it has no name"): 1,
        ("relationship", "it is between an object and itself"): 1,
        ("relationship", "its subject or object is not among the objects of its image"): 2,  # image 9 is nowhere
    }


def test_fractions_are_kept_and_whole_numbers_stay_integers(tmp_path):
    folder = write(tmp_path / "a", objects={1: [thing(1, x=0.5, w=3e0), thing(2)]}, relationships={}, attributes={})
    (record,), _ = records(folder)
    first, second = record.labels.objects
    assert (first.x, first.w, second.x) == (0.5, 3, 1)
    assert (type(first.w), type(second.x)) == (int, int)


def test_the_sizes_of_the_photos_come_from_image_data(tmp_path):
    folder = write(
        tmp_path / "a", objects={1: [thing(1)], 7: [thing(1)], 9: [thing(1)]}, relationships={}, attributes={}
    )
    assert [(r.width, r.height) for r in records(folder)[0]] == [(None, None)] * 3
    data = [
        {"image_id": 9, "width": 800, "height": 600, "url": "https://somewhere/9.jpg", "coco_id": None},
        {"image_id": 5, "width": 5, "height": 5},
        {"image_id": 1, "width": 320, "height": 240},
        {"image_id": 1, "width": 3, "height": 2},
    ]
    (folder / "image_data.json").write_text(json.dumps(data))
    assert [(r.width, r.height) for r in records(folder)[0]] == [(320, 240), (None, None), (800, 600)]
    data[1]["width"] = -5
    (folder / "image_data.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"image_data\.json: item 1 at byte \d+: Expected `int` >= 1"):
        read_visual_genome(folder)
    assert read_visual_genome(folder, skip_bad_items=True).image_size.tolist() == [[320, 240], [0, 0], [800, 600]]


def test_an_image_listed_twice(tmp_path):
    folder = write(tmp_path / "a", objects={1: [thing(1), thing(2)]}, relationships={}, attributes={})
    item = {"image_id": 1, "relationships": [edge(1, 1, "on", 2)]}
    (folder / "relationships.json").write_text(json.dumps([item, item]))
    (record,), dropped = records(folder)
    assert len(record.labels.relationships) == 1
    assert dropped == {("relationship", "its image is listed a second time"): 1}


# A second, plain implementation -----------------------------------------------------------------

words = st.sampled_from(["man", "Man ", "dog", "cat", "", "the guy"])
objects = st.fixed_dictionaries(
    {
        "object_id": st.integers(0, 5),
        "x": st.integers(-3, 9),
        "y": st.just(0),
        "w": st.integers(-1, 9),
        "h": st.just(4),
    },
    optional={
        "names": st.lists(words, max_size=3),
        "name": words,
        "merged_object_ids": st.lists(st.integers(0, 8), max_size=2),
        "attributes": st.lists(st.sampled_from(["tall", "Tall", "", "red"]), max_size=3),
    },
)
edges = st.builds(
    edge, st.integers(0, 99), st.integers(0, 8), st.sampled_from(["on", "ON", "", "by"]), st.integers(0, 8)
)
images = st.dictionaries(
    st.integers(1, 5), st.tuples(*(st.lists(kind, max_size=5) for kind in (objects, objects, edges)))
)


@settings(
    max_examples=80, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)  # shrinking takes minutes
@given(images, st.integers(1, 3), st.sampled_from([200, 1 << 18]))
def test_equals_plain_loops(tmp_path_factory, images, minimum, batch):
    folder = write(
        tmp_path_factory.mktemp("vg"),
        objects={i: o for i, (o, _, _) in images.items()},
        attributes={i: a for i, (_, a, _) in images.items()},
        relationships={i: e for i, (_, _, e) in images.items()},
        object="man,the guy\n",
    )
    expected = plain_create_graph(folder, folder, set(images), minimum)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list, "BATCH_BYTES", batch)
        patch.setattr(json_list, "RANGE_BYTES", 3 * batch)
        annotations = read_visual_genome(folder)
    counted = np.ones(len(annotations.image_ids), bool)
    if not expected["entities"]:
        with pytest.raises(InputError, match="--min_occurrences"):
            choose_vocabulary(annotations, counted, minimum)
        return
    vocabulary = choose_vocabulary(annotations, counted, minimum)
    assert vocabulary.entities == expected["entities"]
    assert vocabulary.attributes == expected["attributes"]
    assert vocabulary.predicates == expected["predicates"]
    graph = build_graph(annotations, counted)
    e, a, p = graph.entities, graph.attributes, graph.predicates
    assert {(e[c], a[w]): n for c, w, n in graph.attribute_edges} == expected["attribute_phrases"]
    assert {(e[s], p[r], e[o]): n for s, r, o, n in graph.predicate_edges} == expected["predicate_phrases"]


@pytest.fixture(scope="module")
def random_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    write_visual_genome(folder, 60, seed=1)
    return folder


@pytest.mark.parametrize(
    ("batch", "ranges", "few"), [(1 << 10, 1 << 12, 1 << 30), (1 << 15, 1 << 17, 0), (300, 5000, 1 << 30)]
)
def test_ranges_batches_and_processes_change_nothing(random_set, monkeypatch, batch, ranges, few):
    expected = records(random_set)
    monkeypatch.setattr(json_list, "BATCH_BYTES", batch)
    monkeypatch.setattr(json_list, "RANGE_BYTES", ranges)
    monkeypatch.setattr(json_list, "FEW_BYTES", few)
    monkeypatch.setattr(json_list, "_read_carefully", None)  # the quick way is enough
    with Workers(2) as workers:
        assert records(random_set, workers=workers) == expected


def test_the_generator_repeats_itself(random_set, tmp_path):
    write_visual_genome(tmp_path / "again", 60, seed=1)
    for name in ("objects", "attributes", "relationships", "scene_graphs"):
        assert (tmp_path / "again" / f"{name}.json").read_bytes() == (random_set / f"{name}.json").read_bytes()


@pytest.mark.parametrize("layout", [{"indent": 2}, {"separators": (",", ":")}, {"sort_keys": True, "indent": 1}])
def test_any_layout_of_json_is_read(random_set, tmp_path, monkeypatch, layout):
    monkeypatch.setattr(json_list, "BATCH_BYTES", 1 << 12)
    monkeypatch.setattr(json_list, "RANGE_BYTES", 1 << 14)
    for path in random_set.glob("*.json"):
        (tmp_path / path.name).write_text(json.dumps(json.loads(path.read_text()), **layout))
    assert records(tmp_path) == records(random_set)


def test_items_that_begin_in_different_ways_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(json_list, "BATCH_BYTES", 100)
    items = {i: [thing(i), thing(50 + i, 'a " quote, {"image_id": 7} and \\')] for i in range(1, 30)}
    folder = write(tmp_path, objects=items, relationships={}, attributes={})
    turned = json.loads((folder / "objects.json").read_text())
    turned = [item if i % 3 else dict(reversed(item.items())) for i, item in enumerate(turned)]
    expected = records(folder)
    (folder / "objects.json").write_text(json.dumps(turned))
    assert records(folder) == expected
    assert expected[0][0].labels.objects[1].name == 'a " quote, {"image_id": 7} and \\'


# Bad files --------------------------------------------------------------------------------------

GOOD = {i: [thing(10 * i), thing(10 * i + 1)] for i in range(1, 6)}
ITEMS = [{"image_id": i, "objects": elements} for i, elements in GOOD.items()]
TEXT = json.dumps(ITEMS)


def changed(number, change):
    """The text with item `number` changed, and where that item and its second object begin."""
    items = json.loads(TEXT)
    change(items[number])
    return json.dumps(items)


def second(**change):
    return changed(2, lambda item: item["objects"][1].update(change))


ITEM, OBJECT = TEXT.index('{"image_id": 3'), TEXT.index('{"object_id": 31')
ELEMENT = rf"item 2 \(image 3\), objects\[1\] at byte {OBJECT}: "

BAD_ITEMS = {
    "a number as a string": (second(x="12"), ELEMENT + r"Expected `float`, got `str` - at `\$.x`"),
    "null": (second(h=None), ELEMENT + "Expected `float`, got `null`"),
    "NaN": (second(x=float("nan")), ELEMENT + "NaN is not a number"),
    "infinity": (second(w=float("-inf")), ELEMENT + "-Infinity is not a number"),
    "too large a number": (second(x=-1).replace("-1,", "1e999,"), ELEMENT + "Number out of range"),
    "a gigantic name": (second(names=["a" * 100_000]), ELEMENT + "Expected `str` of length <= 1000"),
    "a fractional id": (second(object_id=1.5), ELEMENT + "Expected `int`, got `float`"),
    "an endless id": (second(object_id=10**40), ELEMENT + ".*`int`"),
    "an object that is none": (
        changed(2, lambda item: item["objects"].__setitem__(1, 7)),
        ELEMENT + "Expected `object`, got `int`",
    ),
    "no list": (changed(2, lambda item: item.update(objects={})), rf"item 2 at byte {ITEM}: Expected `array`"),
    "no image id": (changed(2, lambda item: item.pop("image_id")), rf"item 2 at byte {ITEM}: .*`image_id`"),
    "null for an item": (json.dumps([*ITEMS[:2], None, *ITEMS[3:]]), rf"item 2 at byte {ITEM}: Expected `object`"),
    "a list for an item": (json.dumps([*ITEMS[:2], [1, {"a": [2]}], *ITEMS[3:]]), rf"item 2 at byte {ITEM}: Expected"),
    "not UTF-8": (second(names=["m\udcffn"]).encode().replace(b"\\udcff", b"\xff"), ELEMENT + "is not UTF-8 text"),
    "a comma missing": (TEXT.replace('}, {"image_id": 4', '} {"image_id": 4'), f"item 2 at byte {ITEM}: .*trailing"),
    "too deep": (
        second(synsets=0).replace(": 0", ": " + "[" * 10**5 + "]" * 10**5),
        f"item 2 at byte {ITEM}: .*recursion",
    ),
}


@pytest.mark.parametrize("case", BAD_ITEMS)
def test_a_bad_item_is_named_with_its_byte_or_left_out_and_counted(tmp_path, case):
    text, message = BAD_ITEMS[case]
    folder = write(tmp_path, objects=GOOD, relationships={}, attributes={})
    (folder / "objects.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=rf"objects\.json: {message}.*--skip_bad_items") as error:
        read_visual_genome(folder)
    assert "\n" not in str(error.value)
    annotations = read_visual_genome(folder, skip_bad_items=True)
    assert annotations.dropped["item", "malformed (--skip_bad_items)"] == 1
    assert len(annotations.object_id) >= 4


BAD_FILES = {
    "cut off": (TEXT[: ITEM + 30].encode(), f"ends inside item 2, which begins at byte {ITEM}: it is cut off"),
    "cut off between items": (TEXT[:ITEM].encode(), "ends inside item 2"),
    "an open string": (TEXT.replace('"object_id": 31', '"object_id: 31').encode(), "ends inside item 2"),
    "not JSON": (b"hello", "is not a JSON list of images at byte 0"),
    "an object": (b'  {"a": 1}', "is not a JSON list of images at byte 2"),
    "empty": (b"", "is empty"),
    "UTF-16": (TEXT.encode("utf-16"), "is not UTF-8 text at byte 0"),
    "something after the end": (f"{TEXT} x".encode(), f"follows the end of the list at byte {len(TEXT)}"),
}


@pytest.mark.parametrize("case", BAD_FILES)
@pytest.mark.parametrize("skip_bad_items", [False, True])
def test_a_bad_file_is_refused(tmp_path, case, skip_bad_items):
    data, message = BAD_FILES[case]
    folder = write(tmp_path, objects=GOOD, relationships={}, attributes={})
    (folder / "objects.json").write_bytes(data)
    with pytest.raises(InputError, match=rf"objects\.json: .*{message}"):
        read_visual_genome(folder, skip_bad_items=skip_bad_items)


def test_what_is_not_a_file_is_refused_without_waiting_for_it(tmp_path):
    folder = write(tmp_path, objects=GOOD, relationships={}, attributes={})
    for make in (os.mkfifo, os.mkdir):
        os.remove(folder / "relationships.json")
        make(folder / "relationships.json")
        with pytest.raises(InputError, match=r"relationships\.json: is not a file"):
            read_visual_genome(folder)


def test_an_endless_item_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_list, "MAX_ITEM_BYTES", 1 << 20)
    monkeypatch.setattr(json_list, "RANGE_BYTES", 1 << 18)
    folder = write(tmp_path, objects=GOOD, relationships={}, attributes={})
    (folder / "objects.json").write_text(second(synsets="a" * (3 << 20)))
    with pytest.raises(InputError, match=rf"item 2 at byte {ITEM} is larger than 1 MB"):
        read_visual_genome(folder)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    folder = write(tmp_path, objects=GOOD, relationships={}, attributes={})
    (folder / "objects.json").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert len(read_visual_genome(folder).object_id) == 10


def test_faults_in_the_other_files_are_named_too(tmp_path):
    folder = write(
        tmp_path, objects=GOOD, relationships={1: [edge(1, 10, 5, 11)]}, attributes={1: [thing(10, attributes="a")]}
    )
    with pytest.raises(
        InputError, match=r"relationships\.json: item 0 \(image 1\), relationships\[0\] at byte \d+: .*predicate"
    ):
        read_visual_genome(folder)
    write(folder, relationships={})
    with pytest.raises(
        InputError, match=r"attributes\.json: item 0 \(image 1\), attributes\[0\] at byte \d+: .*attributes"
    ):
        read_visual_genome(folder)
    (folder / "relationships.json").unlink()
    with pytest.raises(InputError, match=r"relationships\.json: no such file; .*download\.py vg-annotations"):
        read_visual_genome(folder)


# split.json -------------------------------------------------------------------------------------


def test_split_file(tmp_path):
    path = tmp_path / "split.json"
    ids = np.array([2, 5, 7, 9])
    path.write_text('{"train": [9, 2], "validation": [], "test": [5]}')
    assert [part.tolist() for part in read_split_file(path, ids)] == [[0, 3], [], [1]]
    for text, message in (
        ('{"train": [9, 3], "validation": [], "test": []}', "image 3 has no annotations"),
        ('{"train": [9], "validation": [9], "test": []}', "image 9 appears twice"),
        ('{"train": [9]}', "wrong shape"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_split_file(path, ids)


def test_the_real_alias_files():
    folder = data_folder("vg")
    from semantic_graph import read_aliases

    for name in ("object_alias.txt", "relationship_alias.txt"):
        aliases = read_aliases(folder / name)
        assert len(aliases) > 3000
        assert all(aliases[canonical] == canonical for canonical in aliases.values())
