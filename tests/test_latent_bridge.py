"""What makes the latent bridge that model and not its neighbour."""

import pytest
import torch

from isthmus.core import Batch, Spec
from isthmus.data.images import Images
from isthmus.errors import ConfigError
from isthmus.losses.likelihood import reparameterise
from isthmus.models.autoencoders.vae import VAE
from isthmus.models.bridges.latent_bridge import LatentBridge

A, B = Spec(1, 6, 5, ("0", "1"), "a"), Spec(3, 4, 4, ("0", "1"), "b")


def images(spec, n=40):
    return Images(torch.randint(256, (n, *spec.shape), dtype=torch.uint8), spec, torch.arange(n) % 2)


def bridge(**options):
    torch.manual_seed(0)
    a, b = VAE(latent=3, hidden=8).build(A), VAE(latent=5, hidden=8).build(B)
    return LatentBridge(a=a, b=b, hidden=8, layers=1, **options).build(A, B)


def play(model, n=16):
    """One round on coded pairs, nobody moving."""
    a, b = (domain.batch(torch.arange(n)) for domain in model.prepare(images(A), images(B)))

    def batches():
        while True:
            yield a, b

    return {turn.player: turn.losses for turn in model.turns(batches())}


def test_autoencoders_stay_frozen_and_in_evaluation_mode():
    model = bridge()
    model.train()
    for autoencoder in (model.a, model.b):
        assert not autoencoder.training
        assert not any(p.requires_grad for p in autoencoder.parameters())
    frozen = {id(p) for m in (model.a, model.b) for p in m.parameters()}
    assert not any(id(p) in frozen for player in model.players().values() for p in player.parameters())


def test_the_two_directions_are_independent_gans():
    players = bridge().players()
    assert list(players) == ["discriminator_ab", "generator_ab", "discriminator_ba", "generator_ba"]
    owned = [{id(p) for p in player.parameters()} for player in players.values()]
    assert sum(map(len, owned)) == len(set.union(*owned))


def test_discriminator_has_three_kinds_of_pairs_and_generator_two_terms():
    terms = play(bridge())
    assert list(terms["discriminator_ab"]) == ["real", "fake", "noise"]
    assert list(terms["generator_ba"]) == ["adversarial", "regulariser"]


@pytest.mark.parametrize(("term", "direction"), [("real", 1), ("fake", -1), ("noise", -1)])
def test_the_sign_of_every_pair(term, direction):
    """As printed, the paper's terms for fake pairs would raise the discriminator's answer to them."""
    model = bridge()
    bias = model.ab.discriminator.net[-1].bias  # raising it raises every logit
    (gradient,) = torch.autograd.grad(play(model)["discriminator_ab"][term], bias)
    assert gradient.sign().item() == -direction


def test_codes_are_standardised_and_computed_once():
    model = bridge()
    a, b = model.prepare(images(A), images(B))
    torch.testing.assert_close(a.codes, torch.cat(model.a.posterior(a.batch(torch.arange(40)).image), 1))
    for way, source, target in ((model.ab, a, b), (model.ba, b, a)):
        for standard, codes in ((way.source, source.codes), (way.target, target.codes)):
            mean, log_variance = codes.repeat(2000, 1).chunk(2, dim=1)
            samples = reparameterise(mean, log_variance)
            z = standard(samples)
            torch.testing.assert_close(z.mean(0), torch.zeros(z.shape[1]), atol=0.03, rtol=0)
            torch.testing.assert_close(z.std(0), torch.ones(z.shape[1]), atol=0.03, rtol=0)
            torch.testing.assert_close(standard.inverse(z), samples, atol=1e-4, rtol=1e-4)

    def never(image):
        raise AssertionError("training encoded an image again")

    model.a.encode = model.b.encode = model.a.posterior = model.b.posterior = never
    pair = a.batch(torch.arange(4)), b.batch(torch.arange(4))
    assert len(list(model.turns(iter([pair])))) == 4


def test_matches_are_samples_of_the_target_and_sources_are_means():
    model = bridge()
    a, b = (domain.batch(torch.arange(16)) for domain in model.prepare(images(A), images(B)))
    seen = []
    model.ab.judge = lambda z, code: seen.append((z, code)) or torch.zeros(len(z), 1, requires_grad=True)
    for _ in range(2):
        next(iter(model.turns(iter([(a, b)]))))
    (z, match), (again, rematch) = seen[0], seen[3]
    assert torch.equal(z, model.ab.source(a.code.chunk(2, dim=1)[0]))
    assert torch.equal(z, again)
    assert not torch.equal(match, rematch)


def test_generator_gradients_do_not_come_from_the_discriminators_turn():
    model = bridge()
    a, b = (domain.batch(torch.arange(8)) for domain in model.prepare(images(A), images(B)))
    turn = next(iter(model.turns(iter([(a, b)]))))
    generator = list(model.ab.generator.parameters())
    assert all(g is None for g in torch.autograd.grad(turn.total, generator, allow_unused=True))


def test_the_condition_is_the_source():
    for conditional in (True, False):
        way = bridge(conditional=conditional).ab
        z, other, code = torch.randn(6, 3), torch.randn(6, 3), torch.randn(6, 5)
        same = torch.equal(way.judge(z, code), way.judge(other, code))
        assert same is not conditional


def test_without_the_noise_pair_the_term_is_gone():
    terms = play(bridge(noise_pair=0.0, regulariser=0.0))
    assert list(terms["discriminator_ab"]) == ["real", "fake"]
    assert list(terms["generator_ab"]) == ["adversarial"]


def test_regulariser_is_the_mean_squared_distance_to_the_noise():
    model = bridge(regulariser=0.5)

    class Shift(torch.nn.Module):
        def forward(self, z, noise):
            return noise + 2

    model.ab.generator = Shift()
    assert play(model)["generator_ab"]["regulariser"].item() == pytest.approx(0.5 * 4)


def test_translations_have_the_shape_of_their_domain_and_vary_with_the_noise():
    model = bridge()
    model.prepare(images(A), images(B))
    x_a, x_b = torch.rand(4, *A.shape) * 2 - 1, torch.rand(4, *B.shape) * 2 - 1
    assert model.translate(x_a, "b").shape == (4, *B.shape)
    assert model.translate(x_b, "a").shape == (4, *A.shape)
    assert not torch.equal(model.translate(x_a, "b"), model.translate(x_a, "b"))
    noise = model.noise(4, "b")
    code = model.a.encode(x_a)
    assert torch.equal(model.cross(code, "b", noise), model.cross(code, "b", noise))


def test_data_of_another_shape_are_refused():
    a, b = VAE(latent=3, hidden=8).build(A), VAE(latent=5, hidden=8).build(B)
    with pytest.raises(ConfigError, match="domain b is made for 4x4"):
        LatentBridge(a=a, b=b).build(A, A)


def test_a_pretrained_autoencoder_of_diffusers_can_be_an_end(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    from isthmus.training.checkpoint import load_model, save_model

    theirs = diffusers.AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 8),
        norm_num_groups=4,
        latent_channels=2,
        sample_size=8,
        layers_per_block=1,
    ).eval()
    theirs.save_pretrained(tmp_path / "theirs", safe_serialization=True)
    ours = load_model(tmp_path / "theirs")
    x = torch.rand(3, 1, 8, 8) * 2 - 1
    with torch.no_grad():
        code = theirs.encode(x).latent_dist.mean
        torch.testing.assert_close(ours.encode(x), code.flatten(1))
        torch.testing.assert_close(ours.decode(code.flatten(1)), theirs.decode(code).sample.clamp(-1, 1))
    spec = Spec(1, 8, 8, ("0", "1"))
    model = LatentBridge(a=ours, b=VAE(latent=5, hidden=8).build(B), hidden=8, layers=1).build(spec, B)
    save_model(model, tmp_path / "bridge")
    again = load_model(tmp_path / "bridge")
    noise = model.noise(3, "b")
    with torch.no_grad():
        expected = model.cross(model.a.encode(x), "b", noise)
        torch.testing.assert_close(again.cross(again.a.encode(x), "b", noise), expected)


def test_batches_without_codes_say_what_to_do():
    batch = Batch(torch.zeros(2, *A.shape)), Batch(torch.zeros(2, *B.shape))
    with pytest.raises(Exception, match="prepare"):
        next(bridge().turns(iter([batch])))


def test_penalty_is_the_squared_gradient_at_true_pairs():
    """A linear discriminator has the same gradient everywhere."""
    model = bridge(penalty=3.0)

    class Linear(torch.nn.Module):
        def forward(self, code, z):
            return 2 * code.sum(1, keepdim=True)

    model.ab.discriminator = Linear()
    assert play(model)["discriminator_ab"]["penalty"].item() == pytest.approx(3.0 * 0.5 * 4 * 5)
    assert "penalty" not in play(bridge())["discriminator_ab"]


def test_a_report_shows_domains_of_different_form():
    from isthmus.apps.report import direction, overview

    model, test = bridge(), [images(A), images(B)]
    model.prepare(*test)
    both = [direction(model, test, {0: 0, 1: 1}, to) for to in ("b", "a")]
    assert overview(both).shape[0] == 3
    assert all(d["draws"].startswith("data:image/png") and d["sweep"].startswith("data:image/png") for d in both)


def test_compilation_leaves_alone_what_the_penalty_differentiates(monkeypatch):
    """A compiled network cannot be differentiated twice."""
    from isthmus.training.trainer import compile_networks

    def compiled(*inputs):
        raise AssertionError("compiled")

    monkeypatch.setattr(torch, "compile", lambda forward: compiled)
    model = bridge(penalty=1.0)
    compile_networks(model)
    assert all(way.discriminator.forward is not compiled for way in (model.ab, model.ba))
    assert all(way.generator.forward is compiled for way in (model.ab, model.ba))
