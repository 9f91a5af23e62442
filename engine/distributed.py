"""One process of several: what rank this is, and sums over all of them. Without torchrun there is one, rank 0."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from files.io import InputError

LOST = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe")  # in errors of a lost connection


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """This process's number on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def choose_device(name: str) -> torch.device:
    """The device of --device; with several processes on a machine with GPUs each takes its own.

    Raises InputError when this machine does not have it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"--device {name}: is not a device; give cpu, cuda or cuda:1") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"--device {name}: cannot train or test; give cpu, cuda or cuda:1")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InputError(f"--device {name}: this machine has no CUDA device; give --device cpu")
        if device.index is None:
            device = torch.device("cuda", local_rank())
        torch.cuda.set_device(device)
    return device


@contextmanager
def process_group(device: torch.device, hours: float = 24) -> Iterator[None]:
    """Join the processes that torchrun started, if it did; leave them at the end.

    A rank that has lost another one raises InputError: the whole job ends. A process that dies is noticed at once,
    by the connections that close and by torchrun. hours: how long a rank waits for one that lives; that is long
    because the shares of --predict and of the features are of the same size, not of the same difficulty.
    """
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(hours=hours))
    me = rank()
    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error) for word in LOST):
            raise
        raise InputError(
            f"process {me}: another process of this job is gone, so this one ends too; the first error above or "
            "torchrun's report says why. Resume with the same command and --resume"
        ) from None
    finally:
        dist.destroy_process_group()


def total(values: torch.Tensor) -> torch.Tensor:
    """The sum of `values` over all ranks, on each of them."""
    if world_size() > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def wrapped(network: nn.Module) -> nn.Module:
    """The network as it is called for losses: with several processes gradients are averaged over them."""
    return DistributedDataParallel(network) if world_size() > 1 else network


def gather(value: Any) -> list[Any]:
    """Every rank's `value` (plain data, arrays, tensors), in rank order; rank 0 gets the list, the others []."""
    if world_size() == 1:
        return [value]
    out: list[Any] | None = [None] * world_size() if rank() == 0 else None
    dist.gather_object(value, out)
    return out or []


def share(count: int, what: str) -> int:
    """`count` divided by the number of ranks. Raises InputError when it does not divide."""
    if count % world_size():
        raise InputError(f"{what} {count}: does not divide by {world_size()} processes; choose a multiple")
    return count // world_size()
