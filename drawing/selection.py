"""What of a scene graph is drawn, and text from data as it can be shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

from files.scene_graphs import Graph

KINDS = ("objects", "attributes", "relationships")
MOST_OBJECTS = 60  # where only the most important is drawn
MOST_RELATIONSHIPS = 30  # of a predicted graph, unless more are asked for
MOST_UNSCORED = 120  # of any other graph: laying out several hundred takes minutes
LOW_CONFIDENCE = 0.1  # of the best relationship's score: what scores less is left out
LONE_OBJECT = 0.5  # of the best object's score, for an object that no drawn relationship needs
ATTRIBUTES_PER_OBJECT = 2  # of a predicted graph


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


def most_confident_first(items: list[dict[str, Any]]) -> list[int]:
    """Indices of `items`, most confident first; without a score an item counts as certain; ties keep their order."""
    return sorted(range(len(items)), key=lambda i: -items[i].get("score", 1.0))


def has_boxes(graph: Graph) -> bool:
    """Whether any object has a box: only then is there a photo to number them in."""
    return any(item["w"] > 0 and item["h"] > 0 for item in graph["objects"])


def items_to_draw(
    graph: Graph, min_score: float | None = None, max_relationships: int | None = None
) -> dict[str, list[int]]:
    """Indices of what to draw of `graph`, by "objects", "attributes" and "relationships".

    Scored items under `min_score` are left out, and whatever hangs on such an object. With
    `max_relationships` the most confident ones stay, and of the objects those that they connect; where
    there are not so many, other objects that score at least half of the best stay too, up to 60 in all. Of
    what is scored, each pair of objects then shows its most confident relationship alone and each object its two
    most confident attributes.
    """
    good = {
        kind: {
            i for i, item in enumerate(graph[kind]) if min_score is None or item.get("score", min_score) >= min_score
        }
        for kind in KINDS
    }
    objects, links = good["objects"], graph["relationships"]
    relationships = [
        i
        for i in most_confident_first(links)
        if i in good["relationships"] and {links[i]["subject"], links[i]["object"]} <= objects
    ]
    attributes = [i for i in most_confident_first(graph["attributes"]) if i in good["attributes"]]
    if max_relationships is not None:
        relationships = _first_of_each(links, relationships, 1, lambda r: frozenset((r["subject"], r["object"])))
        attributes = _first_of_each(graph["attributes"], attributes, ATTRIBUTES_PER_OBJECT, lambda a: a["object"])
        connected = {links[i][end] for i in relationships[:max_relationships] for end in ("subject", "object")}
        room = MOST_OBJECTS - len(connected) if len(relationships) <= max_relationships else 0
        enough = LONE_OBJECT * max((item.get("score", 1.0) for item in graph["objects"]), default=0.0)
        others = [i for i in most_confident_first(graph["objects"]) if i in objects - connected]
        others = [i for i in others if graph["objects"][i].get("score", 1.0) >= enough]
        objects = connected | set(others[: max(0, room)])
        relationships = relationships[:max_relationships]
    attributes = [i for i in attributes if graph["attributes"][i]["object"] in objects]
    return {"objects": sorted(objects), "attributes": sorted(attributes), "relationships": sorted(relationships)}


def drawing_limits(graph: Graph, most: int = MOST_RELATIONSHIPS) -> dict[str, Any]:
    """Arguments of `items_to_draw` that leave low-confidence predictions out, `most` relationships at most.

    Of a graph without scores all is drawn, unless it has more than 120 relationships.
    """
    if not any("score" in item for kind in KINDS for item in graph[kind]):
        too_many = len(graph["relationships"]) > MOST_UNSCORED
        return {"min_score": None, "max_relationships": MOST_UNSCORED if too_many else None}
    best = max((edge.get("score", 1.0) for edge in graph["relationships"]), default=0.0)
    return {"min_score": LOW_CONFIDENCE * best, "max_relationships": most}


def _first_of_each(items: list[dict], order: list[int], most: int, group: Callable[[dict], Hashable]) -> list[int]:
    """The first `most` of `order` in each `group(item)`; items without a score all stay."""
    seen: Counter[Hashable] = Counter()
    kept = []
    for i in order:
        seen[group(items[i])] += 1
        if "score" not in items[i] or seen[group(items[i])] <= most:
            kept.append(i)
    return kept
