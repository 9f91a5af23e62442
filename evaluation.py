"""Scoring of any system's relationships and attributes, by name: recall@N by VRD's protocol (metrics/vrd.py).

    python evaluation.py --predictions predictions.json --ground_truth data/data_samples/test_data.json

Predictions: `{image_name: {"relationships": [{"subject", "predicate", "object", "subject_box", "object_box", "score"}],
"attributes": [{"entity", "attribute", "box", "score"}]}}`, boxes [x1, y1, x2, y2] with both corners inside, in the
ground truth's own pixels. Ground truth: a split file. Names are compared exactly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from files.io import InputError, reports_input_errors, write_json
from files.predictions import PhrasesOfImages, prediction_scenes, read_predictions, truth_scenes
from files.splits import ImageRecord, Split
from metrics.vrd import evaluate_arrays


def train_triplets(records: Iterable[ImageRecord]) -> set[tuple[str, ...]]:
    """What a training split has: every (subject, predicate, object) and every (entity, attribute), as names."""
    seen: set[tuple[str, ...]] = set()
    for record in records:
        names = {thing.object_id: thing.name for thing in record.labels.objects}
        seen.update((thing.name, attribute) for thing in record.labels.objects for attribute in thing.attributes)
        for edge in record.labels.relationships:
            seen.add((names[edge.subject_id], edge.predicate, names[edge.object_id]))
    return seen


def evaluate(
    predictions: Mapping[str, Any],
    ground_truth: Iterable[ImageRecord],
    train_triplets: Collection[tuple[str, ...]] | None = None,
    ns: Sequence[int] = (50, 100),
    source: str = "predictions",
) -> dict[str, Any]:
    """Score predictions by name (plain dicts in predictions.json's layout, or `read_predictions`' result).

    ground_truth: records of a split. train_triplets: see the function of that name; adds the zero-shot tasks.
    Returns `evaluate_arrays`' tasks, and before them "images", "images_without_predictions" (their ground truth
    is missed) and "unknown_images" (names that the ground truth does not have; what is predicted there is not counted).
    Raises InputError naming `source` when a prediction is malformed or no predicted image is in the ground truth.
    """
    vocabulary: dict[str, int] = {}
    images, truth = truth_scenes(ground_truth, vocabulary)
    unknown = [name for name in predictions if name not in images]
    if predictions and len(unknown) == len(predictions):
        raise InputError(
            f"{source}: none of the {len(unknown)} images ({unknown[0]!r}, …) is in the ground truth; "
            "give the split that they were made for"
        )
    predicted = prediction_scenes(predictions, images, vocabulary, source)
    unseen = None if train_triplets is None else unseen_rows(truth, train_triplets, vocabulary)
    counts = {
        "images": len(images),
        "images_without_predictions": len(images) - (len(predictions) - len(unknown)),
        "unknown_images": unknown,
    }
    return counts | evaluate_arrays(predicted, truth, unseen, ns)


def unseen_rows(
    truth: PhrasesOfImages, train_triplets: Collection[tuple[str, ...]], vocabulary: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """(relationships,) and (attributes,) bool: which ground-truth phrases the training split never has."""
    seen = {tuple(vocabulary.get(name, -1) for name in names) for names in train_triplets}
    relationships, attributes = (
        np.array([tuple(row) not in seen for row in part.labels.tolist()], dtype=bool) for part in truth
    )
    return relationships, attributes


# ---------------------------------------------------------------- the script


def format_table(results: Mapping[str, Any]) -> str:
    """The tasks of `evaluate` or `evaluate_arrays` as a text table, one row a task that has ground truth."""
    tasks = {name: result for name, result in results.items() if isinstance(result, dict) and result["total"]}
    if not tasks:
        return "The ground truth has no relationship and no attribute: nothing to score."
    ns = list(next(iter(tasks.values()))["hits"])
    columns = [f"{title}@{n}" for title in ("hits", "R", "mR", "P") for n in ns]
    rows = [["task", "total", *columns]]
    for name, result in tasks.items():
        cells = [str(result["hits"][n]) for n in ns]
        for key in ("recall", "mean_recall", "precision"):
            values = result.get(key, {})
            cells += ["" if values.get(n) is None else f"{values[n]:.2f}" for n in ns]
        rows.append([name.replace("zero_shot_", "zero-shot "), str(result["total"]), *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Command line: read, score, print the table, write JSON."""
    parser = argparse.ArgumentParser(
        description="Score predicted relationships and attributes against a split: recall@N by VRD's protocol.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--predictions", default="predictions.json", help="what a system found, by image name")
    parser.add_argument("--ground_truth", default="data/data_samples/test_data.json", help="the split to score against")
    parser.add_argument("--train_data", help="the training split; adds zero-shot recall")
    parser.add_argument("--output", default="results.json", help="where the numbers are written")
    arguments = parser.parse_args(argv)

    predictions = read_predictions(arguments.predictions)
    seen = train_triplets(Split(arguments.train_data)) if arguments.train_data else None
    results = evaluate(predictions, Split(arguments.ground_truth), seen, source=arguments.predictions)
    unknown = results["unknown_images"]
    if unknown:
        print(
            f"warning: {len(unknown)} predicted images are not in the ground truth and do not count: {unknown[0]!r}, …",
            file=sys.stderr,
        )
    print(format_table(results))
    write_json(arguments.output, results, indent=2)
    missing = results["images_without_predictions"]
    print(f"\nPer cent; images: {results['images']}, without predictions: {missing}. Written to {arguments.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
