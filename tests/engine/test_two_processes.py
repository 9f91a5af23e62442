"""--predict by two processes: the files of one process, every image once; a lost process ends the job."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_run import World, copy_of_run

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


@pytest.fixture(scope="module")
def photos(made, tmp_path_factory) -> Path:
    """The photos of a world, an odd number of them, and one that does not decode."""
    folder = tmp_path_factory.mktemp("photos")
    for path in sorted(made.images.iterdir())[:9]:
        shutil.copy(path, folder)
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def command(made: World, output: Path, *flags: str | Path, launcher: tuple[str, ...] = ()) -> list[str]:
    files = ["--graph", made.graph, "--detections", made.detections, "--output_dir", output, "--device", "cpu"]
    return [sys.executable, *launcher, *map(str, (ROOT / "main.py", *files, "--num_workers", "1", *flags))]


def start(*arguments, **options) -> subprocess.Popen:
    return subprocess.Popen(
        command(*arguments, **options),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_processes_predict_what_one_does(made, photos, tmp_path):
    output = {name: copy_of_run(made, tmp_path / name) for name in ("one", "two")}
    jobs = [
        start(made, output["one"], "--predict", photos),
        start(made, output["two"], "--predict", photos, launcher=TWO),
    ]
    for name, job in zip(output, jobs, strict=True):
        said, _ = job.communicate(timeout=240)
        assert job.returncode == 0, said
        assert said.count("Scene graphs of 9 of 10 photos written") == 1, "each image once, said by one"
        assert said.count("skipped: broken.jpg") == 1
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
        if job.poll() is not None or list(run.glob("predictions/*.json")):
            break
        time.sleep(0.05)
    ranks = subprocess.run(["ps", "-o", "pid=", "--ppid", str(job.pid)], capture_output=True, text=True)
    os.kill(int(ranks.stdout.split()[-1]), signal.SIGKILL)
    said, _ = job.communicate(timeout=60)
    assert job.returncode != 0
    assert "SIGKILL" in said, "why it ended"
    assert "images written" not in said
