"""What an agent finds in photos where a detector knows COCO's words alone, and when it may stop; without real photos.

    python benchmarks/simulated_photos.py --run RUN [RUN ...] --graph GRAPH --split VALIDATION_DATA
        [--than RUN [RUN ...]] [--crowd 4]

For choosing how the pretrained agent is trained and when it may stop: no training image has real detections. The boxes
are those of annotated objects that COCO has a word for, made a detector's by scenes/simulated.py:

    good     as in training: a little off, some missed, some under a wrong name
    poor     40 % of the objects are dropped first, and half of the others are boxed again under a wrong name
    crowded  good, and up to all objects of --crowd other images beside them, of which nothing is annotated

Recall counts every annotation, as on photographs: what COCO has no word for is missed. RUN: --output_dir of
main.py --train, one a seed; --than: other runs, with which the first are compared, image by image.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.tables import interval, share, table
from benchmarks.trained import Run, checkpoint_of
from engine.options import PRESETS
from engine.parts import make_agent, read_agent
from engine.results import counts_of
from engine.testing import steps_and_pairs
from engine.walk import walk
from files.detections_json import COCO_CATEGORIES
from files.io import InputError, reports_input_errors
from metrics.figures import Counts, mean_counts
from scenes.class_map import map_classes, read_class_map
from scenes.scene import Instances, SceneSet
from scenes.simulated import RARER, detected, simulated, with_unannotated

CLASS_MAP = Path(__file__).resolve().parents[1] / "pretrained" / "class_map.json"
KINDS = ("good", "poor", "crowded")
LEAST = (1, 20, 50, 100, sys.maxsize)  # pairs before the agent may stop
LIKE_PREDICT = 100  # of them what --predict takes
LOST = 0.4  # of poor boxes
BEST = PRESETS["best"]
MISNAMED = {"good": BEST["misnamed"], "poor": 0.5, "crowded": BEST["misnamed"]}


class SimulatedPhotos(SceneSet):
    """The scenes of a split with boxes of COCO's words, as a detector might give them: the same at every look.

    Raises InputError where the graph has none of these words.
    """

    def __init__(self, scenes: SceneSet, kind: str, crowd: int = 4, seed: int = 0) -> None:
        super().__init__(scenes.records, scenes.graph, options=scenes.options)
        known = map_classes(COCO_CATEGORIES, scenes.graph, [read_class_map(CLASS_MAP, strict=False)], stand_ins=False)
        self.words = np.unique(known.entities[known.entities >= 0])
        if not len(self.words):
            raise InputError("--graph: has none of COCO's words; give one of VRD or Visual Genome")
        often = np.zeros(len(scenes.graph.entities))
        often[self.words] = scenes.graph.entity_counts()[self.words] ** RARER
        self.names, self.kind, self.seed = often / often.sum(), kind, seed
        self.crowd = crowd if kind == "crowded" else 0

    def instances(self, index: int) -> Instances:
        rng = np.random.default_rng([self.seed, index])
        instances = self._of_coco(index)
        if self.kind == "poor":
            instances = _rows(instances, rng.random(len(instances.boxes)) >= LOST)
        instances = simulated(instances, rng, BEST["box_jitter"], BEST["seen_twice"])
        instances = detected(instances, rng, MISNAMED[self.kind], self.names)
        others = rng.integers(len(self), size=self.crowd)
        for other in others[others != index]:
            instances = with_unannotated(instances, self._of_coco(int(other)), rng, 1.0)
        return instances

    def _of_coco(self, index: int) -> Instances:
        instances = super().instances(index)
        return _rows(instances, np.isin(instances.candidates[:, 0], self.words))


def _rows(instances: Instances, which: np.ndarray) -> Instances:
    return Instances(instances.boxes[which], instances.candidates[which], instances.candidate_scores[which])


def found_by(runs: Sequence[Run], kind: str, least: int, crowd: int) -> tuple[Counts, float]:
    """Relationships that the agents find when each looks at `least` pairs before it may stop, and the share of pairs.

    Means of the runs.
    """
    counts, looked, pairs = [], 0, 0
    for run in runs:
        photos = SimulatedPhotos(run.scenes, kind, crowd)
        agent = make_agent(run.parts, run.network, photos)
        found = walk(agent, photos, run.rules, photos.images, 64, maximum_choices=0, progress=kind, least=least)
        counts.append(counts_of(found, photos, photos.images)[0]["relationship"])
        looked, pairs = np.add((looked, pairs), steps_and_pairs(found, photos))
    return mean_counts(counts), looked / max(pairs, 1)


def _run(folder: Path, graph: str, split: str) -> Run:
    if read_agent(checkpoint_of(folder))["description"]["model"].get("feature_dimension"):
        raise InputError(
            f"{folder}: its agent needs pixels, and simulated boxes have none; "
            "give runs of main.py --train --image_embedding_model_type none"
        )
    return Run(folder, graph, split)


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """The command line: see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--run", type=Path, nargs="+", required=True, help="--output_dir of a training, one a seed")
    parser.add_argument("--than", type=Path, nargs="+", default=[], help="runs to compare with, one a seed")
    parser.add_argument("--graph", required=True, help="the graph that they were trained with")
    parser.add_argument("--split", required=True, help="annotated images that they were not trained on")
    parser.add_argument("--crowd", type=int, default=4, help="images whose objects stand beside an image's own")
    arguments = parser.parse_args(argv)
    if arguments.crowd < 0:
        parser.error("--crowd must be at least 0")
    crowd = arguments.crowd
    runs, others = (
        [_run(folder, arguments.graph, arguments.split) for folder in folders]
        for folders in (arguments.run, arguments.than)
    )
    rows = [["boxes", "R@50 / R@100", "other runs", "less", "mean recall", "other runs", "less"]]
    stops = [["pairs before it may stop", *(f"{kind}: R@50 / R@100, pairs" for kind in KINDS)]]
    found = {(kind, least): found_by(runs, kind, least, crowd) for kind in KINDS for least in LEAST}
    for least in LEAST:
        cells = [f"{share(found[kind, least][0])}, {found[kind, least][1]:.0%}" for kind in KINDS]
        stops.append(["all" if least == sys.maxsize else str(least), *cells])
    print(table(f"When it may stop, means of {len(runs)} runs:", stops))
    for kind in KINDS if others else ():
        one, other = found[kind, LIKE_PREDICT][0], found_by(others, kind, LIKE_PREDICT, crowd)[0]
        cells = [(share(one, m), share(other, m), interval(one, other, m)) for m in ("recall", "mean_recall")]
        rows.append([kind, *cells[0], *cells[1]])
    if others:
        print(table(f"Compared, {LIKE_PREDICT} pairs before it may stop:", rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
