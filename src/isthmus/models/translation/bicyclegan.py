"""Toward Multimodal Image-to-Image Translation. Zhu et al., 2017. arXiv:1711.11586.

Of pairs of images the second is learnt from the first and a style z, a Gaussian that stands for what the first leaves
open. Two cycles keep it from being ignored. In the cVAE-GAN an encoder gives the second image its style, with which it
is to be rebuilt: image to style to image. In the cLR-GAN (conditional latent regressor) the style is drawn, and the
encoder is to find it in what was made: style to image to style. There the generator alone learns: with the encoder it
would agree on a place where to hide the style.

As in the paper each cycle has discriminators of its own, of two sizes, by least squares, which do not see the first
image. As in the authors' code those of the second cycle are shown other true images than the ones that were translated,
and all gradients are taken at the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Styles, Turn
from isthmus.core.spec import one_size
from isthmus.losses.adversarial import Loss, objective
from isthmus.losses.likelihood import gaussian_kl, reparameterise
from isthmus.losses.shared import cut, joined
from isthmus.nn.initialise import small
from isthmus.nn.patch import PatchDiscriminator, Scales
from isthmus.nn.residual import residual_discriminator
from isthmus.nn.schedule import falling
from isthmus.nn.unet import UNet, depth_within

__all__ = ["BicycleGAN"]

GAME = objective("least-squares")  # with the factor 1/2 of Mao et al., which here is the discriminators' alone


class BicycleGAN(Model, Styles):
    """BicycleGAN: L_GAN^VAE + l1 L_1^VAE + L_GAN + regression L_1^latent + kl L_KL (eq. 8)."""

    latent: int = 8  # size of the style z
    features: int = 64  # maps at half the size, doubled at each size below up to eightfold; D and E have as many
    depth: int = 8  # how often the U-Net halves the sides; no further than to one pixel
    enters: Literal["all", "input"] = "all"  # where the style enters the U-Net: at all sizes, or beside the image
    upsampling: Literal["nearest", "transposed"] = "nearest"  # "transposed" is the paper's, and leaves checkerboards
    patch: int = 3  # halvings in the discriminators: 3 judge patches of 70x70 pixels, 1 of 16x16, 0 pixels
    scales: int = 2  # sizes at which there are discriminators: the image's, half of it, and so on
    conditional: bool = False  # whether discriminators see the first image; the paper finds it better if they do not
    cycles: Literal["both", "encoded", "random"] = "both"  # the cVAE-GAN, or the cLR-GAN, alone is an ablation
    l1: float = 10.0  # lambda, weight of what a rebuilt image misses
    regression: float = 0.5  # lambda_latent, weight of what the encoder misses of a style that was drawn
    kl: float = 0.01  # lambda_KL, weight of the styles' divergence from a Gaussian
    constant: float = 0.5  # part of the training after which the learning rate falls linearly to 0
    lr: float = 2e-4  # learning rate of Adam
    eager = ("encoder", "discriminators")  # their graphs are gone through more than once
    paired = True
    run_defaults = {"batch_size": 1}
    targets = ("b",)

    def __post_init__(self) -> None:
        self.positive("latent", "features", "depth", "scales", "lr")
        self.not_negative("patch", "l1", "regression", "kl")
        falling(self.constant)

    def networks(self, a: Spec, b: Spec) -> None:
        self.generator = UNet(
            a.channels,
            b.channels,
            self.features,
            depth_within(self.depth, *one_size(a, b)),
            upsampling=self.upsampling,
            dropout=0.0,
            given=self.latent,
            everywhere=self.enters == "all",
        )
        self.encoder = residual_discriminator(b.shape, self.features, outputs=2 * self.latent)
        seen = b.channels + a.channels * self.conditional
        names = ("encoded", "random") if self.cycles == "both" else (self.cycles,)
        self.discriminators = nn.ModuleDict(
            {
                name: Scales(*(PatchDiscriminator(seen, self.features, self.patch) for _ in range(self.scales)))
                for name in names
            }
        )
        small(self.generator, self.discriminators)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999), "schedule": falling(self.constant)}
        return {
            "generator": Player(self.generator, self.encoder, **settings),
            "discriminator": Player(self.discriminators, **settings),
        }

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        a, b = (batch.image for batch in next(batches))
        losses, styles, carried = {}, {}, {}
        if "encoded" in self.discriminators:
            mean, log_variance = self.encoder(b).chunk(2, dim=1)
            styles["encoded"] = reparameterise(mean, log_variance)
            losses["kl"] = self.kl * gaussian_kl(mean, log_variance).mean()
        if "random" in self.discriminators:
            styles["random"] = self.draw_style(len(a), "b")
        images = self.generator(torch.cat([a] * len(styles)), torch.cat([*styles.values()])).chunk(len(styles))
        made = dict(zip(styles, images, strict=True))
        shown = {name: cut(image) for name, image in made.items()}
        judged = {name: self.judge(name, a, image) for name, image in shown.items()}
        for name, maps in judged.items():
            carried[f"adversarial {name}"] = 2 * added(GAME.generator, maps)
        if "encoded" in made:
            losses["l1"] = self.l1 * F.l1_loss(made["encoded"], b)
        if "random" in made:
            alone = self.cycles == "random"  # nothing else would teach the encoder
            found = self.style((made if alone else shown)["random"], "b")
            (losses if alone else carried)["latent"] = self.regression * F.l1_loss(found, styles["random"])
        yield Turn("generator", losses | joined(carried, *((made[name], shown[name]) for name in made)))
        losses = {}
        for name, maps in judged.items():
            pair = (a, b) if name == "encoded" else (batch.image for batch in next(batches))
            losses[f"real {name}"] = added(GAME.real, self.judge(name, *pair))
            losses[f"fake {name}"] = added(GAME.fake, maps)
        yield Turn("discriminator", losses)

    def judge(self, name: str, a: Tensor, b: Tensor) -> list[Tensor]:
        """Outputs for patches of a pair [batch, 1, h, w], at each size, of the discriminators of one cycle."""
        return self.discriminators[name](a, b) if self.conditional else self.discriminators[name](b)

    def style(self, image: Tensor, of: str) -> Tensor:
        return self.encoder(image)[:, : self.latent]

    def draw_style(self, n: int, to: str) -> Tensor:
        return torch.randn(n, self.latent, device=self.device)

    def restyle(self, image: Tensor, to: str, style: Tensor) -> Tensor:
        return self.generator(image, style)


def added(cost: Loss, maps: list[Tensor]) -> Tensor:
    """The cost of outputs at several sizes."""
    return torch.stack([cost(outputs) for outputs in maps]).sum()
