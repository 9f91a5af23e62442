"""Mean average precision at one overlap, as PASCAL VOC defines it since 2010."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from boxes import iou
from files.detections import Detections


def average_precision(hits: np.ndarray, positives: int) -> float:
    """Area under the precision-recall curve, precision made monotone (Everingham et al. 2015, section 4.2).

    hits: (n,) bool, the detections of one class, most confident first; positives: annotated objects.
    """
    if not positives or not len(hits):
        return 0.0
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits].sum() / positives)


def match(detections: Detections, boxes: np.ndarray, labels: np.ndarray, overlap: float = 0.5) -> np.ndarray:
    """Which boxes of one image are hits, judged by their best class: (n,) bool.

    boxes (m, 4) inclusive corners and labels (m,) of the annotated objects. In order of confidence
    a detection looks at the annotated object of its class that it overlaps most; it hits when the
    overlap is at least `overlap` and no more confident detection has taken that object.
    """
    hits = np.zeros(len(detections), dtype=bool)
    if not len(detections) or not len(boxes):
        return hits
    overlaps = iou(detections.boxes[:, None].astype(np.float64), boxes[None])
    overlaps[detections.candidates[:, :1] != labels[None]] = 0
    nearest = overlaps.argmax(axis=1)
    close = overlaps.max(axis=1) >= overlap
    order = np.argsort(-detections.scores[:, 0], kind="stable")
    order = order[close[order]]
    _, first = np.unique(nearest[order], return_index=True)
    hits[order[first]] = True
    return hits


def mean_average_precision(
    pairs: Iterable[tuple[Detections, np.ndarray, np.ndarray]], num_classes: int, overlap: float = 0.5
) -> tuple[float, np.ndarray]:
    """mAP over the classes that are annotated, and (num_classes,) average precisions, NaN where nothing is.

    pairs: for every image its detections, annotated boxes (m, 4) and labels (m,).
    """
    hits, scores, classes, positives = [], [], [], np.zeros(num_classes, dtype=np.int64)
    for detections, boxes, labels in pairs:
        hits.append(match(detections, boxes, labels, overlap))
        scores.append(detections.scores[:, 0])
        classes.append(detections.candidates[:, 0])
        positives += np.bincount(labels, minlength=num_classes)
    result = np.full(num_classes, np.nan)
    if not hits:
        return 0.0, result
    all_hits, all_scores, all_classes = (np.concatenate(parts) for parts in (hits, scores, classes))
    order = np.argsort(-all_scores, kind="stable")
    all_hits, all_classes = all_hits[order], all_classes[order]
    for category in np.flatnonzero(positives):
        result[category] = average_precision(all_hits[all_classes == category], int(positives[category]))
    return (float(np.nanmean(result)) if positives.any() else 0.0), result
