"""A gallery of scene graphs: one folder that opens from disk, with no server and no internet.

    python graphviz/gallery.py --predictions output/predictions --output gallery
    python graphviz/gallery.py --pickle image_states.pickle --images_dir data/VG_100K --output gallery

Then open gallery/index.html. --predictions takes the folder that main.py --predict wrote; --pickle, from --test, has
the ground truth too: its gallery shows each image's recall, what was right, and what was missed. An index with
thumbnails to sort and filter by word, predicate and score; a page an image with the photo, boxes and graphs side by
side, and the agent's walk step by step.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from anywhere

from drawing.gallery import Loaded, Made, make_gallery, prediction_gallery
from drawing.selection import counted
from files.images import find_image
from files.io import InputError, reports_input_errors
from files.scene_graphs import default_pickle, read_image_states


def tested_gallery(pickle: Path, output: Path, images_dir: Path) -> Made:
    """A gallery of image_states.pickle, ground truth and predictions. Returns and raises as `make_gallery`."""
    states = read_image_states(pickle)
    if not states["curr"]:
        raise InputError(f"{pickle}: holds no image; a gallery needs one at least")

    def load(i: int) -> Loaded:
        prediction = states["curr"][i]
        try:
            photo = find_image(images_dir, prediction["image_name"])
        except InputError:  # a name that would leave the folder
            photo = None
        return prediction, states["gt"][i], photo

    return make_gallery([graph["image_name"] for graph in states["curr"]], load, output)


@reports_input_errors
def main(argv: list[str] | None = None) -> None:
    """Command line: see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], epilog=__doc__.split("\n", 1)[1].strip())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--predictions", type=Path, metavar="FOLDER", help="graphs of main.py --predict")
    source.add_argument("--pickle", type=Path, default=default_pickle(), help="default: %(default)s")
    parser.add_argument(
        "--images_dir", type=Path, help="the photos (default: where the graphs say; with --pickle data/VG_100K)"
    )
    parser.add_argument("--output", type=Path, default=Path("gallery"), help="folder to write; default: %(default)s")
    arguments = parser.parse_args(argv)

    output = arguments.output
    if arguments.predictions is not None:
        made = prediction_gallery(arguments.predictions, output, arguments.images_dir)
    else:
        made = tested_gallery(arguments.pickle, output, arguments.images_dir or Path("data/VG_100K"))
    if made.missing:
        count = counted(len(made.missing), "photo")
        print(f"warning: {count} missing in the gallery; the first: {made.missing[0]}", file=sys.stderr)
    for line in made.warnings:
        print(f"warning: {line}", file=sys.stderr)
    print(f"Gallery of {counted(made.images, 'image')}: {(arguments.output / 'index.html').resolve()}")


if __name__ == "__main__":
    sys.exit(main())
