"""The scripts in processes of their own, as a user runs them, but started in milliseconds and watched.

A server process imports PyTorch and the project once and forks for each command. The child runs the script as
`__main__`; its time and memory are bounded, and what it prints and its exit status are given back.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS, GIGABYTES = 20, 2  # of processor time (a hang that sleeps: three times that on the clock); of memory


@dataclass(repr=False)
class Outcome:
    """How a command ended. `fault` is empty, or says which bound it broke or that it ended in a traceback."""

    status: int
    out: str
    err: str
    fault: str
    peak: float  # gigabytes

    @property
    def refused(self) -> bool:
        """One clear line, exit status 2."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return not self.fault and self.status == 2 and len(lines) == 1

    def __str__(self) -> str:
        return (
            f"{self.fault or 'exit status'} {self.status}, {self.peak:.1f} GB\n{self.out[-2000:]}\n{self.err[-4000:]}"
        )


@functools.cache
def _server() -> BaseContext:
    context = multiprocessing.get_context("forkserver")
    doors = ["main", "create_graph", "evaluation", "learning_curve", "faster_rcnn.train"]
    rooms = ["engine.training", "engine.testing", "engine.prediction"]
    late = ["torch._dynamo", "matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"]
    context.set_forkserver_preload([*doors, *rooms, *late])
    here = Path.cwd()
    os.chdir(ROOT)  # where it imports from
    try:
        forkserver.ensure_running()
    finally:
        os.chdir(here)
    return context


def start(words: list[str], folder: Path, root: Path = ROOT) -> BaseProcess:
    """Start SCRIPT ARGUMENT... (SCRIPT relative to the repository), or -m MODULE ARGUMENT..., in `folder`."""
    return start_call(_run, [str(word) for word in words], str(folder), str(root))


def start_call(function: Callable[..., object], *arguments: object) -> BaseProcess:
    """Start a function of a module in a process of its own."""
    child = _server().Process(target=_call, args=(function, arguments))
    child.start()
    return child


def _call(function: Callable[..., object], arguments: tuple) -> None:
    multiprocessing.set_start_method(None, force=True)  # what it starts itself begins as from a shell
    function(*arguments)


def end(child: BaseProcess) -> None:
    """SIGKILL, also for what it has started itself."""
    child.kill()
    child.join()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def said(folder: Path) -> list[str]:
    """What the command that ended in `folder` printed, to stdout and to stderr."""
    paths = [folder / name for name in (".out", ".err")]
    texts = [path.read_text(errors="replace") if path.exists() else "" for path in paths]
    for path in paths:
        path.unlink(missing_ok=True)
    return texts


def run_limited(
    words: list[str], folder: Path, seconds: float = SECONDS, gigabytes: float = GIGABYTES, root: Path = ROOT
) -> Outcome:
    """Run `words` in `folder` (see `start`), within bounds."""
    child = start(words, folder, root)
    beginning, peak, fault = time.monotonic(), 0.0, ""
    while child.is_alive():
        try:
            peak = max(peak, _peak(child.pid))
            busy = processor_seconds(child.pid)
        except (OSError, IndexError):
            break  # it has just ended
        if busy > seconds or time.monotonic() - beginning > 3 * seconds:
            fault = f"more than {seconds} s"
        elif peak > gigabytes:
            fault = f"more than {gigabytes} GB"
        if fault:
            end(child)
        time.sleep(0.02)
    child.join()
    texts = said(folder)
    if not fault and child.exitcode < 0:
        fault = f"signal {-child.exitcode}"
    if not fault and "Traceback (most recent call last)" in "".join(texts):
        fault = "traceback"
    return Outcome(child.exitcode, *texts, fault, peak)


def _run(words: list[str], folder: str, root: str) -> None:
    """In the child: the script as `__main__`, its output in files."""
    os.setpgrp()  # so that `end` finds what it starts
    os.chdir(folder)
    for descriptor, name in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(n), "w", buffering=1, encoding="utf-8") for n in (1, 2))
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    if words[0] == "-m":
        sys.argv = words[1:]
        sys.path[0:0] = [root]
        sys.modules.pop(words[1], None)  # runpy warns of a module that is imported already
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        script = os.path.join(root, words[0])
        sys.argv = [script, *words[1:]]
        sys.path[0:0] = [os.path.dirname(script)]
        runpy.run_path(script, run_name="__main__")


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def processor_seconds(pid: int) -> float:
    """What the process has used so far. Raises OSError or IndexError when it has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
