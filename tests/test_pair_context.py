"""How a pair stands among the image's other instances."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from boxes import CONTEXT, pair_context

SHIRT, PERSON = 0, 1


def context(boxes, categories, subject, object_) -> np.ndarray:
    return pair_context(
        np.array([boxes], dtype=np.float32), np.array([categories]), np.array([subject]), np.array([object_])
    )[0]


def test_a_pair_alone_has_no_rival():
    numbers = context([[0, 0, 9, 9], [0, 0, 9, 9]], [PERSON, SHIRT], 0, 1)
    assert len(numbers) == CONTEXT
    best, rivals, nearer_rivals, nearer = numbers[1], numbers[2], numbers[3], numbers[4]
    assert best == -3, "no rival: as far away as it goes"
    assert rivals == nearer_rivals == nearer == 0
    assert numbers[-2] == 1, "the smaller box is covered whole and the centres are the same"
    assert numbers[-1] == 0, "no other instance"


def test_the_nearest_shirt_has_a_lead_and_another_one_has_not():
    boxes = [[0, 0, 99, 99], [20, 20, 59, 59], [400, 0, 439, 39]]
    categories = [PERSON, SHIRT, SHIRT]
    own = context(boxes, categories, 0, 1)
    others = context(boxes, categories, 0, 2)
    assert own[0] > 0 > others[0], "lead of the object over its best rival"
    assert own[2] == others[2] == np.float32(np.log1p(1)), "one rival each"
    assert own[3] == 0
    assert others[3] == np.float32(np.log1p(1)), "one rival is nearer"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_padding_changes_nothing_and_rows_are_alone(data):
    count = data.draw(st.integers(2, 5))
    corner = st.integers(0, 60)
    boxes = np.array([[data.draw(corner), data.draw(corner)] for _ in range(count)], dtype=np.float32)
    boxes = np.concatenate([boxes, boxes + data.draw(st.integers(0, 40))], axis=1)
    categories = np.array([data.draw(st.integers(0, 2)) for _ in range(count)])
    pairs = [(s, o) for s in range(count) for o in range(count) if s != o]
    padded_boxes = np.concatenate([boxes, np.zeros((2, 4), dtype=np.float32)])
    padded_categories = np.append(categories, [-1, -1])
    together = pair_context(
        np.repeat(padded_boxes[None], len(pairs), axis=0),
        np.repeat(padded_categories[None], len(pairs), axis=0),
        np.array([s for s, _ in pairs]),
        np.array([o for _, o in pairs]),
    )
    for row, (s, o) in zip(together, pairs, strict=True):
        np.testing.assert_allclose(row, context(boxes, categories, s, o), rtol=1e-6)
        assert np.expm1(row[-1]).round() == count - 2
