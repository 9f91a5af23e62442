"""--predict: scene graphs of photos, streamed, a few files a photo."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from drawing.gallery import prediction_gallery
from drawing.selection import drawing_limits, items_to_draw
from engine import distributed as ranks
from engine.parts import Parts, trained_network
from engine.photo_files import settings_digest, state_of, what_is_written, write_graph
from engine.photo_walk import PhotoWalker
from engine.photos import Photo, loaded
from engine.proposals import PhotoBoxes
from files.io import InputError
from files.locks import folder_lock
from files.photos import find_photos, output_names
from files.scene_graphs import Graph

BLOCK = 256  # photos in memory, where nobody looks at their pixels before they are drawn
BLOCK_OF_PIXELS = 4  # photos in memory with their pixels
LISTED = 10  # relationships printed for a single photo


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
    gallery = Path(arguments.output_dir) / "gallery"
    ours = arguments.gallery or (gallery / "index_data.js").exists()  # else a folder of that name may hold photos
    photos = find_photos(arguments.predict, arguments.recursive, [output, gallery] if ours else [output])
    network = trained_network(parts, saved)
    boxes = PhotoBoxes(arguments, parts.graph, parts.device, photos.paths)
    walker = PhotoWalker(parts, network, boxes)
    if ranks.rank() == 0:
        print(boxes.describe())
        if remark := photos.remark():
            print(remark)
    todo = _to_do(parts, photos.paths, output)
    skipped, last = _work(parts, todo, boxes, walker)
    if parts.phrases is not None:
        parts.phrases.save()
    everybody = ranks.gather((len(todo) - len(skipped), skipped, boxes.remarks()))
    if ranks.rank():
        return
    made, total = sum(count for count, _, _ in everybody), len(photos.paths)
    skipped = [line for _, lines, _ in everybody for line in lines]
    for line in skipped:
        print(f"skipped: {line}", file=sys.stderr)
    for line in (line for _, _, lines in everybody for line in lines):
        print(f"warning: {line}", file=sys.stderr)
    if len(skipped) == total:
        raise InputError(f"none of the {total} photos can be used; the first: {skipped[0]}")
    if total == 1 and last is not None:
        print(_in_words(last))
    there = total - made - len(skipped)
    already = f", {there} were there already" if there else ""
    print(
        f"Scene graphs of {made} of {total} photos written to {output}{already}; {len(skipped)} skipped. "
        f"For each photo: {what_is_written(arguments.format)}."
    )
    if arguments.gallery:
        shown = prediction_gallery(output, gallery)
        for line in shown.missing:
            print(f"warning: {line}", file=sys.stderr)
        print(f"A gallery of {shown.images} photos: {gallery / 'index.html'}.")


def _to_do(parts: Parts, paths: Sequence[Path], output: Path) -> list[Photo]:
    """This rank's photos, without those that are done; says how many were done from something else."""
    names, settings = output_names(paths), settings_digest(parts)
    mine = [Photo(path, output / names[path], "") for path in paths[ranks.rank() :: ranks.world_size()]]
    todo, earlier = [], 0
    with ThreadPoolExecutor(max(parts.arguments.num_workers, 1)) as pool:
        states = pool.map(lambda photo: state_of(photo, settings, parts.arguments.format), mine)
        for photo, (fingerprint, made_from) in zip(mine, states, strict=True):
            photo.made_from = fingerprint
            if made_from != fingerprint or not fingerprint:
                todo.append(photo)
                earlier += made_from is not None
    earlier = sum(ranks.gather(earlier))
    if earlier and ranks.rank() == 0:
        print(f"{earlier} photos were done from other photos, boxes or settings; they are made again.")
    return todo


def _work(
    parts: Parts, todo: Sequence[Photo], boxes: PhotoBoxes, walker: PhotoWalker
) -> tuple[list[str], Graph | None]:
    """Make the files of photos, a block of them at a time: a line on each that cannot be used, and the last graph."""
    arguments = parts.arguments
    skipped, last = [], None
    many_folders = len({photo.path.parent for photo in todo}) > 1
    looks = boxes.detector is not None or parts.embedding is not None
    block = BLOCK_OF_PIXELS if looks else BLOCK
    with (
        ThreadPoolExecutor(max(arguments.num_workers, 1)) as pool,
        tqdm(total=len(todo), desc="predicting", unit="photo", disable=None if ranks.rank() == 0 else True) as bar,
    ):
        stream = loaded(todo, pool, looks, ahead=block)
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
                writing.append((photo, pool.submit(write_graph, graph, photo, arguments.format)))
                finish(left=block)
        finish(left=0)
    return skipped, last


def _in_words(graph: Graph) -> str:
    names = [f"{thing['name']} {number}" for number, thing in enumerate(graph["objects"], 1)]
    things = "1 object" if len(names) == 1 else f"{len(names)} objects"
    best = [graph["relationships"][i] for i in items_to_draw(graph, **drawing_limits(graph, LISTED))["relationships"]]
    edges = sorted(best, key=lambda edge: -edge["score"])
    lines = [f"  {names[e['subject']]} - {e['predicate']} - {names[e['object']]}  {e['score']:.2f}" for e in edges]
    heading = f"{graph['image_name']}: {things}, {len(graph['relationships'])} relationships"
    return "\n".join([heading + (". The most confident:" if lines else "."), *lines])
