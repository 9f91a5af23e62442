"""Reading boxes from JSON: this program's layout, and COCO's two, as flat arrays.

Ours: `{image name: [{"category", "score"?, "bbox": [x1, y1, x2, y2], "scores"?}]}`, inclusive corners.
COCO's results: `[{"image_id" or "file_name", "category_id" or "category", "bbox": [x, y, width, height], "score"?}]`.
COCO's annotations: `{"images": [{"id", "file_name"}], "categories": [{"id", "name"}], "annotations": [as above]}`;
results may be wrapped like this too, under "annotations", "results", "detections" or "predictions".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from files.io import InputError, decode_json, read_bytes

CURE = "write it with `python -m faster_rcnn.detect`, or see docs/formats.md"
LONGEST_SIDE = 1e9  # pixels; a longer one, or none, says nothing
COCO_LISTS = ("annotations", "results", "detections", "predictions")  # where a COCO object's items may lie

# COCO's 80 categories.
COCO_CATEGORIES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis",
    "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier",
    "toothbrush",
)  # fmt: skip
# By the numbers that COCO's own files give them; some were never used.
COCO_NUMBERS = dict(
    zip((n for n in range(1, 91) if n not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}), COCO_CATEGORIES, strict=True)
)

Box = Annotated[list[float], msgspec.Meta(min_length=4, max_length=4)]


class Content(NamedTuple):
    """What a file holds: `classes`, image names, the arrays of `files.detections`, and how it was read, in words.

    numbered: whether the names are COCO's image numbers. sizes: (width, height) of the images, where the file says so.
    """

    classes: list[str]
    image_names: list[str]
    arrays: dict[str, np.ndarray]
    convention: str
    numbered: bool = False
    sizes: Mapping[str, tuple[int, int]] | None = None


class _Box(msgspec.Struct):
    category: int | str
    bbox: Box
    score: float | None = None
    scores: dict[str, float] = msgspec.field(default_factory=dict)


class _CocoBox(msgspec.Struct):
    bbox: Annotated[list[float], msgspec.Meta(max_length=4)] = msgspec.field(default_factory=list)
    image_id: int | str | None = None
    file_name: str | None = None
    category_id: int | None = None
    category: str | int | None = None
    score: float | None = None
    iscrowd: int = 0


class _CocoImage(msgspec.Struct):
    id: int | str
    file_name: str
    width: float | None = None
    height: float | None = None


class _CocoCategory(msgspec.Struct):
    id: int
    name: str


class _Rows:
    """The flat arrays while they grow."""

    def __init__(self, path: str | Path, classes: Sequence[str]) -> None:
        self.path, self.classes = path, list(classes)
        self.index = {name: i for i, name in reversed(list(enumerate(self.classes)))}
        self.boxes: list[Sequence[float]] = []
        self.candidates: list[int] = []
        self.scores: list[float] = []
        self.image_offsets, self.candidate_offsets = [0], [0]
        self.names: list[str] = []
        self.unscored = 0

    def class_index(self, name: str) -> int:
        """The number of a class, which is a new one where it has not been met."""
        if name not in self.index:
            self.index[name] = len(self.classes)
            self.classes.append(name)
        return self.index[name]

    def add(self, bbox: Sequence[float], best: int, score: float | None, others: Mapping[int, float]) -> None:
        self.unscored += score is None
        self.boxes.append(bbox)
        self.candidates += [best, *others]
        self.scores += [1.0 if score is None else score, *others.values()]
        self.candidate_offsets.append(len(self.candidates))

    def end_image(self, name: str) -> None:
        self.names.append(name)
        self.image_offsets.append(len(self.boxes))

    def content(self, convention: str, numbered: bool = False) -> Content:
        if self.unscored:
            convention += f"; boxes without a score ({self.unscored}) count as certain (score 1)"
        with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes infinite: refused later
            arrays = {
                "boxes": np.asarray(self.boxes, dtype=np.float64).reshape(-1, 4).astype(np.float32),
                "candidates": np.asarray(self.candidates, dtype=np.int64),
                "scores": np.asarray(self.scores, dtype=np.float64).astype(np.float32),
                "image_offsets": np.asarray(self.image_offsets),
                "candidate_offsets": np.asarray(self.candidate_offsets),
            }
        return Content(self.classes, self.names, arrays, convention, numbered)


def read_boxes(path: str | Path, default_classes: Sequence[str] | None = None) -> Content:
    """The boxes of a JSON file in any of the layouts above.

    default_classes: what integer categories mean in our layout when the file has no "classes".
    Raises InputError naming the file, the image and the box.
    """
    data = read_bytes(path, CURE)
    head = data.removeprefix(b"\xef\xbb\xbf")[:64].lstrip()
    if head.startswith(b"["):
        items = decode_json(data, path, list[_CocoBox])
        if not items:
            raise InputError(f"{path}: is an empty list, without a box; {CURE}")
        return _coco(path, items, None, None)
    content = _of_object(path, decode_json(data, path, dict[str, msgspec.Raw]), default_classes)
    if not content.image_names:
        raise InputError(f"{path}: holds no image; {CURE}")
    return content


def _of_object(path: str | Path, images: dict[str, msgspec.Raw], default_classes: Sequence[str] | None) -> Content:
    lists = [key for key in COCO_LISTS if _is_list(images.get(key))]
    if not lists and all(_is_list(images.get(key)) for key in ("images", "categories")):
        raise InputError(f'{path}: has "images" and "categories", but no "annotations"; add the list of boxes')
    if lists and (images.keys() & {"categories", "annotations"} or _is_list(images.get("images"))):
        if len(lists) > 1:
            lists = [key for key in lists if bytes(images[key]).strip(b"[] \t\r\n")] or lists[:1]
        if len(lists) > 1:
            raise InputError(f"{path}: has boxes in both {lists[0]!r} and {lists[1]!r}; leave one list")
        parts = {
            key: decode_json(images[key], f"{path}: {key}", list[kind]) if key in images else None
            for key, kind in (("images", _CocoImage), ("categories", _CocoCategory), (lists[0], _CocoBox))
        }
        return _coco(path, parts[lists[0]], parts["images"], parts["categories"])
    return _ours(path, images, default_classes)


def _is_list(value: msgspec.Raw | None) -> bool:
    return value is not None and bytes(memoryview(value)[:1]) == b"["


def _ours(path: str | Path, images: dict[str, msgspec.Raw], default_classes: Sequence[str] | None) -> Content:
    numbered = list(default_classes or [])  # what numbers mean
    own_classes = set(images) == {"classes", "images"}
    if own_classes:
        numbered = decode_json(images["classes"], f"{path}: classes", list[str])
        images = decode_json(images["images"], f"{path}: images", dict[str, msgspec.Raw])
    rows, numbers = _Rows(path, numbered if own_classes else []), set()

    def class_index(category: int | str, image: str, box: int) -> int:
        if isinstance(category, int):
            if 0 <= category < len(numbered):
                numbers.add(category)
                return rows.class_index(numbered[category])
            cure = f"there are {len(numbered)}"
            if not numbered:
                cure = 'say what the numbers mean: {"classes": [names, from 0], "images": {what the file holds now}}'
            raise InputError(f"{path}: image {image!r}, box {box} has category {category}; {cure}")
        if own_classes and category not in rows.index:
            raise InputError(f'{path}: image {image!r}, box {box} has category {category!r}, not in "classes"')
        return rows.class_index(category)

    for name, raw in images.items():
        for i, box in enumerate(decode_json(raw, f"{path}: image {name!r}", list[_Box])):
            best = class_index(box.category, name, i)
            others = {class_index(other, name, i): score for other, score in box.scores.items()}
            others.pop(best, None)
            rows.add(box.bbox, best, box.score, others)
        rows.end_image(name)
    convention = "boxes are corners, [x1, y1, x2, y2]"
    if numbers and not own_classes:
        taken = ", ".join(f"{number} {numbered[number]}" for number in sorted(numbers)[:4])
        convention += f"; category numbers are taken for those of the agent's data set: {taken}, ..."
    return rows.content(convention)


def _coco(
    path: str | Path,
    items: list[_CocoBox],
    images: list[_CocoImage] | None,
    categories: list[_CocoCategory] | None,
) -> Content:
    names_of = {image.id: image.file_name for image in images or []}
    if len(set(names_of.values())) < len(images or []):
        raise InputError(f'{path}: two of its "images" share an id or a file name; give each its own')
    words: dict[int, str] = {}
    for category in categories or []:
        if words.setdefault(category.id, category.name) != category.name:
            both = f"{words[category.id]!r} and {category.name!r}"
            raise InputError(f'{path}: id {category.id} of its "categories" is both {both}; give each its own')
    rows, by_image, crowds, taken = _Rows(path, []), {}, 0, False
    numbered = False
    for i, item in enumerate(items):
        if item.iscrowd or not item.bbox:  # a crowd's box is around many things; a caption has none
            crowds += 1
            continue
        name = names_of.get(item.image_id, item.file_name)
        if item.file_name is None:
            if item.image_id is None:
                raise InputError(f'{path}: item {i} has neither "image_id" nor "file_name"; add one')
            if images is not None and item.image_id not in names_of:
                raise InputError(f'{path}: item {i} has image_id {item.image_id!r}, which is not in "images"')
        elif PurePath(name).name != PurePath(item.file_name).name:
            theirs = f"image_id {item.image_id!r}, which is {name!r}"
            raise InputError(f"{path}: item {i} has file_name {item.file_name!r}, but {theirs}; leave one out")
        if name is None:
            name, numbered = str(item.image_id), True
        if len(item.bbox) != 4:
            raise InputError(
                f"{path}: item {i} has a bbox of {len(item.bbox)} numbers; [x, y, width, height] is wanted"
            )
        by_image.setdefault(name, []).append((i, item))
    for name, members in by_image.items():
        for i, item in members:
            word = item.category if isinstance(item.category, str) else None
            if word is None:
                number = item.category_id if item.category_id is not None else item.category
                if number is None:
                    raise InputError(f'{path}: item {i} has neither "category_id" nor "category"; add one')
                meaning = words if categories is not None else COCO_NUMBERS
                if number not in meaning:
                    where = 'its "categories"' if categories is not None else "COCO's own numbers (1 to 90)"
                    cure = '{"categories": [{"id", "name"}], "images": [{"id", "file_name"}], "annotations": [...]}'
                    raise InputError(f"{path}: item {i} has category {number}, not one of {where}; give {cure}")
                taken |= categories is None
                word = meaning[number]
            elif words.get(item.category_id, word).strip().lower() != word.strip().lower():
                theirs = f"category_id {item.category_id}, which is {words[item.category_id]!r}"
                raise InputError(f"{path}: item {i} has category {word!r}, but {theirs}; leave one out")
            x, y, width, height = item.bbox
            rows.add((x, y, x + width - 1, y + height - 1), rows.class_index(word), item.score, {})
        rows.end_image(name)
    for name in names_of.values():
        if name not in by_image:
            rows.end_image(name)
    convention = "COCO's layout, boxes are [x, y, width, height]"
    if taken:
        convention += "; category numbers are taken for COCO's own (1 person, 2 bicycle, ... 90 toothbrush)"
    if crowds:
        convention += f"; {crowds} items of crowds or without a box left out"
    sizes = {image.file_name: (round(image.width), round(image.height)) for image in images or [] if _has_size(image)}
    return rows.content(convention, numbered)._replace(sizes=sizes)


def _has_size(image: _CocoImage) -> bool:
    return all(side is not None and 1 <= side <= LONGEST_SIDE for side in (image.width, image.height))
