"""The contract between a model, the trainer that plays its turns, and the tools that use it."""

from isthmus.core.capabilities import Autoencodes, Bridges, Decodes, Encodes, Samples, Scores, Translates
from isthmus.core.model import Model, Player, Turn
from isthmus.core.spec import Batch, Domain, Spec

__all__ = [
    "Autoencodes",
    "Batch",
    "Bridges",
    "Decodes",
    "Domain",
    "Encodes",
    "Model",
    "Player",
    "Samples",
    "Scores",
    "Spec",
    "Translates",
    "Turn",
]
