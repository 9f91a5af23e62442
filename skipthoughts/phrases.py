"""The phrases met so far, numbered, with their vectors: each is encoded once, across runs too."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from files.io import InputError, atomic_write
from skipthoughts.encoder import Encoder

_COPIED_ROWS = 4096  # at once
_FIRST_SAVE = 256  # new phrases


class PhraseStore:
    """Numbers phrases in the order in which they are first asked for; 0 stands for no phrase.

    The numbers depend on that order only, not on what the cache holds: `number(phrases)` of a
    fresh store with the `phrases` of an old one (from a checkpoint) gives them the same numbers.

    cache_path: an HDF5 file that keeps the vectors across runs. It belongs to one model; that
    of another one, or a damaged one, is rebuilt with a message.
    """

    def __init__(self, encoder: Encoder, cache_path: str | Path | None = None) -> None:
        self._encoder = encoder
        self._numbers = {"": 0}
        self._vectors = np.zeros((64, encoder.dimension), np.float32)
        self._path = None if cache_path is None else Path(cache_path)
        self._cache: h5py.File | None = None  # open as long as the store: another run may replace the file
        self._cached: dict[str, int] = {}  # phrase: row in it
        self._unsaved: list[str] = []
        if self._path is not None:
            self._open_cache()

    @property
    def phrases(self) -> list[str]:
        """The phrase of every number; the empty one for 0."""
        return list(self._numbers)

    @property
    def vectors(self) -> np.ndarray:
        """The vector of every number: float32 (len(phrases), dimension), row 0 zeros. A view: do not change it."""
        return self._vectors[: len(self._numbers)]

    def number(self, phrases: Sequence[str]) -> np.ndarray:
        """The numbers (len(phrases),), int64, of the phrases; new ones are encoded, together."""
        numbers = self._numbers
        new = [phrase for phrase in dict.fromkeys(phrases) if phrase not in numbers]
        if new:
            self._append(new)
        return np.fromiter((numbers[phrase] for phrase in phrases), np.int64, len(phrases))

    def save(self) -> None:
        """Write the new vectors to the cache, if there is one. It also happens now and then by itself."""
        if self._path is None or not self._unsaved:
            return
        self._open_cache()  # what another run has written meanwhile stays
        new = [phrase for phrase in self._unsaved if phrase not in self._cached]
        phrases, old_count = [*self._cached, *new], len(self._cached)
        shape = (len(phrases), self._encoder.dimension)
        try:
            with atomic_write(self._path, "w+b") as file, h5py.File(file, "w") as cache:
                cache.attrs["model"] = self._encoder.identity
                cache["phrases"] = np.frombuffer(json.dumps(phrases).encode(), np.uint8)
                # With a checksum, so that damage shows.
                vectors = cache.create_dataset("vectors", shape, np.float32, chunks=True, fletcher32=True)
                for start in range(0, old_count, _COPIED_ROWS):
                    stop = min(start + _COPIED_ROWS, old_count)
                    vectors[start:stop] = self._cache["vectors"][start:stop]
                for start in range(0, len(new), _COPIED_ROWS):
                    part = new[start : start + _COPIED_ROWS]
                    rows = self._vectors[[self._numbers[phrase] for phrase in part]]
                    vectors[old_count + start : old_count + start + len(part)] = rows
        except (InputError, OSError) as error:  # a cache is not worth a training run
            print(f"warning: phrases are not kept: {error}", file=sys.stderr)
            self._path = None
            return
        self._unsaved.clear()
        self._open_cache()

    def _append(self, new: list[str]) -> None:
        count = len(self._numbers)
        if count + len(new) > len(self._vectors):
            grown = np.zeros((max(2 * len(self._vectors), count + len(new)), self._encoder.dimension), np.float32)
            grown[:count] = self._vectors[:count]
            self._vectors = grown
        vectors = self._vectors[count : count + len(new)]
        missing = self._read_cached(new, vectors)
        if missing:
            vectors[missing] = self._encoder.encode([new[i] for i in missing])
            self._unsaved += [new[i] for i in missing]
        self._numbers.update(zip(new, range(count, count + len(new)), strict=True))
        if len(self._unsaved) >= max(_FIRST_SAVE, len(self._cached)):  # doubling: each vector is written twice at most
            self.save()

    def _read_cached(self, phrases: list[str], vectors: np.ndarray) -> list[int]:
        """Fill in the rows of `vectors` that the cache has; the indices of those that it has not."""
        found = [i for i, phrase in enumerate(phrases) if phrase in self._cached]
        if not found:
            return list(range(len(phrases)))
        rows = np.array([self._cached[phrases[i]] for i in found])
        order = np.argsort(rows)  # HDF5 takes increasing rows
        try:
            vectors[np.array(found)[order]] = self._cache["vectors"][rows[order]]
        except OSError:
            self._forget_cache("is damaged")
            return list(range(len(phrases)))
        return [i for i, phrase in enumerate(phrases) if phrase not in self._cached]

    def _open_cache(self) -> None:
        if self._cache is not None:
            self._cache.close()
        self._cache, self._cached = None, {}
        if not self._path.exists():
            return
        try:
            self._cache = h5py.File(self._path, "r")
            phrases = json.loads(self._cache["phrases"][:].tobytes())
            matches = self._cache.attrs["model"] == self._encoder.identity
            if self._cache["vectors"].shape != (len(phrases), self._encoder.dimension) and matches:
                raise ValueError("rows and phrases disagree")
        except (OSError, KeyError, ValueError, TypeError):
            self._forget_cache("is damaged")
            return
        if matches:
            self._cached = {phrase: row for row, phrase in enumerate(phrases)}
        else:
            self._forget_cache("belongs to another skip-thought model")

    def _forget_cache(self, reason: str) -> None:
        print(f"{self._path} {reason}: the phrases are encoded anew", file=sys.stderr)
        if self._cache is not None:
            self._cache.close()
        self._cache, self._cached = None, {}
        with contextlib.suppress(OSError):
            self._path.unlink()
        # What this run has read from it is written again with the rest.
        self._unsaved = [phrase for phrase in self._numbers if phrase]
