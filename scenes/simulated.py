"""Annotated scenes as a detector would give them, for training (not in the paper)."""

from __future__ import annotations

import numpy as np

from scenes.scene import Instances, Scene, SceneSet, make_scene

SHAKE = 0.1  # corners of a second box move at least by this share of its sides: as two detections of one thing differ


class SimulatedScenes(SceneSet):
    """The scenes of a split with boxes as a detector's are: a little off, and some objects boxed twice.

    Nothing in the annotations says what an agent has to know of detections: that a second box on a thing says nothing
    new. Scenes differ from epoch to epoch and depend on nothing but the seed, the epoch and the image. Not for pixels:
    features are those of the annotated boxes.
    """

    def __init__(self, scenes: SceneSet, jitter: float, twice: float, seed: int) -> None:
        """jitter: corners move by this share of the boxes' sides (standard deviation); twice: share boxed twice."""
        self.__dict__.update(vars(scenes))
        self.jitter, self.twice, self.seed = jitter, twice, seed

    def most_boxes(self, index: int) -> int:
        return 2 * super().most_boxes(index)

    def __getitem__(self, index: int) -> Scene:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        instances = simulated(self.instances(index), rng, self.jitter, self.twice)
        return make_scene(self.records[index], instances, self.graph, self.options)


def simulated(instances: Instances, rng: np.random.Generator, jitter: float, twice: float) -> Instances:
    """Instances with corners moved, and a second, more shaken box on a share `twice` of them, after the others."""
    count = len(instances.boxes)
    rows = np.concatenate([np.arange(count), np.flatnonzero(rng.random(count) < twice)])
    boxes = instances.boxes[rows]
    sides = np.concatenate([boxes[:, 2:] - boxes[:, :2] + 1] * 2, axis=1)
    amount = np.where(np.arange(len(rows)) < count, jitter, max(jitter, SHAKE))[:, None]
    boxes = boxes + amount * sides * rng.standard_normal(boxes.shape)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    return Instances(boxes.astype(np.float32), instances.candidates[rows], instances.candidate_scores[rows])
