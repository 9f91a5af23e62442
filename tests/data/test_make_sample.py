"""The sample world: repeatable bytes, Visual Genome's layout and quirks, boxes that hold what is drawn,
annotations that follow from how things stand to each other."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

import create_graph
from data import make_sample
from data.sample.annotations import OBJECT_ALIASES, PREDICATE_ALIASES, Seen, visual_genome_items
from data.sample.composition import HELD_OUT, compose, holds_held_out
from data.sample.pen import HEIGHT, SCALE, WIDTH, Pen, render
from data.sample.world import Thing, spatial_relations
from files.splits import Split

SCRIPT = Path(make_sample.__file__)


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    """A sample of nine images."""
    output = tmp_path_factory.mktemp("sample")
    assert make_sample.main(["--output", str(output), "--num_images", "9"]) == 0
    return output


@pytest.fixture(scope="module")
def scenes() -> list:
    """Scenes as they are composed, not painted."""
    return [compose(Random(f"scene {i}")) for i in range(150)]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_its_splits_know_the_size_of_every_image(sample, tmp_path):
    arguments = ["--annotations", str(sample / "raw_data"), "--min_occurrences", "1", "--output", str(tmp_path)]
    assert create_graph.main(arguments) == 0
    for path in (tmp_path / "data" / "data_samples").iterdir():
        for record in Split(path):
            assert (record.width, record.height) == Image.open(sample / "VG_100K" / record.image_name).size


def named_triplets(scene) -> list[tuple[str, str, str]]:
    name = {t.number: t.category for t in scene.things}
    return [(name[s], p, name[o]) for s, p, o in scene.triplets()]


# The script


def test_the_same_seed_gives_the_same_bytes_in_another_process_and_with_a_pool(sample, tmp_path):
    command = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
    command += "from data.make_sample import make_sample\n"
    command += "if __name__ == '__main__': make_sample(Path(sys.argv[2]), 9, 0, workers=2)"
    script = tmp_path / "again.py"
    script.write_text(command)
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    arguments = [sys.executable, script, SCRIPT.parents[1], tmp_path / "again"]
    subprocess.run(arguments, check=True, env=environment, capture_output=True)
    assert digests(tmp_path / "again") == digests(sample)


def test_another_seed_gives_another_world():
    first, second = (make_sample.draw(make_sample.FIRST_IMAGE_ID, seed, False)[0] for seed in (0, 1))
    assert first.tobytes() != second.tobytes()


def test_the_script_ends_with_a_sentence_on_what_it_made(tmp_path):
    run = subprocess.run(
        [sys.executable, SCRIPT, "--output", tmp_path / "s", "--num_images", "3"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Drew 3 images (1 train, 1 validation, 1 test)")


def test_files_and_layout(sample):
    splits = json.loads((sample / "raw_data" / "split.json").read_text())
    ids = splits["train"] + splits["validation"] + splits["test"]
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [7, 1, 1]
    assert sorted(p.name for p in (sample / "VG_100K").iterdir()) == sorted(f"{i}.jpg" for i in ids)
    for i in ids:
        image = Image.open(sample / "VG_100K" / f"{i}.jpg")
        assert image.size == (WIDTH, HEIGHT)
        assert image.mode == "RGB"
    for name, inner in (("objects", "objects"), ("relationships", "relationships"), ("attributes", "attributes")):
        items = json.loads((sample / "raw_data" / f"{name}.json").read_text())
        assert [item["image_id"] for item in items] == ids
        assert all(item[inner] for item in items)
    graphs = json.loads((sample / "raw_data" / "scene_graphs.json").read_text())
    for graph in graphs:
        assert {"subject_id", "object_id", "predicate"} <= set(graph["relationships"][0])
    assert (sample / "raw_data" / "object_alias.txt").read_text().startswith("bicycle,bike,bicycles\n")


def test_shares_of_the_default_size():
    sizes = {name: len(ids) for name, ids in make_sample.split_ids(400).items()}
    assert sizes == {"train": 300, "validation": 40, "test": 60}


# The world


def test_size_of_the_vocabulary(scenes):
    categories = {t.category for s in scenes for t in s.things}
    predicates = {p for s in scenes for _, p, _ in s.triplets()}
    attributes = {a for s in scenes for t in s.things for a in t.attributes}
    assert len(categories) >= 38
    assert len(predicates) >= 26
    assert len(attributes) >= 30
    assert {"next to", "behind", "in front of", "has", "wearing", "holding", "riding"} <= predicates
    assert {"red", "small", "big", "striped", "dotted", "sitting", "lying"} <= attributes


def test_objects_and_triplets_of_an_image():
    for i in range(8):
        _, seen, _ = make_sample.draw(make_sample.FIRST_IMAGE_ID + i, 3, False)
        assert 4 <= len(seen.objects) <= 12
        assert 4 <= len(seen.triplets) <= 33
        assert len(set(seen.triplets)) == len(seen.triplets)
        assert all(s != o for s, _, o in seen.triplets)
        for _, attributes, (x1, y1, x2, y2) in seen.objects:
            assert 0 <= x1 < x2 < WIDTH
            assert 0 <= y1 < y2 < HEIGHT
            assert len(set(attributes)) == len(attributes)


def test_boxes_hold_exactly_what_is_drawn():
    """Without a thing's shapes the picture changes inside its box only, up to each side of it."""
    checked = 0
    for i in range(3):
        _, _, scene = make_sample.draw(make_sample.FIRST_IMAGE_ID + i, 5, False)
        _, boxes = scene.paint()
        for number, (x1, y1, x2, y2) in boxes.items():
            parts = [t.number for t in scene.things if number in (t.number, t.part_of)]
            kept = [s for s in scene.shapes() if s.owner not in parts or len(s.fill) == 4]
            _, with_it = render(*scene.scenery(), [], scene.shapes())
            _, without = render(*scene.scenery(), [], kept)
            y, x = np.nonzero(with_it != without)
            assert (x.min() // SCALE, y.min() // SCALE) == (x1, y1)
            assert (x.max() // SCALE, y.max() // SCALE) == (x2, y2)
            checked += 1
    assert checked > 15


def test_the_shape_drawn_last_hides_the_others():
    far, near = Pen(1), Pen(2)
    far.rectangle(10, 10, 50, 50, (200, 0, 0))
    near.rectangle(30, 30, 70, 70, (0, 0, 200))
    base = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE))
    image, owners = render(base, Pen(), [], far.shapes + near.shapes)
    assert image.getpixel((20, 20)) == (200, 0, 0)
    assert image.getpixel((40, 40)) == (0, 0, 200)
    assert owners[40 * SCALE, 40 * SCALE] == 2


def test_patterns_can_be_seen():
    for pattern in ("striped", "dotted", "checkered"):
        pen = Pen(1)
        pen.rectangle(20, 20, 60, 60, (212, 76, 70), pattern)
        image, _ = render(Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE)), Pen(), [], pen.shapes)
        inside = np.asarray(image)[22:58, 22:58].reshape(-1, 3).astype(int)
        assert 0.1 < (inside[:, 1] > 160).mean() < 0.7  # white marks, and the red between them
        assert (np.asarray(image)[:18] == 0).all()  # nothing outside


# The annotation rules


def thing(number: int, box: tuple[float, float, float, float], depth: float, **facts) -> Thing:
    return Thing(number, "thing", [], depth, box=box, **facts)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # side by side on the same ground, ends 2 pixels apart
        (thing(1, (0, 0, 20, 50), 50), thing(2, (22, 0, 40, 50), 52), {(1, "next to", 2), (2, "next to", 1)}),
        # 1 looks to the right, where 2 stands; 2 looks to the right, away from 1
        (
            thing(1, (0, 0, 20, 50), 50, facing=1),
            thing(2, (22, 0, 40, 50), 50, facing=1),
            {(1, "looking at", 2), (2, "next to", 1)},
        ),
        # too far apart
        (thing(1, (0, 0, 20, 50), 50), thing(2, (40, 0, 60, 50), 50), set()),
        # 2 stands lower in the image, so it is nearer, and hides half of 1
        (thing(1, (0, 0, 20, 50), 50), thing(2, (10, 10, 30, 70), 70), {(2, "in front of", 1), (1, "behind", 2)}),
        # another depth, and they only touch
        (
            thing(1, (0, 0, 20, 50), 50),
            thing(2, (19, 10, 40, 70), 70),
            {(1, "to the left of", 2), (2, "to the right of", 1)},
        ),
        # a bird in the air close above 2
        (thing(1, (5, 0, 15, 9), 240, aloft=True), thing(2, (0, 12, 20, 60), 60), {(1, "above", 2), (2, "under", 1)}),
        # what is held is related to nothing else
        (thing(1, (0, 0, 20, 50), 50, apart=True), thing(2, (22, 0, 40, 50), 50), set()),
        # nor is a part
        (thing(1, (0, 0, 20, 50), 50, part_of=9), thing(2, (10, 10, 30, 70), 70), set()),
    ],
)
def test_spatial_rules(a, b, expected):
    assert set(spatial_relations([a, b], [])) == expected


def test_what_is_recorded_takes_the_place_of_what_follows_from_the_boxes():
    a, b = thing(1, (0, 0, 20, 50), 50), thing(2, (10, 10, 30, 70), 70)
    assert spatial_relations([a, b], [(1, "kicking", 2)]) == []


def test_two_on_one_bench_are_next_to_each_other_and_the_bench_is_not_behind_them():
    bench = thing(1, (0, 30, 60, 60), 60)
    left, right = thing(2, (5, 0, 25, 40), 60, support=1), thing(3, (28, 0, 50, 40), 60, support=1)
    links = [(2, "sitting on", 1), (3, "sitting on", 1)]
    assert set(spatial_relations([bench, left, right], links)) == {(2, "next to", 3), (3, "next to", 2)}


def boxes_of(scenes, predicate: str, category: str) -> list[tuple]:
    return [
        (s.things[a - 1].box, s.things[b - 1].box)
        for s in scenes
        for a, p, b in s.triplets()
        if p == predicate and s.things[b - 1].category == category
    ]


def test_activities_are_drawn_as_they_are_called(scenes):
    def overlap(a, b) -> bool:
        return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])

    for category in ("bicycle", "horse", "skateboard"):
        ridden = boxes_of(scenes, "riding", category)
        assert ridden
        for rider, mount in ridden:
            assert overlap(rider, mount)
            assert rider[1] < mount[1]  # the head is the highest
            assert mount[0] < (rider[0] + rider[2]) / 2 < mount[2]
    for predicate, category in (("sitting on", "bench"), ("on", "table"), ("in", "basket"), ("wearing", "hat")):
        pairs = boxes_of(scenes, predicate, category)
        assert pairs
        assert all(overlap(a, b) for a, b in pairs)
    for predicate in ("holding", "eating", "petting", "reading", "flying"):
        pairs = [
            (s.things[a - 1].box, s.things[b - 1].box) for s in scenes for a, p, b in s.triplets() if p == predicate
        ]
        assert pairs
        assert all(overlap(a, b) for a, b in pairs), predicate
    for above, below in boxes_of(scenes, "under", "table"):
        assert (above[1] + above[3]) / 2 > (below[1] + below[3]) / 2 or above[3] > below[1]


def test_the_categories_of_a_pair_do_not_tell_its_predicate(scenes):
    """The frequency prior: for each pair of categories the predicate that is the most frequent in training."""
    counts: dict = defaultdict(Counter)
    for scene in scenes[:110]:
        for s, p, o in named_triplets(scene):
            counts[s, o][p] += 1
    test = [t for scene in scenes[110:] for t in named_triplets(scene)]
    right = sum(counts[s, o].most_common(1)[0][0] == p if (s, o) in counts else False for s, p, o in test)
    assert 0.2 < right / len(test) < 0.6


def test_people_and_bicycles_come_in_many_ways(scenes):
    people = ("man", "woman", "boy", "girl")
    ways = Counter(p for s in scenes for a, p, b in named_triplets(s) if a in people and b == "bicycle")
    assert {"riding", "holding", "next to", "behind", "in front of"} <= set(ways)
    assert max(ways.values()) < 0.6 * sum(ways.values())


def test_the_most_frequent_attribute_of_a_category_is_a_poor_guess(scenes):
    counts: dict = defaultdict(Counter)
    for scene in scenes:
        for t in scene.things:
            counts[t.category].update(t.attributes)
    for category in ("dog", "cat", "car", "ball", "shirt", "hat", "bicycle", "sofa", "boat"):
        assert counts[category].most_common(1)[0][1] < 0.45 * sum(counts[category].values()), category
        assert len(counts[category]) >= 8, category


def test_held_out_combinations_are_in_the_test_split_only(sample):
    assert not any(holds_held_out(compose(Random(f"train {i}"), held_out=False)) for i in range(60))
    files = sample / "raw_data"
    splits = json.loads((files / "split.json").read_text())
    first = {
        name: group[0] for groups in (OBJECT_ALIASES, PREDICATE_ALIASES) for group in groups[::-1] for name in group
    }

    def said(text: str) -> str:
        text = " ".join(text.lower().split())
        return first.get(text, text)

    for item in json.loads((files / "relationships.json").read_text()):
        found = {
            tuple(said(n) for n in (_name(r["subject"]), r["predicate"], _name(r["object"])))
            for r in item["relationships"]
        }
        assert item["image_id"] in splits["test"] or not found & HELD_OUT
    wanted = make_sample.draw(make_sample.FIRST_IMAGE_ID + 8, 0, True)[1]
    shown = {(wanted.objects[s][0], p, wanted.objects[o][0]) for s, p, o in wanted.triplets}
    assert shown & HELD_OUT


def _name(entry: dict) -> str:
    return entry["name"] if "name" in entry else entry["names"][0]


# The quirks


@pytest.fixture(scope="module")
def items() -> list[dict]:
    """Annotations of 400 equal images: a man who rides a bicycle at the image's edge."""
    objects = [
        ("man", ["sitting"], (10, 10, 60, 99)),
        ("bicycle", [], (0, 60, 80, 120)),
        ("dog", ["red"], (90, 9, 99, 50)),
    ]
    triplets = [(0, "riding", 1), (1, "next to", 2), (2, "next to", 1)]
    return [visual_genome_items(Seen(9_000_001 + i, objects, triplets), Random(i)) for i in range(400)]


def test_every_quirk_occurs_and_each_seldom(items):
    objects = [o for i in items for o in i["objects"]["objects"]]
    relationships = [r for i in items for r in i["relationships"]["relationships"]]
    ends = [r[end] for r in relationships for end in ("subject", "object")]
    names = [_name(o) for o in objects if "name" in o or o["names"]]

    def share(hits) -> float:
        hits = list(hits)
        return sum(hits) / len(hits)

    assert 0.3 < share("name" in e for e in ends) < 0.7
    assert 0 < share("name" in o for o in objects) < 0.1
    seldom = {
        "no name": share(o.get("names") in ([], [""]) for o in objects),
        "synonym": share(n.strip().lower() in ("bike", "guy", "puppy") for n in names),
        "capitals": share(n != n.lower() for n in names),
        "spaces": share(n != n.strip() for n in names),
        "empty box": share(o["w"] <= 0 or o["h"] <= 0 for o in objects),
        "past the edge": share(o["x"] < 0 for o in objects),
        "merged": share(bool(o["merged_object_ids"]) for o in objects),
        "no predicate": share(r["predicate"] == "" for r in relationships),
        "itself": share(r["subject"]["object_id"] == r["object"]["object_id"] for r in relationships),
    }
    for quirk, found in seldom.items():
        assert 0.002 < found < 0.13, (quirk, found)
    assert any("attributes" not in a for i in items for a in i["attributes"]["attributes"])
    once = {(i["relationships"]["image_id"], *_key(r)) for i in items for r in i["relationships"]["relationships"]}
    assert len(once) < len(relationships)  # a relationship given twice
    assert len(once) / len(relationships) > 0.95


def _key(relationship: dict) -> tuple:
    ends = relationship["subject"]["object_id"], relationship["object"]["object_id"]
    return (*ends, relationship["predicate"])


def test_ids_are_unique_and_ends_can_be_found(items):
    objects = [o for i in items for o in i["objects"]["objects"]]
    ids = [o["object_id"] for o in objects]
    assert len(set(ids)) == len(ids)
    known = set(ids) | {m for o in objects for m in o["merged_object_ids"]}
    relationships = [r for i in items for r in i["relationships"]["relationships"]]
    assert len({r["relationship_id"] for r in relationships}) == len(relationships)
    assert all({r["subject"]["object_id"], r["object"]["object_id"]} <= known for r in relationships)


def test_aliases_lead_back_to_the_canonical_name(items):
    group = {name: g[0] for g in reversed(OBJECT_ALIASES) for name in g}
    names = {_name(o).strip().lower() for i in items for o in i["objects"]["objects"] if "name" in o or o["names"]}
    assert {group.get(n, n) for n in names} - {""} == {"man", "bicycle", "dog"}
