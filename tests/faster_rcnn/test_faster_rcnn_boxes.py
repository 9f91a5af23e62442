"""Anchors, box coding, suppression, RoI pooling and average precision: worked by hand, and against slow loops."""

import math

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from faster_rcnn import anchors
from faster_rcnn.average_precision import average_precision, match, mean_average_precision
from faster_rcnn.candidates import detections_from_scores
from files.detections import Detections

corner = st.floats(0, 60, width=32)


def random_boxes(seed: int, count: int, side: float = 40) -> np.ndarray:
    generator = np.random.default_rng(seed)
    start = generator.uniform(0, side, (count, 2))
    return np.concatenate([start, start + generator.uniform(0, side, (count, 2))], axis=1).astype(np.float32)


def slow_iou(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    area_a, area_b = ((x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (a, b))
    return width * height / (area_a + area_b - width * height)


def slow_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(slow_iou(boxes[i].astype(float), boxes[j].astype(float)) <= threshold for j in kept):
            kept.append(i)
    return kept


def test_the_nine_anchors():
    # The table that Ren et al. published with their code, for base 16, ratios 0.5, 1, 2, scales 8, 16, 32.
    assert anchors.base_anchors().tolist() == [
        [-84, -40, 99, 55],
        [-176, -88, 191, 103],
        [-360, -184, 375, 199],
        [-56, -56, 71, 71],
        [-120, -120, 135, 135],
        [-248, -248, 263, 263],
        [-36, -80, 51, 95],
        [-80, -168, 95, 183],
        [-168, -344, 183, 359],
    ]


def test_the_anchors_of_a_feature_map_go_row_by_row():
    grid = anchors.anchor_grid(2, 3)
    assert grid.shape == (2 * 3 * 9, 4)
    base = anchors.base_anchors()
    assert torch.equal(grid[9:18], base + torch.tensor([16, 0, 16, 0]))  # the cell to the right
    assert torch.equal(grid[27:36], base + torch.tensor([0, 16, 0, 16]))  # the second row


def test_decoding_by_hand():
    reference = torch.tensor([[10.0, 20, 29, 59]])  # 20 x 40, centre (20, 40)
    assert anchors.decode(torch.zeros(1, 4), reference).tolist() == [[10, 20, 30, 60]]  # no -1 at the far corner
    moved = anchors.decode(torch.tensor([[0.5, -0.25, math.log(2), 0]]), reference)
    assert moved.tolist() == [[pytest.approx(v) for v in (10, 10, 50, 50)]]
    assert torch.isfinite(anchors.decode(torch.full((1, 4), 1e4), reference)).all()


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_encoding_gives_the_deltas_that_decode_to_the_box(seed):
    boxes, references = (torch.from_numpy(random_boxes(seed + i, 5)) for i in (0, 1))
    decoded = anchors.decode(anchors.encode(boxes, references), references)
    torch.testing.assert_close(decoded, boxes + torch.tensor([0, 0, 1, 1]), atol=1e-3, rtol=1e-4)


def test_clipping_stays_inside_the_last_pixel():
    boxes = torch.tensor([[-5.0, -1, 700, 300], [2, 3, 4, 5]])
    assert anchors.clip(boxes, height=100, width=200).tolist() == [[0, 0, 199, 99], [2, 3, 4, 5]]


def test_suppression_counts_inclusive_pixels():
    # 10 x 10 and 10 x 10, shifted by 3: 70 / 130 = 0.538 inclusive; (6 * 9) / (81 + 81 - 54) = 0.5 without the +1.
    boxes = torch.tensor([[0.0, 0, 9, 9], [3, 0, 12, 9]])
    scores = torch.tensor([0.9, 0.8])
    assert anchors.nms(boxes, scores, 0.52).tolist() == [0]
    assert torchvision.ops.nms(boxes, scores, 0.52).tolist() == [0, 1]
    assert anchors.nms(boxes, scores, 0.54).tolist() == [0, 1]


@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 0.7]))
@settings(max_examples=40, deadline=None)
def test_suppression_is_that_of_the_slow_loop(seed, threshold):
    boxes = random_boxes(seed, 30, side=20)
    scores = np.random.default_rng(seed).permutation(30).astype(np.float32)
    fast = anchors.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    assert fast.tolist() == slow_nms(boxes, scores, threshold)
    overlaps = anchors.pairwise_iou(torch.from_numpy(boxes), torch.from_numpy(boxes[:3]))
    assert overlaps[7, 2].item() == pytest.approx(slow_iou(boxes[7], boxes[2]), abs=1e-5)


def slow_roi_pool(features: np.ndarray, box: np.ndarray, scale: float, size: int) -> np.ndarray:
    """Girshick 2015, section 2.1: rounded corners, inclusive, bins from floor to ceiling."""

    def half_up(value: float) -> int:
        return math.floor(value + 0.5)

    channels, height, width = features.shape
    x1, y1, x2, y2 = (half_up(float(np.float32(v) * np.float32(scale))) for v in box)
    bin_w, bin_h = max(x2 - x1 + 1, 1) / size, max(y2 - y1 + 1, 1) / size
    result = np.zeros((channels, size, size), dtype=features.dtype)
    for i in range(size):
        for j in range(size):
            top, bottom = y1 + math.floor(i * bin_h), y1 + math.ceil((i + 1) * bin_h)
            left, right = x1 + math.floor(j * bin_w), x1 + math.ceil((j + 1) * bin_w)
            top, bottom = min(max(top, 0), height), min(max(bottom, 0), height)
            left, right = min(max(left, 0), width), min(max(right, 0), width)
            if bottom > top and right > left:
                result[:, i, j] = features[:, top:bottom, left:right].max(axis=(1, 2))
    return result


def roi_pool(features: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    boxes = [torch.from_numpy(box[None])]
    return torchvision.ops.roi_pool(torch.from_numpy(features[None]), boxes, size, 1 / 16)[0].numpy()


def test_roi_pooling_by_hand():
    features = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    # Corners 8 / 16 and 39 / 16 round to 1 and 2: cells 1 and 2, both inclusive.
    assert roi_pool(features, np.array([8, 8, 39, 39], np.float32), 2)[0].tolist() == [[5, 6], [9, 10]]
    # 7 / 16 rounds to 0: three cells, and the bins share the middle one.
    assert roi_pool(features, np.array([7, 7, 39, 39], np.float32), 2)[0].tolist() == [[5, 6], [9, 10]]
    assert roi_pool(features, np.array([8, 8, 39, 39], np.float32), 1)[0].tolist() == [[10]]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_roi_pooling_is_that_of_the_slow_loop(seed):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(2, 9, 13)).astype(np.float32)
    box = np.sort(generator.uniform(0, 210, (2, 2)), axis=0).ravel().astype(np.float32)
    np.testing.assert_array_equal(roi_pool(features, box, 7), slow_roi_pool(features, box, 1 / 16, 7))


def test_candidates_are_those_within_the_margin():
    scores = torch.tensor([[0.30, 0.45, 0.36, 0.01], [0.004, 0.003, 0.002, 0.001]])
    found = detections_from_scores(torch.zeros(2, 4), scores, threshold=0.005, margin=0.1)
    assert found.candidates.tolist() == [[1, 2], [0, -1]]  # the best one stays, whatever it scores
    assert found.scores[0].tolist() == pytest.approx([0.45, 0.36])
    assert len(detections_from_scores(torch.zeros(0, 4), torch.zeros(0, 4), 0.005, 0.1)) == 0


def detections(boxes: list, classes: list[int], scores: list[float]) -> Detections:
    arrays = np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64), np.array(scores, np.float32)
    return Detections(arrays[0], arrays[1][:, None], arrays[2][:, None])


def test_average_precision_by_hand():
    # hit, miss, hit of 3: precision 1, then 2/3 at recall 2/3; the third is never found: (1 + 2/3) / 3
    assert average_precision(np.array([True, False, True]), 3) == pytest.approx((1 + 2 / 3) / 3)
    # a miss first: the envelope lifts 1/2 to 2/3
    assert average_precision(np.array([False, True, True]), 2) == pytest.approx(2 / 3)
    assert average_precision(np.zeros(0, bool), 2) == 0


def test_matching_by_hand():
    truth, labels = np.array([[0.0, 0, 9, 9], [20, 20, 29, 29]]), np.array([0, 1])
    found = detections(
        [[0, 0, 9, 9], [0, 0, 9, 8], [20, 20, 29, 29], [20, 20, 29, 24], [20, 20, 29, 23]],
        [0, 0, 0, 1, 1],
        [0.6, 0.9, 0.9, 0.3, 0.9],
    )
    # The better of two on one object counts; the wrong class does not; half an object is just enough, less is not.
    assert match(found, truth, labels).tolist() == [False, True, False, True, False]
    score, classes = mean_average_precision([(found, truth, labels), (Detections.empty(), truth[:0], labels[:0])], 3)
    assert classes[:2].tolist() == pytest.approx([1.0, 0.5])
    assert math.isnan(classes[2])
    assert score == pytest.approx(0.75)
    assert mean_average_precision([], 3)[0] == 0
