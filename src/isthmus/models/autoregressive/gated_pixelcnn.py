"""Conditional Image Generation with PixelCNN Decoders. Van den Oord et al., 2016. arXiv:1606.05328.

A plain PixelCNN does not see pixels that are up and far to the right. This one does, with two stacks of convolutions, a
vertical one for the rows above and a horizontal one for the row itself, and gates tanh times sigmoid (eq. 2). The image
may be conditional on its class, a bias of every layer (eq. 4), which may differ from place to place (section 2.3). The
caches of `isthmus.nn.masked_sampler` draw at the cost of one pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from isthmus.core import Batch, Completes, Model, Player, Samples, Scores, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.nn.labels import classes_told, drawn, one_hot
from isthmus.nn.masked import GatedPixels, maps

__all__ = ["GatedPixelCNN"]


class GatedPixelCNN(Model, Samples, Completes, Scores):
    """Gated PixelCNN: minimises -log p(x | h) = -sum over i of log p(x_i | x_1, ..., x_i-1, h) (eq. 3)."""

    levels: Literal[2, 256] = 256  # values that a pixel has: 256, or on and off
    conditional: bool = False  # whether it knows classes: the condition h is the class
    location_dependent: bool = False  # whether a class has maps of its own, m(h), and not one bias for all places
    features: int = 32  # channels of both stacks
    layers: int = 7  # gated layers
    kernel: int = 3  # side of their convolutions
    first_kernel: int = 7  # side of the convolutions in the first layer
    hidden: int = 32  # channels between the last two 1x1 convolutions
    first_mask: Literal["A", "B"] = "A"  # of the first layer; with B each value sees itself, as an ablation
    lr: float = 1e-3  # learning rate of Adam at first, from where it falls linearly to 0

    def __post_init__(self) -> None:
        self.at_least(features=1, layers=1, hidden=1, kernel=3, first_kernel=3)
        self.odd("kernel", "first_kernel")
        self.positive("lr")
        if self.location_dependent and not self.conditional:
            raise ConfigError("location_dependent says how classes are told: give --conditional too, or leave it out")

    def networks(self, spec: Spec) -> None:
        if min(self.features, self.hidden) < spec.channels:
            raise ConfigError(f"features and hidden must be at least {spec.channels}, one for each channel of the data")
        self.classes, shape = classes_told(self.conditional, spec), (self.features, spec.height, spec.width)
        self.maps = maps(self.classes, shape) if self.location_dependent else nn.Identity()
        conditions = self.features if self.location_dependent else self.classes
        sizes = self.features, self.layers, self.kernel, self.first_kernel, self.hidden
        self.network = GatedPixels(spec.channels, self.levels, *sizes, conditions, self.first_mask)

    def players(self) -> dict[str, Player]:
        return {"gated": Player(self.network, self.maps, lr=self.lr, schedule=lambda progress: 1 - progress)}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        label = batch.label if self.conditional else None
        yield Turn("gated", {"nll": -self.network.log_prob(batch.image, *self.condition(label)).mean()})

    def condition(self, label: Tensor | None) -> tuple[Tensor, ...]:
        """Of classes [n], if the model knows them: h [n, classes], or its maps m(h) [n, features, height, width]."""
        if label is None or not self.conditional:
            return ()
        return (self.maps(one_hot(label, self.classes)),)

    def every_class(self) -> Tensor:
        """The conditions [classes, ...] of all classes."""
        return self.condition(torch.arange(self.classes, device=self.device))[0]

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
            label = drawn(n, self.classes, self.device)
        return self.network.sample(n, self.spec.shape, *self.condition(label), temperature=temperature)

    def complete(self, image: Tensor, known: Tensor, temperature: float = 1.0) -> Tensor:
        """Each missing value is drawn given all before it, and none behind it: a known beginning serves best.

        Before it a class is drawn, by the known beginning, where the model knows classes.
        """
        h = (self.network.likely(image, known, self.every_class()),) if self.conditional else ()
        return self.network.complete(image, known, *h, temperature=temperature)
