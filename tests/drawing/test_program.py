"""DOT to SVG: what a browser with other fonts than the layout's must not break."""

import re

import pytest

from drawing.dot import scene_graph_dot
from drawing.program import to_svg


def pieces_of(name: str) -> list[str]:
    """The <text> elements of an object's label: number, name, score."""
    thing = {"name": name, "x": 0, "y": 0, "w": 9, "h": 9, "score": 0.5}
    source, titles = scene_graph_dot({"objects": [thing], "attributes": [], "relationships": []}, numbered=True)
    return re.findall("<text.*</text>", to_svg(source, titles)[0])[-3:]


def test_a_name_ends_where_its_score_begins_whatever_the_font():
    number, name, score = pieces_of("dining table <b>")
    assert "dining table &lt;b&gt;</text>" in name
    for piece, following in ((number, name), (name, score)):
        x, length, end = (
            float(re.search(f'{key}="([-\\d.]+)"', text)[1])
            for key, text in ((" x", piece), ("textLength", piece), (" x", following))
        )
        assert x + length == pytest.approx(end, abs=0.01)
    assert "textLength" not in score


def test_spaces_between_the_pieces_are_kept_and_the_legend_is_not_stretched():
    """A browser drops the space after a number and before a score where the SVG does not say that they are meant."""
    for piece in pieces_of("man"):
        assert re.search('xml:space="preserve"', piece)
    graph = {
        "objects": [{"name": name, "x": 0, "y": 0, "w": 9, "h": 9} for name in ("man", "horse", "tree")],
        "attributes": [{"object": 0, "attribute": "tall"}],
        "relationships": [{"subject": 0, "object": 1, "predicate": "riding"}],
    }
    markup = to_svg(*scene_graph_dot(graph, numbered=True))[0]
    legend = [text for text in re.findall("<text.*</text>", markup) if 'font-size="11.00"' in text]
    assert len(legend) > 1
    assert not any("textLength" in text for text in legend)


def test_letters_that_the_layout_does_not_know_push_the_score_along():
    (label,) = [text for text in pieces_of("自転車") if "自転車" in text]
    assert re.findall(">([^<>]+)<", label) == ["1 ", "自転車", " 0.50"]
    assert label.count("<tspan") == 2
    assert label.count(" x=") == 1
