"""The feature cache: what it returns, when it computes again, what it survives."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from files.images import load_image
from files.io import InputError
from scenes import feature_cache
from scenes.feature_cache import FeatureCache, compute_features
from scenes.features import ImageEmbedding, build_embedding

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def embedding() -> ImageEmbedding:
    return build_embedding("efficientnet_lite0")


def make_items(folder: Path, count: int, seed: int = 0) -> list[feature_cache.Item]:
    """Small images of coloured noise; the i-th has i boxes."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for i in range(count):
        pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((80, 60)).save(folder / f"{i}.png")
        low = rng.integers(0, 40, (i, 2))
        items.append((f"{i}.png", folder / f"{i}.png", np.hstack([low, low + rng.integers(5, 30, (i, 2))])))
    return items


def computed(capsys: pytest.CaptureFixture[str]) -> int:
    """How many images the last call computed, from the sentence it ends with."""
    return int(re.findall(r"(\d+) computed", capsys.readouterr().out)[-1])


def test_returns_what_the_embedding_gives(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 3)
    cache = compute_features(embedding, items, tmp_path / "cache", num_workers=0)
    assert len(cache) == 3
    assert cache.dimension == embedding.dimension
    for name, path, boxes in items:
        image, of_boxes = cache[name]
        expected_image, expected_boxes = embedding.embed(load_image(path), boxes)
        assert image.dtype == of_boxes.dtype == np.float32
        assert of_boxes.shape == (len(boxes), embedding.dimension)
        np.testing.assert_allclose(image, expected_image, rtol=1e-3, atol=1e-4)  # float16 on disk
        np.testing.assert_allclose(of_boxes, expected_boxes, rtol=1e-3, atol=1e-4)
    assert "nowhere.png" not in cache


def test_the_second_time_nothing_is_computed(
    tmp_path: Path, embedding: ImageEmbedding, capsys: pytest.CaptureFixture[str]
) -> None:
    items = make_items(tmp_path / "images", 3)
    first = compute_features(embedding, items, tmp_path / "cache")
    assert computed(capsys) == 3
    second = compute_features(embedding, items, tmp_path / "cache")
    assert computed(capsys) == 0
    for name, _, _ in items:
        np.testing.assert_array_equal(first[name][1], second[name][1])


def test_what_changed_is_computed_again(
    tmp_path: Path, embedding: ImageEmbedding, capsys: pytest.CaptureFixture[str]
) -> None:
    items = make_items(tmp_path / "images", 4)
    old = compute_features(embedding, items, tmp_path / "cache")

    name, path, _ = items[1]  # another picture with the very same size in bytes and in pixels
    before = path.stat()
    Image.new("RGB", (80, 60), (90, 20, 200)).save(path)
    path.write_bytes(path.read_bytes().ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    items[2] = (items[2][0], items[2][1], items[2][2] + 1)  # other boxes
    new = compute_features(embedding, items, tmp_path / "cache")
    assert computed(capsys) == 2
    assert not np.array_equal(old[name][0], new[name][0])
    np.testing.assert_allclose(new[name][0], embedding.embed(load_image(path), items[1][2])[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(old["3.png"][1], new["3.png"][1])


def test_the_same_picture_with_another_time_is_not_computed_again(
    tmp_path: Path, embedding: ImageEmbedding, capsys: pytest.CaptureFixture[str]
) -> None:
    items = make_items(tmp_path / "images", 3)
    compute_features(embedding, items, tmp_path / "cache")
    make_items(tmp_path / "images", 3)  # the sample world made anew: same bytes, new times
    compute_features(embedding, items, tmp_path / "cache")
    assert computed(capsys) == 0


def test_annotated_and_detected_boxes_of_an_image_stand_side_by_side(
    tmp_path: Path, embedding: ImageEmbedding, capsys: pytest.CaptureFixture[str]
) -> None:
    name, path, boxes = make_items(tmp_path / "images", 4)[3]
    for _ in range(2):
        for some in (boxes, boxes[:1]):
            cache = compute_features(embedding, [(name, path, some)], tmp_path / "cache")
            assert cache[name][1].shape == (len(some), embedding.dimension)
    assert computed(capsys) == 0


def test_models_never_mix(tmp_path: Path, embedding: ImageEmbedding, capsys: pytest.CaptureFixture[str]) -> None:
    items = make_items(tmp_path / "images", 2)
    a = compute_features(embedding, items, tmp_path / "cache")
    b = compute_features(build_embedding("efficientnet_lite0", pooling="crop"), items, tmp_path / "cache")
    assert computed(capsys) == 2
    assert not np.array_equal(a["1.png"][1], b["1.png"][1])
    c = compute_features(embedding, items, tmp_path / "cache")
    assert computed(capsys) == 0
    np.testing.assert_array_equal(a["1.png"][1], c["1.png"][1])


def test_bad_images_are_skipped_and_named(
    tmp_path: Path, embedding: ImageEmbedding, capsys: pytest.CaptureFixture[str]
) -> None:
    items = make_items(tmp_path / "images", 3)
    items[0][1].write_bytes(b"not an image")
    items[1][1].unlink()
    cache = compute_features(embedding, items, tmp_path / "cache")
    assert set(cache.skipped) == {"0.png", "1.png"}
    assert "2.png" in cache
    assert "0.png" not in cache
    streams = capsys.readouterr()
    assert len(re.findall("warning: skipped .*[01].png: ", streams.err)) == 2
    assert "2 images skipped" in streams.out
    make_items(tmp_path / "images", 3)  # repaired: computed now
    assert not compute_features(embedding, items, tmp_path / "cache").skipped
    assert computed(capsys) == 2


def test_no_readable_image_at_all_is_an_error(tmp_path: Path, embedding: ImageEmbedding) -> None:
    with pytest.raises(InputError, match=r"none of 1 images can be read; .*a.jpg: no such image file"):
        compute_features(embedding, [("a.jpg", tmp_path / "a.jpg", np.zeros((0, 4)))], tmp_path / "cache")


def test_bad_arguments(tmp_path: Path, embedding: ImageEmbedding) -> None:
    name, path, boxes = make_items(tmp_path / "images", 2)[1]
    with pytest.raises(InputError, match=r"image 1.png stands twice"):
        compute_features(embedding, [(name, path, boxes), (name, path, boxes + 1)], tmp_path / "cache")
    with pytest.raises(InputError, match="is a file"):
        compute_features(embedding, [(name, path, boxes)], path)
    assert len(compute_features(embedding, [(name, path, boxes)] * 2, tmp_path / "cache")) == 1
    assert len(compute_features(embedding, [], tmp_path / "cache")) == 0


def test_a_damaged_shard_is_made_again(
    tmp_path: Path, embedding: ImageEmbedding, capsys: pytest.CaptureFixture[str]
) -> None:
    items = make_items(tmp_path / "images", 2)
    for damage in (lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * len(data)):
        compute_features(embedding, items, tmp_path / "cache")
        (shard,) = (tmp_path / "cache").rglob("*.h5")
        shard.write_bytes(damage(shard.read_bytes()))
        capsys.readouterr()
        cache = compute_features(embedding, items, tmp_path / "cache")
        streams = capsys.readouterr()
        assert f"{shard}: is damaged" in streams.err
        assert "2 computed" in streams.out
        assert cache["1.png"][1].shape == (1, embedding.dimension)


def test_shards_are_plain_hdf5_in_half_precision(tmp_path: Path, embedding: ImageEmbedding) -> None:
    compute_features(embedding, make_items(tmp_path / "images", 3), tmp_path / "cache")
    (shard,) = (tmp_path / "cache" / embedding.identity).glob("*.h5")
    with h5py.File(shard) as file:
        assert file["features"].dtype == np.float16
        assert file["features"].shape == (1 + 2 + 3, embedding.dimension)


def test_memory_is_bounded(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 6)
    row = 4 * embedding.dimension
    cache = compute_features(embedding, items, tmp_path / "cache", memory_bytes=8 * row)
    for _ in range(2):
        for name, _, boxes in items:
            assert cache[name][1].shape == (len(boxes), embedding.dimension)
            assert sum(i.nbytes + b.nbytes for i, b in cache._recent.values()) == cache._held_bytes <= 8 * row
    assert cache["5.png"] is cache["5.png"]  # in memory


def run_script(script: str, *arguments: object, **options: object) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'scenes'}"}
    environment["OMP_NUM_THREADS"] = str(torch.get_num_threads())  # sums in the same order
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **options)


SLOW = """
import sys, time
from pathlib import Path
import test_feature_cache
from scenes import feature_cache, features
feature_cache._SHARD_BYTES = 1  # a shard an image
forward = features.ImageEmbedding.forward
def slowly(self, batch):
    time.sleep(0.02)
    return forward(self, batch)
features.ImageEmbedding.forward = slowly
folder = Path(sys.argv[1])
items = test_feature_cache.make_items(folder / "images", 24)
feature_cache.compute_features(features.build_embedding("efficientnet_lite0"), items, folder / "cache", num_workers=2)
"""


def test_killed_at_any_moment_and_continued(
    tmp_path: Path, embedding: ImageEmbedding, capsys: pytest.CaptureFixture[str]
) -> None:
    items = make_items(tmp_path / "images", 24)
    process = run_script(SLOW, tmp_path, stdout=subprocess.DEVNULL)
    while process.poll() is None and len(list((tmp_path / "cache").rglob("*.h5"))) < 5:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = len(list((tmp_path / "cache").rglob("*.h5")))
    assert 5 <= kept < 24
    continued = compute_features(embedding, items, tmp_path / "cache", num_workers=2)
    assert computed(capsys) == 24 - kept
    whole = compute_features(embedding, items, tmp_path / "another", num_workers=0)
    for name, _, _ in items:  # bit for bit what a run that was never killed gives
        np.testing.assert_array_equal(continued[name][0], whole[name][0])
        np.testing.assert_array_equal(continued[name][1], whole[name][1])


RANK = """
import sys
from pathlib import Path
import numpy as np, torch.distributed as dist
from scenes.feature_cache import compute_features
from scenes.features import build_embedding
import test_feature_cache
folder, rank = Path(sys.argv[1]), int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
items = test_feature_cache.load_items(folder)
cache = compute_features(build_embedding("efficientnet_lite0"), items, folder / "cache", num_workers=0)
found = {name: cache[name] for name, _, _ in items if name in cache}
parts = {f"{name}/{i}": found[name][i] for name in found for i in range(2)}
np.savez(folder / f"rank{rank}.npz", **parts)
assert set(cache.skipped) == {"3.png"}, cache.skipped
dist.destroy_process_group()
"""


def load_items(folder: Path) -> list[feature_cache.Item]:
    return [
        (f"{i}.png", folder / "images" / f"{i}.png", boxes)
        for i, boxes in enumerate(np.load(folder / "b.npz").values())
    ]


def test_two_ranks_share_the_work(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 7)
    items[3][1].write_bytes(b"not an image")
    np.savez(tmp_path / "b.npz", *(boxes for _, _, boxes in items))
    processes = [run_script(RANK, tmp_path, rank, stdout=subprocess.PIPE) for rank in range(2)]
    ends = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert "6 computed" in ends[0][0]
    assert ends[1][0] == ""  # one rank speaks
    shards = list((tmp_path / "cache").rglob("*.h5"))
    assert len(shards) == 2  # each rank wrote its part
    alone = compute_features(embedding, items, tmp_path / "alone", num_workers=0)
    for rank in range(2):
        found = np.load(tmp_path / f"rank{rank}.npz")
        assert set(found) == {f"{name}/{i}" for name, _, _ in items if name != "3.png" for i in range(2)}
        for key, part in found.items():
            name, i = key.split("/")
            np.testing.assert_array_equal(part, alone[name][int(i)])


def test_a_full_disk_is_one_clear_line(
    tmp_path: Path, embedding: ImageEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/full cannot stand in for a folder, so the write itself fails as a full disk makes it fail."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="the disk is full"):
        compute_features(embedding, make_items(tmp_path / "images", 2), tmp_path / "cache")
    monkeypatch.undo()
    assert list((tmp_path / "cache").rglob("*.h5")) == []
    assert isinstance(compute_features(embedding, make_items(tmp_path / "images", 2), tmp_path / "cache"), FeatureCache)
