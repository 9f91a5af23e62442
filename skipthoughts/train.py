"""Train your own skip-thought model and write it in the original layout.

    python -m skipthoughts.train --from_graphs data/data_samples/train_data.json --output skipthought_model
    python -m skipthoughts.train --text sentences.txt --output skipthought_model

The text has one sentence a line and an empty line between paragraphs.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from files.checkpoints import count_of, load_optimizer, load_parameters, read_tensors, write_tensors
from files.io import InputError, clear_load_errors, first_line, reports_input_errors
from files.locks import folder_lock
from skipthoughts import weights
from skipthoughts.corpus import MAX_WORDS, Corpus, read_graphs, read_text
from skipthoughts.encoder import load_encoder
from skipthoughts.skip_model import SkipModel
from skipthoughts.vocabulary_expansion import expanded_dictionary, expanded_table, read_word_vectors

_CLIP = 10.0  # the gradient's norm, as in Kiros et al. (2015), section 3
# Bounds of flags. The published model has vectors of 2400 numbers, of words of 620.
_MOST = {"dim": 10_000, "dim_word": 10_000, "num_epochs": 100_000, "batch_size": 100_000, "learning_rate": 1.0}
_SAVE_EVERY = 1000  # updates, beside every epoch's end
# In a large text rare words make `UNK` a word that is learnt. Where every word is kept, this share of the
# encoder's words is hidden behind it; else the vector of a phrase with an unknown word would be arbitrary.
_HIDDEN = 0.05


@dataclass
class Settings:
    """What decides the parameters that come out, but for the corpus and the number of epochs."""

    dim: int
    dim_word: int
    batch_size: int
    learning_rate: float
    seed: int


def train(
    corpus: Corpus, name: str, settings: Settings, epochs: int, checkpoint: Path, resume: bool, device: torch.device
) -> SkipModel:
    """Train `name` ("uni" or "bi") for `epochs` passes over `corpus`.

    With `resume` it continues from `checkpoint`, to the same parameters as without the
    interruption. Raises InputError when that checkpoint is of another corpus or other settings.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    model = SkipModel(len(corpus.words), settings.dim_word, settings.dim, name == "bi", generator).to(device)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], settings.learning_rate)
    identity = _identity(corpus, name, settings)
    hide = not corpus.has_unknown()
    first_epoch, first_batch = 0, 0
    if resume and checkpoint.exists():
        state = _read_checkpoint(checkpoint, identity)
        with clear_load_errors(checkpoint, "train without --resume"):
            load_parameters(model, state["model"], checkpoint)
            load_optimizer(optimizer, state["optimizer"])
            first_epoch, first_batch = count_of(state["epoch"]), count_of(state["batch"])

    def save(epoch: int, batch: int) -> None:
        state = {"identity": identity, "epoch": epoch, "batch": batch}
        state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        write_tensors(checkpoint, state)

    for epoch in range(first_epoch, epochs):
        random = np.random.default_rng([settings.seed, epoch])  # an epoch's order depends on nothing before it
        before, after = corpus.neighbours(random)
        batches = corpus.batches(before, after, settings.batch_size, random)
        cost = words = 0
        progress = tqdm(batches[first_batch:], f"{name}-skip, epoch {epoch + 1}/{epochs}", disable=None, leave=False)
        for number, batch in enumerate(progress, start=first_batch + 1):
            sentences = [corpus.sentences(batch), corpus.targets(before[batch]), corpus.targets(after[batch])]
            if hide:
                hidden = np.random.default_rng([settings.seed, epoch, number]).random(sentences[0].shape) < _HIDDEN
                sentences[0][hidden] = corpus.words.index(weights.UNKNOWN)
            batch_cost, batch_words = _update(model, optimizer, *(torch.from_numpy(part) for part in sentences))
            cost, words = cost + batch_cost, words + batch_words
            progress.set_postfix_str(f"{cost / words:.3f} nats a word", refresh=False)
            if number % _SAVE_EVERY == 0:
                save(epoch, number)
        first_batch = 0
        print(f"{name}-skip, epoch {epoch + 1}/{epochs}: {cost / max(words, 1):.3f} nats a word")
        save(epoch + 1, 0)
    return model


def _update(model: SkipModel, optimizer: torch.optim.Optimizer, *sentences: torch.Tensor) -> tuple[float, int]:
    """One step of the optimizer; the batch's cost in nats, and its number of words."""
    device = model.word_vectors.weight.device
    cost, words = model(*(part.to(device) for part in sentences))
    if not torch.isfinite(cost):
        raise InputError("the training diverged; try a smaller --learning_rate")
    optimizer.zero_grad()
    (cost / sentences[0].shape[1]).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
    optimizer.step()
    return cost.item(), words


def _identity(corpus: Corpus, name: str, settings: Settings) -> str:
    digest = hashlib.blake2b(repr((name, asdict(settings), corpus.words)).encode("utf-8", "replace"))
    for part in (corpus.tokens, corpus.starts, corpus.paragraphs, corpus.subjects):
        digest.update(b"" if part is None else part)
    return digest.hexdigest()


def _read_checkpoint(path: Path, identity: str) -> dict:
    state = read_tensors(path, "delete it or train without --resume", what="a checkpoint of skipthoughts.train")
    needed = {"identity", "epoch", "batch", "model", "optimizer"}
    if not isinstance(state, dict) or not needed <= state.keys():
        raise InputError(f"{path}: is not a checkpoint of skipthoughts.train; delete it or train without --resume")
    if state["identity"] != identity:
        raise InputError(f"{path}: is of another text or of other settings; train without --resume")
    return state


def write_model(directory: Path, corpus: Corpus, models: dict[str, SkipModel], other: tuple | None) -> None:
    """Write the files that `skipthoughts.load_encoder` reads. other: words and vectors to expand the dictionary by."""
    words = corpus.words if other is None else expanded_dictionary(corpus.words, other[0])
    weights.write_dictionary(directory, words)
    for name, model in models.items():
        own = model.word_vectors.weight.detach().cpu().numpy()
        weights.write_table(directory, name, own if other is None else expanded_table(corpus.words, own, *other))
        parameters = model.sentence_encoder.to_original()
        options = {
            "dim": len(parameters["encoder_Ux"]),
            "dim_word": own.shape[1],
            "encoder": "gru",
            "n_words_src": len(own),
        }
        weights.write_parameters(directory, name, {"Wemb": own} | parameters, options)


def nearest(phrases: list[str], vectors: np.ndarray, index: int, count: int = 3) -> list[str]:
    """The `count` phrases whose vectors have the greatest cosine with that of phrase `index`, but itself."""
    lengths = np.linalg.norm(vectors, axis=1)
    similarity = vectors @ vectors[index] / np.maximum(lengths * lengths[index], 1e-12)
    similarity[index] = -np.inf
    return [phrases[i] for i in np.argsort(-similarity, kind="stable")[:count]]


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m skipthoughts.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def option(name: str, help: str, **settings) -> None:
        default = settings.get("default")
        parser.add_argument(name, help=help if default is None else f"{help} (default: {default})", **settings)

    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", metavar="FILE", help="one sentence a line, an empty line between paragraphs")
    source.add_argument(
        "--from_graphs", metavar="TRAIN_DATA", help="a split file; the phrases of an image are its paragraph"
    )
    option("--output", "the folder of the model", metavar="DIR", required=True, type=Path)
    option("--model", "which to train; combine: both", choices=("uni", "bi", "combine"), default="combine")
    option("--dim", "numbers of a vector of uni-skip and of bi-skip each", type=int, default=128)
    option("--dim_word", "numbers of a word's vector", type=int, default=64)
    option("--num_epochs", "passes over the sentences", type=int, default=10)
    option("--batch_size", "sentences an update", type=int, default=128)
    option("--learning_rate", "of Adam; take 0.001 for vectors of thousands", type=float, default=0.003)
    option("--seed", "of the first parameters and of the order", type=int, default=0)
    option("--device", "cpu or cuda", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoints in --output")
    parser.add_argument(
        "--expand_with",
        metavar="FILE",
        help="other word vectors, for words that the sentences lack: word2vec's or GloVe's text, or a .npy array with "
        "its words in the .txt file of the same name",
    )
    return parser


def _check(options: argparse.Namespace) -> None:
    for name, most in _MOST.items():
        if not 0 < getattr(options, name) <= most:
            raise InputError(f"--{name} is {getattr(options, name)}; it must be greater than 0 and at most {most:,}")
    if not 0 <= options.seed < 2**63:
        raise InputError(f"--seed is {options.seed}; it must be at least 0 and below 2**63")
    if options.dim % 2 and options.model != "uni":
        raise InputError(f"--dim is {options.dim}; bi-skip halves it, so it must be even")
    try:
        torch.zeros(1, device=options.device).item()
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        raise InputError(f"--device {options.device}: cannot be used ({first_line(error)}); use --device cpu") from None


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """Train, write the model and show what it finds alike."""
    options = make_parser().parse_args(argv)
    _check(options)
    other = read_word_vectors(options.expand_with) if options.expand_with else None
    corpus = read_text(options.text) if options.text else read_graphs(options.from_graphs)
    print(f"{len(corpus.paragraphs)} sentences, {len(corpus.words)} words (of at most {MAX_WORDS})")
    settings = Settings(options.dim, options.dim_word, options.batch_size, options.learning_rate, options.seed)
    names = weights.MODELS if options.model == "combine" else (options.model,)
    device = torch.device(options.device)
    with folder_lock(options.output, "--output"):
        models = {}
        for name in names:
            checkpoint = options.output / f"{name}_checkpoint.pt"
            models[name] = train(corpus, name, settings, options.num_epochs, checkpoint, options.resume, device)
        write_model(options.output, corpus, models, other)
        _show(corpus, options)
    print(f"The skip-thought model is in {options.output}: --use_skip_thought --skip_thought_dir {options.output}")
    return 0


def _show(corpus: Corpus, options: argparse.Namespace) -> None:
    """Print what the written model finds nearest to a few of the sentences."""
    chosen = np.random.default_rng(options.seed).permutation(len(corpus.paragraphs))[:2000]
    phrases = list(dict.fromkeys(corpus.text(i) for i in chosen))
    vectors = load_encoder(options.output, options.model, options.device).encode(phrases)
    for index in range(min(4, len(phrases))):
        print(f"  nearest to {phrases[index]!r}: {', '.join(map(repr, nearest(phrases, vectors, index)))}")


if __name__ == "__main__":
    sys.exit(main())
