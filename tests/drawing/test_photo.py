"""The photo with its boxes: nothing is hidden, labels can be read."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_graphs import graph_of, thing

from drawing.photo import COLOURS, _free_place, draw_boxes, text_colour


def test_boxes_leave_the_photo_as_it_was_and_scale_small_ones_up():
    photo = Image.new("RGB", (128, 96), "white")
    picture = draw_boxes(photo, graph_of([thing("man", 10, 20, 40, 50, score=0.5), thing("dog", 60, 30, 50, 60)]))
    assert picture.size == (640, 480)
    assert np.asarray(photo).min() == 255
    pixels = np.asarray(picture)
    colour = np.array([int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)])
    ys, xs = np.nonzero((pixels == colour).all(axis=-1))
    # Scale 5: the box is pixels 10..49 x 20..69 of the photo, so 50..249 x 100..349 of the picture; its label is above.
    assert xs.min() in (50, 51)
    assert xs.max() in (248, 249)
    assert ys.max() in (348, 349)


def test_a_photo_read_smaller_has_its_boxes_in_place():
    graph = graph_of([thing("man", 1000, 2000, 4000, 5000)])
    small = draw_boxes(Image.new("RGB", (1280, 960), "white"), graph, size=(12800, 9600))
    own = draw_boxes(Image.new("RGB", (1280, 960), "white"), graph_of([thing("man", 100, 200, 400, 500)]))
    assert np.abs(np.asarray(small).astype(int) - np.asarray(own)).mean() < 1


def test_boxes_past_the_edge_of_no_area_and_large_ones():
    photo = Image.new("RGB", (700, 300), "white")
    objects = [thing("all", -50, -50, 9000, 9000), thing("none", 5, 5, 0, 0), thing("dot", 699, 299, 1, 1)]
    objects += [thing("speck", 100, 100, 0.2, 0.2), thing("thread", 0, 50, 0.5, 90)]  # smaller than a pixel
    assert draw_boxes(photo, graph_of(objects)).size == (700, 300)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_labels_do_not_hide_one_another_where_there_is_room(seed):
    random = np.random.default_rng(seed)
    taken: list = []
    for _ in range(6):
        x, y = random.integers(0, 700), random.integers(0, 500)
        box = np.array([x, y, x + random.integers(80, 300), y + random.integers(80, 300)], dtype=float)
        label = _free_place(box, (60.0, 18.0), (1000, 800), taken)
        assert label[0] >= 0
        assert label[1] >= 0
        assert label[2] <= 1000
        assert label[3] <= 800
        for other in taken:
            overlap = np.minimum(label[2:], other[2:]) - np.maximum(label[:2], other[:2])
            assert overlap.min() <= 0
        taken.append(label)


def test_labels_are_read_on_their_colour():
    def luminance(colour: str) -> float:
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in COLOURS:
        dark, light = sorted((luminance(colour), luminance(text_colour(colour))))
        assert (light + 0.05) / (dark + 0.05) >= 4.5
