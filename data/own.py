"""Reading a data set of your own: images in the layout of the split files (see files/splits.py).

`train_data.json`, and `validation_data.json` and `test_data.json` where the division is yours. See docs/own_data.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data.annotations import SPLITS, Annotations
from data.json_list import ADVICE
from data.records import annotations_of
from files.io import InputError
from files.splits import ImageRecord, Split

CURE = "see docs/own_data.md"


def read_own(
    directory: str | Path, skip_bad_items: bool = False
) -> tuple[Annotations, Sequence[np.ndarray | None] | None]:
    """Read the files of a folder.

    Returns the annotations and the rows of the training, validation and test images; validation is None where
    it is to be cut from training; None when there is one file, to be divided. Raises InputError naming file and
    item; with skip_bad_items malformed images (two objects with one id, ...) are left out and counted.
    Boxes that are all within 0..1 are refused: they are shares of the photo, not pixels.
    """
    directory = Path(directory)
    paths = {name: directory / f"{name}_data.json" for name in SPLITS}
    paths = {name: path for name, path in paths.items() if name == "train" or path.exists()}
    rows, bad = {}, 0

    def records() -> Iterator[ImageRecord]:
        nonlocal bad
        end = 0
        for name, path in paths.items():
            begin, split = end, Split(path, CURE, any_box=True)
            for index in range(len(split)):
                try:
                    record = split[index]
                except InputError as error:
                    if not skip_bad_items:
                        raise InputError(f"{error}; {ADVICE}") from None
                    bad += 1
                    continue
                yield record
                end += 1
            rows[name] = np.arange(begin, end)

    annotations = annotations_of(records(), directory)
    annotations.drop_items(bad)
    box = annotations.object_box
    if len(box) and box.min() >= 0 and (box[:, :2] + box[:, 2:]).max() <= 1:
        raise InputError(f"{paths['train']}: all boxes lie within 0..1; multiply them by the photo's width and height")
    if len(rows) == 1:
        return annotations, None
    return annotations, (rows["train"], rows.get("validation"), rows.get("test", np.zeros(0, np.int64)))
