"""Parts of a graph packed into a page."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import graph_of, thing

from drawing.dot import scene_graph_dot
from drawing.packing import pack_rectangles, with_positions
from drawing.program import run_dot


@pytest.mark.slow
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
    before, after = (
        json.loads(run_dot(s, "json", p)) for s, p in ((source, False), (with_positions(source, 1.0), True))
    )

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
