"""Files of tensors: last.pt and best.pt, detectors, embedding weights. One reader, which looks before it allocates.

`torch.load(weights_only=True)` runs no code, but it believes the file: a few bytes can ask for tensors of terabytes,
for sparse ones and ones without data, or unfold into lists without end. So the file's outline is read first: its
pickle, with each tensor as its shape and storage only. What is in the outline must fit into the file's own size.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import pickle
import tarfile
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from files.io import InputError, atomic_write, check_is_file, clear_read_errors, first_line
from files.pickles import PlainUnpickler, StandIn, check_size

FORMAT = "vrl checkpoint 6"  # the number rises when what networks are made of changes
MOST_SHARED = 4  # times the file's size: parameters that are one another's

# ---------------------------------------------------------------- main.py's own


def save_checkpoint(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain data. A crash or a full disk leaves the previous file as it was.

    Raises InputError when the file cannot be written.
    """
    write_tensors(path, {"format": FORMAT, **content})


def load_checkpoint(path: str | Path, needed: Mapping[str, type] | None = None) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    needed: keys that it must have, with the type of each. Raises InputError for anything else, or a damaged file.
    """
    cure = "train first: python main.py --train"
    content = read_tensors(path, cure, what="a checkpoint of main.py")
    written = content.get("format") if isinstance(content, dict) else None
    if str(written).startswith(FORMAT[:-1]) and written != FORMAT:
        raise InputError(f"{path}: was written by another version of main.py; {cure}")
    if written != FORMAT:
        raise InputError(f"{path}: is not a checkpoint of main.py; {cure}")
    missing = [key for key, kind in (needed or {}).items() if not isinstance(content.get(key), kind)]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; give last.pt to resume, best.pt or last.pt to test")
    about = content.get("description", {})
    if "description" in (needed or {}) and not (
        isinstance(about.get("graph"), str) and isinstance(about.get("model"), dict)
    ):
        raise InputError(f"{path}: does not say which graph and network it is of; {cure}")
    if isinstance(content.get("network"), Mapping):
        content["network"] = unpacked(content["network"], path)
    return content


LOW, GREATEST = ".low", ".greatest"  # the parts beside a packed matrix, which itself holds the upper eight bits
RUN = 128  # numbers of a row in steps of one size: the shorter, the finer small ones, and the larger the file
STEPS = 2047  # of a run's greatest number


def packed(name: str, matrix: Tensor) -> dict[str, Tensor]:
    """A float matrix (rows, columns) in 12 bits a number, in steps of a 2047th of the greatest of its run.

    name: the upper eight bits, int8 (rows, columns). name + LOW: the lower four of two neighbours in a byte, uint8
    (rows, columns / 2, rounded up). name + GREATEST: float32 (rows, columns / RUN, rounded up).
    """
    rows, columns = matrix.shape
    runs = F.pad(matrix, (0, -columns % RUN)).reshape(rows, -1, RUN)
    greatest = runs.abs().amax(dim=2)
    steps = (runs / greatest.clamp(min=1e-30)[..., None] * STEPS).round().to(torch.int16).flatten(1)
    low = (steps & 15).to(torch.uint8).reshape(rows, -1, 2)
    low = (low[..., 0] | low[..., 1] << 4)[:, : -(-columns // 2)]
    return {name: (steps >> 4).to(torch.int8)[:, :columns].clone(), name + LOW: low.clone(), name + GREATEST: greatest}


def unpacked(tensors: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """The parameters of a network in which `packed` made some small. Raises InputError where parts do not fit."""
    parts = {name: value for name, value in tensors.items() if str(name).endswith((LOW, GREATEST))}
    network = {name: value for name, value in tensors.items() if name not in parts}
    for name in sorted({name.removesuffix(LOW if name.endswith(LOW) else GREATEST) for name in parts}):
        high, low, greatest = (network.get(name), parts.get(name + LOW), parts.get(name + GREATEST))
        if not (
            all(isinstance(part, Tensor) and part.is_contiguous() for part in (high, low, greatest))
            and (high.dtype, low.dtype, greatest.dtype) == (torch.int8, torch.uint8, torch.float32)
            and high.ndim == 2
            and low.shape == (len(high), -(-high.shape[1] // 2))
            and greatest.shape == (len(high), -(-high.shape[1] // RUN))
        ):
            raise InputError(f"{path}: the parts of {name} do not fit each other; is the file damaged?")
        columns, whole = high.shape[1], high.shape[1] // RUN * RUN
        matrix = high.float().mul_(16)
        matrix[:, ::2] += low & 15
        matrix[:, 1::2] += (low >> 4)[:, : columns // 2]
        step = greatest / STEPS
        matrix[:, :whole].unflatten(1, (whole // RUN, RUN)).mul_(step[:, : whole // RUN, None])
        matrix[:, whole:].mul_(step[:, whole // RUN :])
        network[name] = matrix
    old = next((name for name in network if str(name).endswith(".scale")), None)
    if old is not None:
        raise InputError(f"{path}: {old} is of another version of benchmarks/export_agent.py; export the agent again")
    return network


# ---------------------------------------------------------------- any file of tensors


def write_tensors(path: str | Path, content: Any) -> None:
    """Write tensors and plain data with torch.save, atomically. Raises InputError when the file cannot be written."""
    try:
        with atomic_write(path) as file:
            torch.save(content, file)
    except RuntimeError as error:  # how torch reports that a write failed
        raise InputError(
            f"{path}: cannot be written ({first_line(error)}); is the disk full? The previous one is untouched"
        ) from None


def read_tensors(path: str | Path, cure: str, what: str = "a PyTorch file of tensors") -> Any:
    """What `torch.save` wrote: dictionaries, lists and plain data with dense tensors, on the CPU.

    Raises InputError when the file is missing, damaged, asks for code or for another kind of tensor, or announces
    more than its own size.
    """
    check_is_file(path, cure)
    with clear_read_errors(path, cure), open(path, "rb") as file:
        try:
            if file.read(4) == b"PK\x03\x04":
                _check_zip(file)
            else:
                _check_legacy(file)
            file.seek(0)
            # torchvision's own training script keeps its arguments as a Namespace
            with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
                warnings.simplefilter("ignore")
                return torch.load(file, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception as error:  # a damaged pickle can raise almost anything
            reason = first_line(error) if isinstance(error, pickle.UnpicklingError) else "damaged"
            raise InputError(f"{path}: is not {what}, or damaged ({reason}); {cure}") from None


@dataclass(frozen=True)
class _Storage:
    key: str
    numbers: int
    itemsize: int


@dataclass(frozen=True)
class _Outline:
    """A tensor without its numbers."""

    nbytes: int


class _Dictionary(dict):
    """An OrderedDict, whose attributes (state_dict's versions) do not matter."""

    def __setstate__(self, state: Any) -> None:
        pass


def _rebuild(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> _Outline:
    """The outline of a tensor. Raises UnpicklingError when it leaves its storage, which torch would make larger."""
    sides = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(type(side) is int and side >= 0 for side in sides):
        raise pickle.UnpicklingError(f"a tensor has the shape {shape!r:.50}")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.numbers:
        raise pickle.UnpicklingError(f"a tensor of shape {shape!r:.50} is larger than its {storage.numbers} numbers")
    return _Outline(math.prod(shape) * storage.itemsize)


_ITEMSIZES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
}  # fmt: skip


class _Bag(dict):
    """A Namespace: its attributes as a dictionary."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.update(state)


_KNOWN = {
    ("argparse", "Namespace"): _Bag,
    ("collections", "OrderedDict"): StandIn(_Dictionary),
    ("torch._utils", "_rebuild_tensor_v2"): StandIn(_rebuild),
    ("torch._utils", "_rebuild_tensor"): StandIn(_rebuild),
    ("torch._utils", "_rebuild_parameter"): StandIn(lambda data, *_: data),
    ("torch", "Size"): StandIn(tuple),
}


class _OutlineUnpickler(PlainUnpickler):
    """Reads the pickle of a file of tensors without making any."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _ITEMSIZES:
            return _ITEMSIZES[name]
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, itemsize, key, _, numbers, *views = pid
        if type(itemsize) is not int or type(numbers) is not int or numbers < 0 or (views and views != [None]):
            raise pickle.UnpicklingError("it asks for something else than a storage of numbers")
        storage = _Storage(str(key), numbers, itemsize)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise pickle.UnpicklingError(f"its storage {key!r:.50} has two sizes")
        return storage


def _check_outline(content: Any, size: int) -> None:
    def measure(leaf: Any) -> int:
        if isinstance(leaf, (StandIn, _Storage)):
            raise pickle.UnpicklingError("it holds something else than tensors and plain data")
        return leaf.nbytes if isinstance(leaf, _Outline) else 1

    check_size(content, MOST_SHARED * size, measure)


def _check_zip(file: IO[bytes]) -> None:
    """torch.save's format since 1.6: a zip archive, not packed, of a pickle and a member a storage."""
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise pickle.UnpicklingError("its members are packed")
        if len(members) < len(archive.infolist()) or sum(m.file_size for m in archive.infolist()) > size:
            raise pickle.UnpicklingError("its members overlap")
        if archive.testzip() is not None:  # torch leaves the checksums alone
            raise pickle.UnpicklingError("a checksum is wrong")
        (name,) = (name for name in members if name.endswith("/data.pkl"))
        folder = name.removesuffix("data.pkl")
        unpickler = _OutlineUnpickler(io.BytesIO(archive.read(name)))
        content = unpickler.load()
    for storage in unpickler.storages.values():
        if members[f"{folder}data/{storage.key}"].file_size != storage.numbers * storage.itemsize:
            raise pickle.UnpicklingError(f"its storage {storage.key} has another size than it announces")
    _check_outline(content, size)


def _check_legacy(file: IO[bytes]) -> None:
    """torch.save's format before 1.6, in which torchvision's older weights are: pickles, then the storages."""
    size = os.fstat(file.fileno()).st_size
    with contextlib.suppress(tarfile.TarError):
        file.seek(0)
        tarfile.open(fileobj=file, mode="r:").close()
        raise pickle.UnpicklingError("it is a tar archive")
    file.seek(0)
    if PlainUnpickler(file).load() != 0x1950A86A20F9469CFC6C:
        raise pickle.UnpicklingError("it does not begin as one does")
    for _ in range(2):  # the format's version, the sizes of integers
        PlainUnpickler(file).load()
    unpickler = _OutlineUnpickler(file)
    content = unpickler.load()
    if sum(storage.numbers * storage.itemsize for storage in unpickler.storages.values()) > size:
        raise pickle.UnpicklingError("its tensors are larger than the file")
    _check_outline(content, size)


# ---------------------------------------------------------------- what is done with the tensors


def state_dict(value: Any, path: str | Path, cure: str) -> dict[str, Tensor]:
    """`value` as names and tensors. Raises InputError when it is something else."""
    if not isinstance(value, Mapping) or not value:
        raise InputError(f"{path}: holds no state_dict (names and tensors of a network); {cure}")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise InputError(f"{path}: its state_dict has {name!r:.60}, which is not a name with a tensor; {cure}")
    return dict(value)


def _sides(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


def check_parameters(path: str | Path, wanted: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]]) -> None:
    """Compare the shapes by name. Raises InputError naming what is missing, extra or misshapen."""
    misshapen = [
        f"{name} ({_sides(found[name])}, not {_sides(wanted[name])})"
        for name in sorted(wanted.keys() & found.keys())
        if tuple(wanted[name]) != tuple(found[name])
    ]
    faults = {
        "missing": sorted(wanted.keys() - found.keys()),
        "extra": sorted(found.keys() - wanted.keys()),
        "misshapen": misshapen,
    }
    problems = [
        f"{len(names)} {what}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
        for what, names in faults.items()
        if names
    ]
    if problems:
        raise InputError(f"{path}: its parameters do not fit this network; {'; '.join(problems)}")


def check_numbers(path: str | Path, tensors: Mapping[str, Tensor], cure: str = "give another file") -> None:
    """Raise InputError for the first tensor that is complex, or has NaN, infinity or what is too large for float32."""
    for name, tensor in tensors.items():
        if tensor.is_complex():
            raise InputError(f"{path}: {name} holds complex numbers; {cure}")
        if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
            raise InputError(f"{path}: {name} holds NaN or infinity: the training that wrote it diverged; {cure}")


def load_parameters(module: nn.Module, tensors: Any, path: str | Path, cure: str = "give another file") -> None:
    """Put a state_dict read from `path` into `module`: all of its parameters, finite and of the right shapes.

    How many batches a norm has seen may be missing: in evaluation it does not count.
    Raises InputError naming what does not fit.
    """
    own = module.state_dict()
    tensors = state_dict(tensors, path, cure)
    counters = {name: own[name] for name in own if name.endswith("num_batches_tracked") and name not in tensors}
    tensors |= counters
    shapes = ({name: tuple(tensor.shape) for name, tensor in part.items()} for part in (own, tensors))
    check_parameters(path, *shapes)
    check_numbers(path, tensors, cure)
    module.load_state_dict(tensors)


MOST = torch.finfo(torch.float32).max
AVERAGES = {  # what optimizers keep of a parameter: the least and the greatest number
    "step": (1, MOST), "exp_avg": (-MOST, MOST), "exp_avg_sq": (0, MOST), "momentum_buffer": (-MOST, MOST),
}  # fmt: skip


def load_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Put the averages of the state_dict `saved` into an Adam or SGD. Its rates stay what they are.

    Raises ValueError for averages that its parameters cannot have: PyTorch finds out in the next step, or not at all.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    kept = ["momentum_buffer"] if isinstance(optimizer, torch.optim.SGD) else ["step", "exp_avg", "exp_avg_sq"]
    state = {}
    for place, averages in saved["state"].items():
        if type(place) is not int or not 0 <= place < len(parameters) or averages.keys() != set(kept):
            raise ValueError(f"the optimizer has something else than averages of its {len(parameters)} parameters")
        for name, average in averages.items():
            shape = () if name == "step" else tuple(parameters[place].shape)
            if tuple(average.shape) != shape or average.dtype != torch.float32:
                raise ValueError(f"{name} of the optimizer is {average.dtype} of shape {tuple(average.shape)}")
            low, high = AVERAGES[name]
            if not ((average >= low) & (average <= high)).all():  # NaN is neither
                raise ValueError(f"{name} of the optimizer has a number that is not from {low:g} to {high:g}")
        # of a file, several may share their numbers, and kernels expect them in a row
        state[place] = {name: torch.clone(averages[name], memory_format=torch.contiguous_format) for name in kept}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def count_of(value: Any, most: int = 2**48) -> int:
    """`value`, a count in a checkpoint. Raises ValueError when it is none."""
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{value!r:.50} is not a count")
    return value
