"""Walks over many images side by side: which slot walks through which, and what a greedy walk says about them."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from tqdm import tqdm

from action_sets import ActionSetMaker, greedy
from engine import distributed as ranks
from engine.best_first import BestFirstEnvironment, make_environment
from engine.parts import Parts
from files.options import Rules
from scenes.episodes import Episodes
from scenes.scene import SceneSet
from vrl_model import Judgement

BEST = 100  # phrases of an image that are kept: what recall@100 looks at
MOST_PENDING = 2_000_000  # rows said before the best of each image are picked out


class Policy(Protocol):
    """Who walks."""

    def __call__(self, states: np.ndarray) -> Judgement:
        """What it thinks of n states."""

    def promise(self, candidates: np.ndarray) -> np.ndarray:
        """Best first: the Q of looking at pairs (`scenes.records.candidate_dtype`), float32 (n,); Terminal's is 0."""


class Findings(NamedTuple):
    """What was said in a walk, as flat arrays; one dictionary of columns for each kind.

    relationships: scene, subject, object (instances), subject_category, object_category, predicate, score, rank, step.
    attributes: scene, subject, subject_category, attribute, score, rank, step.
    rank: 0 for the agent's own choice, then its next best Q values of that state.
    steps: scene, subject, object (-1: none), their categories, step.
    """

    relationships: dict[str, np.ndarray]
    attributes: dict[str, np.ndarray]
    steps: dict[str, np.ndarray]


def walk(
    policy: Policy,
    scenes: SceneSet,
    rules: Rules,
    images: Sequence[int],
    num_slots: int = 64,
    maximum_choices: int = BEST,
    progress: str | None = None,
    most: int = BEST,
    may_stop: bool = True,
    least: int = 1,
) -> Findings:
    """Walk greedily through `images` (indices into scenes), once each.

    rules.predicates_per_pair: 1 takes the agent's own choice, more reads the k best Q values of each visited pair;
    rules.attributes_per_step too. The score of a relationship is the policy's confidence times those of both
    instances, of an attribute times that of its one. The `most` best of each kind are kept, and of the agent's own
    choices the `maximum_choices` best. may_stop: best first, Terminal ends an image, once `least` pairs were looked at;
    else every pair is looked at.
    """
    action_sets = ActionSetMaker(scenes.graph, rules)
    env = make_environment(scenes, min(num_slots, max(len(images), 1)), rules)
    best_first = isinstance(env, BestFirstEnvironment)
    images = np.asarray(images, dtype=np.int64)
    env.assign(queues_of(images, most_steps(scenes, images, rules), env.num_slots))
    if best_first:
        env.advance(policy.promise, may_stop=may_stop, least=least)
    columns: list[list[dict[str, np.ndarray]]] = [[], [], []]
    pending = 0
    with tqdm(total=len(images), desc=progress, unit="image", disable=None if progress else True) as bar:
        while env.active.any():
            states = env.states()
            sets = action_sets(states)
            judgement = policy(states)
            columns[2].append(steps := _steps(env, states))
            confident = _confidences(env, states)
            for column, name, k, confidence in (
                (0, "predicate", rules.predicates_per_pair, judgement.predicate_confidence),
                (1, "attribute", rules.attributes_per_step, judgement.attribute_confidence),
            ):
                q, allowed = getattr(judgement.q, name), getattr(sets, name)
                if q.shape[1] and k:
                    columns[column].append(_best(q, confidence, allowed, confident[name], k, name, steps))
                    pending += len(columns[column][-1]["score"])
            if pending > MOST_PENDING:
                columns = [[_top(_join(part), maximum_choices, most)] for part in columns[:2]] + columns[2:]
                pending = 0
            triple = [
                greedy(q, torch.from_numpy(allowed).to(q.device)).cpu().numpy()
                for q, allowed in list(zip(judgement.q, sets, strict=True))[: 2 if best_first else 3]
            ]
            if best_first:
                env.say(states, *triple, judgement.predicate_confidence.cpu().numpy())
                done = env.advance(policy.promise, may_stop=may_stop, least=least)[1]
            else:
                done = env.step(states, *triple)[1]
            bar.update(int(done.sum()))
    relationships, attributes, steps = (_join(parts) for parts in columns)
    return Findings(*(_top(part, maximum_choices, most) for part in (relationships, attributes)), steps)


def _steps(env: Episodes, states: np.ndarray) -> dict[str, np.ndarray]:
    """Where the active slots are: the columns of `Findings.steps`. Copies: views would keep the whole records."""
    columns = {key: states[key].copy() for key in ("scene", "subject", "object", "subject_category", "object_category")}
    return columns | {"step": env.num_steps[env.active]}


def _confidences(env: Episodes, states: np.ndarray) -> dict[str, np.ndarray]:
    """How confident the detector is of what a predicate is about, both instances, and of what an attribute is about."""
    of = env.candidate_scores[env.active, :, 0]
    row = np.arange(len(states))
    subject = of[row, states["subject"].astype(np.int64)]
    return {"predicate": subject * of[row, states["object"].astype(np.int64)], "attribute": subject}


def walk_over(
    parts: Parts,
    policy: Policy,
    scenes: SceneSet,
    progress: str | None,
    maximum_choices: int = BEST,
    may_stop: bool = True,
    most: int = BEST,
) -> list[Findings]:
    """A greedy walk over the usable images, divided among the ranks.

    Rank 0 gets every rank's findings, the others [].
    """
    found = walk(
        policy,
        scenes,
        parts.arguments,
        scenes.images[ranks.rank() :: ranks.world_size()],
        num_slots=128,
        maximum_choices=maximum_choices,
        most=most,
        progress=progress if ranks.rank() == 0 else None,
        may_stop=may_stop,
    )
    if parts.phrases is not None:
        parts.phrases.save()
    return ranks.gather(found)


def merge(found: list[Findings]) -> Findings:
    """The findings of several ranks as one."""
    merged = []
    for parts in zip(*found, strict=True):
        parts = [part for part in parts if part]
        merged.append({key: np.concatenate([part[key] for part in parts]) for key in parts[0]} if parts else {})
    return Findings(*merged)


def _best(
    q: torch.Tensor,
    confidence: torch.Tensor,
    allowed: np.ndarray,
    weight: np.ndarray,
    k: int,
    name: str,
    base: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """The k allowed actions of highest Q in each state as rows: (n, w) -> columns of up to n k rows."""
    masked = q.masked_fill(~torch.from_numpy(allowed).to(q.device), -torch.inf)
    # Of equal values the first, as `greedy` takes; topk takes any.
    best, action = (part[:, :k] for part in masked.sort(dim=1, descending=True, stable=True))
    value = confidence.gather(1, action).cpu().numpy()
    best, action = best.cpu().numpy(), action.cpu().numpy()
    row, column = np.nonzero(best > -np.inf)
    found = {key: values[row] for key, values in base.items()}
    score = value[row, column] * weight[row]
    return found | {name: action[row, column].astype(np.int32), "score": score, "rank": column.astype(np.int16)}


def _join(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if not parts:
        return {}
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _top(found: dict[str, np.ndarray], maximum_choices: int, most: int = BEST) -> dict[str, np.ndarray]:
    """The `most` best rows of each scene, and the `maximum_choices` best of rank 0, by scene and falling score."""
    if not found:
        return found
    if "attribute" in found:
        found = _said_once(found)
    order = np.lexsort((-found["score"], found["scene"]))
    scene = found["scene"][order]
    own = found["rank"][order] == 0
    own_before = np.cumsum(own) - own
    first = np.searchsorted(scene, scene)
    keep = (np.arange(len(order)) - first < most) | (own & (own_before - own_before[first] < maximum_choices))
    return {key: values[order[keep]] for key, values in found.items()}


def _said_once(attributes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Attributes without repetitions: what was said of an instance at several steps keeps its best score and rank."""
    order = np.lexsort([attributes[key] for key in ("score", "attribute", "subject", "scene")])
    order = order[::-1]  # the best score of each first
    named = np.stack([attributes[key][order] for key in ("scene", "subject", "attribute")])
    first = np.flatnonzero(np.append(True, (np.diff(named) != 0).any(axis=0))[: len(order)])
    once = {key: values[order[first]] for key, values in attributes.items()}
    if len(first):
        once["rank"] = np.minimum.reduceat(attributes["rank"][order], first)
    by_step = np.lexsort((once["rank"], once["step"], once["scene"]))
    return {key: values[by_step] for key, values in once.items()}


def best(found: Findings, most: int = BEST) -> Findings:
    """The `most` best phrases of each kind of every image, and as many of the agent's own choices."""
    return Findings(_top(found.relationships, most, most), _top(found.attributes, most, most), found.steps)


def own_choices(found: Findings) -> Findings:
    """What is left of a walk when one action is taken for each state: k = 1."""
    relationships, attributes = (
        {key: values[part["rank"] == 0] for key, values in part.items()} if part else part
        for part in (found.relationships, found.attributes)
    )
    return Findings(relationships, attributes, found.steps)


# ---- many images side by side


def most_steps(scenes: SceneSet, images: Sequence[int], rules: Rules) -> np.ndarray:
    """The most steps that a walk over each image can take, int64 (n,): what the images are compared by.

    Every instance is a subject once, looks at up to `maximum_objects_per_subject` others, then ends with Terminal.
    Best first every pair is looked at, and every instance by itself.
    """
    boxes = np.array([len(scenes.instances(int(image)).boxes) for image in images], dtype=np.int64)
    if rules.frontier == "best_first":
        return np.minimum(boxes * boxes, rules.maximum_steps)
    objects = np.minimum(np.maximum(boxes - 1, 0), rules.maximum_objects_per_subject)
    return np.minimum(boxes * (objects + 1), rules.maximum_steps)


def queues_of(images: np.ndarray, lengths: np.ndarray, num_slots: int) -> list[np.ndarray]:
    """A queue of images for each slot: in the order given, each goes to the slot that would be free first.

    lengths: of the walk over each image, (n,). On VRD 256 slots are idle for 23 % of the steps of an epoch; with equal
    numbers of images it would be 46 %, and short walks would be learned from more often than long ones.
    """
    free = [(0, slot) for slot in range(num_slots)]  # a heap: when each slot has walked through its queue
    queues: list[list[int]] = [[] for _ in range(num_slots)]
    for image, length in zip(images.tolist(), lengths.tolist(), strict=True):
        time, slot = free[0]
        heapq.heapreplace(free, (time + length, slot))
        queues[slot].append(image)
    return [np.array(queue, dtype=np.int64) for queue in queues]
