"""Reading, bringing to size, and writing single pictures, against Pillow, torchvision and plain arithmetic."""

import io
import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from isthmus.data import read as module
from isthmus.data.read import decode, describe, encode, encode_png16, fit, read, to_8bit, to_channels, write
from isthmus.errors import DataError, OutputError

SIZES = [(64, 64), (101, 150)]


def noise(height, width, channels, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype)


def png_bytes(image: Image.Image, format="PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def tiff16(pixels: np.ndarray, order: str) -> bytes:
    """A minimal uncompressed 16-bit TIFF, since Pillow cannot write 16-bit colours."""
    height, width, channels = pixels.shape
    data = pixels.astype(order + "u2").tobytes()
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, None), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, None), (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(data))]
    tags += [(338, 3, 1, 2)] if channels == 4 else []
    after = 10 + 12 * len(tags) + 4
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    values = {258: after, 273: after + len(bits)}
    out = (b"MM" if order == ">" else b"II") + struct.pack(order + "HIH", 42, 8, len(tags))
    for tag, kind, count, value in tags:
        out += struct.pack(order + "HHI", tag, kind, count)
        short = kind == 3 and count == 1
        out += struct.pack(order + ("HH" if short else "I"), *([value, 0] if short else [values.get(tag, value)]))
    return out + struct.pack(order + "I", 0) + bits + data


@pytest.mark.parametrize(("channels", "dtype", "size"), list(product((1, 3, 4), (np.uint8, np.uint16), SIZES)))
def test_what_is_written_is_read_back(tmp_path, channels, dtype, size):
    pixels = noise(*size, channels, dtype)
    write(tmp_path / "a.png", pixels)
    back = read(tmp_path / "a.png")
    assert back.dtype == dtype
    assert np.array_equal(back, pixels)
    header = describe((tmp_path / "a.png").read_bytes(), "a.png")
    assert (header.height, header.width) == size
    assert header.bits == 8 * np.dtype(dtype).itemsize
    assert header.colour == (channels > 1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_png_agrees_with_torchvision(channels):
    from torchvision.io import ImageReadMode, decode_png

    data = encode_png16(noise(11, 7, channels, np.uint16))
    other = decode_png(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    assert np.array_equal(decode(data, "x"), other.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(("channels", "order"), list(product((3, 4), "<>")))
def test_16_bit_tiff_keeps_all_bits(channels, order):
    pixels = noise(11, 7, channels, np.uint16)
    assert np.array_equal(decode(tiff16(pixels, order), "x"), pixels)


def test_16_bit_grey_with_alpha():
    grey_alpha = noise(5, 6, 2, np.uint16)
    rgba = encode_png16(np.concatenate([noise(5, 6, 2, np.uint16)] * 2, axis=2))  # only to borrow its chunks
    import zlib

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey_alpha)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 6, 5, 16, 4, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = rgba[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    back = decode(data, "x")
    assert back.dtype == np.uint16
    assert np.array_equal(back, grey_alpha[..., [0, 0, 0, 1]])
    assert not describe(data, "x").colour


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_16_bit_grey_is_not_clipped(tmp_path, suffix):
    pixels = noise(9, 8, 1, np.uint16)
    Image.fromarray(pixels[..., 0]).save(tmp_path / f"a{suffix}")
    assert np.array_equal(read(tmp_path / f"a{suffix}"), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_exif_rotation_as_in_pillow(orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = png_bytes(Image.fromarray(noise(10, 16, 3)), format, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(decode(data, "x"), expected)
    assert describe(data, "x")[:2] == expected.shape[1::-1]


def test_exif_rotation_of_16_bits():
    pixels, exif = noise(10, 16, 1, np.uint16), Image.Exif()
    exif[0x0112] = 6
    data = png_bytes(Image.fromarray(pixels[..., 0]), exif=exif)
    assert np.array_equal(decode(data, "x"), np.rot90(pixels, -1))


def test_modes():
    rgb = Image.fromarray(noise(12, 10, 3))
    alpha = Image.fromarray(noise(12, 10, 4))
    grey = rgb.convert("L")
    assert np.array_equal(decode(png_bytes(rgb.convert("P")), "x"), np.asarray(rgb.convert("P").convert("RGB")))
    assert np.array_equal(decode(png_bytes(grey.convert("1")), "x")[..., 0], np.asarray(grey.convert("1")) * 255)
    assert np.array_equal(decode(png_bytes(alpha.convert("LA")), "x"), np.asarray(alpha.convert("LA").convert("RGBA")))
    transparent = decode(png_bytes(grey, transparency=int(np.asarray(grey)[0, 0])), "x")
    assert transparent.shape[2] == 4
    assert transparent[0, 0, 3] == 0
    cmyk = decode(png_bytes(rgb.resize((64, 64)).convert("CMYK"), "JPEG", quality=100), "x")
    assert cmyk.shape == (64, 64, 3)
    assert np.abs(cmyk.astype(int) - np.asarray(rgb.resize((64, 64)))).mean() < 8


def test_lab_is_in_colour():
    data = png_bytes(Image.merge("LAB", Image.fromarray(noise(12, 10, 3)).split()), "TIFF")
    assert describe(data, "x").colour
    assert decode(data, "x").shape == (12, 10, 3)


def test_first_frame_of_an_animation():
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 200)]
    for format in ("GIF", "PNG", "WEBP"):
        data = png_bytes(frames[0], format, save_all=True, append_images=frames[1:], **{"lossless": True})
        assert (decode(data, "x")[..., :3] == 10).all()


def test_a_large_jpeg_may_come_coarser_but_not_too_coarse():
    data = png_bytes(Image.fromarray(noise(800, 1200, 3)), "JPEG")
    small = decode(data, "x", near=64)
    assert small.shape[:2] < (800, 1200)
    assert min(small.shape[:2]) >= 128
    assert decode(data, "x", near=600).shape[:2] == (800, 1200)


def truncated() -> bytes:
    data = png_bytes(Image.fromarray(noise(64, 64, 3)), "JPEG")
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"only words", "not a picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (truncated(), "cannot be decoded"),
        (png_bytes(Image.fromarray(noise(64, 64, 3)))[:400], "cannot be decoded"),
        (png_bytes(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "32-bit"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_what_cannot_be_read_is_named(data, message):
    with pytest.raises(DataError, match=message) as raised:
        decode(data, "some/file.jpg")
    assert "some/file.jpg" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_decompression_bomb_is_refused(monkeypatch):
    data = png_bytes(Image.fromarray(noise(40, 40, 1)[..., 0]))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for look in (decode, describe):
        with pytest.raises(DataError, match="more than 200 pixels"):
            look(data, "x.png")


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"no\.png cannot be read"):
        read(tmp_path / "no.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_channels(dtype):
    top = np.iinfo(dtype).max
    rgba = noise(6, 5, 4, dtype)
    rgb = to_channels(rgba, 3)
    exact = rgba[..., :3].astype(float) * (rgba[..., 3:] / top) + top * (1 - rgba[..., 3:] / top)
    assert np.abs(rgb - exact).max() <= (0.51 if dtype == np.uint8 else 2)
    grey = to_channels(rgb, 1)
    assert np.abs(grey[..., 0] - rgb @ [0.299, 0.587, 0.114]).max() <= (0.6 if dtype == np.uint8 else 2)
    assert np.array_equal(to_channels(grey, 3), np.repeat(grey, 3, 2))
    assert (to_channels(grey, 4)[..., 3] == top).all()
    assert to_channels(rgba, 4) is rgba
    if dtype == np.uint8:
        assert np.array_equal(grey[..., 0], np.asarray(Image.fromarray(rgb).convert("L")))


def test_16_bits_to_8():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    assert np.array_equal(to_8bit(every), np.rint(every / 257).astype(np.uint8))


@pytest.mark.parametrize("mode", ["crop", "pad", "frame", "stretch"])
@pytest.mark.parametrize(("width", "height"), [(28, 28), (7, 5), (11, 3), (6, 14)])
def test_any_size_becomes_any_other(width, height, mode):
    for h, w in product(range(1, 60, 2), repeat=2):  # some have sides whose ratios do not round well
        assert fit(np.zeros((h, w, 1), np.uint8), width, height, mode).shape == (height, width, 1)


@pytest.mark.parametrize(("channels", "dtype"), list(product((1, 3, 4), (np.uint8, np.uint16))))
@pytest.mark.parametrize("mode", ["crop", "pad", "frame", "stretch"])
def test_fit_gives_the_size_asked_for(channels, dtype, mode):
    for (h, w), (height, width) in product([(64, 64), (101, 150), (1, 1), (300, 7)], [(32, 32), (20, 48), (1, 9)]):
        out = fit(noise(h, w, channels, dtype), width, height, mode)
        assert out.shape == (height, width, channels)
        assert out.dtype == dtype


def test_fit_keeps_what_it_should():
    ramp = np.tile(np.arange(0, 240, 2, dtype=np.uint8)[None, :, None], (40, 1, 1))  # 40 high, 120 wide
    cropped = fit(ramp, 20, 20, "crop")  # the middle third, at half the size
    assert np.abs(cropped[5, :, 0] - ramp[0, 40:80, 0].reshape(20, 2).mean(1)).max() <= 2
    padded = fit(ramp, 60, 60, "pad")
    assert (padded[:20] == 0).all()
    assert (padded[40:] == 0).all()
    assert np.abs(padded[30, :, 0] - ramp[0, :, 0].reshape(60, 2).mean(1)).max() <= 2
    assert fit(ramp, 120, 40) is ramp


def test_a_frame_enlarges_nothing():
    small, large = noise(5, 8, 1, np.uint8), noise(90, 60, 1, np.uint8)
    framed = fit(small, 12, 11, "frame")
    assert np.array_equal(framed[3:8, 2:10], small)
    assert framed.sum() == small.sum()
    assert np.array_equal(fit(large, 30, 30, "frame"), fit(large, 30, 30, "pad"))


def test_8_and_16_bits_are_resized_alike():
    y, x = np.mgrid[:60, :45]
    smooth = np.stack([128 + 100 * np.sin(y / 9), 120 + 90 * np.cos(x / 7), 2 * (x + y)], axis=2).astype(np.uint8)
    for pixels in (smooth, smooth[..., :1]):
        wide = pixels.astype(np.uint16) * 257
        difference = np.abs(to_8bit(fit(wide, 20, 20)).astype(int) - fit(pixels, 20, 20))
        assert difference.max() <= 2  # with 8 bits Pillow rounds between its passes
        assert difference.mean() < 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_invisible_colours_do_not_bleed(dtype):
    top = np.iinfo(dtype).max
    pixels = np.zeros((40, 40, 4), dtype)
    pixels[:, :20] = (top, 0, 0, top)  # red, beside a green that nobody sees
    pixels[:, 20:] = (0, top, 0, 0)
    assert (fit(pixels, 13, 13)[..., 1] <= top // 100).all()


def test_jpeg_has_no_alpha(tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)  # black, but invisible
    write(tmp_path / "a.jpg", pixels)
    assert (read(tmp_path / "a.jpg") >= 250).all()


def test_what_cannot_be_written(tmp_path):
    eight, sixteen = noise(4, 4, 3), noise(4, 4, 3, np.uint16)
    for name, pixels, message in [
        ("a.xyz", eight, "use .png"),
        ("a.pdf", eight, "use .png"),
        ("a", eight, "use .png"),
        ("a.jpg", sixteen, "as .png only"),
        ("none/a.png", eight, "cannot be written"),
    ]:
        with pytest.raises(OutputError, match=message):
            write(tmp_path / name, pixels)


def test_every_suffix_that_is_looked_for_can_be_read_or_is_named():
    Image.init()
    exotic = {".heic", ".heif", ".qoi", ".avif", ".jp2", ".j2k"}  # with a plugin or a library only
    known = {suffix for suffix, name in Image.EXTENSION.items() if name in module.FORMATS}
    assert module.SUFFIXES - exotic <= known | {".mpo"}
    for suffix in (".png", ".jpg", ".webp", ".tif", ".bmp"):
        assert decode(encode(noise(5, 5, 3), suffix), "x").shape == (5, 5, 3)


def test_reading_does_not_need_torchvision(tmp_path):
    assert "torchvision" not in Path(module.__file__).read_text()
