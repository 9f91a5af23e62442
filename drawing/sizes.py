"""Photos beside graphs: read no larger than needed, and held against the boxes that are drawn on them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from drawing.comparison import corners
from files.images import image_header, load_image
from files.photo_checks import PhotoCheck
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


def hold_against(check: PhotoCheck, graph: Graph, size: tuple[int, int], turned: bool) -> None:
    """Look at a graph beside its photo of (width, height) `size`; turned: EXIF turned it by a quarter."""
    annotated = (graph["width"], graph["height"]) if "width" in graph and "height" in graph else None
    boxed = np.array([thing["w"] > 0 and thing["h"] > 0 for thing in graph["objects"]], dtype=bool)
    check.look(graph["image_name"], size, annotated, corners(graph)[boxed], turned)
