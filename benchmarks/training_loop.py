"""Transitions a second of the whole training loop, and what environment, action sets and replay take of it.

    python benchmarks/training_loop.py [--vrd FOLDER] [--output training_loop_benchmark.json] [--threads N]

`TrainingLoop.run_epoch` as main.py --train runs it: every slot takes a step, transitions go into the replay, one sample
is learned from for every transition made. Exploration at 0.5, so that half of the actions need the network. Two
settings:

small   no pixels: box geometry and learned vectors of the two categories, 157 numbers, -> 1024 -> 512 -> 256 -> heads,
        batch 64, Q-learning. On VRD where --vrd names its folder, else on images drawn at random.
paper   21 888 numbers -> 4096 -> 2048 -> heads of 1049, 347, 1751 actions, batch 64, on images drawn at random.

What bounds it: small, three forward passes and one backward pass for every 64 transitions, half of the time or more;
the rest are many short NumPy and PyTorch calls, a few microseconds each on 64 to 192 rows. With products that small,
threads wait for each other whenever another program holds a core: on a busy machine --threads 1 is faster.
Paper, the update (see learning_step.py). Wall time counts what else runs on the machine; processor time does not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as in main.py
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import numpy as np
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import create_graph
from benchmarks.synthetic import FEATURES, PHRASE, make_graph, make_images, make_trainer
from engine.loop import TrainingLoop
from files.io import InputError, reports_input_errors, write_json
from files.splits import Split
from q_learning import LearningOptions
from semantic_graph import SemanticActionGraph
from vrl_model import ModelOptions

SMALL = ModelOptions(fusion_sizes=(1024, 512, 256), use_box_geometry=True, learned_category_vectors=64)
PAPER = ModelOptions(feature_dimension=FEATURES, phrase_dimension=PHRASE)


class Enough(Exception):
    """As many transitions as were wanted."""


class Stopwatch:
    """Adds up wall and processor time of calls."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.processor: dict[str, float] = defaultdict(float)

    def watch(self, owner: Any, method: str, part: str) -> None:
        """From now on calls of `owner.method(...)` count for `part`."""
        call = getattr(owner, method)

        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter(), time.process_time()
            try:
                return call(*arguments, **options)
            finally:
                self.wall[part] += time.perf_counter() - start[0]
                self.processor[part] += time.process_time() - start[1]

        setattr(owner, method, timed)


def run(trainer: TrainingLoop, warm_up: int, transitions: int, parts: bool) -> dict[str, Any]:
    """Train until so many transitions are made after the warm-up. parts: measure them too, which takes time itself."""
    watch = Stopwatch()
    if parts:
        agent = trainer.learner.agent
        for owner, method, part in (
            (trainer.env, "step", "environment"),
            (trainer.env, "states", "environment"),
            (agent, "action_sets", "action sets"),
            (trainer.memory, "add", "replay"),
            (trainer.memory, "sample", "replay"),
            (agent, "encoder", "inputs of the network"),
            (trainer.learner, "update", "updates, with their action sets and inputs"),
        ):
            watch.watch(owner, method, part)
    start: list[float] = []
    made = 0

    def pause() -> None:
        nonlocal made
        if not start and made + trainer.sums.transitions >= warm_up:
            start.extend([time.perf_counter(), time.process_time(), made + trainer.sums.transitions])
            watch.wall.clear(), watch.processor.clear()
        if made + trainer.sums.transitions >= warm_up + transitions:
            raise Enough

    try:
        with tqdm(disable=True) as bar:
            while True:
                trainer.begin_epoch(np.arange(len(trainer.env.scenes)))
                trainer.run_epoch(0.5, bar, pause)
                made += trainer.sums.transitions
    except Enough:
        pass
    wall, processor = time.perf_counter() - start[0], time.process_time() - start[1]
    count = made + trainer.sums.transitions - start[2]
    figures: dict[str, Any] = {
        "transitions": count,
        "wall_seconds": wall,
        "processor_seconds": processor,
        "transitions_per_second": count / wall,
        "transitions_per_processor_second": count / processor,
    }
    if parts:
        figures["share_of_wall_time"] = {part: seconds / wall for part, seconds in watch.wall.items()}
        figures["share_of_processor_time"] = {part: seconds / processor for part, seconds in watch.processor.items()}
    return figures


def small_world(vrd: str | None) -> tuple[Sequence, SemanticActionGraph, str]:
    """Training images, their graph, and what they are."""
    if vrd is None:
        records = make_images(500)
        return records, make_graph(records), "random images"
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
        flags = ["--dataset", "vrd", "--annotations", vrd, "--min_occurrences", "1", "--output", folder]
        if create_graph.main(flags):
            raise InputError(f"{vrd}: is not a folder of VRD; check --vrd")
        records = list(Split(Path(folder, "data/data_samples/train_data.json")))
        return records, SemanticActionGraph.load(Path(folder, "graph.pickle")), "VRD"


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Train in both settings, print and write."""
    parser = argparse.ArgumentParser(description="Speed of the training loop, and the environment's share of it.")
    parser.add_argument("--output", default="training_loop_benchmark.json", help="where the figures are written")
    parser.add_argument("--vrd", metavar="FOLDER", help="VRD's annotations, for the small setting")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--settings", nargs="+", choices=("small", "paper"), default=["small", "paper"])
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    figures: dict[str, Any] = {"threads": arguments.threads, "device": arguments.device}
    learning = LearningOptions(batch_size=64)
    if "small" in arguments.settings:
        records, graph, data = small_world(arguments.vrd)
        for parts in (False, True):
            trainer = make_trainer(records, graph, SMALL, learning, device)
            for _ in trainer.env.scenes:  # made once, in the first epoch
                pass
            name = "small, parts timed" if parts else "small"
            figures[name] = run(trainer, 6_000, 60_000, parts) | {"data": data}
            _report(name, figures[name])
    if "paper" in arguments.settings:
        records = make_images(200)
        trainer = make_trainer(records, make_graph(records), PAPER, learning, device)
        figures["paper"] = run(trainer, 1_500, 1_500, True) | {"data": "random images"}
        _report("paper", figures["paper"])
    write_json(arguments.output, figures, indent=2)
    print(f"Written to {arguments.output}.")
    return 0


def _report(name: str, row: dict[str, Any]) -> None:
    print(
        f"{name} ({row['data']}): {row['transitions']} transitions, {row['transitions_per_second']:.0f} a second, "
        f"{row['transitions_per_processor_second']:.0f} a second of processor time"
    )
    for part, share in row.get("share_of_wall_time", {}).items():
        print(
            f"  {100 * share:5.1f} % of wall, {100 * row['share_of_processor_time'][part]:5.1f} % of processor: {part}"
        )
    if "share_of_wall_time" in row:
        own = ("environment", "action sets", "replay")
        wall, processor = (sum(row[f"share_of_{kind}_time"][part] for part in own) for kind in ("wall", "processor"))
        print(
            f"  environment, action sets and replay: {100 * wall:.1f} % of wall, {100 * processor:.1f} % of processor"
        )


if __name__ == "__main__":
    sys.exit(main())
