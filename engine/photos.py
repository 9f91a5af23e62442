"""A photo on its way through --predict: its header and its pixels, read a few photos ahead."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from files.images import Header, image_header, load_image
from files.io import InputError

MOST_PIXELS = 6_000_000  # a larger photo is shrunk before a detector or the agent looks: at a sixth of that, or less
LARGE = 24_000_000  # pixels: one such photo is decoded at a time


@dataclass
class Photo:
    """A photo on its way: where it lies and what is written for it; `image` may be smaller than the file's pixels."""

    path: Path
    target: Path  # without an ending
    made_from: str
    header: Header | None = None
    image: Image.Image | None = None
    problem: str | None = None

    @property
    def key(self) -> str:
        """What the photo is called between the parts of this program."""
        return str(self.path)

    @property
    def scale(self) -> float:
        """Pixels of `image` for one of the photo."""
        return max(self.image.size) / max(self.header[:2])


_one_at_a_time = threading.Lock()


def _load(photo: Photo, looks: bool) -> Photo:
    """Read the photo's header and, where somebody looks at them, its pixels; an error becomes its `problem`."""
    try:
        photo.header = image_header(photo.path)
        width, height = photo.header[:2]
        if looks:
            shrink = (MOST_PIXELS / (width * height)) ** 0.5
            photo.image = decoded(photo, int(max(width, height) * shrink) if shrink < 1 else None)
    except InputError as error:
        photo.problem = without_path(error, photo)
    return photo


def decoded(photo: Photo, longest: int | None) -> Image.Image:
    """The photo's pixels; large photos are decoded one at a time."""
    large = photo.header.width * photo.header.height > LARGE
    with _one_at_a_time if large else contextlib.nullcontext():
        return load_image(photo.path, longest)


def without_path(error: InputError, photo: Photo) -> str:
    """What is wrong with a photo, for a line that names it already."""
    return str(error).removeprefix(f"{photo.path}: ")


def loaded(photos: Iterable[Photo], pool: ThreadPoolExecutor, looks: bool, ahead: int) -> Iterator[Photo]:
    """The photos in order, with headers and, where somebody looks at them, pixels; a few are read ahead."""
    photos = iter(photos)
    waiting = deque(pool.submit(_load, photo, looks) for photo in itertools.islice(photos, ahead))
    while waiting:
        photo = waiting.popleft().result()
        waiting.extend(pool.submit(_load, photo, looks) for photo in itertools.islice(photos, 1))
        yield photo
