"""Skip-thought vectors: the history that the agent remembers."""

from skipthoughts.encoder import Encoder, load_encoder
from skipthoughts.phrases import PhraseStore

__all__ = ["Encoder", "PhraseStore", "load_encoder"]
