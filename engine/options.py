"""The flags of main.py, made from the dataclasses that declare them; presets; what one run may change.

This file loads no PyTorch: -h answers at once.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from files.exports import EXPORTS
from files.io import InputError
from files.options import LearningOptions, ModelOptions, Rules, SceneOptions, flag, flags_of

MOST_SLOTS = 3  # times the batch size: images that are walked at once (see engine.loop)
DETECTORS = (
    "vgg16", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_efficientnet_lite0",
)  # fmt: skip

FORMATS = ("json", "png", *EXPORTS)  # what --predict writes

Part = TypeVar("Part")

DEFAULT_PRESET = "best"  # who types --train and nothing else should get a good agent

# What --preset sets beside the dataclasses' defaults. `paper`: what cannot be had of it stands in docs/paper.md. Each
# setting of `best` departs from the paper.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "image_embedding_model_type": "vgg",
        "use_skip_thought": True,
        "num_epochs": 25,  # epsilon reaches its end in the 21st
    },
    "best": {
        "frontier": "best_first",
        "new_phrases_only": True,
        "use_memory": True,
        "discount_factor": 0.0,
        "neighbour_factor": 100.0,
        "maximum_steps": 3000,
        "use_adaptive_action_sets": False,
        "learn_from": "all",
        "reward_loss": "cross_entropy",
        "use_box_geometry": True,
        "use_pair_context": True,
        "replay_preference": 6.0,
        "learned_category_vectors": 64,
        "dropout": 0.3,
        "num_members": 5,  # seeds differ less; the classifier that it is compared with has as many
        "optimizer": "adamw",
        "learning_rate": 0.001,
        "learning_rate_decay": True,
        "target_averaging": 0.999,
        "box_jitter": 0.06,
        "seen_twice": 0.05,
        "misnamed": 0.3,  # learned from annotated boxes alone, an agent believes every name that a detector gives
        "weight_decay": 1e-4,
        "fusion_sizes": (512, 256),
        "batch_size": 256,
        "predicates_per_pair": 100,
        "attributes_per_step": 100,
        "epsilon_anneal_rate": 0.9,
        "num_epochs": 6,
    },
}
PRESETS["sample"] = PRESETS["best"] | {
    "image_embedding_model_type": "efficientnet_lite0",
    "use_skip_thought": True,
    "skip_thought_dir": "data/sample_skipthoughts",
    "num_members": 1,
    "target_averaging": 0.99,  # a short training
    "use_adaptive_action_sets": True,
    "predicate_action_set": "word",
    "object_detection_threshold": 0.3,
    "num_epochs": 5,
    "batch_size": 128,
}


@dataclass(frozen=True)
class RunOptions:
    """What to do, with which files, on which machine: what may change from one call to the next on one run."""

    train: bool = flag(False, "train the agent on --train_data", group="task")
    test: bool = flag(False, "walk over --test_data, score, write what was found", group="task")
    predict: tuple[str, ...] = flag(
        (), "scene graphs of photos: images, folders, text files of paths", metavar="PATH", group="task"
    )
    resume: bool = flag(False, "with --train: continue from OUTPUT_DIR/last.pt", group="task")
    preset: str = flag(
        DEFAULT_PRESET,
        "defaults of the other flags. best: the agent of the README's results; paper: what is published, so that a "
        "flag left out means what it means there; sample: best, with the size and pixels of the sample world",
        choices=tuple(PRESETS),
        group="task",
    )

    train_data: str = flag("data/data_samples/train_data.json", "the training split", group="files")
    validation_data: str = flag("data/data_samples/validation_data.json", "the validation split", group="files")
    test_data: str = flag("data/data_samples/test_data.json", "the test split", group="files")
    images_dir: str = flag("data/VG_100K/", "where the images of the splits are", group="files")
    graph: str = flag("graph.pickle", "the semantic action graph, by create_graph.py", group="files")
    detections: str | None = flag(
        None, "boxes to walk over in --test and --predict (JSON or HDF5)", metavar="FILE", group="files"
    )
    train_detections: str | None = flag(
        None, "boxes to walk over in --train, instead of annotated ones", metavar="FILE", group="files"
    )
    class_map: str | None = flag(
        None, "JSON: a detector's class names to the graph's entities", metavar="FILE", group="files"
    )
    checkpoint: str | None = flag(
        None, "for --test and --predict (default: OUTPUT_DIR/best.pt, last.pt)", metavar="FILE", group="files"
    )
    init_from: str | None = flag(
        None,
        "with --train: begin with the weights and the model settings of this checkpoint",
        metavar="FILE",
        group="files",
    )
    output_dir: str = flag(".", "where everything is written", group="files")

    use_fastrcnn_proposals: bool = flag(
        False, "walk over detected boxes, kept in OUTPUT_DIR/detections_{train,test}.h5", group="detector"
    )
    detector: str | None = flag(
        None, "which detector (default: what the weights file says)", choices=DETECTORS, group="detector"
    )
    detector_weights: str | None = flag(
        None, "left out, torchvision downloads its COCO weights", metavar="FILE", group="detector"
    )

    policy: tuple[str, ...] = flag(
        ("agent",), "who walks in --test", choices=("agent", "frequency", "random"), group="test"
    )
    task: str | None = flag(
        None,
        "score --test as scene graph generation: boxes and categories given, boxes given, or nothing",
        choices=("predcls", "sgcls", "sgdet"),
        group="test",
    )
    recall_at: tuple[int, ...] = flag(
        (), "predictions of an image that count (50 100; with --task 20 50 100)", least=1, metavar="K", group="test"
    )

    recursive: bool = flag(False, "also the folders below a folder", group="photos")
    format: tuple[str, ...] = flag(
        ("json", "png"),
        f"what is written for each photo, of {', '.join(FORMATS)}; png: the photo with its boxes, and the graph. json "
        "is always written",
        choices=FORMATS,
        metavar="FORMAT",
        group="photos",
    )
    gallery: bool = flag(False, "also a gallery of all graphs, OUTPUT_DIR/gallery", group="photos")
    maximum_phrases: int = flag(100, "most relationships and attributes of a photo", least=1, group="photos")

    num_epochs: int = flag(5, "walks over every training image", least=1, most=1_000_000, group="learning")
    device: str = flag("auto", "cpu, cuda, cuda:1, ...; auto: cuda where there is one", group="machine")
    num_workers: int = flag(4, "processes that decode images", least=0, most=1024, group="machine")
    checkpoint_minutes: float = flag(10.0, "time between checkpoints within an epoch", least=0, group="machine")
    tensorboard: bool = flag(False, "also write TensorBoard events", group="machine")


# The dataclasses, and under which title of -h their flags stand unless a flag says another.
PARTS = {RunOptions: "task", ModelOptions: "state", SceneOptions: "walk", Rules: "walk", LearningOptions: "learning"}
TITLES = {
    "task": "what to do (one or several, in this order)",
    "files": "files",
    "state": "state",
    "walk": "walk",
    "detector": "detector (instead of a detections file)",
    "rewards": "rewards",
    "learning": "learning",
    "test": "test",
    "photos": "photos (--predict)",
    "machine": "machine",
}
NAMES = {SceneOptions: "scenes", Rules: "rules", ModelOptions: "model", LearningOptions: "learning"}  # in a checkpoint

# What a checkpoint was trained with holds for its test too, unless the command line says otherwise.
MODEL_FLAGS = frozenset(
    name for part in NAMES for name, about in flags_of(part) if part is not LearningOptions or about.agent
)


@dataclass(frozen=True)
class Options(RunOptions, SceneOptions, Rules, ModelOptions, LearningOptions):
    """Every option of a call of main.py; `part` gives what one part of the program takes."""

    given: frozenset[str] = frozenset()  # on the command line

    def part(self, kind: type[Part]) -> Part:
        """The options that the dataclass `kind` declares."""
        return kind(**{name: getattr(self, name) for name, _ in flags_of(kind)})

    def saved(self) -> dict[str, dict[str, Any]]:
        """What a checkpoint keeps: the options that make a run what it is, by dataclass."""
        return {key: {name: getattr(self, name) for name, _ in flags_of(kind)} for kind, key in NAMES.items()}

    def of_agent(self, saved: Mapping[str, Any], path: Any, others: Mapping[str, Any] | None = None) -> Options:
        """These options, with a checkpoint's for what concerns its agent, unless the command line says otherwise.

        others: values that go with where the checkpoint lies. Raises InputError when the checkpoint at `path` has no
        options, or values that they cannot have.
        """
        found = {name: value for name, value in read_saved(saved, path).items() if name in MODEL_FLAGS}
        kept = {name: value for name, value in {**found, **(others or {})}.items() if name not in self.given}
        return dataclasses.replace(self, checkpoint=str(path), **kept)

    def differences(self, saved: Mapping[str, Any], path: Any) -> list[str]:
        """The flags, with the values that a checkpoint was trained with, that are others here; paths do not count."""
        paths = {name for kind in NAMES for name, about in flags_of(kind) if about.path}
        found = read_saved(saved, path)
        return [
            f"--{name} {_words(value)}"
            for name, value in found.items()
            if getattr(self, name) != value and name not in paths
        ]


def read_saved(saved: Mapping[str, Any], path: Any) -> dict[str, Any]:
    """The values of a checkpoint's options by name. Raises InputError for what `Options.saved` did not make."""
    found: dict[str, Any] = {}
    try:
        for kind, key in NAMES.items():
            part = msgspec.convert(saved[key], kind)
            found |= {name: getattr(part, name) for name, _ in flags_of(kind)}
        wrong = complaint(found)
    except (AttributeError, KeyError, TypeError, msgspec.ValidationError):
        wrong = "its options are not those of main.py"
    if wrong:
        raise InputError(f"{path}: is damaged, or of another version ({wrong}); train again")
    return found


def complaint(values: Mapping[str, Any]) -> str | None:
    """What is wrong with values of options, by name, in one line; None where nothing is."""
    for kind in PARTS:
        for name, about in flags_of(kind):
            if name in values and (wrong := about.complaint(name, values[name])):
                return wrong
    return None


def make_parser() -> argparse.ArgumentParser:
    """The command line of main.py. What is not given is not in what it parses."""
    parser = argparse.ArgumentParser(
        usage="main.py (--train | --test | --predict PATH ...) [flags]; -h shows them",
        description="Scene graphs from images by deep variation-structured reinforcement learning.",
        argument_default=argparse.SUPPRESS,
    )
    groups = {key: parser.add_argument_group(title) for key, title in TITLES.items()}
    for kind, usual in PARTS.items():
        hints = get_type_hints(kind)
        for field in dataclasses.fields(kind):
            if about := field.metadata.get("flag"):
                _add_flag(groups[about.group or usual], field.name, hints[field.name], field.default, about)
    return parser


def _add_flag(group: Any, name: str, hint: Any, default: Any, about: Any) -> None:
    switch = hint is bool and about.group in ("task", "photos")  # nobody says --no-train
    shown = "" if switch else _shown_default(name, default)
    options: dict[str, Any] = {"dest": name, "help": (about.help + shown).replace("%", "%%")}
    if hint is bool:
        action = "store_true" if switch else argparse.BooleanOptionalAction
        group.add_argument(f"--{name}", action=action, **options)
        return
    several, choices, metavar = getattr(hint, "__origin__", None) is tuple, about.choices, about.metavar
    if several:
        options["nargs"] = "+"
        if choices:  # also with commas: checked when they are split
            choices, metavar = None, metavar or f"{{{','.join(choices)}}}"
    kind = next(kind for kind in get_args(hint) or (hint,) if kind in (int, float, str))
    group.add_argument(f"--{name}", *about.aliases, type=kind, choices=choices, metavar=metavar, **options)


def _shown_default(name: str, default: Any) -> str:
    """What -h says of a flag left out: its value, and the paper's where that is another."""
    usual, paper = (PRESETS[preset].get(name, default) for preset in (DEFAULT_PRESET, "paper"))
    if usual is None or usual == ():
        return ""
    return f" (default: {_words(usual)}{f'; paper: {_words(paper)}' if paper != usual else ''})"


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def parse(argv: Sequence[str] | None = None) -> Options:
    """The options of a command line: what is given, else what the preset sets, else the default.

    Raises InputError for a value out of bounds, or options that do not go together.
    """
    parser = make_parser()
    given = vars(parser.parse_args(argv))
    for name, about in flags_of(Options):
        if isinstance(given.get(name), list):
            words = given[name]
            if about.choices:
                words = dict.fromkeys(word for text in words for word in text.split(",") if word)
            given[name] = tuple(words)
    options = Options(**PRESETS[given.get("preset", DEFAULT_PRESET)] | given, given=frozenset(given))
    if not (options.train or options.test or options.predict):
        parser.error("say what to do: " + ("--train --resume" if options.resume else "--train, --test or --predict"))
    if wrong := complaint(vars(options)):
        raise InputError(wrong)
    if options.frontier == "best_first" and not (options.use_box_geometry and options.use_pair_context):
        raise InputError(
            "--frontier best_first chooses pairs by --use_box_geometry and --use_pair_context: add them, or walk with "
            "--frontier breadth_first --no-use_memory"
        )
    if options.use_memory and options.frontier != "best_first":
        raise InputError("--use_memory needs --frontier best_first; add it, or --no-use_memory")
    simulated = options.frontier == "best_first" and options.image_embedding_model_type == "none"
    if (
        options.train
        and "unannotated" in given
        and options.unannotated
        and (not simulated or options.train_detections or options.use_fastrcnn_proposals)
    ):
        raise InputError(
            "--unannotated simulates detections on annotated boxes: it needs --frontier best_first and "
            "--image_embedding_model_type none, and no detections to train on; add them, or leave it out"
        )
    # shares of slots are whole numbers, so the memory may hold less than its capacity
    most = options.replay_buffer_capacity - MOST_SLOTS * options.batch_size
    if options.replay_buffer_minimum_number_samples > most:
        raise InputError(
            f"--replay_buffer_minimum_number_samples must be less than --replay_buffer_capacity by {MOST_SLOTS} "
            "batches, or training never begins"
        )
    return options
