"""What a step of adversarial training costs: our trainer beside a loop written by hand, and bfloat16 beside float32.

Two games: DCGAN on 64x64 pictures, and WGAN-GP on 32x32 ones with five critic steps to one of the generator, both in
colour and in batches of 64. The loops by hand have the same networks in plain layers, fused Adam, and do the same work:
images are made once for both players, and no gradient is computed that nobody uses. CPU time on one thread; contenders
take turns in single rounds, and the medians over the rounds are compared.

bfloat16 pays only where the processor computes in it.

    python benchmarks/training.py [--rounds 9] [--features 64] [--games dcgan wgan-gp] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Model, Spec
from isthmus.data.images import Images
from isthmus.data.stream import Stream
from isthmus.models.gans.dcgan import DCGAN
from isthmus.models.gans.wgan_gp import WGANGP
from isthmus.training.options import RunOptions
from isthmus.training.run import start
from isthmus.training.trainer import Trainer

BATCH, EXAMPLES = 64, 1024
OVER, BF16 = 1.03, 1.6  # the bars: a round of ours over one by hand, and float32's over bfloat16's
GAMES: dict[str, tuple[type[Model], Spec]] = {"dcgan": (DCGAN, Spec(3, 64, 64)), "wgan-gp": (WGANGP, Spec(3, 32, 32))}


def pixels(spec: Spec) -> Tensor:
    return torch.randint(256, (EXAMPLES, *spec.shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def by_trainer(game: str, features: int, precision: str = "32") -> tuple[Callable[[], Any], Model]:
    """A function that plays a round, and the model."""
    kind, spec = GAMES[game]
    torch.manual_seed(0)
    model = kind(features=features).build(spec).train()
    settings: Any = {"batch_size": BATCH, "accelerator": "cpu", "threads": 1, "precision": precision}
    options = RunOptions(out=Path("unused"), steps=10**6, **settings)
    trainer = Trainer(model, Stream([Images(pixels(spec), spec)], BATCH), options, start(options))
    return trainer.round, model


def plain_generator(latent: int, spec: Spec, features: int, *, norm: bool) -> nn.Module:
    """From 4x4 up, by transposed convolutions."""
    widths = [features << i for i in reversed(range((spec.height // 8).bit_length()))]
    layers: list[nn.Module] = [nn.Linear(latent, widths[0] * 16), nn.Unflatten(1, (widths[0], 4, 4))]
    for before, after in zip(widths, [*widths[1:], spec.channels], strict=True):
        layers += [nn.BatchNorm2d(before)] if norm else []
        bias = after == spec.channels or not norm
        layers += [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias)]
    return nn.Sequential(*layers, nn.Tanh())


def plain_discriminator(spec: Spec, features: int, *, norm: bool) -> nn.Module:
    """Down to 4x4, by strided convolutions."""
    widths = [spec.channels, *(features << i for i in range((spec.height // 8).bit_length()))]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        normed = norm and before != spec.channels
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not normed)]
        layers += [nn.BatchNorm2d(after)] if normed else []
        layers += [nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * 16, 1))


def by_hand(game: str, features: int) -> tuple[Callable[[], Any], nn.Module]:
    """The same as one writes it for this game alone."""
    _, spec = GAMES[game]
    torch.manual_seed(0)
    data, order = pixels(spec), torch.Generator().manual_seed(0)
    latent, critic_steps, norm = (100, 1, True) if game == "dcgan" else (128, 5, False)
    generator = plain_generator(latent, spec, features, norm=norm)
    critic = plain_discriminator(spec, features, norm=norm)
    rate, betas = (2e-4, (0.5, 0.999)) if game == "dcgan" else (1e-4, (0.5, 0.9))
    ours, theirs = [*generator.parameters()], [*critic.parameters()]
    moving, judging = (torch.optim.Adam(p, lr=rate, betas=betas, fused=True) for p in (ours, theirs))

    def step(loss: Tensor, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        loss.backward(inputs=parameters)
        optimizer.step()
        optimizer.zero_grad()

    def made() -> Tensor:
        z = torch.randn(BATCH, latent)
        return generator(torch.erf(z / 2**0.5) if game == "dcgan" else z)

    def critic_loss(x: Tensor, fake: Tensor) -> Tensor:
        if game == "dcgan":
            return F.softplus(-critic(x)).mean() + F.softplus(critic(fake)).mean()
        between = torch.lerp(x, fake, torch.rand(BATCH, 1, 1, 1)).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty = ((slope.square().flatten(1).sum(1) + 1e-12).sqrt() - 1).square().mean()
        return critic(fake).mean() - critic(x).mean() + 10 * penalty

    def play() -> None:
        for left in reversed(range(critic_steps)):
            index = torch.randint(EXAMPLES, (BATCH,), generator=order)
            x = data[index].float() / 127.5 - 1
            with torch.set_grad_enabled(left == 0):
                fake = made()
            step(critic_loss(x, fake.detach()), theirs, judging)
        output = critic(fake)
        step(F.softplus(-output).mean() if game == "dcgan" else -output.mean(), ours, moving)

    return play, nn.ModuleList([generator, critic])


def seconds(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Of CPU time for a round: the median over `rounds`, in which contenders take turns. The first warms up."""
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, play in contenders.items():
            began = time.process_time()
            play()
            spent[name].append(time.process_time() - began)
    return {name: median(times[1:]) for name, times in spent.items()}


def has_bf16() -> bool:
    """Whether the processor computes in bfloat16, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16", "svebf16"})


def measure(game: str, features: int, rounds: int) -> dict[str, float]:
    (hand, plain), (round32, model) = by_hand(game, features), by_trainer(game, features)
    weights = [sum(p.numel() for p in net.parameters()) for net in (plain, model)]
    assert weights[0] == weights[1], f"the networks of {game} differ: {weights}"
    round16, _ = by_trainer(game, features, "bf16-mixed")
    found = seconds({"by_hand": hand, "trainer": round32, "bf16": round16}, rounds)
    return {**found, "over": found["trainer"] / found["by_hand"], "gain": found["trainer"] / found["bf16"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each contender")
    parser.add_argument("--features", type=int, default=64, help="maps at half the size")
    parser.add_argument("--games", nargs="*", default=[*GAMES], choices=[*GAMES], help="which games")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {game: measure(game, arguments.features, arguments.rounds) for game in arguments.games}
    if arguments.json:
        print(json.dumps({"unit": "seconds of CPU time a round", "has_bf16": has_bf16(), "games": found}, indent=2))
        return
    print("CPU seconds of a round   by hand   trainer    over      bf16   gain")
    for game, row in found.items():
        times = f"{row['by_hand']:9.3f} {row['trainer']:9.3f} {row['over']:7.3f} {row['bf16']:9.3f} {row['gain']:6.2f}"
        print(f"{game:23s} {times}")
    held = all(row["over"] <= OVER for row in found.values())
    print(f"bar: {OVER:g} times the time by hand; {'held' if held else 'MISSED'}")
    if has_bf16():
        held = all(row["gain"] >= BF16 for row in found.values())
        print(f"bar: bfloat16 {BF16:g} times as fast; {'held' if held else 'MISSED'}")
    else:
        print(f"this processor does not compute in bfloat16, so that the bar of {BF16:g} says nothing here")


if __name__ == "__main__":
    main()
