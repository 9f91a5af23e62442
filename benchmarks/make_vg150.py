"""Write files of the size and layout of VG150 (see data/vg150.py), with random contents.

    python benchmarks/make_vg150.py --output /tmp/vg150

100 percent is 108 073 images, 1.1 million boxes, 0.6 million relationships: VG-SGG-with-attri.h5
(or VG-SGG.h5 with --no_attributes), its dicts, and image_data.json with the four broken images.
Some images have no relationship, a few no box. The same seed gives the same arrays.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from data.vg150 import BROKEN_IMAGES, IMAGES  # noqa: E402
from files.io import atomic_write, reports_input_errors, write_json  # noqa: E402

BOXES, RELATIONSHIPS = 10.2, 5.6  # an image
LABELS, PREDICATES, ATTRIBUTES = 150, 50, 200
SIZES = ((500, 375), (800, 600), (1024, 768), (375, 500), (1280, 853), (640, 427))  # width, height


def write_vg150(directory: Path, images: int, seed: int = 0, attributes: bool = True) -> dict[str, np.ndarray]:
    """Write the three files. Returns the arrays."""
    random = np.random.default_rng(seed)
    good = np.setdiff1d(np.arange(1, images + len(BROKEN_IMAGES) + 1), BROKEN_IMAGES)[:images]
    number = np.union1d(good, BROKEN_IMAGES)
    size = np.array(SIZES)[random.integers(0, len(SIZES), len(number))]
    directory.mkdir(parents=True, exist_ok=True)
    write_json(
        directory / "image_data.json",
        [
            {"image_id": i, "width": w, "height": h, "url": f"https://example.org/VG_100K/{i}.jpg", "coco_id": None}
            for i, (w, h) in zip(number.tolist(), size.tolist(), strict=True)
        ],
    )
    arrays = _arrays(random, size[~np.isin(number, BROKEN_IMAGES)], attributes)
    ending = "-with-attri" if attributes else ""
    with atomic_write(directory / f"VG-SGG{ending}.h5", "w+b") as raw, h5py.File(raw, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    names = {"label": LABELS, "predicate": PREDICATES} | ({"attribute": ATTRIBUTES} if attributes else {})
    dicts = {}
    for kind, count in names.items():
        dicts[f"idx_to_{kind}"] = {str(i): f"{kind} {i}" for i in range(1, count + 1)}
        dicts[f"{kind}_to_idx"] = {f"{kind} {i}": i for i in range(1, count + 1)}
    write_json(directory / f"VG-SGG-dicts{ending}.json", dicts)
    return arrays


def _arrays(random: np.random.Generator, size: np.ndarray, attributes: bool) -> dict[str, np.ndarray]:
    n = len(size)
    boxes = random.poisson(BOXES - 1, n) + 1
    boxes[random.random(n) < 0.002] = 0
    related = random.poisson(RELATIONSHIPS * 1.2, n)
    related[(boxes < 2) | (random.random(n) < 0.17)] = 0
    m, r = int(boxes.sum()), int(related.sum())
    first_box, first_relation = np.cumsum(boxes) - boxes, np.cumsum(related) - related

    scaled = np.rint(size * 1024 / size.max(axis=1, keepdims=True)).astype(np.int64)
    room = np.repeat(scaled, boxes, axis=0)  # (m, 2)
    extent = 1 + (random.random((m, 2)) ** 2 * (room - 1)).astype(np.int64)
    corner = (random.random((m, 2)) * (room - extent + 1)).astype(np.int64)
    box = np.concatenate([corner + extent // 2, extent], axis=1)

    start, count = np.repeat(first_box, related), np.repeat(boxes, related)
    subject = (random.random(r) * count).astype(np.int64)
    step = 1 + (random.random(r) * (count - 1)).astype(np.int64)  # never back to the subject
    arrays = {
        "split": np.where(random.random(n) < 0.7, 0, 2).astype(np.int32),
        "boxes_1024": box.astype(np.int32),
        "boxes_512": (box // 2).astype(np.int32),
        "labels": _zipf(random, m, LABELS)[:, None],
        "active_object_mask": np.ones((m, 1), bool),
        "relationships": np.stack([start + subject, start + (subject + step) % np.maximum(count, 1)], 1).astype(
            np.int32
        ),
        "predicates": _zipf(random, r, PREDICATES)[:, None],
    }
    for kind, first, sizes in (("box", first_box, boxes), ("rel", first_relation, related)):
        arrays[f"img_to_first_{kind}"] = np.where(sizes > 0, first, -1).astype(np.int32)
        arrays[f"img_to_last_{kind}"] = np.where(sizes > 0, first + sizes - 1, -1).astype(np.int32)
    if attributes:
        given = np.minimum(random.poisson(0.7, m), 10)
        table = _zipf(random, 10 * m, ATTRIBUTES).reshape(m, 10)
        arrays["attributes"] = np.where(np.arange(10) < given[:, None], table, 0)
    return arrays


def _zipf(random: np.random.Generator, count: int, words: int) -> np.ndarray:
    """(count,) int64 numbers from 1 to `words`, the r-th as often as 1 / r."""
    weights = np.cumsum(1 / np.arange(1, words + 1))
    return 1 + np.searchsorted(weights / weights[-1], random.random(count)).clip(max=words - 1)


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """Run the script. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--percent", type=float, default=100, help="of the real size, 0.1 to 100 (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--no_attributes", action="store_true", help="write VG-SGG.h5")
    arguments = parser.parse_args(argv)
    if not 0.1 <= arguments.percent <= 100:
        parser.error("--percent must be from 0.1 to 100")
    images = round(IMAGES * arguments.percent / 100)
    arrays = write_vg150(arguments.output, images, arguments.seed, not arguments.no_attributes)
    print(
        f"Wrote {images} images, {len(arrays['labels'])} boxes and {len(arrays['predicates'])} relationships "
        f"to {arguments.output}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
