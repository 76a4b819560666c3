"""Mode Regularized Generative Adversarial Networks. Che et al., 2017. arXiv:1612.02136.

A generator is only told where it should not be. Here an encoder E brings every real image to a code, and the generator
is paid for giving it back: G(E(x)) is to be near x, and to be taken for real. So no part of the data is without a
gradient towards it (section 3).

The manifold-diffusion form splits this into two steps, each with a discriminator of its own: first G(E(x)) is brought
onto the data's manifold, then G(z) is spread over it as the data are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Autoencodes, Batch, Model, Player, Samples, Spec, Turn
from isthmus.losses.adversarial import fake, real
from isthmus.nn.players import mlp_discriminator, mlp_generator
from isthmus.nn.strided import Discriminator, strided_discriminator, strided_generator

__all__ = ["MRGAN"]


class MRGAN(Model, Samples, Autoencodes):
    """Mode-regularised GAN: also lowers distance |x - G(E(x))|^2 - reward log D(G(E(x))) (section 3.2)."""

    latent: int = 100  # size of the noise z and of codes, Gaussian
    form: Literal["regularised", "manifold-diffusion"] = "regularised"  # one discriminator, or two steps with two
    distance: float = 0.2  # lambda_1, weight of the squared error of reconstructions, the mean over values of pixels
    reward: float = 0.2  # lambda_2, weight of reconstructions being taken for real (regularised)
    network: Literal["mlp", "conv"] = "conv"  # fully connected (for points), or strided convolutions
    hidden: int = 512  # units of hidden layers (mlp)
    layers: int = 3  # hidden layers (mlp)
    features: int = 64  # maps at half the size, doubled whenever the sides are halved (conv)
    lr: float = 2e-4  # learning rate of Adam

    def __post_init__(self) -> None:
        self.positive("latent", "hidden", "layers", "features", "lr")
        self.not_negative("distance", "reward")

    def networks(self, spec: Spec) -> None:
        self.generator = self.painter(spec)
        self.encoder = self.viewer(spec, self.latent)
        self.discriminator = self.viewer(spec)
        if self.form == "manifold-diffusion":
            self.manifold = self.viewer(spec)

    def painter(self, spec: Spec) -> nn.Module:
        """A generator of that kind."""
        if self.network == "mlp":
            return mlp_generator(self.latent, spec.shape, self.hidden, layers=self.layers)
        return strided_generator(self.latent, spec.shape, self.features)

    def viewer(self, spec: Spec, outputs: int = 1) -> Discriminator:
        """A discriminator of that kind, or with more `outputs` an encoder."""
        if self.network == "mlp":
            return mlp_discriminator(spec.shape, self.hidden, layers=self.layers, outputs=outputs)
        return strided_discriminator(spec.shape, self.features, outputs=outputs)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999)}
        found = {
            "discriminator": Player(self.discriminator, **settings),
            "generator": Player(self.generator, self.encoder, **settings),
        }
        if self.form == "manifold-diffusion":
            found["manifold"] = Player(self.manifold, **settings)
            found["diffusion"] = Player(self.generator, **settings)
        return found

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        yield from self.regularised(batches) if self.form == "regularised" else self.manifold_diffusion(batches)

    def regularised(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        """D tells x from G(z); G lowers -log D(G(z)) and, with E, what G(E(x)) misses (section 3.2)."""
        x = next(batches).image
        made, rebuilt = self.sample(len(x)), self.generator(self.encoder(x))
        truth, forgery = self.discriminator(x), self.discriminator(made.detach())
        yield Turn("discriminator", {"real": real(truth), "fake": fake(forgery)})
        regularisers = {
            "distance": self.distance * F.mse_loss(rebuilt, x),
            "reward": self.reward * real(self.discriminator(rebuilt)),
        }
        yield Turn("generator", {"adversarial": real(self.discriminator(made)), **regularisers})

    def manifold_diffusion(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        """D1 tells x from G(E(x)), which G and E bring together; then D2 tells G(E(x)) from G(z) (section 3.3)."""
        x = next(batches).image
        rebuilt = self.generator(self.encoder(x))
        truth, forgery = self.manifold(x), self.manifold(rebuilt.detach())
        yield Turn("manifold", {"real": real(truth), "fake": fake(forgery)})
        distance = self.distance * F.mse_loss(rebuilt, x)
        yield Turn("generator", {"distance": distance, "adversarial": real(self.manifold(rebuilt))})
        with torch.no_grad():
            rebuilt = self.generator(self.encoder(next(batches).image))
        made = self.sample(len(rebuilt))
        truth, forgery = self.discriminator(rebuilt), self.discriminator(made.detach())
        yield Turn("discriminator", {"real": real(truth), "fake": fake(forgery)})
        yield Turn("diffusion", {"adversarial": real(self.discriminator(made))})

    def encode(self, image: Tensor) -> Tensor:
        return self.encoder(image)

    def decode(self, code: Tensor) -> Tensor:
        return self.generator(code)

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.decode(temperature * torch.randn(n, self.latent, device=self.device))
