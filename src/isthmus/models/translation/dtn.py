"""Unsupervised Cross-Domain Image Generation. Taigman et al., 2017. arXiv:1611.02200.

The domain transfer network G = g(f(x)) draws an image of the source in the manner of the target. A trained network f
says what is to stay: G builds upon its features, which are to be the same before and after (L_CONST). Images of the
target are to be left as they are (L_TID). Nothing else of the target is known. The discriminator tells three kinds
apart: what was made of the source, what was made of the target, and the target.

f stays frozen. It has learnt from classes of the source, so that the model knows these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from isthmus.core import Batch, Describes, Model, Player, Spec, Translates, Turn
from isthmus.core.model import freeze
from isthmus.errors import ConfigError
from isthmus.nn.strided import strided_discriminator, strided_generator

__all__ = ["DTN"]

OF_SOURCE, OF_TARGET, TARGET = range(3)  # what the discriminator tells apart


def told(logits: Tensor, kind: int) -> Tensor:
    """-log D_kind of outputs [batch, 3]."""
    return F.cross_entropy(logits.float(), torch.full((len(logits),), kind, device=logits.device))


def variation(image: Tensor) -> Tensor:
    """Anisotropic total variation (eq. 7): the mean size of the differences from the pixels to the right and below."""
    image = image.float()
    down, right = image[:, :, 1:, :-1] - image[:, :, :-1, :-1], image[:, :, :-1, 1:] - image[:, :, :-1, :-1]
    return (down.square() + right.square() + 1e-8).sqrt().sum((1, 2, 3)).mean() / image[0].numel()


class DTN(Model, Translates):
    """DTN: L_GANG + constancy L_CONST + identity L_TID + smoothness L_TV for g (eq. 4 to 7), L_D for D (eq. 3)."""

    f: Describes  # trained model of the source, say a classifier (its run folder); stays frozen
    features: int = 64  # maps at half the size, doubled whenever the sides are halved
    constancy: float = 15.0  # alpha, weight of the features being the same before and after; 0 is an ablation
    identity: float = 15.0  # beta, weight of target images staying as they are
    smoothness: float = 0.0  # gamma, weight of the total variation
    upsampling: Literal["transposed", "nearest"] = "transposed"  # "nearest" leaves no checkerboard; not the paper's
    upon_f: bool = True  # whether G is g(f(x)); without, G learns its own encoder, as an ablation
    lr: float = 2e-4  # learning rate of Adam
    targets = ("b",)

    def __post_init__(self) -> None:
        self.positive("features", "lr")
        self.not_negative("constancy", "identity", "smoothness")

    def networks(self, a: Spec, b: Spec) -> None:
        known = self.f.spec
        if not known.shape == a.shape == b.shape:
            raise ConfigError(
                f"f is made for {known}, but the data are {a} and {b}; give the --size and --channels of its training"
            )
        freeze(self.f)
        with torch.no_grad():
            n = self.f.describe(torch.zeros(1, *known.shape, device=self.f.device)).shape[1]
        if not self.upon_f:
            self.encoder = strided_discriminator(a.shape, self.features, outputs=n)
        self.g = strided_generator(n, b.shape, self.features, upsampling=self.upsampling)
        self.discriminator = strided_discriminator(b.shape, self.features, outputs=3)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999)}
        makers = (self.g,) if self.upon_f else (self.encoder, self.g)
        return {"discriminator": Player(self.discriminator, **settings), "generator": Player(*makers, **settings)}

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        s, t = (batch.image for batch in next(batches))
        both = torch.cat([s, t])  # one pass: norms see the mixture that they average for translation
        known = self.known(both)
        (of_s, of_t), seen = self.draw(both, known).chunk(2), known[: len(s)]
        judged = {
            "of source": told(self.discriminator(of_s.detach()), OF_SOURCE),
            "of target": told(self.discriminator(of_t.detach()), OF_TARGET),
            "target": told(self.discriminator(t), TARGET),
        }
        yield Turn("discriminator", judged)

        losses = {
            "adversarial source": told(self.discriminator(of_s), TARGET),
            "adversarial target": told(self.discriminator(of_t), TARGET),
            "identity": self.identity * (of_t.float() - t).square().mean(),
        }
        if self.constancy:
            losses["constancy"] = self.constancy * (self.f.describe(of_s).float() - seen.float()).square().mean()
        if self.smoothness:
            losses["variation"] = self.smoothness * variation(of_s)
        yield Turn("generator", losses)

    @torch.no_grad()
    def known(self, image: Tensor) -> Tensor:
        """f, [batch, n]."""
        return self.f.describe(image)

    def draw(self, image: Tensor, known: Tensor) -> Tensor:
        """G, of images of either domain and what f knows of them."""
        return self.g(known if self.upon_f else self.encoder(image))

    def translate(self, image: Tensor, to: str) -> Tensor:
        return self.draw(image, self.known(image))
