"""A trained model in people's hands: what each can do, and one sentence for each mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import isthmus
import tiny
from isthmus.apps.trained import Trained
from isthmus.core import Autoencodes, Completes, Pairs, Samples, Scores, Spec, Swaps, Translates
from isthmus.errors import CapabilityError, ConfigError, DataError
from isthmus.models.autoencoders.vae import VAE
from isthmus.models.catalog import catalog
from isthmus.training.checkpoint import save_model
from tiny_models import TALL, WIDE, one_sentence, picture, save_bridge, save_vae


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
    with pytest.raises(ConfigError, match="steps must be at least 2"):
        vae.interpolate(start, end, steps=1)


def test_interpolation_goes_on_to_more_images(vae: Trained) -> None:
    images = torch.rand(3, 3, 16, 24) * 2 - 1
    path = vae.interpolate(*images, steps=4)
    assert path.shape == (7, 3, 16, 24)
    assert torch.allclose(path[[0, 3, 6]], vae.reconstruct(images), atol=1e-5)


def test_what_a_model_cannot_do_names_those_that_can(vae: Trained, bridge: Trained) -> None:
    with pytest.raises(CapabilityError, match=r"^vae cannot translate; these can: .*latent-bridge") as error:
        vae.translate(picture())
    one_sentence(error)
    for verb, call in (
        ("sample", lambda: bridge.sample(1)),
        ("reconstruct", lambda: bridge.reconstruct(picture())),
        ("give pictures a code and go back", lambda: bridge.interpolate(picture(), picture())),
        ("encode", lambda: bridge.encode(picture())),
        ("decode", lambda: bridge.decode(torch.zeros(1, 4))),
        ("score", lambda: bridge.score(picture())),
    ):
        with pytest.raises(CapabilityError, match=f"^latent-bridge cannot {verb}; these can: .*vae"):
            call()


@pytest.mark.parametrize("name", catalog())
def test_every_model_is_used_by_what_it_can_do(name: str, tmp_path: Path) -> None:
    save_model(tiny.built(name), tmp_path / "run")
    model = isthmus.load(tmp_path / "run")
    image = picture(3, 40, 30)
    width = 10 * (1 + isinstance(model.model, Pairs))  # both of a pair, side by side
    uses: list[tuple[type, Callable[[], Any], tuple[int, ...]]] = [
        (Translates, lambda: model.translate(image, to=getattr(model.model, "targets", "b")[-1], seed=0), (12, 10, 1)),
        (Samples, lambda: model.sample(2, seed=0), (2, 1, 12, width)),
        (Autoencodes, lambda: model.reconstruct(image), (12, 10, 1)),
        (Autoencodes, lambda: model.interpolate(image, image, steps=3), (3, 12, 10, 1)),
        (Swaps, lambda: np.stack(model.swap(image)), (4, 12, 10, 1)),
        (Completes, lambda: model.complete(image, seed=0), (12, 10, 1)),
        (Scores, lambda: model.score(image, seed=0), ()),
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

    def sample(n: int, label: torch.Tensor | None = None, temperature: float = 1.0) -> torch.Tensor:
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


# --- temperature


def test_temperature_is_the_spread_of_samples(vae: Trained) -> None:
    whole, cold = vae.sample(64, seed=1), vae.sample(64, seed=1, temperature=0.5)
    assert cold.std(0).mean() < 0.8 * whole.std(0).mean()
    still = vae.sample(3, seed=1, temperature=0)
    assert torch.equal(still[0], still[1])
    for value in (-0.1, float("nan")):
        with pytest.raises(ConfigError, match="temperature must be 0 or more, got"):
            vae.sample(1, temperature=value)
