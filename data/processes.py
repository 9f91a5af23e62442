"""The same work for many tasks by several processes, with the results in order."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from types import TracebackType
from typing import Any

from files.io import InputError, processors


class Workers:
    """Processes that start with the first large piece of work and serve until the block ends.

    They should start before this process grows, for they begin as copies of it.
    """

    def __init__(self, count: int | None = None):
        """count: number of processes (None: one for each core that this process may use)."""
        self.count = count or processors()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def in_order(self, function: Callable[[Any], Any], tasks: Iterable[Any], large: bool) -> Iterator[Any]:
        """The results of `function` for each task, in order. Work that is not large is done here.

        Only a few tasks are under way at a time, so that neither tasks nor results pile up. Raises InputError
        when a process is killed, perhaps out of memory.
        """
        if self.count == 1 or not large:
            yield from map(function, tasks)
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.count, initializer=_begin, initargs=(os.getpid(),))
        tasks = iter(tasks)
        try:
            waiting = deque(self._pool.submit(function, task) for task in islice(tasks, 3 * self.count))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(self._pool.submit(function, task) for task in islice(tasks, 1))
        except BrokenProcessPool:
            raise InputError("a worker process was killed (out of memory?); run this again") from None


def _begin(parent: int) -> None:
    """What a worker process does first."""
    # Ctrl-C reaches every process of a terminal: the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A parent that is killed cannot end its workers: they look after themselves.
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
