"""Seeded damage to files of every kind: changes to what they say, or to their bytes (the formats: fuzz_formats.py)."""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NASTY = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, int("9" * 400), 1e-320, 1e308, -1e308, 0.5, 1.5,
    float("nan"), float("inf"), "", "a", "\0", "\ud800", "a" * 5000, "../../x", "日本", "9" * 400, [], [[]], {},
    {"a": 1}, [None], [1, 2, 3], {"": []},
]  # fmt: skip


@dataclass(eq=False)
class Format:
    """value: what a right file holds. write: value -> bytes. read: reads the file at a path, all of it."""

    ending: str
    value: Callable[[], Any]
    write: Callable[[Any], bytes]
    read: Callable[[Path], Any]


# ---------------------------------------------------------------- changes


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a tree of dictionaries and lists."""
    found = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found.append((value, key))
        found += places(item)
    return found


def changed(value: Any, chance: random.Random, nasty: list[Any] = NASTY) -> Any:
    """`value` with one to three things replaced, left out, doubled, swapped or renamed."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        everything = places(value)
        if not everything:
            return chance.choice(nasty)
        container, key = chance.choice(everything)
        how = chance.randrange(6)
        if how == 0:
            del container[key]
        elif how == 1 and isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        elif how == 2:
            other, place = chance.choice(everything)
            if place in other if isinstance(other, dict) else place < len(other):
                container[key] = copy.deepcopy(other[place])
        elif how == 3 and isinstance(container, dict):
            container[chance.choice(["", "a", key + "s" if isinstance(key, str) else "b"])] = container.pop(key)
        elif how == 4 and isinstance(container[key], int | float):
            container[key] = container[key] * chance.choice([-1, 10, 1000, 1e30, 0.001])
        else:
            container[key] = copy.deepcopy(chance.choice(nasty))
    return chance.choice([value] * 30 + nasty)


def mildly_changed(value: Any, chance: random.Random) -> Any:
    """`value` with one to three things that are still of the right type: it parses, and may not fit."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        everything = places(value)
        if not everything:
            break
        container, key = chance.choice(everything)
        item = container[key]
        alike = [c[k] for c, k in everything if type(c[k]) is type(item)]
        how = chance.randrange(4)
        if isinstance(container, list) and how == 0:
            del container[key]
        elif isinstance(container, list) and how == 1:
            container.insert(key, copy.deepcopy(item))
        elif isinstance(item, int | float) and not isinstance(item, bool) and how == 2:
            container[key] = type(item)(item * chance.choice([-1, 0, 0.5, 2, 10, 100]))
        else:
            container[key] = copy.deepcopy(chance.choice(alike))
    return value


def damaged(data: bytes, chance: random.Random) -> bytes:
    """`data` with bits flipped, a piece cut out, doubled, zeroed, filled with noise, or its end cut off."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(data) + 1)
        stop = min(len(data), start + chance.choice([1, 2, 4, 8, 64, 1000]))
        how = chance.randrange(7)
        if how == 0:
            del data[start:]
        elif how == 1:
            del data[start:stop]
        elif how == 2:
            data[start:start] = data[start:stop]
        elif how == 3:
            data[start:stop] = bytes(stop - start)
        elif how == 4:
            data[start:stop] = chance.randbytes(stop - start)
        elif how == 5:
            data[start:stop] = b"\xff" * (stop - start)
        else:
            for place in range(start, min(stop, start + 3)):
                data[place] ^= 1 << chance.randrange(8)
    return bytes(data)


@functools.cache
def right_file(format: Format) -> tuple[Any, bytes]:
    """Its value, which nobody may change, and its bytes."""
    value = format.value()
    return value, format.write(value)


def case(format: Format, seed: int) -> bytes:
    """The file of number `seed`: most say something else, the others are damaged. The same seed, the same file."""
    chance = random.Random(seed)
    value, right = right_file(format)
    how = chance.random()
    if how < 0.6:
        for _ in range(20):
            try:
                return format.write(changed(value, chance) if how < 0.3 else mildly_changed(value, chance))
            except Exception:  # what a writer cannot write is not a file
                continue
    return damaged(right, chance)
