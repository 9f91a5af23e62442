"""Where two boxes lie, in numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxes import GEOMETRY, box_geometry

PAIR = np.dtype([("object", "i2")] + [(name, "f4", (4,)) for name in ("subject_box", "object_box", "extent")])


def geometry(subject, object_, extent=None, has_object=True) -> np.ndarray:
    pair = np.zeros(1, dtype=PAIR)
    pair["object"] = 0 if has_object else -1
    pair["subject_box"], pair["object_box"] = subject, object_
    pair["extent"] = extent or [*np.minimum(subject[:2], object_[:2]), *np.maximum(subject[2:], object_[2:])]
    return box_geometry(pair)[0]


CUP, TABLE = [40, 10, 59, 29], [0, 30, 99, 79]  # 20 x 20, and right below it 100 x 50


def test_a_cup_on_a_table_by_hand():
    numbers = geometry(CUP, TABLE, [0, 0, 99, 99])
    assert len(numbers) == GEOMETRY
    # centre (50, 20) of a longer side of 99; 20 of it in both directions; square
    single = [4 * (50 / 99 - 0.5), 4 * (20 / 99 - 0.5), np.log(20 / 99) + 1, np.log(20 / 99) + 1, 0]
    # first and last row, 10 and 29 of 100; as wide as high
    single += [4 * (0.1 - 0.5), 4 * (0.29 - 0.5), 0]
    assert numbers[:8] == pytest.approx(single, rel=1e-5)
    # the table's centre is (50, 55): 35 below, 1.75 heights of the cup, 0.7 of the table
    assert numbers[8:12] == pytest.approx([0, np.log1p(1.75), 0, np.log1p(0.7)], rel=1e-5)
    # edges apart in sizes of the cup: 40 to the left, 20 down, 40 to the right, 50 down
    edges = [-np.log1p(2), np.log1p(1), np.log1p(2), np.log1p(2.5)]
    assert numbers[12:16] == pytest.approx(edges, rel=1e-5)
    # the cup's first row is 69 above the table's last one, its last row just above the table's first one
    crossing = [-np.log1p(69 / 20), -np.log1p(1 / 50)]
    assert numbers[36:38] == pytest.approx(crossing, rel=1e-5)
    # straight down, 35 pixels and one
    assert numbers[38:40] == pytest.approx([0, 1.5 * 35 / 36], rel=1e-5)
    assert numbers[40] == pytest.approx(np.log(36 / (400 * 5000) ** 0.25) + 0.3, rel=1e-5)
    # of the cup's 20 columns all are above the table's, which are 100; of rows they share none, and none lie between
    assert numbers[41:45] == pytest.approx([2, 0, 3 * 0.2 - 1, -1], rel=1e-5)
    # the table's rows 30 and 79 of 100
    assert numbers[45:] == pytest.approx([4 * (0.3 - 0.5), 4 * (0.79 - 0.5)], rel=1e-5)


def test_without_an_object_only_the_subjects_own_numbers_are_left():
    alone, beside = geometry(CUP, TABLE, [0, 0, 89, 99], has_object=False), geometry(CUP, TABLE, [0, 0, 89, 99])
    assert (alone[:8] == beside[:8]).all()
    assert not alone[8:].any()


@pytest.mark.parametrize("scale", [3, 10])
def test_the_numbers_are_nearly_free_of_scale(scale):
    def scaled(box):
        return [box[0] * scale, box[1] * scale, (box[2] + 1) * scale - 1, (box[3] + 1) * scale - 1]

    extent = [0, 0, 899, 599]
    a, b = [100, 50, 399, 249], [300, 150, 549, 549]
    large = geometry(scaled(a), scaled(b), scaled(extent))
    np.testing.assert_allclose(geometry(a, b, extent), large, atol=0.02)


BOX = st.tuples(*[st.integers(0, 2000)] * 2, *[st.integers(1, 900)] * 2).map(
    lambda box: [box[0], box[1], box[0] + box[2] - 1, box[1] + box[3] - 1]
)


@given(BOX, BOX)
@settings(max_examples=50, deadline=None)
def test_every_pair_has_finite_and_moderate_numbers(subject, object_):
    numbers = geometry(subject, object_)
    assert numbers.dtype == np.float32
    assert np.isfinite(numbers).all()
    assert np.abs(numbers).max() < 25
