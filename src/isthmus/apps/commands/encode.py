"""Codes and features of pictures, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def encode(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT [INPUT ...]")],
    out: Path,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Write what a model says of pictures in numbers: their codes, and their features for other tasks.

    The file is NumPy's .npz, with "names" [n], "codes" [n, latent] of models that encode, and "features" [n, dims] of
    models that describe.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        inputs: Picture files, or folders of them.
        out: A new file that ends in .npz.
        overwrite: Replace the file if it is there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import Job, check_free, find
    from isthmus.errors import ConfigError

    if out.suffix != ".npz":
        raise ConfigError(f"--out {out} must end in .npz, the format of NumPy for several arrays")
    named = find(inputs)
    check_free([out], overwrite)

    import io

    import numpy as np
    import torch

    from isthmus.apps.bulk import opened, readable, report
    from isthmus.core import Describes, Encodes
    from isthmus.errors import CapabilityError
    from isthmus.training.checkpoint import write

    names: list[str] = []
    parts: dict[str, list[torch.Tensor]] = {}
    failed: list[str] = []
    with opened(run, checkpoint) as trained:
        model = trained.model
        if not isinstance(model, Encodes | Describes):
            raise CapabilityError(f"{trained.name} gives pictures neither codes nor features")
        for part, pictures in readable(trained, [Job(file, ()) for file in named], model.spec, failed):
            names += [str(named[job.source]) for job in part]
            if isinstance(model, Encodes):
                parts.setdefault("codes", []).append(trained.encode(pictures))
            if isinstance(model, Describes):
                parts.setdefault("features", []).append(trained.describe(pictures))
    if names:
        content, arrays = io.BytesIO(), {name: torch.cat(found).numpy() for name, found in parts.items()}
        np.savez(content, allow_pickle=False, names=np.array(names), **arrays)
        write(out, content.getvalue())
    report(failed, len(named))
