"""Which relationships exclude each other in annotated images: the shares that drawing/selection.py is built on.

    python benchmarks/exclusive_relations.py --split vrd_run/data/data_samples/train_data.json

Boxes of one name with IoU >= 0.5 are one thing. For each rule: how many annotated things it is about, and the share
that keeps it; a thing counts for "one subject" only where the image has another one that could be its subject.
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
from drawing.comparison import corners
from drawing.selection import HANDS, HOLDS, OWNS, RESTS, SAME_THING, SELDOM_ALIKE
from files.io import reports_input_errors
from files.scene_graphs import Graph, graph_from_record
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


@reports_input_errors
def main(argv: list[str] | None = None) -> None:
    """Command line: see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--split", type=Path, required=True, help="annotated images (create_graph.py writes them)")
    arguments = parser.parse_args(argv)
    kept, all_ = Counter(), Counter()
    for record in Split(arguments.split):
        count(graph_from_record(record), kept, all_)
    for rule, number in all_.items():
        print(f"{rule:34} {np.round(100 * kept[rule] / number, 1):5.1f} % of {number:,}")


if __name__ == "__main__":
    sys.exit(main())
