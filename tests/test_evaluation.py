"""The judge and the figures that rest on it, against worlds where the truth is known."""

import pytest
import torch

from isthmus.core import Bridges, Spec, Translates
from isthmus.data.images import Images
from isthmus.data.open import open_data
from isthmus.data.options import DataOptions
from isthmus.errors import DataError
from isthmus.evaluation.judge import Recipe, accuracy, judge
from isthmus.evaluation.transfer import Spread, transfer

QUICK = Recipe(steps=150, features=8)


@pytest.fixture(scope="module")
def digits():
    options = DataOptions(data=("digits:5-9",))
    return open_data(options, "train")[0], open_data(options, "test")[0]


@pytest.fixture(scope="module")
def known(digits, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISTHMUS_CACHE", str(tmp_path_factory.mktemp("cache")))
        return judge(*digits, QUICK)


class Table(Translates):
    """Translates by showing real images: the k-th class's for a source of class k; `wrong` of ten at random."""

    def __init__(self, target, labels_of, shift=0):
        self.target, self.labels_of, self.shift = target, labels_of, shift

    spec, device = property(lambda self: self.target.spec), property(lambda self: torch.device("cpu"))

    def translate(self, image, to):
        labels = (self.labels_of(image) + self.shift) % len(self.target.spec.classes)
        members = [(self.target.labels == label).nonzero().flatten() for label in labels.tolist()]
        return self.target.batch(torch.stack([m[torch.randint(len(m), ())] for m in members])).image


def sources(n=200):
    """Images that show their class as a grey value."""
    labels = torch.arange(n) % 5
    pixels = (labels * 50).to(torch.uint8)[:, None, None, None].expand(n, 1, 4, 4).contiguous()
    return Images(pixels, Spec(1, 4, 4, tuple("01234"), "grey"), labels)


def grey_class(image):
    return ((image[:, 0, 0, 0] + 1) * 127.5 / 50).round().long()


def test_the_judge_knows_digits_and_is_kept(digits, known, tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path))
    first = judge(*digits, QUICK)
    assert first.accuracy == accuracy(known, digits[1]) == known.accuracy > 0.95
    (file,) = tmp_path.glob("judges/*.safetensors")
    stamp = file.stat().st_mtime_ns
    again = judge(*digits, QUICK)
    assert file.stat().st_mtime_ns == stamp
    assert torch.equal(again.head.weight, first.head.weight)
    judge(digits[0], digits[1], Recipe(steps=1, features=8))
    assert len(list(tmp_path.glob("judges/*.safetensors"))) == 2  # another recipe is another judge


def test_judging_leaves_the_callers_random_numbers_alone(digits, known, tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path))
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    judge(digits[0], digits[1], Recipe(steps=2, features=8))
    assert torch.equal(torch.rand(3), expected)


def test_a_judge_needs_classes():
    blank = Images(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), Spec(1, 4, 4, name="blank"))
    with pytest.raises(DataError, match="blank"):
        judge(blank, blank)


@pytest.mark.parametrize(("shift", "expected"), [(0, "judge"), (1, 0.0)])
def test_a_translator_that_shows_real_images_scores_as_the_judge_does(digits, known, shift, expected):
    _, test = digits
    found = transfer(
        Table(test, grey_class, shift), sources(), test, to="b", matches=torch.eye(5, dtype=torch.bool), judge=known
    )
    assert found.images == 800
    assert found.ceiling is None
    assert found.accuracy == pytest.approx(known.accuracy if expected == "judge" else expected, abs=0.03)
    assert found.diversity == pytest.approx(1.0, abs=0.1)


def test_several_right_answers_are_all_right(digits, known):
    _, test = digits
    everything = torch.ones(5, 5, dtype=torch.bool)
    found = transfer(Table(test, grey_class, 3), sources(), test, to="b", matches=everything, judge=known)
    assert found.accuracy == 1.0


def test_a_translator_that_collapsed_has_no_diversity(digits, known):
    _, test = digits

    class One(Table):
        def translate(self, image, to):
            return test.batch(torch.zeros(len(image), dtype=torch.int64)).image

    found = transfer(
        One(test, grey_class), sources(), test, to="b", matches=torch.eye(5, dtype=torch.bool), judge=known
    )
    assert found.diversity == pytest.approx(0.0, abs=1e-6)
    assert found.accuracy == pytest.approx(0.2, abs=0.01)  # right for one class in five


def test_classes_that_match_nothing_are_not_judged(digits, known):
    _, test = digits
    matches = torch.zeros(5, 5, dtype=torch.bool)
    matches[2, 3] = True
    found = transfer(Table(test, grey_class, 1), sources(), test, to="b", matches=matches, judge=known)
    assert found.images == 160  # forty sources of class 2, four draws
    assert found.accuracy > 0.8
    with pytest.raises(DataError, match="pairing rule"):
        transfer(
            Table(test, grey_class), sources(), test, to="b", matches=torch.zeros(5, 5, dtype=torch.bool), judge=known
        )


def test_the_ceiling_is_that_of_the_target_autoencoder(digits, known):
    _, test = digits

    class Perfect(Bridges, Table):
        """An autoencoder that loses nothing, and one that loses everything."""

        lossy = False

        def autoencoder(self, domain):
            class Same:
                encode = staticmethod(lambda image: image.flatten(1) * (not self.lossy))
                decode = staticmethod(lambda code: code.unflatten(1, test.spec.shape))

            return Same()

        noise = cross = None
        translate = Table.translate

    model, matches = Perfect(test, grey_class), torch.eye(5, dtype=torch.bool)
    assert transfer(model, sources(), test, to="b", matches=matches, judge=known).ceiling == known.accuracy
    model.lossy = True
    assert transfer(model, sources(), test, to="b", matches=matches, judge=known).ceiling < 0.4


def test_spread_is_the_deviation_within_classes_alone():
    torch.manual_seed(0)
    labels = torch.arange(4000) % 2
    images = labels[:, None, None, None] * 10.0 + 0.5 * torch.randn(4000, 1, 3, 3)
    spread, constant = Spread(), Spread()
    for part in torch.randperm(4000).split(300):
        spread.update(images[part], labels[part])
    assert spread.compute() == pytest.approx(0.5, rel=0.05)
    deviations = [images[labels == label].double().var(0, correction=0).mean().sqrt() for label in (0, 1)]
    assert spread.compute() == pytest.approx((sum(deviations) / 2).item())
    constant.update(images[:2], labels[:2])
    assert constant.over(spread) == 0
    assert spread.over(constant) is None


def test_the_error_of_an_accuracy_knows_that_draws_of_one_source_go_together(digits, known):
    _, test = digits
    matches = torch.eye(5, dtype=torch.bool)
    matches[0, 0] = False  # one class in five is always wrong, the same for each draw
    matches[0, 1] = True
    once, often = (
        transfer(Table(test, grey_class), sources(), test, to="b", matches=matches, judge=known, draws=draws)
        for draws in (1, 8)
    )
    assert often.images == 8 * once.images
    assert often.error == pytest.approx(once.error, rel=0.15)
