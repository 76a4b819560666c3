"""Figures of translators, in worlds where the truth is known: there and back, styles, classes as domains."""

from functools import partial

import pytest
import torch
from torch import nn

from isthmus.core import Spec, Styles, Translates
from isthmus.data.images import Images
from isthmus.data.options import DataOptions
from isthmus.errors import CapabilityError
from isthmus.evaluation import reference
from isthmus.evaluation.features import AutoencoderFeatures
from isthmus.evaluation.figures import figures
from isthmus.evaluation.judge import Recipe

PAIR, ONE = DataOptions(data=("digits", "digits")), DataOptions(data=("digits",))  # in name only
SIDE = 12


@pytest.fixture(autouse=True, scope="module")
def quick(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISTHMUS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(reference, "QUICK", Recipe(steps=60, features=4))
        patch.setattr(AutoencoderFeatures, "learnt", partial(AutoencoderFeatures.learnt, steps=60))
        yield


def halves(n, seed=0, classes=("left", "right")):
    """Two classes: the bright half, on noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    pixels = torch.randint(80, (n, 1, SIDE, SIDE), generator=generator)
    for i, label in enumerate(labels.tolist()):
        pixels[i, 0, :, SIDE // 2 * label :][:, : SIDE // 2] += 150
    return Images(pixels.to(torch.uint8), Spec(1, SIDE, SIDE, classes, "halves"), labels if classes else None)


A, B = halves(120), halves(120, 1, ())
PLACES = {"train": (A, B), "test": (halves(60, 2), halves(60, 3, ()))}


class Carrier(nn.Module, Translates):
    """Carries by turning grey round, times a number."""

    spec, device = A.spec, torch.device("cpu")

    def __init__(self, loss=1.0, specs=(A.spec, B.spec)):
        super().__init__()
        self.loss, self.specs = loss, specs

    def translate(self, image, to):
        return -image * self.loss


class OneWay(Carrier):
    targets = ("b",)


class Turner(Carrier):
    """Carries to a class by laying the bright half where that class has it, or always left."""

    targets = ("left", "right")

    def __init__(self, honest=True):
        super().__init__(specs=(A.spec,))
        self.honest = honest

    def ends(self, to):
        return self.spec, self.spec

    def translate(self, image, to):
        bright = torch.arange(SIDE) < SIDE // 2
        if to == "right" and self.honest:
            bright = ~bright
        return torch.where(bright, 0.6, -0.8).expand_as(image)


class Painter(Carrier, Styles):
    """Shows real images that nobody else has seen, by chance, or one of them alone."""

    def __init__(self, several=True):
        super().__init__()
        self.images, self.several = halves(300, 9), several

    def style(self, image, of):
        return image.mean((1, 2, 3))[:, None]

    def draw_style(self, n, to):
        return torch.randint(300 if self.several else 1, (n, 1)).float()

    def restyle(self, image, to, style):
        return self.images.batch(style[:, 0].long()).image

    translate = Styles.translate


class Chooser(Painter):
    """Shows real images of the class that it is asked for."""

    targets = ("left", "right")

    def __init__(self, several=True):
        super().__init__(several)
        self.specs = (A.spec,)

    def ends(self, to):
        return self.spec, self.spec

    def restyle(self, image, to, style):
        return self.images.batch(style[:, 0].long() // 2 * 2 + self.targets.index(to)).image


class Shader(Carrier, Styles):
    """The style of an image is how bright it is, and all else it keeps."""

    def style(self, image, of):
        return image.mean((1, 2, 3))[:, None]

    def draw_style(self, n, to):
        return 0.1 * torch.rand(n, 1)

    def restyle(self, image, to, style):
        return image - image.mean((1, 2, 3), keepdim=True) + style[..., None, None]

    translate = Styles.translate


class Quarter(Carrier):
    """Carries to the classes of two data sets by turning grey round, with names for both."""

    targets = ("a:left", "a:right", "b:left", "b:right")

    def __init__(self):
        super().__init__(specs=(A.spec, A.spec))

    def ends(self, to):
        return A.spec, A.spec

    def translate(self, image, to):
        bright = torch.arange(SIDE) < SIDE // 2
        return torch.where(bright if to.endswith("left") else ~bright, 0.6, -0.8).expand_as(image)


def measured(model, data=PAIR, **options):
    domains = len(model.specs)
    return figures(model, data, PLACES["train"][:domains], PLACES["test"][:domains], **options)


def test_there_and_back_is_measured_in_eight_bits():
    found = measured(Carrier(), groups=("cycles",))["cycles"]
    assert found["a"] == pytest.approx(0, abs=1e-6)
    lossy = measured(Carrier(0.5), groups=("cycles",))["cycles"]
    image = PLACES["test"][0].batch(torch.arange(60)).image
    assert lossy["a"] == pytest.approx(0.75 * image.abs().mean().item(), abs=0.002)
    assert found["standard_errors"].keys() == {"a", "b"}


def test_the_way_back_is_in_the_style_that_the_image_had():
    found = measured(Shader(), groups=("cycles",))["cycles"]
    assert found["a"] == pytest.approx(0, abs=0.004)  # half a grey level
    assert found["b"] == pytest.approx(0, abs=0.004)


def test_a_model_of_one_way_has_figures_of_that_way_alone():
    found = measured(OneWay())
    assert found.keys() == {"a_to_b"}


def test_styles_are_as_different_as_what_they_show():
    found = measured(Painter(), groups=("styles",), draws=8)["styles"]
    assert found.keys() >= {"diversity_a", "diversity_b"}
    assert found["diversity_b"] == pytest.approx(1, abs=0.25)
    assert measured(Painter(several=False), groups=("styles",))["styles"]["diversity_b"] == pytest.approx(0, abs=1e-6)


def test_styles_of_classes_are_held_to_real_images_of_the_class():
    found = measured(Chooser(), ONE, groups=("styles",), draws=8)["styles"]
    assert found["diversity_left"] == pytest.approx(1, abs=0.25)
    assert found["diversity_right"] == pytest.approx(1, abs=0.25)
    collapsed = measured(Chooser(several=False), ONE, groups=("styles",))["styles"]
    assert collapsed["diversity_left"] == pytest.approx(0, abs=1e-6)
    test = PLACES["test"][0]
    lone = test.take(torch.cat([test.labels.bool().logical_not().nonzero().flatten(), torch.tensor([1])]))
    with pytest.warns(UserWarning, match="no diversity_right: .* got 1"):
        found = figures(Chooser(), ONE, (A,), (lone,), groups=("styles",))["styles"]
    assert "diversity_left" in found


def test_styles_that_nothing_compares_with_are_left_out_with_a_warning():
    with pytest.warns(UserWarning, match="no styles: they take 2 draws of each image or more, got 1"):
        assert {"cycles", "a_to_b"} <= measured(Painter(), draws=1).keys()
    few = halves(1, 3, ())
    with pytest.warns(UserWarning, match="no diversity_b: it takes 2 test images .* got 1"):
        found = figures(Painter(), PAIR, PLACES["train"], (PLACES["test"][0], few), groups=("styles",))["styles"]
    assert "diversity_a" in found
    assert "diversity_b" not in found
    with pytest.warns(UserWarning, match="no diversity_"), pytest.raises(CapabilityError, match="no figures of styles"):
        figures(Painter(), PAIR, PLACES["train"], (halves(1, 2), few), groups=("styles",))


def test_classes_as_domains_are_judged():
    assert measured(Turner(), ONE, groups=("domains",))["domains"]["accuracy"] > 0.9
    assert measured(Turner(honest=False), ONE, groups=("domains",))["domains"]["accuracy"] == pytest.approx(
        0.5, abs=0.1
    )


def test_classes_as_domains_are_carried_there_and_back():
    """Whatever comes back is the plain bright half of its own class."""
    image, label = PLACES["test"][0].batch(torch.arange(60)).image, PLACES["test"][0].labels
    plain = torch.stack([Turner().translate(x[None], Turner.targets[k])[0] for x, k in zip(image, label, strict=True)])
    found = measured(Turner(), ONE, groups=("cycles",))["cycles"]
    assert found["a"] == pytest.approx((plain - image).abs().mean().item(), abs=1e-4)
    assert "b" not in found
    worse = measured(Turner(honest=False), ONE, groups=("cycles",))["cycles"]["a"]
    assert worse > 1.5 * found["a"]


def test_classes_of_two_data_sets_are_judged_one_by_one():
    test = PLACES["test"][0]
    found = figures(Quarter(), PAIR, (A, A), (test, test))
    assert found.keys() == {"domains", "cycles"}
    assert found["domains"].keys() >= {"accuracy_a", "judge_a", "accuracy_b", "judge_b"}
    assert found["domains"]["accuracy_b"] > 0.9
    assert found["cycles"]["b"] == pytest.approx(found["cycles"]["a"])


def test_figures_of_several_domains_tell_what_saw_each_and_how_many_images():
    sets = (A, B), (PLACES["test"][0], halves(40, 3, ()))
    found = figures(Painter(), PAIR, *sets, groups=("cycles", "styles"), seed=3)
    assert found["cycles"]["provenance"]["images"] == [60, 40]
    made = found["styles"]["provenance"]
    assert made["extractor"] == "judge of halves and autoencoder of halves"
    assert len(made["weights"].split(" and ")) == 2
    assert made["resizer"] == "none"
    assert made["images"] == [40, 60]  # a is made of b's
    sets = (A, halves(120, 1)), (PLACES["test"][0], halves(40, 3))
    made = figures(Quarter(), PAIR, *sets, groups=("domains",), seed=3)["domains"]["provenance"]
    assert (made["extractor"], made["images"], made["seed"]) == ("judge of halves", [60, 40], 3)
    assert len(made["weights"].split(" and ")) == 2  # of two judges with one name
