"""What happens in a scene: each function draws one little group and records what it establishes.

Every group comes in several ways (riding, holding, next to, behind, in front of ...), so that the
categories of a pair do not tell its predicate. `compose` puts groups together to a scene.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from data import sample_cast as cast
from data import sample_people as people
from data.sample_animals import back_of
from data.sample_backdrops import paint_backdrop
from data.sample_drawing import HEIGHT, WIDTH, Pen
from data.sample_objects import BENCH_SEAT, CHAIR_SEAT, FENCE_TOP, SOFA_SEAT, TABLE_TOP
from data.sample_people import HEIGHT_OF, POSES, with_hand
from data.sample_world import Scene, Spot

Group = Callable[[Scene, Spot], None]
AROUND = ("next to", "behind", "in front of")


def around(s: Scene, spot: Spot, how: str, half: float, own: float = 15) -> Spot:
    """A spot next to, behind or in front of something `half` wide, for who is `own` wide (half widths)."""
    side = s.rng.choice((-1, 1))
    if how == "next to":
        return spot.row(side * (half + own * 0.75), s.rng.uniform(-2, 2), turned=side > 0)
    rows = s.rng.uniform(12, 16) * (1 if how == "in front of" else -1)
    return spot.row(side * half * s.rng.uniform(0.1, 0.7), rows, turned=s.rng.random() < 0.5)


def anyone(s: Scene, spot: Spot) -> int:
    """Somebody who stands or walks there."""
    return cast.person(s, spot, s.rng.choice(("standing", "walking", "standing")))


def cycling(s: Scene, spot: Spot) -> None:
    how = s.rng.choice(("riding", "riding", "holding", *AROUND))
    kind = s.rng.choice(cast.PEOPLE)
    size = HEIGHT_OF[kind]
    bicycle = cast.bicycle(s, spot.at(0, scale=max(size, 0.75)))
    if how == "riding":
        ratio = max(size, 0.75) / size
        pose = _scaled(POSES["cycling"], ratio)
        rider = cast.person(s, spot, pose, "sitting", kind, order=0.1, shadow=False, support=bicycle)
        s.relate(rider, "riding", bicycle)
    elif how == "holding":
        place = spot.at(-12 * size, nearer=0)
        grip = ((14 * max(size, 0.75) + 12 * size) / size, -44 * max(size, 0.75) / size)
        pose = with_hand(s.rng.choice((POSES["walking"], POSES["side"])), grip, grip)
        word = "walking" if pose.lean == 3 else "standing"
        holder = cast.person(s, place, pose, word, kind, order=-0.1, support=bicycle)
        s.relate(holder, "holding", bicycle)
    else:
        cast.person(s, around(s, spot, how, 38 * max(size, 0.75)), "standing", kind=kind)


def _scaled(pose: people.Pose, ratio: float) -> people.Pose:
    """The pose on a vehicle that is `ratio` too large for the figure."""
    hip = (pose.hip[0] * ratio, pose.hip[1] * ratio)
    feet = tuple((x * ratio, y * ratio) for x, y in pose.feet)
    hands = tuple((x * ratio, y * ratio) for x, y in pose.hands)
    return replace(pose, hip=hip, feet=feet, hands=hands)


def horse_riding(s: Scene, spot: Spot) -> None:
    how = s.rng.choice(("riding", "riding", "petting", *AROUND))
    horse = cast.animal(s, "horse", spot, s.rng.choice(("standing", "walking", "running")), sized=False)
    kind = s.rng.choice(cast.PEOPLE)
    size = HEIGHT_OF[kind]
    if how == "riding":
        pose = POSES["riding"]
        seat = spot.at(0, (back_of("horse") + 3) * -1 + 64 * size)
        rider = cast.person(s, seat, pose, "sitting", kind, order=0.1, shadow=False, support=horse)
        s.relate(rider, "riding", horse)
    elif how == "petting":
        place = spot.at(58, turned=True)
        pose = with_hand(POSES["side"], (17 / size, -72), (3, -41))
        s.relate(cast.person(s, place, pose, "standing", kind, order=0.1, apart=False), "petting", horse)
    else:
        cast.person(s, around(s, spot, how, 46), "standing", kind=kind)


def dog_walking(s: Scene, spot: Spot) -> None:
    how = s.rng.choice(("walking", "petting", "holding", *AROUND))
    if how == "walking":
        walker = cast.person(s, spot, with_hand(POSES["walking"], (20, -50)), "walking", hat=None)
        size = HEIGHT_OF[s.things[walker - 1].category]
        place = spot.at(44)
        dog = cast.animal(s, "dog", place, "walking")
        s.relate(walker, "walking", dog)
        with s.draw(0, spot, 0.3) as pen, pen.part(0):
            pen.stroke([(20 * size, -50 * size), (34, -34 * size), (54, -24)], 1.1, (120, 70, 60))
    elif how == "petting":
        pet_animal(s, spot, s.rng.choice(("dog", "cat", "sheep", "dog")))
    elif how == "holding":
        hold_animal(s, spot)
    else:
        kind = s.rng.choice(("dog", "dog", "cat"))
        cast.animal(s, kind, spot, s.rng.choice(("sitting", "standing", "lying", "running")))
        anyone(s, around(s, spot, how, 22))


def pet_animal(s: Scene, spot: Spot, kind: str) -> None:
    pet = cast.animal(s, kind, spot.at(38, turned=True), s.rng.choice(("standing", "lying")), sized=False)
    tall = back_of(kind) if s.things[pet - 1].attributes[1] == "standing" else back_of(kind) * 0.55
    kind_of_person = s.rng.choice(cast.PEOPLE)
    size = HEIGHT_OF[kind_of_person]
    hand = (26 / size, -(tall + 2) / size)
    pose = with_hand(POSES["crouching"], hand, None)
    s.relate(cast.person(s, spot, pose, "crouching", kind_of_person, order=0.1), "petting", pet)


def hold_animal(s: Scene, spot: Spot) -> None:
    kind = s.rng.choice(("dog", "cat", "cat"))
    holder_kind = s.rng.choice(cast.PEOPLE)
    size = HEIGHT_OF[holder_kind]
    pose = with_hand(POSES["side"], (14, -48), (14, -50))
    holder = cast.person(s, spot, pose, "standing", holder_kind)
    place = spot.at(9 * size, -49 * size, scale=0.8)
    pet = cast.animal(s, kind, place, "lying", order=0.05, sized=False, shadow=False, apart=True)
    s.relate(holder, "holding", pet)
    with s.draw(holder, spot.at(0, scale=size), 0.1) as pen:  # the arm around it
        pen.stroke([(-2, -58), (4, -47), (15, -46)], 5, people.SKIN[1], 4.4)


def ball_game(s: Scene, spot: Spot) -> None:
    how = s.rng.choice(("kicking", "kicking", "holding", "throwing", "chasing", *AROUND))
    if how == "chasing":
        chaser = cast.animal(s, s.rng.choice(("dog", "cat")), spot, "running")
        ball = cast.thing(s, "ball", spot.at(38), shadow=True)
        s.relate(chaser, "chasing", ball)
        return
    kind = s.rng.choice(cast.PEOPLE)
    size = HEIGHT_OF[kind]
    if how == "kicking":
        kicker = cast.person(s, spot, "kicking", "kicking", kind)
        ball = cast.thing(s, "ball", spot.at(36 * size, -6), 0.1)
        s.relate(kicker, "kicking", ball)
    elif how == "throwing":
        thrower = cast.person(s, spot, with_hand(POSES["kicking"], (22, -92)), "standing", kind)
        ball = cast.thing(s, "ball", spot.at(25 * size, -92 * size), 0.1, apart=True)
        s.relate(thrower, "throwing", ball)
    elif how == "holding":
        place = spot.at(0)
        ball, paint = cast.held_thing(s, "ball", place, apart=True)
        pose = with_hand(POSES["side"], (17, -50), (16, -48))
        s.relate(
            cast.person(s, place, pose, "standing", kind, held=_in_hand(paint, 17, -46, 1 / size)), "holding", ball
        )
    else:
        cast.person(s, around(s, spot, how, 8), s.rng.choice(("standing", "running")), kind=kind)
        cast.thing(s, "ball", spot, shadow=True)


def _in_hand(
    paint: Callable[[Pen], None], x: float, y: float, scale: float = 1, angle: float = 0
) -> Callable[[Pen], None]:
    def held(pen: Pen) -> None:
        with pen.at(x, y, scale, angle):
            paint(pen)

    return held


def kite_flying(s: Scene, spot: Spot) -> None:
    kind = s.rng.choice(("boy", "girl", "boy", "girl", "man", "woman"))
    size = HEIGHT_OF[kind]
    kite, paint = cast.held_thing(s, "kite", spot, apart=True)
    if s.rng.random() < 0.6:
        pose = with_hand(POSES["running"] if s.rng.random() < 0.5 else POSES["side"], (18, -86))
        flyer = cast.person(s, spot, pose, "running" if pose.lean > 5 else "standing", kind)
        up = min(spot.y - 34, s.rng.uniform(96, 140) * spot.scale) / spot.scale
        with s.draw(kite, spot, 0.2) as pen:
            pen.stroke([(18 * size, -86 * size), (46, -up + 16)], 0.9, (246, 244, 240))
            with pen.at(50, -up, 1, 24):
                paint(pen)
        s.relate(flyer, "flying", kite)
    else:
        pose = with_hand(POSES["side"], (20, -56), (18, -56))
        held = _in_hand(paint, 22, -56, 0.85 / size)
        s.relate(cast.person(s, spot, pose, "standing", kind, held=held), "holding", kite)


def carrying(s: Scene, spot: Spot) -> None:
    """Somebody with an umbrella, a bag, a book, a skateboard, a flower, fruit, a cup or a basket."""
    what = s.rng.choice(
        (
            "umbrella",
            "umbrella",
            "bag",
            "bag",
            "book",
            "skateboard",
            "flower",
            "apple",
            "banana",
            "cup",
            "basket",
            "hat",
        )
    )
    kind = s.rng.choice(cast.PEOPLE)
    size = HEIGHT_OF[kind]
    if what == "skateboard":
        skating(s, spot)
        return
    if what == "umbrella":
        is_open = s.rng.random() < 0.65
        number, paint = cast.umbrella(s, spot, is_open, apart=True)
        hand = (13, -58) if is_open else (12, -42)
        held = _in_hand(paint, *hand, 1 if is_open else 0.9)
        pose = with_hand(s.rng.choice((POSES["side"], POSES["walking"])), hand)
        word = "walking" if pose.lean == 3 else "standing"
        predicate = "holding"
    elif what == "bag":
        predicate = s.rng.choice(("carrying", "holding"))
        number, paint = cast.held_thing(s, "bag", spot, sized=False, apart=True)
        pose, word = with_hand(POSES["walking"], (9, -44) if predicate == "holding" else (3, -58)), "walking"
        held = _in_hand(paint, *((9, -45) if predicate == "holding" else (-9, -72)), 1 / size**0.5)
    elif what == "book":
        predicate = s.rng.choice(("reading", "holding"))
        number, paint = cast.book(s, spot, predicate == "reading", apart=True)
        if predicate == "reading":
            pose, held = with_hand(POSES["side"], (19, -56), (19, -58)), _in_hand(paint, 21, -55, 1, -12)
        else:
            pose, held = with_hand(POSES["side"], (8, -45)), _in_hand(paint, 9, -40, 1, -60)
        word = "standing"
    elif what in ("apple", "banana", "cup"):
        predicate = s.rng.choice(("drinking from" if what == "cup" else "eating", "holding"))
        number, paint = cast.held_thing(s, what, spot, sized=False, apart=True)
        x, y = people.head_of(people.Look(kind, "red"), POSES["side"])
        hand = (x + 13, y + 10) if predicate != "holding" else (20, -52)
        pose, held, word = with_hand(POSES["side"], hand), _in_hand(paint, hand[0], hand[1] - 1, 0.9 / size), "standing"
    elif what == "flower":
        predicate = "holding"
        number, paint = cast.held_thing(s, "flower", spot, sized=False, apart=True)
        pose, held, word = with_hand(POSES["side"], (18, -56)), _in_hand(paint, 18, -50, 1 / size), "standing"
    elif what == "hat":
        predicate = "holding"
        colour, pattern = cast.colour_of(s.rng, "hat"), cast.pattern_of(s.rng)
        number = s.add("hat", [colour, pattern], spot, apart=True)

        def held(pen: Pen) -> None:
            with pen.part(number), pen.at(18, -44):
                people.draw_hat(pen, colour, pattern, (0, 0), 12)

        pose, word = with_hand(POSES["side"], (15, -46)), "standing"
    else:
        predicate = "carrying"
        number, halves = cast.basket(s, spot, shadow=False, apart=True)

        def held(pen: Pen) -> None:
            with pen.at(12, -17, 0.85):
                halves(pen, "back")
                halves(pen, "front")

        pose, word = with_hand(POSES["walking"], (12, -47)), "walking"
    hat = False if what == "hat" else None
    s.relate(cast.person(s, spot, pose, word, kind, held, hat), predicate, number)


def skating(s: Scene, spot: Spot) -> None:
    how = s.rng.choice(("riding", "riding", "holding", "pet", *AROUND))
    kind = s.rng.choice(cast.PEOPLE)
    size = HEIGHT_OF[kind]
    if how == "holding":
        board, paint = cast.held_thing(s, "skateboard", spot, apart=True)
        pose = with_hand(POSES["side"], (6, -44))
        held = _in_hand(paint, 8, -46, 1 / size**0.5, -78)
        s.relate(cast.person(s, spot, pose, "standing", kind, held=held), "holding", board)
        return
    board = cast.thing(s, "skateboard", spot, shadow=True)
    if how == "riding":
        rider = cast.person(s, spot, "skating", "standing", kind, order=0.1, shadow=False, support=board)
        s.relate(rider, "riding", board)
    elif how == "pet":
        pose = s.rng.choice(("sitting", "standing"))
        pet = cast.animal(s, s.rng.choice(("dog", "cat")), spot.at(0, -8), pose, 0.1, False, False, support=board)
        s.relate(pet, "riding", board)
    else:
        cast.person(s, around(s, spot, how, 18), "standing", kind=kind)


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
            pose, held = with_hand(pose, (6, -34), (-6, -34)), _in_hand(paint, 0, -31, 1)
            if not reads:
                held = _in_hand(paint, 4, -28, 1, -20)
        else:
            thing, paint = cast.held_thing(s, what, spot, sized=False, apart=True)
            eats = s.rng.random() < 0.5
            extra = (thing, ("eating" if what == "apple" else "drinking from") if eats else "holding")
            x, y = people.head_of(people.Look(kind, "red"), pose)
            hand = (x + 9, y + 12) if eats else (14, -38)
            pose, held = with_hand(pose, hand), _in_hand(paint, hand[0], hand[1], 0.9 / size)
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
    car = cast.vehicle(s, "car", spot)
    size = s.layers[-1][1]
    scale = abs(size.shapes[-1].unit) / 1
    place = replace(spot, scale=scale)
    how = s.rng.choice(("driving", "driving", "in", *AROUND, *AROUND))
    if how == "driving":
        with_driver = cast.person(
            s, place.at(4, -9, 0.82), "driving", "sitting", s.rng.choice(("man", "woman")), hat=False,
            order=-0.1, shadow=False, apart=True,
        )  # fmt: skip
        _open_windows(s, car)
        s.relate(with_driver, "driving", car)
    elif how == "in":
        inside = cast.animal(s, "dog", place.at(8, -22, 0.95), "sitting", -0.1, False, False, apart=True)
        _open_windows(s, car)
        s.relate(inside, "in", car)
    else:
        anyone(s, around(s, place, how, 62))
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
            pen.shapes = [
                replace(shape, fill=(*shape.fill, 70)) if shape.fill == (184, 216, 230) else shape
                for shape in pen.shapes
            ]


def trucking(s: Scene, spot: Spot) -> None:
    truck = cast.vehicle(s, "truck", spot)
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


def under_tree(s: Scene, spot: Spot) -> None:
    """A tree: fruit and birds in it, people and animals under, behind or next to it."""
    number, crown = cast.tree(s, spot)
    for _ in range(s.rng.choice((0, 1, 1, 2))):
        what = s.rng.choice(("apple", "bird", "cat", "bird"))
        place = spot.at(s.rng.uniform(-22, 22), crown + s.rng.uniform(-22, 8), nearer=0.1)
        if what == "bird":
            there = cast.bird(s, place, False, apart=True)
        elif what == "apple":
            there = cast.thing(s, "apple", place, 0.1, sized=False, apart=True)
        else:
            there = cast.animal(
                s, "cat", place.at(0, 4, 0.85), s.rng.choice(("sitting", "lying")), 0.1, False, False, apart=True
            )
        s.relate(there, "in", number)
    how = s.rng.choice(("under", "under", "behind", "in front of", None))
    if how == "under":
        place = spot.row(s.rng.choice((-1, 1)) * s.rng.uniform(14, 24), 1)
        if s.rng.random() < 0.6:
            there = cast.person(s, place, s.rng.choice(("standing", "crouching", "walking")))
        else:
            kind = s.rng.choice(("dog", "sheep", "cow", "cat"))
            there = cast.animal(s, kind, place, s.rng.choice(("standing", "lying", "eating")), sized=False)
        s.relate(there, "under", number)
    elif how:
        place = spot.row(s.rng.choice((-1, 1)) * s.rng.uniform(5, 14), 14 if how == "in front of" else -13)
        if s.rng.random() < 0.5:
            anyone(s, place)
        else:
            kind = s.rng.choice(("dog", "sheep", "cow", "horse"))
            cast.animal(s, kind, place, s.rng.choice(("standing", "eating")), sized=False)


def parasol(s: Scene, spot: Spot) -> None:
    """A large umbrella that stands in the sand, somebody under it or beside it."""
    number, paint = cast.umbrella(s, spot, True, shaft=66)
    s.shadow(spot, 44)
    with s.draw(number, spot) as pen, pen.at(scale=1.6):
        paint(pen)
    how = s.rng.choice(("under", "under", *AROUND))
    if how == "under":
        place = spot.row(s.rng.choice((-1, 1)) * s.rng.uniform(16, 28), 1)
        if s.rng.random() < 0.65:
            there = cast.person(s, place, s.rng.choice(("standing", "crouching")))
        else:
            there = cast.animal(s, "dog", place, s.rng.choice(("lying", "sitting")))
        s.relate(there, "under", number)
    else:
        anyone(s, around(s, spot, how, 40 if how == "next to" else 14))


def grazing(s: Scene, spot: Spot) -> None:
    """A fence, animals behind and before it and on it, one that jumps over it; without one, a small herd."""
    kind = s.rng.choice(("cow", "sheep", "horse", "sheep"))
    half = s.rng.uniform(46, 72)
    number = cast.fence(s, spot, half)
    for _ in range(s.rng.choice((1, 2, 2))):
        kind = s.rng.choice((kind, kind, "cow", "sheep", "horse", "dog"))
        how = s.rng.choice(("behind", "behind", "in front of", "next to", "jumping over"))
        if how == "jumping over" and kind in ("horse", "sheep", "dog"):
            there = cast.animal(
                s, kind, spot.at(s.rng.uniform(-20, 20), -30), "running", 0.1, False, False, support=number
            )
            s.relate(there, "jumping over", number)
        else:
            how = "behind" if how == "jumping over" else how
            place = around(s, spot, how, half, 30)
            cast.animal(s, kind, place, s.rng.choice(("standing", "eating", "walking", "lying")))
    if s.rng.random() < 0.5:
        place = spot.at(s.rng.uniform(-0.8, 0.8) * half, -FENCE_TOP)
        if s.rng.random() < 0.6:
            s.relate(cast.bird(s, place, False, support=number), "on", number)
        else:
            pet(s, place, number, "sitting on")
    if s.rng.random() < 0.35:
        anyone(s, around(s, spot, s.rng.choice(AROUND), half))


def farm_animal(s: Scene, spot: Spot) -> None:
    """A grazing animal, a bird on it or somebody by it."""
    kind = s.rng.choice(("cow", "sheep", "horse"))
    pose = s.rng.choice(("standing", "eating", "walking"))
    number = cast.animal(s, kind, spot, pose, sized=False)
    if s.rng.random() < 0.4:
        s.relate(cast.bird(s, spot.at(-6, -back_of(kind)), False, support=number), "on", number)
    how = s.rng.choice((*AROUND, "petting", None))
    if how == "petting":
        kind_of_person = s.rng.choice(cast.PEOPLE)
        size = HEIGHT_OF[kind_of_person]
        pose = with_hand(POSES["side"], (16 / size, -min(back_of(kind) * 0.95 / size, 84)))
        place = spot.at(-{"cow": 42, "sheep": 32, "horse": 40}[kind])
        s.relate(cast.person(s, place, pose, "standing", kind_of_person, order=0.1), "petting", number)
    elif how:
        anyone(s, around(s, spot, how, 36))


def homestead(s: Scene, spot: Spot) -> None:
    """A house, somebody or something before it."""
    cast.house(s, spot)
    what = s.rng.choice(("person", "flower", "dog", "bird", None))
    place = spot.row(s.rng.choice((-1, 1)) * s.rng.uniform(10, 40), 13)
    if what == "person":
        anyone(s, place)
    elif what == "flower":
        for dx in (0, 16):
            cast.thing(s, "flower", place.at(dx, 0, 1.3), shadow=True)
    elif what == "dog":
        cast.animal(s, "dog", place, s.rng.choice(("sitting", "standing", "lying")))
    elif what == "bird":
        s.relate(cast.bird(s, spot.at(s.rng.uniform(-30, 10), -124), False, support=1 + _index(s, "house")), "on",
                 1 + _index(s, "house"))  # fmt: skip


def _index(s: Scene, category: str) -> int:
    """Index of the last thing of the category."""
    return max(i for i, t in enumerate(s.things) if t.category == category)


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


def in_the_air(s: Scene, spot: Spot) -> None:
    """A bird that flies low over whoever is there."""
    tops = [(t, box) for t, box in _present_boxes(s) if t.part_of is None and not t.apart and not t.aloft]
    if not tops:
        return
    _, box = s.rng.choice(tops)
    x, y = (box[0] + box[2]) / 2 + s.rng.uniform(-8, 8), box[1] - 4
    cast.bird(s, Spot(x, y, spot.scale, s.rng.random() < 0.5, HEIGHT), True)


def _present_boxes(s: Scene) -> list:
    s.finish()
    return [(t, t.box) for t in s.things]


def living_room(s: Scene, spot: Spot) -> None:
    seat(s, spot, "sofa")
    if s.rng.random() < 0.55:
        cast.thing(s, "picture", Spot(spot.x + s.rng.uniform(-20, 20), spot.y - 76 * spot.scale, spot.scale, False, 0),
                   aloft=True, sized=False)  # fmt: skip
    if s.rng.random() < 0.3:
        side = s.rng.choice((-1, 1))
        cast.lamp(s, spot.row(side * 74, 0, 1.5))


def alone(s: Scene, spot: Spot) -> None:
    cast.person(s, spot, s.rng.choice(("standing", "walking", "running", "crouching")))


def couple(s: Scene, spot: Spot) -> None:
    anyone(s, spot)
    anyone(s, around(s, spot, s.rng.choice(AROUND), 13))


# Scene kind -> (groups for the far rows, groups for the near rows).
PROGRAMME: dict[str, tuple[tuple[Group, ...], tuple[Group, ...]]] = {
    "park": (
        (under_tree, under_tree, seat, homestead),
        (cycling, horse_riding, dog_walking, ball_game, kite_flying, carrying, skating, seat, basket, couple),
    ),
    "street": (
        (driving, under_tree, driving, cycling),
        (cycling, dog_walking, carrying, skating, driving, seat, couple, alone, cycling),
    ),
    "farm": (
        (grazing, under_tree, homestead, trucking),
        (farm_animal, horse_riding, grazing, carrying, basket, farm_animal, dog_walking, trucking),
    ),
    "beach": (
        (parasol, alone, ball_game),
        (parasol, ball_game, kite_flying, carrying, dog_walking, horse_riding, seat, basket, couple),
    ),
    "lake": ((boating, swimming), (boating, swimming, boating)),
    "room": ((living_room, living_room, table), (table, seat, basket, carrying, dog_walking, table)),
}
WEIGHTS = {"park": 5, "street": 4, "farm": 4, "beach": 3, "lake": 2, "room": 5}


def compose(rng: Random) -> Scene:
    """A scene of a random kind: one or two groups far away, one to three near."""
    kind = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
    base, backdrop, horizon = paint_backdrop(kind, rng)
    scene = Scene(rng, kind, base, backdrop)
    far, near = PROGRAMME[kind]
    rows = [horizon + 30, horizon + 50] if kind != "room" else [horizon + 16, horizon + 22]
    groups = [(rng.choice(far), rng.choice(rows)) for _ in range(rng.choice((1, 2, 2)) if kind != "room" else 1)]
    near_rows = [176, 194, 212, 228]
    rng.shuffle(near_rows)
    groups += [(rng.choice(near), y) for y in near_rows[: rng.choice((1, 2, 2, 3))]]
    places = [(i + 0.5 + rng.uniform(-0.28, 0.28)) / len(groups) * WIDTH for i in range(len(groups))]
    rng.shuffle(places)
    for (group, y), x in zip(groups, places, strict=True):
        scale = 0.52 + 0.4 * (y - 100) / 130
        if kind == "room":
            scale *= 1.12
        group(scene, Spot(x, y, scale, rng.random() < 0.5, y))
    if kind != "room" and rng.random() < 0.4:
        in_the_air(scene, Spot(0, 0, 0.7))
    scene.finish()
    return scene
