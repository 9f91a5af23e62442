"""Reading a JSON list of images that is too large to hold: item by item, in bounded memory.

The file is cut into byte ranges that several processes decode at once. Where an item begins
is guessed: items are objects, and all of them begin with the key that the first one begins
with. The guess cannot go wrong unnoticed. Inside a string the key's quotes would be escaped,
so a match is always the beginning of some object; and if that object is nested in an item,
the range has unbalanced brackets and does not decode. Then, and for every error, the file is
read again by a slow and careful scanner that says which item is bad, and at which byte.
"""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from tqdm import tqdm

from data.processes import Workers
from files.io import InputError

RANGE_BYTES = 8 << 20  # what a process is given at a time
BATCH_BYTES = 1 << 18
MAX_ITEM_BYTES = 64 << 20
FEW_BYTES = 16 << 20  # below this, starting processes costs more than it brings
ADVICE = "--skip_bad_items leaves such items out"


Condense = Callable[[Iterable[list[Any]]], Any]


@dataclass(frozen=True)
class ItemType:
    """An item of a list file: a struct with `image_id` and named lists of elements.

    elements: {name of the list: type of its elements}.
    """

    item: type
    elements: dict[str, type]


@dataclass
class _Layout:
    """What the beginning of a file tells: its size, the byte of its first item, how an item begins."""

    size: int
    first: int
    key: bytes | None  # the first key of the first item, with its quotes


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
    layouts = [_look_at(path) for path, _, _ in jobs]
    total = sum(layout.size for layout in layouts)
    tasks = []
    for number, ((path, type_, condense), layout) in enumerate(zip(jobs, layouts, strict=True)):
        for start in range(layout.first, layout.size, RANGE_BYTES) if layout.key else ():
            tasks.append((number, path, layout, start, min(start + RANGE_BYTES, layout.size), type_.item, condense))
    found: list[list[Any]] = [[] for _ in jobs]
    whole = [layout.key is not None for layout in layouts]
    results = workers.in_order(_read_range, tasks, large=total > FEW_BYTES)
    with tqdm(total=total, desc=title, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        for (number, _, _, start, stop, _, _), result in zip(tasks, results, strict=True):
            if result is None:
                whole[number] = False
            else:
                found[number].append(result)
            bar.update(stop - start)
    answer = []
    for (path, type_, condense), layout, parts, good in zip(jobs, layouts, found, whole, strict=True):
        answer.append((parts, 0) if good else _read_carefully(path, layout, type_, condense, skip_bad_items))
    return answer


def _look_at(path: Path) -> _Layout:
    cure = "see README.md for where to get Visual Genome, or run: python data/download.py vg-annotations"
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(1 << 16)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {cure}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {cure}") from None
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in head[:4]:
        raise InputError(f"{path}: is not UTF-8 text at byte 0 (it looks like UTF-16 or UTF-32); save it as UTF-8")
    opening = re.match(rb"(?:\xef\xbb\xbf)?\s*\[\s*", head)
    if opening is None:
        what = f"is not a JSON list of images at byte {len(head) - len(head.lstrip())}" if head.strip() else "is empty"
        raise InputError(f"{path}: {what}; {cure}")
    key = re.match(rb'\{\s{0,64}("[^"\\]{0,64}")\s{0,64}:', head[opening.end() :])
    return _Layout(size, opening.end(), key[1] if key else None)


def _read_range(task: tuple) -> Any | None:
    """Decode and condense the items that begin in bytes [start, stop) of a file; None when that fails."""
    _, path, layout, start, stop, item, condense = task
    decoder = msgspec.json.Decoder(list[item])
    collecting = gc.isenabled()
    gc.disable()  # decoding makes many objects and no cycles
    try:
        with open(path, "rb") as file:
            return condense(decoder.decode(text) for text in _batches(file, layout, start, stop))
    except (_NotFound, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    finally:
        if collecting:
            gc.enable()


class _NotFound(Exception):
    """The items of a range cannot be told apart in the quick way."""


def _batches(file: IO[bytes], layout: _Layout, start: int, stop: int) -> Iterator[bytes]:
    """The items that begin in bytes [start, stop), as JSON lists of about `BATCH_BYTES`.

    Small batches: the decoded objects stay in the processor's cache and the allocator's pools.
    """
    # Bounded, so that a beginning across the end of a range is seen from both sides.
    beginning = re.compile(rb"\{\s{0,64}%b\s{0,64}:" % re.escape(layout.key))
    file.seek(start)
    offset, buffer = start, b""  # buffer holds the bytes from offset on
    opened = False  # whether buffer begins with an item
    while True:
        more = file.read(BATCH_BYTES)
        buffer += more
        if not opened:
            first = beginning.search(buffer)
            if first and offset + first.start() < stop:
                buffer, offset, opened = buffer[first.start() :], offset + first.start(), True
            elif not more or offset + len(buffer) > stop + BATCH_BYTES:
                return  # a long item of the range before covers all of this one
            else:
                continue
        if offset + len(buffer) > stop:
            # the first item that begins at stop or later belongs to the next range
            last = beginning.search(buffer, max(stop - offset, 1))
            cut = last.start() if last else None
        else:
            cut = _last_beginning(buffer, layout.key)
        if cut:
            yield _as_list(buffer[:cut], b",")
            if offset + cut >= stop:
                return
            buffer, offset = buffer[cut:], offset + cut
        elif not more:
            yield _as_list(buffer, b"]")
            return
        elif len(buffer) > MAX_ITEM_BYTES:
            raise _NotFound


def _last_beginning(buffer: bytes, key: bytes) -> int | None:
    """Where the last item of a buffer begins, if it holds the beginnings of two."""
    at = buffer.rfind(key)
    while at > 0:
        before = buffer[max(at - 64, 0) : at].rstrip()
        place = max(at - 64, 0) + len(before) - 1
        if before.endswith(b"{") and place > 0 and buffer[at + len(key) : at + len(key) + 64].lstrip()[:1] == b":":
            return place
        at = buffer.rfind(key, 0, at)
    return None


def _as_list(text: bytes, end: bytes) -> bytes:
    text = text.rstrip()
    if not text.endswith(end):
        raise _NotFound
    return b"[%b]" % text[:-1]


# The careful way --------------------------------------------------------------------------------


def _read_carefully(
    path: Path, layout: _Layout, type_: ItemType, condense: Condense, skip_bad_items: bool
) -> tuple[list[Any], int]:
    decoder = msgspec.json.Decoder(type_.item)
    parts, items, size, bad = [], [], 0, 0
    for number, offset, text in _items(path, layout):
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

    Both are no JSON, and would hide in which element they are. An object is no good there either.
    """
    return _NOT_FINITE.sub(lambda match: b"{}".ljust(len(match[0])), text)


def describe_fault(error: Exception, text: bytes) -> str:
    """What is wrong with a piece of JSON that did not decode."""
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8 text ({error.reason})"
    not_finite = _NOT_FINITE.search(text)
    return f"{not_finite[0].decode()} is not a number in JSON" if not_finite else str(error)


def offset_in(data: bytes, part: msgspec.Raw) -> int:
    """Where in `data` a part of it begins: a `Raw` shares the memory of the text it was cut from."""
    return np.frombuffer(part, np.uint8).ctypes.data - np.frombuffer(data, np.uint8).ctypes.data


def _items(path: Path, layout: _Layout) -> Iterator[tuple[int, int, bytes]]:
    """(number, byte offset, text) of each item of the list, whatever it is.

    Raises InputError when the list does not end, or something follows its end.
    """
    with open(path, "rb") as file:
        file.seek(layout.first)
        offset, number, buffer, block = layout.first, 0, b"", RANGE_BYTES
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
