"""Scores of a classifier's answers to generated images: Inception score and MODE score.

Both depend on the classifier: an Inception score is of Inception's 1008 logits without bias; with a judge it is the
score of that judge.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.special import log_softmax, logsumexp

from isthmus.data.cache import Array
from isthmus.errors import DataError
from isthmus.evaluation.inputs import Features, matrix, pair
from isthmus.evaluation.intervals import Estimate


def inception_score(logits: Features, splits: int = 10, seed: int = 2020) -> Estimate:
    """exp E[KL(p(y|x) || p(y))] of logits [images, classes] (Salimans et al., 2016, arXiv:1606.03498).

    Mean over `splits` parts of shuffled images; the `error` is the deviation between parts, as is usual. Parts and
    order are torch-fidelity's for the same seed. The number of parts moves the score, so compare only equal ones.
    """
    given = matrix(logits, "logits")
    if not 1 <= splits <= len(given):
        raise DataError(f"{len(given)} images cannot be split into {splits} parts: choose fewer splits")
    shuffled = log_probabilities(given[np.random.RandomState(seed).permutation(len(given))])
    edges = [i * len(given) // splits for i in range(splits + 1)]
    found = [np.exp(divergence(shuffled[i:j], marginal(shuffled[i:j]))) for i, j in pairwise(edges)]
    return Estimate(float(np.mean(found)), float(np.std(found)))


def mode_score(*, real: Features, fake: Features) -> float:
    """exp(E[KL(p(y|x) || p(y))] - KL(p(y) || p*(y))) of logits [images, classes] (Che et al., 2017, arXiv:1612.02136).

    p(y) is the classifier's mean answer to generated images, p*(y) to real ones: what is missing costs.
    """
    real, fake = pair(real, fake, names=("real", "fake"))
    answers = log_probabilities(fake)
    ours, theirs = marginal(answers), marginal(log_probabilities(real))
    return float(np.exp(divergence(answers, ours) - (np.exp(ours) * (ours - theirs)).sum()))


def log_probabilities(logits: Array) -> Array:
    return log_softmax(logits.astype(np.float64), axis=1)


def marginal(answers: Array) -> Array:
    """Logarithm of the mean probability [classes]."""
    return logsumexp(answers, axis=0) - np.log(len(answers))


def divergence(answers: Array, others: Array) -> float:
    """Mean KL divergence of log-probabilities [images, classes] from [classes], in nats."""
    return float((np.exp(answers) * (answers - others)).sum(1).mean())
