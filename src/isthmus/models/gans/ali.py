"""Adversarially Learned Inference. Dumoulin et al., 2017. arXiv:1606.00704.

A discriminator judges pairs of an image and a code: (x, z) with z drawn from the encoder's Gaussian q(z | x) against
(G(z), z) with z drawn from the prior. The players play at once: from one forward pass come the gradients of both, at
the same weights (algorithm 1), and each player's loss is the other's with the labels exchanged. The discriminator has
dropout and maxout units, and no batch normalisation; encoder and generator have batch normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from isthmus.core import Autoencodes, Batch, Describes, Model, Player, Samples, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.losses.likelihood import reparameterise
from isthmus.losses.shared import cut, joined
from isthmus.nn.initialise import glorot, small
from isthmus.nn.maxout import Maxout
from isthmus.nn.pairs import PairDiscriminator
from isthmus.nn.players import mlp_discriminator, mlp_generator
from isthmus.nn.strided import strided_discriminator, strided_generator

__all__ = ["ALI"]

PIECES = 2  # linear functions of which a maxout unit is the largest


def maxout(*widths: int, dropout: float) -> list[nn.Module]:
    """Maxout layers from each width to the next, with dropout before each."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Dropout(dropout), Maxout(before, after, PIECES)]
    return layers


class ALI(Model, Samples, Autoencodes, Describes):
    """Adversarially learned inference: min_G max_D E log D(x, z ~ q(z|x)) + E log(1 - D(G(z), z)) (eq. 1)."""

    latent: int = 64  # size of the code z, Gaussian
    network: Literal["mlp", "conv"] = "conv"  # fully connected, or strided convolutions
    hidden: int = 1024  # units of both hidden layers of encoder and generator (mlp)
    features: int = 64  # maps at half the size, doubled whenever the sides are halved (conv)
    units: int = 512  # maxout units of the discriminator's fully connected layers
    dropout: float = 0.2  # of what the discriminator is given
    hidden_dropout: float = 0.5  # of what enters its layers that see the pair
    joint: bool = True  # whether the discriminator sees the code; without, it is an ablation
    lr: float = 1e-4  # learning rate of Adam
    eager = ("discriminator",)  # its graph serves both players

    def __post_init__(self) -> None:
        self.positive("latent", "hidden", "features", "units", "lr")
        for name in ("dropout", "hidden_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is a probability below 1, got {getattr(self, name)}")

    def networks(self, spec: Spec) -> None:
        shape, units = spec.shape, self.units
        given = nn.Dropout(self.dropout)
        if self.network == "conv":
            self.generator = strided_generator(self.latent, shape, self.features)
            self.encoder = strided_discriminator(shape, self.features, outputs=2 * self.latent)
            seen = strided_discriminator(shape, self.features, "none")
            image = nn.Sequential(given, seen.features)
            code = nn.Sequential(*maxout(self.latent, units, units, dropout=self.dropout))
            pair = maxout(seen.width + units, units, units, dropout=self.hidden_dropout)
        else:
            self.generator = mlp_generator(self.latent, shape, self.hidden, "batch")
            self.encoder = mlp_discriminator(shape, self.hidden, "batch", outputs=2 * self.latent)
            image, code = nn.Sequential(given, nn.Flatten()), nn.Sequential(given)
            seer = Maxout(math.prod(shape) + self.latent, units, PIECES)
            pair = [seer, *maxout(units, units, dropout=self.hidden_dropout)]
        logit = nn.Sequential(*pair, nn.Dropout(self.hidden_dropout), nn.Linear(units, 1))
        self.discriminator = PairDiscriminator(image, code, logit)
        draw = small if self.network == "conv" else glorot
        draw(self.generator, self.encoder, self.discriminator)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999)}
        return {
            "generator": Player(self.generator, self.encoder, **settings),
            "discriminator": Player(self.discriminator, **settings),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        x = next(batches).image
        z = torch.randn(len(x), self.latent, device=self.device)
        code, made = reparameterise(*self.posterior(x)), self.generator(z)
        seen, shown = cut(code), cut(made)
        truth, forgery = self.judge(torch.cat([x, shown]), torch.cat([seen, z])).chunk(2)
        losses = {"encoder": fake(truth), "generator": real(forgery)}
        yield Turn("generator", joined(losses, (code, seen), (made, shown)))
        yield Turn("discriminator", {"real": real(truth), "fake": fake(forgery)})

    def judge(self, image: Tensor, code: Tensor) -> Tensor:
        """Logits [batch, 1] of a pair of image and code being the encoder's."""
        return self.discriminator(image, code * self.joint)

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_deviation = self.encoder(image).chunk(2, dim=1)
        return mean, 2 * log_deviation

    def encode(self, image: Tensor) -> Tensor:
        return self.posterior(image)[0]

    def describe(self, image: Tensor) -> Tensor:
        """The encoder's last hidden layer, and what it makes of it, as the paper's semi-supervised test has them."""
        return torch.cat([self.encoder.features(image), self.encode(image)], dim=1)

    def decode(self, code: Tensor) -> Tensor:
        return self.generator(code)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.decode(temperature * torch.randn(n, self.latent, device=self.device))
