"""What is said of the annotations that were read, and of a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from data.annotations import SPLITS, Annotations
from semantic_graph import SemanticActionGraph


def report(annotations: Annotations, graph: SemanticActionGraph, rows: list[np.ndarray]) -> str:
    """What is kept, and why the rest was dropped."""
    sizes = ", ".join(f"{len(part)} {name}" for name, part in zip(SPLITS, rows, strict=True))
    lines = [f"Images: {sizes}.", graph_size(graph)]
    kept = {
        "object": len(annotations.object_id),
        "attribute": len(annotations.attribute_name),
        "relationship": len(annotations.relationship_id),
        "item": 0,
    }
    reasons: dict[str, Counter] = {kind: Counter() for kind in kept}
    for (kind, reason), count in annotations.dropped.items():
        reasons[kind][reason] += count
    for kind, count in kept.items():
        if kind != "item":
            lines.append(f"{kind.capitalize()}s: {count} kept, {reasons[kind].total()} dropped.")
        elif reasons[kind]:
            lines.append(f"Items: {reasons[kind].total()} dropped.")
        lines += [f"  {number:>9}  {reason}" for reason, number in reasons[kind].most_common()]
    if annotations.cut:
        lines.append(f"Boxes clipped to their photo: {annotations.cut}.")
    return "\n".join(lines)


def graph_size(graph: SemanticActionGraph) -> str:
    """One line: the numbers of words and phrases."""
    return (
        f"Graph: {len(graph.entities)} entities, {len(graph.attributes)} attributes, "
        f"{len(graph.predicates)} predicates; "
        f"{len(graph.attribute_edges)} attribute phrases ({graph.attribute_edges[:, -1].sum()} occurrences), "
        f"{len(graph.predicate_edges)} predicate phrases ({graph.predicate_edges[:, -1].sum()} occurrences)."
    )


def describe(graph: SemanticActionGraph, word: str | None = None, most: int = 15) -> str:
    """A graph in words: its size and most frequent phrases, or those around `word`."""
    attributes, predicates = graph.attribute_edges, graph.predicate_edges
    lines = [graph_size(graph)]
    if word is not None:
        entity, attribute = graph.entity_index(word), graph.attribute_index(word)
        predicate = graph.predicate_index(word)
        if max(entity, attribute, predicate) < 0:
            raise graph.no_such_word(word)
        if entity >= 0:
            lines.append(f"Entity {graph.entities[entity]!r}:")
            lines += _phrases("attributes", attributes[attributes[:, 0] == entity], _attribute_phrase(graph), most)
            lines += _phrases("as subject", predicates[predicates[:, 0] == entity], _predicate_phrase(graph), most)
            lines += _phrases("as object", predicates[predicates[:, 2] == entity], _predicate_phrase(graph), most)
        if attribute >= 0:
            lines.append(f"Attribute {graph.attributes[attribute]!r}:")
            lines += _phrases("of", attributes[attributes[:, 1] == attribute], _attribute_phrase(graph), most)
        if predicate >= 0:
            lines.append(f"Predicate {graph.predicates[predicate]!r}:")
            lines += _phrases("between", predicates[predicates[:, 1] == predicate], _predicate_phrase(graph), most)
    else:
        lines += _phrases("Most frequent attribute phrases", attributes, _attribute_phrase(graph), most)
        lines += _phrases("Most frequent predicate phrases", predicates, _predicate_phrase(graph), most)
    return "\n".join(lines)


def _attribute_phrase(graph: SemanticActionGraph) -> Callable[[np.ndarray], str]:
    return lambda edge: f"{graph.attributes[edge[1]]} {graph.entities[edge[0]]}"


def _predicate_phrase(graph: SemanticActionGraph) -> Callable[[np.ndarray], str]:
    return lambda edge: f"{graph.entities[edge[0]]} - {graph.predicates[edge[1]]} - {graph.entities[edge[2]]}"


def _phrases(title: str, edges: np.ndarray, phrase: Callable[[np.ndarray], str], most: int) -> list[str]:
    """The `most` most frequent edges as lines under a title; nothing when there are none."""
    if len(edges) == 0:
        return []
    order = np.argsort(-edges[:, -1], kind="stable")
    lines = [f"  {title} ({len(edges)} phrases, {edges[:, -1].sum()} occurrences):"]
    lines += [f"    {edges[i, -1]:>8}  {phrase(edges[i])}" for i in order[:most]]
    return lines + ([f"              and {len(edges) - most} more"] if len(edges) > most else [])
