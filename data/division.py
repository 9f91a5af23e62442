"""Which images go into which split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from files.io import InputError


def divide(count: int, train: int | None, validation: int | None, test: int | None, seed: int) -> list[np.ndarray]:
    """Shuffle `count` images and cut them into train, validation and test: three sorted (k,) index arrays.

    None asks for the default. A full-size Visual Genome (108 077 images) has 5 000 images for
    validation, 5 000 for test and the rest for training, as in the paper; a smaller set has the
    same proportions, and at least one image in each part. Raises InputError when more is asked
    for than there is.
    """
    share = 0 if count < 3 else min(5000, max(1, round(count * 5000 / 108_077)))
    validation = share if validation is None else validation
    test = share if test is None else test
    train = count - validation - test if train is None else train
    if train < 0 or train + validation + test > count:
        raise InputError(
            f"{max(train, 0)} training, {validation} validation and {test} test images are asked for, but there are "
            f"{count}; use smaller --num_train, --num_validation, --num_test"
        )
    order = np.random.default_rng(seed).permutation(count)
    parts = np.split(order[: train + validation + test], [train, train + validation])
    return [np.sort(part) for part in parts]


def divide_further(parts: Sequence[np.ndarray | None], sizes: Sequence[int | None], seed: int) -> list[np.ndarray]:
    """Image rows of train, validation and test from the parts that the data set itself has.

    parts: rows of the three (validation may be None: it is cut from the training images, a tenth of
    them unless its size is given). sizes: how many images are wanted of each; None: all. When no
    training image is there, the test images are divided instead, and that is printed.
    """
    train, validation, test = parts
    if len(train) == 0 and validation is None:
        print(
            f"No official training image is present: the {len(test)} test images that are present are divided instead."
        )
        return [test[part] for part in divide(len(test), *sizes, seed)]
    if validation is None:
        wanted = len(train) // 10 if sizes[1] is None else sizes[1]
        first, second, _ = divide(len(train), sizes[0], wanted, 0, seed)
        train, validation = train[first], train[second]
        sizes = (None, None, sizes[2])
    return [
        rows if size is None else rows[divide(len(rows), size, 0, 0, seed)[0]]
        for rows, size in zip((train, validation, test), sizes, strict=True)
    ]
