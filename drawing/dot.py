"""Scene graphs and neighbourhoods of the semantic action graph as DOT, Graphviz's language.

In the manner of Visual Genome's drawings: objects, attributes and predicates are nodes of their
own colour, and of their own shape, since colour alone is not read by everyone. Whatever comes from
data is escaped in `label_text`: DOT knows HTML-like labels, entities and backslash sequences.
"""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import graphviz

from drawing.program import FONT
from drawing.selection import items_to_draw, plain_text
from files.scene_graphs import Graph

OBJECT, ATTRIBUTE, PREDICATE = "#ffc4b5", "#ffe39b", "#c3dbfb"
INK, LINE, RIM, SCORE_INK = "#22262e", "#7c8594", "#00000040", "#4c5360"
SHAPES = {
    "object": {"shape": "box", "style": "filled", "fillcolor": OBJECT},
    "attribute": {"shape": "ellipse", "style": "filled", "fillcolor": ATTRIBUTE, "margin": "0,0"},
    "predicate": {"shape": "box", "style": "rounded,filled", "fillcolor": PREDICATE},
}
LETTERS = {"object": "o", "attribute": "a", "predicate": "r"}  # in the names of nodes
# A sign beside the colour and the outline. These three are in the fonts that every `dot` has.
SIGNS = {"hit": "√", "found": "√", "extra": "×", "missed": "○"}
STATUS_COLOURS = {"hit": "#0e5a2b", "found": "#0e5a2b", "extra": "#9c1c15", "missed": "#4d5563"}
STATUS_WORDS = {"hit": "hit", "found": "found", "extra": "not annotated", "missed": "missed"}
LONGEST_LABEL = 36
WIDEST_FAN = 3  # children of an object side by side


def label_text(value: object) -> str:
    """Text from data for an HTML-like DOT label, inert: markup, entities and `\\N` are shown as they are."""
    # Graphviz 2.43 cannot read a label of nothing but "]"
    return html.escape(plain_text(value, LONGEST_LABEL)).replace("\\", "\\\\").replace("]", "&#93;")


def _digraph(**attributes: str) -> graphviz.Digraph:
    """An empty graph in the common style; attributes: of the graph."""
    dot = graphviz.Digraph(graph_attr={"fontname": FONT, "pad": "0.15"} | attributes)
    dot.attr("node", fontname=FONT, fontsize="13", fontcolor=INK, color=RIM, height="0.28", width="0.3")
    dot.attr("node", margin="0.10,0.035")
    dot.attr("edge", color=LINE, arrowsize="0.65")
    return dot


def scene_graph_dot(
    graph: Graph,
    items: dict[str, list[int]] | None = None,
    numbered: bool | None = None,
    prefix: str = "",
    legend: bool = True,
    note: str = "",
) -> tuple[str, dict[str, str]]:
    """A scene graph as DOT, and what each node says in words: (source, {node name: title}).

    items: what to draw, of `items_to_draw`; all by default. numbered: objects show their number in the
    photo (from 1); by default when two have one name. note: one more text for the legend. An item's "status" of
    `comparison.mark` is drawn. Nodes are named, and in an SVG carry the id, `prefix` + o, a or r + the item's index.
    """
    items = items or items_to_draw(graph)
    objects = graph["objects"]
    if numbered is None:
        numbered = max(Counter(objects[i]["name"] for i in items["objects"]).values(), default=0) > 1
    dot = _digraph(nodesep="0.1", ranksep="0.25", pack="8", packmode="node", fontsize="11")
    titles = {}

    def add(kind: str, index: int, item: dict[str, Any], text: str, number: int | None = None) -> str:
        status, score = item.get("status"), item.get("score")
        name = f"{prefix}{LETTERS[kind]}{index}"
        label = f"<B>{label_text(text)}</B>" if kind == "object" else label_text(text)
        if number is not None:
            label = f'<FONT POINT-SIZE="10.5">{number} </FONT>' + label
        if score is not None and (kind, score) != ("object", 1):  # annotated boxes are certain
            label += f'<FONT POINT-SIZE="10.5" COLOR="{SCORE_INK}"> {score:.2f}</FONT>'
        look = dict(SHAPES[kind])
        if status:
            colour = STATUS_COLOURS[status]
            label = f'<FONT COLOR="{colour}"><B>{SIGNS[status]} </B></FONT>' + label
            look |= {"color": colour, "penwidth": "2"}
            if status == "extra":
                look["style"] += ",dashed"
            elif status == "missed":
                look |= {"style": look["style"] + ",dotted", "fillcolor": "#ffffff"}
        dot.node(name, f"<{label}>", id=name, **{"class": f"{kind} {status or ''}".strip()}, **look)
        titles[name] = _in_words(graph, kind, item, number) + (f", {STATUS_WORDS[status]}" if status else "")
        return name

    for i in items["objects"]:
        add("object", i, objects[i], objects[i]["name"], i + 1 if numbered else None)
    children: Counter[int] = Counter()

    def drop(parent: int) -> str:
        """How many ranks a child hangs below its object: staggered, or many children make the drawing very wide."""
        children[parent] += 1
        return str(1 + (children[parent] - 1) // WIDEST_FAN % 3)

    for i in items["attributes"]:
        item = graph["attributes"][i]
        name = add("attribute", i, item, item["attribute"])
        look = _edge_look(item, name) | {"minlen": drop(item["object"])}
        dot.edge(f"{prefix}o{item['object']}", name, arrowhead="none", **look)
    for i in items["relationships"]:
        item = graph["relationships"][i]
        name = add("predicate", i, item, item["predicate"])
        look = _edge_look(item, name)
        dot.edge(f"{prefix}o{item['subject']}", name, arrowhead="none", minlen=drop(item["subject"]), **look)
        dot.edge(name, f"{prefix}o{item['object']}", **look)
    if not items["objects"]:
        dot.node("nothing", "no objects", shape="plain", fontcolor=LINE)
    if legend:
        dot.attr("graph", label=_legend(graph, items, note), labelloc="b")
    return dot.source, titles


def _edge_look(item: dict[str, Any], name: str) -> dict[str, str]:
    look = {"class": f"of-{name}"}
    status = item.get("status")
    if status:
        look["color"] = STATUS_COLOURS[status]
        if status in ("extra", "missed"):
            look["style"] = "dashed" if status == "extra" else "dotted"
    return look


def _in_words(graph: Graph, kind: str, item: dict[str, Any], number: int | None = None) -> str:
    """An item as a reader says it: "man 1", "man is tall", "man riding horse", with its score."""

    def name(index: int) -> str:
        return plain_text(graph["objects"][index]["name"])

    if kind == "object":
        words = plain_text(item["name"]) + (f" {number}" if number is not None else "")
    elif kind == "attribute":
        words = f"{name(item['object'])} is {plain_text(item['attribute'])}"
    else:
        words = f"{name(item['subject'])} {plain_text(item['predicate'])} {name(item['object'])}"
    return words + (f", score {item['score']:.2f}" if item.get("score") is not None else "")


def _legend(graph: Graph, items: dict[str, list[int]], note: str = "") -> str:
    """The legend as an HTML-like label, of our own words only; it also says what was left out."""

    def cell(colour: str, words: str, style: str) -> str:
        return f'<TD BGCOLOR="{colour}" BORDER="1" COLOR="{RIM}" STYLE="{style}">{words}</TD>'

    cells = [cell(OBJECT, "object", "SOLID")]
    if items["attributes"]:
        cells.append(cell(ATTRIBUTE, "attribute", "ROUNDED"))
    if items["relationships"]:
        cells.append(cell(PREDICATE, "predicate", "ROUNDED"))
    statuses = {graph[kind][i].get("status") for kind, indices in items.items() for i in indices}
    for status in ("hit", "found", "extra", "missed"):
        if status in statuses:
            sign = f'<FONT COLOR="{STATUS_COLOURS[status]}"><B>{SIGNS[status]}</B> {STATUS_WORDS[status]}</FONT>'
            cells.append(f"<TD>{sign}</TD>")
    counts = [
        f"{len(items[kind])} of {len(graph[kind])} {kind}" for kind in items if len(items[kind]) < len(graph[kind])
    ]
    if counts:
        cells.append(f'<TD><FONT COLOR="{LINE}">{", ".join(counts)}</FONT></TD>')
    if note:
        cells.append(f'<TD><FONT COLOR="{LINE}">{html.escape(note)}</FONT></TD>')
    return f'<<TABLE BORDER="0" CELLSPACING="6" CELLPADDING="3"><TR>{"".join(cells)}</TR></TABLE>>'


def neighbourhood_dot(
    word: str,
    kind: str,
    attributes: Iterable[tuple[str, str, int]],
    phrases: Iterable[tuple[str, str, str, int]],
) -> tuple[str, dict[str, str]]:
    """A word of the semantic action graph among its phrases, as DOT: (source, {node name: title}).

    kind: what the word is, "object", "attribute" or "predicate". attributes: (entity, attribute, times).
    phrases: (subject, predicate, object, times). The more frequent a phrase, the wider its edges.
    """
    attributes, phrases = list(attributes), list(phrases)
    most = max((times for *_, times in [*attributes, *phrases]), default=1)
    dot = _digraph(rankdir="LR", nodesep="0.09", ranksep="0.55")
    titles: dict[str, str] = {}
    names: dict[tuple[str, str, str], str] = {}

    def node(kind_: str, text: str, side: str = "", times: int | None = None, title: str | None = None) -> str:
        """The node of a word on one side of the drawing; a predicate gets one for each phrase."""
        is_word = (text, kind_) == (word, kind) and side in ("", "middle")
        key = (kind_, text, side)
        if key in names:
            return names[key]
        name = f"n{len(titles)}"
        if kind_ != "predicate":
            names[key] = name
        label = f"<B>{label_text(text)}</B>" if kind_ == "object" or is_word else label_text(text)
        if times is not None:
            label += f'<FONT POINT-SIZE="10.5" COLOR="{SCORE_INK}"> {times:,}</FONT>'
        emphasis = {"penwidth": "2", "color": INK, "fontsize": "16"} if is_word else {}
        dot.node(name, f"<{label}>", **(SHAPES[kind_] | emphasis))
        titles[name] = title or plain_text(text)
        return name

    def width(times: int) -> dict[str, str]:
        return {"penwidth": f"{0.7 + 4.3 * math.sqrt(times / most):.2f}"}

    if kind != "predicate":
        node(kind, word, "middle")
    for entity, attribute, times in attributes:
        title = f"{plain_text(entity)} is {plain_text(attribute)}: {times:,} times"
        if kind == "attribute":
            dot.edge(
                node("object", entity, "left", times, title), node(kind, word, "middle"), dir="none", **width(times)
            )
        else:
            leaf = node("attribute", attribute, "right", times, title)
            dot.edge(node(kind, word, "middle"), leaf, dir="none", **width(times))
    for subject, predicate, object_, times in phrases:
        words = " ".join(plain_text(part) for part in (subject, predicate, object_))
        middle = node("predicate", predicate, "", times, f"{words}: {times:,} times")
        left = node("object", subject, "middle" if kind == "object" and subject == word else "left")
        # "man next to man": the word as subject, another man as object
        is_end = kind == "object" and object_ == word and subject != word
        right = node("object", object_, "middle" if is_end else "right")
        dot.edge(left, middle, arrowhead="none", **width(times))
        dot.edge(middle, right, **width(times))
    return dot.source, titles
