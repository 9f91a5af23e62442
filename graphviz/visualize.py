"""Draw one scene graph and show it.

    python graphviz/visualize.py --graph curr_graph_0.json --image data/VG_100K/1.jpg --ground_truth gt_graph_0.json

The graph may be this program's JSON, written by hand, one of Visual Genome's (`scene_graphs.json --image_id 7`), or an
item of a split file.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import webbrowser
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from anywhere

from drawing.pictures import ENDINGS, check_ending, draw_graph, names_without_font
from drawing.selection import MOST_RELATIONSHIPS, MOST_UNSCORED, counted, drawing_limits, items_to_draw
from drawing.sizes import boxes_size, hold_against, read_photo
from files.io import InputError, remove_leftovers, reports_input_errors
from files.photo_checks import PhotoCheck
from files.photo_names import match_photos
from files.scene_graphs import read_graph

LARGEST_PHOTO = 2560  # pixels on the longer side: more than is shown of any


def has_display() -> bool:
    """Whether a browser can open a window here."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@reports_input_errors
def main(argv: list[str] | None = None) -> None:
    """Command line: see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], epilog=__doc__.split("\n", 1)[1].strip())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--graph", type=Path, required=True, help="the scene graph, a JSON file")
    parser.add_argument("--image_id", help="which one, where the file is a list of graphs: 7 or 7.jpg")
    parser.add_argument("--image", type=Path, help="its photo, shown with the boxes")
    parser.add_argument("--ground_truth", type=Path, help="the annotated graph: shows what is right, wrong, missed")
    parser.add_argument("--output", type=Path, help=f"picture, {', '.join(ENDINGS)} (default: beside the graph, .html)")
    parser.add_argument(
        "--min_score",
        type=float,
        help="leave out what scores less (default: a fifth of the best relationship's score; 0 draws all)",
    )
    parser.add_argument(
        "--max_relationships",
        type=int,
        help=f"draw only the most confident ones (default: {MOST_RELATIONSHIPS}; without scores {MOST_UNSCORED})",
    )
    parser.add_argument("--no-open", dest="open", action="store_false", help="do not open the picture")
    arguments = parser.parse_args(argv)
    if arguments.max_relationships is not None and arguments.max_relationships < 1:
        parser.error("--max_relationships must be at least 1")
    if arguments.min_score is not None and not math.isfinite(arguments.min_score):
        parser.error("--min_score must be a number")

    output = arguments.output or arguments.graph.with_suffix(".html")
    check_ending(output)
    graph = read_graph(arguments.graph, arguments.image_id)
    limits = drawing_limits(graph)
    limits |= {name: getattr(arguments, name) for name in limits if getattr(arguments, name) is not None}
    truth = read_graph(arguments.ground_truth, arguments.image_id) if arguments.ground_truth else None
    name, other = graph["image_name"], truth["image_name"] if truth else ""
    if name and other and not match_photos([other], [Path(name)])[0]:
        raise InputError(
            f"{arguments.ground_truth}: is of image {other!r}, but {arguments.graph} is of {name!r}; "
            "give the ground truth of the same image"
        )
    image, size = None, None
    if arguments.image:
        photo = read_photo(arguments.image, LARGEST_PHOTO)
        image, size = photo.image, boxes_size(graph, photo)
        check = PhotoCheck()
        hold_against(check, graph, photo.size, photo.turned)
        for line in check.complaints(sizes_matter=False):
            print(f"warning: {line}", file=sys.stderr)
    remove_leftovers(output)
    draw_graph(graph, output, truth, image, photo_size=size, **limits)
    counts, items = [], items_to_draw(graph, **limits)
    if output.suffix.lower() == ".png" and (lacking := names_without_font(graph, items)):
        names = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
        print(f"warning: no font here has {names}; an .svg or .html shows it, or install a font", file=sys.stderr)
    for kind, drawn in items.items():
        part = f"{len(drawn):,} of " if len(drawn) < len(graph[kind]) else ""
        counts.append(part + counted(len(graph[kind]), kind.removesuffix("s")))
    print(f"Drew {', '.join(counts)}: {output.resolve()}")
    if arguments.open and has_display():
        webbrowser.open(output.resolve().as_uri())


if __name__ == "__main__":
    sys.exit(main())
