"""Glow: Generative Flow with Invertible 1x1 Convolutions. Kingma and Dhariwal, 2018. arXiv:1807.03039.

A chain of layers that can be inverted carries an image to a Gaussian code of as many numbers, so that its likelihood
is exact: log p(x) = log p(z) + sum over layers of log|det dh_i/dh_{i-1}| (eq. 6). A step of flow is an actnorm, a 1x1
convolution and an affine coupling (table 1). Each scale squeezes the image, takes `depth` steps, and lets half of the
channels leave for the code (figure 2b). Where the paper says less, this follows its official code: the scale of a
coupling is a sigmoid of . + 2, there are actnorms inside of its network, and scale and bias of the top are learned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Autoencodes, Batch, Domain, Model, Player, Samples, Scores, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.losses.likelihood import gaussian_log_prob
from isthmus.nn import flow
from isthmus.nn.autoregressive import to_levels
from isthmus.nn.labels import classes_told

__all__ = ["Glow"]

PERMUTATIONS = {
    "conv": flow.InvertibleConv,
    "lu": flow.InvertibleConvLU,
    "shuffle": flow.shuffle,
    "reverse": flow.reverse,
}
FIRST = 64  # images in the batch by which actnorms are initialised


class MultiScale(nn.Module):
    """Images [batch, channels, height, width] to codes [batch, channels * height * width] (figure 2b).

    A code holds what leaves at each scale, from the finest to the top, each of a shape (channels, height, width).
    """

    initialised: Tensor

    def __init__(self, scales: list[flow.Chain], shapes: list[tuple[int, int, int]]) -> None:
        super().__init__()
        self.scales, self.shapes = nn.ModuleList(scales), shapes
        self.register_buffer("initialised", torch.tensor(False))  # whether actnorms have seen data

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts: list[Tensor] = []
        total = x.new_zeros(())
        for scale in self.scales:
            x, log_det = scale(F.pixel_unshuffle(x, 2))
            total = total + log_det
            x, leaving = x.chunk(2, dim=1) if len(parts) + 1 < len(self.scales) else (x, x)
            parts.append(leaving.flatten(1))
        return torch.cat(parts, dim=1), total

    def inverse(self, code: Tensor) -> Tensor:
        """The images of codes."""
        parts = code.split([math.prod(shape) for shape in self.shapes], dim=1)
        *left, x = (part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True))
        for scale in reversed(self.scales):
            x = F.pixel_shuffle(scale.inverse(x), 2)  # type: ignore[operator]
            x = torch.cat([x, left.pop()], dim=1) if left else x
        return x


class Glow(Model, Samples, Autoencodes, Scores):
    """Flow with 1x1 convolutions: minimises -log p(x), exactly, in bits for each value of an image (eq. 1, eq. 2)."""

    scales: int = 3  # how often the image is squeezed to half its sides; the paper's levels L
    depth: int = 32  # steps of flow at each scale; the paper's K
    hidden: int = 512  # channels inside of the couplings' networks
    coupling: Literal["affine", "additive"] = "affine"  # whether couplings scale and shift, or shift alone
    permutation: Literal["conv", "lu", "shuffle", "reverse"] = "conv"  # what mixes the channels before a coupling: a
    # 1x1 convolution, that in its LU form (for many channels), an order drawn at random once, or the reverse
    bits: int = 8  # of each value: images are reduced to 2^bits levels
    conditional: bool = False  # whether it knows classes: each has its own Gaussian at the top
    class_weight: float = 0.01  # weight of the classifier of top codes, in bits, where it knows classes
    optimizer: Literal["Adam", "Adamax"] = "Adam"  # rule of learning; Adamax is the official code's
    lr: float = 1e-3  # learning rate
    warmup: float = 0.02  # fraction of training in which the learning rate rises from 0

    def __post_init__(self) -> None:
        self.positive("scales", "depth", "hidden", "lr")
        if not 1 <= self.bits <= 8:
            raise ConfigError(f"bits must be 1 to 8, got {self.bits}")
        if not 0 <= self.warmup <= 1:
            raise ConfigError(f"warmup is a fraction of training, 0 to 1, got {self.warmup}")
        self.not_negative("class_weight")

    def networks(self, spec: Spec) -> None:
        classes = classes_told(self.conditional, spec)
        self.check_sides(spec.height, spec.width)
        (channels, height, width), chains, shapes = spec.shape, [], []
        for scale in range(1, self.scales + 1):
            channels, height, width = 4 * channels, height // 2, width // 2
            steps = [layer for _ in range(self.depth) for layer in self.step(channels)]
            end = flow.Split(channels) if scale < self.scales else flow.ActNorm(channels)
            chains.append(flow.Chain(*steps, end))
            channels //= 1 if scale == self.scales else 2
            shapes.append((channels, height, width))
        self.flow = MultiScale(chains, shapes)
        if classes:
            self.classes = nn.Embedding(classes, 2 * channels)  # mean and log-deviation of each channel
            self.classifier = nn.Linear(channels, classes)
            for parameter in (self.classes.weight, *self.classifier.parameters()):
                nn.init.zeros_(parameter)

    def check_sides(self, height: int, width: int) -> None:
        unit = 2**self.scales
        if height % unit or width % unit:
            larger = f"{-(-width // unit) * unit}x{-(-height // unit) * unit}"
            possible = max(n for n in range(self.scales) if not (height % 2**n or width % 2**n))
            fewer = f", or --scales {possible}" if possible else ""
            raise ConfigError(
                f"images of {width}x{height} cannot be halved {self.scales} times; give --size {larger}{fewer}"
            )

    def step(self, channels: int) -> tuple[flow.Invertible, ...]:
        """One step of flow (figure 2a)."""
        coupling = flow.Coupling(channels, self.hidden, affine=self.coupling == "affine")
        return flow.ActNorm(channels), PERMUTATIONS[self.permutation](channels), coupling

    def players(self) -> dict[str, Player]:
        modules = [self.flow, self.classes, self.classifier] if self.conditional else [self.flow]
        return {"glow": Player(*modules, lr=self.lr, optimizer=self.optimizer, schedule=self.rate)}

    def rate(self, progress: float) -> float:
        """The factor on the learning rate: a linear rise, then 1."""
        return min(1.0, progress / self.warmup) if self.warmup else 1.0

    def prepare(self, *domains: Domain) -> tuple[Domain, ...]:
        """Initialise actnorms by a batch of data (section 3.1), unless that was done before the model was saved."""
        if not self.flow.initialised:
            first = domains[0].batch(torch.randperm(len(domains[0]))[:FIRST]).image.to(self.device)
            flow.initialise(self.flow, self.dequantised(first))
            self.flow.initialised.fill_(True)
        return domains

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        code, log_det = self.flow(self.dequantised(batch.image))
        label = batch.label if self.conditional else None
        nats = -self.log_likelihood(code, log_det, label).mean()
        losses = {"bits": nats / (math.prod(self.spec.shape) * math.log(2))}
        if self.conditional:
            said = self.classifier(self.top(code).mean((2, 3)))
            losses["class"] = self.class_weight * F.cross_entropy(said.float(), batch.label) / math.log(2)
        yield Turn("glow", losses)

    def centred(self, image: Tensor, place: Tensor | float) -> Tensor:
        """Images as values in [-0.5, 0.5), at `place`, from 0 to 1, of their level's width."""
        level = to_levels(image, 256) >> (8 - self.bits)
        return (level + place) / self.levels - 0.5

    def dequantised(self, image: Tensor) -> Tensor:
        """Images at random places of their levels, so that a density of them bounds the probability of levels."""
        return self.centred(image, torch.rand_like(image))

    def top(self, code: Tensor) -> Tensor:
        """What of a code never left: [batch, channels, height, width]."""
        shape = self.flow.shapes[-1]
        return code[:, -math.prod(shape) :].unflatten(1, shape)

    def prior(self, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the codes of classes `label` [n], [n, latent] each, or of all, [1, latent]."""
        latent = math.prod(self.spec.shape)
        if label is None:
            return torch.zeros(1, latent, device=self.device), torch.ones(1, latent, device=self.device)
        _, height, width = self.flow.shapes[-1]
        top = self.classes(label).repeat_interleave(height * width, dim=1).chunk(2, dim=1)
        mean, log_scale = (F.pad(part, (latent - part.shape[1], 0)) for part in top)
        return mean, log_scale.exp()

    def log_likelihood(self, code: Tensor, log_det: Tensor, label: Tensor | None) -> Tensor:
        """log p(image | label) in nats [batch], the probability of its levels (eq. 1, eq. 2)."""
        mean, scale = self.prior(label)
        return gaussian_log_prob(mean, scale, code) + log_det - code.shape[1] * math.log(self.levels)

    @property
    def levels(self) -> int:
        return 2**self.bits

    def log_prob(self, image: Tensor) -> Tensor:
        """log p(image) in nats [batch], with one draw of the noise; of a model that knows classes, of their mixture."""
        code, log_det = self.flow(self.dequantised(image))
        if not self.conditional:
            return self.log_likelihood(code, log_det, None)
        classes = torch.arange(len(self.spec.classes), device=image.device)
        nats = [self.log_likelihood(code, log_det, label.expand(1)) for label in classes]
        return torch.stack(nats).logsumexp(0) - math.log(len(classes))

    def encode(self, image: Tensor) -> Tensor:
        return self.flow(self.centred(image, 0.5))[0]

    def decode(self, code: Tensor) -> Tensor:
        values = self.flow.inverse(code).nan_to_num()  # grey, where a code lies too far out for float32
        level = (values + 0.5) * self.levels - 0.5
        return (2 * level / (self.levels - 1) - 1).clamp(-1, 1)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        if not self.conditional:
            label = None
        elif label is None:
            label = torch.randint(len(self.spec.classes), (n,), device=self.device)
        mean, scale = self.prior(label)
        noise = torch.randn(n, mean.shape[1], device=self.device)
        return self.decode(mean + temperature * scale * noise)
