"""HDF5 that strangers have written: what it announces, and what it unpacks to, is found out before it is read.

20 KB of HDF5 can announce thousands of millions of numbers, unpack to gigabytes, or hold one long name a million times.
So nothing is allocated before it is known to be there, and of packed pieces only those of the usual kinds are unpacked.
Nothing that lies in other files is read.
"""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5p, h5z

from files.hdf5_text import (
    TEXT_AT_ONCE,
    has_endless_text,
    longest_text,
    longest_text_of_attribute,
    read_texts,
)
from files.io import InputError, check_is_file, first_line

MOST_HDF5 = 16  # bytes in memory for each byte of the file: a name is a reference of 16 bytes and its text
MOST_UNPACKED = 64  # the same of what is read piece by piece: it takes time, not memory
MOST_DEFLATED = 1100  # how far zlib can shrink numbers that are all the same
LARGEST_CHUNK = 2**26  # bytes: a piece of a dataset is unpacked as a whole
NO_DANGER = 2**28  # bytes: a piece that cannot unpack to more is left to HDF5
LARGEST_LZF = 2**22  # bytes of such a piece: LZF says only while it unpacks how large it gets, up to 90 times
SMALL_HDF5 = 2**26  # bytes that are never too many
CHECKSUM = 4  # bytes that fletcher32 adds to a piece
FAR_LARGER = "is far larger than the file"
FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, h5z.FILTER_LZF}


def open_hdf5(path: str | Path, cure: str = "make it again") -> h5py.File:
    """Open an HDF5 file to read. Raises InputError when it is missing, damaged, or something else."""
    check_is_file(path, cure)
    try:
        file = h5py.File(path, "r")
        endless = has_endless_text(path, file.id.get_create_plist().get_sizes()[1])
    except Exception:  # OSError nearly always; a damaged file can raise almost anything
        raise InputError(f"{path}: is not an HDF5 file, or is cut off; {cure}") from None
    if endless:
        file.close()
        raise InputError(f"{path}: is damaged, HDF5 would read its text without end; {cure}")
    return file


def hdf5_dataset(
    file: h5py.File, name: str, path: str | Path, kinds: str, ndim: int | None = None, cure: str = "make it again"
) -> h5py.Dataset:
    """The dataset `name` of an open file, once its type, its axes, its size and its pieces are known to be fair.

    kinds: letters of NumPy's kinds ("f", "i", "u", "b"), or "text". No numbers are read. Raises InputError when it is
    missing, lies in another file, is of another kind, or announces or unpacks to more than the file can hold.
    """
    try:
        there = isinstance(file.get(name, getlink=True), h5py.HardLink) and file.get(name, getclass=True)
        if not there or not issubclass(there, h5py.Dataset):
            raise InputError(f"{path}: has no dataset {name!r}; {cure}")
        access = h5p.create(h5p.DATASET_ACCESS)
        if kinds == "text":  # read a few at a time: the piece that they are in is to be unpacked once
            access.set_chunk_cache(521, LARGEST_CHUNK, 1.0)
        dataset = h5py.Dataset(h5d.open(file.id, name.encode(), access))
        problem = _problem(dataset, kinds, ndim, path)
    except InputError:
        raise
    except Exception as error:  # a damaged file can make HDF5 raise almost anything
        raise InputError(f"{path}: the dataset {name!r} is damaged ({first_line(error)}); {cure}") from None
    if problem:
        raise InputError(f"{path}: the dataset {name!r} {problem}; {cure}")
    return dataset


def _problem(dataset: h5py.Dataset, kinds: str, ndim: int | None, path: str | Path) -> str:
    """What is not fair about a dataset of the file, "" if nothing; what HDF5 raises goes through."""
    size = os.path.getsize(path)
    if dataset.external or dataset.is_virtual:
        return "lies in another file"
    text = h5py.check_string_dtype(dataset.dtype)
    wrong = dataset.dtype.kind not in kinds if text is None else kinds != "text"
    if wrong or (text is None and kinds == "text") or dataset.shape is None:
        return f"holds the wrong type {dataset.dtype}"
    if ndim is not None and dataset.ndim != ndim:
        return f"has {dataset.ndim} axes, not {ndim}"
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if set(filters) - FILTERS or len(set(filters)) < len(filters) or {h5z.FILTER_DEFLATE, h5z.FILTER_LZF} < {*filters}:
        return "is packed in an unusual way; write it with gzip, or unpacked"
    announced, stored = math.prod(dataset.shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
    packed = h5z.FILTER_DEFLATE in filters or h5z.FILTER_LZF in filters
    if announced > (stored * MOST_DEFLATED if packed else stored):
        return f"announces {announced:,} bytes and stores {stored:,}"
    if announced > max(MOST_UNPACKED * size, SMALL_HDF5):
        return FAR_LARGER
    problem = _problem_of_pieces(dataset, filters) if dataset.chunks else ""
    return problem or (_problem_of_text(dataset, path, size) if dataset.dtype.hasobject else "")


def _problem_of_pieces(dataset: h5py.Dataset, filters: list[int]) -> str:
    """What is not fair about the pieces of a dataset: HDF5 unpacks a piece to whatever comes out of it."""
    # names are references, which h5py counts as 8 bytes; in the file they are 16
    largest = math.prod(dataset.chunks) * (16 if dataset.dtype.hasobject else dataset.dtype.itemsize)
    most = LARGEST_LZF if h5z.FILTER_LZF in filters else LARGEST_CHUNK
    if largest > most:
        return f"comes in pieces of more than {most:,} bytes"
    fair = largest + largest // 100 + 1024  # of what does not shrink
    # One that cannot unpack to much is no danger; the others are unpacked here first, up to their size.
    doubtful = min(fair, NO_DANGER // MOST_DEFLATED) if h5z.FILTER_DEFLATE in filters else fair
    pieces: list[h5d.StoreInfo] = []
    dataset.id.chunk_iter(lambda piece: pieces.append(piece) if piece.size > doubtful else None)
    for piece in pieces:
        too_long = piece.size > fair
        if not too_long and not piece.filter_mask & 1 << filters.index(h5z.FILTER_DEFLATE):
            packed = dataset.id.read_direct_chunk(piece.chunk_offset)[1]
            too_long = len(zlib.decompressobj().decompress(packed, largest + CHECKSUM + 1)) > largest + CHECKSUM
        if too_long:
            return f"has a piece that unpacks to more than its {largest:,} bytes"
    return ""


def _problem_of_text(dataset: h5py.Dataset, path: str | Path, size: int) -> str:
    """What is not fair about the lengths of texts: HDF5 makes room for each before it looks whether it is there."""
    longest = longest_text(dataset, path)
    if longest is None:
        return "holds text in an unusual way; write it unpacked, or with gzip"
    return f"has a text that says it is {longest:,} bytes long" if longest > size else ""


def read_hdf5(
    file: h5py.File, name: str, path: str | Path, kinds: str, ndim: int | None = None, cure: str = "make it again"
) -> Any:
    """A small dataset as an array, or as a list of str when `kinds` is "text". Raises InputError as `hdf5_dataset`,
    and when it is damaged, not UTF-8, or more than `MOST_HDF5` times as large as the file."""
    dataset = hdf5_dataset(file, name, path, kinds, 1 if kinds == "text" else ndim, cure)
    size = os.path.getsize(path)
    too_large = InputError(f"{path}: the dataset {name!r} {FAR_LARGER}; {cure}")
    if math.prod(dataset.shape) * dataset.dtype.itemsize > max(MOST_HDF5 * size, SMALL_HDF5):
        raise too_large
    try:
        if kinds != "text":
            return dataset[()]
        texts = read_texts(dataset, size)
    except UnicodeDecodeError:
        raise InputError(f"{path}: the dataset {name!r} is not UTF-8 text; {cure}") from None
    except Exception as error:  # a damaged chunk can make HDF5 raise almost anything
        raise InputError(f"{path}: the dataset {name!r} is damaged ({first_line(error)}); {cure}") from None
    if texts is None:
        raise too_large
    return texts


def read_hdf5_attribute(
    holder: h5py.File, name: str, path: str | Path, besides: int = 0, cure: str = "make it again"
) -> Any:
    """An attribute of the file, None if it has none; names as a list of str.

    besides: how many bytes of the file are known to be something else. Raises InputError when it is damaged, or could
    be far larger than the file: HDF5 reads all of an attribute at once, and all its names may refer to one text.
    """
    try:
        if name not in holder.attrs:
            return None
        about = holder.attrs.get_id(name)
        count = 0 if about.shape is None else math.prod(about.shape)
        too_large = False
        if about.dtype.hasobject:
            room = os.path.getsize(path) - besides
            too_large = count > 1 and count * room > 4 * TEXT_AT_ONCE
            too_large = too_large or longest_text_of_attribute(holder, name, path) > room
        value = None if too_large else holder.attrs[name]
    except Exception as error:  # a damaged file can make HDF5 raise almost anything
        raise InputError(f"{path}: its attribute {name!r} is damaged ({first_line(error)}); {cure}") from None
    if too_large:
        raise InputError(f"{path}: its attribute {name!r} may be far larger than the file; {cure}")
    return value.tolist() if isinstance(value, np.ndarray) else value
