"""How images are divided into training, validation and test."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.division import divide
from files.io import InputError


def test_the_full_size_set_has_the_papers_split():
    assert [len(part) for part in divide(108_077, None, None, None, 0)] == [98_077, 5_000, 5_000]


def test_a_smaller_set_has_the_same_proportions():
    assert [len(part) for part in divide(10_808, None, None, None, 0)] == [9_808, 500, 500]
    assert [len(part) for part in divide(3, None, None, None, 0)] == [1, 1, 1]
    assert [len(part) for part in divide(2, None, None, None, 0)] == [2, 0, 0]


@given(st.integers(0, 300), st.integers(0, 50), st.integers(0, 50), st.integers(0, 5))
def test_parts_are_disjoint_sorted_and_repeatable(count, validation, test, seed):
    if validation + test > count:
        with pytest.raises(InputError, match="--num_train"):
            divide(count, None, validation, test, seed)
        return
    parts = divide(count, None, validation, test, seed)
    assert [len(part) for part in parts] == [count - validation - test, validation, test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert all((a == b).all() for a, b in zip(parts, divide(count, None, validation, test, seed), strict=True))


def test_a_number_of_training_images():
    assert [len(part) for part in divide(60, 40, 0, 20, 1)] == [40, 0, 20]
    with pytest.raises(InputError, match="61 training"):
        divide(60, 61, 0, 0, 0)
