"""Recall@N of predicted relationships and attributes by VRD's protocol, on arrays of label numbers.

The protocol is that of Lu et al., "Visual Relationship Detection with Language Priors" (ECCV 2016), as their published
evaluation code counts today:

- Of each image the N most confident predictions count; equal scores keep their order.
- In order of confidence a prediction is matched to the not-yet-matched ground-truth phrase of the same
  labels with the greatest overlap (ties: the first annotated), and is a hit when that overlap is at least 0.5.
- Relationship: overlap = min(IoU of the subjects, IoU of the objects). Phrase: IoU of the two union boxes.
  Attribute: labels (entity, attribute), overlap = IoU of the one box.
- Recall = all hits / all ground-truth phrases of the set. A phrase annotated twice counts twice, an image
  with no annotation counts nothing.
- Zero-shot: the same predictions, ground truth restricted to phrases that the training split never has.
- Mean recall: that same recall for each predicate (or attribute) that the ground truth has, averaged.
- Boxes are inclusive pixels: width = x2 - x1 + 1.

The first commit of that code counted an image with one or two annotated triplets as three, which made its totals too
large; the present one counts each triplet once, as is done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from files.predictions import Phrases, PhrasesOfImages
from metrics.matching import Overlap, instance_overlap, pairs_of_equal_labels, passing_pairs, ranks, union_overlap


def match(predicted: Phrases, truth: Phrases, overlap: Overlap = instance_overlap) -> np.ndarray:
    """Match predictions to ground truth image by image, the most confident first (see the head of this file).

    Returns (n,) int: the row of `truth` that each prediction hits, -1 for none. Greedy matching looks only
    backwards, so what the first N predictions of an image hit does not depend on the rest of them.
    """
    pairs = passing_pairs(predicted, truth, *pairs_of_equal_labels(predicted, truth), overlap)
    return _greedy(*pairs, ranks(predicted), len(truth))


def _greedy(
    pair_p: np.ndarray, pair_t: np.ndarray, overlaps: np.ndarray, rank: np.ndarray, num_truth: int
) -> np.ndarray:
    """Resolve passing pairs, best-ranked prediction first, for each the greatest overlap (ties: first truth row).

    Few pairs have equal labels and overlap enough, so they are walked through one by one.
    """
    order = np.lexsort((pair_t, -overlaps, rank[pair_p]))
    hit = [-1] * len(rank)
    taken = [False] * num_truth
    for p, t in zip(pair_p[order].tolist(), pair_t[order].tolist(), strict=True):
        if hit[p] < 0 and not taken[t]:
            hit[p] = t
            taken[t] = True
    return np.array(hit, dtype=np.int64)


def evaluate_arrays(
    predicted: PhrasesOfImages,
    truth: PhrasesOfImages,
    unseen: tuple[np.ndarray, np.ndarray] | None = None,
    ns: Sequence[int] = (50, 100),
) -> dict[str, dict[str, Any]]:
    """Every task, on label numbers (0, 1, …) that mean the same in both.

    unseen: (relationships,) and (attributes,) bool, which rows of the ground truth never occur in training; adds the
    zero-shot tasks. Returns {"relationship": …, "phrase": …, "attribute": …, "zero_shot_relationship": …, …}, each
    {"total": int, "hits": {"50": int, …}, "recall": {…}, "mean_recall": {…}, "precision": {…}}: per cent, None where
    there is nothing to divide by; no precision in the zero-shot tasks, for which most predictions are not meant.
    """
    tasks, zero_shot = {}, {}
    for kind, overlaps in enumerate(
        ({"relationship": instance_overlap, "phrase": union_overlap}, {"attribute": instance_overlap})
    ):
        found, wanted = predicted[kind], truth[kind]
        rank = ranks(found)
        kept = rank < max(ns)
        found, rank = found[kept], rank[kept]
        pairs = pairs_of_equal_labels(found, wanted)
        words = wanted.labels[:, 1]  # the predicate or the attribute: what mean recall averages over
        for task, overlap in overlaps.items():
            passing = passing_pairs(found, wanted, *pairs, overlap)
            tasks[task] = _figures(_greedy(*passing, rank, len(wanted)), rank, words, ns)
            tasks[task]["precision"] = {
                n: _per_cent(hits, int((rank < int(n)).sum())) for n, hits in tasks[task]["hits"].items()
            }
            if unseen is not None:
                pair_p, pair_t, amount = (column[unseen[kind][passing[1]]] for column in passing)
                hit = _greedy(pair_p, pair_t, amount, rank, len(wanted))
                zero_shot[f"zero_shot_{task}"] = _figures(hit, rank, words, ns, unseen[kind])
    return tasks | zero_shot


def _figures(
    hit: np.ndarray, rank: np.ndarray, words: np.ndarray, ns: Sequence[int], counted: np.ndarray | None = None
) -> dict[str, Any]:
    """Hits and recalls at each N. hit, rank: (n,) of the predictions; words, counted: of the ground truth."""
    totals = np.bincount(words if counted is None else words[counted])
    result: dict[str, Any] = {"total": int(totals.sum()), "hits": {}, "recall": {}, "mean_recall": {}}
    for n in ns:
        rows = hit[(rank < n) & (hit >= 0)]
        recalls = np.bincount(words[rows], minlength=len(totals))[totals > 0] / totals[totals > 0]
        result["hits"][str(n)] = len(rows)
        result["recall"][str(n)] = _per_cent(len(rows), result["total"])
        result["mean_recall"][str(n)] = _per_cent(float(recalls.sum()), len(recalls))
    return result


def _per_cent(part: float, whole: int) -> float | None:
    return 100 * part / whole if whole else None
