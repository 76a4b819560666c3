"""What it saves that both players learn from one translation: rounds of MUNIT and UNIT, and the same made twice.

In the authors' code each player encodes and decodes everything for itself. So does the other contender here, by the
same networks, terms and optimisers; and without a graph where only discriminators learn, which is the cheapest way.
CPU time on one thread; the two take turns in single rounds, and the medians are compared.

    python benchmarks/twice.py [--steps 5] [--size 128] [--features 64] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from isthmus.core import Model, Spec, Turn
from isthmus.data.images import Images
from isthmus.data.stream import Stream
from isthmus.models.translation.munit import MUNIT
from isthmus.models.translation.unit import UNIT
from isthmus.training.options import RunOptions
from isthmus.training.run import start
from isthmus.training.trainer import Trainer
from training import seconds

EXAMPLES = 8
MODELS = {"munit": MUNIT, "unit": UNIT}


def twice(model: Any) -> Callable[[Iterator[Any]], Iterator[Turn]]:
    """The model's turns, where what the discriminators see is made for them alone."""
    turns = model.turns

    def played(batches: Iterator[Any]) -> Iterator[Turn]:
        batch, seen = next(batches), list[Any]()
        with patch.object(model, "judged_by", lambda *made: seen.extend(made) or {}), torch.no_grad():
            next(turns(iter([batch])))
        yield Turn("discriminator", model.judged_by(*seen))
        with patch.object(model, "judged_by", lambda *_: {}):
            again = turns(iter([batch]))
            next(again)
        yield next(again)

    return played


def contender(kind: type[Model], size: int, features: int, *, once: bool) -> Callable[[], Any]:
    """A round."""
    torch.manual_seed(0)
    spec = Spec(3, size, size)
    model = kind(features=features).build(spec, spec).train()
    if not once:
        model.turns = twice(model)  # type: ignore[method-assign]
    options = RunOptions(out=Path("unused"), steps=10**6, batch_size=1, accelerator="cpu", threads=1)
    pixels = (torch.randint(256, (EXAMPLES, 3, size, size), dtype=torch.uint8) for _ in range(2))
    return Trainer(model, Stream([Images(p, spec) for p in pixels], 1), options, start(options)).round


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=5, help="of each contender")
    parser.add_argument("--size", type=int, default=128, help="height and width of the pictures")
    parser.add_argument("--features", type=int, default=64, help="maps at full size")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for name, kind in MODELS.items():
        both = {how: contender(kind, given.size, given.features, once=how == "once") for how in ("once", "twice")}
        found[name] = seconds(both, given.steps)
    if given.json:
        print(json.dumps({"unit": "seconds of CPU time a round", **found}, indent=2))
        return
    for name, of in found.items():
        share = of["once"] / of["twice"]
        print(f"{name}: {of['once']:.3f} CPU seconds a round, {share:.3f} times that of making all twice")


if __name__ == "__main__":
    main()
