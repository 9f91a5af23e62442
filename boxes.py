"""Box arithmetic. A box is (x1, y1, x2, y2) in pixels, both corners inside it:
width = x2 - x1 + 1. Annotations give (x, y, w, h): x, y is the first pixel and
w, h count pixels, so x2 = x + w - 1.

At the end: where the two boxes of a state lie, and how the pair stands among the image's
other boxes, in numbers (not in the paper).
"""

from __future__ import annotations

import numpy as np

GEOMETRY = 47  # numbers of `box_geometry`
CONTEXT = 12  # numbers of `pair_context`


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


def scaled_boxes(boxes: np.ndarray, scale: float) -> np.ndarray:
    """(n, 4) inclusive corners in a picture `scale` times as large."""
    if scale == 1:
        return boxes
    last = np.array([0, 0, 1, 1], dtype=boxes.dtype)  # the last pixel is inside: its far edge is scaled
    return (boxes + last) * boxes.dtype.type(scale) - last


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


def box_geometry(states: np.ndarray) -> np.ndarray:
    """(n,) records -> (n, GEOMETRY) float32: where the two boxes lie, and how they stand to each other.

    Free of scale: lengths are in units of the boxes' own sides or of what the image's instances cover. Factors
    make every number vary by about one (VRD's standard deviations: 0.3 to 1.3). All zero but for the subject's
    own numbers where there is no object.
    """
    s, o, extent = states["subject_box"], states["object_box"], states["extent"]
    s_size, o_size = np.maximum(s[:, 2:] - s[:, :2] + 1, 1), np.maximum(o[:, 2:] - o[:, :2] + 1, 1)
    s_centre, o_centre = s[:, :2] + s_size / 2, o[:, :2] + o_size / 2
    union = np.maximum(s[:, 2:], o[:, 2:]) - np.minimum(s[:, :2], o[:, :2]) + 1
    s_area, o_area = s_size.prod(axis=1), o_size.prod(axis=1)
    overlap = iou(s, o)
    common = overlap * (s_area + o_area) / (1 + overlap)
    side = np.maximum(extent[:, 2:].max(axis=1, keepdims=True), 1)
    cover = np.maximum(extent[:, 2:] - extent[:, :2] + 1, 1)
    shift = o_centre - s_centre
    distance = np.hypot(shift[:, 0], shift[:, 1])[:, None] + 1
    shared = np.minimum(s[:, 2:], o[:, 2:]) - np.maximum(s[:, :2], o[:, :2]) + 1  # along each axis; less than 0: a gap
    top, height = extent[:, 1:2], cover[:, 1:]
    single = [
        4 * (s_centre / side - 0.5),
        np.log(s_size / side) + 1,
        np.log(s_size[:, :1] / s_size[:, 1:]),
        4 * ((s[:, 1::2] - top) / height - 0.5),
        2 * np.log(cover[:, :1] / cover[:, 1:]),
    ]
    pair = [
        _signed_log(shift / s_size),
        _signed_log(shift / o_size),
        _signed_log((o - s) / np.concatenate([s_size, s_size], axis=1)),
        _signed_log(2 * shift / np.maximum(union, 1)),
        4 * shift / side,
        np.log(o_size / s_size),
        np.log(o_size[:, :1] / o_size[:, 1:]),
        4 * (o_centre / side - 0.5),
        np.log(o_size / side) + 1,
        2 * np.stack([overlap, common / s_area, common / o_area, common > 0], axis=1),
        2 * np.log(np.maximum(union, 1).prod(axis=1) / (s_area + o_area))[:, None],
        _signed_log((o - s) / np.concatenate([o_size, o_size], axis=1)),
        _signed_log((s[:, 1::2] - o[:, 3::-2]) / np.stack([s_size[:, 1], o_size[:, 1]], axis=1)),
        1.5 * shift / distance,
        np.log(distance / (s_area * o_area)[:, None] ** 0.25) + 0.3,
        np.clip(2 * shared / np.minimum(s_size, o_size), -2, 2),
        np.clip(3 * shared / np.maximum(s_size, o_size), -2, 3) - 1,
        4 * ((o[:, 1::2] - top) / height - 0.5),
    ]
    with_object = (states["object"] >= 0)[:, None]
    return np.concatenate([*single, np.concatenate(pair, axis=1) * with_object], axis=1).astype(np.float32)


def _signed_log(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.log1p(np.abs(x))


def pair_context(boxes: np.ndarray, category: np.ndarray, subject: np.ndarray, object_: np.ndarray) -> np.ndarray:
    """How a pair stands among the image's other instances: is this the shirt nearest to the person?

    boxes (n, c, 4) inclusive corners, category (n, c) with -1 for padding, subject and object (n,) -> (n, CONTEXT).
    """
    row = np.arange(len(boxes))
    to_subject, to_object = (affinity(boxes[row, end][:, None], boxes) for end in (subject, object_))
    return context_of(to_subject, to_object, category, subject, object_)


def context_of(
    to_subject: np.ndarray, to_object: np.ndarray, category: np.ndarray, subject: np.ndarray, object_: np.ndarray
) -> np.ndarray:
    """As `pair_context`, from the affinity of all instances to the subject and to the object, (n, c) each.

    A rival of the object is another instance of its category; so for the subject.
    """
    row, column = np.arange(len(category)), np.arange(category.shape[1])
    there = (category >= 0) & (column != subject[:, None]) & (column != object_[:, None])
    numbers = []
    for near, other in ((to_subject, object_), (to_object, subject)):
        own = near[row, other][:, None]
        rival = there & (category == category[row, other][:, None])
        best = np.where(rival, near, -5).max(axis=1, keepdims=True)
        nearer = near > own
        numbers += [
            np.clip(own - best, -3, 1),
            np.clip(best, -3, 1),
            np.log1p(rival.sum(axis=1, keepdims=True)),
            np.log1p((rival & nearer).sum(axis=1, keepdims=True)),
            np.log1p((there & nearer).sum(axis=1, keepdims=True)),
        ]
    numbers += [np.clip(own, -3, 1), np.log1p(there.sum(axis=1, keepdims=True))]
    return np.concatenate(numbers, axis=1).astype(np.float32)


def affinity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How near boxes are that broadcast, (..., 4), (..., 4) -> (...); the same from either side.

    The covered share of the smaller one less 0.3 times the distance of their centres in half sides.
    """
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1, 0)
    covered = sides.prod(axis=-1) / np.maximum(np.minimum(area(a), area(b)), 1)
    reach = (a[..., 2:] - a[..., :2] + b[..., 2:] - b[..., :2] + 2) / 2
    shift = (a[..., 2:] + a[..., :2] - b[..., 2:] - b[..., :2]) / 2
    return covered - 0.3 * np.hypot(*np.moveaxis(shift / np.maximum(reach, 1), -1, 0))
