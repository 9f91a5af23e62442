"""--predict: any photo, any number of them, what is done stays done, what does not decode is skipped and said."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_run import World, copy_of_run

from engine import photos as photos_on_their_way
from engine import prediction
from engine.parts import PRETRAINED
from files import images
from files.detections_json import COCO_CATEGORIES
from files.images import load_image
from files.io import InputError
from files.locks import folder_lock
from files.photos import find_photos, output_names
from files.scene_graphs import checked_graph
from main import main
from scenes.class_map import map_classes, read_class_map
from semantic_graph import SemanticActionGraph


@pytest.fixture
def run(made, tmp_path) -> Path:
    return copy_of_run(made, tmp_path / "run")


def predict(made: World, run: Path, photos: Path, *more: str, detections: Path | None = None) -> int:
    """--predict as a user calls it: no split is there, the agent's flags come out of its checkpoint."""
    flags = [
        "--graph",
        made.graph,
        "--detections",
        detections or made.detections,
        "--output_dir",
        run,
        "--device",
        "cpu",
    ]
    return main(["--predict", *map(str, (photos, *flags, "--num_workers", 2, *more))])


def written(run: Path) -> set[str]:
    return {path.name for path in (run / "predictions").iterdir() if not path.name.startswith(".")}


def one_photo(made: World) -> Path:
    return made.images / made.records("test")[0]["image_name"]


def test_one_photo(made, run, capsys):
    photo = one_photo(made)
    assert predict(made, run, photo) == 0
    assert written(run) == {f"{photo.stem}.json", f"{photo.stem}_boxes.jpg", f"{photo.stem}_graph.png"}
    graph = json.loads((run / "predictions" / f"{photo.stem}.json").read_text())
    assert graph == checked_graph(graph, "it")
    assert graph["image_name"] == photo.name
    boxes = json.loads(made.detections.read_text())[photo.name]
    assert len(graph["objects"]) >= len(boxes)
    assert all("score" in thing for kind in ("objects", "relationships", "attributes") for thing in graph[kind])
    with Image.open(run / "predictions" / f"{photo.stem}_boxes.jpg") as picture, Image.open(photo) as original:
        assert picture.size[0] / picture.size[1] == pytest.approx(original.size[0] / original.size[1], rel=0.01)
    out = capsys.readouterr().out
    assert f"{photo.name}: {len(graph['objects'])} objects" in out
    assert "Scene graphs of 1 of 1 photos written" in out
    assert f"Boxes: {made.detections}" in out
    assert "corners" in out
    with Image.open(photo) as original:
        assert (graph["width"], graph["height"]) == original.size
    assert graph["orientation_applied"] is False
    assert graph["photo"] == str(photo)
    assert graph["steps"]
    pairs = [line for line in out.splitlines() if line.startswith("  ")]
    assert 0 < len(pairs) <= prediction.LISTED
    scores = [float(line.split()[-1]) for line in pairs]
    assert scores == sorted(scores, reverse=True)


def test_it_finds_what_a_test_finds(made, run):
    """The same photo, boxes and agent: the same graph, though features come from the photo and not from the cache.

    The test keeps the agent's own choices too, however little it believes in them. Both look at every pair.
    """
    all_pairs = ("--step_cost", "0")
    assert main(["--test", *made.files(run), *all_pairs, "--detections", str(made.detections), "--device", "cpu"]) == 0
    tested = json.loads((run / "predictions.json").read_text())
    photo = one_photo(made)
    assert predict(made, run, photo, *all_pairs) == 0
    graph = json.loads((run / "predictions" / f"{photo.stem}.json").read_text())
    names = [thing["name"] for thing in graph["objects"]]
    found = [(names[e["subject"]], e["predicate"], names[e["object"]], e["score"]) for e in graph["relationships"]]
    rows = [(r["subject"], r["predicate"], r["object"], r["score"]) for r in tested[photo.name]["relationships"]]
    assert 0 < len(found) <= 100  # --maximum_phrases; a test also keeps the agent's own choices
    assert found == rows[: len(found)]


def every_kind_of_photo(folder: Path, source: Path) -> list[str]:
    """One photo in every form that turns up in a folder: formats, modes, turned by EXIF, with alpha, moving."""
    folder.mkdir()
    with Image.open(source) as photo:
        photo = photo.convert("RGB").resize((160, 120))
    photo.save(folder / "plain.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    photo.save(folder / "turned.jpg", exif=turned)
    photo.convert("RGBA").save(folder / "alpha.png")
    photo.convert("L").save(folder / "grey.png")
    photo.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257).save(folder / "deep.png")
    photo.save(folder / "web.webp")
    photo.save(folder / "moving.gif", save_all=True, append_images=[photo.rotate(90)])
    return sorted(path.name for path in folder.iterdir())


def boxes_for(names: list[str], path: Path) -> Path:
    boxes = [
        {"category": "dog", "score": 0.9, "bbox": [10, 10, 60, 60]},
        {"category": "man", "score": 0.8, "bbox": [40, 20, 110, 110]},
    ]
    path.write_text(json.dumps(dict.fromkeys(names, boxes)))
    return path


def test_every_kind_of_photo(made, run, tmp_path):
    names = every_kind_of_photo(tmp_path / "photos", one_photo(made))
    assert predict(made, run, tmp_path / "photos", detections=boxes_for(names, tmp_path / "boxes.json")) == 0
    assert len(written(run)) == 3 * len(names) == 24
    with Image.open(run / "predictions" / "turned_boxes.jpg") as picture:
        assert picture.height > picture.width


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_another_setting_begins_anew(made, run, tmp_path, capsys, monkeypatch):
    names = every_kind_of_photo(tmp_path / "photos", one_photo(made))
    boxes = boxes_for(names, tmp_path / "boxes.json")
    monkeypatch.setattr(prediction, "BLOCK_OF_PIXELS", 2)
    decoded = []
    monkeypatch.setattr(
        photos_on_their_way, "load_image", lambda path, *size: decoded.append(path.name) or load_image(path, *size)
    )
    write = prediction.write_graph

    def dies(graph, photo, formats):
        if graph["image_name"] == "grey.png":
            raise KeyboardInterrupt
        write(graph, photo, formats)

    monkeypatch.setattr(prediction, "write_graph", dies)
    assert predict(made, run, tmp_path / "photos", detections=boxes) == 130
    assert "same command" in capsys.readouterr().out
    done = {name for name in written(run) if name.endswith(".json")}
    assert 0 < len(done) < len(names)

    monkeypatch.setattr(prediction, "write_graph", write)
    decoded.clear()
    assert predict(made, run, tmp_path / "photos", detections=boxes) == 0
    assert sorted(decoded) == sorted(name for name in names if f"{Path(name).stem}.json" not in done)  # once each
    out = capsys.readouterr().out
    assert f"of {len(names) - len(done)} of {len(names)} photos" in out
    assert f"{len(done)} were there already" in out

    decoded.clear()
    assert predict(made, run, tmp_path / "photos", detections=boxes) == 0
    assert decoded == []
    os.utime(tmp_path / "photos" / "grey.png")  # touched, not changed
    older = (tmp_path / "photos" / "moving.gif").read_bytes()
    (tmp_path / "photos" / "web.webp").write_bytes(older)  # another photo, with an older time
    os.utime(tmp_path / "photos" / "web.webp", (0, 0))
    damaged = run / "predictions" / "deep.json"
    damaged.write_bytes(damaged.read_bytes()[:100])
    (run / "predictions" / "cmyk_boxes.jpg").unlink()
    assert predict(made, run, tmp_path / "photos", detections=boxes) == 0
    assert sorted(decoded) == ["cmyk.jpg", "deep.png", "web.webp"]  # two threads read photos
    capsys.readouterr()
    decoded.clear()
    assert predict(made, run, tmp_path / "photos", "--predicates_per_pair", "2", detections=boxes) == 0
    assert f"{len(names)} photos were done from other photos, boxes or settings" in capsys.readouterr().out
    assert len(decoded) == len(names)


def test_what_cannot_be_used_is_skipped_and_listed_at_the_end(made, run, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    data = one_photo(made).read_bytes()
    (photos / "good.jpg").write_bytes(data)
    (photos / "cut.jpg").write_bytes(data[:500])
    (photos / "text.png").write_text("no image")
    (photos / "unknown.jpg").write_bytes(data)
    (photos / "notes.txt").write_text("not looked at")
    boxes = boxes_for(["good.jpg", "cut.jpg", "text.png"], tmp_path / "boxes.json")
    assert predict(made, run, photos, detections=boxes) == 0
    printed = capsys.readouterr()
    assert written(run) == {"good.json", "good_boxes.jpg", "good_graph.png"}
    listed = [line for line in printed.err.splitlines() if line.startswith("skipped: ")]
    assert sorted(line.split()[1] for line in listed) == ["cut.jpg:", "text.png:", "unknown.jpg:"]
    assert "1 of 4 photos" in printed.out
    assert "3 skipped" in printed.out
    assert "Passed over: 1 file that is not a readable image: 1 .txt." in printed.out


def test_photos_with_one_object_and_with_none(made, run, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    boxes = {"none.jpg": [], "one.jpg": [{"category": "dog", "score": 0.9, "bbox": [10, 10, 60, 60]}]}
    boxes["outside.jpg"] = [{"category": "dog", "score": 0.9, "bbox": [-5000, 7, 9000, 9999]}] * 2
    for name in boxes:
        (photos / name).write_bytes(one_photo(made).read_bytes())
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    assert predict(made, run, photos, detections=tmp_path / "boxes.json") == 0
    graphs = {name: json.loads((run / "predictions" / f"{Path(name).stem}.json").read_text()) for name in boxes}
    assert [len(graphs[name]["objects"]) for name in boxes] == [0, 1, 2]
    assert graphs["none.jpg"]["relationships"] == graphs["one.jpg"]["relationships"] == []
    assert len(written(run)) == 9


@pytest.mark.skipif(os.sys.platform != "linux", reason="file names that are not UTF-8 exist on Linux")
def test_a_name_that_is_not_utf8(made, run, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / os.fsdecode(b"caf\xe9.jpg")).write_bytes(one_photo(made).read_bytes())
    (photos / "plain.jpg").write_bytes(one_photo(made).read_bytes())
    boxes = boxes_for(["plain.jpg"], tmp_path / "boxes.json")
    assert predict(made, run, photos, detections=boxes) == 0
    assert "plain.json" in written(run)


# Names and pictures -------------------------------------------------------------------------------


def test_names_of_files():
    names = output_names(
        [Path(name) for name in ("a.jpg", "b.jpg", "b.PNG", "B.gif", "c?.jpg", "c*.jpg", "b.jpg.webp", "..jpg")]
    )
    assert list(names.values()) == ["a", "b.jpg", "b.PNG", "B.gif", "c_.jpg", "c_.jpg-2", "b.jpg-2", "_"]
    assert list(output_names([Path("x/1.jpg")]).values()) == ["1"]


def test_many_names_are_quick_and_differ():
    """Quadratic work would take minutes."""
    paths = [Path(f"{'?*'[i % 2]}{i // 4}.{('jpg', 'png')[i // 2 % 2]}") for i in range(20_000)]
    assert len({name.lower() for name in output_names(paths).values()}) == len(paths)


# Which photos ---------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path) -> Path:
    """Photos, other files and a subfolder; `list.txt` names two of them."""
    photo = Image.new("RGB", (40, 30))
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name in ("a.jpg", "b.png", "sub/c.jpg", ".hidden.jpg"):
        photo.save(tmp_path / "photos" / name)
    for name in ("x.HEIC", "y.heic", "notes.doc", "README"):
        (tmp_path / "photos" / name).write_bytes(b"?")
    (tmp_path / "list.txt").write_text("# mine\nphotos/sub/c.jpg\n\nphotos/a.jpg\n")
    return tmp_path


def relative(photos, tree):
    return [path.relative_to(tree).as_posix() for path in photos.paths]


def test_a_folder_and_what_was_passed_over_in_it(tree, monkeypatch):
    monkeypatch.setattr(images, "EXTENSIONS", images.EXTENSIONS - {".heic", ".heif"})  # as without pillow-heif
    photos = find_photos([str(tree / "photos")], False, [tree / "out"])
    assert relative(photos, tree) == ["photos/a.jpg", "photos/b.png"]
    assert photos.remark() == (
        "Passed over: 4 files that are not readable images: 2 .heic (pip install pillow-heif reads them), 1 .doc, "
        "1 without an ending; 1 image in subfolders (--recursive takes them)."
    )
    assert relative(find_photos([str(tree / "photos")], True, [tree / "out"]), tree)[-1] == "photos/sub/c.jpg"


def test_folders_that_are_written_are_not_searched(tree):
    written = [tree / "photos" / "sub", tree / "out"]
    assert "photos/sub/c.jpg" not in relative(find_photos([str(tree / "photos")], True, written), tree)
    with pytest.raises(InputError, match="is where the pictures are written"):
        find_photos([str(tree / "photos" / "sub")], False, written)


def test_several_paths_and_a_list_each_photo_once(tree, monkeypatch):
    monkeypatch.setattr(images, "EXTENSIONS", images.EXTENSIONS - {".heic", ".heif"})  # as without pillow-heif
    sources = [str(tree / "photos" / "b.png"), str(tree / "list.txt"), str(tree / "photos")]
    photos = find_photos(sources, False, [tree / "out"])
    assert relative(photos, tree) == ["photos/b.png", "photos/sub/c.jpg", "photos/a.jpg"]


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (["nothing"], "no such image"),
        (["empty"], "no image to read"),
        (["bad.txt"], "line 1: 'nowhere.jpg' is not a file"),
    ],
)
def test_sources_that_cannot_be(tree, sources, words):
    (tree / "empty").mkdir()
    (tree / "bad.txt").write_text("nowhere.jpg\n")
    with pytest.raises(InputError, match=words):
        find_photos([str(tree / source) for source in sources], False, [tree / "out"])


# Boxes that are not of the photo --------------------------------------------------------------------


def graph_of(run: Path, name: str) -> dict:
    return json.loads((run / "predictions" / f"{name}.json").read_text())


@pytest.fixture
def photo_of(tmp_path):
    """A function that makes a photo of 320 x 240 stored pixels, turned by EXIF if asked for."""

    def make(name: str, turned: bool = False) -> Path:
        exif = Image.Exif()
        if turned:
            exif[0x0112] = 6
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (320, 240), "green").save(tmp_path / "photos" / name, exif=exif)
        return tmp_path / "photos" / name

    return make


@pytest.mark.parametrize(
    ("box", "turned", "words"),
    [
        ([1150, 600, 1550, 1900], False, "times as large"),
        ([-285, 60, -245, 190], False, "outside the photo"),
        ([250, 135, 315, 190], True, "EXIF"),
        ([0.3594, 0.25, 0.4844, 0.7917], False, "from 0 to 1"),
        ([115, 60, 41, 131], False, "x, y, width, height"),
    ],
)
def test_boxes_of_another_photo_are_refused_by_what_they_look_like(
    made, run, tmp_path, photo_of, capsys, box, turned, words
):
    photo = photo_of("my.jpg", turned)
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"my.jpg": [{"category": "man", "score": 1.0, "bbox": box}]}))
    assert predict(made, run, photo, detections=boxes) == 2
    line = capsys.readouterr().err.strip()
    assert words in line
    assert "\n" not in line
    assert not list((run / "predictions").glob("*.json"))


def test_a_few_boxes_off_are_left_out_and_counted(made, run, tmp_path, photo_of, capsys):
    photo = photo_of("my.jpg")
    good = {"category": "man", "score": 0.9, "bbox": [115, 60, 155, 190]}
    boxes = [good, good | {"bbox": [170, 135, 255, 190]}, good | {"bbox": [900, 10, 950, 90]}, good | {"score": 0.01}]
    (tmp_path / "boxes.json").write_text(json.dumps({"photos/my.jpg": boxes}))
    flags = ("--object_detection_threshold", "0.3")
    assert predict(made, run, photo, *flags, detections=tmp_path / "boxes.json") == 0
    assert len(graph_of(run, "my")["objects"]) == 2
    said = capsys.readouterr().err
    assert "1 of 4 boxes cannot be of their photos: 1 look outside the photo" in said
    assert "1 of 3 boxes score under --object_detection_threshold 0.3" in said


def test_coco_results_and_formats(made, run, tmp_path, photo_of, capsys):
    photo = photo_of("000000000139.jpg")
    items = [
        {"image_id": 139, "category_id": 1, "bbox": [115, 60, 41, 131], "score": 0.9},
        {"image_id": 139, "category_id": 18, "bbox": [170, 135, 86, 56], "score": 0.8},
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(items))
    flags = ("--format", "json,csv", "graphml", "--maximum_phrases", "3")
    (tmp_path / "map.json").write_text('{"person": "man"}')
    flags += ("--class_map", str(tmp_path / "map.json"), "--predicates_per_pair", "20")
    assert predict(made, run, photo, *flags, detections=tmp_path / "boxes.json") == 0
    assert "COCO's layout, boxes are [x, y, width, height]" in capsys.readouterr().out
    assert written(run) == {"000000000139.json", "000000000139.csv", "000000000139.graphml"}
    graph = graph_of(run, "000000000139")
    man, dog = sorted(graph["objects"], key=lambda thing: thing["x"])
    assert (man["name"], man["related_as"], man["x"], man["y"], man["w"], man["h"]) == (
        "person",
        "man",
        115,
        60,
        41,
        131,
    )
    assert dog["name"] == "dog"
    assert "related_as" not in dog
    assert len(graph["relationships"]) == 3


def test_photos_of_another_size_than_the_file_says_are_skipped_by_name(made, run, tmp_path, photo_of, capsys):
    photos = [photo_of("big.jpg"), photo_of("same.jpg"), photo_of("turned.jpg", turned=True)]
    sizes = [(160, 120), (320, 240), (320, 240)]  # what the tool saw: half the photo, the photo, its stored pixels
    images = [
        {"id": i, "file_name": photo.name, "width": width, "height": height}
        for i, (photo, (width, height)) in enumerate(zip(photos, sizes, strict=True))
    ]
    box = {"category_id": 18, "bbox": [10, 10, 60, 60], "score": 0.9}
    boxes = [box | {"image_id": i} for i in (0, 1, 1, 1, 2)]
    (tmp_path / "boxes.json").write_text(json.dumps({"images": images, "annotations": boxes}))
    assert predict(made, run, tmp_path / "photos", "--format", "json", detections=tmp_path / "boxes.json") == 0
    assert written(run) == {"same.json"}
    said = capsys.readouterr().err
    assert "skipped: big.jpg: its boxes look like boxes of a photo of 160 x 120, as their file says" in said
    assert "give [x, y, width, height] in pixels of the photo" in said
    assert "skipped: turned.jpg: its boxes look like boxes of the photo before its EXIF orientation" in said
    (tmp_path / "boxes.json").write_text(json.dumps({"images": images[::2], "annotations": [boxes[0], boxes[-1]]}))
    assert predict(made, run, tmp_path / "photos", detections=tmp_path / "boxes.json") == 2
    assert "'big.jpg' of 320 x 240" in capsys.readouterr().err


def test_two_runs_in_one_folder(made, run, capsys):
    with folder_lock(run / "predictions"):
        assert predict(made, run, one_photo(made)) == 2
    assert "another run" in capsys.readouterr().err


# The pretrained agent --------------------------------------------------------------------------------


def test_without_an_agent_of_ones_own(tmp_path, photo_of, capsys):
    """Two kinds of words that VRD does not have: a synonym and a stand-in; the output keeps the detector's."""
    photo = photo_of("my.jpg")
    boxes = [("zebra", [10, 100, 120, 220]), ("couch", [130, 120, 300, 230]), ("person", [150, 40, 200, 200])]
    boxes = [{"category": name, "bbox": box} for name, box in boxes]
    (tmp_path / "boxes.json").write_text(json.dumps({"my.jpg": [*boxes, {"category": "quark", "bbox": [1, 1, 9, 9]}]}))
    flags = ["--detections", tmp_path / "boxes.json", "--output_dir", tmp_path / "out", "--device", "cpu"]
    assert main(["--predict", *map(str, [photo, *flags])]) == 0
    said = capsys.readouterr().out
    assert said.count("pretrained/agent.pt, the pretrained one") == 1
    assert said.count("no word for these classes") == 1
    assert said.count("quark") == 1
    things = {thing["name"]: thing for thing in graph_of(tmp_path / "out", "my")["objects"]}
    assert things.keys() == {"zebra", "couch", "person"}
    assert things["zebra"]["related_as"] == "horse"
    assert things["zebra"]["stand_in"] is True
    assert things["couch"]["related_as"] == "sofa"
    assert "stand_in" not in things["couch"]
    assert "related_as" not in things["person"]
    assert graph_of(tmp_path / "out", "my")["relationships"]


VOC = {
    "aeroplane": "plane", "bicycle": "bike", "bird": None, "boat": "boat", "bottle": "bottle", "bus": "bus",
    "car": "car", "cat": "cat", "chair": "chair", "cow": None, "diningtable": "table", "dog": "dog", "horse": "horse",
    "motorbike": "motorbike", "person": "person", "pottedplant": "plant", "sheep": None, "sofa": "sofa",
    "train": "train", "tvmonitor": "monitor",
}  # fmt: skip


def test_the_agent_that_comes_along_is_small_and_every_class_of_coco_and_voc_has_a_meaning():
    assert (PRETRAINED / "agent.pt").stat().st_size <= 4_000_000
    graph = SemanticActionGraph.load(PRETRAINED / "graph.pickle")
    class_map = read_class_map(PRETRAINED / "class_map.json", strict=False)
    assert len(COCO_CATEGORIES) == 80
    assert map_classes(COCO_CATEGORIES, graph, [class_map]).unknown == []
    right = map_classes(list(VOC), graph, [class_map], stand_ins=False)
    assert dict(zip(VOC, [graph.entities[e] if e >= 0 else None for e in right.entities], strict=True)) == VOC
    assert map_classes(list(VOC), graph, [class_map]).unknown == []
    for kind in (class_map.synonyms, class_map.stand_ins):
        for name, words in kind.items():
            assert all(graph.entity_index(word) >= 0 for word in words), f"{name}: {words}"
    assert not class_map.synonyms.keys() & class_map.stand_ins.keys()


def test_every_pair_of_a_photo_with_few_objects_is_looked_at(tmp_path, photo_of):
    """The agent would stop after the first pairs; a crowded photo it does leave early."""
    photo = photo_of("few.jpg")
    person = {"category": "person", "score": 0.9}
    few = [person | {"bbox": [10 + 70 * i, 20, 60 + 70 * i, 220]} for i in range(4)]
    many = [person | {"bbox": [5 + 12 * i, 20, 25 + 12 * i, 220]} for i in range(24)]
    photo_of("many.jpg")
    (tmp_path / "boxes.json").write_text(json.dumps({"few.jpg": few, "many.jpg": many}))
    flags = ["--detections", tmp_path / "boxes.json", "--output_dir", tmp_path / "out", "--device", "cpu"]
    assert main(["--predict", *map(str, [photo.parent, *flags, "--format", "json"])]) == 0
    steps = {tuple(step) for step in graph_of(tmp_path / "out", "few")["steps"]}
    assert steps == {(a, b) for a in range(4) for b in range(4) if a != b}
    assert 100 <= len(graph_of(tmp_path / "out", "many")["steps"]) < 24 * 23
