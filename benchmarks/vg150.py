"""Time and memory of create_graph.py --dataset vg150 on files of the real size.

    python benchmarks/vg150.py

Makes the files (benchmarks/make_vg150.py), runs the command, and checks that the boxes and
words of every image equal a direct reading of the arrays with NumPy.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.create_graph import run  # noqa: E402
from benchmarks.make_vg150 import write_vg150  # noqa: E402
from data.annotations import SPLITS  # noqa: E402
from data.vg150 import BROKEN_IMAGES, IMAGES  # noqa: E402
from files.io import read_json, reports_input_errors  # noqa: E402
from files.splits import Split  # noqa: E402


def check_equal(arrays: dict[str, np.ndarray], image_data: list[dict], output: Path) -> int:
    """Every image of the splits equals a direct reading of the arrays. Returns how many images there were."""
    images = [image for image in image_data if image["image_id"] not in BROKEN_IMAGES]
    row = {image["image_id"]: i for i, image in enumerate(images)}
    seen = 0
    for name in SPLITS:
        for record in Split(output / "data" / "data_samples" / f"{name}_data.json"):
            i, labels = row[record.labels.image_id], record.labels
            first, last = int(arrays["img_to_first_box"][i]), int(arrays["img_to_last_box"][i])
            boxes = range(first, last + 1) if first >= 0 else range(0)
            scale = max(record.width, record.height) / 1024
            cx, cy, w, h = arrays["boxes_1024"][boxes.start : boxes.stop].T
            expected = np.stack([(cx - w / 2) * scale, (cy - h / 2) * scale, w * scale, h * scale], axis=1)
            found = np.array([(o.x, o.y, o.w, o.h) for o in labels.objects]).reshape(-1, 4)
            assert np.array_equal(found, expected), f"boxes of image {record.image_name}"
            names = [f"label {k}" for k in arrays["labels"][boxes.start : boxes.stop, 0]]
            assert [o.name for o in labels.objects] == names, f"names of image {record.image_name}"
            first, last = int(arrays["img_to_first_rel"][i]), int(arrays["img_to_last_rel"][i])
            expected = [
                (subject, f"predicate {predicate}", object_)
                for (subject, object_), (predicate,) in zip(
                    arrays["relationships"][first : last + 1].tolist() if first >= 0 else (),
                    arrays["predicates"][first : last + 1].tolist() if first >= 0 else (),
                    strict=True,
                )
            ]
            found = [(r.subject_id, r.predicate, r.object_id) for r in labels.relationships]
            assert found == expected, f"relationships of image {record.image_name}"
            assert (name == "test") == (arrays["split"][i] == 2)
            seen += 1
    return seen


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """Run the benchmark. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--percent", type=float, default=100, help="of the real size, 0.1 to 100 (%(default)s)")
    parser.add_argument("--directory", type=Path, help="where to make the files (the system's temporary folder)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
        source, output = Path(folder, "vg150"), Path(folder, "output")
        arrays = write_vg150(source, round(IMAGES * arguments.percent / 100))
        print(
            f"{len(arrays['split'])} images, {len(arrays['labels'])} boxes, {len(arrays['predicates'])} relationships"
        )
        script = [sys.executable, "create_graph.py", "--dataset", "vg150", "--annotations", str(source)]
        seconds, processor, highest = run([*script, "--output", str(output)])
        print(f"{seconds:.1f} s, {processor:.1f} s of processor time, {highest / 1e6:.0f} MB peak memory", flush=True)
        seen = check_equal(arrays, read_json(source / "image_data.json"), output)
        print(f"{seen} images equal a direct reading of the arrays")
    return 0


if __name__ == "__main__":
    sys.exit(main())
