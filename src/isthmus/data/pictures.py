"""Images of a model as pictures that people can look at."""

from __future__ import annotations

import base64
import math
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from isthmus.data.cache import Array
from isthmus.data.images import to_bytes
from isthmus.data.read import encode, encode_png16, write

VISIBLE = 32  # a tile smaller than that, in pixels, is enlarged by default
CURVE, MARGIN = (64, 240), 8  # of a signal that is drawn: height and width in pixels, and white beside it
Picture = Tensor | Array  # a tensor [C, H, W], uint8 or float in [-1, 1]; or an array [H, W, C], uint8 or uint16


def grid(images: Tensor, columns: int, padding: int = 2, scale: int | None = None) -> Tensor:
    """Images [n, C, H, W], uint8 or float in [-1, 1], row by row in `columns`, on white: uint8 [C, height, width].

    Each pixel becomes `scale` x `scale`; by default small images are enlarged until they can be seen.
    """
    tiles = images if images.dtype == torch.uint8 else to_bytes(images)
    tiles = enlarge(tiles.cpu(), scale)
    rows = math.ceil(len(tiles) / columns)
    tiles = pad(tiles, (padding, 0, padding, 0), value=255)
    if missing := rows * columns - len(tiles):
        tiles = torch.cat([tiles, tiles.new_full((missing, *tiles.shape[1:]), 255)])
    _, channels, height, width = tiles.shape
    sheet = tiles.reshape(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    return pad(sheet.reshape(channels, rows * height, columns * width), (0, padding, 0, padding), value=255)


def enlarge(images: Tensor, scale: int | None = None) -> Tensor:
    """Each pixel of [..., H, W] as `scale` x `scale`, by default as many as make the image at least 32 pixels.

    Signals, which have one channel and the height 1, are drawn as curves instead.
    """
    if images.shape[-3:-1] == (1, 1):
        return curves(images)
    scale = scale or math.ceil(VISIBLE / min(VISIBLE, *images.shape[-2:]))
    return images.repeat_interleave(scale, -2).repeat_interleave(scale, -1) if scale > 1 else images


def curves(signals: Tensor) -> Tensor:
    """Signals [..., 1, width], uint8 or float in [-1, 1], as pictures of their graphs, black on white: uint8.

    A column of pixels shows all that the signal reaches in its part of the time.
    """
    (height, width), samples = CURVE, signals.shape[-1]
    pixels = signals if signals.dtype == torch.uint8 else to_bytes(signals)
    level = (height - 1 - pixels.float() * ((height - 1) / 255)).round()
    starts = [i * samples // width for i in range(width + 1)]
    parts = [level[..., max(start - 1, 0) : max(end, start + 1)] for start, end in pairwise(starts)]  # they overlap
    top, bottom = (torch.cat([f(part, -1, True) for part in parts], -1) for f in (torch.amin, torch.amax))
    row = torch.arange(height, device=signals.device)[:, None]
    inked = (top <= row) & (row <= bottom)
    return pad(torch.where(inked, 0, 255).to(torch.uint8), (MARGIN, MARGIN), value=255)


def to_array(image: Picture) -> Array:
    """One picture as an array [H, W, C]."""
    if not isinstance(image, Tensor):
        return image
    pixels = image if image.dtype == torch.uint8 else to_bytes(image)
    return pixels.permute(1, 2, 0).contiguous().cpu().numpy()


def save_png(image: Picture, path: str | Path) -> None:
    """Write a picture, in whatever format the path's suffix names; missing folders are made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write(path, to_array(image))


def to_png_bytes(image: Picture) -> bytes:
    """A picture as the content of a PNG file."""
    pixels = to_array(image)
    return encode_png16(pixels) if pixels.dtype == "uint16" else encode(pixels, ".png")


def data_uri(image: Picture) -> str:
    """A picture as the `src` of an HTML image."""
    return "data:image/png;base64," + base64.b64encode(to_png_bytes(image)).decode()
