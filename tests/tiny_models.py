"""Models in run folders, small enough to be made for every test, pictures to try them with, and stand-ins.

The stand-ins can what few models can, in a way that shows in their pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Completes, Model, Player, Samples, Scores, Spec, Styles, Swaps, Translates, Turn, steps
from isthmus.errors import ConfigError, IsthmusError
from isthmus.models.autoencoders.vae import VAE
from isthmus.models.bridges.latent_bridge import LatentBridge
from isthmus.models.gans.gan import GAN
from isthmus.training.checkpoint import save_model

WIDE = Spec(3, 16, 24, ("cat", "dog"), "folder:wide")
TALL = Spec(1, 20, 12, (), "folder:tall")


def tiny_vae(spec: Spec = WIDE, seed: int = 0) -> VAE:
    """A VAE whose codes do change its pictures, so that different pictures come out different."""
    torch.manual_seed(seed)
    vae = VAE(latent=4, hidden=16).build(spec)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.mul_(3)
    return vae.eval()


def save_vae(folder: Path, spec: Spec = WIDE, **more: object) -> Path:
    save_model(tiny_vae(spec), folder, **more)
    return folder


def save_generator(folder: Path, spec: Spec = Spec(1, 32, 40), **options: Any) -> Path:  # noqa: B008  (it is frozen)
    """A model that draws and decodes, and has no codes for pictures."""
    torch.manual_seed(4)
    save_model(GAN(**{"latent": 4, "hidden": 16} | options).build(spec), folder)
    return folder


def save_bridge(folder: Path, a: Spec = WIDE, b: Spec = TALL, **more: object) -> Path:
    bridge = LatentBridge(a=tiny_vae(a, 1), b=tiny_vae(b, 2), hidden=8, layers=1)
    torch.manual_seed(3)
    save_model(bridge.build(a, b), folder, **more)
    return folder


def picture(channels: int = 3, height: int = 16, width: int = 24, bits: int = 8, seed: int = 0) -> np.ndarray:
    """[H, W, C], as random as can be."""
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bits, (height, width, channels), dtype)


def one_sentence(error: pytest.ExceptionInfo[IsthmusError]) -> str:
    message = str(error.value)
    assert message
    assert "\n" not in message
    assert "Traceback" not in message
    return message


class Standing(Model):
    """What all stand-ins share: one parameter, and nothing to learn."""

    def networks(self, spec: Spec) -> None:
        self.weight = nn.Parameter(torch.zeros(()))

    def players(self) -> dict[str, Player]:
        return {}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        return iter(())


class Tinted(Standing, Styles):
    """Carries to b by turning the colours round, and adding the style: a shift of each channel."""

    def networks(self, a: Spec, b: Spec) -> None:
        self.shift = nn.Parameter(torch.zeros(()))

    def style(self, image: Tensor, of: str) -> Tensor:
        return image.mean((2, 3))

    def draw_style(self, n: int, to: str) -> Tensor:
        return 0.1 * torch.randn(n, self.spec.channels)

    def restyle(self, image: Tensor, to: str, style: Tensor) -> Tensor:
        return (-image / 2 + style[:, :, None, None] + self.shift).clamp(-1, 1)


class Noisy(Standing, Translates):
    """Carries to b by adding noise, other noise each time."""

    def networks(self, a: Spec, b: Spec) -> None:
        self.weight = nn.Parameter(torch.zeros(()))

    def translate(self, image: Tensor, to: str) -> Tensor:
        return (image / 2 + 0.1 * torch.randn_like(image)).clamp(-1, 1)


class RowSwapper(Standing, Swaps):
    """The first row of an image is its class, from black for the first to white for the last, and the rest its code."""

    def encode(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        last = len(self.spec.classes) - 1
        if label is None:
            label = ((image[:, 0, 0].mean(1) + 1) / 2 * last).round().long()
        return torch.cat([image[:, :, 1:].flatten(1), F.one_hot(label, last + 1)], dim=1)

    def decode(self, code: Tensor) -> Tensor:
        channels, height, width = self.spec.shape
        rest, label = code.split([code.shape[1] - len(self.spec.classes), len(self.spec.classes)], dim=1)
        row = 2 * label.argmax(1) / (len(self.spec.classes) - 1) - 1
        rest = rest.view(-1, channels, height - 1, width)
        return torch.cat([row.view(-1, 1, 1, 1).expand(-1, channels, 1, width), rest], dim=2)

    def swap(self, code: Tensor, label: Tensor) -> Tensor:
        classes = len(self.spec.classes)
        return torch.cat([code[:, :-classes], F.one_hot(label, classes)], dim=1)


class RowDrawer(Standing, Samples, Completes, Scores):
    """Draws row by row what looks like noise, from the first on, and counts bright pixels for a likelihood."""

    levels: int = 256

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        blank = torch.zeros(n, *self.spec.shape)
        return self.rows(blank, torch.zeros(self.spec.shape[1:], dtype=torch.bool), temperature)

    def complete(self, image: Tensor, known: Tensor, temperature: float = 1.0) -> Tensor:
        if not known[0, 0]:
            raise ConfigError("this model starts at the top left; keep that corner")
        return self.rows(image, known, temperature)

    def rows(self, image: Tensor, known: Tensor, temperature: float) -> Tensor:
        image = image.clone()
        for y in steps(range(self.spec.height), "rows"):
            image[:, :, y] = torch.where(known[y], image[:, :, y], temperature * torch.rand_like(image[:, :, y]))
        return image

    def log_prob(self, image: Tensor) -> Tensor:
        return -((image + 1) / 2).flatten(1).sum(1)
