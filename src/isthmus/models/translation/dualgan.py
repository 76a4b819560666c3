"""DualGAN: Unsupervised Dual Learning for Image-to-Image Translation. Yi et al., 2017. arXiv:1704.02510.

As in the dual learning of languages, each of two generators carries images of its domain to the other, where a critic
says how good they are, and what is carried there and back is to be what it was. The critics are those of a Wasserstein
GAN: they have several steps before each of the generators, and their weights are clipped after each (algorithm 1). The
generators are U-Nets, whose noise is dropout, in use too.

The authors' code does otherwise: cross-entropy in place of the critics' difference, no clipping, one step of the
discriminators and two of the generators. All of these are options.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Translates, Turn
from isthmus.core.spec import one_size
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import objective
from isthmus.losses.penalty import clip_weights
from isthmus.nn.initialise import small
from isthmus.nn.patch import PatchDiscriminator
from isthmus.nn.unet import UNet, depth_within

__all__ = ["DualGAN"]


class DualGAN(Model, Translates):
    """DualGAN: critics lower E D(G(.)) - E D(.) with weights in [-c, c] (eq. 1 and 2), generators
    cycle (|a - F(G(a))| + |b - G(F(b))|) - E D_b(G(a)) - E D_a(F(b)) (eq. 3)."""

    features: int = 64  # maps at half the size, doubled at each size below up to eightfold; as many in the critics
    depth: int = 8  # how often the U-Nets halve the sides; no further than to one pixel
    dropout: float = 0.5  # share of values left out, in use too, in three of the layers on the way back
    upsampling: Literal["nearest", "transposed"] = "nearest"  # "transposed" is the paper's, and leaves checkerboards
    patch: int = 3  # halvings in the critics: 3 judge patches of 70x70 pixels, 2 of 34x34, 1 of 16x16, 0 pixels
    adversary: Literal["wasserstein", "non-saturating"] = "wasserstein"  # the paper's, or the code's cross-entropy
    weight_clip: float = 0.01  # c, the largest weight of a critic, 0.01 to 0.1 (wasserstein)
    critic_steps: int = 3  # of the critics in a round, 2 to 4 in the paper, each with new images; the code has 1
    generator_steps: int = 1  # of the generators in a round, with the last of these; the code has 2
    cycle: float = 100.0  # lambda_U and lambda_V, weight of what is missed there and back; 20 in the code, 0: ablation
    lr: float = 5e-5  # learning rate of RMSProp
    run_defaults = {"batch_size": 4}

    def __post_init__(self) -> None:
        self.positive("features", "depth", "weight_clip", "critic_steps", "generator_steps", "lr")
        self.not_negative("patch", "cycle")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must lie in [0, 1), got {self.dropout}")

    def networks(self, a: Spec, b: Spec) -> None:
        depth = depth_within(self.depth, *one_size(a, b))
        form: dict[str, Any] = {"upsampling": self.upsampling, "dropout": self.dropout}
        ba, ab = (UNet(x.channels, y.channels, self.features, depth, **form) for x, y in ((b, a), (a, b)))
        self.generators = nn.ModuleDict({"a": ba, "b": ab})  # each by the domain that it carries to
        critics = (PatchDiscriminator(spec.channels, self.features, self.patch) for spec in (a, b))
        self.critics = nn.ModuleDict(dict(zip("ab", critics, strict=True)))
        small(self.generators, self.critics)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "optimizer": "RMSprop", "alpha": 0.9}
        return {
            "critic": Player(*self.critics.values(), **settings),
            "generator": Player(*self.generators.values(), **settings),
        }

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        game = objective(self.adversary)
        for left in reversed(range(self.critic_steps)):
            a, b = (batch.image for batch in next(batches))
            with torch.set_grad_enabled(left == 0):  # the generators learn from the last translations
                made = self.both(a, b)
            losses = {}
            for to, truth in (("a", a), ("b", b)):
                losses[f"real {to}"] = game.real(self.critics[to](truth))
                losses[f"fake {to}"] = game.fake(self.critics[to](made[to].detach()))
            yield Turn("critic", losses)
            if self.adversary == "wasserstein":
                clip_weights(self.critics, self.weight_clip)
        for step in range(self.generator_steps):
            made = self.both(a, b) if step else made
            losses = {f"adversarial {to}": game.generator(self.critics[to](made[to])) for to in made}
            if self.cycle:
                losses["cycle a"] = self.cycle * F.l1_loss(self.translate(made["b"], "a"), a)
                losses["cycle b"] = self.cycle * F.l1_loss(self.translate(made["a"], "b"), b)
            yield Turn("generator", losses)

    def both(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """Translations to each domain."""
        return {"a": self.translate(b, "a"), "b": self.translate(a, "b")}

    def translate(self, image: Tensor, to: str) -> Tensor:
        return self.generators[to](image)
