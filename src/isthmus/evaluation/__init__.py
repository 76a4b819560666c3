"""Evaluation: metrics of features and of images, the judge, and what is measured with it."""

from isthmus.evaluation.agreement import krippendorff_alpha, over_raters
from isthmus.evaluation.classification import (
    augmentation_gain,
    classification_accuracy_score,
    cluster_accuracy,
    nearest_neighbour_accuracy,
)
from isthmus.evaluation.frechet import Moments, Running, frechet_distance
from isthmus.evaluation.intervals import Estimate, bootstrap, jackknife, wilson
from isthmus.evaluation.kernel import kernel_distance, kernel_distance_subsets, kernel_estimate
from isthmus.evaluation.likelihood import bits_per_dimension, importance_weighted, parzen, parzen_sigma
from isthmus.evaluation.manifold import precision_recall
from isthmus.evaluation.modes import gaussian_modes, stacked_modes
from isthmus.evaluation.perceptual import Lpips, diversity_within, feature_diversity, pairwise_diversity
from isthmus.evaluation.provenance import Provenance, Result
from isthmus.evaluation.scores import inception_score, mode_score
from isthmus.evaluation.segmentation import fcn_score, fcn_scores, segmenter
from isthmus.evaluation.sliced import pyramid_distances, sliced_wasserstein
from isthmus.evaluation.statistics import Statistics
from isthmus.evaluation.streaming import FrechetDistance, InceptionScore, KernelDistance, PrecisionRecall
from isthmus.evaluation.structure import ms_ssim, ms_ssim_diversity, psnr, ssim

__all__ = [
    "Estimate",
    "FrechetDistance",
    "InceptionScore",
    "KernelDistance",
    "Lpips",
    "Moments",
    "PrecisionRecall",
    "Provenance",
    "Result",
    "Running",
    "Statistics",
    "augmentation_gain",
    "bits_per_dimension",
    "bootstrap",
    "classification_accuracy_score",
    "cluster_accuracy",
    "diversity_within",
    "fcn_score",
    "fcn_scores",
    "feature_diversity",
    "frechet_distance",
    "gaussian_modes",
    "importance_weighted",
    "inception_score",
    "jackknife",
    "kernel_distance",
    "kernel_distance_subsets",
    "kernel_estimate",
    "krippendorff_alpha",
    "mode_score",
    "ms_ssim",
    "ms_ssim_diversity",
    "nearest_neighbour_accuracy",
    "over_raters",
    "pairwise_diversity",
    "parzen",
    "parzen_sigma",
    "precision_recall",
    "psnr",
    "pyramid_distances",
    "segmenter",
    "sliced_wasserstein",
    "ssim",
    "stacked_modes",
    "wilson",
]
