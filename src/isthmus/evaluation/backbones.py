"""Extractors whose weights come in a file: Inception as torch-fidelity has it, torchvision's and timm's networks.

Nothing is ever downloaded: a missing file is an error that says which file, how large, and where it belongs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.errors import ConfigError, DataError

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_HASH = "6726825d"


def checkpoints() -> Path:
    """Where torch keeps weights: $TORCH_HOME/hub/checkpoints."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def weight_file(name: str, given: Path | None, size: str, source: str) -> Path:
    """The file of weights: as `given`, or as torch keeps it. Raises ConfigError with what is missing."""
    file = Path(given).expanduser() if given is not None else checkpoints() / name
    if not file.is_file():
        raise ConfigError(
            f"there are no weights at {file}: fetch {name} ({size}, {source}; the SHA-256 starts with the digits in "
            f"its name), then name it with --weights or put it in {checkpoints()}"
        )
    return file


def file_hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:12]


def state_of(file: Path) -> dict[str, Any]:
    """The tensors of a file. Raises DataError for what is none."""
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises anything
        raise DataError(f"{file} holds no weights that can be read: {error}") from None


def fill(network: nn.Module, file: Path) -> None:
    """Load weights. Raises DataError where they are another network's."""
    try:
        network.load_state_dict(state_of(file))
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise DataError(f"{file} holds the weights of another network: {reason}") from None


def coloured(pixels: Tensor) -> Tensor:
    """Three channels."""
    if pixels.shape[1] not in (1, 3):
        raise DataError(f"this extractor sees grey or coloured images, got {pixels.shape[1]} channels: --channels 3")
    return pixels.expand(-1, 3, -1, -1)


class InceptionFeatures:
    """The network of FID, KID and the Inception score, by way of torch-fidelity. 2048 dims, 6 images a second a core.

    It is called by its name only where the file is the one that everybody uses.
    """

    resizer = "bilinear as in TensorFlow 1, to 299x299"

    def __init__(self, weights: Path | None = None) -> None:
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError:
            raise ConfigError(
                "Inception features need the package torch-fidelity: pip install torch-fidelity"
            ) from None
        file = weight_file(INCEPTION_FILE, weights, "91 MB", "release v0.2.0 of toshas/torch-fidelity")
        self.weights = file_hash(file)
        self.genuine = self.weights.startswith(INCEPTION_HASH)
        self.name = "inception-2015-12-05" if self.genuine else f"Inception with other weights ({file.name})"
        try:
            self.network = FeatureExtractorInceptionV3(self.name, ["2048"], feature_extractor_weights_path=str(file))
        except Exception as error:  # of torch.load, or of the library's own checks
            raise DataError(f"{file} does not hold Inception's weights as torch-fidelity has them: {error}") from None
        self.network.eval()

    def __call__(self, pixels: Tensor) -> Tensor:
        (features,) = self.network(coloured(pixels))
        return features

    def answers(self, features: Tensor) -> Tensor:
        """1008 logits without bias, as the Inception score has them."""
        return features @ self.network.fc.weight.T


class TorchvisionFeatures:
    """What a classifier of torchvision's gives to its last layer; images are resized with antialiasing."""

    def __init__(self, name: str, weights: Path | None = None) -> None:
        from torchvision import models

        if name not in models.list_models(models):
            raise ConfigError(f"torchvision has no classifier {name!r}; e.g. resnet50, vit_b_16, convnext_tiny")
        known = models.get_model_weights(name).DEFAULT
        file = weight_file(Path(known.url).name, weights, f"{known.meta['_file_size']:.0f} MB", "torchvision's weights")
        preset = known.transforms()
        self.size, self.mean, self.std = preset.crop_size[0], torch.tensor(preset.mean), torch.tensor(preset.std)
        network = models.get_model(name, weights=None)
        fill(network, file)
        self.network = headless(network).eval()
        self.name, self.weights = f"torchvision {name}", file_hash(file)
        self.resizer = f"antialiased bicubic to {self.size}x{self.size}"

    def __call__(self, pixels: Tensor) -> Tensor:
        return self.network(standardised(pixels, self.size, self.mean, self.std)).flatten(1)


class TimmFeatures:
    """The pooled features of a network of timm's; images are resized with antialiasing."""

    def __init__(self, name: str, weights: Path | None = None) -> None:
        try:
            import timm
        except ImportError:
            raise ConfigError(f"timm:{name} needs the package timm: pip install timm") from None
        if name not in timm.list_models():
            raise ConfigError(f"timm has no model {name!r}; timm.list_models() lists them")
        file = weight_file(f"{name}.safetensors", weights, "as large as the model", f"timm/{name} on the hub")
        network = timm.create_model(name, pretrained=False)
        fill(network, file)
        network.reset_classifier(0)
        settings = timm.data.resolve_model_data_config(network)
        self.size, self.network = settings["input_size"][1], network.eval()
        self.mean, self.std = torch.tensor(settings["mean"]), torch.tensor(settings["std"])
        self.name, self.weights = f"timm {name}", file_hash(file)
        self.resizer = f"antialiased bicubic to {self.size}x{self.size}"

    def __call__(self, pixels: Tensor) -> Tensor:
        return self.network(standardised(pixels, self.size, self.mean, self.std))


def headless(network: nn.Module) -> nn.Module:
    """The network with its last linear layer taken off."""
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise ConfigError(f"{type(network).__name__} has no linear layer, so it is not clear what its features are")
    network.set_submodule(linear[-1], nn.Identity())
    return network


def standardised(pixels: Tensor, size: int, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 images as such networks were trained on them."""
    image = F.interpolate(coloured(pixels).float(), [size, size], mode="bicubic", antialias=True)
    return (image.clamp_(0, 255) / 255 - mean[:, None, None]) / std[:, None, None]
