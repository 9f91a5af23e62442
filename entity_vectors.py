"""Given vectors of the categories, word2vec's for instance, as part of the state (not in the paper)."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import nn
from torch.nn import functional as F

NEVER = -1000.0  # in place of a cosine
TEMPERATURE = 0.04  # of the cosines when a similar category is drawn: the nearest few share the odds


class EntityVectors(nn.Module):
    """Looks up the vectors of categories; in training some are mixed with that of a similar category.

    What the agent learns of "person ride horse" it learns so of whatever lies between a horse and an elephant, which
    is what it needs for phrases that no training image has. With `mixing` m each vector v becomes, with probability
    m, v + u (v' - v): u uniform in [0, 1), v' the vector of another category, drawn by the softmax of cosines over
    TEMPERATURE. The last row stands for no object; it stays as it is.
    """

    def __init__(self, num_categories: int, dimension: int, mixing: float = 0.0) -> None:
        super().__init__()
        self.mixing = mixing
        self.register_buffer("vectors", torch.zeros(num_categories + 1, dimension))

    def forward(self, categories: torch.Tensor) -> torch.Tensor:
        """Categories int64 (n, 2), `num_categories` where there is none -> (n, 2, dimension)."""
        vectors = self.vectors[categories]
        if not (self.training and self.mixing):
            return vectors
        similar = torch.multinomial(self._similar[categories.flatten()], 1).view(categories.shape)
        amount = torch.rand(*categories.shape, 1, device=vectors.device)
        amount = amount * (torch.rand_like(amount) < self.mixing)
        return torch.lerp(vectors, self.vectors[similar], amount)

    @cached_property
    def _similar(self) -> torch.Tensor:
        """(C + 1, C + 1): how likely each category is drawn in place of another one; rows sum to 1."""
        directions = F.normalize(self.vectors, dim=1)
        cosines = (directions @ directions.T).fill_diagonal_(NEVER)
        cosines[:, -1] = cosines[-1] = 2 * NEVER
        cosines[-1, -1] = 1.0  # no object for no object
        return (cosines / TEMPERATURE).softmax(dim=1)
