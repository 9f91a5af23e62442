"""The Q network and the agent that acts by it (Liang et al. 2017, sections 3.2 to 3.4).

The embeddings of images and boxes are made by `scenes/features.py` and arrive here as numbers to look up.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from action_sets import ActionSetMaker, greedy, random_action
from boxes import CONTEXT, GEOMETRY, box_geometry
from environment import action_widths, reward_ranges
from files.options import ModelOptions, Rules
from scenes.records import CERTAIN
from scenes.scene import SceneSet
from semantic_graph import SemanticActionGraph

RARE = -4.0  # log-odds of a reward before anything is learned
SELDOM = -2.0  # the same of finding something new in a pair


class QValues(NamedTuple):
    """Q for every attribute (n, A), every predicate (n, P), every category and Terminal (n, C + 1).

    Best first the third is (n, 1): of having looked where the state is.
    """

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
        if options.reward_loss == "cross_entropy":
            nn.init.constant_(self.heads.bias[: widths[0] + widths[1]], RARE)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """(n, state dimension) -> the heads' outputs side by side (n, sum of widths)."""
        return self.heads(self.fusion(state)).float()


class CandidateNetwork(nn.Module):
    """How likely looking at a pair finds something new, from what is known before: categories, boxes, repetition.

    The first layer is a sum of a part of each category and one of the pair: the categories' parts are worked out once
    for all pairs, so that judging a pair costs about 6 000 multiply-adds (`multiply_adds`).
    """

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        width = options.learned_category_vectors + options.entity_vector_dimension
        first, *others = options.candidate_sizes
        self.pair = nn.Linear(GEOMETRY + CONTEXT + options.knows_detected + options.repeats, first)
        self.categories = nn.Linear(width, 2 * first, bias=False) if width else None  # as subject, as object
        layers: list[nn.Module] = [nn.ReLU()]
        for before, after in itertools.pairwise((first, *others)):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.chance = nn.Linear(options.candidate_sizes[-1], 1)
        self.future = nn.Linear(options.candidate_sizes[-1], 1) if options.candidate_future else None
        nn.init.constant_(self.chance.bias, SELDOM)
        self.kept: torch.Tensor | None = None  # the categories' parts, once the weights will not change any more

    def forward(
        self, pair: torch.Tensor, categories: torch.Tensor, vectors: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """pair (n, d), categories int64 (n, 2), vectors (C + 1, v) each of all categories.

        d: GEOMETRY + CONTEXT + repeats, and 1 where it is known whether boxes are a detector's.
        Returns log-odds (n, 1), and the value of what follows (n, 1) if it is learned.
        """
        hidden = self.pair(pair)
        if self.categories is not None:
            subject, object_ = self.category_parts(vectors).chunk(2, dim=1)
            hidden = hidden + subject[categories[:, 0]] + object_[categories[:, 1]]
        hidden = self.layers(hidden)
        return self.chance(hidden).float(), None if self.future is None else self.future(hidden).float()

    def category_parts(self, vectors: list[torch.Tensor]) -> torch.Tensor:
        """What each category adds to the first layer as subject, then as object: (C + 1, 2 x width)."""
        return self.categories(torch.cat(vectors, dim=1)) if self.kept is None else self.kept

    @property
    def multiply_adds(self) -> int:
        """To judge one pair, the categories' parts being there."""
        return sum(layer.weight.numel() for layer in (self.pair, *self.layers, self.chance) if hasattr(layer, "weight"))


class EntityVectors(nn.Module):
    """Given vectors of the categories, word2vec's for instance; the last row is that of no object, zeros."""

    def __init__(self, num_categories: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(num_categories + 1, dimension))

    def forward(self, categories: torch.Tensor) -> torch.Tensor:
        """Categories int64 (n, 2), `num_categories` where there is none -> (n, 2, dimension)."""
        return self.vectors[categories]


class QNetwork(nn.Module):
    """State -> fully connected fusion layers -> a linear head for each kind of action.

    With `reward_loss` "cross_entropy" the heads of attributes and predicates give the log-odds of each action's reward,
    and Q is the expected reward: what is said changes nothing that follows but the phrases remembered. Best first a
    `CandidateNetwork` does the same for the pair to look at, whatever the loss (see `q_values`).

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
        learned = options.learned_category_vectors
        self.categories = nn.Embedding(none + 1, learned) if learned else None
        self.entity_vectors = None
        if options.entity_vector_dimension:
            self.entity_vectors = EntityVectors(none, options.entity_vector_dimension)
        rules = rules or Rules()
        self.widths = action_widths(graph, rules)
        heads = (*self.widths[:2], 0 if options.best_first else self.widths[2])
        self.members = nn.ModuleList(FusionNetwork(options, heads) for _ in range(options.num_members))
        self.candidate = CandidateNetwork(options) if options.best_first else None
        self.rewards = reward_ranges(rules)
        # the first output of each kind of action (attribute, predicate, next object); of every output its kind, its
        # lower and its higher reward
        widths = torch.tensor(self.widths)
        kinds = torch.arange(3).repeat_interleave(widths)
        low, high = torch.tensor(self.rewards)[kinds].T.contiguous()
        # which outputs are log-odds of a reward; the others are Q itself
        log_odds = torch.tensor([options.reward_loss == "cross_entropy"] * 2 + [options.best_first])[kinds]
        buffers = {"first": widths.cumsum(0) - widths, "kinds": kinds, "low": low, "high": high, "log_odds": log_odds}
        for name, values in buffers.items():
            self.register_buffer(name, values, persistent=False)

    def forward(
        self, dense: torch.Tensor, categories: torch.Tensor, every_member: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """dense (n, state dimension less category vectors), categories (n, 2) -> outputs, value of what follows.

        Outputs (n, sum of widths) are those of the three kinds of actions side by side (see `by_kind`). All are the
        mean of the members', or those of every member: (k, n, sum of widths). What follows is (n, 1), or None.
        """
        parts = [dense]
        if self.categories is not None:
            parts.append(self.categories(categories).flatten(1))
        if self.entity_vectors is not None:
            parts.append(self.entity_vectors(categories).flatten(1))
        state = torch.cat(parts, dim=1) if len(parts) > 1 else dense
        with torch.autocast(dense.device.type, torch.bfloat16, enabled=self.mixed_precision):
            said = [member(state) for member in self.members]
        outputs = torch.stack(said) if len(said) > 1 else said[0][None]
        future = None
        if self.candidate is not None:
            pair = dense[:, -self.candidate.pair.in_features :]
            chance, future = self.judge(pair, categories)
            outputs = torch.cat([outputs, chance.expand(len(outputs), -1, -1)], dim=2)
        if not every_member:
            outputs = outputs.mean(dim=0) if len(said) > 1 else outputs[0]
        return outputs, future

    def judge(self, pair: torch.Tensor, categories: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Log-odds (n, 1) that looking at pairs finds something new, and what follows; see `CandidateNetwork`."""
        return self.candidate(pair, categories, self._all_vectors())

    def _all_vectors(self) -> list[torch.Tensor]:
        vectors = [] if self.categories is None else [self.categories.weight]
        return vectors + ([] if self.entity_vectors is None else [self.entity_vectors.vectors])

    @torch.no_grad()
    def trained(self) -> QNetwork:
        """Itself, once the weights will not change any more: what does not depend on the state is worked out."""
        if self.candidate is not None and self.candidate.categories is not None:
            self.candidate.kept = self.candidate.category_parts(self._all_vectors())
        return self.eval()

    def q_values(self, outputs: torch.Tensor, future: torch.Tensor | None) -> QValues:
        """Outputs -> Q. Log-odds become the expected reward low + (high - low) `chances`."""
        if self.options.reward_loss == "squared" and not self.options.best_first:  # no log-odds among them
            return self.by_kind(outputs)
        q = torch.where(self.log_odds, self.low + (self.high - self.low) * self.chances(outputs), outputs)
        if future is not None:
            q = torch.cat([q[:, :-1], q[:, -1:] + future], dim=1)
        return self.by_kind(q)

    def chances(self, outputs: torch.Tensor) -> torch.Tensor:
        """Log-odds z of rewards (n, sum of widths) -> how likely each is, in [0, 1].

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
        """Numbers of all actions (n, sum of widths) -> of attributes, predicates, next objects."""
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
        if self.options.remembered_predicates:
            width = math.prod(states["memory"].shape[1:])  # not -1: a rank may have no states in a step
            parts.append(states["memory"].reshape(len(states), width).astype(np.float32) / CERTAIN)
        if self.options.use_box_geometry:
            parts.append(box_geometry(states))
        if self.options.use_pair_context:
            parts.append(states["context"])
        if self.options.knows_detected:
            parts.append(states["detected"][:, None])
        if self.options.repeats:
            parts.append(states["repeats"])
        dense = np.concatenate(parts, axis=1) if parts else np.zeros((len(states), 0), np.float32)
        return to_device(dense, device), to_device(self._categories(states), device)

    def candidates(self, records: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """(n,) records of pairs to look at -> inputs of the candidate network: float32 (n, d), int64 (n, 2)."""
        repeats = records["repeats"][:, : self.options.repeats]
        detected = records["detected"][:, None] if self.options.knows_detected else repeats[:, :0]
        pair = np.concatenate([box_geometry(records), records["context"], detected, repeats], axis=1)
        return to_device(pair, device), to_device(self._categories(records), device)

    def _categories(self, records: np.ndarray) -> np.ndarray:
        pair = np.stack([records["subject_category"], records["object_category"]], axis=1).astype(np.int64)
        pair[pair < 0] = len(self.scenes.graph.entities)
        return pair

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


def confidence_of(q: torch.Tensor, rewards: tuple[float, float]) -> torch.Tensor:
    """Q as a number in (0, 1) to rank by, also across states: (n, k) -> (n, k); one half is half way between rewards.

    A logistic curve, as steep there as chance rises with the expected reward. What follows is in Q too, so it is no
    chance; but unlike a difference to the other actions of the state it says something where there is only one.
    """
    low, high = rewards
    return torch.sigmoid((q - (low + high) / 2) * 4 / (high - low))


class Agent:
    """Chooses action triples from the adaptive action sets by the network's Q values."""

    def __init__(self, network: QNetwork, encoder: StateEncoder, action_sets: ActionSetMaker, device: torch.device):
        self.network, self.encoder, self.action_sets, self.device = network, encoder, action_sets, device

    def __call__(self, states: np.ndarray) -> Judgement:
        """Q of every action in n states and confidences, without gradients."""
        with torch.inference_mode():
            outputs, future = self.network(*self.encoder(states, self.device))
            q = self.network.q_values(outputs, future)
            if self.network.options.reward_loss == "cross_entropy":
                return Judgement(q, *self.network.by_kind(self.network.chances(outputs))[:2])
            attribute, predicate = map(confidence_of, q[:2], self.network.rewards[:2])
            return Judgement(q, attribute, predicate)

    def q_values(self, states: np.ndarray) -> QValues:
        """Q of every action in n states, without gradients."""
        with torch.inference_mode():
            return self.network.q_values(*self.network(*self.encoder(states, self.device)))

    def promise(self, candidates: np.ndarray) -> np.ndarray:
        """Q of looking at pairs (`scenes.records.candidate_dtype`), float32 (n,): what is expected there less the cost.

        Something is found when both objects are what they seem, so the chance is multiplied by the detector's
        confidences, of which the annotated boxes that are learned from say nothing.
        """
        with torch.inference_mode():
            chance, future = self.network.judge(*self.encoder.candidates(candidates, self.device))
            low, high = self.network.rewards[2]
            certainty = to_device(candidates["certainty"].copy(), self.device)[:, None]
            q = low + (high - low) * torch.sigmoid(chance) * certainty
            return (q if future is None else q + future)[:, 0].cpu().numpy()

    def act(
        self, states: np.ndarray, epsilon: float, uniform: np.ndarray, q_values: QValues | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """epsilon-greedy: each action of the triple is random with probability epsilon.

        uniform: (n, 6) random numbers in [0, 1), two for each action; q_values: those of the states, if they are known.
        Returns attribute, predicate (-1: none to choose), entity, int64 (n,) each.
        """
        sets = self.action_sets(states)
        triple = [random_action(allowed, uniform[:, 2 * i + 1]) for i, allowed in enumerate(sets)]
        if epsilon < 1:
            masks = [to_device(allowed, self.device) for allowed in sets]
            q_values = q_values or self.q_values(states)
            best = torch.stack([greedy(q, mask) for q, mask in zip(q_values, masks, strict=True)])
            explore = (uniform[:, ::2] < epsilon).T
            triple = np.where(explore, triple, best.cpu().numpy())  # the one place that waits for the device
        return triple[0], triple[1], triple[2]
