"""What strangers pack: zip archives, of which only files that are expected are unpacked, whole and at their place."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import zipfile
import zlib
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from files.io import InputError, atomic_write, remove_leftovers_in, safe_file_name

BLOCK = 1 << 20
MOST_UNPACKED = 200  # times its own size: JSON shrinks to a tenth or less, a bomb to a thousandth


def unpack(archive: zipfile.ZipFile, output: Path, patterns: tuple[str, ...]) -> list[str]:
    """Unpack what the patterns want into `output`, checking every file's checksum. Returns the names below it.

    Everything else stays in the archive: it may be code, and the output folder may be that of a program.
    Raises InputError when a name would lead out of the folder or is a link, when a file is encrypted, or
    when the archive would grow beyond `MOST_UNPACKED` times its size; and whatever zipfile raises when it
    is damaged: then what was unpacked is removed again. A file that is there already is kept, so that
    unpacking can be resumed.
    """
    members = {}
    for info in archive.infolist():
        if not info.is_dir() and not info.filename.startswith("__MACOSX/"):
            path = _target(archive, info, output, patterns)
            if path is not None:
                members[path] = info
    if not members:
        wanted = ", ".join(patterns[:4])
        raise InputError(f"{archive.filename}: holds none of the files it should ({wanted}); remove it, run this again")
    total = sum(info.file_size for info in members.values())
    if total > MOST_UNPACKED * max(os.path.getsize(archive.filename), BLOCK):
        raise InputError(f"{archive.filename}: would unpack to {total:,} bytes; it is not what it should be: remove it")
    if any(info.flag_bits & 1 for info in members.values()):
        raise InputError(f"{archive.filename}: is encrypted; it is not what it should be: remove it")
    missing = [(info, path) for path, info in members.items() if not _is_unpacked(info, path)]
    if sum(info.file_size for info, _ in missing) > shutil.disk_usage(output).free:
        raise InputError(f"{output}: too little room to unpack {archive.filename}; free the disk and run this again")
    for folder in {path.parent for _, path in missing}:
        remove_leftovers_in(folder)
    made: list[Path] = []
    try:
        for info, path in tqdm(
            missing, f"unpacking {Path(archive.filename).name}", unit=" files", disable=None, leave=False
        ):
            with archive.open(info) as source, atomic_write(path) as file:
                shutil.copyfileobj(source, file, BLOCK)
            made.append(path)
    except Exception:
        for path in made:
            with contextlib.suppress(OSError):
                path.unlink()
        raise
    left = len(archive.infolist()) - len(members)
    if left:
        print(f"{Path(archive.filename).name}: {left:,} entries (folders, or not expected) stay in the archive")
    return [path.relative_to(output).as_posix() for path in members]


def _is_unpacked(info: zipfile.ZipInfo, path: Path) -> bool:
    """Whether the file is there with the right size and checksum."""
    if not path.is_file() or path.stat().st_size != info.file_size:
        return False
    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum == info.CRC


def _target(archive: zipfile.ZipFile, info: zipfile.ZipInfo, output: Path, patterns: tuple[str, ...]) -> Path | None:
    """Where a file of the archive belongs; None when no pattern wants it."""
    parts = PurePosixPath(info.filename.replace("\\", "/")).parts
    linked = stat.S_ISLNK(info.external_attr >> 16)
    if linked or not parts or parts[0] == "/" or ".." in parts or any(":" in part for part in parts):
        raise InputError(
            f"{archive.filename}: {plain(repr(info.filename))} would be written outside of {output}; "
            "the archive is not what it should be: remove it"
        )
    for pattern in patterns:
        wanted = pattern.split("/")
        own = parts[-1:] if len(wanted) == 1 else parts
        if len(own) == len(wanted) and all(fnmatchcase(part, want) for part, want in zip(own, wanted, strict=True)):
            return output.joinpath(*map(safe_file_name, own))
    return None


def check(archive: zipfile.ZipFile) -> None:
    """Raise what zipfile raises, unless every file of the archive is whole."""
    bad = archive.testzip()
    if bad is not None:
        raise zipfile.BadZipFile(f"{bad} is damaged")


def plain(text: object) -> str:
    """What others said (a server, an archive) on one line, without control characters, at most 200 of it."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))[:200] or type(text).__name__
