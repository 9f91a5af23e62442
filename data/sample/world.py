"""The sample world: things standing in a scene, and the rules by which annotations follow from that.

A `Scene` collects things and their drawings. What an activity establishes (a man *riding* a
bicycle, a cup *on* a table) is recorded as it is drawn; what follows from how things stand to
each other (*behind*, *next to*, *above*) is derived from boxes and depths by `spatial_relations`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np
from PIL import Image

from data.sample.backdrops import paint_backdrop
from data.sample.pen import HEIGHT, SCALE, WIDTH, Box, Pen, Shape, render, union_box

SAME_DEPTH, OTHER_DEPTH = 5.0, 8.0  # pixels between the grounds two things stand on
NEAR_GAP = 5.0  # pixels between the boxes of things that are next to each other
OVERLAP = 0.2  # of the smaller box: who stands before or behind something hides a part of it, or is hidden


@dataclass
class Thing:
    """One annotated thing. number: its mark in the owner map, from 1."""

    number: int
    category: str
    attributes: list[str]
    depth: float  # y of the ground it stands on: what is nearer stands lower in the image
    support: int | None = None  # the thing it stands, sits or lies on
    part_of: int | None = None  # a wheel's car: it is seen as a part of that
    apart: bool = False  # held, worn or in something: only what was recorded relates it to others
    aloft: bool = False  # in the air or on a wall
    through_glass: bool = False  # inside a car: little of it is seen, and that is enough
    facing: int = 0  # -1 left, +1 right, 0 towards the beholder, or nothing that looks
    box: Box = (0, 0, 0, 0)  # all of it, hidden parts and what lies outside the image included


@dataclass(frozen=True)
class Spot:
    """A place in the scene and the size of things there."""

    x: float
    y: float
    scale: float = 1.0
    flip: bool = False
    depth: float = 0.0

    def at(self, dx: float, dy: float = 0, scale: float = 1, turned: bool = False, nearer: float = 0) -> Spot:
        """A spot beside this one, (dx, dy) away in this one's units, at the same depth unless `nearer` (pixels)."""
        x = self.x + dx * self.scale * (-1 if self.flip else 1)
        return Spot(x, self.y + dy * self.scale, self.scale * scale, self.flip != turned, self.depth + nearer)

    def row(self, dx: float, rows: float, scale: float = 1, turned: bool = False) -> Spot:
        """A spot on the ground nearer to the beholder by `rows` pixels (negative: farther)."""
        return replace(self.at(dx, 0, scale, turned), y=self.y + rows, depth=self.depth + rows)


@dataclass
class Scene:
    """A scene under construction. rng decides everything that is left open."""

    rng: Random
    kind: str
    horizon: float
    backdrop: int  # a seed: what the background looks like
    things: list[Thing] = field(default_factory=list)
    links: list[tuple[int, str, int]] = field(default_factory=list)
    shadows: list[Box] = field(default_factory=list)
    layers: list[tuple[float, Pen]] = field(default_factory=list)

    def add(self, category: str, attributes: list[str | None], spot: Spot, **facts: object) -> int:
        """Register a thing; returns its number. facts: further fields of Thing."""
        number = len(self.things) + 1
        self.things.append(Thing(number, category, [a for a in attributes if a], spot.depth, **facts))
        return number

    @contextmanager
    def draw(self, number: int, spot: Spot, order: float = 0, angle: float = 0) -> Iterator[Pen]:
        """A pen at the spot for thing `number`; layers are painted by depth + order, then as they came."""
        pen = Pen(number)
        self.layers.append((spot.depth + order, pen))
        with pen.at(spot.x, spot.y, spot.scale, angle, spot.flip):
            yield pen

    def shadow(self, spot: Spot, half_width: float) -> None:
        """The soft shadow of something that stands on the ground; half_width in the spot's units."""
        self.shadows.append((spot.x, spot.y - 0.5, half_width * spot.scale, max(half_width * spot.scale * 0.13, 2)))

    def mark(self) -> tuple[int, ...]:
        """How much is there now, for `undo`."""
        return tuple(len(part) for part in (self.things, self.links, self.shadows, self.layers))

    def undo(self, mark: tuple[int, ...]) -> None:
        """Take away everything that came after the mark."""
        for part, length in zip((self.things, self.links, self.shadows, self.layers), mark, strict=True):
            del part[length:]

    def relate(self, subject: int, predicate: str, obj: int) -> None:
        self.links.append((subject, predicate, obj))

    def shapes(self) -> list[Shape]:
        """All shapes in painting order."""
        return [shape for _, pen in sorted(self.layers, key=lambda layer: layer[0]) for shape in pen.shapes]

    def finish(self) -> None:
        """Set every thing's full box, parts included in what they belong to."""
        for number, box in _bounds([pen for _, pen in self.layers], self.things).items():
            self.things[number - 1].box = box

    def triplets(self) -> list[tuple[int, str, int]]:
        """Everything that holds: what was recorded, then what follows from the boxes."""
        return self.links + spatial_relations(self.things, self.links)

    def count(self) -> int:
        """How many things would be written down if nothing hid them."""
        return sum(is_noticeable(t, inside_image(t.box)) for t in self.things)

    def scenery(self) -> tuple[Image.Image, Pen]:
        """The background's gradient and what is drawn over it."""
        return paint_backdrop(self.kind, self.horizon, Random(self.backdrop))

    def paint(self) -> tuple[Image.Image, dict[int, tuple[int, int, int, int]]]:
        """The image, and for every thing that is seen well enough the box of what is seen of it.

        Boxes are inclusive pixels inside the image; see `is_noticeable`.
        """
        image, owners = render(*self.scenery(), self.shadows, self.shapes())
        boxes = _visible_boxes(owners, self.things)
        seen = {}
        for number, (x1, y1, x2, y2) in boxes.items():
            if is_noticeable(self.things[number - 1], (x1, y1, x2 + 1, y2 + 1)):
                seen[number] = (x1, y1, x2, y2)
        return image, seen


def is_noticeable(thing: Thing, visible: Box) -> bool:
    """Whether one would write the thing down when `visible` (corners) is what one sees of it.

    At least 6 pixels a side (a part of something else: 28), and 30 % of the whole thing's box.
    """
    width, height = visible[2] - visible[0], visible[3] - visible[1]
    x1, y1, x2, y2 = thing.box
    enough = thing.through_glass or width * height >= 0.3 * (x2 - x1) * (y2 - y1)
    return enough and min(width, height) >= (6 if thing.part_of is None else 28)


def inside_image(box: Box) -> Box:
    """The part of the box that lies inside the image; without area if none does."""
    return (
        min(max(box[0], 0), WIDTH), min(max(box[1], 0), HEIGHT),
        min(max(box[2], 0), WIDTH), min(max(box[3], 0), HEIGHT),
    )  # fmt: skip


def _with_parts(things: list[Thing]) -> dict[int, list[int]]:
    """Number -> the numbers that are drawn as it: itself and its parts."""
    return {t.number: [t.number] + [p.number for p in things if p.part_of == t.number] for t in things}


def _bounds(pens: list[Pen], things: list[Thing]) -> dict[int, Box]:
    own: dict[int, Box] = {}
    for pen in pens:
        for owner, box in pen.bounds.items():
            own[owner] = union_box(own[owner], box) if owner in own else box
    result = {}
    for number, parts in _with_parts(things).items():
        for box in (own[p] for p in parts if p in own):
            result[number] = union_box(result[number], box) if number in result else box
    return result


def _visible_boxes(owners: np.ndarray, things: list[Thing]) -> dict[int, tuple[int, int, int, int]]:
    """Owner map (HEIGHT * SCALE, WIDTH * SCALE) -> number: inclusive box in image pixels of what is seen."""
    parts, boxes = _with_parts(things), {}
    for thing in things:
        x1, y1, x2, y2 = (round(side * SCALE) for side in inside_image(thing.box))
        left, top = max(x1 - 2, 0), max(y1 - 2, 0)  # a little more: the brush rounds to its own pixels
        seen = np.isin(owners[top : y2 + 3, left : x2 + 3], parts[thing.number], kind="table")
        xs, ys = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
        if len(xs):
            corners = (xs[0] + left, ys[0] + top, xs[-1] + left, ys[-1] + top)
            boxes[thing.number] = tuple(int(corner) // SCALE for corner in corners)
    return boxes


def spatial_relations(things: list[Thing], links: list[tuple[int, str, int]]) -> list[tuple[int, str, int]]:
    """What holds between things by where they are, both ways round, for pairs with nothing recorded yet.

    - next to: same depth or same support, side by side, at most NEAR_GAP pixels apart; who is turned
      towards the other is looking at it instead;
    - in front of / behind: depths differ, one hides a part of the other: the boxes overlap by OVERLAP;
    - to the left of / to the right of: depths differ, the boxes touch or overlap by less;
    - above / under: one is aloft, over the other, at most NEAR_GAP pixels apart.
    """
    known = {frozenset((s, o)) for s, _, o in links}
    by_number = {t.number: t for t in things}
    free = [t for t in things if t.part_of is None and not t.apart]
    found = []
    for i, a in enumerate(free):
        for b in free[i + 1 :]:
            if frozenset((a.number, b.number)) in known:
                continue
            if a.aloft or b.aloft:
                high, low = (a, b) if a.aloft else (b, a)
                if not low.aloft and _over(high.box, low.box):
                    found += [(high.number, "above", low.number), (low.number, "under", high.number)]
            elif _root(a, by_number) == _root(b, by_number):
                if a.support is not None and a.support == b.support and _beside(a.box, b.box):
                    found += [_side_by_side(a, b), _side_by_side(b, a)]
            elif abs(a.depth - b.depth) <= SAME_DEPTH:
                if _beside(a.box, b.box):
                    found += [_side_by_side(a, b), _side_by_side(b, a)]
            elif abs(a.depth - b.depth) >= OTHER_DEPTH and (overlap := _overlap(a.box, b.box)) > 0:
                if overlap >= OVERLAP:
                    near, far = (a, b) if a.depth > b.depth else (b, a)
                    found += [(near.number, "in front of", far.number), (far.number, "behind", near.number)]
                else:
                    left, right = (a, b) if a.box[0] + a.box[2] < b.box[0] + b.box[2] else (b, a)
                    found.append((left.number, "to the left of", right.number))
                    found.append((right.number, "to the right of", left.number))
    return found


def _root(thing: Thing, by_number: dict[int, Thing]) -> int:
    while thing.support is not None:
        thing = by_number[thing.support]
    return thing.number


def _overlap(a: Box, b: Box) -> float:
    """Intersection over the smaller box's area."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(width, 0) * max(height, 0) / max(smaller, 1e-6)


def _beside(a: Box, b: Box) -> bool:
    gap = max(a[0], b[0]) - min(a[2], b[2])
    narrower = min(a[2] - a[0], b[2] - b[0])
    level = min(a[3], b[3]) - max(a[1], b[1])
    return level > 0 and -0.5 * narrower <= gap <= NEAR_GAP


def _side_by_side(a: Thing, b: Thing) -> tuple[int, str, int]:
    turned = a.facing * ((b.box[0] + b.box[2]) - (a.box[0] + a.box[2])) > 0
    return a.number, "looking at" if turned else "next to", b.number


def _over(high: Box, low: Box) -> bool:
    centre = (high[0] + high[2]) / 2
    return low[0] <= centre <= low[2] and high[1] < low[1] and -12 <= low[1] - high[3] <= NEAR_GAP
