"""Cross Domain Image Generation through Latent Space Exploration with Adversarial Loss. Lu, 2018. arXiv:1805.10130.

Two autoencoders were trained apart and stay frozen. For each direction a small conditional GAN carries the code of one
domain to a code of the other. Its discriminator judges matching pairs of codes: true pairs are real; the source with
the generator's code, and the source with pure noise, are fake. The paper prints the last two terms as -(1 - log D),
whose gradient has the wrong sign; they are -log(1 - D) here. What is matched are samples of the target's posterior: all
together they fill the prior, as the noise does, and are what its decoder was trained on; the source is given by its
posterior's mean, in training as in use. Codes are standardised by the training data, so that codes of any autoencoder
have the scale of the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Autoencodes, Batch, Bridges, Domain, Model, Player, Spec, Turn
from isthmus.core.model import freeze
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.losses.likelihood import reparameterise
from isthmus.losses.penalty import zero_centred
from isthmus.nn.mlp import Concatenated, mlp
from isthmus.nn.standardise import Standardise

__all__ = ["LatentBridge"]


class Crossing(nn.Module):
    """The conditional GAN of one direction: codes [batch, source] to codes [batch, target]."""

    def __init__(
        self, name: str, source: int, target: int, net: Callable[[int, int], nn.Module], conditional: bool
    ) -> None:
        super().__init__()
        self.name, self.conditional = name, conditional
        self.generator = Concatenated(net(source + target, target))
        self.discriminator = Concatenated(net(target + source * conditional, 1))
        self.source, self.target = Standardise(source), Standardise(target)

    def judge(self, z: Tensor, code: Tensor) -> Tensor:
        """Logits [batch, 1]: does this code of the target domain match z?"""
        return self.discriminator(code, z) if self.conditional else self.discriminator(code)

    def turns(self, z: Tensor, match: Tensor, noise_pair: float, regulariser: float, penalty: float) -> Iterator[Turn]:
        """One update of the discriminator, then one of the generator, on true pairs of codes (z, match)."""
        z, match = self.source(z), self.target(match).requires_grad_(bool(penalty))
        noise = torch.randn_like(match)
        drawn = self.generator(z, noise)
        truth = self.judge(z, match)
        discriminator_losses = {"real": real(truth), "fake": fake(self.judge(z, drawn.detach()))}
        if noise_pair:
            discriminator_losses["noise"] = noise_pair * fake(self.judge(z, noise))
        if penalty:
            discriminator_losses["penalty"] = penalty * zero_centred(truth, match)
        yield Turn(f"discriminator_{self.name}", discriminator_losses)
        generator_losses = {"adversarial": real(self.judge(z, drawn))}
        if regulariser:
            generator_losses["regulariser"] = regulariser * F.mse_loss(drawn, noise)
        yield Turn(f"generator_{self.name}", generator_losses)

    def forward(self, code: Tensor, noise: Tensor) -> Tensor:
        """A code of the target domain for each code of the source domain."""
        return self.target.inverse(self.generator(self.source(code), noise))


def posteriors(model: Autoencodes) -> Callable[[Tensor], Tensor]:
    """Images to the mean and log-variance of their codes, side by side: [batch, 2 latent]."""
    return lambda image: torch.cat(model.posterior(image), dim=1)


class LatentBridge(Model, Bridges):
    """Latent bridge.

    For true pairs of codes (z, z') and noise e:
    L_D = -log D(z, z') - log(1 - D(z, G(z, e))) - log(1 - D(z, e)),
    L_G = -log D(z, G(z, e)) + regulariser |G(z, e) - e|^2 / n.
    """

    a: Autoencodes  # trained model of domain a (its run folder); stays frozen
    b: Autoencodes  # trained model of domain b (its run folder); stays frozen
    regulariser: float = 0.1  # weight of |G(z, e) - e|^2 / n, which keeps the noise alive in the translation
    noise_pair: float = 1.0  # weight of the (source, noise) pair in the discriminator's loss; 0 is an ablation
    conditional: bool = True  # whether the discriminator sees the source's code; without, it is an ablation
    penalty: float = 0.0  # weight of R1, the discriminator's gradient at true pairs; not in the paper
    hidden: int = 512  # units of each hidden layer
    layers: int = 3  # hidden layers of each generator and discriminator
    lr: float = 2e-4  # learning rate of Adam
    eager = ("ab.discriminator", "ba.discriminator")  # the penalty differentiates their gradient

    def networks(self, a: Spec, b: Spec) -> None:
        for side, model, spec in (("a", self.a, a), ("b", self.b, b)):
            if model.spec.shape != spec.shape:
                raise ConfigError(
                    f"the model of domain {side} is made for {model.spec}, but its data are {spec}; "
                    "give the --size and --channels that it was trained with"
                )
        freeze(self.a, self.b)
        dims = [model.encode(torch.zeros(1, *model.spec.shape)).shape[1] for model in (self.a, self.b)]
        self.ab = Crossing("ab", dims[0], dims[1], self.net, self.conditional)
        self.ba = Crossing("ba", dims[1], dims[0], self.net, self.conditional)

    def net(self, inputs: int, outputs: int) -> nn.Module:
        """The form of generators and discriminators alike: [batch, inputs] -> [batch, outputs]."""
        return mlp(inputs, *[self.hidden] * self.layers, outputs)

    def players(self) -> dict[str, Player]:
        return {
            f"{role}_{way.name}": Player(getattr(way, role), lr=self.lr, betas=(0.5, 0.999))
            for way in (self.ab, self.ba)
            for role in ("discriminator", "generator")
        }

    def prepare(self, *domains: Domain) -> tuple[Domain, ...]:
        """Encode the data once, and take mean and scale of the codes."""
        a, b = (
            domain.with_codes(posteriors(m), self.device) for domain, m in zip(domains, (self.a, self.b), strict=True)
        )
        for way, source, target in ((self.ab, a, b), (self.ba, b, a)):
            way.source.measure(*source.codes.chunk(2, dim=1))
            way.target.measure(*target.codes.chunk(2, dim=1))
        return a, b

    def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
        a, b = next(batches)
        (mean_a, log_variance_a), (mean_b, log_variance_b) = a.code.chunk(2, dim=1), b.code.chunk(2, dim=1)
        z_a, z_b = reparameterise(mean_a, log_variance_a), reparameterise(mean_b, log_variance_b)
        yield from self.ab.turns(mean_a, z_b, self.noise_pair, self.regulariser, self.penalty)
        yield from self.ba.turns(mean_b, z_a, self.noise_pair, self.regulariser, self.penalty)

    def autoencoder(self, domain: str) -> Autoencodes:
        return {"a": self.a, "b": self.b}[domain]

    def crossing(self, to: str) -> Crossing:
        return {"a": self.ba, "b": self.ab}[to]

    def noise(self, n: int, to: str) -> Tensor:
        return torch.randn(n, len(self.crossing(to).target.mean), device=self.device)

    def cross(self, code: Tensor, to: str, noise: Tensor) -> Tensor:
        return self.crossing(to)(code, noise)
