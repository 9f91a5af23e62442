"""VG150: a file worked by hand, a generated one against plain reading, the way back, files that do not match."""

import json

import h5py
import numpy as np
import pytest

from benchmarks.make_vg150 import write_vg150
from benchmarks.vg150 import check_equal
from create_graph import main
from data.annotations import SPLITS
from data.vg150 import read_vg150
from files.io import InputError, read_json
from files.splits import Split
from semantic_graph import SemanticActionGraph

# Three images, of which the second is turned upright and has no relationship, and the third nothing at all.
ARRAYS = {
    "split": [0, 0, 2],
    "img_to_first_box": [0, 2, -1],
    "img_to_last_box": [1, 2, -1],
    "img_to_first_rel": [0, -1, -1],
    "img_to_last_rel": [1, -1, -1],
    "boxes_1024": [[512, 384, 1024, 768], [102, 50, 5, 10], [192, 512, 384, 1024]],
    "labels": [[2], [1], [2]],
    "relationships": [[0, 1], [1, 0]],
    "predicates": [[1], [3]],
}
DICTS = {
    "idx_to_label": {"1": "cup", "2": "table"},
    "label_to_idx": {"cup": 1, "table": 2},
    "idx_to_predicate": {"1": "under", "2": "near", "3": "on"},
    "predicate_to_idx": {"under": 1, "near": 2, "on": 3},
    "object_count": {"cup": 1, "table": 2},
}
IMAGE_DATA = [
    {"image_id": 1, "width": 512, "height": 384},
    {"image_id": 1592, "width": 7, "height": 7},
    {"image_id": 1593, "width": 300, "height": 800},
    {"image_id": 1722, "width": 7, "height": 7},
    {"image_id": 5000, "width": 640, "height": 480},
]


def write(folder, ending="", dicts=None, image_data=None, **arrays):
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / f"VG-SGG{ending}.h5", "w") as file:
        for name, values in (ARRAYS | arrays).items():
            if values is not None:
                file[name] = np.array(values)
    (folder / f"VG-SGG-dicts{ending}.json").write_text(json.dumps(DICTS | (dicts or {})))
    (folder / "image_data.json").write_text(json.dumps(IMAGE_DATA if image_data is None else image_data))
    return folder


def run(source, output, *more):
    return main(["--dataset", "vg150", "--annotations", str(source), "--output", str(output), *more])


def test_boxes_words_and_sizes_worked_by_hand(tmp_path):
    annotations, rows = read_vg150(write(tmp_path / "a"), num_validation=0)
    first, second, third = annotations.records()
    assert [r.image_name for r in (first, second, third)] == ["1.jpg", "1593.jpg", "5000.jpg"]
    assert (first.width, first.height, second.width, second.height) == (512, 384, 300, 800)
    # one pixel of the 1024 is half a pixel of a photo 512 wide: (512 - 1024 / 2) / 2 = 0, (102 - 5 / 2) / 2 = 49.75
    assert [(o.object_id, o.name, o.x, o.y, o.w, o.h) for o in first.labels.objects] == [
        (0, "table", 0, 0, 512, 384),
        (1, "cup", 49.75, 22.5, 2.5, 5),
    ]
    # the longer side of the second is its height: 800 / 1024 = 0.78125
    assert [(o.name, o.x, o.y, o.w, o.h) for o in second.labels.objects] == [("table", 0, 0, 300, 800)]
    edges = [(r.relationship_id, r.subject_id, r.predicate, r.object_id) for r in first.labels.relationships]
    assert edges == [(0, 0, "under", 1), (1, 1, "on", 0)]
    assert (second.labels.relationships, third.labels.objects) == ([], [])
    assert [part.tolist() for part in rows] == [[0, 1], [], [2]]


def test_attributes_are_read_up_to_their_padding(tmp_path):
    given = np.zeros((3, 10), int)
    given[1, :2] = 2, 1
    given[2, 0] = 1
    write(tmp_path, ending="-with-attri", dicts={"idx_to_attribute": {"1": "red", "2": "wooden"}}, attributes=given)
    write(tmp_path, predicates=[[2], [2]])  # beside it the file without attributes: the richer one is read
    first, second, _ = read_vg150(tmp_path)[0].records()
    assert [o.attributes for o in first.labels.objects] == [[], ["wooden", "red"]]
    assert [o.attributes for o in second.labels.objects] == [["red"]]
    assert first.labels.relationships[0].predicate == "under"


def test_the_vocabulary_is_fixed_and_validation_is_the_first_images_with_relationships(tmp_path):
    arrays = write_vg150(tmp_path / "a", 1000, seed=2, attributes=False)
    assert run(tmp_path / "a", tmp_path / "out") == 0
    graph = SemanticActionGraph.load(tmp_path / "out" / "graph.pickle")
    assert graph.entities == [f"label {i}" for i in range(1, 151)]
    assert graph.predicates == [f"predicate {i}" for i in range(1, 51)]
    splits = {name: Split(tmp_path / "out" / "data" / "data_samples" / f"{name}_data.json") for name in SPLITS}
    training = np.flatnonzero(arrays["split"] == 0)
    related = training[arrays["img_to_first_rel"][training] >= 0] + 1  # image ids begin with 1
    assert [r.labels.image_id for r in splits["validation"]] == related[:46].tolist()  # 5 000 of 108 073
    assert [r.labels.image_id for r in splits["train"]] == [i for i in training + 1 if i not in related[:46]]
    assert [r.labels.image_id for r in splits["test"]] == (np.flatnonzero(arrays["split"] == 2) + 1).tolist()

    assert run(tmp_path / "a", tmp_path / "out", "--num_validation", "7", "--num_train", "100", "--num_test", "9") == 0
    splits = {name: Split(tmp_path / "out" / "data" / "data_samples" / f"{name}_data.json") for name in SPLITS}
    assert [len(split) for split in splits.values()] == [100, 7, 9]
    assert [r.labels.image_id for r in splits["validation"]] == related[:7].tolist()


@pytest.mark.parametrize("attributes", [True, False])
def test_every_image_of_a_generated_file_equals_a_direct_reading(tmp_path, attributes):
    arrays = write_vg150(tmp_path / "a", 1700, attributes=attributes)  # 1592 and the like lie among them
    assert run(tmp_path / "a", tmp_path / "out") == 0
    assert check_equal(arrays, read_json(tmp_path / "a" / "image_data.json"), tmp_path / "out") == 1700


def test_what_was_read_written_back_equals_the_arrays(tmp_path):
    arrays = write_vg150(tmp_path, 400, seed=1)
    annotations, _ = read_vg150(tmp_path)
    back = {name: [] for name in ("boxes_1024", "labels", "attributes", "relationships", "predicates")}
    ranges = {f"img_to_{end}_{kind}": [] for kind in ("box", "rel") for end in ("first", "last")}
    number = {
        kind: {name: i + 1 for i, name in enumerate(annotations.names_of(kind))}
        for kind in ("entity", "attribute", "predicate")
    }
    for record in annotations.records():
        labels, scale = record.labels, 1024 / max(record.width, record.height)
        for kind, ids in (
            ("box", [o.object_id for o in labels.objects]),
            ("rel", [r.relationship_id for r in labels.relationships]),
        ):
            ranges[f"img_to_first_{kind}"].append(ids[0] if ids else -1)
            ranges[f"img_to_last_{kind}"].append(ids[-1] if ids else -1)
        for o in labels.objects:
            back["boxes_1024"].append([v * scale for v in (o.x + o.w / 2, o.y + o.h / 2, o.w, o.h)])
            back["labels"].append([number["entity"][o.name]])
            words = [number["attribute"][word] for word in o.attributes]
            back["attributes"].append(words + [0] * (10 - len(words)))
        for r in labels.relationships:
            back["relationships"].append([r.subject_id, r.object_id])
            back["predicates"].append([number["predicate"][r.predicate]])
    assert np.allclose(back.pop("boxes_1024"), arrays["boxes_1024"], atol=1e-9, rtol=0)
    for name, values in (back | ranges).items():
        assert np.array_equal(values, arrays[name]), name


def test_photos_that_are_there(tmp_path):
    source = write(tmp_path / "a")
    (tmp_path / "VG_100K").mkdir()
    (tmp_path / "VG_100K" / "1.jpg").touch()
    assert run(source, tmp_path / "out", "--images_dir", str(tmp_path), "--num_validation", "0") == 0
    split = Split(tmp_path / "out" / "data" / "data_samples" / "train_data.json")
    assert [record.image_name for record in split] == ["1.jpg"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"image_data": IMAGE_DATA[:-1]}, r"image_data\.json: lists 2 images without the 4 broken ones, VG-SGG.h5 has"),
        ({"image_data": [{"image_id": 1}]}, "image_data.json: has the wrong shape"),
        ({"labels": [[2], [3], [2]]}, r"labels\[1\] is 3, not from 1 to 2"),
        ({"labels": [[2], [0], [2]]}, r"labels\[1\] is 0, not from 1 to 2"),
        ({"labels": [[2], [1]]}, "boxes_1024 has 3 rows where 2 are needed"),
        ({"predicates": [[1], [4]]}, r"predicates\[1\] is 4, not from 1 to 3"),
        ({"predicates": None}, "has no dataset 'predicates'"),
        ({"relationships": [[0, 1], [1, 3]]}, r"relationships\[1, 1\] is 3, not from 0 to 2"),
        ({"relationships": [[0, 1], [1, 2]]}, r"relationships\[1\] joins boxes that are not both its image's"),
        ({"relationships": [0, 1]}, r"relationships has the shape \(2, 1\)|relationships has the shape \(2,\)"),
        ({"img_to_last_box": [1, 3, -1]}, r"img_to_last_box\[1\] are 2 and 3, no range of the 3 rows"),
        ({"img_to_first_box": [0, 1, -1]}, "overlap"),
        ({"img_to_first_rel": [1, -1, -1], "img_to_last_rel": [0, -1, -1]}, "are 1 and 0, no range"),
        ({"img_to_first_rel": [0, -1]}, "img_to_first_rel has 2 rows where 3 are needed"),
        ({"boxes_1024": [[1, 1, 2, 2], [5, 5, 0, 2], [1, 1, 2, 2]]}, r"boxes_1024\[1\] is \[5, 5, 0, 2\], which"),
        ({"boxes_1024": [[1, 1, 2, 2]] * 3 + [[1, 1, 2, 2]]}, "boxes_1024 has 4 rows where 3 are needed"),
        ({"boxes_1024": [["a"] * 4] * 3}, "boxes_1024"),
        ({"split": [0, 3, 2]}, r"split\[1\] is 3, not 0, 1 or 2"),
        ({"dicts": {"idx_to_label": {"1": "cup", "3": "table"}}}, "idx_to_label has no name for 2"),
        ({"dicts": {"idx_to_label": {"1": "cup", "2": "Cup "}}}, "idx_to_label has the name 'cup' twice"),
        ({"dicts": {"idx_to_label": None}}, "wrong shape"),
    ],
)  # fmt: skip
def test_files_that_do_not_belong_together_are_refused_in_one_line(tmp_path, capsys, files, message):
    values = {name: np.array(v, "S") if name == "boxes_1024" and v[0][0] == "a" else v for name, v in files.items()}
    source = write(tmp_path / "a", **values)
    with pytest.raises(InputError, match=message):
        read_vg150(source)
    assert run(source, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_named(tmp_path, capsys):
    tmp_path.joinpath("empty").mkdir()
    assert run(tmp_path / "empty", tmp_path / "out") == 2
    assert "holds no VG-SGG.h5 and no VG-SGG-with-attri.h5; get the files" in capsys.readouterr().err
    for name in ("VG-SGG-dicts.json", "image_data.json"):
        source = write(tmp_path / name)
        (source / name).unlink()
        assert run(source, tmp_path / "out") == 2
        assert f"{name}: no such file; get the files that belong together: python data/download.py vg150" in (
            capsys.readouterr().err
        )
    source = write(tmp_path / "cut")
    data = (source / "VG-SGG.h5").read_bytes()
    (source / "VG-SGG.h5").write_bytes(data[: len(data) // 2])
    assert run(source, tmp_path / "out") == 2
    assert "is not an HDF5 file, or is cut off" in capsys.readouterr().err
    assert main(["--annotations", str(source), "--output", str(tmp_path / "out")]) == 2
    assert "holds VG150, not Visual Genome; give --dataset vg150" in capsys.readouterr().err
