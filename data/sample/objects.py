"""Things of the sample world that do not live: vehicles, furniture, buildings, plants, what lies on a table.

Origin: the ground under the thing's middle (for what hangs or is held: its middle or its grip);
y grows downwards; lengths in the units in which a grown-up is 100 high. Constants name the places
where other things meet these: a seat's height, a handlebar.
"""

from __future__ import annotations

import math

from data.sample.pen import PALETTE, Colour, Pen, shade

BENCH_SEAT, CHAIR_SEAT, SOFA_SEAT, TABLE_TOP, FENCE_TOP = 24, 26, 25, 42, 40
WOOD: Colour = (168, 122, 84)
METAL: Colour = (116, 122, 136)
GLASS: Colour = (184, 216, 230)


def draw_wheel(pen: Pen, x: float, y: float, r: float, owner: int | None, spokes: bool) -> None:
    with pen.part(owner):
        if spokes:
            for i in range(4):
                turn = i * math.pi / 4 + 0.2
                dx, dy = math.cos(turn) * (r - 1), math.sin(turn) * (r - 1)
                pen.stroke([(x - dx, y - dy), (x + dx, y + dy)], 0.7, (190, 194, 202))
            pen.ring(x, y, r, 2.8, (58, 58, 66))
            pen.ellipse(x, y, 2.2, 2.2, METAL)
        else:
            pen.ellipse(x, y, r, r, (52, 52, 60))
            pen.ellipse(x, y, r * 0.56, r * 0.56, (202, 206, 214))
            pen.ellipse(x, y, r * 0.2, r * 0.2, (110, 114, 124))


def draw_bicycle(pen: Pen, colour: str, wheels: tuple[int, int]) -> None:
    fill = PALETTE[colour]
    for x, owner in zip((-23, 23), wheels, strict=True):
        draw_wheel(pen, x, -15.5, 15.5, owner, spokes=True)
    frame = [[(-23, -15.5), (-10, -35), (15, -36), (-3, -14), (-23, -15.5)], [(-10, -35), (-3, -14)]]
    for line in frame:
        pen.stroke(line, 3.2, fill)
    pen.stroke([(23, -15.5), (14, -44)], 3.2, shade(fill, 0.9))
    pen.stroke([(-10, -35), (-11, -40)], 2.4, METAL)
    pen.stroke([(-17, -41.5), (-5, -41)], 4, (64, 54, 54))
    pen.stroke([(14, -44), (20, -47)], 3, METAL)
    pen.ellipse(-3, -14, 4, 4, METAL)
    pen.stroke([(-6, -19.5), (0, -8.5)], 1.8, METAL)


def draw_car(pen: Pen, colour: str, wheels: tuple[int, int], window: int | None = None) -> None:
    """A small car. Its cabin's glass belongs to `window`; who drives is drawn before, and seen through it."""
    fill = PALETTE[colour]
    pen.curve(
        [(-62, -14), (-60, -30), (-44, -36), (-28, -57), (18, -57), (36, -36), (58, -31), (63, -14)],
        fill,
    )
    pen.rounded(-63, -22, 64, -10, 5, shade(fill, 0.82))
    with pen.part(window):
        pen.polygon([(-36, -36.5), (-24, -53), (-5, -53), (-5, -36.5)], GLASS)
        pen.polygon([(0, -36.5), (0, -53), (16, -53), (28, -36.5)], GLASS)
    pen.polygon([(-31, -37.5), (-21, -52), (-15, -52), (-25, -37.5)], (255, 255, 255, 90))
    pen.stroke([(-2.5, -34), (-2.5, -15)], 0.9, shade(fill, 0.7))
    pen.stroke([(3, -30), (10, -30)], 1.6, shade(fill, 0.6))
    pen.ellipse(60, -25, 4, 4.4, (255, 238, 178))
    pen.rounded(-64, -28, -59, -21, 2, (222, 84, 72))
    for x, owner in zip((-38, 38), wheels, strict=True):
        pen.half_ellipse(x, -12, 16, 15, shade(fill, 0.6))
        draw_wheel(pen, x, -12, 12, owner, spokes=False)


def draw_truck(pen: Pen, colour: str, wheels: tuple[int, int]) -> None:
    """A farm truck with an open bed (floor at y = -34, from x = -70 to 14)."""
    fill = PALETTE[colour]
    pen.rounded(-74, -22, 74, -14, 3, (86, 86, 96))
    pen.rounded(18, -74, 56, -16, 8, fill)
    pen.rounded(40, -46, 76, -16, 7, fill)
    pen.rounded(27, -67, 51, -45, 4, GLASS)
    pen.polygon([(30, -46), (38, -66), (43, -66), (35, -46)], (255, 255, 255, 90))
    pen.rectangle(-74, -40, 14, -20, shade(fill, 0.86))
    for y in (-34, -28):
        pen.rectangle(-74, y, 14, y + 1.4, shade(fill, 0.66))
    pen.ellipse(72, -30, 4, 5, (255, 238, 178))
    for x, owner in zip((-46, 50), wheels, strict=True):
        draw_wheel(pen, x, -13, 13, owner, spokes=False)


def draw_boat(pen: Pen, colour: str, pattern: str | None) -> None:
    """The hull of a rowing boat, gunwale at y = -20, waterline at 0."""
    fill = PALETTE[colour]
    pen.curve([(-58, -22), (-52, -4), (-30, 2), (30, 2), (54, -5), (66, -25), (40, -18), (-36, -17)], fill, pattern)
    pen.stroke([(-58, -22), (-36, -17.5), (40, -18), (66, -25)], 4, shade(fill, 0.7))
    for x1, x2 in ((-70, -40), (-10, 26), (44, 72)):
        pen.stroke([(x1, 2.2), (x2, 2.2)], 1.5, (255, 255, 255, 140))


def draw_skateboard(pen: Pen, colour: str) -> None:
    for x in (-12, 12):
        pen.ellipse(x, -2.6, 2.8, 2.8, (250, 246, 238))
        pen.ellipse(x, -2.6, 1.2, 1.2, METAL)
    pen.stroke([(-21, -8), (-15, -6), (15, -6), (21, -8)], 3.4, PALETTE[colour])


def draw_bench(pen: Pen, colour: str) -> None:
    fill = PALETTE[colour]
    for x in (-40, 40):
        pen.stroke([(x, 0), (x, -50)], 4, METAL)
    for y in (-49, -41, -33):
        pen.rounded(-48, y, 48, y + 5.4, 2, shade(fill, 0.92))
    pen.rounded(-50, -27, 50, -19, 3, fill)
    pen.rounded(-50, -21.5, 50, -19, 1.5, shade(fill, 0.72))
    for x in (-44, 44):
        pen.stroke([(x, -20), (x, 0)], 4.4, shade(METAL, 0.8))


def draw_chair(pen: Pen, colour: str) -> None:
    fill = PALETTE[colour]
    for x in (-13, 13):
        pen.stroke([(x * 0.86, -24), (x * 0.86, 0)], 3.4, shade(fill, 0.66))
    pen.rounded(-15, -64, 15, -58, 3, fill)
    pen.rounded(-15, -52, 15, -45, 3, fill)
    for x in (-13.5, 13.5):
        pen.stroke([(x, -62), (x, -26)], 4, shade(fill, 0.86))
    pen.rounded(-17, -29, 17, -22, 3, fill)
    pen.rounded(-17, -24.4, 17, -22, 1, shade(fill, 0.72))
    for x in (-14.5, 14.5):
        pen.stroke([(x, -22), (x, 0)], 3.8, shade(fill, 0.86))


def draw_sofa(pen: Pen, colour: str, pattern: str | None) -> None:
    fill = PALETTE[colour]
    for x in (-52, 52):
        pen.stroke([(x, -4), (x, 0)], 4.6, (96, 72, 60))
    pen.rounded(-56, -58, 56, -10, 10, shade(fill, 0.86), pattern)
    pen.rounded(-60, -14, 60, -3, 4, shade(fill, 0.74))
    pen.rounded(-47, -29, -0.6, -13, 5, fill)
    pen.rounded(0.6, -29, 47, -13, 5, fill)
    for x in (-56, 56):
        pen.rounded(x - 9, -40, x + 9, -5, 8, shade(fill, 0.94))


def draw_table(pen: Pen, colour: str) -> None:
    fill = PALETTE[colour]
    for x in (-34, 34):
        pen.stroke([(x * 0.9, -38), (x * 0.9, -4)], 4, shade(fill, 0.64))
    pen.polygon([(-42, -44), (42, -44), (48, -37), (-48, -37)], shade(fill, 1.12))
    pen.rounded(-48, -37.4, 48, -32, 2, shade(fill, 0.9))
    for x in (-42, 42):
        pen.stroke([(x, -33), (x, 0)], 5, shade(fill, 0.8))


def draw_lamp(pen: Pen, colour: str, pattern: str | None, lit: bool) -> None:
    """A table lamp, 42 high."""
    if lit:
        for r in (46, 36, 27):
            pen.ellipse(0, -30, r, r, (255, 236, 160, 34))
    pen.stroke([(0, -2), (0, -22)], 2.6, (150, 122, 84))
    pen.half_ellipse(0, 0, 9, 4.4, (150, 122, 84))
    fill = shade(PALETTE[colour], 1.35) if lit else shade(PALETTE[colour], 0.92)
    pen.polygon([(-9, -43), (9, -43), (17, -21), (-17, -21)], fill, pattern)


def draw_rug(pen: Pen, colour: str, pattern: str | None) -> None:
    fill = PALETTE[colour]
    pen.ellipse(0, 0, 84, 15, shade(fill, 0.8))
    pen.ellipse(0, -0.6, 79, 13.2, shade(fill, 1.15), pattern=pattern)


def draw_picture(pen: Pen, colour: str) -> None:
    """A framed landscape, its middle at (0, 0)."""
    pen.rectangle(-25, -19, 25, 19, shade(PALETTE[colour], 0.9))
    pen.rectangle(-21, -15, 21, 15, (206, 228, 238))
    pen.polygon([(-21, 15), (-21, 5), (-8, -6), (6, 6), (13, 0), (21, 8), (21, 15)], (122, 164, 128))
    pen.ellipse(11, -7, 4, 4, (250, 214, 120))


def draw_window(pen: Pen, curtain: str | None = None, frame: Colour = (250, 247, 240), lit: bool = False) -> None:
    """A window of 40 by 44, its middle at (0, 0); a curtain colour makes it a room's."""
    pen.rectangle(-20, -22, 20, 22, frame)
    pen.rectangle(-17, -19, 17, 19, (252, 226, 150) if lit else (176, 212, 232))
    pen.polygon([(-17, 6), (-4, -19), (6, -19), (-17, 19)], (255, 255, 255, 70))
    pen.rectangle(-1.2, -19, 1.2, 19, frame)
    pen.rectangle(-17, -1.2, 17, 1.2, frame)
    if curtain:
        fill = PALETTE[curtain]
        for side in (-1, 1):
            pen.polygon([(side * 26, -26), (side * 8, -26), (side * 15, 4), (side * 21, 28), (side * 27, 28)], fill)
        pen.rounded(-29, -28, 29, -24.4, 1.6, (138, 106, 82))


def draw_house(pen: Pen, colour: str, roof: str, window: int, door: int, window_colour: bool, door_colour: str) -> None:
    """A house 120 wide and 130 high; window: owner of its window, door: owner of its door."""
    fill = shade(PALETTE[colour], 1.18)
    pen.rectangle(34, -128, 46, -100, (158, 112, 96))
    pen.rectangle(-56, -82, 56, 0, fill)
    pen.rectangle(-56, -10, 56, 0, shade(fill, 0.88))
    pen.polygon([(-68, -78), (-40, -124), (40, -124), (68, -78)], shade(PALETTE[roof], 0.94))
    for i in range(1, 4):
        y = -78 - i * 11.5
        pen.stroke([(-66 + i * 7, y), (66 - i * 7, y)], 1, (*shade(PALETTE[roof], 0.6), 120))
    pen.polygon([(-56, -78), (56, -78), (56, -72), (-56, -72)], (*shade(fill, 0.5), 70))
    with pen.part(window), pen.at(-26, -44):
        draw_window(pen, lit=window_colour)
    with pen.part(door):
        pen.rounded(12, -58, 42, 0, 3, (246, 240, 228))
        pen.rounded(15, -55, 39, 0, 2, PALETTE[door_colour])
        pen.ellipse(34, -27, 2, 2, (238, 204, 110))


def draw_fence(pen: Pen, colour: str, half: float) -> None:
    """A picket fence 40 high, 2 * half wide."""
    fill = PALETTE[colour]
    for y in (-31, -14):
        pen.rectangle(-half, y, half, y + 4, shade(fill, 0.8))
    n = max(2, round(half / 7))
    for i in range(n):
        x = -half + 5 + i * (2 * half - 10) / (n - 1)
        pen.polygon([(x - 3.4, 0), (x - 3.4, -36), (x, -41), (x + 3.4, -36), (x + 3.4, 0)], fill)


def draw_tree(pen: Pen, colour: str, bare: bool, tall: bool) -> None:
    """A tree, 115 high or, tall, 150; crown's middle at y = -78 (-104)."""
    top = -104 if tall else -78
    trunk = (128, 94, 74)
    pen.polygon([(-7, 0), (-4.4, top), (4.4, top), (7, 0)], trunk)
    pen.polygon([(1, 0), (1, top), (4.4, top), (7, 0)], shade(trunk, 0.84))
    if bare:
        for x, y, w in ((-26, -34, 4), (24, -38, 4), (-12, -44, 3.4), (12, -50, 3), (-34, -14, 2.6), (34, -16, 2.6)):
            pen.stroke([(0, top + 22 + y * 0.2), (x * 0.5, top + y * 0.35), (x, top + y)], w, trunk, 1.2)
            pen.stroke([(x * 0.5, top + y * 0.35), (x * 1.05, top + y * 0.5)], 2, trunk, 1)
        return
    fill = PALETTE[colour]
    blobs = ((-24, 10, 20), (24, 10, 20), (-16, -14, 22), (16, -12, 22), (0, -28, 20), (0, 4, 26))
    for x, y, r in blobs:
        pen.ellipse(x, top + y + 2.5, r, r * 0.92, shade(fill, 0.82))
    for x, y, r in blobs:
        pen.ellipse(x - 2, top + y - 1.5, r * 0.88, r * 0.8, fill)
    for x, y, r in ((-14, -18, 9), (6, -32, 9), (-26, 4, 7), (12, -4, 8)):
        pen.ellipse(x, top + y, r, r * 0.8, shade(fill, 1.18))


def draw_umbrella(pen: Pen, colour: str, pattern: str | None, is_open: bool, shaft: float = 46) -> None:
    """Grip at (0, 0). Open: canopy of 76 at the shaft's upper end; closed: a slim roll pointing upwards."""
    fill = PALETTE[colour]
    pen.stroke([(0, 2), (0, -shaft)], 2, (110, 96, 92))
    if is_open:
        pen.half_ellipse(0, -shaft + 8, 38, 26, fill, pattern)
        for x in (-25.3, 0, 25.3):
            pen.half_ellipse(x, -shaft + 8.4, 12.7, 3.4, shade(fill, 0.8))
        pen.stroke([(0, -shaft - 17), (0, -shaft - 21)], 2, (110, 96, 92))
    else:
        pen.polygon([(-1.5, -shaft + 34), (-5, -shaft + 8), (0, -shaft - 4), (5, -shaft + 8), (1.5, -shaft + 34)], fill)
        pen.stroke([(0, 2), (0, 6), (4, 7)], 2.4, (110, 96, 92))


def draw_ball(pen: Pen, colour: str, pattern: str | None, r: float = 8) -> None:
    """Rests on y = 0."""
    fill = PALETTE[colour]
    pen.ellipse(0, -r, r, r, fill, pattern=pattern)
    pen.curve([(-r * 0.8, -r * 0.5), (0, -r * 0.08), (r * 0.8, -r * 0.5), (0, -r * 0.3)], (*shade(fill, 0.4), 70))
    pen.ellipse(-r * 0.34, -r * 1.4, r * 0.26, r * 0.2, (255, 255, 255, 130))


def draw_kite(pen: Pen, colour: str, pattern: str | None) -> None:
    """Middle at (0, 0)."""
    fill = PALETTE[colour]
    pen.stroke([(0, 22), (-5, 30), (3, 36), (-4, 44)], 1.6, shade(fill, 0.7))
    for x, y in ((-5, 30), (3, 36)):
        pen.polygon([(x - 5, y - 3), (x - 5, y + 3), (x + 5, y - 3), (x + 5, y + 3)], shade(fill, 1.3))
    pen.polygon([(0, -24), (17, -4), (0, 22), (-17, -4)], fill, pattern)
    pen.polygon([(0, -24), (17, -4), (0, 22)], (0, 0, 0, 26))


def draw_bag(pen: Pen, colour: str, pattern: str | None) -> None:
    """Hangs from (0, 0), 27 high."""
    fill = PALETTE[colour]
    pen.stroke([(-6, -16 + 27), (-5, 1), (5, 1), (6, 11)], 2.2, shade(fill, 0.66))
    pen.rounded(-11, 9, 11, 27, 4.4, fill, pattern)
    pen.rounded(-11, 9, 11, 14.5, 3, shade(fill, 0.8))


def draw_book(pen: Pen, colour: str, is_open: bool) -> None:
    """Lower edge's middle at (0, 0)."""
    fill = PALETTE[colour]
    if is_open:
        pen.polygon([(-13, -11), (0, -8), (13, -11), (13, 0), (0, 3), (-13, 0)], fill)
        pen.polygon([(-11, -12.5), (0, -9.5), (0, 0.5), (-11, -2.4)], (252, 250, 242))
        pen.polygon([(11, -12.5), (0, -9.5), (0, 0.5), (11, -2.4)], (238, 234, 224))
    else:
        pen.rounded(-12, -6.4, 12, 0, 1.4, fill)
        pen.rectangle(-11, -4.6, 12, -1.6, (250, 246, 236))


def draw_cup(pen: Pen, colour: str, pattern: str | None) -> None:
    """Stands on y = 0, 12 high."""
    fill = PALETTE[colour]
    pen.ring(7, -6.6, 4.2, 1.8, shade(fill, 0.86))
    pen.polygon([(-6.4, -12), (6.4, -12), (5, 0), (-5, 0)], fill, pattern)
    pen.ellipse(0, -12, 6.4, 1.8, shade(fill, 0.6))


def draw_vase(pen: Pen, colour: str, pattern: str | None) -> None:
    """Stands on y = 0, 22 high."""
    fill = PALETTE[colour]
    pen.curve([(-4.4, -22), (-4, -17), (-8.4, -9), (-5, 0), (5, 0), (8.4, -9), (4, -17), (4.4, -22)], fill, pattern)
    pen.ellipse(0, -21.6, 4.8, 1.5, shade(fill, 0.6))


def draw_flower(pen: Pen, colour: str, stem: float = 24) -> None:
    """Foot of the stem at (0, 0)."""
    pen.stroke([(0, 0), (0, -stem)], 2, (94, 148, 92))
    pen.ellipse(5, -stem * 0.42, 5, 2.2, (104, 160, 98), angle=-35)
    fill = PALETTE[colour]
    for i in range(6):
        turn = i * math.pi / 3
        pen.ellipse(math.cos(turn) * 5.4, -stem + math.sin(turn) * 5.4, 4.4, 4.4, fill)
    pen.ellipse(0, -stem, 3.8, 3.8, (250, 214, 98) if colour != "yellow" else (196, 128, 66))


def draw_apple(pen: Pen, colour: str) -> None:
    """Rests on y = 0, 11 high."""
    fill = PALETTE[colour]
    pen.curve([(0, -9.6), (4.6, -10.4), (6.6, -5.4), (3, 0), (-3, 0), (-6.6, -5.4), (-4.6, -10.4)], fill)
    pen.ellipse(-2.4, -7, 1.6, 1.2, (255, 255, 255, 130))
    pen.stroke([(0, -9.6), (1, -13)], 1.5, (110, 80, 60))
    pen.ellipse(3.4, -12.4, 2.8, 1.3, (104, 160, 98), angle=-20)


def draw_banana(pen: Pen, colour: str) -> None:
    """Rests on y = 0."""
    fill = PALETTE[colour]
    pen.curve([(-11, -9.5), (-6, -4), (2, -3), (10, -8), (12, -6.5), (4, 0), (-6, -0.6), (-12, -7)], fill)
    pen.stroke([(-11.6, -8.6), (-12.6, -10.6)], 1.8, (112, 88, 58))


def draw_basket(pen: Pen, colour: str, half: str) -> None:
    """A basket 26 high without its handle. half: "back" (handle, inside) or "front"; what it holds comes between."""
    fill = PALETTE[colour]
    if half == "back":
        pen.ring(0, -17, 17, 2.6, shade(fill, 0.74))
        pen.ellipse(0, -20, 19, 5.4, shade(fill, 0.5))
        return
    pen.polygon([(-19, -20), (19, -20), (14.5, 0), (-14.5, 0)], fill)
    for i in range(4):
        y = -17 + i * 4.6
        pen.stroke([(-17 + i, y), (17 - i, y)], 1.3, shade(fill, 0.78))
    for x in (-12, -4, 4, 12):
        pen.stroke([(x, -18), (x * 0.78, -1)], 1.1, (*shade(fill, 0.7), 150))
    pen.stroke([(-19, -20), (-9, -16.6), (9, -16.6), (19, -20)], 3, shade(fill, 0.86))
