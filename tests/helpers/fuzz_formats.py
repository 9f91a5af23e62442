"""What every command reads: how a right file of each kind is written, and who reads it.

`FORMATS` maps a name to a `Format`. A reader gives back what it read or raises InputError, whatever the file holds.
"""

from __future__ import annotations

import copy
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from fuzzing import Format
from PIL import Image

import create_graph
from data import download
from data.vocabulary import read_word_list
from faster_rcnn.vgg16 import VGG16FasterRCNN
from faster_rcnn.weights import load_vgg16
from files.arrays import as_float32, read_archive, read_array
from files.checkpoints import load_checkpoint, load_parameters, read_tensors
from files.detections import read_detections
from files.images import image_header, load_image
from files.io import InputError
from files.photos import find_photos, output_names
from files.predictions import read_predictions
from files.scene_graphs import read_graph, read_image_states
from files.splits import Split
from learning_curve import read_log
from scenes.class_map import read_class_map
from scenes.features import _load_state
from semantic_graph import SemanticActionGraph, read_aliases
from skipthoughts import load_encoder, weights
from skipthoughts.vocabulary_expansion import read_word_vectors

# ---------------------------------------------------------------- right files


def to_json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8")


def to_pickle(value: Any) -> bytes:
    return pickle.dumps(value, protocol=4)


def records() -> list[dict]:
    return [
        {
            "image_name": f"{i}.jpg",
            "width": 100,
            "height": 80,
            "labels": {
                "image_id": i,
                "objects": [
                    {"object_id": 7 + k, "x": 3 * k, "y": 4.5, "w": 20, "h": 30, "name": name, "attributes": ["red"]}
                    for k, name in enumerate(("dog", "ball"))
                ],
                "relationships": [{"relationship_id": 1, "predicate": "near", "subject_id": 7, "object_id": 8}],
            },
        }
        for i in (1, 2)
    ]


def detections() -> dict:
    box = {"category": "dog", "score": 0.5, "bbox": [1, 2, 30, 40], "scores": {"dog": 0.5, "ball": 0.25}}
    return {"classes": ["dog", "ball"], "images": {"1.jpg": [box, box | {"category": 1, "scores": {}}], "2.jpg": []}}


def coco() -> dict:
    return {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 100, "height": 80}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 30, 40], "score": 0.5}],
        "categories": [{"id": 3, "name": "dog"}],
    }


def graph_of_image() -> dict:
    thing = {"name": "dog", "x": 1, "y": 2, "w": 30, "h": 40, "score": 0.5}
    return {
        "image_name": "1.jpg",
        "objects": [thing, thing | {"name": "ball", "attributes": ["red"]}],
        "attributes": [{"attribute": "big", "object": 0, "score": 0.5, "step": 0}],
        "relationships": [{"predicate": "near", "subject": 0, "object": 1, "score": 0.5}],
        "steps": [[0, 1], [1, -1]],
    }


def image_states() -> dict:
    graph = graph_of_image()
    del graph["objects"][1]["attributes"]
    return {"gt": [graph], "curr": [copy.deepcopy(graph)]}


def predictions() -> dict:
    pair = {"subject": "dog", "predicate": "near", "object": "ball", "score": 0.5}
    boxes = {"subject_box": [1, 2, 30, 40], "object_box": [5, 6, 20, 20]}
    return {"1.jpg": {"relationships": [pair | boxes], "attributes": [
        {"entity": "dog", "attribute": "big", "box": [1, 2, 30, 40], "score": 0.5}]}}  # fmt: skip


def action_graph() -> dict:
    return {
        "format": "semantic action graph 1",
        "entities": ["ball", "dog"],
        "attributes": ["big", "red"],
        "predicates": ["near"],
        "attribute_phrases": {"category": [0, 1], "attribute": [1, 0], "count": [3, 2]},
        "predicate_phrases": {"subject": [1], "predicate": [0], "object": [0], "count": [4]},
        "entity_aliases": {"puppy": "dog"},
        "predicate_aliases": {},
        "annotation_categories": None,
        "annotation_predicates": None,
    }


def detections_hdf5(value: dict) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        for name, (dtype, numbers) in value.items():
            text = dtype == "text"
            content.create_dataset(name, data=np.array(numbers, object if text else dtype),
                                   dtype=h5py.string_dtype() if text else None)  # fmt: skip
    return file.getvalue()


def detections_columns() -> dict:
    return {
        "classes": ["text", ["dog", "ball"]],
        "image_names": ["text", ["1.jpg", "2.jpg"]],
        "image_offsets": ["<i8", [0, 1, 2]],
        "boxes": ["<f4", [[1, 2, 30, 40], [5, 6, 20, 20]]],
        "candidate_offsets": ["<i8", [0, 1, 3]],
        "candidates": ["<i4", [0, 1, 0]],
        "scores": ["<f4", [0.5, 0.6, 0.25]],
    }


def npy(value: dict) -> bytes:
    text = repr(value["header"]).encode() + b"\n"
    version, data = (bytes(list(value[key])) for key in ("version", "data"))  # of a number bytes() makes as many zeros
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


def npy_parts() -> dict:
    header = {"descr": "<f4", "fortran_order": False, "shape": (2, 3)}
    return {"version": [1, 0], "header": header, "data": list(np.arange(6, dtype="<f4").tobytes())}


def npz(value: dict) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if value["packed"] else zipfile.ZIP_STORED) as archive:
        for name, parts in value["arrays"].items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), npy(parts), archive.compression)
    return file.getvalue()


def checkpoint(value: dict) -> bytes:
    """Lists of numbers under "weight" and "bias" become tensors."""
    network = {
        name: torch.tensor(numbers) if isinstance(numbers, list) else numbers
        for name, numbers in value["network"].items()
    }
    file = io.BytesIO()
    torch.save(value | {"network": network}, file, _use_new_zipfile_serialization=not value.get("old"))
    return file.getvalue()


def checkpoint_parts() -> dict:
    from files.checkpoints import FORMAT

    network = {"weight": [[1.0, 2.0], [3.0, 4.0]], "bias": [0.5, 0.25]}
    about = {"graph": "abc", "model": {"fusion_sizes": [4]}}
    return {"format": FORMAT, "arguments": {"seed": 0}, "description": about, "network": network}


def read_checkpoint(path: Path) -> None:
    saved = load_checkpoint(path, {"arguments": dict, "description": dict, "network": dict})
    load_parameters(torch.nn.Linear(2, 2), saved["network"], path)


def skip_thought_files(folder: Path) -> None:
    weights.write_dictionary(folder, ["<eos>", "UNK", "dog", "near"])
    weights.write_table(folder, "uni", np.arange(12).reshape(4, 3) / 12)
    shapes = {"W": (3, 8), "b": (8,), "U": (4, 8), "Wx": (3, 4), "bx": (4,), "Ux": (4, 4)}
    parameters = {f"encoder_{name}": np.full(shape, 0.1, np.float32) for name, shape in shapes.items()}
    weights.write_parameters(folder, "uni", parameters, {"dim": 4, "dim_word": 3, "encoder": "gru"})


def read_skip_thoughts(name: str) -> Callable[[Path], Any]:
    """Reads a model of right files but for the one at the path."""

    def read(path: Path) -> None:
        folder, right = path.with_name("skip"), path.with_name("right")
        if not right.exists():
            right.mkdir()
            skip_thought_files(right)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(right, folder)
        shutil.copyfile(path, folder / name)
        load_encoder(folder, "uni").encode(["dog near dog", "unheard-of"])

    return read


def skip_thought_file(name: str) -> Callable[[], bytes]:
    def value() -> bytes:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            skip_thought_files(Path(folder))
            return (Path(folder) / name).read_bytes()

    return value


def parsed_options() -> dict:
    return {"dim": 4, "dim_word": 3, "encoder": "gru", "sizes": [1, 2]}


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
        words = ["--annotations", folder, "--output", path.with_name("out"), "--min_occurances", 1]
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


def picture(kind: str, mode: str) -> Callable[[], bytes]:
    def value() -> bytes:
        file = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 256, (40, 60, 4), dtype=np.uint8)
        Image.fromarray(noise).convert(mode).save(file, kind)
        return file.getvalue()

    return value


def as_it_is(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8")


def lines(text: str) -> Callable[[], list[list[str]]]:
    return lambda: [line.split(",") for line in text.splitlines()]


def to_lines(value: list) -> bytes:
    return "\n".join(",".join(map(str, row)) for row in value).encode("utf-8")


def archive(value: dict) -> bytes:
    """{name of a member: its text}; packed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
        for name, text in value.items():
            members.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def archive_members() -> dict:
    return {"a/objects.json": "[" + "1, 2, " * 99 + "3]", "a/b.json": "[]", "a/splits.py": "raise SystemExit"}


def unpack_archive(path: Path) -> None:
    """data/download.py, which finds the archive there already. What it leaves must be what was expected."""
    folder = path.with_name("unpacked")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copyfile(path, folder / "data.zip")
    try:
        download.get(download.Source("http://localhost/data.zip", ("objects.json", "b.json")), "", folder, "a page")
    finally:
        found = {other.name for other in folder.rglob("*") if other.is_file()}
        if found - {"data.zip", ".data.zip.done", "objects.json", "b.json"}:
            raise AssertionError(f"it unpacked {found}")


SMALL_VGG16 = {"widths": (2, 2, 2, 2, 2), "hidden": 2}


def vgg16_file(value: dict) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content.attrs["classes"] = value["classes"]
        for name, tensor in value["parameters"].items():
            content.create_dataset(name, data=tensor.numpy() if isinstance(tensor, torch.Tensor) else tensor)
    return file.getvalue()


def vgg16_parts() -> dict:
    parameters = VGG16FasterRCNN(["dog", "ball"], **SMALL_VGG16).state_dict()
    return {"classes": ["dog", "ball"], "parameters": {name: torch.zeros_like(t) for name, t in parameters.items()}}


def tensor_file(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def embedding_parts() -> dict:
    return {"0.weight": torch.ones(2, 3), "0.bias": torch.zeros(2), "fc.weight": torch.ones(2, 2)}


def read_embedding(path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 2))
    _load_state(network, read_tensors(path, "give a state_dict"), "fc.", str(path))


def word_array(path: Path) -> None:
    """Word vectors as .npy, with their words beside them."""
    path.with_suffix(".txt").write_text("dog\nball\n")
    read_word_vectors(path)


def list_of_photos(path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        path.with_name(name).write_bytes(picture("JPEG", "RGB")())
    found = find_photos([str(path)])
    output_names(found.paths)
    for photo in found.paths:
        image_header(photo)


def read_picture(path: Path) -> None:
    image_header(path)
    load_image(path)
    load_image(path, longest=16)


LOG = "epoch,transitions,epsilon,reward,loss,validation_relationship_R50\n1,100,1,0.5,,10\n2,100,0.5,0.6,0.7,20"
PICTURES = ("JPEG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("GIF", "P"), ("TIFF", "I"), ("BMP", "RGB"), ("WEBP", "RGB")
FORMATS: dict[str, Format] = {
    "split JSON": Format("json", records, to_json, lambda path: list(Split(path))),
    "detections JSON": Format("json", detections, to_json, lambda path: dict(read_detections(path, ["a", "b"]))),
    "detections COCO": Format("json", coco, to_json, lambda path: dict(read_detections(path))),
    "detections HDF5": Format("h5", detections_columns, detections_hdf5, lambda path: dict(read_detections(path))),
    "graph JSON": Format("json", graph_of_image, to_json, read_graph),
    "predictions JSON": Format("json", predictions, to_json, read_predictions),
    "graph.pickle": Format("pickle", action_graph, to_pickle, SemanticActionGraph.load),
    "image_states.pickle": Format("pickle", image_states, to_pickle, read_image_states),
    "class map": Format("json", lambda: {"hound": "dog", "sphere": "ball"}, to_json, read_class_map),
    "npy": Format("npy", npy_parts, npy, lambda path: as_float32(read_array(path), path)),
    "npz": Format("npz", lambda: {"packed": True, "arrays": {"a": npy_parts()}}, npz, lambda p: read_archive(p, ["a"])),
    "checkpoint": Format("pt", checkpoint_parts, checkpoint, read_checkpoint),
    "old checkpoint": Format("pt", lambda: checkpoint_parts() | {"old": True}, checkpoint, read_checkpoint),
    "word vectors": Format("txt", lines("dog 0.5 1\nball 2 3"), to_lines, read_word_vectors),
    "skip-thought dictionary": Format(
        "txt", skip_thought_file("dictionary.txt"), as_it_is, read_skip_thoughts("dictionary.txt")
    ),
    "skip-thought table": Format("npy", skip_thought_file("utable.npy"), as_it_is, read_skip_thoughts("utable.npy")),
    "skip-thought parameters": Format(
        "npz", skip_thought_file("uni_skip.npz"), as_it_is, read_skip_thoughts("uni_skip.npz")
    ),
    "skip-thought options": Format("pkl", parsed_options, to_pickle, read_skip_thoughts("uni_skip.npz.pkl")),
    "zip archive": Format("zip", archive_members, archive, unpack_archive),
    "detector HDF5": Format("h5", vgg16_parts, vgg16_file, lambda path: load_vgg16(path, **SMALL_VGG16)),
    "embedding weights": Format("pth", embedding_parts, tensor_file, read_embedding),
    "word vectors npy": Format("npy", npy_parts, npy, word_array),
    "word list": Format("txt", lambda: {"dog": 3, "ball": 2}, to_json, read_word_list),
    "word list of lines": Format("txt", lines("dog\nball"), to_lines, read_word_list),
    "list of photos": Format("txt", lines("a.jpg\nb.jpg"), to_lines, list_of_photos),
    "aliases": Format("txt", lines("dog,puppy,hound\nball,sphere"), to_lines, read_aliases),
    "log.csv": Format("csv", lines(LOG), to_lines, read_log),
    **{
        f"image {kind} {mode}": Format(kind.lower(), picture(kind, mode), as_it_is, read_picture)
        for kind, mode in PICTURES
    },
    **{f"annotations {data_set} {file}": annotation_format(f"{data_set}/{file}")
       for data_set, files in ANNOTATIONS.items() for file in files},
}  # fmt: skip
