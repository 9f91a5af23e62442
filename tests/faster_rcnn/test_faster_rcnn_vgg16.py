"""The VGG-16 Faster R-CNN against a slow one in NumPy, and its weights file."""

import math

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from test_faster_rcnn_boxes import slow_nms, slow_roi_pool

from faster_rcnn import anchors, targets
from faster_rcnn.vgg16 import BGR_MEAN, VOC_CLASSES, VGG16FasterRCNN
from faster_rcnn.weights import load_backbone, load_vgg16, save_vgg16
from files.io import InputError

SMALL = {"widths": (4, 4, 8, 8, 8), "hidden": 16}


def small_detector(seed: int = 0, **arguments) -> VGG16FasterRCNN:
    """Random weights whose scores and deltas are spread as a trained network's are."""
    torch.manual_seed(seed)
    detector = VGG16FasterRCNN(**{"classes": ["cat", "dog", "cow"], **SMALL, **arguments})
    detector.initialise()
    # The spread of the last layers decides whether there is anything to suppress, clip and filter.
    for layer, std in ((detector.rpn.score_conv.conv, 0.3), (detector.rpn.bbox_conv.conv, 0.05)):
        torch.nn.init.normal_(layer.weight, std=std)
    torch.nn.init.normal_(detector.rpn.conv1.conv.weight, std=0.2)
    torch.nn.init.normal_(detector.score_fc.fc.weight, std=0.05)
    torch.nn.init.normal_(detector.bbox_fc.fc.weight, std=0.005)
    return detector.eval()


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth random colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


# The slow second implementation: float64, loops, straight from section 6 of the design and Ren et al. 2015.


def slow_resize(pixels: np.ndarray, scale: float) -> np.ndarray:
    """Bilinear, sample centres at (i + 0.5) / scale - 0.5, edges repeated."""

    def taps(length: int) -> list[tuple[int, int, float]]:
        result = []
        for i in range(round(length * scale)):
            at = min(max((i + 0.5) / scale - 0.5, 0), length - 1)
            low = min(math.floor(at), length - 1)
            result.append((low, min(low + 1, length - 1), at - low))
        return result

    rows = np.stack([(1 - f) * pixels[a] + f * pixels[b] for a, b, f in taps(pixels.shape[0])])
    return np.stack([(1 - f) * rows[:, a] + f * rows[:, b] for a, b, f in taps(pixels.shape[1])], axis=1)


def slow_conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, relu: bool = True) -> np.ndarray:
    """(C, H, W) -> (O, H, W), zero padding that keeps the size."""
    pad = weight.shape[-1] // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    result = np.zeros((len(weight), *x.shape[1:])) + bias[:, None, None]
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            window = padded[:, i : i + x.shape[1], j : j + x.shape[2]]
            result += np.einsum("oc,chw->ohw", weight[:, :, i, j], window)
    return np.maximum(result, 0) if relu else result


def slow_pool(x: np.ndarray) -> np.ndarray:
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    return x[:, :height, :width].reshape(len(x), height // 2, 2, width // 2, 2).max(axis=(2, 4))


def slow_decode(box, delta) -> list[float]:
    width, height = box[2] - box[0] + 1, box[3] - box[1] + 1
    x, y = box[0] + width / 2 + delta[0] * width, box[1] + height / 2 + delta[1] * height
    width, height = width * math.exp(delta[2]), height * math.exp(delta[3])
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def slow_clip(box, height: int, width: int) -> list[float]:
    return [min(max(v, 0), limit - 1) for v, limit in zip(box, (width, height, width, height), strict=True)]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def slow_detect(parameters: dict, classes: int, image: Image.Image, side: int, longest: int, threshold: float):
    """Boxes, scores and classes (1 = the first foreground class), best first."""
    p = {name: tensor.double().numpy() for name, tensor in parameters.items()}
    pixels = np.asarray(image)[:, :, ::-1].astype(np.float64) - np.array(BGR_MEAN)
    height, width = pixels.shape[:2]
    scale = side / min(height, width)
    if round(scale * max(height, width)) > longest:
        scale = longest / max(height, width)
    x = slow_resize(pixels, scale).transpose(2, 0, 1)
    scaled_height, scaled_width = x.shape[1:]
    for block, count in enumerate((2, 2, 3, 3, 3), 1):
        for i in range(count):
            name = f"rpn.features.conv{block}.{i}.conv"
            x = slow_conv(x, p[f"{name}.weight"], p[f"{name}.bias"])
        x = slow_pool(x) if block < 5 else x
    hidden = slow_conv(x, p["rpn.conv1.conv.weight"], p["rpn.conv1.conv.bias"])
    scores = slow_conv(hidden, p["rpn.score_conv.conv.weight"], p["rpn.score_conv.conv.bias"], relu=False)
    deltas = slow_conv(hidden, p["rpn.bbox_conv.conv.weight"], p["rpn.bbox_conv.conv.bias"], relu=False)
    shapes = []
    for ratio in (0.5, 1, 2):
        w = round(math.sqrt(256 / ratio))
        h = round(w * ratio)
        shapes += [(w * s, h * s) for s in (8, 16, 32)]
    boxes, objectness = [], []
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            for a, (w, h) in enumerate(shapes):
                cx, cy = 7.5 + 16 * column, 7.5 + 16 * row
                anchor = [cx - (w - 1) / 2, cy - (h - 1) / 2, cx + (w - 1) / 2, cy + (h - 1) / 2]
                box = slow_decode(anchor, deltas[4 * a : 4 * a + 4, row, column])
                box = slow_clip(box, scaled_height, scaled_width)
                if min(box[2] - box[0], box[3] - box[1]) + 1 >= 16 * scale:
                    boxes.append(box)
                    objectness.append(softmax(scores[[a, 9 + a], row, column])[1])
    order = np.argsort(-np.array(objectness))[:6000]
    boxes, objectness = np.array(boxes)[order], np.array(objectness)[order]
    boxes = boxes[slow_nms(boxes, objectness, 0.7)[:300]]
    found = []
    for box in boxes:
        vector = slow_roi_pool(x, box, 1 / 16, 7).ravel()
        for name in ("fc6", "fc7"):
            vector = np.maximum(p[f"{name}.fc.weight"] @ vector + p[f"{name}.fc.bias"], 0)
        confidence = softmax(p["score_fc.fc.weight"] @ vector + p["score_fc.fc.bias"])
        best = int(confidence.argmax())
        if best > 0 and confidence[best] >= threshold:
            delta = (p["bbox_fc.fc.weight"] @ vector + p["bbox_fc.fc.bias"])[4 * best : 4 * best + 4]
            found.append((slow_clip(slow_decode(box / scale, delta), height, width), confidence, best))
    kept = slow_nms(np.array([f[0] for f in found]), np.array([f[1].max() for f in found]), 0.3)
    return [found[i] for i in kept]


@pytest.mark.parametrize("seed", [0, 3, 4])
@pytest.mark.parametrize(
    ("size", "sides"), [((150, 117), (160, 320)), ((97, 211), (160, 256)), ((300, 200), (128, 999))]
)
def test_the_whole_network_is_that_of_the_slow_one(size, sides, seed):
    image = photo(*size)
    # In double precision: in single, a score or a corner that lies on a limit may fall to the other side.
    detector = small_detector(seed=seed, shorter_side=sides[0], longer_side=sides[1]).double()
    wanted = slow_detect(detector.state_dict(), 3, image, *sides, threshold=0.3)
    found = detector.detect([image], threshold=0.3)[0]
    assert len(wanted) > 5  # else the weights above test nothing
    np.testing.assert_allclose(found.boxes, [box for box, _, _ in wanted], atol=1e-3)
    np.testing.assert_allclose(found.scores[:, 0], [c.max() for _, c, _ in wanted], atol=1e-4)
    assert found.candidates[:, 0].tolist() == [best - 1 for _, _, best in wanted]
    for row, (_, confidence, _) in zip(found.candidates, wanted, strict=True):
        close = {c - 1 for c in range(1, 4) if confidence[c] >= confidence[1:].max() - 0.1 and confidence[c] >= 0.3}
        assert {c for c in row.tolist() if c >= 0} == close


def test_scaling_is_limited_by_the_longer_side():
    detector = small_detector(shorter_side=600, longer_side=1000)
    for size, wanted in (((300, 200), (900, 600)), ((500, 100), (1000, 200)), ((1333, 800), (1000, 600))):
        pixels, scale = detector.preprocess(photo(*size))
        assert pixels.shape == (1, 3, wanted[1], wanted[0])
        assert scale == pytest.approx(wanted[0] / size[0], rel=1e-3)


def test_pixels_are_bgr_minus_the_mean():
    image = Image.new("RGB", (64, 64), (10, 20, 30))
    pixels, _ = small_detector(shorter_side=64).preprocess(image)
    assert pixels[0, :, 5, 5].tolist() == pytest.approx([30 - 102.9801, 20 - 115.9465, 10 - 122.7717], abs=1e-4)


def test_nothing_found_and_a_limit_on_boxes():
    detector = small_detector(shorter_side=128)
    image = photo(100, 90)
    assert len(detector.detect([image], threshold=1.0)[0]) == 0
    all_boxes = detector.detect([image], threshold=0)[0]
    assert len(detector.detect([image], threshold=0, maximum=1)[0]) == min(1, len(all_boxes))


def test_the_file_has_the_published_names_and_shapes():
    with torch.device("meta"):
        shapes = {name: tuple(t.shape) for name, t in VGG16FasterRCNN().state_dict().items()}
    assert len(shapes) == 2 * (13 + 3 + 4)
    assert shapes["rpn.features.conv1.0.conv.weight"] == (64, 3, 3, 3)
    assert shapes["rpn.features.conv5.2.conv.bias"] == (512,)
    assert shapes["rpn.conv1.conv.weight"] == (512, 512, 3, 3)
    assert shapes["rpn.score_conv.conv.weight"] == (18, 512, 1, 1)
    assert shapes["rpn.bbox_conv.conv.bias"] == (36,)
    assert shapes["fc6.fc.weight"] == (4096, 25088)
    assert shapes["fc7.fc.weight"] == (4096, 4096)
    assert shapes["score_fc.fc.weight"] == (21, 4096)
    assert shapes["bbox_fc.fc.weight"] == (84, 4096)


def test_saving_and_loading_keeps_every_number(tmp_path):
    detector = small_detector()
    save_vgg16(detector, tmp_path / "d.h5")
    loaded = load_vgg16(tmp_path / "d.h5", **SMALL)
    assert loaded.classes == ["cat", "dog", "cow"]
    assert all(
        torch.equal(a, b) for a, b in zip(detector.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    with h5py.File(tmp_path / "d.h5") as file:  # flat: one dataset a parameter
        assert set(file) == set(detector.state_dict())
    image = photo(80, 90)
    loaded.shorter_side = detector.shorter_side = 96
    assert np.array_equal(detector.detect([image], 0.1)[0].boxes, loaded.detect([image], 0.1)[0].boxes)


def test_a_file_without_class_names_is_pascal_vocs(tmp_path):
    save_vgg16(small_detector(classes=["x"] * 20), tmp_path / "d.h5")
    with h5py.File(tmp_path / "d.h5", "r+") as file:
        del file.attrs["classes"]
    assert load_vgg16(tmp_path / "d.h5", **SMALL).classes == list(VOC_CLASSES)


def test_missing_extra_and_misshapen_parameters_are_named(tmp_path):
    path = tmp_path / "d.h5"
    save_vgg16(small_detector(), path)
    with h5py.File(path, "r+") as file:
        del file["fc7.fc.bias"], file["rpn.conv1.conv.bias"]
        file["fc8.fc.bias"] = np.zeros(3)
        file["rpn.conv1.conv.bias"] = np.zeros(9)
    with pytest.raises(InputError) as error:
        load_vgg16(path, **SMALL)
    message = str(error.value)
    assert "1 missing: fc7.fc.bias" in message
    assert "1 extra: fc8.fc.bias" in message
    assert "1 misshapen: rpn.conv1.conv.bias (9, not 8)" in message
    path.write_bytes(path.read_bytes().replace(b"fc8.fc.bias", b"fc8.fc.bia\xff"))
    with pytest.raises(InputError, match=r"extra: b'fc8\.fc\.bia"):
        load_vgg16(path, **SMALL)
    path.write_bytes(b"not HDF5")
    with pytest.raises(InputError, match="not an HDF5 file"):
        load_vgg16(path)
    with pytest.raises(InputError, match="no such file"):
        load_vgg16(tmp_path / "none.h5")


def test_imagenet_weights_of_another_normalisation_give_the_same_first_layer(tmp_path):
    """torchvision's VGG-16 takes RGB in [0, 1], normalised. Away from the edge nothing may change."""
    detector = small_detector()
    torch.manual_seed(3)
    places = iter([0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28])
    tensors = {}
    for name, tensor in detector.state_dict().items():
        if name.startswith("rpn.features") and name.endswith("weight"):
            place = next(places)
            tensors[f"features.{place}.weight"] = torch.randn_like(tensor)
            tensors[f"features.{place}.bias"] = torch.randn(len(tensor))
    for ours, theirs in (("fc6", "classifier.0"), ("fc7", "classifier.3")):
        for part in ("weight", "bias"):
            tensors[f"{theirs}.{part}"] = torch.randn_like(detector.state_dict()[f"{ours}.fc.{part}"])
    tensors["classifier.6.weight"] = torch.zeros(1000, 16)
    torch.save(tensors, tmp_path / "vgg16.pth")
    load_backbone(detector, tmp_path / "vgg16.pth")

    image = photo(32, 32)
    detector.shorter_side = 32
    ours = detector.rpn.features.conv1[0].conv(detector.preprocess(image)[0])
    rgb = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
    normalised = (rgb - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    theirs = torch.nn.functional.conv2d(normalised, tensors["features.0.weight"], tensors["features.0.bias"], padding=1)
    torch.testing.assert_close(ours[..., 1:-1, 1:-1], theirs[..., 1:-1, 1:-1], atol=1e-3, rtol=1e-3)
    assert torch.equal(detector.fc7.fc.weight, tensors["classifier.3.weight"])
    assert not detector.rpn.features.conv2[1].conv.weight.requires_grad
    assert detector.rpn.features.conv3[0].conv.weight.requires_grad


def test_anchor_targets_by_hand():
    """One object on one anchor: that anchor is positive, far ones are negative, the others are left out."""
    grid = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 11], [50, 50, 59, 59], [0, 0, 9, 14], [-1, 0, 8, 9]])
    truth = torch.tensor([[0.0, 0, 9, 11]])
    # IoU: 10/12 positive, 1 positive, 0 negative, 12/15 positive, crosses the edge
    logits = torch.tensor([[0.0, 1], [0, 1], [0, 1], [0, 1], [0, 50]])
    losses = targets.proposal_losses(logits, torch.zeros(5, 4), grid, truth, (60, 60))
    positive, negative = math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))
    assert losses["objectness"].item() == pytest.approx((3 * positive + negative) / 4, abs=1e-5)
    # Smooth L1, sigma 3: d^2 * 9 / 2 below 1/9, else |d| - 1/18.
    # Anchor 0: dy 0.1, dh log 1.2; anchor 3: dy -0.1, dh log 0.8.
    wanted = 2 * (0.1**2 * 4.5) + (math.log(1.2) - 1 / 18) + (-math.log(0.8) - 1 / 18)
    assert losses["proposal_box"].item() == pytest.approx(wanted / 4, abs=1e-5)


def test_proposals_are_drawn_with_their_classes():
    truth, labels = torch.tensor([[0.0, 0, 9, 9], [30, 30, 49, 49]]), torch.tensor([4, 2])
    proposals = torch.tensor([[0.0, 0, 9, 8], [30, 30, 49, 59], [100, 100, 120, 120]])
    sample = targets.sample_proposals(proposals, truth, labels, batch=64)
    rows = {tuple(box): label for box, label in zip(sample.boxes.tolist(), sample.labels.tolist(), strict=True)}
    assert rows == {
        (0, 0, 9, 8): 5,
        (30, 30, 49, 59): 3,
        (100, 100, 120, 120): 0,
        (0, 0, 9, 9): 5,
        (30, 30, 49, 49): 3,
    }
    restored = anchors.decode(sample.deltas, sample.boxes)[sample.labels == 5]
    torch.testing.assert_close(restored, torch.tensor([[0.0, 0, 10, 10]]).expand(2, 4))
    few = targets.sample_proposals(proposals, truth, labels, batch=4)
    assert (few.labels > 0).sum() == 1  # a quarter
    none = targets.sample_proposals(proposals, truth[:0], labels[:0])
    assert none.labels.tolist() == [0, 0, 0]


def test_it_learns(tmp_path):
    """A few steps on one image lower the loss, and gradients reach every trained parameter."""
    detector = small_detector(shorter_side=160)
    detector.train()
    batch = [photo(160, 160)], [torch.tensor([[20.0, 20, 119, 119]])], [torch.tensor([1])]
    optimizer = torch.optim.Adam(detector.parameters(), 3e-3)
    history = []
    for _ in range(30):
        loss = sum(detector.losses(*batch).values())
        optimizer.zero_grad()
        loss.backward()
        history.append(loss.item())
        optimizer.step()
    assert all(p.grad is not None for p in detector.parameters())
    assert np.mean(history[-5:]) < 0.7 * np.mean(history[:5])
    empty = detector.losses([photo(160, 160)], [torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.long)])
    assert all(torch.isfinite(value) for value in empty.values())
