"""--predict: any photo, any number of them, what is done stays done, what does not decode is skipped and said."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_run import World, copy_of_run

from drawing.selection import drawing_limits, items_to_draw
from engine import prediction
from engine.prediction import file_names
from files.images import load_image
from files.scene_graphs import checked_graph
from main import main


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
    assert "Scene graphs of 1 of 1 images written" in out
    pairs = [line for line in out.splitlines() if line.startswith("  ")]
    assert 0 < len(pairs) <= prediction.LISTED
    scores = [float(line.split()[-1]) for line in pairs]
    assert scores == sorted(scores, reverse=True)


def test_it_finds_what_a_test_finds(made, run):
    """The same photo, boxes and agent: the same graph, though features come from the photo and not from the cache."""
    assert main(["--test", *made.files(run), "--detections", str(made.detections), "--device", "cpu"]) == 0
    tested = json.loads((run / "predictions.json").read_text())
    photo = one_photo(made)
    assert predict(made, run, photo) == 0
    graph = json.loads((run / "predictions" / f"{photo.stem}.json").read_text())
    names = [thing["name"] for thing in graph["objects"]]
    found = [(names[e["subject"]], e["predicate"], names[e["object"]], e["score"]) for e in graph["relationships"]]
    assert found
    assert found == [
        (r["subject"], r["predicate"], r["object"], r["score"]) for r in tested[photo.name]["relationships"]
    ]


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


def test_a_stopped_run_goes_on_and_another_setting_begins_anew(made, run, tmp_path, capsys, monkeypatch):
    names = every_kind_of_photo(tmp_path / "photos", one_photo(made))
    boxes = boxes_for(names, tmp_path / "boxes.json")
    monkeypatch.setattr(prediction, "CHUNK", 2)
    decoded = []
    monkeypatch.setattr("faster_rcnn.detect.load_image", lambda path: decoded.append(path.name) or load_image(path))
    write = prediction._write

    def dies(graph, photo, target):
        if graph["image_name"] == "grey.png":
            raise KeyboardInterrupt
        write(graph, photo, target)

    monkeypatch.setattr(prediction, "_write", dies)
    assert predict(made, run, tmp_path / "photos", detections=boxes) == 130
    assert "same command" in capsys.readouterr().out
    done = {name for name in written(run) if name.endswith(".json")}
    assert 0 < len(done) < len(names)

    monkeypatch.setattr(prediction, "_write", write)
    decoded.clear()
    assert predict(made, run, tmp_path / "photos", detections=boxes) == 0
    assert sorted(decoded) == sorted(name for name in names if f"{Path(name).stem}.json" not in done)  # once each
    out = capsys.readouterr().out
    assert f"of {len(names) - len(done)} of {len(names)} images" in out
    assert f"{len(done)} were there already" in out

    decoded.clear()
    assert predict(made, run, tmp_path / "photos", detections=boxes) == 0
    assert decoded == []
    os.utime(tmp_path / "photos" / "web.webp")  # a photo that was replaced
    assert predict(made, run, tmp_path / "photos", detections=boxes) == 0
    assert decoded == ["web.webp"]
    capsys.readouterr()
    decoded.clear()
    assert predict(made, run, tmp_path / "photos", "--predicates_per_pair", "2", detections=boxes) == 0
    assert "done anew" in capsys.readouterr().out
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
    assert "1 of 4 images" in printed.out
    assert "3 images skipped" in printed.out


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
    names = file_names(
        [Path(name) for name in ("a.jpg", "b.jpg", "b.PNG", "B.gif", "c?.jpg", "c*.jpg", "b.jpg.webp", "..jpg")]
    )
    assert list(names.values()) == ["a", "b.jpg", "b.PNG", "B.gif", "c_.jpg", "c_.jpg-2", "b.jpg-2", "_"]
    assert list(file_names([Path("x/1.jpg")]).values()) == ["1"]


def test_many_names_are_quick_and_differ():
    """Quadratic work would take minutes."""
    paths = [Path(f"{'?*'[i % 2]}{i // 4}.{('jpg', 'png')[i // 2 % 2]}") for i in range(20_000)]
    assert len({name.lower() for name in file_names(paths).values()}) == len(paths)


def test_what_the_agent_hardly_believes_is_not_drawn():
    things = [{"name": "dog", "score": score} for score in (0.9, 0.9, 0.9, 0.02)]
    edges = [(0, 1, 0.8), (1, 0, 0.7), (1, 2, 0.09), (0, 2, 0.07), (2, 3, 0.01)]
    graph = {
        "objects": things,
        "relationships": [{"subject": s, "object": o, "predicate": "near", "score": score} for s, o, score in edges],
        "attributes": [
            {"object": 0, "attribute": "red", "score": 0.5},
            {"object": 1, "attribute": "red", "score": 0.01},
        ],
    }
    assert items_to_draw(graph, **drawing_limits(graph)) == {
        "objects": [0, 1, 2],
        "relationships": [0, 2],
        "attributes": [0],
    }
    assert items_to_draw(graph, **drawing_limits(graph, 1))["relationships"] == [0]
    nothing = {"objects": things, "relationships": [], "attributes": []}
    assert items_to_draw(nothing, **drawing_limits(nothing))["objects"] == [0, 1, 2]
