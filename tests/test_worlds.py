"""Domains made of public sets: what is known of a translation between them, and that it cannot be read off."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from isthmus.data import worlds
from isthmus.data.gaussians import points_at, ring
from isthmus.data.open import open_data
from isthmus.data.options import DataOptions
from isthmus.data.textures import KINDS, textures


@pytest.fixture
def pictures():
    """Discs of grey, with a dark hole and a bright bar in each."""
    y, x = np.mgrid[:20, :20]
    found = []
    for radius in (5, 6, 7, 8):
        disc = ((y - 9.5) ** 2 + (x - 9.5) ** 2 < radius**2) * 140
        disc[8:10, 8:10] = 0
        disc[12, 7:13] = 255
        found.append(disc)
    return np.array(found, np.uint8)


def test_colours_can_be_undone(pictures):
    made = worlds.coloured(pictures)
    assert made.shape == (4, 20, 20, 3)
    assert tuple(made[0, 0, 0]) == worlds.PAPER
    assert np.abs(worlds.uncoloured(made).astype(int) - pictures).max() <= 2


def test_every_picture_lies_in_one_domain(pictures):
    made, labels = worlds.in_domains(pictures)
    assert labels.tolist() == [0, 1, 2, 3]
    for picture, plain, (ground, ink) in zip(made, pictures, worlds.DOMAINS.values(), strict=True):
        assert tuple(picture[0, 0]) == ground
        assert tuple(picture[12, 8]) == ink
        assert np.abs(worlds.uncoloured(picture[None], ground, ink)[0].astype(int) - plain).max() <= 2


def test_every_look_is_an_ink_on_a_ground_by_chance(pictures):
    many = np.tile(pictures, (300, 1, 1))
    made, looks = worlds.inked(many, seed=0)
    names = [*worlds.LOOKS]
    assert len(names) == 56
    green = made[looks == names.index("green on red")][0]
    assert tuple(green[0, 0]) == worlds.COLOURS["red"]
    assert tuple(green[12, 8]) == worlds.COLOURS["green"]
    for picture, plain, look in zip(made[:20], many, looks, strict=False):
        back = worlds.uncoloured(picture[None], *worlds.LOOKS[names[look]])[0]
        assert np.abs(back.astype(int) - plain).max() <= 2
    assert np.bincount(looks, minlength=56).min() > 5
    assert not np.array_equal(looks, worlds.inked(many, seed=1)[1])


def test_no_two_grounds_share_an_ink(pictures):
    many = np.tile(pictures, (300, 1, 1))
    made, labels = worlds.on_grounds(many, seed=0)
    for label, ground in enumerate(worlds.GROUNDS.values()):
        mine = made[labels == label]
        assert {tuple(colour) for colour in mine[:, 0, 0]} == {ground}
        red, green, blue = mine[:, 12, 8].astype(float).T
        hues = np.rad2deg(np.arctan2(3**0.5 * (green - blue), 2 * red - green - blue)) % 360
        assert 120 * label - 1 < hues.min() < 120 * label + 5
        assert 120 * label + 85 < hues.max() < 120 * label + 91
    assert np.bincount(labels).min() > len(many) / 4
    assert not np.array_equal(labels, worlds.on_grounds(many, seed=1)[1])


def test_outlines_are_the_borders_of_shapes_without_holes(pictures):
    lines, shapes = worlds.outlines(pictures), worlds.shapes(pictures)
    assert shapes[:, 8, 8].all(), "a hole is filled"
    assert set(np.unique(lines)) == {0, 255}
    for line, shape in zip(lines, shapes, strict=True):
        assert np.array_equal(ndimage.binary_fill_holes(line), shape)
        assert (line > 0).sum() < shape.sum() / 2


def test_a_filling_is_one_colour_that_the_outline_does_not_tell(pictures):
    many = np.tile(pictures, (300, 1, 1))
    made, labels = worlds.fillings(many, seed=0)
    for picture, shape, label in zip(made[:20], worlds.shapes(many[:20]), labels, strict=False):
        assert (picture[shape] == [*worlds.FILLINGS.values()][label]).all()
        assert not picture[~shape].any()
    counts = np.array([np.bincount(labels[i::4], minlength=6) for i in range(4)])
    assert counts.min() > 30, "each shape has every colour"
    assert not np.array_equal(labels, worlds.fillings(many, seed=1)[1])


def test_twins_are_two_shapes_of_one_colour_that_neither_tells(pictures):
    many = np.tile(pictures, (300, 1, 1))
    made = worlds.twins(many, seed=0)
    assert made.shape == (1200, 8, 36, 3)
    assert not made[:, :, 8:-8].any()
    left, right = made[:, :, :8], made[:, :, -8:]
    ends = np.linspace(0, pictures.shape[1], 9).astype(int)
    for picture, shape in zip(left[:4], worlds.shapes(pictures), strict=True):
        cells = [[shape[i:j, k:m].any() for k, m in pairwise(ends)] for i, j in pairwise(ends)]
        assert np.array_equal(picture.any(2), cells), "nothing of the shape is lost"
    assert np.array_equal(left.max((1, 2)), right.max((1, 2)))
    shown = {tuple(colour) for colour in left[::4].max((1, 2))}
    assert shown == {*worlds.TWIN_COLOURS}, "one shape has every colour"
    areas = [side.any(3).sum((1, 2)) for side in (left, right)]
    assert sorted(areas[0]) == sorted(areas[1])
    assert not np.array_equal(*areas)
    assert not np.array_equal(made, worlds.twins(many, seed=1))


def test_edges_hold_outlines_and_what_is_inside(pictures):
    drawn = worlds.edges(pictures)
    assert set(np.unique(drawn)) == {0, 255}
    assert (drawn[worlds.outlines(pictures) > 0] == 0).all()
    assert (drawn[3, 10:15, 6:14] == 0).any(), "the bar is seen"
    assert (drawn[~worlds.shapes(pictures)] == 255).all()


def test_textures_follow_their_maps_and_leave_the_rest_to_chance():
    maps, pictures, kinds = textures(200, seed=0)
    colours = np.array([*KINDS.values()])
    assert np.array_equal(maps, colours[kinds])
    means = np.array([pictures[kinds == kind].mean(0) for kind in range(4)])
    assert np.abs(means[:, None] - means[None]).sum(2)[~np.eye(4, dtype=bool)].min() > 40
    assert np.bincount(kinds.flatten()).min() > kinds.size / 6
    again = textures(200, seed=1)
    assert not np.array_equal(maps, again[0])
    spread = np.array([pictures[kinds == kind].std(0).max() for kind in range(4)])
    assert spread.min() > 20


def test_modes_lie_on_a_circle():
    points, labels = points_at(ring(10), 1000, seed=0)
    assert points.shape == (1000, 2, 1)
    assert np.bincount(labels).tolist() == [100] * 10
    centres = ring(10)
    assert np.linalg.norm(centres, axis=1) == pytest.approx(3)
    assert np.linalg.norm(centres - np.roll(centres, 1, axis=0), axis=1).min() > 20 * 0.05


@pytest.mark.parametrize("name", ["modes-5", "modes-10", "texture-maps", "textures"])
def test_worlds_that_need_no_files(name):
    (train,), (test,) = (open_data(DataOptions(data=(name,)), split) for split in ("train", "test"))
    assert train.spec == test.spec
    assert len(train) > len(test)
    assert not np.array_equal(train.pixels[:100], test.pixels[:100])


def test_domains_of_one_set_are_pairs():
    a, b = open_data(DataOptions(data=("texture-maps", "textures"), pair="index"), "test")
    maps, pictures, _ = textures(500, seed=1)
    assert np.array_equal(a.pixels[7].permute(1, 2, 0), maps[7])
    assert np.array_equal(b.pixels[7].permute(1, 2, 0), pictures[7])
