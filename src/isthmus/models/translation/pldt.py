"""Pixel-Level Domain Transfer. Yoo et al., 2016. arXiv:1603.07442.

A converter carries images of a source domain, such as people in their clothes, to a target domain, such as the clothes
on white: image to code to image. Two discriminators judge what it makes. One tells real images of the target from made
ones; the other sees the source, too, and tells whether a target belongs to it. That one is shown three kinds of pairs:
the source with its true target, which alone is associated, with what the converter made, and with an irrelevant target.
So many targets may be right for one source, and no pixels are compared.

Both discriminators move before the converter, which meets them as they then are. Irrelevant targets are drawn; where
images have classes, those of the source's own class are no irrelevant ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Translates, Turn
from isthmus.core.spec import one_size
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.nn.strided import strided_discriminator, strided_generator

__all__ = ["PLDT"]


class PLDT(Model, Translates):
    """PLDT: D_R and D_A lower their cross-entropies, the converter both with labels exchanged (sections 4.2, 4.3)."""

    latent: int = 64  # size of the converter's code
    features: int = 128  # maps at half the size, doubled whenever the sides are halved
    upsampling: Literal["transposed", "nearest"] = "transposed"  # "nearest" leaves no checkerboard; not the paper's
    realism: float = 0.5  # weight of D_R, which tells real targets; 0 leaves it out, as an ablation
    association: float = 0.5  # weight of D_A, which tells targets of the source; 0 leaves it out, as an ablation
    irrelevant: bool = True  # whether D_A is shown targets of other sources; without, it is an ablation
    lr: float = 2e-4  # learning rate of Adam
    paired = True
    run_defaults = {"batch_size": 128}
    targets = ("b",)

    def __post_init__(self) -> None:
        self.positive("latent", "features", "lr")
        self.not_negative("realism", "association")
        if not self.realism + self.association:
            raise ConfigError("with realism and association both 0 there is nothing to learn: set one of them")

    def networks(self, a: Spec, b: Spec) -> None:
        size = one_size(a, b)
        encoder = strided_discriminator(a.shape, self.features, outputs=self.latent)
        decoder = strided_generator(self.latent, b.shape, self.features, upsampling=self.upsampling)
        self.converter = nn.Sequential(encoder, decoder)
        if self.realism:
            self.realism_judge = strided_discriminator(b.shape, self.features)
        if self.association:
            self.association_judge = strided_discriminator((a.channels + b.channels, *size), self.features)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999)}
        players = {"converter": Player(self.converter, **settings)}
        if self.realism:
            players["realism"] = Player(self.realism_judge, **settings)
        if self.association:
            players["association"] = Player(self.association_judge, **settings)
        return players

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        source, target = next(batches)
        a, b = source.image, target.image
        made, losses = self.converter(a), {}
        if self.realism:
            judged = {"real": real(self.realism_judge(b)), "fake": fake(self.realism_judge(made.detach()))}
            yield Turn("realism", judged)
        if self.association:
            other = next(batches)[1] if self.irrelevant else None
            kinds = [b] if other is None else [b, other.image]
            associated, *irrelevant, made_up = self.judge(a, *kinds, made.detach())
            judged = {"associated": real(associated), "fake": fake(made_up)}
            if other is not None:
                judged["irrelevant"] = unassociated(irrelevant[0], target, other)
            yield Turn("association", judged)
            losses["association"] = self.association * real(self.judge(a, *kinds, made)[-1])
        if self.realism:
            losses["realism"] = self.realism * real(self.realism_judge(made))
        yield Turn("converter", losses)

    def judge(self, a: Tensor, *targets: Tensor) -> Sequence[Tensor]:
        """For each of `targets` the logits [batch, 1] of belonging to a source.

        All are one batch: the statistics of one kind alone would tell it from another, whatever belongs to what.
        """
        return self.association_judge(torch.cat([torch.cat([a, b], dim=1) for b in targets])).chunk(len(targets))

    def translate(self, image: Tensor, to: str) -> Tensor:
        return self.converter(image)


def unassociated(logits: Tensor, own: Batch, other: Batch) -> Tensor:
    """-log(1 - D_A) of sources with other targets than their `own`, where these differ in class."""
    costs = F.softplus(logits.float()).flatten()
    return costs.mean() if own.labels is None else (costs * (own.label != other.label)).mean()
