"""A trained model in people's hands: every form of image, every kind of damage, one sentence for each mistake."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import isthmus
import tiny
from isthmus.apps import hub
from isthmus.apps.forms import fitted, to_model
from isthmus.apps.trained import Trained
from isthmus.core import Autoencodes, Samples, Spec, Translates
from isthmus.data.decoding import Form, bring
from isthmus.data.images import to_unit
from isthmus.data.read import write
from isthmus.errors import CapabilityError, CheckpointError, ConfigError, DataError, IsthmusError, OutputError
from isthmus.models.autoencoders.vae import VAE
from isthmus.models.catalog import catalog
from isthmus.training.checkpoint import save_model, weights
from tiny_models import TALL, WIDE, save_bridge, save_vae, tiny_vae

SOURCE = Path(isthmus.__file__).parent


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    save_vae(root / "vae")
    save_bridge(root / "bridge")
    return root


@pytest.fixture(scope="module")
def vae(folders: Path) -> Trained:
    return isthmus.load(folders / "vae")


@pytest.fixture(scope="module")
def bridge(folders: Path) -> Trained:
    return isthmus.load(folders / "bridge")


def picture(channels: int = 3, height: int = 16, width: int = 24, bits: int = 8, seed: int = 0) -> np.ndarray:
    """[H, W, C], as random as can be."""
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bits, (height, width, channels), dtype)


def one_sentence(error: pytest.ExceptionInfo[IsthmusError]) -> str:
    message = str(error.value)
    assert message
    assert "\n" not in message
    assert "Traceback" not in message
    return message


# --- loading


def test_a_fresh_process_loads_and_uses_a_model_with_no_options(folders: Path, bridge: Trained) -> None:
    code = (
        "import sys, isthmus; assert 'torch' not in sys.modules\n"
        "import numpy as np\n"
        f"model = isthmus.load({str(folders / 'bridge')!r})\n"
        "image = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)\n"
        "print(model.translate(image, seed=7).ravel().tolist())"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    image = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)
    there, here = np.array(json.loads(run.stdout)), bridge.translate(image, seed=7).ravel().astype(int)
    assert np.abs(there - here).max() <= 1  # threads may round differently


def test_load_takes_text_and_home(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folders))
    assert isthmus.load(str(folders / "vae")).name == isthmus.load("~/vae").name == "vae"


def test_the_best_checkpoint_is_another_model(tmp_path: Path) -> None:
    folder = save_vae(tmp_path / "run")
    (folder / "checkpoints" / "best").mkdir(parents=True)
    (folder / "checkpoints" / "best" / "model.safetensors").write_bytes(weights(tiny_vae(seed=5)))
    image = torch.zeros(3, 16, 24)
    last, best = isthmus.load(folder), isthmus.load(folder, checkpoint="best")
    assert not torch.equal(last.encode(image), best.encode(image))
    assert torch.equal(best.encode(image), tiny_vae(seed=5).encode(image[None])[0])
    with pytest.raises(CheckpointError, match=r"worst.*best") as error:
        isthmus.load(folder, checkpoint="worst")
    one_sentence(error)


def newer(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format": 999, "isthmus": "9.9"}))


def foreign(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"_class_name": "SomethingElse"}))


def torn(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text[: len(text) // 2])


def truncated(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def of_another(folder: Path) -> None:
    other = save_vae(folder.parent / "other", TALL)
    (other / "model.safetensors").replace(folder / "model.safetensors")


def unknown_option(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["config"]["wings"] = 2
    (folder / "config.json").write_text(json.dumps(config))


def unknown_model(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model": "phlogiston"}))


def emptied(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def listed(folder: Path) -> None:
    (folder / "config.json").write_text("[1, 2]")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (newer, "newer"),
        (foreign, "SomethingElse"),
        (torn, "damaged"),
        (emptied, "no model"),
        (listed, "config.json"),
        (without_config, "config.json"),
        (without_weights, "isthmus resume"),
        (truncated, "cannot be read"),
        (of_another, "do not fit"),
        (unknown_option, "wings"),
        (unknown_model, "phlogiston"),
    ],
)
def test_a_damaged_folder_is_explained_in_one_sentence(damage, says: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = save_vae(tmp_path / "run")
    damage(folder)
    with pytest.raises(IsthmusError, match=says) as error:
        isthmus.load(folder)
    one_sentence(error)


def test_a_missing_folder_or_device_is_explained(tmp_path: Path, folders: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere") as error:
        isthmus.load(tmp_path / "nowhere")
    one_sentence(error)
    with pytest.raises(ConfigError, match="teapot") as unknown:
        isthmus.load(folders / "vae", device="teapot")
    one_sentence(unknown)


# --- the hub


HUB_ERRORS = ("RepositoryNotFoundError", "GatedRepoError", "LocalEntryNotFoundError")


def fake_hub(monkeypatch: pytest.MonkeyPatch, answer: Path | str | Exception) -> list[tuple[str, list[str]]]:
    """huggingface_hub without a network: it gives a folder, or raises an exception or its own error of that name."""
    asked: list[tuple[str, list[str]]] = []
    errors = types.ModuleType("huggingface_hub.errors")
    for name in HUB_ERRORS:
        setattr(errors, name, type(name, (OSError,), {}))

    def snapshot_download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        if isinstance(answer, Path):
            return str(answer)
        raise answer if isinstance(answer, Exception) else getattr(errors, answer)("a\nlong\nanswer")

    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    return asked


def test_a_hub_id_is_fetched_configuration_and_weights_alone(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_hub(monkeypatch, folders / "vae")
    assert isthmus.load("somebody/portraits").name == "vae"
    assert asked == [("somebody/portraits", ["config.json", "*.safetensors"])]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("RepositoryNotFoundError", "neither a folder somebody/portraits nor a repository"),
        ("LocalEntryNotFoundError", "the hub cannot be reached"),
        ("GatedRepoError", "its owner"),
        (ValueError("odd\nand long"), "somebody/portraits cannot be loaded from the hub: odd and long"),
    ],
)
def test_what_the_hub_refuses_is_explained(answer: str | Exception, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub(monkeypatch, answer)
    with pytest.raises(CheckpointError, match=says) as error:
        isthmus.load("somebody/portraits")
    one_sentence(error)


def test_the_errors_caught_are_those_of_the_hub_library() -> None:
    errors = pytest.importorskip("huggingface_hub.errors", reason="huggingface-hub is an optional extra")
    assert all(issubclass(getattr(errors, name), Exception) for name in HUB_ERRORS)


def test_without_the_hub_package_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"isthmus\[hub\]") as error:
        isthmus.load("somebody/portraits")
    one_sentence(error)


def test_a_misspelt_run_folder_does_not_go_to_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert not hub.is_hub_id("runs/typo")
    assert not hub.is_hub_id("./runs/typo")
    assert not hub.is_hub_id("a/b/c")
    assert not hub.is_hub_id("alone")
    assert hub.is_hub_id("somebody/portraits-v1.0")


# --- forms of images


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
    assert (out.mode, out.size) == ("RGB", (24, 16))


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
    assert (again.shape, again.dtype) == ((16, 24, model_channels), array.dtype)


def test_sixteen_bits_are_not_lost_on_the_way_in(tmp_path: Path) -> None:
    ramp = np.arange(20 * 12, dtype=np.uint16).reshape(20, 12, 1) + 1000  # all alike in 8 bits
    expected = torch.from_numpy(ramp.astype(np.float64)).permute(2, 0, 1) / 32767.5 - 1
    write(tmp_path / "deep.png", ramp)
    for form in (ramp, tmp_path / "deep.png", Image.fromarray(ramp[..., 0])):
        seen = to_model(form, TALL, "crop")
        assert torch.allclose(seen.double(), expected, atol=1e-6)
        assert len(seen.unique()) == 240


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_pictures_are_brought_to_size_as_in_training(fit: str, tmp_path: Path) -> None:
    model = isthmus.load(save_vae(tmp_path / "run", data={"fit": fit}))
    array = picture(4, 50, 33)
    expected = bring(array, Form(24, 16, 3, fit, False))  # type: ignore[arg-type]
    assert np.array_equal(model.fitted(array, WIDE), expected)
    assert torch.equal(model.encode(array), model.encode(expected))


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
    ids=str,
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


# --- what a model does


def test_translation_has_the_target_domains_form(bridge: Trained) -> None:
    there = bridge.translate(torch.zeros(5, 3, 16, 24), to="b")
    assert there.shape == (5, 1, 20, 12)
    assert bridge.translate(there, to="a").shape == (5, 3, 16, 24)


def test_several_draws_are_a_list_and_differ(bridge: Trained) -> None:
    one = bridge.translate(picture(), n=3, seed=0)
    assert isinstance(one, list)
    assert [draw.shape for draw in one] == [(20, 12, 1)] * 3
    assert not np.array_equal(one[0], one[1])
    many = bridge.translate([picture(), picture(seed=1)], n=3)
    assert [len(draw) for draw in many] == [2, 2, 2]
    with pytest.raises(ConfigError, match="positive"):
        bridge.translate(picture(), n=0)


def test_seeds_repeat_and_leave_the_callers_generator_alone(bridge: Trained, vae: Trained) -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    first, second = bridge.translate(picture(), seed=1), bridge.translate(picture(), seed=1)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, bridge.translate(picture(), seed=2))
    assert torch.equal(vae.sample(3, seed=1), vae.sample(3, seed=1))
    assert torch.equal(torch.rand(3), expected)


def test_without_a_seed_the_callers_generator_decides(vae: Trained) -> None:
    torch.manual_seed(4)
    first = vae.sample(2)
    assert not torch.equal(first, vae.sample(2))
    torch.manual_seed(4)
    assert torch.equal(first, vae.sample(2))


def test_the_seeds_context_ends_even_if_the_block_fails(vae: Trained) -> None:
    state = torch.get_rng_state()

    def fail() -> None:
        with vae.seeded(3):
            torch.rand(3)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.equal(torch.get_rng_state(), state)


def test_many_images_go_through_in_bounded_parts(folders: Path) -> None:
    model = isthmus.load(folders / "vae")
    sizes: list[int] = []
    encode = model.model.encode  # type: ignore[attr-defined]
    model.model.encode = lambda image: (sizes.append(len(image)), encode(image))[1]  # type: ignore[attr-defined]
    images = torch.rand(2 * model.part + 5, 3, 16, 24) * 2 - 1
    whole = model.model.decode(encode(images))  # type: ignore[attr-defined]
    assert torch.allclose(model.reconstruct(images), whole, atol=1e-5)
    assert sizes == [model.part, model.part, 5]
    assert model.sample(model.part + 1).shape == (model.part + 1, 3, 16, 24)


def test_large_images_go_through_one_by_one(tmp_path: Path) -> None:
    large = VAE(latent=1, hidden=1).build(Spec(3, 700, 700))
    assert Trained(large, {}).part == 1


def test_codes_and_back(vae: Trained) -> None:
    images = torch.rand(5, 3, 16, 24) * 2 - 1
    codes = vae.encode(images)
    assert codes.shape == (5, 4)
    assert torch.equal(vae.decode(codes), vae.reconstruct(images))
    assert vae.encode(images[0]).shape == (4,)
    assert vae.decode(codes[0]).shape == (3, 16, 24)
    assert vae.encode([images[0]]).shape == (1, 4)
    with pytest.raises(DataError, match=r"\[batch, 4\]"):
        vae.decode(torch.zeros(2, 5))


@pytest.mark.parametrize("spherical", [False, True])
def test_interpolation_ends_in_the_reconstructions(spherical: bool, vae: Trained) -> None:
    start, end = torch.rand(2, 3, 16, 24) * 2 - 1
    path = vae.interpolate(start, end, steps=5, spherical=spherical)
    assert path.shape == (5, 3, 16, 24)
    assert torch.allclose(path[0], vae.reconstruct(start), atol=1e-5)
    assert torch.allclose(path[-1], vae.reconstruct(end), atol=1e-5)
    frames = vae.interpolate(Image.fromarray(picture()), picture(seed=1), steps=3)
    assert [type(frame) for frame in frames] == [Image.Image] * 3
    assert vae.interpolate(picture(), picture(seed=1)).shape == (8, 16, 24, 3)
    with pytest.raises(ConfigError, match="2 steps"):
        vae.interpolate(start, end, steps=1)


def test_what_a_model_cannot_do_names_those_that_can(vae: Trained, bridge: Trained) -> None:
    with pytest.raises(CapabilityError, match=r"^vae cannot translate; these can: .*latent-bridge") as error:
        vae.translate(picture())
    one_sentence(error)
    for verb, call in (
        ("sample", lambda: bridge.sample(1)),
        ("reconstruct", lambda: bridge.reconstruct(picture())),
        ("interpolate", lambda: bridge.interpolate(picture(), picture())),
        ("encode", lambda: bridge.encode(picture())),
        ("decode", lambda: bridge.decode(torch.zeros(1, 4))),
    ):
        with pytest.raises(CapabilityError, match=f"^latent-bridge cannot {verb}; these can: .*vae"):
            call()


@pytest.mark.parametrize("name", catalog())
def test_every_model_is_used_by_what_it_can_do(name: str, tmp_path: Path) -> None:
    save_model(tiny.built(name), tmp_path / "run")
    model = isthmus.load(tmp_path / "run")
    image = picture(3, 40, 30)
    uses: list[tuple[type, Callable[[], Any], tuple[int, ...]]] = [
        (Translates, lambda: model.translate(image, to="b", seed=0), (12, 10, 1)),
        (Samples, lambda: model.sample(2, seed=0), (2, 1, 12, 10)),
        (Autoencodes, lambda: model.reconstruct(image), (12, 10, 1)),
        (Autoencodes, lambda: model.interpolate(image, image, steps=3), (3, 12, 10, 1)),
    ]
    for capability, use, shape in uses:
        if isinstance(model.model, capability):
            assert use().shape == shape
            assert np.array_equal(use(), use())
        else:
            with pytest.raises(CapabilityError, match=f"^{name} cannot"):
                use()


def test_an_unknown_domain_names_the_known_ones(bridge: Trained) -> None:
    with pytest.raises(ConfigError, match=r"'c'.*a \(folder:wide\), b \(folder:tall\)") as error:
        bridge.translate(picture(), to="c")
    one_sentence(error)


def test_classes_by_name_and_number(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = isthmus.load(folders / "vae")
    for classes in ("dog", ["cat", "dog"]):
        with pytest.raises(CapabilityError, match="from all classes at once"):
            model.sample(4, classes=classes)

    def sample(n: int, label: torch.Tensor | None = None) -> torch.Tensor:
        assert label is not None
        return label.float().view(-1, 1, 1, 1).expand(n, *WIDE.shape)

    monkeypatch.setattr(model.model, "sample", sample)
    assert model.sample(5, classes=["dog", 0])[:, 0, 0, 0].tolist() == [1, 0, 1, 0, 1]
    assert model.sample(2, classes="dog")[:, 0, 0, 0].tolist() == [1, 1]
    many = model.sample(model.part + 2, classes=["cat", "dog", "dog"])[:, 0, 0, 0]  # across two parts
    assert many.tolist() == ([0, 1, 1] * model.part)[: model.part + 2]
    with pytest.raises(ConfigError, match=r"no class cow; the classes are cat, dog"):
        model.sample(2, classes=["cow", "dog"])
    with pytest.raises(ConfigError, match="positive"):
        model.sample(0)


def test_classes_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match="without classes"):
        isthmus.load(save_vae(tmp_path / "grey", TALL)).sample(4, classes="cat")


# --- saving


def test_a_saved_model_is_the_same_model(bridge: Trained, tmp_path: Path) -> None:
    bridge.save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    again = isthmus.load(tmp_path / "out")
    images = torch.rand(3, 3, 16, 24) * 2 - 1
    assert torch.equal(again.translate(images, seed=0), bridge.translate(images, seed=0))
    assert again.model.specs == bridge.model.specs
    with pytest.raises(OutputError, match="exists"):
        bridge.save(tmp_path / "out")


def test_saving_keeps_how_pictures_are_read_but_not_where_they_lay(tmp_path: Path) -> None:
    data = {"fit": "pad", "data_root": "/home/somebody"}
    run = save_vae(tmp_path / "run", data=data, run={"steps": 1}, made_with={"torch": "2"})
    isthmus.load(run).save(tmp_path / "out")
    again = isthmus.load(tmp_path / "out")
    assert again.fit == "pad"
    assert again.config["made_with"] == {"torch": "2"}
    assert "somebody" not in (tmp_path / "out" / "config.json").read_text()
    assert "run" not in again.config


def test_the_model_card_names_paper_data_and_use(bridge: Trained, vae: Trained, tmp_path: Path) -> None:
    bridge.save(tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text()
    for part in ("latent-bridge", "arXiv:1805.10130", "folder:wide", "24x16, 3 channels", 'load("mine")', "translate("):
        assert part in card
    assert "sample(" not in card
    vae.save(tmp_path / "other")
    assert "sample(" in (tmp_path / "other" / "README.md").read_text()


def test_a_place_that_cannot_be_written_is_an_output_error(vae: Trained, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as error:
        vae.save(tmp_path / "file" / "below")
    one_sentence(error)


# --- no pickle


def test_nothing_in_the_package_is_unpickled() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 20
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"pickle", "dill", "joblib", "cloudpickle", "shelve"} & set(names), f"{file} imports {names}"
            if not isinstance(node, ast.Call):
                continue
            settings = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if ast.unparse(node.func) == "torch.load":
                assert settings.get("weights_only") == "True", f"{file}:{node.lineno}"
            assert settings.get("allow_pickle") != "True", f"{file}:{node.lineno}"
