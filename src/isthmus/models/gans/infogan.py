"""InfoGAN: Interpretable Representation Learning by Information Maximizing GANs. Chen et al., 2016. arXiv:1606.03657.

Part of what the generator is given is a code c: categories and a few numbers. A network Q, on the features of the
discriminator, tells the code from the image, and the generator is paid for images from which it can: a lower bound of
the mutual information I(c; G(z, c)). Without any label the category comes to mean the class, and the numbers what else
varies.

As in the authors' code, Q moves with the discriminator, whose features learn for it, and the generator is paid through
a Q that stands still in its turn; and Q's Gaussian of the numbers has deviation 1, since with one that is learned the
bound has no end. Q learns the code whatever the generator is paid: without pay this is the paper's control (figure 1).

To the tools, a code is [z | categories | numbers], and a draw of it is Gaussian but for the categories, which are
one-hot. Decoding takes the largest value of each category's part, so that no code is without one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Decodes, Encodes, Model, Player, Samples, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.nn.initialise import small
from isthmus.nn.noise import uniform
from isthmus.nn.strided import Discriminator, strided_discriminator, strided_generator

__all__ = ["InfoGAN"]


def connected(before: int, after: int, activation: nn.Module) -> nn.Sequential:
    """A fully connected layer, normalised: [batch, before] -> [batch, after]."""
    net = nn.Sequential(nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), activation)
    small(net)
    return net


class InfoGAN(Model, Samples, Encodes, Decodes):
    """InfoGAN: min_{G,Q} max_D V(D, G) - lambda L_I(G, Q), L_I = E log Q(c | G(z, c)) + H(c) (eq. 5, eq. 6)."""

    latent: int = 62  # size of the noise z, uniform in [-1, 1]
    categorical: int = 1  # categorical codes
    categories: int = 10  # values of each, equally probable
    continuous: int = 2  # continuous codes, uniform in [-1, 1]
    information: float = 1.0  # lambda, what the generator is paid for telling the categories; 0 is an ablation
    continuous_information: float = 1.0  # the same for the continuous codes
    features: int = 64  # maps at half the size, doubled whenever the sides are halved
    hidden: int = 1024  # units of the fully connected layers; Q's own has an eighth
    lr: float = 2e-4  # learning rate of the discriminator's and Q's Adam
    generator_lr: float = 1e-3  # learning rate of the generator's Adam

    def __post_init__(self) -> None:
        self.positive("latent", "categorical", "features", "hidden", "lr", "generator_lr")
        if self.categories < 2:
            raise ConfigError(f"a categorical code has 2 categories or more, got {self.categories}")
        self.not_negative("continuous", "information", "continuous_information")

    def networks(self, spec: Spec) -> None:
        named = self.categorical * self.categories
        convolutions = strided_discriminator(spec.shape, self.features)
        trunk = connected(convolutions.width, self.hidden, nn.LeakyReLU(0.1))
        self.discriminator = Discriminator(nn.Sequential(convolutions.features, trunk), self.hidden)
        width = math.ceil(self.hidden / 8)
        told = nn.Linear(width, named + self.continuous)
        self.recognition = nn.Sequential(connected(self.hidden, width, nn.LeakyReLU(0.1)), told)
        self.generator = nn.Sequential(
            connected(self.latent + named + self.continuous, self.hidden, nn.ReLU()),
            strided_generator(self.hidden, spec.shape, self.features),
        )
        small(self.discriminator.head, told)

    def players(self) -> dict[str, Player]:
        betas = (0.5, 0.999)
        return {
            "discriminator": Player(self.discriminator, self.recognition, lr=self.lr, betas=betas),
            "generator": Player(self.generator, lr=self.generator_lr, betas=betas),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        x = next(batches).image
        z, chosen, numbers = self.draw(len(x))
        made = self.generate(z, chosen, numbers)
        truth, (forgery, told) = self.discriminator(x), self.judge(made.detach())
        categorical, continuous = self.surprise(told, chosen, numbers)
        yield Turn(
            "discriminator",
            {"real": real(truth), "fake": fake(forgery), "categorical": categorical, "continuous": continuous},
        )
        forgery, told = self.judge(made)
        categorical, continuous = self.surprise(told, chosen, numbers)
        yield Turn(
            "generator",
            {
                "adversarial": real(forgery),
                "categorical": self.information * categorical,
                "continuous": self.continuous_information * continuous,
            },
        )

    def draw(self, n: int, temperature: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """z [n, latent], categories [n, categorical] and numbers [n, continuous] from their prior."""
        z, numbers = (temperature * torch.randn(n, size, device=self.device) for size in (self.latent, self.continuous))
        chosen = torch.randint(self.categories, (n, self.categorical), device=self.device)
        return uniform(z), chosen, uniform(numbers)

    def generate(self, z: Tensor, chosen: Tensor, numbers: Tensor) -> Tensor:
        """Images of what `draw` gives."""
        return self.generator(torch.cat([z, self.one_hot(chosen), numbers], dim=1))

    def one_hot(self, chosen: Tensor) -> Tensor:
        """Categories [batch, categorical] as [batch, categorical * categories]."""
        return F.one_hot(chosen, self.categories).flatten(1).float()

    def judge(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The discriminator's logits [batch, 1], and what Q tells: logits of categories, then means of numbers."""
        features = self.discriminator.features(image)
        return self.discriminator.head(features), self.recognition(features)

    def split(self, told: Tensor) -> tuple[Tensor, Tensor]:
        """What Q tells, as logits [batch, categorical, categories] and means [batch, continuous]."""
        logits, means = told.float().split([self.categorical * self.categories, self.continuous], dim=1)
        return logits.unflatten(1, (-1, self.categories)), means

    def surprise(self, told: Tensor, chosen: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """-log Q(c | x) in nats: of the categories, less what these have to tell, and of the numbers.

        The first is -L_I (eq. 5), at least -log(categories) of each; the second, 0 at least, is it up to a constant.
        """
        logits, means = self.split(told)
        unnamed = F.cross_entropy(logits.transpose(1, 2), chosen, reduction="none").sum(1).mean()
        entropy = self.categorical * math.log(self.categories)
        return unnamed - entropy, 0.5 * (numbers - means).square().sum(1).mean()

    def encode(self, image: Tensor) -> Tensor:
        """What Q tells of images: their most probable categories and mean numbers; of z it tells nothing: 0."""
        logits, means = self.split(self.judge(image)[1])
        z = means.new_zeros(len(image), self.latent)
        numbers = math.sqrt(2) * means.clamp(-0.999, 0.999).erfinv()  # as draws of N(0, 1)
        return torch.cat([z, self.one_hot(logits.argmax(2)), numbers], dim=1)

    def decode(self, code: Tensor) -> Tensor:
        z, named, numbers = code.split([self.latent, self.categorical * self.categories, self.continuous], dim=1)
        return self.generate(uniform(z), named.unflatten(1, (-1, self.categories)).argmax(2), uniform(numbers))

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.generate(*self.draw(n, temperature))
