"""Whose folder it is that the sample world is drawn into: what lies there, and another run at the same time."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data import make_sample

SCRIPT = Path(make_sample.__file__)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("number", "words"), [("2", "at least 3"), ("100001", "at most 100000")])
def test_a_number_of_images_that_cannot_be_meant_is_refused(tmp_path, capsys, number, words):
    with pytest.raises(SystemExit):
        make_sample.main(["--output", str(tmp_path), "--num_images", number])
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kept", ["VG_100K/2370799.jpg", "raw_data/objects.json"])
def test_a_folder_with_something_else_is_refused(tmp_path, capsys, kept):
    (tmp_path / kept).parent.mkdir()
    (tmp_path / kept).write_text("somebody's download")
    assert make_sample.main(["--output", str(tmp_path), "--num_images", "3"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert Path(kept).name in error
    assert "--overwrite" in error
    assert contents(tmp_path).keys() == {kept}
    assert (tmp_path / kept).read_text() == "somebody's download"


def test_a_photograph_put_beside_the_sample_is_refused_and_never_removed(tmp_path):
    arguments = ["--output", str(tmp_path), "--num_images"]
    assert make_sample.main([*arguments, "4"]) == 0
    photo = tmp_path / "VG_100K" / "1.jpg"
    photo.write_text("mine")
    assert make_sample.main([*arguments, "3"]) == 2
    assert len(list((tmp_path / "VG_100K").iterdir())) == 5
    assert make_sample.main([*arguments, "3", "--overwrite"]) == 0
    assert photo.read_text() == "mine"
    assert len(list((tmp_path / "VG_100K").iterdir())) == 4  # the fourth image of the earlier sample is gone


def test_a_damaged_mark_is_one_line(tmp_path, capsys):
    (tmp_path / "raw_data").mkdir()
    (tmp_path / "raw_data" / make_sample.MARK).write_text('{"image_ids": ["../../x"]}')
    assert make_sample.main(["--output", str(tmp_path), "--num_images", "3"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_two_at_once_do_not_mix_and_a_killed_one_leaves_the_folder_free(tmp_path, capsys):
    argv = ["--output", str(tmp_path / "both"), "--num_images"]
    first = subprocess.Popen([sys.executable, SCRIPT, *argv, "23", "--seed", "5"], stderr=subprocess.PIPE)
    while not list(tmp_path.glob("both/VG_100K/*.jpg")):
        assert first.poll() is None
        time.sleep(0.01)
    assert make_sample.main([*argv, "3"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"another run (process {first.pid}) writes into this folder; wait until it ends" in error
    assert first.poll() is None, "it was at work while the second was refused"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    (tmp_path / "both" / "VG_100K" / ".9000002.jpg.abcd_123.tmp").write_text("what a kill in the middle leaves")
    assert make_sample.main([*argv, "3"]) == 0
    assert make_sample.main(["--output", str(tmp_path / "alone"), "--num_images", "3"]) == 0
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")
