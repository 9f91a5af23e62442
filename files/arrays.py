"""Arrays of numbers in files: .npy, .npz. What a file announces is compared with its own size first.

A header of a hundred bytes can announce terabytes. So nothing is allocated before the numbers that are announced are
known to be there. Only plain numbers are read: no objects (which would be pickles), no records, no dates. HDF5 is
files/hdf5.py.
"""

from __future__ import annotations

import ast
import math
import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from files.io import InputError, check_is_file, clear_read_errors, first_line

LONGEST_HEADER = 10_000  # bytes
MOST_UNPACKED = 20  # times the archive's size: numbers shrink little when they are packed
NUMBERS = "fiub"  # kinds of NumPy types


class Header(NamedTuple):
    """What a .npy file announces."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: IO[bytes]) -> Header:
    """The header at the beginning of a .npy file; leaves `file` at the data. Raises ValueError saying what is wrong.

    Objects are let through (kind "O"): who reads them knows how. Any other type must be of plain numbers.
    """
    start = file.read(8)
    if start[:4] == b"PK\x03\x04":
        raise ValueError("it is an .npz archive of several arrays")
    if len(start) < 8 or start[:6] != b"\x93NUMPY":
        raise ValueError("it does not begin as a .npy file does")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    text = file.read(min(length, LONGEST_HEADER + 1))
    if length > LONGEST_HEADER or len(text) < length:
        raise ValueError("its header is cut off or too long")
    try:
        header = ast.literal_eval(
            re.sub(r"\b(\d+)L\b", r"\1", text.decode("utf-8" if start[6] > 2 else "latin1")).strip()
        )
        shape, fortran_order = header["shape"], header["fortran_order"]
        dtype = np.dtype(header["descr"]) if isinstance(header["descr"], str) else None
    except Exception:  # literal_eval and dtype raise almost anything
        raise ValueError("its header cannot be read") from None
    if dtype is None or dtype.names or dtype.subdtype or dtype.kind not in NUMBERS + "O":
        raise ValueError(f"it holds {header['descr']!r:.50}, not numbers")
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape) or len(shape) > 32:
        raise ValueError(f"its shape is {shape!r:.50}")
    return Header(shape, dtype, bool(fortran_order))


def check_rows_are_there(header: Header, size: int) -> None:
    """Raise ValueError unless `size` bytes hold what the header announces."""
    if header.dtype.hasobject:
        raise ValueError("it holds Python objects, not numbers")
    if header.nbytes > size:
        raise ValueError(f"it announces {header.nbytes:,} bytes of numbers and has {size:,}; is it cut off?")


def read_array(path: str | Path, cure: str = "check the path") -> np.ndarray:
    """The numbers of a .npy file. Raises InputError when there are none, or fewer than it announces."""
    check_is_file(path, cure)
    with clear_read_errors(path, cure), open(path, "rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size)
        except ValueError as error:
            raise InputError(f"{path}: is not a .npy file of numbers: {error}; {cure}") from None


def _read(file: IO[bytes], size: int) -> np.ndarray:
    """The array of `file`, which has `size` bytes in all."""
    header = read_header(file)
    check_rows_are_there(header, size - file.tell())
    data = file.read(header.nbytes)
    check_rows_are_there(header, len(data))
    return np.frombuffer(data, header.dtype).reshape(header.shape, order="F" if header.fortran_order else "C")


def read_archive(path: str | Path, names: Sequence[str], cure: str = "check the path") -> dict[str, np.ndarray]:
    """The arrays `names` of an .npz archive; what else is in it stays there.

    Raises InputError when one is missing, is not numbers, or unpacks to more than `MOST_UNPACKED` times the archive.
    """
    check_is_file(path, cure)
    arrays = {}
    try:
        most = MOST_UNPACKED * os.path.getsize(path)
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            for name in names:
                if f"{name}.npy" not in members:
                    raise InputError(f"{path}: lacks the array {name}; {cure}")
                member = members[f"{name}.npy"]
                if member.file_size > most:
                    raise ValueError(f"{name} would unpack to {member.file_size:,} bytes")
                with archive.open(member) as file:
                    arrays[name] = _read(file, member.file_size)
    except InputError:
        raise
    except Exception as error:  # zipfile and the unpackers below it raise almost anything
        raise InputError(f"{path}: is not an .npz archive of numbers ({first_line(error)}); {cure}") from None
    return arrays


def all_finite(array: np.ndarray) -> bool:
    """Whether no number is NaN or infinite."""
    return bool(np.isfinite(array).all())


def as_float32(array: np.ndarray, path: str | Path, cure: str = "check the file") -> np.ndarray:
    """Finite float32 numbers. Raises InputError for NaN, infinity and what float32 cannot hold."""
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32, copy=False)
    if not all_finite(numbers):
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(numbers))[0])
        raise InputError(f"{path}: the number at {place} is {array[place]}; float32 cannot use it; {cure}")
    return numbers
