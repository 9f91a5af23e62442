"""Experience replay: what goes out first, what is drawn, what a copy holds."""

import numpy as np
import pytest
import torch

from replay_memory import ReplayMemory, transition_dtype

STATE = np.dtype([("scene", "i4"), ("predicates_right", "u1", (3,))])


def transition(*numbers):
    """One transition for each number, told apart by it."""
    rows = np.zeros(len(numbers), transition_dtype(STATE))
    rows["state"]["scene"], rows["next_state"]["scene"] = numbers, np.array(numbers) + 1000
    rows["action"] = np.array(numbers)[:, None] + np.arange(3)
    rows["reward"], rows["done"] = 0.5, np.array(numbers) % 2 == 0
    return rows


def filled(capacity, count, slots=1):
    """`count` transitions in each slot: slot b gets 100 b, 100 b + 1, ..."""
    memory = ReplayMemory(capacity, slots, STATE)
    for i in range(count):
        memory.add(np.arange(slots), transition(*(100 * b + i for b in range(slots))))
    return memory


def held(memory, draws=500):
    """Everything that can come out."""
    uniform = np.repeat(np.linspace(0, 1, draws, endpoint=False), len(memory.added))
    return sorted(set(memory.sample(uniform)["state"]["scene"].tolist()))


def test_the_oldest_goes_out_first():
    """Port fault: the memory stopped taking transitions once it was full."""
    memory = ReplayMemory(4, 1, STATE)
    for i in range(11):
        memory.add(np.array([0]), transition(i))
        assert held(memory) == list(range(max(0, i - 3), i + 1))
        assert len(memory) == min(i + 1, 4)


def test_slots_turn_over_by_themselves():
    memory = ReplayMemory(6, 2, STATE)  # three for each
    for i in range(5):
        memory.add(np.array([1]), transition(100 + i))
    memory.add(np.array([0, 1]), transition(7, 105))
    assert len(memory) == 4
    assert held(memory) == [7, 103, 104, 105]


def test_what_goes_in_comes_out():
    memory = ReplayMemory(8, 2, STATE)
    rows = transition(4, 105)
    memory.add(np.array([0, 1]), rows)
    assert memory.sample(np.array([0.3, 0.9])).tobytes() == rows.tobytes()


def test_samples_are_uniform():
    memory = filled(capacity=20, count=33, slots=2)
    drawn = memory.sample(np.random.default_rng(0).random(40_000))["state"]["scene"]
    numbers, counts = np.unique(drawn, return_counts=True)
    assert numbers.tolist() == [*range(23, 33), *range(123, 133)]
    # 2000 of each are expected, with a deviation of about 44
    assert abs(counts - 2000).max() < 220


def test_annotated_pairs_are_preferred():
    memory = ReplayMemory(4, 1, STATE, preference=6.0)
    for i in range(7):
        rows = transition(i)
        rows["state"]["predicates_right"][:, 1] = 8 if i in (1, 4) else 0
        memory.add(np.array([0]), rows)
    # 3, 4, 5, 6 are left; 4 lies first in memory, and weighs 6 of 9
    uniform = (np.arange(900) + 0.5) / 900
    copy = ReplayMemory(4, 1, STATE, preference=6.0)
    copy.load_state_dict(memory.state_dict())
    for each in (memory, copy):
        numbers, counts = np.unique(each.sample(uniform)["state"]["scene"], return_counts=True)
        assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == {3: 100, 4: 600, 5: 100, 6: 100}


def test_the_ends_of_the_unit_interval():
    memory = filled(capacity=10, count=10)
    drawn = memory.sample(np.array([0, 0.0999, 0.1, 0.5, np.nextafter(1, 0)]))["state"]["scene"]
    assert drawn.tolist() == [0, 0, 1, 5, 9]


def test_every_slot_has_its_turn():
    memory = filled(capacity=30, count=3, slots=3)
    drawn = memory.sample(np.zeros(7))["state"]["scene"]
    assert drawn.tolist() == [0, 100, 200, 0, 100, 200, 0]


def test_with_more_slots_than_numbers_they_take_turns():
    memory = filled(capacity=30, count=3, slots=6)
    drawn = [memory.sample(np.zeros(2), turn)["state"]["scene"].tolist() for turn in range(4)]
    assert drawn == [[0, 300], [100, 400], [200, 500], [0, 300]]


def test_half_of_the_slots_draw_half_of_the_sample():
    """As two processes do, each with its slots."""
    whole, uniform = filled(capacity=48, count=5, slots=12), np.random.default_rng(0).random(4)
    halves = [filled(capacity=24, count=5, slots=6) for _ in range(2)]
    halves[1].memory["state"]["scene"] += 600
    for turn in range(5):
        parts = [half.sample(uniform[2 * i : 2 * i + 2], turn)["state"]["scene"] for i, half in enumerate(halves)]
        assert np.concatenate(parts).tolist() == whole.sample(uniform, turn)["state"]["scene"].tolist()


def test_empty_slots_lend_their_turn():
    memory = ReplayMemory(30, 3, STATE)
    memory.add(np.array([1]), transition(5))
    assert memory.sample(np.array([0.2, 0.4, 0.9, 0.1]))["state"]["scene"].tolist() == [5] * 4


def test_a_sample_is_a_copy():
    memory = filled(capacity=10, count=2)
    memory.sample(np.array([0.0]))["state"]["scene"] = -1
    assert held(memory) == [0, 1]


@pytest.mark.parametrize("count", [0, 1, 3, 5, 12])
def test_a_copy_draws_and_turns_over_alike(count):
    memory, copy = filled(10, count, slots=2), filled(10, 2, slots=2)
    copy.load_state_dict({name: tensor.clone() for name, tensor in memory.state_dict().items()})
    assert len(copy) == len(memory)
    for i in range(7):
        for each in (memory, copy):
            each.add(np.array([1]), transition(900 + i))
        uniform = np.random.default_rng(i).random(20)
        assert memory.sample(uniform).tobytes() == copy.sample(uniform).tobytes()


def test_a_saved_state_does_not_move_on():
    memory = filled(4, 4)
    saved = memory.state_dict()
    before = {name: tensor.clone() for name, tensor in saved.items()}
    memory.add(np.array([0]), transition(50))
    assert all(torch.equal(saved[name], before[name]) for name in saved)
