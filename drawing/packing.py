"""Putting the parts of a drawing that hang together onto the page.

A scene graph falls into parts with no edge between them, and `dot` leaves much of the page empty when
it places these. Here every part keeps the layout that `dot` gave it and is moved to where it makes
the whole most compact for a wanted shape of page.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from drawing.program import run_dot

GAP = 22.0  # points between parts
TRIED_WIDTHS = 24
GRAPH_KEYS = ("fontname", "fontsize", "pad", "labelloc")
NODE_KEYS = (
    "class", "color", "fillcolor", "fixedsize", "fontcolor", "fontname", "fontsize", "height", "id", "image",
    "imagescale", "margin", "penwidth", "shape", "style", "width",
)  # fmt: skip
EDGE_KEYS = ("arrowhead", "arrowsize", "class", "color", "penwidth", "style")


def pack_rectangles(sizes: np.ndarray, shape: float) -> np.ndarray:
    """(n, 2) widths and heights -> (n, 2) lower left corners, y downwards, no two rectangles overlapping.

    shape: wanted width / height of the whole. Tallest first, each goes as high, then as far left, as it can
    (bottom-left heuristic, upside down); of some page widths the one is taken whose page fits the shape best.
    """
    order = np.argsort(-sizes[:, 1], kind="stable")
    total = float(sizes.prod(axis=1).sum())
    narrowest = max(sizes[:, 0].max(), np.sqrt(total * shape) * 0.6)
    best, least = np.zeros_like(sizes), np.inf
    for width in np.linspace(narrowest, max(narrowest, min(sizes[:, 0].sum(), narrowest * 3)), TRIED_WIDTHS):
        corners = np.zeros_like(sizes)
        placed: list[int] = []
        for i in order:
            there, size = corners[placed], sizes[placed]
            lefts = np.unique(np.append(there[:, 0] + size[:, 0], 0.0))
            lefts = lefts[lefts + sizes[i, 0] <= width + 1e-6]
            beside = (there[None, :, 0] < lefts[:, None] + sizes[i, 0] - 1e-6) & (
                there[None, :, 0] + size[None, :, 0] > lefts[:, None] + 1e-6
            )
            tops = np.where(beside, there[None, :, 1] + size[None, :, 1], 0.0).max(axis=1, initial=0.0)
            chosen = np.lexsort((lefts, tops))[0]
            corners[i] = lefts[chosen], tops[chosen]
            placed.append(int(i))
        page = (corners + sizes).max(axis=0)
        needed = max(page[0] / shape, page[1])
        if needed < least - 1e-6:
            best, least = corners, needed
    return best


def with_positions(source: str, shape: float) -> str:
    """DOT `source` with its parts laid out and packed: DOT with positions, for `run_dot(..., placed=True)`.

    shape: wanted width / height of the picture.
    """
    layout = json.loads(run_dot(source, "json"), strict=False)
    nodes, edges = layout.get("objects", []), layout.get("edges", [])
    part = _parts(len(nodes), [(edge["tail"], edge["head"]) for edge in edges])
    points = [_node_corners(node) for node in nodes]
    owners = [part[i] for i in range(len(nodes)) for _ in range(2)]
    for edge in edges:
        curve = _curve(edge["pos"])
        points.append(curve)
        owners += [part[edge["tail"]]] * len(curve)
    places, owner = np.concatenate(points), np.array(owners)
    count = max(part) + 1
    low = np.array([places[owner == p].min(axis=0) for p in range(count)])
    high = np.array([places[owner == p].max(axis=0) for p in range(count)])
    corners = pack_rectangles(high - low + GAP, shape)
    # DOT's y points upwards: the top of each part goes to -corner.
    shift = np.stack([corners[:, 0] - low[:, 0], -corners[:, 1] - high[:, 1]], axis=1)

    lines = [f"graph [{_attributes(layout, GRAPH_KEYS, layout.get('label'))}]"]
    for i, node in enumerate(nodes):
        x, y = np.array(node["pos"].split(","), dtype=float) + shift[part[i]]
        lines.append(f'"{node["name"]}" [pos="{x:.2f},{y:.2f}" {_attributes(node, NODE_KEYS, node["label"])}]')
    for edge in edges:
        pos = _moved(edge["pos"], shift[part[edge["tail"]]])
        ends = f'"{nodes[edge["tail"]]["name"]}" -> "{nodes[edge["head"]]["name"]}"'
        lines.append(f'{ends} [pos="{pos}" {_attributes(edge, EDGE_KEYS)}]')
    return "digraph {\n" + "\n".join(lines) + "\n}\n"


def _attributes(item: dict[str, Any], keys: tuple[str, ...], label: str | None = None) -> str:
    """An item's attributes as DOT. Those of `keys` are our own words and numbers; the label is HTML-like, escaped."""
    pairs = [f'{key}="{item[key]}"' for key in keys if key in item]
    return " ".join(pairs + ([f"label=<{label}>"] if label else []))


def _parts(count: int, links: list[tuple[int, int]]) -> list[int]:
    """Connected components of `count` nodes: each node's part, numbered from 0."""
    root = list(range(count))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = i = root[root[i]]
        return i

    for a, b in links:
        root[find(a)] = find(b)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(find(i), len(numbers)) for i in range(count)]


def _node_corners(node: dict[str, Any]) -> np.ndarray:
    """(2, 2) lower left and upper right corner of a node, in points."""
    centre = np.array(node["pos"].split(","), dtype=float)
    half = np.array([float(node["width"]), float(node["height"])]) * 36
    return np.stack([centre - half, centre + half])


def _curve(pos: str) -> np.ndarray:
    """(n, 2) points of an edge's `pos`, "e,x,y x,y x,y …" (s, e: the arrows' ends)."""
    return np.array([point.split(",")[-2:] for point in pos.split()], dtype=float)


def _moved(pos: str, by: np.ndarray) -> str:
    moved = []
    for point in pos.split():
        *end, x, y = point.split(",")
        moved.append(",".join([*end, f"{float(x) + by[0]:.2f}", f"{float(y) + by[1]:.2f}"]))
    return " ".join(moved)
