"""Conditional Generative Adversarial Nets. Mirza and Osindero, 2014. arXiv:1411.1784.

Generator and discriminator are both told the class, and the discriminator judges pairs of image and class. It is
never asked to name the class: a generator that ignores it is found out because its pairs are unlike the real ones.
What is generated has the classes of the real images of the batch, for both players.

The networks are those of section 4.1. The paper moves them by gradient descent with momentum; this is Adam, at a rate
that falls as theirs does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Samples, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.nn.initialise import glorot
from isthmus.nn.labels import classes_of, drawn, one_hot
from isthmus.nn.maxout import Maxout
from isthmus.nn.noise import uniform
from isthmus.nn.norm import Norm, normalised

__all__ = ["CGAN"]


class Generator(nn.Module):
    """Noise [batch, latent] and class [batch, classes], each through a layer of its own, then together to an image."""

    def __init__(
        self, latent: int, classes: int, shape: tuple[int, int, int], hidden: int, norm: Norm, dropout: float
    ) -> None:
        super().__init__()
        self.noise, self.label = nn.Linear(latent, hidden // 6), nn.Linear(classes, hidden - hidden // 6)
        # Not normalised before the common layer, where the many units of the class would drown those of the noise.
        self.joint = nn.Sequential(
            *(nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), normalised(norm, hidden, maps=False)),
            *(nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, math.prod(shape)), nn.Tanh(), nn.Unflatten(1, shape)),
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.joint(torch.cat([self.noise(z), self.label(y)], dim=1))


class Discriminator(nn.Module):
    """Image and class [batch, classes], each through maxout units of its own, then together to a logit [batch, 1]."""

    def __init__(self, classes: int, shape: tuple[int, int, int], hidden: int, dropout: float) -> None:
        super().__init__()
        units, few = -(-hidden // 5), -(-hidden // 24)
        self.image = nn.Sequential(nn.Flatten(), Maxout(math.prod(shape), units, pieces=5))
        self.label = Maxout(classes, few, pieces=5)
        self.joint = nn.Sequential(
            *(nn.Dropout(dropout), Maxout(units + few, units, pieces=4)),
            *(nn.Dropout(dropout), nn.Linear(units, 1)),
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.joint(torch.cat([self.image(x), self.label(y)], dim=1))


class CGAN(Model, Samples):
    """Conditional GAN: min_G max_D E log D(x | y) + E log(1 - D(G(z | y) | y)) (eq. 2), G by -log D(G(z | y) | y)."""

    latent: int = 100  # size of the noise z, uniform with variance 1
    hidden: int = 1200  # units of the generator's second layer; all other layers are in the paper's proportion to it
    dropout: float = 0.5  # share of units that are dropped in the discriminator
    generator_dropout: float = 0.5  # the same in the generator
    generator_norm: Literal["none", "batch"] = "none"  # of the generator's common layer; the paper has none
    conditional: bool = True  # whether the discriminator sees the class; without, it is an ablation
    lr: float = 2e-4  # learning rate of Adam, which falls exponentially to a tenth

    def __post_init__(self) -> None:
        self.positive("latent", "hidden", "lr")
        if self.hidden < 6:
            raise ConfigError(f"hidden is divided by 6 and must be at least that, got {self.hidden}")
        for name in ("dropout", "generator_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is a share, from 0 to below 1, got {getattr(self, name)}")

    def networks(self, spec: Spec) -> None:
        self.classes = classes_of(spec)
        size, dropout = (self.latent, self.classes, spec.shape, self.hidden), self.generator_dropout
        self.generator = Generator(*size, self.generator_norm, dropout)
        self.discriminator = Discriminator(self.classes, spec.shape, self.hidden, self.dropout)
        glorot(self.generator, self.discriminator)
        # One input is on, whatever the number of classes, and it must be heard beside the noise and the image.
        nn.init.normal_(self.generator.label.weight, std=0.2)
        nn.init.normal_(self.discriminator.label.linear.weight)

    def players(self) -> dict[str, Player]:
        def rate(done: float) -> float:
            return 0.1**done

        betas = (0.5, 0.999)
        return {
            "discriminator": Player(self.discriminator, lr=self.lr, betas=betas, schedule=rate),
            "generator": Player(self.generator, lr=self.lr, betas=betas, schedule=rate),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        made = self.sample(len(batch), batch.label)
        y = one_hot(batch.label, self.classes) * self.conditional
        truth, forgery = self.discriminator(batch.image, y), self.discriminator(made.detach(), y)
        yield Turn("discriminator", {"real": real(truth), "fake": fake(forgery)})
        yield Turn("generator", {"adversarial": real(self.discriminator(made, y))})

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        label = drawn(n, self.classes, self.device) if label is None else label
        z = math.sqrt(3) * uniform(temperature * torch.randn(n, self.latent, device=self.device))
        return self.generator(z, one_hot(label, self.classes))
