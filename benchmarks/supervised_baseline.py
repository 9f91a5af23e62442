"""The exhaustive supervised classifier beside the agent: every ordered pair of objects, the same inputs, no walk.

    python create_graph.py --dataset vrd --annotations VRD --min_occurances 1
    python benchmarks/supervised_baseline.py --detections VRD/detections_test.json \\
        --entity_vectors VRD/objects_word2vec.npy

A small fully connected network sees what the agent sees of a pair without pixels (vectors of the two categories,
`vrl_model.box_geometry`) and learns, for each predicate, whether the pair is annotated with it: cross-entropy over all
ordered pairs of annotated objects. A pair's labels are the predicates that the environment would reward: both boxes
overlap annotated objects of their category. It is tested on every pair of detected objects, each triplet ranked by the
product of the predicate's probability and the confidences of its two objects. What it says of annotated pairs, given
their boxes, is predicate detection.

Without --entity_vectors the network learns a vector for each category.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from boxes import GEOMETRY, box_geometry
from engine.parts import entity_vectors, open_detections
from evaluation import evaluate, format_table, train_triplets
from files.io import InputError, reports_input_errors, write_json
from files.splits import ImageRecord, Split
from q_learning import jittered
from scenes.scene import DetectedInstances, Scene, SceneSet
from semantic_graph import SemanticActionGraph

SHOWN = 100  # triplets of an image that are written: what recall@100 looks at
RARE = -5.0  # log-odds of a predicate before anything is learned: most pairs have no relationship

PAIR = np.dtype(
    [
        ("scene", "i4"),
        ("subject", "i2"),
        ("object", "i2"),
        ("subject_category", "i4"),
        ("object_category", "i4"),
        ("subject_box", "f4", (4,)),
        ("object_box", "f4", (4,)),
        ("extent", "f4", (4,)),  # the box that holds all the image's instances
        ("confidence", "f4"),  # product of the two objects' confidences
    ]
)


def pairs_of(number: int, scene: Scene, subject: np.ndarray, object_: np.ndarray) -> np.ndarray:
    """Instance numbers (n,), (n,) of one scene -> (n,) records of `PAIR`; each instance bears its best category."""
    pairs = np.zeros(len(subject), dtype=PAIR)
    pairs["scene"] = number
    for end, instance in (("subject", subject), ("object", object_)):
        pairs[end] = instance
        pairs[f"{end}_category"] = scene.candidates[instance, 0]
        pairs[f"{end}_box"] = scene.boxes[instance]
    if len(pairs):
        pairs["extent"] = np.concatenate([scene.boxes[:, :2].min(axis=0), scene.boxes[:, 2:].max(axis=0)])
    pairs["confidence"] = scene.candidate_scores[subject, 0] * scene.candidate_scores[object_, 0]
    return pairs


def all_pairs(scenes: SceneSet) -> np.ndarray:
    """Every ordered pair of different instances of every image: (n,) records of `PAIR`, an image's rows together."""
    found = [np.zeros(0, dtype=PAIR)]
    for i, scene in enumerate(scenes):
        found.append(pairs_of(i, scene, *np.nonzero(~np.eye(len(scene.boxes), dtype=bool))))
    return np.concatenate(found)


def annotated_pairs(scenes: SceneSet) -> np.ndarray:
    """The pair of every annotated relationship, as often as it is annotated: (n,) records of `PAIR`.

    The instances of `scenes` must be the annotated objects.
    """
    found = [np.zeros(0, dtype=PAIR)]
    for i, scene in enumerate(scenes):
        found.append(pairs_of(i, scene, scene.gt_relationships[:, 0], scene.gt_relationships[:, 2]))
    return np.concatenate(found)


def labels(pairs: np.ndarray, scenes: SceneSet, num_predicates: int) -> np.ndarray:
    """Which predicates the environment would reward: (n,) records -> bool (n, P)."""
    found = [np.zeros((0, num_predicates), dtype=bool)]
    starts = np.flatnonzero(np.diff(pairs["scene"], prepend=-1))
    for rows in np.split(pairs, starts[1:]):
        if not len(rows):
            continue
        scene = scenes[int(rows["scene"][0])]
        same = scene.gt_overlaps & (scene.gt_categories[:, None] == scene.candidates[:, 0])  # (m, n)
        right = np.zeros((len(rows), num_predicates), dtype=bool)
        subject, predicate, object_ = scene.gt_relationships.T
        hits, edges = np.nonzero(same[subject][:, rows["subject"]].T & same[object_][:, rows["object"]].T)
        right[hits, predicate[edges]] = True
        found.append(right)
    return np.concatenate(found)


class PairClassifier(nn.Module):
    """Category vectors of both objects and the geometry of their boxes -> a log-odds for every predicate."""

    def __init__(self, vectors: np.ndarray, num_predicates: int, hidden: Sequence[int], dropout: float) -> None:
        """vectors: (C, d), kept as they are; with d = 0, 64 numbers for each category are learned."""
        super().__init__()
        given = vectors.shape[1] > 0
        table = torch.from_numpy(vectors) if given else torch.randn(len(vectors), 64) / 8
        self.categories = nn.Embedding.from_pretrained(table, freeze=given)
        sizes = [2 * table.shape[1] + GEOMETRY, *hidden]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        last = nn.Linear(sizes[-1], num_predicates)
        nn.init.constant_(last.bias, RARE)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, pairs: np.ndarray) -> torch.Tensor:
        """(n,) records of `PAIR` -> (n, P)."""
        ends = (torch.from_numpy(pairs[f"{end}_category"].astype(np.int64)) for end in ("subject", "object"))
        vectors = [self.categories(end) for end in ends]
        return self.layers(torch.cat([*vectors, torch.from_numpy(box_geometry(pairs))], dim=1))


def train(network: PairClassifier, pairs: np.ndarray, right: np.ndarray, options: argparse.Namespace) -> nn.Module:
    """Fit every predicate by cross-entropy on all pairs, boxes shaken a little.

    right: (n, P) bool, the labels. Returns the network with its weights averaged over the updates.
    """
    rng = np.random.default_rng(options.seed)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=1e-4, betas=(0.9, 0.99))
    steps = max(1, int(options.passes * len(pairs) / options.batch_size))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(1, (i + 1) / 200) * (1 - i / steps))
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(options.averaging))
    order, place, running = rng.permutation(len(pairs)), 0, 0.0
    network.train()
    with tqdm(total=steps, unit="update", disable=None) as bar:
        for step in range(steps):
            if place + options.batch_size > len(order):
                order, place = rng.permutation(len(pairs)), 0
            rows = order[place : place + options.batch_size]
            place += len(rows)
            batch = jittered(pairs[rows], options.box_jitter, rng.standard_normal((len(rows), 8)))
            target = torch.from_numpy(right[rows]).float()
            loss = F.binary_cross_entropy_with_logits(network(batch), target, reduction="sum") / len(rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
            running += (loss.item() - running) * max(0.01, 1 / (step + 1))
            bar.set_postfix(loss=f"{running:.3f}", refresh=False)
            bar.update()
    return average.eval()


@torch.inference_mode()
def probabilities(network: nn.Module, pairs: np.ndarray, num_predicates: int, chunk: int = 8192) -> np.ndarray:
    """(n,) records of `PAIR` -> (n, P) float32."""
    parts = [torch.sigmoid(network(pairs[i : i + chunk])).numpy() for i in range(0, len(pairs), chunk)]
    return np.concatenate([np.zeros((0, num_predicates), np.float32), *parts])


def predictions(
    pairs: np.ndarray,
    probability: np.ndarray,
    records: Sequence[ImageRecord],
    graph: SemanticActionGraph,
    own_choice: bool = False,
    shown: int | None = SHOWN,
) -> dict[str, Any]:
    """The most confident triplets of each image, in the layout of predictions.json (see evaluation.py).

    Confidence = probability x both objects' confidences. own_choice: only the likeliest predicate of a pair.
    """
    confidence = probability * pairs["confidence"][:, None]
    if own_choice:
        best = confidence.argmax(axis=1)
        confidence = np.where(np.arange(confidence.shape[1]) == best[:, None], confidence, -1)
    found: dict[str, Any] = {record.image_name: {"relationships": [], "attributes": []} for record in records}
    starts = np.flatnonzero(np.diff(pairs["scene"], prepend=-1))
    for start, scores in zip(starts, np.split(confidence, starts[1:]) if len(starts) else [], strict=True):
        ranked = np.argsort(-scores, axis=None, kind="stable")[:shown]
        ranked = ranked[scores.ravel()[ranked] >= 0]
        rows, predicates = np.unravel_index(ranked, scores.shape)
        chosen = pairs[start + rows]
        found[records[int(pairs["scene"][start])].image_name]["relationships"] = [
            {
                "subject": graph.entities[pair["subject_category"]],
                "predicate": graph.predicates[predicate],
                "object": graph.entities[pair["object_category"]],
                "subject_box": pair["subject_box"].tolist(),
                "object_box": pair["object_box"].tolist(),
                "score": float(score),
            }
            for pair, predicate, score in zip(chosen, predicates, scores.ravel()[ranked], strict=True)
        ]
    return found


def run(options: argparse.Namespace) -> None:
    """Train, predict, score, write."""
    torch.manual_seed(options.seed)
    output = Path(options.output_dir)
    graph = SemanticActionGraph.load(options.graph)
    vectors = entity_vectors(options.entity_vectors, graph)
    train_records, test_records = Split(options.train_data), Split(options.test_data)
    detected = None
    if options.detections:
        detected = DetectedInstances(open_detections(options.detections, graph), graph, ambiguity_aware=False)
    scenes = SceneSet(train_records, graph)
    pairs = all_pairs(scenes)
    right = labels(pairs, scenes, len(graph.predicates))
    if not right.any():
        raise InputError(f"{options.train_data}: has no relationship of the graph's words to learn from; check --graph")
    start = time.perf_counter()
    network = PairClassifier(vectors, len(graph.predicates), options.hidden, options.dropout)
    classifier = train(network, pairs, right, options)
    seconds = time.perf_counter() - start

    truth = SceneSet(test_records, graph)
    tested, given = all_pairs(SceneSet(test_records, graph, detected)), annotated_pairs(truth)
    seen = train_triplets(train_records)
    probability = probabilities(classifier, tested, len(graph.predicates))
    every = predictions(tested, probability, test_records, graph)
    own = predictions(tested, probability, test_records, graph, own_choice=True)
    probability = probabilities(classifier, given, len(graph.predicates))
    predicate = predictions(given, probability, test_records, graph, own_choice=True, shown=None)

    results = evaluate(every, test_records, seen)
    tasks = {name: result for name, result in results.items() if "relationship" in name or "phrase" in name}
    tasks["relationship, k = 1"] = evaluate(own, test_records)["relationship"]
    tasks["predicate, k = 1"] = evaluate(predicate, test_records)["relationship"]
    write_json(output / "predictions.json", every)
    write_json(output / "predicate_predictions.json", predicate)
    write_json(output / "results.json", {**vars(options), "training_seconds": seconds, **tasks}, indent=2)
    print(format_table(tasks))
    print(
        f"\nTrained in {seconds:.0f} s on {len(pairs)} pairs ({right.any(axis=1).mean():.0%} annotated), tested on all "
        f"{len(tested)} pairs of {len(test_records)} images. Written to {output / 'predictions.json'}, "
        f"{output / 'predicate_predictions.json'} and {output / 'results.json'}."
    )


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="The exhaustive supervised classifier beside the agent: all pairs, the same inputs, no walk.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--graph", default="graph.pickle", help="its words are predicted; made by create_graph.py")
    parser.add_argument("--train_data", default="data/data_samples/train_data.json", help="the split to learn from")
    parser.add_argument("--test_data", default="data/data_samples/test_data.json", help="the split to score against")
    parser.add_argument("--detections", metavar="FILE", help="detected boxes of the test images; else annotated ones")
    parser.add_argument("--entity_vectors", metavar="FILE", help=".npy, a row for each category; else they are learned")
    parser.add_argument("--output_dir", default="supervised", help="where everything is written")
    parser.add_argument("--hidden", type=int, nargs="+", default=[512, 256], help="widths of the layers")
    parser.add_argument("--dropout", type=float, default=0.3, help="after each layer")
    parser.add_argument("--passes", type=float, default=8, help="how often every pair is learned from")
    parser.add_argument("--batch_size", type=int, default=512, help="pairs in an update")
    parser.add_argument("--learning_rate", type=float, default=0.001, help="falls linearly to 0")
    parser.add_argument("--averaging", type=float, default=0.999, help="of the weights: how much of the average stays")
    parser.add_argument("--box_jitter", type=float, default=0.05, help="corners move by this share of a box's sides")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights, the order and the jitter")
    run(parser.parse_args(argv))
    return 0


if __name__ == "__main__":
    sys.exit(main())
