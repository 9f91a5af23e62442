"""Casting: one thing each, with what is visible of it (colour, pattern, size, pose) drawn and annotated alike."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from data.sample import animals, objects, people
from data.sample.pen import PATTERNS, Pen
from data.sample.world import Scene, Spot

PEOPLE = ("man", "woman", "boy", "girl")
BRIGHT = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
COLOURS: dict[str, tuple[str, ...]] = {
    "dog": ("brown", "white", "black", "gray", "orange", "yellow"),
    "cat": ("orange", "white", "black", "gray", "brown"),
    "horse": ("brown", "white", "black", "gray", "orange"),
    "cow": ("brown", "white", "black", "orange"),
    "sheep": ("white", "white", "black", "brown", "gray"),
    "bird": ("blue", "red", "yellow", "black", "white", "green", "brown"),
    "duck": ("yellow", "white", "brown", "green", "gray"),
    "tree": ("green", "green", "orange", "yellow", "pink", "red"),
    "apple": ("red", "green", "yellow"),
    "banana": ("yellow", "yellow", "green"),
    "basket": ("brown", "yellow", "white", "orange"),
    "fence": ("white", "brown", "gray", "green"),
    "table": ("brown", "white", "blue", "green", "red"),
    "chair": ("brown", "white", "red", "yellow", "green", "blue"),
    "bench": ("brown", "red", "green", "blue", "white", "orange"),
    "picture": ("brown", "black", "white", "yellow", "red"),
    "boat": ("red", "blue", "white", "green", "yellow", "brown"),
    "flower": ("red", "pink", "yellow", "purple", "white", "orange", "blue"),
}
PLAIN_TOO = 0.42  # how often a thing that can have a pattern has none
BIGGER, SMALLER = 1.3, 0.76


def colour_of(rng: Random, category: str) -> str:
    return rng.choice(COLOURS.get(category, (*BRIGHT, "black", "gray", "brown")))


def pattern_of(rng: Random) -> str | None:
    return None if rng.random() < PLAIN_TOO else rng.choice(PATTERNS)


def size_of(rng: Random) -> tuple[str | None, float]:
    """('big' | 'small' | None, factor)."""
    return rng.choice([("big", BIGGER), ("small", SMALLER), (None, 1.0)])


def person(
    s: Scene,
    spot: Spot,
    pose: str | people.Pose,
    word: str | None = None,
    kind: str | None = None,
    held: Callable[[Pen], None] | None = None,
    hat: bool | None = None,
    angle: float = 0,
    order: float = 0,
    shadow: bool = True,
    **facts: object,
) -> int:
    """A person, with their shirt and perhaps a hat; spot: the ground under them, at a grown-up's scale.

    word: the pose as an attribute, by default the pose's name. held: draws what the near hand holds.
    """
    rng = s.rng
    kind = kind or rng.choice(PEOPLE)
    hair = rng.choice(("dark", "brown", "blond", "old" if kind in ("man", "woman") else "dark"))
    shirt, pattern, smiling = rng.choice(BRIGHT), pattern_of(rng), rng.random() < 0.5
    wears_hat = rng.random() < 0.22 if hat is None else hat
    hat_colour, hat_pattern = colour_of(rng, "hat"), rng.choice((None, None, *PATTERNS))
    spot = spot.at(0, scale=people.HEIGHT_OF[kind])
    if word is None:
        word = pose if isinstance(pose, str) else None
    attributes = [word, "smiling" if smiling else None, hair if hair in ("blond", "old") else None]
    figure = people.POSES[pose] if isinstance(pose, str) else pose
    facing = 0 if figure.front else -1 if spot.flip else 1
    number = s.add(kind, attributes, spot, facing=facing, **facts)
    shirt_number = s.add("shirt", [shirt, pattern], spot, part_of=number)
    s.relate(number, "wearing", shirt_number)
    hat_number = None
    if wears_hat:
        hat_number = s.add("hat", [hat_colour, hat_pattern], spot, part_of=number)
        s.relate(number, "wearing", hat_number)
    look = people.Look(
        kind, shirt, pattern, hair, rng.choice(people.SKIN), rng.choice(people.TROUSERS), smiling,
        hat_colour if wears_hat else None, hat_pattern,
    )  # fmt: skip
    if shadow:
        s.shadow(spot, 17)
    with s.draw(number, spot, order, angle) as pen:
        people.draw_person(pen, look, figure, shirt_number, hat_number, (lambda: held(pen)) if held else None)
    return number


def animal(
    s: Scene,
    kind: str,
    spot: Spot,
    pose: str,
    order: float = 0,
    sized: bool = True,
    shadow: bool = True,
    **facts: object,
) -> int:
    """A four-legged animal standing on the spot."""
    size, factor = size_of(s.rng) if sized else (None, 1.0)
    colour, spotted = colour_of(s.rng, kind), kind != "sheep" and s.rng.random() < 0.4
    spot = spot.at(0, scale=factor)
    attributes = [colour, pose, size, "spotted" if spotted else None]
    number = s.add(kind, attributes, spot, facing=-1 if spot.flip else 1, **facts)
    if shadow:
        s.shadow(spot, animals.BUILDS[kind].length * 1.15)
    with s.draw(number, spot, order) as pen:
        animals.draw_animal(pen, kind, colour, pose, spotted)
    return number


def bird(s: Scene, spot: Spot, flying: bool, **facts: object) -> int:
    colour, (size, factor) = colour_of(s.rng, "bird"), size_of(s.rng)
    spot = spot.at(0, scale=factor)
    number = s.add("bird", [colour, size, "flying" if flying else "sitting"], spot, aloft=flying, **facts)
    with s.draw(number, spot, 0.2) as pen:
        animals.draw_bird(pen, colour, flying)
    return number


def duck(s: Scene, spot: Spot) -> int:
    colour, (size, factor) = colour_of(s.rng, "duck"), size_of(s.rng)
    spot = spot.at(0, scale=factor)
    number = s.add("duck", [colour, size], spot, facing=-1 if spot.flip else 1)
    with s.draw(number, spot) as pen:
        animals.draw_duck(pen, colour)
    return number


# What small things are drawn by: (drawing, takes a pattern, half the shadow's width).
_SMALL: dict[str, tuple[Callable[..., None], bool, float]] = {
    "ball": (objects.draw_ball, True, 8),
    "bag": (objects.draw_bag, True, 11),
    "cup": (objects.draw_cup, True, 7),
    "vase": (objects.draw_vase, True, 8),
    "apple": (objects.draw_apple, False, 7),
    "banana": (objects.draw_banana, False, 11),
    "flower": (objects.draw_flower, False, 4),
    "skateboard": (objects.draw_skateboard, False, 20),
    "kite": (objects.draw_kite, True, 0),
    "bench": (objects.draw_bench, False, 48),
    "chair": (objects.draw_chair, False, 18),
    "sofa": (objects.draw_sofa, True, 64),
    "table": (objects.draw_table, False, 46),
    "boat": (objects.draw_boat, True, 0),
    "picture": (objects.draw_picture, False, 0),
    "rug": (objects.draw_rug, True, 0),
}
_ENLARGED = {"apple": 1.45, "banana": 1.35, "cup": 1.5, "ball": 1.25, "flower": 1.2, "vase": 1.3, "bag": 1.15}
_SIZED = {"ball", "apple", "bag", "boat", "picture", "vase", "flower"}


def thing(
    s: Scene, category: str, spot: Spot, order: float = 0, angle: float = 0, shadow: bool = False, **facts
) -> int:
    """Anything drawn in one piece, on the spot."""
    half = _SMALL[category][2]
    number, paint = held_thing(s, category, spot, **facts)
    if shadow:
        s.shadow(spot, half * _ENLARGED.get(category, 1))
    with s.draw(number, spot, order, angle) as pen:
        paint(pen)
    return number


def held_thing(s: Scene, category: str, spot: Spot, sized: bool = True, **facts) -> tuple[int, Callable[[Pen], None]]:
    """Register a thing; returns its number and what draws it at a pen's origin (for a hand that holds it)."""
    draw, patterned, _ = _SMALL[category]
    colour, pattern = colour_of(s.rng, category), pattern_of(s.rng) if patterned else None
    size, factor = size_of(s.rng) if sized and category in _SIZED else (None, 1.0)
    number = s.add(category, [colour, pattern, size], spot, **facts)
    factor *= _ENLARGED.get(category, 1)

    def paint(pen: Pen) -> None:
        with pen.part(number), pen.at(scale=factor):
            draw(pen, colour, pattern) if patterned else draw(pen, colour)

    return number, paint


def book(s: Scene, spot: Spot, is_open: bool, **facts) -> tuple[int, Callable[[Pen], None]]:
    colour = colour_of(s.rng, "book")
    number = s.add("book", [colour, "open" if is_open else "closed"], spot, **facts)

    def paint(pen: Pen) -> None:
        with pen.part(number), pen.at(scale=1.3):
            objects.draw_book(pen, colour, is_open)

    return number, paint


def umbrella(s: Scene, spot: Spot, is_open: bool, shaft: float = 46, **facts) -> tuple[int, Callable[[Pen], None]]:
    colour, pattern = colour_of(s.rng, "umbrella"), pattern_of(s.rng) if is_open else None
    number = s.add("umbrella", [colour, pattern, "open" if is_open else "closed"], spot, **facts)

    def paint(pen: Pen) -> None:
        with pen.part(number):
            objects.draw_umbrella(pen, colour, pattern, is_open, shaft)

    return number, paint


def bicycle(s: Scene, spot: Spot, **facts) -> int:
    colour = colour_of(s.rng, "bicycle")
    number = s.add("bicycle", [colour], spot, **facts)
    wheels = tuple(s.add("wheel", ["black"], spot, part_of=number) for _ in range(2))
    for wheel in wheels:
        s.relate(number, "has", wheel)
    s.shadow(spot, 36)
    with s.draw(number, spot) as pen:
        objects.draw_bicycle(pen, colour, wheels)
    return number


def vehicle(s: Scene, category: str, spot: Spot) -> tuple[int, Spot]:
    """A car or a truck; returns its number, and the spot at its own scale."""
    colour = colour_of(s.rng, category)
    size, factor = size_of(s.rng) if category == "car" else (None, 1.0)
    spot = spot.at(0, scale=(1.2 if category == "car" else 1) * (1 + (factor - 1) * 0.6))
    number = s.add(category, [colour, size], spot)
    wheels = tuple(s.add("wheel", [s.rng.choice(("gray", "black"))], spot, part_of=number) for _ in range(2))
    for wheel in wheels:
        s.relate(number, "has", wheel)
    s.shadow(spot, 66)
    with s.draw(number, spot) as pen:
        (objects.draw_car if category == "car" else objects.draw_truck)(pen, colour, wheels)
    return number, spot


def basket(s: Scene, spot: Spot, shadow: bool = True, **facts) -> tuple[int, Callable[[Pen, str], None]]:
    """Register a basket; returns its number and what draws its back or front half."""
    colour = colour_of(s.rng, "basket")
    number = s.add("basket", [colour], spot, **facts)
    if shadow:
        s.shadow(spot, 18)

    def paint(pen: Pen, half: str) -> None:
        with pen.part(number):
            objects.draw_basket(pen, colour, half)

    return number, paint


def lamp(s: Scene, spot: Spot, **facts) -> int:
    colour, pattern, lit = colour_of(s.rng, "lamp"), pattern_of(s.rng), s.rng.random() < 0.5
    number = s.add("lamp", [colour, pattern, "lit" if lit else None], spot, **facts)
    with s.draw(number, spot) as pen:
        objects.draw_lamp(pen, colour, pattern, lit)
    return number


def tree(s: Scene, spot: Spot) -> tuple[int, float]:
    """Returns the tree's number and the height of its crown's middle."""
    bare, tall = s.rng.random() < 0.2, s.rng.random() < 0.45
    colour = colour_of(s.rng, "tree")
    number = s.add("tree", [None if bare else colour, "bare" if bare else None, "tall" if tall else None], spot)
    s.shadow(spot, 34)
    with s.draw(number, spot) as pen:
        objects.draw_tree(pen, colour, bare, tall)
    return number, -104 if tall else -78


def house(s: Scene, spot: Spot) -> int:
    colour, roof = s.rng.choice(BRIGHT), s.rng.choice(("red", "brown", "gray", "blue", "green"))
    number = s.add("house", [colour], spot)
    lit, door_colour = s.rng.random() < 0.4, colour_of(s.rng, "door")
    window = s.add("window", ["lit" if lit else None], spot, part_of=number)
    door = s.add("door", [door_colour], spot, part_of=number)
    s.relate(number, "has", window)
    s.relate(number, "has", door)
    s.shadow(spot, 62)
    with s.draw(number, spot) as pen:
        objects.draw_house(pen, colour, roof, window, door, lit, door_colour)
    return number


def fence(s: Scene, spot: Spot, half: float) -> int:
    colour = colour_of(s.rng, "fence")
    number = s.add("fence", [colour], spot)
    s.shadow(spot, half)
    with s.draw(number, spot) as pen:
        objects.draw_fence(pen, colour, half)
    return number
