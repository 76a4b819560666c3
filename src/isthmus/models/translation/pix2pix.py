"""Image-to-Image Translation with Conditional Adversarial Networks. Isola et al., 2017. arXiv:1611.07004.

Of pairs of images the second is learnt from the first. The L1 distance gets right what is coarse and blurs what is
open; a discriminator that sees the first image beside the second, patch by patch, asks for what is fine. The generator
is a U-Net, whose skips carry over what both images have in common; its only noise is dropout, in use as in training.

As in the authors' code the discriminator moves first, by half of its loss, and the learning rate falls to 0 in the
second half of the training. The paper normalises by the batch at hand, even in use. For batches of one image, which it
often has, that is instance normalisation, which is here for batches of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor

from isthmus.core import Batch, Model, Player, Spec, Translates, Turn
from isthmus.core.spec import one_size
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.nn.initialise import small
from isthmus.nn.patch import PatchDiscriminator
from isthmus.nn.schedule import falling
from isthmus.nn.unet import UNet, depth_within

__all__ = ["Pix2Pix"]


class Pix2Pix(Model, Translates):
    """pix2pix: min_G max_D E log D(a, b) + E log(1 - D(a, G(a))) + l1 E|b - G(a)| (eq. 4), G by -log D(a, G(a))."""

    features: int = 64  # maps at half the size, doubled at each size below up to eightfold; D has as many
    depth: int = 8  # how often the U-Net halves the sides; no further than to one pixel
    skips: bool = True  # whether its maps are laid beside those that come back; without, it is an ablation
    dropout: float = 0.5  # share of values left out, in use too, in three of the layers on the way back
    upsampling: Literal["nearest", "transposed"] = "nearest"  # "transposed" is the paper's, and leaves checkerboards
    patch: int = 3  # halvings in the discriminator: 3 judge patches of 70x70 pixels, 5 of 286x286, 1 of 16x16, 0 pixels
    conditional: bool = True  # whether the discriminator sees the first image beside the second; without, an ablation
    adversarial: float = 1.0  # weight of the discriminator's judgement; 0 leaves it out, as an ablation
    l1: float = 100.0  # lambda, weight of the distance from the true image; 0 is an ablation
    constant: float = 0.5  # part of the training after which the learning rate falls linearly to 0
    lr: float = 2e-4  # learning rate of Adam
    paired = True
    run_defaults = {"batch_size": 1}
    targets = ("b",)

    def __post_init__(self) -> None:
        self.positive("features", "depth", "lr")
        self.not_negative("patch", "adversarial", "l1")
        if not self.adversarial + self.l1:
            raise ConfigError("with adversarial and l1 both 0 there is nothing to learn: set one of them")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must lie in [0, 1), got {self.dropout}")
        falling(self.constant)

    def networks(self, a: Spec, b: Spec) -> None:
        self.generator = UNet(
            a.channels,
            b.channels,
            self.features,
            depth_within(self.depth, *one_size(a, b)),
            upsampling=self.upsampling,
            dropout=self.dropout,
            skips=self.skips,
        )
        small(self.generator)
        if self.adversarial:
            seen = b.channels + a.channels * self.conditional
            self.discriminator = PatchDiscriminator(seen, self.features, self.patch)
            small(self.discriminator)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999), "schedule": falling(self.constant)}
        players = {"generator": Player(self.generator, **settings)}
        return players | ({"discriminator": Player(self.discriminator, **settings)} if self.adversarial else {})

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        a, b = (batch.image for batch in next(batches))
        made, losses = self.generator(a), {}
        if self.adversarial:
            judged = {"real": real(self.judge(a, b)) / 2, "fake": fake(self.judge(a, made.detach())) / 2}
            yield Turn("discriminator", judged)
            losses["adversarial"] = self.adversarial * real(self.judge(a, made))
        if self.l1:
            losses["l1"] = self.l1 * F.l1_loss(made, b)
        yield Turn("generator", losses)

    def judge(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits [batch, 1, h, w] of patches of a pair being true."""
        return self.discriminator(a, b) if self.conditional else self.discriminator(b)

    def translate(self, image: Tensor, to: str) -> Tensor:
        return self.generator(image)
