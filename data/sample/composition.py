"""Scenes: which groups come together where, and which combinations are kept for the test split."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from data.sample import cast
from data.sample.activities import (
    alone,
    ball_game,
    carrying,
    couple,
    cycling,
    dog_walking,
    horse_riding,
    kite_flying,
    skating,
)
from data.sample.backdrops import choose_horizon
from data.sample.indoors import basket, boating, driving, living_room, seat, swimming, table, trucking
from data.sample.outdoors import farm_animal, grazing, homestead, parasol, under_tree
from data.sample.pen import HEIGHT
from data.sample.world import Scene, Spot

FULLNESS = (4, 9, 11, 12, 12, 12)  # how many things a scene should have at least
MOST_THINGS, MOST_TRIPLETS = 12, 32
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
    "lake": ((boating, swimming, boating), (carrying, couple, ball_game, dog_walking, seat, cycling, basket)),
    "room": ((living_room, living_room, table), (table, seat, basket, carrying, dog_walking, table)),
}
WEIGHTS = {"park": 5, "street": 5, "farm": 4, "beach": 4, "lake": 3, "room": 4}


def in_the_air(s: Scene) -> None:
    """A bird that flies low over whoever is there."""
    below = [t.box for t in s.things if t.part_of is None and not t.apart and not t.aloft]
    if below:
        box = s.rng.choice(below)
        x = (box[0] + box[2]) / 2 + s.rng.uniform(-8, 8)
        cast.bird(s, Spot(x, box[1] - 7, 0.7, s.rng.random() < 0.5, HEIGHT), True)


def holds_held_out(scene: Scene) -> bool:
    """Whether the scene shows a combination that is kept for the test split."""
    name = {t.number: t.category for t in scene.things}
    return any((name[s], p, name[o]) in HELD_OUT for s, p, o in scene.triplets())


def compose(rng: Random, held_out: bool = True) -> Scene:
    """A scene of a random kind: one or two groups far away, then near ones until it is full enough.

    A group that makes it too full, or (held_out False) brings a combination of HELD_OUT, is taken away again.
    """
    kind = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
    horizon = choose_horizon(kind, rng)
    scene = Scene(rng, kind, horizon, rng.randrange(1 << 30))
    far, near = PROGRAMME[kind]
    far_rows = [horizon + 16, horizon + 25] if kind == "room" else [horizon + 30, horizon + 50]
    if kind == "lake":
        far_rows.append(horizon + 66)
    near_rows = [205, 216, 227, 236] if kind == "lake" else [172, 190, 208, 226, 181, 199, 217, 235]
    rng.shuffle(near_rows)
    rng.shuffle(far_rows)
    plan = [(rng.choice(far), y) for y in far_rows[: rng.choice((1, 2)) + (kind == "lake")]] + [
        (rng.choice(near), y) for y in near_rows * 2
    ]
    centre, spread, phase = rng.uniform(130, 190), rng.uniform(130, 220), rng.random()
    wanted = rng.choice(FULLNESS)
    for i, (group, y) in enumerate(plan):
        x = centre + spread * ((phase + i * 0.618) % 1 - 0.5)  # the golden section: never twice the same place
        scale = (0.68 + 0.5 * (y - 100) / 130) * (1.05 if kind == "room" else 1)
        before = scene.mark()
        group(scene, Spot(x, y, scale, rng.random() < 0.5, y))
        scene.finish()
        if (
            scene.count() > MOST_THINGS
            or len(scene.triplets()) > MOST_TRIPLETS
            or (not held_out and holds_held_out(scene))
        ):
            scene.undo(before)
            scene.finish()
        elif scene.count() >= wanted:
            break
    if kind != "room" and rng.random() < 0.2 and scene.count() < MOST_THINGS:
        in_the_air(scene)
        scene.finish()
    return scene
