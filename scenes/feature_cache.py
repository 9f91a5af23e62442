"""Image features on disk: computed once, checked against what they were made from, read at random.

A cache is a folder; in it every embedding model (name, pooling, weights) has a folder of its own,
and in that lie HDF5 files ("shards") of some tens of megabytes, each written whole under another
name and then renamed. So a run that is killed at any moment loses a minute of work and damages
nothing; ranks write side by side; models never mix.

A shard holds `features` (rows, D) float16, one image after the other: the image's vector, then its
boxes'; `index`, one entry an image (`_INDEX`); and `names`, joined by zero bytes. An entry is of use
when image name and boxes are the same and the image file is: size and modification time as
noted, or else the same content.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from files.images import load_image
from files.io import InputError, atomic_write
from scenes.features import ImageEmbedding, Preparation, Prepared

Item = tuple[str, str | Path, np.ndarray]  # image name, image file, boxes (n, 4) inclusive corners

_SHARD_BYTES = 32 * 2**20
_SHARD_SECONDS = 60  # the work that a kill can cost
_INDEX = np.dtype(
    [("stop", "<i8"), ("size", "<i8"), ("mtime", "<i8"), ("content", "V16"), ("boxes", "V16")]
)  # the image's rows end before `stop` and begin where those of the image before it end


class _Entry(NamedTuple):
    """Where one image's rows are, and which image file they were made from."""

    shard: Path
    start: int
    stop: int
    size: int
    mtime: int
    content: bytes


class FeatureCache:
    """Features by image name: `cache[image_name]` -> image (D,), boxes (n, D), both float32.

    What was read last stays in memory, up to `memory_bytes`; the arrays are shared, do not write
    to them. `skipped` maps the images that could not be decoded to the reason; they are not `in` the cache.
    """

    def __init__(self, entries: dict[str, _Entry], dimension: int, skipped: dict[str, str], memory_bytes: int) -> None:
        self.dimension, self.skipped = dimension, skipped
        self._entries = entries
        self._memory_bytes, self._held_bytes = memory_bytes, 0
        self._recent: OrderedDict[str, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._shards: dict[Path, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, image_name: str) -> bool:
        return image_name in self._entries

    def __getitem__(self, image_name: str) -> tuple[np.ndarray, np.ndarray]:
        held = self._recent.get(image_name)
        if held is not None:
            self._recent.move_to_end(image_name)
            return held
        entry = self._entries[image_name]
        if entry.shard not in self._shards:
            self._shards[entry.shard] = _map_features(entry.shard)
        rows = self._shards[entry.shard][entry.start : entry.stop].astype(np.float32)
        self._recent[image_name] = rows[0], rows[1:]
        self._held_bytes += rows.nbytes
        while self._held_bytes > self._memory_bytes and len(self._recent) > 1:
            _, (image, boxes) = self._recent.popitem(last=False)
            self._held_bytes -= image.nbytes + boxes.nbytes
        return rows[0], rows[1:]


def compute_features(
    embedding: ImageEmbedding,
    items: Sequence[Item],
    cache_path: str | Path,
    num_workers: int = 4,
    device: str | torch.device = "cpu",
    memory_bytes: int = 2**29,
) -> FeatureCache:
    """The features of all `items`: those that the cache folder `cache_path` lacks are computed and added.

    items: (image name, image file, boxes (n, 4) as inclusive corners in the file's pixels). Images
    are decoded in `num_workers` processes. One that does not decode is skipped with a warning and
    stands in `.skipped`. With torch.distributed initialised the images are divided among the ranks,
    and every rank returns the same complete cache (the folder must be one that all ranks see).
    Raises InputError when no image can be read, or the cache cannot be written.
    """
    folder = Path(cache_path) / embedding.identity
    if not Path(cache_path).is_dir() and Path(cache_path).exists():
        raise InputError(f"{cache_path}: is a file; features are kept in a folder, name another")
    keys = _keys(items)
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if _distributed() else (0, 1)

    missing: list[Any] = [None]
    if rank == 0:
        missing = [_missing(items, keys, _scan(folder, remove_damaged=True))]
    if ranks > 1:  # one view of the folder for all, whatever the others have begun to write
        dist.broadcast_object_list(missing, src=0)
    started = time.monotonic()
    skipped = (
        _compute(embedding.to(device), items, keys, missing[0][rank::ranks], folder, num_workers) if missing[0] else {}
    )
    if ranks > 1:
        parts: list[Any] = [None] * ranks
        dist.all_gather_object(parts, skipped)
        skipped = {name: reason for part in parts for name, reason in part.items()}

    found = _scan(folder)
    entries = {name: found[name, boxes] for name, boxes in keys if (name, boxes) in found and name not in skipped}
    lost = next((name for name, _ in keys if name not in entries and name not in skipped), None)
    if lost is not None:
        raise InputError(f"{folder}: has no features of {lost}; do all ranks see the same folder?")
    if keys and not entries:
        raise InputError(f"none of {len(keys)} images can be read; {next(iter(skipped.values()))}")
    if rank == 0:
        _report(len(keys), len(missing[0]), time.monotonic() - started, skipped, folder)
    return FeatureCache(entries, embedding.dimension, skipped, memory_bytes)


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _keys(items: Sequence[Item]) -> list[tuple[str, bytes]]:
    """(image name, hash of its boxes) of every item. Raises InputError for a name with two sets of boxes."""
    keys = {}
    for name, _, boxes in items:
        boxes = np.ascontiguousarray(boxes, dtype=np.float32)
        digest = hashlib.blake2b(boxes.data if boxes.size else b"", digest_size=16).digest()
        if keys.setdefault(name, digest) != digest:
            raise InputError(f"image {name} stands twice in the data, with different boxes; remove one")
    return list(keys.items())


def _missing(items: Sequence[Item], keys: list[tuple[str, bytes]], found: dict[tuple[str, bytes], _Entry]) -> list[int]:
    """Positions in `items` of what is not in the cache, or was made from another image file."""
    wanted = dict(keys)
    missing = []
    for i, (name, path, _) in enumerate(items):
        boxes = wanted.pop(name, None)  # None: the image came before
        if boxes is not None and not ((name, boxes) in found and _is_made_from(found[name, boxes], path)):
            missing.append(i)
    return missing


def _is_made_from(entry: _Entry, path: str | Path) -> bool:
    """Whether the image file is the one noted: by size and time, or, when only the time differs, by content."""
    try:
        stat = os.stat(path)
        if stat.st_size != entry.size:
            return False
        return stat.st_mtime_ns == entry.mtime or _content(path) == entry.content
    except OSError:
        return False


def _content(path: str | Path) -> bytes:
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest()


def _compute(
    embedding: ImageEmbedding,
    items: Sequence[Item],
    keys: list[tuple[str, bytes]],
    missing: list[int],
    folder: Path,
    num_workers: int,
) -> dict[str, str]:
    """Compute the features of `items[i] for i in missing` into new shards. Returns image name -> why it was skipped."""
    boxes_of = dict(keys)
    images = DataLoader(
        _Images(items, missing, embedding.prepare),
        batch_size=None,  # one image at a time between the processes: little shared memory
        num_workers=min(num_workers, _processors()) if len(missing) > 16 else 0,
        collate_fn=_unchanged,
    )
    # Alone in its batch an image gives the same bits whatever is computed beside it; a GPU needs more to be busy.
    images_at_once = 16 if embedding.mean.is_cuda else 1
    skipped, batch = {}, []
    bar = tqdm(total=len(missing), desc="image features", unit="image", disable=True if _is_secondary() else None)
    with _ShardWriter(folder, embedding.identity) as writer, bar:
        for number, (i, image) in enumerate(images, start=1):
            if isinstance(image, str):
                skipped[items[i][0]] = image
            else:
                batch.append((items[i][0], image))
            if len(batch) == images_at_once or (batch and number == len(missing)):
                vectors = embedding([image.prepared for _, image in batch])
                for (name, image), rows in zip(batch, vectors, strict=True):
                    writer.add(name, boxes_of[name], image, rows.half().cpu().numpy())
                batch.clear()
            bar.update()
    return skipped


def _is_secondary() -> bool:
    return _distributed() and dist.get_rank() > 0


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _unchanged(sample: Any) -> Any:
    return sample


class _Image(NamedTuple):
    """One image decoded and prepared by a worker, with what identifies its file."""

    prepared: Prepared
    size: int
    mtime: int
    content: bytes


class _Images(Dataset):
    """`dataset[k]` -> (i, `_Image` or the reason why it is skipped) with i = missing[k]."""

    def __init__(self, items: Sequence[Item], missing: list[int], prepare: Preparation) -> None:
        self.items, self.missing, self.prepare = items, missing, prepare

    def __len__(self) -> int:
        return len(self.missing)

    def __getitem__(self, k: int) -> tuple[int, _Image | str]:
        i = self.missing[k]
        _, path, boxes = self.items[i]
        try:
            image = load_image(path)
            stat = os.stat(path)
            return i, _Image(self.prepare(image, boxes), stat.st_size, stat.st_mtime_ns, _content(path))
        except (InputError, OSError) as error:
            return i, str(error)


class _ShardWriter:
    """Gathers rows and writes a shard when enough are there, and the rest at the end, also after an interruption."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder, self.identity = folder, identity
        self._clear()

    def __enter__(self) -> _ShardWriter:
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        if kind is not InputError:  # that is a full disk
            self.write()

    def _clear(self) -> None:
        self.names: list[str] = []
        self.index: list[tuple] = []
        self.rows: list[np.ndarray] = []
        self.bytes, self.stop, self.began = 0, 0, time.monotonic()

    def add(self, name: str, boxes: bytes, image: _Image, rows: np.ndarray) -> None:
        self.stop += len(rows)
        self.bytes += rows.nbytes
        self.names.append(name)
        self.index.append((self.stop, image.size, image.mtime, image.content, boxes))
        self.rows.append(rows)
        if self.bytes >= _SHARD_BYTES or time.monotonic() - self.began >= _SHARD_SECONDS:
            self.write()

    def write(self) -> None:
        if not self.names:
            return
        buffer = io.BytesIO()  # HDF5 seeks and rewrites; the disk gets whole files only
        with h5py.File(buffer, "w") as file:
            file.attrs["model"] = self.identity
            names = "\0".join(self.names).encode("utf-8", "surrogateescape")
            file["names"] = np.frombuffer(names, dtype=np.uint8)
            file["index"] = np.array(self.index, dtype=_INDEX)
            file["features"] = np.concatenate(self.rows)
        # Numbered, so that later ones are read later and win; random, so that nobody writes the same name.
        number = 1 + max((int(p.name[:8]) for p in self.folder.glob("[0-9]" * 8 + "-*.h5")), default=0)
        with atomic_write(self.folder / f"{number:08d}-{secrets.token_hex(4)}.h5") as file:
            file.write(buffer.getbuffer())
        self._clear()


def _scan(folder: Path, remove_damaged: bool = False) -> dict[tuple[str, bytes], _Entry]:
    """(image name, boxes) -> entry, of all shards of the folder. A damaged shard counts for nothing."""
    entries = {}
    for path in sorted(folder.glob("*.h5")):
        try:
            entries.update(_read_index(path))
        except (OSError, KeyError, ValueError, TypeError):
            if remove_damaged:
                print(f"warning: {path}: is damaged; removed, its images are computed again", file=sys.stderr)
                path.unlink(missing_ok=True)
    return entries


def _read_index(path: Path) -> dict[tuple[str, bytes], _Entry]:
    with h5py.File(path, "r") as file:
        names = file["names"][:].tobytes().decode("utf-8", "surrogateescape").split("\0")
        index = file["index"][:]
        if index.dtype != _INDEX or len(index) != len(names) or index["stop"][-1] != len(file["features"]):
            raise ValueError("its parts do not fit together")
        starts = np.concatenate([[0], index["stop"][:-1]]).tolist()
    contents = (bytes(value) for value in index["content"])
    boxes = (bytes(value) for value in index["boxes"])
    columns = (index[key].tolist() for key in ("stop", "size", "mtime"))
    return {
        (name, box): _Entry(path, start, stop, size, mtime, content)
        for name, box, start, stop, size, mtime, content in zip(names, boxes, starts, *columns, contents, strict=True)
    }


def _map_features(path: Path) -> np.ndarray:
    """The features of a shard, (rows, D) float16, mapped into memory: the system reads what is asked for.

    They lie in one piece in the file, so no HDF5 call is needed for a read, nor an open file kept.
    """
    with h5py.File(path, "r") as file:
        features = file["features"]
        offset, shape, kind = features.id.get_offset(), features.shape, features.dtype
    return np.memmap(path, dtype=kind, mode="r", offset=offset, shape=shape)


def _report(total: int, computed: int, seconds: float, skipped: dict[str, str], folder: Path) -> None:
    for reason in list(skipped.values())[:5]:
        print(f"warning: skipped {reason}", file=sys.stderr)
    if len(skipped) > 5:
        print(f"warning: skipped {len(skipped) - 5} more images", file=sys.stderr)
    done = computed - len(skipped)
    rate = f" in {seconds:.0f} s ({done / seconds:.0f} a second)" if done else ""
    print(
        f"Image features of {total - len(skipped)} images: {done} computed{rate}, {total - computed} from the cache"
        f"{f', {len(skipped)} images skipped' if skipped else ''}; kept in {folder}"
    )
