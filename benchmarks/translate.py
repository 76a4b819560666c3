"""Images per second, of CPU and of the clock, from a folder of JPEGs through a translator to a folder of PNGs.

Contenders are `isthmus translate`, without the start of the program, and the usual loop, which opens, carries and saves
one picture after the other. Both have the same network, with random weights, which sees pictures brought to its size by
Lanczos' filter. They take turns in whole folders, and the medians over the rounds are compared; `difference` is that of
what they wrote, in grey levels. Where the network has a device of its own, decoding and encoding go on beside it.

    python benchmarks/translate.py [--pictures 200] [--side 128] [--features 16] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image, ImageOps

from isthmus.apps.bulk import carry
from isthmus.apps.plan import plan
from isthmus.apps.trained import Trained
from isthmus.core import Spec
from isthmus.data.images import to_bytes
from isthmus.models.translation.cyclegan import CycleGAN

WIDTH, HEIGHT = 1024, 768


def make(folder: Path, count: int) -> None:
    """Smooth random pictures with some grain, about as large as photographs of their size."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for i in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((WIDTH, HEIGHT))
        grain = random.normal(0, 6, (HEIGHT, WIDTH, 1))
        Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)).save(folder / f"{i:04}.jpg")


def translator(side: int, features: int) -> Trained:
    torch.manual_seed(0)
    spec = Spec(3, side, side)
    return Trained(CycleGAN(features=features).build(spec, spec), {})


def ours(trained: Trained, folder: Path, out: Path) -> None:
    """What the command does."""
    source, target, _ = trained.route("b")
    jobs = plan([folder], out, [""], overwrite=True)
    carry(trained, jobs, source, lambda pictures: [trained.translate(pictures)], to=target)


@torch.no_grad()
def usual(trained: Trained, folder: Path, out: Path) -> None:
    """One picture after the other."""
    model, side = trained.model, trained.model.spec.width
    out.mkdir(exist_ok=True)
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            pixels = np.asarray(ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.LANCZOS))
        seen = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float().div(127.5).sub(1)
        made = to_bytes(model.translate(seen[None].to(model.device), "b")[0])  # type: ignore[operator]
        Image.fromarray(made.permute(1, 2, 0).cpu().numpy()).save(out / f"{path.stem}.png")


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds of CPU, of all threads, and of the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def difference(one: Path, other: Path) -> float:
    """Mean over all pixels, in grey levels."""
    found = [
        np.abs(np.asarray(Image.open(file)).astype(int) - np.asarray(Image.open(other / file.name))).mean()
        for file in sorted(one.iterdir())
    ]
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200, help="in the folder")
    parser.add_argument("--side", type=int, default=128, help="of what the network sees, in pixels")
    parser.add_argument("--features", type=int, default=16, help="of the network at full size: more make it slower")
    parser.add_argument("--rounds", type=int, default=5, help="times that each contender does the folder")
    parser.add_argument("--threads", type=int, help="of the network, by default as torch chooses")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    trained = translator(given.side, given.features)
    contenders = {"isthmus": ours, "loop": usual}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make(root / "in", given.pictures)
        for i in range(given.rounds + 1):
            for contender, run in contenders.items():
                spent = timed(lambda run=run, out=root / contender: run(trained, root / "in", out))  # type: ignore[misc]
                if i:  # the first round warms up
                    times[contender].append(spent)
        apart = difference(root / "isthmus", root / "loop")
    cpu, wall = (
        {contender: given.pictures / median(spent[i] for spent in times[contender]) for contender in contenders}
        for i in range(2)
    )
    figures = {
        "device": str(trained.model.device),
        "threads": torch.get_num_threads(),
        "images_per_cpu_second": cpu,
        "images_per_second": wall,
        "ratio_cpu": cpu["isthmus"] / cpu["loop"],
        "ratio_clock": wall["isthmus"] / wall["loop"],
        "difference": apart,
    }
    print(json.dumps(figures, indent=2))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
