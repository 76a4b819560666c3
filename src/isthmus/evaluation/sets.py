"""The two sets of images that people name for a comparison, and the extractor that sees them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from isthmus.data.images import Images
from isthmus.data.open import open_data
from isthmus.data.options import DataOptions, Split, parse
from isthmus.errors import ConfigError, DataError
from isthmus.evaluation.features import AutoencoderFeatures, Extractor, JudgeFeatures
from isthmus.evaluation.judge import Recipe

QUICK = Recipe(steps=300, batch_size=64, lr=5e-3, features=8)  # a judge that sees well enough, in seconds
KINDS = "auto, judge, autoencoder, inception, torchvision:NAME or timm:NAME"


def open_sets(options: DataOptions, splits: tuple[Split, Split], limit: int, seed: int) -> tuple[Images, Images]:
    """Both sets, at most `limit` images of each; in colour if either is, where the options leave that open.

    A folder gives all its pictures, any other spec one split. Raises DataError with the mend.
    """
    if limit < 1:
        raise ConfigError(f"the number of images must be positive, got {limit}")
    a, b = (open_set(spec, split, options) for spec, split in zip(options.data, splits, strict=True))
    if a.spec.channels != b.spec.channels and options.channels is None:
        return open_sets(replace(options, channels=3), splits, limit, seed)
    return drawn(a, limit, seed), drawn(b, limit, seed)


def open_set(spec: str, split: Split, options: DataOptions) -> Images:
    """One set. What is the path of a folder is that folder."""
    if Path(spec).expanduser().is_dir():
        spec = f"folder:{spec}"
    whole = parse(spec).kind == "folder"
    parts = [open_data(replace(options, data=(spec,)), part) for part in (("train", "test") if whole else (split,))]
    if len(parts[0]) != 1:
        raise DataError(f'"{spec}" names two domains; a comparison is of two sets, each with its own spec')
    first, *others = (part[0] for part in parts)
    for other in others:
        labels = None if first.labels is None or other.labels is None else torch.cat([first.labels, other.labels])
        pixels = torch.cat([first.pixels, other.pixels])
        first = replace(first, store=pixels, rows=None, labels=labels, names=[*first.names, *other.names])
    return first


def drawn(images: Images, limit: int, seed: int) -> Images:
    """At most `limit` of the images, at random."""
    if len(images) <= limit:
        return images
    return images.take(torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:limit])


def choose(kind: str, weights: Path | None, images: Images) -> Extractor:
    """The extractor of that kind for comparisons with `images`. Raises ConfigError for an unknown one."""
    from isthmus.evaluation.backbones import InceptionFeatures, TimmFeatures, TorchvisionFeatures

    kind, _, name = kind.partition(":")
    if kind == "auto":
        kind = "judge" if images.labels is not None and len(images.labels.unique()) > 1 else "autoencoder"
    if kind == "inception":
        return InceptionFeatures(weights)
    if kind in ("torchvision", "timm") and name:
        return (TorchvisionFeatures if kind == "torchvision" else TimmFeatures)(name, weights)
    if weights is not None:
        raise ConfigError(f"--weights is for inception, torchvision:NAME and timm:NAME, not for {kind}")
    if kind == "judge":
        return JudgeFeatures.learnt(images, QUICK)
    if kind == "autoencoder":
        return AutoencoderFeatures(images)
    raise ConfigError(f"there are no features {kind!r}; there are {KINDS}")
