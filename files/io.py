"""Reading and writing files: clear errors, atomic writes, names that are safe.

Everything above this layer reports bad input as `InputError`: one line that names
the file, the item and the cure. The scripts print it and exit with status 2.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec


class InputError(Exception):
    """Bad input from the user. The message is one line: file, item, cure."""


def reports_input_errors(main: Callable[..., int | None]) -> Callable[..., int | None]:
    """Decorate a script's `main`: an `InputError` ends it with one line and status 2, Ctrl-C with one and 130.

    Characters that the terminal's encoding lacks are printed as backslash escapes.
    """

    @functools.wraps(main)
    def run(*args: Any, **kwargs: Any) -> int | None:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            status = main(*args, **kwargs)
            print(end="", flush=True)  # what standard output does not take is told below, not at exit
            return status
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except BrokenPipeError:  # `... | head`
            sys.stderr.close()
            return 1
        except OSError as error:
            name = error.filename
            if name is None and _output_is_lost():
                name = "standard output"
            where = "" if name is None else f"{str(name)[:200]}{'…' * (len(str(name)) > 200)}: "
            print(f"error: {where}{error.strerror or first_line(error)}", file=sys.stderr)
            return 2
        except MemoryError:
            print("error: out of memory; give less at a time (fewer images or boxes, smaller sizes)", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nStopped.", file=sys.stderr)
            return 130

    return run


def _output_is_lost() -> bool:
    """Whether standard output takes nothing more. It is closed then, or Python would fail on it again at exit."""
    try:
        print(end="", flush=True)
    except OSError:
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return True
    return False


def read_bytes(path: str | Path, cure: str = "check the path") -> bytes:
    """The file's bytes. Raises InputError when it is missing, a folder or unreadable."""
    with clear_read_errors(path, cure):
        return Path(path).read_bytes()


def file_digest(path: str | Path) -> str:
    """Hexadecimal hash of a file's content. Raises InputError when it cannot be read."""
    hashed = hashlib.blake2b(digest_size=16)
    with clear_read_errors(path), open(path, "rb") as file:
        while block := file.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()


def file_stamp(path: str | Path) -> bytes:
    """16 bytes that are others when the file is another one, or was written to; b"" when there is none.

    Of its size, its inode and the times of both; the time of the inode's change is set by the system alone.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return b""
    numbers = (found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    return hashlib.blake2b(repr(numbers).encode(), digest_size=16).digest()


@contextlib.contextmanager
def clear_read_errors(path: str | Path, cure: str = "check the path") -> Iterator[None]:
    """What goes wrong when `path` is opened and read in the block is raised as InputError.

    So is that it is a pipe or a device: it would be waited for, or never end.
    """
    try:
        if not stat.S_ISREG(mode := os.stat(path).st_mode) and not stat.S_ISDIR(mode):
            raise InputError(f"{path}: is not a regular file; {cure}")
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {cure}") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, not a file; {cure}") from None
    except ValueError as error:
        if "null" not in str(error):
            raise
        raise InputError(f"{str(path)!r}: is not the name of a file; {cure}") from None
    except MemoryError:
        raise InputError(f"{path}: does not fit into memory; {cure}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {cure}") from None


def check_is_file(path: str | Path, cure: str = "check the path") -> None:
    """Raise InputError unless `path` is a regular file that can be opened."""
    with clear_read_errors(path, cure), open(path, "rb"):
        pass


WRONG_CONTENT = (
    LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError, AssertionError, OSError,
)  # fmt: skip


@contextlib.contextmanager
def clear_load_errors(path: str | Path, cure: str) -> Iterator[None]:
    """What a file of the right format but with wrong content makes the block raise becomes one InputError."""
    try:
        yield
    except WRONG_CONTENT as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{path}: does not hold what it should ({reason}); {cure}") from None


def first_line(error: Exception) -> str:
    """The first sentence of a message that may run over many lines; the error's type where there is none."""
    return re.split(r"\.\s|\n", str(error).strip())[0][:200] or type(error).__name__


def read_json(path: str | Path, type: Any = Any, cure: str = "check the path") -> Any:
    """Decode a JSON file into `type` (anything msgspec takes).

    Raises InputError naming the file, the byte offset or the item (`$[3].bbox`), and the cure.
    """
    return decode_json(read_bytes(path, cure), path, type)


def decode_json(data: bytes | msgspec.Raw, name: str | Path, type: Any = Any) -> Any:
    """Decode JSON bytes that came from `name` into `type`. Raises InputError as `read_json`."""
    head = bytes(memoryview(data)[:4])
    if head.startswith(codecs.BOM_UTF8):  # Windows editors write it; spaces in its place keep byte offsets true
        data = b"   " + data[3:]
    try:
        return msgspec.json.decode(data, type=type)
    except msgspec.ValidationError as error:
        raise InputError(f"{name}: has the wrong shape: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if head.startswith(GZIP):
            raise InputError(f"{name}: is compressed (gzip); unpack it") from None
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in head:
            raise InputError(f"{name}: is not UTF-8 text (it looks like UTF-16 or UTF-32); save it as UTF-8") from None
        if (place := not_utf8(data)) is not None:
            raise InputError(f"{name}: is not UTF-8 text at byte {place}; save it as UTF-8") from None
        not_finite = re.search(rb"[:\[,]\s*-?(NaN|Infinity)\b", data)
        cure = f"{not_finite[1].decode()} is not a JSON number" if not_finite else "is the file cut off?"
        raise InputError(f"{name}: is not valid JSON: {error}; {cure}") from None


def not_utf8(data: bytes | msgspec.Raw) -> int | None:
    """The first byte that is not UTF-8 text; None where all is. (What msgspec raises depends on its version.)"""
    try:
        bytes(data).decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def _temporary_prefix(path: Path) -> str:
    return f".{path.name[:100]}."


GZIP = b"\x1f\x8b"
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; rename it to `path` when the block ends well.

    A crash or an error leaves the old file as it was. A link stays: the file that it leads to is written. Raises
    InputError when the folder cannot be written, the disk is full, or `path` is a folder, a pipe or a device.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if os.path.lexists(target) and not stat.S_ISREG(os.stat(target).st_mode):
            raise InputError(f"{path}: cannot be written (it is not a regular file); choose another folder or name")
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=_temporary_prefix(target), suffix=".tmp")
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise InputError(f"{path}: the disk is full; the previous file, if any, is untouched") from None
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another folder or name") from None
    try:
        with open(descriptor, mode, encoding=None if "b" in mode else "utf-8") as file:
            _lock(descriptor)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise InputError(f"{path}: the disk is full; the previous file, if any, is untouched") from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG):
            raise InputError(f"{path}: cannot be written ({error.strerror}); choose another folder or name") from None
        raise  # of the caller's own work, not of this file
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _lock(descriptor: int) -> bool:
    """Hold an open file for this process as long as it is open. False when another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def remove_leftovers(*paths: str | Path) -> None:
    """Remove the temporary files that killed runs left beside these paths, not those that are being written."""
    for path in map(Path, map(os.path.realpath, paths)):
        _remove_temporary(path.parent, re.compile(re.escape(_temporary_prefix(path)) + r"\w{8}\.tmp"))


def remove_leftovers_in(folder: str | Path) -> None:
    """The same for every file of a folder that this process alone writes into."""
    _remove_temporary(Path(folder), re.compile(r"\..+\.[a-z0-9_]{8}\.tmp"))


def _remove_temporary(folder: Path, name: re.Pattern[str]) -> None:
    for entry in os.scandir(folder) if folder.is_dir() else ():
        if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            with contextlib.suppress(OSError), open(entry.path, "rb") as file:
                if _lock(file.fileno()):
                    os.unlink(entry.path)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_writable(folder: str | Path, flag: str) -> None:
    """Make the folder and try to write into it: better now than after hours. Raises InputError naming the flag."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}); choose another {flag}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: str | Path, value: Any, indent: int | None = None) -> None:
    """Write `value` as UTF-8 JSON, atomically, keys in the order given."""
    with atomic_write(path, "w") as file:
        json.dump(value, file, ensure_ascii=False, indent=indent, allow_nan=False)
        file.write("\n")


def safe_file_name(name: str) -> str:
    """`name`, from data, as one file name: no separators, no `..`, never empty, at most 150 characters."""
    stem = re.sub(r"[^\w.\- ]", "_", name).strip(" .")[:150]
    return stem or "_"


def unique_names(names: Iterable[str]) -> list[str]:
    """A safe file name for each name, no two alike, on systems too where upper and lower case are one."""
    taken: set[str] = set()
    unique = []
    for name in names:
        stem = base = safe_file_name(name)[:100]
        number = 2
        while stem.casefold() in taken:
            stem, number = f"{base}-{number}", number + 1
        taken.add(stem.casefold())
        unique.append(stem)
    return unique


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as a table for the terminal: a line under the first row, numbers flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
