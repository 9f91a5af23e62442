"""What strangers pack: zip archives, of which only files that are expected are unpacked, whole and at their place."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from files.io import InputError, atomic_write, remove_leftovers_in, safe_file_name

BLOCK = 1 << 20
MOST_UNPACKED = 200  # times its own size: JSON shrinks to a tenth or less, a bomb to a thousandth
MOST_DIRECTORY = 12 << 20  # bytes that tell what is in an archive: twice those of Visual Genome's images


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open an archive, to be closed. Raises InputError where it has far too many entries, else what zipfile raises."""
    size = _directory_size(path)
    if size > MOST_DIRECTORY:
        raise InputError(f"{path}: lists its files in {size:,} bytes; it is not what it should be: remove it")
    return zipfile.ZipFile(path)


def _directory_size(path: Path) -> int:
    """How many bytes an archive says that its list of files has, 0 where it does not. zipfile would read them all."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - (1 << 16) - 100))  # the last record, behind it up to 64 KB of comment
        tail = file.read()
    place = tail.rfind(b"PK\5\6", 0, max(0, len(tail) - 18))
    if place < 0:
        return 0
    if place >= 76 and tail[place - 20 : place - 16] == b"PK\6\7":  # more than 4 GB: a longer record before it
        return struct.unpack_from("<Q", tail, place - 76 + 40)[0]
    return struct.unpack_from("<I", tail, place + 12)[0]


def unpack(archive: zipfile.ZipFile, output: Path, patterns: tuple[str, ...]) -> list[str]:
    """Unpack what the patterns want into `output`, checking every file's checksum. Returns the names below it.

    Everything else stays in the archive: it may be code, and the output folder may be that of a program.
    Raises InputError when a name would lead out of the folder or is a link, when two files would be one, when
    a file is encrypted, or when the archive would grow beyond `MOST_UNPACKED` times its size; and whatever
    zipfile raises when it is damaged: then what was unpacked is removed again. A file that is there already is
    kept, so that unpacking can be resumed.
    """
    members = {}
    for info in archive.infolist():
        if not info.is_dir() and not info.filename.startswith("__MACOSX/"):
            path = _target(archive, info, output, patterns)
            if path is not None:
                other = members.setdefault(path, info)
                if (other.CRC, other.file_size) != (info.CRC, info.file_size):
                    raise _two_as_one(archive, other, info)
    _check_names(archive, members)
    if not members:
        wanted = ", ".join(patterns[:4])
        raise InputError(f"{archive.filename}: holds none of the files it should ({wanted}); remove it, run this again")
    _check_size(archive, members.values())
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
                if file.tell() != info.file_size:
                    raise zipfile.BadZipFile(f"{info.filename} has another size than it announces")
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


def _check_size(archive: zipfile.ZipFile, members: Iterable[zipfile.ZipInfo]) -> None:
    """Raise InputError when `members` unpack to far too much."""
    total = sum(info.file_size for info in members)
    if total > MOST_UNPACKED * max(os.path.getsize(archive.filename), BLOCK):
        raise InputError(f"{archive.filename}: would unpack to {total:,} bytes; it is not what it should be: remove it")


def _check_names(archive: zipfile.ZipFile, members: dict[Path, zipfile.ZipInfo]) -> None:
    """Raise InputError when two files would be one where upper and lower case are the same."""
    folded: dict[str, zipfile.ZipInfo] = {}
    for path, info in members.items():
        other = folded.setdefault(str(path).casefold(), info)
        if other is not info:
            raise _two_as_one(archive, other, info)


def _two_as_one(archive: zipfile.ZipFile, one: zipfile.ZipInfo, other: zipfile.ZipInfo) -> InputError:
    names = " and ".join(plain(repr(info.filename)) for info in (one, other))
    return InputError(f"{archive.filename}: {names} would be one file; the archive is not what it should be: remove it")


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
            return output.joinpath(*(safe_file_name(unicodedata.normalize("NFC", part)) for part in own))
    return None


def check(archive: zipfile.ZipFile) -> None:
    """Raise what zipfile raises unless every file of the archive is whole, InputError where that is far too much."""
    _check_size(archive, archive.infolist())
    bad = archive.testzip()
    if bad is not None:
        raise zipfile.BadZipFile(f"{bad} is damaged")


def plain(text: object) -> str:
    """What others said (a server, an archive) on one line, without control characters, at most 200 of it."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))[:200] or type(text).__name__
