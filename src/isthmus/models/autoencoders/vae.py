"""Auto-Encoding Variational Bayes. Kingma and Welling, 2014. arXiv:1312.6114.

An encoder gives each image a Gaussian over codes, a decoder gives each code a distribution over images, and both
maximise the evidence lower bound: the log-likelihood of the image, summed over its pixels, minus the divergence of the
code from N(0, I), summed over its dimensions. The paper trains with Adagrad and tanh units; this is Adam and ReLU.

Options from later papers, off by default: a divergence that grows from 0 (warm-up) or is not punished below `free_bits`
(Kingma et al., 2016, arXiv:1606.04934, eq. 15), the bound of several samples (Burda et al., 2016, arXiv:1509.00519,
eq. 8), and a learned deviation of the Gaussian likelihood (Rybkin et al., 2021, arXiv:2006.13202).
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
    gaussian_kl_terms,
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
    learn_scale: bool = False  # whether to learn it, one for all pixels, with `scale` as its start
    beta: float = 1.0  # weight of the divergence; 1 is the evidence lower bound
    warm_up: float = 0.0  # part of the training over which that weight rises from 0
    free_bits: float = 0.0  # nats of each dimension's mean divergence that are not punished
    importance: int = 1  # samples of the code in the bound that is maximised; above 1 it is importance weighted
    lr: float = 1e-3  # learning rate of Adam

    def __post_init__(self) -> None:
        self.positive("latent", "hidden", "features", "scale", "importance", "lr")
        if not 0 <= self.warm_up <= 1:
            raise ConfigError(f"warm_up is a part of the training, from 0 to 1, got {self.warm_up}")
        self.not_negative("free_bits")
        if self.importance > 1 and (self.beta, self.warm_up, self.free_bits) != (1, 0, 0):
            raise ConfigError(
                "the bound of several samples has no divergence to weigh: leave out beta, warm_up, free_bits"
            )

    def networks(self, spec: Spec) -> None:
        if self.network == "conv":
            self.encoder = conv_encoder(*spec.shape, 2 * self.latent, self.features)
            self.decoder = conv_decoder(self.latent, *spec.shape, self.features)
        else:
            pixels = math.prod(spec.shape)
            self.encoder = nn.Sequential(nn.Flatten(), *mlp(pixels, self.hidden, 2 * self.latent))
            self.decoder = nn.Sequential(*mlp(self.latent, self.hidden, pixels), nn.Unflatten(1, spec.shape))
        learned = self.learn_scale and self.likelihood == "gaussian"
        self.log_scale = nn.ParameterList([torch.tensor(math.log(self.scale))] * learned)

    def players(self) -> dict[str, Player]:
        return {"vae": Player(self.encoder, self.decoder, self.log_scale, lr=self.lr)}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        x = next(batches).image
        if self.importance > 1:
            log_mean = self.log_weight(x, self.importance).logsumexp(0) - math.log(self.importance)
            yield Turn("vae", {"bound": -log_mean.mean()})
            return
        mean, log_variance = self.posterior(x)
        z = reparameterise(mean, log_variance)
        divergence = gaussian_kl_terms(mean, log_variance).mean(0)  # of each dimension
        yield Turn(
            "vae",
            {
                "reconstruction": -self.log_likelihood(x, z).mean(),
                "kl": self.weight() * divergence.clamp(min=self.free_bits).sum(),
            },
        )

    def weight(self) -> float:
        """That of the divergence at this moment of the training."""
        return self.beta * min(1.0, self.progress / self.warm_up) if self.warm_up else self.beta

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(image).chunk(2, dim=1)
        return mean, log_variance

    def log_likelihood(self, image: Tensor, z: Tensor) -> Tensor:
        """log p(image | z) in nats [batch]: of pixels in [0, 1] if Bernoulli, in [-1, 1] if Gaussian."""
        if self.likelihood == "bernoulli":
            return bernoulli_log_prob(self.decoder(z), (image + 1) / 2)
        scale = self.log_scale[0].exp() if len(self.log_scale) else self.scale
        return gaussian_log_prob(self.decode(z), scale, image)

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
