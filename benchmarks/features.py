"""Image features: one pass of the backbone an image with RoI pooling, against box by box as the 2018 port did.

    python data/make_sample.py && python create_graph.py
    python benchmarks/features.py [--data data/data_samples/train_data.json] [--output features_benchmark.json]

Box by box: one process decodes the image, cuts out each box, and pushes the image and then every
box through the backbone, one at a time (weights, memory layout and threads as in the rest).
One pass: what main.py does, `compute_features` with worker processes, cache file included. Then
the cache alone: opening it again, checking every image file, reading every vector.

What bounds it: the convolutions of the backbone. Per image of the sample world (parts of the
JSON's "milliseconds_an_image", one thread): they take more than nine tenths; pooling, decoding and squashing
share the rest, and the last two run beside it in the workers. So the gain is about the number of
passes saved (one for the image and one for each box) times 224 x 224 / (288 x 288).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose file is named features too

import numpy as np
import torch

from boxes import from_xywh
from files.images import find_image, load_image
from files.io import InputError, reports_input_errors, write_json
from files.splits import Split
from scenes.feature_cache import FeatureCache, Item, compute_features
from scenes.features import EMBEDDING_MODELS, ImageEmbedding, build_embedding

NO_BOXES = np.zeros((0, 4))


def read_items(data: str, images_dir: str, count: int) -> list[Item]:
    """The first `count` images of a split with their annotated boxes."""
    records = [record for _, record in zip(range(count), Split(data), strict=False)]
    if not records:
        raise InputError(f"{data}: is empty")
    return [
        (
            record.image_name,
            find_image(images_dir, record.image_name),
            from_xywh(np.array([(o.x, o.y, o.w, o.h) for o in record.labels.objects]).reshape(-1, 4)),
        )
        for record in records
    ]


def box_by_box(embedding: ImageEmbedding, items: Sequence[Item]) -> float:
    """Seconds for all images, every box a forward pass of its own."""
    started = time.perf_counter()
    for _, path, boxes in items:
        image = load_image(path)
        embedding.embed(image, NO_BOXES)
        for x1, y1, x2, y2 in boxes:
            embedding.embed(image.crop((x1, y1, x2 + 1, y2 + 1)), NO_BOXES)
    return time.perf_counter() - started


def one_pass(embedding: ImageEmbedding, items: Sequence[Item], folder: Path, arguments: argparse.Namespace) -> float:
    """Seconds of `compute_features`, into the cache or from it, and of reading every vector once."""
    started = time.perf_counter()
    compute_features(embedding, items, folder, arguments.num_workers, arguments.device)
    cache = FeatureCache(embedding, items, folder)
    for name, _, _ in items:
        _ = cache[name]
    return time.perf_counter() - started


def profile(embedding: ImageEmbedding, items: Sequence[Item]) -> dict[str, float]:
    """Milliseconds an image of each part, all in this process on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spent = dict.fromkeys(("decoding", "squashing", "convolutions", "pooling"), 0.0)
    for _, path, boxes in items:
        clock = [time.perf_counter()]
        image = load_image(path)
        clock.append(time.perf_counter())
        prepared = embedding.prepare(image, boxes)
        clock.append(time.perf_counter())
        with torch.inference_mode():
            maps = embedding._maps(prepared.pixels)
            clock.append(time.perf_counter())
            torch.cat([embedding._whole(maps), embedding._boxes(maps, [prepared.rois])])
        clock.append(time.perf_counter())
        for part, seconds in zip(spent, np.diff(clock), strict=True):
            spent[part] += 1000 * seconds / len(items)
    torch.set_num_threads(threads)
    return {part: round(milliseconds, 1) for part, milliseconds in spent.items()}


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/data_samples/train_data.json", help="a split file (%(default)s)")
    parser.add_argument("--images_dir", default="data/VG_100K/", help="(%(default)s)")
    parser.add_argument("--num_images", type=int, default=100, help="(%(default)s)")
    parser.add_argument("--model", choices=EMBEDDING_MODELS, default="efficientnet_lite0", help="(%(default)s)")
    parser.add_argument("--image_embedding_weights", metavar="FILE", help="a local weight file")
    parser.add_argument("--num_workers", type=int, default=4, help="processes that decode images (%(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(%(default)s)")
    parser.add_argument("--output", default="features_benchmark.json", help="where the figures go (%(default)s)")
    arguments = parser.parse_args(argv)

    items = read_items(arguments.data, arguments.images_dir, arguments.num_images)
    roi, crop = (
        build_embedding(arguments.model, arguments.image_embedding_weights, pooling).to(arguments.device)
        for pooling in ("roi", "crop")
    )
    for embedding in (roi, crop):  # the first pass chooses its kernels
        embedding.embed(load_image(items[0][1]), items[0][2])

    parts = profile(roi, items[:20]) if arguments.device == "cpu" else None
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        seconds["box by box"] = box_by_box(crop, items)
        seconds["one pass an image"] = one_pass(roi, items, Path(folder), arguments)
        seconds["from the cache"] = one_pass(roi, items, Path(folder), arguments)

    boxes = sum(len(boxes) for _, _, boxes in items)
    print(f"\n{len(items)} images, {boxes} boxes, {arguments.model} on {arguments.device}")
    print(f"{'':20}{'seconds':>10}{'images/s':>12}{'times as fast':>16}")
    for name, value in seconds.items():
        print(f"{name:20}{value:10.2f}{len(items) / value:12.1f}{seconds['box by box'] / value:16.1f}")
    if parts:
        print("milliseconds an image, one thread: " + ", ".join(f"{part} {value}" for part, value in parts.items()))
    figures = {
        "model": arguments.model,
        "device": arguments.device,
        "threads": torch.get_num_threads(),
        "images": len(items),
        "boxes": boxes,
        "seconds": seconds,
        "times_as_fast": seconds["box by box"] / seconds["one pass an image"],
        "milliseconds_an_image": parts,
    }
    write_json(arguments.output, figures, indent=2)
    print(f"Figures written to {arguments.output}.")


if __name__ == "__main__":
    sys.exit(main())
