"""Pictures of scene graphs: what they show, that data stays text, and which formats come out."""

from __future__ import annotations

import io
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_graphs import HOSTILE, SVG, graph_of, hand_worked_pair, nodes_of, thing

from drawing.comparison import mark, with_missed
from drawing.dot import plain_text, scene_graph_dot, shown
from drawing.pictures import draw_graph
from drawing.program import find_dot, run_dot, to_svg
from files.io import InputError


@pytest.fixture
def pair() -> tuple[dict, dict]:
    return hand_worked_pair()


# ---------------------------------------------------------------- what is drawn


def test_all_is_shown_without_limits(pair):
    assert shown(pair[0]) == {"objects": [0, 1, 2], "attributes": [0, 1], "relationships": [0, 1]}


def test_min_score_takes_what_hangs_on_a_weak_object_along(pair):
    assert shown(pair[0], min_score=0.65) == {"objects": [0, 1, 2], "attributes": [0], "relationships": []}
    assert shown(pair[0], min_score=0.85) == {"objects": [0, 2], "attributes": [], "relationships": []}


def test_max_relationships_keeps_the_best_and_their_objects(pair):
    prediction, _ = pair
    prediction["relationships"].append({"predicate": "under", "subject": 2, "object": 0, "score": 0.3})
    assert shown(prediction, max_relationships=1) == {"objects": [0, 1], "attributes": [0, 1], "relationships": [0]}
    assert shown(prediction, max_relationships=2)["objects"] == [0, 1, 2], "nothing was cut, nothing is left out"


def test_max_relationships_shows_the_surest_of_each_pair_and_two_attributes_of_each_object(pair):
    prediction, truth = pair
    prediction["attributes"] += [{"attribute": word, "object": 0, "score": 0.1} for word in ("young", "old")]
    assert shown(prediction, max_relationships=9) == {
        "objects": [0, 1, 2],
        "attributes": [0, 1, 2],
        "relationships": [0],
    }
    truth["relationships"].append({"predicate": "on", "subject": 0, "object": 1})
    assert shown(truth, max_relationships=9)["relationships"] == [0, 1, 2], "what bears no score is all annotated"


def test_of_very_many_objects_the_connected_and_the_most_confident_are_drawn():
    graph = graph_of([thing(str(i), score=0.5 + i / 200) for i in range(80)])
    graph["relationships"] = [{"predicate": "on", "subject": 0, "object": 1}]
    assert shown(graph, max_relationships=5)["objects"] == [0, 1, *range(22, 80)]
    assert len(shown(graph)["objects"]) == 80


def test_unsure_objects_are_drawn_only_where_a_relationship_needs_them():
    graph = graph_of([thing(str(i), score=score) for i, score in enumerate((0.1, 0.1, 0.8, 0.4, 0.39))])
    graph["relationships"] = [{"predicate": "on", "subject": 0, "object": 1}]
    assert shown(graph, max_relationships=5)["objects"] == [0, 1, 2, 3]


def test_nodes_bear_kind_status_score_and_words(pair):
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
        assert b"/Type0" in content or b"/TrueType" in content, "text stays text"
    else:
        assert (b'<img src="data:image/jpeg;base64,' in content) == with_photo
        assert b"http://" not in content.replace(b"http://www.w3.org/", b"")
    assert [p.name for p in output.parent.iterdir()] == [output.name]


def test_a_very_wide_graph_gets_fewer_dots_an_inch(tmp_path):
    graph = graph_of([thing(f"object with a long name {i}") for i in range(400)])
    relationships = [{"predicate": f"p{i}", "subject": i, "object": 399} for i in range(399)]
    draw_graph({**graph, "relationships": relationships}, tmp_path / "wide.png")
    assert max(Image.open(tmp_path / "wide.png").size) <= 20_000


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
