"""Deep Q-learning: targets and losses of the three kinds of actions (Liang et al. 2017, section 3.4)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from action_sets import ActionSets, best_allowed
from environment import rewards
from files.options import LearningOptions
from scenes.records import unpacked
from vrl_model import Agent, QNetwork, QValues, to_device


def make_optimizer(parameters: Iterable[torch.Tensor], options: LearningOptions) -> torch.optim.Optimizer:
    """The optimizer of --optimizer.

    Adam that averages no gradients (beta_1 = 0) is RMSProp (Tieleman and Hinton 2012, lecture 6.5) but for the bias
    correction of its first few hundred updates, and has a fused kernel: at the paper's sizes an update is twice as
    fast as with torch.optim.RMSprop (benchmarks/learning_step.py).
    """
    same = {"lr": options.learning_rate, "weight_decay": options.weight_decay, "fused": True}
    if options.optimizer == "rmsprop":
        optimizer = torch.optim.Adam(parameters, betas=(0.0, 0.99), **same)
        optimizer.register_step_pre_hook(_average_nothing)
        return optimizer
    return torch.optim.AdamW(parameters, **same)


def _average_nothing(optimizer: torch.optim.Optimizer, *_: object) -> None:
    """An average over one gradient is that gradient: Adam need not keep it in memory of its own, and copy it there."""
    for parameter, state in optimizer.state.items():
        if "exp_avg" in state and parameter.grad is not None:
            state["exp_avg"] = parameter.grad


def epsilon_at(epoch: int, options: LearningOptions) -> float:
    """Exploration in an epoch (from 0): falls by `epsilon_anneal_rate` an epoch from `epsilon`, then stays."""
    return max(options.epsilon_end, options.epsilon - options.epsilon_anneal_rate * epoch)


def set_mode(network: QNetwork, training: bool) -> None:
    """As `network.train(training)`, but free where nothing depends on it: it would walk over all modules."""
    if network.options.dropout and network.training != training:
        network.train(training)


def max_allowed(q: QValues, allowed: ActionSets, scored_by: QValues | None = None) -> torch.Tensor:
    """max over the action set of each kind, 0 where it is empty: Q and bool masks, (n, k) a kind -> (n, 3).

    scored_by: Double DQN (van Hasselt et al. 2016): the maximising action is chosen by `q`, its value taken from here.
    """
    values = []
    for i, (chooser, mask) in enumerate(zip(q, allowed, strict=True)):
        value, action = best_allowed(chooser, to_device(mask, chooser.device))
        if scored_by is not None and chooser.shape[1]:
            value = scored_by[i].gather(1, action.clamp(min=0)[:, None])[:, 0]
        values.append(value.masked_fill(action < 0, 0.0))
    return torch.stack(values, dim=1)


class Learner:
    """Q-learning with experience replay and a target network."""

    def __init__(
        self,
        agent: Agent,
        target_network: QNetwork,
        optimizer: torch.optim.Optimizer,
        options: LearningOptions,
        trained: nn.Module | None = None,
    ) -> None:
        """trained: the agent's network in a wrapper that averages gradients over several processes, if there are."""
        self.agent, self.target_network, self.optimizer, self.options = agent, target_network, optimizer, options
        self.updates = 0
        self.trained = trained or agent.network
        self.weights = torch.tensor([1.0, 1.0, options.next_object_loss_weight], device=agent.device)
        target_network.load_state_dict(agent.network.state_dict())
        target_network.requires_grad_(False).eval()

    @property
    def actor(self) -> Agent:
        """Who walks: the averaged network where there is one, as in the test."""
        return Agent(self.best_network, self.agent.encoder, self.agent.action_sets, self.agent.device)

    def inputs(self, transitions: np.ndarray) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The network's inputs of the states and of the next states, made in one go: every short call has its price."""
        n = len(transitions)
        both = self.agent.encoder(np.concatenate([transitions["state"], transitions["next_state"]]), self.agent.device)
        return [part[:n] for part in both], [part[n:] for part in both]

    def bootstrap(self, transitions: np.ndarray, following: list[torch.Tensor]) -> torch.Tensor:
        """lambda max Q(f', g'; theta-) for the three kinds of actions, (n, 3); 0 at the end of an episode.

        following: the network's inputs of the next states. An episode cut off by the step limit has not ended.
        """
        network, sets = self.agent.network, self.agent.action_sets(transitions["next_state"])
        target = self.target_network.q_values(*self.target_network(*following))
        if self.options.double_dqn:
            best = max_allowed(network.q_values(*network(*following)), sets, scored_by=target)
        else:
            best = max_allowed(target, sets)
        going = to_device(~transitions["done"], self.agent.device)
        return self.options.discount_factor * best * going[:, None]

    def losses(self, transitions: np.ndarray) -> torch.Tensor:
        """The three losses (attribute, predicate, next object), (3,), each averaged over the transitions.

        Outputs that are log-odds learn the reward by cross-entropy, the others R + lambda max Q by squared error. With
        `learn_from` "all" every attribute and predicate of the action set is learned from: what follows is the same
        whichever is said, but for the phrases remembered. Which object is looked at next decides what follows, so where
        that counts (a discount above 0) only the one taken has a target.
        """
        agent, device = self.agent, self.agent.device
        network = agent.network
        best_first = network.options.best_first
        if best_first or not self.options.discount_factor:
            inputs = agent.encoder(transitions["state"], device)
            bootstrap = torch.zeros(len(transitions), 3, device=device)
        else:
            inputs, following = self.inputs(transitions)
            set_mode(network, training=False)
            with torch.no_grad():
                bootstrap = self.bootstrap(transitions, following)
        set_mode(network, training=True)
        outputs, future = self.trained(*inputs, every_member=True)  # (members, n, sum of widths), (n, 1)
        # of m actions: their kinds (m,), outputs (members, n, m), rewards and whether they are learned from (n, m)
        if self.options.learn_from == "all":
            kinds, low, log_odds = network.kinds, network.low, network.log_odds
            sets = agent.action_sets(transitions["state"])
            if self.options.discount_factor and not best_first:
                sets.entity[...] = False
                sets.entity[np.arange(len(sets.entity)), transitions["action"][:, 2]] = True
            learned = np.concatenate(sets, axis=1)
            earned = rewards(transitions["state"], agent.action_sets.graph, agent.action_sets.rules)
        else:
            kinds = torch.arange(3, device=device)
            low, log_odds = network.low[network.first], network.log_odds[network.first]
            action = transitions["action"].copy()  # not views: torch wants strides of whole numbers
            learned, earned = action >= 0, transitions["reward"].copy()
            outputs = taken(outputs, to_device(action, device), network.first)
        earned = to_device(earned, device)
        right = (earned > low).to(outputs.dtype).expand_as(outputs)
        fit = torch.where(
            log_odds,
            F.binary_cross_entropy_with_logits(outputs, right, reduction="none"),
            (outputs - (earned + bootstrap[:, kinds])).square(),
        )
        weights = to_device(learned.astype(np.float32), device)
        if best_first:
            # annotated pairs are drawn more often than they are met: of what looking is worth each counts the less
            preferred = self.weigh(transitions)
            weights[:, -1] /= to_device(preferred, device)
        losses = outputs.new_zeros(3).index_add(0, kinds, (fit * weights).mean(dim=(0, 1)))
        if future is not None:
            follows = self.options.discount_factor * to_device(transitions["following"].copy(), device)
            losses = losses + (future[:, 0] - follows).square().mean() * torch.eye(3, device=device)[2]
        return losses

    def weigh(self, transitions: np.ndarray) -> np.ndarray:
        """How much likelier each transition was drawn, float32 (n,)."""
        annotated = transitions["state"]["predicates_right"].any(axis=-1)
        return np.where(annotated, np.float32(self.agent.network.options.replay_preference), np.float32(1))

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
            averaging = min(averaging, (1 + self.updates) / (10 + self.updates))  # the random ones fade soon
            for slow, fast in zip(self.target_network.parameters(), self.agent.network.parameters(), strict=True):
                slow.lerp_(fast, 1 - averaging)
        elif self.updates % self.options.target_update_frequency == 0:
            self.target_network.load_state_dict(self.agent.network.state_dict())

    @property
    def best_network(self) -> QNetwork:
        """The network to test: the averaged one where there is one."""
        return self.target_network if self.options.target_averaging else self.agent.network


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
    if "memory" in state.dtype.names:
        state["memory"][chosen] = state["memory"][chosen][..., partner]
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


def taken(outputs: torch.Tensor, action: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """What heads side by side say of the actions taken: (k, n, A + P + C + 1), (n, 3) -> (k, n, 3).

    first: (3,) where the outputs of each kind begin. Where no action was taken (-1) it is what they say of another.
    """
    return outputs.gather(2, (action.clamp(min=0) + first).expand(len(outputs), -1, -1))
