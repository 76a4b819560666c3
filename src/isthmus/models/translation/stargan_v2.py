"""StarGAN v2: Diverse Image Synthesis for Multiple Domains. Choi et al., 2020. arXiv:1912.01865.

One generator for all pairs of domains, and many images of each: it is told a style in place of a domain. Styles of a
domain come from noise, by a mapping network, or from a reference picture, by a style encoder; both have a head for each
domain, as the discriminator has. The style encoder is to find the style in what was made of it, and to give the image
that which brings it back; and two styles must not make one image, as strongly at first as it then fades.

A round has two halves, styles by noise and styles by references. In the second the generator alone learns: mapping
network and style encoder would agree on styles that are easy to find.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Styles, Turn
from isthmus.losses.adversarial import fake, real
from isthmus.losses.penalty import zero_centred
from isthmus.losses.shared import divided
from isthmus.nn.conv import halvings
from isthmus.nn.initialise import he
from isthmus.nn.labels import classes_of, own
from isthmus.nn.residual import HALF, PreActivated
from isthmus.nn.style import PreActivatedTranslator

__all__ = ["StarGANv2"]


class Mapping(nn.Module):
    """Noise [batch, latent] and domains [batch] to styles [batch, style]."""

    def __init__(self, latent: int, hidden: int, style: int, domains: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*self.layers(latent, hidden))
        heads = (nn.Sequential(*self.layers(hidden, hidden)[:-2], nn.Linear(hidden, style)) for _ in range(domains))
        self.heads = nn.ModuleList(heads)

    def layers(self, inputs: int, hidden: int) -> list[nn.Module]:
        """Four layers of ReLU."""
        return [part for before in (inputs, hidden, hidden, hidden) for part in (nn.Linear(before, hidden), nn.ReLU())]

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        x = self.trunk(z)
        return own(torch.stack([head(x) for head in self.heads], dim=1), label)


class ByDomain(nn.Module):
    """Images and domains [batch] to vectors [batch, outputs], by a last layer for each domain."""

    def __init__(self, spec: Spec, features: int, domains: int, outputs: int) -> None:
        super().__init__()
        shrinking = halvings(spec.height, spec.width)
        widths = [features * min(8, 1 << i) for i in range(len(shrinking))]
        self.trunk = nn.Sequential(
            nn.Conv2d(spec.channels, features, 3, padding=1),
            *(PreActivated(*pair, halve=True, scale=HALF) for pair in pairwise(widths)),
            nn.LeakyReLU(0.2),
            nn.Conv2d(widths[-1], widths[-1], shrinking[-1]),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.heads = nn.Sequential(nn.Linear(widths[-1], domains * outputs), nn.Unflatten(1, (domains, outputs)))

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        return own(self.heads(self.trunk(image)), label)


class StarGANv2(Model, Styles):
    """StarGAN v2: G, F and E lower L_adv + styles L_sty - diversity L_ds + cycle L_cyc, and D raises L_adv (eq. 5).

    Of x of domain y and a style s of domain y': L_sty = |E_y'(G(x, s)) - s| (eq. 2), L_ds = |G(x, s) - G(x, s')|
    (eq. 3), L_cyc = |G(G(x, s), E_y(x)) - x| (eq. 4).
    """

    latent: int = 16  # size of the noise z
    style_size: int = 64  # how many numbers a style has
    hidden: int = 512  # units of the mapping network's layers
    features: int = 64  # maps at full size, doubled whenever the sides are halved, up to eightfold
    smallest: int = 16  # the generator halves the sides once, and until they are at most this
    blocks: int = 2  # residual blocks of the generator before, and as many after, where the maps are smallest
    styles: float = 1.0  # lambda_sty, weight of a style being found in what was made of it; 0 is an ablation
    diversity: float = 1.0  # lambda_ds at first, weight of two styles' images differing, which falls linearly to 0
    cycle: float = 1.0  # lambda_cyc, weight of what is lost on the way back; 0 is an ablation
    penalty: float = 1.0  # gamma, weight of R1, half the squared slope of the discriminator on real images
    weight_decay: float = 1e-4  # weight of the squared weights
    mapping_lr: float = 1e-6  # learning rate of the mapping network
    lr: float = 1e-4  # learning rate of Adam for all else
    eager = ("discriminator",)  # the penalty differentiates its gradient
    separable = False  # an image's second reference is another of the batch
    run_defaults = {"batch_size": 8, "average": 0.999}

    def __post_init__(self) -> None:
        self.positive("features", "mapping_lr", "lr")
        self.at_least(latent=1, style_size=1, hidden=1, smallest=1)
        self.not_negative("blocks", "styles", "diversity", "cycle", "penalty", "weight_decay")

    def networks(self, spec: Spec) -> None:
        domains = classes_of(spec)
        halved = len(halvings(spec.height, spec.width, self.smallest, least=1)) - 1
        self.generator = PreActivatedTranslator(spec.channels, self.features, halved, self.blocks, self.style_size)
        self.mapping = Mapping(self.latent, self.hidden, self.style_size, domains)
        self.style_encoder = ByDomain(spec, self.features, domains, self.style_size)
        self.discriminator = ByDomain(spec, self.features, domains, 1)
        he(self.generator, self.mapping, self.style_encoder, self.discriminator)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"betas": (0.0, 0.99), "weight_decay": self.weight_decay}
        return {
            "discriminator": Player(self.discriminator, lr=self.lr, **settings),
            "generator": Player(self.generator, lr=self.lr, **settings),
            "mapping": Player(self.mapping, lr=self.mapping_lr, **settings),
            "encoder": Player(self.style_encoder, lr=self.lr, **settings),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch, reference = next(batches), next(batches)
        wanted = reference.label
        style = self.mapped(wanted)
        with torch.no_grad():
            other = self.mapped(wanted)
        made = self.generator(batch.image, style)
        yield Turn("discriminator", self.judge_losses(batch, made.detach(), wanted))
        back = self.style_encoder(batch.image, batch.label)
        losses = self.losses(batch, made, wanted, style, other, back)
        learners = "generator", "mapping", "encoder"
        nets = self.generator, self.mapping, self.style_encoder
        for player, part in zip(learners, divided(losses, *nets), strict=True):
            yield Turn(player, part)

        labels = torch.cat([batch.label, wanted])
        with torch.no_grad():
            styles = self.style_encoder(torch.cat([batch.image, reference.image]), labels)
        (back, style), other = styles.chunk(2), styles[others(labels, len(wanted))]
        made = self.generator(batch.image, style)
        yield Turn("discriminator", self.judge_losses(batch, made.detach(), wanted))
        yield Turn("generator", self.losses(batch, made, wanted, style, other, back))

    def judge_losses(self, batch: Batch, made: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """What real images, and those made for the domains `wanted`, cost the discriminator (eq. 1)."""
        image = batch.image.detach().requires_grad_()
        outputs = self.discriminator(image, batch.label)
        slope = self.penalty * zero_centred(outputs, image)
        return {"real": real(outputs), "fake": fake(self.discriminator(made, wanted)), "penalty": slope}

    def losses(
        self, batch: Batch, made: Tensor, wanted: Tensor, style: Tensor, other: Tensor, back: Tensor
    ) -> dict[str, Tensor]:
        """The terms of eq. 5 of images `made` with `style`; `other` is another style, `back` that of the batch."""
        found = self.style_encoder(made, wanted)
        terms = {
            "adversarial": real(self.discriminator(made, wanted)),
            "style": self.styles * F.l1_loss(found, style),
            "cycle": self.cycle * F.l1_loss(self.generator(made, back), batch.image),
        }
        if self.diversity:
            with torch.no_grad():
                second = self.generator(batch.image, other)
            terms["diversity"] = -self.diversity * (1 - self.progress) * F.l1_loss(made, second)
        return terms

    def mapped(self, label: Tensor) -> Tensor:
        """Styles of noise, of the domains `label`."""
        return self.mapping(torch.randn(len(label), self.latent, device=self.device), label)

    @property
    def targets(self) -> tuple[str, ...]:
        """The classes of the data."""
        return self.spec.classes

    def ends(self, to: str) -> tuple[Spec, Spec]:
        return self.spec, self.spec

    def label(self, n: int, domain: str) -> Tensor:
        """The domain, [n]."""
        return torch.full((n,), self.targets.index(domain), device=self.device)

    def style(self, image: Tensor, of: str) -> Tensor:
        return self.style_encoder(image, self.label(len(image), of))

    def draw_style(self, n: int, to: str) -> Tensor:
        return self.mapped(self.label(n, to))

    def restyle(self, image: Tensor, to: str, style: Tensor) -> Tensor:
        return self.generator(image, style).clamp(-1, 1)


def others(label: Tensor, n: int) -> Tensor:
    """Of each of the last `n` examples another one of its class, at random, or itself where there is none: [n]."""
    same = (label[-n:, None] == label) & ~torch.eye(len(label), dtype=torch.bool, device=label.device)[-n:]
    found = (same * (1 + torch.rand(same.shape, device=label.device))).argmax(1)
    return torch.where(same.any(1), found, torch.arange(len(label) - n, len(label), device=label.device))
