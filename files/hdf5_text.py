"""Text in HDF5, before HDF5 believes what is said of it.

A name is a reference: how long it is (4 bytes), where the collection is that it lies in, and its number there (4
bytes). HDF5 makes room for the length, up to 4 GB, before it looks for the text; and it walks through a collection by
the lengths in it, for ever if they say so.
"""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5s, h5t, h5z

COLLECTION = b"GCOL\x01"  # how a collection of texts begins
TEXT_AT_ONCE = 2**28  # bytes that names read together may have, were each as long as the file
# How the message of an attribute may begin: its version, bytes before the name, and to how many bytes parts are filled.
MESSAGES = ((1, 8, 8), (2, 8, 1), (3, 9, 1))


def has_endless_text(path: str | Path, lengths: int) -> bool:
    """Whether a collection of texts in the file has no end. lengths: how many bytes the file takes to write a length.

    HDF5 walks over a whole collection by the lengths in it, and goes on for ever where one is 0 or, as its sum turns
    over at 2**64, leads back. No text is read here. A file whose collections overlap is called endless too.
    """
    header = _by_eights(8 + lengths)  # of a collection, and of each text in it
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:

        def length(place: int) -> int:
            return int.from_bytes(data[place + 8 : place + 8 + lengths], "little")

        start, total = data.find(COLLECTION), 0
        while start >= 0:
            place, end = start + header, start + length(start)
            if end <= len(data):
                total += end - start
                if total > 2 * len(data):
                    return True
                while place + header <= end:
                    free = data[place : place + 2] == b"\0\0"  # what is free is one piece, with its header
                    step = length(place) if free else header + _by_eights(length(place))
                    if not 0 < step < 2**63:
                        return True
                    place += step
            start = data.find(COLLECTION, start + 1)
    return False


def _by_eights(size: int) -> int:
    return (size + 7) // 8 * 8


def longest_text(dataset: h5py.Dataset, path: str | Path) -> int | None:
    """How many bytes the longest text of a dataset says it has; None where its references cannot be told."""
    longest = 0
    for references in _stored(dataset, path) if dataset.size else ():
        if references is None:
            return None
        longest = max(longest, _longest(references, _width(dataset.file)))
    return longest


def _width(file: h5py.File) -> int:
    """Bytes of a reference."""
    return 8 + file.id.get_create_plist().get_sizes()[0]


def _longest(references: bytes, width: int) -> int:
    each = np.frombuffer(references, np.uint8, len(references) // width * width).reshape(-1, width)
    return int(np.ascontiguousarray(each[:, :4]).view("<u4").max(initial=0))


def _stored(dataset: h5py.Dataset, path: str | Path) -> Iterator[bytes | None]:
    """The references of a dataset, piece by piece, as they lie in the file; None for what is stored otherwise."""
    width = _width(dataset.file)
    if dataset.chunks is None:
        place = dataset.id.get_offset()
        if place is None:
            yield None
            return
        with open(path, "rb") as file:
            file.seek(place)
            yield file.read(dataset.size * width)
        return
    pieces: list[h5d.StoreInfo] = []
    dataset.id.chunk_iter(pieces.append)
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    for piece in pieces:
        mask, data = dataset.id.read_direct_chunk(piece.chunk_offset)
        yield _unpacked(data, [kind for i, kind in enumerate(filters) if not mask >> i & 1], dataset.chunks, width)


def _unpacked(data: bytes, filters: list[int], chunk: tuple[int, ...], width: int) -> bytes | None:
    """A piece before these filters were applied, one after the other; None for unusual ones."""
    for kind in reversed(filters):
        if kind == h5z.FILTER_DEFLATE:
            data = zlib.decompressobj().decompress(data, math.prod(chunk) * width)
        elif kind == h5z.FILTER_SHUFFLE:  # the first bytes of all references, then their second ones, …
            count = len(data) // width
            data = np.frombuffer(data, np.uint8, count * width).reshape(width, count).T.tobytes()
        else:
            return None
    return data


def longest_text_of_attribute(holder: h5py.File, name: str, path: str | Path) -> int:
    """How many bytes the longest text of an attribute of the file says it has.

    HDF5 does not tell where an attribute lies. It is found by its name: the sizes of name, type and axes come before
    it, and they after it, then the references. Raises ValueError where it is not found.
    """
    wanted, width = name.encode() + b"\0", _width(holder)
    shape = holder.attrs.get_id(name).shape
    lengths = holder.id.get_create_plist().get_sizes()[1]
    axes = b"".join(int(size).to_bytes(lengths, "little") for size in shape)
    longest = -1
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(wanted)
        while at >= 0:
            for version, before, filled in MESSAGES:
                if at < before or data[at - before] != version:
                    continue
                sizes = struct.unpack("<HHH", data[at - before + 2 : at - before + 8])
                of_name, of_type, of_axes = (-(-size // filled) * filled for size in sizes)
                space = data[at + of_name + of_type : at + of_name + of_type + of_axes]
                if sizes[0] == len(wanted) and space[1:2] == bytes([len(shape)]) and axes in space:
                    start = at + of_name + of_type + of_axes
                    longest = max(longest, _longest(data[start : start + math.prod(shape) * width], width))
            at = data.find(wanted, at + 1)
    if longest < 0:
        raise ValueError("it is not stored as usual")
    return longest


def read_texts(dataset: h5py.Dataset, size: int) -> list[str] | None:
    """The names in a dataset of one axis; None when they are longer than the file, of `size` bytes.

    Each is a reference to a text, and many may refer to one text: they are read and counted a few at a time.
    """
    if not dataset.dtype.hasobject:
        return dataset.asstr()[()].tolist()
    if len(dataset) > size // 16:
        return None
    texts: list[str] = []
    rows, total, kind = max(1, TEXT_AT_ONCE // size), 0, h5t.py_create(dataset.dtype)
    space = dataset.id.get_space()
    for start in range(0, len(dataset), rows):
        part = np.empty(min(rows, len(dataset) - start), dataset.dtype)
        space.select_hyperslab((start,), part.shape)
        dataset.id.read(h5s.create_simple(part.shape), space, part, kind)
        total += sum(map(len, part))
        if total > size:
            return None
        texts += [text.decode() if isinstance(text, bytes) else text for text in part.tolist()]
    return texts
