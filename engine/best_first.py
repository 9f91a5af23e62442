"""The best-first walk (not in the paper): any pair of objects may be next, and what has been said is remembered.

The paper's walk is breadth first: a subject's neighbours one after the other, then the next subject. Here the
next-object action is a pair: any ordered pair (subject, object) that has not been looked at, or an object by itself
where the graph has attributes, or Terminal, which ends the image. Its Q sees the pair (`CandidateNetwork` in
vrl_model.py) and is kept for the whole frontier, so that only pairs whose memory has changed are judged again.

A pair repeats another one when both name the same categories and both of its boxes overlap the other's (IoU >= 0.5):
detectors give overlapping boxes of one thing, and annotators drew some things twice. What the paper does for objects
(a reward for one *not yet found*), `Rules.new_phrases_only` does for phrases: an annotation pays once, at the first
pair looked at that matches it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from boxes import affinity, context_of, iou
from environment import SceneGraphEnvironment, earned_by
from files.options import REMEMBERED, Rules
from scenes.episodes import Episodes, pay
from scenes.records import CERTAIN, best_first_dtype, bits_of, candidate_dtype
from scenes.scene import OVERLAP_THRESHOLD, Scene, SceneSet

MOST_NUMBERS = 2_000_000  # candidates times instances whose context is worked out at once
MOST_JUDGED = 100_000  # candidates that are judged at once: more take gigabytes
MOST_AGAIN = 50  # pairs of an image that are judged again after a look; more repeat it only in heaps of boxes
HEAP_STEPS = 16  # looks between two such rounds where more wait

Promise = Callable[[np.ndarray], np.ndarray]  # candidate records -> Q of looking there, float32


def make_environment(
    scenes: SceneSet, num_slots: int, rules: Rules, with_context: bool = True
) -> SceneGraphEnvironment | BestFirstEnvironment:
    """The environment of `rules.frontier`."""
    kind = BestFirstEnvironment if rules.frontier == "best_first" else SceneGraphEnvironment
    return kind(scenes, num_slots, rules, with_context)


class BestFirstEnvironment(Episodes):
    """Episodes over the images of `scenes`, `num_slots` at a time, best first.

    assign(queues)   give each slot its images
    advance(...)     end images where nothing promises enough, begin others, and look at the best pair of each
    states()         records of the active slots, in slot order
    say(...)         take the attribute and the predicate chosen in each, and remember what was said
    """

    def __init__(self, scenes: SceneSet, num_slots: int, rules: Rules, with_context: bool = True) -> None:
        self.with_attributes = bool(scenes.graph.attributes)
        super().__init__(scenes, num_slots, rules, with_context)

    def _make_dtype(self) -> np.dtype:
        return best_first_dtype(self.graph, self.rules)

    def _shapes(self, n: int, k: int, m: int, t: int, r: int) -> dict[str, tuple[tuple[int, ...], str, int]]:
        words = len(self.graph.predicates)
        looks = min(n * n, self.rules.maximum_steps)
        return super()._shapes(n, k, m, t, r) | {
            "affinity": ((n, n), "f4", 0),  # how near two instances are: see `boxes.affinity`
            "alike": ((n, n), "?", 0),  # one category, overlapping; every instance with itself
            # of the pairs in the frontier: their Q, and whether it has to be worked out; column 0 is the subject alone
            "promise": ((n, n + 1), "f4", -np.inf),
            "frontier": ((n, n + 1), "?", 0),
            "waiting": ((n, n + 1), "?", 0),
            "look": ((n, n), "i2", -1),  # at which of the image's steps a pair was looked at
            "looked_at": ((looks, 2), "i2", -1),  # subject and object of each step
            "said": ((looks, words), "u1", 0),  # how likely each predicate was said to be
            "said_in_all": ((looks,), "f4", 0),
            "as_subject": ((n, words), "u1", 0),
            "as_object": ((n, words), "u1", 0),
            "repeated": ((n, n), "f4", -1),  # the greatest `said_in_all` of a pair that this one repeats
            "attribute_paid": ((t,), "?", 0),
            "detected": ((), "f4", 0),  # 1 where a box is not certain
        }

    def _limits(self, n: int, k: int, m: int, t: int, r: int) -> dict[str, tuple[int, int | np.ndarray]]:
        looks = self.said.shape[1]
        return super()._limits(n, k, m, t, r) | {
            "num_steps": (0, np.where(self.active, looks, self.rules.maximum_steps + 1)),
            "look": (-1, looks),
            "looked_at": (-1, n),
        }

    def _load(self, slot: int, scene: Scene) -> None:
        super()._load(slot, scene)
        n = len(scene.boxes)
        boxes, category = scene.boxes.astype(np.float64), scene.candidates[:, 0]
        overlap = iou(boxes[:, None], boxes[None]) >= OVERLAP_THRESHOLD
        self.affinity[slot, :n, :n] = affinity(scene.boxes[:, None], scene.boxes[None])
        self.alike[slot, :n, :n] = overlap & (category[:, None] == category)
        self.frontier[slot, :n, 1 : n + 1] = scene.neighbours
        self.frontier[slot, :n, 0] = self.with_attributes
        self.waiting[slot] = self.frontier[slot]
        self.detected[slot] = (scene.candidate_scores[:, 0] < 1).any()

    # ---- episodes

    def _startable(self, scene: Scene) -> bool:
        """Whether there is anything to look at."""
        return bool(len(scene.boxes)) and (self.with_attributes or bool(scene.neighbours.any()))

    def _begin(self, slots: np.ndarray) -> None:
        """The slots' images are loaded; where each looks first is for `advance` to say."""
        self.subject[slots] = self.object[slots] = -1

    def advance(
        self,
        promise: Promise,
        epsilon: float = 0.0,
        uniform: np.ndarray | None = None,
        may_stop: bool = True,
        least: int = 1,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose the next pair in every slot: the one of the highest Q, or with probability epsilon any other.

        promise: Q of candidates (`candidate_dtype`); Terminal's is 0. uniform: (num_slots, 2) random numbers in [0, 1).
        may_stop: Terminal is chosen where nothing promises more than 0 and at least `least` pairs have been looked at.

        Returns, of the slots that were active: the Q of what they choose next float32 (n,), 0 for Terminal or where
        nothing is left, and done bool (n,), True where the image ended. Running out of steps ends the walk over an
        image, not what could still be found there: its Q is that of the pair that would have been next.
        """
        slots = np.flatnonzero(self.active)
        self._judge(promise)
        best = self.promise[slots].max(axis=(1, 2), initial=-np.inf)
        enough = self.num_steps[slots] >= least
        done = (best == -np.inf) | (self.num_steps[slots] >= self.rules.maximum_steps)
        if may_stop:
            done |= (best <= 0) & enough
        if done.any():
            self._begin_images(slots[done])
            self._judge(promise)
        self._look(np.flatnonzero(self.active), epsilon, uniform)
        return np.maximum(best, 0), done

    def _judge(self, promise: Promise) -> None:
        """Work out the Q of the frontier's pairs that are new, or whose memory has changed.

        Of those that have one, the `MOST_AGAIN` most promising of each image; the others wait for the next time. Where
        more wait than that, they do so for `HEAP_STEPS` looks.
        """
        active = np.flatnonzero(self.active)
        columns = self.waiting.shape[2]
        places = [self._to_judge(slot) for slot in active]
        slot = np.repeat(active, [len(part) for part in places])
        subject, column = np.divmod(np.concatenate([np.zeros(0, np.int64), *places]), columns)
        for start in range(0, len(slot), MOST_JUDGED):
            some = tuple(part[start : start + MOST_JUDGED] for part in (slot, subject, column))
            self.promise[some] = promise(self._candidates(some[0], some[1], some[2] - 1))
            self.waiting[some] = False

    def _to_judge(self, slot: int) -> np.ndarray:
        """The pairs of a slot that are judged now: subject and column as one number."""
        heap = np.count_nonzero(self.waiting[slot]) > MOST_AGAIN
        if heap and self.num_steps[slot] % HEAP_STEPS:  # at step 0 all are new
            return np.zeros(0, dtype=np.int64)
        places = np.flatnonzero(self.waiting[slot])
        if heap:
            q = self.promise[slot].ravel()[places]
            q[q == -np.inf] = np.inf  # those that have none: all of them
            least = np.partition(q, -MOST_AGAIN)[-MOST_AGAIN]
            ahead = q > least
            tied = np.flatnonzero(q == least)[: None if least == np.inf else MOST_AGAIN - np.count_nonzero(ahead)]
            ahead[tied] = True
            places = places[ahead]
        return places

    def _look(self, slots: np.ndarray, epsilon: float, uniform: np.ndarray | None) -> None:
        """Make the best pair of each slot the current one, or any pair of the frontier with probability epsilon."""
        columns = self.promise.shape[2]
        flat = self.promise[slots].reshape(len(slots), self.promise.shape[1] * columns)
        chosen = flat.argmax(axis=1)
        if epsilon:
            explore = np.flatnonzero(uniform[slots, 0] < epsilon)
            chosen[explore] = self._any_pair(slots[explore], uniform[slots[explore], 1])
        subject, column = np.divmod(chosen, columns)
        self.frontier[slots, subject, column] = self.waiting[slots, subject, column] = False
        self.promise[slots, subject, column] = -np.inf
        self.subject[slots], self.object[slots] = subject, column - 1

    def _any_pair(self, slots: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """A pair of each slot's frontier, each as likely: subject and column as one number. uniform: (n,) in [0, 1)."""
        open_ = self.frontier[slots]
        before = np.count_nonzero(open_, axis=2).cumsum(axis=1)  # up to each subject, and it included
        nth = (uniform * before[:, -1]).astype(np.int64) + 1
        subject = (before >= nth[:, None]).argmax(axis=1)
        row = np.arange(len(slots))
        of_subject = open_[row, subject]
        nth -= before[row, subject] - np.count_nonzero(of_subject, axis=1)
        return subject * open_.shape[2] + (of_subject.cumsum(axis=1) >= nth[:, None]).argmax(axis=1)

    # ---- records

    def _candidates(self, slots: np.ndarray, subject: np.ndarray, object_: np.ndarray) -> np.ndarray:
        """(n,) slots, instances (object -1: none) -> (n,) records of `candidate_dtype`."""
        records = np.zeros(len(slots), dtype=candidate_dtype())
        self._describe(records, slots, subject, object_)
        return records

    def _describe(self, records: np.ndarray, slots: np.ndarray, subject: np.ndarray, object_: np.ndarray) -> None:
        """What states and candidates have in common."""
        paired = object_ >= 0
        confidence = self.candidate_scores[..., 0]
        records["scene"] = self.scene[slots]
        records["subject"], records["object"] = subject, object_
        records["subject_category"] = self.category[slots, subject]
        records["object_category"] = np.where(paired, self.category[slots, object_], -1)
        records["subject_box"] = self.boxes[slots, subject]
        records["object_box"] = np.where(paired[:, None], self.boxes[slots, object_], 0)
        records["extent"] = self.extent[slots]
        records["certainty"] = confidence[slots, subject] * np.where(paired, confidence[slots, object_], 1)
        records["detected"] = self.detected[slots]
        repeated = self.repeated[slots, subject, object_]
        reverse = self.look[slots, object_, subject]
        numbers = records["repeats"]
        numbers[:, 0] = np.where(paired, np.maximum(repeated, 0), 0)
        numbers[:, 1] = paired & (repeated >= 0)
        numbers[:, 2] = np.where(paired & (reverse >= 0), self.said_in_all[slots, reverse], 0)
        numbers[:, 3] = paired & (reverse >= 0)
        if self.with_context:
            size = max(MOST_NUMBERS // self.boxes.shape[1], 1)
            for rows in np.split(np.arange(len(slots)), range(size, len(slots), size)):
                some = slots[rows]
                to_subject, to_object = (self.affinity[some, end] for end in (subject[rows], object_[rows]))
                context = context_of(to_subject, to_object, self.category[some], subject[rows], object_[rows])
                records["context"][rows] = np.where(paired[rows, None], context, 0)

    def _states(self, slots: np.ndarray) -> np.ndarray:
        """Records of `best_first_dtype`; `advance` has given the slots a pair."""
        state = np.zeros(len(slots), dtype=self.dtype)
        if not len(slots):
            return state
        subject, object_ = self.subject[slots], self.object[slots]
        self._describe(state, slots, subject, object_)
        state["attributes_given"] = self.attributes_given[slots, subject]
        state["history"] = self._history(slots, state)
        state["memory"] = self._memory(slots, subject, object_)
        attributes, relationships = self._annotations_here(slots, state)
        state["attributes_right"] = bits_of(attributes, self.gt_attributes[slots, :, 1], len(self.graph.attributes))
        state["predicates_right"] = bits_of(
            relationships, self.gt_relationships[slots, :, 1], len(self.graph.predicates)
        )
        return state

    def _annotations_here(self, slots: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Attributes are asked for where an object is looked at by itself, relationships where a pair is."""
        attributes, relationships = super()._annotations_here(slots, state)
        attributes &= (state["object"] < 0)[:, None]
        if self.rules.new_phrases_only:
            attributes &= ~self.attribute_paid[slots]
        return attributes, relationships

    def _memory(self, slots: np.ndarray, subject: np.ndarray, object_: np.ndarray) -> np.ndarray:
        """See `best_first_dtype`. (n, REMEMBERED, P) uint8."""
        memory = np.zeros((len(slots), REMEMBERED, len(self.graph.predicates)), dtype=np.uint8)
        paired = np.flatnonzero(object_ >= 0)
        rows, s, o = slots[paired], subject[paired], object_[paired]
        so_far = self.num_steps[rows].max(initial=0)
        earlier = self.looked_at[rows, :so_far].astype(np.int64)  # (m, looks, 2)
        repeats = self.alike[rows[:, None], s[:, None], earlier[..., 0]] & (earlier[..., 0] >= 0)
        repeats &= self.alike[rows[:, None], o[:, None], earlier[..., 1]]
        which, look = np.nonzero(repeats)
        if len(which):
            first = np.flatnonzero(np.diff(which, prepend=-1))
            memory[paired[which[first]], 0] = np.maximum.reduceat(self.said[rows[which], look], first, axis=0)
        reverse = self.look[rows, o, s]
        memory[paired, 1] = np.where(reverse[:, None] >= 0, self.said[rows, reverse], 0)
        memory[paired, 2], memory[paired, 3] = self.as_subject[rows, s], self.as_object[rows, s]
        memory[paired, 4], memory[paired, 5] = self.as_subject[rows, o], self.as_object[rows, o]
        return memory

    # ---- steps

    def say(self, state: np.ndarray, attribute: np.ndarray, predicate: np.ndarray, chances: np.ndarray) -> np.ndarray:
        """Take (g_a, g_p) in every active slot and remember; `state` is what `states()` just gave.

        attribute, predicate: (n,) indices, -1 where the action set is empty. chances: (n, P) in [0, 1], how likely each
        predicate is, as the agent says. Returns rewards float32 (n, 3): the third is that of having looked here.
        """
        slots = np.flatnonzero(self.active)
        subject, object_ = self.subject[slots], self.object[slots]
        paired = object_ >= 0
        earned = earned_by(
            state, np.stack([attribute, predicate, np.zeros_like(predicate)], axis=1), self.graph, self.rules
        )
        self._remember(slots, state, attribute, predicate)
        rows, s, o = slots[paired], subject[paired], object_[paired]
        said = np.rint(np.clip(chances[paired], 0, 1) * CERTAIN).astype(np.uint8)
        in_all = chances[paired].sum(axis=1, dtype=np.float32)
        step = self.num_steps[rows]
        self.look[rows, s, o] = step
        self.looked_at[rows, step, 0], self.looked_at[rows, step, 1] = s, o
        self.said[rows, step], self.said_in_all[rows, step] = said, in_all
        self.as_subject[rows, s] = np.maximum(self.as_subject[rows, s], said)
        self.as_object[rows, o] = np.maximum(self.as_object[rows, o], said)
        self._tell_repeats(rows, s, o, in_all)
        self.num_steps[slots] += 1
        return earned

    def _remember(self, slots: np.ndarray, state: np.ndarray, attribute: np.ndarray, predicate: np.ndarray) -> None:
        if self.rules.new_phrases_only:
            right = state["attributes_right"].any(axis=1)
            here = self._annotations_here(slots[right], state[right])[0]
            pay(self.attribute_paid, slots[right], here, self.gt_attributes[slots[right], :, 1])
        super()._remember(slots, state, attribute, predicate)

    def _tell_repeats(self, slots: np.ndarray, subject: np.ndarray, object_: np.ndarray, in_all: np.ndarray) -> None:
        """The pairs that repeat those just looked at, and those with subject and object exchanged, are judged again."""
        which, twin = np.nonzero(self.alike[slots, subject])  # few: the subject, and other boxes on it
        places, again = (slots[which], twin), self.alike[slots, object_][which]  # (k, n)
        repeated, waiting = self.repeated[places], self.waiting[places]
        self.repeated[places] = np.maximum(repeated, in_all[which, None], out=repeated, where=again)
        waiting[:, 1:] |= again & self.frontier[places][:, 1:]
        self.waiting[places] = waiting
        exchanged = slots, object_, subject + 1
        self.waiting[exchanged] |= self.frontier[exchanged]
