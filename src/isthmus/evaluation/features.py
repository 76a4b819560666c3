"""Features of images: what an extractor is, and the ones that need no weights from elsewhere.

Extractors see uint8 pixels, so that real and generated images are rounded alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Spec
from isthmus.data.cache import Array, digest, remember_arrays
from isthmus.data.images import Images, to_bytes, to_unit
from isthmus.errors import DataError
from isthmus.evaluation.judge import Judge, Recipe, judge
from isthmus.nn.conv import conv_decoder, conv_encoder
from isthmus.training.log import Bar

PART = 250  # images through an extractor at once
SIDE = 32  # pixels: what small extractors see of large images
CODE, WIDTH = 64, 16  # dims of the autoencoder's features, channels of its first layer


class Extractor(Protocol):
    """Makes features of images, and tells what it is."""

    name: str  # shown with every figure
    weights: str  # first digits of a SHA-256 that identifies the weights
    resizer: str  # how images come to the size it needs

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 [batch, channels, height, width] to float [batch, dims]."""
        ...


@runtime_checkable
class Answers(Protocol):
    """An extractor whose features a classifier reads."""

    def answers(self, features: Tensor) -> Tensor:
        """Features [batch, dims] to logits [batch, classes]."""
        ...


def extract(extractor: Extractor, images: Images | Tensor | Iterable[Tensor]) -> Array:
    """Features float32 [n, dims] of a data set, of images [n, channels, H, W], or of an iterable of such batches.

    Tensors are uint8, or float in [-1, 1]. Raises DataError where there are none.
    """
    with torch.no_grad():
        found = [extractor(part).float().cpu().numpy() for part in parts(images)]
    if not found:
        raise DataError("there are no images to take features of")
    return np.concatenate(found)


def parts(images: Images | Tensor | Iterable[Tensor]) -> Iterator[Tensor]:
    """The pixels, uint8, a part at a time."""
    if isinstance(images, Images):
        yield from (images.cut(index, None) for index in torch.arange(len(images)).split(PART))
        return
    for batch in (images,) if isinstance(images, Tensor) else images:
        if batch.ndim != 4:
            raise DataError(f"a batch of images is [batch, channels, height, width], got shape {[*batch.shape]}")
        if batch.is_floating_point() and not (batch.abs() <= 1.01).all():  # written so that NaN fails
            raise DataError(f"float images lie in [-1, 1], got {batch.min():g} to {batch.max():g}: scale them")
        yield from (part if part.dtype == torch.uint8 else to_bytes(part) for part in batch.split(PART))


def features_of(extractor: Extractor, images: Images) -> Array:
    """The same of a data set, computed once: kept in the cache under its pixels and the extractor's identity."""
    key = digest(extractor.name, extractor.weights, extractor.resizer, images.spec.shape, pixels_hash(images))
    return remember_arrays(key, lambda: {"features": extract(extractor, images)})["features"]


def pixels_hash(images: Images) -> str:
    """Identifies the pixels of a data set."""
    stamp = hashlib.blake2b(repr(images.pixels.shape).encode(), digest_size=16)
    for part in images.pixels.split(1000):
        stamp.update(part.contiguous().numpy().data)
    return stamp.hexdigest()


def weights_hash(network: nn.Module) -> str:
    """First digits of the SHA-256 of all parameters and buffers."""
    stamp = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        stamp.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return stamp.hexdigest()[:12]


def shrunk(pixels: Tensor) -> Tensor:
    """Images uint8 [batch, channels, H, W], made smaller with antialiasing until no side exceeds 32."""
    size = shrunk_size(*pixels.shape[2:])
    if size == pixels.shape[2:]:
        return pixels
    small = F.interpolate(pixels.float(), size, mode="bilinear", antialias=True)
    return small.round_().clamp_(0, 255).to(torch.uint8)


def shrunk_size(height: int, width: int) -> tuple[int, int]:
    """The size of these images once they are made smaller."""
    shrink = min(1.0, SIDE / max(height, width))
    return max(1, round(shrink * height)), max(1, round(shrink * width))


class JudgeFeatures:
    """The penultimate layer of a judge: what tells the classes of one data set apart. 128 dims."""

    def __init__(self, network: Judge) -> None:
        side = max(network.size)
        whole = (network.spec.height, network.spec.width) == network.size
        self.network, self.spec = network, network.spec
        self.resizer = "none" if whole else f"averaged to {side} pixels"
        self.name, self.weights = f"judge of {self.spec.name}", weights_hash(network)

    @classmethod
    def learnt(cls, images: Images, recipe: Recipe | None = None) -> JudgeFeatures:
        """Trained on `images`, which have classes; kept in the cache."""
        return cls(judge(images, images.take(torch.arange(min(1000, len(images)))), recipe))

    def __call__(self, pixels: Tensor) -> Tensor:
        return self.network.features(to_unit(pixels))

    def answers(self, features: Tensor) -> Tensor:
        return self.network.head(features)


class AutoencoderFeatures:
    """The code of a small autoencoder: what it takes to redraw images of one data set. 64 dims; needs no classes."""

    def __init__(self, network: nn.Module, spec: Spec) -> None:
        self.network, self.spec = network.eval(), spec
        whole = shrunk_size(spec.height, spec.width) == (spec.height, spec.width)
        self.resizer = "none" if whole else f"antialiased bilinear to {SIDE} pixels"
        self.name, self.weights = f"autoencoder of {spec.name}", weights_hash(network)

    @classmethod
    def learnt(cls, images: Images, steps: int = 400, seed: int = 0) -> AutoencoderFeatures:
        """Trained on `images`; kept in the cache."""
        height, width = shrunk_size(images.spec.height, images.spec.width)
        pixels = torch.cat([shrunk(part) for part in parts(images)])
        seen = replace(images, store=pixels, rows=None, spec=replace(images.spec, height=height, width=width))
        key = digest("autoencoder", steps, seed, seen.spec.shape, pixels_hash(seen))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = encoder(images.spec)
            state = remember_arrays(key, lambda: taught(network, seen, steps))
        network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
        return cls(network, images.spec)

    def __call__(self, pixels: Tensor) -> Tensor:
        return self.network(to_unit(shrunk(pixels)))


def encoder(spec: Spec) -> nn.Module:
    """The untrained network of an autoencoder's features."""
    return conv_encoder(spec.channels, *shrunk_size(spec.height, spec.width), CODE, WIDTH)


@torch.enable_grad()
def taught(encoder: nn.Module, images: Images, steps: int) -> dict[str, Array]:
    """Train with a decoder on the mean squared error; the encoder's weights."""
    decoder = conv_decoder(CODE, *images.spec.shape, WIDTH)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    with Bar(f"autoencoder of {images.spec.name}", steps, 0) as bar:
        for step in range(1, steps + 1):
            image = images.batch(torch.randint(len(images), (64,))).image
            loss = F.mse_loss(decoder(encoder(image)).tanh(), image)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 50 == 0 or step == steps:
                bar.update(step, {"squared error": loss.item()}, 0)
    return {name: value.numpy() for name, value in encoder.state_dict().items()}
