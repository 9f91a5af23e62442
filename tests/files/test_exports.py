"""A scene graph for other programs: what each format says, and that text from data stays text."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import HOSTILE, graph_of, hand_worked_pair, thing

from drawing.program import run_dot, to_svg
from files.exports import EXPORTS, to_csv, to_dot, to_graphml, to_text


@pytest.fixture
def graph() -> dict:
    return hand_worked_pair()[0]


def read_graphml(text: str) -> networkx.MultiDiGraph:
    return networkx.parse_graphml(text, node_type=int, force_multigraph=True)


def test_text_has_a_phrase_a_line_most_confident_first(graph):
    graph["relationships"].reverse()
    assert to_text(graph) == (
        "man 1 riding horse 2\t0.5000\nhorse 2 near man 1\t0.4000\nman 1 is tall\t0.7000\nhorse 2 is red\t0.6000\n"
    )
    assert to_text(hand_worked_pair()[1]).splitlines()[0] == "man 1 riding horse 2", "without a score no tab"


def test_csv_has_indices_names_and_boxes(graph):
    rows = list(csv.DictReader(io.StringIO(to_csv(graph))))
    assert [(row["subject"], row["predicate"], row["object"], row["score"]) for row in rows] == [
        ("0", "riding", "1", "0.5"), ("1", "near", "0", "0.4"), ("0", "tall", "", "0.7"), ("1", "red", "", "0.6"),
    ]  # fmt: skip
    assert {key: rows[0][key] for key in ("kind", "subject_name", "object_name", "object_x", "object_h")} == {
        "kind": "relationship", "subject_name": "man", "object_name": "horse", "object_x": "40", "object_h": "70",
    }  # fmt: skip
    assert rows[2]["kind"] == "attribute"


def test_a_spreadsheet_finds_no_formula():
    evil = graph_of([thing("=1+2"), thing("@SUM(A1)")], [], [{"predicate": "-1", "subject": 0, "object": 1}])
    row = next(csv.DictReader(io.StringIO(to_csv(evil))))
    assert (row["subject_name"], row["predicate"], row["object_name"]) == ("'=1+2", "'-1", "'@SUM(A1)")


def test_networkx_opens_graphml(graph):
    graph |= {"width": 320, "height": 200}
    graph["objects"][1] |= {"name": "zebra", "related_as": "horse"}
    found = read_graphml(to_graphml(graph))
    assert found.is_directed()
    assert found.graph["image_name"] == "1.jpg"
    assert found.graph["width"] == 320
    assert found.nodes[0] == {"name": "man", "attributes": "tall", "x": 0, "y": 0, "w": 50, "h": 100, "score": 0.9}
    assert found.nodes[1]["related_as"] == "horse"
    edges = [(s, o, data["predicate"], data["score"]) for s, o, data in found.edges(data=True)]
    assert edges == [(0, 1, "riding", 0.5), (1, 0, "near", 0.4)]


def test_two_relationships_of_a_pair_are_two_edges(graph):
    graph["relationships"].append({"predicate": "on", "subject": 0, "object": 1, "score": 0.2})
    found = read_graphml(to_graphml(graph))
    assert sorted(data["predicate"] for data in found.get_edge_data(0, 1).values()) == ["on", "riding"]


def test_dot_is_drawn_by_graphviz(graph):
    markup, _, _ = to_svg(to_dot(graph))
    texts = [text.text for text in ET.fromstring(markup).iter("{http://www.w3.org/2000/svg}text")]
    assert sorted(texts) == sorted(["man", "horse", "hat", "tall", "red", "riding", "near"])


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_empty_graph_is_a_file(kind):
    text = EXPORTS[kind](graph_of([]))
    if kind == "graphml":
        assert len(read_graphml(text)) == 0
    elif kind == "dot":
        assert run_dot(text, "svg")
    else:
        assert len(text.splitlines()) == (kind == "csv")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=20) | st.sampled_from(HOSTILE), min_size=2, max_size=6))
def test_any_text_stays_text(words):
    edges = [{"predicate": word, "subject": 0, "object": i} for i, word in enumerate(words)]
    graph = graph_of([thing(word) for word in words], [{"attribute": words[0], "object": 1}], edges)
    graph["image_name"] = words[-1]
    assert len(to_text(graph).split("\n")) == len(words) + 2
    rows = list(csv.DictReader(io.StringIO(to_csv(graph))))
    said = [row["object_name"].removeprefix("'") for row in rows[:-1]]
    assert said == [" ".join(word.split()).removeprefix("'") for word in words]
    found = read_graphml(to_graphml(graph))
    assert len(found) == len(words)
    assert found.number_of_edges() == len(words)
    assert len(ET.fromstring(to_graphml(graph))[-1].findall("{*}node")) == len(words)
    assert run_dot(to_dot(graph), "svg").count(b'class="edge"') == len(words) + 1
