"""--predict by two processes: the files of one process, every image once; a lost process ends the job."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from limited import ROOT, end, said
from limited import start as start_words
from tiny_run import World, copy_of_run

pytestmark = pytest.mark.slow
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


@pytest.fixture(scope="module")
def photos(made, tmp_path_factory) -> Path:
    """The photos of a world, an odd number of them, and one that does not decode."""
    folder = tmp_path_factory.mktemp("photos")
    for path in sorted(made.images.iterdir())[:9]:
        shutil.copy(path, folder)
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def start(made: World, output: Path, *flags: str | Path, launcher: tuple[str, ...] = ()) -> BaseProcess:
    files = ["--graph", made.graph, "--detections", made.detections, "--output_dir", output, "--device", "cpu"]
    words = [*launcher, ROOT / "main.py", *files, "--num_workers", "1", *flags]
    return start_words([str(word) for word in words], output)


def ended(job: BaseProcess, output: Path, seconds: float) -> str:
    """Wait until it has ended. Returns what it said."""
    job.join(seconds)
    late = job.is_alive()
    end(job)
    assert not late
    return "".join(said(output))


def test_two_processes_predict_what_one_does(made, photos, tmp_path):
    output = {name: copy_of_run(made, tmp_path / name) for name in ("one", "two")}
    jobs = [
        start(made, output["one"], "--predict", photos),
        start(made, output["two"], "--predict", photos, launcher=TWO),
    ]
    for name, job in zip(output, jobs, strict=True):
        text = ended(job, output[name], 240)
        assert job.exitcode == 0, text
        assert text.count("Scene graphs of 9 of 10 photos written") == 1, "each image once, said by one"
        assert text.count("skipped: broken.jpg") == 1
        output[name] = {
            path.name: path.read_bytes()
            for path in (output[name] / "predictions").iterdir()
            if not path.name.startswith(".")
        }
    assert len(output["one"]) == 27
    assert output["one"].keys() == output["two"].keys()
    for name, content in output["one"].items():
        assert output["two"][name] == content, name


def test_a_process_that_dies_while_predicting_ends_the_job(made, photos, tmp_path):
    many, boxes = tmp_path / "many", {}
    many.mkdir()
    known = json.loads(made.detections.read_text())
    for copy in range(40):  # a minute's work
        for path in photos.glob("[0-9]*.jpg"):
            (many / f"{copy}_{path.name}").hardlink_to(path)
            boxes[f"{copy}_{path.name}"] = known[path.name]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    run = copy_of_run(made, tmp_path / "run")
    job = start(made, run, "--predict", many, "--detections", tmp_path / "boxes.json", launcher=TWO)
    for _ in range(1200):
        if not job.is_alive() or list(run.glob("predictions/*.json")):
            break
        time.sleep(0.05)
    ranks = subprocess.run(["ps", "-o", "pid=", "--ppid", str(job.pid)], capture_output=True, text=True)
    os.kill(int(ranks.stdout.split()[-1]), signal.SIGKILL)
    text = ended(job, run, 60)
    assert job.exitcode != 0
    assert "SIGKILL" in text, "why it ended"
    assert "images written" not in text
