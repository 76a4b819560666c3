"""Coupled Generative Adversarial Networks. Liu and Tuzel, 2016. arXiv:1606.07536.

Two GANs learn two domains of which no pair is known, and are coupled: the generators share all layers but the last,
the discriminators all but the first. So what a code means is decided by layers that both have, only its look by those
that each has alone, and one code gives the same thing in both domains. The ends that are not shared are single
convolutions, local and weak, or they could undo what is shared.

For domain adaptation (section 5) the images of domain a have classes. They are told by what discriminators share, which
is to see the same in both images of a code; so they are told in domain b, where none was ever given.

Discriminators and generators take turns, and images are made once for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Model, Pairs, Player, Samples, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.nn.conv import halvings
from isthmus.nn.initialise import he
from isthmus.nn.labels import classes_of
from isthmus.nn.strided import SMALLEST, Crop

__all__ = ["CoGAN"]


def told(logits: Tensor, real: bool) -> Tensor:
    """Cross-entropy of outputs [batch, 2], fake or real."""
    return F.cross_entropy(logits.float(), torch.full((len(logits),), int(real), device=logits.device))


def both(make: Callable[[], nn.Module], shared: bool) -> nn.ModuleDict:
    """The network of each domain: one and the same if it is shared."""
    first = make()
    return nn.ModuleDict({"a": first, "b": first if shared else make()})


class CoGAN(Model, Samples, Pairs):
    """CoGAN: max over D, min over G of V(D1, D2, G1, G2) with shared weights (eq. 5), generators by -log D."""

    latent: int = 100  # size of the code z, Gaussian
    features: int = 128  # the generators' maps at full size, doubled whenever the sides are halved
    discriminator_features: int = 20  # the same of the discriminators, which the paper has far smaller
    hidden: int = 500  # units of the discriminators' last hidden layer
    upsampling: Literal["nearest", "transposed"] = "nearest"  # "transposed" is the paper's, and leaves checkerboards
    share_generators: bool = True  # whether generators share all but their last layer; without, it is an ablation
    share_discriminators: bool = True  # whether discriminators share all but their first layer
    adapt: float = 0.0  # weight of the classes of domain a (the authors': 10); 0: no domain adaptation
    alike: float = 0.01  # weight of the squared distance of features of two images of one code (domain adaptation)
    weight_decay: float = 5e-4  # weight of the squared weights
    lr: float = 2e-4  # learning rate of Adam

    def __post_init__(self) -> None:
        self.positive("latent", "features", "discriminator_features", "hidden", "lr")
        self.not_negative("adapt", "alike", "weight_decay")

    def networks(self, a: Spec, b: Spec) -> None:
        if a.shape[1:] != b.shape[1:]:
            raise ConfigError(f"coupled networks need domains of one size, got {a} and {b}; give --size")
        channels, sizes = {"a": a.channels, "b": b.channels}, halvings(a.height, a.width, SMALLEST, least=1)
        self.trunk = both(lambda: self.generator_trunk(sizes), self.share_generators)
        ends = {to: nn.Sequential(nn.Conv2d(self.features, n, 3, padding=1), nn.Tanh()) for to, n in channels.items()}
        self.end = nn.ModuleDict(ends)
        starts = {of: nn.Conv2d(n, self.discriminator_features, 5, padding=2) for of, n in channels.items()}
        self.start = nn.ModuleDict(starts)
        self.rest = both(lambda: self.discriminator_rest(sizes), self.share_discriminators)
        self.head = both(lambda: nn.Linear(self.hidden, 2), self.share_discriminators)
        if self.adapt:
            self.classifier = nn.Linear(self.hidden, classes_of(a))
        he(self)
        if self.adapt and self.share_discriminators and a.channels == b.channels:
            self.start["b"].load_state_dict(self.start["a"].state_dict())

    def generator_trunk(self, sizes: list[tuple[int, int]]) -> nn.Module:
        """Codes [batch, latent] to maps [batch, features, height, width]."""
        *larger, (h, w) = sizes
        widths = [self.features << i for i in reversed(range(len(sizes)))]
        layers: list[nn.Module] = [nn.Linear(self.latent, widths[0] * h * w), nn.Unflatten(1, (widths[0], h, w))]
        layers += [nn.BatchNorm2d(widths[0], affine=False), nn.PReLU()]
        for (before, after), size in zip(pairwise(widths), reversed(larger), strict=True):
            if self.upsampling == "transposed":
                layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False), Crop(*size)]
            else:
                layers += [nn.Upsample(size), nn.Conv2d(before, after, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(after, affine=False), nn.PReLU()]
        return nn.Sequential(*layers)

    def discriminator_rest(self, sizes: list[tuple[int, int]]) -> nn.Module:
        """Maps of the first layer to features [batch, hidden]."""
        widths = [self.discriminator_features << i for i in range(len(sizes))]
        layers: list[nn.Module] = [nn.MaxPool2d(2, ceil_mode=True)]
        for i, (before, after) in enumerate(pairwise(widths), start=1):
            layers += [nn.Conv2d(before, after, 5, padding=2), nn.PReLU()]
            layers += [nn.MaxPool2d(2, ceil_mode=True)] * (i + 1 < len(sizes))
        h, w = sizes[-1]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * h * w, self.hidden), nn.PReLU())

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999), "weight_decay": self.weight_decay}
        judges = [net for nets in (self.start, self.rest, self.head) for net in nets.values()]
        judges += [self.classifier] if self.adapt else []
        return {
            "discriminator": Player(*judges, **settings),
            "generator": Player(*self.trunk.values(), *self.end.values(), **settings),
        }

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        pair = dict(zip("ab", next(batches), strict=True))
        made = dict(zip("ab", self.pairs(len(pair["a"])), strict=True))
        losses, seen = {}, {}
        for of, batch in pair.items():
            truth, seen[of] = self.features_of(batch.image, of), self.features_of(made[of].detach(), of)
            losses[f"real {of}"] = told(self.head[of](truth), real=True)
            losses[f"fake {of}"] = told(self.head[of](seen[of]), real=False)
            if self.adapt and of == "a":
                losses["class"] = self.adapt * F.cross_entropy(self.classifier(truth).float(), batch.label)
        if self.adapt:
            losses["alike"] = self.alike * (seen["a"].float() - seen["b"].float()).square().sum(1).mean()
        yield Turn("discriminator", losses)
        logits = {to: self.head[to](self.features_of(image, to)) for to, image in made.items()}
        yield Turn("generator", {f"adversarial {to}": told(logit, real=True) for to, logit in logits.items()})

    def features_of(self, image: Tensor, of: str) -> Tensor:
        """What the last hidden layer of the discriminator of a domain sees, [batch, hidden]."""
        return self.rest[of](self.start[of](image))

    def pairs(self, n: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        z = temperature * torch.randn(n, self.latent, device=self.device)
        if self.share_generators:
            maps = self.trunk["a"](z)
            return self.end["a"](maps), self.end["b"](maps)
        return self.end["a"](self.trunk["a"](z)), self.end["b"](self.trunk["b"](z))

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Images of domain a; see `pairs` for both."""
        return self.pairs(n, temperature)[0]

    def classify(self, image: Tensor, of: str) -> Tensor:
        """Log-probabilities [batch, classes] of the classes of domain a, for images of either domain.

        Raises ConfigError if the model does not adapt.
        """
        if not self.adapt:
            raise ConfigError("this model has no classifier; train with --adapt above 0")
        return self.classifier(self.features_of(image, of)).float().log_softmax(1)
