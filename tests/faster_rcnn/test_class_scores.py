"""What detectors see in boxes that are given: the scores of SGCls."""

import numpy as np
import torch
from test_faster_rcnn_detect import NAMES, detector, images  # noqa: F401 (a fixture)
from test_faster_rcnn_vgg16 import photo, small_detector
from torchvision.ops import box_iou


def test_torchvisions_scores_are_those_of_its_own_post_processing(detector):  # noqa: F811
    """The boxes go in as proposals; their scores come out as torchvision lists them, one by one for each class."""
    image = images()[1]
    given = np.array([[5, 7, 40, 60], [20, 30, 80, 120], [0, 0, 89, 129]], dtype=np.float32)
    scores = detector.class_scores([image], [given])[0]
    assert scores.shape == (3, len(NAMES))
    model, heads = detector.model, detector.model.roi_heads
    with torch.no_grad():
        batch, _ = model.transform(detector._tensors([image]))
        height, width = batch.image_sizes[0]
        ratio = torch.tensor([width / image.width, height / image.height] * 2)
        edges = (torch.from_numpy(given) + torch.tensor([0, 0, 1, 1])) * ratio
        saved = heads.score_thresh, heads.nms_thresh, heads.detections_per_img
        heads.score_thresh, heads.nms_thresh, heads.detections_per_img = 0.0, 1.1, 10_000
        (theirs,), _ = heads(model.backbone(batch.tensors), [edges], batch.image_sizes)
        heads.score_thresh, heads.nms_thresh, heads.detections_per_img = saved
    for category in range(len(NAMES)):
        listed = theirs["scores"][theirs["labels"] == category + 1].sort().values
        assert np.allclose(np.sort(scores[:, category]), listed, atol=1e-6)


def test_images_and_boxes_do_not_depend_on_each_other(detector):  # noqa: F811
    first, second = images()
    boxes = np.array([[5, 7, 40, 60], [20, 30, 80, 110]], dtype=np.float32)
    both = detector.class_scores([first, second], [boxes, boxes[:1]])
    assert [len(rows) for rows in both] == [2, 1]
    assert np.allclose(both[0][1], detector.class_scores([first], [boxes[1:]])[0][0], atol=1e-6)
    assert np.allclose(both[1], detector.class_scores([second], [boxes[:1]])[0], atol=1e-6)


def test_vgg16s_scores_of_its_own_proposals_are_those_it_detects_with():
    vgg = small_detector()
    image = photo(200, 150)
    with torch.no_grad():
        pixels, scale = vgg.preprocess(image)
        proposals = torch.tensor([[10.0, 20, 300, 400], [50, 60, 200, 250]])
        logits, _ = vgg.classify(vgg.rpn.features(pixels), proposals)
    scores = vgg.class_scores([image], [(proposals / scale).numpy()])[0]
    assert np.allclose(scores, logits.softmax(dim=1)[:, 1:], atol=1e-5)
    assert box_iou(proposals, proposals)[0, 1] < 1
