"""The README keeps its word: its commands parse, those of the demo are the demo's, the others run on a small world."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from limited import run_limited
from tiny_run import World, copy_of_run

from engine.options import make_parser

ROOT = Path(__file__).resolve().parents[1]


def commands(text: str) -> list[list[str]]:
    """The commands of a text's indented blocks or of a script's steps: joined lines, comments left out, as words."""
    text = re.sub(r"\\\n\s*", "", text)
    lines = re.findall(r"^(?:    |step \".*?\" +)((?:python|torchrun|\./)[^#\n]*)", text, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


README = commands((ROOT / "README.md").read_text())
DOCUMENTED = [words for page in pages() for words in commands(page.read_text())]
DEMO = commands((ROOT / "demo.sh").read_text())


class Parsed(BaseException):
    """The flags were right."""


def script_of(words: list[str]) -> list[str]:
    """`python SCRIPT ...` or `torchrun ... SCRIPT ...` without what stands before SCRIPT, or `-m MODULE ...`."""
    return words[1:] if words[0] == "python" else words[words.index("main.py") :]


@pytest.mark.parametrize(
    "words",
    [words for words in DOCUMENTED if not words[0].startswith("./")],
    ids=" ".join,
)
def test_every_flag_of_a_documented_command_is_known(words, monkeypatch):
    """By the script's own parser, in this process: it is left once the flags are parsed."""
    parse, parse_known = argparse.ArgumentParser.parse_args, argparse.ArgumentParser.parse_known_args

    def parse_and_leave(self, *arguments, **named):
        parse(self, *arguments, **named)
        raise Parsed

    def parse_what_is_known(self, *arguments, **named):
        known, rest = parse_known(self, *arguments, **named)
        if self.prog == "ablations.py":  # hands the others on to main.py
            parser = make_parser()
            parser.prog = "main.py"
            parser.parse_args(["--train", *rest])
        return known, rest

    words = script_of(words)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_leave)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", parse_what_is_known)
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    monkeypatch.setattr(sys, "argv", words[words[0] == "-m" :])
    if words[0] == "-m":
        monkeypatch.delitem(sys.modules, words[1], raising=False)  # runpy warns of what is imported already
    run, script = (runpy.run_module, words[1]) if words[0] == "-m" else (runpy.run_path, str(ROOT / words[0]))
    with pytest.raises(Parsed):
        run(script, run_name="__main__")


def test_the_demo_runs_the_readmes_commands_in_their_order():
    documented = [words for words in README if words in DEMO]
    assert documented == DEMO


def test_an_environment_whose_packages_cannot_be_installed_is_not_called_ready(tmp_path):
    """setup_venv.sh is sourced by hand too, where a command that fails does not end the shell."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    for _ in range(2):
        sourced = subprocess.run(
            ["bash", "-c", ". ./setup_venv.sh"], cwd=ROOT, env={**os.environ, "VENV": str(tmp_path)}, check=False
        )
        assert sourced.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


# Those of the pages that run on the small world as they stand, and that neither demo.sh nor other tests run.
TRIED = [
    "graphviz/visualize.py --graph sample_run/graphs/curr_graph_0.json",
    "learning_curve.py sample_run/log.csv",
    "evaluation.py --predictions sample_run/predictions.json",
    "create_graph.py --describe graph.pickle",
    "create_graph.py --draw graph.pickle",
]


@pytest.mark.slow
def test_they_run_where_the_demo_left_its_files(made: World, tmp_path):
    folder = tmp_path / "checkout"
    (folder / "data").mkdir(parents=True)
    for link, target in {
        "data/VG_100K": made.images,
        "data/data_samples": made.splits,
        "graph.pickle": made.graph,
    }.items():
        (folder / link).symlink_to(target)
    run = copy_of_run(made, folder / "sample_run")
    detections = ["--detections", str(made.detections), "--device", "cpu"]
    before = [
        ["main.py", "--test", *made.files(run), *detections],
        ["graphviz/pickle_to_files.py", "--pickle", "sample_run/image_states.pickle", "--output", "sample_run/graphs"],
    ]
    for words in before:
        done = run_limited(words, folder, seconds=60)
        assert done.status == 0, done
    for beginning in TRIED:
        [words] = [words for words in DOCUMENTED if " ".join(words[1:]).startswith(beginning)]
        done = run_limited(script_of(words), folder)
        assert done.status == 0, done
        assert not done.fault
