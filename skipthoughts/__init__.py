"""Skip-thought vectors: the history that the agent remembers."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as in main.py; before PyTorch is imported

from skipthoughts.encoder import Encoder, load_encoder
from skipthoughts.phrases import PhraseStore

__all__ = ["Encoder", "PhraseStore", "load_encoder"]
