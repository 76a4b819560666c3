"""Videos, read and written frame by frame by the optional package PyAV; sound is copied as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from isthmus.data.cache import Array
from isthmus.data.read import to_channels
from isthmus.errors import DataError, OutputError

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
    """Upright, each shown until the next one comes."""
    import av

    length = 1 / Fraction(stream.average_rate or 25)  # where frames do not say more
    held, start = None, Fraction(0)
    try:
        for frame in container.decode(stream):
            following = start + length * (held is not None) if frame.pts is None else frame.pts * frame.time_base
            if held is not None:
                yield held, start, following - start
            turned = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
            held, start = np.ascontiguousarray(turned), following
    except av.FFmpegError as error:
        raise DataError(unreadable(path, error)) from error
    if held is not None:
        yield held, start, length


def unreadable(path: Path, error: Exception) -> str:
    """Why a video cannot be read, in one sentence."""
    if isinstance(error, FileNotFoundError):
        return f"{path} cannot be read: there is no such file"
    return f"{path} cannot be decoded: {getattr(error, 'strerror', None) or error}"


@contextmanager
def explained() -> Iterator[None]:
    """Raises OutputError for what the encoder refuses."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise OutputError(f"the video cannot be written: {error.strerror or error}") from error


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
        stream = self.stream or self.opened(frame, *even.shape[:2])
        shown = av.VideoFrame.from_ndarray(even, format="rgb24")
        shown = shown.reformat(format="yuv420p", dst_colorspace="itu709", dst_color_range=LIMITED)
        shown.pts, shown.time_base = round(start / self.step), self.step
        with explained():
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
        with explained():
            if self.stream is not None:
                self.file.mux(self.stream.encode())
            if self.sound:
                self.sound.copy(None)
            self.file.close()


class Sound:
    """The tracks of sound of a video, as far as another container can hold them, copied without a change."""

    def __init__(self, source: Path, file: Any) -> None:
        import av

        self.source, self.file = av.open(str(source)), file
        able = [s for s in self.source.streams.audio if s.codec_context.codec.canonical_name in file.supported_codecs]
        self.tracks = {stream.index: file.add_stream_from_template(stream) for stream in able}
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
