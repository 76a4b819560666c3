"""WaveNet: A Generative Model for Raw Audio. Van den Oord et al., 2016. arXiv:1609.03499.

The probability of a sound is the product of the probabilities of its samples, each given all before it (eq. 1). The
values of a sample are 256 classes, spread by the mu-law (section 2.2) before they become pixels; a stack of causal
convolutions whose dilations double from layer to layer gives their logits, and sees thousands of samples back. A
picture is read as the sequence of its values, row by row.

The paper gives no numbers of channels and no optimiser. Its first causal convolution is an embedding of the value
before, which looks no further back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from isthmus.core import Batch, Completes, Model, Player, Samples, Scores, Spec, Turn
from isthmus.nn.labels import classes_told, drawn
from isthmus.nn.wavenet import WaveNetwork

__all__ = ["WaveNet"]


class WaveNet(Model, Samples, Completes, Scores):
    """Autoregressive model of sequences: minimises -log p(x) = -sum over t of log p(x_t | x_1, ..., x_t-1, h)."""

    layers: int = 10  # in a block: their dilations are 1, 2, 4, ..., 2^(layers - 1)
    blocks: int = 3  # how often these dilations are repeated
    kernel: int = 2  # taps of the causal convolutions
    features: int = 64  # channels of the residual path
    hidden: int = 256  # channels of the skip path
    levels: Literal[2, 256] = 256  # values that a sample has: 256, or on and off
    conditional: bool = False  # whether it knows classes: the condition h (eq. 3) is the class
    lr: float = 1e-3  # learning rate of Adam

    def __post_init__(self) -> None:
        self.at_least(layers=1, blocks=1, kernel=2, features=1, hidden=1)
        self.positive("lr")

    def networks(self, spec: Spec) -> None:
        conditions = classes_told(self.conditional, spec)
        sizes = self.features, self.hidden, self.layers, self.blocks, self.kernel
        self.network = WaveNetwork(self.levels, *sizes, conditions)

    def players(self) -> dict[str, Player]:
        return {"wavenet": Player(self.network, lr=self.lr)}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        label = batch.label if self.conditional else None
        yield Turn("wavenet", {"nll": -self.network.log_prob(batch.image, *self.condition(label)).mean()})

    def condition(self, label: Tensor | None) -> tuple[Tensor, ...]:
        """The vector h [n, classes] of classes [n], of a model that knows them."""
        return () if label is None or not self.conditional else (self.every_class()[label],)

    def every_class(self) -> Tensor:
        """The vectors h of all classes."""
        return torch.eye(len(self.spec.classes), device=self.device)

    def logits(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Of each value, given those before it and the class: [batch, levels, channels, height, width]."""
        return self.network.logits(image, *self.condition(label))

    def log_prob(self, image: Tensor) -> Tensor:
        """log p(image) in nats [batch]; of a model that knows classes, that of their mixture."""
        if not self.conditional:
            return self.network.log_prob(image)
        return self.network.log_joint(image, self.every_class()).logsumexp(1)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        if self.conditional and label is None:
            label = drawn(n, len(self.spec.classes), self.device)
        return self.network.sample(n, self.spec.shape, *self.condition(label), temperature=temperature)

    def complete(self, image: Tensor, known: Tensor, temperature: float = 1.0) -> Tensor:
        """Each missing value is drawn given all before it, and none behind it: a known beginning serves best.

        Before it a class is drawn, by the known beginning, where the model knows classes.
        """
        h = (self.network.likely(image, known, self.every_class()),) if self.conditional else ()
        return self.network.complete(image, known, *h, temperature=temperature)
