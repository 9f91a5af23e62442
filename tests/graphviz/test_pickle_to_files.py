"""graphviz/pickle_to_files.py, as a user runs it, and the folder read back."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from files import scene_graphs as files
from files.io import InputError

SCRIPT = Path(__file__).resolve().parents[2] / "graphviz" / "pickle_to_files.py"


def graph(name, *attributes):
    return {
        "image_name": name,
        "objects": [{"name": "dög", "x": 0, "y": 0, "w": 10, "h": 10}],
        "attributes": [{"attribute": word, "object": 0} for word in attributes],
        "relationships": [],
    }


def write(path, count):
    truth = [graph(f"{i}.jpg", "brown") for i in range(count)]
    found = [graph(f"{i}.jpg", "black", "brown") for i in range(count)]
    files.write_image_states(path, truth, found)
    return {"gt": truth, "curr": found}


def run(folder, *arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], cwd=folder, capture_output=True, text=True)


def test_two_files_an_image_that_read_back_in_order(tmp_path):
    states = write(tmp_path / "image_states.pickle", 11)  # 10 after 9, not after 1
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "11 images" in done.stdout
    assert "graphs" in done.stdout
    folder = tmp_path / "graphs"
    assert len(list(folder.iterdir())) == 22
    assert json.loads((folder / "gt_graph_10.json").read_text()) == states["gt"][10]
    assert json.loads((folder / "curr_graph_10.json").read_text()) == states["curr"][10]
    assert "dög" in (folder / "gt_graph_0.json").read_text()
    assert files.read_graph_folder(folder) == states


def test_a_smaller_run_leaves_no_file_of_a_larger_one(tmp_path):
    write(tmp_path / "many.pickle", 3)
    write(tmp_path / "one.pickle", 1)
    output = tmp_path / "out" / "here"
    assert run(tmp_path, "--pickle", "many.pickle", "--output", output).returncode == 0
    (output / "my_graph_7.json").write_text("mine")
    done = run(tmp_path, "--pickle", "one.pickle", "--output", output)
    assert "4 files" in done.stdout
    assert sorted(path.name for path in output.iterdir()) == ["curr_graph_0.json", "gt_graph_0.json", "my_graph_7.json"]


def test_bad_input_is_one_line(tmp_path):
    (tmp_path / "bad.pickle").write_bytes(b"\x80\x04cut")
    for name in ("bad.pickle", "none.pickle"):
        done = run(tmp_path, "--pickle", name)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert name in done.stderr
    assert not (tmp_path / "graphs").exists()


def test_a_folder_with_half_a_pair_or_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="pickle_to_files"):
        files.read_graph_folder(tmp_path)
    with pytest.raises(InputError, match="pickle_to_files"):
        files.read_graph_folder(tmp_path / "none")
    write(tmp_path / "image_states.pickle", 2)
    run(tmp_path)
    (tmp_path / "graphs" / "curr_graph_1.json").unlink()
    with pytest.raises(InputError, match=r"curr_graph_1\.json: no such file"):
        files.read_graph_folder(tmp_path / "graphs")
    shutil.copy(tmp_path / "graphs" / "curr_graph_0.json", tmp_path / "graphs" / "curr_graph_1.json")
    with pytest.raises(InputError, match=r"graph 1 is of '1\.jpg'"):
        files.read_graph_folder(tmp_path / "graphs")
