"""f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization. Nowozin et al., 2016.
arXiv:1606.00709.

Every f-divergence D_f(P||Q) of the data P and the model Q is bounded from below by a discriminator V: by
E_P g_f(V(x)) - E_Q f*(g_f(V(x))), with the convex conjugate f* of f, and an activation g_f into its domain. Raised by
the discriminator and lowered by the generator, this is a game. Which divergence it is decides what becomes of a model
that cannot have all modes: it covers them, or it seeks one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from isthmus.core import Batch, Decodes, Model, Player, Samples, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import objective
from isthmus.losses.shared import cut, joined
from isthmus.nn.initialise import linear
from isthmus.nn.noise import uniform
from isthmus.nn.players import mlp_generator
from isthmus.nn.strided import strided_discriminator, strided_generator

__all__ = ["FGAN"]


class FGAN(Model, Samples, Decodes):
    """f-GAN: min over G and max over V of F = E g_f(V(x)) - E f*(g_f(V(G(z)))) (eq. 6).

    Both players follow gradients at the same weights (algorithm 1): what the discriminator sees in its turn, which is
    the second, was made and judged before the first.
    """

    latent: int = 100  # size of the noise z
    divergence: Literal[
        "kl",
        "reverse-kl",
        "pearson",
        "neyman",
        "squared-hellinger",
        "jeffrey",
        "jensen-shannon",
    ] = "jensen-shannon"  # D_f(P||Q), which is bounded
    network: Literal["mlp", "conv", "affine"] = "mlp"  # as for MNIST in the paper, for photographs, or mu + A z alone
    hidden: int = 1200  # units of the generator's hidden layers (mlp)
    units: int = 240  # units of the discriminator's hidden layers (mlp, affine)
    features: int = 64  # maps at half the size, doubled whenever the sides are halved (conv)
    generator_loss: Literal["raise", "lower"] = "raise"  # raise g_f(V(G(z))) (section 3.2), or lower F (algorithm 1)
    exchanged: bool = False  # bound D_f(Q||P) instead: real and generated images change places, as an ablation
    lr: float = 2e-4  # learning rate of Adam
    momentum: float = 0.5  # the first beta of Adam
    eager = ("discriminator",)  # the graph of its outputs is gone through twice

    def __post_init__(self) -> None:
        self.positive("latent", "hidden", "units", "features", "lr")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum must lie in [0, 1), got {self.momentum}")

    def networks(self, spec: Spec) -> None:
        self.discriminator: nn.Module
        match self.network:
            case "mlp":
                self.generator = spread(mlp_generator(self.latent, spec.shape, self.hidden, "batch"), 0.05)
                self.discriminator = spread(variational_function(spec.shape, self.units), 0.005)
            case "conv":
                self.generator = strided_generator(self.latent, spec.shape, self.features)
                self.discriminator = strided_discriminator(spec.shape, self.features)
            case "affine":
                self.generator = affine(self.latent, spec.shape)
                self.discriminator = variational_function(spec.shape, self.units)

    def players(self) -> dict[str, Player]:
        betas = (self.momentum, 0.999)
        return {
            "generator": Player(self.generator, lr=self.lr, betas=betas),
            "discriminator": Player(self.discriminator, lr=self.lr, betas=betas),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        x, cost = next(batches).image, objective(self.divergence)
        real, fake = (cost.fake, cost.real) if self.exchanged else (cost.real, cost.fake)
        made = self.make(torch.randn(len(x), self.latent, device=self.device))
        judged = cut(made)
        truth, forgery = self.discriminator(x), self.discriminator(judged)
        adversarial = real(forgery) if self.generator_loss == "raise" else -fake(forgery)
        yield Turn("generator", joined({"adversarial": adversarial}, (made, judged)))
        yield Turn("discriminator", {"real": real(truth), "fake": fake(forgery)})

    def make(self, code: Tensor) -> Tensor:
        """Codes of N(0, I), as noise of U(-1, 1) but where the model is to be a Gaussian, to images."""
        return self.generator(code if self.network == "affine" else uniform(code))

    def decode(self, code: Tensor) -> Tensor:
        return self.make(code).clamp(-1, 1)  # a Gaussian goes on for ever

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.decode(temperature * torch.randn(n, self.latent, device=self.device))


def variational_function(shape: tuple[int, int, int], units: int) -> nn.Module:
    """V of the paper's experiments on digits: [batch, channels, height, width] -> [batch, 1]."""
    return nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(math.prod(shape), units), nn.ELU()),
        *(nn.Linear(units, units), nn.ELU()),
        nn.Linear(units, 1),
    )


def affine(inputs: int, shape: tuple[int, int, int]) -> nn.Module:
    """mu + A z, a Gaussian: [batch, inputs] -> [batch, channels, height, width].

    At first it is narrower than most data, so that it draws little where there are none.
    """
    layer = nn.Linear(inputs, math.prod(shape))
    nn.init.orthogonal_(layer.weight, 0.15)
    nn.init.zeros_(layer.bias)
    return nn.Sequential(layer, nn.Unflatten(1, shape))


def spread(net: nn.Module, scale: float) -> nn.Module:
    """The network, with weights of U(-scale, scale) and without biases at first."""
    for layer in linear(net):
        nn.init.uniform_(layer.weight, -scale, scale)
    return net
