"""One run in a folder at a time: a lock that dies with its process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from files.io import InputError, remove_leftovers_in

LOCK_NAME = ".lock"


@contextlib.contextmanager
def folder_lock(folder: str | Path, flag: str = "--output_dir") -> Iterator[None]:
    """Hold the folder for this process while the block runs; the system frees it however the process ends.

    What killed runs left half-written there is removed.

    flag: what names the folder on the command line. Raises InputError when another process holds it.
    File systems without locks (some network drives) are used unlocked.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "?"
                raise InputError(
                    f"{folder}: another run (process {owner}) writes into this folder; "
                    f"wait until it ends, or give another {flag}"
                ) from None
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            remove_leftovers_in(folder)
        yield
    finally:
        os.close(descriptor)
