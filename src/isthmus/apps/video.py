"""Videos, read and written frame by frame by the optional package PyAV; sound is copied as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from isthmus.apps.cli import complain
from isthmus.data.cache import Array
from isthmus.data.read import fit, to_channels
from isthmus.errors import DataError

H264 = "libx264", {"crf": "12"}
VP9 = "libvpx-vp9", {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
# By suffix: the container as the library calls it, the codec and its settings.
CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    ".mp4": ("mp4", *H264),
    ".m4v": ("mp4", *H264),
    ".mov": ("mov", *H264),
    ".mkv": ("matroska", *H264),
    ".webm": ("webm", *VP9),
}
READ = frozenset({*CODECS, ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv", ".mts", ".m2ts"})
BT709, LIMITED = 1, 1  # as FFmpeg numbers the colours of HD video, and brightness from 16 to 235
SLACK = Fraction(1, 2)  # seconds that a whole file may end before its header says
NEARLY = Fraction(1, 100)  # by so much pixels may be too wide without anybody seeing it: programs round their shape
Timed = tuple[Array, Fraction, Fraction]  # pixels [H, W, 3], uint8; start and length in seconds


def is_video(path: Path) -> bool:
    return path.suffix.lower() in READ


@contextmanager
def reading(path: Path) -> Iterator[tuple[Iterator[Timed], int | None, Fraction]]:
    """The frames of a video, how many there are if it says so, and the seconds of which their times are multiples.

    Raises DataError, also while frames are taken.
    """
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise DataError(unreadable(path, error)) from error
    with container:
        if not container.streams.video:
            raise DataError(f"{path} holds no pictures, only sound")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield frames(container, stream, path), stream.frames or None, stream.time_base or Fraction(1, 1000)


def frames(container: Any, stream: Any, path: Path) -> Iterator[Timed]:
    """As they are meant to be seen, each shown until the next one comes."""
    import av

    length = 1 / Fraction(stream.average_rate or 25)  # where frames do not say more
    held, start = None, Fraction(0)
    try:
        for frame in decoded(container, stream, path, length):
            following = start + length * (held is not None) if frame.pts is None else frame.pts * frame.time_base
            if held is not None:
                yield held, start, following - start
            held, start = as_seen(frame, stream.sample_aspect_ratio or Fraction(1)), following
    except av.FFmpegError as error:
        raise DataError(unreadable(path, error)) from error
    if held is None:
        raise DataError(f"{path} holds no whole picture: get it again from where it came")
    yield held, start, length


def decoded(container: Any, stream: Any, path: Path, length: Fraction) -> Iterator[Any]:
    """The frames of a stream, whose last one may be as long as `length` without a word of it in the file.

    Raises DataError for a Matroska file that breaks off, which the library takes for its end. Other kinds are not
    asked: those of MP4 do not decode, and what the rest say of their length is often a guess.
    """
    import av

    end = Fraction(0)  # of all that there is: sound may go on without pictures
    for packet in container.demux():
        if packet.pts is not None:
            end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        if packet.stream.index == stream.index:
            yield from packet.decode()
    whole = Fraction(container.duration or 0, av.time_base)
    if "matroska" in container.format.name and end + max(length, SLACK) < whole:
        said = f"after {float(end):.1f} of {float(whole):.1f} seconds"
        raise DataError(f"{path} breaks off {said}: get it again from where it came")


def as_seen(frame: Any, aspect: Fraction) -> Array:
    """The pixels of a frame, upright and each as wide as it is high, as in the pictures that models are trained on."""
    pixels = frame.to_ndarray(format="rgb24")
    height, width, _ = pixels.shape
    if abs(aspect - 1) > NEARLY:
        pixels = fit(pixels, max(1, round(width * aspect)), height, "stretch")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def unreadable(path: Path, error: Exception) -> str:
    """Why a video cannot be read, in one sentence."""
    if isinstance(error, FileNotFoundError):
        return f"{path} cannot be read: there is no such file"
    return f"{path} cannot be decoded: {getattr(error, 'strerror', None) or error}"


@contextmanager
def explained(source: Path | None) -> Iterator[None]:
    """Raises DataError for what cannot be made a video of, and lets through what is wrong with the disk."""
    import av

    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, OSError):
            raise
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{source or 'the film'} cannot be made such a video ({why}); try an --out in .mkv") from error


class Video:
    """A video that is being written.

    Players want even sides and colours at half the size: a side may grow by a pixel. Times are multiples of `step`.
    """

    def __init__(self, file: Path | IO[bytes], suffix: str, step: Fraction, sound: Path | None = None) -> None:
        import av

        container, self.codec, self.settings = CODECS[suffix]
        self.file: Any = av.open(str(file) if isinstance(file, Path) else file, "w", format=container)
        self.step, self.source = step, sound
        self.stream: Any = None
        self.sound: Sound | None = None

    def add(self, frame: Timed) -> None:
        import av

        pixels, start, _ = frame
        height, width, _ = pixels.shape
        even = np.pad(to_channels(pixels, 3), ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        shown = av.VideoFrame.from_ndarray(even, format="rgb24")
        shown = shown.reformat(format="yuv420p", dst_colorspace="itu709", dst_color_range=LIMITED)
        shown.pts, shown.time_base = round(start / self.step), self.step
        with explained(self.source):
            stream = self.stream or self.opened(frame, *even.shape[:2])
            if self.sound:
                self.sound.copy(start)
            self.file.mux(stream.encode(shown))

    def opened(self, frame: Timed, height: int, width: int) -> Any:
        """The stream of pictures, of the size of the first one; sound comes after it."""
        rate = 1 / frame[2] if frame[2] else Fraction(25)
        self.stream = stream = self.file.add_stream(self.codec, rate=rate, options=self.settings)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        context = stream.codec_context
        context.time_base, context.colorspace, context.color_range = self.step, BT709, LIMITED
        self.sound = Sound(self.source, self.file) if self.source and is_video(self.source) else None
        return stream

    def close(self) -> None:
        """What the encoder still holds, and the end of the file."""
        with explained(self.source):
            if self.stream is not None:
                self.file.mux(self.stream.encode())
            if self.sound:
                self.sound.copy(None)
            self.file.close()


class Sound:
    """The tracks of sound of a video, as far as another container can hold them, copied without a change.

    What it cannot hold is named on stderr.
    """

    def __init__(self, source: Path, file: Any) -> None:
        import av

        self.source, self.file = av.open(str(source)), file
        streams = self.source.streams.audio
        able = [stream for stream in streams if codec(stream) in file.supported_codecs]
        if others := sorted({codec(stream) for stream in streams if stream not in able}):
            complain(f"sound of {source}, since {file.format.name} cannot hold {', '.join(others)}", label="left out")
        self.tracks = {stream.index: track(file, stream) for stream in able}
        packets = self.source.demux(able) if able else iter(())
        self.packets = (packet for packet in packets if packet.dts is not None)
        self.next: Any = next(self.packets, None)

    def copy(self, until: Fraction | None) -> None:
        """What is heard until then, or all that is left."""
        while (packet := self.next) is not None and (until is None or packet.dts * packet.time_base <= until):
            packet.stream = self.tracks[packet.stream.index]
            self.file.mux(packet)
            self.next = next(self.packets, None)
        if until is None:
            self.source.close()


def codec(stream: Any) -> str:
    """How the sound of a stream is coded."""
    return stream.codec_context.codec.canonical_name if stream.codec_context else "an unknown codec"


def track(file: Any, stream: Any) -> Any:
    """A track of a file that takes the packets of a stream."""
    added, layout = file.add_stream_from_template(stream), stream.codec_context.layout
    if layout.name.endswith(" channels"):  # AVI does not say where they are heard, and MP4 has to
        added.codec_context.layout = f"{layout.nb_channels}c"  # where so many are by custom
    return added
