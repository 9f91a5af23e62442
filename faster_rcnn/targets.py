"""What the VGG-16 Faster R-CNN learns from: anchors and proposals matched to the annotated boxes.

Numbers are those of Ren et al. 2015, section 3.1.2 and 3.1.3, and of Girshick 2015 (Fast R-CNN), section 2.3.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from faster_rcnn import anchors

DELTA_STD = (0.1, 0.1, 0.2, 0.2)  # box deltas are compared in these units, and predicted in plain ones


class Sample(NamedTuple):
    """Proposals drawn for one training step."""

    boxes: torch.Tensor  # (R, 4) in the scaled image's pixels
    labels: torch.Tensor  # (R,) class index, 0 the background
    deltas: torch.Tensor  # (R, 4) to the matched annotation; zero for the background


def _draw(mask: torch.Tensor, count: int) -> torch.Tensor:
    """At most `count` random indices where `mask` is true."""
    indices = mask.nonzero().squeeze(1)
    return indices[torch.randperm(len(indices), device=indices.device)[:count]]


def proposal_losses(
    logits: torch.Tensor,
    deltas: torch.Tensor,
    grid: torch.Tensor,
    truth: torch.Tensor,
    image_size: tuple[int, int],
    batch: int = 256,
) -> dict[str, torch.Tensor]:
    """Objectness and box losses of the region proposal network on `batch` anchors, half positive at most.

    logits (A, 2), deltas (A, 4), grid (A, 4) anchors; truth (n, 4). An anchor is positive with
    IoU >= 0.7, or when none overlaps an annotation more; negative below 0.3; left out when it
    crosses the image's edge.
    """
    height, width = image_size
    inside = (grid[:, :2] >= 0).all(dim=1) & (grid[:, 2] < width) & (grid[:, 3] < height)
    if len(truth):
        overlaps = anchors.pairwise_iou(grid, truth) * inside[:, None]
        best, matched = overlaps.max(dim=1)
        most = overlaps.max(dim=0).values
        positive = (best >= 0.7) | ((overlaps == most) & (most > 0)).any(dim=1)
    else:
        best, matched = grid.new_zeros(len(grid)), torch.zeros(len(grid), dtype=torch.long, device=grid.device)
        positive = torch.zeros_like(inside)
    chosen = _draw(positive & inside, batch // 2)
    negative = _draw((best < 0.3) & inside & ~positive, batch - len(chosen))
    both = torch.cat([chosen, negative])
    wanted = torch.cat([torch.ones_like(chosen), torch.zeros_like(negative)])
    count = max(len(both), 1)
    box_loss = deltas[:0].sum()
    if len(chosen):
        box_targets = anchors.encode(truth[matched[chosen]], grid[chosen])
        box_loss = F.smooth_l1_loss(deltas[chosen], box_targets, beta=1 / 9, reduction="sum") / count
    objectness = F.cross_entropy(logits[both], wanted, reduction="sum") / count
    return {"objectness": objectness, "proposal_box": box_loss}


def sample_proposals(
    proposals: torch.Tensor, truth: torch.Tensor, labels: torch.Tensor, batch: int = 128, share: float = 0.25
) -> Sample:
    """Draw `batch` proposals, the annotated boxes among them; at most `share` of them foreground (IoU >= 0.5).

    proposals (R, 4), truth (n, 4), labels (n,) foreground class indices.
    """
    boxes = torch.cat([proposals, truth])
    if not len(truth):
        background = _draw(torch.ones(len(boxes), dtype=torch.bool, device=boxes.device), batch)
        zeros = torch.zeros(len(background), dtype=torch.long, device=boxes.device)
        return Sample(boxes[background], zeros, boxes.new_zeros(len(background), 4))
    best, matched = anchors.pairwise_iou(boxes, truth).max(dim=1)
    foreground = _draw(best >= 0.5, round(batch * share))
    background = _draw(best < 0.5, batch - len(foreground))
    drawn = torch.cat([foreground, background])
    wanted = labels[matched[drawn]] + 1
    wanted[len(foreground) :] = 0
    deltas = anchors.encode(truth[matched[drawn]], boxes[drawn])
    deltas[len(foreground) :] = 0
    return Sample(boxes[drawn], wanted, deltas)


def box_losses(logits: torch.Tensor, deltas: torch.Tensor, sample: Sample) -> dict[str, torch.Tensor]:
    """Class and box losses of the drawn proposals. logits (R, C + 1), deltas (R, C + 1, 4)."""
    foreground = sample.labels.nonzero().squeeze(1)
    std = deltas.new_tensor(DELTA_STD)
    predicted = deltas[foreground, sample.labels[foreground]] / std
    box_loss = F.smooth_l1_loss(predicted, sample.deltas[foreground] / std, beta=1.0, reduction="sum")
    return {"category": F.cross_entropy(logits, sample.labels), "box": box_loss / max(len(sample.labels), 1)}
