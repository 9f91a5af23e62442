"""Which photo a name in a file of boxes means: names with paths, without endings, composed and decomposed letters."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath


def match_photos(
    keys: Iterable[str], photos: Sequence[Path], numbered: bool = False
) -> tuple[dict[Path, str], dict[Path, list[Path]]]:
    """Find each photo's key among the names of a detections file.

    A key is a photo's when their file names are equal (whatever form their accents have), or the key is the name
    without its ending. Of several photos of one name, a key belongs to the one whose folders agree with the key's
    furthest from the end, then to the one that it names most exactly; where several are equal the key is nobody's.
    numbered: keys are COCO's image numbers, and 7 is also the photo 000000000007.jpg or
    COCO_val2014_000000000007.jpg, as COCO's own are called; IMG_0007.jpg is a camera's.
    Returns {photo: key}, and for photos that are left out because a key could be several: {photo: all of these}.
    """
    by_name: defaultdict[str, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for key in keys:
        parts = _parts(key)
        by_name[parts[-1]].append((key, parts))
    wanted: dict[Path, tuple[str, tuple[int, int]]] = {}
    for photo in photos:
        parts = _parts(str(photo))
        names = _names(parts[-1], numbered)
        place = next((place for place, name in enumerate(names) if name in by_name), None)
        if place is not None:
            found = by_name[names[place]]
            key, agreeing = max(((key, _agreeing(parts, theirs)) for key, theirs in found), key=lambda pair: pair[1])
            wanted[photo] = key, (agreeing, -place)
    claims: defaultdict[str, list[Path]] = defaultdict(list)
    for photo, (key, _) in wanted.items():
        claims[key].append(photo)
    matched, ambiguous = {}, {}
    for key, claimants in claims.items():
        best = max(wanted[photo][1] for photo in claimants)
        nearest = [photo for photo in claimants if wanted[photo][1] == best]
        if len(nearest) == 1:
            matched[nearest[0]] = key
        else:
            ambiguous |= dict.fromkeys(nearest, nearest)
    return matched, ambiguous


def _parts(name: str) -> tuple[str, ...]:
    plain = unicodedata.normalize("NFC", name).replace("\\", "/")
    return PurePosixPath(plain).parts or ("",)


def _names(name: str, numbered: bool) -> list[str]:
    """What a key may be called for a photo called `name`, the likeliest first."""
    stem = PurePosixPath(name).stem
    names = [name, stem]
    number = re.fullmatch(r"(?:COCO_\w+_)?(\d+)", stem, re.ASCII)
    if numbered and number:
        names.append(str(int(number[1])))
    return names


def _agreeing(mine: tuple[str, ...], theirs: tuple[str, ...]) -> int:
    """How many folders above the file agree, from the end."""
    agreeing = 0
    for a, b in zip(reversed(mine[:-1]), reversed(theirs[:-1]), strict=False):
        if a != b:
            break
        agreeing += 1
    return agreeing
