"""Vectors for words that the model has not seen, from other word vectors (Kiros et al. 2015, section 2.2)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from files.arrays import as_float32, read_array
from files.io import InputError, check_is_file, read_bytes

_BLOCK = 8192  # words at once


def read_word_vectors(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Words and their vectors, float32 (words, dimension).

    From a text of word2vec or GloVe ("word v1 v2 ..." a line), or from a .npy array with the
    words, one a line, in the .txt file of the same name. Words with "_", which are word2vec's
    phrases, are left out, and of a word that comes twice the second. Raises InputError naming
    the file and the line when it is missing or malformed.
    """
    path = Path(path)
    check_is_file(path)
    try:
        words, vectors = _read_array(path) if path.suffix == ".npy" else _read_text(path)
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: its words are not UTF-8 text at byte {error.start}; need the text format") from None
    except ValueError as error:
        raise InputError(f"{path}: is not a list of word vectors: {error}") from None
    first = {word: row for row, word in reversed(list(enumerate(words))) if "_" not in word}
    rows = sorted(first.values())
    return [words[row] for row in rows], as_float32(vectors[rows], path, "remove that word")


def _read_array(path: Path) -> tuple[list[str], np.ndarray]:
    words = read_bytes(path.with_suffix(".txt")).decode("utf-8").removesuffix("\n").split("\n")
    vectors = read_array(path)
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or len(vectors) != len(words):
        raise ValueError(f"{vectors.dtype} of shape {vectors.shape} for the {len(words)} words of the .txt file")
    return [word.strip() for word in words], vectors


def _read_text(path: Path) -> tuple[list[str], np.ndarray]:
    words, rows, blocks, dimension = [], [], [], None
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(tqdm(file, path.name, unit=" words", disable=None, leave=False), 1):
            fields = line.rstrip().split(" ")
            if number == 1 and len(fields) == 2:  # word2vec's first line: how many, how long
                continue
            dimension = dimension or len(fields) - 1
            if dimension < 1 or len(fields) <= dimension:
                raise ValueError(f"line {number} has {len(fields)} entries, not a word and {dimension} numbers")
            words.append(" ".join(fields[:-dimension]))  # some published words contain blanks
            try:
                rows.append(np.array(fields[-dimension:], np.float32))
            except ValueError:
                raise ValueError(f"line {number} has something else than numbers after its word") from None
            if len(rows) == _BLOCK:
                blocks.append(np.stack(rows))
                rows.clear()
    if not words:
        raise ValueError("it is empty")
    return words, np.concatenate([*blocks, np.stack(rows)] if rows else blocks)


def linear_map(other: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The matrix (other dimension, own dimension) that takes the vectors `other` (words, .) of some
    words nearest to the model's vectors `own` (words, .) of the same: least squares, not regularised."""
    return np.linalg.lstsq(other.astype(np.float64), own.astype(np.float64), rcond=None)[0].astype(np.float32)


def expanded_table(words: list[str], table: np.ndarray, other_words: list[str], other: np.ndarray) -> np.ndarray:
    """`table` (words, dim_word) and below it a row for every other word that is not among `words`.

    The rows follow `other_words`. Raises InputError when the two share no word.
    """
    number = {word: i for i, word in enumerate(words)}
    known = np.array([number.get(word, -1) for word in other_words])
    if not (known >= 0).any():
        raise InputError("the other word vectors have no word in common with the model; is it another language?")
    matrix = linear_map(other[known >= 0], table[known[known >= 0]])
    unknown = np.flatnonzero(known < 0)
    result = np.empty((len(table) + len(unknown), table.shape[1]), np.float32)
    result[: len(table)] = table
    for start in range(0, len(unknown), _BLOCK):
        result[len(table) + start :][:_BLOCK] = other[unknown[start : start + _BLOCK]] @ matrix
    return result


def expanded_dictionary(words: list[str], other_words: list[str]) -> list[str]:
    """The words of `expanded_table`'s rows."""
    known = set(words)
    return words + [word for word in other_words if word not in known]
