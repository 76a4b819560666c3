"""The contract between a model, the trainer that plays its turns, and the tools that use it."""

from isthmus.core.capabilities import (
    Autoencodes,
    Bounds,
    Bridges,
    Classifies,
    Completes,
    Decodes,
    Describes,
    Encodes,
    Pairs,
    Samples,
    Scores,
    Styles,
    Swaps,
    Translates,
)
from isthmus.core.model import Model, Player, Turn
from isthmus.core.spec import Batch, Domain, Spec
from isthmus.core.steps import steps

__all__ = [
    "Autoencodes",
    "Batch",
    "Bounds",
    "Bridges",
    "Classifies",
    "Completes",
    "Decodes",
    "Describes",
    "Domain",
    "Encodes",
    "Model",
    "Pairs",
    "Player",
    "Samples",
    "Scores",
    "Spec",
    "Styles",
    "Swaps",
    "Translates",
    "Turn",
    "steps",
]
