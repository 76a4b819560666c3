"""Learning Structured Output Representation using Deep Conditional Generative Models. Sohn, Lee and Yan, 2015.

The conditional variational autoencoder that completes images: x is some of an image's quadrants, y all the others, as
in the paper's section 5.1. A code z stands for what x leaves open, so that one x has many y, each of them whole; a
deterministic network can but give their mean.

Such a network, the baseline, guesses y first. The prior p(z | x) sees x and this guess (the paper's recurrent
connection); the recognition network q(z | x, y) is there in training alone; the generation network gives p(y | x, z).
With z from the prior in training too it is a Gaussian stochastic network, GSNN; `alpha` mixes both objectives. The
paper trains the baseline before the others, here they learn side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from isthmus.core import Batch, Completes, Model, Player, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.losses.likelihood import bernoulli_log_prob, gaussian_kl, gaussian_log_ratio, reparameterise
from isthmus.nn.mlp import Concatenated, mlp

__all__ = ["CVAECompletion"]

GIVEN = {1: "the lower left quadrant", 2: "the left half", 3: "all but the lower right quadrant"}


class CVAECompletion(Model, Completes):
    """CVAE for completion: minimises alpha L_CVAE + (1 - alpha) L_GSNN, and beside it the loss of its baseline.

    L_CVAE = -E_q(z|x,y)[log p(y | x, z)] + KL(q(z | x, y) || p(z | x)), L_GSNN = -E_p(z|x)[log p(y | x, z)], each with
    one sample of z. Pixels are Bernoulli: on or off, or grey for the probability of on.
    """

    quadrants: Literal[1, 2, 3] = 1  # that are given: the lower left, then the upper left, then the upper right too
    latent: int = 50  # size of the code z
    hidden: int = 500  # units of each hidden layer
    layers: int = 2  # hidden layers of each network
    alpha: float = 1.0  # 1 trains with z from q alone, 0 with z from the prior alone, which is the GSNN
    lr: float = 1e-3  # learning rate of Adam

    def __post_init__(self) -> None:
        self.positive("latent", "hidden", "layers", "lr")
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"alpha must lie in [0, 1], got {self.alpha}")

    def networks(self, spec: Spec) -> None:
        if min(spec.height, spec.width) < 2:
            raise ConfigError(f"quadrants take images of two rows and two columns at least, got {spec}")
        mask = torch.zeros(spec.height, spec.width, dtype=torch.bool)
        middle, centre = spec.height // 2, spec.width // 2
        mask[middle:, :centre] = True
        mask[:middle, :centre] = self.quadrants >= 2
        mask[:middle, centre:] = self.quadrants >= 3
        self.mask: Tensor
        self.register_buffer("mask", mask, persistent=False)
        x = spec.channels * int(mask.sum())
        y, between = math.prod(spec.shape) - x, [self.hidden] * self.layers
        self.baseline = mlp(x, *between, y)
        self.prior = Concatenated(mlp(x + y, *between, 2 * self.latent))
        self.recognition = Concatenated(mlp(x + y, *between, 2 * self.latent))
        self.generation = Concatenated(mlp(x + self.latent, *between, y))

    def players(self) -> dict[str, Player]:
        return {
            "baseline": Player(self.baseline, lr=self.lr),
            "completion": Player(self.prior, self.recognition, self.generation, lr=self.lr),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        x, y = self.parts(next(batches).image)
        guess = self.baseline(x)
        yield Turn("baseline", {"guess": -log_likelihood(guess, y).mean()})
        prior, posterior = self.prior_of(x, guess.detach()), self.posterior_of(x, y)
        losses = {
            "reconstruction": -self.alpha * log_likelihood(self.generation(x, reparameterise(*posterior)), y).mean(),
            "kl": self.alpha * gaussian_kl(*relative(posterior, prior)).mean(),
        }
        if self.alpha < 1:
            z = reparameterise(*prior)
            losses["gsnn"] = -(1 - self.alpha) * log_likelihood(self.generation(x, z), y).mean()
        yield Turn("completion", losses)

    def parts(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """x and y: the pixels that are given [batch, given] and the others [batch, missing], in [-1, 1]."""
        return image[:, :, self.mask].flatten(1), image[:, :, ~self.mask].flatten(1)

    def prior_of(self, x: Tensor, guess: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(z | x), [batch, latent] each; `guess` are the baseline's logits."""
        mean, log_variance = self.prior(x, 2 * guess.sigmoid() - 1).chunk(2, dim=1)
        return mean, log_variance

    def posterior_of(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x, y), [batch, latent] each."""
        mean, log_variance = self.recognition(x, y).chunk(2, dim=1)
        return mean, log_variance

    @property
    def given(self) -> Tensor:
        return self.mask

    def complete(self, image: Tensor, known: Tensor, temperature: float = 1.0) -> Tensor:
        """The given quadrants, and elsewhere the means of the pixels for a draw of z from the prior."""
        if not torch.equal(known, self.mask):
            raise ConfigError(f"this model starts from {GIVEN[self.quadrants]} of an image: keep that and no more")
        x, _ = self.parts(image)
        mean, log_variance = self.prior_of(x, self.baseline(x))
        z = mean + temperature * (0.5 * log_variance).exp() * torch.randn_like(mean)
        return self.whole(image, self.generation(x, z))

    def guess(self, image: Tensor) -> Tensor:
        """The given quadrants, and elsewhere what the baseline says: the same each time."""
        return self.whole(image, self.baseline(self.parts(image)[0]))

    def whole(self, image: Tensor, logits: Tensor) -> Tensor:
        whole = image.clone()
        whole[:, :, ~self.mask] = (2 * logits.sigmoid() - 1).unflatten(1, (image.shape[1], -1))
        return whole

    def guess_log_prob(self, image: Tensor) -> Tensor:
        """log p(y | x) of the baseline, in nats [batch]."""
        x, y = self.parts(image)
        return log_likelihood(self.baseline(x), y)

    def conditional_log_prob(self, image: Tensor, samples: int, recognise: bool = False) -> Tensor:
        """log p(y | x) in nats [batch]: a lower bound on average, which grows with `samples` of z (section 4.1).

        The log of the mean of p(y | x, z) with z from the prior (Monte Carlo) or, with `recognise`, of
        p(y | x, z) p(z | x) / q(z | x, y) with z from q (importance sampling).
        """
        x, y = self.parts(image)
        prior, logs = self.prior_of(x, self.baseline(x)), []
        proposal = self.posterior_of(x, y) if recognise else prior
        for _ in range(samples):
            z = reparameterise(*proposal)
            given = log_likelihood(self.generation(x, z), y)
            logs.append(given + gaussian_log_ratio(standard(z, prior), *relative(proposal, prior)))
        return torch.stack(logs).logsumexp(0) - math.log(samples)


def log_likelihood(logits: Tensor, y: Tensor) -> Tensor:
    """log p(y) in nats [batch], of pixels in [-1, 1] that are on with the probability sigmoid(logits)."""
    return bernoulli_log_prob(logits, (y + 1) / 2)


def standard(z: Tensor, prior: tuple[Tensor, Tensor]) -> Tensor:
    """z in the place where the prior, of this mean and log-variance, is N(0, I)."""
    return (z - prior[0]) * (-0.5 * prior[1]).exp()


def relative(gaussian: tuple[Tensor, Tensor], prior: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of a Gaussian there; divergence and ratio of densities are the same there."""
    return standard(gaussian[0], prior), gaussian[1] - prior[1]
