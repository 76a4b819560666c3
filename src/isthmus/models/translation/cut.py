"""Contrastive Learning for Unpaired Image-to-Image Translation. Park et al., 2020. arXiv:2007.15651.

One generator and no way back. What keeps an image's content is that each patch of the translation must be told, among
other patches of the same image, to come from its own place: by what the generator's encoder sees in both, at several
depths, through small projections (eq. 2, 3). The same is asked of images of the target, which the generator is to leave
alone (section 3).

Queries are of the translation, keys of the source, and gradients pass through queries alone. What the encoder sees of
the source on the way to its translation serves as keys, too, so that it is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Translates, Turn
from isthmus.core.spec import one_size
from isthmus.errors import DataError
from isthmus.losses.adversarial import objective
from isthmus.nn.initialise import glorot
from isthmus.nn.patch import PatchDiscriminator
from isthmus.nn.schedule import falling
from isthmus.nn.translators import Block, Down, Translator

__all__ = ["CUT"]

GAME = objective("least-squares")  # with the factor 1/2 of Mao et al., which here is the discriminator's alone


def picked(maps: Tensor, places: Tensor) -> Tensor:
    """Vectors [batch, n, channels] at `places` [batch, n] of maps [batch, channels, height, width]."""
    return maps.flatten(2).mT.take_along_dim(places[..., None], dim=1)


def mirrored(maps: Tensor, turned: Tensor) -> Tensor:
    """Maps [batch, channels, height, width], those of them mirrored where `turned` [batch, 1, 1, 1] is true."""
    return torch.where(turned, maps.flip(3), maps)


class CUT(Model, Translates):
    """CUT: G lowers L_GAN(G, D) + contrast L_PatchNCE(G, H, X) + identity L_PatchNCE(G, H, Y) (eq. 5).

    FastCUT is contrast 10, identity 0, mirror and, as the authors' code trains it, constant 0.75.
    """

    features: int = 64  # maps at full size, doubled at each of the two halvings; as many in the discriminator
    blocks: int = 9  # residual blocks of the generator
    upsampling: Literal["nearest", "transposed"] = "nearest"  # of the decoder; "transposed" may leave checkerboards
    patch: int = 3  # halvings in the discriminator: 3 judge patches of 70x70 pixels, 2 of 34x34, 1 of 16x16, 0 pixels
    contrast: float = 1.0  # lambda_X, weight of patches of the source that are not found again; 0 is an ablation
    identity: float = 1.0  # lambda_Y, the same of images of the target; 0 needs no such translations
    mirror: bool = False  # whether half of the images are translated mirrored, and what the encoder sees mirrored back
    places: int = 256  # patches of each image and depth that are told apart
    hidden: int = 256  # units of both layers of the projections
    temperature: float = 0.07  # tau, by which similarities are divided
    constant: float = 0.5  # part of the training after which the learning rate falls linearly to 0
    lr: float = 2e-4  # learning rate of Adam
    run_defaults = {"batch_size": 1}
    targets = ("b",)

    def __post_init__(self) -> None:
        self.positive("features", "places", "hidden", "temperature", "lr")
        self.not_negative("blocks", "patch", "contrast", "identity")
        falling(self.constant)

    def networks(self, a: Spec, b: Spec) -> None:
        one_size(a, b)
        if a.channels != b.channels:
            raise DataError(
                f"the encoder sees images and their translations, and the domains have {a.channels} and {b.channels} "
                "channels; give the same --channels to both"
            )
        size: dict[str, Any] = {"features": self.features, "blocks": self.blocks, "upsampling": self.upsampling}
        self.generator = Translator(a.channels, b.channels, **size)
        self.discriminator = PatchDiscriminator(b.channels, self.features, self.patch)
        layers = self.layers()
        falls = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2)]
        same = [i for i, layer in enumerate(layers) if isinstance(layer, Block)]
        self.tapped = [*falls, *dict.fromkeys([*same[:1], *same[len(same) // 2 :][:1]])]
        widths = [a.channels, *(self.features << min(i + 1, len(falls)) for i in range(len(self.tapped)))]
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(width, self.hidden), nn.ReLU(), nn.Linear(self.hidden, self.hidden))
            for width in widths
        )
        glorot(self.generator, self.discriminator)  # with biases of 0, projections of an empty patch had no direction

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999), "schedule": falling(self.constant)}
        return {
            "discriminator": Player(self.discriminator, **settings),
            "generator": Player(self.generator, self.projections, **settings),
        }

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        a, b = (batch.image for batch in next(batches))
        x = torch.cat([a, b]) if self.identity else a
        turned = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5 * self.mirror
        code, keys = self.encode(mirrored(x, turned))
        made = self.generator.decoder(code, (x.shape[2], x.shape[3]))
        if self.mirror:  # else keys are what led to the translation
            with torch.no_grad():
                _, keys = self.encode(x)
        fake = made[: len(a)]
        yield Turn("discriminator", self.critic_losses(b, fake.detach()))
        _, queries = self.encode(made)
        missed = self.missed([mirrored(maps, turned) for maps in queries], keys)
        losses = {
            "adversarial": 2 * GAME.generator(self.discriminator(fake)),
            "contrast": self.contrast * missed[: len(a)].mean(),
        }
        if self.identity:
            losses["identity"] = self.identity * missed[len(a) :].mean()
        yield Turn("generator", losses)

    def critic_losses(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's terms of eq. 1, by least squares."""
        return {"real": GAME.real(self.discriminator(real)), "fake": GAME.fake(self.discriminator(fake))}

    def encode(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the decoder is given; and the maps that hold patches: the image, and what leaves some of the layers.

        These are the strided convolutions, the first residual block and the middle one, the fifth of nine (appendix C).
        """
        x, maps = image, [image]
        for i, layer in enumerate(self.layers()):
            x = layer(x)
            if i in self.tapped:
                maps.append(x)
        return x, maps

    def layers(self) -> list[nn.Module]:
        """Those of the encoder, one by one."""
        return [part for layer in self.generator.encoder for part in (layer if isinstance(layer, Down) else [layer])]

    def missed(self, queries: Sequence[Tensor], keys: Sequence[Tensor]) -> Tensor:
        """L_PatchNCE of each image, [batch]: cross-entropy of telling places, averaged over these and over depths."""
        found = []
        for project, query, key in zip(self.projections, queries, keys, strict=True):
            order = torch.rand(len(query), query.shape[2:].numel(), device=query.device).argsort(dim=1, stable=True)
            places = order[:, : self.places]
            asked = F.normalize(project(picked(query, places)).float(), dim=2)
            with torch.no_grad():
                held = F.normalize(project(picked(key, places)).float(), dim=2)
            with torch.autocast(query.device.type, enabled=False):  # cosines near 1 differ in what bf16 rounds away
                similar = asked @ held.mT / self.temperature
            found.append(-similar.log_softmax(2).diagonal(dim1=1, dim2=2).mean(1))
        return torch.stack(found).mean(0)

    def translate(self, image: Tensor, to: str) -> Tensor:
        return self.generator(image)
