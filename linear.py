"""A linear layer for large weights and small batches on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

LARGE = 2**20  # weights from which blocks pay
ROWS = 128  # of a block


class Linear(nn.Linear):
    """`nn.Linear`: (n, inputs) -> (n, outputs); the same products, in blocks of rows where that is faster.

    With 90 million weights and a batch of 64 a product moves the weights between memory and processor, and does
    little with each. In blocks every thread works for itself on memory that lies together. And a gradient is written
    over the one before it, once that is discarded: fresh memory of 360 MB can cost the system more than the product
    (benchmarks/learning_step.py). So who keeps a gradient beyond the next `backward` copies it.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.last_gradient: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or self.weight.numel() < LARGE:
            return super().forward(x)
        if self.weight.grad is not None:
            self.last_gradient = self.weight.grad
        return _LinearInBlocks.apply(x, self.weight, self.bias, self)


class _LinearInBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, layer: Linear) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer = layer
        out = torch.empty(len(weight), len(x), dtype=x.dtype)
        _multiply(weight, x.T.contiguous(), out)
        return torch.add(out.T, bias, out=torch.empty(len(x), len(weight), dtype=x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor, None]:
        x, weight = ctx.saved_tensors
        of_input = gradient @ weight if ctx.needs_input_grad[0] else None
        memory, ctx.layer.last_gradient = ctx.layer.last_gradient, None
        if memory is None or weight.grad is not None:  # not discarded: this gradient is added to it
            memory = torch.empty_like(weight)
        of_weight = memory.detach()  # a tensor that nobody else holds becomes `weight.grad` without a copy
        _multiply(gradient.T.contiguous(), x, of_weight)
        return of_input, of_weight, gradient.sum(dim=0), None


def _multiply(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    """out = a b, ROWS rows at a time, each thread a block: (m, k), (k, n), (m, n)."""
    count = len(a) // ROWS
    end = count * ROWS
    blocks, out_blocks = (part[:end].view(count, ROWS, part.shape[1]) for part in (a, out))
    torch.bmm(blocks, b.expand(count, -1, -1), out=out_blocks)
    torch.mm(a[end:], b, out=out[end:])
