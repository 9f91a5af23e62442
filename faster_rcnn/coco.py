"""torchvision's COCO detectors: which one, its weights on first use, and recognising what a file of weights is for."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from faster_rcnn.torchvision_detectors import COCO_COLUMNS, COCO_WEIGHTS
from files.io import InputError, check_writable

BASE_URL = "https://download.pytorch.org/models"
PATIENCE = 30  # seconds that a server may be silent

# File name, with the first digits of its SHA-256, and size in megabytes.
FILES = {name: (Path(weights.url).name, round(weights.meta["_file_size"])) for name, weights in COCO_WEIGHTS.items()}


def default_detector(device: torch.device) -> str:
    """The detector for photos where none is named: the best one on a GPU, on a CPU one that takes under a second.

    COCO box AP 46.7 (fasterrcnn_resnet50_fpn_v2, 167 MB) and 32.8 (fasterrcnn_mobilenet_v3_large_fpn, 74 MB),
    as torchvision publishes them.
    """
    return "fasterrcnn_resnet50_fpn_v2" if device.type == "cuda" else "fasterrcnn_mobilenet_v3_large_fpn"


def weights_file(name: str) -> Path:
    """Where torchvision's COCO weights of a detector lie; downloaded there on first use, with size and progress.

    Raises InputError, with what to put where by hand, when they cannot be downloaded.
    """
    file_name, megabytes = FILES[name]
    path = Path(torch.hub.get_dir()) / "checkpoints" / file_name
    if path.is_file():
        return path
    url = f"{BASE_URL}/{file_name}"
    check_writable(path.parent, "TORCH_HOME")
    print(f"Downloading the detector {name} ({megabytes} MB) from {url} to {path}", file=sys.stderr)
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        digits = re.search(r"-([0-9a-f]{8,})\.", file_name)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digits and digits[1], progress=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"the detector's weights cannot be downloaded ({reason}): get {url} on a computer with internet and put it "
            f"into {path.parent}; or give the boxes with --detections, or another detector's file with --weights"
        ) from None
    finally:
        socket.setdefaulttimeout(patience)
    return path


def plain_state_dict(content: object) -> Mapping[str, torch.Tensor] | None:
    """The parameters in what torchvision's scripts write: a state dict, or one under "model"; None: neither.

    Names are today's: without the prefix of data-parallel training, and as torchvision calls its layers since 0.13.
    """
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not content:
        return None
    if not all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()):
        return None
    return {_name_of_today(name.removeprefix("module.")): tensor for name, tensor in content.items()}


def _name_of_today(name: str) -> str:
    name = re.sub(r"^(rpn\.head\.conv)\.(weight|bias)$", r"\1.0.0.\2", name)
    return re.sub(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2", name)


def recognised(tensors: Mapping[str, torch.Tensor], name: str | None, path: str | Path) -> tuple[str, list[str] | None]:
    """Which of torchvision's detectors parameters are of, and its classes: None for COCO's, else "1", "2", ...

    name: what the user says it is; needed only to tell fasterrcnn_mobilenet_v3_large_320_fpn from its larger sister,
    whose parameters have the same shapes. Raises InputError when it is none of them.
    """
    scores = tensors.get("roi_heads.box_predictor.cls_score.weight")
    if scores is None or scores.ndim != 2 or len(scores) < 2:
        raise InputError(f"{path}: does not hold a Faster R-CNN of torchvision; give one, or boxes with --detections")
    if name is None:
        if "backbone.body.layer1.0.conv1.weight" not in tensors:
            name = "fasterrcnn_mobilenet_v3_large_fpn"
        elif "roi_heads.box_head.fc6.weight" in tensors:
            name = "fasterrcnn_resnet50_fpn"
        else:
            name = "fasterrcnn_resnet50_fpn_v2"
    return name, None if len(scores) == len(COCO_COLUMNS) else [str(i) for i in range(1, len(scores))]
