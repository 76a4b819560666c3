"""Improved Techniques for Training GANs. Salimans et al., 2016. arXiv:1606.03498.

The discriminator is a classifier of K + 1 classes (section 5): from few images whose class is known it learns the
classes, from all others that they are of some class, and from generated ones that they are of none. The logit of the
last class is 0, so that D = Z / (Z + 1), where Z is the sum of exp of the K others. The generator does not try to be
taken for real: it matches the mean of the discriminator's features over real images.

The paper's other techniques can be chosen: the discriminator sees how near the images of a batch are to one another
(section 3.2), each player is held to its own past (3.3), the label of real images is below 1 (3.4), the generator is
normalised by a batch that stays (3.5), and an adversarial generator.

Networks, noise, initialisation by data and rates are those of the authors' code; so are the factor 1/2 on what images
without a class teach, and the generator that minimises log(1 - D) ("saturating").
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from isthmus.core import Batch, Classifies, Decodes, Domain, Model, Player, Samples, Spec, Turn
from isthmus.core.spec import counted
from isthmus.errors import ConfigError, DataError
from isthmus.losses.adversarial import fake, real, saturating
from isthmus.nn.noise import Noise, uniform
from isthmus.nn.steady import History, MinibatchDiscrimination, Virtual, initialise
from isthmus.nn.strided import strided_generator

__all__ = ["ImprovedGAN"]

FIRST, REFERENCE = 500, 100  # images that initialise the discriminator; noise that virtual normalisation refers to


def weight_normalised(layer: nn.Linear | nn.Conv2d, deviation: float, *, learnt: bool = False) -> nn.Module:
    """The layer with weights whose lengths `initialise` sets, and which learn afterwards only if `learnt`."""
    nn.init.normal_(layer.weight, std=deviation)  # the size of what is normalised: the smaller, the faster it turns
    weight_norm(layer).get_parameter("parametrizations.weight.original0").requires_grad_(learnt)
    return layer


def connected_features(shape: tuple[int, int, int], hidden: int) -> tuple[nn.Module, int]:
    """Images to vectors, and their size: five layers of ReLU, noise on what each of them sees."""
    widths = [math.prod(shape), hidden, *(math.ceil(hidden / part) for part in (2, 4, 4, 4))]
    layers: list[nn.Module] = [nn.Flatten(), Noise(0.6)]  # 0.3 for pixels in [0, 1]
    for before, after in pairwise(widths):
        layers += [weight_normalised(nn.Linear(before, after), 0.1), nn.ReLU(), Noise(0.5)]
    return nn.Sequential(*layers[:-1]), widths[-1]


def convolutional_features(channels: int, features: int) -> tuple[nn.Module, int]:
    """Images to vectors, and their size: nine convolutions of leaky ReLU, and the mean over all places."""
    widths = [channels, *[features] * 3, *[2 * features] * 6]
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths)):
        if i in (0, 3, 6):
            layers += [nn.Dropout(0.5 if i else 0.2)]
        kernel, stride = 1 if i > 6 else 3, 2 if i in (2, 5) else 1
        conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2)
        layers += [weight_normalised(conv, 0.05), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), widths[-1]


class Discriminator(nn.Module):
    """Features, then logits of the classes: [batch, channels, height, width] -> [batch, classes]."""

    initialised: Tensor

    def __init__(self, features: nn.Module, width: int, classes: int, *, minibatch: bool, noise: float) -> None:
        super().__init__()
        self.features = features
        near = MinibatchDiscrimination(width) if minibatch else nn.Identity()
        last = weight_normalised(nn.Linear(width + 100 * minibatch, classes), 0.1, learnt=True)
        self.head = nn.Sequential(near, Noise(noise), last)
        self.register_buffer("initialised", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class ImprovedGAN(Model, Samples, Decodes, Classifies):
    """Improved GAN: -log p(y | x, y <= K) - unlabelled (E log D(x) + E log(1 - D(G(z)))) for the discriminator,
    |E f(x) - E f(G(z))|^2 for the generator (section 5, eq. 1)."""

    latent: int = 100  # size of the noise z, uniform in [0, 1]
    network: Literal["mlp", "conv"] = "mlp"  # fully connected as for MNIST, or convolutions (for photographs)
    hidden: int = 1000  # units of the discriminator's first layer (mlp); the others and the generator's have fewer
    features: int = 96  # maps of the discriminator's first layers, and of the generator at half the size (conv)
    labelled: int = 10  # images of each class whose class is known; 0 learns from images alone
    labelled_seed: int = 0  # which these are
    unlabelled: float = 0.5  # weight of what all other images, and generated ones, teach; 0 is an ablation
    generator_loss: Literal["features", "adversarial", "saturating"] = "features"  # match mean features, or raise D
    minibatch: bool = False  # whether the discriminator sees how near the images of a batch are to one another
    real_label: float = 1.0  # what D should be for real images; 0.9 is one-sided label smoothing
    history: float = 0.0  # weight of the squared distance of each player's parameters from their mean so far
    norm: Literal["batch", "virtual"] = "batch"  # of the generator
    lr: float = 3e-3  # learning rate of Adam, which falls to 0 in the last third; average the weights, too
    separable = False  # feature matching compares means over batches

    def __post_init__(self) -> None:
        self.positive("latent", "hidden", "features", "lr")
        self.not_negative("labelled", "unlabelled", "history")
        if not 0.5 < self.real_label <= 1:
            raise ConfigError(f"real_label is that of real images, above 0.5 and at most 1, got {self.real_label}")
        if not (self.labelled or self.unlabelled):
            raise ConfigError("the discriminator would learn nothing: give labelled or unlabelled above 0")

    def networks(self, spec: Spec) -> None:
        if self.labelled and not spec.classes:
            raise DataError(
                "this model learns from a few classes, and the data have none; put the images in class folders, or "
                "give --labelled 0"
            )
        self.discriminator, self.generator = self.judging(spec), self.generating(spec)
        nets = {"discriminator": self.discriminator, "generator": self.generator} if self.history else {}
        self.pasts = nn.ModuleDict({name: History(net) for name, net in nets.items()})

    def judging(self, spec: Spec) -> Discriminator:
        """The discriminator; without classes it has one logit."""
        if self.network == "mlp":
            features, width = connected_features(spec.shape, self.hidden)
        else:
            features, width = convolutional_features(spec.channels, self.features)
        noise = 0.5 if self.network == "mlp" else 0.0
        return Discriminator(features, width, len(spec.classes) or 1, minibatch=self.minibatch, noise=noise)

    def generating(self, spec: Spec) -> nn.Module:
        """The generator, [batch, latent] -> [batch, channels, height, width]."""
        net: nn.Module
        if self.network == "mlp":
            layers, units = list[nn.Module](), math.ceil(self.hidden / 2)
            for before in (self.latent, units):
                layers += [nn.Linear(before, units, bias=False), nn.BatchNorm1d(units), nn.Softplus()]
            last = weight_norm(nn.Linear(units, math.prod(spec.shape)))
            net = nn.Sequential(*layers, last, nn.Tanh(), nn.Unflatten(1, spec.shape))
        else:
            net = strided_generator(self.latent, spec.shape, self.features)
        return net if self.norm == "batch" else Virtual(net, torch.rand(REFERENCE, self.latent))

    def players(self) -> dict[str, Player]:
        def rate(done: float) -> float:
            return min(1.0, 3 - 3 * done)

        betas = (0.5, 0.999)
        return {
            "discriminator": Player(self.discriminator, lr=self.lr, betas=betas, schedule=rate),
            "generator": Player(self.generator, lr=self.lr, betas=betas, schedule=rate),
        }

    def prepare(self, *domains: Domain) -> tuple[Domain, ...]:
        """Choose the images whose class is known, and initialise the discriminator unless it has learned already."""
        data, chance = domains[0], torch.Generator().manual_seed(self.labelled_seed)
        if self.labelled:
            self.known = data.batch(self.choose(data, chance)).to(self.device)
        if not self.discriminator.initialised:
            some = torch.randperm(len(data), generator=chance)[:FIRST]
            initialise(self.discriminator, data.batch(some).image.to(self.device))
            self.discriminator.initialised.fill_(True)
        return domains

    def choose(self, data: Domain, chance: torch.Generator) -> Tensor:
        """Which images' classes are known, equally many of each class."""
        assert data.labels is not None
        chosen = []
        for label, name in enumerate(data.spec.classes):
            members = (data.labels == label).nonzero()[:, 0]
            if len(members) < self.labelled:
                raise DataError(
                    f"the class {name} has {counted(len(members), 'image')}, fewer than --labelled {self.labelled}"
                )
            chosen.append(members[torch.randperm(len(members), generator=chance)[: self.labelled]])
        return torch.cat(chosen)

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        x = next(batches).image
        made = self.sample(len(x))
        yield Turn("discriminator", self.discriminator_losses(x, made.detach()) | self.past("discriminator"))
        yield Turn("generator", self.generator_losses(x, made) | self.past("generator"))

    def discriminator_losses(self, x: Tensor, made: Tensor) -> dict[str, Tensor]:
        """L_supervised, and L_unsupervised of real and generated images, by the sums Z of exp of logits."""
        images, losses = dict[str, Tensor](), {}
        if self.labelled:
            chosen = torch.randint(len(self.known), (len(x),), device=self.device)
            images["class"] = self.known.image[chosen]
        if self.unlabelled:
            images |= {"real": x, "fake": made}
        # In one pass, since only the head compares the images of a batch.
        seen = self.discriminator.features(torch.cat([*images.values()])).chunk(len(images))
        logits = {name: self.discriminator.head(part).float() for name, part in zip(images, seen, strict=True)}
        if self.labelled:
            losses["class"] = F.cross_entropy(logits["class"], self.known.label[chosen])
        if self.unlabelled:
            truth, forgery = logits["real"].logsumexp(1), logits["fake"].logsumexp(1)
            smooth = self.real_label * real(truth) + (1 - self.real_label) * fake(truth)
            losses |= {"real": self.unlabelled * smooth, "fake": self.unlabelled * fake(forgery)}
        return losses

    def generator_losses(self, x: Tensor, made: Tensor) -> dict[str, Tensor]:
        """Feature matching (eq. 1; the mean over features, as in the code), or what raises D."""
        if self.generator_loss == "features":
            with torch.no_grad():  # of the discriminator as it is now
                wanted = self.discriminator.features(x).float().mean(0)
            matched = self.discriminator.features(made).float().mean(0)
            return {"feature matching": (matched - wanted).square().mean()}
        cost = real if self.generator_loss == "adversarial" else saturating
        return {"adversarial": cost(self.discriminator(made).float().logsumexp(1))}

    def past(self, player: str) -> dict[str, Tensor]:
        """The term of historical averaging, where it is asked for."""
        return {"history": self.history * self.pasts[player](getattr(self, player))} if self.history else {}

    def classify(self, image: Tensor) -> Tensor:
        return self.discriminator(image).float().log_softmax(1)

    def decode(self, code: Tensor) -> Tensor:
        return self.generator(0.5 + 0.5 * uniform(code))

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.decode(temperature * torch.randn(n, self.latent, device=self.device))
