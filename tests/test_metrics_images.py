"""Metrics of images: similarity, diversity, patches, segmentation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from isthmus.errors import ConfigError, DataError
from isthmus.evaluation import (
    diversity_within,
    fcn_score,
    fcn_scores,
    feature_diversity,
    ms_ssim,
    ms_ssim_diversity,
    pairwise_diversity,
    psnr,
    pyramid_distances,
    segmenter,
    ssim,
)
from isthmus.evaluation.perceptual import Lpips
from isthmus.evaluation.segmentation import VOID, labels_from_colours, scores
from isthmus.evaluation.structure import most_scales, random_pairs


def pictures(n, side=24, channels=1, seed=0):
    """Smooth random pictures in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 6, 6, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def test_similarity_of_equal_and_of_changed_images():
    a, b = pictures(3), pictures(3, seed=1)
    assert ssim(a, a).tolist() == pytest.approx([1, 1, 1])
    assert psnr(a, a).tolist() == [math.inf] * 3
    assert psnr(torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 0.2)).item() == pytest.approx(20)
    assert torch.equal(ssim(a, b), ssim(b, a))
    assert (ssim(a, (a + 0.1).clamp(-1, 1)) > ssim(a, b)).all()
    assert ms_ssim(a, a, scales=2).tolist() == pytest.approx([1, 1, 1])
    assert ms_ssim(a, b, scales=1).tolist() == pytest.approx(ssim(a, b).clamp_min(0).tolist())


@pytest.mark.parametrize(("side", "scales"), [(10, 0), (11, 1), (21, 1), (22, 2), (28, 2), (64, 3), (175, 4), (176, 5)])
def test_scales_that_fit(side, scales):
    assert most_scales(side, 200) == scales
    if scales:
        assert ms_ssim(pictures(1, side), pictures(1, side), scales).isfinite().all()
        if scales < 5:
            with pytest.raises(ConfigError, match=f"1 to {scales} scales"):
                ms_ssim(pictures(1, side), pictures(1, side), scales + 1)


def test_diversity_tells_repetition_from_variety():
    varied, repeated = pictures(30), pictures(2).repeat(15, 1, 1, 1)
    assert ms_ssim_diversity(varied).value < ms_ssim_diversity(repeated).value
    assert ms_ssim_diversity(pictures(1).repeat(9, 1, 1, 1)).value == pytest.approx(1)
    apart = lambda a, b: (a - b).abs().mean((1, 2, 3))  # noqa: E731
    assert pairwise_diversity(varied, apart).value > pairwise_diversity(repeated, apart).value > 0
    groups = torch.arange(30) // 2
    assert diversity_within(varied[groups * 2], groups, apart).value == 0
    assert feature_diversity(np.eye(8)).value == pytest.approx(1)
    assert feature_diversity(np.ones((8, 3))).value == pytest.approx(0, abs=1e-6)
    with pytest.raises(DataError, match="two or more for each input"):
        diversity_within(varied, torch.arange(30), apart)
    with pytest.raises(DataError, match="2 images or more"):
        ms_ssim_diversity(varied[:1])


def test_random_pairs_are_different_images_each_as_often():
    first, second = random_pairs(7, 21, seed=3)
    assert (first != second).all()
    assert torch.bincount(first).tolist() == [3] * 7


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (pictures(2), pictures(3), "one by one"),
        (pictures(2)[:0], pictures(2)[:0], "no images"),
        (pictures(2), pictures(2) * 9, "-1, 1"),
        (pictures(2), pictures(2) * math.nan, "-1, 1"),
        (pictures(2), pictures(2).to(torch.uint8), "-1, 1"),
        (pictures(2, side=8), pictures(2, side=8), "11 pixels"),
    ],
)
def test_unfit_images_are_one_clear_sentence(a, b, words):
    with pytest.raises(DataError, match=words):
        ssim(a, b)


def test_lpips_without_weights_says_which_file_and_where(tmp_path, monkeypatch):
    pytest.importorskip("torchmetrics")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"alexnet-owt-7be5be79\.pth \(233 MB.*--weights"):
        Lpips()
    (tmp_path / "bad.pth").write_text("nothing")
    with pytest.raises(DataError, match="no weights that can be read"):
        Lpips("alex", tmp_path / "bad.pth")
    with pytest.raises(ConfigError, match="there are alex, vgg, squeeze"):
        Lpips("vgg19")


def test_patches_tell_at_which_scale_images_differ():
    a = pictures(40, side=64, channels=3)
    grain = (a + 0.3 * torch.randn(a.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    same, other = pyramid_distances(a[:20], a[20:], patches=16), pyramid_distances(a[:20], grain[20:], patches=16)
    assert list(same) == [64, 32, 16]
    assert other[64] > 2 * same[64]
    assert other[64] > other[16]
    assert pyramid_distances(a, a)[64] < same[64]
    with pytest.raises(DataError, match="resize"):
        pyramid_distances(a, a[:, :, :32])
    with pytest.raises(DataError, match="7 pixels"):
        pyramid_distances(a[..., :5], a[..., :5])


def test_fcn_score_of_known_maps():
    truth = torch.tensor([[[0, 0, 1], [1, 2, VOID]]])
    assert scores(truth.clamp_min(0), truth, classes=4).class_iou == 1  # void is not judged, class 3 is absent
    found = torch.tensor([[[0, 1, 1], [1, 1, 1]]])
    got = scores(found, truth, classes=4)
    assert (got.pixel_accuracy, got.class_accuracy) == pytest.approx((3 / 5, (1 / 2 + 1 + 0) / 3))
    assert got.class_iou == pytest.approx((1 / 2 + 2 / 4 + 0) / 3)
    found[0, 1, 1] = 3  # which the truth does not have: it counts where it is predicted
    assert scores(found, truth, classes=4).class_iou == pytest.approx((1 / 2 + 2 / 3 + 0 + 0) / 4)


def test_a_segmentation_network_learns_what_colours_mean():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (60, 3, 3), generator=generator).repeat_interleave(7, 1).repeat_interleave(7, 2)
    palette = torch.tensor([[200, 30, 30], [30, 200, 30], [30, 30, 200]])
    photos = (palette[labels].movedim(-1, 1) + torch.randint(-25, 25, (60, 3, 21, 21), generator=generator)).to(
        torch.uint8
    )
    state = torch.get_rng_state()
    network = segmenter(photos[:50], labels[:50], 3, steps=60)
    assert torch.equal(torch.get_rng_state(), state)
    rows = fcn_scores(network, generated=photos[50:].flip(0), real=photos[50:], labels=labels[50:])
    assert rows["truth"].class_iou > 0.9
    assert rows["generated"].pixel_accuracy < 0.6
    maps = palette[labels].movedim(-1, 1).to(torch.uint8)
    assert torch.equal(labels_from_colours(maps, palette.tolist()), labels)
    assert (labels_from_colours(255 - maps, palette.tolist()) == VOID).all()
    with pytest.raises(DataError, match="void"):
        fcn_score(network, photos, torch.full_like(labels, VOID))
    with pytest.raises(DataError, match="from 0 to 2"):
        fcn_score(network, photos, labels + 1)
    with pytest.raises(DataError, match=r"\[60, 21, 21\]"):
        fcn_score(network, photos, labels[:5])
    with pytest.raises(DataError, match="palette"):
        labels_from_colours(maps, [[1, 2]])
