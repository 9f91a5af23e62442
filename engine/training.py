"""Training and testing, from the first image to the last file written."""

from __future__ import annotations

import csv
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from engine import distributed as ranks
from engine.loop import Trainer, slots_per_transition
from engine.options import RUN_FLAGS
from engine.parts import Parts, check_description, description, make_agent, make_features, make_network, make_scenes
from engine.proposals import detections_of_split
from engine.results import graphs, score
from engine.walk import BEST, Found, Policy, walk
from environment import SceneGraphEnvironment
from files.checkpoints import load_checkpoint, save_checkpoint
from files.io import InputError, atomic_write
from files.scene_graphs import write_image_states
from files.splits import Split
from learning_curve import draw_learning_curves
from optimizers import RMSProp
from q_learning import Learner, LearningOptions, epsilon_at
from replay_memory import ReplayMemory
from scenes.scene import SceneSet

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOG_COLUMNS = (
    "epoch", "transitions", "epsilon", "reward", "loss", "loss_attribute", "loss_predicate", "loss_entity", "seconds",
    "transitions_per_second", "validation_relationship_R50", "validation_relationship_R100",
    "validation_attribute_R50", "validation_attribute_R100",
)  # fmt: skip


OPTIMIZERS = {"rmsprop": RMSProp, "adamw": partial(torch.optim.AdamW, fused=True)}
SHOW_SECONDS = 1.0  # between two looks at the loss, which wait for the device
SECOND_CTRL_C = 2.0  # seconds after the first from which it ends the run at once


class Stopped(Exception):
    """The user asked the run to end; a checkpoint is written."""


def walk_over(
    parts: Parts,
    policy: Policy,
    scenes: SceneSet,
    images: Sequence[int],
    progress: str | None,
    maximum_choices: int = BEST,
) -> list[Found]:
    """A greedy walk, the images divided among the ranks. Rank 0 gets every rank's findings, the others []."""
    mine = np.asarray(images)[ranks.rank() :: ranks.world_size()]
    arguments = parts.arguments
    found = walk(
        policy,
        parts.action_sets,
        scenes,
        parts.graph,
        parts.rules,
        mine,
        num_slots=128,
        predicates_per_pair=arguments.predicates_per_pair,
        attributes_per_step=arguments.attributes_per_step,
        maximum_choices=maximum_choices,
        progress=progress if ranks.rank() == 0 else None,
    )
    if parts.phrases is not None:
        parts.phrases.save()
    return ranks.gather(found)


class Training:
    """One training run: its parts, its files, how it stops and goes on."""

    def __init__(self, parts: Parts) -> None:
        self.parts, arguments = parts, parts.arguments
        self.output = Path(arguments.output_dir)
        detections = detections_of_split(parts, arguments.train_data, arguments.train_detections, "train")
        self.scenes = make_scenes(parts, Split(arguments.train_data), detections)
        features, self.images = make_features(parts, self.scenes, arguments.images_dir)
        self.validation = make_scenes(parts, Split(arguments.validation_data))
        self.validation_features, self.validation_images = None, np.zeros(0, dtype=np.int64)
        if len(self.validation):
            self.validation_features, self.validation_images = make_features(
                parts, self.validation, arguments.images_dir
            )
        learning = LearningOptions(
            discount_factor=arguments.discount_factor,
            double_dqn=arguments.double_dqn,
            learn_from=arguments.learn_from,
            batch_size=arguments.batch_size,
            replay_buffer_minimum_number_samples=arguments.replay_buffer_minimum_number_samples,
            samples_per_transition=arguments.samples_per_transition,
            target_update_frequency=arguments.target_update_frequency,
            target_averaging=arguments.target_averaging,
            box_jitter=arguments.box_jitter,
            mirror=arguments.mirror,
            next_object_loss_weight=arguments.next_object_loss_weight,
            seed=arguments.seed,
        )
        network, target = make_network(parts), make_network(parts)
        optimizer = OPTIMIZERS[arguments.optimizer](
            network.parameters(), lr=arguments.learning_rate, weight_decay=arguments.weight_decay
        )
        slots = ranks.share(arguments.batch_size, "--batch_size")
        slots *= slots_per_transition(len(self.images), arguments.batch_size)
        env = SceneGraphEnvironment(self.scenes, parts.graph, slots, parts.rules, parts.model.use_pair_context)
        capacity = max(arguments.replay_buffer_capacity // ranks.world_size(), 1)
        self.learner = Learner(make_agent(parts, network, self.scenes, features), target, optimizer, learning)
        self.trainer = Trainer(env, self.learner, ReplayMemory(capacity, slots, env.dtype, arguments.replay_preference))
        self.rows: list[dict[str, Any]] = []
        self.best = -1.0
        self.within_epoch = False
        self.stop_requested, self.stop_requested_at = False, 0.0
        self.saved_at = self.shown_at = time.monotonic()
        self.epsilon = arguments.epsilon
        self.bar = tqdm(disable=True)
        self.events: SummaryWriter | None = None

    # ---- checkpoints

    def save(self) -> None:
        """Write last.pt: with it the run goes on bit for bit. Raises InputError when the disk is full."""
        trainers = ranks.gather(self.trainer.state_dict())
        if ranks.rank() == 0:
            content = self._origin() | {
                "network": self.learner.agent.network.state_dict(),
                "target": self.learner.target_network.state_dict(),
                "optimizer": self.learner.optimizer.state_dict(),
                "trainers": trainers,
                "rows": self.rows,
                "best": self.best,
                "within_epoch": self.within_epoch,
            }
            save_checkpoint(self.output / "last.pt", content)
        self.saved_at = time.monotonic()

    def _origin(self) -> dict[str, Any]:
        arguments = {key: value for key, value in vars(self.parts.arguments).items() if key not in RUN_FLAGS}
        return {"arguments": arguments, "description": description(self.parts)}

    def resume(self) -> None:
        """Take up the run of last.pt. Raises InputError when it was another run."""
        path = self.output / "last.pt"
        if not path.exists():
            raise InputError(f"{path}: no such file, so there is no run to go on with; leave --resume out")
        saved = load_checkpoint(path)
        check_description(self.parts, saved["description"], path)
        now = vars(self.parts.arguments)
        changed = [key for key, value in saved["arguments"].items() if now.get(key) != value]
        if changed:
            names = ", ".join(f"--{key} {saved['arguments'][key]}" for key in changed)
            raise InputError(f"{path}: was trained with {names}; resume with the same flags")
        if len(saved["trainers"]) != ranks.world_size():
            raise InputError(f"{path}: was trained by {len(saved['trainers'])} processes; resume with as many")
        self.learner.agent.network.load_state_dict(saved["network"])
        self.learner.target_network.load_state_dict(saved["target"])
        self.learner.optimizer.load_state_dict(saved["optimizer"])
        self.trainer.load_state_dict(saved["trainers"][ranks.rank()])
        self.rows, self.best, self.within_epoch = saved["rows"], saved["best"], saved["within_epoch"]
        if ranks.rank() == 0:
            done, wanted = self.trainer.epoch, self.parts.arguments.num_epochs
            if done >= wanted:
                print(f"{path}: all {done} epochs are done; for more raise --num_epochs")
            else:
                print(f"Going on from {path}: {done} of {wanted} epochs done")

    def _pause(self) -> None:
        """Between two steps: learning rate and display, a checkpoint when it is time, the end when the user asked."""
        arguments = self.parts.arguments
        if arguments.learning_rate_decay:
            for group in self.learner.optimizer.param_groups:
                group["lr"] = arguments.learning_rate * (1 - self.trainer.progress() / arguments.num_epochs)
        now = time.monotonic()
        if now - self.shown_at > SHOW_SECONDS and not (self.bar.disable and self.events is None):
            self._show()
            self.shown_at = now
        stop, due = self._agreed(self.stop_requested, now - self.saved_at > 60 * arguments.checkpoint_minutes)
        if stop or due:
            self.save()
        if stop:
            raise Stopped

    def _agreed(self, stop: bool, due: bool) -> tuple[bool, bool]:
        """What all ranks do together: stop when any was asked to, save when rank 0's clock says so."""
        if ranks.world_size() > 1:
            stop, due = ranks.total(torch.tensor([stop, due and ranks.rank() == 0], dtype=torch.int32)).tolist()
        return bool(stop), bool(due)

    # ---- watching

    def _open_events(self) -> None:
        """TensorBoard events, over the transitions made; what a killed run wrote after its checkpoint is dropped."""
        from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

        self.events = SummaryWriter(str(self.output / "tensorboard"), purge_step=self._transitions() + 1)

    def _transitions(self) -> int:
        """Made in this run."""
        within = self.trainer.sums.transitions if self.within_epoch else 0
        return within + sum(row["transitions"] for row in self.rows)

    def _show(self) -> None:
        """How this epoch goes, on the progress bar and in TensorBoard."""
        values = self.trainer.so_far()
        loss = "loss -" if values["loss"] is None else f"loss {values['loss']:.3g}"
        self.bar.set_postfix_str(
            f"ε {self.epsilon:.3g}, reward {values['reward']:.2f}, {loss}, "
            f"{values['transitions_per_second']:.0f} transitions/s"
        )
        self._write_events("within_epoch", values)

    def _write_events(self, title: str, values: dict[str, Any]) -> None:
        if self.events is not None:
            for name, value in values.items():
                if value is not None:
                    self.events.add_scalar(f"{title}/{name}", value, self._transitions())

    # ---- the run

    def run(self) -> None:
        """Train until --num_epochs are done. Ctrl-C ends with a checkpoint; a second one ends at once.

        Raises Stopped after a Ctrl-C, InputError when the run was too short to learn anything.
        """
        before = {name: signal.signal(name, self._request_stop) for name in (signal.SIGINT, signal.SIGTERM)}
        if self.parts.arguments.tensorboard and ranks.rank() == 0:
            self._open_events()
        try:
            self._run_epochs()
        finally:
            if self.events is not None:
                self.events.close()
            for name, handler in before.items():
                signal.signal(name, handler)
        if not self.learner.updates:
            held = int(ranks.total(torch.tensor(len(self.trainer.memory))))
            raise InputError(
                f"nothing was learned: {len(self.images)} images filled the replay memory with {held} transitions, and "
                f"learning begins with {self.learner.options.replay_buffer_minimum_number_samples}; "
                "lower --replay_buffer_minimum_number_samples, or train on more images"
            )
        if ranks.rank() == 0:
            print(self._made())

    def _run_epochs(self) -> None:
        arguments, trainer = self.parts.arguments, self.trainer
        while trainer.epoch < arguments.num_epochs:
            self.epsilon = epsilon_at(
                trainer.epoch, arguments.epsilon, arguments.epsilon_anneal_rate, arguments.epsilon_end
            )
            if not self.within_epoch:
                trainer.begin_epoch(self.images)
                self.within_epoch = True
            title = f"epoch {trainer.epoch + 1}/{arguments.num_epochs}"
            quiet = None if ranks.rank() == 0 else True
            done = trainer.images_done()
            with tqdm(total=len(self.images), desc=title, unit="image", initial=done, disable=quiet) as self.bar:
                trainer.run_epoch(self.epsilon, self.bar, self._pause)
            self.within_epoch = False
            self._end_epoch()
            if self._agreed(self.stop_requested, False)[0] and trainer.epoch < arguments.num_epochs:
                raise Stopped

    def _request_stop(self, number: int, _: Any) -> None:
        now = time.monotonic()
        # torchrun hands on a Ctrl-C that has reached its processes already: what comes at once is not a second one
        if self.stop_requested and number == signal.SIGINT and now - self.stop_requested_at > SECOND_CTRL_C:
            raise KeyboardInterrupt
        if not self.stop_requested:
            self.stop_requested, self.stop_requested_at = True, now

    def _made(self) -> str:
        """What the run has made, and where."""
        best = max(self.rows, key=lambda row: (recall(row), row["epoch"]))
        seconds = sum(row["seconds"] for row in self.rows)
        return (
            f"Trained {len(self.rows)} epochs: {self._transitions()} transitions, {self.learner.updates} updates, "
            f"{seconds:.0f} s. In {self.output}: best.pt (the agent of epoch {best['epoch']}), last.pt (to go on "
            "from), log.csv, learning_curve.png" + (", image_states.pickle." if len(self.validation_images) else ".")
        )

    def _end_epoch(self) -> None:
        network = self.learner.best_network.eval()
        row = {"epoch": self.trainer.epoch, "epsilon": self.epsilon} | self.trainer.sums.row()
        found: list[Found] = []
        if len(self.validation_images):
            walker = make_agent(self.parts, network, self.validation, self.validation_features)
            found = walk_over(self.parts, walker, self.validation, self.validation_images, "validation")
        if ranks.rank() == 0 and found:
            merged = merge(found)
            tasks = score(merged, self.validation, self.parts.graph, self.validation_images)
            for task in ("relationship", "attribute"):
                for n, value in tasks[task]["recall"].items():
                    row[f"validation_{task}_R{n}"] = value
            write_image_states(
                self.output / "image_states.pickle",
                *graphs(merged, self.validation, self.parts.graph, self.validation_images),
            )
        self.rows.append(row)
        if ranks.rank() == 0:
            if self.learner.updates and recall(row) >= self.best:
                self.best = recall(row)
                save_checkpoint(self.output / "best.pt", self._origin() | {"network": network.state_dict()})
            self._write_log()
            print(summary(row), flush=True)
        self._write_events("epoch", row)
        self.save()

    def _write_log(self) -> None:
        with atomic_write(self.output / "log.csv", "w") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
                for row in self.rows
            )
        draw_learning_curves([self.output / "log.csv"], self.output / "learning_curve.png")


def recall(row: dict[str, Any]) -> float:
    """By which agents are compared: mean validation recall at 50; 0 where nothing was measured."""
    measured = [row.get(f"validation_{task}_R50") for task in ("relationship", "attribute")]
    return float(np.mean([value for value in measured if value is not None] or [0.0]))


def summary(row: dict[str, Any]) -> str:
    """One line about an epoch."""
    text = (
        f"epoch {row['epoch']}: epsilon {row['epsilon']:.3g}, {row['transitions']} transitions "
        f"({row['transitions_per_second']:.0f}/s), reward a step {row['reward']:.3f}, "
    )
    text += "nothing learned yet" if row["loss"] is None else f"loss {row['loss']:.4g}"
    for task in ("relationship", "attribute"):
        if row.get(f"validation_{task}_R50") is not None:
            text += f", validation {task} R@50 {row[f'validation_{task}_R50']:.2f}"
    return text


def merge(found: list[Found]) -> Found:
    """The findings of several ranks as one."""
    merged = []
    for parts in zip(*found, strict=True):
        parts = [part for part in parts if part]
        merged.append({key: np.concatenate([part[key] for part in parts]) for key in parts[0]} if parts else {})
    return Found(*merged)
