"""Pixel Recurrent Neural Networks. Van den Oord et al., 2016. arXiv:1601.06759.

PixelCNN is the third network of this paper. The probability of an image is the product of the probabilities of its
values, each given all before it (eq. 1, eq. 2): a stack of masked convolutions gives the logits of all values in one
pass. Where the paper draws with one pass for each value, the caches of `isthmus.nn.masked_sampler` draw the same
images at the cost of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from isthmus.core import Batch, Completes, Model, Player, Samples, Scores, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.nn.masked import PlainPixels

__all__ = ["PixelCNN"]


class PixelCNN(Model, Samples, Completes, Scores):
    """PixelCNN: minimises -log p(x) = -sum over i of log p(x_i | x_1, ..., x_i-1)."""

    levels: Literal[2, 256] = 256  # values that a pixel has: 256, or on and off
    features: int = 32  # h, the channels of the masked convolutions; the residual path has 2h
    layers: int = 7  # residual blocks
    kernel: int = 3  # side of their masked convolutions
    first_kernel: int = 7  # side of the first masked convolution
    hidden: int = 64  # channels between the last two 1x1 convolutions
    first_mask: Literal["A", "B"] = "A"  # of the first convolution; with B each value sees itself, as an ablation
    lr: float = 1e-3  # learning rate of Adam at first, from where it falls linearly to 0

    def __post_init__(self) -> None:
        self.at_least(features=1, layers=1, hidden=1, kernel=3, first_kernel=3)
        self.odd("kernel", "first_kernel")
        self.positive("lr")

    def networks(self, spec: Spec) -> None:
        if min(self.features, self.hidden) < spec.channels:
            raise ConfigError(f"features and hidden must be at least {spec.channels}, one for each channel of the data")
        sizes = self.features, self.layers, self.kernel, self.first_kernel, self.hidden
        self.network = PlainPixels(spec.channels, self.levels, *sizes, self.first_mask)

    def players(self) -> dict[str, Player]:
        return {"pixelcnn": Player(self.network, lr=self.lr, schedule=lambda progress: 1 - progress)}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        yield Turn("pixelcnn", {"nll": -self.log_prob(next(batches).image).mean()})

    def logits(self, image: Tensor) -> Tensor:
        """Of each value, given those before it: [batch, levels, channels, height, width]."""
        return self.network.logits(image)

    def log_prob(self, image: Tensor) -> Tensor:
        return self.network.log_prob(image)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.network.sample(n, self.spec.shape, temperature=temperature)

    def complete(self, image: Tensor, known: Tensor, temperature: float = 1.0) -> Tensor:
        """Each missing value is drawn given all before it, and none behind it: a known beginning serves best."""
        return self.network.complete(image, known, temperature=temperature)
