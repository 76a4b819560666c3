"""Semi-supervised Learning with Deep Generative Models. Kingma et al., 2014. arXiv:1406.5298.

The conditional variational autoencoder with classes: the paper's second model, M2, where every image has its class y.
The class enters both networks. The encoder q(z | x, y) need not put it into z, and the decoder p(x | y, z) does not
look for it there, so that z holds all else (stroke, slant, style): one z with ten classes is ten digits in one hand.
The code of an image is [z | one-hot y].

Told no class, the model tells it itself by the bound of each, as exp bound(x, y) / sum over y: the q(y | x) for which
the bound without classes (eq. 7) is tightest. With a learned prior z has a mean and a deviation for each class; codes
here are what N(0, I) is before these, which changes neither the model nor the divergence, and lets a code keep its
place when it gets another class.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from isthmus.core import Batch, Bounds, Classifies, Model, Player, Samples, Spec, Swaps, Turn
from isthmus.losses.likelihood import (
    bernoulli_log_prob,
    gaussian_kl,
    gaussian_log_prob,
    gaussian_log_ratio,
    reparameterise,
)
from isthmus.nn.conv import conv_decoder, conv_encoder
from isthmus.nn.labels import classes_of, drawn, one_hot
from isthmus.nn.mlp import Concatenated, Conditioned

__all__ = ["CVAE"]


class CVAE(Model, Samples, Swaps, Classifies, Bounds):
    """Conditional VAE: minimises -E_q(z|x,y)[log p(x | y, z)] + beta KL(q(z | x, y) || p(z | y)) (eq. 6)."""

    latent: int = 20  # size of z
    network: Literal["mlp", "conv"] = "mlp"  # fully connected, or convolutions (for photographs)
    hidden: int = 500  # units of each hidden layer (mlp)
    layers: int = 2  # hidden layers (mlp)
    features: int = 32  # channels at half the size, doubled whenever the sides are halved (conv)
    prior: Literal["standard", "learned"] = "standard"  # of z: N(0, I), or a Gaussian for each class
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"  # of pixels: on or off, or real-valued
    scale: float = 0.1  # standard deviation of the Gaussian likelihood, in units of the range [-1, 1]
    beta: float = 1.0  # weight of the divergence; 1 is the evidence lower bound
    decode_class: bool = True  # whether the decoder sees the class; without, it is an ablation
    lr: float = 1e-3  # learning rate of Adam

    def __post_init__(self) -> None:
        self.positive("latent", "hidden", "layers", "features", "scale", "lr")

    def networks(self, spec: Spec) -> None:
        self.encoder: nn.Module
        self.decoder: nn.Module
        self.classes = classes = classes_of(spec)
        if self.network == "conv":
            channels, size = spec.channels + classes, (spec.height, spec.width)
            self.encoder = Concatenated(conv_encoder(channels, *size, 2 * self.latent, self.features))
            self.decoder = Concatenated(conv_decoder(self.latent + classes, *spec.shape, self.features))
        else:
            pixels, between = math.prod(spec.shape), [self.hidden] * self.layers
            self.encoder = Conditioned(classes, pixels, *between, 2 * self.latent)
            self.decoder = Conditioned(classes, self.latent, *between, pixels)
        self.place = nn.ModuleList()  # mean and log-deviation of z for each class, where they are learned
        if self.prior == "learned":
            layer = nn.Linear(classes, 2 * self.latent, bias=False)
            nn.init.zeros_(layer.weight)
            self.place.append(layer)

    def players(self) -> dict[str, Player]:
        return {"cvae": Player(self.encoder, self.decoder, self.place, lr=self.lr)}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        x, y = batch.image, one_hot(batch.label, self.classes)
        mean, log_variance = self.posterior_of_class(x, y)
        z = reparameterise(mean, log_variance)
        yield Turn(
            "cvae",
            {
                "reconstruction": -self.log_likelihood(x, z, y).mean(),
                "kl": self.beta * gaussian_kl(mean, log_variance).mean(),
            },
        )

    def posterior_of_class(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x, y), [batch, latent] each, for classes `y` [batch, classes]."""
        if self.network == "conv":  # the class as planes, so that every place of the image sees it
            statistics = self.encoder(x, y[:, :, None, None].expand(-1, -1, *x.shape[2:]))
        else:
            statistics = self.encoder(x.flatten(1), y)
        mean, log_variance = statistics.chunk(2, dim=1)
        return mean, log_variance

    def output(self, z: Tensor, y: Tensor) -> Tensor:
        """What the decoder gives: logits if Bernoulli, or what becomes the mean if Gaussian."""
        for layer in self.place:
            mean, log_scale = layer(y).chunk(2, dim=1)
            z = mean + log_scale.exp() * z
        return self.decoder(z, y * self.decode_class).view(-1, *self.spec.shape)

    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor) -> Tensor:
        """log p(x | y, z) in nats [batch]: of pixels in [0, 1] if Bernoulli, in [-1, 1] if Gaussian."""
        if self.likelihood == "bernoulli":
            return bernoulli_log_prob(self.output(z, y), (x + 1) / 2)
        return gaussian_log_prob(self.output(z, y).tanh(), self.scale, x)

    def posterior(self, image: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = one_hot(self.classify(image).argmax(1) if label is None else label, self.classes)
        mean, log_variance = self.posterior_of_class(image, y)
        return torch.cat([mean, y], dim=1), torch.cat([log_variance, torch.full_like(y, -math.inf)], dim=1)

    def encode(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        return self.posterior(image, label)[0]

    def decode(self, code: Tensor) -> Tensor:
        output = self.output(code[:, : self.latent], code[:, self.latent :])
        return 2 * output.sigmoid() - 1 if self.likelihood == "bernoulli" else output.tanh()

    def swap(self, code: Tensor, label: Tensor) -> Tensor:
        return torch.cat([code[:, : self.latent], one_hot(label, self.classes)], dim=1)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        if label is None:
            label = drawn(n, self.classes, self.device)
        z = temperature * torch.randn(n, self.latent, device=self.device)
        return self.decode(torch.cat([z, one_hot(label, self.classes)], dim=1))

    def each_class(self, n: int) -> Iterator[Tensor]:
        """Every class in turn, as [n, classes] of the same one."""
        yield from torch.eye(self.classes, device=self.device)[:, None].expand(-1, n, -1)

    def classify(self, image: Tensor) -> Tensor:
        """log p(y | x) by the bound of each class, all equally probable beforehand; z is the posterior's mean."""
        bounds = []
        for y in self.each_class(len(image)):
            mean, log_variance = self.posterior_of_class(image, y)
            bounds.append(self.log_likelihood(image, mean, y) - gaussian_kl(mean, log_variance))
        return torch.stack(bounds, dim=1).log_softmax(1)

    @property
    def levels(self) -> int:
        return 2 if self.likelihood == "bernoulli" else 0

    def log_prob(self, image: Tensor) -> Tensor:
        """A lower bound of log p(x), the class unknown, with one sample of z for each class, in nats [batch]."""
        return self.log_weight(image, 1)[0]

    def log_weight(self, image: Tensor, samples: int) -> Tensor:
        """log of the mean over classes y of p(x, z | y) / q(z | x, y), each with its own draw of z.

        Its exponential has the mean p(x), so that the log is a lower bound of log p(x) on average.
        """
        found = []
        for y in self.each_class(len(image)):
            mean, log_variance = (s.expand(samples, -1, -1).flatten(0, 1) for s in self.posterior_of_class(image, y))
            z = reparameterise(mean, log_variance)
            x = image.expand(samples, *image.shape).flatten(0, 1)
            given = self.log_likelihood(x, z, y.repeat(samples, 1))
            found.append((given + gaussian_log_ratio(z, mean, log_variance)).view(samples, -1))
        return torch.stack(found).logsumexp(0) - math.log(len(found))
