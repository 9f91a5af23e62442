"""Object detectors: VGG-16 Faster R-CNN, torchvision's, and a small one for the demo; their training and use.

All have `classes` (foreground names), `detect(images, threshold, maximum, margin) -> list[Detections]`
and `losses(images, boxes, labels) -> dict`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as in main.py; before PyTorch is imported

from faster_rcnn.torchvision_detectors import TORCHVISION_DETECTORS, TorchvisionDetector
from faster_rcnn.vgg16 import VGG16FasterRCNN
from faster_rcnn.weights import Detector, load_detector, save_detector

DETECTORS = ("vgg16", *TORCHVISION_DETECTORS)

__all__ = ["DETECTORS", "Detector", "build_detector", "load_detector", "save_detector"]


def build_detector(name: str, classes: Sequence[str]) -> Detector:
    """A detector of DETECTORS for these classes, with random weights, to be trained."""
    if name == "vgg16":
        detector = VGG16FasterRCNN(classes)
        detector.initialise()
        return detector
    return TorchvisionDetector(name, classes)
