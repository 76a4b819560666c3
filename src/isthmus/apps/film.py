"""Pictures one after the other, frame by frame: animated GIF, PNG and WebP by Pillow, videos by `isthmus.apps.video`.

A video takes the memory of a few frames. What Pillow writes it is given whole: that much memory an animation takes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from PIL import Image

from isthmus.apps import video
from isthmus.data.cache import Array
from isthmus.data.read import explain, orientation, shallow, to_channels, upright
from isthmus.errors import ConfigError, DataError

# How Pillow is to write what a suffix names; colours are kept as they are where the format can.
ANIMATED: dict[str, dict[str, Any]] = {
    ".gif": {"format": "GIF"},
    ".apng": {"format": "PNG"},
    ".webp": {"format": "WEBP", "lossless": True},
}
READ = {**ANIMATED, ".png": ANIMATED[".apng"]}  # a film may bear the suffix of a picture
TICKS = {"GIF": Fraction(1, 100), "PNG": Fraction(1, 10000), "WEBP": Fraction(1, 1000)}  # seconds that formats count
SUFFIXES = (*ANIMATED, *video.CODECS)
AT_ONCE = Fraction(1, 10)  # seconds for which browsers show a frame that is to last none


class Frame(NamedTuple):
    """A picture of a film, and when and how long it is shown, in seconds."""

    pixels: Array  # [H, W, C], uint8
    start: Fraction
    seconds: Fraction


@dataclass(frozen=True)
class Film:
    """A film that is being read."""

    frames: Iterator[Frame]
    count: int | None  # frames, where the file says how many
    step: Fraction  # seconds of which all times are multiples
    loop: int | None = 0  # how often it is shown, 0 without end; None where the file does not say


class Writer(Protocol):
    """A film that is being written."""

    def add(self, frame: Frame) -> None: ...

    def close(self) -> None: ...


def is_film(path: Path) -> bool:
    """Whether a file is a video by its name, or an animation by its content."""
    if video.is_video(path):
        return True
    if path.suffix.lower() not in READ:
        return False
    try:
        with Image.open(path, formats=[READ[path.suffix.lower()]["format"]]) as image:
            return getattr(image, "is_animated", False)
    except Exception:  # whatever is wrong with it is explained where it is read as a picture
        return False


def suffix_for(path: Path) -> str:
    """The kind of file that is made of a film: its own, or .mp4 for a kind of video that is read alone."""
    suffix = path.suffix.lower()
    return suffix if suffix in (*READ, *video.CODECS) else ".mp4"


def check_video(file: Path | str, instead: str = "") -> None:
    """Raises ConfigError, before any work begins, if `file` is a video and its package is not there."""
    if video.is_video(Path(file)):
        try:
            import av  # noqa: F401
        except ImportError:
            extra = "isthmus[video] has it"
            raise ConfigError(f"{file} needs the package PyAV ({extra}): pip install av{instead}") from None


@contextmanager
def reading(path: Path) -> Iterator[Film]:
    """The film in a file. Raises DataError, also while its frames are taken, for what cannot be read."""
    if video.is_video(path):
        with video.reading(path) as (frames, count, step):
            yield Film((Frame(*frame) for frame in frames), count, step)
        return
    try:
        image = Image.open(path, formats=[READ[path.suffix.lower()]["format"]])
    except Exception as error:  # decoders meet broken data with any exception there is
        raise DataError(explain(error, b"some", str(path))) from error
    with image:
        yield Film(pictures(image, path), getattr(image, "n_frames", 1), Fraction(1, 1000), image.info.get("loop"))


def pictures(image: Image.Image, path: Path) -> Iterator[Frame]:
    """The frames of an animation, upright; all have alpha if the first one has."""
    channels = 4 if image.has_transparency_data else 3
    start = Fraction(0)
    for i in range(getattr(image, "n_frames", 1)):
        try:
            image.seek(i)
            pixels = upright(to_channels(shallow(image), channels), orientation(image))
            seconds = Fraction(image.info.get("duration", 0)).limit_denominator(10**6) / 1000
        except Exception as error:  # as above
            raise DataError(explain(error, b"some", str(path))) from error
        yield Frame(pixels, start, seconds)
        start += seconds


def lasting(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The same frames, of which each can be seen: a video has none that lasts no time, as those of a GIF may."""
    start = Fraction(0)
    for frame in frames:
        seconds = frame.seconds or AT_ONCE
        yield Frame(frame.pixels, start, seconds)
        start += seconds


def writing(file: Path | IO[bytes], suffix: str, film: Film, sound: Path | None = None) -> Writer:
    """What writes a film like `film` in the format of a suffix, a video with the sound of the video `sound`."""
    if suffix in video.CODECS:
        return video.Video(file, suffix, film.step, sound)
    return Animation(file, READ[suffix], film.loop)


class Animation:
    """An animated picture, which Pillow writes at the end. Times are rounded so that no error adds up."""

    def __init__(self, file: Path | IO[bytes], settings: dict[str, Any], loop: int | None) -> None:
        self.file, self.settings = file, settings if loop is None else {**settings, "loop": loop}
        self.tick = TICKS[settings["format"]]
        self.images: list[Image.Image] = []
        self.durations: list[float] = []  # milliseconds

    def add(self, frame: Frame) -> None:
        grey = frame.pixels.shape[2] == 1
        self.images.append(Image.fromarray(frame.pixels[..., 0] if grey else frame.pixels))
        ticks = round((frame.start + frame.seconds) / self.tick) - round(frame.start / self.tick)
        self.durations.append(float(ticks * self.tick * 1000))

    def close(self) -> None:
        if not self.images:
            return
        first, *others = self.images
        duration: list[float] | list[int] = self.durations
        if self.settings["format"] != "PNG":
            duration = [*map(round, self.durations)]
        if first.mode == "RGBA" and self.settings["format"] == "GIF":
            self.settings = {**self.settings, "disposal": 2}  # else what is clear shows the frame before
        first.save(self.file, save_all=True, append_images=others, duration=duration, **self.settings)


def film(frames: Sequence[Array], suffix: str, fps: float) -> bytes:
    """A file of frames [H, W, C], uint8, in the format of the suffix, without end where the format allows that."""
    seconds = 1 / Fraction(fps).limit_denominator(1000)
    buffer = io.BytesIO()
    writer = writing(buffer, suffix, Film(iter(()), len(frames), seconds))
    for i, frame in enumerate(frames):
        writer.add(Frame(frame, i * seconds, seconds))
    writer.close()
    return buffer.getvalue()
