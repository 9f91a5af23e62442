"""The walk over an image's objects: states, adaptive action sets, rewards (Liang et al. 2017, section 3).

Many images step together. Slot b of the environment walks through its own queue of images; all
slots advance in one call, and every rule below is an array operation over the slots.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from boxes import CONTEXT, pair_context
from files.io import InputError
from files.options import REMEMBERED, REPEATS, Rules
from scenes.scene import Scene, SceneSet
from semantic_graph import SemanticActionGraph

OBJECT_REWARD = 5.0
PENALTY = -1.0
CERTAIN = 255  # a chance of 1, in memory
MOST_BYTES = 2**35  # of the tables of all images that are walked over side by side
NOT_QUEUED = np.iinfo(np.int32).max // 2


def reward_ranges(rules: Rules) -> tuple[tuple[float, float], ...]:
    """The rewards of a wrong and of a right attribute, predicate, next object (section 3.3)."""
    said = (PENALTY, rules.positive_reward)
    best_first = rules.frontier == "best_first"
    return (said, said, (-rules.step_cost, 1 - rules.step_cost) if best_first else (PENALTY, OBJECT_REWARD))


def action_widths(graph: SemanticActionGraph, rules: Rules) -> tuple[int, int, int]:
    """Numbers of attributes, predicates, and of next-object actions: every category and Terminal.

    Best first the pair is the action, and its own state says what it earns: one number.
    """
    next_objects = 1 if rules.frontier == "best_first" else len(graph.entities) + 1
    return len(graph.attributes), len(graph.predicates), next_objects


def rewards(states: np.ndarray, graph: SemanticActionGraph, rules: Rules) -> np.ndarray:
    """R_a, R_p, R_c of every action (section 3.3): (n,) records -> float32 (n, sum of `action_widths`).

    The one place that says what an action earns. Outside the action sets the numbers mean nothing.
    """
    low, high = np.repeat(np.array(reward_ranges(rules), dtype=np.float32), action_widths(graph, rules), axis=0).T
    return np.where(right_actions(states, graph), high, low)


def right_actions(states: np.ndarray, graph: SemanticActionGraph) -> np.ndarray:
    """Which actions the annotations call right: (n,) records -> bool (n, A + P + C + 1), best first (n, A + P + 1)."""
    attribute = unpacked(states["attributes_right"], len(graph.attributes))
    predicate = unpacked(states["predicates_right"], len(graph.predicates))
    if "entities" not in states.dtype.names:
        anything = attribute.any(axis=1) | predicate.any(axis=1)
        return np.concatenate([attribute, predicate, anything[:, None]], axis=1)
    entity = np.zeros((len(states), len(graph.entities) + 2), dtype=bool)
    entity[np.arange(len(states))[:, None], states["entities"]] = states["entities_right"]
    return np.concatenate([attribute, predicate, entity[:, :-1]], axis=1)  # the last column took the padding


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

    certainty: the detector's confidences in both, multiplied. repeats: the greatest sum of chances said of a pair that
    this one repeats, and whether there is one; the same for the pair with subject and object exchanged.
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
            ("repeats", "f4", (REPEATS,)),
        ]
    )


def most_next_objects(graph: SemanticActionGraph, rules: Rules) -> int:
    """How many next objects an action set holds at most, without Terminal: one of each category."""
    return min(rules.maximum_adaptive_action_space_size, len(graph.entities))


def best_first_dtype(graph: SemanticActionGraph, rules: Rules) -> np.dtype:
    """A state's record: that of the breadth-first walk without next-object categories, and what is remembered.

    memory: for every predicate how likely it was said to be (in 1 / CERTAIN), the greatest of: pairs that this one
    repeats; the pair with subject and object exchanged; the subject's pairs as subject, and as object; the object's.
    """
    base = state_dtype(graph, rules)
    left_out = ("entities", "instances", "entities_right")
    fields = [(name, base.fields[name][0]) for name in base.names if name not in left_out]
    memory = ("memory", "u1", (REMEMBERED, len(graph.predicates)))
    return np.dtype([*fields, ("certainty", "f4"), ("repeats", "f4", (REPEATS,)), memory])


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

    def _earned(self, state: np.ndarray, triple: np.ndarray) -> np.ndarray:
        """The rewards of actions (n, 3), float32; 0 where none was taken (-1)."""
        widths = action_widths(self.graph, self.rules)
        first = np.cumsum(widths) - widths
        earned = rewards(state, self.graph, self.rules)[np.arange(len(state))[:, None], first + triple]
        earned[triple < 0] = 0
        return earned

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
        self.sizes = dict(zip("nkmtr", state["sizes"].tolist(), strict=True))
        for name in [*self._shapes(**self.sizes), *_SLOT_ARRAYS]:
            setattr(self, name, state[name].numpy().copy())
        self.queues = np.split(state["queues"].numpy(), np.cumsum(state["queue_lengths"].numpy())[:-1])


_SLOT_ARRAYS = (
    "position", "scene", "active", "subject", "object", "num_mined", "num_steps", "num_queued", "extent",
)  # fmt: skip


class SceneGraphEnvironment(Episodes):
    """The paper's walk: breadth first.

    assign(queues)  give each slot its images; slots without any stay idle
    states()        records of the active slots, in slot order
    step(...)       take one action triple in each active slot
    """

    def _begin(self, slots: np.ndarray) -> None:
        self._take_next_subject(slots)

    def _take_next_subject(self, slots: np.ndarray) -> np.ndarray:
        """Breadth first: the object mined earliest, else the most confident one, that was no subject yet.

        Returns bool (len(slots),): True where every instance has been a subject.
        """
        order = np.where(
            self.queue_place[slots] < NOT_QUEUED, self.queue_place[slots], NOT_QUEUED + self.confidence_rank[slots]
        )
        order = np.where(self.was_subject[slots], np.iinfo(np.int32).max, order)
        subject = order.argmin(axis=1)
        finished = self.was_subject[slots, subject]
        self.subject[slots] = subject
        self.object[slots] = -1
        self.was_subject[slots, subject] = True
        self.mined[slots] = False
        self.num_mined[slots] = 0
        going, instance = slots[~finished], subject[~finished]
        self._settle(going, instance, self.category[going, instance])
        return finished

    def _settle(self, slots: np.ndarray, instance: np.ndarray, category: np.ndarray) -> None:
        """The agent stands on `instance`: from now on it has `category`, and what it overlaps is found."""
        score = np.where(
            self.candidates[slots, instance] == category[:, None], self.candidate_scores[slots, instance], 0
        )
        self.category[slots, instance] = category
        self.candidates[slots, instance] = -1
        self.candidates[slots, instance, 0] = category
        self.candidate_scores[slots, instance, 0] = score.max(axis=1)
        self.gt_found[slots] |= self._matches(slots, instance, category)

    def _states(self, slots: np.ndarray) -> np.ndarray:
        subject, object_ = self.subject[slots], self.object[slots]
        has_object = object_ >= 0
        state = np.zeros(len(slots), dtype=self.dtype)
        if not len(slots):
            return state
        state["scene"] = self.scene[slots]
        state["subject"], state["object"] = subject, object_
        state["subject_category"] = self.category[slots, subject]
        state["object_category"] = np.where(has_object, self.category[slots, object_], -1)
        state["subject_box"] = self.boxes[slots, subject]
        state["object_box"] = np.where(has_object[:, None], self.boxes[slots, object_], 0)
        state["extent"] = self.extent[slots]
        if self.with_context:
            state["context"] = np.where(has_object[:, None], self._context(slots, subject, object_), 0)
        state["attributes_given"] = self.attributes_given[slots, subject]
        state["history"] = self._history(slots, state)
        attributes, relationships = self._annotations_here(slots, state)
        state["attributes_right"] = bits_of(attributes, self.gt_attributes[slots, :, 1], len(self.graph.attributes))
        state["predicates_right"] = bits_of(
            relationships, self.gt_relationships[slots, :, 1], len(self.graph.predicates)
        )
        self._next_objects(slots, state)
        return state

    def _next_objects(self, slots: np.ndarray, state: np.ndarray) -> None:
        """The next-object action set: categories of N(s) \\ H_S, most confident first, then Terminal."""
        subject = self.subject[slots]
        available = self.neighbours[slots, subject] & ~self.mined[slots]
        available &= (self.num_mined[slots] < self.rules.maximum_objects_per_subject)[:, None]
        scores = np.where(available[..., None] & (self.candidates[slots] >= 0), self.candidate_scores[slots], -1.0)
        k = scores.shape[2]
        scores = scores.reshape(len(slots), -1)
        order = np.argsort(-scores, axis=1, kind="stable")
        scores = np.take_along_axis(scores, order, axis=1)
        categories = np.take_along_axis(self.candidates[slots].reshape(len(slots), -1), order, axis=1)
        # several instances of one category: choosing the category takes the most confident
        row = np.arange(len(slots))[:, None]
        first_place = np.full((len(slots), self.terminal + 1), -1, dtype=np.int32)
        backwards = np.arange(order.shape[1])[::-1]
        first_place[row, categories[:, ::-1]] = np.where(scores[:, ::-1] >= 0, backwards, -1)
        listed = (scores >= 0) & (first_place[row, categories] == np.arange(order.shape[1]))
        width = most_next_objects(self.graph, self.rules)
        entities = _first(listed, categories, width)
        instances = _first(listed, order // k, width)

        chosen = np.where(instances >= 0, instances, 0)
        overlaps = self.gt_overlaps[slots[:, None], :, chosen] & (
            self.gt_categories[slots][:, None] == entities[..., None]
        )
        if self.rules.next_object_reward == "new_object":
            right = (overlaps & ~self.gt_found[slots][:, None]).any(axis=2)
        else:
            annotated = self.gt_relationships[slots]
            subject_matches = self._matches(slots, subject, state["subject_category"])
            from_subject = np.take_along_axis(subject_matches, annotated[..., 0], axis=1) & (annotated[..., 1] >= 0)
            objects = np.broadcast_to(annotated[:, None, :, 2], (len(slots), width, annotated.shape[1]))
            right = (np.take_along_axis(overlaps, objects, axis=2) & from_subject[:, None]).any(axis=2)
        count = (entities >= 0).sum(axis=1)
        state["entities"], state["instances"] = -1, -1
        state["entities"][:, :width], state["instances"][:, :width] = entities, instances
        state["entities_right"][:, :width] = right & (entities >= 0)
        state["entities"][np.arange(len(slots)), count] = self.terminal

    # ---- steps

    def step(
        self, state: np.ndarray, attribute: np.ndarray, predicate: np.ndarray, entity: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Take (g_a, g_p, g_c) in every active slot; `state` is what `states()` just gave.

        attribute, predicate: (n,) indices, -1 where the action set is empty; entity: (n,) category or Terminal.
        Returns rewards float32 (n, 3) for attribute, predicate, next object (0 where none was taken)
        and done bool (n,), True where that image's episode ended. Where it did only for want of steps, `cut_off` has
        the states in which it would have gone on: (bool (n,), their records).
        """
        slots = np.flatnonzero(self.active)
        place = (state["entities"] == entity[:, None]).argmax(axis=1)
        earned = self._earned(state, np.stack([attribute, predicate, entity], axis=1))
        self._remember(slots, state, attribute, predicate)
        self.num_steps[slots] += 1
        moves = entity != self.terminal
        self._mine(
            slots[moves], state["instances"][np.arange(len(slots)), place][moves].astype(np.int64), entity[moves]
        )
        done = np.zeros(len(slots), dtype=bool)
        done[~moves] = self._take_next_subject(slots[~moves])
        cut_off = ~done & (self.num_steps[slots] >= self.rules.maximum_steps)
        self.cut_off = cut_off, self._states(slots[cut_off])
        done |= cut_off
        if done.any():
            self._begin_images(slots[done])
        return earned, done

    def _mine(self, slots: np.ndarray, instance: np.ndarray, category: np.ndarray) -> None:
        """Make `instance` the current object: its category is settled, it joins the queue of subjects."""
        self._settle(slots, instance, category)
        self.mined[slots, instance] = True
        self.num_mined[slots] += 1
        self.object[slots] = instance
        new = self.queue_place[slots, instance] == NOT_QUEUED
        self.num_queued[slots] += new
        self.queue_place[slots[new], instance[new]] = self.num_queued[slots[new]]


def bits_of(mask: np.ndarray, words: np.ndarray, count: int) -> np.ndarray:
    """Bit masks of the words where mask holds: (n, c) bool, (n, c) words or -1 -> (n, ceil(count / 8)) uint8."""
    dense = np.zeros((len(mask), count + 1), dtype=bool)  # the last column takes what does not count
    dense[np.arange(len(mask))[:, None], np.where(mask & (words >= 0), words, count)] = True
    return np.packbits(dense[:, :count], axis=1)


def pay(paid: np.ndarray, slots: np.ndarray, here: np.ndarray, words: np.ndarray) -> None:
    """Of the annotations that match, the first of each word is paid: (slots, c) bool; (n,), (n, c) bool, (n, c)."""
    row, place = np.nonzero(here)
    word = words[row, place]
    _, first = np.unique(row * (int(words.max(initial=0)) + 1) + word, return_index=True)
    paid[slots[row[first]], place[first]] = True


def unpacked(bits: np.ndarray, count: int) -> np.ndarray:
    """Bit masks of a state record -> bool (n, count)."""
    return np.unpackbits(bits, axis=1, count=count).view(bool)


def _first(mask: np.ndarray, values: np.ndarray, width: int) -> np.ndarray:
    """The first `width` values of each row where mask holds, padded -1: (n, c), (n, c) -> (n, width)."""
    place = np.cumsum(mask, axis=1) - 1
    row, column = np.nonzero(mask & (place < width))
    out = np.full((len(mask), width), -1, dtype=values.dtype)
    out[row, place[row, column]] = values[row, column]
    return out
