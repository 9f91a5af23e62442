"""Where the boxes to walk over come from: a detections file, a detector, or neither (the annotated objects)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from engine import distributed as ranks
from engine.parts import Parts, open_detections
from faster_rcnn import Detector, load_detector
from faster_rcnn.detect import AMBIGUITY_MARGIN, detect_to_file, image_items, to_device
from files.detections import Detections, DetectionsFile
from files.io import InputError
from files.splits import Split
from semantic_graph import SemanticActionGraph

KEPT_THRESHOLD = 0.005  # a file made here has every box that a later --object_detection_threshold may ask for
IMAGES_AT_ONCE = 4  # through the detector


def make_detector(arguments: argparse.Namespace, device: torch.device) -> Detector:
    """The detector of --detector and --detector_weights. Raises InputError when neither is given, or it cannot load."""
    if arguments.detector is None and arguments.detector_weights is None:
        raise InputError(
            "say which detector finds the boxes: --detector_weights FILE (python -m faster_rcnn.train writes one), "
            "or --detector fasterrcnn_resnet50_fpn_v2 (COCO's classes); or give the boxes with --detections FILE"
        )
    try:
        return to_device(load_detector(arguments.detector, arguments.detector_weights), str(device)).eval()
    except InputError as error:
        raise InputError(str(error).replace("--weights", "--detector_weights")) from None


def detections_of_split(parts: Parts, split: str, given: str | None, name: str) -> DetectionsFile | None:
    """The boxes to walk over in a split: the file `given`, or OUTPUT_DIR/detections_<name>.h5, made where it is not
    there (with --use_fastrcnn_proposals), or None for the annotated objects.

    A file made earlier is used again unless the split or the detector's weights are newer. Raises InputError when
    the file has none of the split's images, or there is nothing to make it with.
    """
    arguments = parts.arguments
    path = Path(arguments.output_dir) / f"detections_{name}.h5"
    if given is None:
        if not arguments.use_fastrcnn_proposals:
            return None
        _detect(parts, split, path)
    file = open_detections(given or path, parts.graph)
    records = Split(split)
    missing = [record.image_name for record in records if record.image_name not in file]
    if missing and len(missing) == len(records):
        raise InputError(
            f"{file.path}: has none of the {len(records)} images of {split} ({missing[0]!r}, ...); "
            "give the file that was made for them"
        )
    if missing and ranks.rank() == 0:
        print(
            f"warning: {file.path}: has no boxes of {len(missing)} of {len(records)} images of {split} "
            f"({missing[0]!r}, ...); nothing is found in them",
            file=sys.stderr,
        )
    return file


def _detect(parts: Parts, split: str, path: Path) -> None:
    """Make the detections file of a split where there is none that is newer than what it is made from."""
    arguments = parts.arguments
    sources = [Path(name) for name in (split, arguments.detector_weights) if name and Path(name).exists()]
    if path.exists() and all(source.stat().st_mtime <= path.stat().st_mtime for source in sources):
        if ranks.rank() == 0:
            print(f"The boxes are those of {path}; remove it to detect them anew.")
        return
    if ranks.world_size() > 1:  # the others would wait for hours
        raise InputError(f"{path}: make it first: python -m faster_rcnn.detect --images {split} --output {path} ...")
    count, skipped = detect_to_file(
        make_detector(arguments, parts.device),
        image_items(split, arguments.images_dir),
        path,
        min(arguments.object_detection_threshold, KEPT_THRESHOLD),
        arguments.maximum_num_entities_per_image,
        arguments.num_workers,
    )
    print(f"Detected the boxes of {count} images: {path}; {skipped} images that do not decode were skipped.")


class PhotoBoxes(dict[str, Detections]):
    """The boxes of the few photos at hand, found when `look` is called; for the rest like a detections file.

    file: where they are looked up; else the detector finds them.
    """

    def __init__(self, arguments: argparse.Namespace, graph: SemanticActionGraph, device: torch.device) -> None:
        """Raises InputError when the flags name neither a detections file nor a detector."""
        super().__init__()
        self.arguments = arguments
        self.file = self.detector = None
        if arguments.detections:
            self.file = open_detections(arguments.detections, graph)
            self.path, self.classes = self.file.path, self.file.classes
        else:
            self.detector = make_detector(arguments, device)
            self.path, self.classes = self.detector.name, self.detector.classes

    def look(self, photos: Sequence[tuple[str, Image.Image]]) -> list[str]:
        """Find the boxes of (name, photo), in place of those of earlier ones. Returns which have none to look up."""
        self.clear()
        if self.file is not None:
            self.update((name, self.file[name]) for name, _ in photos if name in self.file)
            return [name for name, _ in photos if name not in self.file]
        threshold, maximum = self.arguments.object_detection_threshold, self.arguments.maximum_num_entities_per_image
        for start in range(0, len(photos), IMAGES_AT_ONCE):
            part = photos[start : start + IMAGES_AT_ONCE]
            found = self.detector.detect([photo for _, photo in part], threshold, maximum, AMBIGUITY_MARGIN)
            self.update(zip((name for name, _ in part), found, strict=True))
        return []
