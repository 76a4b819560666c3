"""Generative Adversarial Nets. Goodfellow et al., 2014. arXiv:1406.2661.

A generator makes images of noise, a discriminator tells them from real ones, and each learns from the other. With the
defaults this is the paper's game on fully connected networks, with leaky ReLU where the paper has maxout, and Adam
where it has momentum. What came after the paper can be chosen part by part: objective, penalty, normalisation, network
and augmentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from isthmus.core import Batch, Decodes, Model, Player, Samples, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import objective
from isthmus.losses.penalty import clip_weights, dragan, gradient_penalty, zero_centred
from isthmus.nn.augment import Augmentation
from isthmus.nn.players import discriminator, generator

__all__ = ["GAN"]


class GAN(Model, Samples, Decodes):
    """Generative adversarial network: min_G max_D E log D(x) + E log(1 - D(G(z))) (eq. 1), G by -log D(G(z))."""

    latent: int = 100  # size of the noise z, Gaussian
    network: Literal["mlp", "conv", "residual"] = "mlp"  # fully connected as in the paper, strided, or residual
    hidden: int = 1200  # units of hidden layers (mlp)
    layers: int = 2  # hidden layers (mlp)
    features: int = 64  # maps at half the size, doubled whenever the sides are halved (conv), or of all (residual)
    objective: Literal[
        "non-saturating",
        "minimax",
        "least-squares",
        "hinge",
        "wasserstein",
        "kl",
        "reverse-kl",
        "pearson",
        "neyman",
        "squared-hellinger",
        "jeffrey",
        "jensen-shannon",
    ] = "non-saturating"  # what the players minimise; the last seven are f-divergences
    penalty: Literal["none", "gradient", "one-sided", "dragan", "r1", "r2", "clipping"] = "none"  # on the discriminator
    weight: float = 10.0  # of the penalty
    target: float = 1.0  # norm of the gradient that costs nothing (gradient, one-sided, dragan)
    weight_clip: float = 0.01  # largest weight there may be (clipping)
    norm: Literal["none", "batch", "layer", "instance", "spectral"] = "none"  # of the discriminator
    generator_norm: Literal["none", "batch", "layer", "instance", "spectral"] = "none"  # of the generator
    augment: Literal["none", "differentiable", "adaptive"] = "none"  # what the discriminator sees, where images are few
    overfitting: float = 0.6  # mean sign of outputs for real images at which adaptive augmentation aims
    discriminator_steps: int = 1  # for each of the generator
    lr: float = 2e-4  # learning rate of Adam
    momentum: float = 0.5  # the first beta of Adam
    eager = ("discriminator",)  # penalties differentiate its gradient

    def __post_init__(self) -> None:
        self.positive("latent", "hidden", "layers", "features", "weight", "weight_clip", "discriminator_steps", "lr")
        if self.target < 0:
            raise ConfigError(f"target is a norm and must not be negative, got {self.target}")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum must lie in [0, 1), got {self.momentum}")
        if not -1 < self.overfitting < 1:
            raise ConfigError(f"overfitting is a mean of signs, between -1 and 1, got {self.overfitting}")
        if reason := self.senseless():
            raise ConfigError(reason)

    def senseless(self) -> str | None:
        """Why the parts that were chosen make no sense together, and what would; None if they do."""
        sloped = self.penalty in ("gradient", "one-sided", "dragan", "clipping") or self.norm == "spectral"
        if self.objective == "wasserstein" and not sloped:
            return (
                "the wasserstein objective can be lowered for ever by a discriminator whose slope nothing bounds; "
                "give --penalty gradient, one-sided, dragan or clipping, or --norm spectral"
            )
        if self.norm == "batch" and self.penalty not in ("none", "clipping"):
            return (
                f"the penalty {self.penalty} is on the gradient of each example, and with --norm batch an output "
                "depends on the whole batch; give --norm layer, instance, spectral or none"
            )
        if self.norm == "spectral" and self.penalty == "clipping":
            return "--norm spectral divides by what --penalty clipping makes small, so that it does nothing; give one"
        if "instance" in (self.norm, self.generator_norm) and self.network == "mlp":
            return (
                "instance normalisation is over the places of a map, and an mlp has no maps; give layer, or a network"
            )
        if self.augment == "adaptive" and self.objective == "wasserstein":
            return (
                "adaptive augmentation sees overfitting by the sign of outputs, and of the wasserstein objective any "
                "constant may be added to them; give --augment differentiable, or another objective"
            )
        return None

    def networks(self, spec: Spec) -> None:
        kind, shape = self.network, spec.shape
        size = {"hidden": self.hidden, "layers": self.layers, "features": self.features}
        self.generator = generator(kind, self.latent, shape, self.generator_norm, **size)
        self.discriminator = discriminator(kind, shape, self.norm, **size)
        self.augmentation = Augmentation(self.augment, self.overfitting)

    def players(self) -> dict[str, Player]:
        betas = (self.momentum, 0.999)
        return {
            "discriminator": Player(self.discriminator, lr=self.lr, betas=betas),
            "generator": Player(self.generator, lr=self.lr, betas=betas),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        for left in reversed(range(self.discriminator_steps)):
            x = next(batches).image
            with torch.set_grad_enabled(left == 0):  # the generator learns from the last of its images
                made = self.sample(len(x))
            yield Turn("discriminator", self.discriminator_losses(x, made.detach()))
            if self.penalty == "clipping":
                clip_weights(self.discriminator, self.weight_clip)
        yield Turn("generator", {"adversarial": objective(self.objective).generator(self.judge(made))})

    def discriminator_losses(self, x: Tensor, made: Tensor) -> dict[str, Tensor]:
        """The terms by name, for real images and as many generated ones."""
        cost, judge = objective(self.objective), self.discriminator
        x, made = (self.augmentation(image).detach() for image in (x, made))
        x.requires_grad_(self.penalty == "r1")
        made.requires_grad_(self.penalty == "r2")
        truth, forgery = judge(x), judge(made)
        if cost.undecided is not None:
            self.augmentation.adapt(truth - cost.undecided)
        losses = {"real": cost.real(truth), "fake": cost.fake(forgery)}
        match self.penalty:
            case "gradient" | "one-sided":
                slope = gradient_penalty(judge, x, made, self.target, one_sided=self.penalty == "one-sided")
            case "dragan":
                slope = dragan(judge, x, self.target)
            case "r1":
                slope = zero_centred(truth, x)
            case "r2":
                slope = zero_centred(forgery, made)
            case _:
                return losses
        return losses | {"penalty": self.weight * slope}

    def judge(self, image: Tensor) -> Tensor:
        """The discriminator's outputs [batch, 1] for images as it sees them, augmented."""
        return self.discriminator(self.augmentation(image))

    def decode(self, code: Tensor) -> Tensor:
        return self.generator(code)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.decode(temperature * torch.randn(n, self.latent, device=self.device))
