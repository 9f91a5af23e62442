"""What each part of the method is worth: train and test with one thing changed at a time, and write a table.

    python benchmarks/ablations.py --output_dir runs/vrd --seeds 0 1 2 -- \
        --preset best --graph VRD/graph.pickle --train_data ... --test_data ... --detections ...

Everything after `--` goes to main.py, for every row. A row that has its results.json already is not run again,
so a stopped script resumes where it was. Bounded by training: each row is one whole run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.baselines import columns, differences  # noqa: E402
from benchmarks.tables import MEASURES  # noqa: E402
from engine.options import parse  # noqa: E402
from evaluation import ground_truth_arrays, train_triplets  # noqa: E402
from files.io import atomic_write, read_json, reports_input_errors, write_json  # noqa: E402
from files.splits import Split  # noqa: E402

BREADTH_FIRST = ["--frontier", "breadth_first", "--no-use_memory", "--maximum_objects_per_subject", "500"]
ROWS: dict[str, list[str]] = {
    "as given": [],
    # the walk
    "breadth first": BREADTH_FIRST,
    "breadth first, 5 objects a subject": [*BREADTH_FIRST, "--maximum_objects_per_subject", "5"],
    "breadth first, reward of new objects": [*BREADTH_FIRST, "--next_object_reward", "new_object"],
    "neighbour factor 1": ["--neighbour_factor", "1"],
    "neighbour factor 0.5": ["--neighbour_factor", "0.5"],
    "300 steps": ["--maximum_steps", "300"],
    "no step cost": ["--step_cost", "0"],
    "discount 0.5": ["--discount_factor", "0.5"],
    "discount 0.9": ["--discount_factor", "0.9"],
    "what is said twice pays twice": ["--no-new_phrases_only"],
    "no memory": ["--no-use_memory"],
    "action sets of seen phrases": ["--use_adaptive_action_sets", "--predicate_action_set", "phrase"],
    "action sets of seen words": ["--use_adaptive_action_sets", "--predicate_action_set", "word"],
    "no ambiguity-aware mining": ["--no-use_ambiguity_aware_mining"],
    "one predicate a pair, one attribute a step": ["--predicates_per_pair", "1", "--attributes_per_step", "1"],
    # the state and the network
    "breadth first, no box geometry": [*BREADTH_FIRST, "--no-use_box_geometry"],
    "breadth first, no pair context": [*BREADTH_FIRST, "--no-use_pair_context"],
    "no history phrases": ["--no-use_skip_thought"],
    "no learned category vectors": ["--learned_category_vectors", "0"],
    "fusion layers as in the paper": ["--fusion_sizes", "4096", "2048"],
    "one network": ["--num_members", "1"],
    "no dropout": ["--dropout", "0"],
    # learning
    "learn from the action taken": ["--learn_from", "taken"],
    "squared reward loss": ["--reward_loss", "squared"],
    "squared, action taken": ["--reward_loss", "squared", "--learn_from", "taken"],
    "annotated pairs not preferred in replay": ["--replay_preference", "1"],
    "no jitter of boxes": ["--box_jitter", "0"],
    "nothing seen twice": ["--seen_twice", "0"],
    "nothing misnamed": ["--misnamed", "0"],
    "no averaged target": ["--target_averaging", "0"],
    "RMSProp": ["--optimizer", "rmsprop", "--weight_decay", "0"],
    "learning rate as in the paper": ["--learning_rate", "0.0007", "--no-learning_rate_decay"],
    "batches of 64": ["--batch_size", "64"],
    "exploration as in the paper": ["--epsilon_anneal_rate", "0.045"],
    "5 epochs": ["--num_epochs", "5"],
}
TASKS = ("relationship", "relationship_k1", "phrase", "zero_shot_relationship", "predicate", "attribute")


def run(folder: Path, flags: Sequence[str], seed: int) -> dict:
    """Train and test once; the results. Raises SystemExit when main.py fails."""
    if not (folder / "results.json").exists():
        command = [sys.executable, str(ROOT / "main.py"), *flags, "--output_dir", str(folder), "--seed", str(seed)]
        for mode in ("--train", "--test"):
            if subprocess.run([*command, mode]).returncode:
                raise SystemExit(f"failed: {' '.join([*command, mode])}")
    return read_json(folder / "results.json")


def table(results: dict[str, list[dict]], measure: str = "recall") -> str:
    """Markdown: a measure at 50 / 100 of every task, mean over seeds and the largest distance from it."""
    tasks = [task for task in TASKS if any(run.get(task, {}).get("total") for runs in results.values() for run in runs)]
    lines = [
        f"| {measure.replace('_', ' ')} | " + " | ".join(task.replace("_", " ") for task in tasks) + " |",
        "| --- " * (len(tasks) + 1) + "|",
    ]
    for name, runs in results.items():
        cells = []
        for task in tasks:
            recalls = np.array([[run[task][measure][n] for n in ("50", "100")] for run in runs])
            spread = f" ± {np.abs(recalls - recalls.mean(axis=0)).max():.1f}" if len(runs) > 1 else ""
            cells.append(" / ".join(f"{value:.1f}" for value in recalls.mean(axis=0)) + spread)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def compared(folders: dict[str, list[Path]], flags: Sequence[str]) -> str:
    """Markdown: the first row less each other one, means over seeds, paired 95 % intervals over images."""
    options = parse(["--test", *flags])
    truth = ground_truth_arrays(Split(options.test_data), train_triplets(Split(options.train_data)))
    found = {name: columns(seeds, truth) for name, seeds in folders.items()}
    first = next(iter(found))
    return "\n".join(differences(first, found.pop(first), found)[0])


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    split = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True, help="one folder a row and seed below it, and the table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=f"of: {', '.join(ROWS)}"
    )
    arguments = parser.parse_args(argv[:split])
    output = Path(arguments.output_dir)
    flags = argv[split + 1 :]
    results: dict[str, list[dict]] = {}
    folders: dict[str, list[Path]] = {}
    for name in arguments.rows:
        folder = output / name.replace(" ", "_").replace(",", "").replace("'", "")
        folders[name] = [folder / str(seed) for seed in arguments.seeds]
        results[name] = [
            run(place, [*flags, *ROWS[name]], seed) for place, seed in zip(folders[name], arguments.seeds, strict=True)
        ]
        text = "\n\n".join([*(table(results, measure) for measure in MEASURES), compared(folders, flags)])
        with atomic_write(output / "ablations.md", "w") as file:
            file.write(text + "\n")
        write_json(output / "ablations.json", results, indent=1)
        print(text, flush=True)
    print(f"Per cent; the table is in {output / 'ablations.md'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
