"""Learning to Discover Cross-Domain Relations with Generative Adversarial Networks. Kim et al., 2017. arXiv:1703.05192.

Two generators carry images of each of two domains to the other and back. What comes back is to be what it was, in the
squares of pixels, so that no two images can become the same one: the relation of the domains is one-to-one.

Turns and weights are those of the authors' code, but for images in [-1, 1]. Generators mostly match features of the
discriminators: the means over a batch, of translated and of real images, at every hidden layer. They have two steps for
each of the discriminators, all with new images. And the reconstruction counts little at first, and as much as the rest
later.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Translates, Turn
from isthmus.core.spec import one_size
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.nn.initialise import small
from isthmus.nn.players import mlp_discriminator, mlp_generator
from isthmus.nn.strided import strided_discriminator
from isthmus.nn.unet import UNet, depth_within

__all__ = ["DiscoGAN"]


def hidden_layers(judge: nn.Module, image: Tensor) -> tuple[Tensor, list[Tensor]]:
    """A discriminator's logits [batch, 1], and what leaves each of its hidden layers, [batch, ...]."""
    found, x = [], image
    for layer in judge.get_submodule("features").children():
        x = layer(x)
        if isinstance(layer, nn.LeakyReLU):
            found.append(x)
    return judge.get_submodule("head")(x), found


def unlike(ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
    """The squared distances of means over the batch, a mean at each layer, of all layers together."""
    pairs = zip(ours, theirs, strict=True)
    return torch.stack([F.mse_loss(x.float().mean(0), y.float().mean(0)) for x, y in pairs]).sum()


class DiscoGAN(Model, Translates):
    """DiscoGAN: for each direction, (1 - share) (adversarial -log D_b(G(a)) + matching |E f(G(a)) - E f(b)|^2)
    + share |F(G(a)) - a|^2 (eq. 3 to 7, and the authors' code)."""

    network: Literal["conv", "mlp"] = "conv"  # convolutions, or fully connected as the paper's for points
    features: int = 64  # maps at half the size, doubled at each size below (conv)
    depth: int = 4  # how often the generators halve the sides; no further than to one pixel (conv)
    upsampling: Literal["nearest", "transposed"] = "nearest"  # "transposed" is the paper's (conv)
    hidden: int = 128  # units of hidden layers: two in a generator, four in a discriminator (mlp)
    sides: Literal["both", "one"] = "both"  # which directions are judged and come back; one, a to b, is an ablation
    adversarial: float = 0.1  # weight of the adversarial loss beside the features; alone, as in the paper, it is 1
    matching: float = 0.9  # weight of the features' distance; the paper has none
    first_share: float = 0.01  # of the reconstruction in a generator's loss at first, the others having the rest
    share: float = 0.5  # of the reconstruction later; with both 0 it is an ablation
    curriculum: int = 10_000  # steps, of generators and discriminators, before that
    interval: int = 3  # steps in a round: the first is that of the discriminators
    weight_decay: float = 1e-5  # weight of the squared weights
    lr: float = 2e-4  # learning rate of Adam
    separable = False  # feature matching compares means over batches

    def __post_init__(self) -> None:
        self.positive("features", "depth", "hidden", "lr")
        self.not_negative("adversarial", "matching", "curriculum", "weight_decay")
        self.at_least(interval=2)
        for name in ("first_share", "share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a part of the loss, from 0 to 1, got {getattr(self, name)}")

    def networks(self, a: Spec, b: Spec) -> None:
        ba, ab = self.generator(b, a), self.generator(a, b)
        self.generators = nn.ModuleDict({"a": ba, "b": ab})  # each by the domain that it carries to
        judged = {"a": a, "b": b} if self.sides == "both" else {"b": b}
        self.discriminators = nn.ModuleDict({to: self.discriminator(spec) for to, spec in judged.items()})

    def generator(self, source: Spec, target: Spec) -> nn.Module:
        """An encoder and a decoder, with nothing beside them: images of one domain to those of the other."""
        if self.network == "mlp":
            return nn.Sequential(nn.Flatten(), mlp_generator(math.prod(source.shape), target.shape, self.hidden))
        depth = depth_within(self.depth, *one_size(source, target))
        form: dict[str, Any] = {"norm": "batch", "upsampling": self.upsampling, "dropout": 0.0, "skips": False}
        net = UNet(source.channels, target.channels, self.features, depth, **form)
        small(net)
        return net

    def discriminator(self, spec: Spec) -> nn.Module:
        """A discriminator of images of that domain."""
        if self.network == "mlp":
            return mlp_discriminator(spec.shape, self.hidden, layers=4)
        return strided_discriminator(spec.shape, self.features)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999), "weight_decay": self.weight_decay}
        return {
            "discriminator": Player(*self.discriminators.values(), **settings),
            "generator": Player(*self.generators.values(), **settings),
        }

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        for step in range(self.interval):
            a, b = (batch.image for batch in next(batches))
            losses = self.explored(a, b, self.rounds * self.interval + step) if step else self.judged(a, b)
            yield Turn("generator" if step else "discriminator", losses)

    def judged(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """What discriminators pay for images of both domains."""
        losses, truths = {}, {"a": a, "b": b}
        for to, judge in self.discriminators.items():
            with torch.no_grad():
                made = self.translate(b if to == "a" else a, to)
            losses[f"real {to}"] = 0.5 * real(judge(truths[to]))
            losses[f"fake {to}"] = 0.5 * fake(judge(made))
        return losses

    def explored(self, a: Tensor, b: Tensor, steps: int) -> dict[str, Tensor]:
        """What generators pay after so many steps: for each domain that is judged, and for the way back from it."""
        share = self.first_share if steps < self.curriculum else self.share
        losses, images = {}, {"a": a, "b": b}
        for there, judge in self.discriminators.items():
            here = "a" if there == "b" else "b"
            made = self.translate(images[here], there)
            logits, ours = hidden_layers(judge, made)
            losses[f"adversarial {there}"] = (1 - share) * self.adversarial * real(logits)
            if self.matching:
                with torch.no_grad():
                    theirs = hidden_layers(judge, images[there])[1]
                losses[f"matching {there}"] = (1 - share) * self.matching * unlike(ours, theirs)
            if self.first_share or self.share:
                losses[f"reconstruction {here}"] = share * F.mse_loss(self.translate(made, here), images[here])
        return losses

    def translate(self, image: Tensor, to: str) -> Tensor:
        return self.generators[to](image)
