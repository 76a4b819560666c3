"""What makes a CVAE-GAN: asymmetric training by mean features, class centres that move, and a class apart from z."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.models.gans.cvae_gan import CVAEGAN
from isthmus.nn.labels import Centres

SPEC = Spec(1, 9, 8, ("none", "some", "all"))
NETS = ("encoder", "generator", "discriminator", "classifier")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def cvae_gan(spec=SPEC, **changes):
    return CVAEGAN(**{"latent": 3, "features": 2} | changes).build(spec)


def batch(n=6, spec=SPEC):
    return Batch(2 * torch.rand(n, *spec.shape) - 1, torch.arange(n) % len(spec.classes))


def turns(model, given):
    torch.manual_seed(5)
    return model.turns(iter([given]))


def scene(model, given):
    """What a round makes, in one graph: reconstructions, samples and their classes, features of D and of C."""
    torch.manual_seed(5)
    x, y = given.image, F.one_hot(given.label, 3).float()
    mean, log_variance = model.encoder(x, y).chunk(2, dim=1)
    asked = torch.randint(3, (len(x),))
    rebuilt = model.generator(mean + (0.5 * log_variance).exp() * torch.randn_like(mean), y)
    made = model.generator(torch.randn(len(x), 3), F.one_hot(asked, 3).float())
    images = torch.cat([x, rebuilt, made])
    seen, named = (net.features(images).chunk(3) for net in (model.discriminator, model.classifier))
    prior = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
    return prior, rebuilt, asked, seen, named


def terms(model, given):
    """L_KL, L_G, L_GD, L_GC, L_D and L_C of algorithm 1, without weights."""
    prior, rebuilt, asked, seen, named = scene(model, given)
    pairs = ((rebuilt, given.image), (seen[1], seen[0].detach()), (named[1], named[0].detach()))
    l_g = sum(0.5 * (a - b).square().flatten(1).sum(1).mean() for a, b in pairs)
    l_gd = 0.5 * (seen[0].detach().mean(0) - seen[2].mean(0)).square().sum()
    l_gc = 0.0
    for c in range(3):  # at first all centres are 0
        centres = [
            (1 - model.memory) * (f[label == c].mean(0) if (label == c).any() else torch.zeros(f.shape[1]))
            for f, label in ((named[0].detach(), given.label), (named[2], asked))
        ]
        l_gc = l_gc + 0.5 * (centres[0] - centres[1]).square().sum()
    d = [model.discriminator.head(f).sigmoid() for f in seen]
    l_d = [-d[0].log().mean(), *(-(1 - p).log().mean() for p in d[1:])]
    l_c = F.cross_entropy(model.classifier.head(named[0]), given.label)
    return prior, l_g, l_gd, l_gc, l_d, l_c


WEIGHTS = {"kl": 3.0, "rebuild": 0.5, "match_discriminator": 2.0, "match_classifier": 4.0}


def test_the_terms_are_those_of_the_paper():
    model, given = cvae_gan(**WEIGHTS), batch()
    generator, discriminator, classifier = turns(model, given)
    l_kl, l_g, l_gd, l_gc, l_d, l_c = terms(model, given)
    torch.testing.assert_close(
        generator.losses,
        {"kl": 3 * l_kl, "reconstruction": 0.5 * l_g, "mean features": 2 * l_gd, "class features": 4 * l_gc},
    )
    torch.testing.assert_close(
        discriminator.losses, dict(zip(("real", "reconstructions", "samples"), l_d, strict=True))
    )
    torch.testing.assert_close(classifier.losses, {"class": l_c})


def test_each_network_gets_its_own_gradients_and_no_others():
    """theta_E by L_KL + L_G, theta_G by L_G + L_GD + L_GC, theta_D by L_D, theta_C by L_C (algorithm 1)."""
    model, given = cvae_gan(**WEIGHTS), batch()
    players = model.players()
    ours = {}
    for turn in turns(model, given):
        parameters = players[turn.player].parameters()
        ours |= dict(zip(map(id, parameters), torch.autograd.grad(turn.total, parameters), strict=True))
    model.real_centres.centres.zero_()
    model.made_centres.centres.zero_()
    l_kl, l_g, l_gd, l_gc, l_d, l_c = terms(model, given)
    wanted = {
        "encoder": 3 * l_kl + 0.5 * l_g,
        "generator": 0.5 * l_g + 2 * l_gd + 4 * l_gc,
        "discriminator": sum(l_d),
        "classifier": l_c,
    }
    for name, total in wanted.items():
        parameters = [*model.get_submodule(name).parameters()]
        theirs = torch.autograd.grad(total, parameters, retain_graph=True)
        torch.testing.assert_close([ours[id(p)] for p in parameters], [*theirs])


def test_the_generator_never_sees_log_d_or_log_c():
    """Its losses do not depend on the heads, of which the cross-entropies are."""
    model, given = cvae_gan(), batch()
    before = next(turns(model, given)).losses
    with torch.no_grad():
        for net in (model.discriminator, model.classifier):
            net.head[0].weight.fill_(7.0)
            net.head[0].bias.fill_(-3.0)
    model.real_centres.centres.zero_()
    model.made_centres.centres.zero_()
    torch.testing.assert_close(next(turns(model, given)).losses, before, rtol=0, atol=0)
    wrong = cvae_gan(matching="adversarial")
    assert {"adversarial", "class"} <= next(turns(wrong, given)).losses.keys()


def test_samples_are_matched_where_the_discriminator_is_sure():
    """-log(1 - D) would have no gradient here, and -log D one that does not know where to."""
    model, given = cvae_gan(match_discriminator=1.0, match_classifier=0.0, rebuild=0.0, kl=0.0), batch()
    with torch.no_grad():
        model.discriminator.head[0].bias.fill_(-200.0)
    total = next(turns(model, given)).total
    assert any((g != 0).any() for g in torch.autograd.grad(total, [*model.generator.parameters()]))


def test_centres_are_moving_averages_and_those_of_missing_classes_stay():
    centres = Centres(3, 2, memory=0.75)
    centres.centres.copy_(torch.tensor([[4.0, 0.0], [8.0, 8.0], [1.0, 2.0]]))
    features = torch.tensor([[0.0, 2.0], [4.0, 2.0], [-1.0, 6.0]], requires_grad=True)
    found = centres(features, torch.tensor([0, 0, 2]))
    assert found.tolist() == [[3.5, 0.5], [8.0, 8.0], [0.5, 3.0]]
    assert torch.equal(centres.centres, found)
    (gradient,) = torch.autograd.grad(found.sum(), features)
    assert gradient.tolist() == [[0.125, 0.125], [0.125, 0.125], [0.25, 0.25]]


def test_a_batch_without_a_class_is_no_accident():
    model, given = cvae_gan(), batch()
    one = Batch(given.image, torch.ones_like(given.label))
    for _ in range(3):
        assert all(turn.total.isfinite() for turn in turns(model, one))
    assert not model.real_centres.centres[0].any()
    assert model.real_centres.centres[1].any()


def test_all_is_computed_forwards_once_and_players_move_at_the_same_weights():
    model, given, seen = cvae_gan(), batch(), []
    watched = ("encoder", "generator", "discriminator.features", "classifier.features")
    for name in watched:
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.append(name))
    wanted = [torch.autograd.grad(t.total, model.players()[t.player].parameters()) for t in turns(model, given)]
    assert sorted(seen) == sorted([*watched, "generator"])
    model.real_centres.centres.zero_()
    model.made_centres.centres.zero_()
    for turn, gradients in zip(turns(model, given), wanted, strict=True):
        parameters = model.players()[turn.player].parameters()
        torch.testing.assert_close(torch.autograd.grad(turn.total, parameters), gradients)
        with torch.no_grad():
            for p in parameters:
                p.add_(0.1)


def test_features_of_all_images_are_normalised_as_one_batch():
    """By itself each batch would have the same mean features, and there were nothing to match."""
    spec = Spec(1, 16, 16, SPEC.classes)
    model, given, sizes = cvae_gan(spec), batch(6, spec), []
    for net in (model.discriminator, model.classifier):
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.register_forward_hook(lambda _, inputs, out: sizes.append(len(inputs[0])))
    list(turns(model, given))
    assert sizes == [18, 18]


def test_the_class_enters_encoder_and_generator_and_a_swap_keeps_z():
    model, given = cvae_gan().eval(), batch(2)
    zero, one = (torch.full((2,), label) for label in (0, 1))
    assert not torch.equal(model.encode(given.image, zero)[:, :3], model.encode(given.image, one)[:, :3])
    code = model.encode(given.image, zero)
    swapped = model.swap(code, one)
    assert torch.equal(code[:, :3], swapped[:, :3])
    assert swapped[:, 3:].tolist() == [[0, 1, 0]] * 2
    assert not torch.equal(model.decode(code), model.decode(swapped))


def test_a_class_that_is_not_told_is_the_classifiers():
    model, given = cvae_gan().eval(), batch()
    found = model.classify(given.image)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(6))
    assert torch.equal(model.encode(given.image), model.encode(given.image, found.argmax(1)))
    mean, log_variance = model.posterior(given.image, given.label)
    assert torch.equal(mean, model.encode(given.image, given.label))
    assert (log_variance[:, 3:] == -torch.inf).all()


def test_classes_are_drawn_or_asked_for():
    model = cvae_gan().eval()
    torch.manual_seed(2)
    drawn = model.sample(2, torch.tensor([2, 0]), temperature=0.5)
    torch.manual_seed(2)
    z = 0.5 * torch.randn(2, 3)
    torch.testing.assert_close(drawn, model.decode(torch.cat([z, torch.eye(3)[[2, 0]]], dim=1)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (4, 33, 20)])
def test_any_image_size(shape):
    spec = Spec(*shape, SPEC.classes)
    model, given = cvae_gan(spec).eval(), batch(4, spec)
    assert model.sample(4).shape == model.decode(model.encode(given.image)).shape == given.image.shape


def test_data_without_classes_are_refused():
    with pytest.raises(DataError, match="class folders"):
        CVAEGAN().build(Spec(1, 9, 8))


@pytest.mark.parametrize(
    ("options", "word"), [({"latent": 0}, "latent"), ({"kl": -1.0}, "kl"), ({"memory": 1.0}, "memory")]
)
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        CVAEGAN(**options)
