"""Which slot of the environment walks through which images, so that all slots are done at about the same time."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from environment import Rules
from scenes.scene import SceneSet


def walk_lengths(scenes: SceneSet, images: Sequence[int], rules: Rules) -> np.ndarray:
    """The most steps that a walk over each image can take, int64 (n,): what the images are compared by.

    Every instance is a subject once, looks at up to `maximum_objects_per_subject` others, then ends with Terminal.
    """
    boxes = np.array([len(scenes.instances(int(image)).boxes) for image in images], dtype=np.int64)
    objects = np.minimum(np.maximum(boxes - 1, 0), rules.maximum_objects_per_subject)
    return np.minimum(boxes * (objects + 1), rules.maximum_steps)


def deal(images: np.ndarray, lengths: np.ndarray, num_slots: int) -> list[np.ndarray]:
    """A queue of images for each slot: in the order given, each goes to the slot that would be free first.

    lengths: of the walk over each image, (n,). On VRD 256 slots are idle for 23 % of the steps of an epoch; with equal
    numbers of images it would be 46 %, and short walks would be learned from more often than long ones.
    """
    free = [(0, slot) for slot in range(num_slots)]  # a heap: when each slot has walked through its queue
    queues: list[list[int]] = [[] for _ in range(num_slots)]
    for image, length in zip(images.tolist(), lengths.tolist(), strict=True):
        time, slot = free[0]
        heapq.heapreplace(free, (time + length, slot))
        queues[slot].append(image)
    return [np.array(queue, dtype=np.int64) for queue in queues]
