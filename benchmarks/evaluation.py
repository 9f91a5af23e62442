"""How long evaluation takes: 1 000 images with 100 predicted relationships and 100 predicted attributes each.

    python benchmarks/evaluation.py [--output evaluation_benchmark.json]

Half of the predictions are annotated phrases with shaken boxes, repeated as a real system repeats them; the rest is
wrong in one label. Vocabulary of the paper's size (1 750 entities, 347 predicates, 1 049 attributes), 22 relationships
and 26 attributes an image, as in Visual Genome. VRD's protocol: six tasks (relationship, phrase, attribute, and
zero-shot of each). That of scene graph generation: with and without graph constraint, and zero-shot of each. Each with
the rows of all predicates, and once more with 95 % intervals over images.

What bounds it: on arrays nothing stands out: the ranking sort, the sorted join of equal labels, the overlaps of the
pairs found and the greedy walk through those that overlap enough take about a quarter each. From dicts and files,
numbering the names row by row in Python and decoding the JSON take three to four times as long as the scoring.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose file is named evaluation too

import evaluation
from files.io import reports_input_errors, write_json
from files.predictions import prediction_scenes, read_predictions
from files.splits import ImageRecord, Labels, ObjectRecord, RelationshipRecord, Split, write_split
from metrics.figures import RESAMPLES

IMAGES, PREDICTIONS = 1000, 100
ENTITIES, PREDICATES, ATTRIBUTES = 1750, 347, 1049
OBJECTS, RELATIONSHIPS, ATTRIBUTED = 35, 22, 26


def make_truth(rng: np.random.Generator) -> list[ImageRecord]:
    """Images of random boxes and labels."""
    records = []
    for image in range(IMAGES):
        boxes = np.concatenate([rng.integers(0, 400, (OBJECTS, 2)), rng.integers(20, 300, (OBJECTS, 2))], axis=1)
        names = rng.integers(ENTITIES, size=OBJECTS)
        objects = [
            ObjectRecord(i, *map(int, box), f"entity {name}")
            for i, (box, name) in enumerate(zip(boxes, names, strict=True))
        ]
        for i in rng.integers(OBJECTS, size=ATTRIBUTED):
            objects[i].attributes.append(f"attribute {rng.integers(ATTRIBUTES)}")
        ends = rng.integers(OBJECTS, size=(RELATIONSHIPS, 2))
        edges = [
            RelationshipRecord(i, f"predicate {rng.integers(PREDICATES)}", int(s), int(o))
            for i, (s, o) in enumerate(ends)
        ]
        records.append(ImageRecord(f"{image}.jpg", Labels(image, objects, edges)))
    return records


def make_predictions(records: Sequence[ImageRecord], rng: np.random.Generator) -> dict[str, Any]:
    """Annotated phrases with shaken boxes; every second one with a wrong predicate or attribute."""
    predictions = {}
    for record in records:
        things = record.labels.objects
        attributed = [thing for thing in things if thing.attributes]
        relationships, attributes = [], []
        for i in range(PREDICTIONS):
            edge = record.labels.relationships[rng.integers(RELATIONSHIPS)]
            subject, other = things[edge.subject_id], things[edge.object_id]
            relationships.append(
                {
                    "subject": subject.name,
                    "predicate": edge.predicate if i % 2 else f"predicate {rng.integers(PREDICATES)}",
                    "object": other.name,
                    "subject_box": _shaken(subject, rng),
                    "object_box": _shaken(other, rng),
                    "score": float(rng.random()),
                }
            )
            thing = attributed[rng.integers(len(attributed))]
            attributes.append(
                {
                    "entity": thing.name,
                    "attribute": thing.attributes[0] if i % 2 else f"attribute {rng.integers(ATTRIBUTES)}",
                    "box": _shaken(thing, rng),
                    "score": float(rng.random()),
                }
            )
        predictions[record.image_name] = {"relationships": relationships, "attributes": attributes}
    return predictions


def _shaken(thing: ObjectRecord, rng: np.random.Generator) -> list[float]:
    corners = np.array([thing.x, thing.y, thing.x + thing.w - 1, thing.y + thing.h - 1])
    return (corners + rng.uniform(-5, 5, 4)).tolist()


def seconds(function: Callable[[], Any], repeats: int = 5) -> dict[str, float]:
    """Median wall time of a call, and median processor time, which other work on the machine does not lengthen."""
    wall, processor = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        function()
        wall.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    return {"wall": statistics.median(wall), "processor": statistics.median(processor)}


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Make the data in a temporary folder, time, print and write."""
    parser = argparse.ArgumentParser(description="Time the evaluation of 1 000 images with 100 predictions each.")
    parser.add_argument("--output", default="evaluation_benchmark.json", help="where the figures are written")
    arguments = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    records = make_truth(rng)
    predictions = make_predictions(records, rng)
    seen = evaluation.train_triplets(records[::2])

    with tempfile.TemporaryDirectory() as folder:
        truth_path, predictions_path = Path(folder, "truth.json"), Path(folder, "predictions.json")
        write_split(truth_path, records)
        predictions_path.write_text(json.dumps(predictions))

        figures: dict[str, Any] = {
            "images": IMAGES,
            "predictions_per_image": {"relationships": PREDICTIONS, "attributes": PREDICTIONS},
        }
        truth = evaluation.ground_truth_arrays(records, seen)
        predicted = prediction_scenes(predictions, truth.images, truth.vocabulary)
        for protocol in evaluation.RECALL_AT:

            def from_arrays(resamples: int, protocol: str = protocol) -> dict[str, Any]:
                counts = evaluation.task_counts(predicted, truth, protocol)
                return evaluation.task_figures(counts, truth.vocabulary, resamples)

            def from_files(resamples: int, protocol: str = protocol) -> dict[str, Any]:
                found = read_predictions(predictions_path)
                return evaluation.evaluate(found, Split(truth_path), seen, protocol=protocol, resamples=resamples)

            print(f"{protocol}\n{evaluation.format_table(from_files(0))}\n")
            figures[f"seconds_{protocol}"] = {
                f"from {name}{', with intervals' if resamples else ''}": seconds(partial(score, resamples))
                for name, score in (("arrays", from_arrays), ("files", from_files))
                for resamples in (0, RESAMPLES)
            }
    print(f"{IMAGES} images, {PREDICTIONS} relationships and {PREDICTIONS} attributes predicted in each")
    for protocol in evaluation.RECALL_AT:
        for name, times in figures[f"seconds_{protocol}"].items():
            print(f"  {protocol} {name:28}  {times['wall']:.2f} s ({times['processor']:.2f} s of processor time)")
    write_json(arguments.output, figures, indent=2)
    print(f"Median of 5; written to {arguments.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
