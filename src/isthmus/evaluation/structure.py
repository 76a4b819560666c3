"""How alike two images are, pixel by pixel and patch by patch: PSNR, SSIM, MS-SSIM; and diversity measured by these.

Images are float [batch, channels, H, W] in [-1, 1], a range of 2.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from isthmus.errors import ConfigError, DataError
from isthmus.evaluation.intervals import Estimate, mean

RANGE = 2.0  # from -1 to 1
WINDOW, DEVIATION = 11, 1.5  # of the Gaussian window, in pixels
STABLE = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights, from fine to coarse


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels [batch]; infinite for equal images."""
    alike(a, b)
    error = (a - b).square().flatten(1).mean(1)
    return 10 * torch.log10(RANGE**2 / error)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity [batch], at most 1 (Wang et al., 2004). Images of 11 pixels or more on each side."""
    alike(a, b, WINDOW)
    return similarity(a, b)[0]


def ms_ssim(a: Tensor, b: Tensor, scales: int = 5) -> Tensor:
    """SSIM of contrast and structure at several scales, each half the one before [batch] (Wang et al., 2003).

    The usual 5 scales take images of 176 pixels on the shorter side; with fewer the weights are scaled to sum to 1, and
    figures with different `scales` cannot be compared. Negative similarities count as 0.
    """
    alike(a, b, WINDOW)
    if not 1 <= scales <= (most := most_scales(*a.shape[2:])):
        raise ConfigError(f"images of {[*a.shape[2:]]} pixels allow 1 to {most} scales, got {scales}")
    weights, value = torch.tensor(SCALES[:scales]) / sum(SCALES[:scales]), torch.ones(len(a), device=a.device)
    for scale, weight in enumerate(weights.tolist(), start=1):
        whole, contrast = similarity(a, b)
        value = value * (whole if scale == scales else contrast).clamp_min(0) ** weight
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return value


def most_scales(height: int, width: int) -> int:
    """How many scales the window fits into, at most 5; 0 for images that are too small."""
    side = min(height, width)
    return 0 if side < WINDOW else min(len(SCALES), 1 + int(math.log2(side / WINDOW)))


def ms_ssim_diversity(images: Tensor, pairs: int = 500, seed: int = 0, scales: int | None = None) -> Estimate:
    """Mean MS-SSIM of random pairs of images: high where they repeat each other (Odena et al., 2017, arXiv:1610.09585).

    Within one class, as in that article; `scales` are as many as fit by default. Raises DataError for small images.
    """
    alike(images, images, WINDOW)
    first, second = random_pairs(len(images), pairs, seed)
    used = most_scales(*images.shape[2:]) if scales is None else scales
    return mean(ms_ssim(images[first], images[second], used).cpu().numpy())


def random_pairs(images: int, pairs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of pairs of different images, each image in as many pairs as any other, give or take one."""
    if images < 2:
        raise DataError(f"diversity takes 2 images or more, got {images}")
    generator = torch.Generator().manual_seed(seed)
    rounds = -(-pairs // images)
    first = torch.cat([torch.randperm(images, generator=generator) for _ in range(rounds)])[:pairs]
    second = first + torch.randint(1, images, (pairs,), generator=generator)
    return first, second % images


def similarity(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the image of SSIM, and of its contrast and structure part alone, each [batch]."""
    means = [blurred(x) for x in (a, b)]
    variances = [blurred(x * x) - m * m for x, m in zip((a, b), means, strict=True)]
    covariance = blurred(a * b) - means[0] * means[1]
    small, large = STABLE
    contrast = (2 * covariance + large) / (variances[0] + variances[1] + large)
    luminance = (2 * means[0] * means[1] + small) / (means[0].square() + means[1].square() + small)
    return (luminance * contrast).flatten(1).mean(1), contrast.flatten(1).mean(1)


def blurred(images: Tensor) -> Tensor:
    """Weighted by the Gaussian window, where it lies within the image."""
    at = torch.arange(WINDOW, dtype=images.dtype, device=images.device) - WINDOW // 2
    window = torch.softmax(-0.5 * (at / DEVIATION).square(), 0)
    channels = images.shape[1]
    rows = F.conv2d(images, window.view(1, 1, -1, 1).expand(channels, 1, -1, -1), groups=channels)
    return F.conv2d(rows, window.view(1, 1, 1, -1).expand(channels, 1, -1, -1), groups=channels)


def alike(a: Tensor, b: Tensor, least: int = 1) -> None:
    """Raise DataError unless these are two batches of images of equal shape, of `least` pixels and within range."""
    if a.ndim != 4 or a.shape != b.shape:
        raise DataError(f"images are compared one by one, [batch, channels, H, W], got {[*a.shape]} and {[*b.shape]}")
    if not len(a):
        raise DataError("there are no images to compare")
    if min(a.shape[2:]) < least:
        raise DataError(f"this takes images of {least} pixels or more on each side, got {[*a.shape[2:]]}")
    for images in (a, b):
        if not images.is_floating_point() or not (images.abs() <= 1.01).all():  # written so that NaN fails
            raise DataError("images are compared as floats in [-1, 1]: use isthmus.data.images.to_unit on uint8")
