"""The Q network and the agent that acts by it (Liang et al. 2017, sections 3.2 to 3.4).

The embeddings of images and boxes are made by `features.py` and arrive here as numbers to look up.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from action_sets import ActionSetMaker, greedy, random_action
from boxes import CONTEXT, GEOMETRY, box_geometry
from environment import Rules
from scenes.scene import SceneSet
from semantic_graph import SemanticActionGraph

RARE = -4.0  # log-odds of a reward before anything is learned
NEVER = -1000.0  # in place of a cosine
TEMPERATURE = 0.04  # of the cosines when a similar category is drawn: the nearest few share the odds


@dataclass(frozen=True)
class ModelOptions:
    """What the network is made of; the defaults are the paper's."""

    fusion_sizes: tuple[int, ...] = (4096, 2048)
    feature_dimension: int = 0  # of the image, subject and object features each; 0 = no pixels
    phrase_dimension: int = 0  # of each of the four history phrases; 0 = no history
    use_box_geometry: bool = False  # not in the paper: where the two boxes lie
    use_pair_context: bool = False  # not in the paper: how the pair stands among the image's other instances
    category_dimension: int = 0  # not in the paper: learned vectors of the two categories
    entity_vector_dimension: int = 0  # not in the paper: given vectors of the two categories
    category_mixing: float = 0.0  # not in the paper: share of them mixed with a similar category's in training
    reward_loss: str = "squared"  # or "cross_entropy": not in the paper
    dropout: float = 0.0
    num_members: int = 1  # not in the paper: as many networks, their mean decides
    replay_preference: float = 1.0  # not in the paper: how much likelier annotated pairs are drawn (`ReplayMemory`)

    @property
    def state_dimension(self) -> int:
        """Numbers in a state: 3 features, 4 phrases, and what the flags add."""
        return (
            3 * self.feature_dimension
            + 4 * self.phrase_dimension
            + GEOMETRY * self.use_box_geometry
            + CONTEXT * self.use_pair_context
            + 2 * self.category_dimension
            + 2 * self.entity_vector_dimension
        )


class QValues(NamedTuple):
    """Q for every attribute (n, A), every predicate (n, P), every category and Terminal (n, C + 1)."""

    attribute: torch.Tensor
    predicate: torch.Tensor
    entity: torch.Tensor


class FusionNetwork(nn.Module):
    """Fully connected fusion layers, and on them a linear head for each kind of action, side by side in one layer."""

    def __init__(self, options: ModelOptions, widths: Sequence[int]) -> None:
        super().__init__()
        sizes = (options.state_dimension, *options.fusion_sizes)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
            if options.dropout:
                layers.append(nn.Dropout(options.dropout))
        self.fusion = nn.Sequential(*layers)
        self.heads = nn.Linear(sizes[-1], sum(widths))
        self.future = nn.Linear(sizes[-1], 3) if options.reward_loss == "cross_entropy" else None
        if self.future is not None:
            nn.init.constant_(self.heads.bias[: widths[0] + widths[1]], RARE)

    def forward(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(n, state dimension) -> the heads' outputs (n, A + P + C + 1), and future values (n, 3) if there are any."""
        hidden = self.fusion(state)
        outputs = self.heads(hidden).float()
        # the value of what follows is read off the features that predict rewards, it does not shape them
        return outputs, None if self.future is None else self.future(hidden.detach()).float()


class EntityVectors(nn.Module):
    """Looks up the vectors of categories; in training some are mixed with that of a similar category.

    What lies between a horse and an elephant is learned from too: interpolating between similar categories generalises
    to phrases that no training image has. With `mixing` m each vector v becomes, with probability
    m, v + u (v' - v): u uniform in [0, 1), v' the vector of another category, drawn by the softmax of cosines over
    TEMPERATURE. The last row is that of no object; it stays as it is.
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


class QNetwork(nn.Module):
    """State -> fully connected fusion layers -> a linear head for each kind of action.

    With `reward_loss` "cross_entropy" a head gives the log-odds of each action's reward, and Q is made of
    them: the expected reward plus a learned value of what follows (see `q_values`).

    With `num_members` k > 1 it is k such networks, which learn each for itself from the same transitions and act, and
    are tested, by the mean of their outputs.
    """

    def __init__(
        self,
        options: ModelOptions,
        graph: SemanticActionGraph,
        rules: Rules | None = None,
        mixed_precision: bool = False,
    ) -> None:
        super().__init__()
        self.options = options
        self.mixed_precision = mixed_precision  # products in bfloat16, weights and what comes out in float32
        none = len(graph.entities)  # the category of no object
        self.categories = nn.Embedding(none + 1, options.category_dimension) if options.category_dimension else None
        self.entity_vectors = None
        if options.entity_vector_dimension:
            self.entity_vectors = EntityVectors(none, options.entity_vector_dimension, options.category_mixing)
        self.widths = (len(graph.attributes), len(graph.predicates), len(graph.entities) + 1)
        self.members = nn.ModuleList(FusionNetwork(options, self.widths) for _ in range(options.num_members))
        self.rewards = (rules or Rules()).reward_ranges
        # the first output of each kind of action (attribute, predicate, next object); of every output its kind, its
        # lower and its higher reward
        widths = torch.tensor(self.widths)
        kinds = torch.arange(3).repeat_interleave(widths)
        low, high = torch.tensor(self.rewards)[kinds].T.contiguous()
        for name, values in (("first", widths.cumsum(0) - widths), ("kinds", kinds), ("low", low), ("high", high)):
            self.register_buffer(name, values, persistent=False)

    def forward(
        self, dense: torch.Tensor, categories: torch.Tensor, every_member: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """dense (n, state dimension less category vectors), categories (n, 2) -> outputs, future values (n, 3).

        Outputs (n, A + P + C + 1) are those of the three heads side by side (see `by_kind`). All are the mean of the
        members', or those of every member: (k, n, A + P + C + 1), (k, n, 3).
        """
        parts = [dense]
        if self.categories is not None:
            parts.append(self.categories(categories).flatten(1))
        if self.entity_vectors is not None:
            parts.append(self.entity_vectors(categories).flatten(1))
        state = torch.cat(parts, dim=1) if len(parts) > 1 else dense
        with torch.autocast(dense.device.type, torch.bfloat16, enabled=self.mixed_precision):
            said = [member(state) for member in self.members]
        if len(said) == 1:  # nothing to copy
            return tuple(part[None] if every_member and part is not None else part for part in said[0])
        outputs, future = (None if parts[0] is None else torch.stack(parts) for parts in zip(*said, strict=True))
        if every_member:
            return outputs, future
        return outputs.mean(dim=0), None if future is None else future.mean(dim=0)

    def q_values(self, outputs: torch.Tensor, future: torch.Tensor | None) -> QValues:
        """Outputs -> Q. Log-odds become the expected reward low + (high - low) `chances`, plus the future."""
        if future is not None:
            outputs = self.low + (self.high - self.low) * self.chances(outputs) + future[:, self.kinds]
        return self.by_kind(outputs)

    def chances(self, outputs: torch.Tensor) -> torch.Tensor:
        """Log-odds z of rewards (n, A + P + C + 1) -> how likely each is, in [0, 1].

        sigmoid(z), but for predicates: annotated pairs, a share s of all, were drawn w times as often, and made up
        s' = w s / (w s + 1 - s) of what was learned from. So sigmoid(z) is too high by s' / s = s' + w (1 - s'). A
        pair's s' is what its predicates add up to, and 1 at most.
        """
        chance = torch.sigmoid(outputs)
        if self.options.replay_preference == 1:
            return chance
        attribute, predicate, entity = self.by_kind(chance)
        annotated = predicate.sum(dim=1, keepdim=True).clamp(max=1)
        predicate = predicate / (annotated + self.options.replay_preference * (1 - annotated))
        return torch.cat([attribute, predicate, entity], dim=1)

    def by_kind(self, values: torch.Tensor) -> QValues:
        """Numbers of all actions (n, A + P + C + 1) -> of attributes, predicates, next objects."""
        return QValues(*values.split(self.widths, dim=-1))


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """The array as a tensor on the device; the program does not wait until it is there."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class StateEncoder:
    """State records -> the network's inputs. Features are those of the scenes; phrases: `PhraseStore` or None."""

    def __init__(self, scenes: SceneSet, options: ModelOptions, phrases=None) -> None:
        self.scenes, self.options, self.phrases = scenes, options, phrases
        self.phrase_number: dict[int, int] = {-1: 0}

    def __call__(self, states: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """(n,) records -> dense float32 (n, d), categories int64 (n, 2)."""
        parts = []
        if self.options.feature_dimension:
            parts.append(self._features(states))
        if self.options.phrase_dimension:
            parts.append(self._history(states))
        if self.options.use_box_geometry:
            parts.append(box_geometry(states))
        if self.options.use_pair_context:
            parts.append(states["context"])
        dense = np.concatenate(parts, axis=1) if parts else np.zeros((len(states), 0), np.float32)
        pair = np.stack([states["subject_category"], states["object_category"]], axis=1).astype(np.int64)
        pair[pair < 0] = len(self.scenes.graph.entities)
        return to_device(dense, device), to_device(pair, device)

    def _features(self, states: np.ndarray) -> np.ndarray:
        """(n, 3 D): the image's, the subject's and the object's features; zero where there is no object."""
        d = self.options.feature_dimension
        out = np.zeros((len(states), 3 * d), dtype=np.float32)
        scenes, inverse = np.unique(states["scene"], return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        for scene, rows in zip(scenes, np.split(order, np.cumsum(np.bincount(inverse))[:-1]), strict=True):
            image, boxes = self.scenes.features[self.scenes.records[int(scene)].image_name]
            out[rows, :d] = image
            out[rows, d : 2 * d] = boxes[states["subject"][rows]]
            has_object = rows[states["object"][rows] >= 0]
            out[has_object, 2 * d :] = boxes[states["object"][has_object]]
        return out

    def _history(self, states: np.ndarray) -> np.ndarray:
        """(n, 4 dim): the vectors of the phrases remembered, zero where there is none."""
        keys, inverse = np.unique(states["history"], return_inverse=True)
        unknown = [key for key in keys.tolist() if key not in self.phrase_number]
        if unknown:
            numbers = self.phrases.number([self.scenes.graph.phrase(key) for key in unknown])
            self.phrase_number.update(zip(unknown, numbers.tolist(), strict=True))
        numbers = np.array([self.phrase_number[key] for key in keys.tolist()])
        return self.phrases.vectors[numbers[inverse.reshape(len(states), 4)]].reshape(len(states), -1)


class Judgement(NamedTuple):
    """What a policy thinks of n states: Q values to act by, confidences in [0, 1] to rank what it says."""

    q: QValues
    attribute_confidence: torch.Tensor  # (n, A)
    predicate_confidence: torch.Tensor  # (n, P)


def chance_of_reward(q: torch.Tensor, allowed: torch.Tensor, rewards: tuple[float, float]) -> torch.Tensor:
    """How likely each action is right, from its Q: (n, k), bool (n, k) -> (n, k) in [0, 1].

    Q is the reward plus the value of what follows, which is nearly the same for all actions of a state. Most of them
    are wrong, so the median of the set is about the low reward plus that value; what Q is above it tells the chance.
    """
    if not q.shape[1]:
        return q
    low, high = rewards
    median = q.masked_fill(~allowed, torch.nan).nanmedian(dim=1, keepdim=True).values
    return ((q - median) / (high - low)).nan_to_num(0).clamp(0, 1)


class Agent:
    """Chooses action triples from the adaptive action sets by the network's Q values."""

    def __init__(self, network: QNetwork, encoder: StateEncoder, action_sets: ActionSetMaker, device: torch.device):
        self.network, self.encoder, self.action_sets, self.device = network, encoder, action_sets, device

    def __call__(self, states: np.ndarray) -> Judgement:
        """Q of every action in n states and confidences, without gradients."""
        with torch.inference_mode():
            outputs, future = self.network(*self.encoder(states, self.device))
            q = self.network.q_values(outputs, future)
            if future is not None:
                return Judgement(q, *self.network.by_kind(self.network.chances(outputs))[:2])
            allowed = (to_device(mask, self.device) for mask in self.action_sets(states)[:2])
            attribute, predicate = map(chance_of_reward, q[:2], allowed, self.network.rewards[:2])
            return Judgement(q, attribute, predicate)

    def q_values(self, states: np.ndarray) -> QValues:
        """Q of every action in n states, without gradients."""
        with torch.inference_mode():
            return self.network.q_values(*self.network(*self.encoder(states, self.device)))

    def act(self, states: np.ndarray, epsilon: float, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """epsilon-greedy: each action of the triple is random with probability epsilon.

        uniform: (n, 6) random numbers in [0, 1), two for each action. Returns attribute, predicate (-1: none
        to choose), entity, int64 (n,) each.
        """
        sets = self.action_sets(states)
        triple = [random_action(allowed, uniform[:, 2 * i + 1]) for i, allowed in enumerate(sets)]
        if epsilon < 1:
            masks = [to_device(allowed, self.device) for allowed in sets]
            best = torch.stack([greedy(q, mask) for q, mask in zip(self.q_values(states), masks, strict=True)])
            explore = (uniform[:, ::2] < epsilon).T
            triple = np.where(explore, triple, best.cpu().numpy())  # the one place that waits for the device
        return triple[0], triple[1], triple[2]
