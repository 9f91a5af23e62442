"""What saved states may hold: a checkpoint whose numbers name what is not there must not be taken up."""

from __future__ import annotations

import numpy as np

from scenes.scene import SceneSet
from semantic_graph import SemanticActionGraph


def check_inside(name: str, numbers: np.ndarray, low: int, end: int | np.ndarray) -> None:
    """Raise ValueError unless every number is at least `low` and less than `end`."""
    if not ((numbers >= low) & (numbers < end)).all():
        raise ValueError(f"{name} names images, boxes or words that there are not")


def check_numbers(name: str, numbers: np.ndarray, none: float = 0) -> None:
    """Raise ValueError for NaN and infinity among numbers, and for truth values that are neither true nor false.

    none: the number that stands for none; it may be infinite.
    """
    if numbers.dtype.kind == "f" and not (np.isfinite(numbers) | (numbers == none)).all():
        raise ValueError(f"{name} has a number that is not finite")
    if numbers.dtype.kind == "b" and (numbers.view(np.uint8) > 1).any():
        raise ValueError(f"{name} has a truth value that is none")


def num_phrases(graph: SemanticActionGraph) -> int:
    """How many keys `SemanticActionGraph.phrase` knows: they are less than this."""
    entities = len(graph.entities)
    return entities**2 * len(graph.predicates) + entities * len(graph.attributes)


def check_states(states: np.ndarray, scenes: SceneSet) -> None:
    """Raise ValueError unless the records (n,) name images, boxes and words that there are. See `scenes.records`."""
    graph, words = scenes.graph, len(scenes.graph.entities)
    check_inside("scene", states["scene"], 0, len(scenes))
    images, row = np.unique(states["scene"], return_inverse=True)
    boxes = np.array([scenes.most_boxes(int(image)) for image in images], dtype=np.int64)[row]
    limits = {
        "subject": (0, boxes),
        "object": (-1, boxes),
        "subject_category": (0, words),
        "object_category": (-1, words),
        "history": (-1, num_phrases(graph)),
        "entities": (-1, words + 1),
        "instances": (-1, boxes[:, None]),
    }
    for name in states.dtype.names:
        check_numbers(name, states[name])
        if name in limits:
            check_inside(name, states[name], *limits[name])
    if ((states["object"] < 0) != (states["object_category"] < 0)).any():
        raise ValueError("object_category is of an object that there is not")
