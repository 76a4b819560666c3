"""FCN-score: can a network that learnt to segment real pictures recognise in generated ones what they should show?

Proposed for label maps to photographs (Isola et al., 2017, arXiv:1611.07004) with an FCN-8s of Cityscapes; here a small
network is trained on the pairs at hand, so figures compare with each other and with the truth row (real pictures in the
place of generated ones), not with published tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.data.images import Images, to_unit
from isthmus.errors import DataError
from isthmus.nn.conv import SMALLEST
from isthmus.training.log import Bar

VOID = -1  # label of pixels that are not judged
PART = 50


@dataclass(frozen=True)
class FcnScore:
    """Shares in [0, 1], of the pixels that are not void."""

    pixel_accuracy: float
    class_accuracy: float  # mean over the classes that occur
    class_iou: float  # intersection over union, mean over the classes that occur or are predicted
    images: int


class Segmenter(nn.Module):
    """A small U-Net: [batch, channels, H, W] in [-1, 1] -> logits [batch, classes, H, W]."""

    def __init__(self, channels: int, classes: int, features: int = 16, halvings: int = 3) -> None:
        super().__init__()
        widths = [features << i for i in range(halvings + 1)]
        self.classes = classes
        self.down = nn.ModuleList(
            [stage(before, after) for before, after in zip([channels, *widths], widths, strict=False)]
        )
        self.up = nn.ModuleList([stage(2 * after + after, after) for after in reversed(widths[:-1])])
        self.head = nn.Conv2d(features, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        skips = []
        x = image
        for i, down in enumerate(self.down):
            x = down(F.avg_pool2d(x, 2, ceil_mode=True) if i else x)
            skips.append(x)
        for up, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = up(torch.cat([F.interpolate(x, skip.shape[2:]), skip], 1))
        return self.head(x)

    @torch.no_grad()
    def segment(self, pixels: Tensor) -> Tensor:
        """The most probable class of each pixel: uint8 [n, channels, H, W] to int64 [n, H, W]."""
        self.eval()
        return torch.cat([self(to_unit(part)).argmax(1) for part in pixels.split(PART)])


def stage(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (inputs, outputs):
        layers += [nn.Conv2d(before, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def segmenter(
    pixels: Tensor,
    labels: Tensor,
    classes: int,
    *,
    steps: int = 500,
    batch_size: int = 16,
    lr: float = 3e-3,
    seed: int = 0,
) -> Segmenter:
    """Trained on real pictures uint8 [n, channels, H, W] and their label maps int64 [n, H, W]; -1 is void."""
    check(pixels, labels, classes)
    halvings = max(1, min(3, (min(pixels.shape[2:]) // SMALLEST).bit_length() - 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Segmenter(pixels.shape[1], classes, halvings=halvings)
        optimizer = torch.optim.Adam(network.parameters(), lr=lr, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
        with Bar("segmentation network", steps, 0) as bar:
            for step in range(1, steps + 1):
                index = torch.randint(len(pixels), (batch_size,))
                mirror = [3] if torch.rand(()) < 0.5 else []
                logits = network(to_unit(pixels[index]).flip(mirror))
                truth = labels[index].flip([m - 1 for m in mirror])
                loss = F.cross_entropy(logits, truth, ignore_index=VOID)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                if step % 50 == 0 or step == steps:
                    bar.update(step, {"cross-entropy": loss.item()}, 0)
    return network.eval()


def fcn_score(network: Segmenter, pixels: Tensor, labels: Tensor) -> FcnScore:
    """Of pictures uint8 [n, channels, H, W] that should show the label maps int64 [n, H, W]."""
    check(pixels, labels, network.classes)
    return scores(network.segment(pixels), labels, network.classes)


def fcn_scores(network: Segmenter, *, generated: Tensor, real: Tensor, labels: Tensor) -> dict[str, FcnScore]:
    """The row of the generated pictures, and the truth row that bounds it."""
    return {"generated": fcn_score(network, generated, labels), "truth": fcn_score(network, real, labels)}


def scores(found: Tensor, labels: Tensor, classes: int) -> FcnScore:
    """Of label maps int64 [n, H, W] against the true ones; classes that occur in neither do not count."""
    seen = labels != VOID
    table = torch.bincount(labels[seen] * classes + found[seen], minlength=classes**2).view(classes, classes).double()
    right, occur, said = table.diagonal(), table.sum(1), table.sum(0)
    here, anywhere = occur > 0, occur + said > 0
    return FcnScore(
        pixel_accuracy=(right.sum() / table.sum()).item(),
        class_accuracy=(right[here] / occur[here]).mean().item(),
        class_iou=(right[anywhere] / (occur + said - right)[anywhere]).mean().item(),
        images=len(labels),
    )


def labels_from_colours(maps: Images | Tensor, palette: Sequence[Sequence[int]], slack: int = 60) -> Tensor:
    """Label maps int64 [n, H, W] of coloured ones: the nearest colour of the palette, void where none is near.

    `palette` is [classes, channels] in [0, 255]; `slack` the largest sum of differences over the channels.
    """
    pixels = maps.cut(torch.arange(len(maps)), None) if isinstance(maps, Images) else maps
    colours = torch.tensor(palette)
    if colours.ndim != 2 or colours.shape[1] != pixels.shape[1]:
        raise DataError(f"the palette is [classes, {pixels.shape[1]}] for these maps, got {[*colours.shape]}")
    found = []
    for part in pixels.split(PART):
        apart = (part[:, None].int() - colours[:, :, None, None].int()).abs().sum(2)
        nearest = apart.min(1)
        found.append(torch.where(nearest.values <= slack, nearest.indices, VOID))
    return torch.cat(found)


def check(pixels: Tensor, labels: Tensor, classes: int) -> None:
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or not len(pixels):
        raise DataError(f"pictures are uint8 [n, channels, H, W], got {pixels.dtype} {[*pixels.shape]}")
    if labels.shape != (len(pixels), *pixels.shape[2:]):
        raise DataError(
            f"label maps [n, H, W] of these pictures are {[len(pixels), *pixels.shape[2:]]}, got {[*labels.shape]}"
        )
    if labels.max() >= classes or labels.min() < VOID:
        raise DataError(f"labels lie from 0 to {classes - 1}, or are -1 for void; got {labels.min()} to {labels.max()}")
    if not (labels != VOID).any():
        raise DataError("every pixel is void: check the palette against the colours of the maps")
