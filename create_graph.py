"""Turn annotations into word counts, a semantic action graph and data splits.

    python create_graph.py                                            Visual Genome in data/raw_data
    python create_graph.py --dataset vrd --annotations data/vrd --min_occurrences 1
    python create_graph.py --dataset vg150 --annotations data/vg150
    python create_graph.py --dataset gqa --annotations data/gqa
    python create_graph.py --dataset own --annotations FOLDER         see docs/own_data.md
    python create_graph.py --describe graph.pickle --word man
    python create_graph.py --draw graph.pickle --word man --output man.svg

Writes entity_counts.json, attribute_counts.json, predicate_counts.json and graph.pickle into
the output folder, and {train,validation,test}_data.json into data/data_samples/ below it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from data.annotations import SPLITS, Annotations, write_splits
from data.describe import describe, report
from data.division import divide, divide_further
from data.gqa import read_gqa
from data.own import read_own
from data.photos import check_boxes_are_inside, find_images
from data.processes import Workers
from data.vg150 import read_vg150
from data.visual_genome import read_split_file, read_visual_genome
from data.vocabulary import PLURAL, Vocabulary, build_graph, choose_vocabulary, read_word_list, use_word_list
from data.vrd import read_vrd
from files.io import InputError, atomic_write, remove_leftovers, reports_input_errors, safe_file_name
from files.locks import folder_lock
from semantic_graph import SemanticActionGraph

SAMPLES = Path("data", "data_samples")
DATA_SETS = {  # name, and a file by which its folder is known
    "vg": ("Visual Genome", "relationships.json"),
    "vrd": ("VRD", "annotations_train.json"),
    "vg150": ("VG150", "VG-SGG*.h5"),
    "gqa": ("GQA", "*sceneGraphs.json"),
    "own": ("a data set of your own", "train_data.json"),
}


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; every flag says what it does and its default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_argument_group("annotations")
    source.add_argument(
        "--dataset",
        choices=tuple(DATA_SETS),
        default="vg",
        help="layout of the annotations: "
        + ", ".join(f"{key} {name}" for key, (name, _) in DATA_SETS.items())
        + " (default: vg)",
    )
    source.add_argument(
        "--annotations", type=Path, metavar="DIR", default=Path("data/raw_data"), help="(default: %(default)s)"
    )
    source.add_argument(
        "--images_dir", type=Path, metavar="DIR", help="use only images that are in this folder; VG_100K and VG_100K_2 "
        "may stand side by side (default: every annotated image)",
    )  # fmt: skip
    source.add_argument(
        "--skip_bad_items", action="store_true", help="leave out and count malformed items (default: they are errors)"
    )
    graph = parser.add_argument_group("graph")
    graph.add_argument(
        "--min_occurrences", "--min_occurances", type=int, metavar="N", default=200,
        help="a word enters the graph when it is seen N times (default: %(default)s)",
    )  # fmt: skip
    graph.add_argument(
        "--graph_from", choices=("train", "all"), default="train",
        help="count words and phrases in the training split, or in all images (default: %(default)s)",
    )  # fmt: skip
    for plural in PLURAL.values():
        graph.add_argument(
            f"--{plural}", type=Path, metavar="FILE",
            help=f"these {plural} and no others, in this order: one a line, or a JSON list (default: by their counts)",
        )  # fmt: skip
    split = parser.add_argument_group("splits")
    split.add_argument("--num_train", type=int, metavar="N", help="training images (default: all that are left)")
    split.add_argument(
        "--num_validation", type=int, metavar="N",
        help="validation images (default: 5000 of the full Visual Genome, in proportion of a smaller set; "
        "a tenth of VRD's training images; VG150: its first 5000 with relationships)",
    )  # fmt: skip
    split.add_argument(
        "--num_test",
        type=int,
        metavar="N",
        help="test images (default: as many as for validation; VRD, VG150: the official ones)",
    )
    split.add_argument(
        "--seed", type=int, default=0, help="of the shuffle that makes the splits (default: %(default)s)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for all that is written (default: .); with --draw, the picture (default: WORD.svg)",
    )
    look = parser.add_argument_group("looking at a graph")
    look.add_argument("--describe", type=Path, metavar="GRAPH", help="print a graph's size and most frequent phrases")
    look.add_argument("--draw", type=Path, metavar="GRAPH", help="draw the neighbourhood of --word")
    look.add_argument("--word", help="an entity, attribute or predicate whose neighbourhood is shown")
    arguments = parser.parse_args(argv)
    for name in ("num_train", "num_validation", "num_test"):
        if (getattr(arguments, name) or 0) < 0:
            parser.error(f"--{name} must not be negative")
    if arguments.min_occurrences < 1:
        parser.error("--min_occurrences must be at least 1")
    if arguments.seed < 0:
        parser.error("--seed must not be negative")
    if arguments.draw and not arguments.word:
        parser.error("--draw needs --word")
    if arguments.word and not (arguments.draw or arguments.describe):
        parser.error("--word needs --describe or --draw")
    return arguments


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """Run the script. Returns the exit status."""
    arguments = parse_arguments(argv)
    if arguments.describe:
        print(describe(SemanticActionGraph.load(arguments.describe), arguments.word))
    elif arguments.draw:
        from drawing.pictures import draw_neighbourhood

        output = arguments.output or Path(f"{safe_file_name(arguments.word)}.svg")
        draw_neighbourhood(SemanticActionGraph.load(arguments.draw), arguments.word, output)
        print(f"The neighbourhood of {arguments.word!r} is drawn in {output.resolve()}.")
    else:
        with Workers() as workers:
            create(arguments, workers)
    return 0


def create(arguments: argparse.Namespace, workers: Workers) -> None:
    """Read the annotations, and write counts, graph and splits."""
    start = time.perf_counter()
    directory = arguments.annotations
    annotations, parts = read_annotations(arguments, workers)
    for kind, plural in PLURAL.items():
        path = getattr(arguments, plural)
        if path is not None:
            use_word_list(annotations, kind, read_word_list(path), path)
    present = find_images(annotations, arguments.images_dir)
    if arguments.dataset in ("vg", "gqa", "own"):  # VRD's and VG150's boxes stay as they are published
        annotations.cut_at_edges()
        check_boxes_are_inside(annotations, directory)
    sizes = (arguments.num_train, arguments.num_validation, arguments.num_test)
    if arguments.dataset == "vg150":  # its reader has counted the validation images
        sizes = (sizes[0], None, sizes[2])
    if parts is None:
        rows = np.flatnonzero(present)
        rows = [rows[part] for part in divide(len(rows), *sizes, arguments.seed)]
    else:
        parts = [None if part is None else part[present[part]] for part in parts]
        rows = divide_further(parts, sizes, arguments.seed)
    everything = np.sort(np.concatenate(rows))
    annotations.keep_images(everything)
    rows = [np.searchsorted(everything, part) for part in rows]
    if len(everything) == 0:
        raise InputError(f"{directory}: no image is left for any split; check --annotations and --images_dir")

    counted = np.ones(len(everything), bool)
    if arguments.graph_from == "train":
        counted[:] = False
        counted[rows[0]] = True
        if not len(rows[0]):
            raise InputError("no image is left for training; give a larger --num_train, or --graph_from all")
    vocabulary = choose_vocabulary(annotations, counted, arguments.min_occurrences)
    annotations.check_numbers_of_objects(directory)
    graph = build_graph(annotations, counted)
    graph.made_in = annotations.fingerprint(graph.fingerprint(), rows)
    output = arguments.output or Path(".")
    with folder_lock(output, "--output", shared=True):
        write(output, vocabulary, graph, annotations, rows, workers)
    print(report(annotations, graph, rows))
    print(
        f"Wrote {output / 'graph.pickle'}, {output}/{{entity,attribute,predicate}}_counts.json and "
        f"{output / SAMPLES}/{{train,validation,test}}_data.json in {time.perf_counter() - start:.1f} s."
    )


def write(
    output: Path,
    vocabulary: Vocabulary,
    graph: SemanticActionGraph,
    annotations: Annotations,
    rows: list[np.ndarray],
    workers: Workers,
) -> None:
    """Write all files under temporary names before the first gets its own, so that a run that dies leaves one set.

    Should it die between two renames, graph and splits tell by `made_in` that they are of two runs.
    """
    counts = {output / f"{kind}_counts.json": sorted_counts(vocabulary, kind) for kind in PLURAL}
    splits = [output / SAMPLES / f"{name}_data.json" for name in SPLITS]
    remove_leftovers(*counts, output / "graph.pickle", *splits)
    with ExitStack() as stack:
        files = [stack.enter_context(atomic_write(path)) for path in (*counts, output / "graph.pickle", *splits)]
        for file, value in zip(files, counts.values(), strict=False):
            file.write(json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n")
        graph.write(files[len(counts)])
        write_splits(files[-len(splits) :], annotations, rows, graph.made_in, workers)
        for file in files:  # on the disk, so that the renames follow at once
            file.flush()
            os.fsync(file.fileno())


def read_annotations(
    arguments: argparse.Namespace, workers: Workers
) -> tuple[Annotations, Sequence[np.ndarray | None] | None]:
    """The annotations, and the rows of the data set's own training, validation and test images (see `divide_further`).

    None in their place when the data set leaves the division to us.
    """
    directory, dataset, skip = arguments.annotations, arguments.dataset, arguments.skip_bad_items
    if not directory.is_dir():
        raise InputError(f"{directory}: no such folder; give the one with the annotations by --annotations")
    held = [name for name, (_, pattern) in DATA_SETS.items() if any(directory.glob(pattern))]
    if held and dataset not in held:
        raise InputError(
            f"{directory}: holds {DATA_SETS[held[0]][0]}, not {DATA_SETS[dataset][0]}; give --dataset {held[0]}"
        )
    if dataset == "vrd":
        annotations, is_test = read_vrd(directory, skip)
        return annotations, (np.flatnonzero(~is_test), None, np.flatnonzero(is_test))
    if dataset == "vg150":
        return read_vg150(directory, arguments.num_validation)
    if dataset == "gqa":
        return read_gqa(directory, skip)
    if dataset == "own":
        return read_own(directory, skip)
    annotations = read_visual_genome(directory, skip, workers)
    if not len(annotations.attribute_name) and not (directory / "attributes.json").exists():
        print(f"{directory}: no attributes.json, so the graph has no attributes.")
    own_division = directory / "split.json"
    sizes = (arguments.num_train, arguments.num_validation, arguments.num_test)
    if own_division.exists() and sizes == (None, None, None):
        return annotations, read_split_file(own_division, annotations.image_ids)
    return annotations, None


def sorted_counts(vocabulary: Vocabulary, kind: str) -> dict[str, int]:
    """{name: count} of the words in the graph, most frequent first, then by name."""
    counts = {"entity": vocabulary.entities, "attribute": vocabulary.attributes, "predicate": vocabulary.predicates}
    return dict(sorted(counts[kind].items(), key=lambda item: (-item[1], item[0])))


if __name__ == "__main__":
    sys.exit(main())
