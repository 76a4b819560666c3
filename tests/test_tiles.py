"""Images of any size through a translator: tiles that pass into one another, styles, alpha, 16 bits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from isthmus.apps.tiles import continued, places, tiled, window
from isthmus.apps.trained import Trained
from isthmus.core import Spec
from isthmus.errors import ConfigError
from tiny_models import Noisy, Tinted, one_sentence

SIDE = Spec(3, 16, 24, (), "folder:a")


@pytest.fixture
def tinted() -> Trained:
    return Trained(Tinted().build(SIDE, SIDE), {})


def photo(height: int = 50, width: int = 61, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(top // 4, top // 2, (height, width, channels)).astype(dtype)


@pytest.mark.parametrize("length", [16, 17, 28, 29, 100])
def test_tiles_cover_all_and_overlap(length: int) -> None:
    starts = places(length, 16)
    assert starts[0] == 0
    assert starts[-1] == length - 16
    assert all(0 < later - earlier <= 12 for earlier, later in pairwise(starts))
    assert len(starts) <= 1 + -(-(length - 16) // 11)


def test_weights_fall_towards_the_edges_and_are_nowhere_zero() -> None:
    weight = window(16, 24)
    assert weight.shape == (16, 24)
    assert weight.min() > 0
    assert weight.max() == 1
    assert torch.equal(weight, weight.flip(0, 1))
    assert (weight.diff(dim=1)[:, :11] >= 0).all()


@pytest.mark.parametrize("size", [(16, 24), (50, 61), (7, 90), (1, 1), (3, 100)])
def test_what_is_local_is_done_as_if_to_the_whole(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    image = torch.rand(3, *size)
    made = tiled(image, lambda batch: batch.flip(1).square(), (16, 24), part=3)
    torch.testing.assert_close(made, image.flip(0).square())


def test_no_seam_where_tiles_disagree() -> None:
    """Each tile gets another grey: next to each other, pixels differ by a small part of that alone."""
    greys = iter(torch.linspace(-1, 1, 100))
    made = tiled(
        torch.zeros(1, 64, 64), lambda batch: torch.stack([torch.full_like(t, next(greys)) for t in batch]), (16, 16), 4
    )
    steps = torch.cat([made.diff(dim=1).abs().flatten(), made.diff(dim=2).abs().flatten()])
    assert steps.max() < 0.3 * (made.max() - made.min())


def test_at_most_so_many_tiles_at_once() -> None:
    seen: list[int] = []
    tiled(torch.zeros(1, 100, 100), lambda batch: (seen.append(len(batch)), batch)[1], (16, 16), part=5)
    assert max(seen) == 5
    assert sum(seen) == len(places(100, 16)) ** 2


def test_short_sides_are_continued_by_reflection() -> None:
    image = torch.arange(3.0)[None, None]
    assert continued(image, 0, 5).flatten().tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert continued(torch.ones(2, 1, 1), 3, 2).shape == (2, 4, 3)


def test_a_style_is_that_of_a_picture_or_the_mean_of_several(tinted: Trained) -> None:
    dark, light, grey = (np.full((16, 24, 3), value, np.uint8) for value in (0, 255, 128))
    source = np.full((16, 24, 3), 128, np.uint8)
    assert tinted.translate(source, style=dark).max() == 0
    assert tinted.translate(source, style=light).min() == 255
    assert abs(int(tinted.translate(source, style=[dark, light])[0, 0, 0]) - int(grey[0, 0, 0])) <= 1
    one, other = tinted.translate(source, n=2, seed=0)
    assert not np.array_equal(one, other)
    with pytest.raises(ConfigError, match="no domain 'c'"):
        tinted.translate(source, to="c")


@pytest.mark.parametrize(
    ("channels", "dtype"), [(1, np.uint8), (3, np.uint8), (4, np.uint8), (3, np.uint16), (4, np.uint16)]
)
def test_tiles_keep_the_size_the_bits_and_alpha(tinted: Trained, channels: int, dtype: type) -> None:
    whole = photo(channels=channels, dtype=dtype)
    made = tinted.translate(whole, style=np.full((16, 24, 3), 128, np.uint8), tile=True)
    assert made.dtype == dtype
    assert made.shape == (50, 61, max(3, channels))
    if channels == 4:
        assert np.array_equal(made[..., 3], whole[..., 3])
    if channels == 3:
        top = np.iinfo(dtype).max
        expected = (-(whole / top * 2 - 1) / 2 + 1 / 255 + 1) / 2
        assert np.abs(made / top - expected).max() < 1 / 255


def test_all_tiles_of_a_draw_have_one_style(tinted: Trained) -> None:
    plain = np.full((60, 80, 3), 128, np.uint8)
    draws = tinted.translate(plain, n=3, tile=True, seed=1)
    assert all(np.ptp(draw[..., c]) == 0 for draw in draws for c in range(3))
    assert len({draw.tobytes() for draw in draws}) == 3


def test_all_tiles_of_a_draw_have_the_same_noise_where_there_are_no_styles() -> None:
    noisy = Trained(Noisy().build(SIDE, SIDE), {})
    plain = np.full((60, 80, 3), 128, np.uint8)
    one, other = noisy.translate(plain, n=2, tile=True, seed=1)
    first, last = one[:16, :24], one[-16:, -24:]
    assert np.array_equal(first[5:11, 10:14], last[5:11, 10:14])  # where no other tile has a part in either
    assert np.ptp(one) > 0
    assert not np.array_equal(one, other)


def test_tiles_want_domains_of_one_size() -> None:
    model = Trained(Tinted().build(SIDE, Spec(3, 8, 8)), {})
    with pytest.raises(ConfigError, match="leave out --tile") as error:
        model.translate(photo(), tile=True)
    assert one_sentence(error)


def test_a_tensor_and_a_path(tinted: Trained, tmp_path: Path) -> None:
    from isthmus.data.read import write

    write(tmp_path / "photo.png", photo())
    assert tinted.translate(tmp_path / "photo.png", tile=True, seed=0).size == (61, 50)
    image = F.interpolate(torch.rand(1, 3, 4, 5), (40, 50))[0] * 2 - 1
    assert tinted.translate(image, tile=True, seed=0).shape == (3, 40, 50)
