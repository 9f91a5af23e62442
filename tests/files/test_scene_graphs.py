"""Scene graphs on disk: what is read, what it refuses, and the way from one layout to another."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import evaluation
from files import scene_graphs as files
from files.io import InputError
from files.pickles import read_plain_pickle
from files.splits import ImageRecord, Labels, ObjectRecord, RelationshipRecord, write_split

GRAPH = {
    "image_name": "1.jpg",
    "objects": [
        {"name": "man", "x": 0, "y": 0, "w": 10, "h": 10, "score": 0.75},
        {"name": "horse", "x": 20, "y": 0.5, "w": 10, "h": 10},
    ],
    "attributes": [{"attribute": "tall", "object": 0, "score": 0.5, "step": 0}],
    "relationships": [{"predicate": "ride", "subject": 0, "object": 1, "score": 0.25, "step": 1}],
    "steps": [[0, -1], [0, 1]],
}
RECORD = ImageRecord(
    "1.jpg",
    Labels(
        7,
        [ObjectRecord(30, 20, 0, 10, 10, "horse", []), ObjectRecord(11, 0, 0, 10, 10, "man", ["tall", "old"])],
        [RelationshipRecord(5, "ride", 11, 30)],
    ),
)


def written(tmp_path, value):
    path = tmp_path / "graph.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def changed(**parts):
    return GRAPH | parts


# ---------------------------------------------------------------- graph JSON


def test_a_graph_comes_back_as_it_was_written(tmp_path):
    assert files.read_graph(written(tmp_path, GRAPH)) == GRAPH
    assert files.read_graph(written(tmp_path, [GRAPH])) == GRAPH


def test_a_graph_written_by_hand_may_leave_much_out(tmp_path):
    by_hand = {
        "objects": [{"name": "dog", "attributes": ["brown"]}, {"name": "ball", "note": "mine", "score": None}],
        "relationships": [{"predicate": "chases", "subject": 0, "object": 1}],
    }
    assert files.read_graph(written(tmp_path, by_hand)) == {
        "image_name": "",
        "objects": [
            {"name": "dog", "x": 0, "y": 0, "w": 0, "h": 0},
            {"name": "ball", "x": 0, "y": 0, "w": 0, "h": 0},
        ],
        "attributes": [{"attribute": "brown", "object": 0}],
        "relationships": [{"predicate": "chases", "subject": 0, "object": 1}],
    }


def test_visual_genomes_layout_is_read(tmp_path):
    box = {"x": 1, "y": 2, "w": 3, "h": 4}
    visual_genome = {
        "image_id": 2407890,
        "objects": [
            {"object_id": 50, "names": ["tree", "oak"], "synsets": ["tree.n.01"], "merged_object_ids": [60], **box},
            {"object_id": 51, "name": "man", "synsets": [], "attributes": ["tall"], **box},
            {"object_id": 52, "names": [], **box},
        ],
        "relationships": [
            {"relationship_id": 1, "predicate": "ON", "synsets": [], "subject_id": 51, "object_id": 60},
            {"relationship_id": 2, "predicate": "near", "subject_id": 52, "object_id": 51},
        ],
    }
    assert files.read_graph(written(tmp_path, visual_genome)) == {
        "image_name": "2407890.jpg",
        "objects": [{"name": name, **box} for name in ("tree", "man", "unnamed")],
        "attributes": [{"attribute": "tall", "object": 1}],
        "relationships": [
            {"predicate": "ON", "subject": 1, "object": 0},
            {"predicate": "near", "subject": 2, "object": 1},
        ],
    }


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ('{"objects": [', "cut off"),
        ([GRAPH, GRAPH], "is a list of 2 graphs; say which one with --image_id"),
        ({"a": 1}, "not a scene graph"),
        (3, "not a scene graph"),
        (changed(objects=[1]), '"objects"'),
        (changed(relationships={}), '"relationships"'),
        (changed(objects=[{"nmae": "dog"}]), "`name` - at `$.objects[0]`"),
        (changed(attributes=[{"attribute": "red", "object": 2}]), "attributes[0] names object 2"),
        (changed(attributes=[{"attribute": "red", "object": -1}]), "attributes[0] names object -1"),
        (changed(attributes=[{"attribute": "red", "object": "man"}]), "$.attributes[0].object"),
        (changed(relationships=[{"predicate": "on", "subject": 0, "object": 9}]), "relationships[0] names object 9"),
        (changed(objects=[GRAPH["objects"][0] | {"x": 10**400}]), "$.objects[0].x"),
        (changed(objects=[GRAPH["objects"][0] | {"w": 1e308}]), "$.objects[0].w"),
        (changed(width=0), "$.width"),
        ({"image_name": "1.jpg", "labels": {"image_id": 1}}, "is not an item of a split file"),
        (changed(steps=[[0, -2]]), "steps[0] names object -2"),
        (changed(steps=[[0]]), "$.steps[0]"),
        (changed(objects=[{"name": "dog", "attributes": "brown"}]), 'objects[0]: has the wrong shape: "attributes"'),
    ],
)
def test_a_bad_graph_gives_one_line_with_file_and_item(tmp_path, value, named):
    with pytest.raises(InputError) as error:
        files.read_graph(written(tmp_path, value))
    assert "graph.json" in str(error.value)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_what_predict_says_of_photo_and_objects_is_kept(tmp_path):
    graph = changed(
        width=640, height=480, orientation_applied=True, photo="photos/1.jpg", made_from="x",
        objects=[GRAPH["objects"][0] | {"name": "zebra", "related_as": "horse", "stand_in": True}] * 2,
    )  # fmt: skip
    assert files.read_graph(written(tmp_path, graph)) == graph


def test_a_loose_relationship_of_visual_genome_is_left_out_and_counted(tmp_path, capsys):
    edges = [{"predicate": "wears", "subject_id": 1, "object_id": 2}, {"predicate": "near", "subject_id": 1}]
    edges += [{"predicate": "near", "subject_id": 999, "object_id": 2}] * 2
    objects = [
        {"object_id": i, "names": [name], "x": 1, "y": 2, "w": 3, "h": 4} for i, name in ((1, "man"), (2, "hat"))
    ]
    path = written(tmp_path, {"image_id": 7, "objects": objects, "relationships": edges[:2]})
    assert files.read_graph(path)["relationships"] == [{"predicate": "wears", "subject": 0, "object": 1}]
    said = f"warning: {path}: 1 relationship left out: subject or object is not there (relationships[1])\n"
    assert capsys.readouterr().err == said
    files.read_graph(written(tmp_path, {"image_id": 7, "objects": objects, "relationships": edges}))
    assert "3 relationships left out: subject or object is not there (the first is rel" in capsys.readouterr().err


def test_an_image_is_picked_from_a_list(tmp_path):
    objects = [{"object_id": 1, "names": ["man"], "x": 1, "y": 2, "w": 3, "h": 4}]
    several = [{"image_id": i, "objects": objects, "relationships": []} for i in (7, 8)]
    several += [changed(image_name="a.b.jpg")]
    path = written(tmp_path, several)
    for wanted, name in (("7", "7.jpg"), ("8.jpg", "8.jpg"), ("a.b.jpg", "a.b.jpg")):
        assert files.read_graph(path, wanted)["image_name"] == name
    with pytest.raises(InputError, match="has no image 9 among its 3 graphs"):
        files.read_graph(path, "9")


def test_an_item_of_a_split_file_is_read(tmp_path):
    write_split(tmp_path / "test_data.json", [RECORD])
    assert files.read_graph(tmp_path / "test_data.json") == files.graph_from_record(RECORD)
    assert files.read_graph(tmp_path / "test_data.json", "7.jpg") == files.graph_from_record(RECORD)


def test_a_missing_graph_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        files.read_graph(tmp_path / "none.json")


# ---------------------------------------------------------------- image_states.pickle


def test_image_states_come_back_and_numpy_numbers_are_plain(tmp_path):
    path = tmp_path / "image_states.pickle"
    predicted = changed(
        objects=[GRAPH["objects"][0] | {"score": np.float32(0.75)}, GRAPH["objects"][1] | {"x": np.int64(20)}],
        attributes=[GRAPH["attributes"][0] | {"score": np.float64(0.5)}],
        steps=np.array(GRAPH["steps"]),
    )
    files.write_image_states(path, [files.graph_from_record(RECORD)], [predicted])
    assert sorted(read_plain_pickle(path)) == ["curr", "gt"]
    assert files.read_image_states(path) == {"gt": [files.graph_from_record(RECORD)], "curr": [GRAPH]}


@pytest.mark.parametrize(
    ("states", "named"),
    [
        ([], '"gt" and "curr"'),
        ({"gt": [GRAPH]}, '"gt" and "curr"'),
        ({"gt": [GRAPH], "curr": []}, "1 ground-truth graphs but 0 predicted"),
        ({"gt": [GRAPH], "curr": [changed(image_name="2.jpg")]}, "graph 0 is of '1.jpg' as ground truth but '2.jpg'"),
        ({"gt": [GRAPH], "curr": [{}]}, "curr[0]"),
        ({"gt": [GRAPH], "curr": [changed(attributes=[{"attribute": "red", "object": 5}])]}, "curr[0]: attributes[0]"),
        ({"gt": [GRAPH], "curr": [changed(objects=[Path])]}, "not a pickle of plain data"),
    ],
)
def test_bad_image_states_are_refused(tmp_path, states, named):
    path = tmp_path / "image_states.pickle"
    path.write_bytes(pickle.dumps(states))
    with pytest.raises(InputError) as error:
        files.read_image_states(path)
    assert "image_states.pickle" in str(error.value)
    assert named in str(error.value)


def test_a_graph_that_holds_itself_or_a_strange_thing_is_refused(tmp_path):
    endless = changed()
    endless["objects"] = [endless]
    for graph in (endless, changed(objects={(1, 2): 3}), changed(image_name=Path), changed(image_name="\ud800")):
        with pytest.raises(InputError, match="curr"):
            files.write_image_states(tmp_path / "image_states.pickle", [GRAPH], [graph])
    assert list(tmp_path.iterdir()) == []


def test_a_score_that_is_no_number_is_not_written(tmp_path):
    bad = changed(attributes=[{"attribute": "red", "object": 0, "score": float("nan")}])
    with pytest.raises(InputError, match=r"curr\[0\].*attributes\[0\]\.score"):
        files.write_image_states(tmp_path / "image_states.pickle", [GRAPH], [bad])


# ---------------------------------------------------------------- from one layout to another


def test_a_record_becomes_a_graph_with_indices():
    assert files.graph_from_record(RECORD) == {
        "image_name": "1.jpg",
        "objects": [
            {"name": "horse", "x": 20, "y": 0, "w": 10, "h": 10},
            {"name": "man", "x": 0, "y": 0, "w": 10, "h": 10},
        ],
        "attributes": [{"attribute": "tall", "object": 1}, {"attribute": "old", "object": 1}],
        "relationships": [{"predicate": "ride", "subject": 1, "object": 0}],
    }


def test_a_record_that_knows_its_photos_size_tells_it():
    record = ImageRecord("1.jpg", Labels(7, [], []), width=640, height=480)
    assert files.graph_from_record(record) == {
        "image_name": "1.jpg", "objects": [], "attributes": [], "relationships": [], "width": 640, "height": 480,
    }  # fmt: skip


def test_graphs_become_predictions_with_inclusive_corners():
    assert files.predictions_from_graphs([GRAPH]) == {
        "1.jpg": {
            "relationships": [
                {
                    "subject": "man",
                    "predicate": "ride",
                    "object": "horse",
                    "subject_box": [0, 0, 9, 9],
                    "object_box": [20, 0.5, 29, 9.5],
                    "score": 0.25,
                }
            ],
            "attributes": [{"entity": "man", "attribute": "tall", "box": [0, 0, 9, 9], "score": 0.5}],
        }
    }
    with pytest.raises(InputError, match="two graphs"):
        files.predictions_from_graphs([GRAPH, GRAPH])


def test_the_ground_truths_own_graph_scores_everything():
    predictions = files.predictions_from_graphs([files.graph_from_record(RECORD)])
    result = evaluation.evaluate(predictions, [RECORD])
    assert result["relationship"]["recall"]["50"] == result["attribute"]["recall"]["50"] == 100.0
