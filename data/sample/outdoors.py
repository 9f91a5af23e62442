"""Trees, parasols, fences, herds and houses with those who are in them, under them and around them."""

from __future__ import annotations

from data.sample import cast
from data.sample.activities import AROUND, anyone, around
from data.sample.animals import back_of
from data.sample.indoors import pet
from data.sample.objects import FENCE_TOP
from data.sample.people import HEIGHT_OF, POSES, with_hand
from data.sample.world import Scene, Spot


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
            kind = s.rng.choice(("dog", "cat") if s.kind == "street" else ("dog", "sheep", "cow", "cat"))
            there = cast.animal(s, kind, place, s.rng.choice(("standing", "lying", "eating")), sized=False)
        s.relate(there, "under", number)
    elif how:
        place = spot.row(s.rng.choice((-1, 1)) * s.rng.uniform(5, 14), 14 if how == "in front of" else -13)
        if s.rng.random() < 0.5:
            anyone(s, place)
        else:
            kind = s.rng.choice(("dog", "cat") if s.kind == "street" else ("dog", "sheep", "cow", "horse"))
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
    house = cast.house(s, spot)
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
        roof = spot.at(s.rng.uniform(-30, 10), -124)
        s.relate(cast.bird(s, roof, False, support=house), "on", house)
