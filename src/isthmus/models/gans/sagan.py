"""Self-Attention Generative Adversarial Networks. Zhang et al., 2019. arXiv:1805.08318.

Convolutions see a neighbourhood; attention lets every place of a map see all others, in generator and discriminator.
Both are spectrally normalised, and learn at rates of their own. The class enters the generator by conditional batch
normalisation, and the discriminator by projection: its output rises by the product of the image's features with the
class's vector (Miyato and Koyama, 2018, arXiv:1802.05637).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Decodes, Model, Player, Samples, Spec, Turn
from isthmus.losses.adversarial import high, hinge_fake, hinge_real
from isthmus.nn.attention import SelfAttention
from isthmus.nn.conv import halvings
from isthmus.nn.initialise import glorot
from isthmus.nn.labels import classes_of, drawn
from isthmus.nn.norm import constrained
from isthmus.nn.residual import Down, Pool, Up

__all__ = ["SAGAN"]

Size = tuple[int, int]
PLACES = 16  # over which the authors' discriminator sums, at 4x4; with more places a sum would outgrow the hinges


class SAGAN(Model, Samples, Decodes):
    """Self-attention GAN: hinge losses (eq. 4), attention and spectral normalisation in both networks.

    A code is [z | a number for each class, of which the largest counts].
    """

    latent: int = 128  # size of the noise z, Gaussian
    features: int = 64  # maps at full size, doubled whenever the sides are halved
    block: Literal["attention", "residual", "none"] = "attention"  # what joins the convolutions in both networks; a
    # residual block with as many parameters, or nothing, is an ablation
    largest: int = 32  # it stands where maps are largest whose sides are at most this
    smallest: int = 4  # sides are halved, at least once, until they are at most this
    lr: float = 1e-4  # learning rate of the generator's Adam
    discriminator_lr: float = 4e-4  # learning rate of the discriminator's Adam

    def __post_init__(self) -> None:
        self.positive("latent", "features", "largest", "smallest", "lr", "discriminator_lr")

    def networks(self, spec: Spec) -> None:
        self.classes = classes_of(spec)
        sizes = halvings(spec.height, spec.width, self.smallest, least=1)
        nets = Generator(self, spec, sizes[::-1]), Discriminator(self, spec, sizes[1:])
        glorot(*nets)
        self.generator, self.discriminator = (constrained(net, "spectral") for net in nets)

    def players(self) -> dict[str, Player]:
        return {
            "discriminator": Player(self.discriminator, lr=self.discriminator_lr, betas=(0.0, 0.9)),
            "generator": Player(self.generator, lr=self.lr, betas=(0.0, 0.9)),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        asked = drawn(len(batch), self.classes, self.device)
        made = self.sample(len(batch), asked)
        truth, forgery = self.discriminator(batch.image, batch.label), self.discriminator(made.detach(), asked)
        yield Turn("discriminator", {"real": hinge_real(truth), "fake": hinge_fake(forgery)})
        yield Turn("generator", {"adversarial": high(self.discriminator(made, asked))})

    @property
    def code_size(self) -> int:
        return self.latent + self.classes

    def decode(self, code: Tensor) -> Tensor:
        z, scores = code.split([self.latent, self.classes], dim=1)
        return self.generator(z, scores.argmax(1))

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        z, scores = torch.randn(n, self.code_size, device=self.device).split([self.latent, self.classes], dim=1)
        return self.generator(temperature * z, scores.argmax(1) if label is None else label)


class Generator(nn.Module):
    """Noise [batch, latent] and classes [batch] to images of the last of `sizes`, which grow."""

    def __init__(self, options: SAGAN, spec: Spec, sizes: list[Size]) -> None:
        super().__init__()
        first, *others = sizes
        widths = [options.features << i for i in reversed(range(len(others)))]
        # What noise says is bounded by its spectral norm; a bias at each place is not, and would soon drown it.
        start = nn.Linear(options.latent, widths[0] * math.prod(first), bias=False)
        self.start = nn.Sequential(start, nn.Unflatten(1, (widths[0], *first)))
        layers: list[nn.Module] = [  # without biases, which norms would take away
            Up(before, after, size, lambda channels: ConditionalBatchNorm(channels, len(spec.classes)), bias=False)
            for (before, after), size in zip(pairwise([widths[0], *widths]), others, strict=True)
        ]
        place = largest(sizes, options.largest)
        layers.insert(place, joining(options.block, [widths[0], *widths][place]))
        self.layers = nn.ModuleList(layers)
        self.image = nn.Sequential(
            nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], spec.channels, 3, padding=1), nn.Tanh()
        )

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        x = self.start(z)
        for layer in self.layers:
            x = layer(x, label) if isinstance(layer, Up) else layer(x)
        return self.image(x)


class Discriminator(nn.Module):
    """Images and classes [batch] to outputs [batch, 1]; the blocks halve the sides to `sizes`, and one does not."""

    def __init__(self, options: SAGAN, spec: Spec, sizes: list[Size]) -> None:
        super().__init__()
        widths = [options.features << i for i in range(len(sizes))]
        blocks: list[nn.Module] = [Down(spec.channels, widths[0], image=True)]
        blocks += [Down(before, after) for before, after in pairwise(widths)]
        place = largest(sizes, options.largest)
        blocks.insert(place + 1, joining(options.block, widths[place]))
        self.features = nn.Sequential(*blocks, Down(widths[-1], widths[-1], halve=False), Pool(mean=True))
        self.head, self.projection = nn.Linear(widths[-1], 1), nn.Embedding(len(spec.classes), widths[-1])

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        features = PLACES * self.features(x)
        return self.head(features) + (self.projection(label) * features).sum(1, keepdim=True)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation with a gain and a bias of each class (Dumoulin et al., 2017): maps and [batch] to maps."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = nn.Parameter(torch.ones(classes, channels)), nn.Parameter(torch.zeros(classes, channels))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.gain[label][:, :, None, None] * self.norm(x) + self.bias[label][:, :, None, None]


class LocalBlock(nn.Module):
    """Two convolutions beside the map, which see a neighbourhood, with no fewer parameters than attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = math.ceil(sum(p.numel() for p in SelfAttention(channels).parameters()) / (10 * channels))
        self.first = nn.Conv2d(channels, inner, 3, padding=1, bias=False)
        self.second = nn.Conv2d(inner, channels, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.second(F.relu(self.first(F.relu(x)))) + x


def joining(block: Literal["attention", "residual", "none"], channels: int) -> nn.Module:
    """What stands between the convolutions: maps to maps."""
    match block:
        case "attention":
            return SelfAttention(channels)
        case "residual":
            return LocalBlock(channels)
        case "none":
            return nn.Identity()


def largest(sizes: list[Size], most: int) -> int:
    """The place of the largest of `sizes` whose sides are at most `most`; of the smallest of all if none is."""
    fitting = [size for size in sizes if max(size) <= most]
    return sizes.index(max(fitting) if fitting else min(sizes))
