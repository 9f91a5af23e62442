"""One run at a time in a folder, or at a file: locks that die with their process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from files.io import InputError, check_writable, remove_leftovers, remove_leftovers_in

LOCK_NAME = ".lock"


@contextlib.contextmanager
def folder_lock(folder: str | Path, flag: str = "--output_dir", shared: bool = False) -> Iterator[None]:
    """Hold the folder for this process while the block runs; the system frees it however the process ends.

    What killed runs left half-written there is removed, but not from a folder `shared` with other programs.

    flag: what names the folder on the command line. Raises InputError when another process holds it, or it cannot be
    written to. File systems without locks (some network drives) are used unlocked.
    """
    folder = Path(folder)
    check_writable(folder, flag)
    with _held(folder / LOCK_NAME, f"{folder}: another run (process {{}}) writes into this folder", flag):
        if not shared:
            remove_leftovers_in(folder)
        yield


@contextlib.contextmanager
def file_lock(path: str | Path, flag: str = "--output") -> Iterator[None]:
    """The same for a command that writes one file, and beside it what it resumes from."""
    path = Path(path)
    check_writable(path.parent, flag)
    lock = path.with_name(f".{path.name[:100]}{LOCK_NAME}")
    with _held(lock, f"{path}: another run (process {{}}) writes this file", flag):
        remove_leftovers(path, path.with_name(path.name + ".checkpoint"))
        yield


@contextlib.contextmanager
def _held(lock: Path, taken: str, flag: str) -> Iterator[None]:
    """Hold the lock's file, which goes when the block ends. taken: what is wrong where process {} holds it."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "?"
                os.close(descriptor)
                raise InputError(f"{taken.format(owner)}; wait until it ends, or give another {flag}") from None
        try:
            there = os.stat(lock).st_ino == os.fstat(descriptor).st_ino
        except FileNotFoundError:
            there = False
        if there:
            break
        os.close(descriptor)  # it went with the run that held it, just now
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(lock)
        os.close(descriptor)
