"""Detections files: any detector's boxes, with the categories each box may bear.

JSON: `{image_name: [{"category", "score", "bbox": [x1, y1, x2, y2], "scores": {name: score}}]}`,
or `{"classes": [names], "images": {the same}}`. "category" is a name, or an index into "classes"
(into the reader's `default_classes` when the file has no "classes"); "scores" may be left out and
holds the other categories.

HDF5: `classes` (C,), `image_names` (I,), `image_offsets` (I + 1,): image i has the boxes
image_offsets[i]:image_offsets[i + 1] of `boxes` (N, 4), and box b the candidates
candidate_offsets[b]:candidate_offsets[b + 1] of `candidates` (M,) and `scores` (M,).
Boxes stay on disk until an image is asked for.

Boxes are inclusive corners in the image's pixels; scores lie in [0, 1].
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import h5py
import msgspec
import numpy as np

from boxes import area
from files.io import InputError, atomic_write, decode_json, read_bytes, read_json

if TYPE_CHECKING:
    from semantic_graph import SemanticActionGraph

HDF5_ENDINGS = (".h5", ".hdf5")
_CURE = "write it with `python -m faster_rcnn.detect`"
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
    """

    def __init__(self, path: str | Path, classes: Sequence[str], image_names: Sequence[str], arrays: Mapping[str, Any]):
        self.path = path
        self.classes = list(classes)
        self._row = {name: i for i, name in enumerate(image_names)}
        self._image_offsets = _offsets(path, "image_offsets", arrays, len(image_names), len(arrays["boxes"]))
        self._candidate_offsets = _offsets(
            path, "candidate_offsets", arrays, len(arrays["boxes"]), len(arrays["candidates"])
        )
        self._boxes, self._candidates, self._scores = arrays["boxes"], arrays["candidates"], arrays["scores"]
        self.dropped = self._check()

    def __len__(self) -> int:
        return len(self._row)

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __contains__(self, name: object) -> bool:
        return name in self._row

    def __getitem__(self, name: str) -> Detections:
        """The image's detections. Raises KeyError when the file does not have the image."""
        row = self._row[name]
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
            raise InputError(f"{self.path}: {self._place(int(counts.argmin()))} has no category; {_CURE}")
        empty = 0
        for start in range(0, len(self._boxes), _ROWS_AT_ONCE):
            boxes = self._boxes[start : start + _ROWS_AT_ONCE]
            finite = np.isfinite(boxes).all(axis=1)
            if not finite.all():
                place = self._place(start + int(finite.argmin()))
                raise InputError(f"{self.path}: {place} has a corner that is not a finite number; remove that box")
            empty += int((area(boxes) <= 0).sum())
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

    def _place(self, box: int) -> str:
        row = int(np.searchsorted(self._image_offsets, box, side="right")) - 1
        name = next(itertools.islice(self._row, row, None))
        return f"image {name!r}, box {box - int(self._image_offsets[row])}"


def _offsets(path: str | Path, key: str, arrays: Mapping[str, Any], items: int, total: int) -> np.ndarray:
    offsets = np.asarray(arrays[key][:], dtype=np.int64)
    if len(offsets) != items + 1 or offsets[0] != 0 or offsets[-1] != total or (np.diff(offsets) < 0).any():
        raise InputError(f"{path}: {key!r} does not fit the other arrays; {_CURE}")
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
    """Open a detections file (.json, or .h5 / .hdf5).

    default_classes: what a JSON file's integer categories index when it has no "classes".
    Boxes without a pixel are left out and counted in a warning. Raises InputError naming the
    file, the image and the box when the file is missing, misshapen or holds impossible values.
    """
    if Path(path).suffix.lower() in HDF5_ENDINGS:
        file = _read_hdf5(path)
    elif Path(path).suffix.lower() == ".json":
        file = _read_json(path, default_classes)
    else:
        raise InputError(f"{path}: a detections file ends in .json or .h5; rename it after what it holds")
    if file.dropped:
        print(f"warning: {path}: left out {file.dropped} boxes without a single pixel", file=sys.stderr)
    return file


class _Box(msgspec.Struct):
    category: int | str
    score: float
    bbox: Annotated[list[float], msgspec.Meta(min_length=4, max_length=4)]
    scores: dict[str, float] = msgspec.field(default_factory=dict)


def _read_json(path: str | Path, default_classes: Sequence[str] | None) -> DetectionsFile:
    images = read_json(path, dict[str, msgspec.Raw], _CURE)
    classes = list(default_classes or [])
    own_classes = set(images) == {"classes", "images"}
    if own_classes:
        classes = decode_json(images["classes"], f"{path}: classes", list[str])
        images = decode_json(images["images"], f"{path}: images", dict[str, msgspec.Raw])
    index = {name: i for i, name in reversed(list(enumerate(classes)))}

    def class_index(category: int | str, image: str, box: int) -> int:
        if isinstance(category, int):
            if 0 <= category < len(classes):
                return category
            cure = 'say what the numbers mean in a list "classes"' if not classes else f"there are {len(classes)}"
            raise InputError(f"{path}: image {image!r}, box {box} has category {category}; {cure}")
        if category not in index:
            if own_classes:
                raise InputError(f'{path}: image {image!r}, box {box} has category {category!r}, not in "classes"')
            index[category] = len(classes)
            classes.append(category)
        return index[category]

    boxes, candidates, scores, image_offsets, candidate_offsets = [], [], [], [0], [0]
    for name, raw in images.items():
        for i, box in enumerate(decode_json(raw, f"{path}: image {name!r}", list[_Box])):
            best = class_index(box.category, name, i)
            others = {class_index(other, name, i): score for other, score in box.scores.items()}
            others.pop(best, None)
            boxes.append(box.bbox)
            candidates += [best, *others]
            scores += [box.score, *others.values()]
            candidate_offsets.append(len(candidates))
        image_offsets.append(len(boxes))
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is refused
        arrays = {
            "boxes": np.asarray(boxes, dtype=np.float64).reshape(-1, 4).astype(np.float32),
            "candidates": np.asarray(candidates, dtype=np.int64),
            "scores": np.asarray(scores, dtype=np.float64).astype(np.float32),
            "image_offsets": np.asarray(image_offsets),
            "candidate_offsets": np.asarray(candidate_offsets),
        }
    return DetectionsFile(path, classes, list(images), arrays)


def _read_hdf5(path: str | Path) -> DetectionsFile:
    if not Path(path).is_file():
        read_bytes(path, _CURE)  # says what is wrong with the path
    try:
        file = h5py.File(path, "r")
    except OSError:
        raise InputError(f"{path}: is not an HDF5 file, or is cut off; {_CURE}") from None
    ranks = {"classes": 1, "image_names": 1, "boxes": 2, "candidates": 1, "scores": 1}
    ranks |= {"image_offsets": 1, "candidate_offsets": 1}
    for key, rank in ranks.items():
        if not isinstance(file.get(key), h5py.Dataset) or file[key].ndim != rank:
            raise InputError(f"{path}: has no dataset {key!r} with {rank} axes; {_CURE}")
        if (file[key].dtype.kind in "iuf") == (key in ("classes", "image_names")):
            raise InputError(f"{path}: dataset {key!r} holds the wrong type {file[key].dtype}; {_CURE}")
    if file["boxes"].shape[1] != 4 or file["candidates"].shape != file["scores"].shape:
        raise InputError(f"{path}: 'boxes', 'candidates' and 'scores' do not fit together; {_CURE}")
    classes, names = (file[key].asstr()[:].tolist() for key in ("classes", "image_names"))
    return DetectionsFile(path, classes, names, file)


def write_detections(
    path: str | Path,
    classes: Sequence[str],
    images: Mapping[str, Detections] | Iterable[tuple[str, Detections]],
) -> int:
    """Write a detections file, atomically, one image at a time; the ending says which format.

    images: image name -> Detections, or an iterable of such pairs (nothing else is held in memory).
    Returns the number of images. Raises InputError for another ending or an unwritable folder.
    """
    pairs = images.items() if isinstance(images, Mapping) else images
    if Path(path).suffix.lower() in HDF5_ENDINGS:
        return _write_hdf5(path, classes, pairs)
    if Path(path).suffix.lower() == ".json":
        return _write_json(path, classes, pairs)
    raise InputError(f"{path}: a detections file ends in .json or .h5; give the output such a name")


def _write_hdf5(path: str | Path, classes: Sequence[str], pairs: Iterable[tuple[str, Detections]]) -> int:
    text = h5py.string_dtype()
    names, image_offsets, candidate_counts = [], [0], []
    with atomic_write(path, "w+b") as raw, h5py.File(raw, "w") as file:
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


def read_class_map(path: str | Path) -> dict[str, str]:
    """Read `--class_map`: JSON `{detector's class: entity of the graph}`. Raises InputError."""
    return read_json(path, dict[str, str], "give a JSON file {detector's class: entity}")


def map_classes(
    classes: Sequence[str], graph: SemanticActionGraph, class_map: Mapping[str, str] | None = None
) -> tuple[np.ndarray, list[str]]:
    """Which entity of the graph each detector class is: by `class_map`, else by name and alias groups.

    Returns (len(classes),) int64 indices, -1 where there is no counterpart, and the names of those.
    Raises InputError when `class_map` names an entity that the graph does not have.
    """
    class_map = class_map or {}
    for name, entity in class_map.items():
        if graph.entity_index(entity) < 0:
            raise InputError(
                f"class map: {name!r} is mapped to {entity!r}, which is no entity of the graph; correct it"
            )
    indices = np.array([graph.entity_index(class_map.get(name, name)) for name in classes], dtype=np.int64)
    return indices, [name for name, index in zip(classes, indices, strict=True) if index < 0]


def select(
    detections: Detections, entity_of_class: np.ndarray, threshold: float = 0.0, maximum: int | None = None
) -> Detections:
    """The boxes in the graph's vocabulary, most confident first, at most `maximum` of them.

    entity_of_class: (C,) int64 from `map_classes`. Candidates without a counterpart go, and so does
    a candidate whose entity a better one already stands for; a box goes when its best remaining
    candidate scores less than `threshold`. Equal scores keep their order.
    """
    entities = np.where(detections.candidates >= 0, np.append(entity_of_class, -1)[detections.candidates], -1)
    twice = np.tril(entities[:, :, None] == entities[:, None, :], -1).any(axis=2)
    keep = (entities >= 0) & ~twice
    mapped = from_flat(detections.boxes, keep.sum(axis=1), entities[keep], detections.scores[keep])
    mapped = mapped[(mapped.candidates[:, 0] >= 0) & (mapped.scores[:, 0] >= threshold)]
    return mapped[np.argsort(-mapped.scores[:, 0], kind="stable")[:maximum]]
