"""Animals of the sample world. Origin: the ground under the body's middle; they face right; y grows downwards."""

from __future__ import annotations

import math
from dataclasses import dataclass

from data.sample.pen import PALETTE, Colour, Pen, Point, shade


@dataclass(frozen=True)
class Build:
    """Proportions of a four-legged animal, in the units in which a grown-up is 100 high."""

    length: float  # half the body's length
    depth: float  # half its height
    leg: float
    neck: Point  # from the shoulder to the head
    head: float  # radius
    snout: float
    ears: str  # pointed, hanging, upright
    tail: str  # up, curled, horse, tuft, none


BUILDS = {
    "dog": Build(16, 7.5, 14, (8, -11), 7.5, 7, "hanging", "up"),
    "cat": Build(13, 6.5, 10, (6, -8), 7, 2.5, "pointed", "curled"),
    "horse": Build(30, 14, 36, (17, -30), 9, 14, "upright", "horse"),
    "cow": Build(30, 16, 24, (12, -9), 10, 9, "hanging", "tuft"),
    "sheep": Build(20, 13, 14, (8, -7), 7.5, 5, "hanging", "none"),
}
GAIT = {"standing": (0, 0, 0, 0), "walking": (9, -6, -8, 7), "running": (24, 15, -22, -14)}


def back_of(kind: str) -> float:
    """Height of a standing animal's back above the ground."""
    build = BUILDS[kind]
    return build.leg + 2 * build.depth - 3


def draw_animal(pen: Pen, kind: str, colour: str, pose: str = "standing", spotted: bool = False) -> None:
    """pose: standing, walking, running, sitting (dog, cat), lying, eating (head down)."""
    build, coat = BUILDS[kind], PALETTE[colour]
    far = shade(coat, 0.78)
    patch = shade(coat, 0.55) if sum(coat) > 380 else (232, 226, 214)
    length, depth, leg = build.length, build.depth, build.leg
    if pose == "sitting":
        _sitting(pen, kind, build, coat, patch if spotted else None)
        return
    hidden = pose == "lying"
    y = -(depth + 1) if hidden else -(leg + depth - 2)
    _tail(pen, build, coat, (-length + 2, y - depth * 0.4))
    thick = depth * 0.62 if kind != "horse" else 7.5
    if hidden:
        pen.stroke([(length * 0.3, -2.5), (length * 1.15, -2.2)], thick, far)
        pen.stroke([(-length * 0.6, -2.5), (-length * 0.1, -2.2)], thick, shade(coat, 0.86))
    else:
        swing = GAIT.get(pose, GAIT["standing"])
        places = ((length * 0.72, 2), (-length * 0.6, 3), (length * 0.5, 0), (-length * 0.82, 1))
        for x, which in (places[2], places[3], places[0], places[1]):
            near = which in (2, 3)
            _leg(pen, (x, y + depth * 0.35), leg + depth * 0.3, swing[which], thick, coat if near else far, kind)
    pen.ellipse(0, y, length, depth, coat)
    pen.ellipse(length * 0.6, y - depth * 0.06, length * 0.42, depth * 0.98, coat)
    pen.ellipse(-length * 0.6, y, length * 0.42, depth * 0.98, coat)
    pen.ellipse(0, y + depth * 0.55, length * 0.75, depth * 0.3, (*shade(coat, 0.5), 50))
    if kind == "sheep":
        _wool(pen, length, depth, y, coat)
    if spotted:
        for x, dy, rx, ry in ((-0.55, -0.25, 0.24, 0.42), (-0.05, 0.15, 0.2, 0.38), (0.45, -0.3, 0.2, 0.36)):
            pen.ellipse(length * x, y + depth * dy, length * rx, depth * ry, patch, angle=20)
    shoulder = (length * 0.78, y - depth * 0.35)
    neck = (build.neck[0] + 9, -build.neck[1] * 0.7 + leg * 0.3) if pose == "eating" else build.neck
    head = (shoulder[0] + neck[0], shoulder[1] + neck[1])
    pen.stroke([(shoulder[0] - 2, shoulder[1] + 1), head], depth * 1.25, coat, build.head * 1.35)
    if kind == "horse":
        mane = shade(coat, 0.5) if sum(coat) > 250 else (28, 28, 34)
        pen.stroke([(head[0] - 5, head[1] - 6), (shoulder[0] - 5, shoulder[1] - 4)], 6, mane)
    with pen.at(*head, angle=38 if pose == "eating" else 0):
        _head(pen, kind, build, coat, spotted, patch)


def _leg(pen: Pen, top: Point, length: float, swing: float, thick: float, fill: Colour, kind: str) -> None:
    turn = math.radians(swing * 1.3)
    knee = (top[0] + math.sin(turn) * length * 0.5, top[1] + math.cos(turn) * length * 0.5)
    back = math.radians(swing * 1.3 - abs(swing) * 1.1)
    foot = (knee[0] + math.sin(back) * length * 0.5, knee[1] + math.cos(back) * length * 0.5)
    pen.stroke([top, knee, foot], thick * 1.15, fill, thick * 0.72)
    if kind in ("horse", "cow", "sheep"):
        pen.stroke([(foot[0] - 0.6, foot[1] - 0.5), (foot[0] + 1.4, foot[1])], thick * 0.75, (70, 58, 54))
    else:
        pen.stroke([(foot[0], foot[1]), (foot[0] + 2, foot[1])], thick * 0.75, fill)


def _tail(pen: Pen, build: Build, coat: Colour, root: Point) -> None:
    x, y = root
    if build.tail == "up":
        pen.stroke([(x, y), (x - 7, y - 5), (x - 9, y - 13)], 4, shade(coat, 0.9), 2.4)
    elif build.tail == "curled":
        pen.stroke([(x, y), (x - 7, y - 3), (x - 9, y - 11), (x - 5, y - 16)], 3.4, shade(coat, 0.9), 2.8)
    elif build.tail == "horse":
        pen.stroke([(x, y), (x - 8, y + 5), (x - 10, y + 26)], 8, shade(coat, 0.6), 4)
    elif build.tail == "tuft":
        pen.stroke([(x, y), (x - 4, y + 8), (x - 4, y + 20)], 2.6, shade(coat, 0.85))
        pen.ellipse(x - 4, y + 23, 2.6, 4.6, shade(coat, 0.55))


def _wool(pen: Pen, length: float, depth: float, y: float, coat: Colour) -> None:
    for i in range(14):
        turn = i / 14 * 2 * math.pi
        tone = 1 if math.sin(turn) < 0.3 else 0.93
        pen.ellipse(math.cos(turn) * length * 0.88, y + math.sin(turn) * depth * 0.8, 6.4, 6.2, shade(coat, tone))
    pen.ellipse(0, y - 1, length * 0.86, depth * 0.8, coat)
    for x, dy in ((-9, -3), (2, -5), (8, 2), (-3, 4)):
        pen.ellipse(x, y + dy, 4.4, 3.6, shade(coat, 0.95))


def _head(pen: Pen, kind: str, build: Build, coat: Colour, spotted: bool, patch: Colour) -> None:
    """The head, its middle at (0, 0)."""
    r = build.head
    face = (74, 64, 66) if kind == "sheep" and sum(coat) > 400 else coat
    if build.ears == "upright":
        for x in (-3, 1):
            pen.polygon([(x - 3, -r * 0.6), (x + 2.4, -r * 0.7), (x - 1, -r * 1.6)], shade(face, 0.85))
    if build.ears == "pointed":
        for x, tone in ((-4.6, 0.86), (3.4, 1)):
            pen.polygon([(x - 3.4, -r * 0.45), (x + 3.4, -r * 0.6), (x - 0.4, -r * 1.6)], shade(face, tone))
            pen.polygon([(x - 1.8, -r * 0.55), (x + 1.8, -r * 0.65), (x - 0.3, -r * 1.25)], (236, 160, 160))
    if kind == "cow":
        for side in (-1, 1):
            pen.stroke([(side * 5, -r * 0.8), (side * 8, -r * 1.35)], 3.2, (236, 224, 196), 1.6)
    if build.snout > 5:
        pen.stroke([(0, 0), (build.snout, r * 0.5)], r * 1.75, face, r * (1.15 if kind != "cow" else 1.45))
    pen.ellipse(0, 0, r, r * 0.94, face)
    if kind == "horse":
        pen.curve([(-6, -r * 0.9), (0, -r * 1.25), (3, -r * 0.3), (-3, -r * 0.2)], shade(face, 0.5))
    if kind == "cow":
        pen.ellipse(build.snout * 0.95, r * 0.52, 5.6, 5.8, (240, 190, 180))
        pen.ellipse(build.snout * 0.95 + 1.5, r * 0.4, 1, 1.4, (150, 96, 96))
    elif kind == "cat":
        pen.ellipse(2.4, r * 0.32, 3.6, 2.6, shade(face, 1.35))
        pen.ellipse(3.4, r * 0.16, 1.3, 1, (222, 124, 128))
    elif kind == "dog":
        pen.ellipse(build.snout + 2.2, r * 0.3, 2, 1.8, (46, 40, 44))
        pen.stroke([(3, r * 0.85), (build.snout + 1, r * 0.8)], 0.9, shade(face, 0.55))
    elif kind == "horse":
        pen.ellipse(build.snout + 1, r * 0.42, 1.1, 1.4, shade(face, 0.4))
    if spotted and kind in ("dog", "cat"):
        pen.ellipse(0.5, -r * 0.2, r * 0.46, r * 0.5, patch)
    if build.ears == "hanging":
        tone = 0.62 if sum(face) > 240 else 1.25
        drop = r * (0.95 if kind == "dog" else 0.35)
        pen.ellipse(-r * 0.62, -r * 0.2 + drop * 0.3, r * 0.36, r * 0.3 + drop * 0.55, shade(face, tone), angle=14)
    dark = sum(face) < 240
    pen.ellipse(r * 0.34, -r * 0.16, 1.5, 1.8, (250, 246, 220) if dark else (44, 38, 42))
    if kind == "cat":
        pen.ellipse(-r * 0.22, -r * 0.16, 1.5, 1.8, (250, 246, 220) if dark else (44, 38, 42))


def _sitting(pen: Pen, kind: str, build: Build, coat: Colour, patch: Colour | None) -> None:
    """A dog or a cat on its haunches, front legs straight."""
    tall = build.leg + build.depth * 1.6
    _tail(pen, build, coat, (-build.length * 0.62, -build.depth * 0.7))
    far = shade(coat, 0.8)
    pen.stroke([(build.length * 0.36, -tall * 0.6), (build.length * 0.5, -2)], build.depth * 0.62, far)
    pen.curve(
        [(-build.length * 0.85, -1), (-build.length * 0.8, -tall * 0.42), (-build.length * 0.1, -tall * 0.95),
         (build.length * 0.45, -tall * 1.0), (build.length * 0.5, -tall * 0.55), (build.length * 0.2, -tall * 0.1)],
        coat,
    )  # fmt: skip
    pen.ellipse(-build.length * 0.35, -build.depth * 0.85, build.length * 0.5, build.depth * 0.85, shade(coat, 0.95))
    if patch:
        pen.ellipse(-build.length * 0.3, -build.depth * 1.1, build.length * 0.22, build.depth * 0.4, patch)
        pen.ellipse(build.length * 0.15, -tall * 0.7, build.length * 0.16, build.depth * 0.4, patch)
    pen.stroke([(build.length * 0.25, -tall * 0.6), (build.length * 0.34, -2)], build.depth * 0.66, coat)
    pen.stroke([(build.length * 0.3, -2), (build.length * 0.52, -1.8)], build.depth * 0.5, coat)
    pen.stroke([(-build.length * 0.2, -1.8), (build.length * 0.1, -1.8)], build.depth * 0.5, shade(coat, 0.95))
    with pen.at(build.length * 0.4, -tall * 1.12):
        _head(pen, kind, build, coat, patch is not None, patch or coat)


def draw_bird(pen: Pen, colour: str, flying: bool) -> None:
    """A small bird; its feet are at (0, 0), or its body's middle when it flies."""
    fill = PALETTE[colour]
    y = 0 if flying else -9
    pen.polygon([(-8, y), (-19, y - 4), (-18, y + 4)], shade(fill, 0.75))
    if not flying:
        for x in (-1, 2):
            pen.stroke([(x, -4), (x, -0.5)], 1.2, (214, 140, 70))
    pen.ellipse(0, y, 10, 6.6, fill)
    pen.ellipse(2, y + 2.4, 6.5, 3.8, shade(fill, 1.5))
    pen.ellipse(9, y - 6, 5.6, 5.4, fill)
    pen.polygon([(13.4, y - 8), (19.5, y - 5.4), (13.4, y - 3.6)], (240, 168, 66))
    pen.ellipse(10.6, y - 7, 1.2, 1.4, (40, 36, 40))
    if flying:
        pen.curve([(6, y - 3), (-3, y - 20), (-14, y - 22), (-7, y - 4)], shade(fill, 0.72))
    else:
        pen.curve([(5, y - 2), (-4, y - 4), (-14, y + 1), (-5, y + 4)], shade(fill, 0.72))


def draw_duck(pen: Pen, colour: str) -> None:
    """A swimming duck; the waterline is at y = 0."""
    fill = PALETTE[colour]
    pen.curve([(-17, -9), (-8, -9), (6, -8), (14, -5), (10, 0.5), (-9, 0.5), (-15, -3)], fill)
    pen.stroke([(10, -6), (12, -15)], 7, fill, 6)
    pen.ellipse(13, -18, 6, 5.6, fill)
    pen.polygon([(18, -19.5), (26, -16.6), (18, -15)], (240, 158, 58))
    pen.ellipse(14.6, -19.4, 1.2, 1.4, (40, 36, 40))
    pen.curve([(5, -6), (-5, -8), (-13, -4), (-4, -2)], shade(fill, 0.82))
    for x1, x2 in ((-20, -8), (4, 17)):
        pen.stroke([(x1, 1.2), (x2, 1.2)], 1.1, (255, 255, 255, 150))
