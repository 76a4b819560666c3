"""Conditional Image Synthesis with Auxiliary Classifier GANs. Odena et al., 2017. arXiv:1610.09585.

The generator is told the class. The discriminator is not, but must name it, of real and of generated images alike.
Both players want the class to be right, and quarrel about the source alone. So the generator likes images whose class
is plain, and has less variety within a class than the data.

The discriminator is that of the appendix, table 2: convolutions that halve the sides and convolutions that do not, in
turn, with batch normalisation, leaky ReLU, dropout, and noise on what each of them sees. Its table has deconvolutions
of 5x5 in the generator; they are 4x4 here, which leaves no checkerboard.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Classifies, Model, Player, Samples, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.nn.conv import halvings
from isthmus.nn.initialise import small
from isthmus.nn.labels import classes_of, drawn, one_hot
from isthmus.nn.noise import Noise
from isthmus.nn.strided import SMALLEST, Discriminator, strided_generator

__all__ = ["ACGAN"]


def classifier(shape: tuple[int, int, int], features: int, classes: int, dropout: float, noise: float) -> Discriminator:
    """Images [batch, channels, height, width] to logits of the source, then of the classes, [batch, 1 + classes]."""
    channels, height, width = shape
    sizes = halvings(height, width, SMALLEST, least=1)
    widths = [channels, *(features << i for i in range(2 * len(sizes) - 2))]
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths)):
        norm = nn.BatchNorm2d(after) if i else nn.Identity()
        layers += [Noise(noise), nn.Conv2d(before, after, 3, stride=2 - i % 2, padding=1, bias=not i), norm]
        layers += [nn.LeakyReLU(0.2), nn.Dropout(dropout)]
    h, w = sizes[-1]
    net = Discriminator(nn.Sequential(*layers, nn.Flatten()), widths[-1] * h * w, 1 + classes)
    small(net)
    return net


class ACGAN(Model, Samples, Classifies):
    """Auxiliary classifier GAN: the discriminator maximises L_S + L_C, the generator L_C - L_S (eq. 2, eq. 3).

    L_S is the log-likelihood of the right source, L_C of the right class; in -L_S the generator has -log D.
    """

    latent: int = 100  # size of the noise z, Gaussian
    features: int = 16  # maps of the discriminator's first layer, doubled by each; the generator has six times as many
    classification: float = 1.0  # weight of L_C, the log-likelihood of the class; 0 is an ablation
    noise: float = 0.1  # deviation of the noise on what each layer of the discriminator sees
    dropout: float = 0.5  # share of values that are dropped after each
    lr: float = 2e-4  # learning rate of Adam

    def __post_init__(self) -> None:
        self.positive("latent", "features", "lr")
        self.not_negative("classification", "noise")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is a share, from 0 to below 1, got {self.dropout}")

    def networks(self, spec: Spec) -> None:
        self.classes = classes_of(spec)
        self.generator = strided_generator(self.latent + self.classes, spec.shape, 6 * self.features)
        self.discriminator = classifier(spec.shape, self.features, self.classes, self.dropout, self.noise)

    def players(self) -> dict[str, Player]:
        betas = (0.5, 0.999)
        return {
            "discriminator": Player(self.discriminator, lr=self.lr, betas=betas),
            "generator": Player(self.generator, lr=self.lr, betas=betas),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        y = batch.label  # also what is asked for, so that classes have the data's frequencies
        made = self.sample(len(batch), y)
        (truth, named), (forgery, called) = self.judge(batch.image), self.judge(made.detach())
        yield Turn(
            "discriminator",
            {
                "real": real(truth),
                "fake": fake(forgery),
                "class of real": self.classification * F.cross_entropy(named.float(), y),
                "class of fake": self.classification * F.cross_entropy(called.float(), y),
            },
        )
        source, called = self.judge(made)
        yield Turn(
            "generator",
            {"adversarial": real(source), "class": self.classification * F.cross_entropy(called.float(), y)},
        )

    def judge(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of being real [batch, 1] and of the classes [batch, classes]."""
        outputs = self.discriminator(image)
        return outputs[:, :1], outputs[:, 1:]

    def classify(self, image: Tensor) -> Tensor:
        return self.judge(image)[1].float().log_softmax(1)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        label = drawn(n, self.classes, self.device) if label is None else label
        z = temperature * torch.randn(n, self.latent, device=self.device)
        return self.generator(torch.cat([z, one_hot(label, self.classes)], dim=1))
