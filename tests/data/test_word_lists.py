"""Vocabularies that are given: --entities, --predicates, --attributes."""

import json

import pytest

from create_graph import main
from data.vocabulary import read_word_list
from files.io import InputError
from files.splits import Split
from semantic_graph import SemanticActionGraph


@pytest.fixture
def source(tmp_path):
    """Visual Genome's layout with alias files: four objects, three relationships."""
    folder = tmp_path / "raw"
    folder.mkdir()
    names = [["man"], ["couch"], ["dog"], ["puppy", "animal"]]
    objects = [
        {"object_id": i, "x": 1, "y": 1, "w": 9, "h": 9, "names": name, "attributes": ["big", "red"]}
        for i, name in enumerate(names)
    ]
    edges = [
        {"relationship_id": i, "predicate": word, "subject": {"object_id": s}, "object": {"object_id": o}}
        for i, (s, word, o) in enumerate([(0, "sits on", 1), (2, "near", 0), (3, "on top of", 1)])
    ]
    (folder / "objects.json").write_text(json.dumps([{"image_id": 1, "objects": objects}]))
    (folder / "attributes.json").write_text(json.dumps([{"image_id": 1, "attributes": objects}]))
    (folder / "relationships.json").write_text(json.dumps([{"image_id": 1, "relationships": edges}]))
    (folder / "object_alias.txt").write_text("sofa,couch,settee\n")
    (folder / "relationship_alias.txt").write_text("on,on top of,sits on\n")
    return folder


def run(source, **lists):
    arguments = ["--annotations", str(source), "--output", str(source / "out"), "--num_validation", "0"]
    for kind, text in lists.items():
        (source / f"{kind}.txt").write_text(text)
        arguments += [f"--{kind}", str(source / f"{kind}.txt")]
    return main([*arguments, "--num_test", "0"])


def test_the_words_of_a_list_are_the_vocabulary_in_their_order(source, capsys):
    assert run(source, entities="zebra\nAnimal\nman\nsofa\n", predicates='["on", "near"]', attributes="red\n") == 0
    graph = SemanticActionGraph.load(source / "out" / "graph.pickle")
    assert graph.entities == ["zebra", "animal", "man", "sofa"]
    assert graph.predicates == ["on", "near"]
    assert graph.attributes == ["red"]
    (record,) = Split(source / "out" / "data" / "data_samples" / "train_data.json")
    assert [o.name for o in record.labels.objects] == ["man", "sofa", "animal"]
    assert {word for o in record.labels.objects for word in o.attributes} == {"red"}
    assert [(r.subject_id, r.predicate, r.object_id) for r in record.labels.relationships] == [
        (0, "on", 1),
        (3, "on", 1),
    ]
    counts = json.loads((source / "out" / "entity_counts.json").read_text())
    assert counts == {"zebra": 0, "animal": 1, "man": 1, "sofa": 1}
    assert "1  its name is not in the list of entities" in capsys.readouterr().out


def test_a_listed_word_takes_over_its_alias_group(source):
    assert run(source, entities="man\ncouch\n", predicates="sits on\n") == 0
    graph = SemanticActionGraph.load(source / "out" / "graph.pickle")
    assert (graph.entities, graph.predicates) == (["man", "couch"], ["sits on"])
    for word in ("sofa", "settee", "couch"):
        assert graph.entities[graph.entity_index(word)] == "couch"
    assert graph.predicate_index("on") == graph.predicate_index("on top of") == 0


def test_the_counts_of_another_run_are_a_list(source):
    assert run(source, entities="dog\nman\n") == 0
    text = (source / "out" / "entity_counts.json").read_text()
    assert run(source, entities=text) == 0
    assert SemanticActionGraph.load(source / "out" / "graph.pickle").entities == list(json.loads(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no name; write one a line"),
        ("man\ndog\n MAN \n", "has 'man' 2 times"),
        ("sofa\ncouch\n", "'sofa' and 'couch' are one by the alias file"),
        ('{"man": "x"}', "has the wrong shape"),
        ("zebra\n", "no object is left"),
    ],
)
def test_lists_that_cannot_be_used_are_refused_in_one_line(source, capsys, text, message):
    assert run(source, entities=text) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_list_in_another_encoding(tmp_path):
    (tmp_path / "words.txt").write_bytes("caf\xe9\n".encode("latin1"))
    with pytest.raises(InputError, match="is not UTF-8 text at byte 3"):
        read_word_list(tmp_path / "words.txt")
    (tmp_path / "words.txt").write_text("\ufeffman\r\ndog\r\n")
    assert read_word_list(tmp_path / "words.txt") == ["man", "dog"]
