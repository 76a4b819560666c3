"""Measures of reconstructions: nearer to their own image than to another, as sharp, of codes like noise."""

import pytest
import torch

from isthmus.core import Autoencodes, Spec
from isthmus.data.images import Images, to_unit
from isthmus.errors import DataError
from isthmus.evaluation.inversion import reconstruction_ratio
from isthmus.evaluation.sharpness import gradient_energy
from isthmus.experiments.bigan import told_from_noise

SPEC = Spec(1, 2, 3)


class Fixed(Autoencodes):
    """Reconstructs by a function of the images."""

    spec, device = SPEC, torch.device("cpu")

    def __init__(self, function):
        self.function = function

    def encode(self, image):
        return image.flatten(1)

    def decode(self, code):
        return self.function(code.unflatten(1, SPEC.shape))


def images(n):
    torch.manual_seed(0)
    return Images(torch.randint(256, (n, *SPEC.shape), dtype=torch.uint8), SPEC)


def test_the_ratio_is_that_of_the_distances():
    pixels = torch.zeros(3, *SPEC.shape, dtype=torch.uint8)
    pixels[1, 0, 0, 0], pixels[2] = 255, 255  # in [-1, 1] the distances are 0-1: 2, 1-2: 2 sqrt(5), 2-0: 2 sqrt(6)
    shown = to_unit(pixels)
    shown[0, 0, 1, 1] += 1  # is 1 away from the first, sqrt(5) from the second
    found = reconstruction_ratio(Fixed(lambda x: shown[: len(x)]), Images(pixels, SPEC))
    assert found == pytest.approx(1 / (5**0.5 + 2 * 5**0.5 + 2 * 6**0.5))


def test_it_is_0_of_copies_and_1_of_what_is_always_the_same():
    data = images(700)  # more than go through a model at once
    assert reconstruction_ratio(Fixed(lambda x: x), data) == 0
    assert reconstruction_ratio(Fixed(torch.zeros_like), data) == pytest.approx(1)
    with pytest.raises(DataError, match="2 images"):
        reconstruction_ratio(Fixed(lambda x: x), images(1))


def test_energy_is_of_neighbours_and_falls_with_blur():
    x = torch.tensor([[[[0.0, 1.0, 1.0], [0.0, 0.0, -1.0]]], [[[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]]])
    assert gradient_energy(x).tolist() == [1 + 0 + 0 + 1 + 0 + 1 + 4, 0]
    noise = torch.randn(4, 3, 9, 8)
    blurred = torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)
    assert (gradient_energy(blurred) < 0.3 * gradient_energy(noise)).all()


@pytest.mark.parametrize(("change", "told"), [(lambda z: z, 0.5), (lambda z: 0.5 * z, 0.85), (lambda z: z + 1, 0.85)])
def test_codes_are_told_from_noise_by_place_and_spread(change, told):
    torch.manual_seed(0)
    found = told_from_noise(change(torch.randn(2000, 5)))
    assert found == pytest.approx(told, abs=0.05)
