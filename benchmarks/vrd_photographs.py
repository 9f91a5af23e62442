"""Real photographs through every step: train on 40 of VRD's, test on 20, draw their scene graphs.

    python benchmarks/vrd_photographs.py --vrd VRD_FOLDER --output OUT

VRD_FOLDER holds VRD's objects.json, predicates.json and annotations_test.json, images/ with at least 60 of those
images, and detections_test.json (a detector's boxes for them). Runs the README's commands one after the other:
create_graph.py, main.py --train and --test with efficientnet_lite0 features, main.py --predict on all photographs. So
few images teach little; this shows that decoding, features, cache, training, detected boxes and drawing work on real
ones.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from drawing.pictures import draw_graph
from drawing.selection import drawing_limits
from files.images import load_image
from files.io import InputError, read_json, reports_input_errors, write_json
from files.photos import find_photos
from files.scene_graphs import read_image_states

ROOT = Path(__file__).resolve().parents[1]
TRAIN, TEST = 40, 20
# Forty images give few transitions: each is learned from four times, in small batches, and the average is shorter.
FEW_IMAGES = ("--batch_size", 32, "--samples_per_transition", 4, "--target_averaging", 0.99)


def cut(vrd: Path, output: Path) -> None:
    """Annotations in VRD's layout of the first 40 photographs (train) and the 20 after them (test), by name."""
    annotations = read_json(vrd / "annotations_test.json", dict)
    names = [path.name for path in find_photos([str(vrd / "images")]).paths if path.name in annotations]
    if len(names) < TRAIN + TEST:
        raise InputError(f"{vrd / 'images'}: has {len(names)} annotated photographs; {TRAIN + TEST} are needed")
    for split, part in (("train", names[:TRAIN]), ("test", names[TRAIN : TRAIN + TEST])):
        write_json(output / f"annotations_{split}.json", {name: annotations[name] for name in part})
    for name in ("objects.json", "predicates.json"):
        write_json(output / name, read_json(vrd / name))


def run(script: str, *arguments: object) -> None:
    """Run one of the repository's scripts, as a user would. Raises CalledProcessError when it fails."""
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    print(f"\n$ python {script} {shlex.join(command[2:])}", flush=True)
    started = time.perf_counter()
    subprocess.run(command, check=True)
    print(f"-- {time.perf_counter() - started:.0f} s", flush=True)


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """The command line: see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--vrd", type=Path, default=ROOT.parent / "shared" / "vrd", help="VRD's files and photographs")
    parser.add_argument("--output", type=Path, required=True, help="where everything is written")
    parser.add_argument("--num_epochs", type=int, default=8, help="walks over the 40 photographs")
    arguments = parser.parse_args(argv)
    vrd, output = arguments.vrd, arguments.output

    cut(vrd, output / "annotations")
    run(
        "create_graph.py", "--dataset", "vrd", "--annotations", output / "annotations", "--output", output,
        "--min_occurrences", 1, "--num_validation", 0,
    )  # fmt: skip
    splits = output / "data" / "data_samples"
    files = ["--graph", output / "graph.pickle", "--images_dir", vrd / "images", "--output_dir", output]
    for split in ("train", "validation", "test"):
        files += [f"--{split}_data", splits / f"{split}_data.json"]
    boxes = ["--detections", vrd / "detections_test.json"]
    run(
        "main.py", "--train", *files, "--preset", "best", "--image_embedding_model_type", "efficientnet_lite0",
        "--no-mirror", "--num_epochs", arguments.num_epochs, *FEW_IMAGES,
    )  # fmt: skip
    run("main.py", "--test", *files, *boxes, "--preset", "best", "--policy", "agent", "frequency", "random")
    truth, predicted = read_image_states(output / "image_states.pickle").values()
    for i, (annotated, graph) in enumerate(zip(truth, predicted, strict=True)):
        photo = load_image(vrd / "images" / graph["image_name"])
        target = output / "drawings" / f"{i:02d}.png"
        draw_graph(graph, target, annotated, photo, **drawing_limits(graph))
    print(f"\nScene graphs of the {len(predicted)} test photographs drawn beside them: {output / 'drawings'}")
    run("main.py", "--predict", vrd / "images", *files, *boxes, "--preset", "best")
    results = json.loads((output / "results.json").read_text())
    recall = results["relationship"]["recall"]["50"]
    print(f"\nRelationship R@50 of the agent on the {results['images']} test photographs: {recall:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
