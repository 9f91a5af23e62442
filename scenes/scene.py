"""One image as the agent's environment sees it: the instances it walks over, and what is annotated.

The instances come from the annotations (training, and tests on ground-truth boxes) or from a
detections file. Everything is in vocabulary indices and arrays; names stay in the split files.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from boxes import from_xywh, iou
from boxes import neighbours as neighbour_matrix
from files.detections import AMBIGUITY_MARGIN, Detections, DetectionsFile, Selected, select
from files.options import MOST_BOXES, SceneOptions
from files.splits import ImageRecord
from scenes.class_map import ClassMap, map_classes
from semantic_graph import SemanticActionGraph, fold_name

OVERLAP_THRESHOLD = 0.5  # IoU from which an instance counts as a ground-truth object


@dataclass
class Scene:
    """An image's n instances and its m annotated objects. Boxes: inclusive corners, pixels."""

    image_name: str
    boxes: np.ndarray  # (n, 4) float32
    candidates: np.ndarray  # (n, k) int32: C(s), categories an instance may have, best first, padded -1
    candidate_scores: np.ndarray  # (n, k) float32: the detector's confidence in each, padded 0
    neighbours: np.ndarray  # (n, n) bool: N(s)
    gt_categories: np.ndarray  # (m,) int32
    gt_overlaps: np.ndarray  # (m, n) bool: IoU >= 0.5, whatever the category
    gt_attributes: np.ndarray  # (t, 2) int32: object, attribute
    gt_relationships: np.ndarray  # (r, 3) int32: subject, predicate, object


@dataclass
class Instances:
    """The boxes to walk over in one image: fields as in `Scene`."""

    boxes: np.ndarray
    candidates: np.ndarray
    candidate_scores: np.ndarray


def annotated_instances(
    record: ImageRecord, graph: SemanticActionGraph, exact: bool = False, most: int = MOST_BOXES
) -> Instances:
    """The annotated objects of known categories, the first `most` of them, with confidence 1."""
    objects = record.labels.objects
    categories = np.array([graph.entity_index(o.name, exact) for o in objects], dtype=np.int32).reshape(-1)
    xywh = np.array([(o.x, o.y, o.w, o.h) for o in objects], dtype=np.float64).reshape(-1, 4)
    known = np.flatnonzero(categories >= 0)[:most]
    return Instances(
        boxes=from_xywh(xywh[known]).astype(np.float32),
        candidates=categories[known, None],
        candidate_scores=np.ones((len(known), 1), dtype=np.float32),
    )


class DetectedInstances:
    """The instances of a detections file, in the graph's categories.

    Of the options: boxes whose best known category scores less than the threshold are left out; at most a maximum of
    boxes an image, best first; with ambiguity-aware mining every category within 0.1 of the best is kept.
    maps, stand_ins: what the detector's classes are to the agent, see `scenes.class_map.map_classes`.
    """

    def __init__(
        self,
        detections: DetectionsFile,
        graph: SemanticActionGraph,
        options: SceneOptions | None = None,
        maps: Sequence[ClassMap] = (),
        stand_ins: bool = False,
    ) -> None:
        self.detections, self.graph = detections, graph
        self.mapped = map_classes(detections.classes, graph, maps, stand_ins)
        self.options = options or SceneOptions()

    def __call__(self, image_name: str) -> Instances:
        found = self._selected(image_name)
        return Instances(found.boxes, found.entities.astype(np.int32), found.scores)

    def labels(self, image_name: str) -> list[list[dict[str, str | bool]]]:
        """What the detector calls each candidate of each instance: {"name"}, and what it is to the agent, if another.

        "related_as": the agent's word for it; "stand_in": true where that is not a right name of the thing.
        """
        found = self._selected(image_name)
        return [
            [self._label(c, e) for c, e in zip(classes, entities, strict=True) if c >= 0]
            for classes, entities in zip(found.classes.tolist(), found.entities.tolist(), strict=True)
        ]

    def _label(self, class_: int, entity: int) -> dict[str, str | bool]:
        name, word = self.detections.classes[class_], self.graph.entities[entity]
        if fold_name(name) == fold_name(word):
            return {"name": word}
        label: dict[str, str | bool] = {"name": name, "related_as": word}
        return label | {"stand_in": True} if self.mapped.stand_in[class_] else label

    def _selected(self, image_name: str) -> Selected:
        """The image's boxes with C(s): the categories at most AMBIGUITY_MARGIN below the best."""
        detections = self.detections[image_name] if image_name in self.detections else Detections.empty()
        options, most = self.options, self.options.maximum_num_entities_per_image
        found = select(detections, self.mapped.entities, options.object_detection_threshold, most)
        kept = (found.entities >= 0) & (found.scores >= found.scores[:, :1] - AMBIGUITY_MARGIN - 1e-6)
        width = max(1, int(kept.sum(axis=1).max(initial=1))) if options.use_ambiguity_aware_mining else 1
        parts = ((found.entities, -1), (found.scores, 0), (found.classes, -1))
        entities, scores, classes = (np.where(kept, values, padding)[:, :width] for values, padding in parts)
        return Selected(found.boxes, entities, scores, classes)


def make_scene(
    record: ImageRecord,
    instances: Instances,
    graph: SemanticActionGraph,
    options: SceneOptions | None = None,
) -> Scene:
    """The scene of one image. Annotations of words that the graph does not know are left out."""
    options = options or SceneOptions()
    objects, exact = record.labels.objects, options.use_exact_match
    categories = np.array([graph.entity_index(o.name, exact) for o in objects], dtype=np.int32).reshape(-1)
    known = categories >= 0
    number = np.where(known, np.cumsum(known) - 1, -1)  # of each object among those that stay
    gt_boxes = from_xywh(np.array([(o.x, o.y, o.w, o.h) for o in objects], dtype=np.float64).reshape(-1, 4)[known])
    attributes = [(number[i], graph.attribute_index(a, exact)) for i, o in enumerate(objects) for a in o.attributes]
    index = {o.object_id: number[i] for i, o in enumerate(objects)}
    relationships = [
        (index[r.subject_id], graph.predicate_index(r.predicate, exact), index[r.object_id])
        for r in record.labels.relationships
    ]
    gt_attributes = np.array(attributes, dtype=np.int32).reshape(-1, 2)
    gt_relationships = np.array(relationships, dtype=np.int32).reshape(-1, 3)
    return Scene(
        image_name=record.image_name,
        boxes=instances.boxes,
        candidates=instances.candidates,
        candidate_scores=instances.candidate_scores,
        neighbours=neighbour_matrix(instances.boxes, options.neighbour_factor),
        gt_categories=categories[known],
        gt_overlaps=iou(gt_boxes[:, None], instances.boxes[None]) >= OVERLAP_THRESHOLD,
        gt_attributes=gt_attributes[(gt_attributes >= 0).all(axis=1)],
        gt_relationships=gt_relationships[(gt_relationships >= 0).all(axis=1)],
    )


class SceneSet(Sequence):
    """The scenes of a split, built when first asked for; the most recent `keep` stay in memory.

    detected: where the instances come from; None walks over the annotated objects.
    features: of every image name, the image's vector (D,) and those of its boxes (n, D); None: no pixels.
    images: int64 (k,) the indices of the images that can be used, which is all unless some cannot be read.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        graph: SemanticActionGraph,
        detected: DetectedInstances | None = None,
        options: SceneOptions | None = None,
        keep: int = 20_000,
    ) -> None:
        self.records = records
        self.graph = graph
        self.detected = detected
        self.options = options or SceneOptions()
        self.keep = keep
        self.features: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None
        self.images = np.arange(len(records))
        self.epoch = 0  # which walk over the images this is: see scenes/simulated.py
        self._scenes: OrderedDict[int, Scene] = OrderedDict()

    def __len__(self) -> int:
        return len(self.records)

    def instances(self, index: int) -> Instances:
        """The boxes of image `index`: what features are computed for."""
        record = self.records[index]
        if self.detected is not None:
            return self.detected(record.image_name)
        most = self.options.maximum_num_entities_per_image
        return annotated_instances(record, self.graph, self.options.use_exact_match, most)

    def most_boxes(self, index: int) -> int:
        """How many boxes the scene of image `index` has at most, whatever the epoch."""
        return len(self.instances(index).boxes)

    def labels(self, index: int) -> list[list[dict[str, str | bool]]] | None:
        """The detector's own words for the boxes of image `index`, see `DetectedInstances.labels`; None: none."""
        return self.detected.labels(self.records[index].image_name) if self.detected is not None else None

    def __getitem__(self, index: int) -> Scene:
        scene = self._scenes.pop(index, None)
        if scene is None:
            record = self.records[index]
            scene = make_scene(record, self.instances(index), self.graph, self.options)
        self._scenes[index] = scene
        if len(self._scenes) > self.keep:
            self._scenes.popitem(last=False)
        return scene
