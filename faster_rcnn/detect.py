"""Run a detector once over a folder or a split: `python -m faster_rcnn.detect`.

Images are decoded in parallel while the detector works; what is done is appended to
OUTPUT.partial, so that a stopped run resumes where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from faster_rcnn import DETECTORS, Detector, load_detector
from files.detections import AMBIGUITY_MARGIN, Detections, from_flat, write_detections
from files.images import find_image, load_image
from files.io import InputError, check_writable, file_digest, reports_input_errors
from files.locks import file_lock
from files.photo_checks import check_photos
from files.photos import find_photos
from files.splits import Split


def decoded(
    items: Iterable[tuple[str, Path]], num_workers: int, ahead: int = 8
) -> Iterator[tuple[str, Image.Image | None]]:
    """(name, path) -> (name, RGB image), in order, decoded by `num_workers` threads at most `ahead` early.

    An image that does not decode comes as None, after a warning on stderr.
    """

    def decode(item: tuple[str, Path]) -> tuple[str, Image.Image | InputError]:
        try:
            return item[0], load_image(item[1])
        except InputError as error:
            return item[0], error

    with ThreadPoolExecutor(max(num_workers, 1)) as pool:
        items = iter(items)
        waiting = deque(pool.submit(decode, item) for item in itertools.islice(items, ahead))
        while waiting:
            name, image = waiting.popleft().result()
            waiting.extend(pool.submit(decode, item) for item in itertools.islice(items, 1))
            if isinstance(image, InputError):
                tqdm.write(f"warning: skipped: {image}", file=sys.stderr)
                image = None
            yield name, image


def detect_images(
    detector: Detector,
    items: Iterable[tuple[str, Path]],
    threshold: float = 0.005,
    maximum: int = 500,
    num_workers: int = 4,
    batch_size: int = 4,
    margin: float = AMBIGUITY_MARGIN,
) -> Iterator[tuple[str, Detections | None]]:
    """The detections of each (name, path), in order, a few images in memory at a time.

    None: an image that does not decode. `threshold`, `maximum` and `margin` are those of
    the detector's `detect`: least score, boxes an image, how far below its best a candidate may be.
    """
    stream = decoded(items, num_workers, ahead=2 * batch_size + num_workers)
    while batch := list(itertools.islice(stream, batch_size)):
        found = iter(detector.detect([image for _, image in batch if image is not None], threshold, maximum, margin))
        for name, image in batch:
            yield name, None if image is None else next(found)


class _Row(msgspec.Struct, array_like=True):
    """One line of the journal."""

    image: str
    boxes: list[float]
    counts: list[int]
    candidates: list[int]
    scores: list[float]
    photo: str  # digest of its content

    @classmethod
    def of(cls, name: str, detections: Detections, photo: str) -> _Row:
        valid = detections.candidates >= 0
        return cls(
            name,
            detections.boxes.ravel().tolist(),
            valid.sum(axis=1).tolist(),
            detections.candidates[valid].tolist(),
            detections.scores[valid].tolist(),
            photo,
        )

    def detections(self) -> Detections:
        boxes = np.array(self.boxes, dtype=np.float32).reshape(-1, 4)
        return from_flat(boxes, np.array(self.counts, dtype=np.int64), np.array(self.candidates), np.array(self.scores))


def _journal_rows(path: Path) -> Iterator[_Row]:
    with open(path, "rb") as file:
        next(file)  # the header
        for line in file:
            yield msgspec.json.decode(line, type=_Row)


def _open_journal(path: Path, header: bytes) -> dict[str, str]:
    """Make the journal ready to be appended to; the names that it has, each with its photo's digest.

    A cut-off last line is removed.
    """
    done: dict[str, str] = {}
    if path.exists():
        with open(path, "rb+") as file:
            if file.readline() == header:
                end = file.tell()
                for line in file:
                    try:
                        row = msgspec.json.decode(line, type=_Row)
                    except msgspec.DecodeError:
                        break
                    if not line.endswith(b"\n"):
                        break
                    done[row.image] = row.photo
                    end += len(line)
                file.truncate(end)
                return done
        print(f"{path} is of another detector or other settings; starting over", file=sys.stderr)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header)
    return done


def identity(detector: Detector) -> str:
    """A hash of the detector's name, classes and parameters."""
    digest = hashlib.sha256(repr((detector.name, detector.classes)).encode())
    for name, tensor in detector.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _digest(photo: Path) -> str:
    try:
        return file_digest(photo)
    except InputError:  # said when it is decoded
        return ""


def detect_to_file(
    detector: Detector,
    items: Iterable[tuple[str, Path]],
    output: str | Path,
    threshold: float = 0.005,
    maximum: int = 500,
    num_workers: int = 4,
    made_from: str = "",
) -> tuple[int, int]:
    """Write the detections of each (name, path) to `output` (.h5 or .json), atomically, resuming a stopped run.

    made_from: see `write_detections`. Returns how many images are in the file, and how many were skipped because they
    do not decode.
    Raises InputError when the file cannot be written, or no image decodes.
    """
    output = Path(output)
    if output.suffix.lower() not in (".h5", ".hdf5", ".json"):
        raise InputError(f"{output}: a detections file ends in .json or .h5; give the output such a name")
    journal = output.with_name(output.name + ".partial")
    settings = [identity(detector), threshold, maximum, AMBIGUITY_MARGIN]
    paths = dict(items)
    items = list(paths.items())  # a name twice is one image
    skipped = 0
    try:
        done = _open_journal(journal, msgspec.json.encode(settings) + b"\n")
        todo = [(name, path) for name, path in items if name not in done or _digest(path) != done[name]]
        if done:
            print(f"resuming: {len(items) - len(todo)} of {len(items)} images are done", file=sys.stderr)
        with open(journal, "ab") as file:
            found = detect_images(detector, todo, threshold, maximum, num_workers)
            for name, detections in tqdm(found, "detecting", total=len(todo), unit="image", disable=None):
                if detections is None:
                    skipped += 1
                    continue
                file.write(msgspec.json.encode(_Row.of(name, detections, _digest(paths[name]))) + b"\n")
                file.flush()
    except OSError as error:
        raise InputError(f"{journal}: cannot be written ({error}); choose another --output") from None
    if skipped == len(items):
        os.unlink(journal)
        raise InputError(f"none of the {skipped} images can be decoded, the first at {items[0][1]}; check --images_dir")
    wanted = {name for name, _ in items}
    latest = {row.image: number for number, row in enumerate(_journal_rows(journal))}  # a photo may have changed
    rows = (
        (row.image, row.detections())
        for number, row in enumerate(_journal_rows(journal))
        if row.image in wanted and latest[row.image] == number
    )
    count = write_detections(output, detector.classes, rows, made_from)
    os.unlink(journal)
    return count, skipped


def image_items(images: str | Path, images_dir: str | Path) -> list[tuple[str, Path]]:
    """(name, path) of every image of a split file (.json; its images lie in `images_dir`), a folder, or one image.

    Raises InputError when there is none, or a split's images are not those that were annotated.
    """
    images = Path(images)
    if images.suffix.lower() == ".json":
        records = {record.image_name: record for record in Split(images)}
        items = [(name, find_image(images_dir, name)) for name in records]
        if complaint := check_photos([(records[name], path) for name, path in items], str(images_dir)):
            print(f"warning: {complaint}", file=sys.stderr)
        return items
    if images.is_dir():
        photos = find_photos([str(images)])
        if remark := photos.remark():
            print(remark, file=sys.stderr)
        return [(path.name, path) for path in photos.paths]
    if not images.exists():
        raise InputError(f"{images}: no such split file, folder or image; check --images")
    return [(images.name, images)]


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def to_device(detector: Detector, device: str) -> Detector:
    """Move the detector. Raises InputError when there is no such device."""
    try:
        return detector.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"--device {device}: cannot be used ({str(error).splitlines()[0]}); try --device cpu"
        ) from None


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m faster_rcnn.detect",
        description="Detect objects once, and write them to a file that main.py --use_fastrcnn_proposals reads.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--detector", choices=DETECTORS, help="left out, the weights file says which")
    parser.add_argument("--weights", help="weights file; left out, torchvision downloads its COCO weights")
    parser.add_argument("--images", required=True, help="a split file, a folder of images, or one image")
    parser.add_argument("--images_dir", default="data/VG_100K/", help="where the images of a split file lie")
    parser.add_argument("--output", default="detections.h5", help="the file to write, .h5 or .json")
    parser.add_argument("--threshold", type=float, default=0.005, help="least score of a box")
    parser.add_argument("--max_per_image", type=int, default=500, help="most boxes of an image")
    parser.add_argument("--num_workers", type=int, default=4, help="threads that decode images")
    parser.add_argument("--device", default=default_device(), help="cpu, cuda or cuda:N")
    args = parser.parse_args(argv)
    if args.detector is None and args.weights is None:
        raise InputError("say which detector: --detector NAME, or --weights FILE")
    if not 0 <= args.threshold <= 1 or args.max_per_image < 1:
        raise InputError("--threshold must lie between 0 and 1, and --max_per_image must be at least 1")
    items = image_items(args.images, args.images_dir)
    check_writable(Path(args.output).parent, "--output")
    detector = to_device(load_detector(args.detector, args.weights), args.device)
    try:
        with file_lock(args.output):
            count, skipped = detect_to_file(
                detector, items, args.output, args.threshold, args.max_per_image, args.num_workers
            )
    except KeyboardInterrupt:
        print("\nStopped. The same command resumes.", file=sys.stderr)
        return 130
    note = f"; {skipped} do not decode and were skipped" if skipped else ""
    print(f"wrote the detections of {count} images ({len(detector.classes)} classes) to {args.output}{note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
