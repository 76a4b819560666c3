"""What is measured of a model, in worlds where the truth is known: models that show real images, or spoil them."""

import json
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from isthmus.core import Autoencodes, Classifies, Samples, Scores, Spec, Swaps, Translates
from isthmus.data.images import Images, to_unit
from isthmus.data.options import DataOptions
from isthmus.errors import CapabilityError, ConfigError, DataError
from isthmus.evaluation import reference
from isthmus.evaluation.features import AutoencoderFeatures
from isthmus.evaluation.figures import figures
from isthmus.evaluation.judge import Recipe
from isthmus.evaluation.likelihood import GREY_LEVEL
from isthmus.models.autoencoders.vae import VAE

SIDE, CLASSES = 12, tuple("abcd")
PLAIN, BINARY = DataOptions(data=("digits",)), DataOptions(data=("digits",), binarise=True)  # in name only


def squares(n, seed=0, classes=CLASSES, noise=60):
    """Four classes: a bright quarter each, on noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    pixels = torch.randint(noise, (n, 1, SIDE, SIDE), generator=generator)
    for i, label in enumerate(labels.tolist()):
        pixels[i, 0, SIDE // 2 * (label // 2) :, SIDE // 2 * (label % 2) :][: SIDE // 2, : SIDE // 2] += 150
    return Images(pixels.to(torch.uint8), Spec(1, SIDE, SIDE, classes, "squares"), labels if classes else None)


TRAIN, TEST = squares(200), squares(120, seed=1)


@pytest.fixture(autouse=True, scope="module")
def quick(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISTHMUS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(reference, "QUICK", Recipe(steps=60, features=4))
        patch.setattr(AutoencoderFeatures, "learnt", partial(AutoencoderFeatures.learnt, steps=60))
        yield


class Stand(nn.Module):
    """What any model has."""

    spec, device = TEST.spec, torch.device("cpu")


class Painter(Stand, Samples):
    """Draws what `choose(n, label)` says of real images that nobody else has seen."""

    def __init__(self, choose):
        super().__init__()
        self.images, self.choose = squares(400, seed=2), choose

    def sample(self, n, label=None, temperature=1.0):
        return self.images.batch(self.choose(n, label)).image


def in_turn(n, label):
    return torch.arange(n)  # equally many of each class, as the test images have


def of_the_class(n, label):
    return 4 * torch.randperm(100).repeat(2)[:n] + (torch.arange(n) % 4 if label is None else label)


def measured(model, data=PLAIN, train=TRAIN, test=TEST, **options):
    return figures(model, data, [train], [test], **options)


def test_draws_of_real_images_are_as_near_as_real_images_are():
    found = measured(Painter(in_turn))
    assert found.keys() == {"samples"}
    samples = found["samples"]
    assert samples["judge_frechet_distance"] < 3 * samples["floor"]
    assert samples["judge_kernel_distance"] < 4 * samples["standard_errors"]["judge_kernel_distance"]
    assert samples["precision"] > 0.8
    assert samples["recall"] > 0.8
    assert samples["diversity"] == pytest.approx(1, abs=0.1)
    made = samples["provenance"]
    assert made["extractor"] == "judge of squares"
    assert (made["images"], made["seed"], made["settings"]) == ([120, 120], 0, {"neighbours": 5})
    assert {"weights", "resizer", "versions"} <= made.keys()
    json.dumps(found, allow_nan=False)


def test_draws_that_lack_variety_or_sense_are_far():
    real = measured(Painter(in_turn))["samples"]
    one = measured(Painter(lambda n, label: torch.zeros(n, dtype=torch.int64)))["samples"]
    assert one["diversity"] < 0.01
    assert one["coverage"] < 0.1
    assert one["judge_frechet_distance"] > 10 * real["judge_frechet_distance"]

    class Noise(Stand, Samples):
        def sample(self, n, label=None, temperature=1.0):
            return 3 * torch.randn(n, 1, SIDE, SIDE)  # beyond black and white, which a screen cuts off

    noise = measured(Noise())["samples"]
    assert noise["judge_frechet_distance"] > 10 * real["judge_frechet_distance"]
    assert noise["precision"] < 0.2


def test_without_classes_an_autoencoder_sees():
    plain = [squares(n, seed, ()) for n, seed in ((200, 0), (120, 1))]
    (group,) = measured(Painter(in_turn), train=plain[0], test=plain[1]).values()
    assert group["provenance"]["extractor"] == "autoencoder of squares"
    assert group["autoencoder_frechet_distance"] < 3 * group["floor"]


def test_classes_are_judged_where_the_model_heeds_them():
    found = measured(Painter(of_the_class))["classes"]
    assert found["accuracy"] == pytest.approx(found["judge"], abs=0.05)
    assert found["judge"] > 0.95
    assert found["diversity"] == pytest.approx(1, abs=0.05)
    always = Painter(lambda n, label: of_the_class(n, None if label is None else label.clamp_min(1)))
    assert measured(always)["classes"]["accuracy"] == pytest.approx(0.75, abs=0.05)  # "a" is drawn as "b"
    repeated = Painter(lambda n, label: in_turn(n, label) % 4 if label is None else label)
    assert measured(repeated)["classes"]["diversity"] == pytest.approx(0, abs=1e-4)


class Shift(Stand, Autoencodes):
    def encode(self, image):
        return image.flatten(1)

    def decode(self, code):
        return code.unflatten(1, (1, SIDE, SIDE)) + 0.1


def test_reconstructions_are_held_to_the_originals():
    dark = Images(TEST.pixels // 2, TEST.spec, TEST.labels)
    found = measured(Shift(), test=dark)["reconstruction"]
    assert found["mean_squared_error"] == pytest.approx(0.01, rel=1e-4)
    assert found["psnr"] == pytest.approx(10 * math.log10(4 / 0.01), rel=1e-4)
    assert 0.5 < found["ssim"] < 1
    assert found["provenance"]["extractor"] == "none"
    tiny = Images(dark.pixels[..., :8, :8], Spec(1, 8, 8, CLASSES, "tiny"), dark.labels)
    model = Shift()
    model.decode = lambda code: code.unflatten(1, (1, 8, 8))
    perfect = measured(model, test=tiny)["reconstruction"]
    assert perfect["mean_squared_error"] == 0
    assert perfect["psnr"] is None  # infinite, which JSON cannot hold
    assert "ssim" not in perfect  # no room for its window


class Uniform(Stand, Scores):
    """All images in [-1, 1], or all of `levels` values, are equally probable."""

    def __init__(self, levels):
        super().__init__()
        self.count, self.seen = levels, []

    levels = property(lambda self: self.count)

    def log_prob(self, image):
        self.seen.append(image)
        return torch.full((len(image),), -math.log(self.levels or 2) * SIDE * SIDE)


@pytest.mark.parametrize(
    ("levels", "data", "bits"),
    [(256, PLAIN, 8), (2, BINARY, 1), (0, PLAIN, math.log2(2 / GREY_LEVEL)), (2, PLAIN, None), (0, BINARY, None)],
)
def test_bits_per_dimension_have_the_right_constant_or_are_not_told(levels, data, bits):
    model = Uniform(levels)
    found = measured(model, data)["likelihood"]
    assert found["nats"] == pytest.approx(-math.log(levels or 2) * SIDE * SIDE)
    assert found.get("bits_per_dimension") == pytest.approx(bits)
    moved = (torch.cat(model.seen) - to_unit(TEST.pixels)).abs().max().item()
    assert (0.45 * GREY_LEVEL < moved <= 0.51 * GREY_LEVEL) if (levels, data) == (0, PLAIN) else moved == 0


def test_more_samples_of_the_posterior_tighten_the_bound():
    torch.manual_seed(0)
    model = VAE(latent=3, hidden=8).build(TEST.spec)
    with torch.no_grad():
        model.encoder[-1].weight.mul_(3)  # so that the posterior is not the prior
    found = measured(model, groups=("likelihood", "importance_weighted"))
    bound = found["importance_weighted"]
    assert bound["gain"] > 3 * bound["standard_errors"]["gain"]
    assert bound["nats"] == pytest.approx(found["likelihood"]["nats"] + bound["gain"], abs=1)
    assert bound["provenance"]["settings"] == {"samples": 100}


class Known(Stand, Swaps, Classifies):
    """A code is the class and the pixels; swapping shows a real image of the class asked for."""

    lazy = False

    def classify(self, image):
        quarters = nn.functional.avg_pool2d(image, SIDE // 2).flatten(1)
        return quarters.log_softmax(1)

    def encode(self, image, label=None):
        return torch.cat([(self.classify(image).argmax(1) if label is None else label)[:, None], image.flatten(1)], 1)

    def swap(self, code, label):
        if self.lazy:
            return code
        return torch.cat([label[:, None], squares(4).batch(label).image.flatten(1)], 1)

    def decode(self, code):
        return code[:, 1:].unflatten(1, (1, SIDE, SIDE))


def test_swaps_and_classification():
    model = Known()
    found = measured(model)
    assert found.keys() == {"swaps", "classification", "reconstruction"}
    assert found["classification"]["accuracy"] == 1
    assert found["swaps"]["accuracy"] > 0.95
    model.lazy = True
    assert measured(model)["swaps"]["accuracy"] < 0.05


class Carrier(Stand, Translates):
    """To "b" it carries to negatives, which domain b holds; to "a" it does nothing."""

    specs = TEST.spec, replace(TEST.spec, classes=())

    def translate(self, image, to):
        return -image if to == "b" else image


def negative(images):
    return Images(255 - images.pixels, Spec(1, SIDE, SIDE, (), "negatives"))


def test_translations_without_classes_are_compared_with_the_target():
    train, test = (TRAIN, negative(squares(200, 3))), (TEST, negative(squares(120, 4)))
    found = figures(Carrier(), DataOptions(data=("digits", "digits")), train, test)
    assert found.keys() == {"a_to_b", "b_to_a", "cycles"}
    there, back = found["a_to_b"], found["b_to_a"]
    assert there["autoencoder_frechet_distance"] < 5 * there["floor"]
    assert back["judge_frechet_distance"] > 20 * back["floor"]
    assert there["precision"] > 0.7 > 0.2 > back["precision"]
    assert "psnr" not in there


def test_translations_of_pairs_are_held_to_their_partners():
    sets = (TRAIN, negative(TRAIN)), (TEST, negative(TEST))
    found = figures(Carrier(), DataOptions(data=("digits", "digits"), pair="index"), *sets, images=50)
    assert found["a_to_b"]["mean_squared_error"] == pytest.approx(0, abs=1e-9)
    assert found["a_to_b"]["ssim"] == pytest.approx(1)
    assert found["b_to_a"]["mean_squared_error"] > 0.1
    assert found["a_to_b"]["provenance"]["images"] == [50, 50]


def test_a_figure_does_not_depend_on_which_others_are_taken():
    model = VAE(latent=3, hidden=8).build(TEST.spec)
    state = torch.get_rng_state()
    alone = measured(model, groups=("samples",), images=40, seed=3)
    assert alone.keys() == {"samples"}
    everything = measured(model, images=40, seed=3)
    assert alone["samples"] == everything["samples"]
    assert everything.keys() == {"samples", "reconstruction", "likelihood", "importance_weighted"}
    assert torch.equal(state, torch.get_rng_state())
    assert model.training


def test_what_cannot_be_measured_is_one_clear_sentence():
    with pytest.raises(ConfigError, match="no group of figures 'fid'; there are samples, classes"):
        measured(Shift(), groups=("fid",))
    with pytest.raises(CapabilityError, match="no figures of likelihood"):
        measured(Shift(), groups=("likelihood", "reconstruction"))
    with pytest.raises(CapabilityError, match="nothing can be measured"):
        measured(Stand())
    with pytest.raises(ConfigError, match="1 image"):
        measured(Shift(), images=0)
    with pytest.warns(UserWarning, match="no distances from squares: .* 6 images or more, got 4 to test with"):
        assert "samples" not in measured(VAE(latent=3, hidden=8).build(TEST.spec), test=squares(4))


def test_the_floor_is_of_as_many_images_as_were_measured():
    """Distances of fewer images are larger: real images would be far above a floor of more."""
    train, test = (TRAIN, squares(200, 3)), (squares(30, 1), squares(120, 4))
    model = Carrier()
    model.translate = lambda image, to: image
    found = figures(model, DataOptions(data=("digits", "digits")), train, test, groups=("a_to_b",))["a_to_b"]
    target = reference.Reference(train[1], test[1], 2000, 0)
    assert found["floor"] == target.floor(30)
    assert target.floor(30) > 1.5 * target.floor(120)
    assert target.floor(201) is None  # there are 200 to train with


def test_test_images_that_are_no_pairs_are_not_held_to_each_other():
    options, train = DataOptions(data=("digits", "digits"), pair="index"), (TRAIN, negative(TRAIN))
    for fewer in (TEST, negative(squares(119, 1))), (squares(119, 1), negative(TEST)):
        with pytest.raises(DataError, match="equally many images: squares has 1"):
            figures(Carrier(), options, train, fewer)
    names = [f"{i}.png" for i in range(120)]
    test = replace(TEST, names=names), replace(negative(TEST), names=names[::-1])
    with pytest.raises(DataError, match=r'would pair "0.png" with "119.png"'):
        figures(Carrier(), options, train, test)
