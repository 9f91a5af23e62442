"""Reading VG150, the field's benchmark cut from Visual Genome (Xu, Zhu, Choy, Fei-Fei, CVPR 2017).

`VG-SGG.h5` (or `VG-SGG-with-attri.h5`) holds N images, M boxes and R relations as arrays:

    split (N,)                       0 training, 2 test
    img_to_first_box, img_to_last_box, img_to_first_rel, img_to_last_rel (N,)   inclusive; -1 for none
    boxes_1024 (M, 4)                centre x, centre y, width, height, the photo's longer side being 1024
    labels (M, 1), predicates (R, 1) from 1, names in the dicts file
    relationships (R, 2)             subject and object, rows of boxes
    attributes (M, 10)               from 1, padded with 0 (with-attri only)

The n-th image is the n-th of `image_data.json` once four images whose pixels are broken are left
out. The first 5 000 training images that have relations are validation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from data.annotations import Annotations
from files.hdf5 import open_hdf5, read_hdf5
from files.io import InputError, read_json
from files.splits import Side
from semantic_graph import fold_name

CURE = "get the files that belong together: python data/download.py vg150"
BROKEN_IMAGES = (1592, 1722, 4616, 4617)
IMAGES, VALIDATION = 108_073, 5_000
LONGER_SIDE = 1024  # to which boxes_1024 are scaled
MOST_ROWS = 20_000_000  # of any array: a hundred times what Visual Genome has: not a data set
TRAIN, TEST = 0, 2


class _Dicts(msgspec.Struct):
    idx_to_label: dict[str, str]
    idx_to_predicate: dict[str, str]
    idx_to_attribute: dict[str, str] = {}


class _Image(msgspec.Struct):
    image_id: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
    width: Side
    height: Side


def read_vg150(directory: str | Path, num_validation: int | None = None) -> tuple[Annotations, list[np.ndarray]]:
    """Read the three files of a folder.

    Returns the annotations, images in the file's order, and the rows of the training, validation
    and test images. Boxes are in pixels of the photo: x = (centre x - width / 2) * longer side / 1024,
    not rounded. `object_id` and `relationship_id` are rows of the file. The vocabulary is fixed.
    num_validation: how many of the first training images with relations are validation (None: 5 000
    of the whole file, in proportion of a smaller one).
    Raises InputError naming the array and the row where the files do not belong together.
    """
    directory = Path(directory)
    path, dicts = _find(directory)
    names = _read_dicts(dicts)
    arrays = _read_arrays(path, with_attributes=bool(names["attribute"]))
    images = read_json(directory / "image_data.json", list[_Image], CURE)
    n = len(arrays["split"])
    whole = [image for image in images if image.image_id not in BROKEN_IMAGES]
    if len(whole) != n:
        raise InputError(
            f"{directory / 'image_data.json'}: lists {len(whole):,} images without the {len(BROKEN_IMAGES)} broken "
            f"ones, {path.name} has {n:,}; {CURE}"
        )
    _check(path, arrays, {kind: len(words) for kind, words in names.items()})

    boxes, object_image = _rows_of_images(path, arrays, "box", len(arrays["labels"]))
    relations, relation_image = _rows_of_images(path, arrays, "rel", len(arrays["predicates"]))
    row = np.full(len(arrays["labels"]), -1, np.int32)
    row[boxes] = np.arange(len(boxes), dtype=np.int32)
    ends = row[arrays["relationships"][relations]]  # (r, 2)
    stray = (ends < 0).any(axis=1) | (object_image[ends] != relation_image[:, None]).any(axis=1)
    if stray.any():
        bad = relations[np.flatnonzero(stray)[0]]
        raise InputError(f"{path}: relationships[{bad}] joins boxes that are not both its image's; {CURE}")

    size = np.array([(image.width, image.height) for image in whole], np.int32).reshape(-1, 2)
    scale = size.max(axis=1)[object_image, None] / LONGER_SIDE  # exact: 1024 is a power of two
    centre, extent = np.hsplit(arrays["boxes_1024"][boxes].astype(np.float64), 2)
    given = arrays["attributes"][boxes] if "attributes" in arrays else np.zeros((len(boxes), 0), np.int64)
    attribute_object, slot = np.nonzero(given)
    annotations = Annotations(
        image_names=[f"{image.image_id}.jpg" for image in whole],
        image_ids=np.array([image.image_id for image in whole], np.int64),
        image_size=size,
        entity_names=names["entity"],
        attribute_names=names["attribute"],
        predicate_names=names["predicate"],
        object_image=object_image,
        object_id=boxes,
        object_box=np.concatenate([(centre - extent / 2) * scale, extent * scale], axis=1),
        object_name=arrays["labels"][boxes] - 1,
        attribute_object=attribute_object,
        attribute_name=given[attribute_object, slot] - 1,
        relationship_id=relations,
        relationship_subject=ends[:, 0],
        relationship_predicate=arrays["predicates"][relations] - 1,
        relationship_object=ends[:, 1],
        fixed_words={kind: len(words) for kind, words in names.items()},
    )
    return annotations, _division(arrays, num_validation)


def _find(directory: Path) -> tuple[Path, Path]:
    """The arrays and the dicts; those with attributes when both are there."""
    for ending in ("-with-attri", ""):
        path, dicts = directory / f"VG-SGG{ending}.h5", directory / f"VG-SGG-dicts{ending}.json"
        if path.exists():
            return path, dicts
    raise InputError(f"{directory}: holds no VG-SGG.h5 and no VG-SGG-with-attri.h5; {CURE}")


def _read_dicts(path: Path) -> dict[str, list[str]]:
    """{kind: names in the order of their numbers}."""
    dicts = read_json(path, _Dicts, CURE)
    names = {}
    for kind, key in (("entity", "label"), ("predicate", "predicate"), ("attribute", "attribute")):
        by_number = getattr(dicts, f"idx_to_{key}")
        by_number.pop("0", None)  # the background or padding, in some copies
        words = [fold_name(by_number.get(str(number), "")) for number in range(1, len(by_number) + 1)]
        if "" in words:
            raise InputError(f"{path}: idx_to_{key} has no name for {words.index('') + 1}; {CURE}")
        if len(set(words)) != len(words):
            twice = next(word for word in words if words.count(word) > 1)
            raise InputError(f"{path}: idx_to_{key} has the name {twice!r} twice; {CURE}")
        names[kind] = words
    return names


def _read_arrays(path: Path, with_attributes: bool) -> dict[str, np.ndarray]:
    """The arrays that are used, as int64, those of one column as (k,)."""
    columns = {"split": 1, "boxes_1024": 4, "labels": 1, "relationships": 2, "predicates": 1}
    columns |= {f"img_to_{end}_{kind}": 1 for kind in ("box", "rel") for end in ("first", "last")}
    arrays = {}
    with open_hdf5(path, CURE) as file:
        for name in [*columns, *(["attributes"] if with_attributes and "attributes" in file else [])]:
            array = read_hdf5(file, name, path, "iu", cure=CURE)
            width = columns.get(name)
            if array.ndim == 1 and width == 1:
                array = array[:, None]
            if array.ndim != 2 or width not in (None, array.shape[1]) or len(array) > MOST_ROWS:
                raise InputError(f"{path}: {name} has the shape {array.shape}, not (n, {width or 10}); {CURE}")
            arrays[name] = array[:, 0].astype(np.int64) if width == 1 else array.astype(np.int64)
    return arrays


def _check(path: Path, arrays: dict[str, np.ndarray], words: dict[str, int]) -> None:
    """Raise InputError unless lengths agree and every number is one that the other files know."""
    m, r, n = len(arrays["labels"]), len(arrays["predicates"]), len(arrays["split"])
    lengths = {"boxes_1024": m, "relationships": r} | {name: n for name in arrays if name.startswith("img_to_")}
    if "attributes" in arrays:
        lengths["attributes"] = m
    for name, length in lengths.items():
        if len(arrays[name]) != length:
            raise InputError(f"{path}: {name} has {len(arrays[name]):,} rows where {length:,} are needed; {CURE}")
    limits = {
        "labels": (1, words["entity"]),
        "predicates": (1, words["predicate"]),
        "relationships": (0, m - 1),
        "attributes": (0, words["attribute"]),
    }
    for name, (least, most) in limits.items():
        if name in arrays:
            outside = (arrays[name] < least) | (arrays[name] > most)
            if outside.any():
                bad = tuple(np.argwhere(outside)[0].tolist())
                where = ", ".join(map(str, bad))
                raise InputError(f"{path}: {name}[{where}] is {arrays[name][bad]}, not from {least} to {most}; {CURE}")
    odd = np.flatnonzero(~np.isin(arrays["split"], (TRAIN, 1, TEST)))
    if len(odd):
        raise InputError(f"{path}: split[{odd[0]}] is {arrays['split'][odd[0]]}, not 0, 1 or 2; {CURE}")
    box = arrays["boxes_1024"]
    bad = np.flatnonzero((box[:, 2:] <= 0).any(axis=1) | (np.abs(box) > 100 * LONGER_SIDE).any(axis=1))
    if len(bad):
        raise InputError(f"{path}: boxes_1024[{bad[0]}] is {box[bad[0]].tolist()}, which is not a box; {CURE}")


def _rows_of_images(path: Path, arrays: dict[str, np.ndarray], kind: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the boxes ("box") or relations ("rel"), image by image, and the image of each: (k,) and (k,).

    Raises InputError when an image's range is none, or two images share a row.
    """
    first, last = arrays[f"img_to_first_{kind}"], arrays[f"img_to_last_{kind}"]
    empty = (first == -1) & (last == -1)
    bad = np.flatnonzero(~empty & ((first < 0) | (last < first) | (last >= count)))
    if len(bad):
        raise InputError(
            f"{path}: img_to_first_{kind}[{bad[0]}] and img_to_last_{kind}[{bad[0]}] are {first[bad[0]]} and "
            f"{last[bad[0]]}, no range of the {count:,} rows; {CURE}"
        )
    size = np.where(empty, 0, last - first + 1)
    if size.sum() > count:
        raise InputError(f"{path}: ranges img_to_first_{kind} to img_to_last_{kind} overlap; {CURE}")
    image = np.repeat(np.arange(len(first)), size)
    rows = np.repeat(first - (np.cumsum(size) - size), size) + np.arange(len(image))
    if len(rows) and np.bincount(rows).max() > 1:
        raise InputError(f"{path}: ranges img_to_first_{kind} to img_to_last_{kind} overlap; {CURE}")
    return rows, image


def _division(arrays: dict[str, np.ndarray], num_validation: int | None) -> list[np.ndarray]:
    """Image rows of training, validation and test. A file may mark validation images itself (1); VG-SGG.h5 does not."""
    split = arrays["split"]
    train, validation, test = (np.flatnonzero(split == number) for number in (TRAIN, 1, TEST))
    if len(validation) == 0:
        related = train[arrays["img_to_first_rel"][train] >= 0]
        share = min(VALIDATION, round(VALIDATION * len(split) / IMAGES)) or 1
        validation = related[: share if num_validation is None else num_validation]
        train = np.setdiff1d(train, validation, assume_unique=True)
    return [train, validation, test]
