"""Options: declared once in a dataclass, given by flags, presets and checkpoints, checked in one line."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from engine.options import (
    DETECTORS,
    MODEL_FLAGS,
    NAMES,
    PARTS,
    PRESETS,
    Options,
    RunOptions,
    complaint,
    make_parser,
    parse,
)
from files.io import InputError
from files.options import LearningOptions, ModelOptions, Rules, SceneOptions, flags_of
from q_learning import epsilon_at

ROOT = Path(__file__).resolve().parents[2]
# What an option needs beside it
NEEDS = {
    "frontier": ["--use_box_geometry", "--use_pair_context"],
    "use_memory": ["--use_box_geometry", "--use_pair_context", "--frontier", "best_first"],
    "unannotated": [
        "--use_box_geometry",
        "--use_pair_context",
        "--frontier",
        "best_first",
        "--image_embedding_model_type",
        "none",
    ],
}
EVERY = [(kind, name, about) for kind in PARTS for name, about in flags_of(kind)]


def another(kind, name, about):
    """The words of a flag that set it to something else than its default, and the value that they mean."""
    default = kind.__dataclass_fields__[name].default
    if isinstance(default, bool):
        prefix = "no-" if default else ""
        return [f"--{prefix}{name}"], not default
    if about.choices:
        word = next(choice for choice in about.choices if choice != default and (choice,) != default)
        return [f"--{name}", word], (word,) if isinstance(default, tuple) else word
    if name == "predict":
        return ["--predict", "a.jpg", "b"], ("a.jpg", "b")
    if isinstance(default, tuple):
        return [f"--{name}", "7", "5"], (7, 5)
    if isinstance(default, int):
        return [f"--{name}", str(default + 1)], default + 1
    if isinstance(default, float):
        value = default / 2 if default else 0.25
        value = 1.5 if name == "replay_preference" else value
        return [f"--{name}", str(value)], value
    return [f"--{name}", "some/path"], "some/path"


@pytest.mark.parametrize(("kind", "name", "about"), EVERY, ids=[name for _, name, _ in EVERY])
def test_every_flag_reaches_its_dataclass(kind, name, about):
    words, value = another(kind, name, about)
    task = [] if name in ("train", "test", "predict") else ["--train"]
    options = parse([*task, "--preset", "paper", *words, *NEEDS.get(name, [])])
    assert getattr(options.part(kind), name) == value
    assert name in options.given
    for alias in about.aliases:
        assert getattr(parse(["--train", alias, *words[1:]]), name) == value


def test_each_option_is_declared_once_and_is_of_a_run_or_of_its_agent_or_of_learning():
    names = [name for _, name, _ in EVERY]
    run_flags = {name for name, _ in flags_of(RunOptions)}
    assert len(set(names)) == len(names)
    assert set(names) == run_flags | MODEL_FLAGS | {name for name, _ in flags_of(LearningOptions)}
    assert "discount_factor" in MODEL_FLAGS, "the agent is tested with what it was taught to weigh"
    assert not run_flags & MODEL_FLAGS


def test_several_choices_are_given_with_spaces_or_commas():
    for words in (["json", "csv", "dot"], ["json,csv,dot"], ["json,csv", "csv", "dot"]):
        assert parse(["--predict", "a.jpg", "--format", *words]).format == ("json", "csv", "dot")


def test_a_preset_sets_options_that_there_are_to_values_that_they_take():
    for preset in PRESETS:
        options = parse(["--train", "--preset", preset])
        assert complaint(vars(options)) is None
        assert all(getattr(options, name) == value for name, value in PRESETS[preset].items())


def test_a_flag_left_out_has_the_value_of_the_best_preset_and_help_says_the_papers_too():
    assert vars(parse(["--train"])) == vars(parse(["--train", "--preset", "best"])) | {"given": frozenset({"train"})}
    shown = " ".join(make_parser().format_help().split())
    for name in PRESETS["paper"] | PRESETS["best"]:
        paper, best = (getattr(parse(["--train", "--preset", preset]), name) for preset in ("paper", "best"))
        words = [" ".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in (best, paper)]
        assert best == paper or f"(default: {words[0]}; paper: {words[1]})" in shown, name


def test_the_papers_preset_anneals_exploration_to_its_end_and_has_the_papers_state():
    options = parse(["--train", "--preset", "paper"])
    assert epsilon_at(options.num_epochs - 1, options.part(LearningOptions)) == options.epsilon_end
    assert options.part(ModelOptions) == ModelOptions(image_embedding_model_type="vgg", use_skip_thought=True)
    assert options.part(Rules) == Rules()
    assert options.part(LearningOptions) == LearningOptions()


def test_the_command_line_wins_over_the_checkpoint_and_the_checkpoint_over_the_preset():
    trained = parse(["--train", "--preset", "best", "--maximum_steps", "7", "--dropout", "0.25"]).saved()
    options = parse(["--test", "--preset", "paper", "--dropout", "0.5"]).of_agent(trained, "best.pt")
    assert options.maximum_steps == 7
    assert options.dropout == 0.5
    assert options.num_members == PRESETS["best"]["num_members"]
    assert options.batch_size == 64, "how it was learned is not the agent's"


def test_what_a_checkpoint_keeps_is_what_it_says():
    options = parse(["--train", "--preset", "best"])
    assert set(options.saved()) == {"scenes", "rules", "model", "learning"}
    assert not options.differences(options.saved(), "last.pt")
    other = parse(["--train", "--preset", "best", "--seed", "3", "--fusion_sizes", "8", "--num_epochs", "99"])
    assert other.differences(options.saved(), "last.pt") == ["--fusion_sizes 512 256", "--seed 0"]
    moved = dataclasses.replace(options, skip_thought_dir="elsewhere")
    assert not moved.differences(options.saved(), "last.pt"), "the content of a file counts, not its place"


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: {},
        lambda saved: saved | {"rules": None},
        lambda saved: saved | {"rules": saved["rules"] | {"maximum_steps": "many"}},
        lambda saved: saved | {"rules": saved["rules"] | {"maximum_steps": 0}},
        lambda saved: saved | {"model": saved["model"] | {"fusion_sizes": [10**12]}},
        lambda saved: saved | {"learning": saved["learning"] | {"learn_from": "books"}},
    ],
)
def test_options_of_a_damaged_checkpoint_are_refused_in_one_line(change):
    with pytest.raises(InputError, match=r"^best\.pt: is damaged"):
        parse(["--test"]).of_agent(change(parse(["--train"]).saved()), "best.pt")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--batch_size 0", "--batch_size must be at least 1"),
        ("--batch_size 1000000", "--batch_size must be at most 65536"),
        ("--dropout 1", "--dropout must be less than 1"),
        ("--dropout nan", "--dropout must be a finite number"),
        ("--learning_rate 0", "--learning_rate must be more than 0"),
        ("--weight_decay -1", "--weight_decay must be at least 0"),
        ("--fusion_sizes 8 0", "--fusion_sizes must be at least 1"),
        ("--samples_per_transition 1e300", "--samples_per_transition must be at most 1000"),
        ("--seed 99999999999999999999", "--seed must be at most 9223372036854775807"),
        ("--maximum_steps 99999999999", "--maximum_steps must be at most 32767"),
        ("--category_vectors 10000000000000", "--learned_category_vectors must be at most 4096"),
        ("--replay_buffer_capacity 100", "or training never begins"),
        ("--policy agent chance", "--policy must be one of agent, frequency, random"),
        ("--preset paper --use_memory", "--use_memory needs --frontier best_first"),
        ("--frontier breadth_first", "--no-use_memory"),
        ("--unannotated 1", "--unannotated simulates detections"),
        ("--unannotated 1 --preset paper --image_embedding_model_type none", "--unannotated simulates detections"),
        ("--unannotated 1 --image_embedding_model_type none --train_detections a.json", "no detections to train on"),
        ("--unannotated 1.5", "--unannotated must be at most 1"),
        ("--no-use_pair_context", "--frontier breadth_first --no-use_memory"),
    ],
)
def test_a_value_out_of_bounds_is_named_in_one_line(words, said):
    with pytest.raises(InputError) as refused:
        parse(["--train", *words.split()])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_bounds_and_choices_hold_for_every_default():
    assert complaint(vars(Options())) is None
    for kind in (SceneOptions, Rules, ModelOptions, LearningOptions):
        assert kind in NAMES


def test_help_is_grouped_with_defaults_and_loads_no_pytorch():
    script = "import sys, main\ntry: main.main(['-h'])\nfinally: print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True).stdout
    assert shown.splitlines()[-1] == "False"
    for words in ("what to do", "files:", "learning:", "machine:", "(default: 0.001; paper: 0.0007)", "(default: 0)"):
        assert words in shown


@pytest.mark.slow
def test_without_pixels_and_detector_torchvision_is_not_loaded():
    """It takes as long as PyTorch itself."""
    script = "import sys, engine.training, engine.testing, engine.prediction; print('torchvision' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True) == "False\n"


def test_the_detectors_that_can_be_chosen_are_those_there_are():
    import faster_rcnn

    assert set(DETECTORS) == set(faster_rcnn.DETECTORS)
