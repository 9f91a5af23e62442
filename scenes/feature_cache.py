"""Image features on disk: computed once, checked against what they were made from, read at random.

A cache is a folder; in it every embedding model (name, pooling, weights) has a folder of its own, so models never
mix. Whoever computes a share of the images adds rows to a file of its own (`files.vector_cache`); all read all files.

A row is an image with its boxes: float16 (1 + n, D), the image's vector, then its boxes'. It is of use when the name
and the boxes are the same and the image file has the same content. That is known without reading the file when its
size, inode and times of change are as they were: the time of the inode's change is set by the system alone.
"""

from __future__ import annotations

import os
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from files.images import load_image
from files.io import InputError, file_stamp, processors
from files.vector_cache import Row, VectorCache, digest

if TYPE_CHECKING:
    from scenes.features import ImageEmbedding, Preparation, Prepared

Item = tuple[str, str | Path, np.ndarray]  # image name, image file, boxes (n, 4) inclusive corners

_WRITE_BYTES, _WRITE_SECONDS = 32 * 2**20, 10.0  # the work that a kill can cost


class Made(NamedTuple):
    """What `compute_features` did: images computed and found, seconds, and why images were skipped, by name."""

    computed: int
    found: int
    seconds: float
    skipped: dict[str, str]


class FeatureCache:
    """Features by image name: `cache[image_name]` -> image (D,), boxes (n, D), both float32.

    What was read last stays in memory, up to `memory_bytes`; the arrays are shared, do not write to them.
    """

    def __init__(
        self, embedding: ImageEmbedding, items: Sequence[Item], cache_path: str | Path, memory_bytes: int = 2**29
    ) -> None:
        """Those of `items` that have been computed; the others are not `in` it."""
        self.dimension = embedding.dimension
        self._folder = Path(cache_path) / embedding.identity
        self._places = _find(self._folder, items)[0]
        self._memory_bytes, self._held_bytes = memory_bytes, 0
        self._recent: OrderedDict[str, tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, image_name: str) -> bool:
        return image_name in self._places

    def contents(self) -> bytes:
        """One digest of the names and contents of the image files that these features are of."""
        sources = {id(file): file.sources() for file, _ in self._places.values()}
        return digest(
            *(
                name.encode(errors="surrogateescape") + sources[id(file)][key][0]
                for name, (file, key) in sorted(self._places.items())
            )
        )

    def __getitem__(self, image_name: str) -> tuple[np.ndarray, np.ndarray]:
        """Raises KeyError for an image that is not in it, InputError when its row turns out to be damaged."""
        held = self._recent.get(image_name)
        if held is not None:
            self._recent.move_to_end(image_name)
            return held
        file, key = self._places[image_name]
        data = file.read(key)
        if data is None:
            raise InputError(
                f"{file.path}: the features of {image_name} are damaged and were removed; run again (--resume, where "
                "a run was stopped by this) and they are computed again"
            )
        rows = np.frombuffer(data, np.float16).reshape(-1, self.dimension).astype(np.float32)
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
    file_number: int = 0,
    show_progress: bool = True,
) -> Made:
    """Add the features of those `items` that the cache folder `cache_path` lacks.

    items: (image name, image file, boxes (n, 4) as inclusive corners in the file's pixels). Images are decoded in
    `num_workers` processes. Those that do not decode are skipped. Several processes can share the work: each gives
    its own part of the images and its own file_number. Raises InputError when the cache cannot be written, or an
    image comes twice with different boxes.
    """
    if not Path(cache_path).is_dir() and Path(cache_path).exists():
        raise InputError(f"{cache_path}: is a file; features are kept in a folder, name another")
    started = time.monotonic()
    folder = Path(cache_path) / embedding.identity
    places, missing = _find(folder, items, restamp=True)
    skipped = {}
    if missing:
        file = VectorCache(folder / f"{file_number}.sqlite")
        skipped = _compute(embedding.to(device), [items[i] for i in missing], file, num_workers, show_progress)
    return Made(len(missing) - len(skipped), len(places), time.monotonic() - started, skipped)


def report(made: Sequence[Made], cache_path: str | Path) -> str:
    """A sentence on what all processes did; warnings for the first few images that were skipped go to stderr."""
    skipped = [reason for part in made for reason in part.skipped.values()]
    computed, found = sum(part.computed for part in made), sum(part.found for part in made)
    seconds = max(part.seconds for part in made)
    for reason in skipped[:5]:
        print(f"warning: skipped {reason}", file=sys.stderr)
    if len(skipped) > 5:
        print(f"warning: skipped {len(skipped) - 5} more images", file=sys.stderr)
    rate = f" in {seconds:.0f} s ({computed / seconds:.0f} a second)" if computed else ""
    return (
        f"Image features of {computed + found} images: {computed} computed{rate}, {found} from the cache"
        f"{f', {len(skipped)} images skipped' if skipped else ''}; kept in {cache_path}"
    )


def _find(
    folder: Path, items: Sequence[Item], restamp: bool = False
) -> tuple[dict[str, tuple[VectorCache, bytes]], list[int]]:
    """Image name -> (file, key) of what is there and was made from the same image; positions of the others in `items`.

    restamp: note the new times of image files that have the same content as before.
    """
    files = [VectorCache(path) for path in sorted(folder.glob("*.sqlite"))]
    sources = [(file, file.sources()) for file in files]
    keys: dict[str, bytes] = {}
    places, missing = {}, []
    for i, (name, path, boxes) in enumerate(items):
        key = digest(np.ascontiguousarray(boxes, dtype=np.float32)) + os.fsencode(name)
        if keys.setdefault(name, key) != key:
            raise InputError(f"image {name} appears twice in the data, with different boxes; remove one")
        candidates = [(file, *there[key]) for file, there in sources if key in there]
        stamp, content = file_stamp(path) if candidates else b"", b""
        for file, source, old_stamp in candidates:
            if old_stamp != stamp or not stamp:
                content = content or _content(path)
                if source != content:
                    continue
                if restamp:
                    file.restamp({key: stamp})
            places[name] = file, key
            break
        else:
            missing.append(i)
    once = {items[i][0]: i for i in reversed(missing)}
    return places, sorted(once.values())


def _content(path: str | Path) -> bytes:
    try:
        return digest(Path(path).read_bytes())
    except OSError:
        return b"missing"


def _compute(
    embedding: ImageEmbedding, items: Sequence[Item], file: VectorCache, num_workers: int, show_progress: bool
) -> dict[str, str]:
    """Compute the features of all `items` into `file`. Returns image name -> why it was skipped."""
    images = DataLoader(
        _Images(items, embedding.prepare),
        batch_size=None,  # one image at a time between the processes: little shared memory
        num_workers=min(num_workers, processors()) if len(items) > 16 else 0,
        collate_fn=_unchanged,
    )
    # Alone in its batch an image gives the same bits whatever is computed beside it; a GPU needs more to be busy.
    images_at_once = 16 if embedding.mean.is_cuda else 1
    skipped, batch = {}, []
    bar = tqdm(total=len(items), desc="image features", unit="image", disable=None if show_progress else True)
    with _Writer(file) as writer, bar:
        for number, (name, image) in enumerate(images, start=1):
            if isinstance(image, str):
                skipped[name] = image
            else:
                batch.append(image)
            if len(batch) == images_at_once or (batch and number == len(items)):
                vectors = embedding([image.prepared for image in batch])
                for image, rows in zip(batch, vectors, strict=True):
                    writer.add(image, rows.half().cpu().numpy())
                batch.clear()
            bar.update()
    return skipped


def _unchanged(sample: Any) -> Any:
    return sample


class _Image(NamedTuple):
    """One image decoded and prepared by a worker, with what identifies it and its file."""

    prepared: Prepared
    key: bytes
    source: bytes
    stamp: bytes


class _Images(Dataset):
    """`dataset[i]` -> name of item i, and `_Image` or the reason why it is skipped."""

    def __init__(self, items: Sequence[Item], prepare: Preparation) -> None:
        self.items, self.prepare = items, prepare

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> tuple[str, _Image | str]:
        name, path, boxes = self.items[i]
        try:
            stamp = file_stamp(path)  # before the content: what is written to meanwhile is read again the next time
            prepared = self.prepare(load_image(path), boxes)
            key = digest(np.ascontiguousarray(boxes, dtype=np.float32)) + os.fsencode(name)
            return name, _Image(prepared, key, _content(path), stamp)
        except (InputError, OSError) as error:
            return name, str(error)


class _Writer:
    """Gathers rows and writes them when enough are there, and the rest at the end, also after an interruption."""

    def __init__(self, file: VectorCache) -> None:
        self.file = file
        self._clear()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        if kind is not InputError:  # that is a full disk
            self.write()
        self.file.close()

    def _clear(self) -> None:
        self.rows: list[Row] = []
        self.bytes, self.began = 0, time.monotonic()

    def add(self, image: _Image, vectors: np.ndarray) -> None:
        self.rows.append(Row(image.key, image.source, image.stamp, vectors.tobytes()))
        self.bytes += vectors.nbytes
        if self.bytes >= _WRITE_BYTES or time.monotonic() - self.began >= _WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        if self.rows:
            self.file.write(self.rows)
            self._clear()
