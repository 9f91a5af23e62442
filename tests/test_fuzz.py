"""Whatever a file holds, reading it gives a value or one clear line. 200 seeded cases of each format; the long test of
whole commands is benchmarks/fuzz.py, of which a few cases are here."""

import contextlib
import os
import shutil
import signal

import fuzz_commands
import pytest
from fuzz_formats import FORMATS
from fuzzing import case
from tiny_run import copy_of_world

from files.io import InputError

CASES = 200


def test_the_right_files_are_read(tmp_path, capsys):
    for name, format in FORMATS.items():
        path = tmp_path / f"x.{format.ending}"
        path.write_bytes(format.write(format.value()))
        try:
            format.read(path)
        except InputError as error:
            raise AssertionError(f"{name}: {error}\n{capsys.readouterr().err}") from None


def test_a_pipe_is_refused_not_waited_for(tmp_path):
    """By every reader of one file; those that get copies in a folder take what is in the folder."""
    refused = 0
    for name, format in FORMATS.items():
        path = tmp_path / f"{name.replace('/', ' ')}.{format.ending}"
        os.mkfifo(path)
        signal.alarm(20)  # ends the test: nobody writes into the pipe
        with contextlib.suppress(shutil.SpecialFileError):
            with pytest.raises(InputError, match="not a regular file"):
                format.read(path)
            refused += 1
        signal.alarm(0)
    assert refused > 20


def test_a_seed_makes_a_case():
    for name, format in FORMATS.items():
        if name != "old checkpoint":  # PyTorch's older layout names its storages by their addresses in memory
            assert [case(format, seed) for seed in range(5)] == [case(format, seed) for seed in range(5)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path, name):
    format = FORMATS[name]
    path = tmp_path / f"x.{format.ending}"
    refused = 0
    for seed in range(CASES):
        path.write_bytes(case(format, seed))
        try:
            format.read(path)
        except InputError as error:
            refused += 1
            if "\n" in str(error):
                raise AssertionError(f"{name}, seed {seed}: more than a line: {error}") from None
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}: {type(error).__name__}: {error}") from error
    assert refused > CASES / 20


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    return fuzz_commands.prepare(copy_of_world(made, tmp_path_factory.mktemp("fuzz") / "world"))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(fuzz_commands.COMMANDS)[::5])
def test_a_command_takes_a_damaged_file_or_refuses_it_in_one_line(name, folder, tmp_path):
    kind, details = fuzz_commands.run_case(name, 1, folder, tmp_path)
    assert kind in ("read", "refused"), details
