"""Photos against what is annotated on them: are they the photos that were annotated?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from boxes import from_xywh
from files.box_checks import BoxCheck
from files.images import image_header
from files.io import InputError
from files.splits import ImageRecord

MOST_LOOKED_AT = 1000  # photos of a split whose headers are read
CURE = "are the photos of another size than annotated?"


class PhotoCheck:
    """Looks at one photo after another; says at the end what is wrong with them.

    A photo is compared with the size that its annotations give; where they give none, by its boxes.
    """

    def __init__(self) -> None:
        self.boxes = BoxCheck()
        self.compared = self.others = 0
        self.example = ""

    def look(
        self,
        name: str,
        size: tuple[int, int],
        annotated: tuple[int, int] | None,
        boxes: np.ndarray,
        turned: bool = False,
    ) -> None:
        """size: (width, height) of the photo. annotated: as the annotations say. boxes: (n, 4) inclusive corners.

        turned: whether EXIF turned the photo by a quarter.
        """
        if annotated is None:
            self.boxes.look(name, boxes, *size, turned)
            return
        self.compared += 1
        if tuple(size) != tuple(annotated):
            self.others += 1
            self.example = self.example or f"{name}: {size[0]} x {size[1]}, annotated {annotated[0]} x {annotated[1]}"

    def complaints(self, sizes_matter: bool = True) -> list[str]:
        """A line about photos of another size than was annotated, and one about boxes that cannot be of their photo.

        sizes_matter: False where boxes are drawn in proportion.
        """
        lines = []
        if self.others:
            drawn = "" if sizes_matter else "; their boxes are drawn in proportion"
            lines.append(
                f"{self.others} of {self.compared} photos have another size than was annotated ({self.example}){drawn}"
            )
        return lines + [line for line in [self.boxes.complaint(CURE) or self.boxes.past_complaint(0)] if line]

    def mostly_wrong(self) -> bool:
        """Whether most photos are of another size, or most boxes leave their photo."""
        return (
            2 * self.others > self.compared
            or self.boxes.mostly_off()
            or 2 * (self.boxes.off + self.boxes.past) > self.boxes.boxes
        )


def check_photos(photos: Iterable[tuple[ImageRecord, Path]], folder: str | Path) -> str | None:
    """Compare photos with what a split says of them, `MOST_LOOKED_AT` at most, spread over all.

    Returns a warning of one line, None where all is well. Raises InputError when most are wrong. Photos that cannot be
    read are left to who reads them.
    """
    photos, check = list(photos), PhotoCheck()
    for record, path in photos[:: -(-len(photos) // MOST_LOOKED_AT) or 1]:
        try:
            header = image_header(path)
        except InputError:
            continue
        annotated = (record.width, record.height) if record.width and record.height else None
        objects = np.array([(o.x, o.y, o.w, o.h) for o in record.labels.objects], dtype=np.float64).reshape(-1, 4)
        check.look(record.image_name, header[:2], annotated, from_xywh(objects), header.orientation >= 5)
    if not (lines := check.complaints()):
        return None
    if check.mostly_wrong():
        raise InputError(f"{folder}: {'; '.join(lines)}; give the photos that were annotated")
    return f"{folder}: {'; '.join(lines)}"
