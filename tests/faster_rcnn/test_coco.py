"""torchvision's detectors: downloaded on first use from a real server, and recognised in files that people have."""

import argparse
import functools
import hashlib
import http.server
import threading

import pytest
import torch
from PIL import Image
from torchvision.models.detection import fasterrcnn_resnet50_fpn

from faster_rcnn import coco, load_detector
from faster_rcnn.coco import default_detector, recognised, weights_file
from faster_rcnn.torchvision_detectors import TorchvisionDetector
from files.io import InputError

SMALL = "fasterrcnn_mobilenet_v3_large_fpn"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder that a server on this machine gives out in torchvision's place; TORCH_HOME is a folder of its own."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setattr(coco, "BASE_URL", f"http://127.0.0.1:{running.server_port}")
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
        yield tmp_path / "served"
        running.shutdown()


@functools.cache
def parameters(num_classes: int = 91) -> dict[str, torch.Tensor]:
    classes = None if num_classes == 91 else [str(i) for i in range(1, num_classes)]
    return TorchvisionDetector(SMALL, classes).model.state_dict()


def publish(folder, monkeypatch, tensors) -> str:
    """Put weights on the server under a name that says their hash; the name."""
    torch.save(tensors, folder / "weights.pth")
    data = (folder / "weights.pth").read_bytes()
    name = f"small-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(data)
    monkeypatch.setitem(coco.FILES, SMALL, (name, 74))
    return name


def test_weights_are_downloaded_once(server, tmp_path, monkeypatch, capsys):
    name = publish(server, monkeypatch, parameters())
    path = weights_file(SMALL)
    assert path == tmp_path / "home" / "hub" / "checkpoints" / name
    said = capsys.readouterr().err
    assert "74 MB" in said
    assert str(path) in said
    assert "100%" in said
    (server / name).unlink()
    detector = load_detector(SMALL)
    assert "Downloading" not in capsys.readouterr().err
    assert torch.equal(
        detector.model.state_dict()["rpn.head.cls_logits.bias"], parameters()["rpn.head.cls_logits.bias"]
    )


@pytest.mark.parametrize("what", ["missing", "another file", "no server"])
def test_what_to_put_where_is_said_when_it_cannot_be_downloaded(server, tmp_path, monkeypatch, what):
    name = "small-00000000.pth"
    monkeypatch.setitem(coco.FILES, SMALL, (name, 74))
    if what == "another file":
        (server / name).write_bytes(b"not what the name's hash says")
    if what == "no server":
        monkeypatch.setattr(coco, "BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError) as error:
        weights_file(SMALL)
    line = str(error.value)
    assert f"{coco.BASE_URL}/{name}" in line
    assert str(tmp_path / "home" / "hub" / "checkpoints") in line
    assert "--detections" in line
    assert "\n" not in line
    assert not list((tmp_path / "home" / "hub" / "checkpoints").iterdir())


def test_the_small_detector_on_a_cpu_and_the_large_one_on_a_gpu():
    assert default_detector(torch.device("cpu")) == SMALL
    assert default_detector(torch.device("cuda", 0)) == "fasterrcnn_resnet50_fpn_v2"


def old_names(tensors):
    """As torchvision called them before 0.13, and data-parallel training does."""
    renamed = {}
    for name, tensor in tensors.items():
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        for blocks in ("inner_blocks", "layer_blocks"):
            for i in range(4):
                name = name.replace(f"{blocks}.{i}.0.", f"{blocks}.{i}.")
        renamed[f"module.{name}"] = tensor
    return renamed


@pytest.mark.slow
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_checkpoint_of_ones_own_classes(tmp_path, wrapped):
    """As torchvision's training script writes it, or the state dict alone; the classes are called by number."""
    tensors = parameters(4)
    script = argparse.Namespace(lr=0.02, dataset="mine")
    torch.save({"model": old_names(tensors), "epoch": 3, "args": script} if wrapped else tensors, tmp_path / "my.pth")
    detector = load_detector(None, tmp_path / "my.pth")
    assert (detector.name, detector.classes) == (SMALL, ["1", "2", "3"])
    found = detector.detect([Image.new("RGB", (64, 48), "red")], threshold=0.0, margin=1.0)[0]
    assert found.candidates.max(initial=0) <= 2
    assert load_detector("fasterrcnn_mobilenet_v3_large_320_fpn", tmp_path / "my.pth").classes == ["1", "2", "3"]


@pytest.mark.slow
def test_the_first_resnet_detector_finds_what_torchvision_finds(tmp_path):
    torch.manual_seed(0)
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=5, box_score_thresh=0.0).eval()
    tensors = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(tensors, tmp_path / "v1.pth")
    detector = load_detector(None, tmp_path / "v1.pth")
    assert (detector.name, len(detector.classes)) == ("fasterrcnn_resnet50_fpn", 4)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0
    photo = Image.effect_noise((200, 150), 80).convert("RGB")
    from torchvision.transforms.functional import pil_to_tensor

    with torch.no_grad():
        theirs = model([pil_to_tensor(photo).float() / 255])[0]
    mine = detector.detect([photo], threshold=0.0, margin=1.0)[0]
    best = int(theirs["scores"].argmax())
    distances = abs(mine.boxes - (theirs["boxes"][best] - torch.tensor([0, 0, 1, 1])).numpy()).max(axis=1)
    assert distances.min() < 0.01
    assert mine.scores[distances.argmin()].max() == pytest.approx(float(theirs["scores"][best]), abs=1e-4)


def test_parameters_of_something_else_are_refused():
    with pytest.raises(InputError, match=r"x\.pth: does not hold a Faster R-CNN"):
        recognised({"fc.weight": torch.zeros(3, 3)}, None, "x.pth")
