"""Baselines beside the agent, with its inputs, in one table: frequency priors, a classifier of pairs, message passing.

    python create_graph.py --dataset vrd --annotations VRD --min_occurrences 1 --num_validation 0 --output RUN
    python benchmarks/baselines.py --graph RUN/graph.pickle --train_data RUN/data/data_samples/train_data.json \\
        --test_data RUN/data/data_samples/test_data.json --detections VRD/detections_test.json \\
        --entity_vectors VRD/objects_word2vec.npy --seeds 0 1 2 --output_dir baselines

frequency: P(annotated with p | the two categories), counted over all ordered pairs of annotated objects, also those
    that are not annotated (FREQ of Zellers et al., "Neural Motifs", CVPR 2018).
frequency_overlap: the same over pairs whose boxes overlap; the others are not related (FREQ + OVERLAP).
classifier: the agent's own networks, trained by `main.py --train --no-use_memory --no-new_phrases_only` into
    OUTPUT_DIR/classifier/seed_N: by cross-entropy on all pairs. What stands after `--` goes to that command, as in
    `-- --preset sample`.
classifier_damped: the same; what it says again of overlapping pairs has a tenth of its score (`pairs.damped`).
message_passing: objects and pairs send each other messages (Xu et al., CVPR 2017), on the same inputs; as many
    networks as the classifier has, which learn from second boxes too.

None of them walks: each looks at all pairs of an image. A triplet's score is the predicate's probability times the
confidences of its two objects. Each is tested on detected boxes (--detections), on annotated boxes ("given boxes"), and
asked for the predicate of every annotated pair ("predicate"). What it says is written as predictions.json,
given_predictions.json and predicate_predictions.json: evaluation.py scores and compares them by both protocols. Without
--detections predictions.json is about annotated boxes, as main.py writes it. With --images_dir the networks see the
pixels too.

--agent NAME FOLDER ... adds a row for the agent (what `main.py --test` wrote, one folder a seed) and how far it is
above each baseline, with a paired 95 % interval over images. Rows are means over seeds.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import classifier
from benchmarks.pair_networks import Encoder, Members, MessagePassing, Training, probabilities, train
from benchmarks.pairs import all_pairs, annotated_rows, damped, labels, predictions
from benchmarks.tables import MEASURES, NS
from boxes import iou
from engine.options import PRESETS
from engine.parts import entity_vectors, open_detections
from evaluation import GroundTruth, ground_truth_arrays, task_counts, train_triplets
from files.images import find_image
from files.io import InputError, reports_input_errors, write_json
from files.one_set import check_tested
from files.options import SceneOptions
from files.predictions import PhrasesOfImages, prediction_scenes, read_predictions
from files.splits import Split
from metrics.figures import RESAMPLES, Counts, difference, figures, mean_counts
from metrics.sgg import one_predicate_a_pair
from scenes.feature_cache import FeatureCache, compute_features
from scenes.features import build_embedding
from scenes.scene import DetectedInstances, SceneSet
from semantic_graph import SemanticActionGraph

METHODS = ("frequency", "frequency_overlap", "classifier", "classifier_damped", "message_passing")
LEARNED = METHODS[2:]  # once for each seed
FILES = {"": "predictions.json", "given": "given_predictions.json", "predicate": "predicate_predictions.json"}


@dataclass
class World:
    """Pairs to learn from and to be tested on. tested: name of the file -> all pairs."""

    graph: SemanticActionGraph
    records: Split
    scenes: SceneSet  # to learn from, and their pairs
    pairs: np.ndarray
    right: np.ndarray  # (n, P) bool, the labels
    tested: dict[str, np.ndarray]
    given: str  # the file of the annotated boxes
    annotated: np.ndarray  # those rows of its pairs that are annotated


Says = Callable[[str, np.ndarray], np.ndarray]  # name of the file, its pairs (n,) -> scores (n, P)


def frequencies(world: World, overlap: bool) -> Callable[[np.ndarray], np.ndarray]:
    """P(p annotated | the two categories), counted over all training pairs: pairs (n,) -> (n, P).

    One pair that is as the average of all pairs is added to each two categories, so that one pair proves little.
    overlap: counted over pairs whose boxes overlap; the others are not related at all.
    """

    def touching(pairs: np.ndarray) -> np.ndarray:
        return iou(pairs["subject_box"], pairs["object_box"]) > 0 if overlap else np.ones(len(pairs), dtype=bool)

    def key(pairs: np.ndarray) -> np.ndarray:
        return pairs["subject_category"].astype(np.int64) * len(world.graph.entities) + pairs["object_category"]

    counted = touching(world.pairs)
    average = world.right[counted].sum(axis=0) / max(counted.sum(), 1)
    seen, number = np.unique(key(world.pairs[counted]), return_inverse=True)
    table = np.zeros((len(seen) + 1, len(average))) + average  # the last row: categories never seen together
    np.add.at(table, number, world.right[counted])
    table[:-1] /= 1 + np.bincount(number, minlength=len(seen))[:, None]
    seen = np.append(seen, np.iinfo(np.int64).max)

    def probability(pairs: np.ndarray) -> np.ndarray:
        place = np.searchsorted(seen, key(pairs))
        chance = table[np.where(seen[place] == key(pairs), place, -1)]
        return np.where(touching(pairs)[:, None], chance, 0)

    return probability


def message_passing(world: World, options: argparse.Namespace, encoders: dict[str, Encoder], seed: int) -> Says:
    """Train the network that passes messages."""
    torch.manual_seed(seed)
    vectors = entity_vectors(options.entity_vectors, world.graph)
    num_predicates = len(world.graph.predicates)
    members = [MessagePassing(vectors, encoders["train"], num_predicates) for _ in range(options.num_members)]
    start = time.perf_counter()
    training = Training(passes=options.passes, mixed_precision=options.mixed_precision, seed=seed)
    network = train(Members(members), encoders["train"], world.scenes, len(world.pairs), training)
    print(f"message_passing, seed {seed}: learned in {time.perf_counter() - start:.0f} s", flush=True)
    return lambda file, pairs: weighed(probabilities(network, encoders[file], pairs, num_predicates), pairs)


def weighed(chance: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Scores of probabilities: (n, P), times the confidences of the pairs' two objects."""
    return chance * pairs["confidence"][:, None]


def write_predictions(folder: Path, world: World, says: Says, damp: bool = False) -> None:
    """What a method says of every file of FILES that it is tested for."""
    for file, pairs in world.tested.items():
        score = says(file, pairs)
        if file == world.given:
            rows = world.annotated
            of_pairs = predictions(pairs[rows], score[rows], world.records, world.graph, own_choice=True)
            write_json(folder / FILES["predicate"], of_pairs)
        score = damped(pairs, score) if damp else score
        write_json(folder / FILES[file], predictions(pairs, score, world.records, world.graph))


def columns(folders: Sequence[Path], truth: GroundTruth) -> dict[str, Counts]:
    """What the files of each folder find by VRD's protocol, one folder a seed: column of the table -> mean counts."""
    seeds: list[dict[str, Counts]] = []
    for folder in folders:
        found: dict[str, Counts] = {}
        for file, name in FILES.items():
            path = folder / name
            if not path.exists():
                continue
            said = prediction_scenes(read_predictions(path), truth.images, truth.vocabulary, str(path))
            tasks = task_counts(said, truth)
            if file == "predicate":
                found["predicate"] = tasks["relationship"]
            elif file == "given":
                found["given boxes"] = tasks["relationship"]
            else:
                own = said.relationships[one_predicate_a_pair(said.relationships)]
                found["relationship"] = tasks["relationship"]
                found["relationship, k = 1"] = task_counts(PhrasesOfImages(own, said.attributes), truth)["relationship"]
                found["phrase"] = tasks["phrase"]
                found["zero-shot"] = tasks["zero_shot_relationship"]
        seeds.append(found)
    if not seeds or not seeds[0]:
        raise InputError(f"{', '.join(map(str, folders))}: no predictions; give folders that main.py --test wrote")
    return {column: mean_counts([seed[column] for seed in seeds]) for column in seeds[0]}


def markdown(rows: dict[str, dict[str, Counts]], measure: str) -> list[str]:
    """A table of recall or mean recall at 50 / 100, each with half its 95 % interval."""
    names = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [f"| {measure.replace('_', ' ')} | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    for method, row in rows.items():
        cells = []
        for name in names:
            if name not in row:
                cells.append("")
                continue
            result = figures(row[name], RESAMPLES)
            parts = []
            for n in NS:
                low, high = result[f"{measure}_interval"][n]
                parts.append(f"{result[measure][n]:.1f} ± {(high - low) / 2:.1f}")
            cells.append(parts[0] if parts[0] == parts[1] else " / ".join(parts))
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def differences(
    title: str, agent: dict[str, Counts], rows: dict[str, dict[str, Counts]]
) -> tuple[list[str], dict[str, Any]]:
    """The agent less each baseline, with paired 95 % intervals: a table for each measure, and the numbers."""
    names = list(agent)
    numbers = {
        method: {name: difference(agent[name], row[name]) for name in names if name in row}
        for method, row in rows.items()
    }
    lines: list[str] = []
    for measure in MEASURES:
        head = f"{title} less, {measure.replace('_', ' ')}"
        lines += [f"| {head} | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
        for method, less in numbers.items():
            cells = []
            for name in names:
                parts = []
                for n in NS if name in less else ():
                    low, high = less[name][f"{measure}_interval"][n]
                    parts.append(f"{less[name][measure][n]:+.2f} [{low:+.2f}, {high:+.2f}]")
                cells.append(" / ".join(dict.fromkeys(parts)))
            lines.append(f"| {method} | {' | '.join(cells)} |")
        lines.append("")
    return lines, numbers


def make_world(options: argparse.Namespace) -> tuple[World, dict[str, Encoder]]:
    """Read graph, splits, detections and pixels; of "train" and of each file of FILES what the networks see."""
    graph = SemanticActionGraph.load(options.graph)
    records, of_training = Split(options.test_data), Split(options.train_data)
    check_tested(records, of_training, options.graph, graph.made_in)
    scenes = {"train": SceneSet(of_training, graph), "": SceneSet(records, graph)}
    if options.detections:
        chosen = SceneOptions(
            object_detection_threshold=options.object_detection_threshold, use_ambiguity_aware_mining=False
        )
        detected = DetectedInstances(open_detections(options.detections, graph), graph, chosen)
        scenes |= {"given": scenes[""], "": SceneSet(records, graph, detected)}
    encoders = {name: make_encoder(part, options) for name, part in scenes.items()}
    pairs = {name: all_pairs(part) for name, part in scenes.items()}
    right = labels(pairs["train"], scenes["train"], len(graph.predicates))
    if not right.any():
        raise InputError(f"{options.train_data}: has no relationship of the graph's words to learn from; check --graph")
    given = "given" if options.detections else ""
    rows = annotated_rows(pairs[given], scenes[given])
    return World(graph, records, scenes["train"], pairs.pop("train"), right, pairs, given, rows), encoders


def make_encoder(scenes: SceneSet, options: argparse.Namespace) -> Encoder:
    """What the networks see of the pairs of `scenes`: with --images_dir also the pixels, of which no image may lack."""
    if not options.images_dir:
        return Encoder()
    embedding = build_embedding(options.image_embedding_model_type)
    names = [record.image_name for record in scenes.records]
    items = [
        (name, find_image(options.images_dir, name), scenes.instances(number).boxes)
        for number, name in enumerate(names)
    ]
    folder = Path(options.output_dir) / "feature_cache"
    skipped = compute_features(embedding, items, folder, num_workers=2).skipped
    if skipped:
        raise InputError(next(iter(skipped.values())))
    cache = FeatureCache(embedding, items, folder)
    return Encoder(lambda number: cache[names[number]], embedding.dimension)


def make(world: World, options: argparse.Namespace, encoders: dict[str, Encoder]) -> dict[str, list[Path]]:
    """Train what is not there yet and write what it says: method -> its folders of predictions, one a seed."""
    output = Path(options.output_dir)

    @functools.lru_cache(maxsize=1)  # plain and damped
    def of_classifier(seed: int) -> dict[str, np.ndarray]:
        folder = output / "classifier" / f"seed_{seed}"
        classifier.train(folder, options, seed)
        boxes = {file: None if file == world.given else options.detections for file in world.tested}
        return {file: classifier.scores(folder, options, detections) for file, detections in boxes.items()}

    def says(method: str, seed: int) -> Says:
        if method == "message_passing":
            return message_passing(world, options, encoders, seed)
        if method in LEARNED:
            scores = of_classifier(seed)
            return lambda file, _: scores[file]
        chances = frequencies(world, overlap=method.endswith("overlap"))
        return lambda _, pairs: weighed(chances(pairs), pairs)

    folders: dict[str, list[Path]] = {method: [] for method in options.methods}
    for seed in options.seeds:
        for method, made in folders.items():
            folder = output / method / f"seed_{seed}" if method in LEARNED else output / method
            if folder in made:
                continue
            made.append(folder)
            if all((folder / FILES[file]).exists() for file in world.tested):
                print(f"{method}: {folder} is there; remove it to make it again.")
            else:
                write_predictions(folder, world, says(method, seed), damp=method.endswith("damped"))
    return folders


def run(options: argparse.Namespace) -> None:
    """Make what is not there yet, score everything, print and write the tables."""
    output = Path(options.output_dir)
    world, encoders = make_world(options)
    folders = make(world, options, encoders)
    truth = ground_truth_arrays(world.records, train_triplets(Split(options.train_data)))
    rows = {method: columns(found, truth) for method, found in folders.items()}
    baselines = dict(rows)
    lines: list[str] = []
    results: dict[str, Any] = {"options": vars(options)}
    agents = {name: [Path(folder) for folder in found] for name, *found in options.agent or ()}
    rows |= {name: columns(found, truth) for name, found in agents.items()}
    for measure in MEASURES:
        lines += [*markdown(rows, measure), ""]
    for name in agents:
        table, numbers = differences(name, rows[name], baselines)
        results.setdefault("differences", {})[name] = numbers
        lines += table
    results["methods"] = {
        method: {name: figures(counts, RESAMPLES) for name, counts in row.items()} for method, row in rows.items()
    }
    print("\n".join(lines))
    write_json(output / "results.json", results, indent=2)
    (output / "table.md").write_text("\n".join(lines), encoding="utf-8")
    print(
        f"Per cent at 50 / 100 ± half the 95 % interval over {len(world.records)} images, mean of {len(options.seeds)} "
        f"seeds; learned from {len(world.pairs)} pairs ({world.right.any(axis=1).mean():.0%} annotated). "
        f"Written to {output / 'results.json'} and {output / 'table.md'}."
    )


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Command line: what stands after `--` goes to main.py."""
    argv = list(sys.argv[1:] if argv is None else argv)
    split = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(
        description="Baselines beside the agent, with its inputs, in one table. After --: flags of main.py --train.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="which to run")
    parser.add_argument("--graph", default="graph.pickle", help="its words are predicted; made by create_graph.py")
    parser.add_argument("--train_data", default="data/data_samples/train_data.json", help="the split to learn from")
    parser.add_argument("--test_data", default="data/data_samples/test_data.json", help="the split to score against")
    parser.add_argument("--detections", metavar="FILE", help="detected boxes of the test images; else annotated ones")
    parser.add_argument("--images_dir", help="where the images are; left out, no pixels are seen")
    parser.add_argument(
        "--image_embedding_model_type",
        choices=("resnet", "vgg", "densenet", "efficientnet_lite0"),
        default="efficientnet_lite0",
        help="features of the images",
    )
    parser.add_argument("--object_detection_threshold", type=float, default=0.005, help="least confidence of a box")
    parser.add_argument("--entity_vectors", metavar="FILE", help=".npy, a row for each category; else they are learned")
    parser.add_argument(
        "--agent",
        nargs="+",
        action="append",
        metavar="NAME_AND_FOLDERS",
        help="a row's name, then what main.py --test wrote, a folder for each seed; several rows: several times",
    )
    parser.add_argument(
        "--num_members",
        type=int,
        default=PRESETS["best"]["num_members"],
        help="networks of each method whose mean decides, as many as the agent's",
    )
    parser.add_argument("--passes", type=float, default=5, help="how often message passing learns from every pair")
    parser.add_argument("--mixed_precision", action="store_true", help="message passing: products in bfloat16")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the first weights, the order, the jitter")
    parser.add_argument("--output_dir", default="baselines", help="where everything is written")
    run(parser.parse_args(argv[:split], argparse.Namespace(flags=argv[split + 1 :])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
