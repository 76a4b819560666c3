"""One-Sided Unsupervised Domain Mapping. Benaim and Wolf, 2017. arXiv:1706.00826.

What is far apart in one domain is to be far apart in the other. This needs no way back, so that a generator can be
learnt for one direction alone. Distances are standardised by those of training images, which are measured once, before
the training, since those of the two domains differ in their mean and spread.

Either two images of a batch are compared, or, which works with single images too, the two halves of an image. For one
side, turns, objective and weight are those of the authors' code for digits: the discriminator has one step for real
images and one for translations, each before the generator's, of least squares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Domain, Model, Player, Spec, Translates, Turn
from isthmus.core.spec import one_size
from isthmus.errors import ConfigError, DataError
from isthmus.losses.adversarial import objective
from isthmus.nn.initialise import small
from isthmus.nn.patch import PatchDiscriminator
from isthmus.nn.schedule import falling
from isthmus.nn.translators import Translator

__all__ = ["DistanceGAN"]

GAME = objective("least-squares")  # with the factor 1/2 of Mao et al., which is not in the authors' code


def between(images: Tensor) -> Tensor:
    """Mean absolute differences of all pairs i < j of images [batch, ...]: [batch (batch - 1) / 2]."""
    return F.pdist(images.flatten(1).float(), 1) / images[0].numel()


def within(images: Tensor) -> Tensor:
    """Mean absolute differences of the upper and the lower half of each image: [batch]."""
    rows = images.shape[2] // 2
    return (images[:, :, :rows] - images[:, :, -rows:]).float().abs().flatten(1).mean(1)


class Standardised(nn.Module):
    """Distances of images, minus the mean of those of a domain, over their deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, distance: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.distance = distance
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def measure(self, images: Tensor, name: str) -> None:
        """Take mean and deviation of these. Raises DataError if the distances of the domain `name` are all the same."""
        deviation, mean = torch.std_mean(self.distance(images), correction=0)
        if not deviation > 0:
            raise DataError(f"{name} has images that are all equally far apart, and this model learns from distances")
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def forward(self, images: Tensor) -> Tensor:
        return (self.distance(images) - self.mean) / self.deviation


class DistanceGAN(Model, Translates):
    """DistanceGAN: G lowers L_GAN + pairwise E |(d(x, x') - m_a) / s_a - (d(G(x), G(x')) - m_b) / s_b| (eq. 3), or
    self_distance of the same for the halves of an image (eq. 6)."""

    features: int = 64  # maps at full size, doubled at each of the two halvings; as many in the discriminators
    blocks: int = 9  # residual blocks of each generator
    upsampling: Literal["nearest", "transposed"] = "nearest"  # "transposed", 3x3 in the paper, leaves checkerboards
    patch: int = 3  # halvings in the discriminators: 3 judge patches of 70x70 pixels, 2 of 34x34, 1 of 16x16, 0 pixels
    sides: Literal["one", "both"] = "one"  # whether there is a generator from a to b alone, or one back, too
    pairwise: float = 0.05  # weight of distances between images, which takes batches of 2 or more; 0 is an ablation
    self_distance: float = 0.0  # weight of distances between the halves of an image
    cycle: float = 0.0  # weight of what is missed there and back, where there are both sides
    items: int = 400  # training images of each domain, at most, whose distances are measured before
    constant: float = 1.0  # part of the training after which the learning rate falls linearly to 0
    lr: float = 2e-4  # learning rate of Adam
    separable = False  # distances are between the images of a batch

    def __post_init__(self) -> None:
        self.positive("features", "lr")
        self.not_negative("blocks", "patch", "pairwise", "self_distance", "cycle")
        self.at_least(items=3)
        if self.cycle and self.sides == "one":
            raise ConfigError("cycle takes a way back: give --sides both with it")
        falling(self.constant)

    @property
    def targets(self) -> tuple[str, ...]:
        return ("b",) if self.sides == "one" else ("a", "b")

    def networks(self, a: Spec, b: Spec) -> None:
        if one_size(a, b)[0] < 2 and self.self_distance:
            raise DataError("self_distance compares upper and lower halves, and these images have one row; give 0")
        self.generators, self.discriminators = nn.ModuleDict(), nn.ModuleDict()  # each by the domain that is carried to
        for to in self.targets:
            source, target = (spec.channels for spec in self.ends(to))
            self.generators[to] = Translator(source, target, self.features, self.blocks, upsampling=self.upsampling)
            self.discriminators[to] = PatchDiscriminator(target, self.features, self.patch)
        self.between = nn.ModuleDict({name: Standardised(between) for name in "ab"})
        self.within = nn.ModuleDict({name: Standardised(within) for name in "ab"})
        small(self.generators, self.discriminators)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999), "schedule": falling(self.constant)}
        return {
            "discriminator": Player(*self.discriminators.values(), **settings),
            "generator": Player(*self.generators.values(), **settings),
        }

    def prepare(self, *domains: Domain) -> tuple[Domain, ...]:
        """Measure distances of training images, chosen once and for all."""
        for name, domain in zip("ab", domains, strict=True):
            chosen = torch.randperm(len(domain), generator=torch.Generator().manual_seed(0))[: self.items]
            images = domain.batch(chosen).image.to(self.device)
            for weight, distances in ((self.pairwise, self.between), (self.self_distance, self.within)):
                if weight:
                    cast(Standardised, distances[name]).measure(images, domain.spec.name)
        return domains

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        a, b = (batch.image for batch in next(batches))
        if self.pairwise and len(a) < 2:
            raise ConfigError("pairwise distances take two images: give --batch-size 2, or --pairwise 0")
        real = {"a": a, "b": b}
        made = {to: self.translate(a if to == "b" else b, to) for to in self.targets}
        judges = self.discriminators
        yield Turn("discriminator", {f"real {to}": 2 * GAME.real(judges[to](real[to])) for to in made})
        yield Turn("discriminator", {f"fake {to}": 2 * GAME.fake(judges[to](made[to].detach())) for to in made})
        losses = {}
        for to, image in made.items():
            here = "a" if to == "b" else "b"
            losses[f"adversarial {to}"] = 2 * GAME.generator(judges[to](image))
            if self.pairwise:
                far = self.between[here](real[here])
                losses[f"distance {here}"] = self.pairwise * F.l1_loss(self.between[to](image), far)
            if self.self_distance:
                far = self.within[here](real[here])
                losses[f"self distance {here}"] = self.self_distance * F.l1_loss(self.within[to](image), far)
            if self.cycle:
                losses[f"cycle {here}"] = self.cycle * F.l1_loss(self.translate(image, here), real[here])
        yield Turn("generator", losses)

    def translate(self, image: Tensor, to: str) -> Tensor:
        return self.generators[to](image)
