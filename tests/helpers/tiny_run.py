"""A world of 24 images with everything that the scripts make of it, once for all test processes."""

from __future__ import annotations

import fcntl
import functools
import json
import random
import shutil
from pathlib import Path

import create_graph
import data.make_sample
import main

# A small network without pixels: an epoch takes a second.
SMALL = [
    "--image_embedding_model_type", "none", "--num_members", "2", "--fusion_sizes", "32", "--category_vectors", "8",
    "--batch_size", "16", "--replay_buffer_minimum_number_samples", "64", "--num_workers", "0", "--device", "cpu",
]  # fmt: skip
PIXELS = [*SMALL, "--image_embedding_model_type", "efficientnet_lite0"]


class World:
    """Where the images, the graph, the splits and a trained agent with efficientnet_lite0 features (`run`) are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images, self.graph, self.run = folder / "VG_100K", folder / "graph.pickle", folder / "run"
        self.splits = folder / "data" / "data_samples"
        self.detections = folder / "detections.json"

    def files(self, output: Path, **others: Path | str) -> list[str]:
        """The flags that name files; others: instead of the usual ones, or besides."""
        named = {f"{split}_data": self.splits / f"{split}_data.json" for split in ("train", "validation", "test")}
        named |= {"graph": self.graph, "images_dir": self.images, "output_dir": output} | others
        return [text for name, value in named.items() for text in (f"--{name}", str(value))]

    def records(self, split: str) -> list[dict]:
        return json.loads((self.splits / f"{split}_data.json").read_text())


@functools.cache
def world(base: Path) -> World:
    """The world in the folder `base` / tiny_run. Whichever process asks first makes it, others wait."""
    made, done = World(base / "tiny_run"), base / "tiny_run.done"
    with (base / "tiny_run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(made)
            done.touch()
    return made


def make(made: World) -> None:
    """make_sample.py, create_graph.py, main.py --train with pixels."""
    assert data.make_sample.main(["--output", str(made.folder), "--num_images", "24"]) == 0
    raw = str(made.folder / "raw_data")
    assert not create_graph.main(["--annotations", raw, "--output", str(made.folder), "--min_occurrences", "3"])
    boxes = random.Random(0)
    detections = {
        record["image_name"]: [
            {
                "category": thing["name"],
                "score": round(boxes.uniform(0.3, 1), 3),
                "bbox": [
                    thing["x"] + boxes.uniform(-2, 2),
                    thing["y"] + boxes.uniform(-2, 2),
                    thing["x"] + thing["w"] - 1 + boxes.uniform(0, 2),
                    thing["y"] + thing["h"] - 1,
                ],
            }
            for thing in record["labels"]["objects"]
        ]
        for split in ("train", "validation", "test")
        for record in made.records(split)
    }
    made.detections.write_text(json.dumps(detections))
    assert main.main(["--train", *made.files(made.run), *PIXELS, "--num_epochs", "2"]) == 0


def copy_of_world(made: World, target: Path) -> World:
    """All of it in a folder of its own, for tests that put more beside it."""
    shutil.copytree(made.folder, target)
    return World(target)


def copy_of_run(made: World, target: Path) -> Path:
    """The trained agent in a folder of its own, for tests that write beside it."""
    shutil.copytree(made.run, target)
    return target
