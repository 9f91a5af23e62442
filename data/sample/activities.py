"""What people do: each function draws one little group and records what it establishes.

Every group comes in several ways (riding, holding, next to, behind, in front of ...), so that the
categories of a pair do not tell its predicate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from data.sample import cast, people
from data.sample.animals import back_of
from data.sample.pen import Pen
from data.sample.people import HEIGHT_OF, POSES, with_hand
from data.sample.world import Scene, Spot

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


def in_hand(
    paint: Callable[[Pen], None], x: float, y: float, scale: float = 1, angle: float = 0
) -> Callable[[Pen], None]:
    def held(pen: Pen) -> None:
        with pen.at(x, y, scale, angle):
            paint(pen)

    return held


def _scaled(pose: people.Pose, ratio: float) -> people.Pose:
    """The pose on a vehicle that is `ratio` too large for the figure."""
    hip = (pose.hip[0] * ratio, pose.hip[1] * ratio)
    feet = tuple((x * ratio, y * ratio) for x, y in pose.feet)
    hands = tuple((x * ratio, y * ratio) for x, y in pose.hands)
    return replace(pose, hip=hip, feet=feet, hands=hands)


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
        s.relate(cast.person(s, place, pose, "standing", kind, held=in_hand(paint, 17, -46, 1 / size)), "holding", ball)
    else:
        cast.person(s, around(s, spot, how, 8), s.rng.choice(("standing", "running")), kind=kind)
        cast.thing(s, "ball", spot, shadow=True)


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
        held = in_hand(paint, 22, -56, 0.85 / size)
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
        is_open = s.rng.random() < 0.55
        number, paint = cast.umbrella(s, spot, is_open, apart=True)
        hand = (13, -58) if is_open else (12, -42)
        held = in_hand(paint, *hand, 1 if is_open else 0.9)
        pose = with_hand(s.rng.choice((POSES["side"], POSES["walking"])), hand)
        word = "walking" if pose.lean == 3 else "standing"
        predicate = "holding"
    elif what == "bag":
        predicate = s.rng.choice(("carrying", "holding"))
        number, paint = cast.held_thing(s, "bag", spot, sized=False, apart=True)
        pose, word = with_hand(POSES["walking"], (9, -44) if predicate == "holding" else (3, -58)), "walking"
        held = in_hand(paint, *((9, -45) if predicate == "holding" else (-9, -72)), 1 / size**0.5)
    elif what == "book":
        predicate = s.rng.choice(("reading", "holding"))
        number, paint = cast.book(s, spot, predicate == "reading", apart=True)
        if predicate == "reading":
            pose, held = with_hand(POSES["side"], (19, -56), (19, -58)), in_hand(paint, 21, -55, 1, -12)
        else:
            pose, held = with_hand(POSES["side"], (8, -45)), in_hand(paint, 9, -40, 1, -60)
        word = "standing"
    elif what in ("apple", "banana", "cup"):
        predicate = s.rng.choice(("drinking from" if what == "cup" else "eating", "holding"))
        number, paint = cast.held_thing(s, what, spot, sized=False, apart=True)
        x, y = people.head_of(people.Look(kind, "red"), POSES["side"])
        hand = (x + 13, y + 10) if predicate != "holding" else (20, -52)
        pose, held, word = with_hand(POSES["side"], hand), in_hand(paint, hand[0], hand[1] - 1, 0.9 / size), "standing"
    elif what == "flower":
        predicate = "holding"
        number, paint = cast.held_thing(s, "flower", spot, sized=False, apart=True)
        pose, held, word = with_hand(POSES["side"], (18, -56)), in_hand(paint, 18, -50, 1 / size), "standing"
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
        held = in_hand(paint, 8, -46, 1 / size**0.5, -78)
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


def couple(s: Scene, spot: Spot) -> None:
    how = s.rng.choice(("carrying", "holding hands", "looking at", *AROUND, *AROUND))
    if how == "carrying":  # a child on the shoulders
        kind = s.rng.choice(("man", "woman"))
        adult = cast.person(s, spot, s.rng.choice(("standing", "walking")), None, kind, hat=False)
        child_kind = s.rng.choice(("boy", "girl"))
        pose = with_hand(replace(POSES["sitting"], feet=((9, 2), (-9, 2))), (14, -32), (-14, -32))
        seat_height = 70 * HEIGHT_OF[kind] - 23 * HEIGHT_OF[child_kind]
        child = cast.person(
            s, spot.at(0, -seat_height), pose, "sitting", child_kind, order=-0.1, shadow=False, support=adult
        )
        s.relate(adult, "carrying", child)
    elif how == "holding hands":
        kinds = s.rng.choice(cast.PEOPLE), s.rng.choice(cast.PEOPLE)
        hand = 40
        pair = []
        for kind, dx, side in zip(kinds, (-17, 17), (1, -1), strict=True):
            size = HEIGHT_OF[kind]
            reach = (17 * side / size, -hand / size)
            pose = with_hand(POSES["standing"], *((reach, None) if side > 0 else (None, reach)))
            place = replace(spot.at(dx * (-1 if spot.flip else 1)), flip=False)
            pair.append(cast.person(s, place, pose, "standing", kind))
        s.relate(pair[0], "holding hands with", pair[1])
        s.relate(pair[1], "holding hands with", pair[0])
    elif how == "looking at":
        cast.person(s, spot, "side", "standing")
        cast.person(s, spot.at(30, turned=True), s.rng.choice(("side", "standing")), "standing")
    else:
        anyone(s, spot)
        anyone(s, around(s, spot, how, 13))


def alone(s: Scene, spot: Spot) -> None:
    cast.person(s, spot, s.rng.choice(("standing", "walking", "running", "crouching")))
