"""One image's episode a second time: plain Python, one object after the other, straight from the paper's sentences."""

from __future__ import annotations

from collections.abc import Callable

from files.options import Rules
from files.splits import ImageRecord
from semantic_graph import SemanticActionGraph

Box = tuple[int, int, int, int]  # x, y, w, h


def iou(a: Box, b: Box) -> float:
    """By counting pixels."""
    pixels = [{(x, y) for x in range(bx, bx + w) for y in range(by, by + h)} for bx, by, w, h in (a, b)]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


def near(a: Box, b: Box, factor: float) -> bool:
    """|x - x'| < factor (w + w') and the same for y."""
    return all(abs((a[i] + a[i + 2] / 2) - (b[i] + b[i + 2] / 2)) < factor * (a[i + 2] + b[i + 2]) for i in (0, 1))


class SlowEpisode:
    """instances: (box, {category: confidence}) in their order. Words throughout, no indices but those of instances."""

    def __init__(
        self,
        record: ImageRecord,
        instances: list[tuple[Box, dict[str, float]]],
        graph: SemanticActionGraph,
        rules: Rules,
        neighbour_factor: float = 0.5,
    ) -> None:
        self.graph, self.rules, self.factor = graph, rules, neighbour_factor
        self.objects = {o.object_id: o for o in record.labels.objects}
        self.relations = [(r.subject_id, r.predicate, r.object_id) for r in record.labels.relationships]
        self.boxes = [box for box, _ in instances]
        self.likely = [dict(likely) for _, likely in instances]  # what each may still be
        self.confidence = [max(likely.values()) for _, likely in instances]
        self.found: set[int] = set()
        self.queue: list[int] = []
        self.subjects: set[int] = set()
        self.given: dict[int, list[str]] = {}
        self.said: list[tuple[int, str, int]] = []
        self.steps = 0
        self.done = not instances
        if not self.done:
            self.take_subject()

    def category(self, i: int) -> str:
        return max(self.likely[i], key=self.likely[i].get)  # of equals the first

    def settle(self, i: int, category: str) -> None:
        self.likely[i] = {category: self.likely[i][category]}
        self.found |= set(self.overlapping(i, category))

    def overlapping(self, i: int, category: str) -> list[int]:
        """Annotated objects that instance i overlaps when it has `category`."""
        return [
            key
            for key, o in self.objects.items()
            if o.name == category and iou(self.boxes[i], (o.x, o.y, o.w, o.h)) >= 0.5
        ]

    def take_subject(self) -> None:
        waiting = [i for i in self.queue if i not in self.subjects]
        rest = [i for i in range(len(self.boxes)) if i not in self.subjects]
        if not rest:
            self.done = True
            return
        self.subject = waiting[0] if waiting else max(rest, key=lambda i: (self.confidence[i], -i))
        self.object = None
        self.mined: list[int] = []
        self.subjects.add(self.subject)
        self.settle(self.subject, self.category(self.subject))

    # What the environment is compared with

    def next_objects(self) -> dict[str, int]:
        """{category: the instance it means}, most confident first."""
        if len(self.mined) == self.rules.maximum_objects_per_subject:
            return {}
        offers = [
            (-confidence, i, place, category)
            for i in range(len(self.boxes))
            if i != self.subject and i not in self.mined and near(self.boxes[i], self.boxes[self.subject], self.factor)
            for place, (category, confidence) in enumerate(self.likely[i].items())
        ]
        chosen: dict[str, int] = {}
        for _, i, _, category in sorted(offers):
            if len(chosen) < self.rules.maximum_adaptive_action_space_size:
                chosen.setdefault(category, i)
        return chosen

    def attributes(self) -> set[str]:
        category = self.category(self.subject)
        edges = [(-n, a) for c, a, n in self.graph.attribute_edges.tolist() if self.graph.entities[c] == category]
        best = [self.graph.attributes[a] for _, a in sorted(edges)[: self.rules.maximum_adaptive_action_space_size]]
        return set(best) - set(self.given.get(self.subject, []))

    def predicates(self) -> set[str]:
        if self.object is None:
            return set()
        pair = self.category(self.subject), self.category(self.object)
        names = self.graph.entities
        edges = [(-n, p) for s, p, o, n in self.graph.predicate_edges.tolist() if (names[s], names[o]) == pair]
        return {self.graph.predicates[p] for _, p in sorted(edges)[: self.rules.maximum_adaptive_action_space_size]}

    def relationship_phrases(self) -> list[str]:
        """What was said from the object to the subject, and the latest in which the subject took part."""
        reverse = [phrase for phrase in self.said if (phrase[0], phrase[2]) == (self.object, self.subject)]
        own = [phrase for phrase in self.said if self.subject in (phrase[0], phrase[2])]
        return [f"{self.category(s)} {p} {self.category(o)}" for s, p, o in reverse[-1:] + own[-1:]]

    def attribute_phrases(self) -> list[str]:
        """The last two of the subject, latest first."""
        return [f"{a} {self.category(self.subject)}" for a in self.given.get(self.subject, [])][::-1][:2]

    def attribute_reward(self, attribute: str) -> float:
        matches = self.overlapping(self.subject, self.category(self.subject))
        right = any(attribute in self.objects[key].attributes for key in matches)
        return self.rules.positive_reward if right else -1

    def predicate_reward(self, predicate: str) -> float:
        subjects = self.overlapping(self.subject, self.category(self.subject))
        objects = self.overlapping(self.object, self.category(self.object))
        right = any(s in subjects and p == predicate and o in objects for s, p, o in self.relations)
        return self.rules.positive_reward if right else -1

    def entity_reward(self, category: str) -> float:
        """For a category of `next_objects`, or "Terminal"."""
        if category == "Terminal":
            return -1
        matches = self.overlapping(self.next_objects()[category], category)
        if self.rules.next_object_reward == "new_object":
            right = any(key not in self.found for key in matches)
        else:
            subjects = self.overlapping(self.subject, self.category(self.subject))
            right = any(s in subjects and o in matches for s, _, o in self.relations)
        return 5 if right else -1

    def step(self, attribute: str | None, predicate: str | None, entity: str) -> list[float]:
        rewards = [
            0 if attribute is None else self.attribute_reward(attribute),
            0 if predicate is None else self.predicate_reward(predicate),
            self.entity_reward(entity),
        ]
        if attribute is not None:
            self.given.setdefault(self.subject, []).append(attribute)
        if predicate is not None:
            self.said.append((self.subject, predicate, self.object))
        self.steps += 1
        if entity == "Terminal":
            self.take_subject()
        else:
            instance = self.next_objects()[entity]
            self.settle(instance, entity)
            self.mined.append(instance)
            if instance not in self.queue:
                self.queue.append(instance)
            self.object = instance
        self.done = self.done or self.steps == self.rules.maximum_steps
        return rewards


class SlowBestFirst:
    """One image's best-first episode in plain Python. `promise(s, o, repeats)` is the Q of looking at a pair (o: None).

    Arguments as those of `SlowEpisode`; every instance has its most likely category.
    """

    def __init__(
        self,
        record: ImageRecord,
        instances: list[tuple[Box, dict[str, float]]],
        graph: SemanticActionGraph,
        rules: Rules,
        promise: Callable[[int, int | None, list[float]], float],
        neighbour_factor: float = 0.5,
    ) -> None:
        self.graph, self.rules, self.promise = graph, rules, promise
        self.objects = {o.object_id: o for o in record.labels.objects}
        self.relations = [(r.subject_id, r.predicate, r.object_id) for r in record.labels.relationships]
        self.marks = [(o.object_id, word) for o in record.labels.objects for word in o.attributes]
        self.boxes = [box for box, _ in instances]
        self.category = [max(likely, key=likely.get) for _, likely in instances]
        self.confidence = [max(likely.values()) for _, likely in instances]
        everyone = range(len(instances))
        self.frontier: list[tuple[int, int | None]] = [(s, None) for s in everyone if graph.attributes]
        self.frontier += [
            (s, o)
            for s in everyone
            for o in everyone
            if s != o and near(self.boxes[s], self.boxes[o], neighbour_factor)
        ]
        self.looked: list[tuple[int, int | None]] = []
        self.said: dict[tuple[int, int], list[float]] = {}  # in the order of the looks
        self.paid_relations: set[int] = set()
        self.paid_marks: set[int] = set()
        self.phrases: list[tuple[int, str, int]] = []

    def alike(self, a: int, b: int) -> bool:
        return self.category[a] == self.category[b] and (a == b or iou(self.boxes[a], self.boxes[b]) >= 0.5)

    def repeated_by(self, s: int, o: int) -> list[list[float]]:
        """What was said of the pairs that (s, o) repeats."""
        return [said for (a, b), said in self.said.items() if self.alike(a, s) and self.alike(b, o)]

    def repeats(self, s: int, o: int | None) -> list[float]:
        if o is None:
            return [0, 0, 0, 0]
        earlier, reverse = self.repeated_by(s, o), self.said.get((o, s))
        return [
            max(map(sum, earlier), default=0),
            float(bool(earlier)),
            0 if reverse is None else sum(reverse),
            float(reverse is not None),
        ]

    def memory(self) -> list[list[float]]:
        """Of the current pair, the rows of a state's memory; greatest chance of each predicate."""
        s, o = self.looked[-1]
        none = [0.0] * len(self.graph.predicates)
        if o is None:
            return [none] * 6
        rows = [self.repeated_by(s, o), [self.said.get((o, s), none)]]
        for end in (s, o):
            rows += [[said for pair, said in self.said.items() if pair[place] == end] for place in (0, 1)]
        return [[max(values) for values in zip(none, *row, strict=True)] for row in rows]

    def next_pair(self, may_stop: bool, least: int = 1) -> tuple[int, int | None] | None:
        """The pair to look at next, None for Terminal; and its Q."""
        if not self.frontier or len(self.looked) == self.rules.maximum_steps:
            return None
        best = max(self.q(pair) for pair in self.frontier)
        if may_stop and len(self.looked) >= least and best <= 0:
            return None
        # of equals the first, an object by itself before its pairs
        return min((s, -1 if o is None else o, o) for s, o in self.frontier if self.q((s, o)) == best)[::2]

    def best_left(self) -> float:
        return max([0.0, *map(self.q, self.frontier)])

    def q(self, pair: tuple[int, int | None]) -> float:
        return self.promise(*pair, self.repeats(*pair))

    def look(self, pair: tuple[int, int | None]) -> None:
        self.frontier.remove(pair)
        self.looked.append(pair)

    def matches(self, key: int, i: int) -> bool:
        o = self.objects[key]
        return o.name == self.category[i] and iou(self.boxes[i], (o.x, o.y, o.w, o.h)) >= 0.5

    def right_relations(self) -> dict[int, str]:
        """Annotations, by their number, that match the current pair and pay."""
        s, o = self.looked[-1]
        return {
            i: word
            for i, (a, word, b) in enumerate(self.relations)
            if o is not None and self.matches(a, s) and self.matches(b, o) and i not in self.paid_relations
        }

    def right_marks(self) -> dict[int, str]:
        s, o = self.looked[-1]
        return {
            i: word
            for i, (a, word) in enumerate(self.marks)
            if o is None and self.matches(a, s) and i not in self.paid_marks
        }

    def say(self, attribute: str | None, predicate: str | None, chances: list[float]) -> list[float]:
        """chances: of the predicates, in the graph's order. Returns the three rewards."""
        s, o = self.looked[-1]
        relations, marks = self.right_relations(), self.right_marks()
        low, high = -1.0, self.rules.positive_reward
        rewards = [
            0.0 if attribute is None else high if attribute in marks.values() else low,
            0.0 if predicate is None else high if predicate in relations.values() else low,
            float(bool(relations or marks)) - self.rules.step_cost,
        ]
        if self.rules.new_phrases_only:
            for paid, found in ((self.paid_relations, relations), (self.paid_marks, marks)):
                for word in set(found.values()):
                    paid.add(min(i for i, other in found.items() if other == word))
        if o is not None:
            self.said[s, o] = chances
            if predicate is not None:
                self.phrases.append((s, predicate, o))
        return rewards
