"""Many damaged files, read in watched processes: no traceback, no hang, no gigabytes, nothing half-written.

    python benchmarks/fuzz.py [--cases 10000] [--seed 0] [--only WORD ...]

The cases are those of tests/test_fuzz.py (tests/helpers/fuzzing.py) with other seeds, spread over all formats. Each
format is read in a process of its own, whose memory is watched and which is ended when a case takes too long; the next
case follows in a new one. What is left behind with a temporary name counts as half-written. For the exit status, what
a reader raises is given to the function that every command's `main` is wrapped in.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzzing import FORMATS, case
from tqdm import tqdm

from files.io import reports_input_errors, text_table

SECONDS, GIGABYTES = 20, 2  # of processor time a case; of memory
FAULTS = ("traceback", "hang", "memory", "half-written", "exit status", "died")


def read_cases(name: str, seeds: list[int], answers: Connection) -> None:
    """In a process of its own: read the cases, and say of each how it ended."""
    warnings.simplefilter("ignore")
    format = FORMATS[name]
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    read = reports_input_errors(format.read)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x.{format.ending}"
        for seed in seeds:
            path.write_bytes(case(format, seed))
            answers.send(("begins", seed, ""))
            try:
                status = read(path)
                status, detail = status if type(status) is int else 0, ""
                kind = {0: "read", 2: "refused"}.get(status, "exit status")
            except MemoryError:
                kind, detail = "memory", ""
            except BaseException as error:
                kind, detail = (
                    "traceback",
                    f"{type(error).__name__}: {error} {traceback.format_tb(error.__traceback__)[-1]}",
                )
            if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > GIGABYTES * 2**20:
                kind = "memory"
            if any(other.name.endswith(".tmp") or ".partial" in other.name for other in path.parent.rglob("*")):
                kind = "half-written"
            answers.send((kind, seed, detail))


def processor_seconds(process: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def run_format(name: str, seeds: list[int], bar: tqdm) -> tuple[collections.Counter, list[str]]:
    """How the cases of a format ended, and a line on each fault."""
    context = multiprocessing.get_context("fork")
    counts: collections.Counter = collections.Counter()
    faults = []

    def note(kind: str, seed: int, detail: str = "") -> None:
        counts[kind] += 1
        bar.update()
        if kind in FAULTS:
            faults.append(f"{name}, seed {seed}: {kind} {detail}"[:600])

    while seeds:
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=read_cases, args=(name, seeds, theirs))
        process.start()
        theirs.close()
        began, at = 0.0, seeds[0]
        while seeds:
            try:
                there = mine.poll(1)
                if there:
                    kind, at, detail = mine.recv()
                    began = processor_seconds(process.pid)
                    if kind != "begins":
                        seeds = seeds[seeds.index(at) + 1 :]
                        note(kind, at, detail)
                elif processor_seconds(process.pid) - began > SECONDS:
                    raise TimeoutError
            except (EOFError, TimeoutError) as error:
                note("hang" if isinstance(error, TimeoutError) else "died", at)
                seeds = seeds[seeds.index(at) + 1 :]
                break
        process.kill()
        process.join()
    return counts, faults


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first case (%(default)s)")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="WORD", help="formats with one of these in their name"
    )
    arguments = parser.parse_args(argv)

    names = [name for name in FORMATS if any(word in name for word in arguments.only)]
    each = -(-arguments.cases // max(len(names), 1))
    started = time.monotonic()
    rows, faults, total = [], [], collections.Counter()
    with tqdm(total=each * len(names), unit="case", disable=None) as bar:
        for name in names:
            counts, new = run_format(name, list(range(1000 + arguments.seed, 1000 + arguments.seed + each)), bar)
            rows.append([name, *(str(counts[kind]) for kind in ("read", "refused", *FAULTS))])
            faults += new
            total += counts
    rows.append(["all", *(str(total[kind]) for kind in ("read", "refused", *FAULTS))])
    print(text_table([["format", "read", "refused", *FAULTS], *rows]))
    print("\n".join(faults[:50]))
    print(f"{sum(total.values())} cases in {time.monotonic() - started:.0f} s: {len(faults)} faults.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
