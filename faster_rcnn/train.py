"""Train a detector on the graph's own vocabulary: `python -m faster_rcnn.train`."""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from boxes import area, from_xywh
from faster_rcnn import DETECTORS, Detector, build_detector, save_detector
from faster_rcnn.average_precision import mean_average_precision
from faster_rcnn.candidates import is_too_thin
from faster_rcnn.detect import default_device, to_device
from faster_rcnn.weights import load_backbone
from files.checkpoints import count_of, load_optimizer, load_parameters, read_tensors, write_tensors
from files.images import find_image, load_image
from files.io import InputError, check_writable, clear_load_errors, file_digest, first_line, reports_input_errors
from files.locks import file_lock
from files.one_set import check_one_run
from files.photo_checks import check_photos
from files.splits import Split
from semantic_graph import SemanticActionGraph


class Recipe(NamedTuple):
    """What a detector is trained with unless the flags say otherwise."""

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: type[torch.optim.Optimizer]


# VGG-16 as Ren et al. 2015, section 3.1.3; the others by AdamW, which needs no long warm-up.
RECIPES = {
    "vgg16": Recipe(10, 1, 1e-3, torch.optim.SGD),
    "fasterrcnn_resnet50_fpn_v2": Recipe(12, 4, 2e-4, torch.optim.AdamW),
    "fasterrcnn_mobilenet_v3_large_320_fpn": Recipe(20, 8, 5e-4, torch.optim.AdamW),
    "fasterrcnn_efficientnet_lite0": Recipe(12, 4, 1e-3, torch.optim.AdamW),
}
BACKBONE_LEARNING_RATE = 0.1  # of the new layers', where the backbone is pretrained

TOLD = 10  # unreadable images that are named

Example = tuple[Image.Image, torch.Tensor, torch.Tensor]  # image, (n, 4) inclusive corners, (n,) class indices


class AnnotatedImages(Dataset[Example | InputError]):
    """The images of a split with their boxes; half of them mirrored when `mirror` is set.

    Instead of an image that cannot be used: the InputError that says why; `readable` gathers these
    in `skipped`.
    """

    def __init__(self, split: Split, images_dir: str | Path, graph: SemanticActionGraph, mirror: bool = False):
        """Raises InputError when the split is empty, or none of its images is in the folder."""
        self.split, self.images_dir, self.graph, self.mirror = split, images_dir, graph, mirror
        self.skipped: set[str] = set()
        if not len(split):
            raise InputError(f"{split.path}: holds no image; make it with create_graph.py")
        self.photos = [
            (record, path)
            for record, path in ((record, find_image(images_dir, record.image_name)) for record in split)
            if os.path.isfile(path)
        ]
        if not self.photos:
            raise InputError(f"{images_dir}: has none of the {len(split)} images of {split.path}; check --images_dir")
        # of the split's content, and of which photos there are and how large their files
        sizes = [(record.image_name, path.stat().st_size) for record, path in self.photos]
        seen = repr((file_digest(split.path), sizes)).encode("utf-8", "replace")
        self.fingerprint = hashlib.blake2b(seen, digest_size=16).hexdigest()

    def __len__(self) -> int:
        return len(self.split)

    def check_objects(self) -> None:
        """Raise InputError when no image has an object whose name is a class: there is nothing to learn."""
        names = (thing.name for record, _ in self.photos for thing in record.labels.objects)
        if not any(self.graph.entity_index(name) >= 0 for name in names):
            raise InputError(
                f"{self.split.path}: none of its images has an object that the graph knows; "
                "check --train_data and --graph"
            )

    def check_sizes(self) -> str | None:
        """As `files.photo_checks.check_photos`: whether these are the photos that were annotated."""
        return check_photos(self.photos, self.images_dir)

    def __getitem__(self, index: int) -> Example | InputError:
        try:
            return self._example(index)
        except InputError as error:
            return error

    def _example(self, index: int) -> Example:
        record = self.split[index]
        path = find_image(self.images_dir, record.image_name)
        image = load_image(path)
        if is_too_thin(image):
            raise InputError(f"{path}: is only {min(image.size)} pixels wide or high and {max(image.size)} long")
        objects = record.labels.objects
        boxes = from_xywh(np.array([(o.x, o.y, o.w, o.h) for o in objects], dtype=np.float64).reshape(-1, 4))
        labels = np.array([self.graph.entity_index(o.name) for o in objects], dtype=np.int64)
        last = np.array([image.width - 1, image.height - 1] * 2)
        inside = np.clip(boxes, 0, last)
        # A box wholly outside the image would be clipped to a line on its edge.
        overlaps = (boxes[:, :2] <= last[:2]).all(axis=1) & (boxes[:, 2:] >= 0).all(axis=1)
        keep = overlaps & (area(boxes) > 0) & (labels >= 0)
        boxes, labels = inside[keep], labels[keep]
        if self.mirror and torch.rand(()) < 0.5:
            image = ImageOps.mirror(image)
            boxes = np.stack([last[0] - boxes[:, 2], boxes[:, 1], last[0] - boxes[:, 0], boxes[:, 3]], axis=1)
        return image, torch.from_numpy(boxes).float(), torch.from_numpy(labels)


def _columns(batch: Sequence[Example | InputError]) -> tuple[list, list, list, list[str]]:
    """Images, boxes, labels, and what is wrong with those that cannot be used."""
    faults = [str(example) for example in batch if isinstance(example, InputError)]
    good = [example for example in batch if not isinstance(example, InputError)]
    images, boxes, labels = zip(*good, strict=True) if good else ((), (), ())
    return list(images), list(boxes), list(labels), faults


def _loader(data: AnnotatedImages, batch_size: int, num_workers: int, shuffle: bool) -> DataLoader:
    return DataLoader(data, batch_size, shuffle=shuffle, num_workers=num_workers, collate_fn=_columns)


def readable(
    batches: Iterable[tuple[list, list, list, list[str]]], skipped: set[str]
) -> Iterator[tuple[list[Image.Image], list[torch.Tensor], list[torch.Tensor]]]:
    """Images, boxes and labels of each batch. What is wrong with the others is told once and put into `skipped`."""
    for images, boxes, labels, faults in batches:
        for fault in faults:
            if fault not in skipped and len(skipped) < TOLD:
                tqdm.write(f"warning: skipped: {fault}", file=sys.stderr)
            skipped.add(fault)
        if images:
            yield images, boxes, labels


def validate(detector: Detector, data: AnnotatedImages, batch_size: int, num_workers: int) -> float:
    """mAP at IoU 0.5 of the detector on annotated images, at most 100 boxes an image."""

    def pairs():
        loader = _loader(data, batch_size, num_workers, shuffle=False)
        progress = tqdm(loader, "validating", leave=False, disable=None)
        for images, boxes, labels in readable(progress, data.skipped):
            for found, truth, wanted in zip(detector.detect(images, maximum=100), boxes, labels, strict=True):
                yield found, truth.numpy(), wanted.numpy()

    return mean_average_precision(pairs(), len(detector.classes))[0]


def train_one_epoch(
    detector: Detector,
    data: AnnotatedImages,
    batch_size: int,
    num_workers: int,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    name: str,
) -> float:
    """One pass over the images; the mean loss. Raises InputError when no image is readable, or the loss not finite."""
    detector.train()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    total, step = 0.0, 0
    progress = tqdm(_loader(data, batch_size, num_workers, shuffle=True), name, disable=None)
    for step, (images, boxes, labels) in enumerate(readable(progress, data.skipped), 1):
        loss = sum(detector.losses(images, boxes, labels).values())
        total += loss.item()
        if not math.isfinite(total):
            raise InputError(f"{name}: the loss is not a number any more; use a smaller --learning_rate")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
        schedule.step()
        progress.set_postfix(loss=f"{total / step:.3f}")
    if not step:
        raise InputError(f"{data.split.path}: none of its {len(data)} images can be read; see the warnings above")
    return total / step


def make_optimizer(detector: Detector, recipe: Recipe, pretrained: bool) -> torch.optim.Optimizer:
    """An optimizer of all parameters that train; a pretrained backbone learns at a tenth of the rate."""
    backbone, new = [], []
    for name, parameter in detector.named_parameters():
        if parameter.requires_grad:
            (backbone if pretrained and name.startswith("model.backbone.body.") else new).append(parameter)
    rate = recipe.learning_rate
    groups = [{"params": new, "lr": rate}, {"params": backbone, "lr": rate * BACKBONE_LEARNING_RATE}]
    if recipe.optimizer is torch.optim.SGD:
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, weight_decay=5e-4)
    return torch.optim.AdamW(groups, lr=rate, weight_decay=1e-4)


def make_schedule(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Linear warm-up over the first twentieth, at most 500 steps, then a cosine down to zero."""
    warm_up = max(1, min(500, steps // 20))

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1, steps - warm_up))))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def load_checkpoint(path: Path, settings: dict, detector: Detector, optimizer, schedule) -> tuple[int, float]:
    """Continue from `path`: the epochs done and the best mAP so far. Raises InputError when it does not fit."""
    cure = "leave --resume out"
    checkpoint = read_tensors(path, cure, what="a checkpoint of faster_rcnn.train")
    with clear_load_errors(path, cure):
        differs = [key for key in settings if checkpoint["settings"].get(key) != settings[key]]
        if differs:
            raise InputError(
                f"{path}: was made with another {', '.join(differs)}; give the same, or leave --resume out"
            )
        load_parameters(detector, checkpoint["detector"], path, cure)
        load_optimizer(optimizer, checkpoint["optimizer"])
        step = count_of(checkpoint["schedule"]["last_epoch"])
        schedule.last_epoch = step
        for group, rate, factor in zip(optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
            group["lr"] = rate * factor(step)
        if not -1 <= checkpoint["best"] <= 1:  # nor NaN, which no mAP is greater than
            raise ValueError(f"its best mAP is {checkpoint['best']}")
        return count_of(checkpoint["epoch"]), checkpoint["best"]


def train(
    detector: Detector,
    train_data: AnnotatedImages,
    validation_data: AnnotatedImages,
    recipe: Recipe,
    output: Path,
    pretrained: bool,
    num_workers: int = 2,
    seed: int = 0,
    resume: bool = False,
) -> float:
    """Train; write the best detector (by validation mAP) to `output`; the best mAP at IoU 0.5.

    After every epoch `output`.checkpoint holds all that is needed to continue, atomically.
    """
    optimizer = make_optimizer(detector, recipe, pretrained)
    schedule = make_schedule(optimizer, recipe.epochs * math.ceil(len(train_data) / recipe.batch_size))
    checkpoint = output.with_name(output.name + ".checkpoint")
    settings = {
        "detector": detector.name,
        "classes": detector.classes,
        "num_epochs": recipe.epochs,
        "train_data": train_data.fingerprint,
        "validation_data": validation_data.fingerprint,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "backbone_weights": pretrained,
        "seed": seed,
    }
    done, best = load_checkpoint(checkpoint, settings, detector, optimizer, schedule) if resume else (0, -1.0)
    start = time.monotonic()
    for epoch in range(done + 1, recipe.epochs + 1):
        # A resumed run draws what the uninterrupted one would have drawn.
        torch.manual_seed(seed + epoch)
        title = f"epoch {epoch}/{recipe.epochs}"
        loss = train_one_epoch(detector, train_data, recipe.batch_size, num_workers, optimizer, schedule, title)
        score = validate(detector, validation_data, recipe.batch_size, num_workers)
        if score > best:
            best = score
            save_detector(detector, output)
        state = {"detector": detector.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"schedule": schedule.state_dict(), "settings": settings, "epoch": epoch, "best": best}
        write_tensors(checkpoint, state)
        minutes = (time.monotonic() - start) / 60
        print(f"{title}: loss {loss:.3f}, mAP@0.5 {score:.3f}, {minutes:.1f} min", flush=True)
    return best


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m faster_rcnn.train",
        description="Train a detector on the entities of a semantic action graph.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--detector", choices=DETECTORS, default="fasterrcnn_efficientnet_lite0", help="what to train")
    parser.add_argument("--train_data", default="data/data_samples/train_data.json", help="split file to learn from")
    parser.add_argument(
        "--validation_data",
        default="data/data_samples/validation_data.json",
        help="split file that mAP@0.5 is taken on",
    )
    parser.add_argument("--images_dir", default="data/VG_100K/", help="where the images lie")
    parser.add_argument(
        "--graph", default="graph.pickle", help="the semantic action graph: its entities are the classes"
    )
    parser.add_argument("--output", help="the trained detector; left out, detector.pt (of vgg16: detector.h5)")
    parser.add_argument(
        "--backbone_weights",
        help="ImageNet weights of the backbone, torchvision's file; `none` for random ones; left out, they are "
        "downloaded by torchvision (EfficientNet-Lite0's come with its pip package)",
    )
    parser.add_argument("--num_epochs", type=int, help="passes over the images; left out, the detector's own recipe")
    parser.add_argument("--batch_size", type=int, help="images a step; left out, the detector's own recipe")
    parser.add_argument("--learning_rate", type=float, help="highest rate; left out, the detector's own recipe")
    parser.add_argument("--num_workers", type=int, default=2, help="processes that decode images")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, order and sampling")
    parser.add_argument("--device", default=default_device(), help="cpu, cuda or cuda:N")
    parser.add_argument("--resume", action="store_true", help="continue from OUTPUT.checkpoint")
    return parser.parse_args(argv)


def choose_recipe(args: argparse.Namespace) -> Recipe:
    """The detector's recipe with what the flags change. Raises InputError for numbers that cannot be."""
    given = {"epochs": args.num_epochs, "batch_size": args.batch_size, "learning_rate": args.learning_rate}
    for name, value in given.items():
        if value is not None and not 0 < value < math.inf:
            flag = "num_epochs" if name == "epochs" else name
            raise InputError(f"--{flag} {value}: must be greater than 0")
    if args.num_workers < 0 or not 0 <= args.seed < 2**63:
        raise InputError("--num_workers must not be negative, and --seed must be from 0 to 2**63 - 1")
    return RECIPES[args.detector]._replace(**{name: value for name, value in given.items() if value is not None})


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    recipe = choose_recipe(args)
    output = Path(args.output or ("detector.h5" if args.detector == "vgg16" else "detector.pt"))
    if (args.detector == "vgg16") != (output.suffix.lower() in (".h5", ".hdf5")):
        raise InputError(f"--output {output}: a vgg16 detector is written as .h5, the others as .pt; change its ending")
    try:
        torch.zeros(1, device=args.device).item()
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(f"--device {args.device}: cannot be used ({first_line(error)}); use --device cpu") from None
    graph = SemanticActionGraph.load(args.graph)
    train_data = AnnotatedImages(Split(args.train_data), args.images_dir, graph, mirror=True)
    validation_data = AnnotatedImages(Split(args.validation_data), args.images_dir, graph)
    check_one_run(args.graph, graph.made_in, train_data.split, validation_data.split)
    train_data.check_objects()
    for data in (train_data, validation_data):
        if warning := data.check_sizes():
            print(f"warning: {warning}", file=sys.stderr)
    check_writable(output.parent, "--output")
    if output.is_dir():
        raise InputError(f"--output {output}: is a folder; give the name of a file")
    torch.manual_seed(args.seed)
    detector = build_detector(args.detector, graph.entities)
    pretrained = (args.backbone_weights or "").lower() != "none"
    if pretrained:
        load_backbone(detector, args.backbone_weights)
    to_device(detector, args.device)
    print(
        f"training {detector.name} on {len(train_data)} images for {len(detector.classes)} classes, "
        f"{recipe.epochs} epochs of batches of {recipe.batch_size}"
    )
    try:
        with file_lock(output):
            best = train(
                detector,
                train_data,
                validation_data,
                recipe,
                output,
                pretrained,
                args.num_workers,
                args.seed,
                args.resume,
            )
    except KeyboardInterrupt:
        print("\nStopped. The same command with --resume continues after the last whole epoch.", file=sys.stderr)
        return 130
    skipped = len(train_data.skipped | validation_data.skipped)
    note = f"; {skipped} images cannot be used and were left out" if skipped else ""
    print(f"wrote the detector to {output}: mAP@0.5 {best:.3f} on {len(validation_data)} validation images{note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
