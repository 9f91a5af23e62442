"""The files of a skip-thought model, in the layout of Kiros et al. (2015).

dictionary.txt              one word a line, UTF-8
utable.npy, btable.npy      the word vectors of uni-skip and bi-skip, in the dictionary's order
uni_skip.npz, bi_skip.npz   the parameters `encoder_*`, of bi-skip also `encoder_r_*`
uni_skip.npz.pkl, ...       the options `dim` (of one direction) and `dim_word`
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np

from files.arrays import as_float32, read_archive
from files.io import InputError, atomic_write, read_bytes
from files.pickles import read_plain_pickle

EOS, UNKNOWN = "<eos>", "UNK"
MODELS = ("uni", "bi")
# The parameters of one direction: shape in words of dim_word (w) and dim (d).
_SHAPES = {"W": "w2", "b": "2", "U": "d2", "Wx": "wd", "bx": "d", "Ux": "dd"}


def table_path(directory: str | Path, model: str) -> Path:
    """The word table of `model` ("uni" or "bi")."""
    return Path(directory) / {"uni": "utable.npy", "bi": "btable.npy"}[model]


def parameter_path(directory: str | Path, model: str) -> Path:
    """The parameters of `model` ("uni" or "bi"); its options lie beside them, `.pkl` added."""
    return Path(directory) / f"{model}_skip.npz"


def option_path(directory: str | Path, model: str) -> Path:
    """The options of `model` ("uni" or "bi")."""
    return Path(directory) / f"{model}_skip.npz.pkl"


def require_files(directory: str | Path, models: tuple[str, ...]) -> None:
    """Raise InputError naming every file that `models` need and `directory` lacks."""
    needed = [Path(directory) / "dictionary.txt"]
    for model in models:
        needed += [table_path(directory, model), parameter_path(directory, model), option_path(directory, model)]
    missing = [path.name for path in needed if not path.exists()]
    if missing:
        raise InputError(
            f"{directory}: the skip-thought files {', '.join(missing)} are missing; get them with "
            "`python data/download.py skipthoughts` or train your own with `python -m skipthoughts.train`"
        )


def read_dictionary(directory: str | Path) -> list[str]:
    """The words in the tables' order. Raises InputError when the file is not UTF-8 or lacks `UNK`."""
    path = Path(directory) / "dictionary.txt"
    words = []
    # Line by line in bytes: a word may contain one of Unicode's rarer line ends, and the file is large.
    for number, line in enumerate(io.BytesIO(read_bytes(path)), start=1):
        try:
            words.append(line.decode("utf-8").strip())
        except UnicodeDecodeError:
            raise InputError(f"{path}: line {number} is not UTF-8 text; download it again") from None
    if UNKNOWN not in words:
        raise InputError(f"{path}: lacks the word {UNKNOWN}, which is used for all unknown ones; download it again")
    return words


def read_parameters(directory: str | Path, model: str) -> dict[str, np.ndarray]:
    """The float32 parameters of `model`'s encoder, named as in the file (`encoder_W`, ...).

    Raises InputError when the files are damaged, a parameter is missing, or the shapes
    disagree with each other or with the options.
    """
    path, directions = parameter_path(directory, model), ("encoder",) if model == "uni" else ("encoder", "encoder_r")
    options = read_plain_pickle(option_path(directory, model), encoding="latin1")
    given = {key: options.get(key) if isinstance(options, dict) else None for key in ("dim_word", "dim")}
    for key, side in given.items():
        if type(side) is not int or not 0 < side < 2**20:
            raise InputError(f"{option_path(directory, model)}: its option {key} is {side!r}, not a number of columns")
    size = {"w": given["dim_word"], "d": given["dim"], "2": 2 * given["dim"]}
    shapes = {
        f"{prefix}_{name}": tuple(size[side] for side in shape)
        for prefix in directions
        for name, shape in _SHAPES.items()
    }
    # Only these: the decoders in the file are larger than the encoder.
    parameters = read_archive(path, list(shapes), f"is it a {model}-skip model? Download it again")
    for name, shape in shapes.items():
        if parameters[name].shape != shape:
            raise InputError(
                f"{path}: {name} has the shape {parameters[name].shape}, its options make it {shape}; "
                "the .npz and its .pkl belong to different models"
            )
        parameters[name] = as_float32(parameters[name], path, "download it again")
    return parameters


def write_dictionary(directory: str | Path, words: list[str]) -> None:
    """Write dictionary.txt."""
    with atomic_write(Path(directory) / "dictionary.txt", "w") as file:
        file.writelines(f"{word}\n" for word in words)


def write_table(directory: str | Path, model: str, table: np.ndarray) -> None:
    """Write the word table (words, dim_word) of `model`."""
    with atomic_write(table_path(directory, model)) as file:
        np.save(file, np.ascontiguousarray(table, np.float32))


def write_parameters(
    directory: str | Path, model: str, parameters: dict[str, np.ndarray], options: dict[str, str | int | float]
) -> None:
    """Write the parameters and the options of `model`."""
    with atomic_write(parameter_path(directory, model)) as file:
        np.savez(file, **parameters)
    with atomic_write(option_path(directory, model)) as file:
        pickle.dump(options, file, protocol=2)  # the newest that Python 2, and so the original encoder, reads
