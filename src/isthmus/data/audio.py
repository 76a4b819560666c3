"""Sounds: WAV files to images of one channel and the height 1, and back.

Such an image holds the samples of a sound spread by the mu-law, by which quiet sounds lose little when they are rounded
to the 256 values of a pixel (section 2.2 of WaveNet, van den Oord et al., 2016, arXiv:1609.03499).
"""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from isthmus.core import Spec
from isthmus.data.cache import Array, digest, remember_arrays
from isthmus.data.decoding import left_out
from isthmus.data.files import SOUNDS, classes_of, in_split, places, scan
from isthmus.data.listing import UNREADABLE, Arrays
from isthmus.data.options import DataOptions, Source, Split, shorten
from isthmus.data.work import each
from isthmus.errors import DataError

MU = 255

# Tags and the like, and a file that was cut off: the sound that is there is read.
warnings.filterwarnings("ignore", r"Chunk \(non-data\) not understood|Incomplete chunk|Reached EOF", UserWarning)


def mu_law(wave: Array) -> Array:
    """f(x) = sign(x) log(1 + mu |x|) / log(1 + mu), of samples in [-1, 1]."""
    return np.sign(wave) * np.log1p(MU * np.abs(wave)) / np.log1p(MU)


def inverse_mu_law(value: Array) -> Array:
    """The samples in [-1, 1] that `mu_law` spreads to `value`."""
    return np.sign(value) * np.expm1(np.abs(value) * np.log1p(MU)) / MU


def to_pixels(wave: Array) -> Array:
    """Samples, which are clipped to [-1, 1], to the nearest of the 256 values of a pixel, uint8."""
    return np.rint((mu_law(wave.clip(-1, 1)) + 1) * 127.5).astype(np.uint8)


def to_wave(image: Tensor | Array) -> Array:
    """The samples in [-1, 1] of an image, float in [-1, 1] or uint8: float32 [samples]."""
    values = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    values = values / 127.5 - 1 if values.dtype == np.uint8 else values
    return inverse_mu_law(values.ravel().astype(np.float64).clip(-1, 1)).astype(np.float32)


def encode(image: Tensor | Array, rate: int) -> bytes:
    """A WAV file, 16 bits, of one sound; of several one after the other."""
    from scipy.io import wavfile

    buffer = io.BytesIO()
    wavfile.write(buffer, rate, np.rint(to_wave(image) * 32767).astype(np.int16))
    return buffer.getvalue()


def decode(data: bytes, name: str) -> tuple[int, Array]:
    """The samples per second in a WAV file, and the samples [n] in [-1, 1], channels averaged; `name` is for messages.

    8 to 32 bits and floats are read. Raises DataError for anything else.
    """
    from scipy.io import wavfile

    try:
        rate, samples = wavfile.read(io.BytesIO(data))
    except Exception as error:  # it meets broken data with any exception there is
        reason = f"cannot be read: {error or type(error).__name__}" if data else "is an empty file"
        raise DataError(f"{name} {reason}") from error
    zero = 128 if samples.dtype == np.uint8 else 0
    scale = 1 if samples.dtype.kind == "f" else (np.iinfo(samples.dtype).max + 1 - zero)
    wave = (samples.astype(np.float64) - zero) / scale
    wave = wave.mean(axis=1) if wave.ndim == 2 else wave
    if not wave.size or not np.isfinite(wave).all():
        raise DataError(f"{name} holds {'samples that are not finite' if wave.size else 'no sound'}")
    return rate, wave.astype(np.float32)


def read(path: str | Path) -> tuple[int, Array]:
    """The samples per second in a WAV file, and the samples [n] in [-1, 1]."""
    try:
        return decode(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def fit(wave: Array, rate: int, spec: Spec) -> Array:
    """A sound as an image [1, samples, 1], uint8, of the rate and length of `spec`: cut, or followed by silence."""
    wave = resampled(wave, rate, spec.rate)[: spec.width]
    return to_pixels(np.pad(wave, (0, spec.width - len(wave))))[None, :, None]


def resampled(wave: Array, rate: int, to: int) -> Array:
    """A sound at another rate, without aliases."""
    if rate == to:
        return wave
    from scipy.signal import resample_poly  # which takes long to import

    common = math.gcd(rate, to)
    return resample_poly(wave, to // common, rate // common)


class Heads(NamedTuple):
    """What is known of sound files before they are cut; arrays [n]."""

    digest: Array  # uint64, equal for equal contents
    rate: Array  # int64
    samples: Array  # int64
    error: Array  # str, empty where the file can be read

    def take(self, index: Array) -> Heads:
        return Heads(*(column[index] for column in self))

    def at(self, rate: int) -> Array:
        """How many samples there are once they are resampled."""
        return -(-self.samples * rate // np.maximum(self.rate, 1))


def open_audio(source: Source, split: Split, options: DataOptions) -> Arrays:
    """One split of a folder of WAV files, only the classes asked for, in pieces of equal length."""
    root = Path(source.argument).expanduser()
    status = scan(root, source.text, SOUNDS)
    names, key = [*status], digest("audio", str(root.resolve()), tuple(status.items()))
    heads, found = read_heads(root, names, key), places(names, root)
    classes = classes_of(found)
    keep = source.select(classes)
    labels = np.array([classes.index(place.inner[0]) if classes else 0 for place in found], np.int64)
    asked = np.flatnonzero(np.isin(labels, keep)) if classes else np.arange(len(names))
    rate, length = settle(source.text, heads.take(asked), options)
    inside = in_split([found[i] for i in asked], split, heads.digest[asked], options.test_fraction, root)
    files = asked[inside]
    good = files[usable(source.text, [names[i] for i in files], heads.take(files), rate, length)]
    if not len(good):
        raise DataError(f"{source.text} has no sound for {split}ing: it takes at least two different files")
    key = digest(key, good.tolist(), rate, length)
    arrays = remember_arrays(key, lambda: pieces(root, [names[i] for i in good], rate, length))
    file = good[arrays["file"]]  # of each piece
    numbers = np.searchsorted(keep, labels[file]) if classes else None
    kept = tuple(classes[label] for label in keep) if classes else ()
    return Arrays(source.text, key, arrays["pixels"], numbers, kept, [names[i] for i in file], rate)


def read_heads(root: Path, names: Sequence[str], key: str) -> Heads:
    """What is known of all files; each is read once, the first time."""

    def one(name: str) -> tuple[object, ...]:
        try:
            data = (root / name).read_bytes()
            rate, wave = decode(data, name)
        except OSError as error:
            return UNREADABLE, 0, 0, f"{name} cannot be read: {error.strerror}"
        except DataError as error:
            return UNREADABLE, 0, 0, str(error)
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little"), rate, len(wave), ""

    def build() -> dict[str, Array]:
        columns = zip(*each(one, names, "reading sounds"), strict=True)
        types = (np.uint64, np.int64, np.int64, np.str_)
        return {f: np.array(c, t) for f, c, t in zip(Heads._fields, columns, types, strict=True)}

    arrays = remember_arrays(digest("heads", key), build)
    return Heads(**{field: np.asarray(array) for field, array in arrays.items()})


def settle(name: str, heads: Heads, options: DataOptions) -> tuple[int, int]:
    """The samples per second, and in each piece: as the options say, or as all files have them."""
    good = heads.take(np.flatnonzero(heads.error == ""))
    if not len(good.rate):
        raise DataError(f"{name}: none of {len(heads.error)} sounds can be read, e.g. {heads.error[0]}")
    rates = np.unique(good.rate).tolist()
    if options.rate is None and len(rates) > 1:
        found = shorten([f"{rate} Hz" for rate in rates], 5)
        raise DataError(f"{name}: the sounds have different rates, {found}: choose one, e.g. --rate {rates[0]}")
    rate = options.rate or rates[0]
    samples = good.at(rate)
    if options.seconds is None and samples.min() < samples.max():
        shortest, usual, longest = (f"{np.quantile(samples, q) / rate:.3g}" for q in (0, 0.1, 1))
        raise DataError(
            f"{name}: the sounds have different lengths, {shortest} to {longest} seconds: choose one into which they "
            f"are cut, e.g. --seconds {usual}"
        )
    return rate, max(1, round(options.seconds * rate)) if options.seconds else int(samples[0])


def usable(title: str, names: Sequence[str], heads: Heads, rate: int, length: int) -> Array:
    """Where the files can be read and are long enough; the others are named in a warning."""
    short = (heads.error == "") & (heads.at(rate) < length)
    errors = [str(error) for error in heads.error if error]
    errors += [f"{names[i]} has only {heads.at(rate)[i] / rate:.3g} seconds" for i in np.flatnonzero(short).tolist()]
    if errors:
        left_out(title, errors, len(names), SOUNDS.what)
    return np.flatnonzero((heads.error == "") & ~short)


def pieces(root: Path, names: Sequence[str], rate: int, length: int) -> dict[str, Array]:
    """All files in pieces, [n, 1, 1, length], and of which file each is; what is left at an end is not used."""

    def cut(name: str) -> Array:
        found, wave = decode((root / name).read_bytes(), name)
        pixels = to_pixels(resampled(wave, found, rate))
        return pixels[: len(pixels) // length * length].reshape(-1, 1, 1, length)

    cuts = each(cut, names, "reading sounds")
    return {"pixels": np.concatenate(cuts), "file": np.repeat(np.arange(len(cuts)), [len(part) for part in cuts])}
