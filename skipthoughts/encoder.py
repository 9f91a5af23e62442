"""Skip-thought vectors of phrases (Kiros et al. 2015, "Skip-Thought Vectors", section 2.1).

The encoder is a gated recurrent unit over the word vectors x:

    r = sigmoid(W_r x + U_r h + b_r)            u = sigmoid(W_u x + U_u h + b_u)
    c = tanh(W_c x + b_c + r * (U_c h))         h <- u * h + (1 - u) * c

which are the equations of `torch.nn.GRU` with the gates in the same order and no second
bias. The last state is the vector; bi-skip has a second GRU that reads the words backwards.
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from files.io import InputError
from skipthoughts import weights
from skipthoughts.tables import open_table
from skipthoughts.tokenizer import tokenize

# At once: phrases, words of one phrase (it may be a book), words altogether.
_BATCH, _STEPS, _WORDS = 16, 256, 2048


class SentenceEncoder(nn.Module):
    """The recurrent part of uni-skip (one direction, `dim` numbers) or bi-skip (two, 2 * `dim`)."""

    def __init__(self, dim_word: int, dim: int, both_directions: bool) -> None:
        super().__init__()
        self.encoder = gated_unit(dim_word, dim)
        self.encoder_r = gated_unit(dim_word, dim) if both_directions else None
        self.dimension = 2 * dim if both_directions else dim

    def forward(self, words: Tensor) -> Tensor:
        """The vectors (B, dimension), not yet normalised, of B sentences of T words: (T, B, dim_word)."""
        states = [last_state(self.encoder, [words])]
        if self.encoder_r is not None:
            states.append(last_state(self.encoder_r, [words.flip(0)]))
        return torch.cat(states, 1)

    def load_original(self, parameters: dict[str, np.ndarray]) -> None:
        """Take the parameters `encoder_*` and `encoder_r_*` of the original files."""
        for prefix, gru in self.named_children():
            for name, parts in _PARTS.items():
                value = np.concatenate([parameters[f"{prefix}_{part}"].T for part in parts])
                getattr(gru, name).data.copy_(torch.from_numpy(value))

    def to_original(self) -> dict[str, np.ndarray]:
        """The parameters as the original files name and lay them out."""
        parameters = {}
        for prefix, gru in self.named_children():
            for name, parts in _PARTS.items():
                gates, candidate = getattr(gru, name).detach().cpu().split([2 * gru.hidden_size, gru.hidden_size])
                for part, value in zip(parts, (gates, candidate), strict=True):
                    parameters[f"{prefix}_{part}"] = np.ascontiguousarray(value.numpy().T)
        return parameters


# A parameter of torch.nn.GRU: the two original ones that stand in it one below the other.
_PARTS = {"weight_ih_l0": ("W", "Wx"), "weight_hh_l0": ("U", "Ux"), "bias_ih_l0": ("b", "bx")}


def gated_unit(inputs: int, dim: int) -> nn.GRU:
    """A GRU of the equations above: torch's second bias is zero and stays so."""
    gru = nn.GRU(inputs, dim)
    nn.init.zeros_(gru.bias_hh_l0).requires_grad_(False)
    return gru


def last_state(gru: nn.GRU, pieces: Iterable[Tensor]) -> Tensor:
    """The last state (B, dim) of `gru` after all words, given in pieces (T, B, inputs)."""
    state = None
    for words in pieces:
        _, state = gru(words, state)
    return state[0]


class _Skip:
    """One model, uni-skip or bi-skip: word table and recurrent part."""

    def __init__(self, directory: Path, model: str, words: list[str], device: torch.device) -> None:
        parameters = weights.read_parameters(directory, model)
        dim_word, dim = len(parameters["encoder_W"]), len(parameters["encoder_Ux"])
        self.table = open_table(weights.table_path(directory, model))
        if self.table.shape != (len(words), dim_word):
            raise InputError(
                f"{weights.table_path(directory, model)}: has the shape {self.table.shape}, the dictionary and the "
                f"parameters make it {(len(words), dim_word)}; the files belong to different models"
            )
        self.device = device
        self.recurrent = SentenceEncoder(dim_word, dim, both_directions=model == "bi")
        self.recurrent.load_original(parameters)
        self.recurrent.to(device).eval()

    def encode(self, numbers: np.ndarray) -> Tensor:
        """Unit vectors (B, dimension) of B sentences of equal length, as numbers of words (B, T)."""
        forward = last_state(self.recurrent.encoder, self._pieces(numbers))
        if self.recurrent.encoder_r is not None:
            backward = last_state(self.recurrent.encoder_r, self._pieces(numbers[:, ::-1]))
            forward = torch.cat([forward, backward], 1)
        return nn.functional.normalize(forward)

    def _pieces(self, numbers: np.ndarray) -> Iterator[Tensor]:
        for start in range(0, numbers.shape[1], _STEPS):
            rows, inverse = np.unique(numbers[:, start : start + _STEPS].T, return_inverse=True)
            vectors = torch.from_numpy(self.table.rows(rows)).to(self.device)
            yield vectors[torch.from_numpy(inverse).to(self.device)].view(-1, len(numbers), vectors.shape[1])


def _in_fixed_rows(phrases: list[str], members: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`members` (indices of phrases of one length) in batches: (indices, their rows in a batch of `size`).

    In what order a matrix product adds up may depend on the number of rows and on the row. So batches are all of one
    size, and the row is the phrase's own: a hash of it.
    """
    own_rows = np.array([zlib.crc32(phrases[i].encode("utf-8", "surrogatepass")) % size for i in members], np.int64)
    order = np.argsort(own_rows, kind="stable")
    members, own_rows = members[order], own_rows[order]
    # a phrase's batch: how many phrases of the same row come before it
    batches = np.arange(len(members)) - np.searchsorted(own_rows, own_rows)
    for number in range(batches.max(initial=-1) + 1):
        yield members[batches == number], own_rows[batches == number]


class Encoder:
    """Turns phrases into skip-thought vectors of `dimension` numbers. Made by `load_encoder`."""

    def __init__(self, directory: str | Path, models: tuple[str, ...], device: torch.device) -> None:
        weights.require_files(directory, models)
        words = weights.read_dictionary(directory)
        self._numbers = {word: number for number, word in enumerate(words)}
        self._unknown = self._numbers[weights.UNKNOWN]
        self._parts = [_Skip(Path(directory), model, words, device) for model in models]
        self.dimension = sum(part.recurrent.dimension for part in self._parts)

    @torch.inference_mode()
    def encode(self, phrases: list[str]) -> np.ndarray:
        """The vectors (len(phrases), dimension), float32, of the phrases.

        uni-skip and bi-skip each have norm 1; a phrase without a word is zeros. A phrase's vector is the same to the
        last bit whatever phrases are encoded with it.
        """
        vectors = np.zeros((len(phrases), self.dimension), np.float32)
        sentences = [self._word_numbers(phrase) for phrase in phrases]
        lengths = np.array([len(sentence) for sentence in sentences], np.int64)
        for length in np.unique(lengths[lengths > 0]):
            size = int(np.clip(_WORDS // length, 1, _BATCH))
            for batch, rows in _in_fixed_rows(phrases, np.flatnonzero(lengths == length), size):
                numbers = np.full((size, length), self._unknown)
                numbers[rows] = [sentences[i] for i in batch]
                # cuDNN would round to TF32, which is good for three digits.
                with torch.backends.cudnn.flags(allow_tf32=False):
                    parts = [part.encode(numbers) for part in self._parts]
                vectors[batch] = torch.cat(parts, 1).cpu().numpy()[rows]
        return vectors

    def _word_numbers(self, phrase: str) -> list[int]:
        return [self._numbers.get(token, self._unknown) for token in tokenize(phrase)]

    @functools.cached_property
    def identity(self) -> str:
        """A hash that tells this model from others: of the dictionary, the parameters and rows of the tables.

        Not of the whole tables, which would have to be read for it: of 64 rows spread over each.
        """
        digest = hashlib.blake2b(b"skip-thought vectors 1", digest_size=16)
        digest.update("\n".join(self._numbers).encode())
        for part in self._parts:
            rows = np.unique(np.linspace(0, part.table.shape[0] - 1, 64).astype(np.int64))
            digest.update(part.table.rows(rows))
            for name, value in part.recurrent.to_original().items():
                digest.update(name.encode())
                digest.update(value)
        return digest.hexdigest()


def load_encoder(directory: str | Path, model: str = "combine", device: str | torch.device = "cpu") -> Encoder:
    """The encoder of the files in `directory`: "uni", "bi", or "combine", which is uni ++ bi.

    With the published files the vectors have 2400, 2400 and 4800 numbers. The word tables are
    memory-mapped, so that this takes seconds. Raises InputError naming the files that are
    missing (and where to get them) or damaged.
    """
    models = weights.MODELS if model == "combine" else (model,)
    return Encoder(directory, models, torch.device(device))
