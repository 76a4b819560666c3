"""The two sets of images that people name for a comparison, and the extractor that sees them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from isthmus.core import Spec
from isthmus.data.images import Images
from isthmus.data.open import open_data
from isthmus.data.options import DataOptions, Split, parse
from isthmus.errors import ConfigError, DataError
from isthmus.evaluation.features import AutoencoderFeatures, Extractor, JudgeFeatures
from isthmus.evaluation.judge import Recipe
from isthmus.evaluation.statistics import Statistics

QUICK = Recipe(steps=300, batch_size=64, lr=5e-3, features=8)  # a judge that sees well enough, in seconds
KINDS = "auto, judge, autoencoder, inception, torchvision:NAME or timm:NAME"


def open_sets(options: DataOptions, splits: tuple[Split, Split], limit: int, seed: int) -> tuple[Images, ...]:
    """One set or both, at most `limit` images of each; in colour if either is, where the options leave that open.

    A folder gives all its pictures, any other spec one split. Raises DataError with the mend.
    """
    if limit < 1:
        raise ConfigError(f"the number of images must be positive, got {limit}")
    sets = [open_set(spec, split, options) for spec, split in zip(options.data, splits, strict=False)]
    if len({images.spec.channels for images in sets}) > 1 and options.channels is None:
        return open_sets(replace(options, channels=3), splits, limit, seed)
    return tuple(drawn(images, limit, seed) for images in sets)


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


def in_form_of(spec: Spec | None, options: DataOptions) -> DataOptions:
    """The options for images of the size and channels of `spec`, where they leave these open."""
    if spec is None:
        return options
    channels: Any = options.channels or spec.channels
    return replace(options, size=options.size or f"{spec.width}x{spec.height}", channels=channels)


def drawn(images: Images, limit: int, seed: int) -> Images:
    """At most `limit` of the images, at random."""
    if len(images) <= limit:
        return images
    return images.take(torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:limit])


def choose(kind: str, weights: Path | None, images: Images | Statistics) -> Extractor:
    """The extractor of that kind for comparisons with `images`, or with statistics of images.

    Raises ConfigError for an unknown one, or for one that learns from images where there are none.
    """
    from isthmus.evaluation.backbones import InceptionFeatures, TimmFeatures, TorchvisionFeatures

    kind, _, name = kind.partition(":")
    if kind == "inception":
        return InceptionFeatures(weights)
    if kind in ("torchvision", "timm") and name:
        return (TorchvisionFeatures if kind == "torchvision" else TimmFeatures)(name, weights)
    if kind not in ("auto", "judge", "autoencoder"):
        raise ConfigError(f"there are no features {kind!r}; there are {KINDS}")
    if weights is not None:
        raise ConfigError(f"--weights is for inception, torchvision:NAME and timm:NAME, not for {kind}")
    if isinstance(images, Statistics):
        return eye_of(images, kind)
    labelled = images.labels is not None and len(images.labels.unique()) > 1
    learnt = kind == "judge" or (kind == "auto" and labelled)
    return JudgeFeatures.learnt(images, QUICK) if learnt else AutoencoderFeatures.learnt(images)


def eye_of(statistics: Statistics, kind: str) -> Extractor:
    """The extractor that lies in a file of statistics. Raises ConfigError if there is none."""
    if kind == "auto" and statistics.extractor is not None:
        return statistics.extractor
    made = statistics.moments.provenance.get("extractor", "an extractor that it does not name")
    raise ConfigError(
        f"the statistics are of features of {made}, and --features {kind} would learn others from images that are not "
        "there: say --features inception, torchvision:NAME or timm:NAME as they were made"
    )
