"""A scene graph in the formats that other programs read: triplets as CSV or plain text, DOT, GraphML.

`EXPORTS` maps a file ending to the function that gives the file's text. Everything is exported, not only what a
picture shows; most confident first. Objects keep their index in the graph's JSON.

    txt      man 1 riding horse 2    0.87      tab-separated lines; attributes as "man 1 is tall"
    csv      a table with the boxes: subject and object by index, name and box in pixels; one header line
    dot      Graphviz's language: objects and attributes are nodes, relationships labelled edges
    graphml  nodes with name, box and score, edges with predicate and score; NetworkX, Gephi and yEd open it
"""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

from files.scene_graphs import Graph

BOX = ("x", "y", "w", "h")
COLUMNS = (
    "kind", "subject", "subject_name", "predicate", "object", "object_name", "score",
    *(f"subject_{side}" for side in BOX), *(f"object_{side}" for side in BOX),
)  # fmt: skip


def to_text(graph: Graph) -> str:
    """One phrase a line, then a tab and its score where it has one. Objects are numbered from 1, as in the pictures."""
    names = [f"{_line(thing['name'])} {number}" for number, thing in enumerate(graph["objects"], 1)]
    lines = []
    for kind, item in _phrases(graph):
        if kind == "relationship":
            phrase = f"{names[item['subject']]} {_line(item['predicate'])} {names[item['object']]}"
        else:
            phrase = f"{names[item['object']]} is {_line(item['attribute'])}"
        lines.append(phrase + (f"\t{item['score']:.4f}" if "score" in item else ""))
    return "".join(f"{line}\n" for line in lines)


def to_csv(graph: Graph) -> str:
    """A row a relationship or attribute; an attribute has its word as predicate and no object.

    Names that a spreadsheet would take for a formula (they begin with =, +, - or @) get an apostrophe in front.
    """
    file = io.StringIO()
    table = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    for kind, item in _phrases(graph):
        row: dict[str, Any] = {"kind": kind, "score": item.get("score", "")}
        row["predicate"] = _cell(item["predicate"] if kind == "relationship" else item["attribute"])
        ends = {"subject": "subject", "object": "object"} if kind == "relationship" else {"subject": "object"}
        for column, end in ends.items():
            thing = graph["objects"][item[end]]
            row |= {column: item[end], f"{column}_name": _cell(thing["name"])}
            row |= {f"{column}_{side}": thing[side] for side in BOX}
        table.writerow(row)
    return file.getvalue()


def to_dot(graph: Graph) -> str:
    """A digraph: node o<index> for each object, a<index> for each attribute; the edges carry predicate and score."""
    lines = [f"digraph {_quoted(graph['image_name'] or 'scene graph')} {{"]
    for i, thing in enumerate(graph["objects"]):
        lines.append(f"  o{i} [shape=box label={_quoted(thing['name'])}{_dot_score(thing)}]")
    for i, item in enumerate(graph["attributes"]):
        lines.append(f"  a{i} [shape=ellipse label={_quoted(item['attribute'])}{_dot_score(item)}]")
        lines.append(f"  o{item['object']} -> a{i} [dir=none]")
    for edge in graph["relationships"]:
        look = f"label={_quoted(edge['predicate'])}{_dot_score(edge)}"
        lines.append(f"  o{edge['subject']} -> o{edge['object']} [{look}]")
    return "\n".join([*lines, "}\n"])


def to_graphml(graph: Graph) -> str:
    """A directed multigraph: node <index> an object (name, x, y, w, h, score, attributes), edges the relationships.

    An object's attributes are one text, separated by ", ". Characters that XML cannot hold become U+FFFD.
    """
    words, numbers = ("name", "attributes", "related_as"), (*BOX, "score")
    types = {
        "node": dict.fromkeys(words, "string") | dict.fromkeys(numbers, "double"),
        "edge": {"predicate": "string", "score": "double"},
        "graph": {"image_name": "string", "width": "int", "height": "int"},
    }  # fmt: skip
    root = ET.Element("graphml", xmlns="http://graphml.graphdrawing.org/xmlns")
    for where, names in types.items():
        for name, kind in names.items():
            ET.SubElement(root, "key", {"id": f"{where}_{name}", "for": where, "attr.name": name, "attr.type": kind})
    body = ET.SubElement(root, "graph", edgedefault="directed", id="scene")

    def fill(element: ET.Element, where: str, values: dict[str, Any]) -> None:
        for name in types[where]:
            if values.get(name) not in (None, ""):
                ET.SubElement(element, "data", key=f"{where}_{name}").text = _xml(values[name])

    fill(body, "graph", graph)
    for i, thing in enumerate(graph["objects"]):
        words = [item["attribute"] for item in graph["attributes"] if item["object"] == i]
        fill(ET.SubElement(body, "node", id=str(i)), "node", {**thing, "attributes": ", ".join(words)})
    for i, edge in enumerate(graph["relationships"]):
        ends = {"id": f"r{i}", "source": str(edge["subject"]), "target": str(edge["object"])}
        fill(ET.SubElement(body, "edge", ends), "edge", edge)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


EXPORTS: dict[str, Callable[[Graph], str]] = {"txt": to_text, "csv": to_csv, "dot": to_dot, "graphml": to_graphml}


def _phrases(graph: Graph) -> list[tuple[str, dict[str, Any]]]:
    """("relationship" or "attribute", item): relationships, then attributes, each most confident first."""
    found = []
    for kind in ("relationship", "attribute"):
        items = sorted(graph[f"{kind}s"], key=lambda item: -item.get("score", 1.0))
        found += [(kind, item) for item in items]
    return found


def _line(text: str) -> str:
    """Text from data on one line, without tabs."""
    return re.sub(r"\s+", " ", text).strip()


def _cell(text: str) -> str:
    text = _line(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _quoted(text: str) -> str:
    """A DOT string. A backslash would begin one of DOT's own sequences (`\\N` is the node's name)."""
    escaped = _line(text.replace("\0", "\ufffd")).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _dot_score(item: dict[str, Any]) -> str:
    return f' score="{item["score"]:.4f}"' if "score" in item else ""


def _xml(value: Any) -> str:
    """Text that XML 1.0 can hold."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", str(value))
