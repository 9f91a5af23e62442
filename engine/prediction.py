"""--predict: scene graphs of an image or a folder of images, streamed, a few files an image."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from drawing.pictures import draw_boxes, draw_graph
from drawing.selection import drawing_limits, items_to_draw
from engine import distributed as ranks
from engine.options import MODEL_FLAGS
from engine.parts import Parts, detected_instances, find_checkpoint, make_agent, trained_network
from engine.proposals import PhotoBoxes
from engine.results import graphs
from engine.walk import Policy, walk
from faster_rcnn.detect import decoded
from files.images import list_images
from files.io import InputError, atomic_write, read_json, safe_file_name, write_json
from files.scene_graphs import Graph
from files.splits import ImageRecord, Labels
from scenes.scene import SceneSet
from vrl_model import Judgement, QValues

CHUNK = 8  # photos in memory at a time
DRAWN_RELATIONSHIPS = 12  # in the pictures, and none that is hardly believed; the JSON file has all
LISTED = 10  # relationships printed for a single photo

# What a finished graph depends on, beside MODEL_FLAGS: flags, and files that may be replaced by others.
FLAGS = ("maximum_num_entities_per_image", "detector")
FILES = ("graph", "detections", "class_map", "detector_weights")


def predict(parts: Parts, saved: dict[str, Any]) -> None:
    """Write NAME.json, NAME_boxes.jpg and NAME_graph.png for each image into OUTPUT_DIR/predictions/.

    What is done already is passed over, so a run that was stopped goes on where it was; with another checkpoint,
    other boxes or other flags everything is done anew. Images that do not decode, or that the detections file does
    not have, are skipped and listed at the end. With several ranks each takes its share.
    saved: the agent's checkpoint.
    """
    source, output = Path(parts.arguments.predict), Path(parts.arguments.output_dir) / "predictions"
    names = file_names(_images(source, output))
    network = trained_network(parts, saved)
    boxes = PhotoBoxes(parts.arguments, parts.graph, parts.device)
    if boxes.file is not None and not any(path.name in boxes.file for path in names):
        raise InputError(f"{boxes.path}: has none of the {len(names)} images of {source}; give the file made for them")
    walker = _Walker(parts, network, boxes)

    _note_settings(output / ".settings.json", _settings(parts, source))
    ranks.total(torch.zeros(1, device=parts.device))  # rank 0 has written them
    since = (output / ".settings.json").stat().st_mtime_ns
    mine = list(names.items())[ranks.rank() :: ranks.world_size()]
    todo = [(path, name) for path, name in mine if not _is_done(path, output / f"{name}.json", since)]
    target = {path.name: output / name for path, name in todo}
    skipped: list[str] = []
    with (
        ThreadPoolExecutor(max(parts.arguments.num_workers, 1)) as pool,
        tqdm(total=len(todo), desc="predicting", unit="image", disable=None if ranks.rank() == 0 else True) as bar,
    ):
        photos = decoded(((path.name, path) for path, _ in todo), parts.arguments.num_workers, CHUNK)
        while chunk := list(itertools.islice(photos, CHUNK)):
            readable = [(name, photo) for name, photo in chunk if photo is not None]
            skipped += [f"{name}: does not decode" for name, photo in chunk if photo is None]
            without = boxes.look(readable)
            skipped += [f"{name}: {boxes.path} does not have it" for name in without]
            readable = [(name, photo) for name, photo in readable if name in boxes]
            found = walker(readable) if readable else []
            list(pool.map(_write, found, (photo for _, photo in readable), (target[name] for name, _ in readable)))
            bar.update(len(chunk))
    if parts.phrases is not None:
        parts.phrases.save()
    total, made, skipped = _add_up(len(names), len(todo) - len(skipped), skipped)
    if ranks.rank():
        return
    if len(skipped) == total:
        raise InputError(f"{source}: none of the {total} images can be used; the first: {skipped[0]}")
    if len(names) == 1 and todo and not skipped:
        print(_in_words(found[0]))
    for line in skipped:
        print(f"skipped: {line}", file=sys.stderr)
    earlier = f", {total - made - len(skipped)} were there already" if total > made + len(skipped) else ""
    print(
        f"Scene graphs of {made} of {total} images written to {output}{earlier}; {len(skipped)} images skipped. "
        "For each image: its graph as .json, _boxes.jpg and _graph.png."
    )


def _images(source: Path, output: Path) -> list[Path]:
    """The images to work on. Raises InputError when there is none."""
    if not source.exists():
        raise InputError(f"{source}: no such image or folder; check --predict")
    if source.resolve() == output.resolve():
        raise InputError(f"{source}: is where the pictures are written; give another --output_dir")
    return list_images(source) if source.is_dir() else [source]


def file_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Another file name for each image: its own without the ending, which stays where two would share a name.

    Names differ also where upper and lower case are one.
    """
    stems = Counter(safe_file_name(path.stem).lower() for path in paths)
    names: dict[Path, str] = {}
    given: Counter[str] = Counter()
    for path in paths:
        name = safe_file_name(path.stem)
        if stems[name.lower()] > 1:
            name = safe_file_name(path.name)
        wanted = name
        while given[name.lower()]:  # `a?.jpg` and `a*.jpg` are both `a_.jpg`
            given[wanted.lower()] += 1
            name = f"{wanted}-{given[wanted.lower()]}"
        given[name.lower()] = 1
        names[path] = name
    return names


# ---------------------------------------------------------------- what is done already


def _settings(parts: Parts, source: Path) -> dict[str, Any]:
    """Everything that the graphs depend on but the photos: flags, and files with their sizes and times."""
    arguments = vars(parts.arguments)
    folder = source if source.is_dir() else source.parent
    settings: dict[str, Any] = {"photos": _printable(str(folder.resolve()))}
    settings |= {key: arguments[key] for key in sorted([*MODEL_FLAGS, *FLAGS])}
    files = {"checkpoint": find_checkpoint(parts.arguments), **{key: arguments[key] for key in FILES}}
    for key, path in files.items():
        state = Path(path).stat() if path else None
        settings[key] = [_printable(str(Path(path).resolve())), state.st_size, state.st_mtime_ns] if state else None
    return settings


def _note_settings(path: Path, settings: dict[str, Any]) -> None:
    """Write the settings down unless they are there: what is older than them is not done."""
    if ranks.rank() == 0:
        if path.exists() and read_json(path, cure="remove it") == settings:
            return
        if path.exists():
            print(f"{path.parent} was made from other photos or with other settings; what is in it is done anew.")
        write_json(path, settings)


def _is_done(photo: Path, graph: Path, since: int) -> bool:
    try:
        return graph.stat().st_mtime_ns >= max(since, photo.stat().st_mtime_ns)
    except FileNotFoundError:
        return False


def _add_up(total: int, made: int, skipped: list[str]) -> tuple[int, int, list[str]]:
    """The counts of all ranks, on rank 0."""
    parts = ranks.gather((made, skipped))
    return total, sum(made for made, _ in parts), [line for _, lines in parts for line in lines]


# ---------------------------------------------------------------- a few photos at a time


def _in_full_batches(agent: Policy) -> Policy:
    """The agent judging CHUNK states at a time, however few there are: products of one size add up in one order.

    So the graph of a photo does not depend on what other photos there are, nor on the number of processes.
    """

    def judge(states: np.ndarray) -> Judgement:
        q, *confidences = agent(np.resize(states, CHUNK))
        n = len(states)
        return Judgement(QValues(*(values[:n] for values in q)), *(values[:n] for values in confidences))

    return judge


class _Walker:
    """Photos with boxes -> scene graphs, by the agent."""

    def __init__(self, parts: Parts, network: Any, boxes: PhotoBoxes) -> None:
        self.parts, self.network = parts, network
        self.detected = detected_instances(parts, boxes)
        if parts.embedding is not None:
            parts.embedding.to(parts.device)

    def __call__(self, photos: Sequence[tuple[str, Image.Image]]) -> list[Graph]:
        """(name, photo), names in the boxes at hand -> their graphs."""
        parts, arguments = self.parts, self.parts.arguments
        records = [ImageRecord(name, Labels(0, [], [])) for name, _ in photos]
        scenes = SceneSet(records, parts.graph, self.detected, arguments.neighbour_factor, arguments.use_exact_match)
        if parts.embedding is not None:
            scenes.features = {
                name: self._embed(photo, scenes.instances(i).boxes) for i, (name, photo) in enumerate(photos)
            }
        found = walk(
            _in_full_batches(make_agent(parts, self.network, scenes)),
            scenes,
            parts.rules,
            np.arange(len(records)),
            num_slots=CHUNK,
            predicates_per_pair=arguments.predicates_per_pair,
            attributes_per_step=arguments.attributes_per_step,
        )
        predicted = graphs(found, scenes, range(len(records)))[1]
        return [{**graph, "image_name": _printable(graph["image_name"])} for graph in predicted]

    def _embed(self, photo: Image.Image, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The image's and the boxes' features, to the precision that the feature cache keeps for training and test."""
        image, objects = self.parts.embedding.embed(photo, boxes)
        return image.astype(np.float16).astype(np.float32), objects.astype(np.float16).astype(np.float32)


def _write(graph: Graph, photo: Image.Image, target: Path) -> None:
    """The two pictures first: the JSON file says that the image is done."""
    worth = drawing_limits(graph, DRAWN_RELATIONSHIPS)
    with atomic_write(target.with_name(f"{target.name}_boxes.jpg")) as file:
        draw_boxes(photo, graph, items_to_draw(graph, **worth)["objects"]).save(file, "JPEG", quality=90)
    draw_graph(graph, target.with_name(f"{target.name}_graph.png"), **worth)
    write_json(target.with_name(f"{target.name}.json"), graph)


def _printable(name: str) -> str:
    """A file name that is not UTF-8 (the system gives it with lone surrogates), as text that can be written."""
    return name.encode("utf-8", "replace").decode()


def _in_words(graph: Graph) -> str:
    names = [f"{thing['name']} {number}" for number, thing in enumerate(graph["objects"], 1)]
    surest = [graph["relationships"][i] for i in items_to_draw(graph, **drawing_limits(graph, LISTED))["relationships"]]
    edges = sorted(surest, key=lambda edge: -edge["score"])
    lines = [f"  {names[e['subject']]} - {e['predicate']} - {names[e['object']]}  {e['score']:.2f}" for e in edges]
    return "\n".join([f"{graph['image_name']}: {len(names)} objects. Its surest relationships:", *lines])
