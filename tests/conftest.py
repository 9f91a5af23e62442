"""What many tests share: a small world, made once."""

from __future__ import annotations

import os

import pytest
from tiny_run import World, world


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> World:
    """24 images, their graph and splits, an agent trained on them. Only read it, as others do: copies are to write."""
    base = tmp_path_factory.getbasetemp()
    return world(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)


# The files that take longest, longest first: a worker that began one last would end alone.
LONG = (
    "test_resume.py", "test_attack.py", "test_kills.py", "test_fuzz.py", "test_two_processes.py", "test_baselines.py",
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first. Tests in a browser are slow: it uses as much again as they do."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
