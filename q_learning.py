"""Deep Q-learning: targets and losses of the three kinds of actions (Liang et al. 2017, section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from environment import PENALTY
from ranks import world_size
from vrl_model import Agent, QNetwork, greedy, to_device, unpacked


@dataclass(frozen=True)
class LearningOptions:
    """How the agent learns; the defaults are the paper's where it gives any.

    Not in the paper: learn_from "all" takes the reward of every action of the adaptive set, not of the one
    taken alone. target_averaging a > 0: theta- <- a theta- + (1 - a) theta at every update in place of a copy
    now and then (less than a in the first updates, so that a short training is not mostly its first weights).
    box_jitter: corners of the boxes in a batch are moved by this share of their sides.
    mirror: half of a batch is learned from as if the images were mirrored.
    """

    discount_factor: float = 0.9
    double_dqn: bool = False
    learn_from: str = "taken"
    batch_size: int = 64
    replay_buffer_minimum_number_samples: int = 1000
    samples_per_transition: float = 1.0
    target_update_frequency: int = 500
    target_averaging: float = 0.0
    box_jitter: float = 0.0
    mirror: bool = False
    next_object_loss_weight: float = 1.0
    seed: int = 0


def epsilon_at(epoch: int, start: float = 1.0, rate: float = 0.045, end: float = 0.1) -> float:
    """Exploration in an epoch (from 0): falls by `rate` an epoch from `start` to `end`, then stays."""
    return max(end, start - rate * epoch)


def set_mode(network: QNetwork, training: bool) -> None:
    """As `network.train(training)`, but free where nothing depends on it: it would walk over all modules."""
    options = network.options
    if (options.dropout or options.category_mixing) and network.training != training:
        network.train(training)


def max_allowed(q: torch.Tensor, allowed: torch.Tensor, scored_by: torch.Tensor | None = None) -> torch.Tensor:
    """max over the action set, 0 where it is empty: (n, k), bool (n, k) -> (n,).

    scored_by: Double DQN (van Hasselt et al. 2016): the maximising action is chosen by `q`, its value taken from here.
    """
    if not q.shape[1]:
        return q.new_zeros(len(q))
    action = greedy(q, allowed)
    values = (q if scored_by is None else scored_by).gather(1, action.clamp(min=0)[:, None])[:, 0]
    return torch.where(action >= 0, values, 0.0)


class Learner:
    """Q-learning with experience replay and a target network."""

    def __init__(
        self, agent: Agent, target_network: QNetwork, optimizer: torch.optim.Optimizer, options: LearningOptions
    ) -> None:
        self.agent, self.target_network, self.optimizer, self.options = agent, target_network, optimizer, options
        self.updates = 0
        # one process of several averages its gradients with the others'
        self.trained = agent.network
        if world_size() > 1:
            self.trained = DistributedDataParallel(agent.network)
        self.weights = torch.tensor([1.0, 1.0, options.next_object_loss_weight], device=agent.device)
        target_network.load_state_dict(agent.network.state_dict())
        target_network.requires_grad_(False).eval()

    def bootstrap(self, transitions: np.ndarray) -> torch.Tensor:
        """lambda max Q(f', g'; theta-) for the three kinds of actions, (n, 3); 0 at the end of an episode."""
        agent, device = self.agent, self.agent.device
        states = transitions["next_state"]
        inputs = agent.encoder(states, device)
        sets = agent.action_sets(states)
        target = self.target_network.q_values(*self.target_network(*inputs))
        chooser = agent.network.q_values(*agent.network(*inputs)) if self.options.double_dqn else None
        values = []
        for i, allowed in enumerate(sets):
            mask = to_device(allowed, device)
            values.append(max_allowed(target[i] if chooser is None else chooser[i], mask, target[i]))
        going = to_device(~transitions["done"], device)
        return self.options.discount_factor * torch.stack(values, dim=1) * going[:, None]

    def losses(self, transitions: np.ndarray) -> torch.Tensor:
        """The three losses (attribute, predicate, next object), (3,), each averaged over the transitions."""
        agent, device = self.agent, self.agent.device
        set_mode(agent.network, training=False)
        with torch.no_grad():
            bootstrap = self.bootstrap(transitions)
        set_mode(agent.network, training=True)
        states = transitions["state"]
        outputs, future = self.trained(*agent.encoder(states, device), every_member=True)
        if self.options.learn_from == "all":
            learned = agent.action_sets(states)
            rewards = all_rewards(states, [q.shape[-1] for q in outputs], agent.network.rewards)
        else:
            learned, rewards = taken_rewards(transitions, [q.shape[-1] for q in outputs])
        learned = [to_device(mask, device) for mask in learned]
        rewards = [to_device(reward, device) for reward in rewards]
        if future is None:
            losses = [
                _sum_over((q - (r + b[:, None])).square(), mask)
                for q, r, b, mask in zip(outputs, rewards, bootstrap.T, learned, strict=True)
            ]
            return torch.stack(losses)
        losses = []
        for i, (z, r, mask) in enumerate(zip(outputs, rewards, learned, strict=True)):
            right = (r > PENALTY).to(z.dtype).expand_as(z)
            fit = F.binary_cross_entropy_with_logits(z, right, reduction="none")
            losses.append(_sum_over(fit, mask) + (future[..., i] - bootstrap[:, i]).square().mean())
        return torch.stack(losses)

    def update(self, transitions: np.ndarray) -> torch.Tensor:
        """One gradient step on a batch of transitions. Returns the three losses, (3,), detached."""
        losses = self.losses(transitions)
        self.optimizer.zero_grad(set_to_none=True)
        (losses * self.weights).sum().backward()
        self.optimizer.step()
        self.updates += 1
        self._follow()
        return losses.detach()

    @torch.no_grad()
    def _follow(self) -> None:
        """The target network follows the network."""
        averaging = self.options.target_averaging
        if averaging:
            averaging = min(averaging, (1 + self.updates) / (10 + self.updates))  # soon rid of the first weights
            for slow, fast in zip(self.target_network.parameters(), self.agent.network.parameters(), strict=True):
                slow.lerp_(fast, 1 - averaging)
        elif self.updates % self.options.target_update_frequency == 0:
            self.target_network.load_state_dict(self.agent.network.state_dict())

    @property
    def best_network(self) -> QNetwork:
        """The network to test: the averaged one where there is one."""
        return self.target_network if self.options.target_averaging else self.agent.network


def _sum_over(loss: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Sum over the masked actions of each transition, mean over the rest: (members, n, k), bool (n, k) -> ()."""
    return (loss * mask).sum(dim=-1).mean()


def jittered(states: np.ndarray, amount: float, normal: np.ndarray) -> np.ndarray:
    """Records with the corners of both boxes moved by `amount` of the boxes' sides; normal: (n, 8) random numbers."""
    states = states.copy()
    for field, noise in (("subject_box", normal[:, :4]), ("object_box", normal[:, 4:])):
        box = states[field]
        size = np.concatenate([box[:, 2:] - box[:, :2] + 1] * 2, axis=1)
        moved = box + amount * size * noise
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2])
        states[field] = np.where(states["object"][:, None] >= 0, moved, box) if field == "object_box" else moved
    return states


def mirrored(transitions: np.ndarray, chosen: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """Transitions of which the chosen ones begin in a state with its boxes mirrored, left for right; chosen: (n,) bool.

    partner: (P,) the predicate that each one becomes in a mirror (see `mirror_partners`). Features stay as they are.
    """
    transitions = transitions.copy()
    state = transitions["state"]
    axis = state["extent"][:, 0] + state["extent"][:, 2]
    for field, rows in (("subject_box", chosen), ("object_box", chosen & (state["object"] >= 0))):
        left = state[field][rows, 0]
        state[field][rows, 0] = axis[rows] - state[field][rows, 2]
        state[field][rows, 2] = axis[rows] - left
    right = unpacked(state["predicates_right"][chosen], len(partner))
    state["predicates_right"][chosen] = np.packbits(right[:, partner], axis=1)
    action = transitions["action"][:, 1]
    related = chosen & (action >= 0)
    action[related] = partner[action[related]]
    return transitions


def mirror_partners(predicates: list[str]) -> np.ndarray:
    """(P,) index of the predicate that each one becomes in a mirror: left and right change places in its name."""
    index = {name: i for i, name in enumerate(predicates)}
    swap = {"left": "right", "right": "left"}
    names = (" ".join(swap.get(word, word) for word in name.split()) for name in predicates)
    return np.array([index.get(name, i) for i, name in enumerate(names)], dtype=np.int64)


def taken_rewards(transitions: np.ndarray, widths: list[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The taken actions as masks, and their rewards: three bool (n, k) and three float32 (n, k)."""
    masks, rewards = [], []
    for i, width in enumerate(widths):
        action = transitions["action"][:, i]
        row = np.flatnonzero(action >= 0)
        mask = np.zeros((len(action), width), dtype=bool)
        reward = np.zeros((len(action), width), dtype=np.float32)
        mask[row, action[row]] = True
        reward[row, action[row]] = transitions["reward"][row, i]
        masks.append(mask)
        rewards.append(reward)
    return masks, rewards


def all_rewards(states: np.ndarray, widths: list[int], rewards: tuple[tuple[float, float], ...]) -> list[np.ndarray]:
    """The reward of every action, three float32 (n, k); outside the action sets the numbers mean nothing."""
    out = []
    for width, (low, high), field in zip(widths[:2], rewards, ("attributes_right", "predicates_right"), strict=False):
        out.append(np.where(unpacked(states[field], width), np.float32(high), np.float32(low)))
    reward = np.full((len(states), widths[2] + 1), rewards[2][0], dtype=np.float32)  # the last column takes the padding
    reward[np.arange(len(states))[:, None], states["entities"]] = states["entity_rewards"]
    return [*out, reward[:, :-1]]
