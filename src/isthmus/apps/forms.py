"""Images in whatever form people have them, to what a model sees and back.

An image is one of
- a tensor [channels, height, width], float in [-1, 1] or uint8 in [0, 255];
- an array [height, width, channels] or [height, width], uint8, uint16, or float in [0, 1];
- a PIL image, of any mode with up to 16 bits;
- a path to a picture file;
- for a model of sound, a path to a .wav file, or its samples at the model's rate: an array [samples], float in [-1, 1].

Several are a list of these, a tensor [batch, channels, height, width] or an array [batch, height, width, channels].
Channels are 1 (grey), 3 (RGB) or 4 (RGBA). Tensors come back as tensors on their device, arrays as arrays, both with
the type that they had; PIL images and paths come back as PIL images with 8 bits for each channel, sounds as samples.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ExifTags
from PIL.Image import Image as PILImage
from PIL.Image import fromarray
from torch import Tensor

from isthmus.core import Spec
from isthmus.data import audio
from isthmus.data.cache import Array
from isthmus.data.files import SOUNDS
from isthmus.data.images import to_bytes
from isthmus.data.options import Fit
from isthmus.data.read import deep, fit, read, shallow, to_channels, upright
from isthmus.errors import DataError

Image = Tensor | Array | PILImage | str | Path
CHANNELS = (1, 3, 4)
SLACK = 0.01  # by which floats may leave their range, as rounding in half precision makes them


class Gathered(NamedTuple):
    """Single images, and how to join what becomes of them to the form in which they came."""

    images: list[Any]
    join: Callable[[list[Any]], Any]
    several: bool = True


def gather(images: Any) -> Gathered:
    """One image or several, taken apart."""
    if isinstance(images, list | tuple):
        gathered = Gathered(list(images), list)
    elif isinstance(images, Tensor | np.ndarray) and images.ndim == 4:
        gathered = Gathered(list(images), joining(images))
    else:
        gathered = Gathered([images], itemgetter(0), several=False)
    if not gathered.images:
        raise DataError("no images were given")
    return gathered


def joining(image: Any) -> Callable[[list[Any]], Any]:
    """How several results in the form of `image` are held together."""
    return torch.stack if isinstance(image, Tensor) else np.stack if isinstance(image, np.ndarray) else list


def to_model(image: Image, spec: Spec, mode: Fit) -> Tensor:
    """The image as the model sees it: float [channels, height, width] in [-1, 1], of the size and channels of `spec`.

    A float tensor that has them already is left exactly as it is.
    """
    return apart(image, spec, mode)[0]


def apart(image: Image, spec: Spec, mode: Fit | None) -> tuple[Tensor, Tensor]:
    """The image as the model sees it, and its alpha where the model does not see that: [0 or 1, height, width].

    Without `mode` the size remains.
    """
    if isinstance(image, Tensor) and image.is_floating_point() and tuple(image.shape) == spec.shape:
        check_range(float(image.min()), float(image.max()), -1)
        return image.detach().float(), image[:0]
    array = pixels(image) if mode is None else fitted(image, spec, mode, alpha=True)
    alpha = array[..., 3:] if spec.channels == 3 else array[..., :0]
    seen = array if array.shape[2] == spec.channels else to_channels(deepened(array), spec.channels)
    return to_range(seen), to_range(alpha)


def to_range(array: Array) -> Tensor:
    """An array [H, W, C], uint8, uint16 or float in [0, 1], as float [channels, height, width] in [-1, 1]."""
    top = 1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max
    return torch.from_numpy(array.astype(np.float32)).mul_(2 / top).sub_(1).permute(2, 0, 1)


def fitted(image: Image, spec: Spec, mode: Fit, *, alpha: bool = False) -> Array:
    """The image as an array [H, W, C] of the size and channels of `spec`, with the bits it came with.

    With `alpha` that of an image which has it stays, beside the colours of a model that knows none.
    """
    if spec.rate and is_sound(image):
        return from_sound(image, spec)
    array = pixels(image, near=max(spec.height, spec.width))
    beside = alpha and array.shape[2] == 4 and spec.channels == 3
    if array.shape == (spec.height, spec.width, 4 if beside else spec.channels):
        return array
    array = deepened(array)
    seen = fit(to_channels(array, spec.channels), spec.width, spec.height, mode)
    if not beside:
        return seen
    clear = fit(np.iinfo(array.dtype).max - array[..., 3:], spec.width, spec.height, mode)
    return off_white(seen, clear)


def off_white(seen: Array, clear: Array) -> Array:
    """The colours and alpha [H, W, 4] that, laid on white, are the colours `seen` [H, W, 3]; `clear` is 0 where opaque.

    So a model sees what it saw in training, where pictures are laid on white before they are brought to its size. A
    pixel is at least as opaque as its colours need to be seen.
    """
    top = np.iinfo(seen.dtype).max
    dark = (top - seen).astype(np.float32)
    alpha = np.maximum(top - clear, dark.max(axis=2, keepdims=True))
    colours = top - np.rint(dark * top / alpha.clip(min=1))
    return np.concatenate([colours, alpha], axis=2).astype(seen.dtype)


def deepened(array: Array) -> Array:
    """The same image in whole numbers, as its channels and its size are changed; floats in [0, 1] become uint16."""
    return np.rint(array * 65535).astype(np.uint16) if array.dtype.kind == "f" else array


def with_alpha(result: Tensor, alpha: Tensor) -> Tensor:
    """The colours and alpha [4, height, width] that, laid on white, are the colours `result` [3, height, width].

    The `alpha` [0 or 1, ...] is brought to their size. Without one, or without colours, the result is left as it is.
    """
    if not len(alpha) or len(result) != 3:
        return result
    alpha = alpha.to(result)
    if alpha.shape[1:] != result.shape[1:]:
        alpha = F.interpolate(alpha[None], result.shape[1:], mode="bilinear", antialias=True)[0]
    part = (alpha + 1) / 2
    colours = torch.where(part > 0, 1 - (1 - result) / part, result).clamp(-1, 1)
    return torch.cat([colours, alpha])


def like(image: Image, result: Tensor) -> Any:
    """A model's image, float [channels, height, width] in [-1, 1], in the form of `image`."""
    if is_sound(image) and result.shape[:2] == (1, 1):
        return audio.to_wave(result)
    if isinstance(image, Tensor):
        return result.to(image) if image.is_floating_point() else to_bytes(result).to(image.device)
    if isinstance(image, np.ndarray):
        array = to_array(result, image.dtype)
        return array[..., 0] if image.ndim == 2 and array.shape[2] == 1 else array
    array = to_array(result, np.dtype(np.uint8))
    return fromarray(array[..., 0] if array.shape[2] == 1 else array)


def to_array(image: Tensor, dtype: np.dtype[Any]) -> Array:
    """float [channels, height, width] in [-1, 1] to an array [H, W, C]: uint8, uint16, or float in [0, 1]."""
    unit = image.detach().float().cpu().permute(1, 2, 0).add(1).div(2).clamp(0, 1).numpy()
    return unit.astype(dtype) if dtype.kind == "f" else np.rint(unit * np.iinfo(dtype).max).astype(dtype)


def is_sound(image: Image) -> bool:
    """Whether it is a sound file, or samples."""
    if isinstance(image, str | os.PathLike):
        return Path(image).suffix.lower() in SOUNDS.suffixes
    return isinstance(image, np.ndarray) and image.ndim == 1


def from_sound(image: Any, spec: Spec) -> Array:
    """As `fitted`, of a sound file or of samples at the rate of `spec`."""
    rate, wave = (spec.rate, image) if isinstance(image, np.ndarray) else audio.read(image)
    if not wave.size or wave.dtype.kind != "f" or not np.isfinite(wave).all():
        raise DataError(f"samples are an array of floats in [-1, 1], got {wave.dtype} {[*wave.shape]}")
    return audio.fit(wave, rate, spec)


def pixels(image: Image, near: int | None = None) -> Array:
    """Any image as an array [H, W, C], uint8, uint16, or float32 in [0, 1]. Raises DataError for what is no image.

    With `near` a large JPEG file may come out smaller, as in training.
    """
    if isinstance(image, str | os.PathLike):
        return read(Path(image), near)
    if isinstance(image, PILImage):
        return from_pil(image)
    if isinstance(image, Tensor):
        return checked(from_tensor(image), image.shape, "[channels, height, width]")
    if isinstance(image, np.ndarray):
        return checked(from_array(image), image.shape, "[height, width, channels] or [height, width]")
    raise DataError(f"an image is a tensor, an array, a PIL image or a path, got {type(image).__name__}")


def from_tensor(image: Tensor) -> Array:
    if image.ndim != 3:
        raise DataError(f"a tensor holds one image [channels, height, width] or a batch of them, got {[*image.shape]}")
    if image.dtype == torch.uint8:
        return image.cpu().permute(1, 2, 0).contiguous().numpy()
    if not image.is_floating_point():
        raise DataError(f"a tensor of images is float in [-1, 1] or uint8, got {image.dtype}")
    return in_unit(image.detach().cpu().float().permute(1, 2, 0).contiguous().numpy(), -1)


def from_array(image: Array) -> Array:
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim == 3 and image.shape[2] not in CHANNELS and image.shape[0] in CHANNELS:
        raise DataError(f"an array has its channels last, got shape {[*image.shape]}: transpose(1, 2, 0) it")
    if image.dtype in (np.uint8, np.uint16):
        return np.ascontiguousarray(image)
    if image.dtype.kind != "f":
        raise DataError(f"an array of images is uint8, uint16, or float in [0, 1], got {image.dtype}")
    return in_unit(image.astype(np.float32), 0)


def in_unit(values: Array, low: int) -> Array:
    """Values between `low` and 1, brought to [0, 1]."""
    if values.size:
        check_range(float(values.min()), float(values.max()), low)
    return ((values - low) / np.float32(1 - low)).clip(0, 1)


def check_range(smallest: float, largest: float, low: int) -> None:
    if not (smallest >= low - SLACK and largest <= 1 + SLACK):  # written so that NaN fails
        kind = "tensor" if low else "array"
        raise DataError(
            f"a float {kind} of images lies in [{low}, 1], got values from {smallest:g} to {largest:g}: scale it"
        )


def checked(array: Array, shape: tuple[int, ...], wanted: str) -> Array:
    if array.ndim != 3 or array.shape[2] not in CHANNELS:
        raise DataError(f"an image is {wanted} with 1, 3 or 4 channels, got shape {[*shape]}")
    if not array.size:
        raise DataError(f"an image has at least one pixel, got shape {[*shape]}")
    return array


def from_pil(image: PILImage) -> Array:
    """As from a file: upright, and with all bits that PIL has."""
    try:
        plain = image.copy()  # it has no file behind it, so that only its mode tells its bits
        array = deep(plain, b"")
        array = shallow(plain) if array is None else array
        return upright(array, image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:  # the file behind it is decoded only now, and broken data raise anything
        raise DataError(f"a PIL image (mode {image.mode}) cannot be used: {error}") from error
