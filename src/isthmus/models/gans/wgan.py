"""Wasserstein GAN. Arjovsky et al., 2017. arXiv:1701.07875.

A critic, with no sigmoid and no logarithm, gives images numbers. The largest difference of their means that a critic
of bounded slope can make is the Wasserstein distance of the two kinds of images, up to the bound; clipping its weights
after each of its steps sees to that, those of batch normalisation included. The critic is trained nearly to its optimum
before each step of the generator, so that its loss tells how far the generated images are from the real ones.

As in the authors' code, the critic has many more steps before each of the first 25 steps of the generator and before
every 500th, and both players move by RMSProp, since with momentum a critic is unstable.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from isthmus.core import Batch, Decodes, Model, Player, Samples, Spec, Turn
from isthmus.losses.adversarial import high, low
from isthmus.losses.penalty import clip_weights
from isthmus.nn.strided import strided_discriminator, strided_generator

__all__ = ["WGAN"]


class WGAN(Model, Samples, Decodes):
    """Wasserstein GAN: the critic raises E f(x) - E f(G(z)) with its weights in [-c, c], G raises E f(G(z))."""

    latent: int = 100  # size of the noise z, Gaussian
    features: int = 64  # maps at half the size, doubled whenever the sides are halved
    critic_steps: int = 5  # of the critic for each of the generator
    first_steps: int = 100  # of the critic for each of the first 25 of the generator, and for every 500th
    weight_clip: float = 0.01  # c, the largest weight of the critic
    lr: float = 5e-5  # learning rate of RMSProp

    def __post_init__(self) -> None:
        self.positive("latent", "features", "critic_steps", "first_steps", "weight_clip", "lr")

    def networks(self, spec: Spec) -> None:
        self.generator = strided_generator(self.latent, spec.shape, self.features)
        self.critic = strided_discriminator(spec.shape, self.features)

    def players(self) -> dict[str, Player]:
        return {
            "critic": Player(self.critic, lr=self.lr, optimizer="RMSprop"),
            "generator": Player(self.generator, lr=self.lr, optimizer="RMSprop"),
        }

    def steps(self) -> int:
        """How many the critic has in this round; in evaluation, where nobody moves, there is nothing to catch up."""
        early = self.training and (self.rounds < 25 or self.rounds % 500 == 0)
        return self.first_steps if early else self.critic_steps

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        for left in reversed(range(self.steps())):
            x = next(batches).image
            with torch.set_grad_enabled(left == 0):  # the generator learns from the last of its images
                made = self.sample(len(x))
            yield Turn("critic", {"real": high(self.critic(x)), "fake": low(self.critic(made.detach()))})
            clip_weights(self.critic, self.weight_clip)
        yield Turn("generator", {"adversarial": high(self.critic(made))})

    def decode(self, code: Tensor) -> Tensor:
        return self.generator(code)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.decode(temperature * torch.randn(n, self.latent, device=self.device))
