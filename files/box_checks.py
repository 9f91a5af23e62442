"""Boxes against the photos that they are of: what cannot be right, and what it looks like.

Wrong boxes parse like right ones: corners from 0 to 1, of a photo of another size, of a photo that was turned by its
EXIF orientation. Each has its signature, named here for every command that has boxes and photos.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

EDGE = 0.02  # of a side: so far past the edge lie boxes of detectors and annotators that are right
LARGER = 1.1  # boxes that reach so many sides far are of a larger photo
PIXELS = "in pixels of the photo as a viewer shows it"
CURE = f"give corners [x1, y1, x2, y2] {PIXELS}"
EXAMPLES = 3
FEW_PHOTOS, FEW_BOXES = 5, 20  # of fewer it says nothing that no box comes near an edge
BEFORE_EXIF = "of the photo before its EXIF orientation is applied"


def from_0_to_1(boxes: np.ndarray) -> bool:
    """Whether (n, 4) corners are shares of the photo's sides: all from 0 to 1, and not all whole numbers.

    Also where they were made of shares [x, y, width, height] as if those were pixels: the far ones are 1 less then.
    """
    if not len(boxes) or not (boxes % 1 != 0).any():
        return False
    return any(((corners >= -EDGE) & (corners <= 1 + EDGE)).all() for corners in (boxes, np.add(boxes, (0, 0, 1, 1))))


def reversed_corners(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) -> (n,) bool: x2 lies left of x1, or y2 above y1, by more than the missing pixel of an empty box."""
    return (boxes[:, 2:] < boxes[:, :2] - 1).any(axis=1)


class BoxCheck:
    """Looks at the boxes of one photo after another; says at the end what was wrong with them.

    boxes, off: how many were looked at, how many cannot be of their photo. past: how many reach past an edge.
    whole: what all boxes of the photo just looked at are, where they cannot be of it; None: they can.
    """

    def __init__(self) -> None:
        self.boxes = self.off = self.past = 0
        self.whole: str | None = None
        self.photos = 0
        self.margins = np.ones(4)  # the least that boxes left free at left, top, right, bottom, as a share of the side
        self.kinds: Counter[str] = Counter()
        self.examples: list[str] = []
        self.past_example = ""

    def look(
        self,
        name: str,
        boxes: np.ndarray,
        width: int,
        height: int,
        turned: bool = False,
        given: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """(n, 4) inclusive corners in a photo of width x height pixels -> (n,) bool: which can be of this photo.

        turned: whether EXIF turned the photo by a quarter, so that what is stored is height x width.
        given: the (width, height) of the photo that the boxes are of, where whoever made them said so.
        """
        self.boxes += len(boxes)
        self.whole = None
        if not len(boxes):
            return np.ones(0, dtype=bool)
        size = np.array([width, height, width, height], dtype=np.float64)
        past = _past(boxes, size)
        self.photos += 1
        free = np.concatenate([boxes[:, :2], size[:2] - 1 - boxes[:, 2:]], axis=1) / size
        self.margins = np.minimum(self.margins, free.min(axis=0))
        kind = self.whole = self._kind_of_all(boxes, size, past, turned, given)
        if kind:
            off = np.ones(len(boxes), dtype=bool)
        else:
            off = (boxes[:, 2:] < 0).any(axis=1) | (boxes[:, :2] > size[:2] - 1).any(axis=1)
            kind = "outside the photo"
        if (past & ~off).any():
            self.past += int((past & ~off).sum())
            self.past_example = self.past_example or f"{name!r} of {width} x {height}"
        if off.any():
            self.off += int(off.sum())
            self.kinds[kind] += int(off.sum())
            if len(self.examples) < EXAMPLES:
                corners = ", ".join(f"{v:g}" for v in np.round(boxes[off.argmax()].astype(float), 3))
                self.examples.append(f"{name!r} of {width} x {height}: [{corners}]")
        return ~off

    @staticmethod
    def _kind_of_all(
        boxes: np.ndarray, size: np.ndarray, past: np.ndarray, turned: bool, given: tuple[int, int] | None
    ) -> str | None:
        """What the photo's boxes are together when they cannot be of it."""
        if given is not None and given != tuple(size[:2]):
            before = turned and given == tuple(size[1::-1])
            return BEFORE_EXIF if before else f"of a photo of {given[0]} x {given[1]}, as their file says"
        if from_0_to_1(boxes) and size.min() > 2:
            return "from 0 to 1, shares of the sides"
        if turned and past.any() and not _past(boxes, size[[1, 0, 3, 2]]).any():
            return BEFORE_EXIF
        factor = float((boxes[:, 2:].max(axis=0) / size[:2]).max())
        if 2 * past.sum() > len(boxes) and factor > LARGER and (boxes > -EDGE * size - 1).all():
            return f"of a photo {factor:.2g} times as large, or more"
        return None

    def complaint(self, cure: str = CURE) -> str | None:
        """One line about the boxes that cannot be of their photos, with the cure; None where there are none."""
        if not self.off:
            return None
        kinds = "; ".join(f"{count} look {like(kind)}" for kind, count in self.kinds.most_common(EXAMPLES))
        return f"{self.off} of {self.boxes} boxes cannot be of their photos: {kinds} ({self.examples[0]}); {cure}"

    def past_complaint(self, share: float = 0.5) -> str | None:
        """One line when more than a share of the boxes reach past an edge of their photo: it had another size."""
        if self.past <= share * self.boxes:
            return None
        return (
            f"{self.past} of {self.boxes} boxes leave their photo ({self.past_example}); "
            "are the photos of another size than annotated?"
        )

    def small_complaint(self) -> str | None:
        """One line when the boxes of many photos all lie at the upper left: they are of smaller photos."""
        first, last = self.margins[:2].max(), self.margins[2:].min()
        if self.photos < FEW_PHOTOS or self.boxes < FEW_BOXES or last < 0.25 or last < 3 * first:
            return None
        return (
            f"all {self.boxes} boxes of {self.photos} photos lie in the upper left {1 - last:.0%} of their photos; "
            "were they found in smaller ones?"
        )

    def mostly_off(self) -> bool:
        """Whether what was looked at so far is wrong as a whole."""
        return 2 * self.off > self.boxes


def like(kind: str) -> str:
    """What boxes of a kind look like, after "look"."""
    return kind if kind.startswith("outside") else f"like boxes {kind}"


def _past(boxes: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(n,) bool: reaches past an edge by more than EDGE of the side."""
    slack = EDGE * size + 1
    return ((boxes < -slack) | (boxes > size - 1 + slack)).any(axis=1)


def names_in(names: Sequence[str], most: int = EXAMPLES) -> str:
    """A few names of many, for a message."""
    return ", ".join(repr(name) for name in names[:most]) + (", ..." if len(names) > most else "")
