"""A data set in memory (or memory-mapped): uint8 pixels, labels, and codes where a model asked for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from isthmus.core import Batch, Spec


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 in [0, 255] to float in [-1, 1]."""
    return pixels.to(torch.float32).mul_(1 / 127.5).sub_(1)


def to_bytes(image: Tensor) -> Tensor:
    """float in [-1, 1] to uint8 in [0, 255], clipped and rounded to nearest."""
    return image.detach().float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


@dataclass(frozen=True, eq=False)
class Images:
    """One domain of images.

    `store` is uint8 [m, channels, H, W] and may be a memory map; H and W may exceed `spec.height` and `spec.width` by a
    margin for random crops. `flip` mirrors at random in training. A part of a data set shares the store of the whole.
    """

    store: Tensor
    spec: Spec
    labels: Tensor | None = None  # int64 [n]
    codes: Tensor | None = None  # float [n, latent]
    names: Sequence[str] = ()  # file names, where there are files
    flip: bool = False
    rows: Tensor | None = None  # int64 [n], which images of the store; by default all

    def __len__(self) -> int:
        return len(self.store if self.rows is None else self.rows)

    @property
    def pixels(self) -> Tensor:
        """The images as they are stored, uint8 [n, channels, H, W]; of a part, a copy."""
        return self.store if self.rows is None else self.store[self.rows]

    def batch(self, index: Tensor, generator: torch.Generator | None = None, *, rank: int = 0, world: int = 1) -> Batch:
        """The examples `index` [batch]; augmented with `generator`, plain (centre crop) without.

        Each of `world` ranks that draw with equal generators augments its examples as one process would that has all.
        """
        label = None if self.labels is None else self.labels[index]
        code = None if self.codes is None else self.codes[index]
        return Batch(to_unit(self.cut(index, generator, rank, world)), label, code)

    def cut(self, index: Tensor, generator: torch.Generator | None, rank: int = 0, world: int = 1) -> Tensor:
        """The examples [batch, channels, height, width], uint8, each with its own crop and mirrored by its own coin."""
        _, height, width = self.spec.shape
        margin_y, margin_x = self.store.shape[2] - height, self.store.shape[3] - width
        index = index if self.rows is None else self.rows[index]
        if generator is None or not (margin_y or margin_x or self.flip):
            top, left = margin_y // 2, margin_x // 2
            return self.store[:, :, top : top + height, left : left + width][index]
        out = torch.empty(len(index), *self.spec.shape, dtype=torch.uint8)
        target, source = out.numpy(), self.store.numpy()  # views; numpy slices small arrays five times as fast
        draws = torch.rand(len(index) * world, 3, generator=generator)[rank::world].tolist()
        for row, (i, (y, x, coin)) in enumerate(zip(index.tolist(), draws, strict=True)):
            top, left = int(y * (margin_y + 1)), int(x * (margin_x + 1))
            crop = source[i, :, top : top + height, left : left + width]  # so that the margin is never copied
            target[row] = crop[:, :, ::-1] if self.flip and coin < 0.5 else crop
        return out

    def take(self, index: Tensor) -> Images:
        """The same data set, only the examples `index`; no pixel is copied."""
        return replace(
            self,
            rows=index if self.rows is None else self.rows[index],
            labels=None if self.labels is None else self.labels[index],
            codes=None if self.codes is None else self.codes[index],
            names=[self.names[i] for i in index.tolist()] if self.names else (),
        )

    def with_codes(self, encode: Callable[[Tensor], Tensor], device: torch.device | str = "cpu") -> Images:
        """The same data, each image with its code `encode(image)`, computed once, on `device`, of the plain image."""
        with torch.no_grad():
            parts = torch.arange(len(self)).split(512)
            codes = [encode(self.batch(index).image.to(device)).cpu() for index in parts]
        return replace(self, codes=torch.cat(codes))
