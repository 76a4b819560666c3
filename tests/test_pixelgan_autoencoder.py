"""What makes the PixelGAN autoencoder what it is: a PixelCNN told by a code, and a game between codes, not pixels."""

import pytest
import torch

from isthmus.core import Batch, Spec
from isthmus.core.operations import reconstruct
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.models.autoencoders.pixelgan_autoencoder import PixelGANAutoencoder
from isthmus.nn.autoregressive import sample_naively

SPEC = Spec(1, 6, 5)


def built(spec=SPEC, **options):
    torch.manual_seed(0)
    small = {"latent": 3, "features": 4, "layers": 2, "hidden": 8, "levels": 2}
    return PixelGANAutoencoder(**small | options).build(spec)


@pytest.fixture
def image():
    torch.manual_seed(1)
    return torch.rand(7, 1, 6, 5).round() * 2 - 1


def played(model, image):
    return {turn.player: turn.losses for turn in model.turns(iter([Batch(image)]))}


def test_the_three_turns_come_in_the_paper_s_order_on_one_batch(image):
    assert [*played(built(), image)] == ["autoencoder", "discriminator", "encoder"]
    assert [*played(built(adversarial=False), image)] == ["autoencoder"]


def test_the_encoder_moves_with_the_decoder_and_against_the_discriminator():
    players = built().players()
    encoder = {id(p) for p in players["encoder"].parameters()}
    assert encoder < {id(p) for p in players["autoencoder"].parameters()}
    assert not encoder & {id(p) for p in players["discriminator"].parameters()}


@pytest.mark.parametrize("prior", ["gaussian", "categorical"])
def test_the_losses(prior, image):
    model = built(prior=prior, smoothing=0.0)
    terms = played(model, image)
    z = model.encode(image)
    torch.testing.assert_close(terms["autoencoder"]["nll"], -model.log_likelihood(image, z).mean())
    torch.testing.assert_close(terms["discriminator"]["fake"], fake(model.discriminator(z)))
    torch.testing.assert_close(terms["encoder"]["adversarial"], real(model.discriminator(z)))


def test_the_game_is_between_codes():
    """Whatever the size of the images, the discriminator sees as many numbers as a code has."""
    for spec in (SPEC, Spec(3, 20, 9)):
        assert built(spec, latent=5).discriminator[0].in_features == 5


def test_a_categorical_code_is_a_distribution_over_clusters_and_its_prior_one_hot(image):
    model = built(prior="categorical", latent=4)
    code, prior = model.encode(image), model.prior_code(400)
    torch.testing.assert_close(code.sum(1), torch.ones(7))
    assert (code > 0).all()
    assert prior.unique().tolist() == [0.0, 1.0]
    assert (prior.sum(1) == 1).all()
    assert prior.sum(0).min() > 60, "clusters are equally frequent"


def test_the_gaussian_prior_is_standard():
    prior = built(latent=2).prior_code(20_000)
    torch.testing.assert_close(prior.T.cov(), torch.eye(2), atol=0.05, rtol=0)


def test_noise_makes_the_encoder_random_in_training_alone(image):
    for noise in (0, 2):
        model = built(noise=noise)
        assert torch.equal(model.code(image), model.code(image)) == (noise == 0)
        assert torch.equal(model.encode(image), model.encode(image))


def test_the_code_is_a_bias_of_every_layer_at_each_place_or_everywhere(image):
    z = torch.randn(2, 3)
    assert built(location_dependent=True).conditions(z).shape == (2, 4, 6, 5)
    vector = built(location_dependent=False)
    assert vector.conditions(z) is z
    assert all(layer.condition.in_channels == 3 for layer in (vector.decoder.first, *vector.decoder.layers))


@pytest.mark.parametrize("location_dependent", [True, False])
@pytest.mark.parametrize("prior", ["gaussian", "categorical"])
def test_decoding_draws_with_the_same_noise_for_every_code(location_dependent, prior):
    model, z = built(location_dependent=location_dependent, prior=prior), torch.randn(3, 3)
    noise = torch.rand(1, 6, 5, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1, -1)
    nothing = torch.zeros(6, 5, dtype=torch.bool)
    naive = sample_naively(lambda x: model.decoder(x, model.conditions(z)), torch.zeros(3, 1, 6, 5), nothing, noise, 2)
    assert torch.equal(model.decode(z), naive)
    assert torch.equal(model.decode(z), model.decode(z))
    torch.manual_seed(3)
    first = model.sample(3)
    assert not torch.equal(first, model.sample(3))


def test_reconstructions_do_not_depend_on_the_rest_of_the_batch(image):
    model = built()
    assert torch.equal(reconstruct(model, image)[:2], reconstruct(model, image[:2]))


def test_a_random_draw_of_the_state_is_not_disturbed_by_decoding(image):
    model = built()
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    reconstruct(model, image)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("spec", [Spec(1, 7, 4), Spec(3, 9, 12)])
def test_any_image_size(spec):
    model = built(spec, levels=256, noise=2)
    drawn = model.sample(2)
    assert drawn.shape == (2, *spec.shape)
    assert drawn.abs().max() <= 1
    assert model.encode(drawn).shape == (2, 3)
    assert played(model, drawn)["autoencoder"]["nll"].isfinite()


@pytest.mark.parametrize(
    "options", [{"latent": 0}, {"layers": 0}, {"lr": 0}, {"kernel": 4}, {"noise": -1}, {"smoothing": -1.0}]
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        PixelGANAutoencoder(**options)


def test_every_channel_needs_a_feature():
    with pytest.raises(ConfigError, match="at least 3"):
        built(Spec(3, 6, 5), features=2)
