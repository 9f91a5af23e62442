"""Annotations, features and phrases drawn at random, in the paper's sizes, for benchmarks that need no data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from action_sets import ActionSetMaker
from engine.loop import TrainingLoop, slots_per_transition
from environment import SceneGraphEnvironment
from files.options import Rules
from files.splits import ImageRecord, Labels, ObjectRecord, RelationshipRecord
from q_learning import Learner, LearningOptions, make_optimizer
from replay_memory import ReplayMemory
from scenes.scene import SceneSet
from semantic_graph import SemanticActionGraph
from skipthoughts import PhraseStore
from vrl_model import Agent, ModelOptions, QNetwork, StateEncoder

ENTITIES, PREDICATES, ATTRIBUTES = 1750, 347, 1049  # Liang et al. 2017, section 4; with Terminal 1 751 next objects
FEATURES, PHRASE = 4096, 2400  # VGG-16 fc features; a skip-thought vector
OBJECTS, RELATIONSHIPS, ATTRIBUTED = 35, 22, 26  # of an image of Visual Genome, on average


def make_images(count: int, seed: int = 0) -> list[ImageRecord]:
    """Images of 800 x 600 pixels with Visual Genome's numbers of objects; words as frequent as in a text (Zipf)."""
    rng = np.random.default_rng(seed)
    frequency = {n: (1 / np.arange(1, n + 1)) / (1 / np.arange(1, n + 1)).sum() for n in (ENTITIES, PREDICATES)}
    records = []
    for image in range(count):
        number = max(2, rng.poisson(OBJECTS))
        sides = np.exp(rng.normal(4.3, 0.8, (number, 2))).clip(8, 590).astype(int)
        corners = (rng.random((number, 2)) * ([800, 600] - sides)).astype(int)
        names = rng.choice(ENTITIES, number, p=frequency[ENTITIES])
        objects = [
            ObjectRecord(i, int(x), int(y), int(w), int(h), f"entity {name}")
            for i, ((x, y), (w, h), name) in enumerate(zip(corners, sides, names, strict=True))
        ]
        for i in rng.integers(number, size=ATTRIBUTED):
            objects[i].attributes.append(f"attribute {rng.integers(20) * 50 + names[i] % 50}")
        ends = rng.integers(number, size=(RELATIONSHIPS, 2))
        words = rng.choice(PREDICATES, RELATIONSHIPS, p=frequency[PREDICATES])
        edges = [
            RelationshipRecord(i, f"predicate {word}", int(s), int(o))
            for i, ((s, o), word) in enumerate(zip(ends, words, strict=True))
        ]
        records.append(ImageRecord(f"{image}.jpg", Labels(image, objects, edges)))
    return records


def make_graph(records: list[ImageRecord]) -> SemanticActionGraph:
    """The semantic action graph of what is annotated, with the paper's vocabulary, seen or not."""
    attributes, predicates = [], []
    for record in records:
        names = [int(thing.name.split()[1]) for thing in record.labels.objects]
        for name, thing in zip(names, record.labels.objects, strict=True):
            attributes += [(name, int(word.split()[1])) for word in thing.attributes]
        for edge in record.labels.relationships:
            predicates.append((names[edge.subject_id], int(edge.predicate.split()[1]), names[edge.object_id]))
    counted = (np.unique(np.array(edges), axis=0, return_counts=True) for edges in (attributes, predicates))
    return SemanticActionGraph(
        [f"entity {i}" for i in range(ENTITIES)],
        [f"attribute {i}" for i in range(ATTRIBUTES)],
        [f"predicate {i}" for i in range(PREDICATES)],
        *(np.column_stack([edges, count]) for edges, count in counted),
    )


def make_features(records: list[ImageRecord], dimension: int = FEATURES) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What `FeatureCache` gives for an image name once it has read it: (D,) of the image, (n, D) of its boxes."""
    rng = np.random.default_rng(1)
    return {
        record.image_name: (
            rng.random(dimension, dtype=np.float32),
            rng.random((len(record.labels.objects), dimension), dtype=np.float32),
        )
        for record in records
    }


@dataclasses.dataclass
class RandomEncoder:
    """Instead of a skip-thought encoder: a random vector for each phrase."""

    dimension: int = PHRASE

    def encode(self, phrases: list[str]) -> np.ndarray:
        """(n, dimension) float32."""
        rng = np.random.default_rng(len(phrases))
        return rng.standard_normal((len(phrases), self.dimension), dtype=np.float32)


def make_trainer(
    records: Sequence[ImageRecord],
    graph: SemanticActionGraph,
    model: ModelOptions,
    learning: LearningOptions,
    device: torch.device,
    capacity: int = 20_000,
) -> TrainingLoop:
    """What main.py makes of the paper's setting: environment, network, RMSProp, replay."""
    torch.manual_seed(0)
    phrases = PhraseStore(RandomEncoder(model.phrase_dimension)) if model.phrase_dimension else None
    scenes = SceneSet(records, graph)
    scenes.features = make_features(records, model.feature_dimension) if model.feature_dimension else None
    network, target = (QNetwork(model, graph).to(device) for _ in range(2))
    encoder = StateEncoder(scenes, model, phrases)
    agent = Agent(network, encoder, ActionSetMaker(graph, Rules()), device)
    slots = learning.batch_size * slots_per_transition(len(records), learning.batch_size)
    env = SceneGraphEnvironment(scenes, slots, Rules(), model.use_pair_context)
    learner = Learner(agent, target, make_optimizer(network.parameters(), learning), learning)
    return TrainingLoop(env, learner, ReplayMemory(capacity, slots, env.dtype))
