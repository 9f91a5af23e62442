"""Walks over many images side by side: each slot has its own queue of images, and all slots are rows of one array.

What every walk has. Which pair of objects comes next is for `environment.py` and `engine/best_first.py` to say.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from boxes import pair_context
from files.io import InputError
from files.options import Rules
from scenes.ranges import check_inside, check_numbers, check_states, num_phrases
from scenes.records import state_dtype
from scenes.scene import Scene, SceneSet

MOST_BYTES = 2**35  # of the tables of all images that are walked over side by side
NOT_QUEUED = np.iinfo(np.int32).max // 2


class Episodes(ABC):
    """What every walk has: slots with their images, what is annotated there, what has been said.

    assign(queues)  give each slot its images; slots without any stay idle
    states()        records of the active slots, in slot order
    """

    def __init__(self, scenes: SceneSet, num_slots: int, rules: Rules, with_context: bool = True) -> None:
        self.with_context = with_context  # a state's "context" is worked out, which takes a fifth of the time
        self.scenes = scenes
        self.graph = graph = scenes.graph
        self.rules = rules
        self.num_slots = num_slots
        self.dtype = self._make_dtype()
        self.terminal = len(graph.entities)
        self.queues: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * num_slots
        b = num_slots
        self.position = np.zeros(b, dtype=np.int64)  # how many images of its queue a slot has begun
        self.scene = np.full(b, -1, dtype=np.int64)
        self.active = np.zeros(b, dtype=bool)
        self.subject = np.full(b, -1, dtype=np.int64)
        self.object = np.full(b, -1, dtype=np.int64)
        self.num_mined = np.zeros(b, dtype=np.int64)
        self.num_steps = np.zeros(b, dtype=np.int64)
        self.num_queued = np.zeros(b, dtype=np.int32)
        self.extent = np.zeros((b, 4), dtype=np.float32)
        self.cut_off: tuple[np.ndarray, np.ndarray] = (np.zeros(0, dtype=bool), np.zeros(0, dtype=self.dtype))
        self._allocate(n=8, k=1, m=8, t=8, r=8)

    def _make_dtype(self) -> np.dtype:
        return state_dtype(self.graph, self.rules)

    # ---- memory: one row a slot, padded to the largest image seen so far

    def _shapes(self, n: int, k: int, m: int, t: int, r: int) -> dict[str, tuple[tuple[int, ...], str, int]]:
        return {
            "boxes": ((n, 4), "f4", 0),
            "candidates": ((n, k), "i4", -1),
            "candidate_scores": ((n, k), "f4", 0),
            "neighbours": ((n, n), "?", 0),
            "confidence_rank": ((n,), "i4", 0),
            "category": ((n,), "i4", -1),  # as far as it is settled
            "queue_place": ((n,), "i4", NOT_QUEUED),  # breadth first: order in which objects were mined
            "was_subject": ((n,), "?", 1),  # padding counts as done
            "mined": ((n,), "?", 0),  # H_S of the current subject
            "attributes_given": ((n, self.dtype["attributes_given"].shape[0]), "u1", 0),  # H_A, bits
            "attribute_history": ((n, 2), "i4", -1),  # latest first
            "pair_predicate": ((n, n), "i4", -1),
            "latest_phrase": ((n,), "i8", -1),  # in which an instance took part
            "gt_categories": ((m,), "i4", -2),
            "gt_overlaps": ((m, n), "?", 0),
            "gt_found": ((m,), "?", 1),
            "gt_attributes": ((t, 2), "i4", -1),
            "gt_relationships": ((r, 3), "i4", -1),
            "relationship_paid": ((r,), "?", 0),
        }

    def _allocate(self, **sizes: int) -> None:
        shapes = self._shapes(**sizes).values()
        announced = self.num_slots * sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind, _ in shapes)
        if announced > MOST_BYTES:
            raise InputError(
                f"an image has {sizes['n']:,} boxes; {self.num_slots} images side by side would take "
                f"{announced / 1e9:,.0f} GB; lower --maximum_num_entities_per_image or --batch_size"
            )
        old = getattr(self, "sizes", None)
        self.sizes = sizes
        for name, (shape, dtype, fill) in self._shapes(**sizes).items():
            array = np.full((self.num_slots, *shape), fill, dtype=dtype)
            if old is not None:
                previous = getattr(self, name)
                array[tuple(slice(0, length) for length in previous.shape)] = previous
            setattr(self, name, array)

    def _load(self, slot: int, scene: Scene) -> None:
        n, m = len(scene.boxes), len(scene.gt_categories)
        needed = {
            "n": n,
            "k": scene.candidates.shape[1],
            "m": m,
            "t": len(scene.gt_attributes),
            "r": len(scene.gt_relationships),
        }
        if any(needed[key] > self.sizes[key] for key in needed):
            self._allocate(**{key: max(needed[key], self.sizes[key]) for key in needed})
        for name, (_, _, fill) in self._shapes(**self.sizes).items():
            getattr(self, name)[slot] = fill
        k, t, r = needed["k"], needed["t"], needed["r"]
        self.boxes[slot, :n] = scene.boxes
        self.candidates[slot, :n, :k] = scene.candidates
        self.candidate_scores[slot, :n, :k] = scene.candidate_scores
        self.neighbours[slot, :n, :n] = scene.neighbours
        self.confidence_rank[slot, np.argsort(-scene.candidate_scores[:, 0], kind="stable")] = np.arange(n)
        self.category[slot, :n] = scene.candidates[:, 0]
        self.was_subject[slot, :n] = False
        self.gt_categories[slot, :m] = scene.gt_categories
        self.gt_overlaps[slot, :m, :n] = scene.gt_overlaps
        self.gt_found[slot, :m] = False
        self.gt_attributes[slot, :t] = scene.gt_attributes
        self.gt_relationships[slot, :r] = scene.gt_relationships
        self.extent[slot, :2] = scene.boxes[:, :2].min(axis=0)
        self.extent[slot, 2:] = scene.boxes[:, 2:].max(axis=0)
        self.num_steps[slot] = self.num_queued[slot] = 0

    # ---- episodes

    def assign(self, queues: Sequence[np.ndarray]) -> None:
        """Start over: slot b walks through the images `queues[b]` (indices into scenes) in order."""
        self.queues = [np.asarray(queue, dtype=np.int64) for queue in queues]
        self.position[:] = 0
        self._begin_images(np.arange(self.num_slots))

    def _begin_images(self, slots: np.ndarray) -> None:
        """Each slot's next image that has an instance to start from; idle when its queue is empty."""
        begun = []
        for slot in slots:
            self.active[slot] = False
            while self.position[slot] < len(self.queues[slot]):
                index = int(self.queues[slot][self.position[slot]])
                self.position[slot] += 1
                scene = self.scenes[index]
                if self._startable(scene):
                    self._load(slot, scene)
                    self.scene[slot] = index
                    self.active[slot] = True
                    begun.append(slot)
                    break
        if begun:
            self._begin(np.array(begun))

    def _startable(self, scene: Scene) -> bool:
        """Whether a walk can begin."""
        return bool(len(scene.boxes))

    @abstractmethod
    def _begin(self, slots: np.ndarray) -> None:
        """The slots' images are loaded: where the walk over them starts."""

    @abstractmethod
    def _states(self, slots: np.ndarray) -> np.ndarray:
        """Records of the states that the slots are in."""

    def _matches(self, slots: np.ndarray, instance: np.ndarray, category: np.ndarray) -> np.ndarray:
        """Ground-truth objects that the instances overlap: the same category, IoU >= 0.5. (len(slots), m) bool."""
        return self.gt_overlaps[slots, :, instance] & (self.gt_categories[slots] == category[:, None])

    # ---- states

    def states(self) -> np.ndarray:
        """State records (`state_dtype`) of the active slots."""
        return self._states(np.flatnonzero(self.active))

    def _annotations_here(self, slots: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The attributes and relationships annotated of the current pairs that still pay: bool (n, t), (n, r)."""
        subject_matches = self._matches(slots, self.subject[slots], state["subject_category"])
        object_matches = self._matches(slots, self.object[slots], state["object_category"])
        attributes, relationships = self.gt_attributes[slots], self.gt_relationships[slots]
        attributes_here = np.take_along_axis(subject_matches, attributes[..., 0], axis=1) & (attributes[..., 1] >= 0)
        here = np.take_along_axis(subject_matches, relationships[..., 0], axis=1)
        here &= np.take_along_axis(object_matches, relationships[..., 2], axis=1) & (relationships[..., 1] >= 0)
        if self.rules.new_phrases_only:
            here &= ~self.relationship_paid[slots]
        return attributes_here, here

    def _context(self, slots: np.ndarray, subject: np.ndarray, object_: np.ndarray) -> np.ndarray:
        return pair_context(self.boxes[slots], self.category[slots], subject, object_)

    def _history(self, slots: np.ndarray, state: np.ndarray) -> np.ndarray:
        """The paper's history phrases. (n, 4) int64, -1 for none: see `state_dtype`.

        Every ordered pair is looked at once. So of the paper's two phrases between s and s' only one can have been
        said, and a place would stay empty: it has the latest phrase in which s took part.
        """
        subject, object_ = self.subject[slots], self.object[slots]
        s, o = state["subject_category"].astype(np.int64), state["object_category"].astype(np.int64)
        backward = self.pair_predicate[slots, object_, subject]
        return np.stack(
            [
                np.where((object_ >= 0) & (backward >= 0), self.graph.relationship_key(o, backward, s), -1),
                self.latest_phrase[slots, subject],
                self.graph.attribute_key(self.attribute_history[slots, subject, 0], s),
                self.graph.attribute_key(self.attribute_history[slots, subject, 1], s),
            ],
            axis=1,
        )

    # ---- what is said

    def _remember(self, slots: np.ndarray, state: np.ndarray, attribute: np.ndarray, predicate: np.ndarray) -> None:
        """What has been said of the current subject and of the current pair, and which annotations that has named."""
        subject, object_ = self.subject[slots], self.object[slots]
        given = attribute >= 0
        row, column, word = slots[given], subject[given], attribute[given]
        self.attributes_given[row, column, word // 8] |= (128 >> word % 8).astype(np.uint8)
        self.attribute_history[row, column, 1] = self.attribute_history[row, column, 0]
        self.attribute_history[row, column, 0] = word
        related = predicate >= 0
        rows, s, o, word = slots[related], subject[related], object_[related], predicate[related]
        self.pair_predicate[rows, s, o] = word
        phrase = self.graph.relationship_key(self.category[rows, s], word, self.category[rows, o])
        self.latest_phrase[rows, s] = self.latest_phrase[rows, o] = phrase
        if self.rules.new_phrases_only:
            right = state["predicates_right"].any(axis=1)  # few pairs are annotated
            slots, state = slots[right], state[right]
            here = self._annotations_here(slots, state)[1]
            pay(self.relationship_paid, slots, here, self.gt_relationships[slots, :, 1])

    # ---- checkpoints

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything that changes, as tensors; `load_state_dict` continues from there bit for bit."""
        names = [*self._shapes(**self.sizes), *_SLOT_ARRAYS]
        lengths = np.array([len(queue) for queue in self.queues], dtype=np.int64)
        arrays = {name: getattr(self, name).copy() for name in names} | {
            "queue_lengths": lengths,
            "queues": np.concatenate(self.queues),
            "sizes": np.array([self.sizes[key] for key in "nkmtr"]),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Raises ValueError when an array has another shape or type than it was saved with, or names what is not."""
        if any(type(size) is not int or size < 0 for size in state["sizes"].tolist()):
            raise ValueError("the sizes are not whole numbers")
        self.sizes = dict(zip("nkmtr", state["sizes"].tolist(), strict=True))
        wanted = {name: ((self.num_slots, *part[0]), *part[1:]) for name, part in self._shapes(**self.sizes).items()}
        wanted |= {name: (getattr(self, name).shape, getattr(self, name).dtype, 0) for name in _SLOT_ARRAYS}
        for name, (shape, kind, none) in wanted.items():
            array = state[name].numpy()
            if array.shape != shape or array.dtype != np.dtype(kind):
                raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, not {np.dtype(kind)} of {shape}")
            setattr(self, name, array.copy())
            check_numbers(name, getattr(self, name), none)
        queues, lengths = state["queues"].numpy(), state["queue_lengths"].numpy()
        if {queues.dtype, lengths.dtype} != {np.dtype(np.int64)} or lengths.shape != (self.num_slots,):
            raise ValueError("the queues are not whole numbers for every slot")
        check_inside("queue_lengths", lengths, 0, len(queues) + 1)
        check_inside("queues", queues, 0, len(self.scenes))
        check_inside("position", self.position, self.active, lengths + 1)  # an active slot has begun an image
        if lengths.sum() != len(queues):
            raise ValueError("the queues are not as long as they say")
        self.queues = np.split(queues, np.cumsum(lengths)[:-1])
        for name, (low, end) in self._limits(**self.sizes).items():
            check_inside(name, getattr(self, name), low, end)
        slots = np.flatnonzero(self.active)
        begun = np.array([self.queues[slot][self.position[slot] - 1] for slot in slots], dtype=np.int64)
        if (begun != self.scene[slots]).any():
            raise ValueError("scene is not the image that the queue says")
        check_inside("subject", self.subject[slots], 0, self.sizes["n"])
        check_states(self.states(), self.scenes)

    def _limits(self, n: int, k: int, m: int, t: int, r: int) -> dict[str, tuple[int, int | np.ndarray]]:
        """The least that an array may hold, and what is too much; for arrays that name things."""
        graph = self.graph
        words, attributes, predicates = len(graph.entities), len(graph.attributes), len(graph.predicates)
        return {
            "scene": (-1, len(self.scenes)),
            "subject": (-1, n),
            "object": (-1, n),
            "num_mined": (0, n + 1),
            "num_queued": (0, NOT_QUEUED),
            "num_steps": (0, self.rules.maximum_steps + 1),
            "confidence_rank": (0, n),
            "category": (-1, words),
            "candidates": (-1, words),
            "attribute_history": (-1, attributes),
            "pair_predicate": (-1, predicates),
            "latest_phrase": (-1, num_phrases(graph)),
            "gt_categories": (-2, words),
            "gt_attributes": (-1, np.array([m, attributes])),
            "gt_relationships": (-1, np.array([m, predicates, m])),
        }


_SLOT_ARRAYS = (
    "position", "scene", "active", "subject", "object", "num_mined", "num_steps", "num_queued", "extent",
)  # fmt: skip


def pay(paid: np.ndarray, slots: np.ndarray, here: np.ndarray, words: np.ndarray) -> None:
    """Of the annotations that match, the first of each word is paid: (slots, c) bool; (n,), (n, c) bool, (n, c)."""
    row, place = np.nonzero(here)
    word = words[row, place]
    _, first = np.unique(row * (int(words.max(initial=0)) + 1) + word, return_index=True)
    paid[slots[row[first]], place[first]] = True
