"""Word tables (`utable.npy`, `btable.npy`): memory-mapped, so that only the rows asked for are read.

The published tables are NumPy *object* arrays written by Python 2: a pickle in which every
row is an array of its own. Such a pickle is read by an unpickler that knows arrays of
numbers and refuses everything else, row by row into a plain .npy beside it, once.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import pickle
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from files.arrays import as_float32, read_header
from files.io import InputError, atomic_write, check_is_file, file_stamp
from files.pickles import PlainUnpickler, StandIn

_DOWNLOAD = "download it again"


class WordTable:
    """A word table on disk, of `shape` (words, numbers a word)."""

    def __init__(self, path: Path, pages: mmap.mmap, start: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.path, self.shape = path, shape
        self._pages = pages
        self._table = np.ndarray(shape, dtype, buffer=pages, offset=start)
        self._advise("MADV_RANDOM")  # words lie anywhere: reading ahead would fill the memory for nothing

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """The vectors of the words of these numbers: float32 (len(numbers), shape[1]).

        Raises InputError when there is NaN among them, or what float32 cannot hold.
        """
        vectors = as_float32(self._table[numbers], self.path, _DOWNLOAD)
        self._advise("MADV_DONTNEED")  # out of this process; the system may keep the pages
        return vectors

    def _advise(self, advice: str) -> None:
        if hasattr(mmap, advice):  # not on Windows
            self._pages.madvise(getattr(mmap, advice))


def open_table(path: str | Path) -> WordTable:
    """Map a word table of floats.

    An old pickled-object table is first rewritten as `<name>.<stamp>.plain.npy` beside it, or in a
    temporary file where its folder cannot be written. The stamp is that of the old table.
    Raises InputError when the file is missing, damaged, or holds anything but rows of numbers.
    """
    path = Path(path)
    check_is_file(path, _DOWNLOAD)
    try:
        with open(path, "rb") as file:
            shape, dtype = _read_header(file, path)
            if not dtype.hasobject:
                return _map(file, shape, dtype, path)
            plain = path.with_suffix(f".{file_stamp(path).hex()[:12]}.plain.npy")
            return open_table(plain) if plain.is_file() else _rewrite_object_table(file, path, plain)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {_DOWNLOAD}") from None


def _read_header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and type in a .npy file's header; leaves `file` at the data."""
    try:
        shape, dtype, fortran_order = read_header(file)
    except ValueError as error:
        raise InputError(f"{path}: is not a .npy table: {error}; {_DOWNLOAD}") from None
    if fortran_order and not dtype.hasobject:
        raise InputError(f"{path}: is stored column by column; save it with numpy.ascontiguousarray")
    return shape, dtype


def _map(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype, path: Path) -> WordTable:
    if len(shape) != 2 or 0 in shape or dtype.kind != "f":
        raise InputError(f"{path}: holds {dtype} of shape {shape}, not a row of floats for every word; {_DOWNLOAD}")
    start = file.tell()
    length = start + math.prod(shape) * dtype.itemsize
    if os.fstat(file.fileno()).st_size < length:
        raise InputError(f"{path}: is cut off; {_DOWNLOAD}")
    pages = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ)
    return WordTable(path, pages, start, shape, dtype)


def _rewrite_object_table(file: IO[bytes], path: Path, plain: Path) -> WordTable:
    """Rewrite the object table open in `file` as the plain table `plain`, and map that one; it replaces older ones."""
    start = file.tell()
    try:
        with atomic_write(plain) as output:
            _copy_rows(file, path, output)
    except InputError:
        if os.access(plain.parent, os.W_OK):
            raise
        # A model on a read-only disk: the plain table lives as long as this process.
        print(f"{plain.parent} cannot be written: {path.name} is converted again at every start", file=sys.stderr)
        file.seek(start)
        with tempfile.TemporaryFile() as output:
            _copy_rows(file, path, output)
            output.seek(0)
            return _map(output, *_read_header(output, path), path)
    for older in plain.parent.glob(f"{path.stem}.*.plain.npy"):
        if older != plain:
            older.unlink(missing_ok=True)
    return open_table(plain)


def _copy_rows(source: IO[bytes], path: Path, output: IO[bytes]) -> None:
    """Write the object table at `source` (its header already read) as a plain .npy to `output`."""
    reader = _TableUnpickler(source, output, f"converting {path.name}")
    try:
        with contextlib.closing(reader.progress):
            reader.finish(reader.load())
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise almost anything
        raise InputError(f"{path}: is not a pickled table of numbers ({error}); it was not loaded") from None


class _TableUnpickler(PlainUnpickler):
    """Reads a pickled array of arrays of floats, writing each row to `output` as soon as it is built.

    The pickle gets stand-ins for the four names of NumPy that such an array needs; nothing of
    NumPy itself is within its reach.
    """

    def __init__(self, source: IO[bytes], output: IO[bytes], title: str) -> None:
        super().__init__(source, encoding="bytes")  # the rows are byte strings of Python 2
        self.output = output
        self.width = self.rows_written = 0
        self.progress = tqdm(desc=title, unit=" words", unit_scale=True, disable=None, leave=False)

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            if name == "_reconstruct":
                return StandIn(lambda kind, shape, code: _Array(self))
            if name == "scalar":
                return StandIn(lambda dtype, data: float(np.frombuffer(data, dtype.numpy())[0]))
        elif module == "numpy":
            if name == "ndarray":
                return None  # only ever an argument of _reconstruct
            if name == "dtype":
                return StandIn(lambda code, *flags: _Type(code))
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def write_row(self, row: np.ndarray) -> int:
        """Write one word's vector; its number."""
        if self.rows_written == 0:
            self.width = row.size
            self.output.write(bytes(_HEADER_BYTES))  # its place; the number of rows is known at the end
        if row.size != self.width:
            raise pickle.UnpicklingError(f"row {self.rows_written} has {row.size} numbers, the others {self.width}")
        self.output.write(row.astype("<f4").tobytes())
        self.progress.update()
        self.rows_written += 1
        return self.rows_written - 1

    def finish(self, table: Any) -> None:
        """Check that the rows came in the table's order, and write the header."""
        rows = table.rows if isinstance(table, _Array) else None
        if rows and isinstance(rows[0], float):  # a table of single numbers: rows of numbers after all
            for row in np.array(rows, np.float64).reshape(table.shape):
                self.write_row(row)
        elif not rows or [row.number for row in rows] != list(range(self.rows_written)):
            raise pickle.UnpicklingError("it is not an array of rows")
        text = repr({"descr": "<f4", "fortran_order": False, "shape": (self.rows_written, self.width)}).encode()
        text = text.ljust(_HEADER_BYTES - 11) + b"\n"
        self.output.seek(0)
        self.output.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
        self.output.seek(0, os.SEEK_END)


_HEADER_BYTES = 128


class _Type:
    """The stand-in for numpy.dtype: a float of 2, 4 or 8 bytes, or `object`."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: bytes | str) -> None:
        self._code = code.decode("ascii") if isinstance(code, bytes) else code
        self._order = "="
        if self._code not in ("f2", "f4", "f8", "O", "O4", "O8"):
            raise pickle.UnpicklingError(f"it holds {self._code!r}, not floats")

    def __setstate__(self, state: tuple) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        self._order = "=" if order == "|" else order

    def numpy(self) -> np.dtype | None:
        """The NumPy type; None for `object`."""
        return None if self._code.startswith("O") else np.dtype(self._order + self._code)


class _Array:
    """The stand-in for numpy.ndarray: the table (`rows`) or one of its rows (`number`)."""

    __slots__ = ("_reader", "number", "rows", "shape")

    def __init__(self, reader: _TableUnpickler) -> None:
        self._reader, self.number, self.rows, self.shape = reader, None, None, None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, _, data = state
        if dtype.numpy() is None:
            self.shape, self.rows = shape, data
        else:
            self.number = self._reader.write_row(np.frombuffer(data, dtype.numpy()))
