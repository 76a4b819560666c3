"""Adversarial Feature Learning. Donahue et al., 2017. arXiv:1605.09782.

An encoder is learnt beside the generator, and the discriminator judges pairs of an image and a code: (x, E(x)) of the
encoder counts as real, (G(z), z) of the generator as fake. Encoder and generator lower the same loss with its labels
exchanged. Where the discriminator cannot tell the pairs apart they invert each other, although no loss ever compares
two images (theorem 2).

As in the authors' code all players move at once, by gradients at the same weights, and the noise is uniform, into whose
range the encoder's output is brought. It is standardised first, since an encoder that may choose its scale drives all
codes to the border of the range, where it no longer learns. Codes of the toolkit are what is standardised: Gaussian.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from isthmus.core import Autoencodes, Batch, Describes, Model, Player, Samples, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.losses.shared import cut, joined
from isthmus.nn.initialise import small
from isthmus.nn.noise import uniform
from isthmus.nn.pairs import PairDiscriminator
from isthmus.nn.players import mlp_generator
from isthmus.nn.strided import Discriminator, strided_discriminator, strided_generator

__all__ = ["BiGAN"]


def first(pixels: int, hidden: int) -> nn.Module:
    """A layer that sees the image, which is not normalised: [batch, channels, height, width] -> [batch, hidden]."""
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.LeakyReLU(0.2))


def second(inputs: int, hidden: int) -> nn.Module:
    """A layer that is: [batch, inputs] -> [batch, hidden]."""
    return nn.Sequential(nn.Linear(inputs, hidden, bias=False), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2))


class BiGAN(Model, Samples, Autoencodes, Describes):
    """Bidirectional GAN: min_{G,E} max_D E log D(x, E(x)) + E log(1 - D(G(z), z)) (eq. 3), G and E by -log."""

    latent: int = 50  # size of the code z, uniform in [-1, 1]
    network: Literal["mlp", "conv"] = "mlp"  # fully connected as the paper's for MNIST, or strided convolutions
    hidden: int = 1024  # units of hidden layers, and of that which sees image and code (conv)
    features: int = 64  # maps at half the size, doubled whenever the sides are halved (conv)
    joint: bool = True  # whether the discriminator sees the code; without, it is an ablation
    weight_decay: float = 2.5e-5  # weight of the squared weights
    constant: float = 0.5  # part of the training after which the learning rate falls, exponentially, to a hundredth
    lr: float = 2e-4  # learning rate of Adam
    eager = ("discriminator",)  # its graph serves both players

    def __post_init__(self) -> None:
        self.positive("latent", "hidden", "features", "lr")
        self.not_negative("weight_decay")
        if not 0 <= self.constant <= 1:
            raise ConfigError(f"constant is a part of the training, from 0 to 1, got {self.constant}")

    def networks(self, spec: Spec) -> None:
        hidden, pixels = self.hidden, math.prod(spec.shape)
        if self.network == "conv":
            self.generator = strided_generator(self.latent, spec.shape, self.features)
            self.encoder = strided_discriminator(spec.shape, self.features, outputs=self.latent)
            seen = strided_discriminator(spec.shape, self.features)
            image, width = seen.features, seen.width
        else:
            self.generator = mlp_generator(self.latent, spec.shape, hidden, "batch")
            layers = nn.Sequential(first(pixels, hidden), second(hidden, hidden))
            self.encoder = Discriminator(layers, hidden, outputs=self.latent)
            image, width = first(pixels, hidden), hidden
        self.standard = nn.BatchNorm1d(self.latent, affine=False)
        pair = nn.Sequential(second(width + self.latent, hidden), nn.Linear(hidden, 1))
        self.discriminator = PairDiscriminator(image, nn.Identity(), pair)
        small(self.generator, self.encoder, self.discriminator)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"betas": (0.5, 0.999), "weight_decay": self.weight_decay}
        return {
            "generator": Player(self.generator, self.encoder, lr=self.lr, schedule=self.schedule, **settings),
            "discriminator": Player(self.discriminator, lr=self.lr, schedule=self.schedule, **settings),
        }

    def schedule(self, progress: float) -> float:
        """The factor on the learning rate."""
        return 1.0 if progress <= self.constant else 0.01 ** ((progress - self.constant) / (1 - self.constant))

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        x = next(batches).image
        z = self.noise(len(x))
        code, made = uniform(self.encode(x)), self.generator(z)
        seen, shown = cut(code), cut(made)
        # Of both kinds normalised together: by itself, each batch can be told as a whole, though no single pair can.
        truth, forgery = self.judge(torch.cat([x, shown]), torch.cat([seen, z])).chunk(2)
        losses = {"encoder": fake(truth), "generator": real(forgery)}
        yield Turn("generator", joined(losses, (code, seen), (made, shown)))
        yield Turn("discriminator", {"real": real(truth), "fake": fake(forgery)})

    def judge(self, image: Tensor, code: Tensor) -> Tensor:
        """Logits [batch, 1] of a pair of image and code being the encoder's."""
        return self.discriminator(image, code * self.joint)

    def noise(self, n: int, temperature: float = 1.0) -> Tensor:
        """[n, latent], uniform in [-1, 1] at temperature 1."""
        return uniform(temperature * torch.randn(n, self.latent, device=self.device))

    def encode(self, image: Tensor) -> Tensor:
        return self.standard(self.encoder(image))

    def describe(self, image: Tensor) -> Tensor:
        """The layer below the code, whose neighbours tell more of classes than those of codes do (section 4.1)."""
        return self.encoder.features(image)

    def decode(self, code: Tensor) -> Tensor:
        return self.generator(uniform(code))

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.generator(self.noise(n, temperature))
