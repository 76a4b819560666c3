"""Pixel Recurrent Neural Networks. Van den Oord, Kalchbrenner and Kavukcuoglu, 2016. arXiv:1601.06759.

The probability of an image is the product of the probabilities of its values, each given all rows above, all pixels to
the left and the channels before (eq. 1, eq. 2). Each is a softmax over the values that a pixel can have; its logits
come from LSTMs that go through the image row by row, or diagonal by diagonal from both sides.

A Row LSTM sees a triangle above each pixel, a Diagonal BiLSTM all that comes before it. The variants that predict an
image from a smaller one (section 3.6) and the connections that skip layers (section 3.3) are not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from isthmus.core import Batch, Completes, Model, Player, Samples, Scores, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.nn.recurrent import RecurrentPixels

__all__ = ["PixelRNN"]


class PixelRNN(Model, Samples, Completes, Scores):
    """Autoregressive model of images: minimises -log p(x) = -sum over i of log p(x_i | x_1, ..., x_i-1) (eq. 1)."""

    layer: Literal["diagonal", "row"] = "diagonal"  # Diagonal BiLSTM, which sees all, or Row LSTM, a triangle above
    layers: int = 7  # recurrent layers
    features: int = 16  # units of each LSTM; between layers there are twice as many features
    hidden: int = 32  # features of the 1x1 convolution before the logits
    kernel: int = 3  # width of the Row LSTM's convolutions, odd
    levels: Literal[2, 256] = 256  # values that a pixel has: 256, or on and off
    lr: float = 1e-3  # learning rate of RMSProp at first, from where it falls linearly to 0

    def __post_init__(self) -> None:
        self.at_least(layers=0, features=1, hidden=1)
        if self.kernel < 3 or self.kernel % 2 == 0:
            raise ConfigError(f"kernel must be odd and at least 3, got {self.kernel}")
        self.positive("lr")

    def networks(self, spec: Spec) -> None:
        if min(self.features, self.hidden) < spec.channels:
            raise ConfigError(f"features and hidden must be at least {spec.channels}, one for each channel of the data")
        sizes = self.features, self.layers, self.layer, self.kernel
        self.network = RecurrentPixels(spec.channels, self.levels, *sizes, hidden=self.hidden)

    def players(self) -> dict[str, Player]:
        return {"pixelrnn": Player(self.network, lr=self.lr, optimizer="RMSprop", schedule=lambda done: 1 - done)}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        yield Turn("pixelrnn", {"nll": -self.log_prob(next(batches).image).mean()})

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
