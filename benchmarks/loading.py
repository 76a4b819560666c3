"""Images per CPU second from 256-pixel JPEGs to normalised batches of augmented 128-pixel crops.

    python benchmarks/loading.py [--json FILE]

Contenders, on one thread and in alternation, medians of CPU time: Isthmus (its cache, then whole batches), and the
usual way (torchvision's ImageFolder and transforms v2 through a DataLoader without workers). Building the cache is
timed apart, and the first epoch is given with it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from isthmus.data.open import open_data
from isthmus.data.options import DataOptions
from isthmus.data.stream import Stream

PICTURES, SIDE, RESIZED, CROP, BATCH, ROUNDS = 2000, 256, 143, 128, 50, 5


def make(folder: Path) -> None:
    """Smooth random pictures with some grain, about as large as photographs of their size."""
    random = np.random.default_rng(0)
    for i in range(PICTURES):
        coarse = Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((SIDE, SIDE))
        grain = random.normal(0, 6, (SIDE, SIDE, 1))
        picture = np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)
        place = folder / "pictures" / f"class{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{i}.jpg", quality=85)


def ours(folder: Path) -> Callable[[], int]:
    """An epoch by way of the cache."""
    spec = f"folder:{folder / 'pictures'}"
    options = DataOptions(data=(spec,), size=str(CROP), crop=RESIZED / CROP - 1, flip=True, test_fraction=1e-9)
    stream = Stream(open_data(options, "train"), BATCH)

    def epoch() -> int:
        for _ in range(PICTURES // BATCH):
            next(stream)
        return PICTURES

    return epoch


def usual(folder: Path) -> Callable[[], int]:
    """An epoch by one-file-at-a-time loading."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    steps: list[Any] = [
        v2.ToImage(),
        v2.Resize(RESIZED, antialias=True),
        v2.RandomCrop(CROP),
        v2.RandomHorizontalFlip(),
    ]
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
    data = ImageFolder(str(folder / "pictures"), v2.Compose(steps))
    loader: Any = torch.utils.data.DataLoader(data, BATCH, shuffle=True, num_workers=0)

    def epoch() -> int:
        for _ in loader:
            pass
        return PICTURES

    return epoch


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and the result."""
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["ISTHMUS_CACHE"] = str(folder / "cache")
        make(folder)
        build, epoch = timed(lambda: ours(folder))
        contenders = {"isthmus": epoch, "torchvision": usual(folder)}
        times: dict[str, list[float]] = {key: [] for key in contenders}
        for _ in range(ROUNDS):
            for key, run in contenders.items():
                seconds, count = timed(run)
                times[key].append(seconds / count)
    speed = {key: 1 / statistics.median(values) for key, values in times.items()}
    figures = {
        "images_per_cpu_second": speed,
        "ratio": speed["isthmus"] / speed["torchvision"],
        "cache_build_cpu_seconds": build,
        "first_epoch_cpu_seconds": {"isthmus": build + PICTURES / speed["isthmus"]}
        | {"torchvision": PICTURES / speed["torchvision"]},
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
