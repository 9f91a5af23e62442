"""Detections files: any detector's boxes, with the categories each box may have.

JSON: `{image_name: [{"category", "score", "bbox": [x1, y1, x2, y2], "scores": {name: score}}]}`,
or `{"classes": [names], "images": {the same}}`. "category" is a name, or an index into "classes"
(into the reader's `default_classes` when the file has no "classes"); "score" may be left out (1), and
so may "scores", the other categories. COCO's layouts are read too: see `files.detections_json`.

HDF5: `classes` (C,), `image_names` (I,), `image_offsets` (I + 1,): image i has the boxes
image_offsets[i]:image_offsets[i + 1] of `boxes` (N, 4), and box b the candidates
candidate_offsets[b]:candidate_offsets[b + 1] of `candidates` (M,) and `scores` (M,).
Boxes stay on disk until an image is asked for.

Boxes are inclusive corners in the image's pixels; scores lie in [0, 1].
"""

from __future__ import annotations

import itertools
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import msgspec
import numpy as np

from boxes import area
from files.box_checks import from_0_to_1, reversed_corners
from files.detections_json import CURE, read_boxes
from files.hdf5 import hdf5_dataset, open_hdf5, read_hdf5, read_hdf5_attribute
from files.io import InputError, atomic_write, clear_load_errors
from files.options import MOST_BOXES

HDF5_ENDINGS = (".h5", ".hdf5")
AMBIGUITY_MARGIN = 0.1  # C(s): categories at most this far below the best one (Liang et al. 2017, section 3.3)
MOST_BACKWARD = 0.02  # of the boxes may have x2 < x1 and are left out; when more do, they are not corners
MOST_COORDINATE = 10**9  # pixels, as in splits
MOST_CANDIDATES = 2**25  # of an image, as a table of boxes by categories
_ROWS_AT_ONCE = 1 << 20  # boxes or candidates of an HDF5 file that are held in memory at a time


@dataclass
class Detections:
    """The boxes of one image, each with its candidate categories, best first."""

    boxes: np.ndarray  # (n, 4) float32, inclusive corners in pixels
    candidates: np.ndarray  # (n, K) int64, indices of classes, padded with -1
    scores: np.ndarray  # (n, K) float32, padded with 0

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.full((0, 1), -1, np.int64), np.zeros((0, 1), np.float32))

    def __getitem__(self, index: np.ndarray | slice) -> Detections:
        """The boxes that `index` (a slice, a mask or indices) picks."""
        return Detections(self.boxes[index], self.candidates[index], self.scores[index])


class DetectionsFile(Mapping[str, Detections]):
    """What a detections file holds: image name -> Detections. `classes` names the candidates' indices.

    dropped: how many boxes of the file hold no pixel; they are left out.
    convention: how the boxes were read, in words. numbered: whether the names are COCO's image numbers.
    sizes: (width, height) of the images in pixels, where the file says so.
    """

    def __init__(
        self,
        path: str | Path,
        classes: Sequence[str],
        image_names: Sequence[str],
        arrays: Mapping[str, Any],
        convention: str = "boxes are corners, [x1, y1, x2, y2]",
        numbered: bool = False,
        sizes: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        self.path, self.sizes = path, sizes or {}
        self.classes = list(classes)
        self.convention, self.numbered = convention, numbered
        self._row = {name: i for i, name in enumerate(image_names)}
        # letters and accents in one or in two, as a Mac may write them, are one name
        self._composed = {unicodedata.normalize("NFC", name): name for name in image_names if not name.isascii()}
        self._image_offsets = _offsets(path, "image_offsets", arrays, len(image_names), len(arrays["boxes"]))
        self._candidate_offsets = _offsets(
            path, "candidate_offsets", arrays, len(arrays["boxes"]), len(arrays["candidates"])
        )
        self._boxes, self._candidates, self._scores = arrays["boxes"], arrays["candidates"], arrays["scores"]
        with clear_load_errors(path, CURE):  # a damaged piece of HDF5
            self.dropped = self._check()

    def __len__(self) -> int:
        return len(self._row)

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __contains__(self, name: object) -> bool:
        return self._known(name) in self._row

    def _known(self, name: object) -> object:
        """The name as the file writes it, where it has it."""
        if not isinstance(name, str) or name in self._row or name.isascii():
            return name
        return self._composed.get(unicodedata.normalize("NFC", name), name)

    def __getitem__(self, name: str) -> Detections:
        """The image's detections. Raises KeyError when the file does not have the image."""
        row = self._row[self._known(name)]
        first, last = self._image_offsets[row : row + 2]
        if first == last:
            return Detections.empty()
        offsets = self._candidate_offsets[first : last + 1]
        detections = from_flat(
            self._boxes[first:last],
            np.diff(offsets),
            self._candidates[offsets[0] : offsets[-1]],
            self._scores[offsets[0] : offsets[-1]],
        )
        keep = area(detections.boxes) > 0
        return detections if keep.all() else detections[keep]

    def _check(self) -> int:
        """Raise InputError on the first box with impossible values; the number of empty boxes."""
        counts = np.diff(self._candidate_offsets)
        if len(counts) and counts.min() < 1:
            raise InputError(f"{self.path}: {self._place(int(counts.argmin()))} has no category; {CURE}")
        if len(counts) and counts.max() > len(self.classes):
            most = int(counts.argmax())
            raise InputError(
                f"{self.path}: {self._place(most)} has {counts[most]} categories, but there are {len(self.classes)} "
                f"classes; {CURE}"
            )
        self._check_image_sizes(counts)
        empty = backward = 0
        first_backward, shares = -1, True
        for start in range(0, len(self._boxes), _ROWS_AT_ONCE):
            boxes = self._boxes[start : start + _ROWS_AT_ONCE]
            fair = ((boxes >= -MOST_COORDINATE) & (boxes <= MOST_COORDINATE)).all(axis=1)  # NaN is neither
            if not fair.all():
                place = self._place(start + int(fair.argmin()))
                raise InputError(
                    f"{self.path}: {place} has a corner that is not a finite number within {MOST_COORDINATE:,}; "
                    "remove that box"
                )
            empty += int((area(boxes) <= 0).sum())
            wrong_way = reversed_corners(boxes)
            if wrong_way.any() and first_backward < 0:
                first_backward = start + int(wrong_way.argmax())
            backward += int(wrong_way.sum())
            shares = shares and from_0_to_1(boxes)
        if backward > MOST_BACKWARD * len(self._boxes):
            raise InputError(
                f"{self.path}: {backward} of {len(self._boxes)} boxes have x2 < x1 or y2 < y1 (the first: "
                f'{self._place(first_backward)}); "bbox" is [x1, y1, x2, y2], the corners. '
                "Are these x, y, width, height? Then make them corners, or give them in COCO's layout"
            )
        if shares and len(self._boxes):
            raise InputError(
                f"{self.path}: all {len(self._boxes)} boxes lie from 0 to 1, as shares of the photo's sides; "
                "give pixels: multiply x by the photo's width and y by its height"
            )
        for start in range(0, len(self._candidates), _ROWS_AT_ONCE):
            candidates = self._candidates[start : start + _ROWS_AT_ONCE]
            scores = self._scores[start : start + _ROWS_AT_ONCE]
            known = (candidates >= 0) & (candidates < len(self.classes))
            fair = (scores >= 0) & (scores <= 1)  # NaN is neither
            if known.all() and fair.all():
                continue
            worst = int((known & fair).argmin())
            box = int(np.searchsorted(self._candidate_offsets, start + worst, side="right")) - 1
            if fair[worst]:
                problem = f"category {candidates[worst]}, but there are {len(self.classes)} classes"
            else:
                problem = f"score {scores[worst]:g}; scores lie between 0 and 1"
            raise InputError(f"{self.path}: {self._place(box)} has {problem}")
        return empty

    def _check_image_sizes(self, counts: np.ndarray) -> None:
        """Raise InputError on an image that would take gigabytes. counts: (n,) categories of each box."""
        boxes = np.diff(self._image_offsets)
        filled = np.flatnonzero(boxes)
        if not len(filled):
            return
        widest = np.maximum.reduceat(counts, self._image_offsets[filled])
        worst = int((boxes[filled] * widest).argmax())
        if boxes.max() > MOST_BOXES or boxes[filled[worst]] * widest[worst] > MOST_CANDIDATES:
            worst = int(boxes.argmax()) if boxes.max() > MOST_BOXES else int(filled[worst])
            name = next(itertools.islice(self._row, worst, None))
            raise InputError(
                f"{self.path}: image {name!r:.200} has {boxes[worst]:,} boxes with up to "
                f"{counts[self._image_offsets[worst] : self._image_offsets[worst + 1]].max():,} categories; an image "
                f"may have {MOST_BOXES:,} boxes, and {MOST_CANDIDATES:,} categories in all: leave the unlikely ones out"
            )

    def _place(self, box: int) -> str:
        row = int(np.searchsorted(self._image_offsets, box, side="right")) - 1
        name = next(itertools.islice(self._row, row, None))
        return f"image {name!r}, box {box - int(self._image_offsets[row])}"


def _offsets(path: str | Path, key: str, arrays: Mapping[str, Any], items: int, total: int) -> np.ndarray:
    offsets = np.asarray(arrays[key][:], dtype=np.int64)
    if len(offsets) != items + 1 or offsets[0] != 0 or offsets[-1] != total or (np.diff(offsets) < 0).any():
        raise InputError(f"{path}: {key!r} does not fit the other arrays; {CURE}")
    return offsets


def from_flat(boxes: np.ndarray, counts: np.ndarray, candidates: np.ndarray, scores: np.ndarray) -> Detections:
    """Detections from (n, 4) boxes, (n,) numbers of candidates, and all candidates and scores in a row.

    A box's candidates come out best first; of equal scores the one given first leads.
    """
    counts = np.asarray(counts, dtype=np.int64)
    rows = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((-np.asarray(scores), rows))
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (len(counts), max(1, int(counts.max(initial=0))))
    detections = Detections(
        np.asarray(boxes, dtype=np.float32).reshape(-1, 4), np.full(shape, -1, np.int64), np.zeros(shape, np.float32)
    )
    detections.candidates[rows, columns] = np.asarray(candidates)[order]
    detections.scores[rows, columns] = np.asarray(scores)[order]
    return detections


def read_detections(path: str | Path, default_classes: Sequence[str] | None = None) -> DetectionsFile:
    """Open a detections file (.json in our layout or COCO's, or .h5 / .hdf5).

    default_classes: what a JSON file's integer categories index when it has no "classes".
    Boxes without a pixel are left out and counted in a warning. Raises InputError naming the
    file, the image and the box when the file is missing, misshapen or holds impossible values,
    and when its boxes are not corners in pixels.
    """
    if Path(path).suffix.lower() in HDF5_ENDINGS:
        file = _read_hdf5(path)
    elif Path(path).suffix.lower() == ".json":
        content = read_boxes(path, default_classes)
        file = DetectionsFile(path, *content)
    else:
        raise InputError(f"{path}: a detections file ends in .json or .h5; rename it after what it holds")
    if file.dropped:
        print(f"warning: {path}: left out {file.dropped} boxes without a single pixel", file=sys.stderr)
    return file


def _read_hdf5(path: str | Path) -> DetectionsFile:
    file = open_hdf5(path, CURE)
    names = {key: read_hdf5(file, key, path, "text", 1, CURE) for key in ("classes", "image_names")}
    if len(set(names["image_names"])) < len(names["image_names"]):
        twice = next(name for name, count in Counter(names["image_names"]).items() if count > 1)
        raise InputError(f"{path}: 'image_names' has {twice!r:.200} twice; {CURE}")
    arrays = {key: read_hdf5(file, key, path, "iu", 1, CURE) for key in ("image_offsets", "candidate_offsets")}
    # These stay in the file until an image is asked for.
    arrays |= {
        key: hdf5_dataset(file, key, path, kinds, axes, CURE)
        for key, kinds, axes in (("boxes", "iuf", 2), ("candidates", "iu", 1), ("scores", "iuf", 1))
    }
    if arrays["boxes"].shape[1] != 4 or arrays["candidates"].shape != arrays["scores"].shape:
        raise InputError(f"{path}: 'boxes', 'candidates' and 'scores' do not fit together; {CURE}")
    return DetectionsFile(path, names["classes"], names["image_names"], arrays)


def write_detections(
    path: str | Path,
    classes: Sequence[str],
    images: Mapping[str, Detections] | Iterable[tuple[str, Detections]],
    made_from: str = "",
) -> int:
    """Write a detections file, atomically, one image at a time; the ending says which format.

    images: image name -> Detections, or an iterable of such pairs (nothing else is held in memory).
    made_from: a fingerprint, kept in HDF5 files for `made_from`.
    Returns the number of images. Raises InputError for another ending or an unwritable folder.
    """
    pairs = images.items() if isinstance(images, Mapping) else images
    if Path(path).suffix.lower() in HDF5_ENDINGS:
        return _write_hdf5(path, classes, pairs, made_from)
    if Path(path).suffix.lower() == ".json":
        return _write_json(path, classes, pairs)
    raise InputError(f"{path}: a detections file ends in .json or .h5; give the output such a name")


def made_from(path: str | Path) -> str:
    """The fingerprint that an HDF5 detections file was written with; empty where there is no file, or none in it."""
    try:
        with open_hdf5(path) as file:
            return str(read_hdf5_attribute(file, "made_from", path) or "")
    except Exception:  # a damaged file can make HDF5 raise almost anything
        return ""


def _write_hdf5(
    path: str | Path, classes: Sequence[str], pairs: Iterable[tuple[str, Detections]], fingerprint: str
) -> int:
    text = h5py.string_dtype()
    names, image_offsets, candidate_counts = [], [0], []
    with atomic_write(path, "w+b") as raw, h5py.File(raw, "w") as file:
        file.attrs["made_from"] = fingerprint
        file.create_dataset("classes", data=list(classes), dtype=text)
        growing = {"compression": "gzip", "shuffle": True, "chunks": True}
        flat = {
            "boxes": file.create_dataset("boxes", (0, 4), np.float32, maxshape=(None, 4), **growing),
            "candidates": file.create_dataset("candidates", (0,), np.int32, maxshape=(None,), **growing),
            "scores": file.create_dataset("scores", (0,), np.float32, maxshape=(None,), **growing),
        }
        pairs = iter(pairs)
        while block := list(itertools.islice(pairs, 256)):
            parts: dict[str, list[np.ndarray]] = {key: [] for key in flat}
            for name, detections in block:
                valid = detections.candidates >= 0
                names.append(name)
                image_offsets.append(image_offsets[-1] + len(detections))
                candidate_counts.append(valid.sum(axis=1))
                parts["boxes"].append(detections.boxes)
                parts["candidates"].append(detections.candidates[valid])
                parts["scores"].append(detections.scores[valid])
            for key, dataset in flat.items():
                rows = np.concatenate(parts[key])
                dataset.resize(len(dataset) + len(rows), axis=0)
                dataset[len(dataset) - len(rows) :] = rows
        counts = np.concatenate([np.zeros(1, np.int64), *candidate_counts])
        file.create_dataset("image_names", (len(names),), dtype=text)[:] = names
        file.create_dataset("image_offsets", data=np.asarray(image_offsets, dtype=np.int64))
        file.create_dataset("candidate_offsets", data=np.cumsum(counts))
    return len(names)


def to_json_items(detections: Detections, classes: Sequence[str]) -> list[dict[str, Any]]:
    """One image's boxes as the JSON format's plain dicts."""
    # Through text, the shortest decimal that gives the same float32, instead of its 17 digits as a double.
    boxes, scores = (a.astype(str).astype(float).tolist() for a in (detections.boxes, detections.scores))
    items = []
    for box, candidates, row in zip(boxes, detections.candidates.tolist(), scores, strict=True):
        named = [(classes[c], s) for c, s in zip(candidates, row, strict=True) if c >= 0]
        item = {"category": named[0][0], "score": named[0][1], "bbox": box}
        if len(named) > 1:
            item["scores"] = dict(named)
        items.append(item)
    return items


def _write_json(path: str | Path, classes: Sequence[str], pairs: Iterable[tuple[str, Detections]]) -> int:
    encode = msgspec.json.encode
    count = 0
    with atomic_write(path) as file:
        file.write(b'{"classes": ' + encode(list(classes)) + b',\n"images": {')
        for count, (name, detections) in enumerate(pairs, 1):
            file.write(b",\n" if count > 1 else b"\n")
            file.write(encode(name) + b": " + encode(to_json_items(detections, classes)))
        file.write(b"\n}}\n")
    return count


class Selected(NamedTuple):
    """Boxes in an agent's vocabulary, most confident first, and what the detector called them.

    boxes: (n, 4) float32; entities: (n, K) int64, best first, padded with -1; scores: (n, K) float32, padded with 0;
    classes: (n, K) int64, the detector's class behind each entity, padded with -1.
    """

    boxes: np.ndarray
    entities: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


def select(
    detections: Detections, entity_of_class: np.ndarray, threshold: float = 0.0, maximum: int | None = None
) -> Selected:
    """The boxes in the agent's vocabulary, most confident first, at most `maximum` of them.

    entity_of_class: (C,) int64 categories, -1 for none. Candidates without a counterpart go, and so does a candidate
    whose entity a better one already has; a box goes when its best remaining candidate scores less than `threshold`.
    Equal scores keep their order.
    """
    entities = np.where(detections.candidates >= 0, np.append(entity_of_class, -1)[detections.candidates], -1)
    twice = np.tril(entities[:, :, None] == entities[:, None, :], -1).any(axis=2)
    keep = (entities >= 0) & ~twice
    first = np.argsort(~keep, axis=1, kind="stable")[:, : max(1, int(keep.sum(axis=1).max(initial=1)))]
    keep = np.take_along_axis(keep, first, axis=1)
    entities, scores, classes = (
        np.where(keep, np.take_along_axis(values, first, axis=1), padding)
        for values, padding in ((entities, -1), (detections.scores, 0), (detections.candidates, -1))
    )
    rows = np.flatnonzero((entities[:, 0] >= 0) & (scores[:, 0] >= threshold))
    rows = rows[np.argsort(-scores[rows, 0], kind="stable")[:maximum]]
    return Selected(detections.boxes[rows], entities[rows], scores[rows].astype(np.float32), classes[rows])
