"""What drawing/selection.py is built on: which relationships exclude each other, and how confident a drawn one is.

    python benchmarks/exclusive_relations.py --split vrd_run/data/data_samples/train_data.json
    python benchmarks/exclusive_relations.py --states vrd_run/image_states.pickle

Boxes of one name with IoU >= 0.5 are one thing. For each rule: how many annotated things it is about, and the share
that keeps it; a thing counts for "one subject" only where the image has another one that could be its subject.

--states, of `main.py --test` on images of the training file: for each limit, a share of the best relationship's score,
how much of what is drawn is annotated, how much of what is annotated is drawn, and the harmonic mean of the two.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from anywhere

import boxes
from drawing.comparison import corners, match_items
from drawing.selection import HANDS, HOLDS, OWNS, RESTS, SAME_THING, SELDOM_ALIKE, items_to_draw
from engine.photo_files import DRAWN_RELATIONSHIPS
from files.io import reports_input_errors
from files.scene_graphs import Graph, graph_from_record, read_image_states
from files.splits import Split


def things_of(graph: Graph) -> list[int]:
    """For each object the first object of its name that overlaps it: annotators draw some things twice."""
    place, names = corners(graph), [thing["name"] for thing in graph["objects"]]
    first: list[int] = []
    for i, name in enumerate(names):
        same = [j for j in range(i) if first[j] == j and names[j] == name and boxes.iou(place[i], place[j]) >= 0.5]
        first.append(same[0] if same else i)
    return first


def count(graph: Graph, kept: Counter[str], all_: Counter[str]) -> None:
    """Add one image: for each rule, what it is about and what of that keeps it."""
    thing, names, place = things_of(graph), [item["name"] for item in graph["objects"]], corners(graph)
    owners, seats, held = defaultdict(set), defaultdict(set), defaultdict(set)

    def judge(rule: str, fits: bool) -> None:
        all_[rule] += 1
        kept[rule] += fits

    for edge in graph["relationships"]:
        subject, other, word = thing[edge["subject"]], thing[edge["object"]], edge["predicate"].strip().lower()
        if re.match(OWNS, word):
            owners[other].add(subject)
        if re.match(RESTS, word):
            seats[subject].add(other)
        if re.match(HOLDS, word):
            held[subject].add(other)
        overlap = float(boxes.iou(place[edge["subject"]], place[edge["object"]]))
        alike = names[subject] == names[other]
        if re.match(SELDOM_ALIKE, word):
            judge("not between two of one name", not alike)
        judge(f"related, {'same' if alike else 'other'} name: IoU < {SAME_THING[alike]}", overlap < SAME_THING[alike])
    for subjects in owners.values():
        rivals = sum(names[i] in {names[s] for s in subjects} for i in set(thing))
        if len(subjects) > 1 or rivals > 1:
            judge("one subject a thing owned", len(subjects) == 1)
    for others in seats.values():
        judge("one thing to rest on", len(others) == 1)
    for others in held.values():
        judge("two hands", len(others) <= HANDS)


def limits(states: Path) -> None:
    """Print a row for each limit under which a relationship may be left out of a picture."""
    truths, predictions = read_image_states(states).values()
    relative, hit, annotated = [], [], 0
    for truth, predicted in zip(truths, predictions, strict=True):
        annotated += len(truth["relationships"])
        matched = match_items(predicted, truth, "relationships")
        drawn = items_to_draw(predicted, 0.0, DRAWN_RELATIONSHIPS)["relationships"]
        scores = np.array([edge["score"] for edge in predicted["relationships"]])
        relative += (scores[drawn] / scores.max(initial=0)).tolist() if drawn else []
        hit += (matched[drawn] >= 0).tolist()
    relative, hit = np.array(relative), np.array(hit)
    print("limit  drawn an image  of these annotated  of the annotated drawn  harmonic mean")
    for limit in (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5):
        stays = relative >= limit
        precision, recall = 100 * hit[stays].mean(), 100 * hit[stays].sum() / annotated
        mean = 2 * precision * recall / (precision + recall)
        print(f"{limit:5} {stays.sum() / len(truths):15.1f} {precision:17.1f} % {recall:21.1f} % {mean:12.2f} %")


@reports_input_errors
def main(argv: list[str] | None = None) -> None:
    """Command line: see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--split", type=Path, help="annotated images (create_graph.py writes them)")
    which.add_argument("--states", type=Path, help="image_states.pickle of main.py --test")
    arguments = parser.parse_args(argv)
    if arguments.states:
        limits(arguments.states)
        return
    kept, all_ = Counter(), Counter()
    for record in Split(arguments.split):
        count(graph_from_record(record), kept, all_)
    for rule, number in all_.items():
        print(f"{rule:34} {np.round(100 * kept[rule] / number, 1):5.1f} % of {number:,}")


if __name__ == "__main__":
    sys.exit(main())
