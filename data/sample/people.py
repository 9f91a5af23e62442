"""People of the sample world: a jointed figure, drawn from where its hip, hands and feet are.

Coordinates of a figure: the ground between its feet is (0, 0), y grows downwards, it faces
right, and a grown-up stands 100 high; children are the same figure, smaller, with a larger head.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from data.sample.pen import PALETTE, Colour, Pen, Point, shade

SKIN = [(250, 214, 184), (240, 196, 160), (214, 162, 122), (168, 116, 82), (122, 82, 60)]
HAIR = {"dark": (62, 48, 48), "brown": (122, 80, 52), "blond": (240, 204, 116), "old": (214, 214, 218)}
TROUSERS = [(74, 92, 138), (92, 84, 80), (122, 130, 146), (88, 118, 104), (140, 102, 92), (60, 64, 84)]
HEIGHT_OF = {"man": 1.0, "woman": 0.95, "boy": 0.68, "girl": 0.66}
SHOULDER = 31  # from hip to shoulder
THIGH = SHIN = 21.5
ARM = 15.5  # upper arm, and forearm


@dataclass(frozen=True)
class Look:
    """What one person looks like, whatever the pose."""

    kind: str  # man, woman, boy, girl
    shirt: str
    pattern: str | None = None
    hair: str = "dark"
    skin: Colour = SKIN[0]
    bottom: Colour = TROUSERS[0]
    smiling: bool = False
    hat: str | None = None  # colour of the hat worn
    hat_pattern: str | None = None


@dataclass(frozen=True)
class Pose:
    """Where the joints' ends are; elbows and knees follow."""

    hip: Point = (0, -43)
    lean: float = 0  # of the back, degrees forward
    feet: tuple[Point, Point] = ((6, 0), (-4, 0))  # near, far
    hands: tuple[Point, Point] = ((8, -46), (-8, -46))  # near, far
    thigh: float = THIGH  # shorter when it points at the beholder
    far_leg: bool = True
    front: bool = False  # seen from the front: the knees do not bend sideways


POSES: dict[str, Pose] = {
    "standing": Pose(feet=((6, 0), (-6, 0)), hands=((13, -43), (-13, -43)), front=True),
    "side": Pose(lean=2, hands=((3, -41), (-5, -42))),
    "crouching": Pose(hip=(-3, -22), lean=20, feet=((9, 0), (-11, 0)), hands=((20, -34), (14, -30))),
    "walking": Pose(hip=(0, -42), lean=3, feet=((15, -1), (-15, -3)), hands=((-10, -47), (16, -50))),
    "running": Pose(hip=(0, -44), lean=14, feet=((17, -14), (-26, -18)), hands=((-6, -54), (30, -64))),
    "sitting": Pose(hip=(0, -23), feet=((8, 0), (-7, 0)), hands=((9, -27), (-8, -27)), thigh=8, front=True),
    "kicking": Pose(hip=(0, -43), lean=-9, feet=((27, -13), (-5, 0)), hands=((-24, -58), (16, -56))),
    "cycling": Pose(hip=(-9, -44), lean=24, feet=((3, -8), (-7, -19)), hands=((18, -45), (19, -46))),
    "riding": Pose(hip=(-3, -64), lean=3, feet=((5, -26), (5, -26)), hands=((19, -72), (19, -74)), far_leg=False),
    "skating": Pose(hip=(0, -44), lean=8, feet=((13, -7), (-10, -7)), hands=((25, -62), (-24, -68))),
    "driving": Pose(hip=(0, -30), lean=-4, feet=((20, -2), (20, -2)), hands=((22, -46), (22, -46))),
}


def with_hand(pose: Pose, near: Point | None = None, far: Point | None = None) -> Pose:
    """The pose with one or both hands moved to a point of the figure's coordinates."""
    return replace(pose, hands=(near or pose.hands[0], far or pose.hands[1]))


def middle_joint(a: Point, b: Point, upper: float, lower: float, bend: float) -> tuple[Point, Point]:
    """Elbow or knee between a and b, and the end that can be reached; bend: +1 or -1, the side it lies on."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    distance = max(math.hypot(dx, dy), 1e-6)
    reach = min(max(distance, abs(upper - lower) + 0.1), upper + lower - 0.1)
    dx, dy = dx / distance, dy / distance
    along = (upper**2 - lower**2 + reach**2) / (2 * reach)
    aside = math.sqrt(max(upper**2 - along**2, 0)) * bend
    joint = (a[0] + dx * along - dy * aside, a[1] + dy * along + dx * aside)
    return joint, (a[0] + dx * reach, a[1] + dy * reach)


def draw_person(
    pen: Pen,
    look: Look,
    pose: Pose,
    shirt: int | None = None,
    hat: int | None = None,
    held: Callable[[], None] | None = None,
) -> None:
    """Draw the figure. shirt, hat: owners of these parts; held: draws what the near hand holds, before that hand."""
    child = look.kind in ("boy", "girl")
    colour = PALETTE[look.shirt]
    lean = math.radians(pose.lean)
    hip = pose.hip
    neck = (hip[0] + SHOULDER * math.sin(lean), hip[1] - SHOULDER * math.cos(lean))
    radius = 15.5 if child else 12
    head = (neck[0] + (radius + 1.5) * math.sin(lean * 0.6), neck[1] - (radius + 1.5) * math.cos(lean * 0.6))
    spread = 8 if pose.front else 3

    def arm(hand: Point, x: float, tone: float) -> None:
        joint, end = middle_joint((neck[0] + x, neck[1] + 4), hand, ARM, ARM, 1)
        pen.stroke([joint, end], 5.4, shade(look.skin, tone), 4.6)
        pen.ellipse(*end, 3.1, 3.1, shade(look.skin, tone))
        with pen.part(shirt):
            pen.stroke([(neck[0] + x, neck[1] + 4), joint], 8, shade(colour, tone * 0.93), 7)

    def leg(foot: Point, side: float, tone: float) -> None:
        top = (hip[0] + side * (4.2 if pose.front else 1.5), hip[1])
        joint, end = middle_joint(top, foot, pose.thigh, SHIN, 0.25 * side if pose.front else -1)
        bare = look.kind == "boy" or (look.kind in ("girl", "woman") and look.bottom[0] > 115)
        fill = shade(look.bottom, tone)
        pen.stroke([top, joint], 10, fill, 8.6)
        pen.stroke([joint, end], 8.2, shade(look.skin, tone) if bare else fill, 6)
        toe = (end[0] + (2.5 * side if pose.front else 5), end[1] - 2)
        pen.stroke([(end[0] - 1, end[1] - 2.4), toe], 5.6, shade((86, 66, 62), tone))

    _hair_behind(pen, look, head, radius)
    arm(pose.hands[1], -spread, 0.86)
    if pose.far_leg:
        leg(pose.feet[1], -1, 0.84)
    leg(pose.feet[0], 1, 1)
    side = (math.cos(lean), math.sin(lean))

    def across(point: Point, amount: float) -> Point:
        return point[0] + side[0] * amount, point[1] + side[1] * amount

    if look.kind in ("woman", "girl") and look.bottom[0] > 115:
        knee = ((pose.feet[0][0] + pose.feet[1][0]) / 2, hip[1] + pose.thigh * 0.85)
        knee = (hip[0] + (knee[0] - hip[0]) * 0.4, knee[1])
        pen.polygon([across(hip, -7), across(hip, 7), (knee[0] + 12, knee[1]), (knee[0] - 11, knee[1])], look.bottom)
    pen.stroke([(neck[0], neck[1] + 3), head], 7, shade(look.skin, 0.92))
    with pen.part(shirt):
        top = (neck[0], neck[1] + 1)
        outline = [across(hip, -8), across(hip, 8), across(top, 10), across(top, 6), across(top, -6), across(top, -10)]
        outline[2:3] = [(across(top, 10.5)[0], across(top, 10.5)[1] + 4)]
        outline[-1:] = [(across(top, -10.5)[0], across(top, -10.5)[1] + 4)]
        outline.insert(1, (hip[0], hip[1] + 2.5))
        pen.polygon(outline, colour, look.pattern)
    _face(pen, look, head, radius, pose.front)
    if look.hat:
        with pen.part(hat):
            draw_hat(pen, look.hat, look.hat_pattern, (head[0], head[1] - radius * 0.42), radius)
    if held:
        held()
    arm(pose.hands[0], spread, 1)


def head_of(look: Look, pose: Pose) -> Point:
    """Centre of the head in the figure's coordinates."""
    lean = math.radians(pose.lean)
    radius = 15.5 if look.kind in ("boy", "girl") else 12
    x = pose.hip[0] + SHOULDER * math.sin(lean) + (radius + 1.5) * math.sin(lean * 0.6)
    return x, pose.hip[1] - SHOULDER * math.cos(lean) - (radius + 1.5) * math.cos(lean * 0.6)


def _hair_behind(pen: Pen, look: Look, head: Point, r: float) -> None:
    x, y = head
    hair = HAIR[look.hair]
    if look.kind == "woman":
        pen.curve(
            [(x - r * 1.1, y - r * 0.2), (x, y - r * 1.12), (x + r * 0.95, y), (x + r * 0.7, y + r * 1.6),
             (x - r * 0.3, y + r * 1.75), (x - r * 1.25, y + r * 1.5)],
            shade(hair, 0.88),
        )  # fmt: skip
    elif look.kind == "girl":
        for side in (-1, 1):
            pen.stroke([(x + side * r * 0.8, y), (x + side * r * 1.45, y + r * 0.95)], r * 0.55, shade(hair, 0.9), 3)
            pen.ellipse(x + side * r * 1.02, y + r * 0.1, 2.4, 2.4, (224, 92, 104))


def _face(pen: Pen, look: Look, head: Point, r: float, front: bool) -> None:
    x, y = head
    hair = HAIR[look.hair]
    pen.ellipse(x, y, r * 0.96, r, look.skin)
    turn = 0 if front else r * 0.26
    if look.kind == "man" and look.hair in ("old", "brown"):
        pen.curve(
            [(x - r * 0.8 + turn, y + r * 0.2), (x + turn, y + r * 0.42), (x + r * 0.8, y + r * 0.2),
             (x + r * 0.6, y + r * 0.92), (x + turn * 0.6, y + r * 1.22), (x - r * 0.5, y + r * 0.92)],
            shade(hair, 0.95),
        )  # fmt: skip
    for eye in (-0.34, 0.34):
        pen.ellipse(x + r * eye + turn, y + r * 0.02, r * 0.09, r * 0.13, (52, 44, 52))
        pen.ellipse(x + r * eye * 1.7 + turn * 0.8, y + r * 0.34, r * 0.17, r * 0.12, (238, 128, 118, 90))
    if look.smiling:
        mouth = [(x - r * 0.34 + turn, y + r * 0.36), (x + r * 0.34 + turn, y + r * 0.36), (x + turn, y + r * 0.78)]
        pen.curve(mouth, (255, 252, 248))
        pen.stroke([mouth[0], (x + turn, y + r * 0.45), mouth[1]], r * 0.09, (150, 62, 62))
    else:
        pen.stroke([(x - r * 0.2 + turn, y + r * 0.5), (x + r * 0.2 + turn, y + r * 0.5)], r * 0.11, (166, 86, 80))
    fringe = 0.28 if look.kind in ("woman", "girl") else 0.1
    pen.curve(
        [(x - r * 1.04, y + r * 0.1), (x - r * 0.92, y - r * 0.66), (x - r * 0.1, y - r * 1.14),
         (x + r * 0.8, y - r * 0.78), (x + r * 0.98, y - r * 0.2), (x + r * 0.5, y - r * (0.62 - fringe * 0.4)),
         (x - r * 0.2, y - r * (0.55 - fringe)), (x - r * 0.72, y - r * 0.1)],
        hair,
    )  # fmt: skip


def draw_hat(pen: Pen, colour: str, pattern: str | None, brim: Point, r: float) -> None:
    """A brimmed hat whose brim's middle is at `brim`, for a head of radius r."""
    x, y = brim
    fill = PALETTE[colour]
    pen.half_ellipse(x, y, r * 0.98, r * 1.12, fill, pattern)
    pen.rounded(x - r * 1.02, y - r * 0.34, x + r * 1.02, y - r * 0.04, 2, shade(fill, 0.7))
    pen.ellipse(x + r * 0.12, y, r * 1.55, r * 0.24, shade(fill, 0.92))
