"""create_graph.py as a user runs it."""

import json
import re
import signal
import subprocess
import sys
import unicodedata
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import create_graph
import main
from benchmarks.make_visual_genome import write_visual_genome
from data import annotations as annotations_module
from data import json_list
from data.processes import Workers
from files.images import find_image
from files.io import InputError, atomic_write
from files.one_set import check_one_run, of_another_run
from files.splits import MOST_OBJECTS, Split
from semantic_graph import SemanticActionGraph

ROOT = Path(__file__).resolve().parents[1]
OUTPUTS = ["attribute_counts.json", "entity_counts.json", "graph.pickle", "predicate_counts.json"]
OUTPUTS += [f"data/data_samples/{name}_data.json" for name in ("test", "train", "validation")]


@pytest.fixture(scope="module")
def raw_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vg") / "raw_data"
    write_visual_genome(folder, 90, seed=3)
    return folder


def run(raw_data, output, *more):
    return create_graph.main(["--annotations", str(raw_data), "--output", str(output), "--min_occurrences", "5", *more])


def contents(output):
    return {name: (output / name).read_bytes() for name in OUTPUTS}


def splits(output):
    return {
        name: Split(output / "data" / "data_samples" / f"{name}_data.json") for name in ("train", "validation", "test")
    }


def counts(output, kind):
    return json.loads((output / f"{kind}_counts.json").read_text())


@pytest.fixture(scope="module")
def made(raw_data, tmp_path_factory):
    output = tmp_path_factory.mktemp("made")
    assert run(raw_data, output) == 0
    return output


def test_as_a_command(raw_data, made, tmp_path):
    command = [sys.executable, str(ROOT / "create_graph.py"), "--annotations", str(raw_data), "--min_occurrences", "5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Objects: " in done.stdout
    assert "Wrote graph.pickle" in done.stdout
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(OUTPUTS)
    assert contents(tmp_path) == contents(made)


@pytest.mark.parametrize("graph_from", ["train", "all"])
def test_counts_graph_and_splits_agree(raw_data, tmp_path, graph_from):
    assert run(raw_data, tmp_path, "--graph_from", graph_from, "--num_test", "40") == 0
    graph = SemanticActionGraph.load(tmp_path / "graph.pickle")
    entities, attributes, predicates, attribute_phrases, predicate_phrases = (Counter() for _ in range(5))
    for name, split in splits(tmp_path).items():
        for record in split:
            names = {item.object_id: item.name for item in record.labels.objects}
            assert set(names.values()) <= set(graph.entities)
            assert {word for item in record.labels.objects for word in item.attributes} <= set(graph.attributes)
            assert {item.predicate for item in record.labels.relationships} <= set(graph.predicates)
            if name == "train" or graph_from == "all":
                entities.update(names.values())
                for item in record.labels.objects:
                    attributes.update(item.attributes)
                    attribute_phrases.update((item.name, word) for word in item.attributes)
                for item in record.labels.relationships:
                    predicates[item.predicate] += 1
                    predicate_phrases[names[item.subject_id], item.predicate, names[item.object_id]] += 1
    for kind, found in (("entity", entities), ("attribute", attributes), ("predicate", predicates)):
        written = counts(tmp_path, kind)
        assert written == found
        assert list(written) == sorted(written, key=lambda word: (-written[word], word))
        assert min(written.values()) >= 5
    assert (graph.entities, graph.predicates) == (list(counts(tmp_path, "entity")), list(counts(tmp_path, "predicate")))
    e, a, p = graph.entities, graph.attributes, graph.predicates
    assert {(e[c], a[w]): n for c, w, n in graph.attribute_edges} == attribute_phrases
    assert {(e[s], p[r], e[o]): n for s, r, o, n in graph.predicate_edges} == predicate_phrases


def test_the_default_split_is_seeded_and_proportional(raw_data, made, tmp_path):
    assert {name: len(split) for name, split in splits(made).items()} == {"train": 82, "validation": 4, "test": 4}
    ids = [record.labels.image_id for split in splits(made).values() for record in split]
    assert sorted(ids) == list(range(1, 91))
    assert run(raw_data, tmp_path, "--seed", "1") == 0
    assert {r.image_name for r in splits(tmp_path)["test"]} != {r.image_name for r in splits(made)["test"]}


def test_several_processes_write_the_same_bytes(raw_data, made, tmp_path, monkeypatch):
    monkeypatch.setattr(json_list, "FEW_BYTES", 0)
    monkeypatch.setattr(json_list, "RANGE_BYTES", 1 << 18)
    monkeypatch.setattr(annotations_module, "PART_IMAGES", 7)
    monkeypatch.setattr(create_graph, "Workers", partial(Workers, 3))
    assert run(raw_data, tmp_path) == 0
    assert contents(tmp_path) == contents(made)


def test_only_images_that_are_there_from_both_folders(raw_data, tmp_path, capsys):
    for name in (
        "VG_100K/3.jpg",
        "VG_100K/4.png",
        "VG_100K_2/7.jpg",
        "VG_100K_2/8.JPG",
        "VG_100K_2/9.txt",
        "VG_100K/999.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    sizes = ("--num_train", "4", "--num_validation", "0", "--num_test", "0", "--min_occurrences", "1")
    for folder in (tmp_path / "VG_100K", tmp_path / "VG_100K_2", tmp_path):
        assert run(raw_data, tmp_path / "out", "--images_dir", str(folder), *sizes) == 0
        assert [record.image_name for record in splits(tmp_path / "out")["train"]] == [
            "3.jpg",
            "4.png",
            "7.jpg",
            "8.JPG",
        ]
    (tmp_path / "none").mkdir()
    assert run(raw_data, tmp_path / "out", "--images_dir", str(tmp_path / "none")) == 2
    assert run(raw_data, tmp_path / "out", "--images_dir", str(tmp_path / "missing")) == 2
    error = capsys.readouterr().err
    assert "has none of the annotated images" in error
    assert "missing: no such folder" in error


def test_a_split_file_beside_the_annotations_is_honoured(raw_data, tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for path in raw_data.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "split.json").write_text(
        json.dumps({"train": list(range(90, 10, -1)), "validation": [4], "test": [5, 1]})
    )
    assert run(folder, tmp_path / "a") == 0
    found = {name: [record.labels.image_id for record in split] for name, split in splits(tmp_path / "a").items()}
    assert found == {"train": list(range(11, 91)), "validation": [4], "test": [1, 5]}
    assert run(folder, tmp_path / "b", "--num_test", "30") == 0
    assert len(splits(tmp_path / "b")["test"]) == 30


def test_bad_input_leaves_the_old_files(raw_data, made, tmp_path, capsys):
    assert run(raw_data, tmp_path) == 0
    before = contents(tmp_path)
    folder = tmp_path / "raw"
    folder.mkdir()
    for path in raw_data.iterdir():
        (folder / path.name).write_bytes(path.read_bytes()[:-9000])
    assert run(folder, tmp_path) == 2
    error = capsys.readouterr().err
    assert "objects.json: the file ends inside item" in error
    assert error.count("\n") == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num_test", "91"], "there are 90; use smaller --num_train"),
        (["--min_occurrences", "1000000"], "no entity name occurs 1000000 times .* use a smaller --min_occurrences"),
        (["--annotations", "nowhere"], "nowhere: no such folder; give the one with the annotations by --annotations"),
        (["--num_train", "0", "--num_validation", "0", "--num_test", "0"], "no image is left"),
        (["--num_train", "0"], "no image is left for training; give a larger --num_train, or --graph_from all"),
        (["--dataset", "vrd"], "holds Visual Genome, not VRD; give --dataset vg"),
        (["--output", "/proc/none"], "cannot be written to .*; choose another --output"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(raw_data, tmp_path, capsys, arguments, message):
    assert run(raw_data, tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [["--num_test", "-1"], ["--min_occurrences", "0"], ["--seed", "-1"], ["--draw", "graph.pickle"], ["--word", "man"]],
)
def test_flags_out_of_range(arguments):
    with pytest.raises(SystemExit) as error:
        create_graph.main(arguments)
    assert error.value.code == 2


def test_describe(made, capsys):
    graph = SemanticActionGraph.load(made / "graph.pickle")
    assert create_graph.main(["--describe", str(made / "graph.pickle")]) == 0
    text = capsys.readouterr().out
    assert f"{len(graph.entities)} entities" in text
    *_, count = max(graph.predicate_edges.tolist(), key=lambda edge: edge[-1])
    assert f"{count}  " in text
    assert "Most frequent attribute phrases" in text
    assert create_graph.main(["--describe", str(made / "graph.pickle"), "--word", graph.entities[0].upper()]) == 0
    text = capsys.readouterr().out
    assert f"Entity {graph.entities[0]!r}:" in text
    assert "as subject" in text
    assert create_graph.main(["--describe", str(made / "graph.pickle"), "--word", graph.predicates[0]]) == 0
    assert f"Predicate {graph.predicates[0]!r}:" in capsys.readouterr().out
    assert create_graph.main(["--describe", str(made / "graph.pickle"), "--word", "zebra"]) == 2
    assert "has no word 'zebra'" in capsys.readouterr().err
    assert create_graph.main(["--describe", str(made / "graph.pickle"), "--word", graph.entities[0] + "x"]) == 2
    assert f"did you mean {graph.entities[0]!r}" in capsys.readouterr().err
    assert create_graph.main(["--describe", "missing.pickle"]) == 2


def test_draw(made, tmp_path):
    pytest.importorskip("drawing")
    word = SemanticActionGraph.load(made / "graph.pickle").entities[0]
    output = tmp_path / "word.svg"
    assert create_graph.main(["--draw", str(made / "graph.pickle"), "--word", word, "--output", str(output)]) == 0
    assert "<svg" in output.read_text()


def test_the_drawing_of_a_word_stays_in_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    graph = SemanticActionGraph(["../a/b"], ["red"], [], np.array([[0, 0, 3]]), np.zeros((0, 4)))
    graph.save("graph.pickle")
    assert create_graph.main(["--draw", "graph.pickle", "--word", "../a/b"]) == 0
    assert {path.suffix for path in tmp_path.iterdir()} == {".pickle", ".svg"}
    assert str(tmp_path) in capsys.readouterr().out


# Photos -----------------------------------------------------------------------------------------


@pytest.fixture
def photographed(tmp_path):
    """Functions: write six annotated images of 80 x 60 pixels, draw their photos, make the graph of them."""

    def write(size=None):
        corners = [(2, 3, 30, 40), (40, 10, 40, 50)]
        objects = [
            {"object_id": i, "name": "cup", "x": x, "y": y, "w": w, "h": h} for i, (x, y, w, h) in enumerate(corners)
        ]
        labels = [{"image_id": i, "objects": objects, "relationships": []} for i in range(6)]
        known = {} if size is None else {"width": size[0], "height": size[1]}
        images = [{"image_name": f"{i}.jpg", "labels": own} | known for i, own in enumerate(labels)]
        (tmp_path / "train_data.json").write_text(json.dumps(images))

    def draw(*sizes):
        (tmp_path / "photos").mkdir(exist_ok=True)
        for i in range(6):
            Image.new("RGB", sizes[i % len(sizes)]).save(tmp_path / "photos" / f"{i}.jpg")

    def make(*more):
        arguments = ["--dataset", "own", "--annotations", str(tmp_path), "--output", str(tmp_path / "out")]
        arguments += ["--num_validation", "0", "--num_test", "0", "--min_occurrences", "1"]
        return create_graph.main([*arguments, "--images_dir", str(tmp_path / "photos"), *more])

    return write, draw, make


def test_photos_of_the_annotated_size_pass_in_silence(photographed, tmp_path, capsys):
    write, draw, make = photographed
    draw((80, 60))
    for size in ((80, 60), None):
        write(size)
        assert make() == 0
        assert "arning" not in capsys.readouterr().out
        assert {(r.width, r.height) for r in splits(tmp_path / "out")["train"]} == {(80, 60)}


def test_photos_of_another_size_than_annotated_are_told_or_refused(photographed, capsys):
    write, draw, make = photographed
    write((80, 60))
    draw((160, 120))
    assert make() == 2
    error = capsys.readouterr().err
    assert "6 of 6 photos have another size than was annotated (0.jpg: 160 x 120, annotated 80 x 60)" in error
    assert error.count("\n") == 1
    draw((80, 60), (80, 60), (40, 30))
    assert make() == 0
    assert "2 of 6 photos have another size than was annotated" in capsys.readouterr().out


def test_boxes_that_leave_their_photo_are_counted_where_sizes_are_unknown(photographed, capsys):
    write, draw, make = photographed
    write()
    draw((40, 30))  # the first box is 32 wide and 43 high from the photo's corner: both leave it
    assert make() == 2
    assert "12 of 12 boxes cannot be of their photos: 12 look like boxes of a photo" in capsys.readouterr().err
    draw((80, 60), (80, 60), (60, 60))
    assert make() == 0
    assert "2 of 12 boxes leave their photo ('2.jpg' of 60 x 60)" in capsys.readouterr().out


def test_a_photo_that_cannot_be_read_is_named(photographed, tmp_path, capsys):
    write, draw, make = photographed
    write()
    draw((80, 60))
    (tmp_path / "photos" / "3.jpg").write_bytes(b"no photo")
    assert make() == 0
    assert re.search(r"1 photos cannot be read: .*3\.jpg: is not an image", capsys.readouterr().out)


def test_boxes_that_are_not_in_pixels_of_the_photo_are_refused(photographed, tmp_path, capsys):
    write, _, _ = photographed
    write((2, 2))
    assert run(tmp_path, tmp_path / "out", "--dataset", "own") == 2
    assert "12 of 12 boxes lie outside of their photo; are they in pixels" in capsys.readouterr().err


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_letters_with_accents_in_one_or_in_two_are_one_name(photographed, tmp_path, forms):
    write, draw, make = photographed
    write()
    draw((80, 60))
    annotated, stored = (unicodedata.normalize(form, "é1.jpg") for form in forms)
    text = (tmp_path / "train_data.json").read_text().replace("1.jpg", annotated)
    (tmp_path / "train_data.json").write_text(text)
    (tmp_path / "photos" / "1.jpg").rename(tmp_path / "photos" / stored)
    assert find_image(tmp_path / "photos", annotated) == tmp_path / "photos" / stored
    assert make() == 0
    split = splits(tmp_path / "out")["train"]
    assert split[1].image_name == stored
    assert find_image(tmp_path / "photos", split[1].image_name).is_file()


# Killed -----------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
import create_graph

renames, rename = 0, os.replace
def replace(*names):
    global renames
    renames += 1
    if renames == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*names)

os.replace = replace
create_graph.main(sys.argv[2:])
"""


@pytest.mark.parametrize("number", range(1, 8))
def test_a_run_that_is_killed_leaves_one_set_or_one_that_is_refused(raw_data, made, tmp_path, number):
    assert run(raw_data, tmp_path, "--seed", "7") == 0
    before, after = contents(tmp_path), contents(made)
    arguments = ["--annotations", str(raw_data), "--output", str(tmp_path), "--min_occurrences", "5"]
    done = subprocess.run([sys.executable, "-c", KILLED, str(number), *arguments], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    found = contents(tmp_path)
    renamed = [name for name in OUTPUTS if found[name] != before[name]]
    assert len(renamed) == number - 1
    assert all(found[name] == after[name] for name in renamed)
    leftovers = list(tmp_path.rglob("*.tmp"))
    assert len(leftovers) == 8 - number

    graph = SemanticActionGraph.load(tmp_path / "graph.pickle")
    mixed = [split for split in splits(tmp_path).values() if of_another_run(split, graph.made_in)]
    files = {"graph.pickle"} | {name for name in OUTPUTS if name.startswith("data/")}
    assert bool(mixed) == (0 < len(files & set(renamed)) < len(files))
    if mixed:
        with pytest.raises(InputError, match=r"graph\.pickle and .*_data\.json are of two runs of create_graph\.py"):
            check_one_run(tmp_path / "graph.pickle", graph.made_in, *splits(tmp_path).values())

    assert run(raw_data, tmp_path) == 0
    assert contents(tmp_path) == after
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_file_that_is_being_written_is_not_taken_for_a_leftover(raw_data, tmp_path):
    with atomic_write(tmp_path / "graph.pickle") as file:
        file.write(b"of another run")
        assert run(raw_data, tmp_path) == 0
    assert (tmp_path / "graph.pickle").read_bytes() == b"of another run"


def test_an_image_with_more_objects_than_can_be_numbered_is_named(tmp_path, capsys):
    objects = [{"object_id": i, "x": 1, "y": 1, "w": 9, "h": 9, "names": ["ant"]} for i in range(MOST_OBJECTS + 1)]
    (tmp_path / "objects.json").write_text(json.dumps([{"image_id": 4, "objects": objects}]))
    (tmp_path / "relationships.json").write_text("[]")
    assert run(tmp_path, tmp_path / "out", "--num_validation", "0", "--num_test", "0") == 2
    assert "image '4.jpg' has 32,001 objects; an image may have 32,000" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_training_refuses_files_of_two_runs(raw_data, made, tmp_path, capsys):
    assert run(raw_data, tmp_path, "--seed", "7") == 0
    samples = tmp_path / "data" / "data_samples"
    arguments = ["--train", "--graph", str(made / "graph.pickle"), "--output_dir", str(tmp_path / "run")]
    arguments += ["--train_data", str(samples / "train_data.json"), "--preset", "best"]
    arguments += ["--image_embedding_model_type", "none"]
    assert main.main([*arguments, "--validation_data", str(samples / "validation_data.json"), "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert "train_data.json are of two runs of create_graph.py; run it again, or give the files of one run" in error
    assert error.count("\n") == 1
