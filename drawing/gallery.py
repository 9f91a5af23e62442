"""A gallery of scene graphs: one folder that opens from disk, with no server and no internet.

An index with thumbnails, to sort and filter, and a page an image. With ground truth beside the
predictions the index shows each image's recall.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from PIL import Image, ImageOps
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
from drawing.selection import drawing_limits, items_to_draw, plain_text
from drawing.sizes import boxes_size, hold_against, read_photo
from files.images import find_image
from files.io import InputError, atomic_write, processors, remove_leftovers_in, unique_names
from files.locks import folder_lock
from files.photo_checks import PhotoCheck
from files.scene_graphs import Graph, read_graph

THUMBNAIL_SIZE = (320, 240)
PHRASES_ON_CARD = 2
PICTURES = ("photos", "thumbs")
FOLDERS = ("pages", *PICTURES, "assets")

Loaded = tuple[Graph, Graph | None, Path | None]  # prediction, ground truth, photo


class Made(NamedTuple):
    """What a gallery shows: how many images, a line for each photo that is missing, lines on photos that do not fit."""

    images: int
    missing: list[str]
    warnings: list[str]


def prediction_gallery(folder: str | Path, output: str | Path, images_dir: str | Path | None = None) -> Made:
    """A gallery of the NAME.json files that main.py --predict wrote into `folder`. Returns as `make_gallery`.

    The photo of a graph lies where its "photo" says, or in `images_dir` under its image's name.
    Raises InputError when the folder has no graph or a file is not one.
    """
    paths = sorted(path for path in Path(folder).glob("*.json") if not path.name.startswith("."))
    if not paths:
        raise InputError(f"{folder}: has no NAME.json of main.py --predict; check --predictions")

    def load(i: int) -> Loaded:
        graph = read_graph(paths[i])
        try:
            if images_dir is not None:
                photo = find_image(images_dir, graph["image_name"])
            else:
                photo = Path(graph["photo"]) if "photo" in graph else None
        except InputError:
            photo = None
        return graph, None, photo

    return make_gallery([path.stem for path in paths], load, output)


def make_gallery(names: Sequence[str], load: Callable[[int], Loaded], output: str | Path) -> Made:
    """Write a gallery of images called `names` into the folder `output`.

    load: index of an image -> (prediction, ground truth or None, path of the photo or None). Graphs and photos
    are read as they are needed, so memory does not grow with the number of images but for the index.
    Photos are encoded again: nothing of the original file but its pixels is published. Images of an earlier gallery in
    the folder that are not among these are removed.
    Raises InputError when the folder cannot be written or no graph can be drawn.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; choose a folder for the gallery")
    with folder_lock(output, "--output"):
        for name in FOLDERS:
            remove_leftovers_in(output / name)
        return _make_gallery(unique_names(Path(name).stem for name in names), load, output)


def _make_gallery(stems: Sequence[str], load: Callable[[int], Loaded], output: Path) -> Made:
    earlier = _shown(output)
    troubles: list[str | None] = [None] * len(stems)

    check = PhotoCheck()

    def make(i: int) -> tuple[dict[str, Any], Graph, tuple[int, int] | None, bool]:
        prediction, truth, path = load(i)
        graph = truth or prediction
        size, photo = extent(prediction, truth), None
        try:
            if path is None:
                raise InputError(f"{prediction['image_name']}: where its photo lies is not known; give --images_dir")
            photo = read_photo(path, LARGEST_PHOTO_SIDE)
            size = boxes_size(graph, photo)
            _write_photos(photo.image, output, stems[i])
        except InputError as error:
            troubles[i] = str(error)
        head = {
            "policy": POLICY,
            "styles": '<link rel="stylesheet" href="../assets/gallery.css">',
            "scripts": "\n".join(f'<script src="../assets/{name}"></script>' for name in PAGE_SCRIPTS),
            "back": '<a href="../index.html">All images</a>',
            "steps": _turn(stems, i),
        }
        address = quote(f"../photos/{stems[i]}.jpg") if photo else None
        _write(output / "pages" / f"{stems[i]}.html", image_page(prediction, truth, address, size, head))
        card = _card(prediction, truth, stems[i], photo is not None)
        return card, graph, photo.size if photo else None, photo is not None and photo.turned

    # Decoding and dot run outside Python's lock: threads are enough to use every core.
    with ThreadPoolExecutor(processors()) as pool:
        cards = []
        for card, graph, size, turned in tqdm(
            pool.map(make, range(len(stems))), total=len(stems), unit="image", disable=None
        ):
            cards.append(card)
            if size is not None:
                hold_against(check, graph, size, turned)
    _write_index(output, cards)
    kept = {stem.casefold() for stem in stems}  # on some systems upper and lower case are one file
    for stem in (stem for stem in earlier if stem.casefold() not in kept):
        for place in (output / "pages" / f"{stem}.html", *(output / name / f"{stem}.jpg" for name in PICTURES)):
            place.unlink(missing_ok=True)
    return Made(len(stems), [trouble for trouble in troubles if trouble], check.complaints(sizes_matter=False))


def _shown(output: Path) -> set[str]:
    """The images of the gallery that is there already: those that it shows no longer are removed with it."""
    try:
        text = (output / "index_data.js").read_text(encoding="utf-8")
        cards = json.loads(text.partition("=")[2].rstrip(";\n"))["images"]
        pages = [PurePosixPath(unquote(card["page"])) for card in cards]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
    return {page.stem for page in pages if page.parent == PurePosixPath("pages")}


def _write_photos(photo: Image.Image, output: Path, stem: str) -> None:
    """The photo, and its thumbnail, as JPEG files of pixels only."""
    thumbnail = ImageOps.fit(photo, THUMBNAIL_SIZE)
    for folder, picture, quality in zip(PICTURES, (photo, thumbnail), (88, 80), strict=True):
        with atomic_write(output / folder / f"{stem}.jpg") as file:
            picture.save(file, "JPEG", quality=quality)


def _turn(stems: Sequence[str], i: int) -> str:
    """Links to the images before and after."""
    links = []
    if i > 0:
        links.append(f'<a rel="prev" href="{quote(stems[i - 1] + ".html")}">Previous</a>')
    if i + 1 < len(stems):
        links.append(f'<a rel="next" href="{quote(stems[i + 1] + ".html")}">Next</a>')
    return f'<nav class="turn" aria-label="Other images">{"".join(links)}</nav>'


def _card(prediction: Graph, truth: Graph | None, stem: str, has_photo: bool) -> dict[str, Any]:
    """What the index knows of an image; words still by name.

    phrases: (subject, predicate, object, score or None) of what is drawn of the prediction, most confident first,
    then of the ground truth; an attribute is (entity, attribute, "", score). The first "told" ones are shown.
    """
    phrases = _phrases(prediction)
    card = {
        "name": plain_text(prediction["image_name"] or stem),
        "page": quote(f"pages/{stem}.html"),
        "thumb": quote(f"thumbs/{stem}.jpg") if has_photo else None,
        "objects": len(prediction["objects"]),
        "predicted": len(prediction["relationships"]),
        "words": {plain_text(thing["name"]) for graph in (prediction, truth) if graph for thing in graph["objects"]},
        "phrases": phrases,
        "told": 0 if truth else min(PHRASES_ON_CARD, len(phrases)),
    }
    if truth is not None:
        scores = image_scores(prediction, truth)
        card |= {"scores": scores, "hits": scores[0][1], "total": scores[0][2], "phrases": phrases + _phrases(truth)}
    return card


def _phrases(graph: Graph) -> list[tuple[str, str, str, float | None]]:
    items = items_to_draw(graph, **drawing_limits(graph))
    names = [plain_text(thing["name"]) for thing in graph["objects"]]
    said = []
    for kind in ("relationships", "attributes"):
        for i in sorted(items[kind], key=lambda i: -graph[kind][i].get("score", 1.0)):
            item = graph[kind][i]
            if kind == "relationships":
                words = (names[item["subject"]], plain_text(item["predicate"]), names[item["object"]])
            else:
                words = (names[item["object"]], plain_text(item["attribute"]), "")
            said.append((*words, round(item["score"], 4) if "score" in item else None))
    return said


def _write_index(output: Path, cards: list[dict[str, Any]]) -> None:
    """index.html, its data, styles and scripts. Names become indices into one list of words."""
    words = {word for card in cards for word in card["words"]}
    words |= {word for card in cards for phrase in card["phrases"] for word in phrase[:3] if word}
    index = {word: i for i, word in enumerate(sorted(words))} | {"": -1}
    for card in cards:
        card["words"] = sorted(index[word] for word in card["words"])
        card["phrases"] = [[*(index[word] for word in phrase), score] for *phrase, score in card["phrases"]]
    totals = []
    if cards and all("scores" in card for card in cards):
        for row in zip(*(card.pop("scores") for card in cards), strict=True):
            totals.append((row[0][0], sum(hits for _, hits, _ in row), sum(total for *_, total in row)))
    scores = f"<li><b>{len(cards):,}</b> images</li>" + score_items(totals)
    _write(output / "index.html", fill("index.html", policy=POLICY, count=f"{len(cards):,}", scores=scores))
    # A script, since a browser reads no data file from disk.
    _write(output / "index_data.js", f"window.gallery = {script_json({'images': cards, 'words': sorted(words)})};\n")
    for name in ("gallery.css", "index.js", *PAGE_SCRIPTS):
        _write(output / "assets" / name, asset(name))


def _write(path: Path, text: str) -> None:
    with atomic_write(path, "w") as file:
        file.write(text)
