"""The same work for many tasks by several processes, with the results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any


def available_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def in_order(function: Callable[[Any], Any], tasks: Iterable[Any], workers: int) -> Iterator[Iterator[Any]]:
    """The results of `function` for each task, in order, made by `workers` processes (1: by this one).

    Only a few tasks are under way at a time, so that neither tasks nor results pile up.
    """
    if workers == 1:
        yield map(function, tasks)
        return
    pool = ProcessPoolExecutor(workers)
    try:
        yield _results(pool, function, iter(tasks), 3 * workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _results(pool: ProcessPoolExecutor, function: Callable, tasks: Iterator[Any], ahead: int) -> Iterator[Any]:
    waiting = deque(pool.submit(function, task) for task in islice(tasks, ahead))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(function, task) for task in islice(tasks, 1))
