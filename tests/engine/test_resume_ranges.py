"""--resume of a checkpoint whose numbers fit in type and shape, and name what is not there: one line, no training."""

import shutil

import numpy as np
import pytest
import torch
from tiny_run import SMALL

from engine import training
from files.checkpoints import load_checkpoint, save_checkpoint
from files.options import Rules
from main import main
from replay_memory import transition_dtype
from scenes.records import best_first_dtype, state_dtype
from semantic_graph import SemanticActionGraph

WALKS = ["best_first", "breadth_first"]


def argv(made, output, walk):
    flags = [*SMALL, "--no-learning_rate_decay", "--num_epochs", "1", "--frontier", walk]
    flags += [] if walk == "best_first" else ["--no-use_memory"]
    return ["--train", *made.files(output), *flags]


@pytest.fixture(scope="module")
def stopped(made, tmp_path_factory):
    """Runs of either walk, stopped within their first epoch once something was learned."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.TrainingRun, "_agreed", lambda run, stop, due: (run.learner.updates > 3, False))
        for walk in WALKS:
            assert main(argv(made, folder / walk, walk)) == 130
    return folder


def transitions(made, saved, walk):
    """The memory of a checkpoint as records (slots, share), to be changed in place."""
    graph, rules = SemanticActionGraph.load(made.graph), Rules(frontier=walk)
    dtype = transition_dtype((best_first_dtype if walk == "best_first" else state_dtype)(graph, rules))
    memory = saved["loops"][0]["memory"]
    return memory["memory"].numpy().view(dtype).reshape(len(memory["added"]), -1)


def resumed(made, stopped, tmp_path, walk, change):
    """Exit status of going on from a checkpoint that `change` has changed."""
    shutil.copytree(stopped / walk, tmp_path / "run")
    path = tmp_path / "run" / "last.pt"
    saved = load_checkpoint(path)
    change(saved)
    save_checkpoint(path, {key: value for key, value in saved.items() if key != "format"})
    before = {other.name: other.read_bytes() for other in path.parent.iterdir() if other.is_file()}
    status = main([*argv(made, path.parent, walk), "--resume"])
    after = {other.name: other.read_bytes() for other in path.parent.iterdir() if other.is_file()}
    assert (before == after) == (status == 2)
    return status


@pytest.mark.parametrize("walk", WALKS)
def test_what_was_saved_is_taken_up(made, stopped, tmp_path, walk):
    def unchanged(saved):
        assert saved["within_epoch"]
        assert saved["loops"][0]["env"]["active"].any()
        records = transitions(made, saved, walk)
        assert (records["state"]["object"] >= 0).any()

    assert resumed(made, stopped, tmp_path, walk, unchanged) == 0


MEMORY = {  # a field, and a number that no transition can have
    "scene": (10**6, WALKS),
    "subject": (5000, WALKS),
    "object": (5000, WALKS),
    "subject_category": (-1, WALKS),
    "object_category": (10**6, WALKS),
    "history": (10**15, WALKS),
    "subject_box": (np.nan, WALKS),
    "context": (np.inf, WALKS),
    "entities": (10**6, ["breadth_first"]),
    "instances": (5000, ["breadth_first"]),
    "repeats": (np.nan, ["best_first"]),
}


@pytest.mark.parametrize(("field", "walk"), [(field, walk) for field, (_, walks) in MEMORY.items() for walk in walks])
def test_a_replay_memory_that_names_what_is_not_there_is_refused(made, stopped, tmp_path, capsys, field, walk):
    def change(saved):
        transitions(made, saved, walk)["state"][field][0, 0] = MEMORY[field][0]

    assert resumed(made, stopped, tmp_path, walk, change) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"last.pt: does not hold what it should (ValueError: {field} " in error


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize(("kind", "number"), [(0, 200), (1, 200), (2, 1000), (1, -2)])
def test_actions_that_there_are_not_are_refused(made, stopped, tmp_path, capsys, walk, kind, number):
    def change(saved):
        transitions(made, saved, walk)["action"][0, 0, kind] = number

    assert resumed(made, stopped, tmp_path, walk, change) == 2
    assert "action names images, boxes or words that there are not" in capsys.readouterr().err


def put(part, name, number):
    """Changes the first number of an array of the walk, or of the memory."""

    def change(saved):
        array = saved["loops"][0][part][name]
        array[(0,) * array.ndim] = number

    return change


def of_loop(**values):
    return lambda saved: saved["loops"][0].update(values)


def without_rows(saved):
    saved["loops"][0]["memory"]["memory"] = saved["loops"][0]["memory"]["memory"][:0]


def another_image(saved):
    env = saved["loops"][0]["env"]
    env["scene"][0] = (env["scene"][0] + 1) % 2


def average(name, make):
    """Changes what the optimizer keeps of its second parameter."""

    def change(saved):
        averages = saved["optimizer"]["state"][1]
        averages[name] = make(averages[name])

    return change


def another_parameter(saved):
    state = saved["optimizer"]["state"]
    state[100] = state.pop(0)


def without_an_average(saved):
    del saved["optimizer"]["state"][0]["exp_avg"]


def row(**values):
    def change(saved):
        saved["rows"] = [dict.fromkeys(("epoch", "transitions", "seconds"), 1) | values]
        saved["loops"][0]["epoch"] = 1

    return change


CHANGES = {
    "memory, added": (put("memory", "added", -1), "one count for every slot"),
    "memory, added more": (put("memory", "added", 10**6), "not as many as were added"),
    "memory, nothing": (without_rows, "holds 0 transitions"),
    "walk, category": (put("env", "category", 10**6), "category names"),
    "walk, candidates": (put("env", "candidates", -2), "candidates names"),
    "walk, annotated categories": (put("env", "gt_categories", 10**6), "gt_categories names"),
    "walk, annotated attributes": (put("env", "gt_attributes", 500), "gt_attributes names"),
    "walk, annotated relationships": (put("env", "gt_relationships", 500), "gt_relationships names"),
    "walk, pair_predicate": (put("env", "pair_predicate", 10**6), "pair_predicate names"),
    "walk, latest_phrase": (put("env", "latest_phrase", 10**15), "latest_phrase names"),
    "walk, boxes": (put("env", "boxes", float("nan")), "boxes has a number that is not finite"),
    "walk, no image": (put("env", "scene", -1), "scene is not the image that the queue says"),
    "walk, another image": (another_image, "scene is not the image that the queue says"),
    "walk, no subject": (put("env", "subject", -1), "subject names"),
    "walk, position": (put("env", "position", 0), "position names"),
    "walk, queue": (put("env", "queue_lengths", -1), "queue_lengths names"),
    "walk, steps": (put("env", "num_steps", 10**6), "num_steps names"),
    "loop, steps": (of_loop(steps=-1), "-1 is not a count"),
    "loop, updates": (of_loop(updates=2.5), "2.5 is not a count"),
    "loop, credit": (of_loop(credit=1e300), "its credit is 1e+300"),
    "loop, sums": (of_loop(sums=[0, 0, 0.0, [0.0], [0.0] * 3]), "the sums of the epoch"),
    "loop, transitions": (of_loop(sums=[0.5, 0, 0.0, [0.0] * 3, [0.0] * 3]), "0.5 is not a count"),
    "loop, enormous losses": (of_loop(sums=[0, 0, 0.0, [0.0] * 3, [1e300] * 3]), "the sums of the epoch"),
    "loop, enormous reward": (of_loop(sums=[0, 0, 0.0, [10**400] * 3, [0.0] * 3]), "OverflowError"),
    "optimizer, step": (average("step", lambda step: torch.ones(4, 21, dtype=torch.bool)), "step of the optimizer is"),
    "optimizer, no step": (average("step", lambda step: -step), "step of the optimizer has"),
    "optimizer, shape": (average("exp_avg", lambda gradient: gradient.flatten()), "exp_avg of the optimizer is"),
    "optimizer, type": (average("exp_avg_sq", lambda squares: squares.double()), "exp_avg_sq of the optimizer is"),
    "optimizer, NaN": (average("exp_avg", lambda gradient: gradient * np.nan), "exp_avg of the optimizer has"),
    "optimizer, square": (average("exp_avg_sq", lambda squares: squares - 1), "exp_avg_sq of the optimizer has"),
    "optimizer, another parameter": (another_parameter, "the optimizer has something else than averages of its"),
    "optimizer, no average": (without_an_average, "the optimizer has something else than averages of its"),
    "best": (lambda saved: saved.update(best=float("nan")), "its best recall is nan"),
    "log, none": (of_loop(epoch=1), "the log has 0 epochs, the run 1"),
    "log, words": (row(seconds="a"), "row 1 of the log is not an epoch's"),
    "log, infinity": (row(reward=float("inf")), "row 1 of the log is not an epoch's"),
    "log, transitions": (row(transitions=10**30), "is not a count"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_walk_or_counts_that_cannot_be_are_refused(made, stopped, tmp_path, capsys, what):
    change, said = CHANGES[what]
    assert resumed(made, stopped, tmp_path, "best_first", change) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize(("name", "number"), [("look", 10**4), ("looked_at", 10**4), ("promise", float("nan"))])
def test_what_the_best_first_walk_remembers_is_checked_too(made, stopped, tmp_path, capsys, name, number):
    assert resumed(made, stopped, tmp_path, "best_first", put("env", name, number)) == 2
    assert f"(ValueError: {name} " in capsys.readouterr().err


def test_truth_values_that_are_none_are_refused(made, stopped, tmp_path, capsys):
    def change(saved):
        paid = saved["loops"][0]["env"]["was_subject"]
        saved["loops"][0]["env"]["was_subject"] = torch.full(paid.shape, 7, dtype=torch.uint8).view(torch.bool)

    assert resumed(made, stopped, tmp_path, "breadth_first", change) == 2
    assert "was_subject has a truth value that is none" in capsys.readouterr().err


def test_how_the_optimizer_steps_is_what_the_flags_say_whatever_the_checkpoint_says(made, stopped, tmp_path):
    def change(saved):
        for group in saved["optimizer"]["param_groups"]:
            group |= {"lr": float("nan"), "betas": "ab", "amsgrad": True, "fused": False}

    assert resumed(made, stopped, tmp_path, "best_first", change) == 0
    optimizer = load_checkpoint(tmp_path / "run" / "last.pt")["optimizer"]
    assert optimizer["param_groups"][0]["fused"]
    assert optimizer["param_groups"][0]["lr"] > 0
