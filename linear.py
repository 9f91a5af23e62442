"""A linear layer laid out for large weights and small batches on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

LARGE = 2**20  # weights from which the layout pays
ROWS = 64  # of the weights' gradient at once: what is computed stays in the processor until it is written


class Linear(nn.Linear):
    """`nn.Linear`: (n, inputs) -> (n, outputs); the same products in another order where that is faster.

    With 90 million weights and a batch of 64 the time goes into moving the weights between memory and processor.
    W x^T reads them once, as they lie; for x W^T the library first copies them into another order, which takes two
    thirds more time. And the gradient of the weights is written where the one before it was: fresh memory of 360 MB
    costs the system more than the product does (benchmarks/learning_step.py).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.spare: list[torch.Tensor] = []  # memory for the gradient

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_cuda or torch.is_autocast_enabled(x.device.type) or self.weight.numel() < LARGE:
            return super().forward(x)
        return _WeightTimesInput.apply(x, self.weight, self.bias, self.spare)


class _WeightTimesInput(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, spare: list[torch.Tensor]
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.spare = spare
        return torch.addmm(bias[:, None], weight, x.T.contiguous()).T.contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor, None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.T.contiguous()  # (outputs, n)
        of_input = gradient.T @ weight if ctx.needs_input_grad[0] else None
        if weight.grad is not None:  # this gradient is added to it
            of_weight = gradient @ x
        else:
            if not ctx.spare:
                ctx.spare.append(torch.empty_like(weight))
            of_weight = ctx.spare[0].detach()
            for rows, out in zip(gradient.split(ROWS), of_weight.split(ROWS), strict=True):
                torch.mm(rows, x, out=out)
        return of_input, of_weight, gradient.sum(dim=1), None
