"""A photo with the boxes of its scene graph: numbered, named, with scores, labels kept apart."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image, ImageDraw

import boxes
from drawing.comparison import corners
from drawing.fonts import font_for
from drawing.selection import plain_text
from files.scene_graphs import Graph

# Ten hues that stay apart on a photo, each with white or black text at a contrast of at least 4.5 to 1.
COLOURS = (
    "#e6194b", "#00796b", "#2f5fe0", "#ffb000", "#9b2fc9",
    "#b8430b", "#7ee04a", "#00b4d8", "#ff8fc7", "#5d6d00",
)  # fmt: skip
SMALLEST_SIDE = 640  # a small picture is scaled up, or its labels would hide it


def colour_of(number: int) -> str:
    """The colour of an object's box, by its index."""
    return COLOURS[number % len(COLOURS)]


def text_colour(background: str) -> str:
    """Black or white, whichever is read better on `background` ("#rrggbb"; relative luminance of WCAG 2)."""
    channels = np.array([int(background[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def draw_boxes(
    image: Image.Image, graph: Graph, objects: list[int] | None = None, size: tuple[int, int] | None = None
) -> Image.Image:
    """The photo with the graph's boxes and their labels ("1 man 0.87"), as a new RGB image.

    objects: which ones; all that have a box by default. size: (width, height) of the photo in whose pixels the boxes
    are given; the image's own by default, and another one where it was read smaller. Pictures under 640 pixels are
    scaled up. Large boxes are drawn first and no label hides another one where there is room.
    """
    given = np.array(size or image.size)
    enlarge = max(1.0, SMALLEST_SIDE / max(image.size))
    size = tuple(max(1, round(side * enlarge)) for side in image.size)
    scale = np.tile(np.array(size) / given, 2)
    picture = image.convert("RGB")
    if enlarge > 1:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    if objects is None:
        objects = list(range(len(graph["objects"])))
    place = corners(graph)
    objects = [i for i in objects if boxes.area(place[i]) > 0]
    objects.sort(key=lambda i: -boxes.area(place[i]))
    last = np.array([0, 0, 1, 1])  # the last pixel is inside: scale its far edge
    place = (place + last) * scale - last
    place = place.clip(0, np.array([*size, *size]) - 1)
    place[:, 2:] = np.maximum(place[:, 2:], place[:, :2])  # what is smaller than a pixel is drawn as one

    canvas = ImageDraw.Draw(picture)
    unit = max(size) / 1000
    line = max(2, round((3.2 if len(objects) <= 25 else 2.2) * unit))
    height = max(11, round((20 if len(objects) <= 12 else 17 if len(objects) <= 30 else 13) * unit))
    for i in objects:  # a dark rim keeps a light line visible on a light photo
        canvas.rectangle(tuple(place[i]), outline="#000000a0", width=line + 2)
        canvas.rectangle(
            tuple(place[i] + (1, 1, -1, -1) if _wide(place[i]) else place[i]), outline=colour_of(i), width=line
        )
    taken: list[tuple[float, float, float, float]] = []
    for i in reversed(objects):  # small boxes have the fewest places for a label: they choose first
        item = graph["objects"][i]
        words = [f"{i + 1} ", plain_text(item["name"], 28)]
        if item.get("score") not in (None, 1):  # annotated boxes are certain
            words.append(f" {item['score']:.2f}")
        fonts = [font_for(word, height) for word in words]
        lengths = [font.getlength(word) for word, font in zip(words, fonts, strict=True)]
        top = min(font.getbbox(word, anchor="ls")[1] for word, font in zip(words, fonts, strict=True))
        bottom = max(font.getbbox(word, anchor="ls")[3] for word, font in zip(words, fonts, strict=True))
        pad = max(2, line)
        label = _free_place(place[i], (sum(lengths) + 2 * pad, bottom - top + 2 * pad), size, taken)
        taken.append(label)
        canvas.rectangle(label, fill=colour_of(i), outline="#00000080")
        x = label[0] + pad
        for word, font, length in zip(words, fonts, lengths, strict=True):
            canvas.text((x, label[1] + pad - top), word, fill=text_colour(colour_of(i)), font=font, anchor="ls")
            x += length
    return picture


def data_uri(image: Image.Image, quality: int = 88) -> str:
    """An image as a `data:` address, a JPEG inside."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _wide(box: np.ndarray) -> bool:
    return bool((box[2:] - box[:2] > 4).all())


def _free_place(
    box: np.ndarray, label: tuple[float, float], size: tuple[int, int], taken: list[tuple[float, float, float, float]]
) -> tuple[float, float, float, float]:
    """Where to put a label of (width, height): the first place at its box that hides no other label, else the least."""
    (x1, y1, x2, y2), (w, h) = box, label
    spots = [
        (x1, y1 - h), (x1, y1), (x2 - w, y1 - h), (x2 - w, y1), (x1, y2), (x1, y2 - h), (x2 - w, y2), (x2 - w, y2 - h),
        (x2, y1), (x1 - w, y1), (x2, y2 - h), (x1 - w, y2 - h),
    ]  # fmt: skip
    spots += [(x, y) for y in np.arange(y1, y2 - h, max(h, 1)) for x in (x1, x2 - w)]
    spots = [(min(max(x, 0), size[0] - w), min(max(y, 0), size[1] - h)) for x, y in spots]
    rectangles = np.array([(x, y, x + w, y + h) for x, y in spots])
    if not taken:
        return tuple(rectangles[0].tolist())
    others = np.array(taken)
    low = np.maximum(rectangles[:, None, :2], others[None, :, :2])
    high = np.minimum(rectangles[:, None, 2:], others[None, :, 2:])
    hidden = np.maximum(high - low, 0).prod(axis=-1).sum(axis=-1)
    return tuple(rectangles[int(hidden.argmin())].tolist())
