"""benchmarks/discounts.py and benchmarks/paper_rules.py on an agent that walks breadth first."""

import json
import re

import pytest
from tiny_run import SMALL

import main
from benchmarks import discounts, paper_rules

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(made, tmp_path_factory):
    output = tmp_path_factory.mktemp("breadth_first") / "run"
    flags = ["--frontier", "breadth_first", "--no-use_memory", "--neighbour_factor", "0.5", "--num_epochs", "1"]
    assert main.main(["--train", *SMALL, *flags, *made.files(output)]) == 0
    return output


def test_looking_ahead_never_leaves_a_subject_but_where_it_may(made, run, capsys):
    split = str(made.splits / "test_data.json")
    words = ["--runs", str(run), "--graph", str(made.graph), "--test_data", split, "--budgets", "3", "1000"]
    assert discounts.main([*words, "--leave_below", "1"]) == 0
    recall, mean = capsys.readouterr().out.split("Relationship mR@50 / mR@100")
    assert recall.startswith("Relationship R@50 / R@100")
    rows, means = (
        [line.split(" | ") for line in text.splitlines() if line.startswith("| run, ")] for text in (recall, mean)
    )
    assert [row[0] for row in rows] == [row[0] for row in means]
    assert rows != means
    steps = {row[0].split(", ", 1)[1]: float(row[-1].strip(" |")) for row in rows}
    assert steps["own"] <= steps["never leaving"] == steps["lookahead"]
    objects = [len(record["labels"]["objects"]) for record in json.loads((made.splits / "test_data.json").read_text())]
    assert steps["lookahead and leaving"] == pytest.approx(sum(objects) / len(objects), abs=0.06), (
        "it only opens subjects"
    )


def test_who_follows_the_reward_of_the_next_object_earns_most_and_who_never_leaves_reaches_most(made, run, capsys):
    files = [
        word for split in ("train", "test") for word in (f"--{split}_data", str(made.splits / f"{split}_data.json"))
    ]
    assert paper_rules.main(["--graph", str(made.graph), *files, "--runs", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "annotated relationships" in shown
    rows = {name: list(map(float, rest)) for name, *rest in (re.split(r"\s{2,}", line) for line in table_of(shown))}
    reached, predicate, mean, pairs, earned = ({name: row[i] for name, row in rows.items()} for i in (0, 2, 3, 4, 5))
    assert 0 < mean["table"] != predicate["table"]
    assert earned["R_c"] == max(earned[name] for name in ("table", "random", "random, never Terminal", "R_c"))
    assert pairs["table"] == pairs["random, never Terminal"] == max(pairs.values())
    assert reached["R_c"] < reached["table"]
    assert rows[f"{run}, on the table's walk"][0] == reached["table"]


def table_of(text: str) -> list[str]:
    """The rows of a printed table below its line."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("---")) + 1
    return [line for line in lines[first:] if re.search(r"\d$", line)]
