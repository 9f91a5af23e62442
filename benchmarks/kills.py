"""Kill commands at random moments, run them again, and compare with a run that was never killed.

    python benchmarks/kills.py --kills 100 --output kills.json

Real processes and real SIGKILLs on a world of 24 images. Each kind of command is killed up to three times in a row, at
random moments of its own processor time, then run to its end; what it leaves must equal, bit for bit, what the unkilled
run left, and no temporary file may lie about.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0:0] = [str(ROOT), str(ROOT / "tests/helpers")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from limited import processor_seconds, said, start  # noqa: E402
from tiny_run import PIXELS, SMALL, World, world  # noqa: E402

from files.locks import LOCK_NAME  # noqa: E402

IN_A_ROW = 3
OUTPUT = Path("out")  # in the folder of a run: the same words, whichever run it is


@dataclass(frozen=True)
class Kind:
    """A command, the file that lets it resume (then `--resume` is added), and what of its output counts."""

    words: Callable[[World], list[str]]
    result: Callable[[Path], dict[str, Any]]
    checkpoint: str = ""


def trained(folder: Path) -> dict[str, Any]:
    """The networks, the replay memory and the log of a training run, without its times."""
    saved = {name: torch.load(folder / OUTPUT / name, weights_only=True) for name in ("last.pt", "best.pt")}
    with (folder / OUTPUT / "log.csv").open() as file:
        rows = [{key: value for key, value in row.items() if "second" not in key} for row in csv.DictReader(file)]
    last = saved["last.pt"]
    last["loops"] = [{key: value for key, value in loop.items() if key != "sums"} for loop in last["loops"]]  # times
    parts = {name: digest(last[name]) for name in ("network", "target", "optimizer", "loops")}
    return parts | {"best.pt": digest(saved["best.pt"]["network"]), "log.csv": rows}


def tensors(folder: Path) -> dict[str, Any]:
    """Every file of arrays or tensors below the output, by its numbers."""
    found: dict[str, Any] = {}
    for path in sorted((folder / OUTPUT).rglob("*")):
        if path.suffix == ".pt":
            found[path.name] = digest(torch.load(path, weights_only=True))
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                found[path.name] = digest({name: arrays[name] for name in arrays.files})
        elif path.suffix == ".npy":
            found[path.name] = digest(np.load(path))
    return found


def files(*patterns: str) -> Callable[[Path], dict[str, Any]]:
    """The bytes of the files that match."""

    def result(folder: Path) -> dict[str, Any]:
        found = {path for pattern in patterns for path in (folder / OUTPUT).glob(pattern) if path.is_file()}
        paths = sorted(path for path in found if path.name != LOCK_NAME)  # it names the process
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    return result


def digest(value: Any) -> str:
    """Of nested containers with arrays and tensors: equal for values that are equal bit for bit."""
    sha = hashlib.sha256()

    def add(item: Any) -> None:
        if isinstance(item, torch.Tensor):
            item = item.reshape(-1).numpy()
        if isinstance(item, np.ndarray):
            sha.update(item.tobytes())
        elif isinstance(item, dict):
            for key in sorted(item, key=str):
                sha.update(repr(key).encode())
                add(item[key])
        elif isinstance(item, list | tuple):
            for part in item:
                add(part)
        else:
            sha.update(repr(item).encode())

    add(value)
    return sha.hexdigest()


def skip_thoughts_of(made: World) -> list[str]:
    return ["-m", "skipthoughts.train", "--from_graphs", str(made.splits / "train_data.json"), "--model", "uni",
            "--dim", "8", "--dim_word", "8", "--num_epochs", "4", "--device", "cpu"]  # fmt: skip


TRAIN = ["--num_epochs", "2", "--checkpoint_minutes", "0.0005"]


def train(made: World, *more: str) -> list[str]:
    return ["main.py", "--train", *made.files(OUTPUT), *SMALL, *TRAIN, *more]


def create_graph(made: World) -> list[str]:
    raw = str(made.folder / "raw_data")
    return ["create_graph.py", "--annotations", raw, "--min_occurrences", "3", "--output", str(OUTPUT)]


def predict(made: World) -> list[str]:
    files = made.files(OUTPUT, detections=made.detections, checkpoint=made.run / "best.pt")
    return ["main.py", "--predict", str(made.images), *files, "--device", "cpu", "--num_workers", "1"]


def features(made: World) -> list[str]:
    files = made.files(OUTPUT, test_data=made.splits / "train_data.json", checkpoint=made.run / "best.pt")
    return ["main.py", "--test", *files, *PIXELS]


def train_detector(made: World) -> list[str]:
    named = {"train_data": made.splits / "test_data.json", "validation_data": made.splits / "validation_data.json"}
    named |= {"images_dir": made.images, "graph": made.graph, "output": OUTPUT / "detector.pt"}
    named |= {"num_epochs": 2, "batch_size": 2, "num_workers": 0, "device": "cpu"}
    return ["-m", "faster_rcnn.train", *(str(word) for name, value in named.items() for word in (f"--{name}", value))]


KINDS = {
    "training": Kind(train, trained, "last.pt"),
    "training with history phrases": Kind(
        lambda made: train(made, "--use_skip_thought", "--skip_thought_dir", str(made.folder / "skip")),
        trained,
        "last.pt",
    ),
    "create_graph.py": Kind(create_graph, files("*", "data/data_samples/*")),
    "--predict": Kind(predict, files("predictions/*")),
    "features": Kind(features, files("results.json", "predictions.json", "image_states.pickle")),
    "skip-thoughts": Kind(lambda made: [*skip_thoughts_of(made), "--output", str(OUTPUT)], tensors, "*.checkpoint"),
    "detector training": Kind(train_detector, tensors, "*.checkpoint"),
}


def run_to_the_end(words: list[str], folder: Path) -> float:
    """Seconds of processor time. Raises RuntimeError with what was said when the command fails."""
    child, used = start(words, folder), 0.0
    while child.is_alive():
        used = max(used, _seconds(child.pid))
        time.sleep(0.01)
    out, err = said(folder)
    if child.exitcode:
        raise RuntimeError(f"{words} ended with {child.exitcode}:\n{out[-1000:]}\n{err[-3000:]}")
    return used


def run_and_kill(words: list[str], folder: Path, after: float) -> bool:
    """SIGKILL after so many seconds of processor time. False: it ended before."""
    child = start(words, folder)
    while child.is_alive() and _seconds(child.pid) < after:
        time.sleep(0.002)
    killed = child.is_alive()
    child.kill()
    child.join()
    out, err = said(folder)
    if child.exitcode not in (0, -9):
        raise RuntimeError(f"{words} ended with {child.exitcode}:\n{out[-1000:]}\n{err[-3000:]}")
    return killed and child.exitcode == -9


def _seconds(pid: int) -> float:
    try:
        return processor_seconds(pid)
    except (OSError, IndexError):
        return 0.0


class Trial:
    """One kind of command on a small world: the unkilled run is made once."""

    def __init__(self, name: str, made: World, scratch: Path) -> None:
        self.kind, self.scratch = KINDS[name], scratch / name.strip("-").replace(" ", "_")
        self.words = self.kind.words(made)
        self.seconds = run_to_the_end(self.words, self._folder("whole"))
        self.right = self.kind.result(self.scratch / "whole")
        assert self.right, "nothing was written, so nothing can be compared"

    def _folder(self, name: str) -> Path:
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / OUTPUT).mkdir(parents=True)
        return folder

    def _again(self, folder: Path) -> list[str]:
        resumable = self.kind.checkpoint and any((folder / OUTPUT).glob(self.kind.checkpoint))
        return [*self.words, "--resume"] if resumable else self.words

    def kill(self, moments: random.Random, most: int = IN_A_ROW) -> tuple[int, str]:
        """Kill up to `most` times, then run to the end. Returns how often it was killed, and what is wrong or ""."""
        folder, killed = self._folder("killed"), 0
        for _ in range(most):
            moment = moments.uniform(0, self.seconds)
            if not run_and_kill(self._again(folder), folder, moment):
                if not killed:
                    self.seconds = moment  # a whole run takes less: the machine was busier when it was timed
                break
            killed += 1
        run_to_the_end(self._again(folder), folder)
        found = self.kind.result(folder)
        wrong = [key for key in self.right.keys() | found.keys() if self.right.get(key) != found.get(key)]
        left = [path.name for path in (folder / OUTPUT).rglob("*") if path.suffix in (".tmp", ".partial")]
        return killed, "; ".join([f"{key} differs" for key in sorted(wrong)] + [f"{name} is left" for name in left])


def prepare(made: World) -> World:
    """Train skip-thoughts on the phrases of the small world, beside it."""
    run_to_the_end([*skip_thoughts_of(made), "--output", str(made.folder / "skip")], made.folder)
    return made


def main() -> int:
    """Run the script. Returns the exit status: 1 when a result differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how many, over all kinds")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--minutes", type=float, default=60, help="stop after so long, with what was done")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--output", type=Path, help="JSON of the counts")
    arguments = parser.parse_args()
    moments, end = random.Random(arguments.seed), time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as scratch:
        made = prepare(world(Path(scratch)))
        trials = {name: Trial(name, made, Path(scratch)) for name in arguments.kinds}
        counts = {name: {"kills": 0, "runs": 0, "equal": 0, "wrong": []} for name in trials}
        while time.monotonic() < end and sum(count["kills"] for count in counts.values()) < arguments.kills:
            name = min(trials, key=lambda name: counts[name]["kills"])
            killed, wrong = trials[name].kill(moments)
            count = counts[name]
            count["kills"] += killed
            count["runs"] += 1
            count["equal"] += not wrong
            count["wrong"] += [wrong] * bool(wrong)
            print(f"{name}: killed {killed} times, then {wrong or 'equal'}", flush=True)
    for name, count in counts.items():
        print(f"{name}: {count['kills']} kills, {count['equal']} of {count['runs']} runs equal to an unkilled one")
    if arguments.output:
        arguments.output.write_text(json.dumps(counts, indent=1))
    return int(any(count["wrong"] for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
