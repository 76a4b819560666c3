"""What derivatives say about what an autoregressive network sees."""

import pytest
import torch

from isthmus.evaluation.context import blind_spot, dependence, leak
from isthmus.nn.masked import GatedPixels, PlainPixels


@pytest.fixture
def image():
    torch.manual_seed(0)
    return torch.rand(2, 1, 7, 9).round() * 2 - 1


def test_a_first_mask_that_shows_a_value_itself_leaks(image):
    sizes = 1, 2, 4, 2
    assert leak(PlainPixels(*sizes), image) == 0
    assert leak(PlainPixels(*sizes, mask="B"), image) > 0
    assert leak(GatedPixels(*sizes, mask="B"), image, every=13) > 0


def test_one_stack_has_a_blind_spot_and_two_have_none(image):
    sizes = 1, 2, 4, 3, 3, 3
    assert blind_spot(PlainPixels(*sizes), image) > 0
    assert blind_spot(GatedPixels(*sizes), image) == 0


def test_a_conditional_network_is_told_its_condition(image):
    network, condition = GatedPixels(1, 2, 8, 2, conditions=3), torch.eye(3)[:2]
    assert leak(network, image, condition) == 0
    assert blind_spot(network, image, condition) == 0
    (slope,) = dependence(network, image, condition, places=[30])
    assert slope[29] > 0
    assert not slope[30:].any()
