"""Checkpoints: everything a run is made of, in one file that is replaced as a whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from files.io import InputError, atomic_write, read_bytes

FORMAT = "vrl checkpoint 4"  # the number rises when what networks are made of changes


def save_checkpoint(path: str | Path, content: dict[str, Any]) -> None:
    """Write tensors, arrays and plain data. A crash or a full disk leaves the previous file as it was.

    Raises InputError when the file cannot be written.
    """
    try:
        with atomic_write(path) as file:
            torch.save({"format": FORMAT} | _to_tensors(content), file)
    except RuntimeError as error:  # how torch reports that a write failed
        raise InputError(
            f"{path}: cannot be written ({str(error).splitlines()[0]}); is the disk full? The previous one is untouched"
        ) from None


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote. Raises InputError for anything else, or a damaged file."""
    cure = "train first: python main.py --train"
    path = Path(path)
    if not path.is_file():
        read_bytes(path, cure)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged pickle can raise almost anything, with advice that does not belong here
        raise InputError(f"{path}: is not a checkpoint of main.py, or damaged; {cure}") from None
    written = content.get("format") if isinstance(content, dict) else None
    if str(written).startswith(FORMAT[:-1]) and written != FORMAT:
        raise InputError(f"{path}: was written by another version of main.py; {cure}")
    if written != FORMAT:
        raise InputError(f"{path}: is not a checkpoint of main.py; {cure}")
    return _to_arrays(content)


def _to_tensors(value: Any) -> Any:
    """NumPy arrays as marked tensors: torch.load refuses NumPy's own pickles."""
    if isinstance(value, np.ndarray):
        value = value.copy()
        return {
            "numpy": torch.from_numpy(value.view(np.uint8) if value.dtype == bool else value),
            "bool": value.dtype == bool,
        }
    if isinstance(value, dict):
        return {key: _to_tensors(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_tensors(item) for item in value]
    return value


def _to_arrays(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"numpy", "bool"}:
            array = value["numpy"].numpy()
            return array.view(bool) if value["bool"] else array
        return {key: _to_arrays(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_arrays(item) for item in value]
    return value
