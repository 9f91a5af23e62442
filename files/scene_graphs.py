"""Scene graphs on disk: graph JSON, image_states.pickle, and the way from one layout to another.

A *graph* is a plain dict, one image:

    {"image_name": str,
     "width"?, "height"?: int,                                          the photo's, upright: the boxes' pixels
     "orientation_applied"?: bool,                                      whether EXIF had it turned
     "photo"?: str, "made_from"?: str,                                  where it lies; what --predict made this from
     "objects":       [{"name", "x", "y", "w", "h", "score"?,           x, y first pixel; w, h count pixels
                        "related_as"?, "stand_in"?}],
     "attributes":    [{"attribute", "object", "score"?, "step"?}],     "object" is an index into objects
     "relationships": [{"predicate", "subject", "object", "score"?, "step"?}],
     "steps"?:        [[subject, object or -1], …]}                     the agent's walk, a row a step

Predicted items have a "score"; "step" is the row of "steps" in which it was predicted. "name" is the detector's own;
"related_as" is the agent's word where that is another one, "stand_in" tells that it means something else (a zebra
related as a horse). `image_states.pickle`
holds {"gt": [graph, …], "curr": [graph, …]}: ground truth and prediction of the same images in the same order.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from files.io import InputError, decode_json, read_bytes
from files.pickles import read_plain_pickle, write_plain_pickle
from files.splits import MOST_OBJECTS, Coordinate, ImageRecord, Side

Graph = dict[str, Any]

PICKLE_CURE = "main.py writes it after every epoch and after --test"
PHOTO_KEYS = ("width", "height", "orientation_applied", "photo", "made_from", "steps")
Score = Annotated[int, msgspec.Meta(ge=-(10**9), le=10**9)] | Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]


class _Object(msgspec.Struct):
    name: str
    x: Coordinate
    y: Coordinate
    w: Coordinate
    h: Coordinate
    score: Score | msgspec.UnsetType = msgspec.UNSET
    related_as: str | msgspec.UnsetType = msgspec.UNSET
    stand_in: bool | msgspec.UnsetType = msgspec.UNSET


class _Attribute(msgspec.Struct):
    attribute: str
    object: int
    score: Score | msgspec.UnsetType = msgspec.UNSET
    step: int | msgspec.UnsetType = msgspec.UNSET


class _Relationship(msgspec.Struct):
    predicate: str
    subject: int
    object: int
    score: Score | msgspec.UnsetType = msgspec.UNSET
    step: int | msgspec.UnsetType = msgspec.UNSET


class _Graph(msgspec.Struct):
    image_name: str
    objects: Annotated[list[_Object], msgspec.Meta(max_length=MOST_OBJECTS)]
    attributes: list[_Attribute]
    relationships: list[_Relationship]
    width: Side | msgspec.UnsetType = msgspec.UNSET
    height: Side | msgspec.UnsetType = msgspec.UNSET
    orientation_applied: bool | msgspec.UnsetType = msgspec.UNSET
    photo: str | msgspec.UnsetType = msgspec.UNSET
    made_from: str | msgspec.UnsetType = msgspec.UNSET
    steps: list[tuple[int, int]] | msgspec.UnsetType = msgspec.UNSET


def checked_graph(graph: Any, where: str) -> Graph:
    """The same graph with nothing but the layout's own keys, in their order, NumPy numbers made plain.

    Raises InputError naming `where` and the item: a key missing or of the wrong type (NaN reads as null), an index
    beyond the objects.
    """
    try:
        typed = msgspec.json.decode(msgspec.json.encode(graph, enc_hook=_plain_number), type=_Graph)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{where}: has the wrong shape: {error}") from None
    count = len(typed.objects)

    def check(index: int, low: int, item: str) -> None:
        if not low <= index < count:
            raise InputError(f"{where}: {item} names object {index}, but there are {count} objects, counted from 0")

    for i, attribute in enumerate(typed.attributes):
        check(attribute.object, 0, f"attributes[{i}]")
    for i, edge in enumerate(typed.relationships):
        check(edge.subject, 0, f"relationships[{i}]")
        check(edge.object, 0, f"relationships[{i}]")
    for i, (subject, other) in enumerate([] if typed.steps is msgspec.UNSET else typed.steps):
        check(subject, 0, f"steps[{i}]")
        check(other, -1, f"steps[{i}]")
    return msgspec.json.decode(msgspec.json.encode(typed))


def _plain_number(value: Any) -> Any:
    if not hasattr(value, "tolist"):
        raise TypeError(f"it holds a {type(value).__name__}")
    return value.tolist()


# ---------------------------------------------------------------- reading what people have


def read_graph(path: str | Path, image_id: str | None = None) -> Graph:
    """Read one scene graph: this program's layout, written by hand too, or Visual Genome's scene_graphs.json layout.

    By hand much may be left out: "image_name" (""), "attributes", "relationships", an object's box (0, 0, 0, 0:
    no box). An object may have its own attributes, as in Visual Genome: {"name": "dog", "attributes": ["brown"]}.
    An item of a split file is read too. Of a list `image_id` picks one ("7", "7.jpg"); a list of one needs none.
    Visual Genome's relationships whose subject or object is not there are left out, with a warning that counts them.
    Raises InputError naming file and item.
    """
    data = read_bytes(path)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        value = _picked(decode_json(data, path, list[msgspec.Raw]), image_id, path)
    else:
        value = decode_json(data, path)
    if isinstance(value, dict) and isinstance(value.get("labels"), dict):
        try:
            return checked_graph(graph_from_record(msgspec.convert(value, ImageRecord)), str(path))
        except (msgspec.ValidationError, KeyError) as error:
            raise InputError(f"{path}: is not an item of a split file: {error}") from None
    if not isinstance(value, dict) or not isinstance(value.get("objects"), list):
        raise InputError(f'{path}: is not a scene graph: it has no list "objects"; see docs/formats.md')
    things = _dicts(value, "objects", path)
    words = [
        {"attribute": word, "object": index}
        for index, thing in enumerate(things)
        for word in _list(thing, "attributes", f"{path}: objects[{index}]")
    ]
    graph = {
        "image_name": value.get("image_name", f"{value['image_id']}.jpg" if "image_id" in value else ""),
        "objects": [_with_name_and_box(thing) for thing in things],
        "attributes": _dicts(value, "attributes", path) + words,
        "relationships": _with_indices(_dicts(value, "relationships", path), things, path),
    }
    return checked_graph(graph | {key: value[key] for key in PHOTO_KEYS if key in value}, str(path))


class _Name(msgspec.Struct):
    """What tells which image an item of a list is of."""

    image_id: int | str | None = None
    image_name: str | None = None
    labels: _Name | None = None


def _picked(items: list[msgspec.Raw], image_id: str | None, path: str | Path) -> Any:
    """The item of a list of graphs whose image is called `image_id`; without one, the only item."""
    if image_id is None:
        if len(items) != 1:
            raise InputError(f"{path}: is a list of {len(items):,} graphs; say which one with --image_id")
        return decode_json(items[0], path)
    for i, item in enumerate(items):
        name = decode_json(item, f"{path}: item {i}", _Name)
        ids = {str(part.image_id) for part in (name, name.labels) if part is not None}
        if image_id == name.image_name or image_id.rsplit(".", 1)[0] in ids or image_id in ids:
            return decode_json(item, f"{path}: item {i}")
    raise InputError(f"{path}: has no image {image_id} among its {len(items):,} graphs; check --image_id")


def _list(value: dict[str, Any], key: str, where: str | Path) -> list[Any]:
    """The list under `key`; empty when there is none."""
    items = value.get(key)
    if not isinstance(items, list | None):
        raise InputError(f'{where}: has the wrong shape: "{key}" must be a list')
    return items or []


def _dicts(value: dict[str, Any], key: str, path: str | Path) -> list[dict[str, Any]]:
    items = _list(value, key, path)
    if not all(isinstance(item, dict) for item in items):
        raise InputError(f'{path}: has the wrong shape: every item of "{key}" must be a JSON object')
    return items


def _with_name_and_box(thing: dict[str, Any]) -> dict[str, Any]:
    """Visual Genome has "name", or a list "names" that can be empty; by hand the box may be missing."""
    box = {"x": 0, "y": 0, "w": 0, "h": 0}
    names = {"name": (thing["names"] or ["unnamed"])[0]} if isinstance(thing.get("names"), list) else {}
    return box | names | {key: value for key, value in thing.items() if value is not None}


def _with_indices(
    relationships: list[dict[str, Any]], things: list[dict[str, Any]], path: str | Path
) -> list[dict[str, Any]]:
    """Relationships by Visual Genome's subject_id and object_id get indices; others stay as they are."""
    index_of: dict[str, int] = {}
    for index, thing in enumerate(things):  # merged ids: other ids of the same object
        for object_id in [thing.get("object_id"), *_list(thing, "merged_object_ids", f"{path}: objects[{index}]")]:
            index_of.setdefault(str(object_id), index)
    indexed, loose = [], []
    for i, edge in enumerate(relationships):
        if "subject_id" in edge or "object_id" in edge:
            ends = {end: index_of.get(str(edge.get(f"{end}_id"))) for end in ("subject", "object")}
            if None in ends.values():
                loose.append(i)
                continue
            edge = edge | ends
        indexed.append(edge)
    if loose:
        count = f"{len(loose):,} relationship{'s' if len(loose) > 1 else ''}"
        print(f"warning: {path}: {count} left out: subject or object is not there ({_first(loose)})", file=sys.stderr)
    return indexed


def _first(indices: list[int]) -> str:
    return f"relationships[{indices[0]}]" if len(indices) == 1 else f"the first is relationships[{indices[0]}]"


# ---------------------------------------------------------------- image_states.pickle


def read_image_states(path: str | Path) -> dict[str, list[Graph]]:
    """Read image_states.pickle -> {"gt": [graph, …], "curr": [graph, …]}, checked. Raises InputError."""
    states = read_plain_pickle(path, PICKLE_CURE)
    if not isinstance(states, dict) or not all(isinstance(states.get(key), list) for key in ("gt", "curr")):
        raise InputError(f'{path}: is not an image_states.pickle: it must hold lists "gt" and "curr"; {PICKLE_CURE}')
    return _checked_states(states, path)


def read_graph_folder(folder: str | Path) -> dict[str, list[Graph]]:
    """Read gt_graph_<i>.json and curr_graph_<i>.json (made by pickle_to_files.py) -> as `read_image_states`.

    Raises InputError when there is none, one of a pair is missing, or a pair is of different images.
    """
    folder = Path(folder)
    found = (re.fullmatch(r"(gt|curr)_graph_(\d+)\.json", path.name) for path in folder.glob("*_graph_*.json"))
    present = {(name[1], int(name[2])) for name in found if name}
    if not present:
        raise InputError(f"{folder}: has no gt_graph_<i>.json; make them with graphviz/pickle_to_files.py")
    states: dict[str, list[Graph]] = {"gt": [], "curr": []}
    for i in sorted({number for _, number in present}):
        for kind, graphs in states.items():
            graphs.append(read_graph(folder / f"{kind}_graph_{i}.json"))
    check_same_images(states["gt"], states["curr"], str(folder))
    return states


def default_pickle() -> Path:
    """image_states.pickle in the current folder, else in the repository: where main.py leaves it by default."""
    name = Path("image_states.pickle")
    beside = Path(__file__).resolve().parents[1] / name
    return beside if beside.exists() and not name.exists() else name


def write_image_states(path: str | Path, gt: Sequence[Graph], curr: Sequence[Graph]) -> None:
    """Write image_states.pickle, atomically. Raises InputError as `checked_graph`."""
    states = _checked_states({"gt": gt, "curr": curr}, path)
    write_plain_pickle(path, states)


def _checked_states(states: dict[str, Sequence[Graph]], path: str | Path) -> dict[str, list[Graph]]:
    states = {
        key: [checked_graph(graph, f"{path}: {key}[{i}]") for i, graph in enumerate(states[key])]
        for key in ("gt", "curr")
    }
    check_same_images(states["gt"], states["curr"], str(path))
    return states


def check_same_images(gt: Sequence[Graph], curr: Sequence[Graph], where: str) -> None:
    """Raises InputError unless both hold the same images in the same order."""
    if len(gt) != len(curr):
        raise InputError(f"{where}: has {len(gt)} ground-truth graphs but {len(curr)} predicted ones; make it again")
    for i, (truth, found) in enumerate(zip(gt, curr, strict=True)):
        if truth["image_name"] != found["image_name"]:
            names = f"{truth['image_name']!r} as ground truth but {found['image_name']!r} as prediction"
            raise InputError(f"{where}: graph {i} is of {names}; make it again")


# ---------------------------------------------------------------- from one layout to another


def graph_from_record(record: ImageRecord) -> Graph:
    """The ground-truth graph of one image of a split."""
    size = {"width": record.width, "height": record.height} if record.width and record.height else {}
    index_of = {thing.object_id: index for index, thing in enumerate(record.labels.objects)}
    return {
        "image_name": record.image_name,
        "objects": [
            {"name": thing.name, "x": thing.x, "y": thing.y, "w": thing.w, "h": thing.h}
            for thing in record.labels.objects
        ],
        "attributes": [
            {"attribute": word, "object": index}
            for index, thing in enumerate(record.labels.objects)
            for word in thing.attributes
        ],
        "relationships": [
            {"predicate": edge.predicate, "subject": index_of[edge.subject_id], "object": index_of[edge.object_id]}
            for edge in record.labels.relationships
        ],
        **size,
    }


def _scored_word(thing: dict[str, Any]) -> str:
    """What an object counts as: the agent's word where that is right (tv, a monitor), never one that stands in."""
    return thing["name"] if thing.get("stand_in") else thing.get("related_as", thing["name"])


def predictions_from_graphs(graphs: Iterable[Graph]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Graphs in predictions.json's layout, by image name (see files/predictions.py). Without a score an item gets 1.

    Ground-truth graphs in this layout keep their order and their repetitions. Raises InputError when two graphs are
    of one image.
    """
    predictions: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for graph in graphs:
        name = graph["image_name"]
        if name in predictions:
            raise InputError(f"two graphs are of the image {name!r}; keep one of them")
        names = [_scored_word(thing) for thing in graph["objects"]]
        # Rounded: 10.333 + 20.1 - 1 is 29.433000000000003, and an overlap of exactly one half would be lost.
        boxes = [
            [o["x"], o["y"], round(o["x"] + o["w"] - 1, 6), round(o["y"] + o["h"] - 1, 6)] for o in graph["objects"]
        ]
        predictions[name] = {
            "relationships": [
                {
                    "subject": names[edge["subject"]],
                    "predicate": edge["predicate"],
                    "object": names[edge["object"]],
                    "subject_box": boxes[edge["subject"]],
                    "object_box": boxes[edge["object"]],
                    "score": edge.get("score", 1.0),
                }
                for edge in graph["relationships"]
            ],
            "attributes": [
                {
                    "entity": names[item["object"]],
                    "attribute": item["attribute"],
                    "box": boxes[item["object"]],
                    "score": item.get("score", 1.0),
                }
                for item in graph["attributes"]
            ],
        }
    return predictions
