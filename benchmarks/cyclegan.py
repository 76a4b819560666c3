"""What a step of CycleGAN costs: our trainer beside the loop that is usually written by hand.

Both have networks of the same layers (nine residual blocks, 64 maps at full size, pictures of 128x128 one at a time, by
default) and play the same game, with identity losses and pools of 50 images. The loop by hand has plain layers, Adam as
torch has it by default, and frozen discriminators while the generators learn. CPU time on one thread; the two take
turns in single steps, and the medians are compared. With --bf16 ours also runs in bfloat16, which pays only where the
processor computes in it.

    python benchmarks/cyclegan.py [--steps 7] [--size 128] [--features 64] [--blocks 9] [--bf16] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Spec
from isthmus.data.images import Images
from isthmus.data.stream import Stream
from isthmus.models.translation.cyclegan import CycleGAN
from isthmus.training.options import RunOptions
from isthmus.training.run import start
from isthmus.training.trainer import Trainer
from training import has_bf16, seconds

EXAMPLES, POOL, CYCLE, IDENTITY = 50, 50, 10.0, 5.0
OVER, BF16 = 0.95, 0.55  # the bars, as shares of the time by hand


def pixels(size: int, seed: int) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randint(256, (EXAMPLES, 3, size, size), dtype=torch.uint8, generator=chance)


def by_trainer(size: int, features: int, blocks: int, precision: str = "32") -> tuple[Callable[[], Any], nn.Module]:
    torch.manual_seed(0)
    spec = Spec(3, size, size)
    model = CycleGAN(features=features, blocks=blocks).build(spec, spec).train()
    settings: Any = {"batch_size": 1, "accelerator": "cpu", "threads": 1, "precision": precision}
    options = RunOptions(out=Path("unused"), steps=10**6, **settings)
    data = [Images(pixels(size, seed), spec) for seed in (0, 1)]
    return Trainer(model, Stream(data, 1), options, start(options)).round, model


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = (
            (nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=False), nn.InstanceNorm2d(width)) for _ in range(2)
        )
        self.body = nn.Sequential(*first, nn.ReLU(True), *second)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def plain_generator(features: int, blocks: int) -> nn.Module:
    def normed(conv: nn.Module, width: int) -> list[nn.Module]:
        return [conv, nn.InstanceNorm2d(width), nn.ReLU(True)]

    f = features
    layers = [nn.ReflectionPad2d(3), *normed(nn.Conv2d(3, f, 7, bias=False), f)]
    for width in (f, 2 * f):
        layers += normed(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False), 2 * width)
    layers += [Residual(4 * f) for _ in range(blocks)]
    for width in (4 * f, 2 * f):
        layers += [nn.Upsample(scale_factor=2)]
        layers += normed(nn.Conv2d(width, width // 2, 3, padding=1, bias=False), width // 2)
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(f, 3, 7), nn.Tanh())


def plain_discriminator(features: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, features, 4, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
    for i, stride in enumerate((2, 2, 1)):
        width = features << i
        pad: list[nn.Module] = [nn.ZeroPad2d((1, 2, 1, 2))] if stride == 1 else [nn.ZeroPad2d(1)]
        layers += [*pad, nn.Conv2d(width, 2 * width, 4, stride, bias=False), nn.InstanceNorm2d(2 * width)]
        layers += [nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(8 * features, 1, 4))


class Pool:
    def __init__(self) -> None:
        self.images: list[Tensor] = []

    def __call__(self, image: Tensor) -> Tensor:
        if len(self.images) < POOL:
            self.images.append(image)
            return image
        if random.random() < 0.5:
            return image
        place = random.randrange(POOL)
        old, self.images[place] = self.images[place], image
        return old


def by_hand(size: int, features: int, blocks: int) -> tuple[Callable[[], Any], nn.Module]:
    torch.manual_seed(0)
    to_a, to_b = (plain_generator(features, blocks) for _ in range(2))
    judge_a, judge_b = (plain_discriminator(features) for _ in range(2))
    makers, judges = [*to_a.parameters(), *to_b.parameters()], [*judge_a.parameters(), *judge_b.parameters()]
    moving, judging = (torch.optim.Adam(p, lr=2e-4, betas=(0.5, 0.999)) for p in (makers, judges))
    pool_a, pool_b = Pool(), Pool()
    sets, order = [pixels(size, seed) for seed in (0, 1)], torch.Generator().manual_seed(0)

    def gan(output: Tensor, target: float) -> Tensor:
        return F.mse_loss(output, torch.full_like(output, target))

    def play() -> None:
        a, b = (data[torch.randint(EXAMPLES, (1,), generator=order)].float() / 127.5 - 1 for data in sets)
        fake_a, fake_b = to_a(b), to_b(a)
        for parameter in judges:
            parameter.requires_grad_(False)
        moving.zero_grad()
        loss = gan(judge_a(fake_a), 1.0) + gan(judge_b(fake_b), 1.0)
        loss = loss + CYCLE * (F.l1_loss(to_a(fake_b), a) + F.l1_loss(to_b(fake_a), b))
        loss = loss + IDENTITY * (F.l1_loss(to_a(a), a) + F.l1_loss(to_b(b), b))
        loss.backward()
        moving.step()
        for parameter in judges:
            parameter.requires_grad_(True)
        judging.zero_grad()
        for judge, pool, real, fake in ((judge_a, pool_a, a, fake_a), (judge_b, pool_b, b, fake_b)):
            (0.5 * (gan(judge(real), 1.0) + gan(judge(pool(fake.detach())), 0.0))).backward()
        judging.step()

    return play, nn.ModuleList([to_a, to_b, judge_a, judge_b])


def measure(size: int, features: int, blocks: int, steps: int, *, bf16: bool) -> dict[str, float]:
    (hand, plain), (ours, model) = by_hand(size, features, blocks), by_trainer(size, features, blocks)
    weights = [sum(p.numel() for p in net.parameters()) for net in (plain, model)]
    assert weights[0] == weights[1], f"the networks differ: {weights}"
    contenders = {"by_hand": hand, "trainer": ours}
    if bf16:
        contenders["bf16"], _ = by_trainer(size, features, blocks, "bf16-mixed")
    found = seconds(contenders, steps)
    return found | {f"{name}_over": found[name] / found["by_hand"] for name in contenders if name != "by_hand"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=7, help="of each contender")
    parser.add_argument("--size", type=int, default=128, help="height and width of the pictures")
    parser.add_argument("--features", type=int, default=64, help="maps at full size")
    parser.add_argument("--blocks", type=int, default=9, help="residual blocks")
    parser.add_argument("--bf16", action="store_true", help="also in bfloat16")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(0)
    found = measure(given.size, given.features, given.blocks, given.steps, bf16=given.bf16)
    if given.json:
        print(json.dumps({"unit": "seconds of CPU time a step", "has_bf16": has_bf16(), **found}, indent=2))
        return
    print(f"CPU seconds of a step: by hand {found['by_hand']:.3f}, ours {found['trainer']:.3f}")
    bars = {"trainer": OVER, "bf16": BF16} if given.bf16 else {"trainer": OVER}
    for name, most in bars.items():
        over = found[f"{name}_over"]
        print(f"{name}: {over:.3f} times the time by hand; bar {most:g} {'held' if over <= most else 'MISSED'}")
    if given.bf16 and not has_bf16():
        print(f"this processor does not compute in bfloat16, so that the bar of {BF16:g} says nothing here")


if __name__ == "__main__":
    main()
