"""Which predictions could be which annotated phrases: what both protocols start from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import boxes as box
from files.predictions import Phrases

MINIMUM_OVERLAP = 0.5
Overlap = Callable[[np.ndarray, np.ndarray], np.ndarray]


def instance_overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, B, 4), (n, B, 4) -> (n,): the smallest IoU among the B corresponding boxes."""
    return box.iou(a, b).min(axis=1)


def union_overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, 2, 4), (n, 2, 4) -> (n,): IoU of the boxes around both."""
    return box.iou(box.union_box(a[:, 0], a[:, 1]), box.union_box(b[:, 0], b[:, 1]))


def ranks(predicted: Phrases) -> np.ndarray:
    """(n,) int: place of each prediction in its image by falling score, from 0; equal scores keep their order."""
    order = np.lexsort((-predicted.scores, predicted.image))  # stable
    images = predicted.image[order]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(images, images)
    return rank


def pairs_of_equal_labels(predicted: Phrases, truth: Phrases) -> tuple[np.ndarray, np.ndarray]:
    """All (prediction, truth) rows of the same image with the same labels, as two (m,) int arrays."""
    key = np.zeros(len(predicted) + len(truth), dtype=np.int64)  # one number for an image and its labels
    for p_column, t_column in zip((predicted.image, *predicted.labels.T), (truth.image, *truth.labels.T), strict=True):
        column = np.concatenate([p_column, t_column])
        size = int(column.max(initial=0)) + 1
        if int(key.max(initial=0)) * size > 2**62:  # would overflow: number the distinct keys
            key = np.unique(key, return_inverse=True)[1]
        key = key * size + column
    p_key, t_key = key[: len(predicted)], key[len(predicted) :]
    by_key = np.argsort(t_key, kind="stable")
    first = np.searchsorted(t_key[by_key], p_key, side="left")
    count = np.searchsorted(t_key[by_key], p_key, side="right") - first
    pair_p = np.repeat(np.arange(len(predicted)), count)
    within = np.arange(len(pair_p)) - np.repeat(np.cumsum(count) - count, count)
    return pair_p, by_key[np.repeat(first, count) + within]


def passing_pairs(
    predicted: Phrases, truth: Phrases, pair_p: np.ndarray, pair_t: np.ndarray, overlap: Overlap
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs that overlap enough, and their overlaps."""
    overlaps = overlap(predicted.boxes[pair_p], truth.boxes[pair_t])
    passing = overlaps >= MINIMUM_OVERLAP
    return pair_p[passing], pair_t[passing], overlaps[passing]
