"""What a trained model can do. A model lists its capabilities as bases; every tool asks for these and for nothing else.

Images are float tensors [batch, channels, height, width] in [-1, 1], codes float tensors [batch, latent].
They are abstract base classes, not structural protocols: a submodule that happens to be called `sample`
must not make its parent a model that samples, and a missing method fails when the model is constructed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from string import ascii_lowercase

import torch
from torch import Tensor

from isthmus.core.spec import Spec


class Capability(ABC):
    """Base of all capabilities: what a tool may ask of any model beside them."""

    @property
    @abstractmethod
    def spec(self) -> Spec:
        """The first domain that the model was built for."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the parameters are."""


class Samples(Capability):
    """Draws new images."""

    @abstractmethod
    def sample(self, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draw `n` images [n, channels, height, width], of the classes `label` [n] where the model knows classes.

        `temperature` scales the spread of what is drawn: 1 is the model's distribution, 0 its most typical images.
        """


class Pairs(Capability):
    """Draws images of two domains that belong together."""

    @abstractmethod
    def pairs(self, n: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Draw `n` images [n, channels, height, width] of domain a, and those of domain b that belong to them."""


class Encodes(Capability):
    """Gives images a code."""

    @abstractmethod
    def encode(self, image: Tensor) -> Tensor:
        """Images [batch, channels, height, width] to codes [batch, latent], without randomness."""

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, [batch, latent] each, of the image's Gaussian over codes; -inf for exact codes."""
        code = self.encode(image)
        return code, torch.full_like(code, -math.inf)


class Decodes(Capability):
    """Gives codes an image."""

    @property
    def code_size(self) -> int:
        """How many numbers a code has: the model's `latent`, unless it says otherwise."""
        return self.latent  # type: ignore[attr-defined]

    @abstractmethod
    def decode(self, code: Tensor) -> Tensor:
        """Codes [batch, latent] to images [batch, channels, height, width], without randomness."""


class Autoencodes(Encodes, Decodes):
    """Encodes and decodes with the same codes, so that `decode(encode(x))` is a reconstruction of x."""


class Describes(Capability):
    """Gives images features for other tasks."""

    @abstractmethod
    def describe(self, image: Tensor) -> Tensor:
        """Images [batch, channels, height, width] to features [batch, n], without randomness."""


class Classifies(Capability):
    """Tells the class of images."""

    @abstractmethod
    def classify(self, image: Tensor) -> Tensor:
        """Log-probabilities of the classes [batch, classes]."""


class Swaps(Autoencodes):
    """Autoencodes with a code of two parts, the class and all else, each of which can change without the other."""

    @abstractmethod
    def encode(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images to codes [batch, latent], given their classes [batch]; without, the model tells them itself."""

    @abstractmethod
    def swap(self, code: Tensor, label: Tensor) -> Tensor:
        """The codes [batch, latent] with the classes `label` [batch] in place of theirs, and all else as it was."""


class Completes(Capability):
    """Draws the missing part of an image."""

    @property
    def given(self) -> Tensor | None:
        """What must be known, bool [height, width], where that is always the same; None if it may be anything."""
        return None

    @abstractmethod
    def complete(self, image: Tensor, known: Tensor, temperature: float = 1.0) -> Tensor:
        """Images like `image` where `known`, bool [height, width], is true, and drawn to go with that elsewhere.

        Raises ConfigError if the model cannot start from what is known.
        """


class Translates(Capability):
    """Carries images from one domain to another."""

    specs: tuple[Spec, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        """What `to` may be: by default "a" for the first data set that it was trained on, "b" for the second."""
        return tuple(ascii_lowercase[: len(self.specs)])

    def ends(self, to: str) -> tuple[Spec, Spec]:
        """What images are that are carried to domain `to`, and what becomes of them."""
        a, b = self.specs
        return (b, a) if to == "a" else (a, b)

    @abstractmethod
    def translate(self, image: Tensor, to: str) -> Tensor:
        """Carry images of another domain to images [batch, channels, height, width] of domain `to`; may be random."""


class Styles(Translates):
    """Translates to many images, each with a style: what images of a domain do not have in common."""

    @abstractmethod
    def style(self, image: Tensor, of: str) -> Tensor:
        """The styles [batch, style] of images of domain `of`, without randomness."""

    @abstractmethod
    def draw_style(self, n: int, to: str) -> Tensor:
        """`n` styles [n, style] of domain `to` at random."""

    @abstractmethod
    def restyle(self, image: Tensor, to: str, style: Tensor) -> Tensor:
        """Images of another domain in domain `to`, with these styles [batch, style], without randomness."""

    def translate(self, image: Tensor, to: str) -> Tensor:
        return self.restyle(image, to, self.draw_style(len(image), to))


class Bridges(Translates):
    """Translates from code to code between two autoencoders, one for each domain."""

    @abstractmethod
    def autoencoder(self, domain: str) -> Autoencodes:
        """The autoencoder of domain "a" or "b"."""

    @abstractmethod
    def noise(self, n: int, to: str) -> Tensor:
        """Noise [n, noise] for `n` crossings to domain `to`."""

    @abstractmethod
    def cross(self, code: Tensor, to: str, noise: Tensor) -> Tensor:
        """Codes [batch, latent] of the other domain to codes [batch, latent'] of domain `to`, without randomness."""

    def translate(self, image: Tensor, to: str) -> Tensor:
        code = self.autoencoder("a" if to == "b" else "b").encode(image)
        return self.autoencoder(to).decode(self.cross(code, to, self.noise(len(code), to)))


class Scores(Capability):
    """Gives images a likelihood."""

    @property
    @abstractmethod
    def levels(self) -> int:
        """How many values a pixel has in what `log_prob` is the probability of; 0 if it is a density over [-1, 1]."""

    @abstractmethod
    def log_prob(self, image: Tensor) -> Tensor:
        """log p(image) in nats [batch], or the lower bound of it that the model has."""


class Bounds(Scores):
    """Bounds the likelihood through a posterior of codes."""

    @abstractmethod
    def log_weight(self, image: Tensor, samples: int) -> Tensor:
        """log p(x, z) - log q(z | x) in nats [samples, batch], each with its own draw z of the posterior q."""
