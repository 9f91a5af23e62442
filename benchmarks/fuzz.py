"""Many damaged files, in watched processes: no traceback, no hang, no gigabytes, nothing half-written.

    python benchmarks/fuzz.py [--cases 10000] [--commands 1000] [--seed 0] [--only WORD ...]

Two kinds of cases. Files that are read: those of tests/test_fuzz.py with other seeds, spread over all formats; a
format is read in a process of its own, which is ended when a case takes too long, and the next case follows in a new
one. Whole commands (--commands of the cases, tests/helpers/fuzz_commands.py): each a process of its own, as a user
runs it, with its exit status, what it printed and what it left.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz_commands import COMMANDS, FAULTS, KINDS, prepare, run_case
from fuzz_formats import FORMATS
from fuzzing import case
from limited import GIGABYTES, SECONDS, processor_seconds
from tiny_run import world
from tqdm import tqdm

from files.io import reports_input_errors, text_table

SHOWN = 1500  # characters of a fault's details
Note = Callable[[str, int, str], None]  # how a case ended, its seed, details


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
                where = traceback.format_tb(error.__traceback__)[-1]
                kind, detail = "traceback", f"{type(error).__name__}: {error} {where}"
            if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > GIGABYTES * 2**20:
                kind = "memory"
            if any(other.name.endswith(".tmp") or ".partial" in other.name for other in path.parent.rglob("*")):
                kind = "half-written"
            answers.send((kind, seed, detail))


def run_format(name: str, seeds: list[int], note: Note) -> None:
    """Read a format's cases."""
    context = multiprocessing.get_context("fork")
    while seeds:
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=read_cases, args=(name, seeds, theirs))
        process.start()
        theirs.close()
        began, at = 0.0, seeds[0]
        while seeds:
            try:
                if mine.poll(1):
                    kind, at, detail = mine.recv()
                    began = processor_seconds(process.pid)
                    if kind != "begins":
                        seeds = seeds[seeds.index(at) + 1 :]
                        note(kind, at, detail)
                    if kind == "memory":  # the peak stays
                        break
                elif processor_seconds(process.pid) - began > SECONDS:
                    raise TimeoutError
            except (EOFError, OSError, IndexError) as error:  # TimeoutError is an OSError
                note("hang" if isinstance(error, TimeoutError) else "died", at, "")
                seeds = seeds[seeds.index(at) + 1 :]
                break
        process.kill()
        process.join()


def run_commands(names: list[str], each: int, first: int, note: Callable[[str, str, int, str], None]) -> None:
    """Each command with its right file, which it must take, then with `each` damaged ones."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = prepare(world(Path(scratch)))
        for name in names:
            kind, detail = run_case(name, None, folder, Path(scratch))
            if kind == "refused":
                kind, detail = "exit status", f"it refuses the right file: {detail}"
            note(name, kind, 0, detail)
            for seed in range(first, first + each):
                kind, detail = run_case(name, seed, folder, Path(scratch))
                note(name, kind, seed, detail)


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """Run the script. Returns the exit status: 1 when there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="in all (%(default)s)")
    parser.add_argument("--commands", type=int, default=1000, help="how many of them are whole commands (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first case (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="those with one of these in their name")
    arguments = parser.parse_args(argv)

    formats, commands = (
        [name for name in names if any(word in name for word in arguments.only)] for names in (FORMATS, COMMANDS)
    )
    files = max(arguments.cases - arguments.commands, 0)
    each, each_command = -(-files // max(len(formats), 1)), -(-arguments.commands // max(len(commands), 1))
    first, started = 1000 + arguments.seed, time.monotonic()
    counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    faults: list[str] = []
    with tqdm(total=each * len(formats) + (each_command + 1) * len(commands), unit="case", disable=None) as bar:

        def note(name: str, kind: str, seed: int, detail: str) -> None:
            counts[name][kind] += 1
            bar.update()
            if kind in FAULTS:
                shown = detail if len(detail) <= SHOWN else "…" + detail[-SHOWN:]  # a traceback's cause is at its end
                faults.append(f"{name}, seed {seed}: {kind} {shown}")
                print(faults[-1], file=sys.stderr, flush=True)

        if each_command and commands:
            run_commands(commands, each_command, first, note)
        for name in formats:
            if each:
                run_format(name, list(range(first, first + each)), lambda *ended, name=name: note(name, *ended))
    counts["all"] = sum(counts.values(), collections.Counter())
    rows = [[name, *(str(count[kind]) for kind in KINDS)] for name, count in counts.items()]
    print(text_table([["what", *KINDS], *rows]))
    print(f"{counts['all'].total()} cases in {time.monotonic() - started:.0f} s: {len(faults)} faults.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
