"""Scene graphs worked out by hand, text that means harm, and what a drawing holds, for the tests of pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ET

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


def hand_worked_pair() -> tuple[dict, dict]:
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


def nodes_of(markup: str) -> dict[str, tuple[str, str, str]]:
    """{id: (class, title, text)} of an SVG's nodes."""
    found = {}
    for group in ET.fromstring(markup).iter(f"{SVG}g"):
        kind = group.get("class", "")
        if kind.startswith("node"):
            text = "".join("".join(t.itertext()) for t in group.iter(f"{SVG}text"))
            found[group.get("id")] = (kind, group.findtext(f"{SVG}title") or "", text.replace("\xa0", " "))
    return found
