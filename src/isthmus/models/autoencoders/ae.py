"""Reducing the Dimensionality of Data with Neural Networks. Hinton and Salakhutdinov, 2006. Science 313, 504-507.

An encoder squeezes each image into a code that is smaller than the image, and a decoder makes the image again from the
code. Both are deep, which principal components are not. There is no prior and no noise, hence nothing says which codes
are images, and the model does not sample. The paper starts from a stack of restricted Boltzmann machines, since deep
logistic networks could not be trained otherwise; ReLU, with weights of the right scale (He et al., 2015,
arXiv:1502.01852), needs no such start.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Autoencodes, Batch, Model, Player, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.nn.conv import conv_decoder, conv_encoder
from isthmus.nn.mlp import mlp

__all__ = ["AE"]


class AE(Model, Autoencodes):
    """Autoencoder: minimises the squared error of x, the mean over its pixels in [0, 1]."""

    latent: int = 30  # size of the code, smaller than the image
    network: Literal["mlp", "conv"] = "mlp"  # fully connected as in the paper, or convolutions (for photographs)
    hidden: int = 1000  # units of the encoder's first hidden layer, halved from layer to layer (mlp)
    layers: int = 3  # hidden layers of the encoder; the decoder mirrors them (mlp)
    features: int = 32  # channels at half the size, doubled whenever the sides are halved (conv)
    linear: bool = False  # one linear layer each way and no more: principal components, an ablation
    lr: float = 1e-3  # learning rate of Adam

    def __post_init__(self) -> None:
        self.positive("latent", "hidden", "layers", "features", "lr")

    def networks(self, spec: Spec) -> None:
        values = math.prod(spec.shape)
        if self.latent >= values:
            raise ConfigError(
                f"the code must be smaller than the image, which has {values} values, got latent {self.latent}"
            )
        if self.network == "conv" and not self.linear:
            self.encoder = conv_encoder(*spec.shape, self.latent, self.features)
            self.decoder = conv_decoder(self.latent, *spec.shape, self.features)
        else:
            between = [] if self.linear else [max(1, self.hidden >> layer) for layer in range(self.layers)]
            self.encoder = nn.Sequential(nn.Flatten(), *mlp(values, *between, self.latent))
            self.decoder = nn.Sequential(*mlp(self.latent, *between[::-1], values), nn.Unflatten(1, spec.shape))
            for layer in () if self.linear else (*self.encoder, *self.decoder):
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def players(self) -> dict[str, Player]:
        return {"autoencoder": Player(self.encoder, self.decoder, lr=self.lr)}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        x = next(batches).image
        output = self.output(self.encode(x))
        yield Turn("autoencoder", {"reconstruction": F.mse_loss(output.float(), (x + 1) / 2)})

    def output(self, code: Tensor) -> Tensor:
        """Pixels in [0, 1] for codes [batch, latent], of the shape of images; a linear model's may lie outside."""
        pixels = self.decoder(code)
        return pixels if self.linear else pixels.sigmoid()

    def encode(self, image: Tensor) -> Tensor:
        return self.encoder((image + 1) / 2)

    def decode(self, code: Tensor) -> Tensor:
        return 2 * self.output(code).clamp(0, 1) - 1
