"""A folder is one run's at a time, and free again however that run ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from files.io import InputError, atomic_write
from files.locks import file_lock, folder_lock

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


def test_what_a_killed_run_left_half_written_is_removed_and_nothing_else(tmp_path):
    left, kept = tmp_path / ".results.json.abcd_123.tmp", [".notes.tmp", "a.tmp", ".results.json.ABC.tmp"]
    for name in (left.name, *kept):
        (tmp_path / name).write_text("x")
    with atomic_write(tmp_path / "results.json", "w") as file, folder_lock(tmp_path):
        file.write("{}")
    assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "results.json"}


def test_a_folder_shared_with_other_programs_keeps_their_files(tmp_path):
    other = tmp_path / ".settings.abcd_123.tmp"
    other.write_text("x")
    with folder_lock(tmp_path, shared=True):
        pass
    assert other.exists()


def test_one_file_is_one_runs_at_a_time_and_its_leftovers_go(tmp_path):
    path, left = tmp_path / "detector.pt", tmp_path / ".detector.pt.checkpoint.abcd_123.tmp"
    left.write_text("x")
    with file_lock(path):
        assert not left.exists()
        with pytest.raises(InputError, match="another run"), file_lock(path):
            pass
        with file_lock(tmp_path / "other.pt"):
            pass
    assert not list(tmp_path.iterdir())
