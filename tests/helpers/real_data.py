"""Where data lie that are not part of the repository: in the folder VRL_DATA, else in `shared` beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[3] / "shared"


def data_folder(name: str) -> Path:
    """The folder `name` of the data; the test that asks is skipped where there is none."""
    base = Path(os.environ.get("VRL_DATA", BESIDE))
    if not (base / name).is_dir():
        pytest.skip(f"{name}: no such folder in {base}; the environment variable VRL_DATA names another")
    return base / name


def vrd_folder() -> Path:
    """VRD: annotations_{train,test}.json, objects.json, predicates.json, detections_test.json, images/."""
    return data_folder("vrd")
