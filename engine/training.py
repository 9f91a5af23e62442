"""--train: a run, its epochs and validation, its checkpoints, how it stops and resumes."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from engine import distributed as ranks
from engine.best_first import make_environment
from engine.log import TrainingLog, recall
from engine.loop import TrainingLoop, diverged, slots_per_transition
from engine.parts import AGENT, Parts, check_description, description, make_agent, make_network, open_scenes
from engine.proposals import detections_of_split
from engine.results import graphs, score
from engine.walk import Findings, merge, walk_over
from files.checkpoints import load_checkpoint, load_optimizer, load_parameters, save_checkpoint
from files.detections import DetectionsFile
from files.io import InputError, clear_load_errors, file_digest
from files.one_set import check_one_run
from files.options import LearningOptions
from files.scene_graphs import write_image_states
from files.splits import Split
from files.vector_cache import digest
from q_learning import Learner, epsilon_at, make_optimizer
from replay_memory import ReplayMemory
from scenes.simulated import SimulatedScenes

RESUMED = AGENT | {
    "target": dict, "optimizer": dict, "loops": list, "rows": list, "best": float, "within_epoch": bool,
    "inputs": dict,
}  # fmt: skip
SECOND_CTRL_C = 2.0  # seconds after the first from which it ends the run at once


class Stopped(Exception):
    """The user asked the run to end; a checkpoint is written."""


class TrainingRun:
    """One training run: its parts, its files, how it stops and resumes."""

    def __init__(self, parts: Parts, begin_with: dict[str, Any] | None = None) -> None:
        """begin_with: the checkpoint whose weights the run begins with; None: fresh ones from --seed."""
        self.parts, arguments = parts, parts.arguments
        self.output = Path(arguments.output_dir)
        detections = detections_of_split(parts, arguments.train_data, arguments.train_detections, "train")
        train, validation = Split(arguments.train_data), Split(arguments.validation_data)
        check_one_run(arguments.graph, parts.graph.made_in, train, validation)
        self.scenes = open_scenes(parts, train, detections)
        learning = arguments.part(LearningOptions)
        # a real detector's boxes have wrong names and things that nobody annotated already
        misnamed = unannotated = 0.0
        if parts.model.knows_detected and detections is None:
            misnamed, unannotated = arguments.misnamed, arguments.unannotated
        simulate = (arguments.seen_twice > 0 or misnamed > 0 or unannotated > 0) and parts.embedding is None
        if simulate:
            self.scenes = SimulatedScenes(
                self.scenes, arguments.box_jitter, arguments.seen_twice, misnamed, arguments.seed, unannotated
            )
        self.validation = open_scenes(parts, validation) if len(validation) else None
        if simulate:
            learning = replace(learning, box_jitter=0.0)
        network, target = make_network(parts), make_network(parts)
        if begin_with:
            check_description(parts, begin_with["description"], arguments.init_from)
            load_parameters(network, begin_with["network"], arguments.init_from)
        optimizer = make_optimizer(network.parameters(), learning)
        slots = ranks.share(arguments.batch_size, "--batch_size")
        slots *= slots_per_transition(len(self.scenes.images), arguments.batch_size)
        env = make_environment(self.scenes, slots, arguments, parts.model.use_pair_context)
        capacity = max(arguments.replay_buffer_capacity // ranks.world_size(), 1)
        self.learner = Learner(
            make_agent(parts, network, self.scenes), target, optimizer, learning, ranks.wrapped(network)
        )
        memory = ReplayMemory(capacity, slots, env.dtype, arguments.replay_preference)
        self.loop = TrainingLoop(env, self.learner, memory)
        self.inputs = self._inputs(detections)
        self.log = TrainingLog(self.output, arguments.tensorboard)
        self.best = -1.0
        self.within_epoch = False
        self.stop_requested, self.stop_requested_at = False, 0.0
        self.saved_at = time.monotonic()
        self.epsilon = arguments.epsilon

    def _inputs(self, detections: DetectionsFile | None) -> dict[str, str]:
        """What the run is trained on beside the graph: flag -> digest of the content. --resume refuses other inputs."""
        arguments = self.parts.arguments
        files = {name: getattr(arguments, name) for name in ("train_data", "validation_data")}
        if detections is not None:
            files |= {"train_detections": detections.path, "class_map": arguments.class_map}
        if not arguments.init_from:  # else they are the checkpoint's
            files["entity_vectors"] = arguments.entity_vectors
        found = {name: file_digest(path) for name, path in files.items() if path}
        if self.parts.phrases is not None:
            found["skip_thought_dir"] = self.parts.phrases.identity
        if self.scenes.features is not None:
            used = [scenes.features.contents() for scenes in (self.scenes, self.validation) if scenes is not None]
            found["images_dir"] = digest(*used).hex()
        return found

    # ---- checkpoints

    def save(self) -> None:
        """Write last.pt: with it the run continues bit for bit.

        Raises InputError when the disk is full, or the network holds numbers that are not finite.
        """
        self._check_finite()
        loops = ranks.gather(self.loop.state_dict())
        if ranks.rank() == 0:
            content = self._origin() | {
                "network": self.learner.agent.network.state_dict(),
                "target": self.learner.target_network.state_dict(),
                "optimizer": self.learner.optimizer.state_dict(),
                "loops": loops,
                "rows": self.log.rows,
                "best": self.best,
                "within_epoch": self.within_epoch,
                "inputs": self.inputs,
            }
            save_checkpoint(self.output / "last.pt", content)
        self.saved_at = time.monotonic()

    def _check_finite(self) -> None:
        networks = (self.learner.agent.network, self.learner.target_network)
        if not all(bool(part.isfinite().all()) for network in networks for part in network.parameters()):
            raise InputError(diverged(self.learner.updates))

    def _origin(self) -> dict[str, Any]:
        return {"options": self.parts.arguments.saved(), "description": description(self.parts)}

    def resume(self) -> None:
        """Take up the run of last.pt. Raises InputError when it was another run."""
        path = self.output / "last.pt"
        if not path.exists():
            raise InputError(f"{path}: no such file, so there is nothing to resume; drop --resume")
        saved = load_checkpoint(path, RESUMED)
        check_description(self.parts, saved["description"], path)
        if changed := self.parts.arguments.differences(saved["options"], path):
            raise InputError(f"{path}: was trained with {', '.join(changed)}; resume with the same flags")
        if len(saved["loops"]) != ranks.world_size():
            raise InputError(f"{path}: was trained by {len(saved['loops'])} processes; resume with as many")
        known = saved["inputs"]
        if other := [name for name in self.inputs | known if self.inputs.get(name) != known.get(name)]:
            named = ", ".join(f"--{name} {getattr(self.parts.arguments, str(name), '?')}" for name in other)
            raise InputError(
                f"{path}: was trained on other content of {named}; resume with what it was trained on, or begin a new "
                f"run with its weights in another --output_dir (--init_from {path})"
            )
        with clear_load_errors(path, "start again without --resume"):
            load_parameters(self.learner.agent.network, saved["network"], path)
            load_parameters(self.learner.target_network, saved["target"], path)
            load_optimizer(self.learner.optimizer, saved["optimizer"])
            self.loop.load_state_dict(saved["loops"][ranks.rank()])
            self.log.take_up(saved["rows"], self.loop.epoch)
            self.best, self.within_epoch = saved["best"], saved["within_epoch"]
            if not -1 <= self.best <= 100:  # nor NaN, which no recall is greater than
                raise ValueError(f"its best recall is {self.best}")
        if ranks.rank() == 0:
            done, wanted = self.loop.epoch, self.parts.arguments.num_epochs
            if done >= wanted:
                print(f"{path}: all {done} epochs are done; for more raise --num_epochs")
            else:
                print(f"Resuming from {path}: {done} of {wanted} epochs done")

    def _pause(self) -> None:
        """Between two steps: learning rate and display, a checkpoint when it is time, the end when the user asked."""
        arguments = self.parts.arguments
        if arguments.learning_rate_decay:
            for group in self.learner.optimizer.param_groups:
                group["lr"] = arguments.learning_rate * (1 - self.loop.progress() / arguments.num_epochs)
        now = time.monotonic()
        self.log.show(self.loop, self.epsilon)
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

    # ---- the run

    def run(self) -> None:
        """Train until --num_epochs are done. Ctrl-C ends with a checkpoint; a second one ends at once.

        Raises Stopped after a Ctrl-C, InputError when the run was too short to learn anything.
        """
        before = {name: signal.signal(name, self._request_stop) for name in (signal.SIGINT, signal.SIGTERM)}
        self.log.open(self.loop if self.within_epoch else None)
        try:
            self._run_epochs()
        finally:
            self.log.close()
            for name, handler in before.items():
                signal.signal(name, handler)
        if not self.learner.updates:
            held = int(ranks.total(torch.tensor(len(self.loop.memory))))
            raise InputError(
                f"nothing was learned: {len(self.scenes.images)} images filled the replay memory with {held} "
                f"transitions; learning begins with {self.learner.options.replay_buffer_minimum_number_samples} and a "
                f"batch of {self.learner.options.batch_size}. Lower --replay_buffer_minimum_number_samples and "
                "--batch_size, or train on more images"
            )
        if ranks.rank() == 0:
            print(self.log.made(self.learner.updates, self.validation is not None))

    def _run_epochs(self) -> None:
        arguments, loop = self.parts.arguments, self.loop
        while loop.epoch < arguments.num_epochs:
            self.epsilon = epsilon_at(loop.epoch, arguments)
            if not self.within_epoch:
                loop.begin_epoch(self.scenes.images)
                self.within_epoch = True
            title = f"epoch {loop.epoch + 1}/{arguments.num_epochs}"
            quiet = None if ranks.rank() == 0 else True
            done = loop.images_done()
            with tqdm(total=len(self.scenes.images), desc=title, unit="image", initial=done, disable=quiet) as bar:
                self.log.bar = bar
                loop.run_epoch(self.epsilon, bar, self._pause)
            self.within_epoch = False
            self._end_epoch()
            if self._agreed(self.stop_requested, False)[0] and loop.epoch < arguments.num_epochs:
                raise Stopped

    def _request_stop(self, number: int, _: Any) -> None:
        now = time.monotonic()
        # torchrun hands on a Ctrl-C that has reached its processes already: what comes at once is not a second one
        if self.stop_requested and number == signal.SIGINT and now - self.stop_requested_at > SECOND_CTRL_C:
            raise KeyboardInterrupt
        if not self.stop_requested:
            self.stop_requested, self.stop_requested_at = True, now

    def _end_epoch(self) -> None:
        self._check_finite()
        network = self.learner.best_network.eval()
        row = {"epoch": self.loop.epoch, "epsilon": self.epsilon} | self.loop.sums.row()
        found: list[Findings] = []
        if self.validation is not None:
            walker = make_agent(self.parts, network, self.validation)
            found = walk_over(self.parts, walker, self.validation, "validation")
        if ranks.rank() == 0 and found:
            merged = merge(found)
            tasks = score(merged, self.validation, self.validation.images)
            for task in ("relationship", "attribute"):
                for n, value in tasks[task]["recall"].items():
                    row[f"validation_{task}_R{n}"] = value
            write_image_states(
                self.output / "image_states.pickle", *graphs(merged, self.validation, self.validation.images)
            )
        if ranks.rank() == 0 and self.learner.updates and recall(row) >= self.best:
            self.best = recall(row)
            save_checkpoint(self.output / "best.pt", self._origin() | {"network": network.state_dict()})
        self.log.end_epoch(row)
        self.save()
