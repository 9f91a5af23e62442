"""Where the boxes to walk over come from: a detections file, a detector, or neither (the annotated objects)."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from boxes import scaled_boxes
from engine import distributed as ranks
from engine.options import Options
from engine.parts import Parts, open_detections
from files.box_checks import CURE, PIXELS, BoxCheck, like, names_in
from files.detections import AMBIGUITY_MARGIN, Detections, DetectionsFile, made_from
from files.images import Header, find_image, image_header
from files.io import InputError, file_digest
from files.photo_names import match_photos
from files.splits import Split
from semantic_graph import SemanticActionGraph

if TYPE_CHECKING:
    from faster_rcnn import Detector

CHECKED_FIRST = 200  # photos whose boxes are compared with their size before the first is worked on
KEPT_THRESHOLD = 0.005  # a file made here has every box that a later --object_detection_threshold may ask for
IMAGES_AT_ONCE = 4  # through the detector
PIXELS_AT_ONCE = 6_000_000  # of them all: as numbers each takes twelve bytes, several times


def make_detector(arguments: Options, device: torch.device) -> Detector:
    """The detector of --detector and --detector_weights; --predict has torchvision's COCO detector without them.

    Raises InputError when there is none, or it cannot load.
    """
    from faster_rcnn import load_detector  # loads torchvision: two seconds that a run without a detector saves
    from faster_rcnn.coco import default_detector
    from faster_rcnn.detect import to_device

    name = arguments.detector
    if name is None and arguments.detector_weights is None:
        if not arguments.predict:
            raise InputError(
                "no detector given: pass --detector_weights FILE (python -m faster_rcnn.train writes one), "
                "--detector fasterrcnn_resnet50_fpn_v2 (COCO's classes), or the boxes with --detections FILE"
            )
        name = default_detector(device)
    try:
        return to_device(load_detector(name, arguments.detector_weights), str(device)).eval()
    except InputError as error:
        raise InputError(str(error).replace("--weights", "--detector_weights")) from None


def detections_of_split(parts: Parts, split: str, given: str | None, name: str) -> DetectionsFile | None:
    """The boxes to walk over in a split: the file `given`, or OUTPUT_DIR/detections_<name>.h5, made where it is not
    there (with --use_fastrcnn_proposals), or None for the annotated objects.

    A file made earlier is used again when it was made from the same split, detector, images and settings. Says how
    many boxes cannot be used. Raises InputError when the file has none of the split's images, its boxes are not of
    them, or there is nothing to make it with.
    """
    arguments = parts.arguments
    path = Path(arguments.output_dir) / f"detections_{name}.h5"
    if given is None:
        if not arguments.use_fastrcnn_proposals:
            return None
        _detect(parts, split, path)
    file = open_detections(given or path, parts.graph)
    records = Split(split)
    missing = [record.image_name for record in records if record.image_name not in file]
    if missing and len(missing) == len(records):
        raise InputError(
            f"{file.path}: has none of the {len(records)} images of {split} ({missing[0]!r}, ...); "
            "give the file that was made for them"
        )
    warnings = _check_boxes(file, records, arguments.images_dir, arguments.object_detection_threshold)
    if missing:
        warnings.append(
            f"has no boxes of {len(missing)} of {len(records)} images of {split} "
            f"({missing[0]!r}, ...); nothing is found in them"
        )
    if ranks.rank() == 0:
        for line in warnings:
            print(f"warning: {file.path}: {line}", file=sys.stderr)
    return file


def _check_boxes(file: DetectionsFile, records: Split, images_dir: str, threshold: float) -> list[str]:
    """A line on boxes that leave their photo, and one on those of low confidence.

    A photo's size is the split's, or the photo's own where it is there (of `CHECKED_FIRST` of them, spread over all).
    Raises InputError when most boxes cannot be of their photos.
    """
    check, boxes, under = BoxCheck(), 0, 0
    for number, record in enumerate(records):
        if record.image_name in file:
            found = file[record.image_name]
            boxes += len(found)
            under += int((found.scores[:, 0] < threshold).sum())
            if record.width and record.height:
                check.look(record.image_name, found.boxes, record.width, record.height)
            elif number % max(1, len(records) // CHECKED_FIRST) == 0:
                with contextlib.suppress(InputError):  # who needs the photo says that it is not there
                    path = find_image(images_dir, record.image_name)
                    header = image_header(path)
                    check.look(record.image_name, found.boxes, header.width, header.height, header.orientation >= 5)
    low = f"{under} of {boxes} boxes score under --object_detection_threshold {threshold:g} and are left out"
    if check.mostly_off():
        raise InputError(f"{file.path}: {check.complaint()}")
    lines = (check.complaint(), check.past_complaint(), check.small_complaint(), low if under else None)
    return [line for line in lines if line]


def _detect(parts: Parts, split: str, path: Path) -> None:
    """Make the detections file of a split, unless one is there that was made from the same."""
    arguments = parts.arguments
    from faster_rcnn.detect import detect_to_file, image_items

    items = image_items(split, arguments.images_dir)
    settings = [
        arguments.detector or "",
        min(arguments.object_detection_threshold, KEPT_THRESHOLD),
        arguments.maximum_num_entities_per_image,
    ]
    fingerprint = _fingerprint([split, arguments.detector_weights], (image for _, image in items), settings)
    if made_from(path) == fingerprint:
        if ranks.rank() == 0:
            print(f"The boxes are those of {path}; remove it to detect them again.")
        return
    if ranks.world_size() > 1:  # the others would wait for hours
        raise InputError(f"{path}: make it first, by the same command in one process")
    if path.exists():
        print(f"{path} was made from another split, detector, images or settings; detecting again.")
    count, skipped = detect_to_file(
        make_detector(arguments, parts.device), items, path, *settings[1:], arguments.num_workers, fingerprint
    )
    print(f"Detected the boxes of {count} images: {path}; {skipped} images that do not decode were skipped.")


def _fingerprint(files: Iterable[str | None], images: Iterable[Path], settings: Sequence[Any]) -> str:
    """What decides the boxes: what files and photos hold, settings."""
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
    for name in files:
        if name and Path(name).is_file():
            digest.update(file_digest(name).encode())
    for image in images:
        with contextlib.suppress(InputError):  # said when it is decoded
            digest.update(repr((image.name, file_digest(image))).encode("utf-8", "replace"))
    return digest.hexdigest()


class PhotoBoxes(dict[str, Detections]):
    """The boxes of the few photos at hand, found when `look` is called; for the rest like a detections file.

    file: where they are looked up; else the detector finds them. What cannot be a box of its photo is left out.
    """

    def __init__(
        self,
        arguments: Options,
        graph: SemanticActionGraph,
        device: torch.device,
        photos: Sequence[Path],
    ) -> None:
        """photos: all that will be looked at. Raises InputError when there is neither a file nor a detector, or the
        file has none of the photos, or its boxes are not of them."""
        super().__init__()
        self.arguments, self.graph = arguments, graph
        self.file = self.detector = None
        self.check = BoxCheck()
        self.keys: dict[Path, str] = {}
        self.ambiguous: dict[Path, list[Path]] = {}
        self.photos_with_boxes = self.boxes = self.under = 0
        if arguments.detections:
            self.file = open_detections(arguments.detections, graph)
            self.path, self.classes = self.file.path, self.file.classes
            self.keys, self.ambiguous = match_photos(self.file, photos, self.file.numbered)
            self._check_names(photos)
            self._check_some(photos)
        else:
            self.detector = make_detector(arguments, device)
            self.path, self.classes = self.detector.name, self.detector.classes

    def _check_names(self, photos: Sequence[Path]) -> None:
        if self.keys:
            return
        if self.ambiguous:
            photo, others = next(iter(self.ambiguous.items()))
            raise InputError(f"{self.path}: {_ambiguity(photo, others)}")
        raise InputError(
            f"{self.path}: has boxes of {names_in(list(self.file))}, and none of the {len(photos)} photos "
            f"({names_in([photo.name for photo in photos])}); give the file made for them"
        )

    def _check_some(self, photos: Sequence[Path]) -> None:
        """Refuse a file whose boxes are not of these photos, before anything is written."""
        known = [photo for photo in photos if photo in self.keys]
        check = BoxCheck()
        for photo in known[:: max(1, len(known) // CHECKED_FIRST)]:
            with contextlib.suppress(InputError):  # said when its turn comes
                self._checked(check, photo, image_header(photo))
        if check.mostly_off():
            raise InputError(f"{self.path}: {check.complaint(self._cure())}")

    def _checked(self, check: BoxCheck, photo: Path, header: Header) -> Detections:
        """The file's boxes of a photo that can be of it."""
        key = self.keys[photo]
        found = self.file[key]
        turned, given = header.orientation >= 5, self.file.sizes.get(key)
        return found[check.look(photo.name, found.boxes, header.width, header.height, turned, given)]

    def _cure(self) -> str:
        """What to do about boxes that cannot be of their photos, in the words of the file's layout."""
        sides = "[x, y, width, height]"
        return f"give {sides} {PIXELS}" if self.file is not None and sides in self.file.convention else CURE

    def describe(self) -> str:
        """One line: where the boxes come from."""
        if self.file is not None:
            return f"Boxes: {self.path}, {len(self.keys)} of its {len(self.file)} images; {self.file.convention}."
        return f"Boxes: found by {self.path}, {len(self.classes)} classes."

    def look(self, photos: Sequence[Any]) -> None:
        """Find the boxes of `engine.photos.Photo`s, instead of those of earlier ones; none become a `problem`."""
        self.clear()
        readable = [photo for photo in photos if not photo.problem]
        if self.file is not None:
            for photo in readable:
                if photo.path in self.keys:
                    self[photo.key] = self._checked(self.check, photo.path, photo.header)
                    if self.check.whole:
                        photo.problem = f"its boxes look {like(self.check.whole)}; {self._cure()}"
                elif photo.path in self.ambiguous:
                    photo.problem = _ambiguity(photo.path, self.ambiguous[photo.path])
                else:
                    photo.problem = f"{self.path} does not have it"
        else:
            threshold = self.arguments.object_detection_threshold
            maximum = self.arguments.maximum_num_entities_per_image
            for part in few_at_once(readable):
                found = self.detector.detect([photo.image for photo in part], threshold, maximum, AMBIGUITY_MARGIN)
                for photo, detections in zip(part, found, strict=True):
                    detections.boxes = scaled_boxes(detections.boxes, 1 / photo.scale)
                    self[photo.key] = detections
        for detections in self.values():
            best = detections.scores[:, 0]
            self.boxes += len(best)
            self.under += int((best < self.arguments.object_detection_threshold).sum())

    def remarks(self) -> list[str]:
        """What was wrong with boxes, a line each, once every photo was looked at."""
        lines = [self.check.complaint(self._cure()), self.check.past_complaint(), self.check.small_complaint()]
        if self.under:
            lines.append(
                f"{self.under} of {self.boxes} boxes score under --object_detection_threshold "
                f"{self.arguments.object_detection_threshold:g} and were left out"
            )
        return [f"{self.path}: {line}" for line in lines if line]


def few_at_once(photos: Sequence[Any]) -> Iterator[list[Any]]:
    """Photos with images in order, as many together as a detector is given: fewer where they are large."""
    part, pixels = [], 0
    for photo in photos:
        size = photo.image.width * photo.image.height
        if part and (len(part) == IMAGES_AT_ONCE or pixels + size > PIXELS_AT_ONCE):
            yield part
            part, pixels = [], 0
        part.append(photo)
        pixels += size
    if part:
        yield part


def _ambiguity(photo: Path, others: Sequence[Path]) -> str:
    return f"{photo.name!r} could be any of {names_in([str(other) for other in others])}; write names with folders"
