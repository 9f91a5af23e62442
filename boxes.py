"""Box arithmetic. A box is (x1, y1, x2, y2) in pixels, both corners inside it:
width = x2 - x1 + 1. Annotations give (x, y, w, h): x, y is the first pixel and
w, h count pixels, so x2 = x + w - 1.
"""

from __future__ import annotations

import numpy as np


def from_xywh(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) boxes (x, y, w, h) -> (..., 4) inclusive corners (x1, y1, x2, y2)."""
    boxes = np.asarray(boxes, dtype=np.float64)
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:] - 1], axis=-1)


def area(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) inclusive corners -> (...) number of pixels; 0 for an empty box."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2] + 1, 0)
    return sides[..., 0] * sides[..., 1]


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes that broadcast: (..., 4), (..., 4) -> (...).

    For all pairs of (n, 4) and (m, 4) call `iou(a[:, None], b[None])`.
    """
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., 2:], b[..., 2:])
    sides = np.maximum(high - low + 1, 0)
    intersection = sides[..., 0] * sides[..., 1]
    return intersection / np.maximum(area(a) + area(b) - intersection, 1e-9)


def union_box(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest boxes that hold both: (..., 4), (..., 4) -> (..., 4)."""
    return np.concatenate([np.minimum(a[..., :2], b[..., :2]), np.maximum(a[..., 2:], b[..., 2:])], axis=-1)


def neighbours(boxes: np.ndarray, factor: float = 0.5) -> np.ndarray:
    """Which boxes are neighbours: (..., n, 4) inclusive corners -> (..., n, n) bool, diagonal False.

    |x_s - x_o| < factor (w_s + w_o) and |y_s - y_o| < factor (h_s + h_o), with (x, y) the
    centres (Liang et al. 2017, section 3.2). With factor 0.5 the boxes intersect.
    """
    sides = boxes[..., 2:] - boxes[..., :2] + 1
    centres = boxes[..., :2] + sides / 2
    distance = np.abs(centres[..., :, None, :] - centres[..., None, :, :])
    reach = factor * (sides[..., :, None, :] + sides[..., None, :, :])
    near = (distance < reach).all(axis=-1)
    near[..., np.arange(boxes.shape[-2]), np.arange(boxes.shape[-2])] = False
    return near
