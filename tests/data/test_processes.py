"""Workers: results in order; what ends a process, or the whole, is told in one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data.processes import Workers
from files.io import InputError

ROOT = Path(__file__).resolve().parents[2]


def square(number: int) -> int:
    return number * number


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("large", [False, True])
def test_results_come_in_order(large):
    with Workers(2) as workers:
        assert list(workers.in_order(square, range(50), large)) == [number**2 for number in range(50)]


def test_a_process_that_is_killed_is_told():
    with Workers(2) as workers, pytest.raises(InputError, match="out of memory"):
        list(workers.in_order(die, range(3), large=True))


SLOW = """
import sys, time
from data.processes import Workers
from files.io import reports_input_errors

@reports_input_errors
def main():
    with Workers(2) as workers:
        for done in workers.in_order(time.sleep, [0.2] * 100, large=True):
            print("started", flush=True)

sys.exit(main())
"""


def test_ctrl_c_is_one_line():
    """A terminal sends the signal to every process of the group."""
    command = [sys.executable, "-c", SLOW]
    running = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert running.stdout.readline() == "started\n"
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert said.strip() == "Stopped."
    assert running.returncode == 130


def test_workers_end_with_a_parent_that_is_killed():
    running = subprocess.Popen([sys.executable, "-c", SLOW], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "started\n"
    running.kill()
    running.wait()
    # the workers hold the other end of the pipe: it closes when the last of them has ended
    running.stdout.read()
