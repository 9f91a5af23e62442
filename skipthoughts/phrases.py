"""The phrases met so far, numbered, with their vectors: each is encoded once, across runs too."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from files.io import InputError
from files.vector_cache import Row, VectorCache
from skipthoughts.encoder import Encoder

_SAVE_AT = 256  # new phrases


class PhraseStore:
    """Numbers phrases in the order in which they are first asked for; 0: no phrase.

    The numbers depend on that order only, not on what the cache holds, and a phrase's vector on the phrase only:
    a run that is resumed, or that finds phrases of another one, goes the same way.

    cache_folder: where a file keeps the vectors across runs, one for each model.
    """

    def __init__(self, encoder: Encoder, cache_folder: str | Path | None = None) -> None:
        self._encoder = encoder
        self.identity = getattr(encoder, "identity", "")  # of the model, by its content
        self._numbers = {"": 0}
        self._vectors = np.zeros((64, encoder.dimension), np.float32)
        self._cache = None if cache_folder is None else VectorCache(Path(cache_folder) / f"{encoder.identity}.sqlite")
        self._unsaved: list[str] = []

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
        """Write the new vectors to the cache, if there is one. It also happens periodically by itself."""
        if self._cache is None or not self._unsaved:
            return
        vectors = ((phrase, self._vectors[self._numbers[phrase]]) for phrase in self._unsaved)
        try:
            self._cache.write(Row(_key(phrase), b"", b"", vector.tobytes()) for phrase, vector in vectors)
        except InputError as error:
            self._give_up(error)
        self._unsaved.clear()

    def _append(self, new: list[str]) -> None:
        count = len(self._numbers)
        if count + len(new) > len(self._vectors):
            grown = np.zeros((max(2 * len(self._vectors), count + len(new)), self._encoder.dimension), np.float32)
            grown[:count] = self._vectors[:count]
            self._vectors = grown
        vectors = self._vectors[count : count + len(new)]
        missing = [i for i, phrase in enumerate(new) if not self._read_cached(phrase, vectors[i])]
        if missing:
            vectors[missing] = self._encoder.encode([new[i] for i in missing])
            self._unsaved += [new[i] for i in missing]
        self._numbers.update(zip(new, range(count, count + len(new)), strict=True))
        if len(self._unsaved) >= _SAVE_AT:
            self.save()

    def _read_cached(self, phrase: str, vector: np.ndarray) -> bool:
        """Fill in `vector` from the cache; whether the cache has it."""
        try:
            data = self._cache.read(_key(phrase)) if self._cache is not None else None
        except InputError as error:
            self._give_up(error)
            return False
        if data is None or len(data) != vector.nbytes:
            return False
        vector[:] = np.frombuffer(data, np.float32)
        return True

    def _give_up(self, error: InputError) -> None:
        """A cache is not worth a training run."""
        print(f"warning: phrases are not kept: {error}", file=sys.stderr)
        self._cache = None


def _key(phrase: str) -> bytes:
    return phrase.encode("utf-8", "surrogatepass")
