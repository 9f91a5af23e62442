"""Reading and writing files: what is wrong is one line, what was there before stays."""

import errno
import io
import os
import sys

import pytest

from files import io as formats
from files.io import InputError, atomic_write, read_json, reports_input_errors, write_json


@pytest.mark.parametrize("text", [b'{"a": 1}', b'\xef\xbb\xbf{"a": 1}'], ids=["plain", "byte order mark"])
def test_utf8_with_and_without_a_byte_order_mark(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    assert read_json(tmp_path / "a.json", dict[str, int]) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}'.encode("utf-16"), "looks like UTF-16"),
        ('{"a": 1}'.encode("utf-16-le"), "looks like UTF-16"),
        ('{"ü": 1}'.encode("latin-1"), "not UTF-8 text at byte"),
        (b'\xef\xbb\xbf{"a": x}', "byte 9"),  # counted with the mark, as an editor counts
        (b'{"a": ', "cut off"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": "1"}', "Expected `int`, got `str` - at `$[...]`"),
    ],
)
def test_what_is_wrong_with_a_json_file_is_said(tmp_path, text, said):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(InputError) as error:
        read_json(tmp_path / "a.json", dict[str, int])
    message = str(error.value).removeprefix(str(tmp_path))
    assert said in message
    assert message.startswith("/a.json: ")
    assert "\n" not in message


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.json", tmp_path / ("n" * 300), "/proc/none/a.json", tmp_path):
        with pytest.raises(InputError, match=r"cannot be written .*; choose another"):
            write_json(path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, 1)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(formats.os, "fsync", full)
    with pytest.raises(InputError, match="the disk is full; the previous file"):
        write_json(path, 2)
    assert path.read_text() == "1\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_no_regular_file_is_not_replaced_and_a_link_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to pipe").symlink_to("pipe")
    for name in ("pipe", "to pipe"):
        with pytest.raises(InputError, match=rf"{name}: cannot be written \(it is not a regular file\); choose"):
            write_json(tmp_path / name, 1)
    assert (tmp_path / "pipe").is_fifo()
    for name in ("there.json", "new.json"):
        (tmp_path / f"to {name}").symlink_to(tmp_path / name)
    (tmp_path / "there.json").write_text("1\n")
    for name in ("there.json", "new.json"):
        write_json(tmp_path / f"to {name}", 2)
        assert (tmp_path / f"to {name}").is_symlink()
        assert (tmp_path / name).read_text() == "2\n"


def test_errors_of_the_callers_own_work_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a"):
        (tmp_path / "other").read_text()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory"),
        (OSError(36, "File name too long", "a" * 5000), "aaa…: File name too long"),
    ],
)
def test_what_the_system_refuses_ends_in_one_short_line(capsys, error, said):
    def main():
        raise error

    assert reports_input_errors(main)() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert len(line) < 300


class _FullDisk(io.RawIOBase):
    """What a redirection to a full disk is: every write fails."""

    def writable(self):
        return True

    def write(self, _):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_output_that_takes_nothing_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(_FullDisk())))
    assert reports_input_errors(lambda: print("a table"))() == 2
    assert capsys.readouterr().err == "error: standard output: No space left on device\n"
    assert sys.stdout.closed, "or Python fails on it once more at exit"


def test_characters_that_the_terminal_lacks_are_escaped(monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", stdout)
    assert not reports_input_errors(lambda: print("café → 猫"))()
    assert stdout.buffer.getvalue() == "café \\u2192 \\u732b\n".encode("latin-1")
