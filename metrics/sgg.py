"""Recall@K by the protocol of scene graph generation, on arrays of label numbers: R@K, mR@K, zR@K.

The protocol of VG150's tasks (Xu et al., "Scene Graph Generation by Iterative Message Passing", CVPR 2017; Zellers et
al., "Neural Motifs", CVPR 2018; mean recall: Chen et al. and Tang et al., both CVPR 2019), as their evaluations count:

- With graph constraint a pair of objects has one predicate, its most confident one; without it all of them compete.
- Of each image the K most confident predictions count; equal scores keep their order.
- A prediction matches every annotated triplet of the same three labels whose two boxes it overlaps with IoU >= 0.5.
  Matches are not one to one: a triplet is found when any of the first K predictions matches it, one prediction can
  find several, and several predictions that find the same one find it once.
- R@K: the mean over images of the share of their triplets that is found. Images without a triplet are left out; an
  image with triplets for which nothing is predicted counts as 0 (so Neural Motifs'; Scene-Graph-Benchmark skips it).
- mR@K: for each predicate the mean over the images that have it, then the mean over all predicates of the vocabulary
  (one that no image has counts as 0).
- zR@K: as R@K, over the triplets whose (subject, predicate, object) the training split never has; images without one
  are left out. The predictions compete as before.
- Boxes are inclusive pixels: width = x2 - x1 + 1.

VRD's protocol (metrics/vrd.py) matches one to one, sums over all images, and knows no graph constraint: how many
predicates of a pair compete is up to the system.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from files.predictions import Phrases
from metrics.figures import Counts, count
from metrics.matching import instance_overlap, pairs_of_equal_labels, passing_pairs, ranks

NEVER = np.iinfo(np.int64).max  # rank of what is not predicted


def one_predicate_a_pair(predicted: Phrases) -> np.ndarray:
    """(n,) bool: the most confident prediction of each pair of objects (ties: the first).

    A pair is two boxes with two names. Two objects can agree in both (annotators drew some twice), so a triplet that is
    predicted again, in boxes and words, is about another pair.
    """
    order = np.lexsort((-predicted.scores, predicted.image))  # stable
    phrases = predicted[order]
    ends = phrases.labels[:, ::2], phrases.boxes.reshape(len(order), 8)
    pair = _numbered(np.column_stack([phrases.image, *ends]))
    words = np.lexsort((phrases.labels[:, 1], pair))  # stable: the most confident of equal ones first
    repeats = np.zeros(len(order), dtype=bool)
    repeats[1:] = (pair[words][1:] == pair[words][:-1]) & (np.diff(phrases.labels[words, 1]) == 0)
    place = np.arange(len(order))
    copy = np.empty(len(order), dtype=np.int64)
    copy[words] = place - np.maximum.accumulate(np.where(repeats, 0, place))
    first = np.unique(np.column_stack([pair, copy]) @ [len(order), 1], return_index=True)[1]
    best = np.zeros(len(order), dtype=bool)
    best[order[first]] = True
    return best


def _numbered(rows: np.ndarray) -> np.ndarray:
    """(n, c) -> (n,) int: equal rows have equal numbers."""
    order = np.lexsort(rows.T)
    number = np.zeros(len(rows), dtype=np.int64)
    number[order[1:]] = np.cumsum((np.diff(rows[order], axis=0) != 0).any(axis=1))
    return number


def counts(
    predicted: Phrases,
    truth: Phrases,
    unseen: np.ndarray | None = None,
    ks: Sequence[int] = (20, 50, 100),
    num_predicates: int | None = None,
) -> dict[str, Counts]:
    """What is asked for and what was found, on label numbers that mean the same in both: relationships only.

    unseen: (t,) bool, which annotated triplets never occur in training; adds zero-shot recall. num_predicates: what mR
    is averaged over; default those that are annotated. Returns {"graph_constraint": …, "no_graph_constraint": …,
    "zero_shot_graph_constraint": …, "zero_shot_no_graph_constraint": …}; recall of the latter two is zR@K.
    """
    constrained = np.flatnonzero(one_predicate_a_pair(predicted))
    rank = {"graph_constraint": np.full(len(predicted), NEVER), "no_graph_constraint": ranks(predicted)}
    rank["graph_constraint"][constrained] = ranks(predicted[constrained])
    kept = np.minimum(*rank.values()) < max(ks)
    predicted, rank = predicted[kept], {name: values[kept] for name, values in rank.items()}
    pair_p, pair_t, _ = passing_pairs(predicted, truth, *pairs_of_equal_labels(predicted, truth), instance_overlap)
    everything = np.ones(len(truth), dtype=bool)
    result = {}
    for prefix, counted in (("", everything), ("zero_shot_", unseen)):
        if counted is None:
            continue
        for name, values in rank.items():
            first = np.full(len(truth), NEVER)  # rank of the first prediction that finds it
            np.minimum.at(first, pair_t, values[pair_p])
            found = {k: (first < k)[counted] for k in ks}
            size = None if prefix else num_predicates
            result[prefix + name] = count(truth.image[counted], truth.labels[counted, 1], found, True, size)
    return result
