"""The feature cache: what it returns, when it computes again, what it survives."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from limited import start_call
from PIL import Image

from files.images import load_image
from files.io import InputError
from scenes import feature_cache
from scenes.feature_cache import FeatureCache, Made, compute_features, report
from scenes.features import ImageEmbedding, build_embedding


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


def cached(embedding: ImageEmbedding, items: list[feature_cache.Item], folder: Path, **options) -> FeatureCache:
    """Compute what is missing, and open the cache; `.made` says what was done."""
    made = compute_features(embedding, items, folder, **({"num_workers": 0} | options))
    cache = FeatureCache(embedding, items, folder)
    cache.made = made
    return cache


def rows(folder: Path) -> int:
    """How many rows the files of a cache have."""
    count = 0
    for path in folder.rglob("*.sqlite"):
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as database, contextlib.suppress(sqlite3.Error):
            count += database.execute("SELECT count(*) FROM vectors").fetchone()[0]
    return count


def test_returns_what_the_embedding_gives(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 3)
    cache = cached(embedding, items, tmp_path / "cache")
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


def test_the_second_time_nothing_is_computed(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 3)
    first = cached(embedding, items, tmp_path / "cache")
    assert first.made[:2] == (3, 0)
    second = cached(embedding, items, tmp_path / "cache")
    assert second.made[:2] == (0, 3)
    for name, _, _ in items:
        np.testing.assert_array_equal(first[name][1], second[name][1])


def other_picture(path: Path) -> None:
    """Another picture in the same number of bytes."""
    size = path.stat().st_size
    Image.new("RGB", (80, 60), (90, 20, 200)).save(path)
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))


@pytest.mark.parametrize("time", [-(10**12), -1, 0, 1])
def test_another_picture_is_noticed_whatever_its_time(tmp_path: Path, embedding: ImageEmbedding, time: int) -> None:
    """An older file than the one before too, and one of the very same time and size."""
    items = make_items(tmp_path / "images", 4)
    old = cached(embedding, items, tmp_path / "cache")
    name, path, _ = items[1]
    image = old[name][0]
    before = path.stat()
    other_picture(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + time))
    items[2] = (items[2][0], items[2][1], items[2][2] + 1)  # other boxes
    new = cached(embedding, items, tmp_path / "cache")
    assert new.made[:2] == (2, 2)
    assert not np.array_equal(image, new[name][0])
    np.testing.assert_allclose(new[name][0], embedding.embed(load_image(path), items[1][2])[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(old["3.png"][1], new["3.png"][1])


def test_the_same_picture_with_another_time_is_not_computed_again(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 3)
    cached(embedding, items, tmp_path / "cache")
    make_items(tmp_path / "images", 3)  # the sample world made again: same bytes, new times
    assert cached(embedding, items, tmp_path / "cache").made[:2] == (0, 3)


def test_annotated_and_detected_boxes_of_an_image_are_kept_side_by_side(
    tmp_path: Path, embedding: ImageEmbedding
) -> None:
    name, path, boxes = make_items(tmp_path / "images", 4)[3]
    for _ in range(2):
        for some in (boxes, boxes[:1]):
            cache = cached(embedding, [(name, path, some)], tmp_path / "cache")
            assert cache[name][1].shape == (len(some), embedding.dimension)
    assert cache.made.computed == 0


def test_models_never_mix(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 2)
    a = cached(embedding, items, tmp_path / "cache")
    b = cached(build_embedding("efficientnet_lite0", pooling="crop"), items, tmp_path / "cache")
    assert b.made.computed == 2
    assert not np.array_equal(a["1.png"][1], b["1.png"][1])
    c = cached(embedding, items, tmp_path / "cache")
    assert c.made.computed == 0
    np.testing.assert_array_equal(a["1.png"][1], c["1.png"][1])


def test_bad_images_are_skipped_and_named(
    tmp_path: Path, embedding: ImageEmbedding, capsys: pytest.CaptureFixture[str]
) -> None:
    items = make_items(tmp_path / "images", 3)
    items[0][1].write_bytes(b"not an image")
    items[1][1].unlink()
    cache = cached(embedding, items, tmp_path / "cache")
    assert set(cache.made.skipped) == {"0.png", "1.png"}
    assert "2.png" in cache
    assert "0.png" not in cache
    sentence = report([cache.made], tmp_path / "cache")
    assert len(re.findall("warning: skipped .*[01].png: ", capsys.readouterr().err)) == 2
    assert "1 computed in" in sentence
    assert "2 images skipped" in sentence
    make_items(tmp_path / "images", 3)  # repaired: computed now
    again = cached(embedding, items, tmp_path / "cache")
    assert again.made.computed == 2
    assert not again.made.skipped


def test_what_several_processes_did_is_added_up() -> None:
    sentence = report([Made(3, 1, 2.0, {}), Made(1, 4, 1.0, {"a": "a: why"})], "cache")
    assert sentence == (
        "Image features of 9 images: 4 computed in 2 s (2 a second), 5 from the cache, 1 images skipped; kept in cache"
    )


def test_bad_arguments(tmp_path: Path, embedding: ImageEmbedding) -> None:
    name, path, boxes = make_items(tmp_path / "images", 2)[1]
    with pytest.raises(InputError, match=r"image 1.png appears twice"):
        compute_features(embedding, [(name, path, boxes), (name, path, boxes + 1)], tmp_path / "cache")
    with pytest.raises(InputError, match="is a file"):
        compute_features(embedding, [(name, path, boxes)], path)
    assert len(cached(embedding, [(name, path, boxes)] * 2, tmp_path / "cache")) == 1
    assert len(cached(embedding, [], tmp_path / "cache")) == 0


def test_a_damaged_file_is_made_again(
    tmp_path: Path, embedding: ImageEmbedding, capsys: pytest.CaptureFixture[str]
) -> None:
    items = make_items(tmp_path / "images", 2)
    for damage in (lambda data: data[: len(data) // 2], lambda data: b"x" * len(data)):
        cached(embedding, items, tmp_path / "cache")
        (file,) = (tmp_path / "cache").rglob("*.sqlite")
        file.write_bytes(damage(file.read_bytes()))
        capsys.readouterr()
        cache = cached(embedding, items, tmp_path / "cache")
        assert f"{file}: is damaged" in capsys.readouterr().err
        assert cache.made.computed == 2
        assert cache["1.png"][1].shape == (1, embedding.dimension)


def test_a_flipped_bit_is_noticed_and_costs_one_image(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 3)
    whole = cached(embedding, items, tmp_path / "cache")
    (file,) = (tmp_path / "cache").rglob("*.sqlite")
    data = bytearray(file.read_bytes())
    vector = whole["1.png"][1].astype(np.float16).tobytes()
    data[data.index(vector[:64]) + 5] ^= 1
    file.write_bytes(data)
    cache = FeatureCache(embedding, items, tmp_path / "cache")
    with pytest.raises(InputError, match=r"0\.sqlite: the features of 1\.png are damaged and were removed; run again"):
        cache["1.png"]
    again = cached(embedding, items, tmp_path / "cache")
    assert again.made[:2] == (1, 2)
    np.testing.assert_array_equal(again["1.png"][1], whole["1.png"][1])


def test_features_are_kept_in_half_precision(tmp_path: Path, embedding: ImageEmbedding) -> None:
    cached(embedding, make_items(tmp_path / "images", 3), tmp_path / "cache")
    (file,) = (tmp_path / "cache" / embedding.identity).iterdir()
    with contextlib.closing(sqlite3.connect(file)) as database:
        sizes = [len(vectors) for (vectors,) in database.execute("SELECT vectors FROM vectors")]
    assert sorted(sizes) == [2 * n * embedding.dimension for n in (1, 2, 3)]


def test_few_files_are_open_however_large_the_cache(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 30)
    for number in range(3):
        compute_features(embedding, items[number::3], tmp_path / "cache", num_workers=0, file_number=number)
    before = len(os.listdir("/proc/self/fd"))
    cache = FeatureCache(embedding, items, tmp_path / "cache")
    for name, _, _ in items:
        _ = cache[name]
    assert len(os.listdir("/proc/self/fd")) - before <= 3


def test_memory_is_bounded(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 6)
    row = 4 * embedding.dimension
    compute_features(embedding, items, tmp_path / "cache", num_workers=0)
    cache = FeatureCache(embedding, items, tmp_path / "cache", memory_bytes=8 * row)
    for _ in range(2):
        for name, _, boxes in items:
            assert cache[name][1].shape == (len(boxes), embedding.dimension)
            assert sum(i.nbytes + b.nbytes for i, b in cache._recent.values()) == cache._held_bytes <= 8 * row
    assert cache["5.png"] is cache["5.png"]  # in memory


def compute_slowly(folder: Path) -> None:
    """In a process of its own, which is killed."""
    feature_cache._WRITE_BYTES = 1  # written image by image
    forward = ImageEmbedding.forward

    def slowly(self: ImageEmbedding, batch: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return forward(self, batch)

    ImageEmbedding.forward = slowly
    items = make_items(folder / "images", 24)
    compute_features(build_embedding("efficientnet_lite0"), items, folder / "cache", num_workers=2)


@pytest.mark.slow
def test_killed_at_any_moment_and_continued(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 24)
    process = start_call(compute_slowly, tmp_path)
    while process.is_alive() and rows(tmp_path / "cache") < 5:
        time.sleep(0.005)
    process.kill()
    process.join()
    kept = rows(tmp_path / "cache")
    assert 5 <= kept < 24
    continued = cached(embedding, items, tmp_path / "cache", num_workers=2)
    assert continued.made[:2] == (24 - kept, kept)
    whole = cached(embedding, items, tmp_path / "another")
    for name, _, _ in items:  # bit for bit what a run that was never killed gives
        np.testing.assert_array_equal(continued[name][0], whole[name][0])
        np.testing.assert_array_equal(continued[name][1], whole[name][1])


def compute_part(folder: Path, number: int) -> None:
    """In a process of its own, beside the one that computes the other part."""
    items = load_items(folder)[number::2]
    embedding = build_embedding("efficientnet_lite0")
    made = compute_features(embedding, items, folder / "cache", num_workers=0, file_number=number)
    assert set(made.skipped) == ({"3.png"} if number == 1 else set()), made


def load_items(folder: Path) -> list[feature_cache.Item]:
    return [
        (f"{i}.png", folder / "images" / f"{i}.png", boxes)
        for i, boxes in enumerate(np.load(folder / "b.npz").values())
    ]


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 7)
    items[3][1].write_bytes(b"not an image")
    np.savez(tmp_path / "b.npz", *(boxes for _, _, boxes in items))
    processes = [start_call(compute_part, tmp_path, number) for number in range(2)]
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list((tmp_path / "cache").rglob("*.sqlite"))) == 2  # each wrote its part
    together = FeatureCache(embedding, items, tmp_path / "cache")
    alone = cached(embedding, items, tmp_path / "alone")
    assert "3.png" not in together
    for name in (name for name, _, _ in items if name != "3.png"):
        for mine, other in zip(together[name], alone[name], strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_clear_line(tmp_path: Path, embedding: ImageEmbedding) -> None:
    items = make_items(tmp_path / "images", 2)
    folder = tmp_path / "cache" / embedding.identity
    folder.mkdir(parents=True)
    (folder / "0.sqlite").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"0\.sqlite: cannot be read or written \(.*\); is the disk full"):
        compute_features(embedding, items, tmp_path / "cache", num_workers=0)
    (folder / "0.sqlite").unlink()
    assert len(cached(embedding, items, tmp_path / "cache")) == 2
