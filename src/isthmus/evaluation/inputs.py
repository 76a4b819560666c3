"""What the metrics take: features [images, dims], as arrays or tensors, checked before anything is computed."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from isthmus.data.cache import Array
from isthmus.errors import DataError

Features: TypeAlias = Array | Tensor


def matrix(features: Features, name: str = "features", least: int = 1) -> Array:
    """Features as an array [images, dims], in float64 if they have it and in float32 otherwise.

    Raises DataError unless they are finite, of two dimensions, and of `least` images or more.
    """
    array = as_array(features)
    if array.ndim != 2 or not array.shape[1]:
        raise DataError(f"{name} are [images, dims], got shape {[*array.shape]}: flatten all but the first dimension")
    if len(array) < least:
        raise DataError(f"{name} hold {len(array)} of the {least} images or more that this takes: add images")
    if not np.isfinite(array.sum(dtype=np.float64)):  # cheap, and only huge finite values need the closer look
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        if len(bad):
            raise DataError(
                f"{name} are NaN or infinite for {len(bad)} of {len(array)} images, the first is number {bad[0]}: "
                "look at that image and at the network"
            )
    return array


def as_array(values: Features) -> Array:
    """A floating-point array, without a copy where there is one."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values if values.dtype == torch.float64 else values.float()).numpy()
    array = np.asarray(values)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def pair(a: Features, b: Features, least: int = 1, names: tuple[str, str] = ("first", "second")) -> tuple[Array, Array]:
    """Two sets of features in the same type. Raises DataError also where their dimensions differ."""
    first, second = (matrix(x, f"the {name} features", least) for x, name in zip((a, b), names, strict=True))
    same_dims(first.shape[1], second.shape[1])
    wider = np.result_type(first, second)
    return first.astype(wider, copy=False), second.astype(wider, copy=False)


def same_dims(first: int, second: int) -> None:
    if first != second:
        raise DataError(f"features of {first} and of {second} dims cannot be compared: take both from one extractor")
