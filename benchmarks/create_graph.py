"""Time and memory of create_graph.py against `json.load` and plain loops, in one run.

    python benchmarks/create_graph.py                  a tenth of Visual Genome's size
    python benchmarks/create_graph.py --percent 100    needs 6 GB of disk and 16 GB of memory

Makes the files (benchmarks/make_visual_genome.py), runs both as processes of their own, checks
that their counts are equal, and removes the files. Memory is the highest sum of the
proportional set sizes of the process and its children, sampled.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.make_visual_genome import FILES, IMAGES, write_visual_genome  # noqa: E402
from data.describe import graph_size  # noqa: E402
from files.io import reports_input_errors  # noqa: E402
from files.splits import Split  # noqa: E402
from semantic_graph import SemanticActionGraph  # noqa: E402


def memory_of(pid: int) -> int:
    """Bytes of memory of a process and its children (proportional set size); 0 where /proc is missing."""
    total, todo = 0, [pid]
    while todo:
        pid = todo.pop()
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]) * 1024
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except (OSError, StopIteration):
            continue
    return total


def run(command: list[str]) -> tuple[float, float, int]:
    """Run a command: wall-clock seconds, processor seconds, highest memory in bytes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    highest = 0
    while process.poll() is None:
        highest = max(highest, memory_of(process.pid))
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with status {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, processor, highest


def row(name: str, megabytes: float, seconds: float, processor: float, highest: int) -> str:
    """What a run took, as a line."""
    return (
        f"{name:20} {seconds:7.1f} s {megabytes / seconds:7.1f} MB/s {processor:7.1f} s of processor time "
        f"{highest / 1e6:6.0f} MB peak memory"
    )


def check_equal(ours: Path, plain: Path) -> None:
    """Both made the same counts and phrases."""
    expected = json.loads((plain / "plain_counts.json").read_text())
    graph = pickle.loads((ours / "graph.pickle").read_bytes())
    for kind, name in (("entities", "entity"), ("attributes", "attribute"), ("predicates", "predicate")):
        assert json.loads((ours / f"{name}_counts.json").read_text()) == expected[kind], kind
    phrases = graph["predicate_phrases"]
    made = Counter()
    columns = (phrases[key] for key in ("subject", "predicate", "object", "count"))
    for subject, predicate, object_, count in zip(*columns, strict=True):
        made[graph["entities"][subject], graph["predicates"][predicate], graph["entities"][object_]] = count
    assert made == {tuple(phrase): count for *phrase, count in expected["predicate_phrases"]}, "predicate phrases"


def graph_numbers(path: Path) -> str:
    """Size in memory, and speed of queries, of a graph file."""
    tracemalloc.start()
    graph = SemanticActionGraph.load(path)
    size, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    random = np.random.default_rng(0)
    subject, object_ = random.integers(0, len(graph.entities), (2, 1024))
    repeats, start = 50, time.perf_counter()
    for _ in range(repeats):
        graph.attribute_action_set(subject, 20)
        graph.predicate_action_set(subject, object_, 20)
    seconds = (time.perf_counter() - start) / repeats
    return (
        f"{graph_size(graph)}\nIn memory: {size / 1e6:.0f} MB ({highest / 1e6:.0f} MB while loading); "
        f"attribute and predicate action sets of 1024 pairs in {seconds * 1e3:.1f} ms."
    )


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """Run the benchmark. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--percent", type=float, default=10, help="of the real size (%(default)s)")
    parser.add_argument("--directory", type=Path, help="where to make the files (the system's temporary folder)")
    parser.add_argument("--annotations", type=Path, help="use these Visual Genome files, do not make any")
    parser.add_argument("--min_occurrences", type=int, default=200, help="(%(default)s)")
    parser.add_argument("--no_plain", action="store_true", help="do not run json.load and loops")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
        ours, plain = Path(folder, "ours"), Path(folder, "plain")
        annotations = arguments.annotations or Path(folder, "annotations")
        if arguments.annotations is None:
            images = max(3, round(IMAGES * arguments.percent / 100))
            write_visual_genome(annotations, images, aliases=ROOT.parent / "shared" / "vg")
        megabytes = sum((annotations / f"{name}.json").stat().st_size for name in FILES) / 1e6
        print(f"{megabytes:.0f} MB in four files, {os.cpu_count()} cores", flush=True)
        minimum = str(arguments.min_occurrences)
        script = [sys.executable, "create_graph.py", "--annotations", str(annotations)]
        ours_took = run([*script, "--output", str(ours), "--min_occurrences", minimum])
        print(row("create_graph.py", megabytes, *ours_took), flush=True)

        start = time.perf_counter()
        split = Split(ours / "data" / "data_samples" / "train_data.json")
        records = [split[index] for index in range(0, len(split), max(1, len(split) // 100))]
        opened = time.perf_counter() - start
        print(f"Training split of {len(split)} images: opened, and {len(records)} of them read, in {opened:.2f} s.")
        print(graph_numbers(ours / "graph.pickle"), flush=True)

        if not arguments.no_plain:
            ids = Path(folder, "train.json")
            ids.write_text(json.dumps([record.labels.image_id for record in split]))
            script = [
                sys.executable,
                "benchmarks/plain_create_graph.py",
                str(annotations),
                str(plain),
                str(ids),
                minimum,
            ]
            plain_took = run(script)
            print(row("json.load and loops", megabytes, *plain_took))
            check_equal(ours, plain)
            print(f"{plain_took[0] / ours_took[0]:.1f} times faster; the counts and phrases are equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
