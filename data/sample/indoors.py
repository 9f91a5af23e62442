"""Furniture and vehicles with those who are on them, in them, under them and around them."""

from __future__ import annotations

from dataclasses import replace

from data.sample import cast, people
from data.sample.activities import AROUND, anyone, around, in_hand
from data.sample.objects import BENCH_SEAT, CHAIR_SEAT, GLASS, SOFA_SEAT, TABLE_TOP
from data.sample.pen import Pen
from data.sample.people import HEIGHT_OF, POSES, with_hand
from data.sample.world import Scene, Spot


def seat(s: Scene, spot: Spot, what: str | None = None) -> None:
    """A bench, chair or sofa, with people and animals on it and around it."""
    what = what or s.rng.choice(("bench", "bench", "chair"))
    height, half = {"bench": (BENCH_SEAT, 50), "chair": (CHAIR_SEAT, 17), "sofa": (SOFA_SEAT, 60)}[what]
    number = cast.thing(s, what, spot, shadow=True)
    places = [-half * 0.5, half * 0.46] if what != "chair" else [0.0]
    if what != "chair" and s.rng.random() < 0.2:
        _lie_down(s, spot, number, height)
        places = []
    for x in places:
        who = s.rng.choice(("person", "person", "animal", "animal", "thing", None))
        if who == "person":
            _sit(s, spot.at(x), number, height)
        elif who == "animal":
            pet(s, spot.at(x, -height), number, s.rng.choice(("sitting on", "lying on", "standing on")))
        elif who == "thing":
            small = s.rng.choice(("bag", "ball", "book", "hat"))
            put_small(s, small, spot.at(x * 0.9, -height), number, 0.1)
    for _ in range(s.rng.choice((0, 1, 1, 2))):
        how = s.rng.choice((*AROUND, "under"))
        if how == "under" and what != "sofa":
            under(s, spot.at(s.rng.uniform(-0.5, 0.5) * half), number, 0.62 if what == "chair" else 0.8)
        elif s.rng.random() < 0.5:
            anyone(s, around(s, spot, how if how != "under" else "behind", half))
        else:
            kind = s.rng.choice(("dog", "cat"))
            pose = s.rng.choice(("sitting", "standing", "lying"))
            cast.animal(s, kind, around(s, spot, "in front of" if how != "next to" else how, half, 20), pose)


def _sit(s: Scene, spot: Spot, number: int, height: float) -> None:
    kind = s.rng.choice(cast.PEOPLE)
    size = HEIGHT_OF[kind]
    if s.rng.random() < 0.16:
        s.relate(cast.person(s, spot.at(0, -height), "standing", None, kind, order=0.1, shadow=False, support=number),
                 "standing on", number)  # fmt: skip
        return
    lift = height - 23 * size  # a child's feet do not reach the ground
    held, extra, pose = None, None, POSES["sitting"]
    if s.rng.random() < 0.4:
        what = s.rng.choice(("book", "apple", "cup"))
        if what == "book":
            reads = s.rng.random() < 0.6
            thing, paint = cast.book(s, spot, reads, apart=True)
            extra = (thing, "reading" if reads else "holding")
            pose, held = with_hand(pose, (6, -34), (-6, -34)), in_hand(paint, 0, -31, 1)
            if not reads:
                held = in_hand(paint, 4, -28, 1, -20)
        else:
            thing, paint = cast.held_thing(s, what, spot, sized=False, apart=True)
            eats = s.rng.random() < 0.5
            extra = (thing, ("eating" if what == "apple" else "drinking from") if eats else "holding")
            x, y = people.head_of(people.Look(kind, "red"), pose)
            hand = (x + 9, y + 12) if eats else (14, -38)
            pose, held = with_hand(pose, hand), in_hand(paint, hand[0], hand[1], 0.9 / size)
    sitter = cast.person(s, spot.at(0, -lift), pose, "sitting", kind, held, order=0.1, shadow=False, support=number)
    s.relate(sitter, "sitting on", number)
    if extra:
        s.relate(sitter, extra[1], extra[0])


def _lie_down(s: Scene, spot: Spot, number: int, height: float) -> None:
    kind = s.rng.choice(cast.PEOPLE)
    place = spot.at(-48 * HEIGHT_OF[kind], -height - 9 * HEIGHT_OF[kind])
    angle = -90 if spot.flip else 90
    pose = replace(POSES["side"], feet=((4, 0), (-3, 0)))
    lying = cast.person(
        s, replace(place.at(96 * HEIGHT_OF[kind]), flip=spot.flip), pose, "lying", kind, hat=False, angle=-angle,
        order=0.1, shadow=False, support=number,
    )  # fmt: skip
    s.relate(lying, "lying on", number)


def pet(s: Scene, spot: Spot, number: int, predicate: str) -> None:
    """A dog or a cat on a piece of furniture."""
    pose = predicate.split()[0]
    turned = s.rng.random() < 0.5
    there = cast.animal(
        s, s.rng.choice(("dog", "cat", "cat")), spot.at(0, turned=turned), pose, 0.1, False, False, support=number
    )
    s.relate(there, predicate, number)


def under(s: Scene, spot: Spot, number: int, scale: float) -> None:
    """An animal, a ball or a basket under a piece of furniture."""
    what = s.rng.choice(("dog", "cat", "cat", "ball", "bag"))
    if what in ("dog", "cat"):
        pose = s.rng.choice(("lying", "sitting")) if scale > 0.7 else "lying"
        there = cast.animal(s, what, spot.at(0, -1, scale), pose, 0.05, False, False, support=number)
    else:
        there = cast.thing(s, what, spot.at(0, -1 if what == "ball" else -27 * scale, scale), 0.05, support=number)
    s.relate(there, "under", number)


def put_small(s: Scene, what: str, spot: Spot, number: int, order: float = 0.1) -> int:
    """Something small that lies or stands on `number`; its base is at the spot."""
    if what == "book":
        there, paint = cast.book(s, spot, s.rng.random() < 0.35, support=number)
    elif what == "hat":
        colour, pattern = cast.colour_of(s.rng, "hat"), cast.pattern_of(s.rng)
        there = s.add("hat", [colour, pattern], spot, support=number)

        def paint(pen: Pen) -> None:
            people.draw_hat(pen, colour, pattern, (0, -2), 11)
    elif what == "bag":
        there, raw = cast.held_thing(s, "bag", spot, sized=False, support=number)

        def paint(pen: Pen) -> None:
            with pen.at(0, -30):
                raw(pen)
    else:
        there, paint = cast.held_thing(s, what, spot, sized=False, support=number)
    with s.draw(there, spot, order) as pen:
        paint(pen)
    s.relate(there, "on", number)
    return there


def living_room(s: Scene, spot: Spot) -> None:
    seat(s, spot, "sofa")
    if s.rng.random() < 0.55:
        cast.thing(s, "picture", Spot(spot.x + s.rng.uniform(-20, 20), spot.y - 76 * spot.scale, spot.scale, False, 0),
                   aloft=True, sized=False)  # fmt: skip
    if s.rng.random() < 0.3:
        side = s.rng.choice((-1, 1))
        cast.lamp(s, spot.row(side * 74, 0, 1.5))


def table(s: Scene, spot: Spot) -> None:
    """A table: things on it, under it, people and animals around it or on it."""
    number = cast.thing(s, "table", spot, shadow=True)
    places = [-32, -11, 11, 32]
    s.rng.shuffle(places)
    for x in places[: s.rng.choice((1, 2, 3))]:
        what = s.rng.choice(("cup", "apple", "banana", "book", "vase", "lamp", "cat", "basket", "hat"))
        place = spot.at(x, -TABLE_TOP + 2)
        if what == "vase":
            vase(s, place, number)
        elif what == "lamp":
            s.relate(cast.lamp(s, replace(place, depth=spot.depth + 0.1), support=number), "on", number)
        elif what == "cat":
            pet(s, place, number, s.rng.choice(("sitting on", "lying on", "standing on")))
        elif what == "basket":
            basket(s, place, number)
        else:
            put_small(s, what, place, number)
    if s.rng.random() < 0.45:
        under(s, spot.at(s.rng.uniform(-16, 16)), number, 0.9)
    if s.rng.random() < 0.55:
        how = s.rng.choice(AROUND)
        anyone(s, around(s, spot, how, 44))
    elif s.rng.random() < 0.6:
        place = around(s, spot, s.rng.choice(AROUND), 46, 18)
        chair = cast.thing(s, "chair", place, shadow=True)
        if s.rng.random() < 0.6:
            _sit(s, place, chair, CHAIR_SEAT)


def vase(s: Scene, spot: Spot, number: int | None) -> None:
    """A vase, with a flower in it or beside it."""
    there = cast.thing(s, "vase", spot, 0.2, shadow=number is None, sized=False, support=number)
    if number:
        s.relate(there, "on", number)
    if s.rng.random() < 0.75:
        flower = cast.thing(s, "flower", spot.at(0, -20), 0.15, sized=False, apart=True)
        s.relate(flower, "in", there)


def basket(s: Scene, spot: Spot, number: int | None = None) -> None:
    """A basket on the ground or on `number`, something in it, on the ground something beside it."""
    there, halves = cast.basket(s, spot, shadow=number is None, support=number)
    if number:
        s.relate(there, "on", number)
    what = s.rng.choice(("apple", "banana", "ball", "cat", "flower", "dog", None))
    if number and what in ("cat", "dog"):
        what = "apple"
    with s.draw(there, spot, 0.1) as pen:
        halves(pen, "back")
    if what in ("cat", "dog"):
        inside = cast.animal(s, what, spot.at(0, -9, 0.85), "sitting", 0.12, False, False, apart=True)
        s.relate(inside, "in", there)
    elif what:
        y = {"flower": -12, "ball": -12, "apple": -15, "banana": -17}[what]
        for x in (-6, 7) if what in ("apple", "banana") else (0,):
            inside = cast.thing(s, what, spot.at(x, y), 0.12, sized=False, apart=True)
            s.relate(inside, "in", there)
    with s.draw(there, spot, 0.14) as pen:
        halves(pen, "front")
    if number is None:
        beside = s.rng.choice(("apple", "banana", "ball", "cat", "dog", "person", None))
        place = around(s, spot, s.rng.choice(("next to", "next to", "in front of")), 18, 12)
        if beside in ("cat", "dog"):
            cast.animal(s, beside, place, s.rng.choice(("sitting", "lying", "standing")))
        elif beside == "person":
            anyone(s, around(s, spot, s.rng.choice(AROUND), 18))
        elif beside:
            cast.thing(s, beside, place, shadow=True, sized=False)


def driving(s: Scene, spot: Spot) -> None:
    """A car, somebody at its wheel, on it or around it."""
    car, place = cast.vehicle(s, "car", spot)
    how = s.rng.choice(("driving", "driving", "in", *AROUND, *AROUND))
    if how == "driving":
        with_driver = cast.person(
            s, place.at(8, -1, 0.62), "driving", "sitting", s.rng.choice(("man", "woman")), hat=False,
            order=-0.1, shadow=False, apart=True, through_glass=True,
        )  # fmt: skip
        _open_windows(s, car)
        s.relate(with_driver, "driving", car)
    elif how == "in":
        inside = cast.animal(
            s, "dog", place.at(8, -20, 0.8), "sitting", -0.1, False, False, apart=True, through_glass=True
        )
        _open_windows(s, car)
        s.relate(inside, "in", car)
    else:
        anyone(s, around(s, spot, how, 62 * place.scale / spot.scale))
    if s.rng.random() < 0.4:
        roof = place.at(-4, -57)
        if s.rng.random() < 0.5:
            s.relate(cast.bird(s, replace(roof, depth=spot.depth), False, support=car), "on", car)
        else:
            pet(s, roof, car, s.rng.choice(("sitting on", "lying on", "standing on")))


def _open_windows(s: Scene, car: int) -> None:
    """Take the glass off the car, so that who is inside shows; the driver is painted before the car's body."""
    for _, pen in s.layers:
        if any(shape.owner == car for shape in pen.shapes):
            pen.shapes = [replace(x, fill=(*GLASS, 70)) if x.fill == GLASS else x for x in pen.shapes]


def trucking(s: Scene, spot: Spot) -> None:
    truck, spot = cast.vehicle(s, "truck", spot)
    for x in (-48, -12):
        what = s.rng.choice(("cow", "sheep", "dog", "person", None, None))
        bed = spot.at(x, -34)
        if what == "person":
            there = cast.person(s, bed, "standing", order=-0.1, shadow=False, support=truck)
            s.relate(there, "standing on", truck)
        elif what:
            there = cast.animal(s, what, bed.at(0, 0, 0.8), "standing", -0.1, False, False, support=truck)
            s.relate(there, "standing on", truck)
    if s.rng.random() < 0.6:
        anyone(s, around(s, spot, s.rng.choice(AROUND), 74))


def boating(s: Scene, spot: Spot) -> None:
    boat = cast.thing(s, "boat", spot, 0.2, sized=False)
    for x in (-24, 16):
        who = s.rng.choice(("person", "person", "dog", "cat", None))
        if who == "person":
            kind = s.rng.choice(cast.PEOPLE)
            stands = s.rng.random() < 0.3
            place = spot.at(x, -6 if stands else -4 + 8 * HEIGHT_OF[kind])
            there = cast.person(
                s, place, "standing" if stands else "sitting", None, kind, order=0.1, shadow=False, support=boat
            )
            s.relate(there, "standing in" if stands else "in", boat)
        elif who:
            there = cast.animal(
                s, who, spot.at(x, -13), s.rng.choice(("sitting", "standing")), 0.1, False, False, support=boat
            )
            s.relate(there, "in", boat)
    if s.rng.random() < 0.3:
        s.relate(cast.bird(s, spot.at(60, -24, nearer=0.3), False, support=boat), "on", boat)


def swimming(s: Scene, spot: Spot) -> None:
    for _ in range(s.rng.choice((1, 2, 3))):
        cast.duck(s, spot.row(s.rng.uniform(-34, 34), s.rng.choice((-12, 0, 0, 12)), turned=s.rng.random() < 0.5))
