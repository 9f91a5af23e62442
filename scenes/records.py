"""What a state and a candidate pair are made of, as NumPy records: numbers to look vectors up by, never the vectors."""

from __future__ import annotations

import numpy as np

from boxes import CONTEXT
from files.options import REMEMBERED, REPEATS, Rules
from semantic_graph import SemanticActionGraph

CERTAIN = 255  # a chance of 1, in memory


def most_next_objects(graph: SemanticActionGraph, rules: Rules) -> int:
    """How many next objects an action set holds at most, without Terminal: one of each category."""
    return min(rules.maximum_adaptive_action_space_size, len(graph.entities))


def state_dtype(graph: SemanticActionGraph, rules: Rules) -> np.dtype:
    """What a state is made of, as a NumPy record: numbers to look vectors up by, never the vectors.

    -1 pads lists and means "none". `history` holds phrases as numbers (`SemanticActionGraph.phrase`): what was
    said of the pair with subject and object exchanged, the latest relationship phrase in which the subject took part,
    and the last two attribute phrases of the subject. Bit masks (`np.packbits`):
    `attributes_given` is H_A; `attributes_right` and `predicates_right` are the actions that earn the positive reward.
    `entities` are the categories of the next-object action set (number of entities = Terminal), `instances` the object
    that each one names, `entities_right` whether finding it earns the reward.
    """
    width = most_next_objects(graph, rules) + 1
    attributes, predicates = -(-len(graph.attributes) // 8), -(-len(graph.predicates) // 8)
    return np.dtype(
        [
            ("scene", "i4"),
            ("subject", "i2"),
            ("object", "i2"),
            ("subject_category", "i4"),
            ("object_category", "i4"),
            ("subject_box", "f4", (4,)),
            ("object_box", "f4", (4,)),
            ("extent", "f4", (4,)),  # the box that holds all the image's instances
            ("context", "f4", (CONTEXT,)),  # see `pair_context`
            ("history", "i8", (4,)),
            ("attributes_given", "u1", (attributes,)),
            ("attributes_right", "u1", (attributes,)),
            ("predicates_right", "u1", (predicates,)),
            ("entities", "i4", (width,)),
            ("instances", "i2", (width,)),
            ("entities_right", "?", (width,)),
        ]
    )


def candidate_dtype() -> np.dtype:
    """What the Q of a candidate pair is made of. Fields as in `state_dtype`; object -1: the subject alone.

    certainty: the detector's confidences in both, multiplied. detected: 1 where the image's boxes are a detector's, 0
    where it is certain of all of them. repeats: the greatest sum of chances said of a pair that this one repeats, and
    whether there is one; the same for the pair with subject and object exchanged.
    """
    return np.dtype(
        [
            ("scene", "i4"),
            ("subject", "i2"),
            ("object", "i2"),
            ("subject_category", "i4"),
            ("object_category", "i4"),
            ("subject_box", "f4", (4,)),
            ("object_box", "f4", (4,)),
            ("extent", "f4", (4,)),
            ("context", "f4", (CONTEXT,)),
            ("certainty", "f4"),
            ("detected", "f4"),
            ("repeats", "f4", (REPEATS,)),
        ]
    )


def best_first_dtype(graph: SemanticActionGraph, rules: Rules) -> np.dtype:
    """A state's record: that of the breadth-first walk without next-object categories, and what is remembered.

    memory: for every predicate how likely it was said to be (in 1 / CERTAIN), the greatest of: pairs that this one
    repeats; the pair with subject and object exchanged; the subject's pairs as subject, and as object; the object's.
    """
    base = state_dtype(graph, rules)
    left_out = ("entities", "instances", "entities_right")
    fields = [(name, base.fields[name][0]) for name in base.names if name not in left_out]
    memory = ("memory", "u1", (REMEMBERED, len(graph.predicates)))
    return np.dtype([*fields, ("certainty", "f4"), ("detected", "f4"), ("repeats", "f4", (REPEATS,)), memory])


def bits_of(mask: np.ndarray, words: np.ndarray, count: int) -> np.ndarray:
    """Bit masks of the words where mask holds: (n, c) bool, (n, c) words or -1 -> (n, ceil(count / 8)) uint8."""
    dense = np.zeros((len(mask), count + 1), dtype=bool)  # the last column takes what does not count
    dense[np.arange(len(mask))[:, None], np.where(mask & (words >= 0), words, count)] = True
    return np.packbits(dense[:, :count], axis=1)


def unpacked(bits: np.ndarray, count: int) -> np.ndarray:
    """Bit masks of a state record -> bool (n, count)."""
    return np.unpackbits(bits, axis=1, count=count).view(bool)
