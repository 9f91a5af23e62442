"""The page of one image: photo with boxes, graph (and ground truth), lists, the agent's walk.

The gallery makes one for each image; `standalone_page` makes one file of everything. The markup, style
and script are files in drawing/page_assets/. A page asks nothing of the network: its
Content-Security-Policy forbids it. Text from data is escaped here, and the script makes only text nodes of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image

from drawing.comparison import hits_at, mark
from drawing.dot import SIGNS, STATUS_WORDS, scene_graph_dot
from drawing.packing import with_positions
from drawing.photo import COLOURS, data_uri, text_colour
from drawing.program import to_svg
from drawing.selection import counted, drawing_limits, has_boxes, items_to_draw, plain_text
from files.scene_graphs import Graph

ASSETS = Path(__file__).resolve().parent / "page_assets"
# 'self' is what a browser calls the folder over http; `file:` what it needs from disk.
POLICY = (
    "default-src 'none'; img-src 'self' file: data:; style-src 'self' file:; script-src 'self' file:; base-uri 'none'"
)
LARGEST_PHOTO_SIDE = 1280
PAGE_SCRIPTS = ("lighting.js", "photo.js", "graphs.js", "walk.js", "page.js")  # in this order


def asset(name: str) -> str:
    """The text of a file in drawing/page_assets/."""
    return (ASSETS / name).read_text(encoding="utf-8")


def fill(template: str, **values: str) -> str:
    """The template file with its $names filled in; the values are markup, escaped by the caller."""
    return Template(asset(template)).substitute(values)


def score_items(scores: Sequence[tuple[str, int, int]]) -> str:
    """(title, hits, total) of each score as list items; those without ground truth are left out."""
    return "".join(
        f"<li>{escape(title)} <b>{100 * hits / total:.0f} %</b> ({hits:,} of {total:,})</li>"
        for title, hits, total in scores
        if total
    )


def image_scores(graph: Graph, truth: Graph) -> list[tuple[str, int, int]]:
    """(title, hits, annotated): recall@50 and @100 of relationships, @50 of attributes, of one image."""
    wanted = (("relationships", 50), ("relationships", 100), ("attributes", 50))
    return [(f"{kind}, R@{n}", hits_at(graph, truth, kind, n), len(truth[kind])) for kind, n in wanted]


def image_page(
    graph: Graph,
    truth: Graph | None,
    photo: str | None,
    size: tuple[int, int],
    head: dict[str, str],
    items: dict[str, list[int]] | None = None,
) -> str:
    """One image as HTML.

    photo: the address of the picture, None where there is none. size: (width, height) in the pixels in which the
    boxes are given. head: the template's $policy, $styles, $scripts, $back and $steps. items: what to draw
    of the graph (`items_to_draw`), by default what is worth drawing; the lists have all.
    """
    title = plain_text(graph["image_name"] or "scene graph")
    graphs = {"prediction": graph}
    if truth is not None:
        graphs["prediction"], graphs["truth"] = mark(graph, truth)
    titles = {"truth": "Ground truth", "prediction": "Prediction" if truth is not None else "Scene graph"}
    drawn = {"prediction": items or items_to_draw(graph, **drawing_limits(graph))}
    if truth is not None:
        drawn["truth"] = items_to_draw(truth, **drawing_limits(truth))
    shape = 0.75 if truth is not None else 1.2
    numbered = any(map(has_boxes, graphs.values()))
    panels = [
        _panel(titles[side], side, graphs[side], drawn[side], numbered or None, shape)
        for side in ("truth", "prediction")
        if side in graphs
    ]
    width, height = size
    alternative = escape(f"Photo {title}")
    picture = (
        f'<img src="{escape(photo)}" width="{width}" height="{height}" alt="{alternative}">'
        if photo
        else f'<svg class="blank" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="img" aria-label="No photo"></svg>'
    )
    data = {
        "size": size,
        "colours": [(colour, text_colour(colour)) for colour in COLOURS],
        "drawn": {side: drawn[side]["objects"] for side in graphs},
        "graphs": {side: _for_page(value) for side, value in graphs.items()},
    }
    return fill(
        "image.html",
        title=escape(title),
        scores=score_items(image_scores(graph, truth)) if truth is not None else "",
        photo=picture,
        panels="\n".join(panels),
        data=script_json(data),
        **head,
    )


def standalone_page(
    graph: Graph,
    truth: Graph | None,
    image: Image.Image | None,
    items: dict[str, list[int]],
    photo_size: tuple[int, int] | None = None,
) -> str:
    """The page of one image as one file, with style, script and photo inside. photo_size: see `draw_graph`."""
    style, script = asset("gallery.css"), "\n".join(map(asset, PAGE_SCRIPTS))
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
    photo = None
    if image is not None:
        small = image.convert("RGB")
        small.thumbnail((LARGEST_PHOTO_SIDE, LARGEST_PHOTO_SIDE))
        photo = data_uri(small)
    head = {
        "policy": policy,
        "styles": f"<style>{style}</style>",
        "scripts": f"<script>{script}</script>",
        "back": "",
        "steps": "",
    }
    size = (photo_size or image.size) if image else extent(graph, truth)
    return image_page(graph, truth, photo, size, head, items)


def extent(*graphs: Graph | None) -> tuple[int, int]:
    """(width, height) in pixels that hold every box: the size of a photo that is not there."""
    objects = [o for graph in graphs if graph is not None for o in graph["objects"]]
    width = max((o["x"] + o["w"] for o in objects), default=0)
    height = max((o["y"] + o["h"] for o in objects), default=0)
    return max(1, round(width)), max(1, round(height))


def script_json(value: Any) -> str:
    """JSON that can stand inside a <script> element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _for_page(graph: Graph) -> dict[str, Any]:
    """The graph as the script needs it: names as they can be shown."""

    def text(items: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
        return [{**item, key: plain_text(item[key])} for item in items]

    return {
        "objects": text(graph["objects"], "name"),
        "attributes": text(graph["attributes"], "attribute"),
        "relationships": text(graph["relationships"], "predicate"),
        **({"steps": graph["steps"]} if graph.get("steps") else {}),
    }


def _panel(
    title: str, side: str, graph: Graph, items: dict[str, list[int]], numbered: bool | None, shape: float
) -> str:
    """A graph with its heading, zoom buttons and legend. shape: about width / height of the place for it."""
    source, titles = scene_graph_dot(graph, items, numbered=numbered, prefix=f"{side[0]}-", legend=False)
    markup, _, _ = to_svg(with_positions(source, shape), titles, placed=True)
    markup = re.sub(r' id="(graph|edge)\d+"', "", markup)  # one page has two graphs
    counts = []
    for kind in ("objects", "relationships"):
        drawn, there = len(items[kind]), len(graph[kind])
        counts.append((f"{drawn} of " if drawn < there else "") + counted(there, kind.removesuffix("s")))
    kinds = {"object": "objects", "attribute": "attributes", "predicate": "relationships"}
    legend = "".join(f'<span class="is-{kind}">{kind}</span>' for kind, key in kinds.items() if graph[key])
    statuses = {item.get("status") for kind in items for item in graph[kind]}
    legend += "".join(
        f'<b class="{status}">{SIGNS[status]} {words}</b>'
        for status, words in STATUS_WORDS.items()
        if status in statuses
    )
    return fill("panel.html", title=title, counts=", ".join(counts), graph=markup, legend=legend)
