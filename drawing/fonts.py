"""Fonts for names in any script: DejaVu Sans, which matplotlib brings along, else one of the system's.

A browser finds fonts by itself, and so does Graphviz's own `dot`. `graphviz-pure` has Latin, Greek and Cyrillic only:
`paint_labels` draws over the empty squares that it leaves in a PNG.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from drawing.program import FOREIGN, run_dot


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """A font of `size` pixels that has the characters of `text`; DejaVu Sans Bold where none has them all."""
    needed = _codes(text)
    path = next((path for path in _candidates(needed) if needed <= _has(path)), _dejavu())
    return _opened(path, size)


def without_font(texts: Iterable[str]) -> list[str]:
    """Those of `texts` with a character that no font here has: they are drawn with empty squares."""
    return [text for text in texts if not any(_codes(text) <= _has(path) for path in _candidates(_codes(text)))]


def _codes(text: str) -> frozenset[int]:
    return frozenset(
        ord(character) for character in text if not character.isspace() and character not in "\u200c\u200d"
    )


def _candidates(needed: frozenset[int]) -> list[str]:
    """Font files to try; the system's are only looked for when DejaVu does not do."""
    return [_dejavu()] if needed <= _has(_dejavu()) else [_dejavu(), *_system_fonts()]


@functools.cache
def _dejavu() -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf")


@functools.cache
def _system_fonts() -> list[str]:
    """Paths of the system's fonts, bold ones first, in an order that does not depend on the file system."""
    from matplotlib import font_manager

    paths = font_manager.findSystemFonts()
    return sorted(paths, key=lambda path: ("Bold" not in path, "Italic" in path or "Oblique" in path, path))


@functools.cache
def _has(path: str) -> frozenset[int]:
    """The characters of a font file, none where it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (RuntimeError, OSError):
        return frozenset()


@functools.cache
def _opened(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def paint_labels(picture: Image.Image, source: str, placed: bool) -> Image.Image:
    """Draw the labels of a PNG of DOT `source` again where graphviz-pure has no font for them.

    picture: RGB, the whole drawing at any scale, as dot pads it on all sides alike. Returns it, changed.
    """
    layout = json.loads(run_dot(source, "json", placed), strict=False)
    west, _, east, north = map(float, layout["bb"].split(","))
    pad = 72 * float(layout.get("pad", 0.0555))
    scale = picture.width / (east - west + 2 * pad)
    canvas = ImageDraw.Draw(picture)
    for node in layout.get("objects", []):
        size, colour = 14.0, "#000000"
        for operation in node.get("_ldraw_", []):
            if operation["op"] == "F":
                size = operation["size"]
            elif operation["op"] == "c":
                colour = operation["color"]
            elif operation["op"] == "T" and FOREIGN.search(operation["text"]):
                (x, y), length = operation["pt"], operation["width"]
                left = x - length * {"l": 0, "c": 0.5, "r": 1}[operation["align"]]
                at = ((left - west + pad) * scale, (north - y + pad) * scale)
                above, below = 0.9 * size * scale, 0.22 * size * scale
                canvas.rectangle(
                    (at[0], at[1] - above, at[0] + length * scale, at[1] + below), fill=node.get("fillcolor", "#ffffff")
                )
                font = font_for(operation["text"], max(1, round(size * scale)))
                wide = font.getlength(operation["text"]) / max(length * scale, 1)
                if wide > 1:
                    font = font_for(operation["text"], max(1, int(size * scale / wide)))
                middle = at[0] + length * scale / 2
                canvas.text((middle, at[1]), operation["text"], fill=colour, font=font, anchor="ms")
    return picture
