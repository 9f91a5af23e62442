"""Backgrounds of the sample's scenes: parks, streets, farms, beaches, lakes, rooms; at some hour, in some colours."""

from __future__ import annotations

import math
import random

from PIL import Image

from data.sample.pen import HEIGHT, WIDTH, Colour, Pen, blend, gradient, shade

KINDS = ("park", "street", "farm", "beach", "lake", "room")

# name: (sky's top, sky at the horizon, tint over everything far away)
SKIES: list[tuple[Colour, Colour]] = [
    ((138, 194, 232), (226, 240, 244)),  # noon
    ((166, 206, 228), (250, 236, 214)),  # morning
    ((122, 140, 196), (252, 206, 168)),  # evening
    ((188, 204, 214), (234, 236, 234)),  # overcast
    ((150, 170, 220), (252, 220, 222)),  # rosy
]
GRASS: list[tuple[Colour, Colour]] = [
    ((178, 208, 142), (122, 176, 104)),
    ((200, 212, 138), (150, 178, 96)),
    ((160, 200, 150), (106, 164, 112)),
]


def choose_horizon(kind: str, rng: random.Random) -> float:
    """y of the horizon in pixels; in a room, of the wall's foot."""
    return rng.uniform(126, 138) if kind == "room" else rng.uniform(92, 108)


def paint_backdrop(kind: str, horizon: float, rng: random.Random) -> tuple[Image.Image, Pen]:
    """The gradient, and the scenery to draw over it."""
    if kind == "room":
        return _room(rng, horizon)
    top, low = rng.choice(SKIES)
    ground = {
        "park": rng.choice(GRASS),
        "farm": rng.choice(GRASS),
        "street": ((196, 196, 200), (168, 170, 178)),
        "beach": ((250, 230, 190), (238, 208, 156)),
        "lake": (blend((150, 198, 220), low, 0.35), (92, 150, 190)),
    }[kind]
    at = horizon / HEIGHT
    base = gradient([(0, top), (at, low), (at + 1e-6, ground[0]), (1, ground[1])])
    pen = Pen()
    _sky(pen, rng, horizon, low)
    {"park": _park, "farm": _farm, "street": _street, "beach": _beach, "lake": _lake}[kind](
        pen, rng, horizon, low, ground
    )
    return base, pen


def _sky(pen: Pen, rng: random.Random, horizon: float, low: Colour) -> None:
    if rng.random() < 0.6:
        x, y = rng.uniform(30, WIDTH - 30), rng.uniform(18, 50)
        for r, alpha in ((30, 26), (23, 40)):
            pen.ellipse(x, y, r, r, (255, 244, 206, alpha))
        pen.ellipse(x, y, 14, 14, blend((255, 232, 158), low, 0.2))
    for _ in range(rng.randint(1, 4)):
        x, y, size = rng.uniform(0, WIDTH), rng.uniform(12, horizon * 0.55), rng.uniform(0.5, 1.1)
        with pen.at(x, y, size):
            for dx, dy, rx, ry in ((-18, 2, 16, 7), (0, -4, 18, 11), (18, 1, 17, 8), (2, 4, 34, 6)):
                pen.ellipse(dx, dy, rx, ry, (255, 255, 255, 150))


def _ridge(pen: Pen, rng: random.Random, y: float, height: float, fill: Colour) -> None:
    """A range of hills whose feet are at y."""
    phase, length = rng.uniform(0, 7), rng.uniform(0.014, 0.028)
    xs = [i * WIDTH / 40 for i in range(41)]
    tops = [
        (x, y - height * (0.55 + 0.3 * math.sin(x * length + phase) + 0.15 * math.sin(x * length * 2.7 + 2 * phase)))
        for x in xs
    ]
    pen.polygon([*tops, (WIDTH, y + 1), (0, y + 1)], fill)


def _woods(pen: Pen, rng: random.Random, y: float, fill: Colour) -> None:
    x = -5.0
    while x < WIDTH + 5:
        r = rng.uniform(5, 11)
        pen.ellipse(x, y - r * 0.5, r, r * rng.uniform(0.9, 1.4), shade(fill, rng.uniform(0.93, 1.06)))
        x += r * rng.uniform(0.7, 1.5)
    pen.rectangle(0, y - 4, WIDTH, y + 0.6, fill)


def _tufts(pen: Pen, rng: random.Random, horizon: float, fill: Colour, count: int) -> None:
    for _ in range(count):
        x, y = rng.uniform(0, WIDTH), rng.uniform(horizon + 8, HEIGHT)
        size = 0.4 + 0.8 * (y - horizon) / (HEIGHT - horizon)
        for dx in (-2.2, 0, 2.2):
            pen.stroke([(x, y), (x + dx * size, y - 4.5 * size)], 0.9 * size, fill)


def _park(pen: Pen, rng: random.Random, horizon: float, low: Colour, ground: tuple[Colour, Colour]) -> None:
    _ridge(pen, rng, horizon, 34, blend((132, 168, 170), low, 0.45))
    _woods(pen, rng, horizon, blend((104, 152, 112), low, 0.25))
    if rng.random() < 0.6:  # a path that comes nearer
        far, near, bend = rng.uniform(100, 220), rng.uniform(20, 300), rng.uniform(-60, 60)
        left, right = [], []
        for i in range(13):
            t = i / 12
            x = far + (near - far) * t * t + bend * math.sin(math.pi * t)
            y = horizon + (HEIGHT + 4 - horizon) * t
            left.append((x - 3 - 34 * t, y))
            right.append((x + 3 + 34 * t, y))
        pen.polygon(left + right[::-1], blend((236, 222, 190), ground[0], 0.15))
    _tufts(pen, rng, horizon, shade(ground[1], 0.9), 40)
    for _ in range(rng.randint(0, 26)):
        x, y = rng.uniform(0, WIDTH), rng.uniform(horizon + 10, HEIGHT)
        pen.ellipse(x, y, 1.2, 1.0, rng.choice([(255, 250, 240), (250, 224, 140), (244, 190, 206)]))


def _farm(pen: Pen, rng: random.Random, horizon: float, low: Colour, ground: tuple[Colour, Colour]) -> None:
    _ridge(pen, rng, horizon, 46, blend((140, 164, 188), low, 0.5))
    _ridge(pen, rng, horizon, 20, blend((150, 184, 130), low, 0.25))
    x, y = rng.uniform(30, WIDTH - 60), horizon + 1
    pen.rectangle(x, y - 15, x + 26, y, blend((190, 92, 82), low, 0.2))
    pen.polygon([(x - 3, y - 14), (x + 4, y - 23), (x + 22, y - 23), (x + 29, y - 14)], blend((136, 80, 78), low, 0.2))
    pen.rectangle(x + 10, y - 9, x + 17, y, blend((250, 240, 226), low, 0.2))
    field = rng.choice([(238, 214, 128), (214, 196, 130), (196, 214, 130)])
    depth = rng.uniform(14, 24)
    centre = rng.uniform(60, WIDTH - 60)
    pen.polygon([(0, horizon), (WIDTH, horizon), (WIDTH, horizon + depth), (0, horizon + depth * 0.7)], field)
    for i in range(-14, 15):
        pen.stroke(
            [(centre + i * 14, horizon + 0.5), (centre + i * 32, horizon + depth * 0.8)],
            0.9,
            (*shade(field, 0.82), 130),
        )
    pen.polygon(
        [(0, horizon + depth * 0.7), (WIDTH, horizon + depth), (WIDTH, horizon + depth + 3), (0, horizon + depth + 2)],
        ground[0],
    )
    _tufts(pen, rng, horizon + depth, shade(ground[1], 0.9), 44)


def _street(pen: Pen, rng: random.Random, horizon: float, low: Colour, ground: tuple[Colour, Colour]) -> None:
    x = -rng.uniform(0, 20)
    while x < WIDTH:  # a row of far houses
        width, height = rng.uniform(26, 50), rng.uniform(34, 74)
        wall = blend(rng.choice([(206, 160, 140), (216, 190, 150), (170, 180, 190), (190, 170, 186)]), low, 0.45)
        pen.rectangle(x, horizon - height, x + width - 1, horizon + 1, wall)
        pen.rectangle(x - 1, horizon - height - 3, x + width, horizon - height, shade(wall, 0.86))
        for wx in range(int((width - 6) // 10)):
            for wy in range(int((height - 8) // 13)):
                pane = blend((252, 228, 164), wall, 0.2) if rng.random() < 0.22 else shade(wall, 0.82)
                left, top = x + 5 + wx * 10, horizon - height + 6 + wy * 13
                pen.rectangle(left, top, left + 5, top + 7, pane)
        x += width
    kerb = horizon + rng.uniform(34, 46)
    pen.rectangle(0, horizon, WIDTH, kerb, (216, 208, 198))
    for i in range(-3, 14):
        pen.stroke(
            [(160 + (i * 28 - 150) * 0.9, horizon), (160 + (i * 28 - 150) * 1.3, kerb)], 0.7, (*(190, 182, 174), 150)
        )
    pen.rectangle(0, kerb, WIDTH, kerb + 4, (188, 182, 178))
    pen.rectangle(0, kerb + 4, WIDTH, HEIGHT, (146, 150, 160))
    offset = rng.uniform(0, 60)
    for i in range(-1, 6):
        left = i * 66 + offset
        pen.polygon([(left, 197), (left + 34, 197), (left + 36, 202), (left, 202)], (236, 232, 220))
    pen.rectangle(0, 234, WIDTH, HEIGHT, (186, 180, 176))


def _beach(pen: Pen, rng: random.Random, horizon: float, low: Colour, ground: tuple[Colour, Colour]) -> None:
    shore = horizon + rng.uniform(16, 26)
    sea = blend((84, 170, 196), low, 0.15)
    pen.rectangle(0, horizon, WIDTH, shore, sea)
    pen.rectangle(0, horizon, WIDTH, horizon + 5, shade(sea, 0.9))
    for _ in range(16):
        x, y = rng.uniform(0, WIDTH), rng.uniform(horizon + 3, shore - 4)
        pen.stroke([(x, y), (x + rng.uniform(8, 22), y)], 0.9, (255, 255, 255, 110))
    phase = rng.uniform(0, 6)
    foam = [(x, shore + 2.4 * math.sin(x / 23 + phase)) for x in range(0, WIDTH + 9, 8)]
    pen.polygon([(0, shore - 6), *foam, (WIDTH, shore - 6)], blend(sea, (214, 240, 240), 0.5))
    pen.stroke(foam, 2.6, (252, 252, 248))
    x = rng.uniform(40, WIDTH - 40)  # a far sail
    pen.polygon([(x, horizon - 12), (x, horizon + 1), (x + 8, horizon + 1)], (252, 250, 244))
    pen.rectangle(x - 4, horizon + 1, x + 9, horizon + 3, (150, 110, 90))
    for _ in range(46):
        x, y = rng.uniform(0, WIDTH), rng.uniform(shore + 8, HEIGHT)
        pen.ellipse(x, y, 1.3, 0.7, shade(ground[1], rng.choice([0.92, 1.12])))


def _lake(pen: Pen, rng: random.Random, horizon: float, low: Colour, ground: tuple[Colour, Colour]) -> None:
    _ridge(pen, rng, horizon, 58, blend((130, 150, 184), low, 0.45))
    _ridge(pen, rng, horizon, 30, blend((126, 166, 150), low, 0.3))
    _woods(pen, rng, horizon, blend((96, 142, 116), low, 0.25))
    pen.rectangle(0, horizon, WIDTH, horizon + 3, (*(80, 120, 120), 90))
    for _ in range(46):
        y = horizon + 4 + (HEIGHT - horizon) * rng.random() ** 1.4
        x, half = rng.uniform(0, WIDTH), 4 + (y - horizon) * 0.14
        pen.stroke([(x - half, y), (x + half, y)], 0.8 + (y - horizon) * 0.006, (255, 255, 255, 80))
    grass = rng.choice(GRASS)
    shore = [(x, 186 + 4 * math.sin(x / 41 + rng.random() * 0.3)) for x in range(0, WIDTH + 9, 8)]
    pen.polygon([*((x, y - 2.5) for x, y in shore), (WIDTH, HEIGHT), (0, HEIGHT)], (226, 214, 176))
    pen.polygon([*shore, (WIDTH, HEIGHT), (0, HEIGHT)], blend(grass[0], grass[1], 0.5))
    pen.polygon([*((x, y + 24) for x, y in shore), (WIDTH, HEIGHT), (0, HEIGHT)], (*grass[1], 120))
    _tufts(pen, rng, 184, shade(grass[1], 0.88), 26)
    for side in (-1, 1):  # reeds
        if rng.random() < 0.7:
            x0 = WIDTH / 2 + side * rng.uniform(140, 158)
            for _ in range(9):
                x, height = x0 + rng.uniform(-12, 12), rng.uniform(22, 46)
                pen.stroke([(x, 192), (x + rng.uniform(-4, 4), 192 - height)], 2.2, (124, 160, 108), 0.8)


def _room(rng: random.Random, foot: float) -> tuple[Image.Image, Pen]:
    wall = rng.choice([(236, 222, 200), (206, 222, 216), (224, 214, 230), (244, 224, 212), (208, 218, 232)])
    floor = rng.choice([(206, 166, 126), (186, 150, 122), (222, 190, 150)])
    at = foot / HEIGHT
    base = gradient([(0, shade(wall, 0.95)), (at, wall), (at + 1e-6, shade(floor, 0.94)), (1, shade(floor, 1.1))])
    pen = Pen()
    style = rng.choice(["plain", "stripes", "dots", "panel"])
    if style == "stripes":
        for x in range(0, WIDTH, 22):
            pen.rectangle(x, 0, x + 11, foot, (*shade(wall, 1.25), 130))
    elif style == "dots":
        for row, y in enumerate(range(8, int(foot) - 6, 15)):
            for x in range(8 + 10 * (row % 2), WIDTH, 20):
                pen.ellipse(x, y, 1.8, 1.8, (*shade(wall, 0.86), 120))
    elif style == "panel":
        pen.rectangle(0, foot - 44, WIDTH, foot, shade(wall, 1.35))
        pen.rectangle(0, foot - 46, WIDTH, foot - 43, shade(wall, 0.9))
    pen.rectangle(0, foot - 7, WIDTH, foot, (250, 246, 238))
    pen.rectangle(0, foot, WIDTH, foot + 1.4, shade(floor, 0.74))
    for i in range(-14, 15):  # boards
        pen.stroke([(160 + i * 24, foot + 1), (160 + i * 46, HEIGHT)], 0.8, (*shade(floor, 0.76), 120))
    for y in (foot + 18, foot + 46, foot + 84):
        pen.stroke([(0, y), (WIDTH, y)], 0.6, (*shade(floor, 0.8), 70))
    x = rng.uniform(10, 200)  # light from a window
    pen.polygon([(x, foot + 8), (x + 66, foot + 8), (x + 110, HEIGHT), (x + 14, HEIGHT)], (255, 246, 214, 44))
    return base, pen
