"""Which slot walks through which images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from street import crowd_walk

from engine.walk import most_steps, queues_of
from files.options import Rules


def test_each_image_goes_to_the_slot_that_is_free_first():
    """By hand: slot 0 is busy until 9 with image 7; slot 1 until 2, then 5, then 6, then 10."""
    queues = queues_of(np.array([7, 3, 4, 0, 2, 1]), np.array([9, 2, 3, 1, 4, 5]), 2)
    assert [queue.tolist() for queue in queues] == [[7, 1], [3, 4, 0, 2]]


def test_more_slots_than_images():
    queues = queues_of(np.array([5]), np.array([3]), 3)
    assert [queue.tolist() for queue in queues] == [[5], [], []]
    assert all(queue.dtype == np.int64 for queue in queues)


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 9), st.randoms())
def test_all_slots_are_busy_until_the_last_walk_begins(lengths, num_slots, random):
    images = list(range(len(lengths)))
    random.shuffle(images)
    lengths = np.array(lengths, dtype=np.int64)
    queues = queues_of(np.array(images, dtype=np.int64), lengths[images], num_slots)
    assert sorted(np.concatenate(queues).tolist()) == sorted(images), "every image once"
    place = {image: i for i, image in enumerate(images)}
    assert all(np.diff([place[image] for image in queue.tolist()]).min(initial=1) > 0 for queue in queues), "in order"
    until = np.array([lengths[queue].sum() for queue in queues])
    begun = max((lengths[queue[:-1]].sum() for queue in queues if len(queue)), default=0)
    assert until.min() >= begun


@pytest.mark.parametrize("most", [1, 2, 5, 100])
@pytest.mark.parametrize("others", [0, 1, 4])
def test_a_walk_that_looks_at_all_it_may_is_as_long_as_foreseen(others, most):
    """Objects of different categories that overlap each other."""
    rules = Rules(maximum_objects_per_subject=most)
    walk = crowd_walk(others, rules)
    (length,) = most_steps(walk.env.scenes, [0], rules)
    assert length == (others + 1) * (min(others, most) + 1), "each a subject once, with some objects, then Terminal"
    steps, done = 0, False
    while not done:
        (name, _), *_ = walk.next_objects  # Terminal comes last
        _, done = walk.step(name)
        steps += 1
    assert steps == length


def test_a_walk_ends_with_the_most_steps():
    rules = Rules(maximum_steps=7)
    walk = crowd_walk(4, rules)
    assert most_steps(walk.env.scenes, [0], rules).tolist() == [7]
