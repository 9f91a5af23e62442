"""The sample's annotations in Visual Genome 1.4's layout, with its quirks, each in a small share of places.

The quirks are those of the real files: `name` or `names` for the same thing, no `attributes`,
mixed case and stray spaces, synonyms that the alias files resolve, empty names and predicates,
boxes past the image's edge, of zero area or negative, an object related to itself, one object
under several ids, a relationship given twice, and things that hold but nobody wrote down.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from data.sample.pen import HEIGHT, WIDTH

# Canonical name first. A name in two groups belongs to the first, as in the real files.
OBJECT_ALIASES: tuple[tuple[str, ...], ...] = (
    ("bicycle", "bike", "bicycles"),
    ("man", "guy", "gentleman"),
    ("woman", "lady", "women"),
    ("boy", "young boy", "kid"),
    ("girl", "little girl", "kid"),
    ("dog", "puppy", "dogs"),
    ("cat", "kitty", "cats"),
    ("horse", "pony"),
    ("sheep", "lamb"),
    ("sofa", "couch"),
    ("car", "automobile"),
    ("shirt", "t-shirt", "tee shirt"),
    ("hat", "cap"),
    ("bag", "handbag"),
    ("cup", "mug"),
    ("picture", "painting"),
    ("house", "building", "home"),
    ("tree", "trees"),
    ("wheel", "tire", "wheels"),
    ("boat", "rowboat"),
)
PREDICATE_ALIASES: tuple[tuple[str, ...], ...] = (
    ("next to", "beside", "near", "by"),
    ("in front of", "before"),
    ("behind", "in back of"),
    ("wearing", "wears", "wear"),
    ("holding", "holds", "has in hand"),
    ("on", "on top of", "atop"),
    ("under", "beneath", "below"),
    ("above", "over", "near"),
    ("in", "inside", "inside of"),
    ("has", "have", "with"),
    ("riding", "rides", "riding on"),
    ("sitting on", "sits on", "seated on"),
    ("lying on", "laying on"),
    ("standing on", "stands on"),
    ("kicking", "kicks"),
    ("eating", "eats"),
)
SYNONYM, CASE, SPACES = 0.05, 0.03, 0.02  # shares of names and predicates
UNWRITTEN = 0.03  # share of attributes and relationships that hold but are not annotated
TWICE, NOBODY, ITSELF, BROKEN, MERGED, PAST_EDGE = 0.01, 0.01, 0.05, 0.06, 0.02, 0.3
_OBJECT_SYNONYMS = {group[0]: group[1:] for group in OBJECT_ALIASES}
_PREDICATE_SYNONYMS = {group[0]: group[1:] for group in PREDICATE_ALIASES}
_KID = "kid"  # a boy, never a girl


@dataclass(frozen=True)
class Seen:
    """What an image shows: objects (category, attributes, box of inclusive pixels) and triplets of their indices."""

    image_id: int
    objects: list[tuple[str, list[str], tuple[int, int, int, int]]]
    triplets: list[tuple[int, str, int]]


def visual_genome_items(seen: Seen, rng: Random) -> dict[str, dict[str, Any]]:
    """The image's item of each of the four files: objects, relationships, attributes, scene_graphs."""
    first_id = (seen.image_id % 1_000_000) * 100 + 1
    entries = []
    for i, (category, attributes, box) in enumerate(seen.objects):
        kept = [_misspelt(a, rng) for a in attributes if rng.random() >= UNWRITTEN]
        entry = {"object_id": first_id + i, **_box(box, rng), "names": [_named(category, _OBJECT_SYNONYMS, rng)]}
        entries.append({**entry, "synsets": [f"{category}.n.01"], "merged_object_ids": [], "attributes": kept})
    next_id = first_id + len(entries)
    extra, other_id = [], {}
    for entry in entries:
        if rng.random() < MERGED:  # the same thing once more, under another id
            entry["merged_object_ids"] = [next_id]
            other_id[entry["object_id"]] = next_id
            if rng.random() < 0.5:
                copy = {**entry, "object_id": next_id, "merged_object_ids": [], "attributes": []}
                extra.append({**copy, "x": entry["x"] + rng.randint(-2, 2)})
            next_id += 1
    if rng.random() < BROKEN:
        entry, (w, h) = rng.choice(entries), rng.choice(((0, 12), (-4, 9), (15, 0)))
        extra.append({**entry, "object_id": next_id, "w": w, "h": h, "merged_object_ids": []})
        next_id += 1
    if rng.random() < BROKEN:
        entry = {**rng.choice(entries), "object_id": next_id, "attributes": [], "merged_object_ids": []}
        extra.append({**entry, "names": rng.choice(([], [""]))})
    relationships = _relationships(seen, entries, other_id, rng)
    return {
        "objects": {"image_id": seen.image_id, "objects": [_object(e, rng) for e in entries + extra]},
        "relationships": {
            "image_id": seen.image_id,
            "relationships": [
                {**r, "subject": _end(s, r_id, rng), "object": _end(o, o_id, rng)}
                for r, (s, r_id), (o, o_id) in relationships
            ],
        },
        "attributes": {"image_id": seen.image_id, "attributes": [_attributes(e) for e in entries]},
        "scene_graphs": {
            "image_id": seen.image_id,
            "objects": [_attributes(e) for e in entries],
            "relationships": [
                {**r, "subject_id": s["object_id"], "object_id": o["object_id"]} for r, (s, _), (o, _) in relationships
            ],
        },
    }


def _relationships(seen: Seen, entries: list[dict], other_id: dict[int, int], rng: Random) -> list[tuple]:
    """[(relationship without its ends, (subject's entry, id it is called by), (object's entry, id))]."""
    first_id = (seen.image_id % 1_000_000) * 200 + 1
    rows = []

    def write(subject: dict, predicate: str, obj: dict) -> None:
        relationship = {"relationship_id": first_id + len(rows), "predicate": predicate, "synsets": []}
        ends = [
            (e, other_id[e["object_id"]] if e["object_id"] in other_id and rng.random() < 0.3 else e["object_id"])
            for e in (subject, obj)
        ]
        rows.append((relationship, *ends))

    for subject, predicate, obj in seen.triplets:
        if rng.random() < UNWRITTEN:
            continue
        said = _named(predicate, _PREDICATE_SYNONYMS, rng)
        write(entries[subject], said, entries[obj])
        if rng.random() < TWICE:
            write(entries[subject], said, entries[obj])
        if rng.random() < NOBODY:
            write(entries[subject], "", entries[obj])
    if entries and rng.random() < ITSELF:
        entry = rng.choice(entries)
        write(entry, rng.choice(("on", "next to", "of")), entry)
    return rows


def _named(name: str, synonyms: dict[str, tuple[str, ...]], rng: Random) -> str:
    if name in synonyms and rng.random() < SYNONYM:
        options = [
            s for s in synonyms[name] if not (s == _KID and name == "girl") and not (s == "near" and name == "above")
        ]
        name = rng.choice(options)
    return _misspelt(name, rng)


def _misspelt(name: str, rng: Random) -> str:
    """The name, seldom in capitals or with a space too many."""
    chance = rng.random()
    if chance < CASE:
        return rng.choice((name.upper(), name.capitalize()))
    if chance < CASE + SPACES:
        return rng.choice((f"{name} ", f" {name}"))
    return name


def _box(box: tuple[int, int, int, int], rng: Random) -> dict[str, int]:
    """x, y, w, h; what touches the image's edge is sometimes drawn past it."""
    x1, y1, x2, y2 = box
    if rng.random() < PAST_EDGE:
        x1 -= rng.randint(1, 6) if x1 == 0 else 0
        y1 -= rng.randint(1, 6) if y1 == 0 else 0
        x2 += rng.randint(1, 9) if x2 == WIDTH - 1 else 0
        y2 += rng.randint(1, 9) if y2 == HEIGHT - 1 else 0
    return {"x": x1, "y": y1, "w": x2 - x1 + 1, "h": y2 - y1 + 1}


def _object(entry: dict, rng: Random) -> dict[str, Any]:
    """An item of objects.json: no attributes; rarely `name` instead of `names`."""
    result = {key: value for key, value in entry.items() if key != "attributes"}
    return _with_name(result) if entry["names"] and rng.random() < 0.04 else result


def _end(entry: dict, object_id: int, rng: Random) -> dict[str, Any]:
    """A relationship's subject or object: `name` in about half of them."""
    result = {key: value for key, value in entry.items() if key != "attributes"}
    result["object_id"] = object_id
    return _with_name(result) if rng.random() < 0.5 else result


def _with_name(entry: dict[str, Any]) -> dict[str, Any]:
    return {("name" if k == "names" else k): (v[0] if k == "names" else v) for k, v in entry.items()}


def _attributes(entry: dict) -> dict[str, Any]:
    """An item of attributes.json; who has no attribute lacks the key."""
    result = {key: value for key, value in entry.items() if key != "merged_object_ids"}
    if not result["attributes"]:
        del result["attributes"]
    return result
