"""The model that learns skip-thought vectors (Kiros et al. 2015, section 2.1): an encoder and two decoders.

The encoder's vector h of a sentence conditions two language models, which say the sentence
before and the one after, word by word. Each is a GRU with the vector in every gate:

    r = sigmoid(W_r x + U_r s + C_r h)      u = sigmoid(W_u x + U_u s + C_u h)
    c = tanh(W x + r * (U s) + C h)         s <- u * s + (1 - u) * c

x is the word before (zeros at the start) and P(word) = softmax(V s + v). Both share V and the
word vectors with each other, and the word vectors with the encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skipthoughts.encoder import SentenceEncoder, gated_unit


class SkipModel(nn.Module):
    """Encoder, word vectors and the two decoders.

    dim: numbers of a sentence's vector; with `both_directions` (bi-skip) half of them come
    from each direction. generator: draws the parameters, recurrent ones orthogonal, the
    others uniform in [-0.1, 0.1], as in the paper.
    """

    def __init__(self, words: int, dim_word: int, dim: int, both_directions: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.word_vectors = nn.Embedding(words, dim_word)
        self.sentence_encoder = SentenceEncoder(dim_word, dim // 2 if both_directions else dim, both_directions)
        # The matrices C stand beside W: their input is the vector, the same at every word.
        self.before = gated_unit(dim_word + dim, dim)
        self.after = gated_unit(dim_word + dim, dim)
        self.output = nn.Linear(dim, words)
        self._draw_parameters(generator)

    def _draw_parameters(self, generator: torch.Generator) -> None:
        for name, parameter in self.named_parameters():
            if "weight_hh" in name:
                for gate in parameter.data.chunk(3):
                    nn.init.orthogonal_(gate, generator=generator)
            elif "bias" in name:
                nn.init.zeros_(parameter)
            else:
                nn.init.uniform_(parameter, -0.1, 0.1, generator=generator)

    def forward(self, words: Tensor, before: Tensor, after: Tensor) -> tuple[Tensor, int]:
        """The cost of saying the neighbours of B sentences, and the number of words said.

        words (T, B): the sentences. before, after (., B): their neighbours, each with its
        `<eos>`, and -1 after that; all -1 for one that has no such neighbour.
        The cost is the negative log-likelihood of all these words, a sum.
        """
        vector = self.sentence_encoder(self.word_vectors(words))
        states = torch.cat([self._say(self.before, before, vector), self._say(self.after, after, vector)])
        said = torch.cat([before[before >= 0], after[after >= 0]])
        return nn.functional.cross_entropy(self.output(states), said, reduction="sum"), len(said)

    def _say(self, decoder: nn.GRU, sentence: Tensor, vector: Tensor) -> Tensor:
        """The decoder's states (words said, dim) where it says a word of `sentence` (T, B)."""
        previous = self.word_vectors(sentence[:-1].clamp(min=0))
        previous = torch.cat([previous.new_zeros(1, *previous.shape[1:]), previous])
        states, _ = decoder(torch.cat([previous, vector.expand(len(sentence), -1, -1)], 2))
        return states[sentence >= 0]
