"""Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks. Zhu et al., 2017. arXiv:1703.10593.

Two generators carry images of each of two domains to the other, where a discriminator judges them. That alone says
nothing of which image becomes which. So what is carried there and back is to be what it was (section 3.2), and a
generator may also be asked to leave images alone that are of its target already (section 5.2).

Sizes, weights and the order of steps are those of the paper and of the authors' code: least squares, of which the
discriminators have half, patches that are judged, translations of earlier rounds that are shown again, and Adam with a
rate that falls to 0 in the second half. The identity loss, in the paper for paintings alone, is on as in the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Translates, Turn
from isthmus.core.spec import one_size
from isthmus.errors import DataError
from isthmus.losses.adversarial import objective
from isthmus.nn.initialise import small
from isthmus.nn.patch import PatchDiscriminator
from isthmus.nn.pool import Pool
from isthmus.nn.schedule import falling
from isthmus.nn.translators import Translator

__all__ = ["CycleGAN"]

GAME = objective("least-squares")  # with the factor 1/2 of Mao et al., which here is the discriminators' alone


class CycleGAN(Model, Translates):
    """CycleGAN: generators G and F lower L_GAN(G, D_b) + L_GAN(F, D_a) + cycle (|F(G(a)) - a| + |G(F(b)) - b|) (eq. 3),
    and cycle identity (|G(b) - b| + |F(a) - a|)."""

    features: int = 64  # maps at full size, doubled at each of the two halvings; as many in the discriminators
    blocks: int = 9  # residual blocks of each generator; the paper has 6 for images of 128 pixels
    upsampling: Literal["nearest", "transposed"] = "nearest"  # "transposed", 3x3 in the paper, leaves checkerboards
    patch: int = 3  # halvings in the discriminators: 3 judge patches of 70x70 pixels, 2 of 34x34, 1 of 16x16, 0 pixels
    cycle: float = 10.0  # lambda, weight of what is missed there and back; 0 is an ablation
    cycles: Literal["both", "a", "b"] = "both"  # which domain's images go there and back; one alone is an ablation
    identity: float = 0.5  # weight, as a share of `cycle`, of what a generator changes in images of its target
    pool: int = 50  # translations that each discriminator remembers
    constant: float = 0.5  # part of the training after which the learning rate falls linearly to 0
    lr: float = 2e-4  # learning rate of Adam
    run_defaults = {"batch_size": 1}

    def __post_init__(self) -> None:
        self.positive("features", "lr")
        self.not_negative("blocks", "patch", "cycle", "identity", "pool")
        falling(self.constant)

    def networks(self, a: Spec, b: Spec) -> None:
        one_size(a, b)
        if self.cycle * self.identity and a.channels != b.channels:
            raise DataError(
                "the identity loss gives a generator images of its target, and the domains have "
                f"{a.channels} and {b.channels} channels; give --identity 0, or the same --channels to both"
            )
        size: dict[str, Any] = {"features": self.features, "blocks": self.blocks, "upsampling": self.upsampling}
        ba, ab = (Translator(x.channels, y.channels, **size) for x, y in ((b, a), (a, b)))
        judges = (PatchDiscriminator(spec.channels, self.features, self.patch) for spec in (a, b))
        self.generators = nn.ModuleDict({"a": ba, "b": ab})  # each by the domain that it carries to
        self.discriminators = nn.ModuleDict(dict(zip("ab", judges, strict=True)))
        self.pools = nn.ModuleDict({"a": Pool(self.pool, a.shape), "b": Pool(self.pool, b.shape)})
        small(self.generators, self.discriminators)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999), "schedule": falling(self.constant)}
        return {
            "generator": Player(*self.generators.values(), **settings),
            "discriminator": Player(*self.discriminators.values(), **settings),
        }

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        a, b = (batch.image for batch in next(batches))
        real, made = {"a": a, "b": b}, {"a": self.translate(b, "a"), "b": self.translate(a, "b")}
        losses = {f"adversarial {to}": 2 * GAME.generator(self.discriminators[to](made[to])) for to in made}
        for here, there in ("ab", "ba"):
            if self.cycle and self.cycles in ("both", here):
                losses[f"cycle {here}"] = self.cycle * F.l1_loss(self.translate(made[there], here), real[here])
            if weight := self.cycle * self.identity:
                losses[f"identity {here}"] = weight * F.l1_loss(self.translate(real[here], here), real[here])
        yield Turn("generator", losses)
        losses = {}
        for to, judge in self.discriminators.items():
            losses[f"real {to}"] = GAME.real(judge(real[to]))
            losses[f"fake {to}"] = GAME.fake(judge(self.pools[to](made[to])))
        yield Turn("discriminator", losses)

    def translate(self, image: Tensor, to: str) -> Tensor:
        return self.generators[to](image)
