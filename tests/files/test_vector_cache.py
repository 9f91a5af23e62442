"""The store of vectors: rows come back, all or none of a batch, and what is damaged is noticed."""

import contextlib
import sqlite3

import pytest

from files.io import InputError
from files.vector_cache import Row, VectorCache, digest


def rows(count, vectors=b"12345678"):
    return [Row(b"key %d" % i, b"source", b"stamp", vectors) for i in range(count)]


def test_rows_come_back(tmp_path):
    cache = VectorCache(tmp_path / "a" / "x.sqlite")
    assert cache.sources() == {}
    assert cache.read(b"key 0") is None
    assert not (tmp_path / "a").exists()  # looking makes nothing
    cache.write(rows(3))
    cache.write([Row(b"key 1", b"another", b"time", b"")])
    other = VectorCache(tmp_path / "a" / "x.sqlite")
    assert other.sources() == {
        b"key 0": (b"source", b"stamp"),
        b"key 1": (b"another", b"time"),
        b"key 2": (b"source", b"stamp"),
    }
    assert [other.read(b"key %d" % i) for i in range(4)] == [b"12345678", b"", b"12345678", None]
    other.restamp({b"key 1": b"later"})
    assert cache.sources()[b"key 1"] == (b"another", b"later")
    assert cache.read(b"key 1") == b""


def test_two_write_at_a_time(tmp_path):
    one, other = VectorCache(tmp_path / "x"), VectorCache(tmp_path / "x")
    one.write(rows(1))
    other.write(rows(3)[1:])
    assert len(one.sources()) == 3


@pytest.mark.parametrize("column", ["source", "vectors", "checksum"])
@pytest.mark.parametrize("value", [b"another", 3, "text", "\ud800"])
def test_a_row_that_was_changed_is_gone(tmp_path, capsys, column, value):
    cache = VectorCache(tmp_path / "x.sqlite")
    cache.write(rows(2))
    with contextlib.closing(sqlite3.connect(cache.path)) as database, database:
        value = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        database.execute(f"UPDATE vectors SET {column} = ? WHERE key = ?", (value, b"key 0"))
    assert cache.read(b"key 0") is None
    assert "x.sqlite: a row is damaged" in capsys.readouterr().err
    assert cache.read(b"key 1") == b"12345678"
    assert list(cache.sources()) == [b"key 1"]


@pytest.mark.parametrize("content", [b"text" * 3000, b"SQLite format 3\0" + b"\xff" * 5000, None])
def test_a_file_of_something_else_is_removed_and_made_again(tmp_path, capsys, content):
    path = tmp_path / "x.sqlite"
    if content is None:  # somebody else's table
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE vectors (a, b)")
    else:
        path.write_bytes(content)
    assert VectorCache(path).sources() == {}
    assert "x.sqlite: is damaged" in capsys.readouterr().err
    path.write_bytes(b"text" * 3000)
    cache = VectorCache(path)
    cache.write(rows(1))
    assert cache.read(b"key 0") == b"12345678"


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "x", tmp_path / "folder"):
        with pytest.raises(InputError, match="cannot be read or written"):
            VectorCache(path).write(rows(1))


def test_contents_are_told_apart_by_their_parts():
    assert digest(b"ab", b"c") != digest(b"a", b"bc")
    assert digest(b"ab") == digest(b"ab")
