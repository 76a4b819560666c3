"""Translations whose truth is known."""

import pytest
import torch

from isthmus.core import Spec
from isthmus.data.images import Images, to_unit
from isthmus.data.worlds import coloured
from isthmus.evaluation import transforms


class Truth:
    """Translates as the world was made, with the images in the order of `shift`."""

    device = torch.device("cpu")

    def __init__(self, a, b, shift=0):
        self.images = {"a": to_unit(a.pixels).roll(shift, 0), "b": to_unit(b.pixels).roll(shift, 0)}

    def translate(self, image, to):
        return self.images[to]


@pytest.fixture
def world(monkeypatch):
    """Twelve pictures of twelve greys, whose class a judge reads off their first pixel."""

    class Eye:
        accuracy = 1.0

        def classify(self, image):
            assert image.shape[1] == 1
            return ((image[:, 0, 0, 0] + 1) * 127.5 / 20).round().long()

    def judge(train, test):
        assert train.spec == test.spec
        assert train.pixels.shape[1] == train.spec.channels == 1
        return Eye()

    monkeypatch.setattr(transforms, "judge", judge)
    labels = torch.arange(12)
    pixels = (20 * labels).to(torch.uint8)[:, None, None].expand(-1, 4, 3).contiguous()
    classes = tuple(map(str, range(12)))
    colours = torch.from_numpy(coloured(pixels.numpy())).permute(0, 3, 1, 2)
    return Images(pixels[:, None], Spec(1, 4, 3, classes), labels), Images(colours, Spec(3, 4, 3, classes), labels)


def test_true_translations_keep_everything(world):
    found = transforms.known_colours(Truth(*world), world[0], world)
    assert found["kept"] == found["kept_a"] == found["kept_b"] == 1
    assert found["missed_a"] < 1e-6
    assert found["missed_b"] < 0.02, "colours have 8 bits"


def test_grey_pictures_may_have_three_channels(world):
    """Where a model needs both domains to have as many."""
    a, b = world
    grey = Images(a.store.expand(-1, 3, -1, -1).contiguous(), Spec(3, *a.spec.shape[1:], a.spec.classes), a.labels)
    found = transforms.known_colours(Truth(grey, b), grey, (grey, b))
    assert found == pytest.approx(transforms.known_colours(Truth(*world), a, world))


def test_pictures_that_became_another_are_not_kept(world):
    found = transforms.known_colours(Truth(*world, shift=1), world[0], world, to="b")
    assert found["kept"] == found["kept_b"] == 0
    assert found["missed_b"] > 0.1
    assert "kept_a" not in found
