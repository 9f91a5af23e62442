"""Linear layers in blocks give what torch's own give: values, gradients, sums of gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import linear
from linear import Linear


@pytest.fixture(autouse=True)
def every_layer_is_large(monkeypatch):
    monkeypatch.setattr(linear, "LARGE", 1)


def pair(inputs: int, outputs: int) -> tuple[Linear, nn.Linear]:
    """A layer and torch's own with the same weights."""
    torch.manual_seed(inputs + outputs)
    mine, own = Linear(inputs, outputs), nn.Linear(inputs, outputs)
    own.load_state_dict(mine.state_dict())
    return mine, own


def learn(layer: nn.Module, *batches: torch.Tensor) -> list[torch.Tensor]:
    """One `backward` over all batches, as Learner.update goes about it. Returns the gradients, copied."""
    loss = sum((layer(x) ** 2).sum() for x in batches)
    layer.zero_grad(set_to_none=True)
    loss.backward()
    return [p.grad.clone() for p in layer.parameters()]


def assert_same(mine: list[torch.Tensor], own: list[torch.Tensor]) -> None:
    for a, b in zip(mine, own, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [0, 1, 64])
@pytest.mark.parametrize("outputs", [1, 127, 128, 129, 300])
def test_values_and_gradients(n, outputs):
    mine, own = pair(33, outputs)
    x = torch.randn(n, 33, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    assert_same([mine(x)], [own(y)])
    assert_same(learn(mine, x), learn(own, y))
    assert_same([x.grad], [y.grad])


def test_gradients_by_differences():
    mine = Linear(5, 130).double()
    assert torch.autograd.gradcheck(mine, torch.randn(3, 5, dtype=torch.float64, requires_grad=True))


def test_update_after_update():
    mine, own = pair(40, 200)
    for seed in range(4):
        x = torch.randn(8, 40, generator=torch.Generator().manual_seed(seed))
        assert_same(learn(mine, x), learn(own, x))


def test_the_memory_of_a_discarded_gradient_is_used_again():
    mine, _ = pair(40, 200)
    learn(mine, torch.randn(8, 40))
    place = mine.weight.grad.data_ptr()
    learn(mine, torch.randn(8, 40))
    assert mine.weight.grad.data_ptr() == place


def test_gradients_add_up_until_they_are_discarded():
    mine, own = pair(40, 200)
    x = torch.randn(8, 40)
    for layer in (mine, own):
        learn(layer, x)
        for _ in range(2):
            (layer(2 * x) ** 2).sum().backward()
    assert_same([mine.weight.grad, mine.bias.grad], [own.weight.grad, own.bias.grad])


def test_a_layer_used_twice_in_one_loss():
    mine, own = pair(40, 200)
    x, y = torch.randn(8, 40), torch.randn(5, 40)
    for _ in range(3):
        assert_same(learn(mine, x, y), learn(own, x, y))


def test_without_gradients():
    mine, own = pair(40, 200)
    x = torch.randn(8, 40)
    with torch.inference_mode():
        assert_same([mine(x)], [own(x)])
    assert learn(mine, x)[0].isfinite().all(), "an input that wants no gradient"


def test_under_autocast_it_is_torchs_own():
    mine, own = pair(40, 200)
    x = torch.randn(8, 40)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mine(x), own(x))
        assert mine(x).dtype == torch.bfloat16


def test_only_large_layers_are_split(monkeypatch):
    monkeypatch.setattr(linear, "LARGE", 40 * 200 + 1)
    mine, own = pair(40, 200)
    x = torch.randn(8, 40)
    assert torch.equal(mine(x), own(x))
    assert mine(x).grad_fn.name() == "AddmmBackward0"
