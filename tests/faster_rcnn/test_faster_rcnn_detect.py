"""torchvision's detectors, weights files, detection into a file, training: end to end on tiny images."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import box_iou

import faster_rcnn.detect
import faster_rcnn.train
from faster_rcnn import build_detector, load_detector, save_detector
from faster_rcnn.candidates import is_too_thin
from faster_rcnn.detect import AMBIGUITY_MARGIN, decoded, detect_images, detect_to_file, identity, image_items
from faster_rcnn.torchvision_detectors import TorchvisionDetector
from faster_rcnn.train import AnnotatedImages
from faster_rcnn.vgg16 import VGG16FasterRCNN
from faster_rcnn.weights import load_backbone
from files.detections import Detections, read_detections
from files.io import InputError, file_digest
from files.splits import ImageRecord, Labels, ObjectRecord, Split, write_split
from semantic_graph import SemanticActionGraph

LITE0 = "fasterrcnn_efficientnet_lite0"
NAMES = ["square", "disc"]


def draw(seed: int) -> tuple[Image.Image, list[ObjectRecord]]:
    """A 64 x 48 image with one red square and one blue disc."""
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", (64, 48), (230, 230, 220))
    pen, objects = ImageDraw.Draw(image), []
    for i, name in enumerate(NAMES):
        side = int(generator.integers(14, 24))
        x, y = int(generator.integers(0, 30 - side) + 32 * i), int(generator.integers(0, 48 - side))
        box = (x, y, x + side - 1, y + side - 1)
        pen.rectangle(box, fill=(200, 20, 20)) if name == "square" else pen.ellipse(box, fill=(20, 20, 200))
        objects.append(ObjectRecord(i, x, y, side, side, name))
    return image, objects


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """images/, train.json, validation.json and graph.pickle of a world of squares and discs."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "images").mkdir()
    records = []
    for i in range(6):
        image, objects = draw(i)
        image.save(folder / "images" / f"{i:02}.png")
        records.append(ImageRecord(f"{i:02}.png", Labels(i, objects, [])))
    write_split(folder / "train.json", records[:4])
    write_split(folder / "validation.json", records[4:])
    SemanticActionGraph(NAMES, [], [], np.zeros((0, 3)), np.zeros((0, 4))).save(folder / "graph.pickle")
    return folder


@pytest.fixture(scope="module")
def detector() -> TorchvisionDetector:
    torch.manual_seed(0)
    detector = build_detector(LITE0, NAMES)
    load_backbone(detector, None)
    # Weights as spread as a trained network's, so that there is something to suppress and to choose from.
    torch.nn.init.normal_(detector.model.roi_heads.box_predictor.cls_score.weight, std=0.05)
    return detector.eval()


def images() -> list[Image.Image]:
    return [draw(1)[0], draw(2)[0].resize((90, 130))]


def same(a: Detections, b: Detections) -> bool:
    return all(
        np.array_equal(x, y) for x, y in ((a.boxes, b.boxes), (a.candidates, b.candidates), (a.scores, b.scores))
    )


def test_every_proposal_is_one_box_with_all_its_scores(detector):
    """Against torchvision's own post-processing, which lists a proposal once for every class."""
    image = images()[1]
    found = detector.detect([image], threshold=0.05, margin=1.0)[0]
    model = detector.model
    model.roi_heads.score_thresh, model.roi_heads.nms_thresh, model.roi_heads.detections_per_img = 0.05, 1.1, 10_000
    with torch.no_grad():
        theirs = model(detector._tensors([image]))[0]
    model.roi_heads.nms_thresh = 0.5
    boxes = theirs["boxes"] - torch.tensor([0, 0, 1, 1])  # their x2, y2 are edges
    assert len(found) > 3
    for box, candidates, scores in zip(found.boxes, found.candidates, found.scores, strict=True):
        at = (boxes - torch.from_numpy(box)).abs().amax(dim=1) < 1e-3
        # the box is that of its best class, with that class's score
        assert any(
            label == candidates[0] + 1 and abs(score - scores[0]) < 1e-5
            for label, score in zip(theirs["labels"][at].tolist(), theirs["scores"][at].tolist(), strict=True)
        )
        assert scores[0] == scores.max()
    for category in range(len(NAMES)):  # what is left of one class does not overlap
        kept = torch.from_numpy(found.boxes[found.candidates[:, 0] == category]) + torch.tensor([0, 0, 1, 1])
        overlaps = box_iou(kept, kept).fill_diagonal_(0)
        assert overlaps.max() <= 0.5
    assert found.boxes.min() >= 0
    assert (found.boxes[:, 2] <= image.width - 1 + 1e-3).all()
    assert (np.diff(found.scores[:, 0]) <= 0).all()


def test_threshold_margin_and_maximum(detector):
    image = images()[0]
    everything = detector.detect([image], threshold=0.0, margin=1.0)[0]
    assert everything.candidates.shape[1] == len(NAMES)
    few = detector.detect([image], threshold=0.0, margin=0.0, maximum=3)[0]
    assert few.candidates.shape == (3, 1)
    assert same(few, Detections(everything.boxes[:3], everything.candidates[:3, :1], everything.scores[:3, :1]))
    assert (detector.detect([image], threshold=0.4)[0].scores[:, 0] >= 0.4).all()
    assert len(detector.detect([image], threshold=1.0)[0]) == 0


def test_what_is_found_does_not_depend_on_the_images_beside_it(detector):
    together = detector.detect([*images(), images()[0]], threshold=0.05)
    for found, image in zip(together, [*images(), images()[0]], strict=True):
        alone = detector.detect([image], threshold=0.05)[0]
        assert len(found) == len(alone)
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-2)
    assert detector.detect([], 0.05) == []


def test_boxes_are_learned_as_inclusive_pixels(detector, monkeypatch):
    """Annotation (x, y, w, h) reaches torchvision as edges, x2 - x1 = w."""
    seen = []
    monkeypatch.setattr(type(detector.model), "forward", lambda self, tensors, targets: seen.append(targets) or {})
    detector.losses([images()[0]], [torch.tensor([[3.0, 4, 12, 23]])], [torch.tensor([1])])
    assert seen[0][0]["boxes"].tolist() == [[3, 4, 13, 24]]
    assert seen[0][0]["labels"].tolist() == [2]
    assert resize_boxes(seen[0][0]["boxes"], (48, 64), (96, 128)).tolist() == [[6, 8, 26, 48]]


def test_saving_and_loading(detector, tmp_path):
    path = tmp_path / "detector.pt"
    save_detector(detector, path)
    loaded = load_detector(None, path)
    assert (loaded.name, loaded.classes) == (LITE0, NAMES)
    assert same(loaded.detect(images()[:1], 0.05)[0], detector.detect(images()[:1], 0.05)[0])
    with pytest.raises(InputError, match="holds a fasterrcnn_efficientnet_lite0 detector"):
        load_detector("fasterrcnn_resnet50_fpn_v2", path)


@pytest.mark.slow
def test_a_state_dict_of_torchvision_with_cocos_classes(tmp_path):
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    torch.manual_seed(0)
    model = TorchvisionDetector(name).model
    # As torchvision publishes it: frozen norms do not count batches.
    tensors = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(tensors, tmp_path / "coco.pth")
    loaded = load_detector(name, tmp_path / "coco.pth")
    assert len(loaded.classes) == 80
    assert loaded.classes[0] == "person"
    assert loaded.classes[-1] == "toothbrush"
    assert "N/A" not in loaded.classes
    found = loaded.detect([images()[0]], threshold=0.0, margin=1.0)[0]
    assert found.candidates.max() <= 79
    save_detector(loaded, tmp_path / "ours.pt")
    assert load_detector(None, tmp_path / "ours.pt").classes == loaded.classes
    assert load_detector(None, tmp_path / "coco.pth").name == "fasterrcnn_mobilenet_v3_large_fpn"  # of the same shapes
    del tensors["rpn.head.cls_logits.bias"]
    torch.save(tensors | {"more": torch.zeros(1)}, tmp_path / "coco.pth")
    with pytest.raises(InputError, match=r"1 missing: rpn.head.cls_logits.bias; 1 extra: more"):
        load_detector(name, tmp_path / "coco.pth")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut off"])
def test_what_is_no_weights_file_is_refused(tmp_path, content):
    path = tmp_path / "d.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"d\.pt"):
        load_detector(LITE0, path)
    with pytest.raises(InputError, match="no such file"):
        load_detector(LITE0, tmp_path / "none.pt")
    with pytest.raises(InputError, match="--weights"):
        load_detector(LITE0, None)


@pytest.mark.parametrize("content", [[], {"state_dict": {}}, {"detector": LITE0, "classes": [3], "state_dict": {}}])
def test_a_torch_file_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "d.pt")
    with pytest.raises(InputError, match=r"d\.pt: .*faster_rcnn\.train"):
        load_detector(None, tmp_path / "d.pt")


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    torch.save({"detector": Path("x")}, tmp_path / "d.pt")
    with pytest.raises(InputError, match=r"d\.pt: is not a PyTorch file of tensors"):
        load_detector(None, tmp_path / "d.pt")


def test_without_internet_the_flag_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(InputError, match="--backbone_weights FILE"):
        load_backbone(TorchvisionDetector("fasterrcnn_mobilenet_v3_large_320_fpn", NAMES), None)
    with pytest.raises(InputError, match="--weights"):
        load_detector("fasterrcnn_mobilenet_v3_large_320_fpn")


def test_a_backbone_from_a_local_classifier_file(tmp_path):
    import torchvision

    classifier = torchvision.models.mobilenet_v3_large(weights=None)
    torch.save(classifier.state_dict(), tmp_path / "mobilenet.pth")
    detector = TorchvisionDetector("fasterrcnn_mobilenet_v3_large_320_fpn", NAMES)
    load_backbone(detector, tmp_path / "mobilenet.pth")
    ours = dict(detector.model.backbone.body.named_parameters())
    assert torch.equal(ours["4.block.0.0.weight"], classifier.features[4].block[0][0].weight)
    assert not ours["4.block.0.0.weight"].requires_grad
    assert ours["12.block.0.0.weight"].requires_grad
    assert not detector.train().model.backbone.body["4"].block[0][1].training
    with pytest.raises(InputError, match="holds no state_dict"):
        load_backbone(TorchvisionDetector("fasterrcnn_resnet50_fpn_v2", NAMES), tmp_path / "mobilenet.pth")


def test_images_come_in_order_and_bad_ones_as_none(world, tmp_path, capsys):
    good = world / "images" / "00.png"
    (tmp_path / "bad.png").write_bytes(b"no image")
    items = [(str(i), good) for i in range(20)]
    items[3] = ("3", tmp_path / "bad.png")
    found = list(decoded(iter(items), num_workers=3, ahead=5))
    assert [name for name, _ in found] == [str(i) for i in range(20)]
    assert [name for name, image in found if image is None] == ["3"]
    assert "bad.png" in capsys.readouterr().err


def test_when_nothing_decodes_no_file_is_made(detector, tmp_path):
    with pytest.raises(InputError, match="none of the 2 images"):
        detect_to_file(detector, [(n, tmp_path / n) for n in ("a.png", "b.png")], tmp_path / "d.h5")
    assert list(tmp_path.iterdir()) == []


def test_what_to_look_at(world, tmp_path):
    assert [name for name, _ in image_items(world / "validation.json", world / "images")] == ["04.png", "05.png"]
    assert image_items(world / "images", "unused")[0] == ("00.png", world / "images" / "00.png")
    assert image_items(world / "images" / "03.png", "unused") == [("03.png", world / "images" / "03.png")]
    with pytest.raises(InputError, match="no such"):
        image_items(tmp_path / "nothing", "unused")


def test_a_stopped_run_goes_on_where_it_was(detector, world, tmp_path, monkeypatch, capsys):
    items = image_items(world / "images", "unused")[:6]
    wanted = dict(detect_images(detector, items, threshold=0.1, batch_size=1))
    output = tmp_path / "d.h5"

    class Killed(Exception):
        pass

    def dies(*arguments, **more):
        for i, pair in enumerate(detect_images(*arguments, **more, batch_size=1)):
            if i == 4:
                raise Killed
            yield pair

    monkeypatch.setattr(faster_rcnn.detect, "detect_images", dies)
    with pytest.raises(Killed):
        detect_to_file(detector, items, output, threshold=0.1)
    assert not output.exists()
    journal = tmp_path / "d.h5.partial"
    journal.write_bytes(journal.read_bytes()[:-7])  # killed in the middle of a line
    calls = []

    def counts(detector, items, *more):
        calls.extend(name for name, _ in items)
        return detect_images(detector, items, *more, batch_size=1)

    monkeypatch.setattr(faster_rcnn.detect, "detect_images", counts)
    assert detect_to_file(detector, items, output, threshold=0.1) == (6, 0)
    assert calls == ["03.png", "04.png", "05.png"]
    assert "3 of 6 images are done" in capsys.readouterr().err
    file = read_detections(output)
    assert list(file) == list(wanted)
    assert all(same(file[name], wanted[name]) for name in wanted)
    assert not journal.exists()

    journal.write_bytes(b"another detector\n")
    calls.clear()
    detect_to_file(detector, items[:1], tmp_path / "d.h5", threshold=0.1)
    assert calls == ["00.png"]


def test_annotations_are_clipped_and_mirrored(tmp_path):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    objects = [
        ObjectRecord(0, -3, 2, 8, 4, "disc"),  # to pixel 4; the part outside goes
        ObjectRecord(1, 15, 5, 10, 20, "square"),
        ObjectRecord(2, 25, 5, 10, 2, "square"),  # wholly outside
        ObjectRecord(3, 4, 4, 0, 5, "square"),  # empty
        ObjectRecord(4, 1, 1, 5, 5, "triangle"),  # not in the vocabulary
    ]
    write_split(tmp_path / "s.json", [ImageRecord("a.png", Labels(1, objects, []))])
    graph = SemanticActionGraph(NAMES, [], [], np.zeros((0, 3)), np.zeros((0, 4)))
    _, boxes, labels = AnnotatedImages(Split(tmp_path / "s.json"), tmp_path, graph)[0]
    assert boxes.tolist() == [[0, 2, 4, 5], [15, 5, 19, 9]]
    assert labels.tolist() == [1, 0]
    mirrored = set()
    torch.manual_seed(0)
    for _ in range(20):
        _, boxes, _ = AnnotatedImages(Split(tmp_path / "s.json"), tmp_path, graph, mirror=True)[0]
        mirrored.add(tuple(boxes[0].tolist()))
    assert mirrored == {(0, 2, 4, 5), (15, 2, 19, 5)}


def test_photos_that_are_not_the_annotated_ones_are_told_or_refused_before_training(tmp_path):
    names = ["a.png", "b.png", "c.png"]
    records = [ImageRecord(name, Labels(i, [], []), 20, 10) for i, name in enumerate(names)]
    write_split(tmp_path / "s.json", records)
    graph = SemanticActionGraph(NAMES, [], [], np.zeros((0, 3)), np.zeros((0, 4)))
    for name, size in zip(names, [(20, 10), (20, 10), (10, 5)], strict=True):
        Image.new("RGB", size).save(tmp_path / name)
    data = AnnotatedImages(Split(tmp_path / "s.json"), tmp_path, graph)
    assert "1 of 3 photos have another size than was annotated (c.png: 10 x 5, annotated 20 x 10)" in data.check_sizes()
    Image.new("RGB", (40, 20)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match="2 of 3 photos have another size"):
        data.check_sizes()


def test_a_split_is_detected_on_the_photos_that_were_annotated(tmp_path):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    record = ImageRecord("a.png", Labels(1, [ObjectRecord(0, 1, 2, 8, 4, "disc")], []), width=40, height=20)
    write_split(tmp_path / "s.json", [record])
    with pytest.raises(InputError, match="20 x 10, annotated 40 x 20"):
        image_items(tmp_path / "s.json", tmp_path)


def test_a_photo_that_changed_while_a_run_was_stopped_is_looked_at_again(tmp_path):
    items = [(f"{i}.png", tmp_path / f"{i}.png") for i in range(3)]
    for i, (_, path) in enumerate(items):
        Image.new("RGB", (40 + i, 30), (50 * i, 0, 90)).save(path)
    detector, output = TorchvisionDetector("fasterrcnn_mobilenet_v3_large_320_fpn", NAMES), tmp_path / "d.json"
    header = msgspec.json.encode([identity(detector), 0.0, 5, AMBIGUITY_MARGIN]) + b"\n"
    rows = [[name, [0, 0, 9, 9], [1], [0], [0.5], file_digest(path)] for name, path in items[:2]]
    (tmp_path / "d.json.partial").write_bytes(header + b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    Image.new("RGB", (40, 30), (9, 9, 9)).save(items[0][1])
    detect_to_file(detector, items, output, threshold=0.0, maximum=5)
    found = read_detections(output)
    assert found["1.png"].boxes.tolist() == [[0, 0, 9, 9]]  # as the stopped run had found it
    assert found["0.png"].boxes.tolist() != [[0, 0, 9, 9]]


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 1])
def test_images_that_cannot_be_used_are_left_out_and_told_once(world, tmp_path, capsys, num_workers):
    shutil.copytree(world / "images", tmp_path / "images")
    (tmp_path / "images" / "01.png").write_bytes(b"no image")
    (tmp_path / "images" / "02.png").unlink()
    Image.new("RGB", (3000, 5)).save(tmp_path / "images" / "03.png")
    more = ["--images_dir", tmp_path / "images", "--num_epochs", 2, "--batch_size", 2, "--num_workers", num_workers]
    assert run_train(world, *more, "--output", tmp_path / "d.pt") == 0
    said = capsys.readouterr()
    assert "3 images cannot be used and were left out" in said.out
    assert [said.err.count(f"{name}.png: ") for name in ("00", "01", "02", "03")] == [0, 1, 1, 1]
    for name in ("00", "01", "03"):
        (tmp_path / "images" / f"{name}.png").write_bytes(b"no image")
    assert run_train(world, *more, "--output", tmp_path / "e.pt") == 2
    assert "train.json: none of its 4 images can be read" in capsys.readouterr().err
    assert not (tmp_path / "e.pt").exists()


@pytest.mark.parametrize("size", [(3000, 5), (5, 3000), (4000, 1), (200, 5)])
def test_the_thinnest_images(detector, size):
    vgg16 = VGG16FasterRCNN(NAMES, widths=(4, 4, 4, 4, 4), hidden=8)
    for each in (detector, vgg16):
        found = each.detect([images()[0], Image.new("RGB", size)])
        assert len(found) == 2
        assert not is_too_thin(Image.new("RGB", size)) or not len(found[1])


def run_train(world: Path, *more: str) -> int:
    arguments = ["--train_data", world / "train.json", "--validation_data", world / "validation.json"]
    arguments += ["--images_dir", world / "images", "--graph", world / "graph.pickle", "--num_workers", 0, *more]
    return faster_rcnn.train.main([str(argument) for argument in arguments])


@pytest.mark.slow
def test_train_resume_and_detect_from_the_command_line(world, tmp_path, monkeypatch, capsys):
    """Two epochs at once, or one, a crash and the other: the same detector. It is used on a split and a folder."""
    output, common = tmp_path / "whole.pt", ["--num_epochs", 2, "--batch_size", 4]
    assert run_train(world, *common, "--output", output) == 0
    said = capsys.readouterr().out
    assert "epoch 2/2" in said
    assert f"wrote the detector to {output}" in said
    assert run_train(world, *common, "--output", output, "--resume", "--learning_rate", 0.5) == 2
    assert "another learning_rate" in capsys.readouterr().err

    parts = ["--output", tmp_path / "parts.pt"]
    assert run_train(world, *common, *parts, "--resume") == 2
    assert "leave --resume out" in capsys.readouterr().err
    real = faster_rcnn.train.train_one_epoch

    def dies_in_the_second(*arguments):
        if arguments[-1].startswith("epoch 2"):
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(faster_rcnn.train, "train_one_epoch", dies_in_the_second)
    capsys.readouterr()
    assert run_train(world, *common, *parts) == 130
    assert "with --resume continues" in capsys.readouterr().err
    monkeypatch.undo()
    checkpoint = tmp_path / "parts.pt.checkpoint"
    right = torch.load(checkpoint, weights_only=True)
    for change in (
        {"epoch": "1"},
        {"best": torch.nan},
        {"schedule": {"last_epoch": -1}},
        {"optimizer": {"state": {0: {}}}},
    ):
        torch.save(right | change, checkpoint)
        assert run_train(world, *common, *parts, "--resume") == 2
        assert "parts.pt.checkpoint: does not hold what it should" in capsys.readouterr().err
    torch.save(right, checkpoint)
    assert run_train(world, *common, *parts, "--resume") == 0
    states = [
        torch.load(tmp_path / f"{name}.pt.checkpoint", weights_only=True)["detector"] for name in ("whole", "parts")
    ]
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, msg=name)
    capsys.readouterr()

    for images, ending, count in ((world / "validation.json", "json", 2), (world / "images", "h5", 6)):
        written = tmp_path / f"found.{ending}"
        arguments = ["--weights", output, "--images", images, "--images_dir", world / "images", "--output", written]
        assert faster_rcnn.detect.main([str(argument) for argument in arguments]) == 0
        assert f"of {count} images (2 classes)" in capsys.readouterr().out
        file = read_detections(written)
        assert (len(file), file.classes) == (count, NAMES)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--num_epochs", "0"], "--num_epochs 0"),
        (["--learning_rate", "-1"], "--learning_rate -1"),
        (["--detector", "vgg16", "--output", "d.pt"], "written as .h5"),
        (["--backbone_weights", "none.pth"], "no such file"),
        (["--images_dir", "nowhere"], "nowhere: has none of the 4 images"),
        (["--output", "/proc/none/d.pt"], "choose another --output"),
        (["--output", "."], "is a folder"),
        (["--num_workers", "-1"], "--num_workers"),
        (["--learning_rate", "nan"], "--learning_rate nan"),
        (["--graph", "nowhere.pickle"], "nowhere.pickle"),
        (["--device", "cuda:77"], "--device"),
        (["--device", "meta"], "--device meta: cannot be used"),
    ],
)
def test_bad_arguments_end_in_one_line(world, tmp_path, capsys, arguments, words):
    assert run_train(world, "--output", tmp_path / "d.pt", *arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1


def test_training_without_an_object_of_the_graph_is_refused(world, tmp_path, capsys):
    records = list(Split(world / "train.json"))
    for record in records:
        for thing in record.labels.objects:
            thing.name = "axolotl"
    write_split(tmp_path / "train.json", records)
    assert run_train(world, "--train_data", tmp_path / "train.json", "--output", tmp_path / "d.pt") == 2
    assert "none of its images has an object that the graph knows" in capsys.readouterr().err


def test_bad_arguments_of_detect(world, capsys):
    for arguments, words in (
        ([], "which detector"),
        (["--weights", "none.pt"], "no such file"),
        (["--weights", "none.pt", "--threshold", "7"], "--threshold"),
    ):
        assert faster_rcnn.detect.main(["--images", str(world / "images"), *arguments]) == 2
        assert words in capsys.readouterr().err
