"""The options of a run: each declared once, with its default, its help and its bounds.

`main.py` makes its flags of these dataclasses (`engine/options.py`), a checkpoint stores them, and the parts of the
program take the dataclass that they need. A new flag is one line here, plus its use. This file imports no PyTorch, so
that `main.py -h` answers at once. The defaults here are the paper's where it gives one; for a flag left out `main.py`
takes those of `--preset best`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from boxes import CONTEXT, GEOMETRY

MOST = 10**9  # the largest whole number that an option takes where nothing else is said
MOST_BOXES = 32_000  # of an image: instances are numbered with 16 bits
REMEMBERED = 6  # vectors over the predicates in a best-first state's memory
REPEATS = 4  # numbers about repetition, of a best-first state and of a candidate


class Flag(NamedTuple):
    """What an option is apart from its name, type and default."""

    help: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    choices: Sequence[str] | None = None
    metavar: str | None = None
    aliases: tuple[str, ...] = ()  # other spellings, with their dashes
    group: str | None = None  # title in -h, where the dataclass has several
    agent: bool = False  # of learning, and kept by a checkpoint's agent in its test too
    path: bool = False  # of a file whose content counts, not its place: it may change between --train and --resume

    def complaint(self, name: str, value: Any) -> str | None:
        """What is wrong with a value, in one line; None where nothing is."""
        if self.choices is not None and isinstance(value, str) and value not in self.choices:
            return f"--{name} must be one of {', '.join(self.choices)}"
        if isinstance(value, (list, tuple)):
            return next(filter(None, (self.complaint(name, item) for item in value)), None)
        if isinstance(value, (bool, str)) or value is None:
            return None
        most = MOST if self.most is None and isinstance(value, int) else self.most
        if not math.isfinite(value):
            return f"--{name} must be a finite number"
        if self.least is not None and value < self.least:
            return f"--{name} must be at least {self.least}"
        if self.above is not None and value <= self.above:
            return f"--{name} must be more than {self.above}"
        if most is not None and value > most:
            return f"--{name} must be at most {most}"
        if self.below is not None and value >= self.below:
            return f"--{name} must be less than {self.below}"
        return None


def flag(default: Any, help: str, **about: Any) -> Any:
    """A field of a dataclass of options; about: the fields of `Flag`."""
    return field(default=default, metadata={"flag": Flag(help, **about)})


def flags_of(options: Any) -> Iterator[tuple[str, Flag]]:
    """(name, flag) of every option of a dataclass or of an instance of one; other fields are left out."""
    return ((part.name, part.metadata["flag"]) for part in fields(options) if "flag" in part.metadata)


@dataclass(frozen=True)
class SceneOptions:
    """Which boxes of an image are walked over, and which of them are neighbours."""

    neighbour_factor: float = flag(
        0.5, "how close boxes must be to be neighbours (0.5: they overlap; 100: all are)", least=0
    )
    use_ambiguity_aware_mining: bool = flag(True, "choose among a box's likely categories")
    use_exact_match: bool = flag(False, "names must be equal; else alias groups count")
    object_detection_threshold: float = flag(
        0.005, "lowest confidence of a detected box (--predict by the pretrained agent: 0.3, given boxes 0.05)"
    )
    maximum_num_entities_per_image: int = flag(
        500,
        "most boxes of an image that are walked over (--predict by the pretrained agent: 100)",
        least=1,
        most=MOST_BOXES,
    )


@dataclass(frozen=True)
class Rules:
    """What an episode follows, and what an action earns."""

    frontier: str = flag(
        "breadth_first",
        "the next pair: of the subject at hand, or any of the image (not in the paper)",
        choices=("breadth_first", "best_first"),
    )
    maximum_objects_per_subject: int = flag(5, "neighbours before the next subject", least=1)
    maximum_steps: int = flag(300, "steps an image", least=1, most=32_767)
    use_adaptive_action_sets: bool = flag(
        True, "limit each choice to the graph's action set; off: all attributes and predicates"
    )
    maximum_adaptive_action_space_size: int = flag(20, "actions in an adaptive action set", least=1, most=100_000)
    predicate_action_set: str = flag(
        "phrase",
        "predicates seen between the two categories, or also seen with each (not in the paper)",
        choices=("phrase", "word"),
    )
    predicates_per_pair: int = flag(
        1,
        "predicates read off for each pair in --test and --predict (1: the agent's own choice; K: its K best)",
        least=1,
        metavar="K",
    )
    attributes_per_step: int = flag(
        1,
        "attributes read off for each step in --test and --predict (1: the agent's own choice; K: its K best)",
        least=1,
        metavar="K",
    )
    positive_reward: float = flag(1.0, "for a right attribute or predicate", above=-1, most=1e6, group="rewards")
    next_object_reward: str = flag(
        "new_object",
        "what earns +5: an object not found yet, or one with an annotated relationship to the subject (not in the "
        "paper)",
        choices=("new_object", "relationship"),
        group="rewards",
    )
    new_phrases_only: bool = flag(
        False, "an annotated relationship pays once, like a new object (not in the paper)", group="rewards"
    )
    step_cost: float = flag(
        0.03,
        "best first: cost of looking at a pair, where finding something new earns 1; 0: look at every pair (not in the "
        "paper)",
        least=0,
        most=1,
        group="rewards",
    )


@dataclass(frozen=True)
class ModelOptions:
    """What the state and the network are made of."""

    image_embedding_model_type: str = flag(
        "resnet",
        "features of the image and of the boxes; none: no pixels",
        choices=("resnet", "vgg", "densenet", "efficientnet_lite0", "none"),
    )
    image_embedding_weights: str | None = flag(
        None, "local weights for it, instead of a download", metavar="FILE", path=True
    )
    feature_pooling: str = flag("roi", "pool boxes, or crop each one", choices=("roi", "crop"))
    use_skip_thought: bool = flag(False, "history phrases in the state")
    skip_thought_dir: str = flag("data/skipthoughts", "where the skip-thought files are", path=True)
    skip_thought_model: str = flag("uni", "which encoder", choices=("uni", "bi", "combine"))
    use_box_geometry: bool = flag(False, "where the two boxes lie (not in the paper)")
    use_pair_context: bool = flag(False, "how the pair stands among the image's other objects (not in the paper)")
    learned_category_vectors: int = flag(
        0,
        "learn N numbers for each category (not in the paper)",
        least=0,
        most=4096,
        metavar="N",
        aliases=("--category_vectors",),
    )
    entity_vectors: str | None = flag(
        None, "given vectors of the entities, .npy (not in the paper)", metavar="FILE", path=True
    )
    use_memory: bool = flag(
        False,
        "with --frontier best_first: what was said of the two objects and of overlapping pairs (not in the paper)",
    )
    fusion_sizes: tuple[int, ...] = flag((4096, 2048), "widths of the fusion layers", least=1, most=65_536)
    dropout: float = flag(0.0, "after each fusion layer", least=0, below=1)
    num_members: int = flag(1, "Q networks whose mean decides (not in the paper)", least=1, most=100)
    reward_loss: str = flag(
        "squared",
        "cross_entropy: heads give the rewards' log-odds (not in the paper)",
        choices=("squared", "cross_entropy"),
        group="learning",
    )
    replay_preference: float = flag(
        1.0,
        "how much more often transitions of annotated pairs are drawn (not in the paper; taken out of the chances "
        "again with --reward_loss cross_entropy)",
        least=1,
        most=1e6,
        group="learning",
    )
    # not options: what follows from the files above and from other options
    feature_dimension: int = 0  # of the image, subject and object features each; 0 = no pixels
    phrase_dimension: int = 0  # of each of the four history phrases; 0 = no history
    entity_vector_dimension: int = 0  # of the given vectors of the two categories
    best_first: bool = False  # a `CandidateNetwork` gives the Q of looking at a pair
    knows_detected: bool = False  # whether boxes are a detector's: where some of them were, in training
    candidate_sizes: tuple[int, ...] = (64, 32)  # of its layers
    candidate_future: bool = False  # it also learns what follows: where rewards to come are discounted by more than 0
    remembered_predicates: int = 0  # P, where the state holds what has been said of the two objects

    @property
    def repeats(self) -> int:
        """Numbers about repetition in a state and in a candidate: none without memory."""
        return REPEATS if self.remembered_predicates else 0

    @property
    def state_dimension(self) -> int:
        """Numbers in a state: 3 features, 4 phrases, and what the flags add."""
        return (
            3 * self.feature_dimension
            + 4 * self.phrase_dimension
            + GEOMETRY * self.use_box_geometry
            + CONTEXT * self.use_pair_context
            + self.knows_detected
            + self.repeats
            + REMEMBERED * self.remembered_predicates
            + 2 * self.learned_category_vectors
            + 2 * self.entity_vector_dimension
        )


@dataclass(frozen=True)
class LearningOptions:
    """How the agent learns."""

    batch_size: int = flag(
        64, "transitions an update; up to three times as many images step together", least=1, most=65_536
    )
    discount_factor: float = flag(0.9, "discount of future rewards (λ in the paper)", least=0, most=1, agent=True)
    learning_rate: float = flag(0.0007, "learning rate", above=0, most=1000)
    optimizer: str = flag("rmsprop", "adamw: not in the paper", choices=("rmsprop", "adamw"))
    learning_rate_decay: bool = flag(False, "linearly to 0 over --num_epochs (not in the paper)")
    weight_decay: float = flag(0.0, "weight decay (not in the paper)", least=0, most=1000)
    epsilon: float = flag(1.0, "exploration in the first epoch", least=0, most=1)
    epsilon_anneal_rate: float = flag(0.045, "how much it falls every epoch", least=0, most=1)
    epsilon_end: float = flag(0.1, "where it stays", least=0, most=1)
    target_update_frequency: int = flag(500, "updates between copies to the target network", least=1)
    # less in the first updates, so that a short training is not mostly its random initial weights
    target_averaging: float = flag(
        0.0,
        "target = A target + (1 - A) network at every update, and test the target (not in the paper)",
        least=0,
        below=1,
        metavar="A",
    )
    next_object_loss_weight: float = flag(
        1.0, "weight of the next-object loss beside the two others (the paper: 1)", least=0, most=1e6
    )
    box_jitter: float = flag(0.0, "move corners by this share of the sides (not in the paper)", least=0, most=10)
    seen_twice: float = flag(
        0.0,
        "share of the objects that are trained on, boxed a second time, as detectors do; corners then move once a walk "
        "(not in the paper; without pixels)",
        least=0,
        most=1,
        metavar="SHARE",
    )
    misnamed: float = flag(
        0.0,
        "share of the objects that are trained on, boxed again under a wrong name, in a third of the walks; some are "
        "missed there (not in the paper; best first, without pixels)",
        least=0,
        most=1,
        metavar="SHARE",
        agent=True,
    )
    unannotated: float = flag(
        0.0,
        "add up to this share of another image's objects, in a third of the walks: a detector finds more than is "
        "annotated (not in the paper; best first, without pixels)",
        least=0,
        most=1,
        metavar="SHARE",
        agent=True,
    )
    mirror: bool = flag(
        False, "learn from mirrored boxes too, left and right changing places in predicates (not in the paper)"
    )
    replay_buffer_capacity: int = flag(20_000, "transitions kept", least=1, most=100_000_000)
    replay_buffer_minimum_number_samples: int = flag(1000, "transitions before the first update", least=1)
    samples_per_transition: float = flag(1.0, "transitions learned from for each one made", above=0, most=1000)
    double_dqn: bool = flag(False, "Double DQN targets")
    learn_from: str = flag(
        "taken", "the action taken, or all of the action set (not in the paper)", choices=("taken", "all")
    )
    mixed_precision: bool = flag(False, "bfloat16 where it pays (CUDA)", group="machine")
    seed: int = flag(0, "one seed makes a run repeatable", least=0, most=2**63 - 1, group="machine")

    @property
    def simulates_detections(self) -> bool:
        """Whether some walks see boxes as a detector's are."""
        return self.misnamed > 0 or self.unannotated > 0
