"""What right files of each kind hold, as trees of dictionaries and lists to be changed, and how they are written."""

from __future__ import annotations

import copy
import io
import json
import pickle
import zipfile
import zlib
from typing import Any

import h5py
import numpy as np
import torch


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


def packed_hdf5(value: dict) -> bytes:
    """Columns in packed pieces, and one whose piece is what `value` says, packed."""
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        for name, (dtype, numbers) in value["columns"].items():
            text = dtype == "text"
            data, kind = np.array(numbers, object if text else dtype), h5py.string_dtype() if text else None
            how = {"compression": value["compression"], "shuffle": value["shuffle"], "fletcher32": value["checksum"]}
            dataset = content.create_dataset(name, data=data, dtype=kind, chunks=data.shape, **how)
            if name == value["stored"]["of"]:
                piece = bytes(list(value["stored"]["bytes"])) * min(value["stored"]["times"], 2**20)
                dataset.id.write_direct_chunk((0,) * data.ndim, zlib.compress(piece, 9))
    return file.getvalue()


def packed_columns() -> dict:
    return {
        "columns": detections_columns(),
        "compression": "gzip",
        "shuffle": False,
        "checksum": False,
        "stored": {"of": "scores", "bytes": list(np.array([0.5, 0.6, 0.25], "<f4").tobytes()), "times": 1},
    }


def archive(value: dict) -> bytes:
    """{name of a member: its text}; packed."""
    return archive_of([{"name": name, "text": text, "method": 8, "mode": 0, "size": 0} for name, text in value.items()])


def archive_of(members: list[dict]) -> bytes:
    """method: how it is packed; mode: what the file is, a link perhaps; size: more bytes than it has, as announced."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member in members:
            info = zipfile.ZipInfo(member["name"])
            info.external_attr = member["mode"] << 16
            archive.writestr(info, member["text"], member["method"])
            info.file_size += member["size"]  # in the list of files
    return file.getvalue()


def archive_members() -> dict:
    return {"a/objects.json": "[" + "1, 2, " * 99 + "3]", "a/b.json": "[]", "a/splits.py": "raise SystemExit"}


def archive_entries() -> list[dict]:
    names = ("a/objects.json", "a/b.json", "a/B.txt", "c/notes.txt")
    return [
        {"name": name, "text": "[1, 2, 3]" * 20, "method": method, "mode": 0o100644, "size": 0}
        for name, method in zip(names, (0, 8, 12, 14), strict=True)
    ]
