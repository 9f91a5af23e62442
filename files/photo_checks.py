"""Photos against the annotations that they are used with: are they the photos that were annotated?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from files.box_checks import EDGE
from files.images import image_size
from files.io import InputError
from files.splits import ImageRecord

MOST_LOOKED_AT = 1000  # photos of a split whose headers are read


def check_photos(photos: Iterable[tuple[ImageRecord, Path]], folder: str) -> str | None:
    """Compare photos with what a split says of them: their sizes, or where it has none, whether boxes leave them.

    Returns a warning of one line, None where all is well. Raises InputError when most are of another size, or most
    boxes leave their photo. Photos that cannot be read are left to who reads them.
    """
    photos = list(photos)
    compared = others = boxes = leaving = measured = 0
    left: list[str] = []
    example = ""
    for record, path in photos[:: -(-len(photos) // MOST_LOOKED_AT) or 1]:
        try:
            size = image_size(path)
        except InputError:
            continue
        if record.width is not None:
            compared += 1
            if size != (record.width, record.height):
                others += 1
                example = example or (
                    f"{record.image_name}: {size[0]} x {size[1]}, annotated {record.width} x {record.height}"
                )
            continue
        measured += 1
        box = np.array([(o.x, o.y, o.w, o.h) for o in record.labels.objects], dtype=np.float64).reshape(-1, 4)
        slack = EDGE * np.array(size) + 1
        outside = ((box[:, :2] < -slack) | (box[:, :2] + box[:, 2:] > np.array(size) + slack)).any(axis=1)
        boxes, leaving = boxes + len(box), leaving + int(outside.sum())
        if outside.any():
            left.append(record.image_name)
    lines, wrong = [], False
    if others:
        lines.append(f"{others} of {compared} photos in {folder} have another size than was annotated ({example})")
        wrong = 2 * others > compared
    if leaving:
        lines.append(
            f"{leaving} of {boxes} boxes leave their photo, in {len(left)} of {measured} photos in {folder} "
            f"({left[0]}, ...); are the photos of another size than was annotated?"
        )
        wrong |= 2 * leaving > boxes
    if not lines:
        return None
    if wrong:
        raise InputError(f"{'; '.join(lines)}; give the photos that were annotated")
    return "; ".join(lines)
