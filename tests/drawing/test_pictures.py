"""Pictures of scene graphs: what they show, that data stays text, and which formats come out."""

from __future__ import annotations

import io
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_graphs import HOSTILE, SVG, graph_of, hand_worked_pair, nodes_of, thing

from drawing.comparison import mark, with_missed
from drawing.dot import scene_graph_dot
from drawing.pictures import draw_graph
from drawing.program import find_dot, run_dot, to_svg
from drawing.selection import plain_text
from files.io import InputError


@pytest.fixture
def pair() -> tuple[dict, dict]:
    return hand_worked_pair()


# ---------------------------------------------------------------- what is drawn


def test_nodes_have_kind_status_score_and_words(pair):
    source, titles = scene_graph_dot(with_missed(*mark(*pair)), numbered=True)
    nodes = nodes_of(to_svg(source, titles)[0])
    assert nodes["o0"] == ("node object hit", "man 1, score 0.90, hit", "√ 1 man 0.90")
    assert nodes["a1"] == ("node attribute extra", "horse is red, score 0.60, not annotated", "× red 0.60")
    assert nodes["r2"] == ("node predicate missed", "tree behind man, missed", "○ behind")
    assert len(nodes) == 4 + 3 + 3


def test_kinds_differ_in_colour_and_in_shape(pair):
    markup, _, _ = to_svg(scene_graph_dot(pair[1])[0])
    root = ET.fromstring(markup)
    groups = {g.get("id"): g for g in root.iter(f"{SVG}g") if g.get("class", "").startswith("node")}
    shapes = {k: next(e for e in groups[k] if e.get("fill") and e.tag != f"{SVG}text") for k in ("o0", "a0", "r0")}
    assert [shapes[k].tag.removeprefix(SVG) for k in shapes] == ["polygon", "ellipse", "path"]
    assert len({shape.get("fill") for shape in shapes.values()}) == 3


def test_hostile_text_stays_text():
    objects = [thing(text) for text in HOSTILE]
    attributes = [{"attribute": text, "object": i} for i, text in enumerate(HOSTILE)]
    relationships = [{"predicate": text, "subject": i, "object": 0} for i, text in enumerate(HOSTILE)]
    source, titles = scene_graph_dot(graph_of(objects, attributes, relationships), numbered=False)
    markup, _, _ = to_svg(source, titles)
    nodes = nodes_of(markup)
    for i, text in enumerate(HOSTILE):
        for kind in "oar":
            assert nodes[f"{kind}{i}"][2] == plain_text(text, 36), text
        assert nodes[f"o{i}"][1] == plain_text(text)
    assert len(nodes) == 3 * len(HOSTILE), "no text made a node of its own"
    assert {element.tag.removeprefix(SVG) for element in ET.fromstring(markup).iter()} <= {
        "svg", "g", "title", "polygon", "path", "ellipse", "text", "polyline",
    }  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=25))
@example(["]"])
def test_any_text_is_drawn_as_it_is(names):
    source, titles = scene_graph_dot(graph_of([thing(name) for name in names]), numbered=False)
    nodes = nodes_of(to_svg(source, titles)[0])
    assert [nodes[f"o{i}"][1:] for i in range(len(names))] == [
        (plain_text(name), plain_text(name, 36).replace("\xa0", " ")) for name in names
    ]


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("with_photo", [False, True])
@pytest.mark.parametrize("ending", [".svg", ".png", ".pdf", ".html"])
def test_every_format(pair, tmp_path, ending, with_photo):
    if ending == ".pdf" and not shutil.which("dot"):
        pytest.skip("PDF needs Graphviz itself: on Debian `apt-get install graphviz`")
    output = tmp_path / "new folder" / f"graph{ending}"
    photo = Image.new("RGB", (320, 200), "#88aacc") if with_photo else None
    draw_graph(pair[0], output, ground_truth=pair[1], image=photo)
    content = output.read_bytes()
    if ending == ".svg":
        assert (b"data:image/jpeg;base64," in content) == with_photo
        ET.fromstring(content)
    elif ending == ".png":
        width, height = Image.open(io.BytesIO(content)).size
        assert width > (1000 if with_photo else 300)
        assert height > 300
    elif ending == ".pdf":
        assert content.startswith(b"%PDF")
        assert (b"/Subtype /Image" in content) == with_photo
    else:
        assert (b'<img src="data:image/jpeg;base64,' in content) == with_photo
        assert b"http://" not in content.replace(b"http://www.w3.org/", b"")
    assert [p.name for p in output.parent.iterdir()] == [output.name]


@pytest.mark.slow
def test_a_very_large_picture_is_made_smaller(tmp_path):
    graph = graph_of([thing(f"object with a long name {i}") for i in range(400)])
    relationships = [{"predicate": f"p{i}", "subject": i, "object": 399} for i in range(399)]
    draw_graph({**graph, "relationships": relationships}, tmp_path / "wide.png")
    assert 9_000 < max(Image.open(tmp_path / "wide.png").size) <= 12_000


def test_eighty_objects_take_less_room_than_side_by_side(tmp_path):
    random = np.random.default_rng(0)
    pairs = random.integers(0, 80, (70, 2)).tolist()
    graph = graph_of(
        [thing(f"thing {i}") for i in range(80)],
        [{"attribute": "red", "object": i} for i in range(0, 80, 2)],
        [{"predicate": "near", "subject": s, "object": o} for s, o in pairs if s != o],
    )
    _, width, height = to_svg(scene_graph_dot(graph)[0])
    assert 0.4 < width / height < 4, "about the shape of a page, not a ribbon"
    assert width < 2600


def test_empty_graph(tmp_path):
    draw_graph(graph_of([]), tmp_path / "empty.svg")
    assert "no objects" in (tmp_path / "empty.svg").read_text()


def test_bad_ending_and_bad_graph(pair, tmp_path):
    with pytest.raises(InputError, match=r"graph\.gif: pictures are drawn as \.svg, \.png, \.pdf, \.html"):
        draw_graph(pair[0], tmp_path / "graph.gif")
    broken = graph_of([thing("man")], relationships=[{"predicate": "on", "subject": 0, "object": 7}])
    with pytest.raises(InputError, match=r"relationships\[0\] names object 7"):
        draw_graph(broken, tmp_path / "graph.svg")
    assert not list(tmp_path.iterdir())


def test_which_program_draws(tmp_path, monkeypatch):
    real = shutil.which("graphviz-pure") or shutil.which("graphviz-pure", path=str(Path(sys.executable).parent))
    if real is None:
        pytest.skip("graphviz-pure is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(InputError, match="pip install graphviz-pure"):
        find_dot()
    fallback, system = tmp_path / "graphviz-pure", tmp_path / "dot"
    fallback.symlink_to(real)
    assert find_dot() == str(fallback)
    system.symlink_to(real)
    assert find_dot() == str(system), "the system's dot comes first"
    assert run_dot("digraph { a -> b }", "svg").startswith(b"<?xml")
    with pytest.raises(InputError, match="could not draw the graph"):
        run_dot("digraph { a -> ", "svg")
    system.unlink()
    with pytest.raises(InputError, match="PDF needs Graphviz itself"):
        run_dot("digraph { a -> b }", "pdf")
