"""The files of one run of create_graph.py: graph and splits name the run, and files of two runs are not mixed.

A run that was killed between its renames leaves files of two runs, whose images are divided differently: what the
one trains on, the other may test. Files that name no run (written by hand) are never refused.
"""

from __future__ import annotations

from pathlib import Path

from files.io import InputError
from files.splits import Split

CURE = "run it again, or give the files of one run"


def of_another_run(split: Split, made_in: str | None) -> bool:
    """Whether both tell which run of create_graph.py made them, and it was not the same. made_in: the graph's."""
    other = _made_in(split)
    return bool(made_in and other and made_in != other)


def check_one_run(graph: str | Path, made_in: str | None, *splits: Split) -> None:
    """Raise InputError when a split file was made by another run of create_graph.py than the graph.

    graph: its file, for the message. made_in: the run that made it.
    """
    for split in splits:
        if of_another_run(split, made_in):
            raise _mixed(graph, split.path)


def check_tested(test: Split, train: Split | None, graph: str | Path | None = None, made_in: str | None = None) -> None:
    """Raise InputError when a test on these files would tell something wrong.

    An agent may be tested on images that were divided elsewhere, as long as they are not those of training. So files of
    two runs are refused where they lie in one folder, where training and test images are the same, and where the
    training split is neither of the graph's run nor of the test split's: its words are others'.
    graph: the graph's file, where there is one; made_in: the run that made it.
    """
    if graph is not None and of_another_run(test, made_in) and _folder(graph) == _folder(test.path):
        raise _mixed(graph, test.path)
    if train is None or not of_another_run(train, _made_in(test)):
        return
    if _folder(train.path) == _folder(test.path) or (graph is not None and of_another_run(train, made_in)):
        raise _mixed(train.path, test.path)
    images = {(record.image_name, record.width, record.height) for record in train}
    for record in test:
        if (record.image_name, record.width, record.height) in images:
            raise _mixed(train.path, test.path, f", and both have the image {record.image_name!r}")


def _made_in(split: Split) -> str | None:
    return split[0].made_in if len(split) else None


def _mixed(one: str | Path, other: str | Path, why: str = "") -> InputError:
    return InputError(f"{one} and {other} are of two runs of create_graph.py{why}; {CURE}")


def _folder(path: str | Path) -> Path:
    """The --output of the run that wrote the file there; splits lie in data/data_samples below it."""
    folder = Path(path).resolve().parent
    return folder.parents[1] if folder.parts[-2:] == ("data", "data_samples") else folder
