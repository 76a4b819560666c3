"""A trained model in people's hands: swapping classes, completing and scoring pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from isthmus.apps.region import region
from isthmus.apps.trained import Trained
from isthmus.core import Bounds, Spec
from isthmus.errors import CapabilityError, ConfigError
from isthmus.evaluation.likelihood import GREY_LEVEL, importance_weighted
from isthmus.models.autoencoders.vae import VAE
from tiny_models import TALL, WIDE, RowDrawer, RowSwapper, one_sentence, picture


@pytest.fixture
def vae() -> Trained:
    torch.manual_seed(0)
    return Trained(VAE(latent=2, hidden=4).build(WIDE), {})


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
