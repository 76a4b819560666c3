"""How many images a VAE learns from in a second of CPU time: our trainer beside pythae's, and bfloat16 beside float32.

Both train the same network, 784-512-16-512-784 with a Bernoulli likelihood, with Adam, on the same 6400 images in
batches of 128, on one thread: pythae with its own default network, data set, loader and `BaseTrainer`, which keeps
images as floats; we from bytes, through `Stream` and `Trainer`. They take turns in epochs of 50 steps, and the medians
over epochs are compared. pythae comes with `uv sync --group bench`.

bfloat16 pays only where the processor computes in it, and on large matrices; `bf16` says whether this one does.

    python benchmarks/vae_training.py [--epochs 9] [--hidden 512 2048 4096] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from isthmus.core import Spec
from isthmus.data.images import Images, to_unit
from isthmus.data.stream import Stream
from isthmus.models.autoencoders.vae import VAE
from isthmus.training.options import RunOptions
from isthmus.training.run import start
from isthmus.training.trainer import Trainer

SPEC, LATENT, HIDDEN = Spec(1, 28, 28), 16, 512
STEPS, BATCH = 50, 128  # of an epoch
RATE = 1e-3
PYTHAE, BF16 = 1.0, 1.5  # the bars: images per second over pythae's, and bfloat16's over float32's


def data() -> Images:
    """Images of which a fifth of the pixels is on, as in handwriting."""
    random = torch.Generator().manual_seed(0)
    pixels = (torch.rand(STEPS * BATCH, *SPEC.shape, generator=random) < 0.2).to(torch.uint8) * 255
    return Images(pixels, SPEC)


def ours(images: Images, hidden: int = HIDDEN, precision: str = "32") -> Callable[[], None]:
    """A function that trains our VAE for one epoch."""
    torch.manual_seed(0)
    model = VAE(latent=LATENT, hidden=hidden, lr=RATE).build(SPEC).train()
    settings: Any = {"batch_size": BATCH, "accelerator": "cpu", "threads": 1, "precision": precision}
    options = RunOptions(out=Path("unused"), steps=10**6, **settings)
    trainer = Trainer(model, Stream([images], BATCH), options, start(options))

    def epoch() -> None:
        for _ in range(STEPS):
            trainer.round()
        trainer.losses()

    return epoch


def pythaes(images: Images, folder: str) -> Callable[[], None]:
    """The same for pythae's VAE and trainer."""
    from pythae import models
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    model = models.VAE(models.VAEConfig(input_dim=SPEC.shape, latent_dim=LATENT, reconstruction_loss="bce"))
    weights = sum(p.numel() for p in model.parameters())
    assert weights == sum(p.numel() for p in VAE(latent=LATENT, hidden=HIDDEN).build(SPEC).parameters())
    pixels = (to_unit(images.pixels) + 1) / 2
    config = BaseTrainerConfig(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        learning_rate=RATE,
        optimizer_cls="Adam",
        no_cuda=True,
    )
    trainer = BaseTrainer(model, BaseDataset(pixels, torch.zeros(len(pixels))), training_config=config)
    trainer.prepare_training()
    trainer.callback_handler.callbacks.clear()  # a progress bar, which is drawn for each batch
    assert len(trainer.train_loader) == STEPS
    numbers = iter(range(1, 10**6))
    return lambda: trainer.train_step(next(numbers))


def rates(contenders: dict[str, Callable[[], None]], epochs: int) -> dict[str, float]:
    """Images per second of CPU time: the median over `epochs`, in which contenders take turns. The first warms up."""
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(epochs + 1):
        for name, epoch in contenders.items():
            began = time.process_time()
            epoch()
            spent[name].append(time.process_time() - began)
    return {name: STEPS * BATCH / median(times[1:]) for name, times in spent.items()}


def has_bf16() -> bool:
    """Whether the processor computes in bfloat16, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16", "svebf16"})


def measure(epochs: int, widths: list[int]) -> dict[str, Any]:
    images = data()
    with tempfile.TemporaryDirectory() as folder:
        trainers = rates({"isthmus": ours(images), "pythae": pythaes(images, folder)}, epochs)
    precisions = {}
    for width in widths:
        found = rates({p: ours(images, width, p) for p in ("32", "bf16-mixed")}, max(1, epochs * HIDDEN // width))
        precisions[width] = {**found, "gain": found["bf16-mixed"] / found["32"]}
    return {
        "unit": "images per second of CPU time",
        "trainers": trainers,
        "over_pythae": trainers["isthmus"] / trainers["pythae"],
        "bf16": has_bf16(),
        "precisions": precisions,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=9, help="epochs of 6400 images for each contender")
    parser.add_argument("--hidden", type=int, nargs="*", default=[512, 2048, 4096], help="widths to try bfloat16 with")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(arguments.epochs, arguments.hidden)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for name, rate in found["trainers"].items():
        print(f"{name:10s} {rate:8.0f} images per second of CPU time")
    held = found["over_pythae"] >= PYTHAE
    print(f"{found['over_pythae']:.2f} of pythae's; bar {PYTHAE:g}: {'held' if held else 'MISSED'}")
    for width, row in found["precisions"].items():
        print(f"hidden {width:5d}: float32 {row['32']:6.0f}, bfloat16 {row['bf16-mixed']:6.0f}, gain {row['gain']:.2f}")
    if not found["bf16"]:
        print(f"this processor does not compute in bfloat16, so that the bar of {BF16:g} says nothing here")
    elif found["precisions"]:
        best = max(row["gain"] for row in found["precisions"].values())
        print(f"best gain {best:.2f}; bar {BF16:g}: {'held' if best >= BF16 else 'MISSED'}")


if __name__ == "__main__":
    main()
