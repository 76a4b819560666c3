"""Spectral Normalization for Generative Adversarial Networks. Miyato et al., 2018. arXiv:1802.05957.

Every weight of the discriminator, as a matrix with a row for each output, is divided by its largest singular value,
which one power iteration in each forward pass keeps track of (algorithm 1). So no layer stretches its input, and the
slope of the discriminator is bounded by 1 without a penalty and without taking its capacity. The generator is as it
was. Both losses are hinges.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from isthmus.core import Batch, Decodes, Model, Player, Samples, Spec, Turn
from isthmus.losses.adversarial import high, hinge_fake, hinge_real
from isthmus.nn.conv import halvings
from isthmus.nn.initialise import small
from isthmus.nn.norm import Norm, constrained
from isthmus.nn.residual import residual_discriminator, residual_generator
from isthmus.nn.strided import SMALLEST, Crop, Discriminator

__all__ = ["SNGAN"]


def standard_generator(latent: int, shape: tuple[int, int, int], features: int) -> nn.Module:
    """The standard CNN (table 3a): each deconvolution doubles the sides, and a convolution makes the image."""
    channels, height, width = shape
    (h, w), *larger = halvings(height, width, SMALLEST, least=1)[::-1]
    widths = [features << i for i in reversed(range(len(larger) + 1))]
    layers: list[nn.Module] = [nn.Linear(latent, widths[0] * h * w), nn.Unflatten(1, (widths[0], h, w))]
    layers += [nn.BatchNorm2d(widths[0]), nn.ReLU()]
    for (before, after), size in zip(pairwise(widths), larger, strict=True):
        layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False), Crop(*size)]
        layers += [nn.BatchNorm2d(after), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Tanh())
    small(net)
    return net


def standard_discriminator(shape: tuple[int, int, int], features: int, norm: Norm) -> Discriminator:
    """The standard CNN (table 3b): for each size a convolution and one that halves the sides, and a last one."""
    channels, height, width = shape
    *larger, (h, w) = halvings(height, width, SMALLEST, least=1)
    widths = [channels, *(features << i for i in range(len(larger) + 1))]
    layers: list[nn.Module] = []
    for (y, x), (before, after) in zip(larger, pairwise(widths[:-1]), strict=True):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(0.1), nn.ZeroPad2d((0, x % 2, 0, y % 2))]
        layers += [nn.Conv2d(after, after, 4, stride=2, padding=1), nn.LeakyReLU(0.1)]
    layers += [nn.Conv2d(widths[-2], widths[-1], 3, padding=1), nn.LeakyReLU(0.1), nn.Flatten()]
    net = Discriminator(nn.Sequential(*layers), widths[-1] * h * w)
    small(net)
    return constrained(net, norm)


class SNGAN(Model, Samples, Decodes):
    """Spectrally normalised GAN: E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) for D, -E D(G(z)) for G (eq. 16, 17)."""

    latent: int = 128  # size of the noise z, Gaussian
    network: Literal["conv", "residual"] = "conv"  # the paper's standard CNN (table 3), or its residual one (table 4)
    features: int = 64  # maps at full size (conv), or of all discriminator layers (residual, where the paper has 128)
    spectral: bool = True  # whether the discriminator's weights are normalised; without, it is an ablation
    discriminator_steps: int = 1  # for each of the generator; the paper has 5 for residual networks
    lr: float = 2e-4  # learning rate of Adam, which falls to 0 over the training

    def __post_init__(self) -> None:
        self.positive("latent", "features", "discriminator_steps", "lr")

    def networks(self, spec: Spec) -> None:
        norm: Norm = "spectral" if self.spectral else "none"
        if self.network == "conv":
            self.generator = standard_generator(self.latent, spec.shape, self.features)
            self.discriminator = standard_discriminator(spec.shape, self.features, norm)
        else:  # the paper's generator has twice as many maps
            self.generator = residual_generator(self.latent, spec.shape, 2 * self.features)
            self.discriminator = residual_discriminator(spec.shape, self.features, norm)

    def players(self) -> dict[str, Player]:
        betas = (0.5, 0.999) if self.network == "conv" else (0.0, 0.9)
        return {
            "discriminator": Player(self.discriminator, lr=self.lr, betas=betas, schedule=lambda done: 1 - done),
            "generator": Player(self.generator, lr=self.lr, betas=betas, schedule=lambda done: 1 - done),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        for left in reversed(range(self.discriminator_steps)):
            x = next(batches).image
            with torch.set_grad_enabled(left == 0):  # the generator learns from the last of its images
                made = self.sample(len(x))
            truth, forgery = self.discriminator(x), self.discriminator(made.detach())
            yield Turn("discriminator", {"real": hinge_real(truth), "fake": hinge_fake(forgery)})
        yield Turn("generator", {"adversarial": high(self.discriminator(made))})

    def decode(self, code: Tensor) -> Tensor:
        return self.generator(code)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.decode(temperature * torch.randn(n, self.latent, device=self.device))
