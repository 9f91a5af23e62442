"""The photos that belong to the annotations, and whether they are the ones that were annotated."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.annotations import OUTSIDE, Annotations
from files.images import EXTENSIONS, find_image, image_folders, image_size
from files.io import InputError

SLACK = 0.02  # of a side: so far past the edge lie boxes that are right


def find_images(annotations: Annotations, images_dir: Path | None) -> np.ndarray:
    """(n,) bool: which images have a file in the folder (None: all of them).

    The names become those of the files (`7.jpg` may be `7.png`). The photos' sizes are compared
    with those of the data set; where it has none, the photos' become its own, and boxes that leave
    their photo are counted. What is odd is printed. Raises InputError when most are.
    """
    if images_dir is None:
        return np.ones(len(annotations.image_names), bool)
    if not images_dir.is_dir():
        raise InputError(f"{images_dir}: no such folder; give the one with the images by --images_dir")
    files: dict[str, Path] = {}
    for folder in image_folders(images_dir):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix.lower() in EXTENSIONS:
                files.setdefault(_composed(path.stem), path)
    paths = [_path_of(name, files, images_dir) for name in annotations.image_names]
    if not any(paths):
        raise InputError(f"{images_dir}: has none of the annotated images; check --images_dir")
    size = np.zeros_like(annotations.image_size)
    unreadable = []
    for row, path in enumerate(tqdm(paths, "images", unit=" images", disable=None, leave=False)):
        if path is not None:
            annotations.image_names[row] = str(Path(annotations.image_names[row]).parent / path.name)
            try:
                size[row] = image_size(path)
            except InputError as error:
                unreadable.append(error)
    if unreadable:
        print(f"{len(unreadable)} photos cannot be read: {unreadable[0]}")
    known = annotations.image_size[:, 0] > 0
    _compare(annotations, size, known & (size[:, 0] > 0), images_dir)
    annotations.image_size = np.where(known[:, None], annotations.image_size, size)
    _count_boxes_that_leave(annotations, ~known & (size[:, 0] > 0), images_dir)
    return np.array([path is not None for path in paths])


def _path_of(name: str, files: dict[str, Path], images_dir: Path) -> Path | None:
    if Path(name).name == name:
        return files.get(_composed(Path(name).stem))
    path = find_image(images_dir, name)  # the data set says in which folder
    return path if path.is_file() else None


def _composed(name: str) -> str:
    """The name with letters and accents in one: a Mac may write them in two."""
    return unicodedata.normalize("NFC", name)


def _compare(annotations: Annotations, size: np.ndarray, both: np.ndarray, images_dir: Path) -> None:
    other = np.flatnonzero(both & (size != annotations.image_size).any(axis=1))
    if len(other):
        first = other[0]
        (width, height), (w, h) = size[first], annotations.image_size[first]
        _tell(
            f"{len(other)} of {both.sum()} photos in {images_dir} have another size than was annotated "
            f"({annotations.image_names[first]}: {width} x {height}, annotated {w} x {h})",
            2 * len(other) > both.sum(),
        )


def _count_boxes_that_leave(annotations: Annotations, measured: np.ndarray, images_dir: Path) -> None:
    looked_at = measured[annotations.object_image]
    box, image = annotations.object_box[looked_at], annotations.object_image[looked_at]
    size = annotations.image_size[image]
    slack = SLACK * size + 1
    leaves = ((box[:, :2] < -slack) | (box[:, :2] + box[:, 2:] > size + slack)).any(axis=1)
    if leaves.any():
        _tell(
            f"{leaves.sum()} of {len(box)} boxes leave their photo, in {len(np.unique(image[leaves]))} of "
            f"{measured.sum()} photos in {images_dir}; are the photos of another size than was annotated?",
            2 * leaves.sum() > len(box),
        )


def _tell(what: str, is_error: bool) -> None:
    if is_error:
        raise InputError(f"{what}; give the photos that were annotated by --images_dir")
    print(f"Warning: {what}.")


def check_boxes_are_inside(annotations: Annotations, directory: Path) -> None:
    """Raise InputError when most boxes lay outside of photos whose size is known."""
    outside = annotations.dropped["object", OUTSIDE]
    if outside > len(annotations.object_id):
        raise InputError(
            f"{directory}: {outside} of {outside + len(annotations.object_id)} boxes lie outside of their photo; "
            "are they in pixels, and width and height those of the photo?"
        )
