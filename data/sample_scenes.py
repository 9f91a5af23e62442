"""Scenes: which groups come together where, and which combinations are kept for the test split."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from data import sample_cast as cast
from data.sample_activities import (
    alone,
    ball_game,
    carrying,
    couple,
    cycling,
    dog_walking,
    horse_riding,
    kite_flying,
    skating,
)  # fmt: skip
from data.sample_backdrops import choose_horizon
from data.sample_drawing import HEIGHT
from data.sample_indoors import basket, boating, driving, living_room, seat, swimming, table, trucking
from data.sample_outdoors import farm_animal, grazing, homestead, parasol, under_tree
from data.sample_world import Scene, Spot

Group = Callable[[Scene, Spot], None]

# These (subject, predicate, object) occur only in the test split: each part of a combination is
# common in training, the combination is new.
HELD_OUT = frozenset(
    {
        ("girl", "riding", "horse"),
        ("woman", "riding", "skateboard"),
        ("boy", "riding", "bicycle"),
        ("boy", "flying", "kite"),
        ("man", "holding", "kite"),
        ("woman", "kicking", "ball"),
        ("man", "walking", "dog"),
        ("woman", "holding", "cat"),
        ("girl", "petting", "dog"),
        ("man", "reading", "book"),
        ("boy", "carrying", "basket"),
        ("man", "under", "umbrella"),
        ("woman", "sitting on", "bench"),
        ("man", "standing on", "bench"),
        ("cat", "lying on", "bench"),
        ("dog", "sitting on", "sofa"),
        ("cat", "chasing", "ball"),
        ("dog", "in", "boat"),
        ("banana", "in", "basket"),
        ("flower", "in", "basket"),
        ("horse", "under", "tree"),
        ("cow", "behind", "fence"),
        ("bird", "on", "car"),
    }
)

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
    "lake": ((boating, swimming, boating), (swimming, carrying, couple, dog_walking, seat, cycling, basket)),
    "room": ((living_room, living_room, table), (table, seat, basket, carrying, dog_walking, table)),
}
WEIGHTS = {"park": 5, "street": 5, "farm": 4, "beach": 4, "lake": 3, "room": 4}


def in_the_air(s: Scene, spot: Spot) -> None:
    """A bird that flies low over whoever is there."""
    s.finish()
    below = [t.box for t in s.things if t.part_of is None and not t.apart and not t.aloft]
    if not below:
        return
    box = s.rng.choice(below)
    x, y = (box[0] + box[2]) / 2 + s.rng.uniform(-8, 8), box[1] - 7
    cast.bird(s, Spot(x, y, spot.scale, s.rng.random() < 0.5, HEIGHT), True)


def compose(rng: Random) -> Scene:
    """A scene of a random kind: one or two groups far away, one to three near."""
    kind = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
    horizon = choose_horizon(kind, rng)
    scene = Scene(rng, kind, horizon, Random(rng.random()))
    far, near = PROGRAMME[kind]
    rows = [horizon + 30, horizon + 50] if kind != "room" else [horizon + 16, horizon + 22]
    groups = [(rng.choice(far), rng.choice(rows)) for _ in range(rng.choice((1, 2, 2)) if kind != "room" else 1)]
    near_rows = [172, 190, 208, 226]
    rng.shuffle(near_rows)
    groups += [(rng.choice(near), y) for y in near_rows[: rng.choice((2, 3, 3, 4, 4))]]
    n = len(groups)
    centre, spread = rng.uniform(130, 190), rng.uniform(120, 200)
    places = [centre + (i + 0.5 + rng.uniform(-0.3, 0.3) - n / 2) / n * spread for i in range(n)]
    rng.shuffle(places)
    for (group, y), x in zip(groups, places, strict=True):
        scale = 0.68 + 0.5 * (y - 100) / 130
        if kind == "room":
            scale *= 1.05
        group(scene, Spot(x, y, scale, rng.random() < 0.5, y))
    if kind != "room" and rng.random() < 0.2:
        in_the_air(scene, Spot(0, 0, 0.7))
    scene.finish()
    return scene
