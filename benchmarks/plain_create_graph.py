"""create_graph.py as one would first write it: `json.load` of the four files and plain loops.

It is what the benchmark measures against, and the second implementation that the tests
compare with. Same rules, no care for time or memory.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def fold(name: str | None) -> str:
    """Lower case, no spaces around, single spaces within."""
    return " ".join((name or "").lower().split())


def load(path: Path):
    """All of a JSON file."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def aliases(path: Path) -> dict[str, str]:
    """{name: canonical name}; the first group of a name wins."""
    found: dict[str, str] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            group = [fold(name) for name in line.split(",") if fold(name)]
            for name in group:
                if name not in found:
                    found[name] = found.get(group[0], group[0])
    return found


def plain_create_graph(directory: Path, output: Path, train: set[int], minimum: int) -> dict:
    """Counts, phrases and one file of all images. train: ids of the images that are counted.

    Returns {"entities", "attributes", "predicates": {name: count}, "attribute_phrases":
    {(entity, attribute): count}, "predicate_phrases": {(subject, predicate, object): count}}.
    """
    entity_alias = aliases(directory / "object_alias.txt")
    predicate_alias = aliases(directory / "relationship_alias.txt")
    images: dict[int, dict] = {}
    sizes: dict[int, tuple[int, int]] = {}
    if (directory / "image_data.json").exists():
        for item in load(directory / "image_data.json"):
            sizes.setdefault(item["image_id"], (item["width"], item["height"]))
    objects_seen, relationships_seen, attributes_seen = set(), set(), set()
    files = ["objects.json"] * (directory / "objects.json").exists()
    files += ["scene_graphs.json"] * (directory / "scene_graphs.json").exists()
    for file in files:
        for item in load(directory / file):
            if file == "objects.json":
                objects_seen.add(item["image_id"])
            elif item["image_id"] in objects_seen:
                continue
            image = images.setdefault(item["image_id"], {"objects": {}, "ids": {}, "relationships": []})
            for raw in item["objects"]:
                names = raw.get("names") or [raw.get("name")]
                names = [entity_alias.get(fold(name), fold(name)) for name in names if fold(name)]
                if raw["object_id"] not in image["objects"]:
                    image["objects"][raw["object_id"]] = {
                        "object_id": raw["object_id"],
                        "box": [raw["x"], raw["y"], raw["w"], raw["h"]],
                        "names": names,
                        "merged": raw.get("merged_object_ids") or [],
                        "attributes": [],
                    }
    for image in images.values():
        # an object under several ids: the one that lists the others is kept
        parent: dict[int, int] = {}

        def root(id_: int, parent: dict[int, int] = parent) -> int:
            while id_ in parent:
                id_ = parent[id_]
            return id_

        for id_, record in image["objects"].items():
            for other in record["merged"]:
                if other in image["objects"] and root(id_) != root(other):
                    parent[root(other)] = root(id_)
        for id_, record in image["objects"].items():
            for other in record["merged"]:
                if other not in image["objects"]:
                    image["ids"].setdefault(other, root(id_))
        for id_ in image["objects"]:
            image["ids"][id_] = root(id_)
        image["objects"] = {
            id_: record
            for id_, record in image["objects"].items()
            if id_ not in parent and record["names"] and record["box"][2] > 0 and record["box"][3] > 0
        }

    files = ["attributes.json"] * (directory / "attributes.json").exists()
    files += ["scene_graphs.json"] * (directory / "scene_graphs.json").exists()
    described = [(file, item) for file in files for item in load(directory / file)]
    for file, item in described:
        image = images.get(item["image_id"])
        if file == "attributes.json":
            attributes_seen.add(item["image_id"])
        elif item["image_id"] in attributes_seen:
            continue
        for raw in item["attributes" if file == "attributes.json" else "objects"]:
            record = image and image["objects"].get(image["ids"].get(raw["object_id"]))
            if record:
                for name in map(fold, raw.get("attributes") or []):
                    if name and name not in record["attributes"]:
                        record["attributes"].append(name)

    files = ["relationships.json"] * (directory / "relationships.json").exists()
    files += ["scene_graphs.json"] * (directory / "scene_graphs.json").exists()
    for file in files:
        again = set()
        for item in load(directory / file):
            image = images.get(item["image_id"])
            if image is None or item["image_id"] in again or item["image_id"] in relationships_seen:
                continue
            again.add(item["image_id"])
            for raw in item["relationships"]:
                subject, object_ = (
                    image["ids"].get(raw[end]["object_id"] if end in raw else raw[f"{end}_id"])
                    for end in ("subject", "object")
                )
                name = predicate_alias.get(fold(raw["predicate"]), fold(raw["predicate"]))
                if subject != object_ and name and subject in image["objects"] and object_ in image["objects"]:
                    image["relationships"].append((raw.get("relationship_id"), subject, name, object_))
        relationships_seen |= again

    for id_, image in images.items():
        for object_id, record in list(image["objects"].items()):
            x, y, w, h = record["box"]
            if id_ in sizes:  # cut at the edge
                width, height = sizes[id_]
                left, top = max(x, 0), max(y, 0)
                record["box"] = [left, top, min(x + w, width) - left, min(y + h, height) - top]
                if record["box"][2] <= 0 or record["box"][3] <= 0:
                    del image["objects"][object_id]
        image["relationships"] = [
            edge for edge in image["relationships"] if edge[1] in image["objects"] and edge[3] in image["objects"]
        ]

    first = Counter(o["names"][0] for id_, image in images.items() if id_ in train for o in image["objects"].values())
    known = {name for name, count in first.items() if count >= minimum}
    entities, attributes, predicates = Counter(), Counter(), Counter()
    for id_, image in images.items():
        for object_id, record in list(image["objects"].items()):
            record["name"] = next((name for name in record["names"] if name in known), None)
            if record["name"] is None:
                del image["objects"][object_id]
        image["relationships"] = [
            edge for edge in image["relationships"] if edge[1] in image["objects"] and edge[3] in image["objects"]
        ]
        if id_ in train:
            entities.update(record["name"] for record in image["objects"].values())
            attributes.update(name for record in image["objects"].values() for name in record["attributes"])
            predicates.update(edge[2] for edge in image["relationships"])
    attributes = Counter({name: count for name, count in attributes.items() if count >= minimum})
    predicates = Counter({name: count for name, count in predicates.items() if count >= minimum})

    attribute_phrases, predicate_phrases = defaultdict(int), defaultdict(int)
    records = []
    for id_, image in sorted(images.items()):
        names = {object_id: record["name"] for object_id, record in image["objects"].items()}
        objects, relationships = [], []
        for object_id, record in image["objects"].items():
            words = [name for name in record["attributes"] if name in attributes]
            x, y, w, h = record["box"]
            objects.append(
                {"object_id": object_id, "x": x, "y": y, "w": w, "h": h, "name": names[object_id], "attributes": words}
            )
            if id_ in train:
                for name in words:
                    attribute_phrases[names[object_id], name] += 1
        for number, subject, name, object_ in image["relationships"]:
            if name in predicates:
                relationships.append(
                    {"relationship_id": number, "predicate": name, "subject_id": subject, "object_id": object_}
                )
                if id_ in train:
                    predicate_phrases[names[subject], name, names[object_]] += 1
        labels = {"image_id": id_, "objects": objects, "relationships": relationships}
        records.append({"image_name": f"{id_}.jpg", "labels": labels})
    output.mkdir(parents=True, exist_ok=True)
    with open(output / "plain_data.json", "w", encoding="utf-8") as file:
        json.dump(records, file)
    return {
        "entities": dict(entities),
        "attributes": dict(attributes),
        "predicates": dict(predicates),
        "attribute_phrases": dict(attribute_phrases),
        "predicate_phrases": dict(predicate_phrases),
    }


if __name__ == "__main__":  # annotations, output, file with the training ids, minimum
    directory, output, ids, minimum = sys.argv[1:]
    answer = plain_create_graph(Path(directory), Path(output), set(json.loads(Path(ids).read_text())), int(minimum))
    answer["attribute_phrases"] = [[*key, count] for key, count in answer["attribute_phrases"].items()]
    answer["predicate_phrases"] = [[*key, count] for key, count in answer["predicate_phrases"].items()]
    Path(output, "plain_counts.json").write_text(json.dumps(answer))
