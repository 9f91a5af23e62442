"""How fast --predict works on a folder of photos, how much memory it takes, and how well it finds on real ones.

    python benchmarks/predict.py --photos 2000 --output OUT
    python benchmarks/predict.py --photos 10000 --large 24 --detector_weights FILE --vrd VRD_FOLDER --output OUT

Draws photos (1024 x 768 pixels, with boxes of COCO's classes where a detector might see some; --large of 50
megapixels), then runs main.py --predict with the pretrained agent as a user would, once for each stage, and
prints photos a second, processor time a photo and the peak memory of each. The start of the program (imports, the
agent) is timed apart, with one photo. With VRD's files it also prints recall on those photographs that
coco_detections.json has boxes of.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import evaluation
from files.detections_json import COCO_CATEGORIES
from files.io import reports_input_errors, write_json
from files.scene_graphs import predictions_from_graphs, read_graph
from files.splits import Split, write_split

ROOT = Path(__file__).resolve().parents[1]
SIZE = (1024, 768)
LARGE_SIZE = (8660, 5774)  # 50 megapixels
BOXES = 8  # of a photo, on average: what the COCO detector sees in VRD's photographs


def draw_photo(path: Path, size: tuple[int, int], boxes: list[dict]) -> None:
    """A soft background with a rectangle for each box: as JPEG about as large as a photo of that size."""
    rng = np.random.default_rng(int(path.stem))
    soft = Image.fromarray(rng.integers(0, 256, (size[1] // 64, size[0] // 64, 3), dtype=np.uint8))
    picture = soft.resize(size, Image.Resampling.BICUBIC)
    canvas = ImageDraw.Draw(picture)
    for box in boxes:
        canvas.rectangle(box["bbox"], fill=tuple(rng.integers(0, 256, 3).tolist()))
    picture.save(path, "JPEG", quality=92)


def some_boxes(rng: random.Random, size: tuple[int, int]) -> list[dict]:
    """Boxes of COCO's classes, a third of them persons."""
    boxes = []
    for _ in range(rng.randint(BOXES // 2, BOXES * 3 // 2)):
        w, h = (rng.uniform(0.05, 0.4) * side for side in size)
        x, y = rng.uniform(0, size[0] - w), rng.uniform(0, size[1] - h)
        name = "person" if rng.random() < 1 / 3 else rng.choice(COCO_CATEGORIES)
        corners = [round(v, 1) for v in (x, y, x + w - 1, y + h - 1)]
        boxes.append({"category": name, "score": round(rng.uniform(0.3, 1), 3), "bbox": corners})
    return boxes


def make_photos(folder: Path, count: int, size: tuple[int, int]) -> tuple[Path, Path]:
    """(folder of photos, detections file), made where they are not there yet."""
    photos, detections = folder / "photos", folder / "boxes.json"
    photos.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    boxes = {f"{i:06d}.jpg": some_boxes(rng, size) for i in range(count)}
    with ThreadPoolExecutor(2) as pool:
        todo = [(photos / name, size, items) for name, items in boxes.items() if not (photos / name).exists()]
        list(pool.map(lambda job: draw_photo(*job), todo))
    write_json(detections, boxes)
    return photos, detections


class Used(NamedTuple):
    """What a command took: seconds on the clock, of the processor, peak memory in gigabytes."""

    seconds: float
    processor: float
    gigabytes: float


def run(*arguments: object) -> Used:
    """Run main.py --predict. Raises SystemExit when it fails."""
    command = [sys.executable, str(ROOT / "main.py"), "--predict", *map(str, arguments), "--device", "cpu"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{said[-2000:]}")
    return Used(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6)


def recall(vrd: Path, output: Path) -> dict[str, float]:
    """What is found on VRD's photographs, with nothing but --detections and the photos."""
    run(vrd / "images", "--detections", vrd / "coco_detections.json", "--format", "json", "--output_dir", output)
    graphs = [read_graph(path) for path in sorted((output / "predictions").glob("*.json"))]
    create = (
        "--dataset",
        "vrd",
        "--annotations",
        vrd,
        "--min_occurrences",
        1,
        "--num_validation",
        0,
        "--output",
        output,
    )
    subprocess.run([sys.executable, ROOT / "create_graph.py", *map(str, create)], check=True, stdout=subprocess.DEVNULL)
    names = {graph["image_name"] for graph in graphs}
    truth = [r for r in Split(output / "data" / "data_samples" / "test_data.json") if r.image_name in names]
    write_split(output / "truth.json", truth)
    write_json(output / "predictions.json", predictions_from_graphs(graphs))
    flags = ("--predictions", output / "predictions.json", "--ground_truth", output / "truth.json")
    evaluation.main([*map(str, flags), "--output", str(output / "results.json")])
    empty = sum(len(graph["objects"]) > 1 and not graph["relationships"] for graph in graphs)
    print(f"{len(graphs)} photographs; {empty} with two or more boxes have an empty graph.")
    return json.loads((output / "results.json").read_text()) | {"empty": empty}


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """The command line: see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--photos", type=int, default=2000, help="how many; 0: none")
    parser.add_argument("--pictures", type=int, default=200, help="how many of them with pictures too")
    parser.add_argument("--large", type=int, default=8, help="how many of 50 megapixels; 0: none")
    parser.add_argument("--detector_weights", type=Path, help="a detector: the large photos once more with it")
    parser.add_argument("--vrd", type=Path, help="VRD's files and photographs")
    parser.add_argument("--output", type=Path, required=True, help="where everything is written")
    arguments = parser.parse_args(argv)
    rows: list[dict] = []

    def stage(name: str, count: int, *flags: object) -> None:
        folder = arguments.output / "runs" / name.removesuffix(" again").replace(" ", "_")
        used = run(*flags, "--output_dir", folder)
        took, work = max(used.seconds - start.seconds, 0.0), max(used.processor - start.processor, 0.0)
        rows.append({"stage": name, "photos": count, "seconds": took, "processor": work, "gigabytes": used.gigabytes})
        rate = f"{count / took:.1f}" if took > 1 else ""  # the start alone varies by as much
        figures = f"{took:.1f} | {rate} | {1000 * work / count:.0f} | {used.gigabytes:.2f}"
        print(f"| {name} | {count} | {figures} |", flush=True)

    if arguments.photos or arguments.large:
        photos, detections = make_photos(arguments.output / "small", max(arguments.photos, 1), SIZE)
        one = sorted(photos.iterdir())[0]
        given = ("--detections", detections)
        for folder in ("first", "one"):  # the first time libraries come from the disk
            start = run(one, *given, "--format", "json", "--output_dir", arguments.output / "runs" / folder)
        print(
            f"Start and one photo: {start.seconds:.1f} s, {start.processor:.1f} s of the processor\n\n"
            "| stage | photos | s | photos a second | processor ms a photo | peak GB |\n|" + " --- |" * 6
        )
    if arguments.photos:
        listed = arguments.output / "some.txt"
        for name, count, form in (
            ("graphs, a quarter", arguments.photos // 4, "json"),
            ("graphs", arguments.photos, "json"),
            ("graphs again", arguments.photos, "json"),
            ("graphs and pictures", min(arguments.pictures, arguments.photos), "json,png"),
        ):
            listed.write_text("\n".join(str(photos / f"{i:06d}.jpg") for i in range(count)))
            stage(name, count, listed, *given, "--format", form)
    if arguments.large:
        photos, detections = make_photos(arguments.output / "large", arguments.large, LARGE_SIZE)
        stage("50 megapixels, pictures", arguments.large, photos, "--detections", detections)
        if arguments.detector_weights:
            found = ("--detector_weights", arguments.detector_weights)
            stage("50 megapixels, detector, pictures", arguments.large, photos, *found)
    results: dict = {"stages": rows}
    if arguments.vrd:
        results["vrd"] = recall(arguments.vrd, arguments.output / "vrd")
    write_json(arguments.output / "results.json", results, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
