"""Scene graphs and neighbourhoods of the semantic action graph as DOT, Graphviz's language.

In the manner of Visual Genome's drawings: objects, attributes and predicates are nodes of their
own colour, and of their own shape, since colour alone is not read by everyone. Whatever comes from
data is escaped in `label_text`: DOT knows HTML-like labels, entities and backslash sequences.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import graphviz

from drawing.comparison import by_confidence
from drawing.program import FONT, escape_xml
from files.scene_graphs import Graph

OBJECT, ATTRIBUTE, PREDICATE = "#ffc4b5", "#ffe39b", "#c3dbfb"
INK, LINE = "#22262e", "#7c8594"
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
MOST_OBJECTS = 60  # where only the most important is drawn
MOST_RELATIONSHIPS = 30  # of a predicted graph, unless more are asked for
MUCH_LESS_SURE = 0.1  # of the surest relationship's score: what scores less is hardly believed
LONE_OBJECT = 0.5  # of the surest object's score, for an object that no drawn relationship needs
WIDEST_FAN = 3  # children of an object side by side


def plain_text(value: object, longest: int | None = None) -> str:
    """Any text from data as one printable line: no control or direction characters, white space folded, never empty."""
    text = re.sub(r"\s+", " ", str(value)).strip()
    text = "".join(c if c.isprintable() or c in "\u200c\u200d" else "\ufffd" for c in text)
    if longest is not None and len(text) > longest:
        text = text[: longest - 1].rstrip() + "…"
    return text or "(empty)"


def counted(number: int, noun: str) -> str:
    """ "1 object", "2 objects"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def label_text(value: object) -> str:
    """Text from data for an HTML-like DOT label, inert: markup, entities and `\\N` are shown as they are."""
    return escape_xml(plain_text(value, LONGEST_LABEL)).replace("\\", "\\\\")


def shown(graph: Graph, min_score: float | None = None, max_relationships: int | None = None) -> dict[str, list[int]]:
    """Indices of what to draw of `graph`, by "objects", "attributes" and "relationships".

    Scored items under `min_score` are left out, and whatever hangs on such an object. With
    `max_relationships` the most confident ones stay, and of the objects those that they connect; where
    there are not so many, other objects that are at least half as sure as the surest stay too, up to 60 in all. Of
    what is scored, each pair of objects then shows its surest relationship alone and each object its two surest
    attributes.
    """
    good = {
        kind: {
            i for i, item in enumerate(graph[kind]) if min_score is None or item.get("score", min_score) >= min_score
        }
        for kind in ("objects", "attributes", "relationships")
    }
    objects, links = good["objects"], graph["relationships"]
    relationships = [
        i
        for i in by_confidence(links)
        if i in good["relationships"] and {links[i]["subject"], links[i]["object"]} <= objects
    ]
    attributes = [i for i in by_confidence(graph["attributes"]) if i in good["attributes"]]
    if max_relationships is not None:
        relationships = _surest(links, relationships, 1, lambda edge: frozenset((edge["subject"], edge["object"])))
        attributes = _surest(graph["attributes"], attributes, 2, lambda item: item["object"])
        connected = {links[i][end] for i in relationships[:max_relationships] for end in ("subject", "object")}
        room = MOST_OBJECTS - len(connected) if len(relationships) <= max_relationships else 0
        sure = LONE_OBJECT * max((item.get("score", 1.0) for item in graph["objects"]), default=0.0)
        others = [i for i in by_confidence(graph["objects"]) if i in objects - connected]
        others = [i for i in others if graph["objects"][i].get("score", 1.0) >= sure]
        objects = connected | set(others[: max(0, room)])
        relationships = relationships[:max_relationships]
    attributes = [i for i in attributes if graph["attributes"][i]["object"] in objects]
    return {"objects": sorted(objects), "attributes": sorted(attributes), "relationships": sorted(relationships)}


def worth_drawing(graph: Graph, most: int = MOST_RELATIONSHIPS) -> dict[str, Any]:
    """Arguments of `shown` that leave out what is hardly believed of a predicted graph; all of one without scores."""
    if not any("score" in item for kind in ("objects", "attributes", "relationships") for item in graph[kind]):
        return {"min_score": None, "max_relationships": None}
    surest = max((edge.get("score", 1.0) for edge in graph["relationships"]), default=0.0)
    return {"min_score": MUCH_LESS_SURE * surest, "max_relationships": most}


def _surest(items: list[dict], order: list[int], most: int, of: Callable[[dict], Hashable]) -> list[int]:
    """The first `most` of `order` of each kind `of(item)`; items without a score all stay."""
    seen: Counter[Hashable] = Counter()
    kept = []
    for i in order:
        seen[of(items[i])] += 1
        if "score" not in items[i] or seen[of(items[i])] <= most:
            kept.append(i)
    return kept


def has_boxes(graph: Graph) -> bool:
    """Whether any object has a box: only then is there a photo to number them in."""
    return any(item["w"] > 0 and item["h"] > 0 for item in graph["objects"])


def scene_graph_dot(
    graph: Graph,
    items: dict[str, list[int]] | None = None,
    numbered: bool | None = None,
    prefix: str = "",
    legend: bool = True,
) -> tuple[str, dict[str, str]]:
    """A scene graph as DOT, and what each node says in words: (source, {node name: title}).

    items: what to draw, of `shown`; all by default. numbered: objects bear their number in the
    photo (from 1); by default when two have one name. An item's "status" of `graph_comparison.mark`
    is drawn. Nodes are named, and in an SVG carry the id, `prefix` + o, a or r + the item's index.
    """
    items = items or shown(graph)
    objects = graph["objects"]
    if numbered is None:
        numbered = max(Counter(objects[i]["name"] for i in items["objects"]).values(), default=0) > 1
    dot = graphviz.Digraph()
    dot.attr(
        "graph", nodesep="0.1", ranksep="0.25", pack="8", packmode="node", fontname=FONT, fontsize="11", pad="0.15"
    )
    dot.attr(
        "node",
        fontname=FONT,
        fontsize="13",
        fontcolor=INK,
        height="0.28",
        width="0.3",
        margin="0.10,0.035",
        color="#00000040",
    )
    dot.attr("edge", color=LINE, arrowsize="0.65")
    titles = {}

    def add(kind: str, index: int, item: dict[str, Any], text: str, number: int | None = None) -> str:
        status, score = item.get("status"), item.get("score")
        name = f"{prefix}{LETTERS[kind]}{index}"
        label = f"<B>{label_text(text)}</B>" if kind == "object" else label_text(text)
        if number is not None:
            label = f'<FONT POINT-SIZE="10.5">{number} </FONT>' + label
        if score is not None and (kind, score) != ("object", 1):  # annotated boxes are certain
            label += f'<FONT POINT-SIZE="10.5" COLOR="#4c5360"> {score:.2f}</FONT>'
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
        dot.attr("graph", label=_legend(graph, items), labelloc="b")
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


def _legend(graph: Graph, items: dict[str, list[int]]) -> str:
    """The legend as an HTML-like label, of our own words only; it also says what was left out."""

    def cell(colour: str, words: str, style: str) -> str:
        return f'<TD BGCOLOR="{colour}" BORDER="1" COLOR="#00000040" STYLE="{style}">{words}</TD>'

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
    return f'<<TABLE BORDER="0" CELLSPACING="6" CELLPADDING="3"><TR>{"".join(cells)}</TR></TABLE>>'


def neighbourhood_dot(
    word: str,
    kind: str,
    attributes: Iterable[tuple[str, str, int]],
    phrases: Iterable[tuple[str, str, str, int]],
) -> tuple[str, dict[str, str]]:
    """A word of the semantic action graph among its phrases, as DOT: (source, {node name: title}).

    kind: what the word is, "object", "attribute" or "predicate". attributes: (entity, attribute, times).
    phrases: (subject, predicate, object, times). The commoner a phrase, the wider its edges.
    """
    attributes, phrases = list(attributes), list(phrases)
    most = max((times for *_, times in [*attributes, *phrases]), default=1)
    dot = graphviz.Digraph()
    dot.attr("graph", rankdir="LR", nodesep="0.09", ranksep="0.55", fontname=FONT, pad="0.15")
    dot.attr(
        "node",
        fontname=FONT,
        fontsize="13",
        fontcolor=INK,
        height="0.28",
        width="0.3",
        margin="0.10,0.035",
        color="#00000040",
    )
    dot.attr("edge", color=LINE, arrowsize="0.65")
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
            label += f'<FONT POINT-SIZE="10.5" COLOR="#4c5360"> {times:,}</FONT>'
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
