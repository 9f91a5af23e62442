"""The photos that belong to the annotations."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.annotations import Annotations
from files.images import EXTENSIONS, image_folders, image_size
from files.io import InputError


def find_images(annotations: Annotations, images_dir: Path | None) -> np.ndarray:
    """(n,) bool: which images have a file in the folder (None: all of them).

    The names become those of the files (`7.jpg` may be `7.png`). A size that the data set does not give is the file's.
    """
    if images_dir is None:
        return np.ones(len(annotations.image_names), bool)
    if not images_dir.is_dir():
        raise InputError(f"{images_dir}: no such folder; give the one with the images by --images_dir")
    files: dict[str, Path] = {}
    for folder in image_folders(images_dir):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix.lower() in EXTENSIONS:
                files.setdefault(path.stem, path)
    paths = [files.get(Path(name).stem) for name in annotations.image_names]
    if not any(paths):
        raise InputError(f"{images_dir}: has none of the annotated images; check --images_dir")
    for row, path in enumerate(tqdm(paths, "images", unit=" images", disable=None, leave=False)):
        if path is not None:
            annotations.image_names[row] = path.name
            if not annotations.image_size[row].all():
                with contextlib.suppress(InputError):  # training says so when it needs the pixels
                    annotations.image_size[row] = image_size(path)
    return np.array([path is not None for path in paths])
