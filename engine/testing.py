"""--test: walk over the test images, score what was found, write it down."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drawing.predicates import draw_predicates
from engine import distributed as ranks
from engine.baselines import FrequencyPolicy, RandomPolicy, occurrences
from engine.options import Options
from engine.parts import Parts, find_checkpoint, make_agent, open_scenes, trained_network
from engine.proposals import detections_of_split
from engine.results import graphs, score
from engine.task_boxes import boxes_of_task, options_of_task
from engine.walk import BEST, Findings, Policy, best, merge, own_choices, walk_over
from evaluation import format_table, train_triplets
from files.io import InputError, text_table, write_json
from files.one_set import check_tested, of_another_run
from files.scene_graphs import predictions_from_graphs, write_image_states
from files.splits import Split
from metrics.figures import RESAMPLES
from scenes.scene import SceneSet

# Tasks of results.json -> rows of the comparison
TITLES = {
    "relationship": "relationship",
    "relationship_k1": "relationship, k = 1",
    "phrase": "phrase",
    "predicate": "predicate, k = 1",
    "attribute": "attribute",
    "zero_shot_relationship": "zero-shot relationship",
    "zero_shot_phrase": "zero-shot phrase",
    "zero_shot_predicate": "zero-shot predicate, k = 1",
    "zero_shot_attribute": "zero-shot attribute",
    "graph_constraint": "with graph constraint",
    "no_graph_constraint": "without graph constraint",
    "zero_shot_graph_constraint": "zero-shot, with",
    "zero_shot_no_graph_constraint": "zero-shot, without",
}


def test(parts: Parts, saved: dict[str, Any] | None) -> None:
    """Score every policy of --policy; write results.json, predictions.json and image_states.pickle of the first.

    With boxes of a detector every policy also walks over the annotated ones, for predicate detection; what it says
    about annotated pairs is predicate_predictions.json. With --task the walk is scored by the protocol of scene graph
    generation. saved: the agent's checkpoint, where the agent is tested.
    """
    if parts.arguments.task:
        parts = dataclasses.replace(parts, arguments=options_of_task(parts.arguments, len(parts.graph.predicates)))
    arguments, output = parts.arguments, Path(parts.arguments.output_dir)
    network = trained_network(parts, saved) if "agent" in arguments.policy else None
    records = Split(arguments.test_data)
    there = Path(arguments.train_data).exists() or "train_data" in arguments.given  # a mistyped name is an error
    training_records = Split(arguments.train_data) if there else None
    if training_records is None and "frequency" in arguments.policy:
        raise InputError(
            f"{arguments.train_data}: no such file; --policy frequency counts its pairs: check --train_data"
        )
    check_tested(records, training_records, arguments.graph, parts.graph.made_in)
    if of_another_run(records, parts.graph.made_in):
        _check_words(parts, records)
    if ranks.rank() == 0:
        _warn_of_other_words(parts, records)
    seen = train_triplets(training_records) if training_records is not None else None
    if arguments.task:
        detections = boxes_of_task(parts, arguments.task)
    else:
        detections = detections_of_split(parts, arguments.test_data, arguments.detections, "test")
    truth = open_scenes(parts, records)
    walked = open_scenes(parts, records, detections) if detections is not None else truth
    ns = arguments.recall_at or None
    most = max((BEST, *arguments.recall_at))

    def policy(name: str, scenes: SceneSet) -> Policy:
        if name == "agent":
            return make_agent(parts, network, scenes)
        if name == "frequency":
            return FrequencyPolicy(parts.graph, occurrences(training_records, parts.graph, arguments.use_exact_match))
        return RandomPolicy(parts.graph, arguments.seed)

    tasks: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(arguments.policy):
        # Annotated pairs, of which predicate detection asks, may be among the least likely ones.
        every = sys.maxsize if detections is None and not arguments.task else most
        found = walk_over(parts, policy(name, walked), walked, f"{name} walks", every, most=most)
        on_truth = found
        if not arguments.task and (detections is not None or arguments.frontier == "best_first"):
            on_truth = walk_over(parts, policy(name, truth), truth, f"{name}, given boxes", sys.maxsize, may_stop=False)
        if ranks.rank():
            continue
        merged = best(merge(found), most)
        if arguments.task:
            images = range(len(walked))
            tasks[name] = score(merged, walked, images, seen, "sgg", ns, RESAMPLES)
        else:
            merged_truth = annotated_pairs(own_choices(merge(on_truth)), truth)
            tasks[name] = all_scores(merged, walked, merged_truth, truth, seen, ns)
        if len(tasks) == 1:
            visited, pairs = steps_and_pairs(merged, walked)
            _write_findings(merged, walked, output, "predictions.json", "image_states.pickle")
            if "predicate" in tasks[name]:
                _write_findings(merged_truth, truth, output, "predicate_predictions.json")
    if ranks.rank():
        return
    first = next(iter(tasks))
    about = {
        "policy": first,
        "task": arguments.task,
        "protocol": "sgg" if arguments.task else "vrd",
        "checkpoint": str(find_checkpoint(arguments)) if network is not None else None,
        "boxes": str(detections.path) if detections is not None else "annotated",
        "predicates_per_pair": arguments.predicates_per_pair,
        "attributes_per_step": arguments.attributes_per_step,
        "images": len(records),
        "images_skipped": len(records) - len(walked.images),
        "pairs": pairs,
        "pairs_visited": visited,
    }
    write_json(output / "results.json", {**about, **tasks[first], "policies": tasks}, indent=2)
    draw_predicates(tasks[first]["predicates"], output / "predicates.png")
    print(report(about, tasks, output))


def _warn_of_other_words(parts: Parts, records: Split) -> None:
    """Say so when the graph knows none of the objects' names: there is nothing to find."""
    names = (thing.name for record in records for thing in record.labels.objects)
    example = None
    for example in names:
        if parts.graph.entity_index(example, parts.arguments.use_exact_match) >= 0:
            return
    if example is not None:
        print(
            f"warning: {records.path}: {parts.arguments.graph} knows none of its objects' names ({example!r}, ...); "
            "give the split and the graph of one data set",
            file=sys.stderr,
        )


def _check_words(parts: Parts, records: Split) -> None:
    """Raises InputError when a split of another run of create_graph.py has words that the graph lacks, else says so."""
    graph, arguments = parts.graph, parts.arguments
    exact = arguments.use_exact_match
    for record in records:
        for thing in record.labels.objects:
            _check_word("entity", thing.name, graph.entity_index(thing.name, exact), arguments)
            for word in thing.attributes:
                _check_word("attribute", word, graph.attribute_index(word, exact), arguments)
        for edge in record.labels.relationships:
            _check_word("predicate", edge.predicate, graph.predicate_index(edge.predicate, exact), arguments)
    if ranks.rank() == 0:
        print(
            f"Note: {arguments.test_data} is of another run of create_graph.py than {arguments.graph}. Its words fit; "
            "whether the agent was trained on some of its images, the files do not tell."
        )


def _check_word(kind: str, word: str, index: int, arguments: Options) -> None:
    if index < 0:
        raise InputError(
            f"{arguments.graph} and {arguments.test_data} are of two runs of create_graph.py, and the graph has no "
            f"{kind} {word!r}; give the files of one run"
        )


def all_scores(
    found: Findings,
    scenes: SceneSet,
    on_truth: Findings,
    truth: SceneSet,
    seen: set[tuple[str, ...]] | None,
    ns: Sequence[int] | None = None,
) -> dict[str, dict[str, Any]]:
    """Every task of results.json. on_truth: what was said about annotated pairs, of the scenes `truth`."""
    images = np.arange(len(scenes))
    tasks = score(found, scenes, images, seen, ns=ns, resamples=RESAMPLES)
    if tasks["relationship"]["total"]:
        own = score(own_choices(found), scenes, images, ns=ns, resamples=RESAMPLES)
        tasks["relationship_k1"] = own["relationship"]
        given = score(on_truth, truth, images, seen, ns=ns, resamples=RESAMPLES)
        tasks["predicate"] = given["relationship"]
        if seen is not None:
            tasks["zero_shot_predicate"] = given["zero_shot_relationship"]
    return {title: tasks[title] for title in (*TITLES, "predicates") if title in tasks}


def report(about: dict[str, Any], tasks: dict[str, dict[str, Any]], output: Path) -> str:
    """What --test prints: the first policy's scores, the policies side by side, what was read and written."""
    first, pairs, k = about["policy"], about["pairs"], about["predicates_per_pair"]
    boxes = "the annotated boxes" if about["boxes"] == "annotated" else f"the boxes of {about['boxes']}"
    lines = [
        f"{first}{' of ' + about['checkpoint'] if about['checkpoint'] else ''} on {about['images']} images, {boxes}, "
        f"{'one predicate' if k == 1 else f'up to {k} predicates'} a pair; per cent:",
        format_table({TITLES[task]: scores for task, scores in tasks[first].items() if task in TITLES}),
    ]
    if len(tasks) > 1:
        lines += ["", "Recall of the policies, per cent", comparison(tasks)]
    lines += [
        "",
        f"The {first} looked at {about['pairs_visited']} of {pairs} pairs of objects "
        f"({about['pairs_visited'] / max(pairs, 1):.0%}).",
    ]
    if about["images_skipped"]:
        lines.append(f"{about['images_skipped']} images were skipped; what is annotated in them counts as missed.")
    lines.append(
        f"Scores: {output / 'results.json'}. What was found: {output / 'predictions.json'}; "
        f"as graphs: {output / 'image_states.pickle'}; recall of each predicate: {output / 'predicates.png'}."
    )
    return "\n".join(lines)


def _write_findings(
    found: Findings, scenes: SceneSet, output: Path, predictions: str, states: str | None = None
) -> None:
    truth, predicted = graphs(found, scenes, range(len(scenes)))
    write_json(output / predictions, predictions_from_graphs(predicted))
    if states:
        write_image_states(output / states, truth, predicted)


def annotated_pairs(found: Findings, scenes: SceneSet) -> Findings:
    """What was said about annotated pairs, once for each annotation of the pair.

    Predicate detection asks for the predicate of each annotated pair, as VRD's authors' own test does.
    """
    part = found.relationships
    if not part:
        return found
    times = np.zeros(len(part["scene"]), dtype=np.int64)
    starts = np.flatnonzero(np.diff(part["scene"], prepend=-1))
    for start, rows in zip(starts, np.split(np.arange(len(times)), starts)[1:], strict=True):
        scene = scenes[int(part["scene"][start])]
        annotations = np.zeros((len(scene.boxes), len(scene.boxes)), dtype=np.int64)
        ends = scene.gt_relationships[:, [0, 2]]
        ends = ends[(ends < len(scene.boxes)).all(axis=1)]  # --maximum_num_entities_per_image leaves the last ones out
        np.add.at(annotations, (ends[:, 0], ends[:, 1]), 1)
        times[rows] = annotations[part["subject"][rows], part["object"][rows]]
    return found._replace(relationships={key: np.repeat(values, times) for key, values in part.items()})


def steps_and_pairs(found: Findings, scenes: SceneSet) -> tuple[int, int]:
    """How many ordered pairs of objects the walk visited, and how many there are."""
    visited = int((found.steps["object"] >= 0).sum()) if found.steps else 0
    counts = [len(scenes[int(image)].boxes) for image in np.unique(found.steps["scene"])] if found.steps else []
    return visited, sum(n * (n - 1) for n in counts)


def comparison(tasks: dict[str, dict[str, Any]]) -> str:
    """Recall of several policies side by side, one row a task that has ground truth."""
    first = next(iter(tasks.values()))
    shown = [task for task in TITLES if first.get(task, {}).get("total")]
    if not shown:
        return "nothing to score"
    ns = list(first[shown[0]]["recall"])
    rows = [["task", *(f"{name} R@{n}" for name in tasks for n in ns)]]
    rows += [[TITLES[task], *(f"{row[task]['recall'][n]:.2f}" for row in tasks.values() for n in ns)] for task in shown]
    return text_table(rows)
