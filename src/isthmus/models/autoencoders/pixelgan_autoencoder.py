"""PixelGAN Autoencoders. Makhzani and Frey, 2017. arXiv:1706.00531.

The decoder is a conditional PixelCNN, which could model the images alone, and with a variational autoencoder's
divergence would: that punishes whatever a code says about its image. Here a game between codes, not between pixels,
only makes the codes of all images together look like the prior p(z). What a code says then depends on the prior, and on
what the decoder cannot see for itself: with a Gaussian prior, what lies beyond the decoder's receptive field; with a
categorical one, which of a few kinds an image is.

A round has the paper's three phases, all with one batch: reconstruction, discriminator, encoder against it. The paper
adds a fourth, cross-entropy, where some images have labels; here none do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Autoencodes, Batch, Model, Player, Samples, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.nn.autoregressive import categorical_log_prob, from_levels, to_levels
from isthmus.nn.conv import conv_encoder
from isthmus.nn.masked import GatedPixels, maps
from isthmus.nn.mlp import mlp

__all__ = ["PixelGANAutoencoder"]

SHARPNESS = 10.0  # deviation of the clusters' logits: low enough for gradients, too high for codes between clusters


class PixelGANAutoencoder(Model, Samples, Autoencodes):
    """PixelGAN autoencoder: minimises -E log p(x | z) while the codes z of all images together match p(z)."""

    prior: Literal["gaussian", "categorical"] = "gaussian"  # p(z): N(0, I), or one of `latent` clusters
    latent: int = 16  # size of the code; for the categorical prior, the number of clusters
    noise: int = 0  # size of the noise that makes q(z|x) random; 0 is a deterministic encoder
    location_dependent: bool = True  # whether the code's biases differ from place to place, or are the same everywhere
    levels: Literal[2, 256] = 256  # values that a pixel has: 256, or on and off
    features: int = 32  # channels of the decoder's stacks; the encoder has twice as many at half the size
    layers: int = 3  # gated layers of the decoder; with the sides of their convolutions, its receptive field
    kernel: int = 3  # side of their convolutions
    first_kernel: int = 5  # side of the convolutions in the first layer
    hidden: int = 500  # units in both hidden layers of the discriminator
    adversarial: bool = True  # whether codes are matched to the prior; without, it is an ablation
    smoothing: float = 0.1  # deviation of noise on what the discriminator sees, which else tells 0.999 from exactly 1
    lr: float = 1e-3  # learning rate of Adam for the autoencoder at first, from where it falls linearly to 0
    lr_adversarial: float = 1e-3  # the same for the discriminator, and for the encoder against it

    def __post_init__(self) -> None:
        self.positive("latent", "features", "layers", "hidden", "lr", "lr_adversarial")
        for name in ("kernel", "first_kernel"):
            if getattr(self, name) < 3 or getattr(self, name) % 2 == 0:
                raise ConfigError(f"{name} must be odd and at least 3, got {getattr(self, name)}")
        self.not_negative("noise", "smoothing")

    def networks(self, spec: Spec) -> None:
        if self.features < spec.channels:
            raise ConfigError(f"features must be at least {spec.channels}, one for each channel of the data")
        (channels, height, width), features = spec.shape, self.features
        self.encoder = nn.Sequential(
            conv_encoder(channels + self.noise, height, width, self.latent, 2 * features),
            nn.BatchNorm1d(self.latent, affine=False),  # so that at first all clusters are in use
        )
        conditions = features if self.location_dependent else self.latent
        self.decoder = GatedPixels(
            channels, self.levels, features, self.layers, self.kernel, self.first_kernel, conditions=conditions
        )
        shape = features, height, width
        self.conditions = maps(self.latent, shape) if self.location_dependent else nn.Identity()
        self.discriminator = mlp(self.latent, self.hidden, self.hidden, 1)

    def players(self) -> dict[str, Player]:
        def player(*modules: nn.Module, lr: float = self.lr_adversarial) -> Player:
            return Player(*modules, lr=lr, schedule=lambda progress: 1 - progress)

        players = {"autoencoder": player(self.encoder, self.conditions, self.decoder, lr=self.lr)}
        game = {"discriminator": player(self.discriminator), "encoder": player(self.encoder)}
        return players | game if self.adversarial else players

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        x = next(batches).image
        yield Turn("autoencoder", {"nll": -self.log_likelihood(x, self.code(x)).mean()})
        if self.adversarial:
            z = self.code(x)
            of_prior, of_images = self.judge(self.prior_code(len(x))), self.judge(z.detach())
            yield Turn("discriminator", {"real": real(of_prior), "fake": fake(of_images)})
            yield Turn("encoder", {"adversarial": real(self.judge(z))})

    def code(self, image: Tensor, temperature: float = 1.0) -> Tensor:
        """A draw of q(z|x), [batch, latent]; of a categorical code, the probabilities of the clusters."""
        noise = temperature * torch.randn(len(image), self.noise, 1, 1, device=image.device)
        z = self.encoder(torch.cat([image, noise.expand(-1, -1, *image.shape[2:])], dim=1)).float()
        return (SHARPNESS * z).softmax(1) if self.prior == "categorical" else z

    def prior_code(self, n: int) -> Tensor:
        """Codes [n, latent] of p(z)."""
        if self.prior == "gaussian":
            return torch.randn(n, self.latent, device=self.device)
        return F.one_hot(torch.randint(self.latent, (n,), device=self.device), self.latent).float()

    def judge(self, z: Tensor) -> Tensor:
        """Logits [batch, 1]: is it a code of the prior?"""
        return self.discriminator(z + self.smoothing * torch.randn_like(z))

    def log_likelihood(self, image: Tensor, z: Tensor) -> Tensor:
        """log p(image | z) in nats [batch]."""
        value = to_levels(image, self.levels)
        return categorical_log_prob(self.decoder(from_levels(value, self.levels), self.conditions(z)), value)

    def encode(self, image: Tensor) -> Tensor:
        """The code that a random encoder gives without its noise."""
        return self.code(image, temperature=0)

    def decode(self, code: Tensor) -> Tensor:
        """A draw of p(x|z) with the same noise for every code: images differ by what their codes say alone."""
        noise = torch.rand(self.spec.shape, generator=torch.Generator().manual_seed(0)).to(code.device)
        return self.drawn(code, noise.expand(len(code), *self.spec.shape))

    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        z = self.prior_code(n) * (temperature if self.prior == "gaussian" else 1)
        return self.drawn(z, torch.rand(n, *self.spec.shape, device=self.device), temperature)

    def drawn(self, code: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        """Images of p(x|z) that follow from the noise `uniform` of their shape, in [0, 1)."""
        nothing = torch.zeros(self.spec.shape[1:], dtype=torch.bool, device=code.device)
        with torch.no_grad():
            return self.decoder.fill(torch.zeros_like(uniform), nothing, uniform, self.conditions(code), temperature)
