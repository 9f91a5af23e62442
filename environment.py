"""The walk over an image's objects: states, adaptive action sets, rewards (Liang et al. 2017, section 3).

Many images step together. Slot b of the environment walks through its own queue of images; all
slots advance in one call, and every rule below is an array operation over the slots.
"""

from __future__ import annotations

import numpy as np

from files.options import Rules
from scenes.episodes import NOT_QUEUED, Episodes
from scenes.records import bits_of, most_next_objects, unpacked
from semantic_graph import SemanticActionGraph

OBJECT_REWARD = 5.0
PENALTY = -1.0


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


def earned_by(states: np.ndarray, triple: np.ndarray, graph: SemanticActionGraph, rules: Rules) -> np.ndarray:
    """The rewards of actions (n, 3), float32; 0 where none was taken (-1)."""
    widths = action_widths(graph, rules)
    first = np.cumsum(widths) - widths
    earned = rewards(states, graph, rules)[np.arange(len(states))[:, None], first + triple]
    earned[triple < 0] = 0
    return earned


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
        and done bool (n,), True where that image's episode ended. Where it only ran out of steps, `cut_off` has
        the states in which it would have gone on: (bool (n,), their records).
        """
        slots = np.flatnonzero(self.active)
        place = (state["entities"] == entity[:, None]).argmax(axis=1)
        earned = earned_by(state, np.stack([attribute, predicate, entity], axis=1), self.graph, self.rules)
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


def _first(mask: np.ndarray, values: np.ndarray, width: int) -> np.ndarray:
    """The first `width` values of each row where mask holds, padded -1: (n, c), (n, c) -> (n, width)."""
    place = np.cumsum(mask, axis=1) - 1
    row, column = np.nonzero(mask & (place < width))
    out = np.full((len(mask), width), -1, dtype=values.dtype)
    out[row, place[row, column]] = values[row, column]
    return out
