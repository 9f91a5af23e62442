"""Sentences to learn from: paragraphs of a text, or of the phrases of every image's graph."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from files.io import InputError, clear_read_errors
from files.splits import ImageRecord, Split
from skipthoughts.tokenizer import tokenize
from skipthoughts.weights import EOS, UNKNOWN

# As in Kiros et al. (2015): the rarer words are `UNK`, and longer sentences are cut.
MAX_WORDS = 20000
LONGEST_SENTENCE = 30
_EOS_NUMBER, _UNKNOWN_NUMBER = 0, 1


@dataclass
class Corpus:
    """Sentences as numbers of words.

    words: `<eos>`, `UNK` and then the most frequent first.
    tokens (all words,), starts (sentences + 1,): sentence i is tokens[starts[i] : starts[i + 1]].
    paragraphs (sentences,): the paragraph of every sentence, increasing.
    subjects (sentences,): what each is about, where the sentences of a paragraph have no order of
    their own; None where they have.
    """

    words: list[str]
    tokens: np.ndarray
    starts: np.ndarray
    paragraphs: np.ndarray
    subjects: np.ndarray | None

    def has_unknown(self) -> bool:
        """Whether some word was too rare for the dictionary."""
        return bool((self.tokens == _UNKNOWN_NUMBER).any())

    def neighbours(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The sentence before and the one after every sentence of its paragraph; -1 where there is none.

        Sentences without an order are shuffled, and those about one subject speak of each other:
        phrases of another subject have little to say about it. Only one that is alone with its
        subject has its neighbours among the paragraph's others.
        """
        if self.subjects is None:
            return _links(self.paragraphs, np.arange(len(self.paragraphs)))
        places = random.random(len(self.paragraphs))
        before, after = _links(self.subjects, places)
        alone = (before < 0) & (after < 0)
        for links, others in zip((before, after), _links(self.paragraphs, places), strict=True):
            links[alone] = others[alone]
        return before, after

    def batches(
        self, before: np.ndarray, after: np.ndarray, size: int, random: np.random.Generator
    ) -> list[np.ndarray]:
        """Sentences that have a neighbour, shuffled into batches of at most `size` of one length."""
        members = random.permutation(np.flatnonzero((before >= 0) | (after >= 0)))
        lengths = np.diff(self.starts)[members]
        members = members[np.argsort(lengths, kind="stable")]
        cuts = np.flatnonzero(np.diff(np.sort(lengths))) + 1
        groups = [group[i : i + size] for group in np.split(members, cuts) for i in range(0, len(group), size)]
        return [groups[i] for i in random.permutation(len(groups))]

    def sentences(self, indices: np.ndarray) -> np.ndarray:
        """The words (T, len(indices)) of these sentences, -1 after each one's end; the index -1 has no words."""
        lengths = np.where(indices >= 0, self.starts[indices + 1] - self.starts[indices], 0)
        steps = np.arange(lengths.max(initial=0))[:, None]
        inside = steps < lengths
        places = np.where(inside, self.starts[indices] + steps, 0)
        return np.where(inside, self.tokens[places], -1).astype(np.int64)

    def targets(self, indices: np.ndarray) -> np.ndarray:
        """What a decoder says: the words (T + 1, len(indices)) of the sentences with `<eos>` after each one's last."""
        words = self.sentences(indices)
        words = np.concatenate([words, np.full((1, len(indices)), -1)])
        ends = (words >= 0).sum(0)
        spoken = np.flatnonzero(indices >= 0)
        words[ends[spoken], spoken] = _EOS_NUMBER
        return words

    def text(self, index: int) -> str:
        """Sentence `index` in words."""
        return " ".join(self.words[token] for token in self.tokens[self.starts[index] : self.starts[index + 1]])


def read_text(path: str | Path) -> Corpus:
    """The corpus of a text: one sentence a line, an empty line between paragraphs."""

    def paragraphs() -> Iterator[list[tuple[int, str]]]:
        paragraph: list[tuple[int, str]] = []
        try:
            with clear_read_errors(path), open(path, encoding="utf-8") as file:
                for line in file:
                    if line.strip():
                        paragraph.append((0, line))
                    elif paragraph:
                        yield paragraph
                        paragraph = []
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: is not UTF-8 text at byte {error.start}; save it as UTF-8") from None
        yield paragraph

    return _corpus(tqdm(paragraphs(), "reading", unit=" paragraphs", disable=None, leave=False), path, ordered=True)


def read_graphs(path: str | Path) -> Corpus:
    """The corpus of a split file: the attribute and relationship phrases of an image are a paragraph."""
    images = tqdm(Split(path), "reading", unit=" images", disable=None, leave=False)
    return _corpus(map(image_phrases, images), path, ordered=False)


def image_phrases(record: ImageRecord) -> list[tuple[int, str]]:
    """The phrases of an image, such as "young person" and "person riding bicycle", each with the place of its
    subject among the objects; one that a subject has twice comes once."""
    objects = {item.object_id: (place, item.name) for place, item in enumerate(record.labels.objects)}
    phrases = []
    for place, item in enumerate(record.labels.objects):
        phrases += [(place, f"{attribute} {item.name}") for attribute in item.attributes]
    for item in record.labels.relationships:
        (place, subject), (_, target) = objects[item.subject_id], objects[item.object_id]
        phrases.append((place, f"{subject} {item.predicate} {target}"))
    return list(dict.fromkeys(phrases))


def _links(groups: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The one before and the one after each in its group, in the order of `places`; -1 for none."""
    order = np.lexsort((places, groups))
    together = groups[order[1:]] == groups[order[:-1]]
    before, after = np.full(len(groups), -1), np.full(len(groups), -1)
    before[order[1:][together]] = order[:-1][together]
    after[order[:-1][together]] = order[1:][together]
    return before, after


def _corpus(paragraphs: Iterable[list[tuple[int, str]]], path: str | Path, ordered: bool) -> Corpus:
    """The corpus of paragraphs of sentences, each with its subject's number in the paragraph."""
    numbers: dict[str, int] = {EOS: _EOS_NUMBER, UNKNOWN: _UNKNOWN_NUMBER}
    tokens, starts, paragraph_of, subject_of = array("i"), array("q", [0]), array("q"), array("q")
    for paragraph_number, paragraph in enumerate(paragraphs):
        for subject, sentence in paragraph:
            words = tokenize(sentence)[:LONGEST_SENTENCE]
            if words:
                tokens.extend([numbers.setdefault(word, len(numbers)) for word in words])
                starts.append(len(tokens))
                paragraph_of.append(paragraph_number)
                subject_of.append(paragraph_number << 32 | subject)
    seen = np.array(tokens, np.int32)
    counts = np.bincount(seen, minlength=len(numbers))
    counts[[_EOS_NUMBER, _UNKNOWN_NUMBER]] = len(seen) + 1  # they come first
    kept = np.argsort(-counts, kind="stable")[:MAX_WORDS]
    renumbered = np.full(len(numbers), _UNKNOWN_NUMBER, np.int32)
    renumbered[kept] = np.arange(len(kept))
    words = list(numbers)
    corpus = Corpus(
        [words[i] for i in kept],
        renumbered[seen],
        np.array(starts),
        np.array(paragraph_of, np.int64),
        None if ordered else np.array(subject_of, np.int64),
    )
    if not (np.diff(corpus.paragraphs) == 0).any():
        raise InputError(f"{path}: has no paragraph of two sentences; skip-thoughts learn from a sentence's neighbours")
    return corpus
