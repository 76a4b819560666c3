"""Augmentation for discriminators: one law for all images, differentiable, and adapted as in Karras et al., 2020."""

import math

import pytest
import torch

from isthmus.nn import augment
from isthmus.nn.augment import Augmentation, covered, cutout, moved, recoloured, translated

POLICIES = pytest.mark.parametrize("policy", ["differentiable", "adaptive"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def augmentation(policy, probability=1.0):
    made = Augmentation(policy)
    made.probability.fill_(probability)
    return made


def same_draw(apply, *images):
    """Each of the images by the same random transformations."""
    found = []
    for image in images:
        torch.manual_seed(7)
        found.append(apply(image))
    return found


def images(n=6, channels=3, height=8, width=8):
    return 2 * torch.rand(n, channels, height, width) - 1


def only(monkeypatch, number):
    """Let the step of that number happen to every image, and no other."""
    calls = iter(range(100))

    def sometimes(p, value, neutral):
        return value if next(calls) == number else torch.full_like(value, neutral)

    monkeypatch.setattr(augment, "sometimes", sometimes)


def test_none_changes_nothing():
    x = images()
    assert Augmentation("none")(x) is x


@POLICIES
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (3, 7, 12), (4, 5, 5), (1, 1, 1), (2, 2, 1)])
def test_any_images_keep_their_shape(policy, shape):
    x = images(5, *shape)
    out = augmentation(policy)(x)
    assert out.shape == x.shape
    assert out.isfinite().all()


@POLICIES
def test_what_happens_does_not_depend_on_the_images(policy):
    """Else real and generated ones would be treated differently: for given draws it is an affine map."""
    x, y, apply = images(), images(), augmentation(policy)
    ours, theirs, between = same_draw(apply, x, y, 0.3 * x + 0.7 * y)
    torch.testing.assert_close(between, 0.3 * ours + 0.7 * theirs, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(ours, x)


@POLICIES
def test_each_image_has_draws_of_its_own_and_each_call_new_ones(policy):
    x, apply = images(1).expand(8, -1, -1, -1), augmentation(policy)
    first, second = apply(x), apply(x)
    assert len({tuple(image.flatten().tolist()) for image in torch.cat([first, second])}) == 16


@POLICIES
def test_the_generators_gradient_passes_through(policy):
    x, apply = images(4).requires_grad_(), augmentation(policy)
    (direction,) = same_draw(apply, images(4) * 0 + 1)
    weight = torch.randn_like(direction)
    torch.manual_seed(7)
    (gradient,) = torch.autograd.grad((weight * apply(x)).sum(), x)
    step = 0.5 * torch.randn_like(x)
    near, there = same_draw(apply, x.detach() + step, x.detach() - step)
    slope = (weight * (near - there)).sum().item() / 2  # exact, since the map is affine
    assert slope == pytest.approx((gradient * step).sum().item(), rel=1e-3, abs=1e-3)
    assert gradient.flatten(1).abs().sum(1).min() > 0


# --- differentiable augmentation


def test_colours_are_moved_as_far_as_in_the_paper():
    grey = torch.zeros(4000, 3, 2, 2)
    level = augment.coloured(grey).flatten(1)
    torch.testing.assert_close(level, level[:, :1].expand_as(level))  # flat images stay flat
    assert -0.5 <= level.min() < -0.49
    assert 0.49 < level.max() <= 0.5
    x = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1).expand(4000, -1, -1, -1)
    spread = augment.coloured(x).flatten(1)
    ratio = (spread[:, 0] - spread[:, 2]) / 2  # saturation of U(0, 2) times contrast of U(0.5, 1.5)
    assert ratio.min() >= 0
    assert ratio.max() <= 3
    assert ratio.mean().item() == pytest.approx(1, abs=0.05)


def test_translation_is_by_whole_pixels_up_to_an_eighth_and_fills_with_grey():
    x = 1 + torch.rand(500, 1, 16, 24)
    out, seen = translated(x), set()
    for before, after in zip(x[:, 0], out[:, 0], strict=True):
        inside = after != 0
        rows, columns = inside.any(1).nonzero().flatten(), inside.any(0).nonzero().flatten()
        block = after[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        found = [
            (dy, dx)
            for dy in range(17 - len(rows))
            for dx in range(25 - len(columns))
            if torch.equal(before[dy : dy + len(rows), dx : dx + len(columns)], block)
        ]
        assert found
        seen.add((int(rows[0]) - found[0][0], int(columns[0]) - found[0][1]))
    assert {dy for dy, _ in seen} == set(range(-2, 3))
    assert {dx for _, dx in seen} == set(range(-3, 4))


def test_cutout_covers_half_of_each_side_anywhere():
    x = torch.ones(800, 2, 8, 12)
    hidden = (cutout(x) == 0).all(1)
    torch.testing.assert_close(cutout(x).unique(), torch.tensor([0.0, 1.0]))
    rows, columns = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert rows.max() == 4
    assert columns.max() == 6
    assert hidden.any(0).all(), "no place is safe"
    assert (hidden.sum((1, 2)) == rows * columns).all()
    for side in (8, 7, 1):
        assert covered(side, 0.5, x).sum(1).max() == (side + 1) // 2


# --- adaptive augmentation


def test_with_probability_0_images_stay_as_they_are():
    x = images(5, 3, 7, 10)
    torch.testing.assert_close(augmentation("adaptive", 0.0)(x), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_each_step_happens_with_the_probability(p):
    value = torch.ones(20_000, 2)
    out = augment.sometimes(torch.tensor(p), value, 0.0)
    assert (out[:, 0] == out[:, 1]).all(), "one coin for an image"
    assert out[:, 0].mean().item() == pytest.approx(p, abs=0.02)


def test_two_rotations_together_happen_with_the_probability(monkeypatch):
    asked = []
    monkeypatch.setattr(augment, "sometimes", lambda p, value, neutral: asked.append(p.item()) or value * 0 + neutral)
    moved(images(), torch.tensor(0.3))
    half = [p for p in asked if p != pytest.approx(0.3)]
    assert len(half) == 2
    assert 1 - (1 - half[0]) * (1 - half[1]) == pytest.approx(0.3, abs=1e-6)


def matches(one, candidates):
    return [i for i, candidate in enumerate(candidates) if torch.allclose(one, candidate, atol=1e-4)]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 9)])
def test_flips_and_quarter_turns_are_exact(monkeypatch, height, width):
    x = images(64, 1, height, width)
    only(monkeypatch, 0)
    flipped = [matches(one, [before, before.flip(2)]) for one, before in zip(moved(x, torch.ones(())), x, strict=True)]
    assert {tuple(kind) for kind in flipped} == {(0,), (1,)}
    only(monkeypatch, 1)
    turned = moved(x, torch.ones(()))
    turns = range(4) if height == width else (0, 2)
    kinds = [matches(one, [b.rot90(k, (1, 2)) for k in turns]) for one, b in zip(turned, x, strict=True)]
    assert {tuple(kind) for kind in kinds} == {(i,) for i in range(len(turns))}


def test_whole_translations_move_pixels_as_they_are(monkeypatch):
    only(monkeypatch, 2)
    x = images(200, 1, 16, 8)
    seen = set()
    for before, after in zip(x[:, 0], moved(x, torch.ones(()))[:, 0], strict=True):
        inner = after[3:13, 2:6]
        places = [(dy, dx) for dy in range(-2, 3) for dx in range(-1, 2)]
        (found,) = matches(inner, [before[3 + dy : 13 + dy, 2 + dx : 6 + dx] for dy, dx in places])
        seen.add(places[found])
    assert len(seen) == 15, "up to an eighth of each side"


def test_rotations_and_scales_keep_the_middle_and_do_what_they_say(monkeypatch):
    """Of an image that is the horizontal place itself, what comes out is where its pixels came from."""
    side = 65
    place = (torch.arange(side) - side // 2).float()
    x = torch.stack([place.expand(side, side), place[:, None].expand(side, side)]).expand(300, -1, -1, -1)
    middle, right, down = (side // 2, side // 2), (side // 2, side // 2 + 4), (side // 2 + 4, side // 2)
    for number, size in ((3, "scale"), (4, "turn"), (6, "stretch")):
        only(monkeypatch, number)
        out = moved(x, torch.ones(()))
        assert out[:, :, *middle].abs().max() < 1e-3
        to_right, to_down = out[:, :, *right] / 4, out[:, :, *down] / 4  # columns of the matrix
        area = to_right[:, 0] * to_down[:, 1] - to_right[:, 1] * to_down[:, 0]
        if size == "turn":
            torch.testing.assert_close(to_right.norm(dim=1), torch.ones(300), rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(area, torch.ones(300), rtol=1e-3, atol=1e-3)
            angle = torch.atan2(to_right[:, 1], to_right[:, 0])
            assert angle.std().item() == pytest.approx(math.pi / 3**0.5, rel=0.1)  # uniform over all
        else:
            logs = to_right[:, 0].log2()
            assert logs.std().item() == pytest.approx(0.2, rel=0.15)
            expected = to_right[:, 0].square() if size == "scale" else torch.ones(300)
            torch.testing.assert_close(area, expected, rtol=1e-3, atol=1e-3)


def test_the_last_move_is_by_parts_of_pixels_an_eighth_of_each_side_wide(monkeypatch):
    height, width = 33, 65
    y, x = (torch.arange(side).float() - side // 2 for side in (height, width))
    places = torch.stack([x.expand(height, width), y[:, None].expand(height, width)]).expand(500, -1, -1, -1)
    only(monkeypatch, 7)
    moves = moved(places, torch.ones(()))[:, :, height // 2, width // 2]
    for move, side in zip(moves.unbind(1), (width, height), strict=True):
        assert move.std().item() == pytest.approx(side / 8, rel=0.1)
        assert (move - move.round()).abs().mean().item() == pytest.approx(0.25, abs=0.03)


def test_colour_steps_are_those_of_the_pipeline(monkeypatch):
    x, one = images(2000, 3, 2, 2), torch.ones(())

    def luma(image):
        return image.mean(1, keepdim=True)

    def step(number):
        only(monkeypatch, number)
        return recoloured(x, one)

    brightness = (step(0) - x).flatten(1)
    torch.testing.assert_close(brightness, brightness[:, :1].expand_as(brightness), rtol=1e-4, atol=1e-5)
    assert brightness[:, 0].std().item() == pytest.approx(0.2, rel=0.1)
    contrast = (step(1) / x).flatten(1)
    torch.testing.assert_close(contrast, contrast[:, :1].expand_as(contrast), rtol=1e-2, atol=1e-3)
    assert contrast[:, 0].log2().std().item() == pytest.approx(0.5, rel=0.1)
    flipped = step(2)
    kept = (luma(flipped) - luma(x)).abs().flatten(1).amax(1) < 1e-5
    assert 0.4 < kept.float().mean() < 0.6
    torch.testing.assert_close(luma(flipped)[~kept], -luma(x)[~kept])
    torch.testing.assert_close(flipped - luma(flipped), x - luma(x))
    hue = step(3)
    torch.testing.assert_close(luma(hue), luma(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close((hue - luma(hue)).norm(dim=1), (x - luma(x)).norm(dim=1), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(hue, x)
    more = step(4)
    torch.testing.assert_close(luma(more), luma(x), rtol=1e-4, atol=1e-5)
    ratio = ((more - luma(more)).norm(dim=1) / (x - luma(x)).norm(dim=1)).flatten(1)[:, 0]
    assert ratio.log2().std().item() == pytest.approx(1.0, rel=0.1)


def test_grey_images_are_inverted_by_the_luma_flip_alone(monkeypatch):
    x = images(100, 1)
    only(monkeypatch, 2)
    kinds = [matches(one, [before, -before]) for one, before in zip(recoloured(x, torch.ones(())), x, strict=True)]
    assert {tuple(kind) for kind in kinds} == {(0,), (1,)}


def told(made, mean_sign, batches, size=100):
    """Let it see batches of outputs for real images whose signs have that mean."""
    outputs = torch.full((size, 1), -0.01)
    outputs[: round(size * (1 + mean_sign) / 2)] = 5.0
    for _ in range(batches):
        made.adapt(outputs)


@pytest.mark.parametrize(("mean_sign", "way"), [(0.7, 1), (0.5, -1)])
def test_the_probability_moves_every_four_batches_towards_the_target(mean_sign, way):
    made = Augmentation("adaptive", target=0.6, images=10_000)
    made.probability.fill_(0.5)
    told(made, mean_sign, 3)
    assert made.probability == 0.5
    told(made, mean_sign, 1)
    assert made.probability.item() == pytest.approx(0.5 + way * 400 / 10_000)
    told(made, mean_sign, 4)
    assert made.probability.item() == pytest.approx(0.5 + way * 800 / 10_000)


def test_the_sign_of_four_batches_together_decides():
    made = Augmentation("adaptive", target=0.6, images=10_000)
    made.probability.fill_(0.5)
    told(made, 1.0, 1)
    told(made, 0.5, 3)  # 0.625 together
    assert made.probability > 0.5
    told(made, 0.5, 4)
    assert made.probability.item() == pytest.approx(0.5)


def test_the_probability_rises_from_0_to_1_in_as_many_images_as_it_should():
    made = Augmentation("adaptive", images=2_000)
    told(made, 1.0, 19)
    assert made.probability < 1
    told(made, 1.0, 1)
    assert made.probability == 1
    told(made, 1.0, 8)
    assert made.probability == 1
    told(made, -1.0, 40)
    assert made.probability == 0


def test_it_adapts_in_training_alone_and_only_if_it_should():
    for made in (Augmentation("adaptive").eval(), Augmentation("differentiable")):
        told(made, 1.0, 40)
        assert made.probability == 0


def test_how_far_it_has_come_is_saved():
    made, other = Augmentation("adaptive", images=1000), Augmentation("adaptive", images=1000)
    told(made, 1.0, 6)
    other.load_state_dict(made.state_dict())
    for each in (made, other):
        told(each, 1.0, 2)
    assert made.probability == other.probability == 0.8
