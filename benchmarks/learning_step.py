"""The floating-point rate of a training update at the paper's sizes, beside that of a large plain matrix product.

    python benchmarks/learning_step.py [--output learning_step_benchmark.json] [--threads N]

Three 4096-d features and a 9600-d history (21 888 numbers a state) -> 4096 -> 2048 -> heads of 1049, 347 and
1751 actions, 105 million weights; batch 64; RMSProp. An update is `Learner.update`: states made of records, the
target network's forward pass over the next states (with Double DQN the network's own too), forward and backward
pass over the states, the optimizer's step. Counted are the products of matrices alone, two operations a weight
and state: forward 1, target 1, Double DQN 1, gradients of the weights 1, gradients of the layers' inputs 1 but
for the first layer, which needs none. Product and update are timed in turns, so that a busy machine slows down
both.

What bounds it: memory. With 64 states, 128 operations are done with a weight that is read; the product of 4096 x 4096
matrices does 8192. Of an update's time go two fifths into the two forward passes of the first layer, a fifth into the
gradient of its weights, and a fifth into the optimizer, which computes next to nothing but reads weight, gradient and
mean square and writes two of them, 20 bytes a weight, 2.1 GB (torch.profiler, two threads). With torch's RMSprop, which
passes over memory seven times, the share would be half of what Adam's fused kernel reaches.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as in main.py
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.synthetic import (
    ATTRIBUTES,
    ENTITIES,
    FEATURES,
    PHRASE,
    PREDICATES,
    make_graph,
    make_images,
    make_trainer,
)
from engine.loop import TrainingLoop
from files.io import reports_input_errors, write_json
from q_learning import LearningOptions
from vrl_model import ModelOptions

BATCH, PRODUCT = 64, 4096


def operations(model: ModelOptions, double_dqn: bool) -> int:
    """Of an update's products of matrices."""
    sizes = (model.state_dimension, *model.fusion_sizes)
    first, rest = sizes[0] * sizes[1], sum(a * b for a, b in itertools.pairwise(sizes[1:]))
    rest += sizes[-1] * (ATTRIBUTES + PREDICATES + ENTITIES + 1)
    return 2 * BATCH * ((3 + double_dqn) * first + (4 + double_dqn) * rest)


class Clock:
    """Wall and processor time of calls; the latter does not count what other work on the machine takes."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.wall: list[float] = []
        self.processor: list[float] = []

    def time(self, function: Callable[..., object], *arguments: object) -> None:
        """Call the function and note how long it took."""
        self._wait()
        start = time.perf_counter(), time.process_time()
        function(*arguments)
        self._wait()
        self.wall.append(time.perf_counter() - start[0])
        self.processor.append(time.process_time() - start[1])

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self) -> dict[str, float]:
        """Medians."""
        return {"wall": statistics.median(self.wall), "processor": statistics.median(self.processor)}


def filled(trainer: TrainingLoop, transitions: int) -> TrainingLoop:
    """Walk at random, without learning, until the replay holds `transitions`."""
    trainer.begin_epoch(np.arange(len(trainer.env.scenes)))
    states = trainer.env.states()
    while len(trainer.memory) < transitions:
        states = trainer._step(states, 1.0)
        trainer.steps += 1
    return trainer


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Time product and update in turns, print and write."""
    parser = argparse.ArgumentParser(description="Floating-point rate of a training update at the paper's sizes.")
    parser.add_argument("--output", default="learning_step_benchmark.json", help="where the figures are written")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch")
    parser.add_argument("--repeats", type=int, default=7, help="turns")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)

    records = make_images(128)
    graph = make_graph(records)
    model = ModelOptions(feature_dimension=FEATURES, phrase_dimension=PHRASE)
    a, b = (torch.randn(PRODUCT, PRODUCT, device=device) for _ in range(2))
    figures = {
        "state": model.state_dimension,
        "fusion_sizes": model.fusion_sizes,
        "heads": [ATTRIBUTES, PREDICATES, ENTITIES + 1],
        "batch": BATCH,
        "device": str(device) if device.type == "cpu" else torch.cuda.get_device_name(device),
        "threads": arguments.threads,
    }
    for double_dqn in (False, True):
        learning = LearningOptions(double_dqn=double_dqn, batch_size=BATCH)
        trainer = filled(make_trainer(records, graph, model, learning, device), 2000)
        product, update = Clock(device), Clock(device)
        for turn in range(arguments.repeats + 1):
            transitions = trainer._sample()
            product.time(torch.matmul, a, b)
            update.time(trainer.learner.update, transitions)
            if turn == 0:  # that was to warm up
                product, update = Clock(device), Clock(device)
        work = operations(model, double_dqn)
        row = {"operations": work, "product_seconds": product.seconds(), "update_seconds": update.seconds()}
        for kind in ("wall", "processor"):
            plain, rate = 2 * PRODUCT**3 / row["product_seconds"][kind], work / row["update_seconds"][kind]
            row[f"by_{kind}_time"] = {"product_gflops": plain / 1e9, "update_gflops": rate / 1e9, "share": rate / plain}
        figures["double_dqn" if double_dqn else "q_learning"] = row
        trainer = None  # two would take 2.5 GB
    _report(figures)
    write_json(arguments.output, figures, indent=2)
    print(f"Written to {arguments.output}.")
    return 0


def _report(figures: dict) -> None:
    print(
        f"state {figures['state']} -> {figures['fusion_sizes']} -> {figures['heads']}, batch {figures['batch']}, "
        f"{figures['device']}, {figures['threads']} threads"
    )
    for name in ("q_learning", "double_dqn"):
        row = figures[name]
        for kind in ("wall", "processor"):
            rates = row[f"by_{kind}_time"]
            print(
                f"  {name:10}  {kind:9} time: update {row['update_seconds'][kind]:.3f} s = "
                f"{rates['update_gflops']:6.1f} GFLOP/s, plain product {rates['product_gflops']:6.1f}: "
                f"{100 * rates['share']:.0f} %"
            )


if __name__ == "__main__":
    sys.exit(main())
