"""CVAE-GAN: Fine-Grained Image Generation through Asymmetric Training. Bao et al., 2017. arXiv:1703.10155.

A conditional VAE whose decoder is also the generator of a GAN, with a discriminator D and a classifier C. Training is
asymmetric: D and C learn by cross-entropies, but the generator never sees these. It matches means of their features, of
all images for D and class by class for C, whose gradient does not vanish where D is sure; and what it reconstructs is
compared by pixels and by the features of both. All gradients are those at the same weights (algorithm 1), and come from
one forward pass.

Real images, reconstructions and samples pass D and C as one batch: normalised by themselves, batches would all have the
same mean features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from isthmus.core import Batch, Classifies, Model, Player, Samples, Spec, Swaps, Turn
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.losses.likelihood import gaussian_kl, reparameterise
from isthmus.losses.shared import cut, joined
from isthmus.nn.labels import Centres, classes_of, drawn, one_hot
from isthmus.nn.strided import strided_discriminator, strided_generator

__all__ = ["CVAEGAN"]


def half_square(x: Tensor) -> Tensor:
    """|x|^2 / 2 of each vector or image, [batch, ...] -> [batch]."""
    return 0.5 * x.float().square().flatten(1).sum(1)


class CVAEGAN(Model, Samples, Swaps, Classifies):
    """CVAE-GAN: L_D + L_C + kl L_KL + rebuild L_G + match_d L_GD + match_c L_GC, each for its own players (alg. 1)."""

    latent: int = 64  # size of z (the paper, of 128x128: 256)
    features: int = 64  # maps at half the size, doubled whenever the sides are halved
    kl: float = 3.0  # lambda_1, weight of L_KL, the divergence of z from its prior
    rebuild: float = 1.0  # lambda_2, weight of L_G, what reconstructions miss in pixels and in features of D and C
    match_discriminator: float = 1e-3  # lambda_3, weight of L_GD: means of D's features
    match_classifier: float = 1e-3  # lambda_4, weight of L_GC: means of C's features of each class
    matching: Literal["means", "adversarial"] = "means"  # of samples; adversarial is an ablation, match_discriminator
    # times -log D(G(z, c)) and match_classifier times -log C(c | G(z, c))
    memory: float = 0.9  # how much of a class's mean features stays from batch to batch
    lr: float = 2e-4  # learning rate of Adam
    eager = ("discriminator", "classifier")  # their graphs serve several players
    separable = False  # means of features are compared over the batch

    def __post_init__(self) -> None:
        self.positive("latent", "features", "lr")
        self.not_negative("kl", "rebuild", "match_discriminator", "match_classifier")
        if not 0 <= self.memory < 1:
            raise ConfigError(f"memory must lie in [0, 1), got {self.memory}")

    def networks(self, spec: Spec) -> None:
        self.classes, shape = classes_of(spec), spec.shape
        self.encoder = strided_discriminator(shape, self.features, outputs=2 * self.latent, given=self.classes)
        self.generator = strided_generator(self.latent, shape, self.features, given=self.classes)
        self.discriminator = strided_discriminator(shape, self.features)
        self.classifier = strided_discriminator(shape, self.features, outputs=self.classes)
        self.real_centres = Centres(self.classes, self.classifier.width, self.memory)
        self.made_centres = Centres(self.classes, self.classifier.width, self.memory)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999)}
        return {
            "generator": Player(self.generator, self.encoder, **settings),
            "discriminator": Player(self.discriminator, **settings),
            "classifier": Player(self.classifier, **settings),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        x, y = batch.image, one_hot(batch.label, self.classes)
        mean, log_variance = self.encoder(x, y).chunk(2, dim=1)
        asked = drawn(len(x), self.classes, self.device)
        rebuilt, made = self.generator(reparameterise(mean, log_variance), y), self.sample(len(x), asked)
        shown, sampled = cut(rebuilt), cut(made)
        images = torch.cat([x, shown, sampled])
        seen, named = (net.features(images).chunk(3) for net in (self.discriminator, self.classifier))

        missed = half_square(shown - x)
        for described in (seen, named):
            missed = missed + half_square(described[1] - described[0].detach())
        losses = {"reconstruction": self.rebuild * missed.mean()}
        losses |= (
            self.means(seen, named, batch.label, asked) if self.matching == "means" else self.cheats(seen, named, asked)
        )
        divergence = {"kl": self.kl * gaussian_kl(mean, log_variance).mean()}
        yield Turn("generator", divergence | joined(losses, (rebuilt, shown), (made, sampled)))
        truth, rebuilt_logit, made_logit = map(self.discriminator.head, seen)
        judged = {"real": real(truth), "reconstructions": fake(rebuilt_logit), "samples": fake(made_logit)}
        yield Turn("discriminator", judged)
        yield Turn("classifier", {"class": F.cross_entropy(self.classifier.head(named[0]).float(), batch.label)})

    def means(self, seen: Sequence[Tensor], named: Sequence[Tensor], label: Tensor, asked: Tensor) -> dict[str, Tensor]:
        """L_GD of D's features and L_GC of C's; first those of real images, last those of samples (eq. 3, 5)."""
        gap = seen[2].float().mean(0) - seen[0].detach().float().mean(0)
        gaps = self.made_centres(named[2], asked) - self.real_centres(named[0].detach(), label)
        return {
            "mean features": self.match_discriminator * 0.5 * gap.square().sum(),
            "class features": self.match_classifier * half_square(gaps).sum(),
        }

    def cheats(self, seen: Sequence[Tensor], named: Sequence[Tensor], asked: Tensor) -> dict[str, Tensor]:
        """-log D and -log C of samples, which the asymmetric training does without."""
        told = F.cross_entropy(self.classifier.head(named[2]).float(), asked)
        return {
            "adversarial": self.match_discriminator * real(self.discriminator.head(seen[2])),
            "class": self.match_classifier * told,
        }

    def classify(self, image: Tensor) -> Tensor:
        return self.classifier(image).float().log_softmax(1)

    def posterior(self, image: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = one_hot(self.classify(image).argmax(1) if label is None else label, self.classes)
        mean, log_variance = self.encoder(image, y).chunk(2, dim=1)
        return torch.cat([mean, y], dim=1), torch.cat([log_variance, torch.full_like(y, -math.inf)], dim=1)

    def encode(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        return self.posterior(image, label)[0]

    def decode(self, code: Tensor) -> Tensor:
        return self.generator(code[:, : self.latent], code[:, self.latent :])

    def swap(self, code: Tensor, label: Tensor) -> Tensor:
        return torch.cat([code[:, : self.latent], one_hot(label, self.classes)], dim=1)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        label = drawn(n, self.classes, self.device) if label is None else label
        z = temperature * torch.randn(n, self.latent, device=self.device)
        return self.generator(z, one_hot(label, self.classes))
