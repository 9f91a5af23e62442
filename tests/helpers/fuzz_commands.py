"""Whole commands on damaged files: each in a process of its own, as a user runs it.

`COMMANDS` maps a name to a `Command`: one file of a right world is damaged, all others stay. How it ends is one of
`KINDS`; only the first two are right.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz_annotations import ANNOTATIONS, GQA, VG150, VISUAL_GENOME, VRD, write_annotations
from fuzz_files import to_json
from fuzzing import changed, damaged, mildly_changed
from limited import run_limited
from tiny_run import World

from faster_rcnn import build_detector, save_detector

KINDS = ("read", "refused", "traceback", "hang", "memory", "half-written", "exit status", "died")
FAULTS = KINDS[2:]


@dataclass(frozen=True)
class Command:
    """words: with WORLD for the folder of right files and FILE for the damaged one, which is a copy of `file`.

    place: where the damaged copy lies in the folder of the case. beside: a folder of WORLD that is copied to where
    `place` is, for commands that take a folder.
    """

    file: str
    words: str
    place: str = ""
    beside: str = ""


FILES = " ".join(f"--{split}_data WORLD/few/{split}.json" for split in ("train", "validation", "test"))
FILES += " --graph WORLD/graph.pickle --images_dir WORLD/VG_100K --output_dir out --device cpu --num_workers 0"
SMALL = "--preset best --image_embedding_model_type none --fusion_sizes 8 --num_members 1 --category_vectors 4"
SMALL += " --batch_size 4 --replay_buffer_minimum_number_samples 16 --maximum_steps 20 --num_epochs 1"
TRAIN = f"main.py --train {FILES} {SMALL}"
TEST = f"main.py --test {FILES} --checkpoint WORLD/small/best.pt"
PREDICT = (
    f"main.py --predict WORLD/few/1.jpg {FILES} --checkpoint WORLD/small/best.pt --detections WORLD/few/boxes.json"
)
DETECTOR = "-m faster_rcnn.train --train_data WORLD/few/test.json --validation_data WORLD/few/validation.json"
DETECTOR += " --images_dir WORLD/VG_100K --graph WORLD/graph.pickle --output out/d.pt --backbone_weights none"
DETECTOR += " --num_epochs 1 --batch_size 2 --num_workers 0 --device cpu"
SKIP = "-m skipthoughts.train --output out --model uni --dim 4 --dim_word 4 --num_epochs 1 --device cpu"
DRAW = "graphviz/visualize.py --no-open --output out/x.svg"
COMMANDS = {
    "--train, graph": Command("graph.pickle", f"{TRAIN} --graph FILE"),
    "--train, train_data": Command("few/train.json", f"{TRAIN} --train_data FILE"),
    "--train, validation_data": Command("few/validation.json", f"{TRAIN} --validation_data FILE"),
    "--train, train_detections": Command("few/boxes.json", f"{TRAIN} --train_detections FILE"),
    "--train, entity_vectors": Command("few/vectors.npy", f"{TRAIN} --entity_vectors FILE"),
    "--train, init_from": Command("small/best.pt", f"{TRAIN} --init_from FILE"),
    "--train --resume": Command("few/run/last.pt", f"{TRAIN} --resume --num_epochs 2", place="out/last.pt"),
    "--train, skip-thoughts": Command(
        "skip/uni_skip.npz", f"{TRAIN} --use_skip_thought --skip_thought_dir skip", "skip/uni_skip.npz", "skip"
    ),
    "--test, graph": Command("graph.pickle", f"{TEST} --graph FILE"),
    "--test, test_data": Command("few/test.json", f"{TEST} --test_data FILE"),
    "--test, checkpoint": Command("small/best.pt", f"{TEST} --checkpoint FILE"),
    "--test, detections": Command("few/boxes.json", f"{TEST} --detections FILE"),
    "--test, class_map": Command("few/map.json", f"{TEST} --detections WORLD/few/boxes.json --class_map FILE"),
    "--predict, photo": Command("few/1.jpg", f"{PREDICT} --predict FILE", place="1.jpg"),
    "--predict, list": Command("few/list.txt", f"{PREDICT} --predict FILE"),
    "--predict, checkpoint": Command("small/best.pt", f"{PREDICT} --checkpoint FILE"),
    "--predict, detections": Command("few/boxes.json", f"{PREDICT} --detections FILE"),
    "--predict, graph": Command("graph.pickle", f"{PREDICT} --graph FILE"),
    **{
        f"create_graph.py, {data_set} {name}": Command(
            f"annotations/{data_set}/{name}",
            f"create_graph.py --annotations a --dataset {data_set} --min_occurrences 1 --output out",
            place=f"a/{name}",
            beside=f"annotations/{data_set}",
        )
        for data_set, files in (("vg", VISUAL_GENOME), ("vrd", VRD), ("gqa", GQA), ("vg150", VG150))
        for name in files
    },
    "create_graph.py, word list": Command(
        "few/words.json",
        "create_graph.py --annotations WORLD/annotations/vg --min_occurrences 1 --entities FILE --output out",
    ),
    "create_graph.py --describe": Command("graph.pickle", "create_graph.py --describe FILE"),
    "create_graph.py --draw": Command("graph.pickle", "create_graph.py --draw FILE --word man --output out/g.svg"),
    "evaluation.py, predictions": Command(
        "small/predictions.json",
        "evaluation.py --predictions FILE --ground_truth WORLD/data/data_samples/test_data.json --output out/r.json",
    ),
    "evaluation.py, ground_truth": Command(
        "few/test.json",
        "evaluation.py --predictions WORLD/small/predictions.json --ground_truth FILE --output out/r.json",
    ),
    "visualize.py, graph": Command("graphs/curr_graph_0.json", f"{DRAW} --graph FILE"),
    "visualize.py, image": Command("few/1.jpg", f"{DRAW} --graph WORLD/graphs/curr_graph_0.json --image FILE"),
    "visualize.py, ground_truth": Command(
        "graphs/gt_graph_0.json", f"{DRAW} --graph WORLD/graphs/curr_graph_0.json --ground_truth FILE"
    ),
    "gallery.py, pickle": Command(
        "small/image_states.pickle", "graphviz/gallery.py --pickle FILE --images_dir WORLD/VG_100K --output out"
    ),
    "gallery.py, predictions": Command(
        "graphs/curr_graph_0.json", "graphviz/gallery.py --predictions p --output out", place="p/x.json"
    ),
    "pickle_to_files.py": Command(
        "small/image_states.pickle", "graphviz/pickle_to_files.py --pickle FILE --output out"
    ),
    "precision_recall.py": Command(
        "small/image_states.pickle", "graphviz/precision_recall.py --pickle FILE --output out/x.svg"
    ),
    "learning_curve.py": Command("small/log.csv", "learning_curve.py FILE --output out/x.svg"),
    "faster_rcnn.train, train_data": Command("few/test.json", f"{DETECTOR} --train_data FILE"),
    "faster_rcnn.train --resume": Command(
        "few/e.pt.checkpoint", f"{DETECTOR} --num_epochs 2 --resume", place="out/d.pt.checkpoint"
    ),
    "faster_rcnn.detect, weights": Command(
        "few/d.pt", "-m faster_rcnn.detect --weights FILE --images WORLD/few/1.jpg --output out/b.json --device cpu"
    ),
    "skipthoughts.train, text": Command("few/text.txt", f"{SKIP} --text FILE"),
    "skipthoughts.train, from_graphs": Command("few/train.json", f"{SKIP} --from_graphs FILE"),
    "skipthoughts.train --resume": Command(
        "skip/uni_checkpoint.pt", f"{SKIP} --text WORLD/few/text.txt --num_epochs 2 --resume", "out/uni_checkpoint.pt"
    ),
    "skipthoughts.train, expand_with": Command("few/words.txt", f"{SKIP} --text WORLD/few/text.txt --expand_with FILE"),
}  # fmt: skip


def prepare(made: World) -> Path:
    """Add what the commands need to the small world. Returns its folder."""
    folder = made.folder
    few = folder / "few"
    few.mkdir()
    records = {}
    for split in ("train", "validation", "test"):
        records[split] = made.records(split)[:2]
        (few / f"{split}.json").write_bytes(to_json(records[split]))
    name = records["test"][0]["image_name"]
    shutil.copyfile(made.images / name, few / "1.jpg")
    found = json.loads(made.detections.read_text())
    boxes = {"1.jpg": found[name]}
    boxes |= {record["image_name"]: found[record["image_name"]] for part in records.values() for record in part}
    (few / "boxes.json").write_bytes(to_json(boxes))
    entities = json.loads((folder / "entity_counts.json").read_text())
    np.save(few / "vectors.npy", np.random.default_rng(0).normal(size=(len(entities), 4)).astype(np.float32))
    (few / "map.json").write_text('{"hound": "dog", "guy": "man"}')
    (few / "list.txt").write_text(f"# photos\n{few / '1.jpg'}\n{folder / 'VG_100K' / name}\n")
    (few / "words.json").write_text('{"dog": 3, "ball": 3}')
    (few / "text.txt").write_text("a man rides a horse\na dog sits\n\nthe dog runs\n" * 9)
    (few / "words.txt").write_text(
        "".join(f"word{i} {i} 1 2 {i % 3}\n" for i in range(9)) + "dog 1 2 3 4\nman 4 3 2 1\n"
    )
    save_detector(build_detector("fasterrcnn_efficientnet_lite0", ["man", "dog"]), few / "d.pt")
    for data_set in ANNOTATIONS:
        write_annotations(data_set, folder / "annotations" / data_set)
    files = ["--output_dir", str(few / "run")]
    small = made.files(folder / "small")
    for words in (
        ["main.py", "--train", *small, *SMALL.split(), "--device", "cpu", "--num_workers", "0"],
        ["main.py", "--test", *small, "--device", "cpu"],
        [
            "graphviz/pickle_to_files.py",
            "--pickle",
            folder / "small/image_states.pickle",
            "--output",
            folder / "graphs",
        ],
        [word.replace("WORLD", str(folder)) for word in TRAIN.split()] + files,
        [*f"{SKIP} --text {few}/text.txt".split(), "--output", folder / "skip"],
        [word.replace("WORLD", str(folder)) for word in f"{DETECTOR} --num_epochs 2 --output {few}/e.pt".split()],
    ):
        done = run_limited(words, folder, seconds=60)
        if done.status or done.fault:
            raise RuntimeError(f"{words}: {done}")
    path = few / "e.pt.checkpoint"
    torch.save(torch.load(path, weights_only=True) | {"epoch": 1}, path)  # there is something left to do
    return folder


def damage(path: Path, seed: int) -> bytes:
    """The file, changed in what it says where that can be written again, or in its bytes."""
    chance = random.Random(seed)
    data = path.read_bytes()
    how = chance.random()
    if how < 0.7:
        change = changed if how < 0.2 else mildly_changed
        for _ in range(20):
            try:
                return _written(path.suffix, change(_value(path.suffix, data), chance))
            except Exception:  # what cannot be written is not a file
                continue
    return damaged(data, chance)


def _value(ending: str, data: bytes) -> Any:
    if ending == ".json":
        return json.loads(data)
    if ending == ".pickle":
        return pickle.loads(data)
    if ending == ".pt":
        return torch.load(io.BytesIO(data), weights_only=True)
    raise ValueError(ending)


def _written(ending: str, value: Any) -> bytes:
    if ending == ".json":
        return to_json(value)
    if ending == ".pickle":
        return pickle.dumps(value, protocol=4)
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def run_case(name: str, seed: int | None, world: Path, scratch: Path) -> tuple[str, str]:
    """How the command ended (see `KINDS`), and details. seed: None leaves the file as it is."""
    command = COMMANDS[name]
    folder = scratch / "case"
    shutil.rmtree(folder, ignore_errors=True)
    source = world / command.file
    path = folder / (command.place or f"x{source.suffix}")
    if command.beside:
        shutil.copytree(world / command.beside, path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "out").mkdir(exist_ok=True)
    path.write_bytes(source.read_bytes() if seed is None else damage(source, seed))
    words = [word.replace("WORLD", str(world)).replace("FILE", str(path)) for word in command.words.split()]
    done = run_limited(words, folder)
    if done.fault:
        kind = {"traceback": "traceback"}.get(done.fault, "memory" if "GB" in done.fault else "hang")
        kind = "died" if "signal" in done.fault else kind
    elif done.status not in (0, 2) or (done.status == 2 and not done.refused):
        kind = "exit status"
    elif left := half_written(folder / "out"):
        kind, done.err = "half-written", f"{left}\n{done.err}"
    else:
        return ("refused" if done.status else "read"), str(done)
    return kind, f"{' '.join(words)}\n{done}"


def half_written(folder: Path) -> list[str]:
    """Temporary files, locks, and JSON that ends too early."""
    left = []
    for path in folder.rglob("*"):
        if path.suffix in (".tmp", ".partial", ".lock"):
            left.append(path.name)
        elif path.suffix == ".json" and path.is_file():
            try:
                json.loads(path.read_bytes())
            except ValueError:
                left.append(path.name)
    return left
