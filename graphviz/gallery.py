"""A gallery of scene graphs: one folder that opens from disk, with no server and no internet.

    python graphviz/gallery.py --pickle image_states.pickle --images_dir data/VG_100K/ --output gallery/

Then open gallery/index.html. An index with thumbnails and each image's recall, to sort and filter; a page an
image with photo, boxes, ground truth and prediction side by side, and the agent's walk step by step.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from anywhere

from PIL import Image
from tqdm import tqdm

from drawing.page import (
    LARGEST_PHOTO_SIDE,
    PAGE_SCRIPTS,
    POLICY,
    asset,
    extent,
    fill,
    image_page,
    image_scores,
    score_items,
    script_json,
)
from drawing.selection import plain_text
from files.images import find_image, load_image
from files.io import InputError, atomic_write, reports_input_errors, safe_file_name
from files.scene_graphs import Graph, read_image_states

THUMBNAIL_SIZE = (320, 240)


def unique_names(names: list[str]) -> list[str]:
    """File stems for image names: safe, and no two alike, on systems that fold case too."""
    taken: set[str] = set()
    stems = []
    for name in names:
        stem = base = safe_file_name(Path(name).stem)[:100]
        number = 2
        while stem.casefold() in taken:
            stem, number = f"{base}-{number}", number + 1
        taken.add(stem.casefold())
        stems.append(stem)
    return stems


def make_gallery(
    truths: list[Graph], predictions: list[Graph], images_dir: str | Path, output: str | Path
) -> list[str]:
    """Write the gallery of these images into the folder `output`. Returns one line for each photo that is missing.

    truths, predictions: graphs of the same images in the same order. Photos are found in `images_dir`
    by `files.images.find_image` and re-encoded, so that nothing of the original file but its pixels is published.
    Raises InputError when the folder cannot be written or no graph can be drawn.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; choose a folder for the gallery")
    stems = unique_names([graph["image_name"] for graph in predictions])
    troubles: list[str | None] = [None] * len(stems)

    def make(i: int) -> dict[str, Any]:
        photo, size = None, extent(truths[i], predictions[i])
        try:
            photo = load_image(find_image(images_dir, predictions[i]["image_name"]))
            size = photo.size
            _write_photos(photo, output, stems[i])
        except InputError as error:
            troubles[i] = str(error)
        head = {
            "policy": POLICY,
            "styles": '<link rel="stylesheet" href="../assets/gallery.css">',
            "scripts": "\n".join(f'<script src="../assets/{name}"></script>' for name in PAGE_SCRIPTS),
            "back": '<a href="../index.html">All images</a>',
            "steps": _turn(stems, i),
        }
        address = f"../photos/{stems[i]}.jpg" if photo else None
        _write(
            output / "pages" / f"{stems[i]}.html", image_page(predictions[i], truths[i], _quoted(address), size, head)
        )
        return _card(predictions[i], truths[i], stems[i], photo is not None)

    # Decoding and dot run outside Python's lock: threads are enough to use every core.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        cards = list(tqdm(pool.map(make, range(len(stems))), total=len(stems), unit="image", disable=None))
    _write_index(output, cards)
    return [trouble for trouble in troubles if trouble]


def _write_photos(photo: Image.Image, output: Path, stem: str) -> None:
    """The photo, and its thumbnail, as JPEG files of pixels only."""
    for folder, quality in (("photos", 88), ("thumbs", 80)):
        picture = photo.copy()
        if folder == "photos":
            picture.thumbnail((LARGEST_PHOTO_SIDE, LARGEST_PHOTO_SIDE))
        else:
            scale = max(THUMBNAIL_SIZE[0] / picture.width, THUMBNAIL_SIZE[1] / picture.height)
            picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
            left, top = (picture.width - THUMBNAIL_SIZE[0]) // 2, (picture.height - THUMBNAIL_SIZE[1]) // 2
            picture = picture.crop((left, top, left + THUMBNAIL_SIZE[0], top + THUMBNAIL_SIZE[1]))
        with atomic_write(output / folder / f"{stem}.jpg") as file:
            picture.save(file, "JPEG", quality=quality)


def _quoted(address: str | None) -> str | None:
    """An address inside the gallery for an attribute: file names may hold spaces, % and letters of any script."""
    from urllib.parse import quote

    return None if address is None else quote(address)


def _turn(stems: list[str], i: int) -> str:
    links = []
    if i > 0:
        links.append(f'<a rel="prev" href="{_quoted(stems[i - 1] + ".html")}">Previous</a>')
    if i + 1 < len(stems):
        links.append(f'<a rel="next" href="{_quoted(stems[i + 1] + ".html")}">Next</a>')
    return f'<nav class="turn" aria-label="Other images">{"".join(links)}</nav>'


def _card(prediction: Graph, truth: Graph, stem: str, has_photo: bool) -> dict[str, Any]:
    """What the index knows of an image; words and predicates still by name."""
    scores = image_scores(prediction, truth)
    graphs = (prediction, truth)
    predicates = {plain_text(r["predicate"]) for g in graphs for r in g["relationships"]}
    words = {plain_text(o["name"]) for g in graphs for o in g["objects"]}
    words |= {plain_text(a["attribute"]) for g in graphs for a in g["attributes"]}
    return {
        "name": plain_text(prediction["image_name"]),
        "page": _quoted(f"pages/{stem}.html"),
        "thumb": _quoted(f"thumbs/{stem}.jpg") if has_photo else None,
        "objects": len(prediction["objects"]),
        "predicted": len(prediction["relationships"]),
        "hits": scores[0][1],
        "total": scores[0][2],
        "words": words | predicates,
        "predicates": predicates,
        "scores": scores,
    }


def _write_index(output: Path, cards: list[dict[str, Any]]) -> None:
    vocabulary = {key: sorted({name for card in cards for name in card[key]}) for key in ("words", "predicates")}
    for key, names in vocabulary.items():
        index = {name: i for i, name in enumerate(names)}
        for card in cards:
            card[key] = sorted(index[name] for name in card[key])
    rows = zip(*(card.pop("scores") for card in cards), strict=True)
    totals = [(row[0][0], sum(hits for _, hits, _ in row), sum(total for *_, total in row)) for row in map(list, rows)]
    scores = f"<li><b>{len(cards):,}</b> images</li>" + score_items(totals)
    _write(output / "index.html", fill("index.html", policy=POLICY, count=f"{len(cards):,}", scores=scores))
    # A script, since a browser reads no data file from disk.
    _write(output / "index_data.js", f"window.gallery = {script_json({'images': cards, **vocabulary})};\n")
    for name in ("gallery.css", "index.js", *PAGE_SCRIPTS):
        _write(output / "assets" / name, asset(name))


def _write(path: Path, text: str) -> None:
    with atomic_write(path, "w") as file:
        file.write(text)


@reports_input_errors
def main(argv: list[str] | None = None) -> None:
    """Command line: see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], epilog=__doc__.split("\n", 1)[1].strip())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pickle", type=Path, default=Path("image_states.pickle"), help="default: %(default)s")
    parser.add_argument("--images_dir", type=Path, default=Path("data/VG_100K"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("gallery"), help="folder to write; default: %(default)s")
    arguments = parser.parse_args(argv)

    states = read_image_states(arguments.pickle)
    if not states["curr"]:
        raise InputError(f"{arguments.pickle}: holds no image; a gallery needs one at least")
    troubles = make_gallery(states["gt"], states["curr"], arguments.images_dir, arguments.output)
    if troubles:
        print(f"warning: {len(troubles)} photos are missing in the gallery; the first: {troubles[0]}", file=sys.stderr)
    print(f"Gallery of {len(states['curr']):,} images: {(arguments.output / 'index.html').resolve()}")


if __name__ == "__main__":
    sys.exit(main())
