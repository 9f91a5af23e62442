"""Write the scene graphs of image_states.pickle as JSON files, two an image.

    python graphviz/pickle_to_files.py [--pickle image_states.pickle] [--output graphs]

gt_graph_<i>.json is the ground truth of image i, curr_graph_<i>.json what the agent predicted; i counts from 0.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from any folder

from files.io import reports_input_errors, write_json
from files.locks import folder_lock
from files.scene_graphs import default_pickle, read_image_states


def write_graph_files(states: dict[str, list[dict]], folder: Path) -> int:
    """Write gt_graph_<i>.json and curr_graph_<i>.json; what an earlier run left beyond the last image is removed.

    Returns the number of files removed. Raises InputError when the folder cannot be written.
    """
    images = len(states["gt"])
    for i in tqdm(range(images), desc="graphs", unit="image", disable=None):
        for kind in ("gt", "curr"):
            write_json(folder / f"{kind}_graph_{i}.json", states[kind][i], indent=1)
    numbered = ((path, re.fullmatch(r"(?:gt|curr)_graph_(\d+)\.json", path.name)) for path in folder.glob("*_graph_*"))
    stale = [path for path, name in numbered if name and int(name[1]) >= images]
    for path in stale:
        path.unlink()
    return len(stale)


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Write the scene graphs of image_states.pickle as JSON files.")
    parser.add_argument("--pickle", type=Path, default=default_pickle(), help="default: %(default)s")
    parser.add_argument("--output", type=Path, help="folder for the files; default: graphs/ beside the pickle")
    arguments = parser.parse_args(argv)
    folder = arguments.output or arguments.pickle.parent / "graphs"
    states = read_image_states(arguments.pickle)
    with folder_lock(folder, "--output"):
        removed = write_graph_files(states, folder)
    left = f"; {removed} files of an earlier, larger run removed" if removed else ""
    count = 2 * len(states["gt"])
    print(f"Wrote {count} graphs, ground truth and prediction of {count // 2} images, to {folder}/{left}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
