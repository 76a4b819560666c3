"""Images in every form, of every size, mode and depth, through a trained model and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import isthmus
from isthmus.apps.forms import fitted, to_model
from isthmus.apps.trained import Trained
from isthmus.core import Spec
from isthmus.data.decoding import Form, bring
from isthmus.data.images import to_unit
from isthmus.data.read import to_channels, write
from isthmus.errors import DataError
from tiny_models import TALL, WIDE, one_sentence, picture, save_bridge, save_vae


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return isthmus.load(save_vae(tmp_path_factory.mktemp("models") / "vae"))


def test_the_result_has_the_form_of_what_came(vae: Trained, tmp_path: Path) -> None:
    array, deep = picture(), picture(bits=16)
    tensor, pil, file = to_unit(torch.from_numpy(array).permute(2, 0, 1)), Image.fromarray(array), tmp_path / "a.png"
    write(file, array)
    expected = vae.model.decode(vae.model.encode(tensor[None]))[0].detach()
    bytes_expected = expected.add(1).mul(127.5).round().byte().permute(1, 2, 0).numpy()

    out = vae.reconstruct(tensor)
    assert torch.equal(out, expected)
    assert out.dtype == torch.float32
    assert vae.reconstruct(tensor.double()).dtype == torch.float64
    out = vae.reconstruct(torch.from_numpy(array).permute(2, 0, 1))
    assert out.dtype == torch.uint8
    assert np.array_equal(out.permute(1, 2, 0), bytes_expected)
    assert np.array_equal(vae.reconstruct(array), bytes_expected)
    assert vae.reconstruct(deep).dtype == np.uint16
    floats = vae.reconstruct(array.astype(np.float64) / 255)
    assert floats.dtype == np.float64
    assert np.allclose(floats, (expected.permute(1, 2, 0) + 1) / 2, atol=1e-5)
    for form in (pil, file, str(file)):
        out = vae.reconstruct(form)
        assert isinstance(out, Image.Image)
        assert np.array_equal(np.asarray(out), bytes_expected)


def test_several_images_come_back_as_they_came(vae: Trained, tmp_path: Path) -> None:
    array = picture()
    write(tmp_path / "a.png", array)
    tensor = to_unit(torch.from_numpy(array).permute(2, 0, 1))
    mixed = vae.reconstruct([tensor, array, Image.fromarray(array), tmp_path / "a.png"])
    assert [type(image) for image in mixed] == [torch.Tensor, np.ndarray, Image.Image, Image.Image]
    batch = vae.reconstruct(torch.stack([tensor, -tensor]))
    assert batch.shape == (2, 3, 16, 24)
    assert torch.allclose(batch[0], vae.reconstruct(tensor), atol=1e-6)
    assert vae.reconstruct(np.stack([array] * 3)).shape == (3, 16, 24, 3)
    assert isinstance(vae.reconstruct((array,)), list)


def test_grey_arrays_without_channels_stay_so(tmp_path: Path) -> None:
    grey = isthmus.load(save_vae(tmp_path / "grey", TALL))
    assert grey.reconstruct(picture(1, 20, 12)[..., 0]).shape == (20, 12)
    assert grey.reconstruct(picture(1, 20, 12)).shape == (20, 12, 1)
    assert grey.reconstruct(Image.fromarray(picture(1, 20, 12)[..., 0])).mode == "L"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I"])
def test_pil_images_of_every_mode(mode: str, vae: Trained) -> None:
    image = Image.new(mode, (31, 17), 1 if mode in ("1", "I", "I;16") else None)
    out = vae.reconstruct(image)
    assert (out.mode, out.size) == ("RGBA" if "A" in mode else "RGB", (24, 16))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(64, 64), (101, 150)])
@pytest.mark.parametrize("model_channels", [1, 3, 4])
def test_any_channels_depth_and_size_in_any_model(
    channels: int, bits: int, size: tuple[int, int], model_channels: int, tmp_path: Path
) -> None:
    spec = Spec(model_channels, 16, 24, (), "a")
    model = isthmus.load(save_bridge(tmp_path / "bridge", spec, TALL))
    vae = isthmus.load(save_vae(tmp_path / "vae", spec))
    array = picture(channels, *size, bits)
    write(tmp_path / "in.png", array)
    there = model.translate(array, seed=0)
    assert (there.shape, there.dtype) == ((20, 12, 1), array.dtype)
    back = model.translate(tmp_path / "in.png", to="a", seed=0)
    assert (back.size, len(back.getbands())) == ((24, 16), model_channels)
    again = vae.reconstruct(array)
    kept = 4 if (channels, model_channels) == (4, 3) else model_channels  # alpha goes around the model
    assert (again.shape, again.dtype) == ((16, 24, kept), array.dtype)


def test_sixteen_bits_are_not_lost_on_the_way_in(tmp_path: Path) -> None:
    ramp = np.arange(20 * 12, dtype=np.uint16).reshape(20, 12, 1) + 1000  # all alike in 8 bits
    expected = torch.from_numpy(ramp.astype(np.float64)).permute(2, 0, 1) / 32767.5 - 1
    write(tmp_path / "deep.png", ramp)
    for form in (ramp, tmp_path / "deep.png", Image.fromarray(ramp[..., 0])):
        seen = to_model(form, TALL, "crop")
        assert torch.allclose(seen.double(), expected, atol=1e-6)
        assert len(seen.unique()) == 240


@pytest.mark.parametrize("fit", ["crop", "pad", "frame", "stretch"])
def test_pictures_are_brought_to_size_as_in_training(fit: str, tmp_path: Path) -> None:
    model = isthmus.load(save_vae(tmp_path / "run", data={"fit": fit}))
    array = picture(3, 50, 33)
    expected = bring(array, Form(24, 16, 3, fit, False))  # type: ignore[arg-type]
    assert np.array_equal(model.fitted(array, WIDE), expected)
    assert torch.equal(model.encode(array), model.encode(expected))
    through = picture(4, 50, 33)
    through[..., 3] = 0
    through[10:40, 5:28, 3] = 128
    through[18:32, 10:23, 3] = 255
    on_white = bring(through, Form(24, 16, 3, fit, False))  # type: ignore[arg-type]
    brought = model.fitted(through, WIDE)
    assert np.abs(to_channels(brought, 3).astype(int) - on_white).max() <= 1
    alpha = brought[..., 3]
    assert alpha[8, 12] > 245
    assert ((alpha > 100) & (alpha < 150)).any()
    assert fit not in ("pad", "frame") or (alpha[:, 0] == 255).all()  # black is seen


def test_a_pil_image_is_turned_upright(vae: Trained, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(picture(3, 40, 30))
    image.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        seen = fitted(turned, WIDE, "crop")
    assert np.array_equal(seen, fitted(tmp_path / "turned.png", WIDE, "crop"))
    assert not np.array_equal(seen, fitted(image, WIDE, "crop"))


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (torch.rand(3, 16, 24) * 255, "lies in \\[-1, 1\\]"),
        (torch.full((3, 16, 24), float("nan")), "lies in \\[-1, 1\\]"),
        (torch.rand(3, 40, 24) * 255, "lies in \\[-1, 1\\]"),
        (torch.zeros(16, 24), "batch"),
        (torch.zeros(2, 16, 24), "1, 3 or 4 channels"),
        (torch.zeros(3, 0, 24), "at least one pixel"),
        (torch.zeros(3, 16, 24, dtype=torch.int64), "int64"),
        (np.zeros((3, 16, 24), np.uint8), "transpose"),
        (np.zeros((16, 24, 2), np.uint8), "1, 3 or 4 channels"),
        (np.zeros(16, np.uint8), "1, 3 or 4 channels"),
        (np.zeros((16, 24, 3), np.int32), "int32"),
        (np.full((16, 24, 3), -0.5), "lies in \\[0, 1\\]"),
        (np.full((16, 24, 3), 200.0), "lies in \\[0, 1\\]"),
        (Image.new("F", (24, 16)), "32-bit"),
        (7, "got int"),
        ([], "no images"),
        (torch.zeros(0, 3, 16, 24), "no images"),
        ([[picture()]], "got list"),
        ("nothing-here.png", "nothing-here.png cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_image_is_refused_in_one_sentence(image: object, says: str, vae: Trained) -> None:
    with pytest.raises(DataError, match=says) as error:
        vae.reconstruct(image)
    one_sentence(error)


def test_a_broken_pil_image_is_refused(vae: Trained, tmp_path: Path) -> None:
    Image.fromarray(picture(3, 200, 200)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:30_000])
    with Image.open(tmp_path / "half.png") as broken, pytest.raises(DataError, match="cannot be used"):
        vae.reconstruct(broken)
