"""The sample's pen: filled shapes in image pixels, each knowing which thing it belongs to.

Everything is a polygon, so that one affine transform places, mirrors and turns any drawing.
`render` fills the polygons at `SCALE` times the image's size and shrinks the result
(anti-aliasing), and fills the same polygons with their owners' numbers into a second
picture, the owner map, from which the boxes of what is really seen are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

SCALE = 3  # supersampling
WIDTH, HEIGHT = 320, 240

Colour = tuple[int, ...]
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # corners x1, y1, x2, y2 in pixels

PALETTE: dict[str, Colour] = {
    "red": (212, 76, 70),
    "orange": (238, 146, 66),
    "yellow": (246, 208, 88),
    "green": (98, 166, 96),
    "blue": (80, 138, 206),
    "purple": (146, 106, 188),
    "pink": (242, 156, 178),
    "white": (247, 244, 236),
    "black": (56, 56, 66),
    "brown": (148, 100, 68),
    "gray": (152, 156, 164),
}
_TURN = np.linspace(0, 2 * math.pi, 29)
_CIRCLE = np.column_stack([np.cos(_TURN), np.sin(_TURN)])
_CAP = np.column_stack([np.cos(_TURN[:15:2] - math.pi / 2), np.sin(_TURN[:15:2] - math.pi / 2)])  # a half circle
PATTERNS = ("striped", "dotted", "checkered")


def shade(colour: Colour, factor: float) -> Colour:
    """The colour, darker (factor < 1) or nearer to white (factor > 1, at most 2)."""
    if factor <= 1:
        return tuple(round(c * factor) for c in colour[:3])
    return tuple(round(c + (255 - c) * (factor - 1)) for c in colour[:3])


def blend(a: Colour, b: Colour, t: float) -> Colour:
    """The colour a fraction t of the way from a to b."""
    return tuple(round(p + (q - p) * t) for p, q in zip(a[:3], b[:3], strict=True))


def contrast(colour: Colour) -> Colour:
    """What a pattern is drawn with on `colour`: white, or a darker tone of a light colour."""
    return (252, 250, 244) if sum(colour[:3]) < 590 else (92, 104, 140)


@dataclass(frozen=True)
class Shape:
    """A filled polygon. points: (n, 2) in image pixels; owner: number of its thing, 0 = scenery."""

    points: np.ndarray
    fill: Colour
    owner: int
    pattern: str | None = None
    unit: float = 1.0  # the pen's scale, for the width of stripes and dots


class Pen:
    """Collects shapes. y grows downwards; `at` moves the origin, `part` changes the owner."""

    def __init__(self, owner: int = 0) -> None:
        self.shapes: list[Shape] = []
        self.bounds: dict[int, Box] = {}  # what each owner's opaque shapes fill
        self.owner = owner
        self._matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])

    @contextmanager
    def at(self, x: float = 0, y: float = 0, scale: float = 1, angle: float = 0, flip: bool = False) -> Iterator[None]:
        """Draw in coordinates moved to (x, y), scaled, turned clockwise by degrees, mirrored left to right."""
        before = self._matrix
        c, s, mirror = math.cos(math.radians(angle)), math.sin(math.radians(angle)), -1 if flip else 1
        local = np.array([[c * scale * mirror, -s * scale, x], [s * scale * mirror, c * scale, y]])
        self._matrix = np.column_stack([before[:, :2] @ local[:, :2], before[:, :2] @ local[:, 2] + before[:, 2]])
        try:
            yield
        finally:
            self._matrix = before

    @contextmanager
    def part(self, owner: int | None) -> Iterator[None]:
        """What is drawn inside belongs to `owner` (None: no change)."""
        before = self.owner
        self.owner = before if owner is None else owner
        try:
            yield
        finally:
            self.owner = before

    def place(self, point: Point) -> Point:
        """A point of the present coordinates in image pixels."""
        x, y = self._matrix[:, :2] @ np.asarray(point, dtype=float) + self._matrix[:, 2]
        return float(x), float(y)

    def polygon(self, points: Iterable[Sequence[float]], fill: Colour, pattern: str | None = None) -> None:
        """A filled polygon; a pattern is drawn over the fill, inside the shape only."""
        points = np.asarray(points if isinstance(points, np.ndarray) else list(points), dtype=float)
        placed = points @ self._matrix[:, :2].T + self._matrix[:, 2]
        (a, b, _), (c, d, _) = self._matrix.tolist()
        unit = math.sqrt(abs(a * d - b * c))
        self.shapes.append(Shape(placed, fill, self.owner, pattern, unit))
        if self.owner and len(fill) == 3:
            box = (*placed.min(axis=0).tolist(), *placed.max(axis=0).tolist())
            self.bounds[self.owner] = union_box(self.bounds[self.owner], box) if self.owner in self.bounds else box

    def rectangle(self, x1: float, y1: float, x2: float, y2: float, fill: Colour, pattern: str | None = None) -> None:
        self.polygon([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], fill, pattern)

    def rounded(
        self, x1: float, y1: float, x2: float, y2: float, r: float, fill: Colour, pattern: str | None = None
    ) -> None:
        """A rectangle with corners of radius r."""
        r = min(r, (x2 - x1) / 2, (y2 - y1) / 2)
        turn = np.linspace(0, math.pi / 2, 6)
        corners = [(x2 - r, y2 - r, 0), (x1 + r, y2 - r, 1), (x1 + r, y1 + r, 2), (x2 - r, y1 + r, 3)]
        points = [
            np.column_stack([cx + r * np.cos(turn + q * math.pi / 2), cy + r * np.sin(turn + q * math.pi / 2)])
            for cx, cy, q in corners
        ]
        self.polygon(np.concatenate(points), fill, pattern)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, fill: Colour, angle: float = 0, pattern: str | None = None
    ) -> None:
        self.polygon(_ellipse(x, y, rx, ry, angle), fill, pattern)

    def half_ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour, pattern: str | None = None) -> None:
        """The upper half of an ellipse, flat side at y."""
        turn = np.linspace(math.pi, 2 * math.pi, 24)
        self.polygon(np.column_stack([x + rx * np.cos(turn), y + ry * np.sin(turn)]), fill, pattern)

    def ring(self, x: float, y: float, r: float, width: float, fill: Colour) -> None:
        """A circle's line; the inside stays open (outer and inner circle joined by a slit)."""
        outer, inner = _ellipse(x, y, r, r, closed=True), _ellipse(x, y, r - width, r - width, closed=True)
        self.polygon(np.concatenate([outer, inner[::-1]]), fill)

    def stroke(self, points: Sequence[Point], width: float, fill: Colour, end: float | None = None) -> None:
        """A line with round ends through the points; its width runs from `width` to `end`."""
        end = width if end is None else end
        for i, (a, b) in enumerate(pairwise(points)):
            parts = len(points) - 1
            ra = (width + (end - width) * i / parts) / 2
            rb = (width + (end - width) * (i + 1) / parts) / 2
            dx, dy = b[0] - a[0], b[1] - a[1]
            length = math.hypot(dx, dy) or 1.0
            c, s = dx / length, dy / length
            cap = _CAP @ np.array([[c, s], [-s, c]])
            self.polygon(np.concatenate([b + rb * cap, a - ra * cap]), fill)

    def curve(self, points: Sequence[Point], fill: Colour, pattern: str | None = None) -> None:
        """A smooth closed shape through the points (Catmull-Rom)."""
        self.polygon(smooth(points, closed=True), fill, pattern)


def union_box(a: Box, b: Box) -> Box:
    """The smallest box that holds both."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def smooth(points: Sequence[Point], closed: bool = False, steps: int = 8) -> np.ndarray:
    """(n, 2) points -> points of the Catmull-Rom spline through them."""
    p = np.asarray(points, dtype=float)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (p[i : len(p) - 3 + i, None] for i in range(4))
    spline = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    spline = spline.reshape(-1, 2)
    return spline if closed else np.concatenate([spline, p[-1:]])


def _ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0, closed: bool = False) -> np.ndarray:
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    circle = _CIRCLE if closed else _CIRCLE[:-1]
    return circle @ np.array([[rx * c, rx * s], [-ry * s, ry * c]]) + (x, y)


def gradient(stops: Sequence[tuple[float, Colour]]) -> Image.Image:
    """A vertical gradient of the whole canvas; stops: (fraction of the height, colour), rising."""
    rows = np.linspace(0, 1, HEIGHT * SCALE)
    at, colours = zip(*stops, strict=True)
    column = np.stack([np.interp(rows, at, [c[i] for c in colours]) for i in range(3)], axis=1)
    column = np.round(column).astype(np.uint8)[:, None]
    return Image.fromarray(column).resize((WIDTH * SCALE, HEIGHT * SCALE), Image.Resampling.NEAREST)


def render(
    base: Image.Image, backdrop: Pen, shadows: Sequence[tuple[float, float, float, float]], shapes: Sequence[Shape]
) -> tuple[Image.Image, np.ndarray]:
    """Paint base, scenery, soft shadows (x, y, rx, ry in pixels), then the shapes in order.

    Returns the RGB image (WIDTH x HEIGHT) and the owner map, uint8 (HEIGHT * SCALE, WIDTH * SCALE):
    the number of the thing seen at each fine pixel, 0 for scenery.
    """
    canvas = base.copy()
    owners = Image.new("L", canvas.size, 0)
    brushes = ImageDraw.Draw(canvas), ImageDraw.Draw(canvas, "RGBA"), ImageDraw.Draw(owners)
    for shape in backdrop.shapes:
        _fill(canvas, brushes, shape)
    canvas.paste((44, 48, 78), mask=_shadow_mask(shadows).resize(canvas.size, Image.Resampling.BILINEAR))
    for shape in shapes:
        _fill(canvas, brushes, shape)
    return canvas.reduce(SCALE), np.asarray(owners)


def _shadow_mask(shadows: Sequence[tuple[float, float, float, float]]) -> Image.Image:
    mask = Image.new("L", (WIDTH, HEIGHT), 0)
    draw = ImageDraw.Draw(mask)
    for x, y, rx, ry in shadows:
        draw.ellipse([x - rx, y - ry, x + rx, y + ry], fill=92)
    return mask.filter(ImageFilter.GaussianBlur(2.2))


def _fill(canvas: Image.Image, brushes: tuple[ImageDraw.ImageDraw, ...], shape: Shape) -> None:
    """brushes: over the canvas, over the canvas with see-through colours, over the owner map."""
    points = shape.points * SCALE
    corners = points.ravel().tolist()
    solid, glazing, owners = brushes
    if len(shape.fill) == 4:  # what lies behind shows through, and keeps its owner
        glazing.polygon(corners, fill=shape.fill)
        return
    solid.polygon(corners, fill=shape.fill)
    if shape.pattern:
        _fill_pattern(canvas, shape, points)
    if shape.owner:
        owners.polygon(corners, fill=shape.owner)


def _fill_pattern(canvas: Image.Image, shape: Shape, points: np.ndarray) -> None:
    left, top = np.floor(points.min(axis=0)).astype(int)
    width, height = np.ceil(points.max(axis=0)).astype(int) - (left, top) + 1
    mask = Image.new("L", (int(width), int(height)), 0)
    ImageDraw.Draw(mask).polygon([tuple(p) for p in (points - (left, top)).tolist()], fill=255)
    marks = Image.new("L", mask.size, 0)
    draw = ImageDraw.Draw(marks)
    step = max(7.5 * shape.unit, 4.2) * SCALE  # one period, never finer than the image can show
    if shape.pattern == "striped":
        for y in np.arange(step * 0.3, height, step):
            draw.rectangle([0, y, width, y + step * 0.46], fill=255)
    elif shape.pattern == "dotted":
        r = step * 0.25
        for row, y in enumerate(np.arange(step * 0.3, height + r, step * 0.8)):
            for x in np.arange(step * (0.3 + 0.5 * (row % 2)), width + r, step):
                draw.ellipse([x - r, y - r, x + r, y + r], fill=255)
    else:  # checkered
        half = step * 0.62
        for row, y in enumerate(np.arange(0, height, half)):
            for x in np.arange(half * (row % 2), width, 2 * half):
                draw.rectangle([x, y, x + half, y + half], fill=255)
    canvas.paste(contrast(shape.fill), (int(left), int(top)), ImageChops.multiply(mask, marks))
