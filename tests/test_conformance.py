"""The contract between models and the trainer, held against every model of the catalog. There is no list of models."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from inspect import signature
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from torch import Tensor

import tiny
from isthmus.apps.commands.train import parse
from isthmus.apps.options import annotation, flag
from isthmus.apps.preset import Preset
from isthmus.core import Autoencodes, Bridges, Completes, Describes, Encodes, Model, Player, Spec
from isthmus.core.capabilities import Capability
from isthmus.data.images import Images
from isthmus.data.options import DataOptions
from isthmus.errors import ConfigError
from isthmus.models.catalog import catalog
from isthmus.training.checkpoint import describe, load_weights, rebuild, weights
from isthmus.training.folder import RunFolder
from isthmus.training.options import RunOptions
from isthmus.training.validation import held_out_losses
from tiny import CAPABILITIES, SPEC, built, configured, images, known_part, outputs, play, stream, trainer, variants

MODELS = pytest.mark.parametrize("name", catalog())
VARIANTS = [
    pytest.param(name, changes, id=name + "".join(f"-{k}={v}" for k, v in changes.items()))
    for name, changes in variants()
]


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
def test_every_turn_is_fit_to_be_played(name: str, changes: dict[str, Any]) -> None:
    model = built(name, **changes).train()
    batches, players, played = stream(model), model.players(), set()
    named = dict(model.named_parameters())
    for progress in (0.0, 0.9):
        model.progress = progress
        before = {key: p.detach().clone() for key, p in named.items()}
        may_change: set[int] = set()
        for turn in model.turns(batches):
            changed = {key for key, p in named.items() if not torch.equal(p, before[key]) and id(p) not in may_change}
            assert not changed, f"turns changed {changed} themselves"
            assert torch.is_grad_enabled(), "yielded inside no_grad"
            assert turn.total.shape == ()
            assert turn.total.dtype == torch.float32
            assert turn.total.isfinite()
            assert all(loss.shape == () for loss in turn.losses.values())
            parameters = players[turn.player].parameters()
            gradients = torch.autograd.grad(turn.total, parameters, allow_unused=True, retain_graph=True)
            unreached = [
                key
                for key, p in named.items()
                for q, g in zip(parameters, gradients, strict=True)
                if p is q and g is None
            ]
            assert not unreached, f"the turn of {turn.player} does not depend on its own {unreached}"
            played.add(turn.player)
            may_change = set(map(id, parameters))  # after its update a player may be brought back, e.g. clipped
    assert played == set(players), "a player never plays"


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
def test_a_turn_gives_gradients_to_its_player_alone(name: str, changes: dict[str, Any]) -> None:
    game = trainer(built(name, **changes).train())
    turns = game.model.turns(game.batches)
    while (player := game.gradients([turns])) is not None:
        mine = set(map(id, game.movers[player].parameters))
        reached = {key for key, p in game.model.named_parameters() if p.grad is not None}
        assert reached == {key for key, p in game.model.named_parameters() if id(p) in mine}
        game.movers[player].optimizer.zero_grad()


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
def test_capabilities_keep_their_promises(name: str, changes: dict[str, Any]) -> None:
    model: Any = built(name, **changes)
    model.prepare(*map(images, range(model.domains())))
    model.eval()
    found = outputs(model)
    for what, result in found.items():
        if what == "log_prob":
            assert result.shape == (2,)
        elif what == "log_weight":
            assert result.shape == (3, 2)
        elif what == "classify":
            assert torch.allclose(result.exp().sum(1), torch.ones(2), atol=1e-5)
        elif what in ("encode", "describe"):
            assert result.shape == (2, result[0].numel())
        else:
            assert result.shape == (2, *SPEC.shape)
            assert result.abs().max() <= 1, f"{what} leaves [-1, 1]"
        assert result.isfinite().all()
        assert result.dtype == torch.float32
    if isinstance(model, Completes):
        known = known_part(model)
        pixels = images().batch(torch.tensor([0, 1])).image
        assert torch.equal(found["complete"] * known, pixels * known), "known pixels were changed"
    if isinstance(model, Encodes):
        torch.manual_seed(2)
        again = model.encode(images().batch(torch.tensor([0, 1])).image)
        assert torch.equal(again, found["encode"]), "codes are random"
    if isinstance(model, Describes):
        again = model.describe(images().batch(torch.tensor([0, 1])).image)
        assert torch.equal(again, found["describe"]), "features are random"
    if isinstance(model, Autoencodes):
        assert torch.equal(model.decode(found["encode"]), model.decode(found["encode"])), "decoding is random"
    if isinstance(model, Bridges):
        for source, to in (("a", "b"), ("b", "a")):
            code = model.autoencoder(source).encode(images().batch(torch.tensor([0, 1])).image)
            noise = model.noise(2, to)
            crossed = model.cross(code, to, noise)
            assert crossed.shape == model.autoencoder(to).encode(images().batch(torch.tensor([0, 1])).image).shape
            assert torch.equal(crossed, model.cross(code, to, noise)), "crossing is random"


@MODELS
def test_saved_and_rebuilt_gives_the_same_outputs(name: str, tmp_path: Path) -> None:
    first = built(name).train()
    if first.players():
        play(trainer(first), 2)
    (tmp_path / "weights").write_bytes(weights(first))
    second = rebuild(json.loads(json.dumps(describe(first))))
    load_weights(second, tmp_path / "weights")
    ours, theirs = outputs(first.eval()), outputs(second.eval())
    assert ours
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[what], theirs[what]) for what in ours)


@MODELS
def test_resumed_equals_uninterrupted(name: str, tmp_path: Path) -> None:
    whole = trainer(built(name).train(), average=0.9)
    play(whole, 6)
    first = trainer(built(name).train(), average=0.9)
    play(first, 3)
    folder = RunFolder(tmp_path)
    folder.write_checkpoint(first)
    model = rebuild(json.loads(json.dumps(describe(first.model))))
    load_weights(model, folder.steps()[-1] / "model.safetensors")
    second = trainer(model.train(), average=0.9)
    folder.restore(second)
    play(second, 3)
    assert weights(second.model) == weights(whole.model)
    assert whole.average is not None
    assert second.average is not None
    assert weights(second.average.model) == weights(whole.average.model)
    torch.testing.assert_close(second.state_dict(), whole.state_dict(), rtol=0, atol=0)


@MODELS
def test_an_average_has_losses_on_held_out_images(name: str) -> None:
    """It is what is validated, and a network that nobody trains any more."""
    game = trainer(built(name).train(), average=0.9)
    play(game, 2)
    found = held_out_losses(game, game.batches, 2)
    assert {key.split("/")[0] for key in found} <= game.model.players().keys()
    assert found
    assert all(map(math.isfinite, found.values()))


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
def test_images_without_contrast_train_without_nan(
    name: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image has one grey: its deviation, by which norms divide, is 0."""

    def flat(seed: int = 0) -> Images:
        greys = torch.arange(tiny.EXAMPLES).mul(6).to(torch.uint8).view(-1, 1, 1, 1)
        return replace(images(seed), store=greys.expand(-1, *SPEC.shape).contiguous())

    monkeypatch.setattr(tiny, "images", flat)
    game = trainer(built(name, **changes).train())
    play(game, 6)
    assert all(map(math.isfinite, game.losses().values()))
    assert all(bool(p.isfinite().all()) for p in game.model.parameters())
    assert all(bool(made.isfinite().all()) for made in outputs(game.model.eval()).values())


@MODELS
def test_two_microbatches_equal_one_batch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In evaluation mode, since batch norms see their own microbatch; by gradient descent, since Adam divides by the
    size of a gradient, however small; and with noise that does not depend on the size of the batch. The steps are few
    and small, since absolute values turn a difference in the last bit into another sign."""
    if not catalog()[name].load().separable:
        pytest.skip("its losses are of a batch as a whole")
    freeze_noise(monkeypatch)
    results = []
    for batch_size, accumulate in ((8, 1), (4, 2)):
        model = built(name).eval()
        descent = {key: Player(*player.modules, lr=1e-3, optimizer="SGD") for key, player in model.players().items()}
        monkeypatch.setattr(model, "players", lambda descent=descent: descent)
        game = trainer(model, batch_size=batch_size, accumulate=accumulate)
        play(game, 2)
        results.append((dict(model.named_parameters()), game.losses()))
    (ours, our_losses), (theirs, their_losses) = results
    for key, parameter in ours.items():
        torch.testing.assert_close(parameter, theirs[key], rtol=1e-6, atol=1e-6, msg=lambda m, key=key: f"{key}: {m}")
    assert our_losses == pytest.approx(their_losses, rel=1e-5, abs=1e-6)


def freeze_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every random number in a model a function of its place in an example alone."""
    randn, randint = torch.randn, torch.randint

    def same(*size: Any, uniform: bool = False) -> Tensor:
        shape = torch.Size(size[0] if size and not isinstance(size[0], int) else size)
        row = randn(1, *shape[1:], generator=torch.Generator().manual_seed(0))
        return (row.sigmoid() if uniform else row).expand(shape).clone()

    def maker(original: Callable[..., Tensor], uniform: bool) -> Callable[..., Tensor]:
        return lambda *size, **how: original(*size, **how) if "generator" in how else same(*size, uniform=uniform)

    for what, uniform in (("randn", False), ("rand", True)):
        monkeypatch.setattr(torch, what, maker(getattr(torch, what), uniform))
        monkeypatch.setattr(torch, f"{what}_like", lambda t, uniform=uniform, **_: same(t.shape, uniform=uniform))

    def dropped(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        return x * (same(x.shape, uniform=True) > p) / (1 - p) if training else x

    monkeypatch.setattr(torch.nn.functional, "dropout", dropped)

    def lowest(*range_and_size: Any, **how: Any) -> Tensor:
        drawn = randint(*range_and_size, **how)
        least = range_and_size[0] if len(range_and_size) == 3 else 0
        return drawn if "generator" in how else torch.full_like(drawn, least)

    monkeypatch.setattr(torch, "randint", lowest)


@MODELS
def test_the_noise_that_is_frozen_is_all_there_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the test above would compare noise; a model that draws in another way is to be added there."""
    freeze_noise(monkeypatch)
    seen = []
    for seed in (1, 2):
        model = built(name).eval()
        batches = stream(model)
        torch.manual_seed(seed)
        seen.append([turn.total.item() for turn in model.turns(batches)])
    assert seen[0] == seen[1]


@MODELS
def test_a_round_in_bfloat16(name: str) -> None:
    game = trainer(built(name).train(), precision="bf16-mixed")
    play(game, 1)
    assert all(torch.tensor(value).isfinite() for value in game.losses().values())
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in game.model.parameters())


def vector(model: Model) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@MODELS
def test_unfused_optimisers_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that is used across an update of its weights raises here; with fused optimisers it is silently wrong.

    Where a gradient is nothing but rounding, Adam still takes a whole step: what is compared is how far all went.
    """
    games, before = [], vector(built(name))
    for unfused in (False, True):
        model = built(name).train()
        players = model.players()
        for player in players.values():
            fusible = "fused" in signature(getattr(torch.optim, player.optimizer)).parameters
            player.settings |= {"fused": False} if unfused and fusible else {}
        monkeypatch.setattr(model, "players", lambda players=players: players)
        games.append(trainer(model))
        play(games[-1], 2)
    fused, plain = (vector(game.model) - before for game in games)
    assert (fused - plain).norm() <= 0.05 * plain.norm()


@MODELS
def test_a_configuration_has_no_weights_of_its_own(name: str) -> None:
    model = configured(name)
    given = {key for key, value in model.config().items() if isinstance(value, Model)}
    assert {key.split(".")[0] for key, _ in model.named_parameters()} <= given


@MODELS
def test_the_catalog_reads_the_class_as_it_is(name: str) -> None:
    entry, cls = catalog()[name], catalog()[name].load()
    real = [field for field in fields(cls) if field.init]
    assert [option.name for option in entry.options] == [field.name for field in real]
    others = {field.name for options in (DataOptions, RunOptions) for field in fields(options)}
    assert not others & {field.name for field in real}, "the command line cannot have two options of one name"
    for option, field in zip(entry.options, real, strict=True):
        assert isinstance(field.type, str)
        assert option.annotation == ast.unparse(ast.parse(field.type, mode="eval"))
        assert option.required == (field.default is MISSING)
        assert option.required or (option.default == field.default and type(option.default) is type(field.default))
        assert option.meaning, f"{name}.{option.name} has no comment that says what it means"
    able = {key.lower() for key, kind in CAPABILITIES.items() if kind in cls.__bases__ and issubclass(kind, Capability)}
    assert set(entry.capabilities) == able
    assert cls.__name__ == entry.class_name
    assert entry.run_defaults == cls.run_defaults
    RunOptions(out=Path("run"), **entry.run_defaults)


@MODELS
def test_the_command_line_understands_every_option(name: str) -> None:
    """Each is given a value, another one where there are few; an alias as annotation would be taken for a model."""
    entry, words, wanted = catalog()[name], ["--out", "run", "--data", "mnist"], dict[str, Any]()
    for option in entry.options:
        kind, word = annotation(option.annotation)[0], flag(option.name, option.default)
        if option.annotation in CAPABILITIES:
            wanted[option.name] = Path("trained")
        elif get_origin(kind) is Literal:
            wanted[option.name] = get_args(kind)[-1]
        else:
            wanted[option.name] = not option.default if kind is bool else option.default
        words += [word] if kind is bool else [word, str(wanted[option.name])]
    assert vars(parse(entry, words, Preset.read(None)).model) == wanted


class Either(Model):
    """A model of one data set or two."""

    def networks(self, a: Spec, b: Spec | None = None) -> None:
        self.second = b

    def players(self) -> dict[str, Player]:
        return {}

    def turns(self, batches: Any) -> Any:
        yield from ()


def test_a_model_may_take_one_data_set_or_two() -> None:
    assert Either.domains() == 1
    for specs in ((SPEC,), (SPEC, SPEC)):
        model = Either().build(*specs)
        assert model.specs == specs
        assert model.second == (SPEC if len(specs) == 2 else None)
    for specs in ((), (SPEC,) * 3):
        with pytest.raises(ConfigError, match=f"trained on 1 or 2 data sets, got {len(specs)}"):
            Either().build(*specs)
