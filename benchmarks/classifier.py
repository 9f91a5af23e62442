"""The supervised classifier of pairs: the agent's own networks, trained by main.py without memory and with all labels.

With `--no-use_memory` the networks are told nothing of what was said before, and with `--no-new_phrases_only` every
annotated predicate counts whenever its pair is looked at: cross-entropy on every pair, with the agent's inputs of a
pair, members, second boxes and schedule.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import main
from benchmarks.pairs import all_pairs
from benchmarks.trained import Run, scores_of

SUPERVISED = ("--no-use_memory", "--no-new_phrases_only")
VALIDATION = "validation_data.json"  # beside the training split, as create_graph.py writes it
# Every pair of boxes with their best categories, as the other baselines see them.
EVERY_PAIR = ("--no-use_ambiguity_aware_mining", "--step_cost", "0", "--maximum_steps", "32767")


def train(folder: Path, options: argparse.Namespace, seed: int) -> None:
    """main.py --train into `folder`, or the rest of it where it was stopped.

    options: of baselines.py; options.flags are of main.py and come last. Raises SystemExit when it was stopped or
    failed, which it has said.
    """
    splits = {"train_data": options.train_data, "validation_data": Path(options.train_data).with_name(VALIDATION)}
    files = {"graph": options.graph, **splits, "output_dir": folder}
    argv = ["--train", *SUPERVISED, "--num_members", str(options.num_members), "--seed", str(seed)]
    argv += [word for name, value in files.items() for word in (f"--{name}", str(value))]
    kind = options.image_embedding_model_type if options.images_dir else "none"
    argv += ["--image_embedding_model_type", kind]
    argv += ["--images_dir", options.images_dir] if options.images_dir else []
    if options.entity_vectors:
        argv += ["--entity_vectors", options.entity_vectors, "--learned_category_vectors", "0"]
    argv += ["--resume"] if (folder / "last.pt").exists() else []
    if status := main.main([*argv, *options.flags]):
        sys.exit(status)


def scores(folder: Path, options: argparse.Namespace, detections: str | None) -> np.ndarray:
    """What the trained networks say of every pair of the test images: (n, P), the rows of `all_pairs`."""
    flags = [*EVERY_PAIR, "--object_detection_threshold", str(options.object_detection_threshold)]
    run = Run(folder, options.graph, options.test_data, options.images_dir, detections, flags)
    found, _ = run.walk(name=f"classifier, {'detected' if detections else 'annotated'} boxes")
    return scores_of(found, all_pairs(run.scenes), len(run.parts.graph.predicates))
