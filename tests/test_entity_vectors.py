"""Given vectors of the categories, and how similar ones are mixed in training."""

import pytest
import torch

from vrl_model import EntityVectors

HORSE, ELEPHANT, CUP, NONE = range(4)


def table(mixing: float) -> EntityVectors:
    made = EntityVectors(3, 2, mixing)
    made.vectors[:3] = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    return made


def test_vectors_are_given_as_they_are_without_mixing_and_when_testing():
    pairs = torch.tensor([[HORSE, CUP], [ELEPHANT, NONE]])
    expected = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.9, 0.1], [0.0, 0.0]]])
    assert torch.equal(table(0).train()(pairs), expected)
    assert torch.equal(table(1).eval()(pairs), expected)


def test_a_horse_is_mixed_with_an_elephant():
    torch.manual_seed(0)
    found = table(1).train()(torch.full((500, 2), HORSE)).view(-1, 2)
    x, y = found.T
    assert torch.allclose(y, 1 - x, atol=1e-6)  # between them: the two and the cup lie on a line
    assert x.min() > 0.899
    assert x.max() <= 1
    assert 0.93 < x.mean() < 0.97  # as often near the one as near the other


def test_the_share_that_is_mixed():
    torch.manual_seed(0)
    found = table(0.25).train()(torch.full((4000, 2), HORSE)).view(-1, 2)
    assert 0.22 < (found[:, 0] < 1).float().mean() < 0.28


def test_no_object_stays_none():
    assert not table(1).train()(torch.full((50, 2), NONE)).any()


def test_how_likely_each_category_is_drawn():
    """Hand-worked: the softmax of the cosines over 0.04; of the cup with the elephant, 0.1 / sqrt(0.82) = 0.1104."""
    drawn = table(1)._similar
    assert torch.allclose(drawn.sum(dim=1), torch.ones(4))
    assert drawn[CUP].tolist() == pytest.approx([0.0595, 0.9405, 0, 0], abs=1e-3)
    assert drawn[HORSE].tolist() == pytest.approx([0, 1, 0, 0], abs=1e-6)
    assert drawn[NONE].tolist() == [0, 0, 0, 1]


def test_a_single_category_is_left_alone():
    made = EntityVectors(1, 2, mixing=1.0).train()
    made.vectors[0] = 1
    assert torch.equal(made(torch.zeros((9, 2), dtype=torch.int64)), torch.ones(9, 2, 2))
