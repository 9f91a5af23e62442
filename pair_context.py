"""How a pair of instances stands among the others of its image, in numbers (not in the paper)."""

from __future__ import annotations

import numpy as np

from boxes import area

CONTEXT = 12  # numbers of `pair_context`


def pair_context(boxes: np.ndarray, category: np.ndarray, subject: np.ndarray, object_: np.ndarray) -> np.ndarray:
    """How a pair stands among the image's other instances: is this the shirt nearest to the person?

    boxes (n, c, 4) inclusive corners, category (n, c) with -1 for padding, subject and object (n,) -> (n, CONTEXT).
    A rival of the object is another instance of its category, a rival of the subject likewise. The affinity of two
    boxes is the covered share of the smaller one less 0.3 times the distance of their centres in half sides.
    """
    row, column = np.arange(len(boxes)), np.arange(boxes.shape[1])
    there = (category >= 0) & (column != subject[:, None]) & (column != object_[:, None])
    numbers = []
    for end, other in ((subject, object_), (object_, subject)):
        affinity = _affinity(boxes[row, end][:, None], boxes)
        own = affinity[row, other][:, None]
        rival = there & (category == category[row, other][:, None])
        best = np.where(rival, affinity, -5).max(axis=1, keepdims=True)
        nearer = affinity > own
        numbers += [
            np.clip(own - best, -3, 1),
            np.clip(best, -3, 1),
            np.log1p(rival.sum(axis=1, keepdims=True)),
            np.log1p((rival & nearer).sum(axis=1, keepdims=True)),
            np.log1p((there & nearer).sum(axis=1, keepdims=True)),
        ]
    numbers += [np.clip(own, -3, 1), np.log1p(there.sum(axis=1, keepdims=True))]
    return np.concatenate(numbers, axis=1).astype(np.float32)


def _affinity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1, 0)
    covered = sides.prod(axis=-1) / np.maximum(np.minimum(area(a), area(b)), 1)
    reach = (a[..., 2:] - a[..., :2] + b[..., 2:] - b[..., :2] + 2) / 2
    shift = (a[..., 2:] + a[..., :2] - b[..., 2:] - b[..., :2]) / 2
    return covered - 0.3 * np.hypot(*np.moveaxis(shift / np.maximum(reach, 1), -1, 0))
