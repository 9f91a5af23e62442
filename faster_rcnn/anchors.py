"""Box arithmetic of the VGG-16 Faster R-CNN (Ren, He, Girshick, Sun, NIPS 2015), as its weights expect it.

Boxes are inclusive corners in pixels: width = x2 - x1 + 1. A decoded box is centre -+ width / 2
on both sides, without the -1 that would invert this; the published weights were trained so.
"""

from __future__ import annotations

import math

import torch
import torchvision

STRIDE = 16
RATIOS = (0.5, 1.0, 2.0)
SCALES = (8, 16, 32)
NUM_ANCHORS = len(RATIOS) * len(SCALES)
_LARGEST_LOG_SIDE = math.log(1000.0)  # only random weights reach it: keeps exp finite


def base_anchors() -> torch.Tensor:
    """(9, 4) float32 anchors around (7.5, 7.5), ratio by ratio (height / width), scales within a ratio."""
    anchors = []
    for ratio in RATIOS:
        width = round(math.sqrt(STRIDE * STRIDE / ratio))
        height = round(width * ratio)
        for scale in SCALES:
            half_w, half_h = (width * scale - 1) / 2, (height * scale - 1) / 2
            anchors.append([7.5 - half_w, 7.5 - half_h, 7.5 + half_w, 7.5 + half_h])
    return torch.tensor(anchors)


def anchor_grid(height: int, width: int, device: torch.device | None = None) -> torch.Tensor:
    """(height * width * 9, 4) anchors of a feature map, row by row, cell by cell, the nine of a cell together."""
    y, x = torch.meshgrid(torch.arange(height) * STRIDE, torch.arange(width) * STRIDE, indexing="ij")
    shifts = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    return (shifts + base_anchors()).reshape(-1, 4).to(device)


def _centre_size(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    sizes = boxes[..., 2:] - boxes[..., :2] + 1
    return boxes[..., :2] + sizes / 2, sizes


def encode(boxes: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """The deltas (dx, dy, dw, dh) that turn `references` into `boxes`, both (..., 4)."""
    centre, size = _centre_size(boxes)
    reference_centre, reference_size = _centre_size(references)
    return torch.cat([(centre - reference_centre) / reference_size, (size / reference_size).log()], dim=-1)


def decode(deltas: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Apply deltas (..., 4) to `references` (..., 4): inclusive corners of the moved boxes."""
    reference_centre, reference_size = _centre_size(references)
    centre = deltas[..., :2] * reference_size + reference_centre
    half = deltas[..., 2:].clamp(max=_LARGEST_LOG_SIDE).exp() * reference_size / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def clip(boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(..., 4) boxes with every corner inside [0, side - 1]."""
    limit = boxes.new_tensor([width - 1, height - 1, width - 1, height - 1])
    return boxes.clamp(min=0).minimum(limit)


def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression, overlaps in inclusive pixels: indices kept, best first.

    torchvision measures x2 - x1; with x2 and y2 one further that is the inclusive side.
    """
    return torchvision.ops.nms(boxes + boxes.new_tensor([0, 0, 1, 1]), scores, threshold)


def pairwise_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(n, 4), (m, 4) inclusive corners -> (n, m) intersection over union."""
    shift = a.new_tensor([0, 0, 1, 1])
    return torchvision.ops.box_iou(a + shift, b + shift)
