"""Test images in the place of pictures that nobody has named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from isthmus.apps.trained import Trained
from isthmus.data.cache import Array
from isthmus.data.pictures import to_array
from isthmus.errors import ConfigError
from isthmus.training.settings import reopen


def examples(
    trained: Trained, run: str, n: int, seed: int, place: int = 0
) -> tuple[dict[str, Array], Iterator[str] | None]:
    """Some test images of the data that the model was trained on, by name, and their classes if they have any.

    Of several data sets `place` says which.

    Raises ConfigError if the model does not say what these data were.
    """
    if "data" not in trained.config:
        raise ConfigError(f"{run} does not say what data it was trained on: name pictures after it")
    test = reopen(trained.config, "test", Path(run))[place]
    index = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))[:n]
    batch = test.batch(index)
    pictures = {f"test-{i}": to_array(image) for i, image in zip(index.tolist(), batch.image, strict=True)}
    known = None if batch.labels is None else (test.spec.classes[label] for label in batch.labels.tolist())
    return pictures, known
