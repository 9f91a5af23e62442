"""Names in any script: drawn where a font is there, told where none is."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image
from small_graphs import graph_of, thing

from drawing import fonts
from drawing.dot import scene_graph_dot
from drawing.fonts import font_for, paint_labels, without_font
from drawing.photo import draw_boxes
from drawing.pictures import draw_graph, names_without_font
from drawing.program import run_dot, uses_pure_graphviz
from drawing.selection import items_to_draw

MATH = "\U0001d504\U0001d505"  # Fraktur letters: matplotlib's STIX has them, DejaVu Sans Bold has not
NOWHERE = "\U0001fbf9\U000e0142"


@pytest.fixture
def stix(monkeypatch) -> str:
    """A system whose only font is matplotlib's STIX."""
    path = str(Path(matplotlib.get_data_path()) / "fonts/ttf/STIXGeneral.ttf")
    monkeypatch.setattr(fonts, "_system_fonts", lambda: [path])
    return path


@pytest.fixture
def no_fonts(monkeypatch) -> None:
    monkeypatch.setattr(fonts, "_system_fonts", list)


def test_dejavu_first_then_a_font_of_the_system(stix):
    assert "DejaVuSans-Bold" in font_for("man собака", 20).path
    assert font_for(MATH, 20).path == stix
    assert "DejaVuSans-Bold" in font_for(NOWHERE, 20).path
    assert without_font(["man", MATH, NOWHERE]) == [NOWHERE]


def test_without_fonts_the_png_says_so_once(no_fonts, tmp_path):
    graph = graph_of([thing(MATH), thing("dog", 30), thing(NOWHERE, 60)])
    assert names_without_font(graph, items_to_draw(graph)) == [MATH, NOWHERE]
    draw_graph(graph, tmp_path / "told.png")
    draw_graph(graph_of([thing("ab"), thing("dog", 30), thing("cd", 60)]), tmp_path / "plain.png")
    wide, narrow = (Image.open(tmp_path / f"{name}.png").width for name in ("told", "plain"))
    assert wide > narrow + 200, "the legend has a line more"
    draw_graph(graph, tmp_path / "told.svg")
    assert MATH in (tmp_path / "told.svg").read_text()
    assert "without a font" not in (tmp_path / "told.svg").read_text()


def ink(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("L")).astype(int)


def test_names_are_drawn_with_the_font_that_has_them(stix, tmp_path, monkeypatch):
    """Another picture than the empty squares that it is without the font, at the boxes and in the graph."""
    graph = graph_of([thing(MATH, 20, 40, 100, 100)])
    photo = Image.new("RGB", (640, 480), "white")
    draw_graph(graph, tmp_path / "with.png")
    with_font = draw_boxes(photo, graph)
    monkeypatch.setattr(fonts, "_system_fonts", list)
    draw_graph(graph, tmp_path / "without.png")
    assert np.abs(ink(with_font) - ink(draw_boxes(photo, graph))).max() > 100
    graphs = [ink(Image.open(tmp_path / f"{name}.png"))[:60, :120] for name in ("with", "without")]
    assert np.abs(graphs[0] - graphs[1]).max() > 100


def test_labels_are_drawn_over_their_squares_and_nowhere_else(stix):
    """Beside a legend wider than the graph, which moves the drawing's origin."""
    if not uses_pure_graphviz():
        pytest.skip("Graphviz itself draws: it finds fonts by itself")
    source, _ = scene_graph_dot(graph_of([thing(MATH * 3)]), note="a note that is much wider than the graph above it")
    before = Image.open(io.BytesIO(run_dot(source, "png", False, "-Gdpi=144"))).convert("RGB")
    after = paint_labels(before.copy(), source, False)
    rows, columns = np.nonzero(np.abs(ink(after) - ink(before)) > 20)
    fill = (np.asarray(before) == (0xFF, 0xC4, 0xB5)).all(axis=-1)
    fill[before.height // 2 :] = False  # the legend has the colour too
    high, wide = np.nonzero(fill)
    assert len(rows) > 50
    assert (rows.min(), columns.min()) >= (high.min(), wide.min())
    assert rows.max() <= high.max()
    assert columns.max() <= wide.max()
    assert columns.min() >= wide.min()
