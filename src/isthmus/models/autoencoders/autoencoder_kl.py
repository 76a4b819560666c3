"""High-Resolution Image Synthesis with Latent Diffusion Models. Rombach et al., 2022. arXiv:2112.10752.

The autoencoder of latent diffusion, pretrained and frozen, from a folder in the layout of the library diffusers
(config.json and diffusion_pytorch_model.safetensors), so that bridges can join it to anything that autoencodes. It is
used, not trained: it has no players.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from isthmus.core import Autoencodes, Batch, Model, Player, Spec, Turn
from isthmus.errors import CheckpointError, ConfigError

__all__ = ["AutoencoderKL"]


class AutoencoderKL(Model, Autoencodes):
    """A pretrained autoencoder; its code is the mean of the posterior (section 3.1), as one vector."""

    architecture: str = "{}"  # the network's configuration in diffusers, as JSON

    def __post_init__(self) -> None:
        if self.architecture == "{}":
            raise ConfigError(
                "autoencoder-kl is used as it is and not trained: give the folder that diffusers wrote where a trained "
                "model's is asked for"
            )

    def networks(self, spec: Spec) -> None:
        self.network = diffusers().from_config(json.loads(self.architecture))
        settings = self.network.config
        shrink = 2 ** (len(settings.block_out_channels) - 1)
        if spec.channels != settings.in_channels or spec.height % shrink or spec.width % shrink:
            wanted = f"{settings.in_channels} channels and sides that are multiples of {shrink}"
            raise ConfigError(f"this autoencoder takes images of {wanted}, got {spec}")
        self.code_shape = (settings.latent_channels, spec.height // shrink, spec.width // shrink)

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Read a folder that diffusers wrote. Raises CheckpointError if it is not whole."""
        try:
            network = diffusers().from_pretrained(folder, use_safetensors=True, local_files_only=True)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"diffusers cannot read the autoencoder in {folder}: {error}") from None
        settings = network.config
        model = cls(architecture=json.dumps({k: v for k, v in settings.items() if not k.startswith("_")}))
        side = settings.sample_size
        model.build(Spec(settings.in_channels, side, side, name=str(folder)))
        model.network.load_state_dict(network.state_dict())
        return model.eval()

    def players(self) -> dict[str, Player]:
        return {}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        return iter(())

    def encode(self, image: Tensor) -> Tensor:
        return self.posterior(image)[0]

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.network.encode(image).latent_dist
        return codes.mean.flatten(1), codes.logvar.flatten(1)

    def decode(self, code: Tensor) -> Tensor:
        return self.network.decode(code.unflatten(1, self.code_shape)).sample.clamp(-1, 1)


def diffusers() -> Any:
    """The network's class in diffusers. Raises ConfigError if the library is not installed."""
    try:
        from diffusers import AutoencoderKL
    except ImportError:
        raise ConfigError("this autoencoder needs the library diffusers: pip install diffusers") from None
    return AutoencoderKL
