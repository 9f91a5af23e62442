"""VGG-16 Faster R-CNN (Ren et al. 2015) in the layout of `VGGnet_fast_rcnn_iter_70000.h5`.

Module names are the file's names; `weights.py` reads and writes it. With its weights the
network gives the boxes, scores and classes that the code it was trained with gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import nn

from faster_rcnn import anchors, targets
from faster_rcnn.candidates import detections_from_scores, is_too_thin
from files.detections import Detections

# fmt: off
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on
BGR_MEAN = (102.9801, 115.9465, 122.7717)
CONVOLUTIONS = (2, 2, 3, 3, 3)  # in each block


class Conv(nn.Module):
    """Convolution that keeps the size, and ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, relu: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return F.relu(x, inplace=True) if self.relu else x


class Linear(nn.Module):
    """Fully connected layer, and ReLU."""

    def __init__(self, inputs: int, outputs: int, relu: bool = True):
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc(x)
        return F.relu(x, inplace=True) if self.relu else x


class VGG16Features(nn.Module):
    """The thirteen convolutions, with 2x2 max pooling between the five blocks: stride 16."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        inputs = 3
        for i, (width, count) in enumerate(zip(widths, CONVOLUTIONS, strict=True), 1):
            block = [Conv(inputs if j == 0 else width, width, 3) for j in range(count)]
            setattr(self, f"conv{i}", nn.Sequential(*block))
            inputs = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, 512, H // 16, W // 16)."""
        for block in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.max_pool2d(block(x), 2)
        return self.conv5(x)


class RegionProposal(nn.Module):
    """The features and, on top of them, objectness and deltas of nine anchors a cell."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.features = VGG16Features(widths)
        self.conv1 = Conv(widths[-1], widths[-1], 3)
        self.score_conv = Conv(widths[-1], 2 * anchors.NUM_ANCHORS, 1, relu=False)
        self.bbox_conv = Conv(widths[-1], 4 * anchors.NUM_ANCHORS, 1, relu=False)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, 512, h, w) -> logits (h*w*9, 2) background and foreground, deltas (h*w*9, 4), as `anchor_grid` orders."""
        x = self.conv1(features)
        logits = self.score_conv(x)[0].unflatten(0, (2, anchors.NUM_ANCHORS))  # 2, 9, h, w
        deltas = self.bbox_conv(x)[0].unflatten(0, (anchors.NUM_ANCHORS, 4))  # 9, 4, h, w
        return logits.permute(2, 3, 1, 0).reshape(-1, 2), deltas.permute(2, 3, 0, 1).reshape(-1, 4)


class VGG16FasterRCNN(nn.Module):
    """The whole detector. `classes`: foreground names; column 0 of the class scores is the background.

    widths, hidden: channels of the five blocks and of fc6 and fc7; the published file has the defaults.
    shorter_side, longer_side: the image is scaled until its shorter side has the first many
    pixels, or its longer one the second.
    """

    name = "vgg16"

    def __init__(
        self,
        classes: Sequence[str] = VOC_CLASSES,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        hidden: int = 4096,
        shorter_side: int = 600,
        longer_side: int = 1000,
    ):
        super().__init__()
        self.classes = list(classes)
        self.shorter_side, self.longer_side = shorter_side, longer_side
        self.rpn = RegionProposal(widths)
        self.fc6 = Linear(widths[-1] * 7 * 7, hidden)
        self.fc7 = Linear(hidden, hidden)
        self.score_fc = Linear(hidden, len(self.classes) + 1, relu=False)
        self.bbox_fc = Linear(hidden, 4 * (len(self.classes) + 1), relu=False)

    def initialise(self) -> None:
        """Random weights for training (Ren et al. 2015, section 3.3; He et al. 2015 where nothing is pretrained)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        for layer in (self.rpn.conv1.conv, self.rpn.score_conv.conv, self.rpn.bbox_conv.conv, self.score_fc.fc):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.normal_(self.bbox_fc.fc.weight, std=0.001)

    def freeze_early_layers(self) -> None:
        """Leave the first two blocks as they were pretrained (Girshick 2015, section 4.5)."""
        for block in (self.rpn.features.conv1, self.rpn.features.conv2):
            block.requires_grad_(False)

    def preprocess(self, image: Image.Image) -> tuple[torch.Tensor, float]:
        """A PIL RGB image -> (1, 3, H, W) BGR minus the mean, scaled; and the scale."""
        weight = self.fc6.fc.weight
        pixels = torch.from_numpy(np.array(image.convert("RGB"))[:, :, ::-1].copy()).permute(2, 0, 1)[None].to(weight)
        pixels = pixels - weight.new_tensor(BGR_MEAN)[:, None, None]
        height, width = pixels.shape[2:]
        scale = self.shorter_side / min(height, width)
        if round(scale * max(height, width)) > self.longer_side:
            scale = self.longer_side / max(height, width)
        # The size is rounded but the samples lie exactly 1 / scale apart, which F.interpolate cannot say.
        size = [max(1, round(height * scale)), max(1, round(width * scale))]
        return torch.ops.aten.upsample_bilinear2d(pixels, size, False, scale, scale), scale

    def propose(
        self,
        logits: torch.Tensor,
        deltas: torch.Tensor,
        grid: torch.Tensor,
        image_size: tuple[int, int],
        scale: float,
        before_nms: int,
        after_nms: int,
    ) -> torch.Tensor:
        """Proposals (R, 4) in the scaled image's pixels, best first (Ren et al. 2015, section 3.1)."""
        scores = logits.softmax(dim=1)[:, 1]
        boxes = anchors.clip(anchors.decode(deltas, grid), *image_size)
        big = (boxes[:, 2:] - boxes[:, :2] + 1 >= 16 * scale).all(dim=1)
        boxes, scores = boxes[big], scores[big]
        order = scores.argsort(descending=True, stable=True)[:before_nms]
        boxes, scores = boxes[order], scores[order]
        return boxes[anchors.nms(boxes, scores, 0.7)[:after_nms]]

    def classify(self, features: torch.Tensor, proposals: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, 512, h, w), (R, 4) -> class logits (R, C + 1), deltas (R, C + 1, 4)."""
        pooled = torchvision.ops.roi_pool(features, [proposals], output_size=7, spatial_scale=1 / anchors.STRIDE)
        x = F.dropout(self.fc6(pooled.flatten(1)), 0.5, self.training)
        x = F.dropout(self.fc7(x), 0.5, self.training)
        return self.score_fc(x), self.bbox_fc(x).unflatten(1, (-1, 4))

    @torch.no_grad()
    def detect(
        self, images: Sequence[Image.Image], threshold: float = 0.005, maximum: int = 500, margin: float = 0.1
    ) -> list[Detections]:
        """The boxes of each image, most confident first, in the image's pixels.

        A proposal gets its best class when that is not the background and scores at least
        `threshold`; one suppression at 0.3 runs over all classes together. Its candidates are the
        classes at most `margin` below the best that also reach `threshold`. At most `maximum` boxes.
        None in an image that is too thin.
        """
        self.eval()
        return [
            Detections.empty() if is_too_thin(image) else self._detect_one(image, threshold, maximum, margin)
            for image in images
        ]

    def _detect_one(self, image: Image.Image, threshold: float, maximum: int, margin: float) -> Detections:
        pixels, scale = self.preprocess(image)
        features = self.rpn.features(pixels)
        logits, deltas = self.rpn(features)
        grid = anchors.anchor_grid(*features.shape[2:], device=features.device)
        proposals = self.propose(logits, deltas, grid, tuple(pixels.shape[2:]), scale, 6000, 300)
        if not len(proposals):
            return Detections.empty()
        logits, deltas = self.classify(features, proposals)
        scores = logits.softmax(dim=1)
        best_score, best = scores.max(dim=1)
        keep = torch.nonzero((best > 0) & (best_score >= threshold)).squeeze(1)
        boxes = anchors.decode(deltas[keep, best[keep]], proposals[keep] / scale)
        boxes = anchors.clip(boxes, image.height, image.width)
        kept = anchors.nms(boxes, best_score[keep], 0.3)[:maximum]
        return detections_from_scores(boxes[kept], scores[keep[kept], 1:], threshold, margin)

    @torch.no_grad()
    def class_scores(self, images: Sequence[Image.Image], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What is in given boxes: (n, 4) inclusive corners of each image -> (n, classes) scores of the foreground."""
        self.eval()
        scores = []
        for image, given in zip(images, boxes, strict=True):
            pixels, scale = self.preprocess(image)
            logits, _ = self.classify(self.rpn.features(pixels), torch.from_numpy(given).to(pixels) * scale)
            scores.append(logits.softmax(dim=1)[:, 1:].cpu().numpy())
        return scores

    def losses(
        self, images: Sequence[Image.Image], boxes: Sequence[torch.Tensor], labels: Sequence[torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """The four losses of Ren et al. 2015 (sections 3.1.2 and 3.2), averaged over the images.

        boxes: (n, 4) inclusive corners in each image's pixels; labels: (n,) foreground class indices.
        """
        rows = [self._losses_one(*item) for item in zip(images, boxes, labels, strict=True)]
        return {key: torch.stack([row[key] for row in rows]).mean() for key in rows[0]}

    def _losses_one(self, image: Image.Image, boxes: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        pixels, scale = self.preprocess(image)
        truth, labels = boxes.to(pixels) * scale, labels.to(pixels.device)
        image_size = tuple(pixels.shape[2:])
        features = self.rpn.features(pixels)
        logits, deltas = self.rpn(features)
        grid = anchors.anchor_grid(*features.shape[2:], device=features.device)
        losses = targets.proposal_losses(logits, deltas, grid, truth, image_size)
        with torch.no_grad():
            proposals = self.propose(logits, deltas, grid, image_size, scale, 12000, 2000)
            sample = targets.sample_proposals(proposals, truth, labels)
        losses.update(targets.box_losses(*self.classify(features, sample.boxes), sample))
        return losses
