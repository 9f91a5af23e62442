"""Pickles of plain data: read without running code, and without the few bytes that become gigabytes.

The reader is Python's own unpickler written in Python, about ten times slower than the one in C (a million numbers
a second). In exchange every operation can be looked at: the one in C takes 4 GB for a number of nine bytes
(LONG_BINPUT), and hashes tuples of shared tuples for ever.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from files.io import InputError, atomic_write, first_line, read_bytes

DEEPEST = 100  # containers within containers
KEYS = (str, bytes, int, float, bool, type(None))


class PlainUnpickler(pickle._Unpickler):
    """Builds dicts, lists, tuples, strings, bytes and numbers; refuses to look up any class or function."""

    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it asks for a persistent object")

    def load_other(self) -> None:
        raise pickle.UnpicklingError("it holds sets, arrays of bytes or buffers")

    for code in (
        pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET, pickle.BYTEARRAY8, pickle.NEXT_BUFFER,
        pickle.READONLY_BUFFER, pickle.EXT1, pickle.EXT2, pickle.EXT4,
    ):  # fmt: skip
        dispatch[code[0]] = load_other

    def load_setitem(self) -> None:
        self._check_keys(self.stack[-2:])
        pickle._Unpickler.load_setitem(self)

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        self._check_keys(self.stack)
        pickle._Unpickler.load_setitems(self)

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_dict(self) -> None:
        self._check_keys(self.stack)
        pickle._Unpickler.load_dict(self)

    dispatch[pickle.DICT[0]] = load_dict

    @staticmethod
    def _check_keys(items: list[Any]) -> None:
        """A tuple as a key is hashed through all that it holds, as often as it holds it."""
        for key in items[::2]:
            if not isinstance(key, KEYS):
                raise pickle.UnpicklingError(f"it has a {type(key).__name__} as a key")


class StandIn:
    """What a pickle gets for the name of a class or function: it can call it, and do nothing else with it."""

    __slots__ = ("_build",)

    def __init__(self, build: Callable[..., Any]) -> None:
        self._build = build

    def __call__(self, *arguments: Any) -> Any:
        return self._build(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes a function")


def check_size(value: Any, most: int, measure: Callable[[Any], int] = lambda leaf: 1) -> int:
    """How large `value` is for who walks through it: what is shared counts as often as it is met.

    measure: the size of what is not a dict, list or tuple. Raises UnpicklingError when there is more than `most`,
    a container holds itself, or containers lie deeper than `DEEPEST`.
    """
    known: dict[int, int] = {}

    def size(value: Any, depth: int) -> int:
        if not isinstance(value, (dict, list, tuple)):
            return measure(value)
        if id(value) not in known:
            if depth > DEEPEST:
                raise pickle.UnpicklingError(f"its lists and dictionaries lie more than {DEEPEST} deep")
            known[id(value)] = most + 1  # until it is known: for one that holds itself
            total = 1
            for item in value.values() if isinstance(value, dict) else value:
                total += size(item, depth + 1)
                if total > most:
                    raise pickle.UnpicklingError("it holds itself, or unfolds to more than the file's size allows")
            known[id(value)] = total
        return known[id(value)]

    return size(value, 0)


def read_plain_pickle(path: str | Path, cure: str = "check the path", encoding: str = "ASCII") -> Any:
    """Read a pickle of plain dicts, lists, strings and numbers, and nothing else.

    encoding: how Python 2's byte strings are decoded (`latin1` for the skip-thought options).
    Raises InputError when the file is missing, damaged, asks for anything else, or holds much more than its size.
    """
    data = read_bytes(path, cure)
    if data.lstrip()[:1] in (b"{", b"["):  # no pickle begins so
        raise InputError(f"{path}: is JSON, not a pickle; {cure}")
    try:
        value = PlainUnpickler(io.BytesIO(data), encoding=encoding).load()
        check_size(value, most=4 * len(data))  # an item of its own takes a byte at least
        return value
    except Exception as error:  # a damaged pickle can raise almost anything
        raise InputError(f"{path}: is not a pickle of plain data ({first_line(error)}); it was not loaded") from None


def write_plain_pickle(path: str | Path, value: Any) -> None:
    """Write plain data as a pickle, atomically (protocol 4: the same value gives the same bytes)."""
    with atomic_write(path) as file:
        pickle.dump(value, file, protocol=4)
