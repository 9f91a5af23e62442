"""The right files of every data set that create_graph.py reads, and create_graph.py on them."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_files import detections_hdf5, records, to_json
from fuzzing import Format

import create_graph
from files.io import InputError


def write_annotations(data_set: str, folder: Path) -> None:
    """The right files of a data set."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, value in ANNOTATIONS[data_set].items():
        (folder / name).write_bytes(annotation_writer(name)(value))


def annotation_writer(name: str) -> Callable[[Any], bytes]:
    return detections_hdf5 if name.endswith(".h5") else to_json


def read_annotations(name: str) -> Callable[[Path], Any]:
    """create_graph.py on a folder of right files but for the one at the path."""

    def read(path: Path) -> None:
        folder = path.with_name("annotations")
        write_annotations(name.split("/")[0], folder)
        shutil.copyfile(path, folder / name.split("/")[1])
        words = ["--annotations", folder, "--output", path.with_name("out"), "--min_occurrences", 1]
        words += ["--dataset", name.split("/")[0]] if name.split("/")[0] != "vg" else []
        status = create_graph.main([str(word) for word in words])
        if status:
            raise InputError("as it says")

    return read


VISUAL_GENOME = {
    "objects.json": [
        {"image_id": i, "objects": [
            {"object_id": 10 * i + k, "x": 1, "y": 2, "w": 30, "h": 40, "names": [name]}
            for k, name in enumerate(("dog", "ball"))
        ]}
        for i in (1, 2, 3)
    ],
    "attributes.json": [
        {"image_id": i, "attributes": [{"object_id": 10 * i, "names": ["dog"], "attributes": ["big"]}]}
        for i in (1, 2, 3)
    ],
    "relationships.json": [
        {"image_id": i, "relationships": [
            {"relationship_id": i, "predicate": "near", "subject": {"object_id": 10 * i, "name": "dog"},
             "object": {"object_id": 10 * i + 1, "name": "ball"}}
        ]}
        for i in (1, 2, 3)
    ],
    "image_data.json": [{"image_id": i, "width": 100, "height": 80} for i in (1, 2, 3)],
}  # fmt: skip
VRD_PAIR = {
    "predicate": 0,
    "subject": {"category": 0, "bbox": [1, 40, 1, 40]},
    "object": {"category": 1, "bbox": [5, 20, 5, 30]},
}
VRD = {
    "objects.json": ["dog", "ball"],
    "predicates.json": ["near"],
    "annotations_train.json": {"1.jpg": [VRD_PAIR], "2.jpg": [VRD_PAIR]},
    "annotations_test.json": {"3.jpg": [VRD_PAIR]},
}
GQA_IMAGE = {
    "width": 100,
    "height": 80,
    "objects": {
        "11": {"name": "dog", "x": 1, "y": 2, "w": 30, "h": 40, "attributes": ["big"],
               "relations": [{"name": "near", "object": "12"}]},
        "12": {"name": "ball", "x": 5, "y": 5, "w": 9, "h": 9, "attributes": [], "relations": []},
    },
}  # fmt: skip
GQA = {
    "train_sceneGraphs.json": {"1": GQA_IMAGE, "2": GQA_IMAGE},
    "val_sceneGraphs.json": {"3": GQA_IMAGE},
}
RANGES = ("img_to_first_box", "img_to_last_box", "img_to_first_rel", "img_to_last_rel")
VG150 = {
    "VG-SGG.h5": {
        "split": ["<i4", [0, 0, 0, 2]],
        **dict(zip(RANGES, (["<i4", row] for row in ([0, 2, 4, -1], [1, 3, 5, -1], [0, 1, 2, -1], [0, 1, 2, -1])),
                   strict=True)),
        "boxes_1024": ["<i4", [[512, 384, 200, 300], [102, 50, 5, 10]] * 3],
        "labels": ["<i8", [[2], [1]] * 3],
        "relationships": ["<i4", [[0, 1], [3, 2], [4, 5]]],
        "predicates": ["<i8", [[1], [1], [2]]],
    },
    "VG-SGG-dicts.json": {
        "idx_to_label": {"1": "cup", "2": "table"},
        "idx_to_predicate": {"1": "under", "2": "near"},
        "label_to_idx": {"cup": 1, "table": 2},
    },
    "image_data.json": [{"image_id": i, "width": 512, "height": 384} for i in (1, 2, 3, 4)],
}  # fmt: skip
OWN = {"train_data.json": records()}
ANNOTATIONS = {"vg": VISUAL_GENOME, "vrd": VRD, "gqa": GQA, "vg150": VG150, "own": OWN}


def annotation_format(name: str) -> Format:
    data_set, file = name.split("/")
    value, write = lambda: copy.deepcopy(ANNOTATIONS[data_set][file]), annotation_writer(file)
    return Format(file.rpartition(".")[2], value, write, read_annotations(name))
