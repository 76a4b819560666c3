"""Unsupervised Representation Learning with Deep Convolutional GANs. Radford et al., 2016. arXiv:1511.06434.

The game of the adversarial nets on networks that made it work on images (section 3): strided convolutions instead of
pooling, batch normalisation everywhere but at the generator's output and the discriminator's input, no hidden layers
that are fully connected, ReLU and at last tanh in the generator, leaky ReLU in the discriminator. Weights are drawn
from N(0, 0.02^2), and the first beta of Adam is 0.5. Real and generated images pass the discriminator in batches of
their own, each normalised by itself.

With classes, as in the authors' code for MNIST, every layer of both networks sees the class, and what is generated has
the classes of the real images of the batch, for both players.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Decodes, Describes, Model, Player, Samples, Spec, Turn
from isthmus.losses.adversarial import fake, real
from isthmus.nn.labels import classes_of, drawn, one_hot
from isthmus.nn.noise import uniform
from isthmus.nn.schedule import falling
from isthmus.nn.strided import seen, strided_discriminator, strided_generator

__all__ = ["DCGAN"]


class DCGAN(Model, Samples, Decodes, Describes):
    """Deep convolutional GAN: -log D(x) - log(1 - D(G(z))) for the discriminator, -log D(G(z)) for the generator."""

    latent: int = 100  # size of the noise z, uniform in [-1, 1]
    features: int = 64  # maps at half the size, doubled whenever the sides are halved (the paper, of 64x64: 128)
    conditional: bool = False  # whether every layer of both networks sees the class
    generator_norm: Literal["batch", "none"] = "batch"  # none is an ablation
    lr: float = 2e-4  # learning rate of Adam
    constant: float = 1.0  # part of the training after which it falls linearly to 0 (the authors, for MNIST: 0.5)

    def __post_init__(self) -> None:
        self.positive("latent", "features", "lr")
        falling(self.constant)

    def networks(self, spec: Spec) -> None:
        self.classes = classes_of(spec) if self.conditional else 0
        shape, norm, given = spec.shape, self.generator_norm, self.classes
        self.generator = strided_generator(self.latent, shape, self.features, norm, given)
        self.discriminator = strided_discriminator(shape, self.features, given=given)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999), "schedule": falling(self.constant)}
        return {
            "discriminator": Player(self.discriminator, **settings),
            "generator": Player(self.generator, **settings),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        given = (one_hot(batch.label, self.classes),) if self.conditional else ()
        made = self.generator(self.noise(len(batch)), *given)
        truth, forgery = (self.discriminator(x, *given) for x in (batch.image, made.detach()))
        yield Turn("discriminator", {"real": real(truth), "fake": fake(forgery)})
        yield Turn("generator", {"adversarial": real(self.discriminator(made, *given))})

    def describe(self, image: Tensor) -> Tensor:
        """The discriminator's activations, of each layer the largest in each of 4x4 parts (section 5.1).

        A conditional one is told no class.
        """
        x, given, found = image, image.new_zeros(len(image), self.classes) if self.conditional else None, []
        for layer in self.discriminator.features.children():
            x = seen(layer, x, given)
            if isinstance(layer, nn.LeakyReLU):
                found.append(F.adaptive_max_pool2d(x, 4).flatten(1))
        return torch.cat(found, dim=1)

    def noise(self, n: int, temperature: float = 1.0) -> Tensor:
        """[n, latent], uniform in [-1, 1] at temperature 1."""
        return uniform(temperature * torch.randn(n, self.latent, device=self.device))

    @property
    def code_size(self) -> int:
        """The noise, and a number for each class that the model knows."""
        return self.latent + self.classes

    def decode(self, code: Tensor) -> Tensor:
        z, y = code.split([self.latent, self.classes], dim=1)
        return self.generator(uniform(z), *((one_hot(y.argmax(1), self.classes),) if self.conditional else ()))

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        z = self.noise(n, temperature)
        if not self.conditional:
            return self.generator(z)
        label = drawn(n, self.classes, self.device) if label is None else label
        return self.generator(z, one_hot(label, self.classes))
