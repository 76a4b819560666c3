"""StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation. Choi et al., 2018.
arXiv:1711.09020.

One generator for all pairs of domains: it sees an image and, as constant maps beside it, the domain that is asked for.
The discriminator also tells domains, which it learns from real images alone, and the generator is paid for images that
it takes for the domain asked for. What is carried to another domain and back to its own must be the image again, or
nothing would keep what the image shows.

Of two data sets with different domains, the generator sees the labels of both and a mask vector that says which of them
are known; the others are zeros, and nobody is asked for them (section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Translates, Turn
from isthmus.errors import DataError
from isthmus.losses.adversarial import high, low
from isthmus.losses.penalty import gradient_penalty
from isthmus.nn.labels import classes_of, one_hot
from isthmus.nn.schedule import falling
from isthmus.nn.strided import beside
from isthmus.nn.translators import HalfPad, Translator, sizes

__all__ = ["StarGAN"]


class Discriminator(nn.Module):
    """Images to outputs of patches [batch, 1, h, w], and to logits of their domains [batch, domains] (table 5)."""

    def __init__(self, spec: Spec, features: int, depth: int, domains: int) -> None:
        super().__init__()
        widths = [spec.channels, *(features << i for i in range(depth))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [HalfPad(), nn.Conv2d(before, after, 4, stride=2), nn.LeakyReLU(0.01)]
        self.trunk = nn.Sequential(*layers)
        self.source = nn.Conv2d(widths[-1], 1, 3, padding=1, bias=False)
        self.domain = nn.Conv2d(widths[-1], domains, sizes((spec.height, spec.width), depth)[-1], bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(image)
        return self.source(x), self.domain(x).flatten(1)


class StarGAN(Model, Translates):
    """StarGAN: D lowers -L_adv + lambda_cls L_cls^r, G L_adv + lambda_cls L_cls^f + lambda_rec L_rec (eq. 5, 6)."""

    features: int = 64  # maps at full size of the generator, and at half the size of the discriminator
    blocks: int = 6  # residual blocks of the generator
    depth: int = 6  # how often the discriminator halves the sides
    upsampling: Literal["nearest", "transposed"] = "nearest"  # "transposed" is the paper's, and leaves checkerboards
    classification: float = 1.0  # lambda_cls, weight of what domain images are of; 0 is an ablation
    reconstruction: float = 10.0  # lambda_rec, weight of what is lost on the way back; 0 is an ablation
    penalty: float = 10.0  # lambda_gp, weight of the penalty on the discriminator's gradient
    critic_steps: int = 5  # of the discriminator for each of the generator
    constant: float = 0.5  # part of the training after which the learning rate falls linearly to 0
    lr: float = 1e-4  # learning rate of Adam
    eager = ("discriminator",)  # the penalty differentiates its gradient
    run_defaults = {"batch_size": 16}

    def __post_init__(self) -> None:
        self.positive("features", "depth", "critic_steps", "lr")
        self.not_negative("blocks", "classification", "reconstruction", "penalty")
        falling(self.constant)

    def networks(self, a: Spec, b: Spec | None = None) -> None:
        if b is not None and a.shape != b.shape:
            raise DataError(f"{a.name} ({a}) and {b.name} ({b}) differ in form; give --size and --channels")
        self.classes = [classes_of(spec) for spec in self.specs]
        domains, sets = sum(self.classes), len(self.classes)
        known = domains + (sets if sets > 1 else 0)
        inputs = a.channels + known
        self.generator = Translator(inputs, a.channels, self.features, self.blocks, upsampling=self.upsampling)
        # As in the authors' code the maps of the domain enter by a border of zeros alone: what they add inside is
        # constant, which instance normalisation takes away; over a border by reflection nothing would be left.
        self.generator.encoder[0] = nn.Conv2d(inputs, self.features, 7, padding=3, bias=False)
        self.discriminator = Discriminator(a, self.features, self.depth, domains)

    def players(self) -> dict[str, Player]:
        return {
            name: Player(net, lr=self.lr, betas=(0.5, 0.999), schedule=falling(self.constant))
            for name, net in (("discriminator", self.discriminator), ("generator", self.generator))
        }

    def turns(self, batches: Iterator[Batch | tuple[Batch, ...]]) -> Iterator[Turn]:
        for left in reversed(range(self.critic_steps)):
            drawn = next(batches)
            for data, batch in enumerate((drawn,) if isinstance(drawn, Batch) else drawn):
                x, label = batch.image, batch.label
                wanted = label[torch.rand(len(x), device=x.device).argsort(stable=True)]  # as frequent as in the data
                with torch.set_grad_enabled(left == 0):  # the generator learns from the last of its images
                    made = self.carry(x, wanted, data)
                yield Turn("discriminator", self.critic_losses(x, label, made.detach(), data))
                if left == 0:
                    yield Turn("generator", self.generator_losses(x, label, made, wanted, data))

    def critic_losses(self, x: Tensor, label: Tensor, made: Tensor, data: int) -> dict[str, Tensor]:
        """The terms of eq. 5 and 8 by name; only real images teach domains (eq. 2)."""
        source, domain = self.discriminator(torch.cat([x, made]))
        real, fake = source.chunk(2)
        slope = gradient_penalty(lambda image: self.discriminator(image)[0], x, made)
        told = self.told(domain[: len(x)], label, data)
        return {"real": high(real), "fake": low(fake), "penalty": self.penalty * slope, "classification": told}

    def generator_losses(self, x: Tensor, label: Tensor, made: Tensor, wanted: Tensor, data: int) -> dict[str, Tensor]:
        """The terms of eq. 6 by name."""
        source, domain = self.discriminator(made)
        back = self.carry(made, label, data)
        return {
            "adversarial": high(source),
            "classification": self.told(domain, wanted, data),
            "reconstruction": self.reconstruction * F.l1_loss(back, x),
        }

    def told(self, domain: Tensor, label: Tensor, data: int) -> Tensor:
        """Cross-entropy of the domains of data set `data`, whose labels are the only known ones, weighted."""
        return self.classification * F.cross_entropy(domain.float().split(self.classes, dim=1)[data], label)

    def carry(self, image: Tensor, label: Tensor, data: int) -> Tensor:
        """Images in the domains `label` [batch] of data set `data`."""
        return self.generator(beside(image, self.condition(label, data)))

    def condition(self, label: Tensor, data: int) -> Tensor:
        """The domains asked for, zeros for labels of another data set, and the mask vector where there are two."""
        parts = [one_hot(label, n) if i == data else label.new_zeros(len(label), n) for i, n in enumerate(self.classes)]
        if len(parts) > 1:
            parts.append(one_hot(torch.full_like(label, data), len(parts)))
        return torch.cat(parts, dim=1)

    @property
    def targets(self) -> tuple[str, ...]:
        """The classes of the data; of two data sets that share a name, with "a:" or "b:" before each."""
        named = [(end, name) for end, spec in zip("ab", self.specs, strict=False) for name in spec.classes]
        unique = len({name for _, name in named}) == len(named)
        return tuple(name if unique else f"{end}:{name}" for end, name in named)

    def place(self, to: str) -> tuple[int, int]:
        """The data set of a target, and its label there."""
        place = self.targets.index(to)
        starts = [0, *accumulate(self.classes)][:-1]
        return max((data, place - start) for data, start in enumerate(starts) if start <= place)

    def ends(self, to: str) -> tuple[Spec, Spec]:
        spec = self.specs[self.place(to)[0]]
        return spec, spec

    def translate(self, image: Tensor, to: str) -> Tensor:
        data, label = self.place(to)
        return self.carry(image, torch.full((len(image),), label, device=image.device), data)
