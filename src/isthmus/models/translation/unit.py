"""Unsupervised Image-to-Image Translation Networks. Liu et al., 2017. arXiv:1703.00848.

Corresponding images of two domains are to have one and the same code. So the last layers of both encoders are the same
layers, and the first ones of both generators: what is left to each domain is how codes look there. Each domain has a
VAE, whose posterior has the variance 1, and a GAN for what is translated to it; and what is translated there and back
is reconstructed, too, by a code that has its own divergence.

For domain adaptation (section 4) the images of domain a have classes, and discriminators, too, share all layers but the
first. What these layers see tells the class of real images of a, and is to be the same for the two images of one code:
so it tells the class in domain b, where none was ever given.

Discriminators and VAEs take turns, and what the latter make is made once for both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Translates, Turn
from isthmus.core.spec import one_size
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import objective
from isthmus.nn.initialise import small
from isthmus.nn.labels import classes_of
from isthmus.nn.patch import PatchDiscriminator
from isthmus.nn.translators import Block, Decoder, Encoder

__all__ = ["UNIT"]

WAYS = (("a", "b"), ("b", "a"))


def missed(x: Tensor, target: Tensor) -> Tensor:
    """The mean absolute difference, -log p(target | x) of a Laplacian but for a constant."""
    return (x.float() - target.float()).abs().mean()


class UNIT(Model, Translates):
    """UNIT: two VAEs, two GANs and two cycles (eq. 2): ten terms for the VAEs, five of each domain.

    As in the authors' code, the divergence of an image's own code counts once; eq. 5 has it again, with lambda_3.
    """

    features: int = 64  # maps at full size, doubled whenever the sides are halved
    halved: int = 2  # how often the sides are halved on the way to the code
    blocks: int = 4  # residual blocks of each encoder and of each generator
    shared: int = 1  # of these, how many both domains share, next to the code
    sharing: bool = True  # whether anything is shared, by discriminators that adapt, too; without, it is an ablation
    judged: int = 3  # how often a discriminator halves the sides
    upsampling: Literal["nearest", "transposed"] = "nearest"  # "transposed" is the paper's, and leaves checkerboards
    objective: Literal["non-saturating", "least-squares"] = "non-saturating"  # of the GANs; the paper's is the first
    adversarial: float = 10.0  # lambda_0, weight of the GANs
    kl: float = 0.1  # lambda_1, weight of the divergence of a code, its mean square
    rebuild: float = 100.0  # lambda_2, weight of an image that its own code gives back
    cycle_kl: float = 0.1  # lambda_3, weight of the divergence of a translation's code
    cycle: float = 100.0  # lambda_4, weight of an image that comes back from the other domain; 0 is an ablation
    adapt: float = 0.0  # weight of the classes of domain a, told by what discriminators share; 0: no domain adaptation
    alike: float = 0.02  # weight of the distance of features, their sum, of two images of one code (domain adaptation)
    weight_decay: float = 1e-4  # weight of the squared weights
    lr: float = 1e-4  # learning rate of Adam
    run_defaults = {"batch_size": 1}

    def __post_init__(self) -> None:
        self.positive("features", "lr")
        self.at_least(halved=0, blocks=1, shared=1, judged=1)
        weights = ("adversarial", "kl", "rebuild", "cycle_kl", "cycle", "adapt", "alike", "weight_decay")
        self.not_negative(*weights)
        if self.shared > self.blocks:
            raise ConfigError(f"shared counts blocks among the {self.blocks} that there are, got {self.shared}")

    def networks(self, a: Spec, b: Spec) -> None:
        one_size(a, b)
        channels, own = {"a": a.channels, "b": b.channels}, self.blocks - self.shared
        form = self.features, self.halved, own
        self.encoder = nn.ModuleDict({of: Encoder(n, *form) for of, n in channels.items()})
        self.generator = nn.ModuleDict(
            {to: Decoder(n, *form, "instance", self.upsampling) for to, n in channels.items()}
        )
        self.last, self.first = self.common(), self.common()
        judges = {of: PatchDiscriminator(n, self.features, self.judged, "none") for of, n in channels.items()}
        self.discriminator = nn.ModuleDict(judges)
        small(self.encoder, self.generator, self.last, self.first, self.discriminator)
        if self.adapt:
            if self.sharing:
                share(judges["a"], judges["b"])
            self.classifier = nn.Linear(judges["a"].features(torch.zeros(1, *a.shape))[-1].numel(), classes_of(a))

    def common(self) -> nn.ModuleDict:
        """The blocks next to the code, the same for both domains."""
        made = [nn.Sequential(*(Block(self.features << self.halved) for _ in range(self.shared))) for _ in range(2)]
        return nn.ModuleDict({"a": made[0], "b": made[0 if self.sharing else 1]})

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999), "weight_decay": self.weight_decay}
        makers = (net for nets in (self.encoder, self.last, self.first, self.generator) for net in nets.values())
        judges = [*self.discriminator.values(), *([self.classifier] if self.adapt else [])]
        return {"discriminator": Player(*judges, **settings), "generator": Player(*makers, **settings)}

    def judge(self, of: str) -> PatchDiscriminator:
        """The discriminator of a domain."""
        return cast(PatchDiscriminator, self.discriminator[of])

    def mean(self, image: Tensor, of: str) -> Tensor:
        """The mean of the code's posterior, maps [batch, features * 2^halved, height / 2^halved, ...]."""
        return self.last[of](self.encoder[of](image))

    def generate(self, code: Tensor, to: str, like: Tensor) -> Tensor:
        """What a code looks like in domain `to`, at the size of the image `like`."""
        return self.generator[to](self.first[to](code), (like.shape[2], like.shape[3]))

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        pair = dict(zip("ab", next(batches), strict=True))
        x = {of: batch.image for of, batch in pair.items()}
        mean = {of: self.mean(x[of], of) for of in x}
        code = {of: noisy(mean[of]) for of in x}
        rebuilt = {of: self.generate(code[of], of, x[of]) for of in x}
        made = {to: self.generate(code[of], to, x[of]) for of, to in WAYS}  # of the code that reconstructs, too
        fakes = {to: torch.cat([made[to], rebuilt[to]]) if self.adapt else made[to] for to in made}
        yield Turn("discriminator", self.judged_by(pair, {to: image.detach() for to, image in fakes.items()}))

        cost, losses = objective(self.objective).generator, {}
        for of, to in WAYS:
            losses[f"adversarial {to}"] = self.adversarial * cost(self.discriminator[to](fakes[to]))
            losses[f"kl {of}"] = self.kl * mean[of].float().square().mean()
            losses[f"image {of}"] = self.rebuild * missed(rebuilt[of], x[of])
            if self.cycle or self.cycle_kl:
                again = self.mean(made[to], to)
                back = self.generate(noisy(again), of, x[of])
                losses[f"cycle kl {of}"] = self.cycle_kl * again.float().square().mean()
                losses[f"cycle {of}"] = self.cycle * missed(back, x[of])
        yield Turn("generator", losses)

    def judged_by(self, pair: dict[str, Batch], fakes: dict[str, Tensor]) -> dict[str, Tensor]:
        """What real images and fakes cost both discriminators, and, to adapt, the classes and features of pairs."""
        cost, losses, told, found = objective(self.objective), {}, {}, {}
        for of, batch in pair.items():
            net = self.judge(of)
            told[of], found[of] = (net.features(images)[-1] for images in (batch.image, fakes[of]))
            losses[f"real {of}"] = self.adversarial * cost.real(net.head(told[of]))
            losses[f"fake {of}"] = self.adversarial * cost.fake(net.head(found[of]))
        if self.adapt:
            guess = self.classifier(told["a"].flatten(1)).float()
            losses["class"] = self.adapt * F.cross_entropy(guess, pair["a"].label)
            for of, to in WAYS:  # a reconstruction and the translation of the same code
                n = len(pair[of])
                apart = (found[of][-n:].float() - found[to][:n].float()).abs()
                losses[f"alike {of}"] = self.alike * apart.sum() / n
        return losses

    def classify(self, image: Tensor, of: str) -> Tensor:
        """Log-probabilities [batch, classes] of the classes of domain a, for images of either domain.

        Raises ConfigError if the model does not adapt.
        """
        if not self.adapt:
            raise ConfigError("this model has no classifier; train with --adapt above 0")
        return self.classifier(self.judge(of).features(image)[-1].flatten(1)).float().log_softmax(1)

    def translate(self, image: Tensor, to: str) -> Tensor:
        return self.generate(self.mean(image, "b" if to == "a" else "a"), to, image)


def noisy(mean: Tensor) -> Tensor:
    """A sample of N(mean, 1)."""
    return mean + torch.randn_like(mean)


def share(a: PatchDiscriminator, b: PatchDiscriminator) -> None:
    """Make all layers but the first of `b` those of `a`; the first begin alike where both see as many channels."""
    for i in range(1, len(a.layers)):
        b.layers[i] = a.layers[i]
    b.head = a.head
    if all(mine.shape == other.shape for mine, other in zip(a.parameters(), b.parameters(), strict=True)):
        b.load_state_dict(a.state_dict())
