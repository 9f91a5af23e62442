"""Message passing: networks that say for every ordered pair of an image's objects which predicates hold.

`MessagePassing` sends messages between the image's objects and pairs (Xu, Zhu, Choy, Fei-Fei, "Scene Graph Generation
by Iterative Message Passing", CVPR 2017). It has the agent's inputs, and learns as the agent does: from shaken boxes,
objects boxed twice, several networks whose mean decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from benchmarks.pairs import all_pairs, by_scene, labels
from boxes import CONTEXT, GEOMETRY, box_geometry
from q_learning import jittered, mirror_partners
from scenes.scene import SceneSet
from scenes.simulated import SimulatedScenes

RARE = -5.0  # log-odds of a predicate before anything is learned: most pairs have no relationship
LEARNED_VECTOR = 64  # numbers of a category where none are given
SUBJECT_GEOMETRY = 8  # of `box_geometry`: the first numbers are about the subject alone
PAIRS_AT_ONCE = 8192


@dataclass(frozen=True)
class Training:
    """How the networks learn."""

    passes: float = 5.0  # how often every pair is learned from
    batch_size: int = 512  # pairs in an update: fewer take twice the time
    learning_rate: float = 0.001  # falls linearly to 0
    averaging: float = 0.999  # of the weights: how much of the average stays at an update
    box_jitter: float = 0.06  # corners move by this share of a box's sides
    seen_twice: float = 0.05  # share of the objects that have a second box, without pixels
    misnamed: float = 0.3  # share that is boxed under a wrong name, without pixels
    mirror: bool = True  # half of a batch is learned from as if its images were mirrored
    mixed_precision: bool = False  # products in bfloat16: twice as fast where the processor has them
    seed: int = 0


class Inputs(NamedTuple):
    """What the networks see of n pairs of whole images or of any pairs."""

    dense: torch.Tensor  # (n, d) geometry, context, then features of image, subject and object
    subject_category: torch.Tensor  # (n,) int64
    object_category: torch.Tensor  # (n,) int64
    subject: torch.Tensor  # (n,) int64: number of the object among those of the batch
    object: torch.Tensor  # (n,) int64
    first: torch.Tensor  # (objects,) int64: a row in which each object is the subject


class Encoder:
    """Records of pairs -> `Inputs`. features: number of the image -> (D,) image, (n, D) boxes; None: no pixels."""

    def __init__(self, features=None, dimension: int = 0) -> None:
        self.features, self.dimension = features, dimension

    @property
    def width(self) -> int:
        return self.before_pixels + 3 * self.dimension

    @property
    def before_pixels(self) -> int:
        """Where the pixels' numbers begin."""
        return GEOMETRY + CONTEXT + (self.features is None)  # without pixels: whether boxes are a detector's

    def __call__(self, pairs: np.ndarray) -> Inputs:
        key = pairs["scene"].astype(np.int64) << 32
        objects, first, subject = np.unique(key + pairs["subject"], return_index=True, return_inverse=True)
        object_ = np.minimum(np.searchsorted(objects, key + pairs["object"]), len(objects) - 1)
        dense = [box_geometry(pairs), pairs["context"]]
        if self.features is None:
            dense.append(pairs["detected"][:, None])
        else:
            pixels = np.empty((len(pairs), 3, self.dimension), dtype=np.float32)
            for rows in by_scene(pairs):
                image, boxes = self.features(int(pairs["scene"][rows.start]))
                pixels[rows, 0] = image
                pixels[rows, 1], pixels[rows, 2] = boxes[pairs["subject"][rows]], boxes[pairs["object"][rows]]
            dense.append(pixels.reshape(len(pairs), -1))
        columns = pairs["subject_category"], pairs["object_category"], subject, object_, first
        whole = (torch.from_numpy(np.asarray(column, dtype=np.int64)) for column in columns)
        return Inputs(torch.from_numpy(np.concatenate(dense, axis=1)), *whole)


def category_table(vectors: np.ndarray) -> nn.Embedding:
    """(C, d) given vectors, kept as they are; with d = 0, LEARNED_VECTOR numbers for each category are learned."""
    given = vectors.shape[1] > 0
    table = torch.from_numpy(vectors) if given else torch.randn(len(vectors), LEARNED_VECTOR) / 8
    return nn.Embedding.from_pretrained(table, freeze=given)


class MessagePassing(nn.Module):
    """A GRU for objects and one for pairs, which send each other messages in `iterations` rounds.

    An object's message is the sum of its pairs' states, a pair's that of its two objects, each weighed with a learned
    gate: sigmoid of a linear function of both states (equations 3 and 4 of the paper). The paper's inputs are features
    of boxes and of their unions; here objects start from category vector and box, pairs from what the classifier sees.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        encoder: Encoder,
        num_predicates: int,
        hidden: int = 256,
        iterations: int = 2,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.iterations, self.dimension, self.before_pixels = iterations, encoder.dimension, encoder.before_pixels
        self.categories = category_table(vectors)
        width = self.categories.embedding_dim
        self.object_input = nn.Linear(width + SUBJECT_GEOMETRY + 2 * self.dimension, hidden)
        self.pair_input = nn.Linear(2 * width + encoder.width, hidden)
        self.object_gru, self.pair_gru = nn.GRUCell(hidden, hidden), nn.GRUCell(hidden, hidden)
        # Gates of messages: out of an object's pairs as subject, as object; of a pair's subject, object.
        self.gates = nn.ModuleList(nn.Linear(2 * hidden, 1) for _ in range(4))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, num_predicates)
        nn.init.constant_(self.output.bias, RARE)

    def forward(self, inputs: Inputs) -> torch.Tensor:
        """All pairs of some images -> (n, P)."""
        ends = self.categories(inputs.subject_category), self.categories(inputs.object_category)
        pairs = self.pair_input(torch.cat([*ends, inputs.dense], dim=1))
        first, pixels = inputs.first, inputs.dense[:, self.before_pixels :]
        alone = inputs.dense[first, :SUBJECT_GEOMETRY], pixels[first, : 2 * self.dimension]
        objects = self.object_input(torch.cat([ends[0][first], *alone], dim=1))
        objects = self.object_gru(self.dropout(F.relu(objects)))
        pairs = self.pair_gru(self.dropout(F.relu(pairs)))
        for _ in range(self.iterations):
            to_objects, to_pairs = self.messages(objects, pairs, inputs.subject, inputs.object)
            objects, pairs = self.object_gru(to_objects, objects), self.pair_gru(to_pairs, pairs)
        return self.output(self.dropout(pairs))

    def messages(
        self, objects: torch.Tensor, pairs: torch.Tensor, subject: torch.Tensor, object_: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """States (m, h) of objects, (n, h) of pairs; (n,) each pair's subject and object -> messages (m, h), (n, h)."""
        gate_out, gate_in, gate_subject, gate_object = self.gates

        def gated(gate: nn.Linear, end: torch.Tensor, sent: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(gate(torch.cat([end, pairs], dim=1))) * sent

        subjects, others = objects[subject], objects[object_]
        to_objects = torch.zeros_like(objects).index_add(0, subject, gated(gate_out, subjects, pairs))
        to_objects = to_objects.index_add(0, object_, gated(gate_in, others, pairs))
        to_pairs = gated(gate_subject, subjects, subjects) + gated(gate_object, others, others)
        return to_objects, to_pairs


class Members(nn.Module):
    """Several networks that learn each by itself from the same batches; their mean log-odds decide."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, inputs: Inputs) -> torch.Tensor:
        """-> (members, n, P)."""
        return torch.stack([member(inputs) for member in self.members])


def batches(scenes: SceneSet, size: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Without end: all pairs (n,) of as many images as have about `size`, and their labels (n, P)."""
    for number in itertools.count():
        scenes.epoch = number  # simulated boxes are others each time
        pairs = all_pairs(scenes)
        right, rows = labels(pairs, scenes, len(scenes.graph.predicates)), by_scene(pairs)
        chosen: list[np.ndarray] = []
        for image in rng.permutation(len(rows)):
            chosen.append(np.arange(rows[image].start, rows[image].stop))
            if sum(map(len, chosen)) >= size:
                batch = np.sort(np.concatenate(chosen))
                yield pairs[batch], right[batch]
                chosen = []


def mirrored(
    pairs: np.ndarray, right: np.ndarray, chosen: np.ndarray, partner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs and their labels (n, P), of which the chosen ones (n,) lie left for right, as in a mirror."""
    pairs, right = pairs.copy(), right.copy()
    axis = pairs["extent"][:, 0] + pairs["extent"][:, 2]
    for end in ("subject_box", "object_box"):
        left = pairs[end][chosen, 0]
        pairs[end][chosen, 0] = axis[chosen] - pairs[end][chosen, 2]
        pairs[end][chosen, 2] = axis[chosen] - left
    right[chosen] = right[chosen][:, partner]
    return pairs, right


def train(network: Members, encoder: Encoder, scenes: SceneSet, num_pairs: int, options: Training) -> nn.Module:
    """Fit every predicate by cross-entropy on all pairs of annotated scenes, of which there are `num_pairs`.

    Returns the network with its weights averaged over the updates.
    """
    rng = np.random.default_rng(options.seed)
    partner = mirror_partners(scenes.graph.predicates)
    jitter = options.box_jitter
    if options.seen_twice and encoder.features is None:
        scenes = SimulatedScenes(scenes, jitter, options.seen_twice, options.misnamed, options.seed)
        jitter = 0.0
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=options.learning_rate, weight_decay=1e-4, betas=(0.9, 0.99), fused=True
    )
    updates = max(1, int(options.passes * num_pairs / options.batch_size))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(1, (i + 1) / 200) * (1 - i / updates))
    least = 1 - options.averaging  # more at first: the random first weights fade
    average = AveragedModel(network, avg_fn=lambda mean, now, n: torch.lerp(mean, now, max(least, 10 / (10 + int(n)))))
    mean_loss = 0.0
    network.train()
    with tqdm(total=updates, unit="update", disable=None) as bar:
        for update, (batch, target) in zip(range(updates), batches(scenes, options.batch_size, rng), strict=False):
            batch = jittered(batch, jitter, rng.standard_normal((len(batch), 8)))
            if options.mirror:
                image = np.unique(batch["scene"], return_inverse=True)[1]
                chosen = (rng.random(image.max() + 1) < 0.5)[image]
                batch, target = mirrored(batch, target, chosen, partner)
            with torch.autocast("cpu", torch.bfloat16, enabled=options.mixed_precision):
                said = network(encoder(batch)).float()
            wanted = torch.from_numpy(target).float().expand_as(said)
            loss = F.binary_cross_entropy_with_logits(said, wanted, reduction="sum") / len(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
            mean_loss += (loss.item() / len(network.members) - mean_loss) * max(0.01, 1 / (update + 1))
            bar.set_postfix(loss=f"{mean_loss:.3f}", refresh=False)
            bar.update()
    return average.eval()


@torch.inference_mode()
def probabilities(network: nn.Module, encoder: Encoder, pairs: np.ndarray, num_predicates: int) -> np.ndarray:
    """All pairs of some images -> (n, P) float32 how likely each predicate is."""
    bounds = [0]
    for rows in by_scene(pairs):
        if rows.stop - bounds[-1] > PAIRS_AT_ONCE and rows.start > bounds[-1]:
            bounds.append(rows.start)
    parts = [np.zeros((0, num_predicates), dtype=np.float32)]
    for start, stop in itertools.pairwise([*bounds, len(pairs)]):
        if stop > start:
            parts.append(torch.sigmoid(network(encoder(pairs[start:stop])).mean(dim=0)).numpy())
    return np.concatenate(parts)
