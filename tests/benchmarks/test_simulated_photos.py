"""benchmarks/simulated_photos.py: boxes of COCO's words, and what agents find in them."""

import numpy as np
import pytest
from small_world import image, make_graph, scene_set
from tiny_run import SMALL

from benchmarks.simulated_photos import SimulatedPhotos, main
from main import main as train

GRAPH = make_graph(
    ["person", "bike", "shirt"], [], ["on", "wear"], [], [("person", "on", "bike", 2), ("person", "wear", "shirt", 9)]
)
RECORD = image(
    [("person", (10, 10, 80, 200)), ("shirt", (20, 50, 60, 80)), ("bike", (10, 120, 120, 120))], [(0, "on", 2)]
)


def photos(kind, count=200):
    return SimulatedPhotos(scene_set(GRAPH, [RECORD] * count), kind)


def test_boxes_have_cocos_words_alone():
    """COCO has persons and bicycles, which are bikes to the agent, and no shirts."""
    for kind in ("good", "poor", "crowded"):
        scenes = photos(kind)
        names = np.concatenate([scene.candidates[:, 0] for scene in scenes])
        assert set(names.tolist()) == {0, 1}
        assert all((scene.candidate_scores < 1).all() for scene in scenes)


def test_every_look_sees_the_same():
    assert all((photos("crowded")[i].boxes == photos("crowded")[i].boxes).all() for i in range(20))


def test_poor_boxes_are_fewer_and_crowded_ones_more():
    """An object is found once, or again under a wrong name: 0.85 + 0.3 of two; 0.6 (0.75 + 0.5); 4 others' half."""
    mean = {kind: np.mean([len(s.boxes) for s in photos(kind, 1000)]) for kind in ("good", "poor", "crowded")}
    assert abs(mean["good"] - 2.4) < 0.15
    assert abs(mean["poor"] - 1.57) < 0.15
    assert abs(mean["crowded"] - (mean["good"] + 4)) < 0.3


@pytest.mark.slow
def test_a_run_compared_with_itself_does_not_differ(made, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(["--train", *made.files(run), *SMALL, "--num_epochs", "1"]) == 0
    files = ["--graph", str(made.graph), "--split", str(made.splits / "test_data.json")]
    assert main(["--run", str(run), str(run), "--than", str(run), *files]) == 0
    said = capsys.readouterr().out
    assert "means of 2 runs" in said
    compared = [line for line in said.splitlines() if line.startswith("| crowded")]
    assert len(compared) == 1
    assert "+0.00 [0.00, 0.00], +0.00 [0.00, 0.00]" in compared[0]


@pytest.mark.slow
def test_an_agent_that_needs_pixels_is_refused(made, capsys):
    files = ["--graph", str(made.graph), "--split", str(made.splits / "test_data.json")]
    assert main(["--run", str(made.folder / "run"), *files]) == 2
    assert "needs pixels" in capsys.readouterr().err
