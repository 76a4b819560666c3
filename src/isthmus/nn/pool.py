"""What a discriminator remembers of generated images (Shrivastava et al., 2017, arXiv:1612.07828, section 2.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Pool(nn.Module):
    """The last generated images, some of which are shown again in the place of new ones.

    It fills with the first `size` images, which are shown as they are. From then on each image is shown with
    probability 1/2, and else takes the place of one in the pool, which is shown. The choice is made on the device. A
    pool of size 0, and in evaluation any, shows what it is given.
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, made: Tensor) -> Tensor:
        """Generated images [batch, channels, height, width] to as many, without gradients."""
        if not (self.size and self.training):
            return made.detach()
        shown = []
        coins = torch.rand(len(made), device=made.device) < 0.5
        places = torch.randint(self.size, (len(made),), device=made.device)
        for new, coin, place in zip(made.detach(), coins, places, strict=True):
            filling = self.count < self.size
            at = torch.where(filling, self.count, place)[None]
            old = self.images.index_select(0, at)[0]
            kept, swapped = filling | coin, ~filling & coin
            self.images.index_copy_(0, at, torch.where(kept, new.float(), old)[None])
            shown.append(torch.where(swapped, old.to(new.dtype), new))
            self.count += filling
        return torch.stack(shown)
