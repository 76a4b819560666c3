"""Our metrics against the packages that people cite, on the same features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.evaluation import (
    frechet_distance,
    inception_score,
    kernel_distance,
    kernel_distance_subsets,
    precision_recall,
)


@pytest.fixture(scope="module")
def features():
    """Two sets that look like features of a network: not negative, correlated, of different spread."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(96, 96, generator=generator, dtype=torch.float64) / 10
    a = (torch.randn(700, 96, generator=generator, dtype=torch.float64) @ mix + 0.1).relu()
    b = (torch.randn(600, 96, generator=generator, dtype=torch.float64) @ mix * 1.1 + 0.2).relu()
    return a, b


class Flat(torch.nn.Module):
    """An extractor whose images are their features already."""

    num_features = 96

    def forward(self, x):
        return x.flatten(1)[:, :96]


@pytest.mark.parametrize("images", [600, 50])
def test_frechet_distance(features, images):
    a, b = (x[:images] for x in features)
    ours, tolerance = (
        frechet_distance(a, b),
        1e-9 if images > 96 else 1e-6,
    )  # they lose digits where covariances are singular
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    theirs = fid.fid_statistics_to_metric(*map(fid.fid_features_to_statistics, (a, b)), verbose=False)
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=tolerance)
    metrics = pytest.importorskip("torchmetrics.image.fid")
    statistics = [x for f in (a, b) for x in (f.mean(0), f.T.cov())]
    assert ours == pytest.approx(metrics._compute_fid(*statistics).item(), rel=tolerance)


def test_frechet_distance_of_pytorch_fid_and_clean_fid(features):
    numbers = [x.numpy() for x in features]
    arguments = [y for x in numbers for y in (x.mean(0), np.cov(x, rowvar=False))]
    ours, tried = frechet_distance(*features), 0
    for module in ("pytorch_fid.fid_score", "cleanfid.fid"):
        try:
            peer = pytest.importorskip(module)
        except pytest.skip.Exception:
            continue
        theirs = getattr(peer, "calculate_frechet_distance", None) or peer.frechet_distance
        assert ours == pytest.approx(theirs(*arguments), rel=1e-9)
        tried += 1
    if not tried:
        pytest.skip("neither pytorch-fid nor clean-fid is installed: uv sync --group bench")


def test_kernel_distance_on_torch_fidelitys_subsets(features):
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    for a, b in (features, tuple(x.float() for x in features)):
        theirs = kid.kid_features_to_metric(a, b, kid_subsets=7, kid_subset_size=100, rng_seed=2020, verbose=False)
        ours = kernel_distance_subsets(a, b, subsets=7, size=100, seed=2020)
        assert ours.value == pytest.approx(theirs["kernel_inception_distance_mean"], abs=1e-6)
        assert ours.error == pytest.approx(theirs["kernel_inception_distance_std"], abs=1e-6)


def test_kernel_distance_of_torchmetrics(features):
    kid = pytest.importorskip("torchmetrics.image.kid")
    a, b = (x[:600] for x in features)
    assert kernel_distance(a, b) == pytest.approx(kid.poly_mmd(a, b).item(), rel=1e-9)


def test_inception_score(features):
    isc = pytest.importorskip("torch_fidelity.metric_isc")
    theirs = isc.isc_features_to_metric(features[0] * 5, splits=10, shuffle=True, rng_seed=2020)
    ours = inception_score(features[0] * 5)
    assert ours.value == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert ours.error == pytest.approx(theirs["inception_score_std"], rel=1e-9)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_precision_and_recall_of_torch_fidelity(features, kind):
    prc = pytest.importorskip("torch_fidelity.metric_prc")
    real, fake = (x.to(kind) for x in features)
    theirs = prc.prc_features_to_metric(fake, real, prc_neighborhood=3, verbose=False)
    ours = precision_recall(real=real, fake=fake, neighbours=3)
    assert (ours.precision.value, ours.recall.value) == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-6)


def test_density_and_coverage_of_prdc(features, capsys):
    prdc = pytest.importorskip("prdc", reason="prdc is not installed: uv sync --group bench")
    theirs = prdc.compute_prdc(*(x.numpy() for x in features), nearest_k=5)
    ours = precision_recall(real=features[0], fake=features[1], neighbours=5)
    for name, estimate in ours._asdict().items():
        assert estimate.value == pytest.approx(theirs[name], rel=1e-12), name


def test_structural_similarity():
    functional = pytest.importorskip("torchmetrics.functional.image")
    from isthmus.evaluation import ms_ssim, psnr, ssim

    torch.manual_seed(0)
    a = torch.nn.functional.interpolate(torch.rand(3, 3, 23, 24), (184, 192), mode="bilinear") * 2 - 1
    b = (a + 0.2 * torch.randn_like(a)).clamp(-1, 1)
    for x, y in ((a, b), (a[:, :1, :40, :33], b[:, :1, :40, :33])):
        _, theirs = functional.structural_similarity_index_measure(
            x, y, data_range=2.0, reduction="none", return_full_image=True
        )
        inner = theirs[:, :, 5:-5, 5:-5].mean((1, 2, 3))  # they mirror at the border, which the article does not
        assert ssim(x, y).tolist() == pytest.approx(inner.tolist(), abs=1e-5)
        theirs = functional.peak_signal_noise_ratio(x, y, data_range=2.0, reduction="none", dim=(1, 2, 3))
        assert psnr(x, y).tolist() == pytest.approx(theirs.tolist(), rel=1e-5)
    theirs = functional.multiscale_structural_similarity_index_measure(a, b, data_range=2.0, reduction="none")
    assert ms_ssim(a, b).tolist() == pytest.approx(theirs.tolist(), abs=0.02)  # the border again


@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_lpips_with_equal_trunks(net, tmp_path):
    pytest.importorskip("torchmetrics")
    from torchmetrics.functional.image.lpips import _LPIPS
    from torchvision import models

    from isthmus.evaluation import Lpips
    from isthmus.evaluation.perceptual import TRUNKS

    torch.manual_seed(0)
    trunk = models.get_model(TRUNKS[net][0], weights=None)
    torch.save(trunk.state_dict(), tmp_path / "trunk.pth")
    theirs = _LPIPS(pretrained=True, net=net, pnet_rand=True).eval()
    for name, parameter in theirs.net.named_parameters():
        parameter.data = trunk.features.get_parameter(name.split(".", 1 if net == "alex" else 2)[-1]).data
    ours = Lpips(net, tmp_path / "trunk.pth")
    a, b = torch.rand(2, 3, 64, 70) * 2 - 1, torch.rand(2, 3, 64, 70) * 2 - 1
    with torch.no_grad():
        assert ours(a, b).tolist() == pytest.approx(theirs(a, b).flatten().tolist(), rel=1e-5)
        assert ours(a, a).tolist() == [0, 0]
