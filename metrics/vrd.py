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

import numpy as np

from files.predictions import Phrases, PhrasesOfImages
from metrics.figures import Counts, count
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


def counts(
    predicted: PhrasesOfImages,
    truth: PhrasesOfImages,
    unseen: tuple[np.ndarray, np.ndarray] | None = None,
    ns: Sequence[int] = (50, 100),
) -> dict[str, Counts]:
    """What each task asks for and what was found, on label numbers (0, 1, …) that mean the same in both.

    unseen: (relationships,) and (attributes,) bool, which rows of the ground truth never occur in training; adds the
    zero-shot tasks. Returns {"relationship": …, "phrase": …, "attribute": …, "zero_shot_relationship": …, …}. Precision
    is not asked for in the zero-shot tasks, for which most predictions are not meant.
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
        for task, overlap in overlaps.items():
            passing = passing_pairs(found, wanted, *pairs, overlap)
            tasks[task] = _counts(_greedy(*passing, rank, len(wanted)), rank, wanted, ns)
            tasks[task].looked_at = {n: int((rank < n).sum()) for n in ns}
            if unseen is not None:
                pair_p, pair_t, amount = (column[unseen[kind][passing[1]]] for column in passing)
                hit = _greedy(pair_p, pair_t, amount, rank, len(wanted))
                zero_shot[f"zero_shot_{task}"] = _counts(hit, rank, wanted, ns, unseen[kind])
    return tasks | zero_shot


def _counts(
    hit: np.ndarray, rank: np.ndarray, truth: Phrases, ns: Sequence[int], counted: np.ndarray | None = None
) -> Counts:
    """hit, rank: (n,) of the predictions; counted: (t,) bool, which of the ground truth the task asks for."""
    found = {}
    for n in ns:
        found[n] = np.zeros(len(truth), dtype=bool)
        found[n][hit[(rank < n) & (hit >= 0)]] = True
    counted = np.ones(len(truth), dtype=bool) if counted is None else counted
    found = {n: hits[counted] for n, hits in found.items()}
    return count(truth.image[counted], truth.labels[counted, 1], found, per_image=False)
