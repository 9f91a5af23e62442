"""Phrases as numbers: one integer for each relationship phrase and each attribute phrase."""

from __future__ import annotations

import numpy as np

from semantic_graph import SemanticActionGraph


class PhraseKeys:
    """Keys of "subject predicate object" and "attribute subject"; -1 is no phrase."""

    def __init__(self, graph: SemanticActionGraph) -> None:
        self.graph = graph
        self.num_entities = len(graph.entities)
        self.num_predicates = len(graph.predicates)
        self.num_relationships = self.num_entities**2 * self.num_predicates

    def relationship(self, subject: np.ndarray, predicate: np.ndarray, object_: np.ndarray) -> np.ndarray:
        """Category, predicate, category indices (n,) -> int64 keys (n,)."""
        return (subject.astype(np.int64) * self.num_predicates + predicate) * self.num_entities + object_

    def attribute(self, attribute: np.ndarray, subject: np.ndarray) -> np.ndarray:
        """Attribute and category indices (n,) -> int64 keys (n,); -1 where attribute is -1."""
        key = self.num_relationships + attribute.astype(np.int64) * self.num_entities + subject
        return np.where(attribute >= 0, key, -1)

    def text(self, key: int) -> str:
        """The phrase of a key, as a person would say it: "person riding bicycle", "young person"."""
        graph = self.graph
        if key >= self.num_relationships:
            attribute, subject = divmod(key - self.num_relationships, self.num_entities)
            return f"{graph.attributes[attribute]} {graph.entities[subject]}"
        rest, object_ = divmod(key, self.num_entities)
        subject, predicate = divmod(rest, self.num_predicates)
        return f"{graph.entities[subject]} {graph.predicates[predicate]} {graph.entities[object_]}"
