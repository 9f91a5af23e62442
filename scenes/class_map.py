"""From a detector's words to an agent's: synonyms, and stand-ins for what the agent has no word for.

A *synonym* is a right name of the thing: a tv is a monitor to an agent that says "monitor", a backpack is a bag.
A *stand-in* is not: a zebra is related to other things as a horse is, so an agent without the word treats it as one.
What is written keeps the detector's own word in both cases. Recall counts synonyms, never stand-ins.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from files.io import InputError, decode_json, read_bytes
from semantic_graph import SemanticActionGraph, fold_name

CURE = "give a JSON file {detector's class: agent's word}"
Words = dict[str, str | list[str]]


class _TwoKinds(msgspec.Struct, forbid_unknown_fields=True):
    about: str = ""
    synonyms: Words = msgspec.field(default_factory=dict)
    stand_ins: Words = msgspec.field(default_factory=dict)


@dataclass
class ClassMap:
    """Detector's class -> words for it; of several the first that the agent knows is taken.

    strict: whether a class without any known word is an error (a map that the user wrote), or is passed over.
    """

    synonyms: dict[str, list[str]] = field(default_factory=dict)
    stand_ins: dict[str, list[str]] = field(default_factory=dict)
    strict: bool = False


class MappedClasses(NamedTuple):
    """What each of C classes is to the agent.

    entities: (C,) int64 categories of the graph, -1 where there is none. stand_in: (C,) bool. unknown: names of the -1.
    """

    entities: np.ndarray
    stand_in: np.ndarray
    unknown: list[str]


def read_class_map(path: str | Path, strict: bool = True) -> ClassMap:
    """Read a map: JSON `{class: word}`, or `{"synonyms": {class: word}, "stand_ins": {class: word}}`.

    A word may be a list, the best first. Raises InputError naming the file and the class.
    """
    data = read_bytes(path, CURE)
    keys = decode_json(data, path, dict[str, msgspec.Raw])
    if keys and keys.keys() <= {"about", "synonyms", "stand_ins"}:
        kinds = decode_json(data, path, _TwoKinds)
    else:
        kinds = _TwoKinds(synonyms=decode_json(data, path, Words))
    synonyms, stand_ins = (
        {name: [words] if isinstance(words, str) else words for name, words in kind.items()}
        for kind in (kinds.synonyms, kinds.stand_ins)
    )
    return ClassMap(synonyms, stand_ins, strict)


def map_classes(
    classes: Sequence[str], graph: SemanticActionGraph, maps: Sequence[ClassMap] = (), stand_ins: bool = True
) -> MappedClasses:
    """What each detector class is to the agent.

    By the strict maps (the user's), else by name and alias groups, else by the other maps: their synonyms first. A
    synonym even comes before the agent's own word where the detector has only one of the two: COCO has airplanes alone,
    VRD's annotators said plane or airplane, and more often plane.
    stand_ins: False leaves them out of the other maps, for scoring.
    Raises InputError when a strict map names no word of the graph for a class.
    """
    user = [class_map for class_map in maps if class_map.strict]
    for class_map in user:
        for name, words in (class_map.synonyms | class_map.stand_ins).items():
            if _first_known(words, graph) < 0:
                word = " or ".join(map(repr, words)) or "nothing"
                near = difflib.get_close_matches(" ".join(words[:1]), graph.entities, n=3)
                hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "name one of its categories"
                raise InputError(f"class map: {name!r} is mapped to {word}, which the agent does not know; {hint}")
    given = [(_folded(class_map.synonyms), False) for class_map in user]
    given += [(_folded(class_map.stand_ins), True) for class_map in user]
    others = [class_map for class_map in maps if not class_map.strict]
    coming_along = [(_folded(class_map.synonyms), False) for class_map in others]
    theirs = {fold_name(name) for name in classes}
    alone = [
        ({name: words for name, words in synonyms.items() if not theirs & set(map(fold_name, words))}, False)
        for synonyms, _ in coming_along
    ]
    if stand_ins:
        coming_along += [(_folded(class_map.stand_ins), True) for class_map in others]

    entities = np.full(len(classes), -1, dtype=np.int64)
    is_stand_in = np.zeros(len(classes), dtype=bool)
    for i, name in enumerate(classes):
        steps = [*given, *alone, ({name: [name]}, False), *coming_along]
        for words, stands_in in steps:
            entity = _first_known(_looked_up(words, name), graph)
            if entity >= 0:
                entities[i], is_stand_in[i] = entity, stands_in
                break
    unknown = [name for name, entity in zip(classes, entities, strict=True) if entity < 0]
    return MappedClasses(entities, is_stand_in, unknown)


def _folded(words: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The words by class as it is written, and by its folded name."""
    return {_fold_class(name): found for name, found in words.items()} | dict(words)


def _fold_class(name: str) -> str:
    return fold_name(name.replace("_", " "))


def _looked_up(words: Mapping[str, list[str]], name: str) -> list[str]:
    return words.get(name) or words.get(_fold_class(name)) or []


def _first_known(words: Sequence[str], graph: SemanticActionGraph) -> int:
    return next((index for word in words if (index := graph.entity_index(word)) >= 0), -1)
