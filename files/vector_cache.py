"""Vectors kept across runs, each with what it was made from, in one SQLite file.

SQLite writes all of a batch or nothing, so a run that is killed loses the rows it had not written and damages none.
Each row has a checksum: a flipped bit costs that row. A file whose structure is damaged is removed, with a warning.
"""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from files.io import InputError

WAIT = 60.0  # seconds for another process that writes
_TABLE = (
    "CREATE TABLE IF NOT EXISTS vectors "
    "(key BLOB PRIMARY KEY, source BLOB NOT NULL, stamp BLOB NOT NULL, vectors BLOB NOT NULL, checksum BLOB NOT NULL)"
)


Result = TypeVar("Result")


class Row(NamedTuple):
    """One key's vectors.

    source: what they were made from, as a hash of its content. stamp: cheaper to find out, and the same only where
    the source is. vectors: the bytes of an array.
    """

    key: bytes
    source: bytes
    stamp: bytes
    vectors: bytes | memoryview


def digest(*parts: bytes | memoryview | np.ndarray) -> bytes:
    """16 bytes that tell contents apart; each part counts with its length."""
    hash = hashlib.blake2b(digest_size=16)
    for part in parts:
        hash.update(memoryview(part).nbytes.to_bytes(8, "little"))
        hash.update(part)
    return hash.digest()


class VectorCache:
    """The rows of one file. It is opened when it is first used, and never keeps anybody else from writing."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._connection: sqlite3.Connection | None = None

    def sources(self) -> dict[bytes, tuple[bytes, bytes]]:
        """key -> (source, stamp) of all rows."""
        if not self.path.exists():
            return {}

        def read(database: sqlite3.Connection) -> dict[bytes, tuple[bytes, bytes]]:
            rows = database.execute("SELECT key, source, stamp FROM vectors")
            return {key: (source, stamp) for key, source, stamp in rows if isinstance(key, bytes)}

        return self._run(read) or {}

    def read(self, key: bytes) -> bytes | None:
        """The vectors of a key. None when there are none, or a checksum says that they are damaged; those go."""
        if not self.path.exists():
            return None

        def read(database: sqlite3.Connection) -> bytes | None:
            found = database.execute("SELECT source, vectors, checksum FROM vectors WHERE key = ?", (key,)).fetchone()
            if found is None:
                return None
            source, vectors, checksum = found
            if all(isinstance(part, bytes) for part in found) and digest(key, source, vectors) == checksum:
                return vectors
            print(f"warning: {self.path}: a row is damaged; it is made again", file=sys.stderr)
            with database:
                database.execute("DELETE FROM vectors WHERE key = ?", (key,))
            return None

        return self._run(read)

    def write(self, rows: Iterable[Row]) -> None:
        """Add rows, all or none, replacing those of the same keys. Raises InputError when the disk is full."""
        values = [(*row, digest(row.key, row.source, row.vectors)) for row in rows]

        def write(database: sqlite3.Connection) -> bool:
            with database:
                database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?)", values)
            return True

        if not self._run(write):  # the file was damaged, and is gone
            self._run(write)

    def restamp(self, stamps: dict[bytes, bytes]) -> None:
        """Give rows new stamps: their sources are the same."""

        def write(database: sqlite3.Connection) -> None:
            with database:
                values = [(stamp, key) for key, stamp in stamps.items()]
                database.executemany("UPDATE vectors SET stamp = ? WHERE key = ?", values)

        self._run(write)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """What `work` returns. What is wrong with the disk is raised as InputError; a damaged file is removed: None."""
        try:
            if self._connection is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = sqlite3.connect(self.path, timeout=WAIT, check_same_thread=False)
                self._connection.text_factory = bytes
                self._connection.execute(_TABLE)
            return work(self._connection)
        except (sqlite3.Error, OSError) as error:
            self.close()
            operational = isinstance(error, (sqlite3.OperationalError, OSError))
            if operational and not str(error).startswith(("no such", "table ")):  # those: another program's tables
                raise InputError(f"{self.path}: cannot be read or written ({error}); is the disk full?") from None
            for path in (self.path, self.path.with_name(f"{self.path.name}-journal")):
                path.unlink(missing_ok=True)
            print(f"warning: {self.path}: is damaged ({error}); removed, its rows are made again", file=sys.stderr)
            return None
