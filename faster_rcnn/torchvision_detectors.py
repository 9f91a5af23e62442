"""torchvision's Faster R-CNNs, and a small one on EfficientNet-Lite0, behind the interface of `VGG16FasterRCNN`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.models.detection import FasterRCNN, faster_rcnn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, batched_nms, clip_boxes_to_image
from torchvision.transforms.functional import pil_to_tensor

from faster_rcnn.candidates import detections_from_scores, is_too_thin
from files.detections import Detections

COCO_WEIGHTS = {
    "fasterrcnn_resnet50_fpn_v2": faster_rcnn.FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
    "fasterrcnn_resnet50_fpn": faster_rcnn.FasterRCNN_ResNet50_FPN_Weights.COCO_V1,
    "fasterrcnn_mobilenet_v3_large_fpn": faster_rcnn.FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1,
    "fasterrcnn_mobilenet_v3_large_320_fpn": faster_rcnn.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
}
# The columns of COCO's scores, background first; some numbers were never given to a category.
COCO_COLUMNS = COCO_WEIGHTS["fasterrcnn_resnet50_fpn_v2"].meta["categories"]

# Parts of the backbone that keep their ImageNet weights, as torchvision's own training scripts leave them.
_FROZEN_PREFIXES = {
    "fasterrcnn_resnet50_fpn_v2": ("conv1.", "bn1.", "layer1."),
    "fasterrcnn_resnet50_fpn": ("conv1.", "bn1.", "layer1."),
    "fasterrcnn_mobilenet_v3_large_fpn": tuple(f"{i}." for i in range(7)),
    "fasterrcnn_mobilenet_v3_large_320_fpn": tuple(f"{i}." for i in range(7)),
    "fasterrcnn_efficientnet_lite0": ("_conv_stem.", "_bn0.", *(f"_blocks.{i}." for i in range(5))),
}


# EfficientNet-Lite0: which block is the last at strides 8, 16 and 32, and how many channels leave it.
_LITE0_LEVELS = {4: 40, 10: 112, 15: 320}


class EfficientNetLite0FPN(nn.Module):
    """EfficientNet-Lite0 (pip: efficientnet-lite-pytorch) and a feature pyramid of strides 8, 16 and 32."""

    def __init__(self, channels: int):
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet  # a package only this detector needs

        self.body = EfficientNet.from_name("efficientnet-lite0")
        del self.body._conv_head, self.body._bn1, self.body._fc  # the classifier's
        for module in self.body.modules():
            if isinstance(module, nn.ReLU6):
                module.inplace = True
        self.fpn = FeaturePyramidNetwork(list(_LITE0_LEVELS.values()), channels)
        self.out_channels = channels

    def forward(self, x: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        """(B, 3, H, W), H and W multiples of 32 -> {"0": (B, channels, H / 8, W / 8), "1": …/ 16, "2": …/ 32}."""
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.body._swish(self.body._bn0(self.body._conv_stem(x)))
        levels = OrderedDict()
        for i, block in enumerate(self.body._blocks):
            x = block(x)
            if i in _LITE0_LEVELS:
                levels[str(len(levels))] = x
        return self.fpn(levels)


TORCHVISION_DETECTORS = tuple(_FROZEN_PREFIXES)


class SharedBoxPredictor(nn.Module):
    """Class scores, and one set of box deltas for all classes: a class with few examples places its boxes as well."""

    def __init__(self, inputs: int, num_classes: int):
        super().__init__()
        self.cls_score = nn.Linear(inputs, num_classes)
        self.bbox_pred = nn.Linear(inputs, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(R, inputs) -> logits (R, num_classes), deltas (R, 4 num_classes), as torchvision's heads give them."""
        logits = self.cls_score(x)
        return logits, self.bbox_pred(x).repeat(1, logits.shape[1])


def _efficientnet_lite0(num_classes: int) -> FasterRCNN:
    channels = 64
    backbone = EfficientNetLite0FPN(channels)
    model = FasterRCNN(
        backbone,
        min_size=(192, 216, 264, 288, 240),  # a random one in training, the last otherwise
        max_size=400,
        image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3,
        rpn_anchor_generator=AnchorGenerator(((16, 32), (48, 72), (112, 192)), ((0.5, 1.0, 2.0),) * 3),
        rpn_pre_nms_top_n_train=500,
        rpn_post_nms_top_n_train=300,
        rpn_pre_nms_top_n_test=500,
        rpn_post_nms_top_n_test=300,
        rpn_batch_size_per_image=128,
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], output_size=7, sampling_ratio=2),
        box_head=TwoMLPHead(channels * 7 * 7, 256),
        box_predictor=SharedBoxPredictor(256, num_classes),
        box_batch_size_per_image=64,
        box_positive_fraction=0.5,
    )
    return model.to(memory_format=torch.channels_last)  # trains a fifth faster on a CPU than the default layout


def _build(name: str, num_classes: int) -> FasterRCNN:
    if name == "fasterrcnn_efficientnet_lite0":
        return _efficientnet_lite0(num_classes)
    return getattr(faster_rcnn, name)(weights=None, weights_backbone=None, num_classes=num_classes)


class TorchvisionDetector(nn.Module):
    """A torchvision Faster R-CNN with random weights. Background is column 0 of its class scores.

    classes: foreground names; None for COCO's, in COCO's columns.
    """

    def __init__(self, name: str, classes: Sequence[str] | None = None):
        super().__init__()
        names = COCO_COLUMNS if classes is None else ["__background__", *classes]
        columns = [i for i, column in enumerate(names) if i > 0 and (classes is not None or column != "N/A")]
        self.name = name
        self.has_coco_columns = classes is None
        self.classes = [names[i] for i in columns]
        self.model = _build(name, len(names))
        self.register_buffer("_columns", torch.tensor(columns), persistent=False)
        self._backbone_is_pretrained = False

    def keep_pretrained_backbone(self) -> None:
        """For training: the early layers and the statistics of all batch norms stay those of ImageNet."""
        self._backbone_is_pretrained = True
        for name, parameter in self.model.backbone.body.named_parameters():
            if name.startswith(_FROZEN_PREFIXES[self.name]):
                parameter.requires_grad_(False)

    def without_epsilon(self) -> None:
        """The norms of the first ResNet-50 detector were frozen without an epsilon, and its weights go with that."""
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0

    def train(self, mode: bool = True) -> TorchvisionDetector:
        super().train(mode)
        if self._backbone_is_pretrained:
            for module in self.model.backbone.body.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def _tensors(self, images: Sequence[Image.Image]) -> list[torch.Tensor]:
        device = self._columns.device
        return [pil_to_tensor(image.convert("RGB")).to(device).float().div_(255) for image in images]

    @torch.no_grad()
    def detect(
        self, images: Sequence[Image.Image], threshold: float = 0.005, maximum: int = 500, margin: float = 0.1
    ) -> list[Detections]:
        """The boxes of each image, most confident first, inclusive corners in the image's pixels.

        torchvision's own post-processing would list one proposal once for every class that it may be.
        Here a proposal becomes one box: it takes the place and the score of its best foreground class,
        must reach `threshold`, and competes (suppression at the model's threshold, 0.5) with the boxes
        of the same best class. Its candidates are the classes at most `margin` below the best that
        also reach `threshold`. At most `maximum` boxes. None in an image that is too thin.
        """
        self.eval()
        results = {i: Detections.empty() for i, image in enumerate(images) if is_too_thin(image)}
        # Only images of one size go together: padding to a common size would change what is found.
        for size in dict.fromkeys(image.size for image in images if not is_too_thin(image)):
            rows = [i for i, image in enumerate(images) if image.size == size]
            results.update(zip(rows, self._detect([images[i] for i in rows], threshold, maximum, margin), strict=True))
        return [results[i] for i in range(len(images))]

    def _detect(
        self, images: Sequence[Image.Image], threshold: float, maximum: int, margin: float
    ) -> Iterator[Detections]:
        model, heads, columns = self.model, self.model.roi_heads, self._columns
        batch, _ = model.transform(self._tensors(images))
        features = model.backbone(batch.tensors)
        proposals, _ = model.rpn(batch, features)
        logits, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, proposals, batch.image_sizes)))
        all_scores = logits.softmax(dim=1)[:, columns]
        best_scores, best = all_scores.max(dim=1)
        all_boxes = heads.box_coder.decode(deltas, proposals)[
            torch.arange(len(best), device=best.device), columns[best]
        ]
        counts = [len(rows) for rows in proposals]
        per_image = zip(*(x.split(counts) for x in (all_boxes, all_scores, best_scores, best)), strict=True)
        for image, scaled_size, (boxes, scores, best_score, category) in zip(
            images, batch.image_sizes, per_image, strict=True
        ):
            boxes = clip_boxes_to_image(boxes, scaled_size)
            kept = ((boxes[:, 2:] > boxes[:, :2]).all(dim=1) & (best_score >= threshold)).nonzero().squeeze(1)
            kept = kept[batched_nms(boxes[kept], best_score[kept], category[kept], heads.nms_thresh)[:maximum]]
            ratio = boxes.new_tensor([image.width / scaled_size[1], image.height / scaled_size[0]]).repeat(2)
            # torchvision's x2, y2 are the box's edges; ours are its last pixels.
            in_image = boxes[kept] * ratio - boxes.new_tensor([0, 0, 1, 1])
            yield detections_from_scores(in_image, scores[kept], threshold, margin)

    @torch.no_grad()
    def class_scores(self, images: Sequence[Image.Image], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What is in given boxes: (n, 4) inclusive corners of each image -> (n, classes) scores of the foreground."""
        self.eval()
        model, heads = self.model, self.model.roi_heads
        scores = []
        for image, given in zip(images, boxes, strict=True):
            batch, _ = model.transform(self._tensors([image]))
            height, width = batch.image_sizes[0]
            edges = torch.from_numpy(given).to(batch.tensors) + batch.tensors.new_tensor([0, 0, 1, 1])
            edges *= batch.tensors.new_tensor([width / image.width, height / image.height]).repeat(2)
            pooled = heads.box_roi_pool(model.backbone(batch.tensors), [edges], batch.image_sizes)
            logits, _ = heads.box_predictor(heads.box_head(pooled))
            scores.append(logits.softmax(dim=1)[:, self._columns].cpu().numpy())
        return scores

    def losses(
        self, images: Sequence[Image.Image], boxes: Sequence[torch.Tensor], labels: Sequence[torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """torchvision's four losses.

        boxes: (n, 4) inclusive corners in each image's pixels; labels: (n,) indices of `classes`.
        """
        columns = self._columns
        targets = [
            {"boxes": b.to(columns.device) + torch.tensor([0, 0, 1, 1], device=columns.device), "labels": columns[c]}
            for b, c in zip(boxes, (c.to(columns.device) for c in labels), strict=True)
        ]
        return self.model(self._tensors(images), targets)
