"""All ordered pairs of an image's objects as records, and what a baseline that looks at each of them says, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from boxes import CONTEXT, iou, pair_context
from files.splits import ImageRecord
from scenes.scene import SceneSet
from semantic_graph import SemanticActionGraph

SHOWN = 100  # triplets of an image that are written: what recall@100 looks at
REPEATED = 0.1  # what the score of a triplet is multiplied with that was said of an overlapping pair already
SAME = 0.5  # IoU from which two boxes may be the same object

PAIR = np.dtype(
    [
        ("scene", "i4"),
        ("subject", "i4"),
        ("object", "i4"),
        ("subject_category", "i4"),
        ("object_category", "i4"),
        ("subject_box", "f4", (4,)),
        ("object_box", "f4", (4,)),
        ("extent", "f4", (4,)),  # the box that holds all the image's instances
        ("context", "f4", (CONTEXT,)),
        ("detected", "f4"),  # 1 where the image's boxes are a detector's
        ("confidence", "f4"),  # product of the two objects' confidences
    ]
)


def all_pairs(scenes: SceneSet) -> np.ndarray:
    """Every ordered pair of different instances of every image: (n,) records of `PAIR`, an image's rows together.

    Each instance has its best category.
    """
    found = [np.zeros(0, dtype=PAIR)]
    for number, scene in enumerate(scenes):
        subject, object_ = np.nonzero(~np.eye(len(scene.boxes), dtype=bool))
        category, score = scene.candidates[:, 0], scene.candidate_scores[:, 0]
        pairs = np.zeros(len(subject), dtype=PAIR)
        pairs["scene"] = number
        for end, instance in (("subject", subject), ("object", object_)):
            pairs[end] = instance
            pairs[f"{end}_category"] = category[instance]
            pairs[f"{end}_box"] = scene.boxes[instance]
        if len(pairs):
            pairs["extent"] = np.concatenate([scene.boxes[:, :2].min(axis=0), scene.boxes[:, 2:].max(axis=0)])
            every = np.broadcast_to(scene.boxes, (len(pairs), *scene.boxes.shape))
            categories = np.broadcast_to(category, (len(pairs), len(category)))
            pairs["context"] = pair_context(every, categories, subject, object_)
        pairs["detected"] = (score < 1).any()
        pairs["confidence"] = score[subject] * score[object_]
        found.append(pairs)
    return np.concatenate(found)


def by_scene(pairs: np.ndarray) -> list[slice]:
    """The rows of each image that has pairs."""
    starts = np.flatnonzero(np.diff(pairs["scene"], prepend=-1))
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(pairs)], strict=True)]


def rows_of(pairs: np.ndarray, scene: np.ndarray, subject: np.ndarray, object_: np.ndarray) -> np.ndarray:
    """The row in `all_pairs` of each of k pairs: image and two different instances, (k,) each -> (k,) int64."""
    first, end = (np.searchsorted(pairs["scene"], scene, side) for side in ("left", "right"))
    others = np.rint((np.sqrt(1 + 4 * (end - first)) - 1) / 2).astype(np.int64)  # n (n - 1) rows: n - 1
    subject, object_ = subject.astype(np.int64), object_.astype(np.int64)
    return first + subject * others + object_ - (object_ > subject)


def annotated_rows(pairs: np.ndarray, scenes: SceneSet) -> np.ndarray:
    """The row in `all_pairs` (of annotated objects) of every annotated relationship, as often as it is annotated."""
    found = [np.zeros((0, 3), dtype=np.int64)]
    for number, scene in enumerate(scenes):
        subject, _, object_ = scene.gt_relationships.T
        found.append(np.stack([np.full(len(subject), number), subject, object_], axis=1)[subject != object_])
    return rows_of(pairs, *np.concatenate(found).T)


def labels(pairs: np.ndarray, scenes: SceneSet, num_predicates: int) -> np.ndarray:
    """Which predicates the environment would reward: (n,) records -> bool (n, P).

    Both boxes overlap annotated objects of their categories, which are annotated with the predicate.
    """
    right = np.zeros((len(pairs), num_predicates), dtype=bool)
    for rows in by_scene(pairs):
        scene = scenes[int(pairs["scene"][rows.start])]
        same = scene.gt_overlaps & (scene.gt_categories[:, None] == scene.candidates[:, 0])  # (m, n)
        subject, predicate, object_ = scene.gt_relationships.T
        part = pairs[rows]
        hits, edges = np.nonzero(same[subject][:, part["subject"]].T & same[object_][:, part["object"]].T)
        right[rows.start + hits, predicate[edges]] = True
    return right


def damped(pairs: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Scores (n, P) of which what was said already is worth a tenth.

    Said already: the same three words about a pair of the image whose two boxes both overlap (IoU >= 0.5) this one's,
    with a higher score (of equal ones, in an earlier row).
    """
    score = score.copy()
    for rows in by_scene(pairs):
        part, said = pairs[rows], score[rows].copy()
        twins = np.ones((len(part), len(part)), dtype=bool)
        for end in ("subject", "object"):
            twins &= iou(part[f"{end}_box"][:, None], part[f"{end}_box"][None]) >= SAME
            twins &= part[f"{end}_category"][:, None] == part[f"{end}_category"][None]
        np.fill_diagonal(twins, False)
        row, other = np.nonzero(twins)
        before = (said[other] > said[row]) | ((said[other] == said[row]) & (other < row)[:, None])
        again = np.zeros(said.shape, dtype=bool)
        np.logical_or.at(again, row, before)
        score[rows][again] *= REPEATED
    return score


def predictions(
    pairs: np.ndarray,
    score: np.ndarray,
    records: Sequence[ImageRecord],
    graph: SemanticActionGraph,
    own_choice: bool = False,
) -> dict[str, Any]:
    """The SHOWN most confident triplets of each image, and the SHOWN most confident pairs with their best predicate.

    score: (n, P); what has 0 is not said. own_choice: only the best predicate of every pair, however many pairs there
    are. In the layout of predictions.json.
    """
    found: dict[str, Any] = {record.image_name: {"relationships": [], "attributes": []} for record in records}
    for rows in by_scene(pairs):
        part, scores = pairs[rows], score[rows]
        best = scores.argmax(axis=1)
        own = np.argsort(-scores[np.arange(len(part)), best], kind="stable")
        chosen = own * scores.shape[1] + best[own]
        if not own_choice:
            chosen = np.union1d(np.argsort(-scores, axis=None, kind="stable")[:SHOWN], chosen[:SHOWN])
        chosen = chosen[scores.ravel()[chosen] > 0]
        row, predicate = np.unravel_index(chosen, scores.shape)
        found[records[int(part["scene"][0])].image_name]["relationships"] = [
            {
                "subject": graph.entities[pair["subject_category"]],
                "predicate": graph.predicates[word],
                "object": graph.entities[pair["object_category"]],
                "subject_box": pair["subject_box"].tolist(),
                "object_box": pair["object_box"].tolist(),
                "score": float(value),
            }
            for pair, word, value in zip(part[row], predicate, scores.ravel()[chosen], strict=True)
        ]
    return found
