"""--predict: scene graphs of photos, streamed, a few files a photo."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from drawing.gallery import prediction_gallery
from drawing.pictures import draw_boxes, draw_graph
from drawing.selection import drawing_limits, items_to_draw
from engine import distributed as ranks
from engine.options import MODEL_FLAGS
from engine.parts import CLASS_MAP_NAME, Parts, detected_instances, find_checkpoint, make_agent, trained_network
from engine.proposals import PhotoBoxes
from engine.results import graphs
from engine.walk import Policy, walk
from files.exports import EXPORTS
from files.images import Header, image_header, load_image
from files.io import InputError, atomic_write, file_digest
from files.locks import folder_lock
from files.photos import find_photos, output_names
from files.scene_graphs import Graph
from files.splits import ImageRecord, Labels
from scenes.scene import SceneSet
from vrl_model import Judgement, QValues

CANDIDATES = 128  # pairs judged at once, best first
SLOTS = 64  # photos that are walked over side by side
BLOCK = 256  # photos in memory, where nobody looks at their pixels before they are drawn
BLOCK_OF_PIXELS = 4  # photos in memory with their pixels
MOST_PIXELS = 12_000_000  # a larger photo is shrunk before a detector or the agent looks at it
PICTURE_SIDE = 1600  # pixels: the longer side of the photo with its boxes
LARGE = 24_000_000  # pixels: one such photo is decoded at a time
DRAWN_RELATIONSHIPS = 12  # in the pictures, none of low confidence; the JSON file has all
LISTED = 10  # relationships printed for a single photo
VERSION = 1  # of what is written: another one makes everything again

# What a graph depends on beside MODEL_FLAGS: flags, and files by what they hold.
FLAGS = ("maximum_num_entities_per_image", "detector", "maximum_phrases")
FILES = ("graph", "detections", "class_map", "detector_weights", "image_embedding_weights")


@dataclass
class Photo:
    """A photo on its way: where it lies and what is written for it; `image` may be smaller than the file's pixels."""

    path: Path
    target: Path  # without an ending
    made_from: str
    header: Header | None = None
    image: Image.Image | None = None
    problem: str | None = None

    @property
    def key(self) -> str:
        """What the photo is called between the parts of this program."""
        return str(self.path)

    @property
    def scale(self) -> float:
        """Pixels of `image` for one of the photo."""
        return max(self.image.size) / max(self.header[:2])


def predict(parts: Parts, saved: dict[str, Any]) -> None:
    """Write NAME.json and what else --format names for each photo into OUTPUT_DIR/predictions/.

    A photo whose files were made from the same photo, boxes, agent and settings is passed over, so a run that was
    stopped resumes. Photos that do not decode, or that the detections file does not have, are skipped and listed at
    the end. With several ranks each takes its share. saved: the agent's checkpoint.
    """
    output = Path(parts.arguments.output_dir) / "predictions"
    with folder_lock(output) if ranks.rank() == 0 else contextlib.nullcontext():
        if ranks.rank() == 0:  # nobody else writes here now
            for leftover in output.glob(".*.tmp"):  # of a run that was killed
                leftover.unlink(missing_ok=True)
        ranks.total(torch.zeros(1, device=parts.device))  # no rank writes before
        _predict(parts, saved, output)


def _predict(parts: Parts, saved: dict[str, Any], output: Path) -> None:
    arguments = parts.arguments
    photos = find_photos(arguments.predict, arguments.recursive, output)
    names = output_names(photos.paths)
    network = trained_network(parts, saved)
    boxes = PhotoBoxes(arguments, parts.graph, parts.device, photos.paths)
    walker = _Walker(parts, network, boxes)
    if ranks.rank() == 0:
        print(boxes.describe())
        if remark := photos.remark():
            print(remark)
    settings = _settings(parts)
    mine = [Photo(path, output / names[path], "") for path in photos.paths[ranks.rank() :: ranks.world_size()]]
    todo, earlier = [], 0
    with ThreadPoolExecutor(max(arguments.num_workers, 1)) as pool:
        for photo, (fingerprint, made_from) in zip(
            mine, pool.map(lambda photo: _state(photo, settings, arguments.format), mine), strict=True
        ):
            photo.made_from = fingerprint
            if made_from != fingerprint or not fingerprint:
                todo.append(photo)
                earlier += made_from is not None
    earlier = sum(ranks.gather(earlier))
    if earlier and ranks.rank() == 0:
        print(f"{earlier} photos were done from other photos, boxes or settings; they are made again.")
    skipped, last = [], None
    many_folders = len({path.parent for path in photos.paths}) > 1
    looks = boxes.detector is not None or parts.embedding is not None
    block = BLOCK_OF_PIXELS if looks else BLOCK
    with (
        ThreadPoolExecutor(max(arguments.num_workers, 1)) as pool,
        tqdm(total=len(todo), desc="predicting", unit="photo", disable=None if ranks.rank() == 0 else True) as bar,
    ):
        stream = _loaded(todo, pool, looks, ahead=block)
        writing: deque[tuple[Photo, Future[str | None]]] = deque()

        def finish(left: int) -> None:
            while len(writing) > left:
                photo, future = writing.popleft()
                photo.problem = future.result()
                tell(photo)

        def tell(photo: Photo) -> None:
            bar.update()
            if photo.problem:
                skipped.append(f"{photo.path if many_folders else photo.path.name}: {photo.problem}")

        while chunk := list(itertools.islice(stream, block)):
            boxes.look(chunk)
            for photo in chunk:
                if photo.problem:
                    tell(photo)
            usable = [photo for photo in chunk if not photo.problem]
            for photo, graph in zip(usable, walker(usable) if usable else [], strict=True):
                last = graph
                writing.append((photo, pool.submit(_write, graph, photo, arguments.format)))
                finish(left=block)
        finish(left=0)
    if parts.phrases is not None:
        parts.phrases.save()
    made, skipped_everywhere, remarks = _add_up(len(todo) - len(skipped), skipped, boxes.remarks())
    if ranks.rank():
        return
    total = len(photos.paths)
    for line in skipped_everywhere:
        print(f"skipped: {line}", file=sys.stderr)
    for line in remarks:
        print(f"warning: {line}", file=sys.stderr)
    if len(skipped_everywhere) == total:
        raise InputError(f"none of the {total} photos can be used; the first: {skipped_everywhere[0]}")
    if total == 1 and last is not None:
        print(_in_words(last))
    there = f", {total - made - len(skipped_everywhere)} were there already" if total > made + len(skipped) else ""
    print(
        f"Scene graphs of {made} of {total} photos written to {output}{there}; {len(skipped_everywhere)} skipped. "
        f"For each photo: {_what_is_written(arguments.format)}."
    )
    if arguments.gallery:
        gallery = Path(arguments.output_dir) / "gallery"
        shown = prediction_gallery(output, gallery)
        for line in shown.missing:
            print(f"warning: {line}", file=sys.stderr)
        print(f"A gallery of {shown.images} photos: {gallery / 'index.html'}.")


def _what_is_written(formats: Sequence[str]) -> str:
    pictures = "NAME_boxes.jpg and NAME_graph.png"
    words = ["its graph as NAME.json", *(pictures if form == "png" else f"NAME.{form}" for form in formats)]
    return ", ".join(word for word in words if word != "NAME.json")


# ---------------------------------------------------------------- what is done already


def _settings(parts: Parts) -> bytes:
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


def _state(photo: Photo, settings: bytes, formats: Sequence[str]) -> tuple[str, str | None]:
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


def _add_up(made: int, skipped: list[str], remarks: list[str]) -> tuple[int, list[str], list[str]]:
    """The counts and lines of all ranks, on rank 0."""
    parts = ranks.gather((made, skipped, remarks))
    return (
        sum(made for made, _, _ in parts),
        [line for _, lines, _ in parts for line in lines],
        [line for _, _, lines in parts for line in lines],
    )


# ---------------------------------------------------------------- pixels


_one_at_a_time = threading.Lock()


def _load(photo: Photo, looks: bool) -> Photo:
    """Read the photo's header and, where somebody looks at them, its pixels; an error becomes its `problem`."""
    try:
        photo.header = image_header(photo.path)
        width, height = photo.header[:2]
        if looks:
            shrink = (MOST_PIXELS / (width * height)) ** 0.5
            photo.image = _decoded(photo, int(max(width, height) * shrink) if shrink < 1 else None)
    except InputError as error:
        photo.problem = _without_path(error, photo)
    return photo


def _decoded(photo: Photo, longest: int | None) -> Image.Image:
    """The photo's pixels; large photos are decoded one at a time."""
    large = photo.header.width * photo.header.height > LARGE
    with _one_at_a_time if large else contextlib.nullcontext():
        return load_image(photo.path, longest)


def _without_path(error: InputError, photo: Photo) -> str:
    return str(error).removeprefix(f"{photo.path}: ")


def _loaded(photos: Iterable[Photo], pool: ThreadPoolExecutor, looks: bool, ahead: int) -> Iterator[Photo]:
    """The photos in order, with headers and, where somebody looks at them, pixels; a few are read ahead."""
    photos = iter(photos)
    waiting = deque(pool.submit(_load, photo, looks) for photo in itertools.islice(photos, ahead))
    while waiting:
        photo = waiting.popleft().result()
        waiting.extend(pool.submit(_load, photo, looks) for photo in itertools.islice(photos, 1))
        yield photo


# ---------------------------------------------------------------- a few photos at a time


class _InFullBatches:
    """The agent judging SLOTS states at a time, however few there are: products of one size add up in one order.

    So the graph of a photo does not depend on what other photos there are, nor on the number of processes.
    """

    def __init__(self, agent: Policy) -> None:
        self.agent = agent

    def __call__(self, states: np.ndarray) -> Judgement:
        q, *confidences = self.agent(np.resize(states, SLOTS))
        n = len(states)
        return Judgement(QValues(*(values[:n] for values in q)), *(values[:n] for values in confidences))

    def promise(self, candidates: np.ndarray) -> np.ndarray:
        starts = range(0, len(candidates), CANDIDATES)
        parts = [self.agent.promise(np.resize(candidates[i : i + CANDIDATES], CANDIDATES)) for i in starts]
        return np.concatenate(parts)[: len(candidates)]


class _Walker:
    """Photos with boxes -> scene graphs, by the agent."""

    def __init__(self, parts: Parts, network: Any, boxes: PhotoBoxes) -> None:
        self.parts, self.network = parts, network
        self.detected = detected_instances(parts, boxes, stand_ins=True)
        if parts.embedding is not None:
            parts.embedding.to(parts.device)

    def __call__(self, photos: Sequence[Photo]) -> list[Graph]:
        """Photos whose boxes are at hand -> their graphs."""
        parts, arguments = self.parts, self.parts.arguments
        records = [ImageRecord(photo.key, Labels(0, [], [])) for photo in photos]
        scenes = SceneSet(records, parts.graph, self.detected, arguments)
        if parts.embedding is not None:
            scenes.features = {
                photo.key: self._embed(photo, scenes.instances(i).boxes) for i, photo in enumerate(photos)
            }
        found = walk(
            _InFullBatches(make_agent(parts, self.network, scenes)),
            scenes,
            parts.arguments,
            np.arange(len(records)),
            num_slots=SLOTS,
            maximum_choices=0,
            most=arguments.maximum_phrases,
        )
        predicted = graphs(found, scenes, range(len(records)), own_words=True)[1]
        return [_with_photo(graph, photo) for graph, photo in zip(predicted, photos, strict=True)]

    def _embed(self, photo: Photo, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The image's and the boxes' features, to the precision that the feature cache keeps for training and test."""
        image, objects = self.parts.embedding.embed(photo.image, scaled_boxes(boxes, photo.scale))
        return image.astype(np.float16).astype(np.float32), objects.astype(np.float16).astype(np.float32)


def scaled_boxes(boxes: np.ndarray, scale: float) -> np.ndarray:
    """(n, 4) inclusive corners in a picture `scale` times as large."""
    if scale == 1:
        return boxes
    last = np.array([0, 0, 1, 1], dtype=boxes.dtype)  # the last pixel is inside: its far edge is scaled
    return (boxes + last) * boxes.dtype.type(scale) - last


def _with_photo(graph: Graph, photo: Photo) -> Graph:
    return {
        "image_name": _printable(photo.path.name),
        "width": photo.header.width,
        "height": photo.header.height,
        "orientation_applied": photo.header.orientation != 1,
        "photo": _printable(str(photo.path)),
        "made_from": photo.made_from,
        **{key: value for key, value in graph.items() if key != "image_name"},
    }


def _write(graph: Graph, photo: Photo, formats: Sequence[str]) -> str | None:
    """The JSON file last: it says that the photo is done. Returns what is wrong with the photo, None: nothing."""
    for form in formats:
        if form == "png":
            try:
                image = photo.image or _decoded(photo, PICTURE_SIDE)
            except InputError as error:
                return _without_path(error, photo)
            photo.image = None  # nobody needs it any more
            worth = drawing_limits(graph, DRAWN_RELATIONSHIPS)
            drawn = items_to_draw(graph, **worth)["objects"]
            if max(image.size) > PICTURE_SIDE:
                image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
            scale = max(image.size) / max(photo.header[:2])
            with atomic_write(_named(photo.target, "_boxes.jpg")) as file:
                draw_boxes(image, _shrunk(graph, scale), drawn).save(file, "JPEG", quality=90)
            draw_graph(graph, _named(photo.target, "_graph.png"), **worth)
        elif form != "json":
            with atomic_write(_named(photo.target, f".{form}")) as file:
                file.write(EXPORTS[form](graph).encode())
    with atomic_write(_named(photo.target, ".json")) as file:
        file.write(msgspec.json.encode(graph) + b"\n")
    return None


def _shrunk(graph: Graph, scale: float) -> Graph:
    sides = ("x", "y", "w", "h")
    objects = [thing | {side: thing[side] * scale for side in sides} for thing in graph["objects"]]
    return {**graph, "objects": objects}


def _printable(name: str) -> str:
    """A file name that is not UTF-8 (the system gives it with lone surrogates), as text that can be written."""
    return name.encode("utf-8", "replace").decode()


def _in_words(graph: Graph) -> str:
    names = [f"{thing['name']} {number}" for number, thing in enumerate(graph["objects"], 1)]
    things = "1 object" if len(names) == 1 else f"{len(names)} objects"
    best = [graph["relationships"][i] for i in items_to_draw(graph, **drawing_limits(graph, LISTED))["relationships"]]
    edges = sorted(best, key=lambda edge: -edge["score"])
    lines = [f"  {names[e['subject']]} - {e['predicate']} - {names[e['object']]}  {e['score']:.2f}" for e in edges]
    heading = f"{graph['image_name']}: {things}, {len(graph['relationships'])} relationships"
    return "\n".join([heading + (". The most confident:" if lines else "."), *lines])
