"""The boxes of the field's three tasks (Xu et al. 2017): PredCls, SGCls, SGDet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from boxes import from_xywh
from engine import distributed as ranks
from engine.options import Options
from engine.parts import Parts, open_detections
from engine.proposals import detections_of_split, make_detector
from files.detections import Detections, DetectionsFile, write_detections
from files.images import find_image, load_image
from files.io import InputError
from files.splits import ImageRecord, Split

ALL_CLASSES = 1.0  # margin below the best class: every class stays a candidate


def options_of_task(options: Options, num_predicates: int) -> Options:
    """What a task asks for, whatever the flags say: every predicate of a pair competes; given boxes all stay."""
    threshold = 0.0 if options.task == "sgcls" else options.object_detection_threshold
    return dataclasses.replace(options, predicates_per_pair=num_predicates, object_detection_threshold=threshold)


def boxes_of_task(parts: Parts, task: str) -> DetectionsFile | None:
    """The boxes to walk over in --test_data, None for the annotated objects.

    predcls: boxes and categories are annotated. sgcls: annotated boxes, whose categories are those of --detections or
    what the detector (--detector, --detector_weights) sees in them. sgdet: detected boxes. Raises InputError where the
    flags do not give them.
    """
    arguments = parts.arguments
    if task == "predcls":
        if arguments.detections or arguments.use_fastrcnn_proposals:
            raise InputError("--task predcls: boxes and categories are the annotated ones; leave the detections out")
        return None
    if task == "sgcls" and not arguments.detections:
        return _classified(parts)
    detections = detections_of_split(parts, arguments.test_data, arguments.detections, "test")
    if detections is None:
        raise InputError(f"--task {task}: no boxes; pass --detections FILE, or --use_fastrcnn_proposals and a detector")
    return detections


def _classified(parts: Parts) -> DetectionsFile:
    """The annotated boxes with the detector's scores of all classes, written to OUTPUT_DIR/classified_test.h5."""
    if ranks.world_size() > 1:  # the others would wait for hours
        raise InputError(
            "--task sgcls: classify the boxes in one process first, then pass --detections classified_test.h5"
        )
    arguments = parts.arguments
    detector = make_detector(arguments, parts.device)
    records = Split(arguments.test_data)
    path = Path(arguments.output_dir) / "classified_test.h5"

    def images() -> Iterator[tuple[str, Detections]]:
        for record in tqdm(records, "classifying boxes", unit="image", disable=None):
            boxes = annotated_boxes(record)
            if not len(boxes):
                yield record.image_name, Detections.empty()
                continue
            photo = load_image(find_image(arguments.images_dir, record.image_name))
            yield record.image_name, classify(detector, photo, boxes)

    write_detections(path, detector.classes, images())
    print(f"What the detector sees in the annotated boxes: {path}.")
    return open_detections(path, parts.graph)


def annotated_boxes(record: ImageRecord) -> np.ndarray:
    """(n, 4) float32 inclusive corners of an image's annotated objects, each place once."""
    xywh = [(thing.x, thing.y, thing.w, thing.h) for thing in record.labels.objects]
    places = list(dict.fromkeys(xywh))
    return from_xywh(np.array(places, dtype=np.float64).reshape(-1, 4)).astype(np.float32)


def classify(detector: torch.nn.Module, photo: Image.Image, boxes: np.ndarray) -> Detections:
    """The boxes (n, 4), each with the detector's score of every class, best first."""
    from faster_rcnn.candidates import detections_from_scores

    scores = detector.class_scores([photo], [boxes])[0]
    return detections_from_scores(torch.from_numpy(boxes), torch.from_numpy(scores), 0.0, ALL_CLASSES)
