"""Autoencoding beyond Pixels using a Learned Similarity Metric. Larsen et al., 2016. arXiv:1512.09300.

A VAE and a GAN share the decoder, which is the generator. What a reconstruction costs is not the distance of pixels but
that of the discriminator's features. Each network has its own terms (algorithm 1): the encoder the divergence of the
code and the features, the decoder the features and the adversary, the discriminator the adversarial loss alone. All
gradients are those at the same weights, and come from one forward pass.

Real images, reconstructions and samples pass the discriminator as one batch, as in the authors' code: normalised by
themselves, features of a blurred batch would be as strong as those of a sharp one. And as there a player waits where
it is too far ahead: the discriminator where it is too sure, the decoder where that is too unsure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from isthmus.core import Autoencodes, Batch, Model, Player, Samples, Spec, Turn
from isthmus.losses.adversarial import fake, objective, real
from isthmus.losses.likelihood import gaussian_kl, gaussian_log_prob, reparameterise
from isthmus.losses.shared import cut, joined
from isthmus.nn.strided import strided_discriminator, strided_generator

__all__ = ["VAEGAN"]

UNDECIDED = 0.68  # what real and generated images cost a discriminator that cannot tell them apart


def where(moves: Tensor, loss: Tensor) -> Tensor:
    """The loss, without its gradient unless the player moves: it is not asked on the host."""
    return torch.where(moves, loss, loss.detach())


class VAEGAN(Model, Samples, Autoencodes):
    """VAE/GAN: L_prior + L_like of the discriminator's features + L_GAN (eq. 8), each for whom it is meant."""

    latent: int = 128  # size of the code z
    features: int = 64  # maps at half the size, doubled whenever the sides are halved
    likeness: float = 1e-2  # gamma, weight of the reconstruction beside the adversary in the decoder's loss
    similarity: Literal["features", "pixels"] = "features"  # what reconstructions are compared by; a VAE's is pixels
    adversary: Literal["minimax", "non-saturating"] = "minimax"  # what the decoder lowers: -L_GAN (eq. 9), or -log Dis
    reconstructions: bool = True  # whether reconstructions count as generated, too (eq. 10), or samples alone
    margin: float = 0.4  # how far a cost of the discriminator may be from 0.68 before a player waits; inf: none waits
    lr: float = 3e-4  # learning rate of RMSProp
    eager = ("decoder", "discriminator")  # their graphs serve several players

    def __post_init__(self) -> None:
        self.positive("latent", "features", "likeness", "margin", "lr")

    def networks(self, spec: Spec) -> None:
        self.encoder = strided_discriminator(spec.shape, self.features, outputs=2 * self.latent)
        self.decoder = strided_generator(self.latent, spec.shape, self.features)
        self.discriminator = strided_discriminator(spec.shape, self.features)

    def players(self) -> dict[str, Player]:
        return {
            "encoder": Player(self.encoder, lr=self.lr, optimizer="RMSprop"),
            "decoder": Player(self.decoder, lr=self.lr, optimizer="RMSprop"),
            "discriminator": Player(self.discriminator, lr=self.lr, optimizer="RMSprop"),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        x = next(batches).image
        mean, log_variance = self.posterior(x)
        z = reparameterise(mean, log_variance)
        code = cut(z)
        rebuilt, made = self.decoder(code), self.sample(len(x))
        shown, drawn = cut(rebuilt), cut(made)
        described = self.discriminator.features(torch.cat([x, shown, drawn])).chunk(3)
        truth, rebuilt_logit, made_logit = map(self.discriminator.head, described)
        target, likeness = (described[0].detach(), described[1]) if self.similarity == "features" else (x, shown)

        unlike = joined({"likeness": -gaussian_log_prob(likeness, 1.0, target).mean()}, (rebuilt, shown))
        yield Turn("encoder", {"prior": gaussian_kl(mean, log_variance).mean(), **joined(unlike, (z, code))})
        logits, cuts = {"samples": made_logit}, [(made, drawn)]
        if self.reconstructions:
            logits["reconstructions"] = rebuilt_logit
            cuts.append((rebuilt, shown))
        judged = {"real": real(truth), **{name: fake(logit) for name, logit in logits.items()}}
        decoder_moves, discriminator_moves = self.moves(*judged.values())
        cheat = {name: objective(self.adversary).generator(logit) for name, logit in logits.items()}
        losses = {"likeness": self.likeness * unlike["likeness"], **joined(cheat, *cuts)}
        yield Turn("decoder", {name: where(decoder_moves, loss) for name, loss in losses.items()})
        yield Turn("discriminator", {name: where(discriminator_moves, loss) for name, loss in judged.items()})

    def moves(self, truth: Tensor, *fakes: Tensor) -> tuple[Tensor, Tensor]:
        """Whether decoder and discriminator move, by what real and generated images cost the latter."""
        costs = torch.stack([truth, torch.stack(fakes).mean()])
        decoder, discriminator = (costs <= UNDECIDED + self.margin).all(), (costs >= UNDECIDED - self.margin).all()
        neither = ~(decoder | discriminator)
        return decoder | neither, discriminator | neither

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(image).chunk(2, dim=1)
        return mean, log_variance

    def encode(self, image: Tensor) -> Tensor:
        return self.posterior(image)[0]

    def decode(self, code: Tensor) -> Tensor:
        return self.decoder(code)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.decoder(temperature * torch.randn(n, self.latent, device=self.device))
