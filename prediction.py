"""--predict: scene graphs of an image or a folder of images, streamed, a few files an image."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

import ranks
from data.splits import ImageRecord, Labels
from detections import DetectionsFile
from drawing import draw_boxes, draw_graph
from feature_cache import compute_features
from formats import InputError, atomic_write, safe_file_name, write_json
from image_files import list_images, load_image
from results import graphs
from scene_graph_files import Graph
from testing import load_network
from vrl_model import QNetwork
from walk import walk
from wiring import Parts, make_agent, make_scenes

CHUNK = 32  # images in memory at a time
SHOWN_RELATIONSHIPS = 15  # in the pictures


def predict(parts: Parts, detections: DetectionsFile) -> None:
    """Write NAME.json, NAME_boxes.jpg and NAME_graph.png for each image into OUTPUT_DIR/predictions/.

    Images that are done already are passed over, so a run that was stopped goes on where it was. Images that do
    not decode are skipped and listed at the end. With several ranks each takes its share.
    """
    source, output = Path(parts.arguments.predict), Path(parts.arguments.output_dir) / "predictions"
    paths = list_images(source) if source.is_dir() else [source]
    if not paths[0].exists():
        raise InputError(f"{source}: no such image or folder; check --predict")
    names = _unique_names(paths)
    todo = [path for path in paths if not (output / f"{names[path]}.json").exists()]
    if len(todo) < len(paths):
        print(f"{len(paths) - len(todo)} of {len(paths)} images are done already.")
    network = load_network(parts)
    mine = iter(todo[ranks.rank() :: ranks.world_size()])
    skipped: dict[str, str] = {}
    with tqdm(total=len(todo), desc="predicting", unit="image", disable=None if ranks.rank() == 0 else True) as bar:
        while chunk := list(islice(mine, CHUNK)):
            for path, graph in _predict_chunk(parts, network, chunk, detections, skipped):
                _write(graph, path, output / names[path])
            bar.update(len(chunk) * ranks.world_size())
    skipped = {name: why for part in ranks.gather(skipped) for name, why in part.items()}
    if ranks.rank():
        return
    for why in skipped.values():
        print(f"skipped: {why}", file=sys.stderr)
    done = len(todo) - len(skipped)
    print(f"{done} scene graphs written to {output} (JSON, boxes, graph); {len(skipped)} images skipped.")


def _unique_names(paths: list[Path]) -> dict[Path, str]:
    """A file name for each image: its own without the ending, which stays where two would share a name."""
    stems = [safe_file_name(path.stem).lower() for path in paths]
    repeated = {stem for stem in stems if stems.count(stem) > 1} if len(set(stems)) < len(stems) else set()
    return {
        path: safe_file_name(path.name if stem in repeated else path.stem)
        for path, stem in zip(paths, stems, strict=True)
    }


def _predict_chunk(
    parts: Parts, network: QNetwork, paths: list[Path], detections: DetectionsFile, skipped: dict[str, str]
) -> Iterator[tuple[Path, Graph]]:
    """The graphs of the images that can be read; the others' reasons go into `skipped`."""
    readable = []
    for path in paths:
        try:
            load_image(path)
            readable.append(path)
        except InputError as error:
            skipped[path.name] = str(error)
    if not readable:
        return
    records = [ImageRecord(path.name, Labels(0, [], [])) for path in readable]
    scenes = make_scenes(parts, records, detections)
    features = None
    if parts.embedding is not None:
        items = [(path.name, path, scenes.instances(i).boxes) for i, path in enumerate(readable)]
        features = compute_features(
            parts.embedding, items, Path(parts.arguments.output_dir) / "feature_cache", 0, parts.device, local=True
        )
    arguments = parts.arguments
    found = walk(
        make_agent(parts, network, scenes, features),
        parts.action_sets,
        scenes,
        parts.graph,
        parts.rules,
        np.arange(len(readable)),
        CHUNK,
        arguments.predicates_per_pair,
        arguments.attributes_per_step,
    )
    yield from zip(readable, graphs(found, scenes, parts.graph, range(len(readable)))[1], strict=True)


def _write(graph: Graph, image: Path, target: Path) -> None:
    """The two pictures first: the JSON file says that the image is done."""
    photo = load_image(image)
    with atomic_write(target.with_name(f"{target.name}_boxes.jpg")) as file:
        draw_boxes(photo, graph).save(file, "JPEG", quality=90)
    draw_graph(graph, target.with_name(f"{target.name}_graph.png"), max_relationships=SHOWN_RELATIONSHIPS)
    write_json(target.with_name(f"{target.name}.json"), graph)
