"""Improved Training of Wasserstein GANs. Gulrajani et al., 2017. arXiv:1704.00028.

The best critic has a gradient of norm 1 almost everywhere between the two kinds of images, and one whose weights are
clipped is far from it. Here the critic pays for every gradient that is not of norm 1, at a random place between each
real and each generated image. So each example needs a gradient of its own, and the critic has no batch normalisation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from isthmus.core import Batch, Decodes, Model, Player, Samples, Spec, Turn
from isthmus.losses.adversarial import high, low
from isthmus.losses.penalty import gradient_penalty
from isthmus.nn.initialise import glorot
from isthmus.nn.players import discriminator, generator

__all__ = ["WGANGP"]


class WGANGP(Model, Samples, Decodes):
    """WGAN with gradient penalty: the critic lowers E f(G(z)) - E f(x) + penalty E(|grad f| - 1)^2 (eq. 3, alg. 1)."""

    latent: int = 128  # size of the noise z, Gaussian
    network: Literal["mlp", "conv", "residual"] = "conv"  # fully connected (for points), strided, or residual
    hidden: int = 512  # units of hidden layers (mlp)
    layers: int = 3  # hidden layers (mlp)
    features: int = 64  # maps at half the size, doubled whenever the sides are halved (conv), or of all (residual)
    generator_norm: Literal["none", "batch"] = "none"  # the paper's residual networks have batch
    critic_norm: Literal["none", "layer"] = "none"  # layer is what may stand in for batch normalisation
    critic_steps: int = 5  # of the critic for each of the generator
    penalty: float = 10.0  # lambda, weight of the penalty; 0.1 for points in the plane, and 0 is an ablation
    target: float = 1.0  # norm of the gradient that costs nothing
    one_sided: bool = False  # whether only larger gradients cost
    lr: float = 1e-4  # learning rate of Adam (the paper's residual networks: 2e-4)
    eager = ("critic",)  # the penalty differentiates its gradient

    def __post_init__(self) -> None:
        self.positive("latent", "hidden", "layers", "features", "critic_steps", "lr")
        self.not_negative("penalty", "target")

    def networks(self, spec: Spec) -> None:
        kind, shape = self.network, spec.shape
        size = {"hidden": self.hidden, "layers": self.layers, "features": self.features}
        self.generator = generator(kind, self.latent, shape, self.generator_norm, **size)
        self.critic = discriminator(kind, shape, self.critic_norm, **size)
        glorot(self.generator, self.critic)

    def players(self) -> dict[str, Player]:
        betas = (0.0, 0.9) if self.network == "residual" else (0.5, 0.9)
        return {
            "critic": Player(self.critic, lr=self.lr, betas=betas, schedule=self.schedule),
            "generator": Player(self.generator, lr=self.lr, betas=betas, schedule=self.schedule),
        }

    def schedule(self, progress: float) -> float:
        """The factor on the learning rate, which falls to 0 for residual networks alone."""
        return 1 - progress if self.network == "residual" else 1.0

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        for left in reversed(range(self.critic_steps)):
            x = next(batches).image
            with torch.set_grad_enabled(left == 0):  # the generator learns from the last of its images
                made = self.sample(len(x))
            yield Turn("critic", self.critic_losses(x, made.detach()))
        yield Turn("generator", {"adversarial": high(self.critic(made))})

    def critic_losses(self, x: Tensor, made: Tensor) -> dict[str, Tensor]:
        """The terms of eq. 3 by name."""
        slope = gradient_penalty(self.critic, x, made, self.target, one_sided=self.one_sided)
        return {"real": high(self.critic(x)), "fake": low(self.critic(made)), "penalty": self.penalty * slope}

    def decode(self, code: Tensor) -> Tensor:
        return self.generator(code)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.decode(temperature * torch.randn(n, self.latent, device=self.device))
