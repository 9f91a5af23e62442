"""Draw the sample world: images with annotations in Visual Genome 1.4's layout.

    python data/make_sample.py [--output data] [--num_images 400] [--seed 0]

writes `VG_100K/<image_id>.jpg` and `raw_data/*` below the output folder. The same seed gives
the same bytes (with the same Pillow). See data/sample/activities.py for what happens in a scene.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import sys
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
from PIL import Image
from tqdm import tqdm

from data.sample.annotations import OBJECT_ALIASES, PREDICATE_ALIASES, Seen, visual_genome_items
from data.sample.composition import HELD_OUT, MOST_THINGS, compose, holds_held_out
from data.sample.pen import HEIGHT, WIDTH
from data.sample.world import Scene
from files.io import InputError, atomic_write, read_json, remove_leftovers_in, reports_input_errors, write_json
from files.locks import folder_lock

MOST_IMAGES = 100_000
FIRST_IMAGE_ID = 9_000_001  # above every id of Visual Genome
MARK = "sample.json"  # in raw_data: says that this folder holds the sample, and which images are the sample's
LISTS = ("objects", "relationships", "attributes", "scene_graphs")
FILES = (
    *(f"{name}.json" for name in LISTS),
    "image_data.json",
    "split.json",
    "object_alias.txt",
    "relationship_alias.txt",
)
SHARES = (("train", 0.75), ("validation", 0.10), ("test", 0.15))
PATIENCE = 60  # scenes composed in search of a held-out combination


def split_ids(num_images: int) -> dict[str, list[int]]:
    """The image ids of each split, in order; every split has at least one image (num_images >= 3)."""
    held = {name: max(1, round(num_images * share)) for name, share in SHARES[1:]}
    sizes = {"train": num_images - sum(held.values()), **held}
    ids = iter(range(FIRST_IMAGE_ID, FIRST_IMAGE_ID + num_images))
    return {name: [next(ids) for _ in range(size)] for name, size in sizes.items()}


def draw(image_id: int, seed: int, held_out: bool | None) -> tuple[Image.Image, Seen, Scene]:
    """One image and what is seen on it.

    Scenes are composed again until one shows 4 to 12 objects, some relationships, and of the
    combinations of HELD_OUT none (False), at least one (True), or what comes (None).
    """
    for attempt in count():
        scene = compose(Random(f"{seed}/{image_id}/{attempt}"), held_out is not False)
        if held_out is not None and attempt < PATIENCE and holds_held_out(scene) != held_out:
            continue
        image, boxes = scene.paint()
        number = {n: i for i, n in enumerate(sorted(boxes))}
        objects = [(t.category, t.attributes, boxes[t.number]) for t in scene.things if t.number in boxes]
        triplets = [(number[s], p, number[o]) for s, p, o in scene.triplets() if s in number and o in number]
        shown = any((objects[s][0], p, objects[o][0]) in HELD_OUT for s, p, o in triplets)
        if (
            4 <= len(objects) <= MOST_THINGS
            and len(triplets) >= 4
            and (held_out is None or shown == held_out or (held_out and attempt > PATIENCE))
        ):
            return image, Seen(image_id, objects, triplets), scene
    raise AssertionError("unreachable")


def _job(job: tuple[int, int, bool | None]) -> tuple[int, bytes, dict[str, Any]]:
    """Image id, JPEG bytes, the image's item of each annotation file."""
    image_id, seed, _ = job
    image, seen, _ = draw(*job)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92, subsampling=0, optimize=False)
    return image_id, file.getvalue(), visual_genome_items(seen, Random(f"{seed}/{image_id}/annotations"))


class _Mark(msgspec.Struct):
    image_ids: list[int]


def check_free(output: Path, overwrite: bool) -> list[int]:
    """The image ids of an earlier sample in the folder.

    Raises InputError when the folder holds images or annotations that are not the sample's,
    unless `overwrite`: then the annotation files are replaced (no image but the sample's is).
    """
    images, raw = output / "VG_100K", output / "raw_data"
    mark = raw / MARK
    if overwrite and not mark.exists():
        return []
    earlier = read_json(mark, _Mark, "remove it").image_ids if mark.exists() else []
    ours = {f"{i}.jpg" for i in earlier}, {MARK, *FILES} if mark.exists() else set()
    for folder, known in zip((images, raw), ours, strict=True):
        if not folder.exists():
            continue
        if not folder.is_dir():
            raise InputError(f"{folder}: is not a folder; choose another --output")
        foreign = sorted(p.name for p in folder.iterdir() if p.name not in known and not p.name.startswith("."))
        if foreign and not overwrite:
            raise InputError(
                f"{folder}: holds {len(foreign)} file(s) that are not this sample's ({foreign[0]}, ...), perhaps a "
                f"download; choose another --output, or --overwrite to replace annotation files of the sample's names"
            )
    return earlier


def make_sample(output: Path, num_images: int, seed: int, overwrite: bool = False, workers: int | None = None) -> int:
    """Write the sample below `output`; returns the number of annotated objects.

    Raises InputError when the folder cannot be written or holds something else.
    """
    earlier = check_free(output, overwrite)
    images, raw = output / "VG_100K", output / "raw_data"
    for folder in (images, raw) if earlier else ():
        remove_leftovers_in(folder)
    splits = split_ids(num_images)
    jobs = []
    for name, ids in splits.items():
        # two of three test images show a combination that training does not
        jobs += [(i, seed, False if name != "test" else (True if i % 3 else None)) for i in ids]
    about = {"made_by": "data/make_sample.py", "seed": seed}
    write_json(
        raw / MARK, {**about, "image_ids": sorted({*earlier, *(job[0] for job in jobs)})}
    )  # first, so that a sample that was cut off is known as one
    lists: dict[str, list[Any]] = {name: [] for name in LISTS}
    images.mkdir(parents=True, exist_ok=True)
    workers = workers or (1 if num_images < 24 else min(os.cpu_count() or 1, 8))
    context = multiprocessing.get_context("spawn")  # the same on every system
    with context.Pool(workers) if workers > 1 else _Here() as pool:
        drawn = pool.imap(_job, jobs, chunksize=4)
        for image_id, data, items in tqdm(drawn, total=len(jobs), desc="drawing", unit="image", disable=None):
            with atomic_write(images / f"{image_id}.jpg") as file:
                file.write(data)
            for name, item in items.items():
                lists[name].append(item)
    made = {job[0] for job in jobs}
    for image_id in set(earlier) - made:
        (images / f"{image_id}.jpg").unlink(missing_ok=True)
    for name, items in lists.items():
        with atomic_write(raw / f"{name}.json", "w") as file:
            file.write("[" + ",\n".join(json.dumps(item) for item in items) + "]\n")
    sizes = [{"image_id": i, "width": WIDTH, "height": HEIGHT, "url": f"VG_100K/{i}.jpg"} for i in sorted(made)]
    write_json(raw / "image_data.json", sizes)
    write_json(raw / "split.json", splits)
    for name, groups in (("object_alias.txt", OBJECT_ALIASES), ("relationship_alias.txt", PREDICATE_ALIASES)):
        with atomic_write(raw / name, "w") as file:
            file.writelines(",".join(group) + "\n" for group in groups)
    write_json(raw / MARK, {**about, "image_ids": sorted(made)})
    return sum(len(item["objects"]) for item in lists["objects"])


class _Here:
    """Does the jobs in this process, for a sample too small to be worth a pool."""

    imap = staticmethod(lambda function, jobs, chunksize: map(function, jobs))

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _number_of_images(text: str) -> int:
    value = int(text)
    if value < 3:
        raise argparse.ArgumentTypeError("must be at least 3")
    if value > MOST_IMAGES:
        raise argparse.ArgumentTypeError(f"must be at most {MOST_IMAGES}")
    return value


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Draw the sample world with annotations in Visual Genome's layout.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    here = Path(__file__).resolve().parent
    parser.add_argument("--output", type=Path, default=here, help="folder for VG_100K/ and raw_data/")
    parser.add_argument("--num_images", type=_number_of_images, default=400, help="three quarters of them for training")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes")
    parser.add_argument("--overwrite", action="store_true", help="even where the folder holds something else")
    arguments = parser.parse_args(argv)
    with folder_lock(arguments.output, "--output", shared=True):
        objects = make_sample(arguments.output, arguments.num_images, arguments.seed, arguments.overwrite)
    ids = split_ids(arguments.num_images)
    parts = ", ".join(f"{len(ids[name])} {name}" for name, _ in SHARES)
    print(
        f"Drew {arguments.num_images} images ({parts}) with {objects} objects: images in "
        f"{arguments.output / 'VG_100K'}, annotations in {arguments.output / 'raw_data'}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
