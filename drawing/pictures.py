"""Pictures of scene graphs, of photos with boxes, and of a word's place in the semantic action graph.

Formats by file ending: .svg, .png, .pdf and .html (a page of its own, with the photo and the walk).
"""

from __future__ import annotations

import io
import re
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from drawing.comparison import mark, with_missed
from drawing.dot import neighbourhood_dot, scene_graph_dot
from drawing.fonts import FOREIGN, paint_labels, without_font
from drawing.packing import with_positions
from drawing.page import standalone_page
from drawing.photo import data_uri, draw_boxes
from drawing.program import run_dot, to_svg, uses_pure_graphviz
from drawing.selection import MOST_UNSCORED, counted, has_boxes, items_to_draw, plain_text
from files.io import InputError, atomic_write
from files.scene_graphs import Graph, checked_graph
from semantic_graph import SemanticActionGraph

__all__ = ["draw_boxes", "draw_graph", "draw_neighbourhood"]

ENDINGS = (".svg", ".png", ".pdf", ".html")
PNG_DPI = 144
LARGEST_PNG_SIDE = 12_000  # pixels; a larger drawing is made smaller
PHOTO_SIDE = (320, 520)  # points: the photo's longer side beside a small graph, a large one
SHAPE = 1.4  # wanted width / height of a graph
GAP = 16  # points between them


def check_ending(output: str | Path, endings: tuple[str, ...] = ENDINGS) -> str:
    """The file ending of `output`, lower-cased. Raises InputError when nothing is drawn in that format."""
    ending = Path(output).suffix.lower()
    if ending not in endings:
        raise InputError(f"{output}: pictures are drawn as {', '.join(endings)}; choose one of these endings")
    return ending


def draw_graph(
    graph: Graph,
    output: str | Path,
    ground_truth: Graph | None = None,
    image: Image.Image | None = None,
    min_score: float | None = None,
    max_relationships: int | None = None,
    photo_size: tuple[int, int] | None = None,
) -> None:
    """Draw a scene graph into the file `output` (.svg, .png, .pdf or .html), atomically.

    ground_truth: the annotated graph of the same image; hits, predictions that are not annotated and
    what was missed are then told apart. image: the photo, shown with its boxes beside the graph. photo_size: (width,
    height) in whose pixels the boxes are, where the image was read smaller.
    min_score, max_relationships: see `selection.items_to_draw`; they do not thin out the ground truth.
    Raises InputError for another ending, a graph that is not one, or when no program to draw with is installed.
    """
    ending = check_ending(output)
    graph = checked_graph(graph, "the graph to draw")
    items = items_to_draw(graph, min_score, max_relationships)
    if ending == ".html":
        content = standalone_page(graph, ground_truth, image, items, photo_size).encode()
    else:
        drawn = graph
        if ground_truth is not None:
            drawn = with_missed(*mark(graph, ground_truth))
            missed = {kind: list(range(len(graph[kind]), len(drawn[kind])))[:MOST_UNSCORED] for kind in items}
            hanging = [drawn["attributes"][i]["object"] for i in missed["attributes"]]
            hanging += [
                drawn["relationships"][i][end] for i in missed["relationships"] for end in ("subject", "object")
            ]
            items = {kind: items[kind] + missed[kind] for kind in items}
            items["objects"] = sorted({*items["objects"], *hanging})
        lacking = names_without_font(drawn, items) if ending == ".png" else []
        note = (
            f"{counted(len(lacking), 'name')} without a font here; browsers find one for .svg and .html"
            if lacking
            else ""
        )
        source, titles = scene_graph_dot(drawn, items, numbered=has_boxes(graph) or None, note=note)
        mine = [i for i in items["objects"] if i < len(graph["objects"])]
        photo = draw_boxes(image, graph, mine, photo_size) if image else None
        if ending == ".pdf":
            content = _pdf(source, photo)
        else:
            content = _picture(with_positions(source, SHAPE), titles, ending, photo, placed=True)
    with atomic_write(output) as file:
        file.write(content)


def names_without_font(graph: Graph, items: dict[str, list[int]]) -> list[str]:
    """What a PNG of these items of the graph cannot write: names with characters that no font here has."""
    words = {"objects": "name", "attributes": "attribute", "relationships": "predicate"}
    names = {plain_text(graph[kind][i][key]) for kind, key in words.items() for i in items[kind]}
    return without_font(sorted(names))


def draw_neighbourhood(graph: SemanticActionGraph, word: str, output: str | Path, phrases: int = 12) -> None:
    """Draw a word of the semantic action graph with its most frequent phrases into `output` (.svg, .png, .pdf).

    word: an entity's, attribute's or predicate's name. phrases: how many of each kind; for an entity
    its attributes, what it is the subject of, and what it is the object of. Frequent phrases have wider edges.
    Raises InputError, with the nearest names, when the graph does not have the word.
    """
    ending = check_ending(output, ENDINGS[:3])
    source, titles = neighbourhood_dot(*_neighbourhood(graph, word, phrases))
    content = run_dot(source, "pdf") if ending == ".pdf" else _picture(source, titles, ending, None, placed=False)
    with atomic_write(output) as file:
        file.write(content)


def _neighbourhood(
    graph: SemanticActionGraph, word: str, most: int
) -> tuple[str, str, list[tuple[str, str, int]], list[tuple[str, str, str, int]]]:
    """(the word's name in the graph, its kind, its most frequent attribute phrases, and predicate phrases)."""
    indices = {
        "object": graph.entity_index(word),
        "attribute": graph.attribute_index(word),
        "predicate": graph.predicate_index(word),
    }
    kind = next((kind for kind, index in indices.items() if index >= 0), None)
    if kind is None:
        raise graph.no_such_word(word)
    index = indices[kind]

    def most_frequent(edges: np.ndarray, column: int) -> list[list[int]]:
        rows = edges[edges[:, column] == index]
        return rows[np.argsort(-rows[:, -1].astype(np.int64), kind="stable")[:most]].tolist()

    pairs = most_frequent(graph.attribute_edges, 0 if kind == "object" else 1) if kind != "predicate" else []
    triples: list[list[int]] = []
    if kind == "object":
        triples = most_frequent(graph.predicate_edges, 0)
        triples += [row for row in most_frequent(graph.predicate_edges, 2) if row not in triples]
    elif kind == "predicate":
        triples = most_frequent(graph.predicate_edges, 1)
    name = {"object": graph.entities, "attribute": graph.attributes, "predicate": graph.predicates}[kind][index]
    return (
        name,
        kind,
        [(graph.entities[c], graph.attributes[a], times) for c, a, times in pairs],
        [(graph.entities[s], graph.predicates[p], graph.entities[o], times) for s, p, o, times in triples],
    )


def _picture(source: str, titles: dict[str, str], ending: str, photo: Image.Image | None, placed: bool) -> bytes:
    """DOT source, with positions or without, and a photo beside the graph, as SVG or PNG."""
    if ending == ".png":
        return _png(source, photo, placed)
    markup, width, height = to_svg(source, titles, placed)
    if photo is not None:
        total, at_photo, at_graph, size = _beside(photo, width, height)
        inner = re.sub(
            r'^<svg width="[^"]*" height="[^"]*"',
            f'<svg x="{at_graph[0]}" y="{at_graph[1]}" width="{width}" height="{height}"',
            markup,
        )
        markup = (
            f'<svg width="{total[0]}pt" height="{total[1]}pt" viewBox="0 0 {total[0]} {total[1]}" '
            'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">\n'
            f'<rect width="{total[0]}" height="{total[1]}" fill="white"/>\n'
            f'<image x="{at_photo[0]}" y="{at_photo[1]}" width="{size[0]}" height="{size[1]}" '
            f'xlink:href="{data_uri(photo)}"><title>the photo with its boxes</title></image>\n{inner}\n</svg>'
        )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{markup}\n'.encode()


Pair = tuple[float, float]


def _beside(photo: Image.Image, width: float, height: float) -> tuple[Pair, Pair, Pair, Pair]:
    """Where photo and graph go, in points: (total size, place of the photo, place of the graph, size of the photo).

    Side by side, or the photo above a graph that is much wider than it is high.
    """
    least, most = PHOTO_SIDE
    shrink = max(least, min(most, 1.5 * max(width, height)), 0.6 * height) / max(photo.size)
    w, h = photo.width * shrink, photo.height * shrink
    if width > 2.2 * height + w:
        total = (max(w, width), h + GAP + height)
        return total, ((total[0] - w) / 2, 0.0), ((total[0] - width) / 2, h + GAP), (w, h)
    total = (w + GAP + width, max(h, height))
    return total, (0.0, 0.0), (w + GAP, (total[1] - height) / 2), (w, h)


def _png(source: str, photo: Image.Image | None, placed: bool) -> bytes:
    drawn = run_dot(source, "png", placed, f"-Gdpi={PNG_DPI}", f"-Gsize={LARGEST_PNG_SIDE / PNG_DPI:.0f}")
    foreign = FOREIGN.search(source) and uses_pure_graphviz()
    if photo is None and not foreign:
        return drawn
    scale = PNG_DPI / 72
    graph = Image.open(io.BytesIO(drawn)).convert("RGB")
    if foreign:
        paint_labels(graph, source, placed)
    if photo is None:
        return _as_png(graph)
    total, at_photo, at_graph, size = _beside(photo, graph.width / scale, graph.height / scale)
    picture = Image.new("RGB", (round(total[0] * scale), round(total[1] * scale)), "white")
    small = photo.resize([max(1, round(side * scale)) for side in size], Image.Resampling.LANCZOS)
    picture.paste(small, (round(at_photo[0] * scale), round(at_photo[1] * scale)))
    picture.paste(graph, (round(at_graph[0] * scale), round(at_graph[1] * scale)))
    return _as_png(picture)


def _as_png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _pdf(source: str, photo: Image.Image | None) -> bytes:
    """The graph as PDF; the photo is a node without edges, packed beside it."""
    if photo is None:
        return run_dot(with_positions(source, SHAPE), "pdf", True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        photo.save(path, quality=88)
        width, height = (side * PHOTO_SIDE[1] / max(photo.size) / 72 for side in photo.size)  # inches
        look = f"shape=none label=< > fixedsize=true imagescale=true width={width:.3f} height={height:.3f}"
        node = f'\tphoto [image="{path.as_posix()}" {look}]\n'
        source = source.rstrip().removesuffix("}") + node + "}\n"
        return run_dot(with_positions(source, SHAPE), "pdf", True)
