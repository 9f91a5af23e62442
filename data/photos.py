"""The photos that belong to the annotations, and whether they are the ones that were annotated."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
from tqdm import tqdm

from boxes import from_xywh
from data.annotations import OUTSIDE, Annotations
from files.images import EXTENSIONS, find_image, image_folders, image_header
from files.io import InputError
from files.photo_checks import PhotoCheck


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
    known = annotations.image_size[:, 0] > 0
    order = np.argsort(annotations.object_image, kind="stable")
    first = np.searchsorted(annotations.object_image[order], np.arange(len(paths) + 1))
    check, unreadable = PhotoCheck(), []
    for row, path in enumerate(tqdm(paths, "images", unit=" images", disable=None, leave=False)):
        if path is not None:
            annotations.image_names[row] = str(Path(annotations.image_names[row]).parent / path.name)
            try:
                header = image_header(path)
            except InputError as error:
                unreadable.append(error)
                continue
            size[row] = header[:2]
            annotated = tuple(annotations.image_size[row].tolist()) if known[row] else None
            box = from_xywh(annotations.object_box[order[first[row] : first[row + 1]]])
            check.look(annotations.image_names[row], header[:2], annotated, box, header.orientation >= 5)
    if unreadable:
        print(f"{len(unreadable)} photos cannot be read: {unreadable[0]}")
    lines = check.complaints()
    if lines and check.mostly_wrong():
        raise InputError(f"{images_dir}: {'; '.join(lines)}; give the photos that were annotated by --images_dir")
    for line in lines:
        print(f"Warning: {images_dir}: {line}.")
    annotations.image_size = np.where(known[:, None], annotations.image_size, size)
    return np.array([path is not None for path in paths])


def _path_of(name: str, files: dict[str, Path], images_dir: Path) -> Path | None:
    if Path(name).name == name:
        return files.get(_composed(Path(name).stem))
    path = find_image(images_dir, name)  # the data set says in which folder
    return path if path.is_file() else None


def _composed(name: str) -> str:
    """The name with letters and accents in one: a Mac may write them in two."""
    return unicodedata.normalize("NFC", name)


def check_boxes_are_inside(annotations: Annotations, directory: Path) -> None:
    """Raise InputError when most boxes lay outside of photos whose size is known."""
    outside = annotations.dropped["object", OUTSIDE]
    if outside > len(annotations.object_id):
        raise InputError(
            f"{directory}: {outside} of {outside + len(annotations.object_id)} boxes lie outside of their photo; "
            "are they in pixels, and width and height those of the photo?"
        )
