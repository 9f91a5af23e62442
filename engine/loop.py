"""The training loop: act in every slot, remember, learn from a sample."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from engine import distributed as ranks
from engine.best_first import BestFirstEnvironment
from engine.options import MOST_SLOTS
from engine.walk import most_steps, queues_of
from environment import action_widths
from files.checkpoints import count_of
from files.io import InputError
from q_learning import Learner, jittered, mirror_partners, mirrored, set_mode
from replay_memory import ReplayMemory
from scenes.episodes import Episodes
from scenes.ranges import check_inside, check_numbers, check_states

ACT, SAMPLE, JITTER, MIRROR = 0, 1, 2, 3  # streams of random numbers
CHECK_UPDATES = 100  # between two looks at the losses on a GPU
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt, in glibc's malloc.h
IMAGES_PER_SLOT = 8  # at least, where there are several slots to a transition: at the end of an epoch slots idle


def keep_memory() -> None:
    """From now on memory that is freed stays with this process, where the C library is glibc.

    Every update frees its gradients and asks for as much again. glibc hands blocks of some megabytes back to the system
    each time, and fresh pages cost a tenth of an update of small networks, and as much as the product that fills them
    for the paper's.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def slots_per_transition(images: int, batch_size: int) -> int:
    """How many times the batch size images are walked over side by side, by all ranks together: 1 to MOST_SLOTS."""
    return min(max(images // (IMAGES_PER_SLOT * batch_size), 1), MOST_SLOTS)


def diverged(update: int) -> str:
    """The one line about losses or weights that are not finite any more."""
    return (
        f"the loss or a weight is not a finite number after update {update}: training has diverged and stops; what was "
        "written before stays as it is. Lower --learning_rate, or look for numbers that are far too large in the inputs"
    )


def generator(seed: int, stream: int, step: int) -> np.random.Generator:
    """Random numbers that depend on nothing but the arguments: no state to save or to share among ranks."""
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, step]))


@dataclass
class EpochSums:
    """What an epoch has done so far, over all ranks."""

    transitions: int = 0
    updates: int = 0
    seconds: float = 0.0
    reward: np.ndarray = field(default_factory=lambda: np.zeros(3))  # attribute, predicate, next object
    losses: torch.Tensor = field(default_factory=lambda: torch.zeros(3))

    def row(self) -> dict[str, float | None]:
        """The columns of log.csv that an epoch's training gives; losses are None before the first update."""
        losses = (self.losses / self.updates).tolist() if self.updates else None
        attribute, predicate, entity = losses or [None] * 3
        return {
            "transitions": self.transitions,
            "reward": float(self.reward.sum()) / max(self.transitions, 1),
            "loss": sum(losses) if losses else None,
            "loss_attribute": attribute,
            "loss_predicate": predicate,
            "loss_entity": entity,
            "seconds": self.seconds,
            "transitions_per_second": self.transitions / max(self.seconds, 1e-9),
        }


class TrainingLoop:
    """Steps `env` and learns. With several ranks each holds its share of the slots, the memory and the batch.

    The same numbers come out however many ranks there are (but for the order in which gradients are added):
    random numbers are drawn for all slots and each rank takes its own; every slot has its own share of the memory.
    """

    def __init__(self, env: Episodes, learner: Learner, memory: ReplayMemory) -> None:
        keep_memory()
        self.env, self.learner, self.memory = env, learner, memory
        self.num_slots = env.num_slots * ranks.world_size()
        self.mine = slice(ranks.rank() * env.num_slots, (ranks.rank() + 1) * env.num_slots)
        self.actor = learner.actor
        self.partners = mirror_partners(env.graph.predicates)
        self.lengths = most_steps(env.scenes, range(len(env.scenes)), env.rules)
        self.steps = 0  # of all slots together, since the beginning
        self.credit = 0.0  # samples owed for the transitions made
        self.epoch = 0
        # over all ranks: images of this epoch, how many of them a walk has begun on, walks under way, transitions held
        self.num_images = self.images_begun = self.active = self.held = 0
        self.sums = EpochSums(losses=torch.zeros(3, device=learner.agent.device))

    def begin_epoch(self, images: np.ndarray) -> None:
        """Shuffle the images and deal them out to the slots."""
        self.num_images = len(images)
        self.env.scenes.epoch = self.epoch
        order = np.random.default_rng([self.learner.options.seed, self.epoch]).permutation(images)
        self.env.assign(queues_of(order, self.lengths[order], self.num_slots)[self.mine])
        if isinstance(self.env, BestFirstEnvironment):
            self.env.advance(self.actor.promise, may_stop=False)
        self.sums = EpochSums(losses=torch.zeros(3, device=self.learner.agent.device))

    def run_epoch(self, epsilon: float, bar: tqdm, pause: Callable[[], None]) -> None:
        """Step until every slot of every rank has walked through its images. `pause` is called before every step."""
        learner, options = self.learner, self.learner.options
        states = self.env.states()
        done = self.images_done()
        while self.active:
            pause()
            started = time.perf_counter()
            states = self._step(states, epsilon)
            self.steps += 1
            self.sums.transitions += self.active
            self.credit += self.active * options.samples_per_transition
            before, done = done, self.images_done()
            while self.credit >= options.batch_size:
                self.credit -= options.batch_size
                if self.held >= options.replay_buffer_minimum_number_samples:
                    losses = learner.update(self._sample())
                    self.sums.losses += losses
                    self.sums.updates += 1
                    # reading a number off another device waits for it, so there the sums are looked at instead
                    if losses.device.type == "cpu" or learner.updates % CHECK_UPDATES == 0:
                        looked_at = losses if losses.device.type == "cpu" else self.sums.losses
                        if not bool(looked_at.isfinite().all()):
                            raise InputError(diverged(learner.updates))
            self.sums.seconds += time.perf_counter() - started
            bar.update(done - before)
        self.sums.losses = ranks.total(self.sums.losses) / ranks.world_size()
        self.sums.reward = ranks.total(torch.from_numpy(self.sums.reward)).numpy()
        self.epoch += 1

    def images_done(self) -> int:
        """How many images of this epoch the slots of all ranks have finished; brings the counts up to date."""
        counts = [int(self.env.active.sum()), int(self.env.position.sum()), len(self.memory)]
        self.active, self.images_begun, self.held = ranks.total(torch.tensor(counts)).tolist()
        return self.images_begun - self.active

    def so_far(self) -> dict[str, float | None]:
        """Means of this epoch until now, for display: reward a step and loss are those of this rank."""
        row = self.sums.row()
        row["reward"] *= ranks.world_size()
        return {key: row[key] for key in ("reward", "loss", "transitions_per_second")}

    def progress(self) -> float:
        """Epochs done, and the share of the images of this one that a walk has begun on."""
        return self.epoch + self.images_begun / max(self.num_images, 1)

    def _step(self, states: np.ndarray, epsilon: float) -> np.ndarray:
        """One step of every active slot, into the memory. Returns the next states."""
        env, learner = self.env, self.learner
        slots = np.flatnonzero(env.active)
        random = generator(learner.options.seed, ACT, self.steps).random((self.num_slots, 6))[self.mine]
        set_mode(learner.agent.network, training=False)
        transitions = np.zeros(len(slots), dtype=self.memory.dtype)
        transitions["state"] = states
        if isinstance(env, BestFirstEnvironment):
            judgement = self.actor(states)
            actions = self.actor.act(states, epsilon, random[slots], judgement.q)
            rewards = env.say(states, *actions[:2], judgement.predicate_confidence.cpu().numpy())
            # Terminal is worth 0 whatever is done, so nothing is learned from it; from looking beyond it, whether it
            # would have been right
            transitions["following"] = env.advance(self.actor.promise, epsilon, random[:, 4:], may_stop=False)[0]
            next_states = env.states()
        else:
            actions = self.actor.act(states, epsilon, random[slots])
            rewards, done = env.step(states, *actions)
            following = np.zeros(env.num_slots, dtype=env.dtype)
            following[env.active] = next_states = env.states()
            cut_off, its_states = env.cut_off
            transitions["done"] = done & ~cut_off
            transitions["next_state"] = np.where(done, states, following[slots])
            transitions["next_state"][cut_off] = its_states
        transitions["reward"], transitions["action"] = rewards, np.stack(actions, axis=1)
        self.memory.add(slots, transitions)
        self.sums.reward += rewards.sum(axis=0)
        return next_states

    def _sample(self) -> np.ndarray:
        """This rank's part of the next batch of transitions."""
        options, update = self.learner.options, self.learner.updates
        size = ranks.share(options.batch_size, "--batch_size")
        mine = slice(ranks.rank() * size, (ranks.rank() + 1) * size)
        uniform = generator(options.seed, SAMPLE, update).random(options.batch_size)[mine]
        transitions = self.memory.sample(uniform, turn=update)
        if options.box_jitter:
            normal = generator(options.seed, JITTER, update).standard_normal((options.batch_size, 8))[mine]
            transitions["state"] = jittered(transitions["state"], options.box_jitter, normal)
        if options.mirror:
            chosen = generator(options.seed, MIRROR, update).random(options.batch_size)[mine] < 0.5
            transitions = mirrored(transitions, chosen, self.partners)
        return transitions

    # ---- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Everything a run needs to resume bit for bit, but for the networks and the optimizer."""
        sums = self.sums
        return {
            "steps": self.steps,
            "credit": self.credit,
            "updates": self.learner.updates,
            "epoch": self.epoch,
            "num_images": self.num_images,
            "sums": [sums.transitions, sums.updates, sums.seconds, sums.reward.tolist(), sums.losses.tolist()],
            "env": self.env.state_dict(),
            "memory": self.memory.state_dict(),
            "torch_random": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError when something in it cannot be of this run."""
        transitions, updates, seconds, *means = state["sums"]
        counts = [count_of(state[name]) for name in ("steps", "updates", "epoch", "num_images")]
        credit = state["credit"]
        if not isinstance(credit, int | float) or not 0 <= credit < self.learner.options.batch_size:
            raise ValueError(f"its credit is {credit!r}")
        self.steps, self.learner.updates, self.epoch, self.num_images = counts
        self.credit = credit
        reward, losses = np.array(means[0], dtype=float), torch.tensor(means[1], dtype=torch.float32)
        fair = reward.shape == tuple(losses.shape) == (3,) and np.isfinite([seconds, *reward, *losses.tolist()]).all()
        if len(means) != 2 or not fair:
            raise ValueError("the sums of the epoch are not numbers")
        self.sums = EpochSums(
            count_of(transitions), count_of(updates), float(seconds), reward, losses.to(self.learner.agent.device)
        )
        self.env.scenes.epoch = self.epoch
        self.env.load_state_dict(state["env"])
        self.memory.load_state_dict(state["memory"])
        self._check_transitions(self.memory.held())
        torch.set_rng_state(state["torch_random"])

    def _check_transitions(self, transitions: np.ndarray) -> None:
        """Raise ValueError unless they name images, boxes and words that there are."""
        check_inside("action", transitions["action"], -1, np.array(action_widths(self.env.graph, self.env.rules)))
        for name in transitions.dtype.names:
            if name in ("state", "next_state"):
                check_states(transitions[name], self.env.scenes)
            else:
                check_numbers(name, transitions[name])
