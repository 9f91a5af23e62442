"""The flags of main.py: grouped, each with its default. The defaults are the paper's setting where it gives one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from engine.loop import MOST_SLOTS
from faster_rcnn import DETECTORS
from files.exports import EXPORTS

# What `--preset best` sets; each departs from the paper, and the README's ablation table says what it is worth.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
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
        "category_vectors": 64,
        "dropout": 0.3,
        "num_members": 2,
        "optimizer": "adamw",
        "learning_rate": 0.001,
        "learning_rate_decay": True,
        "target_averaging": 0.999,
        "box_jitter": 0.06,
        "seen_twice": 0.05,
        "weight_decay": 1e-4,
        "fusion_sizes": [512, 256],
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
    "num_members": 1,
    "seen_twice": 0.0,  # pixels are those of the annotated boxes
    "target_averaging": 0.99,  # a short training
    "use_adaptive_action_sets": True,
    "predicate_action_set": "word",
    "object_detection_threshold": 0.3,
    "num_epochs": 5,
    "batch_size": 128,
}

# What may differ from one call to the next on one run; everything else makes the run what it is.
RUN_FLAGS = frozenset(
    {
        "train",
        "test",
        "predict",
        "resume",
        "preset",
        "num_epochs",
        "output_dir",
        "checkpoint",
        "test_data",
        "detections",
        "policy",
        "num_workers",
        "device",
        "checkpoint_minutes",
        "tensorboard",
        "images_dir",
        "class_map",
        "detector",
        "detector_weights",
        "recursive",
        "gallery",
        "format",
        "maximum_phrases",
    }
)

# What a checkpoint was trained with holds for its test too, unless the command line says otherwise.
MODEL_FLAGS = frozenset(
    {
        "image_embedding_model_type",
        "image_embedding_weights",
        "feature_pooling",
        "use_skip_thought",
        "skip_thought_dir",
        "skip_thought_model",
        "use_box_geometry",
        "use_pair_context",
        "category_vectors",
        "entity_vectors",
        "category_mixing",
        "fusion_sizes",
        "dropout",
        "num_members",
        "replay_preference",
        "reward_loss",
        "neighbour_factor",
        "maximum_objects_per_subject",
        "maximum_steps",
        "maximum_adaptive_action_space_size",
        "use_adaptive_action_sets",
        "predicate_action_set",
        "use_ambiguity_aware_mining",
        "use_exact_match",
        "positive_reward",
        "next_object_reward",
        "frontier",
        "new_phrases_only",
        "step_cost",
        "use_memory",
        "discount_factor",
        "object_detection_threshold",
        "predicates_per_pair",
        "attributes_per_step",
    }
)


# The smallest value of flags that are numbers.
LEAST = {
    "num_epochs": 1,
    "num_members": 1,
    "batch_size": 1,
    "target_update_frequency": 1,
    "replay_buffer_capacity": 1,
    "replay_buffer_minimum_number_samples": 1,
    "maximum_steps": 1,
    "maximum_adaptive_action_space_size": 1,
    "maximum_objects_per_subject": 1,
    "maximum_num_entities_per_image": 1,
    "maximum_phrases": 1,
    "predicates_per_pair": 1,
    "attributes_per_step": 1,
    "fusion_sizes": 1,
    "category_vectors": 0,
    "num_workers": 0,
    "seed": 0,
    "neighbour_factor": 0,
    "replay_preference": 1,
}


FORMATS = ("json", "png", *EXPORTS)  # what --predict writes


def _formats(text: str) -> list[str]:
    """ "json,csv" -> its formats. Raises argparse's error for another one."""
    formats = [form for form in text.split(",") if form]
    for form in formats:
        if form not in FORMATS:
            raise argparse.ArgumentTypeError(f"{form!r} is not one of {', '.join(FORMATS)}")
    return formats


def make_parser() -> argparse.ArgumentParser:
    """The command line of main.py."""
    parser = argparse.ArgumentParser(
        usage="main.py (--train | --test | --predict PATH ...) [flags]; -h shows them",
        description="Scene graphs from images by deep variation-structured reinforcement learning.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    boolean = argparse.BooleanOptionalAction

    group = parser.add_argument_group("what to do (one or several, in this order)")
    group.add_argument("--train", action="store_true", help="train the agent on --train_data")
    group.add_argument("--test", action="store_true", help="walk over --test_data, score, write what was found")
    group.add_argument(
        "--predict", nargs="+", metavar="PATH", help="scene graphs of photos: images, folders, text files of paths"
    )
    group.add_argument("--resume", action="store_true", help="with --train: go on from OUTPUT_DIR/last.pt")
    group.add_argument("--preset", choices=PRESETS, default="paper", help="defaults of the other flags: see the README")

    group = parser.add_argument_group("files")
    group.add_argument("--train_data", default="data/data_samples/train_data.json", help="the training split")
    group.add_argument(
        "--validation_data", default="data/data_samples/validation_data.json", help="the validation split"
    )
    group.add_argument("--test_data", default="data/data_samples/test_data.json", help="the test split")
    group.add_argument("--images_dir", default="data/VG_100K/", help="where the images of the splits are")
    group.add_argument("--graph", default="graph.pickle", help="the semantic action graph, by create_graph.py")
    group.add_argument("--detections", metavar="FILE", help="boxes to walk over in --test and --predict (JSON or HDF5)")
    group.add_argument(
        "--train_detections", metavar="FILE", help="boxes to walk over in --train, instead of annotated ones"
    )
    group.add_argument("--class_map", metavar="FILE", help="JSON: a detector's class names to the graph's entities")
    group.add_argument(
        "--checkpoint", metavar="FILE", help="for --test and --predict (default: OUTPUT_DIR/best.pt, last.pt)"
    )
    group.add_argument("--output_dir", default=".", help="where everything is written")

    group = parser.add_argument_group("state")
    group.add_argument(
        "--image_embedding_model_type",
        choices=("resnet", "vgg", "densenet", "efficientnet_lite0", "none"),
        default="resnet",
        help="features of the image and of the boxes; none: no pixels",
    )
    group.add_argument("--image_embedding_weights", metavar="FILE", help="local weights for it, in place of a download")
    group.add_argument("--feature_pooling", choices=("roi", "crop"), default="roi", help="pool boxes, or crop each one")
    group.add_argument("--use_skip_thought", action=boolean, default=False, help="history phrases in the state")
    group.add_argument("--skip_thought_dir", default="data/skipthoughts", help="where the skip-thought files are")
    group.add_argument("--skip_thought_model", choices=("uni", "bi", "combine"), default="uni", help="which encoder")
    group.add_argument(
        "--use_box_geometry", action=boolean, default=False, help="where the two boxes lie (not in the paper)"
    )
    group.add_argument(
        "--use_pair_context",
        action=boolean,
        default=False,
        help="how the pair stands among the image's other objects (not in the paper)",
    )
    group.add_argument(
        "--category_vectors",
        type=int,
        metavar="N",
        default=0,
        help="learn N numbers for each category (not in the paper)",
    )
    group.add_argument(
        "--entity_vectors", metavar="FILE", help="given vectors of the entities, .npy (not in the paper)"
    )
    group.add_argument(
        "--category_mixing",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the --entity_vectors in a batch, mixed with those of similar categories (not in the paper)",
    )
    group.add_argument(
        "--use_memory",
        action=boolean,
        default=False,
        help="with --frontier best_first: what was said of the two objects and of overlapping pairs (not in the paper)",
    )
    group.add_argument("--fusion_sizes", type=int, nargs="+", default=[4096, 2048], help="widths of the fusion layers")
    group.add_argument("--dropout", type=float, default=0.0, help="after each fusion layer")
    group.add_argument("--num_members", type=int, default=1, help="Q networks whose mean decides (not in the paper)")

    group = parser.add_argument_group("walk")
    group.add_argument(
        "--frontier",
        choices=("breadth_first", "best_first"),
        default="breadth_first",
        help="the next pair: of the subject at hand, or any of the image (not in the paper)",
    )
    group.add_argument("--neighbour_factor", type=float, default=0.5, help="how near a neighbour is; 100: all are")
    group.add_argument("--maximum_objects_per_subject", type=int, default=5, help="neighbours before the next subject")
    group.add_argument("--maximum_steps", type=int, default=300, help="steps an image")
    group.add_argument(
        "--maximum_adaptive_action_space_size", type=int, default=20, help="actions in an adaptive action set"
    )
    group.add_argument(
        "--use_adaptive_action_sets", action=boolean, default=True, help="off: every attribute and predicate, always"
    )
    group.add_argument(
        "--predicate_action_set",
        choices=("phrase", "word"),
        default="phrase",
        help="predicates seen between the two categories, or also seen with each (not in the paper)",
    )
    group.add_argument(
        "--use_ambiguity_aware_mining", action=boolean, default=True, help="choose among a box's likely categories"
    )
    group.add_argument(
        "--use_exact_match", action=boolean, default=False, help="names must be equal; else alias groups count"
    )
    group.add_argument(
        "--object_detection_threshold", type=float, default=0.005, help="least confidence of a detected box"
    )
    group.add_argument("--maximum_num_entities_per_image", type=int, default=500, help="most boxes of an image")

    group = parser.add_argument_group("detector (instead of a detections file)")
    group.add_argument(
        "--use_fastrcnn_proposals",
        action=boolean,
        default=False,
        help="walk over detected boxes, kept in OUTPUT_DIR/detections_{train,test}.h5",
    )
    group.add_argument("--detector", choices=DETECTORS, help="left out, the weights file says which")
    group.add_argument("--detector_weights", metavar="FILE", help="left out, torchvision downloads its COCO weights")

    group = parser.add_argument_group("rewards")
    group.add_argument("--positive_reward", type=float, default=1.0, help="for a right attribute or predicate")
    group.add_argument(
        "--next_object_reward",
        choices=("new_object", "relationship"),
        default="new_object",
        help="what earns +5 (relationship: not in the paper)",
    )

    group.add_argument(
        "--new_phrases_only",
        action=boolean,
        default=False,
        help="an annotated relationship pays once, like a new object (not in the paper)",
    )
    group.add_argument(
        "--step_cost",
        type=float,
        default=0.03,
        help="best first: of looking at a pair, where something new pays 1; 0: look at every pair (not in the paper)",
    )

    group = parser.add_argument_group("learning")
    group.add_argument("--num_epochs", type=int, default=5, help="walks over every training image")
    group.add_argument(
        "--batch_size",
        type=int,
        default=64,
        help="transitions an update; up to three times as many images step together",
    )
    group.add_argument("--discount_factor", type=float, default=0.9, help="lambda")
    group.add_argument("--learning_rate", type=float, default=0.0007, help="of the optimizer")
    group.add_argument("--optimizer", choices=("rmsprop", "adamw"), default="rmsprop", help="adamw: not in the paper")
    group.add_argument(
        "--learning_rate_decay",
        action=boolean,
        default=False,
        help="linearly to 0 over --num_epochs (not in the paper)",
    )
    group.add_argument("--epsilon", type=float, default=1.0, help="exploration in the first epoch")
    group.add_argument("--epsilon_anneal_rate", type=float, default=0.045, help="how much it falls every epoch")
    group.add_argument("--epsilon_end", type=float, default=0.1, help="where it stays")
    group.add_argument(
        "--target_update_frequency", type=int, default=500, help="updates between copies to the target network"
    )
    group.add_argument(
        "--next_object_loss_weight",
        type=float,
        default=1.0,
        help="weight of the next-object loss beside the two others (the paper: 1)",
    )
    group.add_argument(
        "--target_averaging",
        type=float,
        default=0.0,
        metavar="A",
        help="target = A target + (1 - A) network at every update, and test the target (not in the paper)",
    )
    group.add_argument(
        "--box_jitter", type=float, default=0.0, help="move corners by this share of the sides (not in the paper)"
    )
    group.add_argument(
        "--seen_twice",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the objects that are trained on, boxed a second time, as detectors do; corners then move once a walk "
        "(not in the paper; without pixels)",
    )
    group.add_argument("--weight_decay", type=float, default=0.0, help="of the optimizer (not in the paper)")
    group.add_argument(
        "--mirror",
        action=boolean,
        default=False,
        help="learn from mirrored boxes too, left and right changing places in predicates (not in the paper)",
    )
    group.add_argument("--replay_buffer_capacity", type=int, default=20000, help="transitions kept")
    group.add_argument(
        "--replay_buffer_minimum_number_samples", type=int, default=1000, help="transitions before the first update"
    )
    group.add_argument(
        "--replay_preference",
        type=float,
        default=1.0,
        help="a transition is so many times likelier to be drawn when its pair is annotated (not in the paper; "
        "taken out of the chances again with --reward_loss cross_entropy)",
    )
    group.add_argument(
        "--samples_per_transition", type=float, default=1.0, help="transitions learned from for each one made"
    )
    group.add_argument("--double_dqn", action=boolean, default=False, help="Double DQN targets")
    group.add_argument(
        "--learn_from",
        choices=("taken", "all"),
        default="taken",
        help="the action taken, or all of the action set (not in the paper)",
    )
    group.add_argument(
        "--reward_loss",
        choices=("squared", "cross_entropy"),
        default="squared",
        help="cross_entropy: heads give the rewards' log-odds (not in the paper)",
    )

    group = parser.add_argument_group("test and prediction")
    group.add_argument(
        "--policy", nargs="+", choices=("agent", "frequency", "random"), default=["agent"], help="who walks in --test"
    )
    group.add_argument(
        "--predicates_per_pair", type=int, default=1, metavar="K", help="1: the agent's own choice; else its K best"
    )
    group.add_argument(
        "--attributes_per_step", type=int, default=1, metavar="K", help="1: the agent's own choice; else its K best"
    )

    group = parser.add_argument_group("photos (--predict)")
    group.add_argument("--recursive", action="store_true", help="also the folders below a folder")
    group.add_argument(
        "--format",
        nargs="+",
        type=_formats,
        default=["json", "png"],
        metavar="FORMAT",
        help=f"what is written for each photo, of {', '.join(FORMATS)}; png: the photo with its boxes, and the graph. "
        "json is always written",
    )
    group.add_argument("--gallery", action="store_true", help="also a gallery of all graphs, OUTPUT_DIR/gallery")
    group.add_argument("--maximum_phrases", type=int, default=100, help="most relationships and attributes of a photo")

    group = parser.add_argument_group("machine")
    group.add_argument("--seed", type=int, default=0, help="one seed makes a run repeatable")
    group.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ...; auto: cuda where there is one")
    group.add_argument("--num_workers", type=int, default=4, help="processes that decode images")
    group.add_argument("--mixed_precision", action=boolean, default=False, help="bfloat16 where it pays (CUDA)")
    group.add_argument(
        "--checkpoint_minutes", type=float, default=10.0, help="time between checkpoints within an epoch"
    )
    group.add_argument("--tensorboard", action=boolean, default=False, help="also write TensorBoard events")
    return parser


def _flat(part: str | list[str]) -> list[str]:
    return [part] if isinstance(part, str) else part


def parse(argv: Sequence[str] | None, defaults: dict[str, Any] | None = None) -> argparse.Namespace:
    """The command line's values. defaults: below what is given on the command line, above the preset."""
    parser = make_parser()
    preset = parser.parse_args(argv).preset
    parser.set_defaults(**PRESETS[preset])
    parser.set_defaults(**(defaults or {}))
    arguments = parser.parse_args(argv)
    arguments.format = list(dict.fromkeys(form for part in arguments.format for form in _flat(part)))
    if not (arguments.train or arguments.test or arguments.predict):
        parser.error("say what to do: --train, --test or --predict")
    for name, least in LEAST.items():
        values = getattr(arguments, name)
        if min(values if isinstance(values, list) else [values]) < least:
            parser.error(f"--{name} must be at least {least}")
    if not 0 <= arguments.dropout < 1 or not 0 <= arguments.target_averaging < 1:
        parser.error("--dropout and --target_averaging must be at least 0 and less than 1")
    for name in ("learning_rate", "samples_per_transition", "replay_preference"):
        if not 0 < getattr(arguments, name) < float("inf"):
            parser.error(f"--{name} must be more than 0")
    for name in ("epsilon", "epsilon_end", "discount_factor", "category_mixing", "seen_twice"):
        if not 0 <= getattr(arguments, name) <= 1:
            parser.error(f"--{name} must be from 0 to 1")
    if arguments.frontier == "best_first" and not (arguments.use_box_geometry and arguments.use_pair_context):
        parser.error("--frontier best_first chooses pairs by --use_box_geometry and --use_pair_context: add them")
    if arguments.use_memory and arguments.frontier != "best_first":
        parser.error("--use_memory needs --frontier best_first")
    # shares of slots are whole numbers, so the memory may hold less than its capacity
    most = arguments.replay_buffer_capacity - MOST_SLOTS * arguments.batch_size
    if arguments.replay_buffer_minimum_number_samples > most:
        parser.error(
            f"--replay_buffer_minimum_number_samples must be less than --replay_buffer_capacity by {MOST_SLOTS} "
            "batches, or training never begins"
        )
    return arguments
