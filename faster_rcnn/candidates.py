"""What all detectors share: which images they can look at, and the few candidates that they keep of all classes."""

from __future__ import annotations

import torch
from PIL import Image

from files.detections import Detections, from_flat

LONGEST_SHAPE = 40  # longer side / shorter side; scaled to a detector's input, less than a cell of it would be left


def is_too_thin(image: Image.Image) -> bool:
    """Whether an image is so thin that no detector can look at it: nothing is found in it."""
    return max(image.size) > LONGEST_SHAPE * min(image.size)


def detections_from_scores(boxes: torch.Tensor, scores: torch.Tensor, threshold: float, margin: float) -> Detections:
    """Keep a box's best class and those at most `margin` below it that reach `threshold`.

    boxes: (n, 4) inclusive corners; scores: (n, C) of the foreground classes. The margin is that of
    ambiguity-aware object mining (Liang et al. 2017, section 3.3).
    """
    best = scores.max(dim=1, keepdim=True).values if len(scores) else scores
    keep = (scores >= best - margin) & (scores >= threshold) | (scores == best)
    rows, classes = keep.nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=len(scores))
    return from_flat(*(a.cpu().numpy() for a in (boxes, counts, classes, scores[rows, classes])))
