"""Reading a JSON list of images that is too large to hold: item by item, in bounded memory.

The mapped file is cut into batches of items, which several processes decode and condense at
once. When anything is wrong with it, the file is read again by a slow and careful scanner that
says which item is bad, and at which byte, or leaves that item out.
"""

from __future__ import annotations

import codecs
import gc
import mmap
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from tqdm import tqdm

from data.processes import Workers
from files.io import InputError, not_utf8

BATCH_BYTES = 1 << 18  # decoded at a time: few enough that the objects stay in the processor's cache
RANGE_BYTES = 8 << 20  # what a process is given at a time
MAX_ITEM_BYTES = 64 << 20
FEW_BYTES = 16 << 20  # below this, starting processes costs more than it brings
ADVICE = "--skip_bad_items leaves such items out"
CURE = "get it with: python data/download.py vg-annotations"


Condense = Callable[[Iterable[list[Any]]], Any]


@dataclass(frozen=True)
class ItemType:
    """An item of a list file: a struct with `image_id` and named lists of elements.

    elements: {name of the list: type of its elements}.
    """

    item: type
    elements: dict[str, type]


def read_lists(
    jobs: list[tuple[Path, ItemType, Condense]], skip_bad_items: bool, workers: Workers, title: str
) -> list[tuple[list[Any], int]]:
    """Decode list files and condense them range by range.

    jobs: (path, type of its items, function that condenses the decoded items, which come in
    batches); the function must be one that can be sent to another process.
    Returns, per job, what the function returned for each range, in the file's order, and the
    number of bad items or elements that were left out.
    Raises InputError naming file, item and byte offset.
    """
    total = sum(_size(path) for path, _, _ in jobs)
    found: list[list[Any]] = [[] for _ in jobs]
    bad = set()

    def tasks() -> Iterator[tuple]:
        for number, (path, type_, condense) in enumerate(jobs):
            ranges = _cut(path)
            if ranges is None:
                bad.add(number)
            for batches in ranges or ():
                yield number, path, batches, type_.item, condense

    results = workers.in_order(_read_range, tasks(), large=total > FEW_BYTES)
    with tqdm(total=total, desc=title, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        for number, size, part in results:
            if part is None:
                bad.add(number)
            found[number].append(part)
            bar.update(size)
    return [
        _read_carefully(path, type_, condense, skip_bad_items) if number in bad else (found[number], 0)
        for number, (path, type_, condense) in enumerate(jobs)
    ]


def _size(path: Path) -> int:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {CURE}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {CURE}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is not a file; {CURE}")
    return status.st_size


def _cut(path: Path) -> list[np.ndarray] | None:
    """Ranges of a list file, each as (k, 2) first byte, byte after the last, of its batches of items.

    None where the careful way must say what is wrong.
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            places = _places(text)
    except (OSError, ValueError):  # mmap refuses an empty file
        return None
    if places is None:
        return None
    if len(places) == 0:
        return []
    batch = np.flatnonzero(np.diff(places[:, 0] // BATCH_BYTES, prepend=-1))
    batches = np.stack([places[batch, 0], places[np.append(batch[1:], len(places)) - 1, 1]], axis=1)
    if np.diff(batches).max() > MAX_ITEM_BYTES:
        return None
    return np.split(batches, np.flatnonzero(np.diff(batches[:, 0] // RANGE_BYTES)) + 1)


def _places(text: mmap.mmap) -> np.ndarray | None:
    """(k, 2) first byte, byte after the last of each item of a JSON list; None when it is none."""
    whole = memoryview(text)
    begin = 3 if whole[:3] == codecs.BOM_UTF8 else 0
    try:
        items = msgspec.json.decode(whole[begin:], type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    first = np.array([offset_in(whole, item) for item in items], np.int64)
    size = np.array([memoryview(item).nbytes for item in items], np.int64)
    return np.stack([first, first + size], axis=1)


def _read_range(task: tuple) -> tuple[int, int, Any | None]:
    """(number of the job, bytes, the range decoded and condensed; None when that fails)."""
    number, path, batches, item, condense = task
    decoder = msgspec.json.Decoder(list[item])
    collecting = gc.isenabled()
    gc.disable()  # decoding makes many objects and no cycles
    try:
        with open(path, "rb") as file:
            part = condense(decoder.decode(text) for text in _texts(file, batches))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        part = None
    finally:
        if collecting:
            gc.enable()
    return number, int(batches[-1, 1] - batches[0, 0]), part


def _texts(file: IO[bytes], batches: np.ndarray) -> Iterator[bytes]:
    for begin, end in batches.tolist():
        file.seek(begin)
        yield b"[%b]" % file.read(end - begin)


# The careful way --------------------------------------------------------------------------------


def _read_carefully(path: Path, type_: ItemType, condense: Condense, skip_bad_items: bool) -> tuple[list[Any], int]:
    decoder = msgspec.json.Decoder(type_.item)
    parts, items, size, bad = [], [], 0, 0
    for number, offset, text in _items(path):
        try:
            items.append(decoder.decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            item, faults = _salvage(text, type_)
            if not skip_bad_items:
                element, byte, message = faults[0] if faults else ("", 0, describe_fault(error, text))
                begin = offset + byte
                fault = _count_from_the_beginning(message, begin)
                raise InputError(f"{path}: item {number}{element} at byte {begin}: {fault}; {ADVICE}") from None
            bad += max(len(faults), 1)
            if item is not None:
                items.append(item)
        size += len(text)
        if size > RANGE_BYTES:
            parts.append(condense([items]))
            items, size = [], 0
    parts.append(condense([items]))
    return parts, bad


def _salvage(text: bytes, type_: ItemType) -> tuple[Any | None, list[tuple[str, int, str]]]:
    """What is good in a bad item, and its faults: (which element, byte within the item, message)."""
    if not type_.elements:
        return None, []
    shell = msgspec.defstruct("Shell", [("image_id", int), *((name, list[msgspec.Raw]) for name in type_.elements)])
    finite = mask_not_finite(text)
    try:
        outer = msgspec.json.decode(finite, type=shell)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return None, [("", 0, describe_fault(error, text))]
    faults, lists = [], {}
    for name, element in type_.elements.items():
        lists[name] = []
        for number, raw in enumerate(getattr(outer, name)):
            try:
                lists[name].append(msgspec.json.decode(raw, type=element))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                begin = offset_in(finite, raw)
                message = describe_fault(error, text[begin : begin + len(bytes(raw))])
                faults.append((f" (image {outer.image_id}), {name}[{number}]", begin, message))
    return type_.item(image_id=outer.image_id, **lists), faults


def _count_from_the_beginning(message: str, begin: int) -> str:
    """The decoder counts bytes from where it began; we, from the beginning of the file."""
    return re.sub(r"\(byte (\d+)\)", lambda match: f"(byte {begin + int(match[1])})", message)


_NOT_FINITE = re.compile(rb"(?<=[\s:\[,])(?:NaN|-?Infinity)(?=[\s,\]}])")


def mask_not_finite(text: bytes) -> bytes:
    """Put an empty object, equally long, where NaN or Infinity stands.

    Neither is JSON, and would hide in which element they are. An object does not belong there either.
    """
    return _NOT_FINITE.sub(lambda match: b"{}".ljust(len(match[0])), text)


def describe_fault(error: Exception, text: bytes) -> str:
    """What is wrong with a piece of JSON that did not decode."""
    if (place := not_utf8(text)) is not None:
        return f"is not UTF-8 text (its byte {place})"
    not_finite = _NOT_FINITE.search(text)
    return f"{not_finite[0].decode()} is not a number in JSON" if not_finite else str(error)


def offset_in(data: bytes, part: msgspec.Raw) -> int:
    """Where in `data` a part of it begins: a `Raw` shares the memory of the text it was cut from."""
    return np.frombuffer(part, np.uint8).ctypes.data - np.frombuffer(data, np.uint8).ctypes.data


def _items(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(number, byte offset, text) of each item of the list, whatever it is.

    Raises InputError when the file is not a list, when the list does not end, or something follows its end.
    """
    with open(path, "rb") as file:
        offset = _beginning(path, file.read(1 << 16))
        file.seek(offset)
        number, buffer, block = 0, b"", RANGE_BYTES
        while True:
            more = file.read(block)
            buffer += more
            separators, closed = _separators(np.frombuffer(buffer, np.uint8))
            begin = 0
            for place in separators:
                text = buffer[begin:place]
                bare = text.lstrip()
                if bare or number or buffer[place] == ord(","):  # only `[]` has nothing before its end
                    yield number, offset + begin + len(text) - len(bare), bare.rstrip()
                    number += 1
                begin = place + 1
            if closed:
                rest = buffer[begin:].strip() or file.read(1 << 16).strip()
                if rest:
                    raise InputError(
                        f"{path}: something follows the end of the list at byte {offset + begin}; get the file again"
                    )
                return
            offset, buffer = offset + begin, buffer[begin:]
            start = offset + len(buffer) - len(buffer.lstrip())
            if not more:
                raise InputError(
                    f"{path}: the file ends inside item {number}, which begins at byte {start}: "
                    "it is cut off or damaged; get it again"
                )
            if len(buffer) > MAX_ITEM_BYTES:
                raise InputError(
                    f"{path}: item {number} at byte {start} is larger than {MAX_ITEM_BYTES >> 20} MB or does not end; "
                    "get the file again, or take that item out"
                )


def _beginning(path: Path, head: bytes) -> int:
    """The byte after the bracket that opens the list."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in head[:4]:
        raise InputError(f"{path}: is not UTF-8 text at byte 0 (it looks like UTF-16 or UTF-32); save it as UTF-8")
    opening = re.match(rb"(?:\xef\xbb\xbf)?\s*\[", head)
    if opening is None:
        what = f"is not a JSON list of images at byte {len(head) - len(head.lstrip())}" if head.strip() else "is empty"
        raise InputError(f"{path}: {what}; {CURE}")
    return opening.end()


def _separators(text: np.ndarray) -> tuple[list[int], bool]:
    """Positions of the commas between items, and of the bracket that ends the list if it is there.

    text: (n,) bytes that begin between two items.
    """
    quotes = np.flatnonzero(text == ord('"'))
    before = quotes[(quotes > 0) & (text[quotes - 1] == ord("\\"))]
    if len(before):
        # a quote is escaped when an odd number of backslashes stands before it
        plain = np.flatnonzero(text != ord("\\"))
        run = before - 1 - np.append(-1, plain)[np.searchsorted(plain, before)]
        quotes = np.setdiff1d(quotes, before[run % 2 == 1], assume_unique=True)
    delta = np.zeros(256, np.int8)
    delta[[ord("{"), ord("[")]], delta[[ord("}"), ord("]")]] = 1, -1
    structure = delta != 0
    structure[ord(",")] = True
    place = np.flatnonzero(structure[text])
    place = place[np.searchsorted(quotes, place) % 2 == 0]
    depth = np.cumsum(delta[text[place]], dtype=np.int64)
    end = np.flatnonzero(depth < 0)
    closed = len(end) > 0
    stop = end[0] + 1 if closed else len(place)
    top = (depth[:stop] == 0) & (text[place[:stop]] == ord(","))
    if closed:
        top[-1] = True
    return place[:stop][top].tolist(), closed
