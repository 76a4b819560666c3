"""Pictures one after the other: animated GIF, PNG and WebP by Pillow, MP4 by the optional package PyAV."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import fromarray

from isthmus.data.cache import Array
from isthmus.data.read import to_channels
from isthmus.errors import ConfigError

# How Pillow is to write what a suffix names; colours are kept as they are where the format can.
ANIMATED: dict[str, dict[str, Any]] = {
    ".gif": {"format": "GIF"},
    ".apng": {"format": "PNG"},
    ".webp": {"format": "WEBP", "lossless": True},
}
VIDEO = ".mp4"
SUFFIXES = (*ANIMATED, VIDEO)


def check_video(out: Path) -> None:
    """Raises ConfigError, before any work begins, if `out` is a video and there is no package to write it."""
    if out.suffix.lower() == VIDEO:
        try:
            import av  # noqa: F401
        except ImportError:
            raise ConfigError(f"--out {out} needs the package PyAV: pip install av; or end the name in .gif") from None


def film(frames: Sequence[Array], suffix: str, fps: float) -> bytes:
    """A file of frames [H, W, C], uint8, in the format of the suffix, without end where the format allows that."""
    if suffix == VIDEO:
        return video(frames, fps)
    first, *others = [fromarray(frame[..., 0] if frame.shape[2] == 1 else frame) for frame in frames]
    buffer = io.BytesIO()
    duration = 1000 / fps if suffix == ".apng" else round(1000 / fps)  # milliseconds
    first.save(buffer, save_all=True, append_images=others, duration=duration, loop=0, **ANIMATED[suffix])
    return buffer.getvalue()


def video(frames: Sequence[Array], fps: float) -> bytes:
    """An MP4 file in H.264. Most players want even sides and colours at half the size: a side may grow by a pixel."""
    from fractions import Fraction

    import av

    height, width, _ = frames[0].shape
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
        for frame in frames:
            even = np.pad(to_channels(frame, 3), ((0, height % 2), (0, width % 2), (0, 0)), "edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
