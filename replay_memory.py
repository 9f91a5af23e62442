"""Experience replay (Liang et al. 2017, section 3.4; Mnih et al. 2015).

A transition keeps what its two states are made of (`scenes.records.state_dtype`), not their vectors:
20 000 transitions take a few megabytes where the vectors would take two gigabytes.
"""

from __future__ import annotations

import numpy as np
import torch


def transition_dtype(state: np.dtype) -> np.dtype:
    """(state, action triple, three rewards, next state, whether the episode ended there).

    Best first what follows a state is one number: the Q of the pair that was best then, 0 at the end of the episode.
    """
    taken = [("state", state), ("action", "i4", (3,)), ("reward", "f4", (3,))]
    if "memory" in state.names:
        return np.dtype([*taken, ("following", "f4")])
    return np.dtype([*taken, ("next_state", state), ("done", "?")])


class ReplayMemory:
    """The latest `capacity` transitions, in equal shares for each of `num_slots` environment slots.

    A share for each slot makes sampling the same whether one process holds all slots or several
    hold some each. When a share is full its oldest transition goes out first.
    """

    def __init__(self, capacity: int, num_slots: int, state: np.dtype, preference: float = 1.0) -> None:
        """preference: how much more likely a transition is drawn when its pair of objects is annotated."""
        self.dtype = transition_dtype(state)
        self.preference = preference
        self.share = max(capacity // num_slots, 1)
        self.memory = np.zeros((num_slots, self.share), dtype=self.dtype)
        self.added = np.zeros(num_slots, dtype=np.int64)  # by each slot, since the beginning
        self.weights = np.zeros((num_slots, self.share))  # of every transition; 0 where there is none yet

    def __len__(self) -> int:
        return int(np.minimum(self.added, self.share).sum())

    def add(self, slots: np.ndarray, transitions: np.ndarray) -> None:
        """Store one transition for each of `slots` (n,), over the oldest where a share is full."""
        place = self.added[slots] % self.share
        self.memory[slots, place] = transitions
        self.weights[slots, place] = self._weigh(transitions)
        self.added[slots] += 1

    def sample(self, uniform: np.ndarray, turn: int = 0) -> np.ndarray:
        """A transition for each of the random numbers in [0, 1), (n,), from the shares of slots in turn.

        With m slots for each number, number i draws from the share of slot i m + turn mod m: every slot has its turn
        once in m samples, and half of the slots with half of the numbers draw what the whole would have drawn there.
        Within a share transitions are drawn by their weights: annotated pairs are rare, and teach the most (a simple
        kind of prioritized replay, Schaul et al. 2016). The turn of an empty slot goes to a filled one.
        """
        num_slots = len(self.added)
        stride = max(num_slots // len(uniform), 1)
        slot = (np.arange(len(uniform)) * stride + turn % stride) % num_slots
        filled = np.flatnonzero(self.added) if self.added.any() else np.zeros(1, dtype=np.int64)
        slot = np.where(self.added[slot] > 0, slot, filled[slot % len(filled)])
        held = np.minimum(self.added[slot], self.share)
        if self.preference == 1:
            return self.memory[slot, (uniform * held).astype(np.int64)]
        upto = self.weights[slot].cumsum(axis=1)
        row = (upto <= (uniform * upto[:, -1])[:, None]).sum(axis=1)
        return self.memory[slot, np.clip(row, 0, np.maximum(held - 1, 0))]  # guards against rounding

    def _weigh(self, transitions: np.ndarray) -> np.ndarray:
        annotated = transitions["state"]["predicates_right"].any(axis=-1)
        return np.where(annotated, self.preference, 1.0)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The used part of the memory, as bytes, and the counts."""
        used = self.memory[:, : int(min(self.added.max(initial=0), self.share))]
        memory = torch.frombuffer(bytearray(used.tobytes()), dtype=torch.uint8) if used.size else torch.zeros(0).byte()
        return {"memory": memory, "added": torch.from_numpy(self.added.copy())}

    def held(self) -> np.ndarray:
        """All transitions in the memory, (n,)."""
        return self.memory[np.arange(self.share) < self.added[:, None]]

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Raises ValueError when there are not as many transitions as were added."""
        added = state["added"].numpy().copy()
        if added.dtype != np.int64 or added.shape != self.added.shape or (added < 0).any():
            raise ValueError("the replay memory has not one count for every slot")
        self.added = added
        used = np.frombuffer(state["memory"].numpy().tobytes(), dtype=self.dtype).reshape(len(self.added), -1)
        if used.shape[1] != min(self.added.max(initial=0), self.share):
            raise ValueError(f"the replay memory holds {used.shape[1]} transitions a slot, not as many as were added")
        self.memory[:, : used.shape[1]] = used
        there = np.arange(used.shape[1]) < self.added[:, None]
        self.weights[:, : used.shape[1]] = np.where(there, self._weigh(used), 0)
