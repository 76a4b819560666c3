"""WaveNet: A Generative Model for Raw Audio. Van den Oord et al., 2016. arXiv:1609.03499.

The probability of a sound is the product of the probabilities of its samples, each given all before it (eq. 1). The
values of a sample are 256 classes, spread by the mu-law (section 2.2) before they become pixels; a stack of causal
convolutions whose dilations double from layer to layer gives their logits, and sees thousands of samples back. A
picture is read as the sequence of its values, row by row.

The paper gives no numbers of channels and no optimiser. Its first causal convolution is an embedding of the value
before, which looks no further back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical

from isthmus.core import Batch, Completes, Model, Player, Samples, Scores, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.nn.autoregressive import categorical_log_prob, to_levels
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
        for name, least in {"layers": 1, "blocks": 1, "kernel": 2, "features": 1, "hidden": 1}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.lr <= 0:
            raise ConfigError(f"lr must be positive, got {self.lr}")

    def networks(self, spec: Spec) -> None:
        if self.conditional and not spec.classes:
            raise ConfigError("conditional asks for data with classes: put them into class folders, or leave it out")
        conditions = len(spec.classes) if self.conditional else 0
        sizes = self.features, self.hidden, self.layers, self.blocks, self.kernel
        self.network = WaveNetwork(self.levels, *sizes, conditions)

    def players(self) -> dict[str, Player]:
        return {"wavenet": Player(self.network, lr=self.lr)}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        label = batch.label if self.conditional else None
        yield Turn("wavenet", {"nll": -self.log_likelihood(batch.image, label).mean()})

    def logits(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Of each value, given those before it and the class: [batch, levels, channels, height, width]."""
        return self.network(image, self.condition(label))

    def condition(self, label: Tensor | None) -> Tensor | None:
        """The vector h [batch, classes] of classes [batch]."""
        return None if label is None else F.one_hot(label, len(self.spec.classes)).float()

    def log_likelihood(self, image: Tensor, label: Tensor | None, where: Tensor | slice = slice(None)) -> Tensor:
        """log p(image | label) in nats [batch], or that of the values at `where`, bool [height, width], alone."""
        value = to_levels(image, self.levels)
        return categorical_log_prob(self.logits(image, label)[..., where], value[..., where])

    def log_joint(self, image: Tensor, where: Tensor | slice = slice(None)) -> Tensor:
        """log p(image, class) in nats [batch, classes], all classes being equally frequent."""
        classes = torch.arange(len(self.spec.classes), device=image.device)
        nats = [self.log_likelihood(image, label.expand(len(image)), where) for label in classes]
        return torch.stack(nats, dim=1) - math.log(len(classes))

    def log_prob(self, image: Tensor) -> Tensor:
        """log p(image) in nats [batch]; of a model that knows classes, that of their mixture."""
        return self.log_joint(image).logsumexp(1) if self.conditional else self.log_likelihood(image, None)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        blank = torch.zeros(n, *self.spec.shape, device=self.device)
        return self.continued(blank, torch.zeros_like(blank[0, 0], dtype=torch.bool), label, temperature)

    def complete(self, image: Tensor, known: Tensor, temperature: float = 1.0) -> Tensor:
        """Each missing value is drawn given all before it, and none behind it: a known beginning serves best."""
        return self.continued(image, known, None, temperature)

    def continued(self, image: Tensor, known: Tensor, label: Tensor | None, temperature: float) -> Tensor:
        """Draw what is not known; and before it the class, by the known beginning, where it is wanted and not given."""
        if not self.conditional:
            label = None
        elif label is None:
            beginning = known.flatten().cumprod(0).bool().view_as(known)
            label = Categorical(logits=self.log_joint(image, beginning)).sample()
        return self.network.fill(image, known, torch.rand_like(image), self.condition(label), temperature)
