"""Where two boxes lie, and how they stand to each other, in numbers (not in the paper)."""

from __future__ import annotations

import numpy as np

from boxes import iou

GEOMETRY = 47  # numbers of `box_geometry`


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
