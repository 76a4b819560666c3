"""LPIPS, the distance between deep features of two images, and diversity by it (Zhang et al., 2018, arXiv:1801.03924).

The trunk is torchvision's network with its ImageNet weights, which come in a file; the linear heads, a few thousand
numbers, come with the package torchmetrics. Where there is no trunk, `feature_diversity` says how varied images are to
another extractor; it is no LPIPS and is not called so.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from isthmus.data.cache import Array
from isthmus.errors import ConfigError, DataError
from isthmus.evaluation.backbones import coloured, file_hash, fill, weight_file
from isthmus.evaluation.inputs import Features, matrix
from isthmus.evaluation.intervals import Estimate, mean
from isthmus.evaluation.structure import alike, random_pairs

Net = Literal["alex", "vgg", "squeeze"]
# Name in torchvision, file of the weights, its size, and the layers after which features are taken.
TRUNKS: dict[str, tuple[str, str, str, tuple[int, ...]]] = {
    "alex": ("alexnet", "alexnet-owt-7be5be79.pth", "233 MB", (1, 4, 7, 9, 11)),
    "vgg": ("vgg16", "vgg16-397923af.pth", "528 MB", (3, 8, 15, 22, 29)),
    "squeeze": ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", "5 MB", (1, 4, 7, 9, 10, 11, 12)),
}
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of ImageNet's colours, in [-1, 1]
LEAST = 32  # pixels; smaller images vanish in the trunk


class Lpips(nn.Module):
    """Distances [batch] between images [batch, 1 or 3 channels, H, W], float in [-1, 1], of 32 pixels or more."""

    shift: Tensor
    scale: Tensor

    def __init__(self, net: Net = "alex", weights: Path | None = None) -> None:
        from torchvision import models

        super().__init__()
        if net not in TRUNKS:
            raise ConfigError(f"LPIPS has no trunk {net!r}; there are {', '.join(TRUNKS)}")
        name, file_name, size, self.taps = TRUNKS[net]
        heads = torch.load(heads_file(net), map_location="cpu", weights_only=True)
        file = weight_file(file_name, weights, size, "torchvision's weights")
        trunk = models.get_model(name, weights=None)
        fill(trunk, file)
        self.name, self.weights = f"LPIPS {net}", file_hash(file)
        self.trunk = trunk.features
        self.heads = [heads[f"lin{i}.model.1.weight"] for i in range(len(self.taps))]  # each [1, channels, 1, 1]
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])
        self.requires_grad_(False).eval()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        alike(a, b, LEAST)
        layers = zip(self.heads, self.described(a), self.described(b), strict=True)
        return torch.stack([((x - y).square() * head.to(x)).sum(1).mean((1, 2)) for head, x, y in layers]).sum(0)

    def described(self, images: Tensor) -> list[Tensor]:
        """Features after each tapped layer, of length 1 at each place."""
        x, found = (coloured(images) - self.shift) / self.scale, []
        for i, layer in enumerate(self.trunk[: self.taps[-1] + 1]):
            x = layer(x)
            if i in self.taps:
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found


def heads_file(net: str) -> Path:
    """The linear heads that torchmetrics carries. The package is not imported, which would take seconds."""
    package = importlib.util.find_spec("torchmetrics")
    if package is None or package.origin is None:
        raise ConfigError("LPIPS takes its linear heads from the package torchmetrics: pip install torchmetrics")
    file = Path(package.origin).parent / "functional" / "image" / "lpips_models" / f"{net}.pth"
    if not file.is_file():
        raise ConfigError(f"torchmetrics does not hold LPIPS's heads at {file}: install torchmetrics 1.9 or later")
    return file


@torch.no_grad()
def pairwise_diversity(
    images: Tensor, distance: Callable[[Tensor, Tensor], Tensor], pairs: int = 500, seed: int = 0
) -> Estimate:
    """Mean distance of random pairs of images, e.g. of translations of one input with different noise."""
    first, second = random_pairs(len(images), pairs, seed)
    parts = zip(first.split(50), second.split(50), strict=True)
    return mean(torch.cat([distance(images[i], images[j]) for i, j in parts]).cpu().numpy())


def feature_diversity(features: Features, pairs: int = 500, seed: int = 0) -> Estimate:
    """Mean cosine distance of random pairs of features [images, dims]; name the extractor with the figure."""
    array = matrix(features, least=2)
    unit: Array = array / np.linalg.norm(array, axis=1, keepdims=True).clip(1e-12)
    first, second = random_pairs(len(array), pairs, seed)
    return mean(1 - (unit[first.numpy()] * unit[second.numpy()]).sum(1))


def diversity_within(images: Tensor, groups: Tensor, distance: Callable[[Tensor, Tensor], Tensor]) -> Estimate:
    """Mean distance between all images of a group (draws for one input), averaged over groups [n] of equal size."""
    found = []
    for group in groups.unique():
        own = images[groups == group]
        if len(own) < 2:
            raise DataError(f"group {int(group)} has a single image: draw two or more for each input")
        i, j = torch.triu_indices(len(own), len(own), 1)
        with torch.no_grad():
            found.append(distance(own[i], own[j]).mean().item())
    return mean(np.array(found))
