"""The files of a photo's scene graph: what they were made from, whether they are there, writing them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from drawing.pictures import draw_boxes, draw_graph
from drawing.selection import drawing_limits, items_to_draw
from engine.options import MODEL_FLAGS
from engine.parts import CLASS_MAP_NAME, Parts, find_checkpoint
from engine.photos import Photo, decoded, without_path
from files.exports import EXPORTS
from files.io import InputError, atomic_write, file_digest
from files.scene_graphs import Graph

PICTURE_SIDE = 1600  # pixels: the longer side of the photo with its boxes
DRAWN_RELATIONSHIPS = 12  # in the pictures, none of low confidence; the JSON file has all
VERSION = 3  # of what is written: another one makes everything again

# What a graph depends on beside MODEL_FLAGS: flags, and files by what they hold.
FLAGS = ("maximum_num_entities_per_image", "detector", "maximum_phrases")
FILES = ("graph", "detections", "class_map", "detector_weights", "image_embedding_weights")


def settings_digest(parts: Parts) -> bytes:
    """A digest of everything that the graphs depend on but the photos: flags, and what files hold."""
    arguments = vars(parts.arguments)
    settings: dict[str, Any] = {"version": VERSION}
    settings |= {key: arguments[key] for key in sorted([*MODEL_FLAGS, *FLAGS])}
    checkpoint = find_checkpoint(parts.arguments)
    files = {"checkpoint": checkpoint, "class map": checkpoint.with_name(CLASS_MAP_NAME)}
    files |= {key: Path(arguments[key]) for key in FILES if arguments[key]}
    settings |= {key: file_digest(path) for key, path in files.items() if path.is_file()}
    return hashlib.blake2b(repr(sorted(settings.items(), key=str)).encode(), digest_size=16).digest()


class _MadeFrom(msgspec.Struct):
    made_from: str = ""


def state_of(photo: Photo, settings: bytes, formats: Sequence[str]) -> tuple[str, str | None]:
    """What the photo's files would be made from now, and what they were made from; None where one is not there."""
    try:
        fingerprint = hashlib.blake2b(settings + file_digest(photo.path).encode(), digest_size=16).hexdigest()
    except InputError:  # said when it is decoded
        return "", None
    try:
        written = msgspec.json.decode(_named(photo.target, ".json").read_bytes(), type=_MadeFrom).made_from
    except FileNotFoundError:
        return fingerprint, None
    except (OSError, msgspec.MsgspecError):  # damaged
        return fingerprint, ""
    endings = [ending for form in formats for ending in _endings(form)]
    return fingerprint, written if all(_named(photo.target, ending).is_file() for ending in endings) else None


def _endings(form: str) -> tuple[str, ...]:
    return ("_boxes.jpg", "_graph.png") if form == "png" else (f".{form}",)


def _named(target: Path, ending: str) -> Path:
    return target.with_name(target.name + ending)


def write_graph(graph: Graph, photo: Photo, formats: Sequence[str]) -> str | None:
    """The JSON file last: it says that the photo is done. Returns what is wrong with the photo, None: nothing."""
    for form in formats:
        if form == "png":
            try:
                image = photo.image or decoded(photo, PICTURE_SIDE)
            except InputError as error:
                return without_path(error, photo)
            photo.image = None  # nobody needs it any more
            worth = drawing_limits(graph, DRAWN_RELATIONSHIPS)
            drawn = items_to_draw(graph, **worth)["objects"]
            if max(image.size) > PICTURE_SIDE:
                image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
            with atomic_write(_named(photo.target, "_boxes.jpg")) as file:
                draw_boxes(image, graph, drawn, photo.header[:2]).save(file, "JPEG", quality=90)
            draw_graph(graph, _named(photo.target, "_graph.png"), **worth)
        elif form != "json":
            with atomic_write(_named(photo.target, f".{form}")) as file:
                file.write(EXPORTS[form](graph).encode())
    with atomic_write(_named(photo.target, ".json")) as file:
        file.write(msgspec.json.encode(graph) + b"\n")
    return None


def what_is_written(formats: Sequence[str]) -> str:
    """For the report at the end."""
    pictures = "NAME_boxes.jpg and NAME_graph.png"
    words = ["its graph as NAME.json", *(pictures if form == "png" else f"NAME.{form}" for form in formats)]
    return ", ".join(word for word in words if word != "NAME.json")
