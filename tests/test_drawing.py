"""Pictures of scene graphs: what they show, that data stays text, and which formats come out."""

from __future__ import annotations

import io
import json
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import boxes
from box_drawing import COLOURS, _free_place, draw_boxes, text_colour
from data.splits import ImageRecord, Labels, ObjectRecord, RelationshipRecord
from dot_program import find_dot, run_dot, to_svg
from drawing import draw_graph, draw_neighbourhood
from evaluation import evaluate
from formats import InputError
from graph_comparison import hits_at, mark, with_missed
from graph_dot import plain_text, scene_graph_dot, shown
from graph_packing import pack_rectangles, packed
from scene_graph_files import predictions_from_graphs
from semantic_graph import SemanticActionGraph

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>",
    r"\N \G \L \\ \n back\slash",
    "&lt;b&gt; &amp; &#65;",
    "<<TABLE><TR><TD>x</TD></TR></TABLE>>",
    '"quoted" \'text\' ]; evil -> node [label="x',
    "two\nlines\r\n\ttab",
    "nul\0 bell\7 \u202ereversed",
    "日本語 ñ ß 🐎",
    "",
    "   ",
    "-->",
    "]]>",
]


def thing(name: str, x: float = 0, y: float = 0, w: float = 10, h: float = 10, **more) -> dict:
    return {"name": name, "x": x, "y": y, "w": w, "h": h, **more}


def graph_of(objects: list[dict], attributes=(), relationships=(), **more) -> dict:
    return {
        "image_name": "1.jpg",
        "objects": objects,
        "attributes": list(attributes),
        "relationships": list(relationships),
        **more,
    }


@pytest.fixture
def pair() -> tuple[dict, dict]:
    """A prediction and its ground truth, worked out by hand: one hit and one extra of each kind, and misses."""
    prediction = graph_of(
        [thing("man", 0, 0, 50, 100, score=0.9), thing("horse", 40, 30, 80, 70, score=0.8), thing("hat", 300, 300)],
        [
            {"attribute": "tall", "object": 0, "score": 0.7, "step": 0},
            {"attribute": "red", "object": 1, "score": 0.6, "step": 2},
        ],
        [
            {"predicate": "riding", "subject": 0, "object": 1, "score": 0.5, "step": 1},
            {"predicate": "near", "subject": 1, "object": 0, "score": 0.4, "step": 3},
        ],
        steps=[[0, -1], [0, 1], [1, -1], [1, 0]],
    )
    truth = graph_of(
        [thing("man", 2, 0, 50, 100), thing("horse", 40, 30, 80, 70), thing("tree", 200, 0, 50, 150)],
        [{"attribute": "tall", "object": 0}, {"attribute": "green", "object": 2}],
        [
            {"predicate": "riding", "subject": 0, "object": 1},
            {"predicate": "behind", "subject": 2, "object": 0},
        ],
    )
    return prediction, truth


def statuses(graph: dict) -> dict[str, list[str]]:
    return {kind: [item["status"] for item in graph[kind]] for kind in ("objects", "attributes", "relationships")}


# ---------------------------------------------------------------- hits and misses


def test_hits_and_misses_by_hand(pair):
    marked, truth = mark(*pair)
    assert statuses(marked) == {
        "objects": ["hit", "hit", "extra"],
        "attributes": ["hit", "extra"],
        "relationships": ["hit", "extra"],
    }
    assert statuses(truth) == {
        "objects": ["found", "found", "missed"],
        "attributes": ["found", "missed"],
        "relationships": ["found", "missed"],
    }


def test_missed_items_hang_on_the_predicted_counterpart(pair):
    union = with_missed(*mark(*pair))
    assert [o["name"] for o in union["objects"]] == ["man", "horse", "hat", "tree"]
    missed = union["relationships"][-1]
    assert (missed["predicate"], missed["subject"], missed["object"]) == ("behind", 3, 0)
    assert union["attributes"][-1] == {"attribute": "green", "object": 3, "status": "missed"}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_hits_agree_with_the_evaluation(seed):
    random = np.random.default_rng(seed)

    def graph(scored: bool) -> dict:
        count = int(random.integers(1, 6))
        objects = [
            thing(
                str(random.choice(["a", "b"])), *random.integers(0, 6, 2).tolist(), *random.integers(8, 14, 2).tolist()
            )
            for _ in range(count)
        ]
        items = [
            {"predicate": str(random.choice(["on", "by"])), "subject": int(s), "object": int(o)}
            for s, o in random.integers(0, count, (6, 2))
        ]
        words = [{"attribute": str(random.choice(["x", "y"])), "object": int(o)} for o in random.integers(0, count, 4)]
        if scored:
            for item in items + words:
                item["score"] = float(random.integers(0, 4)) / 4
        return graph_of(objects, words, items)

    prediction, truth = graph(True), graph(False)
    record = ImageRecord(
        "1.jpg",
        Labels(
            1,
            [
                ObjectRecord(i, o["x"], o["y"], o["w"], o["h"], o["name"], attributes=[])
                for i, o in enumerate(truth["objects"])
            ],
            [
                RelationshipRecord(i, r["predicate"], r["subject"], r["object"])
                for i, r in enumerate(truth["relationships"])
            ],
        ),
    )
    for item in truth["attributes"]:
        record.labels.objects[item["object"]].attributes.append(item["attribute"])
    results = evaluate(predictions_from_graphs([prediction]), [record], ns=(2, 100))
    for n in (2, 100):
        assert hits_at(prediction, truth, "relationships", n) == results["relationship"]["hits"][str(n)]
        assert hits_at(prediction, truth, "attributes", n) == results["attribute"]["hits"][str(n)]


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


def nodes_of(markup: str) -> dict[str, tuple[str, str, str]]:
    """{id: (class, title, text)} of an SVG's nodes."""
    found = {}
    for group in ET.fromstring(markup).iter(f"{SVG}g"):
        kind = group.get("class", "")
        if kind.startswith("node"):
            text = "".join("".join(t.itertext()) for t in group.iter(f"{SVG}text"))
            found[group.get("id")] = (kind, group.findtext(f"{SVG}title") or "", text.replace("\xa0", " "))
    return found


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


# ---------------------------------------------------------------- photo with boxes


def test_boxes_leave_the_photo_as_it_was_and_scale_small_ones_up():
    photo = Image.new("RGB", (128, 96), "white")
    picture = draw_boxes(photo, graph_of([thing("man", 10, 20, 40, 50, score=0.5), thing("dog", 60, 30, 50, 60)]))
    assert picture.size == (640, 480)
    assert np.asarray(photo).min() == 255
    pixels = np.asarray(picture)
    colour = np.array([int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)])
    ys, xs = np.nonzero((pixels == colour).all(axis=-1))
    # Scale 5: the box is pixels 10..49 x 20..69 of the photo, so 50..249 x 100..349 of the picture; its label is above.
    assert xs.min() in (50, 51)
    assert xs.max() in (248, 249)
    assert ys.max() in (348, 349)


def test_boxes_past_the_edge_of_no_area_and_large_ones():
    photo = Image.new("RGB", (700, 300), "white")
    objects = [thing("all", -50, -50, 9000, 9000), thing("none", 5, 5, 0, 0), thing("dot", 699, 299, 1, 1)]
    assert draw_boxes(photo, graph_of(objects)).size == (700, 300)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_labels_do_not_hide_one_another_where_there_is_room(seed):
    random = np.random.default_rng(seed)
    taken: list = []
    for _ in range(6):
        x, y = random.integers(0, 700), random.integers(0, 500)
        box = np.array([x, y, x + random.integers(80, 300), y + random.integers(80, 300)], dtype=float)
        label = _free_place(box, (60.0, 18.0), (1000, 800), taken)
        assert label[0] >= 0
        assert label[1] >= 0
        assert label[2] <= 1000
        assert label[3] <= 800
        for other in taken:
            overlap = np.minimum(label[2:], other[2:]) - np.maximum(label[:2], other[:2])
            assert overlap.min() <= 0
        taken.append(label)


def test_labels_are_read_on_their_colour():
    def luminance(colour: str) -> float:
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in COLOURS:
        dark, light = sorted((luminance(colour), luminance(text_colour(colour))))
        assert (light + 0.05) / (dark + 0.05) >= 4.5


# ---------------------------------------------------------------- neighbourhood of a word


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
    assert max(edge_widths(markup)) == pytest.approx(5.0), "the commonest phrase has the widest edges"


def test_neighbourhood_of_a_predicate_and_an_attribute(action_graph, tmp_path):
    draw_neighbourhood(action_graph, "next to", tmp_path / "p.svg")
    titles = [title for _, title, _ in nodes_of((tmp_path / "p.svg").read_text()).values()]
    assert sorted(t for t in titles if "times" in t) == ["horse next to man: 5 times", "man next to man: 7 times"]
    draw_neighbourhood(action_graph, "brown", tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_only_the_commonest_phrases(action_graph, tmp_path):
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


def test_boxes_match_the_annotations_convention():
    """The last pixel is x + w - 1: the corners that matching uses are those of `boxes`."""
    from graph_comparison import corners

    assert corners(graph_of([thing("man", 3, 4, 5, 6)])).tolist() == [[3, 4, 7, 9]]
    assert boxes.area(corners(graph_of([thing("man", 3, 4, 5, 6)]))).tolist() == [30]


# ---------------------------------------------------------------- packing


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10_000), st.sampled_from([0.5, 0.75, 1.4, 3.0]))
def test_packed_rectangles_do_not_overlap(count, seed, shape):
    sizes = np.random.default_rng(seed).integers(5, 200, (count, 2)).astype(float)
    low = pack_rectangles(sizes, shape)
    high = low + sizes
    for i in range(count):
        for j in range(i):
            assert (np.minimum(high[i], high[j]) - np.maximum(low[i], low[j])).min() <= 1e-6
    assert low.min() >= 0
    page = high.max(axis=0)
    assert sizes.prod(axis=1).sum() / page.prod() > (0.3 if count > 3 else 0.0), "not mostly empty"


def test_parts_keep_their_layout_and_nodes_do_not_overlap():
    objects = [thing(f"object {i}") for i in range(12)]
    edges = [{"predicate": "near", "subject": i, "object": i + 1} for i in range(0, 12, 2)]
    attributes = [{"attribute": "green", "object": i} for i in range(0, 12, 3)]
    source, _ = scene_graph_dot(graph_of(objects, attributes, edges))
    before, after = (json.loads(run_dot(s, "json", p)) for s, p in ((source, False), (packed(source, 1.0), True)))

    def boxes_of(layout: dict) -> dict[str, np.ndarray]:
        found = {}
        for node in layout["objects"]:
            x, y = map(float, node["pos"].split(","))
            w, h = float(node["width"]) * 72, float(node["height"]) * 72
            found[node["name"]] = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        return found

    old, new = boxes_of(before), boxes_of(after)
    assert old.keys() == new.keys()
    for i in range(0, 12, 2):
        moved = [new[name] - old[name] for name in (f"o{i}", f"o{i + 1}", f"r{i // 2}")]
        assert np.ptp(np.stack(moved), axis=0).max() < 1.0, "the nodes of a part move together"
    names = sorted(new)
    for i, a in enumerate(names):
        for b in names[:i]:
            assert (np.minimum(new[a][2:], new[b][2:]) - np.maximum(new[a][:2], new[b][:2])).min() < 0.5
    assert len(after["edges"]) == len(before["edges"])
