"""Auto-Encoding Variational Bayes. Kingma and Welling, 2014. arXiv:1312.6114.

An encoder gives each image a Gaussian over codes, a decoder gives each code a distribution over images, and both
maximise the evidence lower bound: the log-likelihood of the image, summed over its pixels, minus the divergence of the
code from N(0, I), summed over its dimensions. The paper trains with Adagrad and tanh units; this is Adam and ReLU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from isthmus.core import Autoencodes, Batch, Bounds, Model, Player, Samples, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.losses.likelihood import (
    bernoulli_log_prob,
    gaussian_kl,
    gaussian_log_prob,
    gaussian_log_ratio,
    reparameterise,
)
from isthmus.nn.conv import conv_decoder, conv_encoder
from isthmus.nn.mlp import mlp

__all__ = ["VAE"]


class VAE(Model, Samples, Autoencodes, Bounds):
    """Variational autoencoder: minimises -E_q(z|x)[log p(x|z)] + beta KL(q(z|x) || N(0, I)) (eq. 7, eq. 10)."""

    latent: int = 20  # size of the code z
    network: Literal["mlp", "conv"] = "mlp"  # one hidden layer as in the paper, or convolutions (for photographs)
    hidden: int = 500  # units of the hidden layer (mlp)
    features: int = 32  # channels at half the size, doubled whenever the sides are halved (conv)
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"  # of pixels: on or off, or real-valued
    scale: float = 0.1  # standard deviation of the Gaussian likelihood, in units of the range [-1, 1]
    beta: float = 1.0  # weight of the divergence; 1 is the evidence lower bound
    lr: float = 1e-3  # learning rate of Adam

    def __post_init__(self) -> None:
        for name in ("latent", "hidden", "features", "scale", "lr"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")

    def networks(self, spec: Spec) -> None:
        if self.network == "conv":
            self.encoder = conv_encoder(*spec.shape, 2 * self.latent, self.features)
            self.decoder = conv_decoder(self.latent, *spec.shape, self.features)
        else:
            pixels = math.prod(spec.shape)
            self.encoder = nn.Sequential(nn.Flatten(), *mlp(pixels, self.hidden, 2 * self.latent))
            self.decoder = nn.Sequential(*mlp(self.latent, self.hidden, pixels), nn.Unflatten(1, spec.shape))

    def players(self) -> dict[str, Player]:
        return {"vae": Player(self.encoder, self.decoder, lr=self.lr)}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        x = next(batches).image
        mean, log_variance = self.posterior(x)
        z = reparameterise(mean, log_variance)
        yield Turn(
            "vae",
            {
                "reconstruction": -self.log_likelihood(x, z).mean(),
                "kl": self.beta * gaussian_kl(mean, log_variance).mean(),
            },
        )

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(image).chunk(2, dim=1)
        return mean, log_variance

    def log_likelihood(self, image: Tensor, z: Tensor) -> Tensor:
        """log p(image | z) in nats [batch]: of pixels in [0, 1] if Bernoulli, in [-1, 1] if Gaussian."""
        if self.likelihood == "bernoulli":
            return bernoulli_log_prob(self.decoder(z), (image + 1) / 2)
        return gaussian_log_prob(self.decode(z), self.scale, image)

    def encode(self, image: Tensor) -> Tensor:
        return self.posterior(image)[0]

    def decode(self, code: Tensor) -> Tensor:
        logits = self.decoder(code)
        return 2 * logits.sigmoid() - 1 if self.likelihood == "bernoulli" else logits.tanh()

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.decode(temperature * torch.randn(n, self.latent, device=self.device))

    @property
    def levels(self) -> int:
        return 2 if self.likelihood == "bernoulli" else 0

    def log_prob(self, image: Tensor) -> Tensor:
        """The evidence lower bound with one sample of z (eq. 10), in nats [batch]."""
        mean, log_variance = self.posterior(image)
        return self.log_likelihood(image, reparameterise(mean, log_variance)) - gaussian_kl(mean, log_variance)

    def log_weight(self, image: Tensor, samples: int) -> Tensor:
        mean, log_variance = (statistic.expand(samples, -1, -1) for statistic in self.posterior(image))
        z = reparameterise(mean, log_variance)
        copies = image.expand(samples, *image.shape).flatten(0, 1)
        given = self.log_likelihood(copies, z.flatten(0, 1)).view(samples, -1)
        return given + gaussian_log_ratio(z, mean, log_variance)
