"""One picture from bytes to an array and back, whatever its format: [H, W, C] with C 1 (grey), 3 (RGB) or 4 (RGBA).

Pixels are uint8, or uint16 where the file has 16 bits. Pillow does the work, with care where it would silently lose
something: 16-bit colour, EXIF rotation, transparency.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from isthmus.data.cache import Array
from isthmus.data.options import Fit
from isthmus.errors import DataError, OutputError

# Raster formats only: Pillow would run Ghostscript on an EPS file. HEIF is there if the user has a plugin for it.
FORMATS = ("PNG", "JPEG", "MPO", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "HEIF", "JPEG2000", "PPM", "TGA", "QOI")
SUFFIXES = frozenset(
    f".{suffix}"
    for line in (
        "png apng jpg jpeg jpe jfif mpo gif bmp dib tif tiff webp",
        "avif heic heif jp2 j2k ppm pgm pbm pnm tga qoi",
    )
    for suffix in line.split()
)
GREY_MODES = frozenset(("1", "L", "LA", "I", "F"))


class Header(NamedTuple):
    """What a file says about its picture before it is decoded."""

    width: int  # as shown, i.e. after EXIF rotation
    height: int
    mode: str  # Pillow's: "L", "RGB", "CMYK", ...
    bits: int  # per channel: 8, 16 or 32
    colour: bool


def read(path: str | Path, near: int | None = None) -> Array:
    """The picture in a file: [H, W, C] uint8 or uint16, C in 1, 3, 4; upright; the first frame if it is animated.

    `near` as for `decode`.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return decode(data, str(path), near)


def decode(data: bytes, name: str, near: int | None = None) -> Array:
    """The picture in `data`; `name` is for messages.

    With `near` a large JPEG may come out smaller, as long as both sides keep 2 `near` pixels: that is much faster.
    """
    try:
        with opened(data) as image:
            if near is not None:
                image.draft(None, (2 * near, 2 * near))  # None keeps the mode
            pixels = deep(image, data)
            pixels = shallow(image) if pixels is None else pixels
            return upright(pixels, orientation(image))
    except Exception as error:  # decoders meet broken data with any exception there is
        raise DataError(explain(error, data, name)) from error


def describe(data: bytes, name: str) -> Header:
    """The header of the picture in `data`, which is not decoded."""
    try:
        with opened(data) as image:
            width, height = image.size
            if orientation(image) in (5, 6, 7, 8) and image.format != "TIFF":  # of which Pillow takes care itself
                width, height = height, width
            raw = rawmode(image)
            bits = 16 if "16" in image.mode + raw else 32 if image.mode in ("I", "F") else 8
            colour = image.mode not in GREY_MODES and not image.mode.startswith("I;16") and raw != "LA;16B"
            return Header(width, height, image.mode, bits, colour)
    except Exception as error:  # as above
        raise DataError(explain(error, data, name)) from error


def opened(data: bytes) -> Image.Image:
    Image.init()
    return Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])


def explain(error: Exception, data: bytes, name: str) -> str:
    """Why a picture cannot be read, in one sentence."""
    if isinstance(error, DataError):
        return f"{name} cannot be read: {error}"
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"{name} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, which is not safe to decode: shrink it"
        )
    if not data:
        return f"{name} is an empty file"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
        return f"{name} is a HEIC picture, which cannot be read here: convert it to JPEG or PNG"
    if isinstance(error, UnidentifiedImageError):
        return f"{name} is not a picture in a format that can be read"
    return f"{name} cannot be decoded: {error or type(error).__name__}"


def orientation(image: Image.Image) -> int:
    """By EXIF, 1 to 8. What the PNG class does to find it would decode the whole picture."""
    return Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)


def rawmode(image: Image.Image) -> str:
    """How the pixels lie in the file, in Pillow's words."""
    tiles = getattr(image, "tile", None)
    args = tiles[0].args if tiles else None
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def deep(image: Image.Image, data: bytes) -> Array | None:
    """16-bit pixels as uint16, or None where there are 8 bits.

    Pillow knows 16-bit grey, but of 16-bit colours it keeps the high bytes only. Told that the bytes come in the other
    order, it keeps the low ones: two passes give all. A single transparent colour is not looked for.
    """
    raw = rawmode(image)
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise DataError("it has 32-bit pixels; save it with 8 or 16 bits for each channel")
        return values.astype(np.uint16)[..., None]
    if raw == "LA;16B":  # four bytes, read as if they were red, green, blue, alpha
        grey_high, grey_low, alpha_high, alpha_low = np.moveaxis(reread(data, "RGBA").astype(np.uint16), -1, 0)
        grey = grey_high << 8 | grey_low
        return np.stack([grey, grey, grey, alpha_high << 8 | alpha_low], axis=-1)
    if raw[:-1] in ("RGB;16", "RGBA;16"):
        other = raw[:-1] + ("L" if raw.endswith("B") else "B")
        return np.asarray(image).astype(np.uint16) << 8 | reread(data, other)
    return None


def reread(data: bytes, raw: str) -> Array:
    """The pixels decoded as if they lay in the file as `raw` says."""
    with opened(data) as image:
        image.tile = [  # type: ignore[attr-defined]
            tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:]))
            for tile in image.tile  # type: ignore[attr-defined]
        ]
        return np.asarray(image)


def shallow(image: Image.Image) -> Array:
    """8-bit pixels: grey stays grey, whatever has transparency gets an alpha channel, all else becomes RGB."""
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGB"))


def upright(pixels: Array, turn: int) -> Array:
    """The picture as it is meant to be seen, by its EXIF orientation 1 to 8."""
    if turn in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def to_channels(pixels: Array, channels: int) -> Array:
    """[H, W, C] with 1, 3 or 4 channels; alpha is laid on white unless it is kept."""
    have, top = pixels.shape[2], np.iinfo(pixels.dtype).max
    if have == channels:
        return pixels
    if have == 4:
        alpha = pixels[..., 3:].astype(np.float32) / top
        pixels = np.rint(pixels[..., :3] * alpha + top * (1 - alpha)).astype(pixels.dtype)
        have = 3
    if have == 3 and channels == 1:
        luma = pixels.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)  # ITU-R 601, in 1/65536
        return ((luma + 32768) >> 16).astype(pixels.dtype)[..., None]
    if have == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return pixels if channels == 3 else np.concatenate([pixels, np.full_like(pixels[..., :1], top)], axis=2)


def to_8bit(pixels: Array) -> Array:
    """uint16 to uint8, rounded; uint8 as it is."""
    return pixels if pixels.dtype == np.uint8 else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def fit(pixels: Array, width: int, height: int, mode: Fit = "crop") -> Array:
    """Resize [H, W, C] with antialiasing to `height` x `width`.

    Another shape is cropped at its long sides ("crop"), framed in black or transparency ("pad"), or distorted
    ("stretch"); "frame" pads without enlarging, as when 28x28 digits are laid on 32x32.
    """
    h, w, channels = pixels.shape
    if (h, w) == (height, width):
        return pixels
    if mode == "stretch":
        return resize(pixels, width, height, (0, 0, w, h))
    if mode == "crop":
        scale = min(w / width, h / height)
        left, top = max(0, w - width * scale) / 2, max(0, h - height * scale) / 2  # rounding may make them negative
        return resize(pixels, width, height, (left, top, w - left, h - top))
    scale = max(w / width, h / height, 1 if mode == "frame" else 0)
    inner_w, inner_h = max(1, round(w / scale)), max(1, round(h / scale))
    left, top = (width - inner_w) // 2, (height - inner_h) // 2
    out = np.zeros((height, width, channels), pixels.dtype)
    out[top : top + inner_h, left : left + inner_w] = resize(pixels, inner_w, inner_h, (0, 0, w, h))
    return out


def resize(pixels: Array, width: int, height: int, box: tuple[float, float, float, float]) -> Array:
    """The part `box` (left, top, right, bottom) brought to a size by Lanczos' filter; colours weigh by their alpha."""
    if pixels.dtype == np.uint8:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        out = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box, reducing_gap=3.0))
        return out.reshape(height, width, -1)
    planes = pixels.astype(np.float32)
    if pixels.shape[2] == 4:
        planes[..., :3] *= planes[..., 3:] / 65535
    images = (Image.fromarray(plane) for plane in np.moveaxis(planes, 2, 0))
    resized = [im.resize((width, height), Image.Resampling.LANCZOS, box, reducing_gap=3.0) for im in images]
    planes = np.stack([np.asarray(im) for im in resized], axis=2)
    if pixels.shape[2] == 4:
        planes[..., :3] *= 65535 / np.maximum(planes[..., 3:], 1)
    return np.rint(planes.clip(0, 65535)).astype(np.uint16)


def write(path: str | Path, pixels: Array) -> None:
    """Save [H, W, C], uint8 in any usual format, uint16 as PNG; JPEG has no alpha and gets it laid on white."""
    path = Path(path)
    suffix = path.suffix.lower()
    if pixels.dtype == np.uint16:
        if suffix != ".png":
            raise OutputError(f"{path}: 16-bit pictures are written as .png only")
        data = encode_png16(pixels)
    else:
        data = encode(pixels, suffix, path)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def encode(pixels: Array, suffix: str, path: Path | str = "") -> bytes:
    """A file of 8-bit pixels in the format of a suffix such as ".png"."""
    Image.init()
    name = Image.EXTENSION.get(suffix, "")
    if name not in FORMATS or name not in Image.SAVE:
        raise OutputError(
            f"{path or suffix}: pictures cannot be written as {suffix or 'a file without suffix'}; use .png"
        )
    if name == "JPEG" and pixels.shape[2] == 4:
        pixels = to_channels(pixels, 3)
    buffer = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.save(buffer, name, **({"quality": 95} if name == "JPEG" else {}))
    return buffer.getvalue()


def encode_png16(pixels: Array) -> bytes:
    """A PNG file of uint16 pixels: Pillow cannot write 16-bit colours, and the format is simple."""
    height, width, channels = pixels.shape
    rows = np.ascontiguousarray(pixels, ">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 2  # filter "up": each row minus the one above it, which compresses better
    filtered[:, 1:] = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(filtered.tobytes())) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
