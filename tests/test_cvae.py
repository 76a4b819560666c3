"""What makes a conditional VAE this model: the class enters both networks, and is a part of the code by itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.losses.likelihood import gaussian_kl
from isthmus.models.autoencoders.cvae import CVAE
from isthmus.models.autoencoders.cvae_completion import CVAECompletion
from isthmus.nn.labels import one_hot

SPEC = Spec(1, 4, 6, ("none", "some", "all"))


def images(n: int = 5) -> torch.Tensor:
    return torch.rand(n, *SPEC.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def cvae(**options: Any) -> CVAE:
    torch.manual_seed(0)
    return CVAE(**{"latent": 3, "hidden": 8} | options).build(SPEC).eval()


def completion(**options: Any) -> CVAECompletion:
    torch.manual_seed(0)
    return CVAECompletion(**{"latent": 3, "hidden": 8, "layers": 1} | options).build(SPEC).eval()


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_the_class_enters_both_networks(network: str) -> None:
    model, x = cvae(network=network, features=4), images(2)
    zero, one = (torch.full((2,), label) for label in (0, 1))
    assert not torch.equal(model.encode(x, zero)[:, :3], model.encode(x, one)[:, :3])
    code = model.encode(x, zero)
    assert not torch.equal(model.decode(code), model.decode(model.swap(code, one)))


def test_without_the_class_in_the_decoder_a_swap_changes_nothing() -> None:
    model = cvae(decode_class=False)
    code = model.encode(images(2), torch.tensor([0, 1]))
    assert torch.equal(model.decode(code), model.decode(model.swap(code, torch.tensor([2, 2]))))


def test_a_swap_keeps_z() -> None:
    model = cvae()
    code = model.encode(images(2), torch.tensor([0, 1]))
    swapped = model.swap(code, torch.tensor([2, 0]))
    assert torch.equal(code[:, :3], swapped[:, :3])
    assert swapped[:, 3:].tolist() == [[0, 0, 1], [1, 0, 0]]


def test_a_class_that_is_not_told_is_the_one_with_the_best_bound() -> None:
    model, x = cvae(), images()
    bounds = []
    for y in torch.eye(3)[:, None].expand(-1, len(x), -1):
        mean, log_variance = model.posterior_of_class(x, y)
        bounds.append(model.log_likelihood(x, mean, y) - gaussian_kl(mean, log_variance))
    best = torch.stack(bounds, dim=1).argmax(1)
    assert torch.equal(model.classify(x).argmax(1), best)
    assert torch.equal(model.encode(x), model.encode(x, best))


@pytest.mark.parametrize("prior", ["standard", "learned"])
def test_the_turn_is_the_negative_bound_of_the_class_told(prior: str) -> None:
    model, x, label = cvae(prior=prior), images(), torch.tensor([0, 1, 2, 0, 1])
    y = one_hot(label, model.classes)
    torch.manual_seed(3)
    losses = next(model.turns(iter([Batch(x, label)]))).losses
    torch.manual_seed(3)
    mean, log_variance = model.posterior_of_class(x, y)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    assert losses["reconstruction"].item() == pytest.approx(-model.log_likelihood(x, z, y).mean().item(), rel=1e-5)
    assert losses["kl"].item() == pytest.approx(gaussian_kl(mean, log_variance).mean().item(), rel=1e-5)


def test_a_learned_prior_moves_what_is_drawn_of_a_class() -> None:
    model, label = cvae(prior="learned"), torch.tensor([0, 1])
    torch.manual_seed(3)
    before = model.sample(2, label)
    with torch.no_grad():
        model.place[0].weight[:3, 1] = 2.0  # the mean of z of the second class
    torch.manual_seed(3)
    after = model.sample(2, label)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_more_samples_bound_the_likelihood_more_tightly() -> None:
    model, x = cvae(), images().repeat(300, 1, 1, 1)
    torch.manual_seed(0)
    with torch.no_grad():
        one, many = (model.log_weight(x, k).logsumexp(0).mean().item() - math.log(k) for k in (1, 30))
    assert one < many


@pytest.mark.parametrize("prior", ["standard", "learned"])
def test_the_weights_average_to_the_likelihood(prior: str) -> None:
    """With one dimension p(x) is an integral over z, for the prior of each class, and a mean over classes."""
    model, x = cvae(latent=1, prior=prior), images(1)
    torch.manual_seed(0)
    for layer in model.place:
        torch.nn.init.normal_(layer.weight)
    z = torch.linspace(-10, 10, 10_001)[:, None]
    copies = x.expand(len(z), -1, -1, -1)
    with torch.no_grad():
        joint = torch.cat(
            [model.log_likelihood(copies, z, y) + Normal(0.0, 1.0).log_prob(z[:, 0]) for y in model.each_class(len(z))]
        )
        evidence = joint.double().logsumexp(0).item() + math.log(20 / 10_000 / 3)
        weights = model.log_weight(x, 50_000).double().flatten()
    error = 5 * weights.exp().std().item() / math.exp(evidence) / math.sqrt(len(weights))
    assert weights.logsumexp(0).item() - math.log(len(weights)) == pytest.approx(evidence, abs=error + 1e-4)
    assert weights.mean().item() < evidence


def test_data_without_classes_are_refused() -> None:
    with pytest.raises(DataError, match="class folders"):
        CVAE().build(Spec(1, 4, 6))


@pytest.mark.parametrize(("quadrants", "given"), [(1, 6), (2, 12), (3, 18)])
def test_quadrants_are_given_in_the_order_of_the_paper(quadrants: int, given: int) -> None:
    mask = completion(quadrants=quadrants).given
    assert mask.sum() == given
    assert mask[2:, :3].all(), "the lower left is always given"
    assert not mask[2:, 3:].any(), "the lower right never is"


def test_completions_differ_and_keep_what_is_given() -> None:
    model, x = completion(), images(2)
    first, second = (model.complete(x, model.given) for _ in range(2))
    assert torch.equal(first[:, :, model.given], x[:, :, model.given])
    assert not torch.equal(first, second)
    assert torch.equal(model.complete(x, model.given, 0.0), model.complete(x, model.given, 0.0))
    changed = torch.where(model.given, x, -x)  # what is missing has no say in it
    torch.manual_seed(0)
    here = model.complete(x, model.given)[:, :, ~model.given]
    torch.manual_seed(0)
    assert torch.equal(here, model.complete(changed, model.given)[:, :, ~model.given])
    with pytest.raises(ConfigError, match="starts from the lower left quadrant"):
        model.complete(x, ~model.given)


@pytest.mark.parametrize("recognise", [False, True])
def test_both_estimates_approach_the_conditional_likelihood(recognise: bool) -> None:
    """With one dimension p(y | x) is an integral over z, whose prior depends on x."""
    model, x = completion(latent=1), images(1)
    given, missing = model.parts(x)
    with torch.no_grad():
        model.prior.net[-1].bias.copy_(torch.tensor([1.5, -1.0]))
        model.recognition.net[-1].bias.copy_(torch.tensor([1.0, -0.5]))
        mean, log_variance = model.prior_of(given, model.baseline(given))
        z = torch.linspace(-10, 10, 10_001)[:, None]
        logits = model.generation(given.expand(len(z), -1), z)
        joint = -binary_cross_entropy_with_logits(logits, (missing.expand(len(z), -1) + 1) / 2, reduction="none").sum(1)
        joint += Normal(mean, (0.5 * log_variance).exp()).log_prob(z)[:, 0]
        exact = joint.double().logsumexp(0).item() + math.log(20 / 10_000)
        torch.manual_seed(0)
        many = model.conditional_log_prob(x.expand(2000, -1, -1, -1), 50, recognise).double()
        once = model.conditional_log_prob(x.expand(2000, -1, -1, -1), 1, recognise).double()
    weights = (many - exact).exp()
    assert weights.mean().item() == pytest.approx(1, abs=5 * weights.std().item() / math.sqrt(len(weights)) + 1e-4)
    assert once.mean() < many.mean() <= exact + 1e-3


def test_the_divergence_is_that_of_the_posterior_from_the_prior() -> None:
    model, x = completion(), images()
    _, turn = model.turns(iter([Batch(x)]))
    given, missing = model.parts(x)
    p, q = model.prior_of(given, model.baseline(given)), model.posterior_of(given, missing)
    between = kl_divergence(*(Normal(mean, (0.5 * log_variance).exp()) for mean, log_variance in (q, p)))
    torch.testing.assert_close(turn.losses["kl"], between.sum() / len(x))


def test_alpha_mixes_both_objectives() -> None:
    batch = Batch(images())

    def terms(alpha: float) -> set[str]:
        return {term for turn in completion(alpha=alpha).turns(iter([batch])) for term in turn.losses}

    assert terms(1.0) == {"guess", "reconstruction", "kl"}
    assert terms(0.5) == {"guess", "reconstruction", "kl", "gsnn"}


def test_the_guess_is_no_concern_of_the_code() -> None:
    """The recurrent connection shows the baseline's guess to the prior, which does not teach the baseline."""
    model = completion()
    _, turn = model.turns(iter([Batch(images())]))
    gradients = torch.autograd.grad(turn.total, [*model.baseline.parameters()], allow_unused=True)
    assert gradients == (None,) * len(gradients)
    x, _ = model.parts(images())
    guesses = torch.zeros(5, 18), torch.ones(5, 18)
    assert not torch.equal(model.prior_of(x, guesses[0])[0], model.prior_of(x, guesses[1])[0])
