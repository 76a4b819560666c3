"""Conditional Image Generation with PixelCNN Decoders. Van den Oord et al., 2016. arXiv:1606.05328.

A plain PixelCNN does not see pixels that are up and far to the right. This one does, with two stacks of convolutions, a
vertical one for the rows above and a horizontal one for the row itself, and gates tanh times sigmoid (eq. 2). The image
may be conditional on its class, a bias of every layer (eq. 4). The caches of `isthmus.nn.masked_sampler` draw at the
cost of one pass.
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
from isthmus.nn.autoregressive import categorical_log_prob, from_levels, to_levels
from isthmus.nn.masked import GatedPixels

__all__ = ["GatedPixelCNN"]


class GatedPixelCNN(Model, Samples, Completes, Scores):
    """Gated PixelCNN: minimises -log p(x | h) = -sum over i of log p(x_i | x_1, ..., x_i-1, h) (eq. 3)."""

    levels: Literal[2, 256] = 256  # values that a pixel has: 256, or on and off
    conditional: bool = False  # whether it knows classes: the condition h is the class
    features: int = 32  # channels of both stacks
    layers: int = 7  # gated layers
    kernel: int = 3  # side of their convolutions
    first_kernel: int = 7  # side of the convolutions in the first layer
    hidden: int = 32  # channels between the last two 1x1 convolutions
    first_mask: Literal["A", "B"] = "A"  # of the first layer; with B each value sees itself, as an ablation
    lr: float = 1e-3  # learning rate of Adam at first, from where it falls linearly to 0

    def __post_init__(self) -> None:
        for name, least in {"features": 1, "layers": 1, "hidden": 1, "kernel": 3, "first_kernel": 3}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("kernel", "first_kernel"):
            if getattr(self, name) % 2 == 0:
                raise ConfigError(f"{name} must be odd, so that it has a middle, got {getattr(self, name)}")
        if self.lr <= 0:
            raise ConfigError(f"lr must be positive, got {self.lr}")

    def networks(self, spec: Spec) -> None:
        if min(self.features, self.hidden) < spec.channels:
            raise ConfigError(f"features and hidden must be at least {spec.channels}, one for each channel of the data")
        if self.conditional and not spec.classes:
            raise ConfigError("conditional asks for data with classes: put them into class folders, or leave it out")
        conditions = len(spec.classes) if self.conditional else 0
        sizes = self.features, self.layers, self.kernel, self.first_kernel, self.hidden
        self.network = GatedPixels(spec.channels, self.levels, *sizes, conditions, self.first_mask)

    def players(self) -> dict[str, Player]:
        return {"gated": Player(self.network, lr=self.lr, schedule=lambda progress: 1 - progress)}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        label = batch.label if self.conditional else None
        yield Turn("gated", {"nll": -self.log_likelihood(batch.image, label).mean()})

    def logits(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Of each value, given those before it and the class: [batch, levels, channels, height, width]."""
        return self.network(self.rounded(image), self.condition(label))

    def rounded(self, image: Tensor) -> Tensor:
        """The image with the nearest values that the model knows."""
        return from_levels(to_levels(image, self.levels), self.levels)

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
        rounded, noise = self.rounded(image), torch.rand_like(image)
        return torch.where(known, image, self.network.fill(rounded, known, noise, self.condition(label), temperature))
