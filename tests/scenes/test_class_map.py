"""What a detector's words are to an agent: itself, a synonym, a stand-in, or nothing."""

import json

import numpy as np
import pytest

from files.detections import read_detections
from files.io import InputError
from scenes.class_map import ClassMap, map_classes, read_class_map
from scenes.scene import DetectedInstances
from semantic_graph import SemanticActionGraph

COMES_ALONG = ClassMap({"tv": ["television", "monitor"], "couch": ["sofa"]}, {"zebra": ["donkey", "horse"]})


def make_graph(aliases=None) -> SemanticActionGraph:
    words = ["person", "sofa", "monitor", "horse"]
    return SemanticActionGraph(words, [], [], np.zeros((0, 3)), np.zeros((0, 4)), aliases)


def names(graph, mapped):
    return [graph.entities[e] if e >= 0 else None for e in mapped.entities]


def test_by_name_then_alias_then_synonym_then_stand_in():
    graph = make_graph({"man": "person"})
    mapped = map_classes(["Man", "sofa", "tv", "TV", "zebra", "boat"], graph, [COMES_ALONG])
    assert names(graph, mapped) == ["person", "sofa", "monitor", "monitor", "horse", None]
    assert mapped.stand_in.tolist() == [False, False, False, False, True, False]
    assert mapped.unknown == ["boat"]


def test_scoring_takes_no_stand_ins():
    mapped = map_classes(["tv", "zebra"], make_graph(), [COMES_ALONG], stand_ins=False)
    assert mapped.unknown == ["zebra"]
    assert not mapped.stand_in.any()


def test_of_two_words_for_one_thing_the_maps_unless_the_detector_has_both():
    graph = SemanticActionGraph(["plane", "airplane"], [], [], np.zeros((0, 3)), np.zeros((0, 4)))
    commoner = ClassMap({"airplane": ["plane"]})
    assert names(graph, map_classes(["airplane"], graph, [commoner])) == ["plane"]
    assert names(graph, map_classes(["airplane", "Plane"], graph, [commoner])) == ["airplane", "plane"]


def test_the_users_map_comes_first_even_before_the_graphs_own_words():
    graph = make_graph()
    mine = ClassMap({"tv": ["sofa"], "horse": ["person"], "zebra": ["person"]}, strict=True)
    mapped = map_classes(["tv", "horse", "zebra", "couch"], graph, [mine, COMES_ALONG])
    assert names(graph, mapped) == ["sofa", "person", "person", "sofa"]
    assert not mapped.stand_in.any()


def test_case_underscores_and_spaces_do_not_count_in_the_map_either():
    mine = ClassMap({"PERSON ": ["horse"], "TV_Monitor": ["sofa"], "Tv monitor": ["monitor"]}, strict=True)
    mapped = map_classes(["person", "tv_monitor", "TV_Monitor"], make_graph(), [mine])
    assert names(make_graph(), mapped) == ["horse", "monitor", "sofa"]  # as it is written, then folded


def test_a_users_map_with_an_unknown_word_is_an_error_and_another_is_not(tmp_path):
    with pytest.raises(InputError, match="'couch' is mapped to 'spaceship'"):
        map_classes(["couch"], make_graph(), [ClassMap({"couch": ["spaceship"]}, strict=True)])
    assert map_classes(["couch"], make_graph(), [ClassMap({"couch": ["spaceship"]})]).unknown == ["couch"]


def test_both_layouts_of_the_file(tmp_path):
    path = tmp_path / "map.json"
    path.write_text(json.dumps({"tvmonitor": "monitor", "couch": ["divan", "sofa"]}))
    assert read_class_map(path).synonyms == {"tvmonitor": ["monitor"], "couch": ["divan", "sofa"]}
    path.write_text(json.dumps({"synonyms": {"tv": "monitor"}, "stand_ins": {"zebra": "horse"}}))
    assert read_class_map(path).stand_ins == {"zebra": ["horse"]}
    path.write_text(json.dumps({"couch": 3}))
    with pytest.raises(InputError, match=r"map\.json"):
        read_class_map(path)


def test_what_is_written_keeps_the_detectors_words(tmp_path):
    path = tmp_path / "boxes.json"
    boxes = [("zebra", 0.9), ("tv", 0.8), ("Sofa", 0.7), ("boat", 0.99)]
    path.write_text(json.dumps({"a.jpg": [{"category": c, "score": s, "bbox": [0, 0, 9, 9]} for c, s in boxes]}))
    detected = DetectedInstances(read_detections(path), make_graph(), maps=[COMES_ALONG], stand_ins=True)
    assert detected.labels("a.jpg") == [
        [{"name": "zebra", "related_as": "horse", "stand_in": True}],
        [{"name": "tv", "related_as": "monitor"}],
        [{"name": "sofa"}],
    ]
    assert detected.labels("b.jpg") == []
