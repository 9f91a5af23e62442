"""The import rule: what may know what. Read from every file's imports, also those inside functions."""

from __future__ import annotations

import ast
import functools
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOORS = {"main", "create_graph", "vrl_model", "environment", "replay_memory", "evaluation"}
SCRIPTS = {"graphviz", "benchmarks"}  # folders that are run, never imported

# The paper's chain: each knows those before it.
RULE = "boxes files semantic_graph scenes environment action_sets vrl_model q_learning engine main"
CHAIN = RULE.split()
KNOWS = {room: set(CHAIN[:place]) for place, room in enumerate(CHAIN)}
BESIDE = {
    "data": {"boxes", "files", "semantic_graph"},
    "create_graph": {"boxes", "files", "semantic_graph", "data", "drawing"},  # drawing: --draw
    "faster_rcnn": {"boxes", "files", "semantic_graph"},  # semantic_graph: which words a detector learns
    "skipthoughts": {"boxes", "files"},
    "replay_memory": {"boxes", "files"},
    "metrics": {"boxes", "files"},
    "drawing": {"boxes", "files", "semantic_graph", "metrics"},
    "evaluation": {"boxes", "files", "metrics", "drawing"},
    "learning_curve": {"files"},
}
KNOWS |= BESIDE
KNOWS["engine"] |= set(BESIDE) - {"create_graph", "data"}
KNOWS["main"] |= KNOWS["engine"]


@functools.cache
def sources() -> list[tuple[str, ast.Module]]:
    """(path in the repository, syntax tree) of each file of the program; tests may import everything."""
    paths = sorted([*ROOT.glob("*.py"), *(path for room in [*KNOWS, *SCRIPTS] for path in (ROOT / room).rglob("*.py"))])
    return [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def imports(tree: ast.AST) -> set[str]:
    """Dotted names of all imported modules; "a.b" for `from a import b`, which may be a module of its own."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(path: str) -> str:
    return path.split("/")[0].removesuffix(".py")


def test_no_import_points_upwards():
    wrong = {
        f"{path} imports {name}"
        for path, tree in sources()
        for name in imports(tree)
        if (room(path) in KNOWS and (to := name.split(".")[0]) in KNOWS and to != room(path))
        and to not in KNOWS[room(path)]
    }
    assert not wrong


def test_no_module_imports_itself_by_way_of_others():
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): tree for path, tree in sources()}
    known = {
        name: {to if to in modules else to.rpartition(".")[0] for to in imports(tree)} & set(modules)
        for name, tree in modules.items()
    }
    TopologicalSorter(known).prepare()  # raises CycleError


def test_scripts_are_never_imported():
    wrong = {
        f"{path} imports {name}"
        for path, tree in sources()
        for name in imports(tree)
        if name.split(".")[0] == "benchmarks" and room(path) != "benchmarks"
    }
    assert not wrong
    assert not (ROOT / "graphviz/__init__.py").exists(), "it would hide PyPI's package of that name"


def test_only_the_engine_knows_how_many_processes_there_are():
    def asks(tree: ast.Module) -> bool:
        attribute = any(
            isinstance(node, ast.Attribute) and node.attr == "distributed" and getattr(node.value, "id", "") == "torch"
            for node in ast.walk(tree)
        )
        return attribute or any(name.startswith(("torch.distributed", "engine.distributed")) for name in imports(tree))

    elsewhere = {path for path, tree in sources() if asks(tree) and room(path) not in {"engine", "main", "benchmarks"}}
    assert not elsewhere


def test_the_root_holds_the_commands_and_the_paper():
    names = {path.stem for path in ROOT.glob("*.py")}
    assert names >= DOORS
    assert len(names) <= 11, f"{sorted(names)}: at most eleven files in the root; what serves them goes into a folder"


def test_every_file_has_its_place_in_the_rule():
    files = [*ROOT.glob("*.py"), *(path for path in ROOT.glob("[!.]*/*.py") if path.parent.name != "tests")]
    assert {room(path.relative_to(ROOT).as_posix()) for path in files} <= {*KNOWS, *SCRIPTS}
