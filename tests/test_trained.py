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
from isthmus.apps.region import region
from isthmus.apps.trained import Trained
from isthmus.core import Autoencodes, Bounds, Completes, Samples, Scores, Spec, Swaps, Translates
from isthmus.errors import CapabilityError, ConfigError, DataError
from isthmus.evaluation.likelihood import GREY_LEVEL, importance_weighted
from isthmus.models.autoencoders.vae import VAE
from isthmus.models.catalog import catalog
from isthmus.training.checkpoint import save_model
from tiny_models import TALL, WIDE, RowDrawer, RowSwapper, one_sentence, picture, save_bridge, save_vae


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
    uses: list[tuple[type, Callable[[], Any], tuple[int, ...]]] = [
        (Translates, lambda: model.translate(image, to="b", seed=0), (12, 10, 1)),
        (Samples, lambda: model.sample(2, seed=0), (2, 1, 12, 10)),
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


# --- swapping classes


CLASSES = Spec(3, 6, 8, ("cat", "cow", "dog"))


@pytest.fixture
def swapper() -> Trained:
    return Trained(RowSwapper().build(CLASSES), {})


def test_a_swap_changes_the_class_and_nothing_else(swapper: Trained) -> None:
    image = torch.rand(3, 6, 8) * 2 - 1
    image[:, 0] = 0  # a cow
    cat, cow, dog = swapper.swap(image)
    assert torch.equal(cow, image)
    assert torch.equal(cat[:, 0], torch.full((3, 8), -1.0))
    assert torch.equal(dog[:, 0], torch.full((3, 8), 1.0))
    assert torch.equal(cat[:, 1:], image[:, 1:])
    assert torch.equal(dog[:, 1:], image[:, 1:])


def test_classes_to_give_are_named_or_numbered_in_any_order(swapper: Trained) -> None:
    image = torch.rand(3, 6, 8)
    cat, cow, dog = swapper.swap(image)
    found = swapper.swap(image, ["dog", 0, "dog"])
    assert all(torch.equal(a, b) for a, b in zip(found, [dog, cat, dog], strict=True))
    (alone,) = swapper.swap(image, "cow")
    assert torch.equal(alone, cow)
    with pytest.raises(ConfigError, match="no class pig; the classes are cat, cow, dog"):
        swapper.swap(image, ["cat", "pig"])


def test_a_label_is_told_to_the_model(swapper: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    encode = swapper.model.encode  # type: ignore[attr-defined]

    def listening(image: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        told.append(None if label is None else label.tolist())
        return encode(image, label)

    monkeypatch.setattr(swapper.model, "encode", listening)
    monkeypatch.setattr(swapper, "part", 2)
    images = torch.rand(3, 3, 6, 8)
    swapper.swap(images)
    swapper.swap(images, label="dog")
    swapper.swap(images, label=["cat", "dog", "cow"])
    assert told == [None, None, [2, 2], [2], [0, 2], [1]]
    with pytest.raises(ConfigError, match="one for each of 3, got 2"):
        swapper.swap(images, label=["cat", "dog"])


def test_a_swap_keeps_the_form_of_what_came(swapper: Trained) -> None:
    found = swapper.swap([picture(), Image.fromarray(picture())])
    assert [[type(image) for image in row] for row in found] == [[np.ndarray, Image.Image]] * 3
    assert found[0][0].shape == (6, 8, 3)
    with pytest.raises(CapabilityError, match="vae cannot swap classes"):
        Trained(VAE(latent=2, hidden=4).build(WIDE), {}).swap(picture())
    with pytest.raises(CapabilityError, match="without classes"):
        Trained(RowSwapper().build(TALL), {}).swap(picture())


# --- completing


@pytest.fixture
def drawer() -> Trained:
    return Trained(RowDrawer().build(Spec(1, 6, 10)), {})


@pytest.mark.parametrize(
    ("known", "part", "rows", "columns"),
    [
        ("top", 0.5, slice(3), slice(10)),
        ("top", 0.3, slice(2), slice(10)),
        ("left", 0.2, slice(6), slice(2)),
        ("top-left", 0.5, slice(3), slice(5)),
    ],
)
def test_what_is_known_stays(known: str, part: float, rows: slice, columns: slice, drawer: Trained) -> None:
    image = -torch.ones(1, 6, 10)
    done = drawer.complete(image, known, part, seed=0)
    kept = torch.zeros(6, 10, dtype=torch.bool)
    kept[rows, columns] = True
    assert torch.equal((done == -1)[0], kept)
    for mask in (kept, kept.numpy()):
        assert torch.equal(drawer.complete(image, mask, seed=0), done)


def test_regions_lie_where_they_are_called() -> None:
    corner = region("bottom-right", 0.5, 4, 6)
    assert corner.nonzero().tolist() == [[y, x] for y in (2, 3) for x in (3, 4, 5)]
    assert region("bottom", 0.25, 4, 6).nonzero()[:, 0].unique().tolist() == [3]
    assert region("right", 0.5, 4, 6).nonzero()[:, 1].unique().tolist() == [3, 4, 5]
    assert torch.equal(region("top-right", 0.5, 4, 6), corner.flip(0))


def test_a_model_that_must_have_a_certain_part_gets_it(drawer: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(1, 6, 10)
    assert np.array_equal(drawer.complete(image, seed=0), drawer.complete(image, "top", seed=0))
    monkeypatch.setattr(RowDrawer, "given", region("left", 0.3, 6, 10))
    assert np.array_equal(drawer.complete(image, seed=0), drawer.complete(image, "left", 0.3, seed=0))


def test_a_sound_keeps_its_beginning() -> None:
    sound = Trained(RowDrawer().build(Spec(1, 1, 10)), {})
    assert sound.kept().tolist() == [[True] * 5 + [False] * 5]


def test_several_completions_are_a_list_and_differ(drawer: Trained) -> None:
    image = picture(1, 6, 10)
    one, two, three = drawer.complete(image, n=3, seed=0)
    assert not np.array_equal(one, two)
    assert np.array_equal(one[:3], image[:3])
    assert np.array_equal(three, drawer.complete(image, n=3, seed=0)[2])
    assert (drawer.complete(image, temperature=0)[3:] == 128).all()


@pytest.mark.parametrize(
    ("known", "part", "says"),
    [
        ("middle", 0.5, "top, bottom, left, .* or a mask, got 'middle'"),
        ("top", 0.01, "part 0.01 of 10x6 pixels leaves all to draw"),
        ("left", 1.0, "part 1 of 10x6 pixels leaves none to draw"),
        (torch.ones(6, 10), 0.5, r"a mask is bool \[6, 10\], .* got float32 \[6, 10\]"),
        (torch.ones(10, 6, dtype=torch.bool), 0.5, r"got bool \[10, 6\]"),
        ("bottom", 0.5, "this model starts at the top left"),
    ],
)
def test_what_cannot_be_completed(known: Any, part: float, says: str, drawer: Trained) -> None:
    with pytest.raises(ConfigError, match=says) as error:
        drawer.complete(picture(1, 6, 10), known, part)
    one_sentence(error)


def test_completion_checks_its_numbers(drawer: Trained, vae: Trained) -> None:
    with pytest.raises(ConfigError, match="n must be positive"):
        drawer.complete(picture(), n=0)
    with pytest.raises(ConfigError, match="temperature must be 0 or more"):
        drawer.complete(picture(), temperature=-1)
    with pytest.raises(CapabilityError, match="vae cannot complete"):
        vae.complete(picture())


# --- scoring


def scorer(levels: int) -> Trained:
    return Trained(RowDrawer(levels=levels).build(Spec(1, 6, 10)), {})


def test_pixels_are_what_the_likelihood_is_of() -> None:
    """The stand-in's score is minus the sum of its pixels in [0, 1]."""
    image = picture(1, 6, 10)
    exact = -(image / 255).sum()
    assert scorer(256).score(image).item() == pytest.approx(exact, rel=1e-5)
    assert scorer(2).score(image).item() == -(image > 127).sum()
    spread = torch.stack([scorer(0).score(image, seed=seed) for seed in range(300)])
    assert spread.std().item() == pytest.approx(GREY_LEVEL / 2 * (60 / 12) ** 0.5, rel=0.15)
    assert spread.mean().item() == pytest.approx(exact, abs=1e-2)


def test_scores_are_as_many_as_images() -> None:
    images = [picture(1, 6, 10, seed=seed) for seed in range(3)]
    found = scorer(256).score(images)
    assert (found.shape, found.dtype) == ((3,), torch.float64)
    assert scorer(256).score(images[2]).shape == ()
    assert found[2] == scorer(256).score(images[2])


def test_a_bound_is_tightened_by_samples(vae: Trained) -> None:
    image = torch.randint(2, (4, 3, 16, 24)) * 2.0 - 1
    model = vae.model
    assert isinstance(model, Bounds)
    torch.manual_seed(0)
    expected = importance_weighted(model, image, 20)
    assert torch.equal(vae.score(image, samples=20, seed=0), expected)
    assert torch.equal(vae.score(image, seed=1), vae.score(image, seed=1))
    assert not torch.equal(vae.score(image, seed=1), vae.score(image, seed=2))
    with pytest.raises(ConfigError, match="samples must be positive"):
        vae.score(image, samples=0)
    with pytest.raises(CapabilityError, match="has no bound that samples could tighten"):
        scorer(2).score(picture(), samples=5)
