"""RMSProp against torch's own, with decay, with parameters that rest, and across a checkpoint."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from optimizers import RMSProp


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 3))


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        random = torch.Generator().manual_seed(step)
        x = torch.randn(12, 7, generator=random)
        optimizer.zero_grad()
        (net(x) - x[:, :3]).square().mean().backward()
        optimizer.step()


def assert_close(a: nn.Module, b: nn.Module) -> None:
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"lr": 0.0007}, {"alpha": 0.9}, {"eps": 1e-3}, {"weight_decay": 0.1}], ids=str)
def test_the_numbers_of_torchs_rmsprop(options):
    mine, own = network(), network()
    train(mine, RMSProp(mine.parameters(), **options), range(50))
    train(own, torch.optim.RMSprop(own.parameters(), **options), range(50))
    assert_close(mine, own)


def test_one_step_by_hand():
    """g = 3, v = 0.01 * 9, w = 1 - 0.1 * 3 / (0.3 + 1e-8) = 0; then v = 0.99 * 0.09 + 0.01 * 16."""
    w = nn.Parameter(torch.tensor([1.0]))
    optimizer = RMSProp([w], lr=0.1)
    w.grad = torch.tensor([3.0])
    optimizer.step()
    assert w.item() == pytest.approx(0, abs=1e-6)
    w.grad = torch.tensor([4.0])
    optimizer.step()
    assert w.item() == pytest.approx(-0.1 * 4 / (0.99 * 0.09 + 0.01 * 16) ** 0.5, abs=1e-6)


def test_parameters_without_a_gradient_stay():
    mine, own = network(), network()
    for net, kind in ((mine, RMSProp), (own, torch.optim.RMSprop)):
        optimizer = kind(net.parameters())
        train(net, optimizer, range(3))
        net[2].requires_grad_(False)
        train(net, optimizer, range(3, 6))
        net[2].requires_grad_(True)
        train(net, optimizer, range(6, 9))
    assert_close(mine, own)


def test_a_learning_rate_that_falls():
    mine, own = network(), network()
    for net, kind in ((mine, RMSProp), (own, torch.optim.RMSprop)):
        optimizer = kind(net.parameters())
        for step in range(5):
            optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / 5)
            train(net, optimizer, range(step, step + 1))
    assert_close(mine, own)


def test_going_on_from_a_saved_state_is_exact(tmp_path):
    whole = network()
    train(whole, RMSProp(whole.parameters()), range(20))
    first = network()
    optimizer = RMSProp(first.parameters())
    train(first, optimizer, range(11))
    torch.save({"network": first.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "saved.pt")
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)
    second = network()
    second.load_state_dict(saved["network"])
    optimizer = RMSProp(second.parameters(), lr=0.5)
    optimizer.load_state_dict(saved["optimizer"])
    train(second, optimizer, range(11, 20))
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), second.parameters(), strict=True))


def test_it_keeps_one_number_a_weight():
    net = network()
    optimizer = RMSProp(net.parameters())
    train(net, optimizer, range(2))
    kept = [value for state in optimizer.state_dict()["state"].values() for value in state.values()]
    weights = sum(p.numel() for p in net.parameters())
    assert sum(value.numel() for value in kept if value.dim()) == weights
    assert copy.deepcopy(optimizer.state_dict())["state"].keys() == {0, 1, 2, 3}
