"""Photos beside graphs: read no larger than needed, and held against the boxes that are drawn on them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from drawing.comparison import corners
from files.box_checks import BoxCheck
from files.images import image_header, load_image
from files.scene_graphs import Graph


class SizedPhoto(NamedTuple):
    """A photo, perhaps read smaller than it is. size: its own (width, height). turned: EXIF turned it by a quarter."""

    image: Image.Image
    size: tuple[int, int]
    turned: bool


def read_photo(path: str | Path, longest: int) -> SizedPhoto:
    """The photo at most `longest` pixels long. Raises InputError as `load_image`."""
    header = image_header(path)
    return SizedPhoto(load_image(path, longest), (header.width, header.height), header.orientation >= 5)


def boxes_size(graph: Graph, photo: SizedPhoto) -> tuple[int, int]:
    """The (width, height) in whose pixels the graph's boxes are: the graph's own where it says, else the photo's."""
    return (graph["width"], graph["height"]) if "width" in graph and "height" in graph else photo.size


class SizeCheck:
    """Holds graphs against their photos, one after another, and says at the end what does not fit."""

    def __init__(self) -> None:
        self.boxes = BoxCheck()
        self.photos = 0
        self.others: list[str] = []

    def look(self, graph: Graph, size: tuple[int, int], turned: bool) -> None:
        """size, turned: of the photo."""
        self.photos += 1
        name = graph["image_name"]
        if "width" in graph and "height" in graph:
            if (graph["width"], graph["height"]) != tuple(size):
                self.others.append(
                    f"{name!r} has {size[0]} x {size[1]}, its graph {graph['width']} x {graph['height']}"
                )
        else:
            boxed = np.array([thing["w"] > 0 and thing["h"] > 0 for thing in graph["objects"]], dtype=bool)
            self.boxes.look(name, corners(graph)[boxed], *size, turned)

    def complaints(self) -> list[str]:
        """One line about photos of another size than their graphs say, and one about boxes that do not fit theirs."""
        lines = [self.boxes.complaint() or self.boxes.past_complaint()]
        if self.others:
            count = f"{len(self.others)} of {self.photos} photo{'' if self.photos == 1 else 's'}"
            lines.append(f"{count} of another size than annotated, boxes drawn in proportion: {self.others[0]} pixels")
        return [line for line in lines if line]
