"""Multimodal Unsupervised Image-to-Image Translation. Huang et al., 2018. arXiv:1804.04732.

An image is taken apart into a content, maps of a space that both domains share, and a style, a vector of the domain's
own. To translate is to decode the content with a style of the other domain: one from noise, or that of an example. The
content is normalised instance by instance, which takes the style out of it; the style sees images without any
normalisation; and it enters the decoder as gains and biases of normalised maps.

Discriminators and autoencoders take turns (section 4), and what the latter make is made once for both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Styles, Turn
from isthmus.core.spec import one_size
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import Loss, objective
from isthmus.nn.initialise import he, small
from isthmus.nn.patch import PatchDiscriminator, Scales
from isthmus.nn.style import StyledDecoder, StyleEncoder
from isthmus.nn.translators import Encoder, size

__all__ = ["MUNIT"]

LEAST_SQUARES = objective("least-squares")
WAYS = (("a", "b"), ("b", "a"))


def missed(x: Tensor, target: Tensor) -> Tensor:
    """The mean absolute difference."""
    return (x.float() - target.float()).abs().mean()


def summed(cost: Loss, outputs: list[Tensor]) -> Tensor:
    """(D - t)^2, over all sizes; `cost` is half of it."""
    return 2 * torch.stack([cost(output) for output in outputs]).sum()


class MUNIT(Model, Styles):
    """MUNIT: L_GAN + rebuild L_recon^x + content L_recon^c + styles L_recon^s + cycle L_cc in both directions (eq. 5).

    Of x1 with content c1 and style s1, and of a style s2 from noise: L_recon^x = |G1(c1, s1) - x1| (eq. 1),
    L_recon^c = |E2^c(G2(c1, s2)) - c1| (eq. 2), L_recon^s = |E2^s(G2(c1, s2)) - s2| (eq. 3), L_GAN by squares.
    """

    style_size: int = 8  # how many numbers a style has
    features: int = 64  # maps at full size, doubled whenever the sides are halved
    halved: int = 2  # how often the content's sides are halved
    blocks: int = 4  # residual blocks of each content encoder and of each decoder
    hidden: int = 256  # units of the decoders' layers that see the style
    scales: int = 3  # sizes at which discriminators see an image: full, half, a quarter
    judged: int = 3  # how often a discriminator halves the sides
    upsampling: Literal["nearest", "transposed"] = "nearest"  # or transposed convolutions, which the paper has not
    rebuild: float = 10.0  # lambda_x, weight of an image that its own content and style give back
    content: float = 1.0  # lambda_c, weight of a translation's content being that of its source; 0 is an ablation
    styles: float = 1.0  # lambda_s, weight of a translation's style being that which was asked for; 0 is an ablation
    cycle: float = 0.0  # weight of an image that comes back from the other domain with its own style (section 5.1)
    weight_decay: float = 1e-4  # weight of the squared weights
    halve: float = 0.1  # part of the training after which the learning rate is halved, again and again
    lr: float = 1e-4  # learning rate of Adam
    run_defaults = {"batch_size": 1}

    def __post_init__(self) -> None:
        self.positive("features", "hidden", "lr", "halve")
        self.at_least(style_size=1, halved=0, blocks=1, scales=1, judged=1)
        self.not_negative("rebuild", "content", "styles", "cycle", "weight_decay")
        if self.halve > 1:
            raise ConfigError(f"halve is a part of the training, up to 1, got {self.halve}")

    def networks(self, a: Spec, b: Spec) -> None:
        one_size(a, b)
        channels = {"a": a.channels, "b": b.channels}
        form = self.features, self.halved
        self.content_encoder, self.style_encoder, self.decoder, self.discriminator = (nn.ModuleDict() for _ in range(4))
        for of, n in channels.items():
            self.content_encoder[of] = Encoder(n, *form, self.blocks)
            self.style_encoder[of] = StyleEncoder(n, *form, self.style_size)
            self.decoder[of] = StyledDecoder(n, *form, self.blocks, self.style_size, self.hidden, self.upsampling)
            nets = (PatchDiscriminator(n, self.features, self.judged, "none") for _ in range(self.scales))
            self.discriminator[of] = Scales(*nets)
        he(self.content_encoder, self.style_encoder, self.decoder)
        small(self.discriminator)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"betas": (0.5, 0.999), "weight_decay": self.weight_decay, "schedule": self.schedule}
        makers = (net for nets in (self.content_encoder, self.style_encoder, self.decoder) for net in nets.values())
        return {
            "discriminator": Player(*self.discriminator.values(), lr=self.lr, **settings),
            "generator": Player(*makers, lr=self.lr, **settings),
        }

    def schedule(self, progress: float) -> float:
        """The factor on the learning rate."""
        return 0.5 ** math.floor(progress / self.halve + 1e-9)

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        x = {of: batch.image for of, batch in zip("ab", next(batches), strict=True)}
        content = {of: self.content_encoder[of](x[of]) for of in x}
        style = {of: self.style_encoder[of](x[of]) for of in x}
        drawn = {to: self.draw_style(len(content[of]), to) for of, to in WAYS}
        made = {to: self.decoder[to](content[of], drawn[to], size(x[of])) for of, to in WAYS}
        yield Turn("discriminator", self.judged_by(x, made))

        losses = {}
        for of, to in WAYS:
            losses[f"adversarial {to}"] = summed(LEAST_SQUARES.generator, self.discriminator[to](made[to]))
            rebuilt = self.decoder[of](content[of], style[of], size(x[of]))
            losses[f"image {of}"] = self.rebuild * missed(rebuilt, x[of])
            again = self.content_encoder[to](made[to])
            losses[f"content {of}"] = self.content * missed(again, content[of])
            losses[f"style {to}"] = self.styles * missed(self.style_encoder[to](made[to]), drawn[to])
            if self.cycle:
                back = self.decoder[of](again, style[of], size(x[of]))
                losses[f"cycle {of}"] = self.cycle * missed(back, x[of])
        yield Turn("generator", losses)

    def judged_by(self, x: dict[str, Tensor], made: dict[str, Tensor]) -> dict[str, Tensor]:
        """What real images and translations cost the discriminators of both domains."""
        losses = {}
        for of, net in self.discriminator.items():
            losses[f"real {of}"] = summed(LEAST_SQUARES.real, net(x[of]))
            losses[f"fake {of}"] = summed(LEAST_SQUARES.fake, net(made[of].detach()))
        return losses

    def style(self, image: Tensor, of: str) -> Tensor:
        return self.style_encoder[of](image)

    def draw_style(self, n: int, to: str) -> Tensor:
        return torch.randn(n, self.style_size, device=self.device)

    def restyle(self, image: Tensor, to: str, style: Tensor) -> Tensor:
        of = "b" if to == "a" else "a"
        return self.decoder[to](self.content_encoder[of](image), style, size(image))
