"""What of a scene graph is drawn, and text from data as it can be shown.

A predicted graph says much more than a picture can hold, and some of it excludes each other: an agent gives every
pair its predicates without knowing that a shirt has one wearer. `items_to_draw` goes through the predicted
relationships, most confident first, and draws one unless it contradicts what is drawn already:

- a pair of objects has one relationship;
- what is worn, held, carried, used, ridden or had belongs to one subject (98.3 % of such things in VRD's training
  annotations, counted where another subject was at hand);
- who sits, stands or lies on something, rides or drives is on one thing (97.4 %);
- a subject holds at most two things (99.2 %);
- two things of one name do not wear, have, ride each other, nor are they above, under or on one another (99.2 %).

So where the best predicate of a pair is excluded its next one is drawn, if that is confident enough. Of two
boxes of one thing (the same name and IoU >= 0.4, or another name and IoU >= 0.7: 11 % and 0.9 % of the things that
VRD relates) the more confident one is drawn. Nothing is taken out of the graph itself: the JSON, its exports and the
lists of a page have all. What is annotated, that is without a score, is always drawn.
`benchmarks/exclusive_relations.py` counts the shares, and shows what other limits than LOW_CONFIDENCE would do.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np

import boxes
from drawing.comparison import corners
from files.scene_graphs import Graph

KINDS = ("objects", "attributes", "relationships")
MOST_OBJECTS = 60  # where only the most important is drawn
MOST_RELATIONSHIPS = 30  # of a predicted graph, unless more are asked for
MOST_UNSCORED = 120  # of any other graph: laying out several hundred takes minutes
# Of the best relationship's score: what scores less is left out. On 1 000 of VRD's training images with simulated boxes
# what is drawn agrees best with what is annotated between 0.15 and 0.3; without a limit a quarter less.
LOW_CONFIDENCE = 0.2
LONE_OBJECT = 0.5  # of the best object's score, for an object that no drawn relationship needs
ATTRIBUTES_PER_OBJECT = 2  # of a predicted graph
SAME_THING = {True: 0.4, False: 0.7}  # IoU from which two boxes, with the same name or not, are one thing
HANDS = 2

# Predicates in the words of VRD and of Visual Genome.
HOLDS = r"hold|carry|carries|us(e|es|ing)\b"
RIDES = r"rid(e|es|ing)\b(?! (by|next))|driv(e|es|ing)\b(?! on)"
OWNS = rf"wear(s|ing)?\b|ha(s|ve|ving)\b|with\b|pull|push|{HOLDS}|{RIDES}"
RESTS = rf"on$|on (the )?top of|(sit|stand|l(ie|y)|lay|lean|park|rest|sleep|skat)\w* (on|in)\b|{RIDES}"
SELDOM_ALIKE = rf"above|over\b|under|below|beneath|wear|ha(s|ve|ving)\b|{RESTS}"  # between two things of one name


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

    Scored items under `min_score` are left out, and whatever hangs on such an object. With `max_relationships`
    relationships that exclude each other are chosen from as the head of this file says, and so many of the most
    confident stay, with the objects that they connect; where there are fewer, other objects that score at least half
    of the best stay too, up to 60 in all. Each object then has its two most confident attributes.
    """
    good = {
        kind: {
            i for i, item in enumerate(graph[kind]) if min_score is None or item.get("score", min_score) >= min_score
        }
        for kind in KINDS
    }
    objects, links = good["objects"], graph["relationships"]
    if max_relationships is not None:
        objects = objects - _repeated(graph["objects"], corners(graph))
    relationships = [
        i
        for i in most_confident_first(links)
        if i in good["relationships"] and {links[i]["subject"], links[i]["object"]} <= objects
    ]
    attributes = [i for i in most_confident_first(graph["attributes"]) if i in good["attributes"]]
    if max_relationships is not None:
        relationships = _compatible(graph, relationships)
        attributes = _first_of_each_object(graph["attributes"], attributes)
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


def _repeated(things: list[dict[str, Any]], place: np.ndarray) -> set[int]:
    """Detected objects that are a more confident one again. place: (objects, 4) corners."""
    found: set[int] = set()
    kept: list[int] = []
    for i in most_confident_first(things):
        if things[i].get("score", 1.0) < 1 and kept:  # given boxes are certain
            overlap = boxes.iou(place[i], place[kept])
            alike = [things[j]["name"] == things[i]["name"] for j in kept]
            if any(iou >= SAME_THING[same] for iou, same in zip(overlap, alike, strict=True)):
                found.add(i)
                continue
        kept.append(i)
    return found


def _compatible(graph: Graph, order: list[int]) -> list[int]:
    """Those relationships of `order`, most confident first, that do not contradict an earlier one."""
    names = [thing["name"] for thing in graph["objects"]]
    pairs: set[frozenset[int]] = set()
    owned: set[int] = set()
    resting: set[int] = set()
    holding: Counter[int] = Counter()
    kept = []
    for i in order:
        edge = graph["relationships"][i]
        subject, other, predicate = edge["subject"], edge["object"], edge["predicate"].strip().lower()
        pair = frozenset((subject, other))
        owns, rests, holds = (re.match(pattern, predicate) for pattern in (OWNS, RESTS, HOLDS))
        if "score" in edge and (
            pair in pairs
            or (owns and other in owned)
            or (rests and subject in resting)
            or (holds and holding[subject] == HANDS)
            or (names[subject] == names[other] and re.match(SELDOM_ALIKE, predicate))
        ):
            continue
        kept.append(i)
        pairs.add(pair)
        if owns:
            owned.add(other)
        if rests:
            resting.add(subject)
        if holds:
            holding[subject] += 1
    return kept


def _first_of_each_object(attributes: list[dict[str, Any]], order: list[int]) -> list[int]:
    """The first two of `order` of each object; attributes without a score all stay."""
    seen: Counter[int] = Counter()
    kept = []
    for i in order:
        seen[attributes[i]["object"]] += 1
        if "score" not in attributes[i] or seen[attributes[i]["object"]] <= ATTRIBUTES_PER_OBJECT:
            kept.append(i)
    return kept
