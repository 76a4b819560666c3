"""Extractors, and `isthmus compare`: what is said about any two sets of images, and how it was made."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from isthmus.apps.cli import main
from isthmus.core import Spec
from isthmus.data.images import Images, to_bytes
from isthmus.data.open import open_data
from isthmus.data.options import DataOptions
from isthmus.errors import ConfigError, DataError
from isthmus.evaluation import (
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    Moments,
    PrecisionRecall,
    Statistics,
    frechet_distance,
    kernel_estimate,
    precision_recall,
)
from isthmus.evaluation.backbones import InceptionFeatures, TimmFeatures, TorchvisionFeatures
from isthmus.evaluation.compare import compare, compare_with_statistics
from isthmus.evaluation.features import AutoencoderFeatures, JudgeFeatures, extract, features_of, shrunk
from isthmus.evaluation.judge import Recipe


def images(n=60, seed=0, classes=("dark", "bright"), side=16, channels=1):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    pixels = torch.randint(100, (n, channels, side, side), generator=generator) + 120 * labels[:, None, None, None]
    return Images(pixels.to(torch.uint8), Spec(channels, side, side, classes, f"set {seed}"), labels)


class Means:
    """Ten random projections of the pixels."""

    name, weights, resizer = "projections", "0", "none"

    def __init__(self):
        self.calls = 0

    def __call__(self, pixels):
        self.calls += 1
        axes = torch.randn(pixels[0].numel(), 10, generator=torch.Generator().manual_seed(0))
        return pixels.float().flatten(1) @ axes / 1000


def test_features_of_tensors_batches_and_data_sets_are_equal(monkeypatch, tmp_path):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path))
    data, extractor = images(), Means()
    whole = extract(extractor, data)
    assert whole.shape == (60, 10)
    floats = data.batch(torch.arange(60)).image
    for other in (data.pixels, floats, (floats + 1e-3).clamp_max(1)):  # floats are rounded like files
        np.testing.assert_array_equal(extract(extractor, other), whole)
    np.testing.assert_allclose(extract(extractor, iter(data.pixels.split(7))), whole, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(features_of(extractor, data), whole)
    calls = extractor.calls
    np.testing.assert_array_equal(features_of(extractor, data), whole)
    assert extractor.calls == calls  # kept
    np.testing.assert_array_equal(features_of(extractor, data.take(torch.arange(5))), whole[:5])
    assert extractor.calls > calls  # other pixels
    for wrong, words in (
        ([], "no images"),
        (data.pixels[0], "batch, channels"),
        (floats * 3, "lie in"),
        (floats * torch.nan, "lie in"),
    ):
        with pytest.raises(DataError, match=words):
            extract(extractor, wrong)


def test_large_images_are_made_smaller_with_antialiasing():
    stripes = torch.zeros(1, 1, 64, 128, dtype=torch.uint8)
    stripes[..., ::2] = 255
    small = shrunk(stripes)
    assert small.shape == (1, 1, 16, 32)
    assert (small.float() - 127.5).abs().max() < 10  # grey, not black or white
    assert shrunk(small) is small


@pytest.mark.parametrize(
    "kind",
    [lambda x: JudgeFeatures.learnt(x, Recipe(steps=5, features=4)), lambda x: AutoencoderFeatures.learnt(x, steps=5)],
)
def test_learnt_extractors_are_kept_and_known_by_their_weights(kind, monkeypatch, tmp_path):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path))
    data = images(side=40)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, again, other = kind(data), kind(data), kind(images(seed=1, side=40))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.weights == again.weights != other.weights
    assert "set 0" in first.name
    assert first.resizer.endswith("to 32 pixels")
    np.testing.assert_array_equal(extract(first, data), extract(again, data))


def test_inception_by_way_of_torch_fidelity(tmp_path, monkeypatch):
    """With random weights: the features are the library's own, and what they make is not called FID."""
    library = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with pytest.raises(ConfigError, match=r"weights-inception-2015-12-05-6726825d\.pth \(91 MB.*SHA-256.*--weights"):
        InceptionFeatures()
    torch.manual_seed(0)
    made = {}
    monkeypatch.setattr(library, "load_state_dict_from_url", lambda *_, **__: made)
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_, **__: None)
    network = library.FeatureExtractorInceptionV3("random", ["2048", "logits_unbiased"])
    monkeypatch.undo()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    torch.save(network.state_dict(), tmp_path / "random.pth")
    ours = InceptionFeatures(tmp_path / "random.pth")
    assert not ours.genuine
    assert "other weights" in ours.name
    pixels = images(2, side=32, channels=3).pixels
    with torch.no_grad():
        features, logits = network.eval()(pixels)
        torch.testing.assert_close(ours(pixels), features)
        torch.testing.assert_close(ours.answers(ours(pixels)), logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours(pixels[:, :1]), network(pixels[:, :1].expand(-1, 3, -1, -1))[0])
    (tmp_path / "bad.pth").write_text("nothing")
    with pytest.raises(DataError, match="does not hold Inception's weights"):
        InceptionFeatures(tmp_path / "bad.pth")


def test_torchvision_networks_with_weights_from_a_file(tmp_path, monkeypatch):
    from torchvision import models

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with pytest.raises(ConfigError, match=r"resnet18-.*\.pth \(45 MB"):
        TorchvisionFeatures("resnet18")
    with pytest.raises(ConfigError, match="no classifier 'resnet19'"):
        TorchvisionFeatures("resnet19")
    with pytest.raises(ConfigError, match=r"(no weights|no linear)"):
        TorchvisionFeatures("squeezenet1_1")
    torch.manual_seed(0)
    network = models.get_model("resnet18", weights=None)
    torch.save(network.state_dict(), tmp_path / "random.pth")
    ours = TorchvisionFeatures("resnet18", tmp_path / "random.pth")
    network.eval().fc = torch.nn.Identity()
    pixels = images(2, side=20, channels=3).pixels
    image = (
        torch.nn.functional.interpolate(pixels.float(), [224, 224], mode="bicubic", antialias=True).clamp(0, 255) / 255
    )
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = network((image - mean[:, None, None]) / std[:, None, None])
    np.testing.assert_allclose(extract(ours, pixels), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match="another network"):
        TorchvisionFeatures("resnet34", tmp_path / "random.pth")
    with pytest.raises(DataError, match="4 channels"):
        extract(ours, images(2, channels=4).pixels)


def test_timm_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"(pip install timm|no weights at)"):
        TimmFeatures("resnet18")


def test_a_comparison_tells_figures_and_how_they_were_made():
    a, b = images(80), images(70, seed=1)
    found = compare(a, b, Means(), seed=4)
    figures = {result.metric: result for result in found.results}
    assert {"Fréchet distance", "kernel distance", "precision", "recall", "density", "coverage"} <= figures.keys()
    assert not {"FID", "KID"} & figures.keys()
    made = figures["precision"].provenance
    assert (made.extractor, made.images, dict(made.settings)) == ("projections", (80, 70), {"neighbours": 5})
    assert figures["precision"].value > 0.8
    shifted = Images(a.pixels // 2, a.spec, a.labels)
    worse = {result.metric: result for result in compare(a, shifted, Means()).results}
    assert worse["Fréchet distance"].value > 10 * figures["Fréchet distance"].value
    assert worse["precision"].value < figures["precision"].value
    assert any("differ in size" in note for note in found.notes)
    assert json.loads(json.dumps(found.to_dict()))["a"] == "set 0"


def test_metrics_gather_batches_of_any_size():
    real, fake, extractor = images(80), images(70, seed=1), Means()
    x, y = extract(extractor, real), extract(extractor, fake)
    floats = fake.batch(torch.arange(70)).image
    expected = {
        FrechetDistance: pytest.approx(frechet_distance(x, y), rel=1e-6),
        KernelDistance: pytest.approx(kernel_estimate(x, y), rel=1e-4),
        PrecisionRecall: precision_recall(real=x, fake=y),
    }
    for metric, value in expected.items():
        gathered = metric(extractor)
        gathered.update(real.pixels[:9] // 3, real=True)
        gathered.reset()
        for parts, is_real in ((real.pixels.split(7), True), (floats.split(31), False)):
            for part in parts:
                gathered.update(part, real=is_real)
        assert gathered.compute() == value
    gathered = FrechetDistance(extractor)
    gathered.update(real.pixels, real=True)
    with pytest.raises(DataError, match="update"):
        gathered.compute()
    only_real = KernelDistance(extractor)
    only_real.update(real.pixels, real=True)
    with pytest.raises(DataError, match="no generated images"):
        only_real.compute()


def test_the_score_gathers_answers(monkeypatch, tmp_path):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path))
    data = images()
    eye = JudgeFeatures.learnt(data, Recipe(steps=30, features=4))
    gathered = InceptionScore(eye, splits=1)
    for part in data.pixels.split(17):
        gathered.update(part, real=False)
    assert 1.8 < gathered.compute().value <= 2  # two classes, equally many of each, told apart
    with pytest.raises(ConfigError, match="take a judge"):
        InceptionScore(Means()).compute()


def test_genuine_inception_features_are_called_by_their_names():
    extractor = Means()
    extractor.genuine = True
    names = {result.metric for result in compare(images(), images(seed=1), extractor).results}
    assert {"FID", "KID"} <= names
    assert "Fréchet distance" not in names


def test_comparisons_that_make_no_sense_are_one_clear_sentence():
    a = images()
    with pytest.raises(DataError, match="--size"):
        compare(a, images(side=8), Means())
    with pytest.raises(DataError, match="add images"):
        compare(a, a.take(torch.arange(3)), Means())
    constant = Images(torch.full_like(a.pixels, 9), a.spec)
    assert any("look the same" in note for note in compare(a, constant, Means()).notes)


def save(folder, data, suffix):
    for i, (pixels, label) in enumerate(zip(data.pixels, data.labels.tolist(), strict=True)):
        place = folder / data.spec.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.movedim(0, 2).squeeze(2).numpy()).save(place / f"{i}{suffix}")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    save(root / "real", images(60), ".png")
    save(root / "same", images(60, seed=1), ".bmp")
    save(root / "colour", images(60, seed=2, channels=3), ".webp")
    save(root / "large", images(60, seed=3, side=20), ".png")
    (root / "empty").mkdir()
    return root


def test_compare_two_folders_from_the_command_line(folders, capsys):
    assert main(["compare", str(folders / "real"), str(folders / "same"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    values = {result["metric"]: result["value"] for result in report["results"]}
    assert values["precision"] > 0.8
    assert all(result["provenance"]["images"] == [60, 60] for result in report["results"])
    assert report["results"][0]["provenance"]["extractor"].startswith("judge of folder:")
    assert main(["compare", str(folders / "real"), str(folders / "same"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == report
    assert (
        main(["compare", str(folders / "real"), str(folders / "same"), "--features", "autoencoder", "--images", "40"])
        == 0
    )
    table = capsys.readouterr().out
    assert "Fréchet distance" in table
    assert "autoencoder of" in table
    assert "40 images" in table


def test_grey_and_colour_are_compared_in_colour(folders, capsys):
    arguments = [
        "compare",
        str(folders / "real"),
        f"folder:{folders / 'colour'}",
        "--features",
        "autoencoder",
        "--json",
    ]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["results"]


def figures_of(arguments, capsys):
    assert main(["compare", *map(str, arguments), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    return {result["metric"]: result for result in report["results"]} | {"notes": report["notes"]}


@pytest.mark.parametrize("features", ["judge", "autoencoder"])
def test_statistics_stand_in_the_place_of_images(folders, features, tmp_path, capsys, monkeypatch):
    real, same, file = folders / "real", folders / "same", tmp_path / "real.npz"
    assert main(["compare", str(real), "--save-statistics", str(file), "--features", features]) == 0
    assert "60 images" in capsys.readouterr().out
    expected = figures_of([real, same, "--features", features], capsys)["Fréchet distance"]
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "elsewhere"))  # on a machine that has never seen the images
    found = figures_of([file, same], capsys)
    assert found["Fréchet distance"]["value"] == pytest.approx(expected["value"], rel=1e-6)
    made, theirs = (dict(x["provenance"]) for x in (found["Fréchet distance"], expected))
    assert made == theirs
    assert "precision" not in found
    assert not found["notes"]
    assert main(["compare", str(file), str(folders / "large")]) == 0  # brought to the size of the others
    shown = capsys.readouterr().out
    assert "60 images" in shown
    assert f"{features} of folder:" in " ".join(shown.split())
    assert "neighbours" not in shown
    assert np.load(file)["mu"].shape == (Moments.load(file).mean.shape)


def test_statistics_of_another_extractor_are_refused(tmp_path):
    a, b, extractor = images(80), images(70, seed=1), Means()
    statistics = Statistics.of(a, extractor)
    exact = compare(a, b, extractor).results[0]
    found = compare_with_statistics(statistics, b, extractor).results[0]
    assert (found.value, found.provenance) == (pytest.approx(exact.value), exact.provenance)
    for name in ("name", "weights", "resizer"):
        other = Means()
        setattr(other, name, "other")
        with pytest.raises(ConfigError, match=r"projections \(weights 0, resized: none\), and here .* other"):
            compare_with_statistics(statistics, b, other)
    with pytest.raises(DataError, match="8x8"):
        compare_with_statistics(statistics, images(side=8), extractor)
    statistics.save(tmp_path / "large.npz")  # an extractor that is not ours does not go into the file
    again = Statistics.load(tmp_path / "large.npz")
    assert again.extractor is None
    assert again.spec == a.spec
    assert compare_with_statistics(again, b, extractor).results[0].value == pytest.approx(exact.value)


def test_statistics_of_pytorch_fid_are_taken_at_their_word(tmp_path):
    a, b, extractor = images(80), images(70, seed=1), Means()
    features = extract(extractor, a)
    np.savez(tmp_path / "theirs.npz", mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    found = compare_with_statistics(Statistics.load(tmp_path / "theirs.npz"), b, extractor)
    assert found.results[0].value == pytest.approx(compare(a, b, extractor).results[0].value, rel=1e-4)
    assert any("does not say" in note for note in found.notes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["real.npz"], "what to compare"),
        (["real"], "isthmus compare A B"),
        (["real", "--save-statistics", "real.txt"], "ends in .npz"),
        (["real", "--save-statistics", "real.npz"], "exists"),
        (["real.npz", "same", "--save-statistics", "new.npz"], "those of images"),
        (["missing.npz", "same"], "no statistics"),
        (["torn.npz", "same"], "cannot be read"),
        (["real.npz", "same", "--features", "judge"], "not there"),
        (["theirs.npz", "same"], "does not name"),
    ],
)
def test_mistakes_with_statistics_are_one_clear_sentence(folders, tmp_path, arguments, words, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("real", "same"):
        Path(name).symlink_to(folders / name)
    if any(".npz" in argument for argument in arguments):
        eye = AutoencoderFeatures.learnt(images(), steps=5)
        statistics = Statistics.of(images(), eye)
        statistics.save(Path("real.npz"))
        Moments.of(np.zeros((3, 2))).save("theirs.npz")
        statistics.moments.save("torn.npz", learnt=json.dumps({"spec": {"classes": []}, "judge": None}))
    assert main(["compare", *arguments]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["real", "empty"], "empty"),
        (["real", "missing"], "missing"),
        (["real", "large"], "--size"),
        (["real", "same", "--features", "nothing"], "judge, autoencoder, inception"),
        (["real", "same", "--features", "timm"], "timm:NAME"),
        (["real", "same", "--features", "judge", "--weights", "x.pth"], "--weights is for"),
        (["real", "same", "--images", "0"], "positive"),
        (["real", "same", "--images", "4"], "add images"),
    ],
)
def test_mistakes_on_the_command_line_are_one_clear_sentence(folders, arguments, words, capsys):
    assert main(["compare", *(str(folders / a) if i < 2 else a for i, a in enumerate(arguments))]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert "Traceback" not in message


def test_rounding_is_the_same_for_both_sides():
    """A generator that gives the real images as floats is perfect."""
    a = images()
    copied = Images(to_bytes(a.batch(torch.arange(len(a))).image), a.spec, a.labels)
    assert compare(a, copied, Means()).results[0].value == pytest.approx(0, abs=1e-9)


def test_real_pictures_in_folders(tmp_path, capsys):
    """Fashion-MNIST: train and test are alike, digits are something else."""
    if "ISTHMUS_DATA" not in os.environ:
        pytest.skip("set ISTHMUS_DATA to a folder with fashion-mnist and mnist")
    for name, split in (("fashion-mnist", "train"), ("fashion-mnist", "test"), ("mnist", "test")):
        (data,) = open_data(DataOptions(data=(name,)), split)
        some = data.take(torch.arange(600))
        save(tmp_path / f"{name}-{split}", replace(some, spec=replace(data.spec, classes=tuple("0123456789"))), ".png")
    found = {}
    for other in ("fashion-mnist-test", "mnist-test"):
        assert main(["compare", str(tmp_path / "fashion-mnist-train"), str(tmp_path / other), "--json"]) == 0
        results = json.loads(capsys.readouterr().out)["results"]
        found[other] = {result["metric"]: result["value"] for result in results}
    alike, different = found.values()
    assert alike["precision"] > 0.85
    assert alike["coverage"] > 0.85
    assert different["precision"] < 0.6
    assert different["Fréchet distance"] > 20 * alike["Fréchet distance"]
