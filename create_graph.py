"""Turn annotations into word counts, a semantic action graph and data splits.

    python create_graph.py                                            Visual Genome in data/raw_data
    python create_graph.py --dataset vrd --annotations VRD_FOLDER --min_occurances 1
    python create_graph.py --describe graph.pickle --word man
    python create_graph.py --draw graph.pickle --word man --output man.svg

Writes entity_counts.json, attribute_counts.json, predicate_counts.json and graph.pickle into
the output folder, and {train,validation,test}_data.json into data/data_samples/ below it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.annotations import Annotations, write_splits
from data.processes import Workers
from data.visual_genome import read_split_file, read_visual_genome
from data.vocabulary import Vocabulary, build_graph, choose_vocabulary
from data.vrd import read_vrd
from files.images import EXTENSIONS, image_folders, image_size
from files.io import InputError, reports_input_errors, safe_file_name, write_json
from files.splits import divide
from semantic_graph import SemanticActionGraph

SPLITS = ("train", "validation", "test")


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; every flag says what it does and its default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_argument_group("annotations")
    source.add_argument(
        "--dataset", choices=("vg", "vrd"), default="vg", help="layout of the annotations (default: vg)"
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
        "--min_occurances", "--min_occurrences", type=int, metavar="N", default=200,
        help="a word enters the graph when it is seen N times (default: %(default)s)",
    )  # fmt: skip
    graph.add_argument(
        "--graph_from", choices=("train", "all"), default="train",
        help="count words and phrases in the training split, or in all images (default: %(default)s)",
    )  # fmt: skip
    split = parser.add_argument_group("splits")
    split.add_argument("--num_train", type=int, metavar="N", help="training images (default: all that are left)")
    split.add_argument(
        "--num_validation", type=int, metavar="N",
        help="validation images (default: 5000 of the full Visual Genome, in proportion of a smaller set; "
        "a tenth of VRD's training images)",
    )  # fmt: skip
    split.add_argument(
        "--num_test",
        type=int,
        metavar="N",
        help="test images (default: as many as for validation; VRD: its official ones)",
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
    if arguments.min_occurances < 1:
        parser.error("--min_occurances must be at least 1")
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
    if not directory.is_dir():
        raise InputError(f"{directory}: no such folder; give the one with the annotations by --annotations")
    holds_vrd = (directory / "annotations_train.json").exists()
    if arguments.dataset == "vg" and holds_vrd:
        raise InputError(f"{directory}: holds VRD, not Visual Genome; give --dataset vrd")
    if arguments.dataset == "vrd" and not holds_vrd and (directory / "relationships.json").exists():
        raise InputError(f"{directory}: holds Visual Genome, not VRD; leave --dataset vrd out")
    if arguments.dataset == "vrd":
        annotations, is_test = read_vrd(directory, arguments.skip_bad_items)
        present = find_images(annotations, arguments.images_dir)
        rows = divide_vrd(is_test, present, arguments)
    else:
        annotations = read_visual_genome(directory, arguments.skip_bad_items, workers)
        present = find_images(annotations, arguments.images_dir)
        rows = divide_visual_genome(annotations, present, arguments)
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
    vocabulary = choose_vocabulary(annotations, counted, arguments.min_occurances)
    graph = build_graph(annotations, counted)
    output = arguments.output or Path(".")
    for kind in ("entity", "attribute", "predicate"):
        write_json(output / f"{kind}_counts.json", sorted_counts(vocabulary, kind), indent=1)
    graph.save(output / "graph.pickle")
    folder = output / "data" / "data_samples"
    write_splits([folder / f"{name}_data.json" for name in SPLITS], annotations, rows, workers)
    print(report(annotations, graph, rows))
    print(
        f"Wrote {output / 'graph.pickle'}, {output}/{{entity,attribute,predicate}}_counts.json and "
        f"{folder}/{{train,validation,test}}_data.json in {time.perf_counter() - start:.1f} s."
    )


def sorted_counts(vocabulary: Vocabulary, kind: str) -> dict[str, int]:
    """{name: count} of the words in the graph, most frequent first, then by name."""
    counts = {"entity": vocabulary.entities, "attribute": vocabulary.attributes, "predicate": vocabulary.predicates}
    return dict(sorted(counts[kind].items(), key=lambda item: (-item[1], item[0])))


# Which images, and in which split ---------------------------------------------------------------


def find_images(annotations: Annotations, images_dir: Path | None) -> np.ndarray:
    """(n,) bool: which images have a file in the folder (None: all of them).

    The names become those of the files (`7.jpg` may be `7.png`). A size that the data set does not give is the file's.
    """
    if images_dir is None:
        return np.ones(len(annotations.image_names), bool)
    if not images_dir.is_dir():
        raise InputError(f"{images_dir}: no such folder; give the one with the images by --images_dir")
    files: dict[str, Path] = {}
    for folder in image_folders(images_dir):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix.lower() in EXTENSIONS:
                files.setdefault(path.stem, path)
    paths = [files.get(Path(name).stem) for name in annotations.image_names]
    if not any(paths):
        raise InputError(f"{images_dir}: has none of the annotated images; check --images_dir")
    for row, path in enumerate(tqdm(paths, "images", unit=" images", disable=None, leave=False)):
        if path is not None:
            annotations.image_names[row] = path.name
            if not annotations.image_size[row].all():
                with contextlib.suppress(InputError):  # training says so when it needs the pixels
                    annotations.image_size[row] = image_size(path)
    return np.array([path is not None for path in paths])


def divide_visual_genome(
    annotations: Annotations, present: np.ndarray, arguments: argparse.Namespace
) -> list[np.ndarray]:
    """Image rows of the three splits: those of split.json if there is one, else a seeded shuffle."""
    sizes = (arguments.num_train, arguments.num_validation, arguments.num_test)
    path = arguments.annotations / "split.json"
    if path.exists() and sizes == (None, None, None):
        return [rows[present[rows]] for rows in read_split_file(path, annotations.image_ids)]
    rows = np.flatnonzero(present)
    return [rows[part] for part in divide(len(rows), *sizes, arguments.seed)]


def divide_vrd(is_test: np.ndarray, present: np.ndarray, arguments: argparse.Namespace) -> list[np.ndarray]:
    """Image rows of the three splits: VRD's own test images; validation is cut from its training images.

    When no official training image is present, the test images that are present are divided instead.
    """
    train, test = np.flatnonzero(present & ~is_test), np.flatnonzero(present & is_test)
    sizes = (arguments.num_train, arguments.num_validation, arguments.num_test)
    if len(train) == 0:
        print(
            f"No official training image is present: the {len(test)} test images that are present are divided instead."
        )
        return [test[part] for part in divide(len(test), *sizes, arguments.seed)]
    num_validation = len(train) // 10 if arguments.num_validation is None else arguments.num_validation
    first, second, _ = divide(len(train), arguments.num_train, num_validation, 0, arguments.seed)
    if arguments.num_test is not None:
        test = test[divide(len(test), arguments.num_test, 0, 0, arguments.seed)[0]]
    return [train[first], train[second], test]


# What is said about the result ------------------------------------------------------------------


def report(annotations: Annotations, graph: SemanticActionGraph, rows: list[np.ndarray]) -> str:
    """What is kept, and why the rest was dropped."""
    sizes = ", ".join(f"{len(part)} {name}" for name, part in zip(SPLITS, rows, strict=True))
    lines = [f"Images: {sizes}.", graph_size(graph)]
    kept = {
        "object": len(annotations.object_id),
        "attribute": len(annotations.attribute_name),
        "relationship": len(annotations.relationship_id),
        "item": 0,
    }
    reasons: dict[str, Counter] = {kind: Counter() for kind in kept}
    for (kind, reason), count in annotations.dropped.items():
        reasons[kind][reason] += count
    for kind, count in kept.items():
        if kind != "item":
            lines.append(f"{kind.capitalize()}s: {count} kept, {reasons[kind].total()} dropped.")
        elif reasons[kind]:
            lines.append(f"Items: {reasons[kind].total()} dropped.")
        lines += [f"  {number:>9}  {reason}" for reason, number in reasons[kind].most_common()]
    return "\n".join(lines)


def graph_size(graph: SemanticActionGraph) -> str:
    """One line: the numbers of words and phrases."""
    return (
        f"Graph: {len(graph.entities)} entities, {len(graph.attributes)} attributes, "
        f"{len(graph.predicates)} predicates; "
        f"{len(graph.attribute_edges)} attribute phrases ({graph.attribute_edges[:, -1].sum()} occurrences), "
        f"{len(graph.predicate_edges)} predicate phrases ({graph.predicate_edges[:, -1].sum()} occurrences)."
    )


def describe(graph: SemanticActionGraph, word: str | None = None, most: int = 15) -> str:
    """A graph in words: its size and most frequent phrases, or those around `word`."""
    attributes, predicates = graph.attribute_edges, graph.predicate_edges
    lines = [graph_size(graph)]
    if word is not None:
        entity, attribute = graph.entity_index(word), graph.attribute_index(word)
        predicate = graph.predicate_index(word)
        if max(entity, attribute, predicate) < 0:
            raise graph.no_such_word(word)
        if entity >= 0:
            lines.append(f"Entity {graph.entities[entity]!r}:")
            lines += _phrases("attributes", attributes[attributes[:, 0] == entity], _attribute_phrase(graph), most)
            lines += _phrases("as subject", predicates[predicates[:, 0] == entity], _predicate_phrase(graph), most)
            lines += _phrases("as object", predicates[predicates[:, 2] == entity], _predicate_phrase(graph), most)
        if attribute >= 0:
            lines.append(f"Attribute {graph.attributes[attribute]!r}:")
            lines += _phrases("borne by", attributes[attributes[:, 1] == attribute], _attribute_phrase(graph), most)
        if predicate >= 0:
            lines.append(f"Predicate {graph.predicates[predicate]!r}:")
            lines += _phrases("between", predicates[predicates[:, 1] == predicate], _predicate_phrase(graph), most)
    else:
        lines += _phrases("Most frequent attribute phrases", attributes, _attribute_phrase(graph), most)
        lines += _phrases("Most frequent predicate phrases", predicates, _predicate_phrase(graph), most)
    return "\n".join(lines)


def _attribute_phrase(graph: SemanticActionGraph) -> Callable[[np.ndarray], str]:
    return lambda edge: f"{graph.attributes[edge[1]]} {graph.entities[edge[0]]}"


def _predicate_phrase(graph: SemanticActionGraph) -> Callable[[np.ndarray], str]:
    return lambda edge: f"{graph.entities[edge[0]]} - {graph.predicates[edge[1]]} - {graph.entities[edge[2]]}"


def _phrases(title: str, edges: np.ndarray, phrase: Callable[[np.ndarray], str], most: int) -> list[str]:
    """The `most` most frequent edges as lines under a title; nothing when there are none."""
    if len(edges) == 0:
        return []
    order = np.argsort(-edges[:, -1], kind="stable")
    lines = [f"  {title} ({len(edges)} phrases, {edges[:, -1].sum()} occurrences):"]
    lines += [f"    {edges[i, -1]:>8}  {phrase(edges[i])}" for i in order[:most]]
    return lines + ([f"              and {len(edges) - most} more"] if len(edges) > most else [])


if __name__ == "__main__":
    sys.exit(main())
