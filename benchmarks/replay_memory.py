"""Memory of 20 000 transitions at the paper's sizes, and how fast they go in and come out.

    python benchmarks/replay_memory.py [--output replay_memory_benchmark.json]

The environment walks at random over images drawn at random, with the paper's vocabulary (1 750 entities, 347
predicates, 1 049 attributes) and action sets of 20, until the replay memory is full; then batches of 64 are drawn.
Memory is what the process holds more (resident set) when the replay is full than before it was made, and the size of
its array. Beside it: the same transitions as vectors, two states of 21 888 numbers each.

What bounds it: the bit masks of attributes (given and right, 132 bytes each) and the 21 next objects with the instance
each means and its reward (210 bytes) are most of a state's bytes. A batch takes as long as copying 64 rows.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose file has the module's name too

from action_sets import ActionSetMaker, random_action
from benchmarks.synthetic import FEATURES, PHRASE, make_graph, make_images
from environment import SceneGraphEnvironment
from files.io import reports_input_errors, write_json
from files.options import Rules
from replay_memory import ReplayMemory
from scenes.scene import SceneSet

CAPACITY, SLOTS, BATCH = 20_000, 64, 64


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def fill(memory: ReplayMemory, env: SceneGraphEnvironment, sets: ActionSetMaker) -> float:
    """Walk at random until every slot's share is full. Returns the seconds that `add` took."""
    rng = np.random.default_rng(0)
    seconds = 0.0
    while memory.added.min() < memory.share:
        if not env.active.all():
            env.assign([rng.permutation(len(env.scenes)) for _ in range(SLOTS)])
        states, slots = env.states(), np.flatnonzero(env.active)
        actions = [random_action(allowed, rng.random(len(slots))) for allowed in sets(states)]
        transitions = np.zeros(len(slots), dtype=memory.dtype)
        transitions["state"], transitions["action"] = states, np.stack(actions, axis=1)
        transitions["reward"], transitions["done"] = env.step(states, *actions)
        following = np.zeros(SLOTS, dtype=env.dtype)
        following[env.active] = env.states()
        transitions["next_state"] = following[slots]
        started = time.perf_counter()
        memory.add(slots, transitions)
        seconds += time.perf_counter() - started
    return seconds


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Fill a memory, measure, print and write."""
    parser = argparse.ArgumentParser(description="Memory of 20 000 transitions at the paper's sizes.")
    parser.add_argument("--output", default="replay_memory_benchmark.json", help="where the figures are written")
    arguments = parser.parse_args(argv)
    records = make_images(200)
    graph = make_graph(records)
    env = SceneGraphEnvironment(SceneSet(records, graph), SLOTS, Rules())
    sets = ActionSetMaker(graph, Rules())
    fill(ReplayMemory(SLOTS * 20, SLOTS, env.dtype), env, sets)  # what the walk itself needs is there from now on

    before = resident()
    memory = ReplayMemory(CAPACITY, SLOTS, env.dtype)
    add = fill(memory, env, sets)
    grown = resident() - before
    uniform = np.random.default_rng(1).random((1000, BATCH))
    started = time.perf_counter()
    for numbers in uniform:
        memory.sample(numbers)
    sample = (time.perf_counter() - started) / len(uniform)
    figures: dict[str, Any] = {
        "transitions": len(memory),
        "bytes_a_transition": memory.dtype.itemsize,
        "megabytes": memory.memory.nbytes / 1e6,
        "megabytes_of_process": grown / 1e6,
        "megabytes_as_vectors": len(memory) * 2 * (3 * FEATURES + 4 * PHRASE) * 4 / 1e6,
        "microseconds_to_add_64": 1e6 * add * SLOTS / memory.added.sum(),
        "microseconds_to_sample_64": 1e6 * sample,
    }
    print(
        f"{figures['transitions']} transitions of {figures['bytes_a_transition']} bytes: {figures['megabytes']:.1f} "
        f"MB, the process grew by {figures['megabytes_of_process']:.1f} MB; as vectors "
        f"{figures['megabytes_as_vectors']:.0f} MB.\n"
        f"To add {SLOTS}: {figures['microseconds_to_add_64']:.0f} microseconds; to sample {BATCH}: "
        f"{figures['microseconds_to_sample_64']:.0f}."
    )
    write_json(arguments.output, figures, indent=2)
    print(f"Written to {arguments.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
