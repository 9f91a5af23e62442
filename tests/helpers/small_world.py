"""Tiny graphs, images and walks, written by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from action_sets import ActionSetMaker
from boxes import from_xywh
from environment import SceneGraphEnvironment
from files.options import Rules, SceneOptions
from files.splits import ImageRecord, Labels, ObjectRecord, RelationshipRecord
from scenes.records import unpacked
from scenes.scene import Instances, SceneSet
from semantic_graph import SemanticActionGraph
from vrl_model import Agent, ModelOptions, QNetwork, StateEncoder

ENTITIES = ["person", "bicycle", "hat", "dog", "tree", "car", "bag", "shoe"]
ATTRIBUTES = ["young", "red", "big", "wet"]
PREDICATES = ["riding", "next to", "wearing", "near"]


def street_graph() -> SemanticActionGraph:
    """person: young 3, wet 2, big 1; bicycle: red 5. person riding 4, next to 2, near 1 bicycle; wearing hat 3; ..."""
    return make_graph(
        ENTITIES,
        ATTRIBUTES,
        PREDICATES,
        [("person", "young", 3), ("person", "wet", 2), ("person", "big", 1), ("bicycle", "red", 5), ("hat", "red", 2)],
        [
            ("person", "riding", "bicycle", 4),
            ("person", "next to", "bicycle", 2),
            ("person", "near", "bicycle", 1),
            ("person", "wearing", "hat", 3),
            ("bicycle", "next to", "person", 6),
            ("hat", "near", "person", 1),
        ],
    )


def make_graph(
    entities: Sequence[str],
    attributes: Sequence[str],
    predicates: Sequence[str],
    attribute_edges: Sequence[tuple[str, str, int]],
    predicate_edges: Sequence[tuple[str, str, str, int]],
) -> SemanticActionGraph:
    """A graph whose edges are given by name: (category, attribute, count), (subject, predicate, object, count)."""
    e, a, p = ({name: i for i, name in enumerate(names)} for names in (entities, attributes, predicates))
    return SemanticActionGraph(
        entities,
        attributes,
        predicates,
        np.array([(e[c], a[w], n) for c, w, n in attribute_edges]).reshape(-1, 3),
        np.array([(e[s], p[w], e[o], n) for s, w, o, n in predicate_edges]).reshape(-1, 4),
    )


def image(
    objects: Sequence[tuple], relationships: Sequence[tuple[int, str, int]] = (), name: str = "1.jpg"
) -> ImageRecord:
    """objects: (name, (x, y, w, h), attribute, ...); relationships: (subject, predicate, object), places in objects."""
    return ImageRecord(
        name,
        Labels(
            1,
            [ObjectRecord(100 + i, *box, word, list(attributes)) for i, (word, box, *attributes) in enumerate(objects)],
            [RelationshipRecord(i, word, 100 + s, 100 + o) for i, (s, word, o) in enumerate(relationships)],
        ),
    )


def seen(graph: SemanticActionGraph, boxes: Sequence[tuple], candidates: Sequence[dict[str, float]]) -> Instances:
    """What a detector saw: boxes (x, y, w, h), and C(s) of each as {name: confidence}, best first."""
    width = max(map(len, candidates), default=1)
    numbers = np.full((len(boxes), width), -1, dtype=np.int32)
    scores = np.zeros((len(boxes), width), dtype=np.float32)
    for row, likely in enumerate(candidates):
        numbers[row, : len(likely)] = [graph.entities.index(name) for name in likely]
        scores[row, : len(likely)] = list(likely.values())
    return Instances(from_xywh(np.array(boxes).reshape(-1, 4)).astype(np.float32), numbers, scores)


def scene_set(
    graph: SemanticActionGraph,
    records: Sequence[ImageRecord],
    detected: Sequence[Instances] | None = None,
    keep: int = 100,
    **options,
) -> SceneSet:
    """The scenes of `records`; detected: the instances of each, instead of the annotated objects."""
    names = [record.image_name for record in records]
    by_name = None if detected is None else dict(zip(names, detected, strict=True)).__getitem__
    return SceneSet(list(records), graph, by_name, SceneOptions(**options), keep)


class Walker:
    """One image at a time, one step at a time, in words: what hand-worked examples are written with."""

    def __init__(self, graph: SemanticActionGraph, scenes: SceneSet, rules: Rules | None = None) -> None:
        self.graph = graph
        self.env = SceneGraphEnvironment(scenes, 1, rules or Rules())
        self.env.assign([np.arange(len(scenes))])

    @property
    def state(self) -> np.void:
        """The state record the walk stands in."""
        return self.env.states()[0]

    @property
    def pair(self) -> tuple[int, int]:
        """Subject and object instance; -1 where there is no object."""
        return int(self.state["subject"]), int(self.state["object"])

    @property
    def next_objects(self) -> list[tuple[str, int]]:
        """The next-object action set in its order: (category, instance it means), then ("Terminal", -1)."""
        names = [*self.graph.entities, "Terminal"]
        state = self.state
        return [(names[e], int(i)) for e, i in zip(state["entities"], state["instances"], strict=True) if e >= 0]

    def words(self, field: str) -> set[str]:
        """The words in a bit mask of the state: attributes_given, attributes_right, predicates_right."""
        vocabulary = self.graph.predicates if field.startswith("predicates") else self.graph.attributes
        return {vocabulary[i] for i in np.flatnonzero(unpacked(self.state[field][None], len(vocabulary))[0])}

    def step(self, entity: str = "Terminal", attribute: str | None = None, predicate: str | None = None) -> tuple:
        """Take the triple; ((reward of attribute, predicate, next object), whether the image ended)."""
        number = [
            -1 if attribute is None else self.graph.attributes.index(attribute),
            -1 if predicate is None else self.graph.predicates.index(predicate),
            [*self.graph.entities, "Terminal"].index(entity),
        ]
        rewards, done = self.env.step(self.env.states(), *(np.array([value]) for value in number))
        return tuple(rewards[0].tolist()), bool(done[0])


def make_agent(
    graph: SemanticActionGraph, scenes: SceneSet, features=None, phrases=None, device="cpu", **options
) -> Agent:
    """An agent with a small network; options: of the model, box geometry unless said otherwise."""
    options = {"use_box_geometry": True, "fusion_sizes": (16, 8)} | options
    model = ModelOptions(**options)
    scenes.features = features
    encoder = StateEncoder(scenes, model, phrases)
    network = QNetwork(model, graph).to(device).eval()
    return Agent(network, encoder, ActionSetMaker(graph, Rules()), torch.device(device))


@torch.no_grad()
def say_always(network: QNetwork, attribute: dict, predicate: dict, entity: dict, default=0.0) -> None:
    """Make a network give the same numbers for every state: {word: number}, `default` for the others."""
    graph = street_graph()
    vocabularies = (graph.attributes, graph.predicates, [*graph.entities, "Terminal"])
    numbers = [
        float(said.get(word, default))
        for words, said in zip(vocabularies, (attribute, predicate, entity), strict=True)
        for word in words
    ]
    network.members[0].heads.weight.zero_()
    network.members[0].heads.bias.copy_(torch.tensor(numbers))
