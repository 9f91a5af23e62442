"""Annotated scenes as a detector would give them, for training (not in the paper)."""

from __future__ import annotations

import numpy as np

from scenes.scene import Instances, Scene, SceneSet, make_scene

SHAKE = 0.1  # corners of a second box move at least by this share of its sides: as two detections of one thing differ
DETECTED = 1 / 3  # share of the walks over an image that see a detector's boxes
ASTRAY, FAR = 0.3, 0.5  # share of the misnamed boxes that lie far off, and how far their corners move
RIGHT, WRONG = (4, 2), (2, 3)  # confidences: beta distributions between one half and one
RARER = 0.75  # a wrong name is as likely as it is frequent, to this power: frequent ones are not all there is


class SimulatedScenes(SceneSet):
    """The scenes of a split with boxes as a detector's are.

    They are a little off, and some objects are boxed twice. In a third of the walks some objects are missed as well,
    some boxes have a wrong name, and some are of objects that nobody annotated. Nothing in the annotations says what an
    agent has to know of detections: that a second box on a thing says nothing new, that things are not always what they
    are called, and that most objects of a crowded photo have no annotated relationship. Scenes differ from epoch to
    epoch and depend on nothing but the seed, the epoch and the image. Not for pixels: features are those of the
    annotated boxes.
    """

    def __init__(
        self, scenes: SceneSet, jitter: float, twice: float, misnamed: float, seed: int, unannotated: float = 0.0
    ) -> None:
        """jitter: corners move by this share of the boxes' sides (standard deviation); twice: share boxed twice.

        In the walks that see a detector's boxes: misnamed: share that is boxed again under a wrong name; unannotated:
        up to this share of another image's objects is added, at the coordinates that they have in that image.
        """
        self.__dict__.update(vars(scenes))
        self.jitter, self.twice, self.misnamed, self.seed = jitter, twice, misnamed, seed
        self.unannotated = unannotated
        self.most_others = max((len(self.instances(i).boxes) for i in self.images), default=0) if unannotated else 0
        often = self.graph.entity_counts() ** RARER
        if not often.any():  # no phrase is known: every name is as likely
            often = np.ones(len(often))
        self.names = often / often.sum()

    def most_boxes(self, index: int) -> int:
        return 4 * super().most_boxes(index) + self.most_others

    def __getitem__(self, index: int) -> Scene:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        instances = simulated(self.instances(index), rng, self.jitter, self.twice)
        if (self.misnamed or self.unannotated) and rng.random() < DETECTED:
            instances = detected(instances, rng, self.misnamed, self.names)
            if self.unannotated:
                other = int(rng.choice(self.images))
                if other != index:  # its own objects are annotated
                    instances = with_unannotated(instances, self.instances(other), rng, self.unannotated)
        return make_scene(self.records[index], instances, self.graph, self.options)


def simulated(instances: Instances, rng: np.random.Generator, jitter: float, twice: float) -> Instances:
    """Instances with corners moved, and a second, more shaken box on a share `twice` of them, after the others."""
    count = len(instances.boxes)
    rows = np.concatenate([np.arange(count), np.flatnonzero(rng.random(count) < twice)])
    amount = np.where(np.arange(len(rows)) < count, jitter, max(jitter, SHAKE))
    boxes = shaken(instances.boxes[rows], rng, amount)
    return Instances(boxes, instances.candidates[rows], instances.candidate_scores[rows])


def detected(instances: Instances, rng: np.random.Generator, misnamed: float, names: np.ndarray) -> Instances:
    """Instances of which half a share `misnamed` is missed, and a share is boxed again under a wrong name.

    names: (C,) how likely each category is such a name. The wrong ones come last. Each instance has one category, and a
    confidence: the right ones have higher ones, as a rule.
    """
    count = len(instances.boxes)
    again, seen = np.flatnonzero(rng.random(count) < misnamed), np.flatnonzero(rng.random(count) >= misnamed / 2)
    amount = np.where(rng.random(len(again)) < ASTRAY, FAR, SHAKE)
    boxes = np.concatenate([instances.boxes[seen], shaken(instances.boxes[again], rng, amount)])
    wrong = rng.choice(len(names), size=(len(again), 1), p=names) if len(again) else np.zeros((0, 1))
    candidates = np.concatenate([instances.candidates[seen, :1], wrong.astype(np.int32)])
    confidences = np.concatenate([rng.beta(*RIGHT, size=(len(seen), 1)), rng.beta(*WRONG, size=(len(again), 1))])
    return Instances(boxes, candidates, (0.5 + 0.5 * confidences).astype(np.float32))


def with_unannotated(instances: Instances, other: Instances, rng: np.random.Generator, most: float) -> Instances:
    """Instances (n), then up to the share `most` of another image's (m): n to n + m. How many is drawn anew each time.

    Each has the first of its categories, and the others a confidence between one half and one.
    """
    rows = np.flatnonzero(rng.random(len(other.boxes)) < most * rng.random())
    confidences = 0.5 + 0.5 * rng.beta(*RIGHT, size=(len(rows), 1))
    return Instances(
        np.concatenate([instances.boxes, other.boxes[rows]]),
        np.concatenate([instances.candidates[:, :1], other.candidates[rows, :1]]),
        np.concatenate([instances.candidate_scores[:, :1], confidences.astype(np.float32)]),
    )


def shaken(boxes: np.ndarray, rng: np.random.Generator, amount: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) with corners moved by the share `amount` (n,) of their sides (standard deviation)."""
    sides = np.concatenate([boxes[:, 2:] - boxes[:, :2] + 1] * 2, axis=1)
    boxes = boxes + amount[:, None] * sides * rng.standard_normal(boxes.shape)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    return boxes.astype(np.float32)
