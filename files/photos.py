"""Which photos to work on: files, folders, lists of paths; and what was passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from files.images import is_image_name
from files.io import InputError, read_bytes, safe_file_name

LIST_ENDINGS = (".txt", ".lst")
INSTALL = {".heic": "pip install pillow-heif", ".heif": "pip install pillow-heif", ".avif": "pip install -U pillow"}


@dataclass
class Photos:
    """The photos to work on, and what lay beside them.

    passed_over: how many files of each ending are not readable images. in_subfolders: images there.
    """

    paths: list[Path] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    in_subfolders: int = 0

    def remark(self) -> str | None:
        """One line about what was passed over; None where nothing was."""
        parts = []
        if self.passed_over:
            kinds = ", ".join(
                f"{count} {kind}" + (f" ({INSTALL[kind]} reads them)" if kind in INSTALL else "")
                for kind, count in sorted(self.passed_over.items(), key=lambda item: (-item[1], item[0]))
            )
            total = sum(self.passed_over.values())
            files = "file that is not a readable image" if total == 1 else "files that are not readable images"
            parts.append(f"{total} {files}: {kinds}")
        if self.in_subfolders:
            images = "image" if self.in_subfolders == 1 else "images"
            parts.append(f"{self.in_subfolders} {images} in subfolders (--recursive takes them)")
        return f"Passed over: {'; '.join(parts)}." if parts else None


def find_photos(sources: Sequence[str], recursive: bool = False, outputs: Sequence[Path] = ()) -> Photos:
    """The photos that `sources` name: images, folders of images, text files with a path on each line.

    recursive: also the folders below a folder. outputs: folders that are not searched. Paths in a text file count from
    the working folder, else from the file's own. Raises InputError when a source is missing or there is no photo.
    """
    photos, seen = Photos(), set()
    written = {output.resolve() for output in outputs}
    for source in map(Path, sources):
        if source.is_dir():
            if source.resolve() in written:
                raise InputError(f"{source}: is where the pictures are written; give another --output_dir")
            found = _in_folder(source, recursive, written, photos)
        elif source.suffix.lower() in LIST_ENDINGS and source.exists():
            found = _in_list(source)
        elif source.exists():
            found = [source]
        else:
            raise InputError(f"{source}: no such image, folder or list of paths; check the path")
        for path in found:
            place = os.path.abspath(path)
            if place not in seen:
                seen.add(place)
                photos.paths.append(path)
    if not photos.paths:
        remark = photos.remark()
        raise InputError(f"{', '.join(map(str, sources))}: holds no image to read{'. ' + remark if remark else ''}")
    return photos


def _in_folder(folder: Path, recursive: bool, outputs: set[Path], photos: Photos) -> list[Path]:
    """The folder's images, sorted; counts in `photos` what is passed over."""
    images = []
    for path in _files(folder, outputs):
        top = path.parent == folder
        if top or recursive:
            if is_image_name(path):
                images.append(path)
            else:
                photos.passed_over[path.suffix.lower() or "without an ending"] += 1
        elif is_image_name(path):
            photos.in_subfolders += 1
    return sorted(images)


def _files(folder: Path, outputs: set[Path]) -> Iterator[Path]:
    """Every file below the folder that is not hidden; links to folders are not followed."""
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(n for n in folders if not n.startswith(".") and (here / n).resolve() not in outputs)
        for name in names:
            path = here / name
            if not name.startswith(".") and path.is_file():
                yield path


def _in_list(source: Path) -> list[Path]:
    """The paths of a text file, one a line; empty lines and those that begin with # are left out."""
    try:
        lines = read_bytes(source).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: is not UTF-8 text at byte {error.start}; give a list of paths") from None
    paths = []
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        path = next((path for path in (Path(name), source.parent / name) if os.path.isfile(path)), None)
        if path is None:
            raise InputError(f"{source}: line {number}: {name!r:.200} is not a file; correct the list")
        paths.append(path)
    return paths


def output_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Another file name for each image: its own without the ending, which stays where two would share a name.

    Names differ also where upper and lower case are one.
    """
    stems = Counter(safe_file_name(path.stem).lower() for path in paths)
    names: dict[Path, str] = {}
    given: Counter[str] = Counter()
    for path in paths:
        name = safe_file_name(path.stem)
        if stems[name.lower()] > 1:
            name = safe_file_name(path.name)
        wanted = name
        while given[name.lower()]:  # `a?.jpg` and `a*.jpg` are both `a_.jpg`
            given[wanted.lower()] += 1
            name = f"{wanted}-{given[wanted.lower()]}"
        given[name.lower()] = 1
        names[path] = name
    return names
