"""What a request may ask for, and pictures that are looked at before they are decoded."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.core import Spec
from isthmus.data import audio
from isthmus.data.cache import Array
from isthmus.data.read import decode, describe
from isthmus.errors import IsthmusError

DRAWS, STEPS, MANY = 64, 64, 16  # the most results, places on a way, and pictures or classes of one request
RATES = (1_000, 384_000)  # samples per second of a sound: others take very long filters
SIGNATURES = {"PNG": (0, b"\x89PNG\r\n\x1a\n"), "JPEG": (0, b"\xff\xd8\xff"), "WebP": (8, b"WEBP")}


@dataclass(frozen=True)
class Limits:
    """What a service bears; beyond it requests are refused before they cost anything."""

    upload: int = 16 * 2**20  # bytes of a request
    pixels: int = 32 * 10**6  # of a picture, as its header says before it is decoded


class Refused(IsthmusError):  # noqa: N818  (it is an answer, too)
    """A request that is not served, with the status code of HTTP that says why."""

    def __init__(self, status: int, message: str, retry: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry = status, retry  # seconds after which it may be asked again


def opened(data: bytes, spec: Spec, limits: Limits) -> Array:
    """The pixels of a picture, or of a sound for a domain of sounds. Raises Refused or DataError for anything else."""
    if spec.rate:
        rate, wave = audio.decode(data, "the sound")
        if not RATES[0] <= rate <= RATES[1]:
            raise Refused(422, f"the sound has {rate:,} samples a second; send {RATES[0]:,} to {RATES[1]:,}")
        needed = spec.width * rate // spec.rate + rate  # a second more, which the filter may look at
        return audio.fit(wave[:needed], rate, spec)
    if not any(data[at : at + len(mark)] == mark for at, mark in SIGNATURES.values()):
        raise Refused(415, f"what was sent is no picture; send {', '.join(SIGNATURES)}")
    header = describe(data, "the picture")
    if header.width * header.height > limits.pixels:
        raise Refused(
            413, f"the picture has {header.width}x{header.height} pixels, more than {limits.pixels:,}; shrink it"
        )
    return decode(data, "the picture", near=max(spec.height, spec.width))
