"""What many tests share: a small world, made once for each test process."""

from __future__ import annotations

import pytest
from tiny_run import World, world


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> World:
    """24 images, their graph and splits, an agent trained on them. Only read it: `copy_of_run` is for writing."""
    return world(tmp_path_factory.getbasetemp())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in a browser are slow: it uses as much again as they do."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
