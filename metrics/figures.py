"""From what was found in each image to the figures of a table: recall, mean recall, 95 % intervals, differences.

Both protocols count, for each image and each word, how many annotated phrases there are and how many were found; they
differ in how they sum (`Counts.per_image`). Weighting the images gives a figure of another sample of them, so the
same formula serves for the figure itself (all weights 1) and for its interval.

Intervals are those of the percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993): as
many images as there are, drawn with replacement, many times over; the middle 95 % of the figures. A difference of two
systems is taken over the same draws for both (paired), which leaves out what is hard or easy for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

RESAMPLES = 1000
MEASURES = ("recall", "mean_recall")


@dataclass
class Counts:
    """What one task asks for and what was found, in the m images that have something to find.

    per_image: recall is the mean of the images' recalls (the scene graph protocol); else all that was found by all
    there is (VRD's). Words are predicates or attributes: mean recall is averaged over `num_words` of them, those that
    no image has count as 0.
    """

    words: np.ndarray  # (w,) int: the words that these images have
    wanted: np.ndarray  # (m, w) int: annotated phrases with that word
    found: dict[int, np.ndarray]  # n -> (m, w) int: how many of them the first n predictions find
    per_image: bool
    num_words: int
    looked_at: dict[int, int] | None = None  # n -> how many predictions that was, where precision is asked for

    @property
    def total(self) -> int:
        return int(self.wanted.sum())


def count(
    image: np.ndarray, word: np.ndarray, found: dict[int, np.ndarray], per_image: bool, num_words: int | None = None
) -> Counts:
    """Counts of t annotated phrases. image, word: (t,) int. found: n -> (t,) bool, whether it was found.

    num_words: default is the number of words that occur.
    """
    words, column = np.unique(word, return_inverse=True)
    images, row = np.unique(image, return_inverse=True)
    shape = len(images), len(words)
    cell = row * shape[1] + column

    def table(cells: np.ndarray) -> np.ndarray:
        return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)

    return Counts(
        words,
        table(cell),
        {n: table(cell[hit]) for n, hit in found.items()},
        per_image,
        len(words) if num_words is None else num_words,
    )


def draws(num_images: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """(resamples, num_images) float32: how often each image is in each sample drawn with replacement."""
    drawn = np.random.default_rng(seed).integers(num_images, size=(resamples, num_images))
    drawn += num_images * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float32)


def recalls(counts: Counts, weights: np.ndarray) -> dict[str, dict[int, np.ndarray]]:
    """Both measures with the images weighted: (s, m) weights -> measure -> n -> (s,) per cent.

    In mean recall a word that no drawn image has keeps its figure of all images: left out, it would take the zeros of
    rare words away from most samples, and the interval would lie above the figure.
    """
    result: dict[str, dict[int, np.ndarray]] = {}
    for measure in MEASURES:
        by_word = measure == "mean_recall"
        wanted = counts.wanted if by_word else counts.wanted.sum(axis=1, keepdims=True)
        size = max(counts.num_words if by_word else 1, 1)
        whole = (wanted > 0 if counts.per_image else wanted).astype(weights.dtype)
        denominator = weights @ whole
        result[measure] = {}
        for n, hits in counts.found.items():
            found = hits if by_word else hits.sum(axis=1, keepdims=True)
            part = (found / np.maximum(wanted, 1) if counts.per_image else found).astype(weights.dtype)
            of_all = part.sum(axis=0) / np.maximum(whole.sum(axis=0), 1)
            with np.errstate(invalid="ignore", divide="ignore"):
                ratios = np.where(denominator > 0, (weights @ part) / denominator, of_all)
            result[measure][n] = 100 * ratios.sum(axis=1) / size
    return result


def figures(counts: Counts, resamples: int = 0) -> dict[str, Any]:
    """{"images", "total", "hits": {"50": int, …}, "recall": {"50": per cent, …}, "mean_recall": {…}} of one task.

    "images" are those with something to find, "hits" the annotated phrases that were found. None where there is nothing
    to divide by. Where the task counts predictions also "precision"; with resamples also "recall_interval" and
    "mean_recall_interval": {"50": [low, high], …}.
    """
    hits = {str(n): int(found.sum()) for n, found in counts.found.items()}
    result = {"images": len(counts.wanted), "total": counts.total, "hits": hits} | _summary([counts], resamples)
    if counts.looked_at is not None:
        looked_at = {str(n): number for n, number in counts.looked_at.items()}
        result["precision"] = {n: 100 * hits[n] / looked_at[n] if looked_at[n] else None for n in hits}
    return result


def difference(one: Counts, other: Counts, resamples: int = RESAMPLES) -> dict[str, Any]:
    """How much more `one` finds than `other` of the same annotations: as `figures`, in points of per cent."""
    return {"images": len(one.wanted), "total": one.total} | _summary([one, other], resamples)


def _summary(systems: Sequence[Counts], resamples: int) -> dict[str, Any]:
    """Figures of one system, or of the first less those of the second, with intervals."""
    images = len(systems[0].wanted)

    def values(weights: np.ndarray) -> dict[str, dict[int, np.ndarray]]:
        tables = [recalls(counts, weights) for counts in systems]
        if len(tables) == 1:
            return tables[0]
        return {m: {n: row - tables[1][m][n] for n, row in rows.items()} for m, rows in tables[0].items()}

    result: dict[str, Any] = {}
    for measure, rows in values(np.ones((1, images))).items():
        result[measure] = {str(n): float(row[0]) if images else None for n, row in rows.items()}
    if resamples:
        for measure, rows in (values(draws(images, resamples)) if images else {}).items():
            result[f"{measure}_interval"] = {
                str(n): np.percentile(row, [2.5, 97.5]).tolist() for n, row in rows.items()
            }
    return result


def mean_counts(runs: Sequence[Counts]) -> Counts:
    """The mean of several runs on the same images, such as of several seeds: what was found on average."""
    found = {n: np.mean([counts.found[n] for counts in runs], axis=0) for n in runs[0].found}
    return replace(runs[0], found=found)


def by_word(counts: Counts) -> dict[int, dict[str, Any]]:
    """Each word's own row: word -> {"annotated": phrases, "images": that have it, "recall": {"50": per cent, …}}."""
    there = counts.wanted > 0
    size = there.sum(axis=0) if counts.per_image else counts.wanted.sum(axis=0)
    recall = {
        n: 100 * (hits / np.maximum(counts.wanted, 1) if counts.per_image else hits).sum(axis=0) / size
        for n, hits in counts.found.items()
    }
    annotated = counts.wanted.sum(axis=0)
    return {
        int(word): {
            "annotated": int(annotated[i]),
            "images": int(there[:, i].sum()),
            "recall": {str(n): float(values[i]) for n, values in recall.items()},
        }
        for i, word in enumerate(counts.words)
    }
