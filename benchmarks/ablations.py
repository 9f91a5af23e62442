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

from files.io import atomic_write, read_json, reports_input_errors, write_json  # noqa: E402

ROWS: dict[str, list[str]] = {
    "as given": [],
    "plain DQN targets": ["--no-double_dqn"],
    "learn from the action taken": ["--learn_from", "taken"],
    "squared reward loss": ["--reward_loss", "squared"],
    "squared, plain DQN targets": ["--reward_loss", "squared", "--no-double_dqn"],
    "squared, action taken": ["--reward_loss", "squared", "--learn_from", "taken"],
    "no adaptive action sets": ["--no-use_adaptive_action_sets"],
    "action sets of seen phrases": ["--use_adaptive_action_sets", "--predicate_action_set", "phrase"],
    "action sets of seen words": ["--use_adaptive_action_sets", "--predicate_action_set", "word"],
    "no ambiguity-aware mining": ["--no-use_ambiguity_aware_mining"],
    "reward of new objects": ["--next_object_reward", "new_object"],
    "5 objects a subject": ["--maximum_objects_per_subject", "5"],
    "neighbour factor 1": ["--neighbour_factor", "1"],
    "neighbour factor 0.5": ["--neighbour_factor", "0.5"],
    "the paper's walk": ["--neighbour_factor", "0.5", "--maximum_objects_per_subject", "5",
                         "--next_object_reward", "new_object", "--use_adaptive_action_sets"],
    "no history phrases": ["--no-use_skip_thought"],
    "categories not mixed": ["--category_mixing", "0"],
    "annotated pairs not preferred in replay": ["--replay_preference", "1"],
    "one network": ["--num_members", "1"],
}  # fmt: skip
TASKS = ("relationship", "relationship_k1", "phrase", "zero_shot_relationship", "predicate", "attribute")


def run(folder: Path, flags: Sequence[str], seed: int) -> dict:
    """Train and test once; the results. Raises SystemExit when main.py fails."""
    if not (folder / "results.json").exists():
        command = [sys.executable, str(ROOT / "main.py"), *flags, "--output_dir", str(folder), "--seed", str(seed)]
        for mode in ("--train", "--test"):
            if subprocess.run([*command, mode]).returncode:
                raise SystemExit(f"failed: {' '.join([*command, mode])}")
    return read_json(folder / "results.json")


def table(results: dict[str, list[dict]]) -> str:
    """Markdown: R@50 / R@100 of every task, mean over seeds and the largest distance from it."""
    tasks = [task for task in TASKS if any(run.get(task, {}).get("total") for runs in results.values() for run in runs)]
    lines = ["| | " + " | ".join(task.replace("_", " ") for task in tasks) + " |", "| --- " * (len(tasks) + 1) + "|"]
    for name, runs in results.items():
        cells = []
        for task in tasks:
            recalls = np.array([[run[task]["recall"][n] for n in ("50", "100")] for run in runs])
            spread = f" ± {np.abs(recalls - recalls.mean(axis=0)).max():.1f}" if len(runs) > 1 else ""
            cells.append(" / ".join(f"{value:.1f}" for value in recalls.mean(axis=0)) + spread)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


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
    results: dict[str, list[dict]] = {}
    for name in arguments.rows:
        folder = output / name.replace(" ", "_").replace(",", "").replace("'", "")
        results[name] = [run(folder / str(seed), [*argv[split + 1 :], *ROWS[name]], seed) for seed in arguments.seeds]
        text = table(results)
        with atomic_write(output / "ablations.md", "w") as file:
            file.write(text + "\n")
        write_json(output / "ablations.json", results, indent=1)
        print(text, flush=True)
    print(f"Recall, per cent; the table is in {output / 'ablations.md'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
