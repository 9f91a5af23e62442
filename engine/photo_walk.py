"""The agent walks over a few photos at a time: boxes -> scene graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from boxes import scaled_boxes
from engine.parts import Parts, detected_instances, make_agent
from engine.photos import Photo
from engine.proposals import PhotoBoxes
from engine.results import graphs
from engine.walk import Policy, walk
from files.scene_graphs import Graph
from files.splits import ImageRecord, Labels
from scenes.scene import SceneSet
from vrl_model import Judgement, QValues

CANDIDATES = 128  # pairs judged at once, best first
SLOTS = 64  # photos that are walked over side by side


class _InFullBatches:
    """The agent judging SLOTS states at a time, however few there are: products of one size add up in one order.

    So the graph of a photo does not depend on what other photos there are, nor on the number of processes.
    """

    def __init__(self, agent: Policy) -> None:
        self.agent = agent

    def __call__(self, states: np.ndarray) -> Judgement:
        q, *confidences = self.agent(np.resize(states, SLOTS))
        n = len(states)
        return Judgement(QValues(*(values[:n] for values in q)), *(values[:n] for values in confidences))

    def promise(self, candidates: np.ndarray) -> np.ndarray:
        starts = range(0, len(candidates), CANDIDATES)
        parts = [self.agent.promise(np.resize(candidates[i : i + CANDIDATES], CANDIDATES)) for i in starts]
        return np.concatenate(parts)[: len(candidates)]


class PhotoWalker:
    """Photos with boxes -> scene graphs, by the agent."""

    def __init__(self, parts: Parts, network: Any, boxes: PhotoBoxes) -> None:
        self.parts, self.network = parts, network
        self.detected = detected_instances(parts, boxes, stand_ins=True)
        if parts.embedding is not None:
            parts.embedding.to(parts.device)

    def __call__(self, photos: Sequence[Photo]) -> list[Graph]:
        """Photos whose boxes are at hand -> their graphs."""
        parts, arguments = self.parts, self.parts.arguments
        records = [ImageRecord(photo.key, Labels(0, [], [])) for photo in photos]
        scenes = SceneSet(records, parts.graph, self.detected, arguments)
        if parts.embedding is not None:
            scenes.features = {
                photo.key: self._embed(photo, scenes.instances(i).boxes) for i, photo in enumerate(photos)
            }
        found = walk(
            _InFullBatches(make_agent(parts, self.network, scenes)),
            scenes,
            parts.arguments,
            np.arange(len(records)),
            num_slots=SLOTS,
            maximum_choices=0,
            most=arguments.maximum_phrases,
            # Terminal is worth the time on crowded photos. Where there are fewer pairs than phrases are wanted, one
            # that promises little still says more than the fiftieth predicate of another.
            least=arguments.maximum_phrases,
        )
        predicted = graphs(found, scenes, range(len(records)), own_words=True)[1]
        return [_with_photo(graph, photo) for graph, photo in zip(predicted, photos, strict=True)]

    def _embed(self, photo: Photo, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The image's and the boxes' features, to the precision that the feature cache keeps for training and test."""
        image, objects = self.parts.embedding.embed(photo.image, scaled_boxes(boxes, photo.scale))
        return image.astype(np.float16).astype(np.float32), objects.astype(np.float16).astype(np.float32)


def _with_photo(graph: Graph, photo: Photo) -> Graph:
    return {
        "image_name": _printable(photo.path.name),
        "width": photo.header.width,
        "height": photo.header.height,
        "orientation_applied": photo.header.orientation != 1,
        "photo": _printable(str(photo.path)),
        "made_from": photo.made_from,
        **{key: value for key, value in graph.items() if key != "image_name"},
    }


def _printable(name: str) -> str:
    """A file name that is not UTF-8 (the system gives it with lone surrogates), as text that can be written."""
    return name.encode("utf-8", "replace").decode()
