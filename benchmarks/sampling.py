"""How much faster cached sampling is than the usual loop, which runs a network once for each value, in CPU time.

Contenders are all models of the catalog that complete images, score them, and give `logits(image)`, [batch, levels,
channels, height, width]: 28x28 bytes, ten layers of 64 features, untrained, on one thread. What differs between the
draws of a model and those of the loop, with the same noise, is the time alone: `identical` says whether all values of
all images agree.

A loop takes minutes for each model. By default only every 49th of its passes is run, from the beginning to the end, and
their time is scaled; the logits of all values are then compared in one pass over the finished images, which shows each
value what the loop would show it, since no value sees later ones. `--full` runs the loop to its end, and compares what
it draws.

No public PyTorch implementation with which this could be compared can be installed from PyPI today; those on GitHub all
sample by the loop.

    python benchmarks/sampling.py [--batch 16] [--rounds 3] [--full] [--model NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from isthmus.core import Spec
from isthmus.models.catalog import Entry, catalog
from isthmus.nn.autoregressive import draw, sample_naively, to_levels

SPEC = Spec(1, 28, 28)
SIZES = {"features": 64, "hidden": 64, "layers": 10, "levels": 256}  # options by name, where a model has them
EVERY = 49  # passes of the loop for each one that is run: it divides 784, and meets several columns


def contenders() -> list[Entry]:
    """Models that draw value by value and tell the logits."""
    able = (entry for entry in catalog().values() if {"completes", "scores"} <= {*entry.capabilities})
    return [entry for entry in able if hasattr(entry.load(), "logits")]


def built(entry: Entry) -> Any:
    """The model with networks of the usual size, and random weights."""
    torch.manual_seed(0)
    sizes = {option.name: SIZES[option.name] for option in entry.options if option.name in SIZES}
    return entry.load()(**sizes).build(SPEC).eval()


def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    """CPU time of a run, and what it returns."""
    begin = time.process_time()
    result = run()
    return time.process_time() - begin, result


def cached(model: Any, blank: Tensor) -> tuple[Tensor, Tensor]:
    """What the model draws, and the noise that it drew with: the first random numbers of `complete`."""
    torch.manual_seed(1)
    noise = torch.rand_like(blank)
    torch.manual_seed(1)
    return model.complete(blank, torch.zeros(blank.shape[2:], dtype=torch.bool)), noise


def some_passes(model: Any, image: Tensor) -> float:
    """Seconds of the whole loop, from every `EVERY`th of its passes, each on the image as far as it is drawn."""
    places = torch.arange(SPEC.height * SPEC.width).view(SPEC.height, SPEC.width)
    spent = [
        seconds(lambda place=place: model.logits(torch.where(places < place, image, 0.0)))[0]
        for place in range(EVERY // 2, places.numel(), EVERY)
    ]
    return sum(spent) * EVERY


@torch.no_grad()
def measure(entry: Entry, batch: int, rounds: int, full: bool) -> dict[str, Any]:
    """Seconds of both, their ratio, and whether they draw the same."""
    model, blank = built(entry), torch.zeros(batch, *SPEC.shape)
    cached(model, blank[:1])  # warm up
    runs = [seconds(lambda: cached(model, blank)) for _ in range(rounds)]
    image, noise = runs[0][1]
    if full:
        known = torch.zeros(SPEC.height, SPEC.width, dtype=torch.bool)
        slow, naive = seconds(lambda: sample_naively(model.logits, blank, known, noise, model.levels))
        identical = torch.equal(naive, image)
    else:
        slow = some_passes(model, image)
        redrawn = draw(model.logits(image).movedim(1, -1), noise)
        identical = torch.equal(redrawn, to_levels(image, model.levels))
    fast = median(run[0] for run in runs)
    return {
        "batch": batch,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "cached_cpu_seconds": round(fast, 3),
        "naive_cpu_seconds": round(slow, 1),
        "passes_timed": SPEC.height * SPEC.width // (1 if full else EVERY),
        "speedup": round(slow / fast, 1),
        "identical": identical,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16, help="images that are drawn together")
    parser.add_argument("--rounds", type=int, default=3, help="times that each model draws; the median counts")
    parser.add_argument("--full", action="store_true", help="run the whole loop: many minutes for each model")
    parser.add_argument("--model", nargs="*", help="names of models; by default all that can be compared")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    for entry in contenders():
        if given.model is None or entry.name in given.model:
            figures[entry.name] = measure(entry, given.batch, given.rounds, given.full)
            print(entry.name, json.dumps(figures[entry.name]), flush=True)
            if given.json:
                given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
