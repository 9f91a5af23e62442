"""A folder is one run's at a time, and free again however that run ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from files.io import InputError
from files.locks import folder_lock

HOLDER = """
import sys, time
from files.locks import folder_lock
with folder_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> subprocess.Popen:
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[2]
    )
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_second_run_is_refused_by_name(tmp_path):
    with holder(tmp_path) as process:
        with pytest.raises(InputError, match=f"process {process.pid}.*--output_dir"), folder_lock(tmp_path):
            pass
        process.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_leaves_the_folder_free(tmp_path, how):
    with holder(tmp_path) as process:
        os.kill(process.pid, how)
        process.wait()
    with folder_lock(tmp_path):
        pass


def test_it_is_free_after_the_block_and_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), folder_lock(tmp_path / "new"):
            raise ZeroDivisionError
    with folder_lock(tmp_path / "new"), folder_lock(tmp_path / "other"):
        pass
