"""Write files of the size and shape of Visual Genome 1.4, with random contents.

    python benchmarks/make_visual_genome.py --percent 1 --output /tmp/vg

100 percent is 108 077 images, 3.8 million objects, 2.8 million attributes, 2.3 million
relationships: 2.3 GB in objects.json, attributes.json, relationships.json, scene_graphs.json; and image_data.json.
Names follow Zipf's law. The quirks of the real files are in it: mixed case and stray spaces,
`name` beside `names`, several names or none, missing attributes, empty predicates, boxes past
the edge or empty, relationships of an object with itself, objects under several ids. The same
seed gives the same bytes. Alias files come from --aliases when that folder has them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from files.io import atomic_write, reports_input_errors, write_json  # noqa: E402
from semantic_graph import fold_name  # noqa: E402

IMAGES = 108_077
OBJECTS, ATTRIBUTES, RELATIONSHIPS = 35.2, 0.74, 21.3  # an image, an object, an image
FILES = ("objects", "attributes", "relationships", "scene_graphs")
ALIAS_FILES = ("object_alias.txt", "relationship_alias.txt")
BATCH = 500  # images made at a time


class Words:
    """Names by Zipf's law: the one of rank r is drawn with a probability proportional to r ** -exponent."""

    def __init__(self, names: list[str], exponent: float):
        weights = np.arange(1, len(names) + 1) ** -exponent
        self.cumulative = np.cumsum(weights) / weights.sum()
        self.names = names
        # written out when first drawn: most of the names of a small set never are
        self.plain = cache(lambda rank: json.dumps(names[rank]))
        self.odd = cache(lambda rank: json.dumps(oddly(names[rank], rank)))
        self.synsets = cache(lambda rank: json.dumps([f"{names[rank].split(' ')[-1]}.n.01"]))

    def draw(self, random: np.random.Generator, count: int, odd: float) -> tuple[list[int], list[str]]:
        """`count` ranks, and the names as JSON strings; a fraction `odd` of them oddly written."""
        ranks = np.searchsorted(self.cumulative, random.random(count)).clip(max=len(self.names) - 1).tolist()
        strange = (random.random(count) < odd).tolist()
        return ranks, [(self.odd if bad else self.plain)(rank) for rank, bad in zip(ranks, strange, strict=True)]


def oddly(name: str, number: int) -> str:
    """The name with the case and the spaces of a careless annotator."""
    return (name.upper(), name.capitalize(), f" {name}", f"{name} ")[number % 4]


def vocabulary(path: Path, common: str, count: int, stem: str) -> list[str]:
    """`count` different names: common ones, those of an alias file if it exists, and invented ones."""
    names = dict.fromkeys(common.split(","))
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            names.update(dict.fromkeys(filter(None, map(fold_name, line.split(",")))))
    invented = (f"{stem} {number}" for number in range(count))
    return [*list(names)[:count], *invented][:count]


def write_visual_genome(directory: Path, images: int, seed: int = 0, aliases: Path | None = None) -> int:
    """Write the four files, and the alias files if `aliases` has them. Returns the bytes of the four."""
    random = np.random.default_rng(seed)
    aliases = aliases or directory
    common = (
        "man,woman,tree,shirt,wall,sky,building,person,sign,window,ground,grass,table,head,hand,water,car,leg,leaf,dog"
    )
    entities = Words(vocabulary(aliases / "object_alias.txt", common, 75_000, "thing"), 1.0)
    common = (
        "on,has,in,of,wearing,with,behind,holding,on top of,near,next to,under,riding,above,by,sitting on,for,along,at"
    )
    predicates = Words(vocabulary(aliases / "relationship_alias.txt", common, 36_000, "relates as"), 1.35)
    common = "white,black,blue,green,red,brown,yellow,small,large,wooden,gray,tall,metal,silver,orange,round,long,young"
    attributes = Words(vocabulary(Path("none"), common, 40_000, "quality"), 1.0)
    directory.mkdir(parents=True, exist_ok=True)
    for name in ALIAS_FILES:
        if (aliases / name).exists() and aliases != directory:
            shutil.copyfile(aliases / name, directory / name)
    next_object, next_relationship, total = 1_000_000, 15_000, 0
    with ExitStack() as stack:
        files = [stack.enter_context(atomic_write(directory / f"{name}.json")) for name in FILES]
        for begin in tqdm(range(0, images, BATCH), "Visual Genome", unit_scale=BATCH, unit=" images", disable=None):
            size = min(BATCH, images - begin)
            texts, objects, relationships = _batch(
                random, begin + 1, size, next_object, next_relationship, entities, attributes, predicates
            )
            next_object, next_relationship = next_object + objects, next_relationship + relationships
            for file, text in zip(files, texts, strict=True):
                data = f"{'[' if begin == 0 else ', '}{text}".encode()
                total += file.write(data)
        for file in files:
            file.write(b"]")
    write_json(
        directory / "image_data.json", [{"image_id": i, "width": 800, "height": 600} for i in range(1, images + 1)]
    )
    return total


def _batch(random, first_image, images, next_object, next_relationship, entities, attributes, predicates):
    """The four files' texts for `images` images, and how many object and relationship ids were used."""
    objects = random.poisson(OBJECTS - 1, images) + 1
    m = int(objects.sum())
    ids = range(next_object, next_object + m)
    ranks, names = entities.draw(random, m, 0.03)
    x, y = random.integers(-5, 760, m), random.integers(-5, 560, m)
    w, h = random.integers(5, 300, m), random.integers(5, 300, m)  # some reach past 800 x 600
    w[random.random(m) < 0.001] = 0
    h[random.random(m) < 0.001] *= -1
    quirk = random.random(m)
    further = entities.draw(random, m, 0.03)[1]
    merged = random.random(m) < 0.01
    bare, listed, kept = [], [], []
    for i, (id_, name, left, top, wide, high, odd) in enumerate(
        zip(ids, names, x.tolist(), y.tolist(), w.tolist(), h.tolist(), quirk.tolist(), strict=True)
    ):
        synsets = entities.synsets(ranks[i])
        if odd > 0.03:
            called = f'"names": [{name}]'
        elif odd > 0.01:
            called = f'"name": {name}'
        elif odd > 0.002:
            called = f'"names": [{name}, {further[i]}]'
        elif odd > 0.001:
            called = '"names": [""]'
        else:
            called, synsets = '"names": []', "[]"
        same = f"[{id_ + 1}]" if merged[i] else "[]"  # the next object: sometimes of the next image
        box = f'"w": {wide}, "y": {top}, "x": {left}'
        bare.append(f'"h": {high}, "object_id": {id_}, "synsets": {synsets}, "name": {name}, {box}')
        listed.append(f'"synsets": {synsets}, "h": {high}, "object_id": {id_}, {called}, {box}')
        kept.append(f'{{{listed[-1]}, "merged_object_ids": {same}}}')

    given = random.choice(4, m, p=[0.55, 0.24, 0.13, 0.08])  # 0.74 attributes an object
    words = iter(attributes.draw(random, int(given.sum()), 0.03)[1])
    with_attributes = [
        f"{{{text}}}" if number == 0 else f'{{{text}, "attributes": [{", ".join(next(words) for _ in range(number))}]}}'
        for text, number in zip(listed, given.tolist(), strict=True)
    ]

    edges = random.poisson(RELATIONSHIPS, images)
    r = int(edges.sum())
    start = np.repeat(np.cumsum(objects) - objects, edges)
    subject = (start + random.random(r) * np.repeat(objects, edges)).astype(np.int64).tolist()
    object_ = (start + random.random(r) * np.repeat(objects, edges)).astype(np.int64).tolist()
    predicate = predicates.draw(random, r, 0.2)[1]
    nameless = random.random(r) < 0.0005
    long, short = [], []
    for i, (s, p, o) in enumerate(zip(subject, predicate, object_, strict=True)):
        p = '""' if nameless[i] else p
        number = next_relationship + i
        head = f'"predicate": {p}, "relationship_id": {number}, "synsets": ["along.r.01"]'
        long.append(f'{{{head}, "object": {{{bare[o]}}}, "subject": {{{bare[s]}}}}}')
        short.append(f'{{{head}, "object_id": {ids[o]}, "subject_id": {ids[s]}}}')

    texts: list[list[str]] = [[], [], [], []]
    a = c = 0
    for image, (b, d) in enumerate(
        zip(np.cumsum(objects).tolist(), np.cumsum(edges).tolist(), strict=True), first_image
    ):
        head = f'{{"image_id": {image}'
        texts[0].append(f'{head}, "objects": [{", ".join(kept[a:b])}], "image_url": "images/{image}.jpg"}}')
        texts[1].append(f'{head}, "attributes": [{", ".join(with_attributes[a:b])}]}}')
        texts[2].append(f'{head}, "relationships": [{", ".join(long[c:d])}]}}')
        repeated = ", ".join(f"{{{text}}}" for text in listed[a:b])
        texts[3].append(f'{head}, "objects": [{repeated}], "relationships": [{", ".join(short[c:d])}]}}')
        a, c = b, d
    return [", ".join(text) for text in texts], m, r


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """Run the script. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--percent", type=float, default=1, help="of the real size, 0.1 to 100 (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument(
        "--aliases", type=Path, metavar="DIR", default=ROOT.parent / "shared" / "vg", help="alias files"
    )
    arguments = parser.parse_args(argv)
    if not 0 < arguments.percent <= 100:
        parser.error("--percent must be above 0 and at most 100")
    images = max(1, round(IMAGES * arguments.percent / 100))
    total = write_visual_genome(arguments.output, images, arguments.seed, arguments.aliases)
    print(f"Wrote {images} images, {total / 1e6:.0f} MB of JSON, to {arguments.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
