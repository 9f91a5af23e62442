"""Pictures of the neighbourhood of a word in the semantic action graph."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from small_graphs import SVG, nodes_of

from drawing.pictures import draw_neighbourhood
from files.io import InputError
from semantic_graph import SemanticActionGraph


@pytest.fixture(scope="module")
def action_graph() -> SemanticActionGraph:
    return SemanticActionGraph(
        ["horse", "man", "hat"],
        ["tall", "brown"],
        ["riding", "wearing", "next to"],
        np.array([(1, 0, 300), (0, 1, 12), (1, 1, 3)]),
        np.array([(1, 0, 0, 1200), (1, 1, 2, 40), (1, 2, 1, 7), (0, 2, 1, 5)]),
        entity_aliases={"guy": "man"},
    )


def edge_widths(markup: str) -> list[float]:
    return [
        float(path.get("stroke-width", 1))
        for path in ET.fromstring(markup).iter(f"{SVG}path")
        if path.get("stroke-width")
    ]


def test_neighbourhood_of_an_entity(action_graph, tmp_path):
    draw_neighbourhood(action_graph, "Guy", tmp_path / "man.svg")
    markup = (tmp_path / "man.svg").read_text()
    titles = [title for _, title, _ in nodes_of(markup).values()]
    for words in (
        "man is tall: 300 times",
        "man riding horse: 1,200 times",
        "man next to man: 7 times",
        "horse next to man: 5 times",
    ):
        assert titles.count(words) == 1
    assert max(edge_widths(markup)) == pytest.approx(5.0), "the most frequent phrase has the widest edges"


def test_neighbourhood_of_a_predicate_and_an_attribute(action_graph, tmp_path):
    draw_neighbourhood(action_graph, "next to", tmp_path / "p.svg")
    titles = [title for _, title, _ in nodes_of((tmp_path / "p.svg").read_text()).values()]
    assert sorted(t for t in titles if "times" in t) == ["horse next to man: 5 times", "man next to man: 7 times"]
    draw_neighbourhood(action_graph, "brown", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_only_the_most_frequent_phrases(action_graph, tmp_path):
    draw_neighbourhood(action_graph, "man", tmp_path / "man.svg", phrases=1)
    titles = [title for _, title, _ in nodes_of((tmp_path / "man.svg").read_text()).values()]
    assert sorted(t for t in titles if "times" in t) == [
        "man is tall: 300 times",
        "man next to man: 7 times",
        "man riding horse: 1,200 times",
    ]


def test_unknown_word_names_near_ones(action_graph, tmp_path):
    with pytest.raises(InputError, match="no word 'hors'; did you mean 'horse'"):
        draw_neighbourhood(action_graph, "hors", tmp_path / "x.svg")
    with pytest.raises(InputError, match="8 other names"):
        draw_neighbourhood(action_graph, "zzzzzz", tmp_path / "x.svg")
    with pytest.raises(InputError, match=r"x\.html: pictures are drawn as \.svg, \.png, \.pdf;"):
        draw_neighbourhood(action_graph, "man", tmp_path / "x.html")
