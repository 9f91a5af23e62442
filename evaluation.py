"""Scoring of any system's relationships and attributes, by name, with 95 % intervals over images.

    python evaluation.py --predictions predictions.json --ground_truth data/data_samples/test_data.json
    python evaluation.py --protocol sgg --recall_at 20 50 100 --train_data data/data_samples/train_data.json
    python evaluation.py --compare other_predictions.json

Two protocols: VRD's (metrics/vrd.py: recall@N of relationships, phrases and attributes) and that of scene graph
generation (metrics/sgg.py: R@K, mR@K, zR@K with and without graph constraint, as for VG150). Which of PredCls, SGCls
and SGDet it is depends on the boxes and labels that the predictions were made from.

Predictions: `{image_name: {"relationships": [{"subject", "predicate", "object", "subject_box", "object_box", "score"}],
"attributes": [{"entity", "attribute", "box", "score"}]}}`, boxes [x1, y1, x2, y2] with both corners inside, in the
ground truth's own pixels. Ground truth: a split file. Names are compared exactly.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drawing.predicates import draw_predicates
from files.io import InputError, remove_leftovers, reports_input_errors, text_table, write_json
from files.one_set import check_tested
from files.predictions import (
    PhrasesOfImages,
    check_boxes_are_pixels,
    named_as,
    prediction_scenes,
    read_predictions,
    truth_scenes,
)
from files.splits import ImageRecord, Split
from metrics import sgg, vrd
from metrics.figures import RESAMPLES, Counts, by_word, difference, figures

RECALL_AT = {"vrd": (50, 100), "sgg": (20, 50, 100)}  # protocol -> how many predictions of an image count


def train_triplets(records: Iterable[ImageRecord]) -> set[tuple[str, ...]]:
    """What a training split has: every (subject, predicate, object) and every (entity, attribute), as names."""
    seen: set[tuple[str, ...]] = set()
    for record in records:
        names = {thing.object_id: thing.name for thing in record.labels.objects}
        seen.update((thing.name, attribute) for thing in record.labels.objects for attribute in thing.attributes)
        for edge in record.labels.relationships:
            seen.add((names[edge.subject_id], edge.predicate, names[edge.object_id]))
    return seen


@dataclass
class GroundTruth:
    """The annotations of a split as arrays, and what is needed to score predictions against them."""

    images: dict[str, int]
    phrases: PhrasesOfImages
    vocabulary: dict[str, int]  # grows with the words of the predictions
    unseen: tuple[np.ndarray, np.ndarray] | None  # which rows of `phrases` training never has; None: not known
    num_predicates: int  # that mR is averaged over: all that are annotated here, in training, or were given


def ground_truth_arrays(
    records: Iterable[ImageRecord],
    train_triplets: Collection[tuple[str, ...]] | None = None,
    predicates: Iterable[str] = (),
) -> GroundTruth:
    """The records of a split. train_triplets, predicates: as for `evaluate`. Raises InputError as `truth_scenes`."""
    vocabulary: dict[str, int] = {}
    images, phrases = truth_scenes(records, vocabulary)
    seen = train_triplets or ()
    names = {*predicates, *(triplet[1] for triplet in seen if len(triplet) == 3)}
    annotated = set(np.unique(phrases.relationships.labels[:, 1]).tolist())
    known = annotated | {vocabulary.setdefault(name, len(vocabulary)) for name in names}
    unseen = None if train_triplets is None else unseen_rows(phrases, train_triplets, vocabulary)
    return GroundTruth(images, phrases, vocabulary, unseen, len(known))


def task_counts(
    predicted: PhrasesOfImages, truth: GroundTruth, protocol: str = "vrd", ns: Sequence[int] | None = None
) -> dict[str, Counts]:
    """What each task of the protocol asks for and what was found (metrics/vrd.py, metrics/sgg.py)."""
    ns = RECALL_AT[protocol] if ns is None else ns
    if protocol == "vrd":
        return vrd.counts(predicted, truth.phrases, truth.unseen, ns)
    unseen = None if truth.unseen is None else truth.unseen[0]
    return sgg.counts(predicted.relationships, truth.phrases.relationships, unseen, ns, truth.num_predicates)


def task_figures(tasks: Mapping[str, Counts], vocabulary: Mapping[str, int], resamples: int = 0) -> dict[str, Any]:
    """Figures of each task, and "predicates": {predicate: {"annotated", "images", task: {"50": recall, …}, …}}."""
    names = list(vocabulary)
    rows: dict[str, dict[str, Any]] = {}
    for task in ("relationship", "phrase", "graph_constraint", "no_graph_constraint"):
        for word, row in by_word(tasks[task]).items() if task in tasks else ():
            recall = {task: row.pop("recall")}
            rows[names[word]] = rows.get(names[word], row) | recall
    rows = dict(sorted(rows.items(), key=lambda item: (-item[1]["annotated"], item[0])))
    return {task: figures(part, resamples) for task, part in tasks.items()} | {"predicates": rows}


def evaluate(
    predictions: Mapping[str, Any],
    ground_truth: Iterable[ImageRecord],
    train_triplets: Collection[tuple[str, ...]] | None = None,
    ns: Sequence[int] | None = None,
    source: str = "predictions",
    protocol: str = "vrd",
    predicates: Iterable[str] = (),
    resamples: int = 0,
) -> dict[str, Any]:
    """Score predictions by name (plain dicts in predictions.json's layout, or `read_predictions`' result).

    ground_truth: records of a split. train_triplets: see the function of that name; adds the zero-shot tasks. ns: how
    many predictions of an image count. predicates: the data set's vocabulary, for mR of protocol "sgg", which averages
    over these and those of the ground truth and of training. resamples: of images, for 95 % intervals; 0: none.
    Returns `task_figures`, and before them "images", "images_without_predictions" (their ground truth
    is missed) and "unknown_images" (names that the ground truth does not have; what is predicted there is not counted).
    Raises InputError naming `source` when a prediction is malformed or no predicted image is in the ground truth.
    """
    truth = ground_truth_arrays(ground_truth, train_triplets, predicates)
    counts, about = score_against(predictions, truth, protocol, ns, source)
    return about | task_figures(counts, truth.vocabulary, resamples)


def score_against(
    predictions: Mapping[str, Any],
    truth: GroundTruth,
    protocol: str = "vrd",
    ns: Sequence[int] | None = None,
    source: str = "predictions",
) -> tuple[dict[str, Counts], dict[str, Any]]:
    """What each task asks for and what was found, and how many images there are: see `evaluate`.

    Warns on stderr when nothing can be found because the predictions' names are not those of the ground truth.
    """
    predictions = named_as(predictions, truth.images)
    unknown = [name for name in predictions if name not in truth.images]
    if predictions and len(unknown) == len(predictions):
        raise InputError(
            f"{source}: none of the {len(unknown)} images ({unknown[0]!r}, …) is in the ground truth; "
            "give the split that they were made for"
        )
    predicted = prediction_scenes(predictions, truth.images, truth.vocabulary, source)
    check_boxes_are_pixels(predicted, truth.phrases, source)
    _warn_of_other_names(predicted, truth, source)
    about = {
        "protocol": protocol,
        "images": len(truth.images),
        "images_without_predictions": len(truth.images) - (len(predictions) - len(unknown)),
        "unknown_images": unknown,
    }
    return task_counts(predicted, truth, protocol, ns), about


def _warn_of_other_names(predicted: PhrasesOfImages, truth: GroundTruth, source: str) -> None:
    """One line when no subject, predicate, object, entity or attribute that is predicted is annotated anywhere."""
    parts = (("subject", "predicate", "object"), ("entity", "attribute"))
    for found, annotated, words in zip(predicted, truth.phrases, parts, strict=True):
        for word, said, known in zip(words, found.labels.T, annotated.labels.T, strict=True):
            if len(said) and len(known) and not np.isin(said, known).any():
                name = list(truth.vocabulary)[said[0]]
                print(
                    f"warning: {source}: no predicted {word} ({name!r}, …) is one of the ground truth's; "
                    "names are compared exactly, upper and lower case too",
                    file=sys.stderr,
                )
                return


def compare(one: Mapping[str, Counts], other: Mapping[str, Counts], resamples: int = RESAMPLES) -> dict[str, Any]:
    """Task by task how much more `one` finds than `other` of the same annotations, with paired 95 % intervals."""
    return {task: difference(part, other[task], resamples) for task, part in one.items()}


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
    """The tasks of `evaluate` as a text table, one row a task that has ground truth.

    Where the results have intervals, a second table shows them.
    """
    tasks = tasks_with_ground_truth(results)
    if not tasks:
        return "The ground truth has no relationship and no attribute: nothing to score."
    ns = list(next(iter(tasks.values()))["hits"])
    columns = {"hits": "hits", "recall": "R", "mean_recall": "mR"}
    if any("precision" in result for result in tasks.values()):
        columns["precision"] = "P"
    rows = [["task", "total", *(f"{title}@{n}" for title in columns.values() for n in ns)]]
    for name, result in tasks.items():
        cells = [str(result["hits"][n]) for n in ns]
        for key in list(columns)[1:]:
            values = result.get(key, {})
            cells += ["" if values.get(n) is None else f"{values[n]:.2f}" for n in ns]
        rows.append([_title(name), str(result["total"]), *cells])
    table = text_table(rows)
    if not any("recall_interval" in result for result in tasks.values()):
        return table
    return f"{table}\n\n{_format_intervals(tasks, '95 % interval', values=False)}"


def format_differences(differences: Mapping[str, Any]) -> str:
    """What `compare` returns as a text table: difference [95 % interval], one row a task that has ground truth."""
    return _format_intervals(tasks_with_ground_truth(differences), "difference", values=True)


def _format_intervals(tasks: Mapping[str, Any], title: str, values: bool) -> str:
    rows = []
    for name, result in tasks.items():
        cells = {}
        for measure, letter in (("recall", "R"), ("mean_recall", "mR")):
            for n, (low, high) in result.get(f"{measure}_interval", {}).items():
                value = f"{result[measure][n]:+.2f} [{low:+.2f}, {high:+.2f}]" if values else f"[{low:.2f}, {high:.2f}]"
                cells[f"{letter}@{n}"] = value
        rows = rows or [[title, *cells]]
        rows.append([_title(name), *cells.values()])
    return text_table([row for row in rows if len(row) == len(rows[0])])


def _title(task: str) -> str:
    return task.replace("zero_shot_", "zero-shot ").replace("_", " ")


def tasks_with_ground_truth(results: Mapping[str, Any]) -> dict[str, Any]:
    """The tasks of results.json that have something to find."""
    return {name: result for name, result in results.items() if isinstance(result, dict) and result.get("total")}


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Score predicted relationships and attributes against a split.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--predictions", default="predictions.json", help="what a system found, by image name")
    parser.add_argument("--ground_truth", default="data/data_samples/test_data.json", help="the split to score against")
    parser.add_argument("--train_data", help="the training split; adds zero-shot recall")
    parser.add_argument(
        "--protocol", choices=tuple(RECALL_AT), default="vrd", help="VRD's, or that of scene graph generation (VG150)"
    )
    parser.add_argument(
        "--recall_at",
        type=positive,
        nargs="+",
        metavar="K",
        default=argparse.SUPPRESS,
        help="predictions of an image that count (default: 50 100; with --protocol sgg 20 50 100)",
    )
    parser.add_argument("--compare", metavar="FILE", help="predictions of another system: print the paired difference")
    parser.add_argument(
        "--output", type=Path, default=Path("results.json"), help="where the numbers are written, a picture beside it"
    )
    return parser


def positive(text: str) -> int:
    """A whole number of at least 1, from the command line."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Command line: read, score, print the table, write JSON and the picture."""
    arguments = make_parser().parse_args(argv)
    if not arguments.output.name:
        raise InputError(f"--output {arguments.output}: name a file, results.json for instance")
    for flag in ("predictions", "ground_truth", "compare", "train_data"):
        path = getattr(arguments, flag)
        if path and os.path.exists(path) and arguments.output.exists() and arguments.output.samefile(path):
            raise InputError(f"--output {arguments.output} is the file of --{flag}; name another one")
    ns = getattr(arguments, "recall_at", None)
    predictions = read_predictions(arguments.predictions)
    other = read_predictions(arguments.compare) if arguments.compare else None
    split, train = Split(arguments.ground_truth), Split(arguments.train_data) if arguments.train_data else None
    check_tested(split, train)
    seen = train_triplets(train) if train is not None else None
    truth = ground_truth_arrays(split, seen)

    counts, about = score_against(predictions, truth, arguments.protocol, ns, arguments.predictions)
    results = about | task_figures(counts, truth.vocabulary, RESAMPLES)
    unknown = results["unknown_images"]
    if unknown:
        print(
            f"warning: {len(unknown)} predicted images are not in the ground truth and do not count: {unknown[0]!r}, …",
            file=sys.stderr,
        )
    print(format_table(results))
    if other is not None:
        others, _ = score_against(other, truth, arguments.protocol, ns, arguments.compare)
        results["compared_with"] = os.fsencode(arguments.compare).decode(errors="backslashreplace")
        results["differences"] = compare(counts, others)
        print(f"\n{arguments.predictions} less {arguments.compare}, points [95 % interval over the same images]:")
        print(format_differences(results["differences"]))
    picture = arguments.output.with_suffix(".predicates.png")
    remove_leftovers(arguments.output, picture)
    write_json(arguments.output, results, indent=2)
    draw_predicates(results["predicates"], picture)
    missing = results["images_without_predictions"]
    print(
        f"\nPer cent; images: {results['images']}, without predictions: {missing}. Written to {arguments.output}; "
        f"recall of each predicate: {picture}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
