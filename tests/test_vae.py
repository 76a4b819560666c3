"""What makes the variational autoencoder that model and not its neighbour."""

import math

import pytest
import torch
from torch.distributions import Normal

from isthmus.core import Batch, Spec
from isthmus.core.operations import path, reconstruct, slerp
from isthmus.errors import ConfigError
from isthmus.evaluation.likelihood import importance_weighted
from isthmus.losses.likelihood import bernoulli_log_prob, gaussian_kl, gaussian_kl_terms
from isthmus.models.autoencoders.vae import VAE

SPEC = Spec(1, 6, 5)


def batches(image):
    while True:
        yield Batch(image)


def losses(model, image):
    (turn,) = model.turns(batches(image))
    return turn.losses


@pytest.fixture
def image():
    torch.manual_seed(1)
    return torch.rand(9, 1, 6, 5) * 2 - 1


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (1, 1, 1), (4, 33, 20)])
def test_any_image_size(likelihood, network, shape):
    model = VAE(latent=3, hidden=8, features=2, network=network, likelihood=likelihood).build(Spec(*shape))
    x = torch.rand(2, *shape) * 2 - 1
    assert model.encode(x).shape == (2, 3)
    assert reconstruct(model, x).shape == x.shape
    assert model.sample(5).shape == (5, *shape)
    assert model.sample(5).abs().max() <= 1
    assert model.log_prob(x).shape == (2,)


def test_turn_sums_over_pixels_and_dimensions_and_averages_over_the_batch(image):
    model = VAE(latent=3, hidden=8).build(SPEC)
    torch.manual_seed(5)
    terms = losses(model, image)
    mean, log_variance = model.posterior(image)
    torch.manual_seed(5)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    expected = -bernoulli_log_prob(model.decoder(z), (image + 1) / 2)
    torch.testing.assert_close(terms["reconstruction"], expected.sum() / len(image))
    torch.testing.assert_close(terms["kl"], gaussian_kl(mean, log_variance).sum() / len(image))


def test_beta_weights_the_divergence_alone(image):
    one, four = VAE(latent=3, hidden=8), VAE(latent=3, hidden=8, beta=4.0)
    four.build(SPEC).load_state_dict(one.build(SPEC).state_dict())
    torch.manual_seed(5)
    plain = losses(one, image)
    torch.manual_seed(5)
    weighted = losses(four, image)
    torch.testing.assert_close(weighted["kl"], 4 * plain["kl"])
    torch.testing.assert_close(weighted["reconstruction"], plain["reconstruction"])


def test_the_code_is_noisy_in_training_and_fixed_in_use(image):
    model = VAE(latent=3, hidden=8).build(SPEC)
    assert losses(model, image)["reconstruction"] != losses(model, image)["reconstruction"]
    assert torch.equal(model.encode(image), model.encode(image))
    assert torch.equal(reconstruct(model, image), reconstruct(model, image))


def test_gradients_pass_through_the_noise_to_mean_and_variance(image):
    model = VAE(latent=3, hidden=8).build(SPEC)
    head = model.encoder[-1]
    (gradient,) = torch.autograd.grad(losses(model, image)["reconstruction"], head.weight)
    mean_rows, variance_rows = gradient.chunk(2)
    assert mean_rows.abs().sum() > 0
    assert variance_rows.abs().sum() > 0


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_bound_is_below_the_likelihood_by_the_divergence_from_the_true_posterior(likelihood):
    """With a code of one dimension everything can be integrated: log p(x) - ELBO = KL(q(z|x) || p(z|x))."""
    torch.manual_seed(0)
    model = VAE(latent=1, hidden=8, likelihood=likelihood, scale=0.7).build(Spec(1, 2, 2)).double()
    x = (torch.rand(1, 1, 2, 2) < 0.5).double() * 2 - 1
    z = torch.linspace(-12, 12, 20_001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        joint = model.log_likelihood(x.expand(len(z), -1, -1, -1), z).double() + Normal(0.0, 1.0).log_prob(z[:, 0])
        step = math.log(24 / 20_000)
        evidence = torch.logsumexp(joint + step, 0)
        mean, log_variance = model.posterior(x)
        q = Normal(mean[0], (0.5 * log_variance[0]).exp()).log_prob(z[:, 0])
        divergence = (q.exp() * (q - (joint - evidence))).sum() * math.exp(step)
        bounds = model.log_prob(x.expand(100_000, -1, -1, -1)).double()
    assert divergence > 0
    error = 5 * bounds.std().item() / math.sqrt(len(bounds)) + 1e-4
    assert bounds.mean().item() == pytest.approx((evidence - divergence).item(), abs=error)


def test_samples_come_from_the_prior(image):
    model = VAE(latent=3, hidden=8).build(SPEC)
    torch.manual_seed(3)
    drawn = model.sample(4)
    torch.manual_seed(3)
    torch.testing.assert_close(drawn, model.decode(torch.randn(4, 3)))


def test_two_dimensions_suffice():
    """The article's manifold picture takes a code of two dimensions."""
    assert VAE(latent=2, hidden=8).build(SPEC).decode(torch.zeros(7, 2)).shape == (7, 1, 6, 5)


def test_free_bits_leave_a_dimension_alone_until_its_mean_divergence_is_above_them(image):
    """Kingma et al., 2016, eq. 15: the maximum is taken of each dimension's mean over the batch."""
    plain, free = VAE(latent=3, hidden=8), VAE(latent=3, hidden=8, free_bits=0.05)
    free.build(SPEC).load_state_dict(plain.build(SPEC).state_dict())
    with torch.no_grad():
        for model in (plain, free):
            model.encoder[-1].weight.mul_(0.01)  # all divergences are then near 0 but that of
            model.encoder[-1].bias.zero_()[0] = 2.0  # the first dimension, by its mean
    terms = gaussian_kl_terms(*free.posterior(image)).mean(0)
    assert terms[0] > 0.05
    assert (terms[1:] < 0.05).all()
    torch.testing.assert_close(losses(free, image)["kl"], terms[0] + 2 * 0.05)
    torch.testing.assert_close(losses(plain, image)["kl"], terms.sum())
    (gradient,) = torch.autograd.grad(losses(free, image)["kl"], free.encoder[-1].bias)
    assert gradient[[0, 3]].abs().min() > 0
    assert not gradient[[1, 2, 4, 5]].any()


def test_warm_up_raises_the_weight_of_the_divergence_from_0_to_beta(image):
    model = VAE(latent=3, hidden=8, beta=2.0, warm_up=0.5).build(SPEC)
    full = 2 * gaussian_kl(*model.posterior(image)).mean()
    for progress, part in ((0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.9, 1.0)):
        model.progress = progress
        torch.testing.assert_close(losses(model, image)["kl"], part * full)


def test_the_bound_of_several_samples_is_what_is_maximised(image):
    """Burda et al., 2016, eq. 8; and it is the tighter one, on average."""
    model = VAE(latent=3, hidden=8, importance=5).build(SPEC)
    torch.manual_seed(5)
    terms = losses(model, image)
    assert terms.keys() == {"bound"}
    torch.manual_seed(5)
    weights = model.log_weight(image, 5).exp()
    torch.testing.assert_close(terms["bound"], -weights.mean(0).log().mean())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    many = image.repeat(200, 1, 1, 1)
    assert importance_weighted(model, many, 5).mean() > importance_weighted(model, many, 1).mean()


def test_a_learned_scale_settles_where_it_is_the_error_of_a_pixel(image):
    """Rybkin et al., 2021: with all else fixed, the best variance is the mean squared error."""
    model = VAE(latent=3, hidden=8, likelihood="gaussian", learn_scale=True, scale=0.3).build(SPEC)
    z = model.encode(image)
    assert model.log_scale[0].exp().item() == pytest.approx(0.3)
    error = (model.decode(z) - image).square().mean()
    for factor, sign in ((0.5, 1), (1.0, 0), (2.0, -1)):
        with torch.no_grad():
            model.log_scale[0].fill_((factor * error.sqrt()).log())
        (gradient,) = torch.autograd.grad(model.log_likelihood(image, z).mean(), model.log_scale[0], retain_graph=True)
        assert gradient.sign() == sign if sign else gradient.abs() < 1e-3
    assert any(p is model.log_scale[0] for p in model.players()["vae"].parameters())
    fixed = VAE(latent=3, hidden=8, likelihood="gaussian").build(SPEC)
    assert len(fixed.log_scale) == 0


@pytest.mark.parametrize("more", [{"beta": 2.0}, {"warm_up": 0.1}, {"free_bits": 0.1}])
def test_the_bound_of_several_samples_has_no_divergence_to_weigh(more):
    with pytest.raises(ConfigError, match="several samples"):
        VAE(importance=2, **more)


@pytest.mark.parametrize(("option", "value"), [("warm_up", -0.1), ("warm_up", 1.1), ("free_bits", -1.0)])
def test_schedules_that_make_no_sense_are_refused(option, value):
    with pytest.raises(ConfigError, match=option):
        VAE(**{option: value})


@pytest.mark.parametrize("option", ["latent", "hidden", "features", "scale", "importance", "lr"])
def test_options_that_make_no_sense_are_refused(option):
    with pytest.raises(ConfigError, match=option):
        VAE(**{option: 0})


def test_interpolation_leads_through_the_reconstructions(image):
    model = VAE(latent=3, hidden=8).build(SPEC)
    for spherical in (False, True):
        images = model.decode(path(model.encode(image[:3]), 5, spherical=spherical))
        assert len(images) == 9
        torch.testing.assert_close(images[[0, 4, 8]], reconstruct(model, image[:3]))


def test_slerp_keeps_the_norm_and_halves_the_angle():
    start, end = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    between = slerp(start, end, torch.tensor([[0.0], [0.5], [1.0]]))
    torch.testing.assert_close(between.norm(dim=1), torch.full((3,), 2.0))
    torch.testing.assert_close(between[1], torch.tensor([2.0, 2.0]) / math.sqrt(2))
    torch.testing.assert_close(slerp(start, start, torch.tensor([[0.3]]))[0], start)
