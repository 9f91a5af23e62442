"""From the command line's values to the parts: graph, scenes, features, phrases, networks, agent."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from action_sets import ActionSetMaker
from engine import distributed as ranks
from engine.options import Options
from files.arrays import as_float32, read_array
from files.checkpoints import load_checkpoint, load_parameters
from files.detections import DetectionsFile, read_detections
from files.images import find_image
from files.io import InputError
from files.options import ModelOptions, flags_of
from files.photo_checks import check_photos
from files.splits import Split
from scenes.class_map import ClassMap, read_class_map
from scenes.feature_cache import FeatureCache, compute_features, report
from scenes.scene import DetectedInstances, SceneSet
from semantic_graph import SemanticActionGraph
from skipthoughts import PhraseStore, load_encoder
from vrl_model import Agent, QNetwork, StateEncoder

if TYPE_CHECKING:
    from scenes.features import ImageEmbedding

CLASS_MAP_NAME = "class_map.json"  # beside a checkpoint: what detectors' words are to the agent
PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"  # the agent that the repository holds
# How it looks at photos, where the command line does not say otherwise: given boxes are trusted further down than
# those of a detector that shows all it has.
PHOTO_DEFAULTS = {"object_detection_threshold": 0.05, "maximum_num_entities_per_image": 100}
DETECTOR_THRESHOLD = 0.3
AGENT = {"options": dict, "description": dict, "network": dict}  # what a checkpoint needs for --test and --predict
VECTOR_NORM = 4.0  # of given entity vectors: entries about as large as the state's other numbers
# The flags that fields of `ModelOptions` follow from, where they are none themselves.
FOLLOWS_FROM = {
    "feature_dimension": "--image_embedding_model_type (numbers a box)",
    "phrase_dimension": "--use_skip_thought (numbers a phrase)",
    "entity_vector_dimension": "--entity_vectors (numbers a vector)",
    "best_first": "--frontier (best first)",
    "knows_detected": "--misnamed or --unannotated (more than 0)",
    "candidate_future": "--discount_factor (more than 0)",
    "remembered_predicates": "--use_memory (numbers)",
}


@dataclass
class Parts:
    """What every command needs, made once."""

    arguments: Options
    graph: SemanticActionGraph
    device: torch.device
    embedding: ImageEmbedding | None
    phrases: PhraseStore | None
    model: ModelOptions


def make_parts(arguments: Options, device: torch.device, saved: dict[str, Any] | None = None) -> Parts:
    """Load the graph and the embedding models that the flags ask for.

    saved: the checkpoint of the agent to be used, which holds its entity vectors; None: one will be trained.
    """
    graph = SemanticActionGraph.load(arguments.graph)
    embedding = phrases = None
    if arguments.image_embedding_model_type != "none":
        from scenes.features import build_embedding  # loads torchvision: two seconds that a run without pixels saves

        embedding = build_embedding(
            arguments.image_embedding_model_type, arguments.image_embedding_weights, arguments.feature_pooling
        )
    if arguments.use_skip_thought:
        encoder = load_encoder(arguments.skip_thought_dir, arguments.skip_thought_model, device)
        cache = Path(arguments.output_dir) / "feature_cache" / "phrases" if ranks.rank() == 0 else None
        phrases = PhraseStore(encoder, cache)
    given = saved["description"]["model"].get("entity_vector_dimension") if saved else None
    if type(given) is not int:
        given = entity_vectors(arguments.entity_vectors, graph).shape[1]
    best_first = arguments.frontier == "best_first"
    model = replace(
        arguments.part(ModelOptions),
        feature_dimension=embedding.dimension if embedding else 0,
        phrase_dimension=phrases.vectors.shape[1] if phrases else 0,
        entity_vector_dimension=given,
        best_first=best_first,
        knows_detected=best_first and arguments.simulates_detections and embedding is None,
        candidate_future=best_first and arguments.discount_factor > 0,
        remembered_predicates=len(graph.predicates) if arguments.use_memory else 0,
    )
    if not model.state_dimension:
        raise InputError(
            "the state is empty: without pixels (--image_embedding_model_type none) "
            "add --use_box_geometry and --learned_category_vectors 64, or --preset best"
        )
    return Parts(arguments, graph, device, embedding, phrases, model)


def make_network(parts: Parts) -> QNetwork:
    """A Q network with fresh weights from --seed."""
    torch.manual_seed(parts.arguments.seed)
    network = empty_network(parts)
    if parts.model.entity_vector_dimension and not parts.arguments.init_from:  # else they are the checkpoint's
        network.entity_vectors.vectors[:-1] = torch.from_numpy(
            entity_vectors(parts.arguments.entity_vectors, parts.graph)
        )
    return network.to(parts.device)


def empty_network(parts: Parts) -> QNetwork:
    """A Q network on the CPU, to be filled with the weights and entity vectors of a checkpoint."""
    return QNetwork(parts.model, parts.graph, parts.arguments, parts.arguments.mixed_precision)


def entity_vectors(path: str | None, graph: SemanticActionGraph) -> np.ndarray:
    """(C, d) float32 vectors of the entities, all of one length, from a .npy of one row a category."""
    if path is None:
        return np.zeros((len(graph.entities), 0), dtype=np.float32)
    vectors = as_float32(read_array(path, "check --entity_vectors"), path, "check --entity_vectors")
    names = graph.annotation_categories or graph.entities
    if vectors.ndim != 2 or len(vectors) != len(names):
        raise InputError(f"{path}: has shape {vectors.shape}, wanted ({len(names)}, d): one row for each category")
    missing = [name for name in graph.entities if name not in names]
    if missing:
        raise InputError(
            f"the graph's annotation categories lack {missing[0]!r}; make the graph again with create_graph.py"
        )
    vectors = vectors[[names.index(name) for name in graph.entities]]
    return VECTOR_NORM * vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def open_detections(path: str, graph: SemanticActionGraph) -> DetectionsFile:
    """Read a detections file; integers for categories are those of the graph's data set, where that has numbers."""
    return read_detections(path, graph.annotation_categories)


def detected_instances(parts: Parts, detections: DetectionsFile, stand_ins: bool = False) -> DetectedInstances:
    """Detections in the graph's categories; says once which of their classes the graph does not know.

    stand_ins: take words that merely stand in for a class too (see scenes.class_map).
    """
    arguments = parts.arguments
    detected = DetectedInstances(
        detections,
        parts.graph,
        arguments,
        class_maps(arguments),
        stand_ins,
    )
    unknown = detected.mapped.unknown
    if detections.classes and len(unknown) == len(detections.classes):
        raise InputError(
            f"{detections.path}: the agent knows none of its {len(detections.classes)} classes "
            f"({', '.join(detections.classes[:3])}, ...); say what they are with --class_map FILE"
        )
    if unknown and ranks.rank() == 0:
        print(
            f"The agent has no word for these classes of {detections.path}; their boxes are left out, unless "
            f"--class_map FILE says what they are: {', '.join(unknown)}"
        )
    return detected


def class_maps(arguments: Options) -> list[ClassMap]:
    """The user's --class_map, and the one that lies beside the checkpoint."""
    maps = [read_class_map(arguments.class_map)] if arguments.class_map else []
    beside = Path(arguments.checkpoint).with_name(CLASS_MAP_NAME) if arguments.checkpoint else None
    if beside is not None and beside.exists():
        maps.append(read_class_map(beside, strict=False))
    return maps


def open_scenes(parts: Parts, records: Split, detections: DetectionsFile | None = None) -> SceneSet:
    """Scenes to walk over, on detected boxes or on the annotated objects, with their features and usable images."""
    if not len(records):
        raise InputError(f"{records.path}: has no image; make it again with create_graph.py")
    detected = detected_instances(parts, detections) if detections is not None else None
    arguments = parts.arguments
    scenes = SceneSet(records, parts.graph, detected, arguments)
    if detections is not None:
        _check_some_box_is_left(scenes, detections, arguments)
    if parts.embedding is not None:
        scenes.features, scenes.images = _features(parts, scenes, arguments.images_dir)
    return scenes


def _check_some_box_is_left(scenes: SceneSet, detections: DetectionsFile, options: Options) -> None:
    """Raises InputError when the detections file has boxes of the images, and none of them is walked over."""
    if any(len(scenes.instances(index).boxes) for index in range(len(scenes))):  # the first, as a rule
        return
    found = [detections[record.image_name] for record in scenes.records if record.image_name in detections]
    scores = np.concatenate([part.scores.max(axis=1) for part in found if len(part)] or [np.zeros(0)])
    if len(scores):
        raise InputError(
            f"{detections.path}: all of its {len(scores)} boxes are left out: the best score is {scores.max():.3g}, "
            f"--object_detection_threshold is {options.object_detection_threshold:g}, and the graph has to know the "
            "class; lower the threshold, or give --class_map"
        )


def _features(parts: Parts, scenes: SceneSet, images_dir: str) -> tuple[FeatureCache, np.ndarray]:
    """Features of every image and box, computed or from the cache; and which images can be used, int64 (n,).

    Images without a box to walk over need none. Raises InputError when no image is left.
    """
    items, missing, photos = [], [], []
    for index in range(len(scenes)):
        record = scenes.records[index]
        try:
            path = find_image(images_dir, record.image_name)
        except InputError as error:
            missing.append(str(error))
            continue
        items.append((record.image_name, path, scenes.instances(index).boxes))
        photos.append((record, path))
    if missing and not items:
        raise InputError(f"{missing[0]} (nor any other of the {len(missing)} images of the split)")
    if missing and ranks.rank() == 0:
        print(f"warning: {len(missing)} of {len(scenes)} images skipped: {missing[0]}, ...", file=sys.stderr)
    if (complaint := check_photos(photos, images_dir)) and ranks.rank() == 0:
        print(f"warning: {complaint}", file=sys.stderr)
    folder = Path(parts.arguments.output_dir) / "feature_cache"
    made = compute_features(
        parts.embedding,
        items[ranks.rank() :: ranks.world_size()],
        folder,
        parts.arguments.num_workers,
        parts.device,
        file_number=ranks.rank(),
        show_progress=ranks.rank() == 0,
    )
    everybody = ranks.gather(made)
    if ranks.rank() == 0:
        print(report(everybody, folder))
    ranks.total(torch.zeros(1))  # every rank has written
    cache = FeatureCache(parts.embedding, items, folder)
    if int(ranks.total(torch.tensor(len(cache)))) != len(cache) * ranks.world_size():
        raise InputError(f"{folder}: not all processes see the same features; give a folder that all machines share")
    if items and not len(cache):
        reasons = [reason for part in everybody for reason in part.skipped.values()]
        raise InputError(f"none of {len(items)} images can be read; {(reasons or ['see the warnings'])[0]}")
    usable = [index for index in range(len(scenes)) if scenes.records[index].image_name in cache]
    return cache, np.array(usable, dtype=np.int64)


def make_agent(parts: Parts, network: QNetwork, scenes: SceneSet) -> Agent:
    """The agent that walks over `scenes`."""
    encoder = StateEncoder(scenes, parts.model, parts.phrases)
    return Agent(network, encoder, ActionSetMaker(parts.graph, parts.arguments), parts.device)


def description(parts: Parts) -> dict[str, Any]:
    """What a checkpoint must agree with: the graph and the shape of the network."""
    paths = {name for name, about in flags_of(parts.model) if about.path}
    model = {name: value for name, value in asdict(parts.model).items() if name not in paths}
    return {
        "graph": parts.graph.fingerprint(),
        "model": {name: list(value) if isinstance(value, tuple) else value for name, value in model.items()},
    }


def check_description(parts: Parts, saved: dict[str, Any], path: str | Path) -> None:
    """Raises InputError when a checkpoint was made with another graph or another network."""
    mine = description(parts)
    if saved["graph"] != mine["graph"]:
        raise InputError(
            f"{path}: was trained on a different graph than {parts.arguments.graph}; give the right one with --graph"
        )
    defaults = description(replace(parts, model=ModelOptions()))["model"]  # of options newer than the checkpoint
    theirs = defaults | saved["model"]
    wrong = [
        f"{FOLLOWS_FROM.get(key, f'--{key}')}: {theirs[key]}, here {value}"
        for key, value in mine["model"].items()
        if theirs[key] != value
    ]
    if wrong:
        raise InputError(f"{path}: was trained with {'; '.join(wrong)}; give the same flags, or train again")


# ---- the checkpoint to use


def find_checkpoint(arguments: Options) -> Path | None:
    """The checkpoint to test: --checkpoint, else best.pt or last.pt of the output folder, None if there is none."""
    if arguments.checkpoint:
        return Path(arguments.checkpoint)
    for name in ("best.pt", "last.pt"):
        path = Path(arguments.output_dir) / name
        if path.exists():
            return path
    return None


def needed_checkpoint(arguments: Options) -> Path:
    """As `find_checkpoint`; for --predict alone the pretrained agent. Raises InputError when there is none."""
    path = find_checkpoint(arguments)
    if path is None and arguments.predict and not arguments.test and (PRETRAINED / "agent.pt").exists():
        path = PRETRAINED / "agent.pt"
        if ranks.rank() == 0:
            print(
                f"Agent: {path}, the pretrained one (100 categories and 70 predicates of VRD, see the README.md beside "
                "it); --checkpoint gives another."
            )
    if path is None:
        raise InputError(
            f"{arguments.output_dir}: has no checkpoint (best.pt, last.pt); train first, or give --checkpoint"
        )
    return path


def read_agent(path: Path) -> dict[str, Any]:
    """A checkpoint with what --test and --predict need. Raises InputError when it is another kind of checkpoint."""
    return load_checkpoint(path, AGENT)


def checkpoint_defaults(arguments: Options, path: Path) -> dict[str, Any]:
    """Defaults of flags that go with where a checkpoint lies: the graph beside it, and how our own looks at photos."""
    defaults: dict[str, Any] = {}
    if path.with_name("graph.pickle").exists():
        defaults["graph"] = str(path.with_name("graph.pickle"))
    if path.parent.resolve() == PRETRAINED and arguments.predict:
        defaults |= PHOTO_DEFAULTS
        if not arguments.detections:
            defaults["object_detection_threshold"] = DETECTOR_THRESHOLD
    return defaults


def trained_network(parts: Parts, saved: dict[str, Any]) -> QNetwork:
    """The network of a checkpoint. Raises InputError when it was trained for something else."""
    path = find_checkpoint(parts.arguments)
    check_description(parts, saved["description"], path)
    network = empty_network(parts)
    load_parameters(network, saved["network"], path, "train again, or give another --checkpoint")
    return network.to(parts.device).trained()
