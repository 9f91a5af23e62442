"""Learning curves from CSV logs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from PIL import Image

from files.io import InputError
from learning_curve import draw_learning_curves, main, read_log, run_names

HEADER = (
    "epoch,transitions,epsilon,reward,loss,loss_attribute,loss_predicate,loss_entity,seconds,transitions_per_second,"
    "validation_relationship_R50,validation_relationship_R100,validation_attribute_R50,validation_attribute_R100"
)


def write_log(folder: Path, rows: list[str], header: str = HEADER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder / "log.csv"


@pytest.fixture
def run(tmp_path) -> Path:
    return write_log(
        tmp_path / "run 1",
        [
            "1,100,1.0,-0.5,,,,,3.2,31,,,,",
            "2,200,0.955,0.1,0.9,0.3,0.4,0.2,3.1,32,12.5,15.0,3,4",
            "3,300,0.91,0.4,,,,,3,33,,,,",
        ],
    )


def test_empty_cells_are_not_measured(run):
    log = read_log(run)
    assert log["epoch"] == [1, 2, 3]
    assert log["reward"] == [-0.5, 0.1, 0.4]
    assert math.isnan(log["loss"][0])
    assert log["loss"][1] == 0.9


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_one_run_in_every_format(run, tmp_path, ending):
    draw_learning_curves([run], tmp_path / f"curve{ending}")
    content = (tmp_path / f"curve{ending}").read_bytes()
    assert content[:4] == {".png": b"\x89PNG", ".svg": b"<?xm", ".pdf": b"%PDF"}[ending]


def test_several_runs_from_their_folders(run, tmp_path, capsys):
    write_log(tmp_path / "$a_b$ run", ["1,,0.5,nan,0.1,,,,,,,,,"])
    output = tmp_path / "curve.png"
    assert not main([str(run.parent), str(tmp_path / "$a_b$ run" / "log.csv"), "--output", str(output)])
    assert f"Learning curves of 2 runs: {output}" in capsys.readouterr().out
    width, height = Image.open(output).size
    assert width > height > 500, "three plots across, two down"


def test_only_what_was_measured_gets_a_plot(tmp_path):
    log = write_log(tmp_path, ["1,0.5", "2,0.7"], header="epoch,reward")
    draw_learning_curves([log], tmp_path / "one.png")
    width, height = Image.open(tmp_path / "one.png").size
    assert width < 800
    assert height < 700


def test_runs_are_called_by_what_tells_them_apart():
    assert run_names([Path("a/log.csv"), Path("b/log.csv")]) == ["a", "b"]
    assert run_names([Path("x/a/log.csv"), Path("y/a/log.csv")]) == ["x/a", "y/a"]
    assert run_names([Path("log.csv")]) == ["log.csv"]
    assert run_names([Path("a/first.csv"), Path("a/second.csv")]) == ["first.csv", "second.csv"]
    assert run_names([Path("a/log.csv"), Path("a/log.csv")]) == ["1: a", "2: a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'no column "epoch"'),
        ("a,b\n1,2\n", 'no column "epoch"'),
        ("epoch,reward,reward\n1,2,3\n", "names column 'reward' more than once"),
        ("epoch,reward\n", "holds no epoch yet"),
        ("epoch,reward\n1e308,1\n", "line 2, column 'epoch' holds '1e308', which is too large to draw"),
        ("epoch,reward\n1,good\n", "line 2, column 'reward' holds 'good', which is not a number"),
        ("epoch,reward\n1,2\n2,3,4\n", "line 3 has 3 cells, its header has 2"),
        ("epoch,seconds\n1,2\n", "holds nothing to draw"),
    ],
)
def test_bad_logs(tmp_path, text, message):
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        draw_learning_curves([path], tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()


def test_bad_files(run, tmp_path, capsys):
    assert main([str(tmp_path / "none.csv")]) == 2
    assert "none.csv: no such file" in capsys.readouterr().err
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    assert main([str(tmp_path / "bytes.csv")]) == 2
    assert "is not a text file" in capsys.readouterr().err
    assert main([str(run), "--output", str(tmp_path / "curve.gif")]) == 2
    assert "curve.gif: curves are drawn as .png, .svg, .pdf" in capsys.readouterr().err
