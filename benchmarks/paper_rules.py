"""How far the paper's own walk can get: how many annotated pairs it reaches, and how many of those are named right.

    python benchmarks/paper_rules.py --graph vrd_run/graph.pickle --runs RUN ... \\
        --train_data vrd_run/data/data_samples/train_data.json --test_data vrd_run/data/data_samples/test_data.json

Walks over annotated boxes by the rules of `--preset paper` (neighbours, five objects a subject, action sets of seen
phrases). With the words of a frequency table the next object is

    table        the neighbour most often related to the subject, Terminal only where none is left
    random       any neighbour, Terminal only where none is left; or any, Terminal among them
    R_c          what earns the next object's reward, and Terminal where nothing does: what a perfect agent would do
    relations    the same with --next_object_reward relationship

and each run (best.pt of main.py --train) walks by its own choice, then says its own words on the table's walk.

reached: of the annotated relationships, those whose pair the walk looks at; right: of those, how many get the right
predicate (predicate detection is the two multiplied, but for pairs annotated twice); mean: predicate detection's mean
recall over predicates. R_c: what the next objects earn in an image, and the same discounted by 0.9.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from action_sets import ActionSetMaker, greedy
from engine.baselines import FrequencyPolicy, occurrences
from engine.options import Options, parse
from engine.parts import make_agent, make_parts, open_scenes, read_agent, trained_network
from engine.results import score
from engine.testing import annotated_pairs
from engine.walk import own_choices, walk
from environment import OBJECT_REWARD, PENALTY
from files.io import reports_input_errors, text_table
from files.options import Rules
from files.splits import Split
from scenes.scene import SceneSet
from semantic_graph import SemanticActionGraph
from vrl_model import Judgement

DISCOUNT = 0.9
HEADER = ["", "reached", "right", "predicate", "mean", "pairs an image", "R_c", "R_c, discounted"]
Policy = Callable[[np.ndarray], Judgement]
NextObject = Callable[[np.ndarray, Judgement], np.ndarray]


class Walker:
    """The words of one policy, and the next objects of another rule; adds up what the next objects earn."""

    def __init__(self, words: Policy, next_object: NextObject, graph: SemanticActionGraph, rules: Rules) -> None:
        self.words, self.next_object, self.sets = words, next_object, ActionSetMaker(graph, rules)
        self.earned: dict[int, list[float]] = defaultdict(list)

    def __call__(self, states: np.ndarray) -> Judgement:
        judgement = self.words(states)
        q = torch.from_numpy(np.asarray(self.next_object(states, judgement)))
        chosen = greedy(q, torch.from_numpy(self.sets(states).entity)).numpy()
        place = (states["entities"] == chosen[:, None]).argmax(axis=1)
        right = states["entities_right"][np.arange(len(states)), place]
        for scene, is_right in zip(states["scene"].tolist(), right.tolist(), strict=True):
            self.earned[scene].append(OBJECT_REWARD if is_right else PENALTY)
        return judgement._replace(q=judgement.q._replace(entity=q))


def own(_: np.ndarray, judgement: Judgement) -> np.ndarray:
    """The policy's own next object."""
    return judgement.q.entity.numpy()


def by_reward(states: np.ndarray, judgement: Judgement) -> np.ndarray:
    """What earns the reward, then Terminal."""
    q = np.full((len(states), judgement.q.entity.shape[1] + 1), PENALTY)  # the last column takes the padding
    q[np.arange(len(states))[:, None], states["entities"]] = np.where(states["entities_right"], OBJECT_REWARD, PENALTY)
    q[:, -2] = 0
    return q[:, :-1]


def at_random(seed: int, leaving: bool) -> NextObject:
    """Any next object; leaving: or Terminal."""
    rng = np.random.default_rng(seed)

    def choose(states: np.ndarray, judgement: Judgement) -> np.ndarray:
        q = rng.random((len(states), judgement.q.entity.shape[1]))
        q[:, -1] -= not leaving
        return q

    return choose


def measure(name: str, words: Policy, next_object: NextObject, scenes: SceneSet, rules: Rules) -> list[str]:
    """A row of the table."""
    walker = Walker(words, next_object, scenes.graph, rules)
    rules = dataclasses.replace(rules, predicates_per_pair=1, attributes_per_step=1)
    found = own_choices(walk(walker, scenes, rules, scenes.images, 128, sys.maxsize, progress=name))
    looked = [found.steps[key] for key in ("scene", "subject", "object")]
    looked_at = set(zip(*(part.tolist() for part in looked), strict=True))
    wanted = reached = 0
    for index in scenes.images.tolist():
        scene = scenes[index]
        fits = scene.gt_overlaps & (scene.gt_categories[:, None] == scene.candidates[:, 0])
        for subject, _, other in scene.gt_relationships.tolist():
            ends = np.flatnonzero(fits[subject]).tolist(), np.flatnonzero(fits[other]).tolist()
            wanted += 1
            reached += any((index, s, o) in looked_at for s in ends[0] for o in ends[1])
    detected = score(annotated_pairs(found, scenes), scenes, scenes.images)["relationship"]
    named, mean = (detected[measure]["50"] for measure in ("recall", "mean_recall"))
    share = 100 * reached / max(wanted, 1)
    sums = np.mean([sum(rewards) for rewards in walker.earned.values()])
    discounted = np.mean([np.dot(DISCOUNT ** np.arange(len(r)), r) for r in walker.earned.values()])
    pairs = (found.steps["object"] >= 0).sum() / max(len(scenes.images), 1)
    figures = (share, 100 * named / max(share, 1e-9), named, mean, pairs, sums, discounted)
    return [name, *(f"{value:.1f}" for value in figures)]


def ceiling(scenes: SceneSet, rules: Rules) -> str:
    """What no walk can pass: pairs that are neighbours, and predicates that are in the action set."""
    sets = ActionSetMaker(scenes.graph, rules)
    near, offered = [], []
    for index in scenes.images.tolist():
        scene = scenes[index]
        fits = scene.gt_overlaps & (scene.gt_categories[:, None] == scene.candidates[:, 0])
        for subject, predicate, other in scene.gt_relationships.tolist():
            near.append(scene.neighbours[np.ix_(fits[subject], fits[other])].any())
            pair = scene.gt_categories[[subject]], scene.gt_categories[[other]]
            offered.append(
                scenes.graph.predicate_action_set(*pair, sets.rules.maximum_adaptive_action_space_size)[0, predicate]
            )
    near, offered = np.array(near), np.array(offered)
    return (
        f"Of {len(near)} annotated relationships {near.mean():.1%} are between neighbours, {offered.mean():.1%} have "
        f"their predicate in the action set, {(near & offered).mean():.1%} both."
    )


def run(options: argparse.Namespace) -> list[list[str]]:
    """Measure every walk, print and return the table."""
    rules: Options = parse(["--test", "--preset", "paper"])
    graph = SemanticActionGraph.load(options.graph)
    scenes = SceneSet(Split(options.test_data), graph, None, rules)
    related = dataclasses.replace(rules, next_object_reward="relationship")
    table = FrequencyPolicy(graph, occurrences(Split(options.train_data), graph))
    rows = [
        HEADER,
        measure("table", table, own, scenes, rules),
        measure("random, never Terminal", table, at_random(options.seed, leaving=False), scenes, rules),
        measure("random", table, at_random(options.seed, leaving=True), scenes, rules),
        measure("R_c", table, by_reward, scenes, rules),
        measure("relations", table, by_reward, scenes, related),
    ]
    for folder in options.runs:
        path = Path(folder) / "best.pt"
        saved = read_agent(path)
        argv = ["--test", "--graph", options.graph, "--test_data", options.test_data, "--output_dir", folder]
        argv += ["--images_dir", options.images_dir]
        parts = make_parts(parse(argv).of_agent(saved["options"], path), torch.device("cpu"), saved)
        of_run = open_scenes(parts, Split(options.test_data))
        agent = make_agent(parts, trained_network(parts, saved), of_run)
        rows.append(measure(folder, agent, own, of_run, parts.arguments))
        rows.append(
            measure(f"{folder}, on the table's walk", agent, lambda s, _: own(s, table(s)), of_run, parts.arguments)
        )
    print(text_table(rows))
    print(ceiling(scenes, rules))
    return rows


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--graph", default="graph.pickle", help="the semantic action graph")
    parser.add_argument("--train_data", default="data/data_samples/train_data.json", help="what the table counts")
    parser.add_argument("--test_data", default="data/data_samples/test_data.json", help="the split to walk over")
    parser.add_argument("--images_dir", default="data/VG_100K/", help="its images, for runs with pixels")
    parser.add_argument("--runs", nargs="*", default=[], help="--output_dir of main.py --train")
    parser.add_argument("--seed", type=int, default=0, help="of the random walks")
    run(parser.parse_args(argv))
    return 0


if __name__ == "__main__":
    sys.exit(main())
