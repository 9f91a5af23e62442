"""What every command reads: who reads a file of each kind (how right ones are written: fuzz_files.py).

`FORMATS` maps a name to a `Format`. A reader gives back what it read or raises InputError, whatever the file holds.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from fuzz_annotations import ANNOTATIONS, annotation_format
from fuzz_files import (
    action_graph,
    archive,
    archive_entries,
    archive_members,
    archive_of,
    checkpoint,
    checkpoint_parts,
    coco,
    detections,
    detections_columns,
    detections_hdf5,
    graph_of_image,
    image_states,
    npy,
    npy_parts,
    npz,
    packed_columns,
    packed_hdf5,
    predictions,
    records,
    to_json,
    to_pickle,
)  # fmt: skip
from fuzzing import Format
from PIL import Image

from data import download
from data.vocabulary import read_word_list
from faster_rcnn.vgg16 import VGG16FasterRCNN
from faster_rcnn.weights import load_vgg16
from files.arrays import as_float32, read_archive, read_array
from files.checkpoints import load_checkpoint, load_parameters, read_tensors
from files.detections import read_detections
from files.images import image_header, load_image
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
    "detections HDF5 packed": Format("h5", packed_columns, packed_hdf5, lambda path: dict(read_detections(path))),
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
    "zip archive of all kinds": Format("zip", archive_entries, archive_of, unpack_archive),
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
