"""RMSProp in one pass over the weights.

At the paper's sizes an update moves 105 million weights for a batch of 64, so that the optimizer can cost as much time
as the products of matrices. PyTorch's RMSprop runs seven operations one after the other, each over all of memory. Its
Adam has a fused kernel, on CPUs and on CUDA; and Adam that averages no gradients (beta_1 = 0) is RMSProp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

LATE = 1e6  # updates after which Adam corrects no bias any more: alpha ** LATE == 0


class RMSProp(torch.optim.Adam):
    """v <- alpha v + (1 - alpha) g^2; w <- w - lr g / (sqrt(v) + eps) (Tieleman and Hinton 2012, lecture 6.5).

    The same numbers as `torch.optim.RMSprop`, but for rounding.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=(0.0, alpha), eps=eps, weight_decay=weight_decay, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """One update of every parameter that has a gradient."""
        trained = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        for parameter in trained:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.tensor(LATE, device=parameter.device)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            state["exp_avg"] = parameter.grad  # the average of one gradient: no memory of its own
        loss = super().step(closure)
        for parameter in trained:
            del self.state[parameter]["exp_avg"]
        return loss
