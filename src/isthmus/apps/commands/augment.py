"""Write a data set of new pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from isthmus.apps.trained import Trained

PROVENANCE = "generated.json"
MADE = "generated-"  # what the names of pictures begin with, by which they are known beside others


def augment(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    out: Path,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 100,
    classes: tuple[str, ...] = (),
    temperature: float = 1.0,
    seed: int = 0,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Write a data set of new pictures, in a folder for each class, from a model that draws by class.

    It is read as --data folder:OUT, of sounds as audio:OUT. Beside the classes, generated.json says how it was made.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        out: A new folder; or that of a data set, in whose class folders the new pictures are put beside the others.
        n: How many of each class.
        classes: Only these classes, by name or number; by default all.
        temperature: Spread of the draws: 1 is what the model learnt, less is more typical, 0 the most typical alone.
        seed: Makes the pictures the same each time.
        overwrite: Replace all that was generated into the folder before.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    import json

    from isthmus.apps.plan import check_folder, check_free
    from isthmus.errors import ConfigError

    if n < 1:
        raise ConfigError(f"-n is the number of pictures of each class, at least 1, got {n}")
    check_folder(out)
    earlier = [*out.glob(PROVENANCE), *sorted(out.glob(f"*/{MADE}*"))]
    check_free(earlier, overwrite)

    from isthmus.apps.bulk import content, opened
    from isthmus.data.work import watched
    from isthmus.training.checkpoint import write

    with opened(run, checkpoint) as trained, trained.seeded(seed):
        spec = trained.model.spec
        labels = list(dict.fromkeys(trained.labels(classes or spec.classes)))
        folders = class_folders([spec.classes[label] for label in labels])
        suffix, total = ".wav" if spec.rate else ".png", n * len(labels)
        files = [out / name / f"{MADE}{i:0{len(str(n))}}{suffix}" for i in range(1, n + 1) for name in folders]
        parts = watched(trained.drawn(total, labels, temperature), math.ceil(total / trained.part), f"{total} pictures")
        for file, image in zip(files, (image for part in parts for image in part), strict=True):
            for old in earlier:
                old.unlink()  # not before there is something new
            earlier = []
            write(file, content(image, spec.rate))
        made = {"classes": folders, "of_each_class": n, "seed": seed, "temperature": temperature}
        made |= provenance(trained, run, checkpoint)
        write(out / PROVENANCE, json.dumps(made, indent=2, ensure_ascii=False) + "\n")


def class_folders(names: list[str]) -> dict[str, str]:
    """A folder for each class, in which no sign has a meaning to a file system, and the class. Raises ConfigError."""
    from isthmus.apps.plan import SPECIAL
    from isthmus.errors import ConfigError

    folders: dict[str, str] = {}
    for name in names:
        folder = SPECIAL.sub("_", name)
        folder = f"_{folder[1:]}" if folder.startswith(".") else folder  # else it would be hidden
        if twin := {known.casefold(): known for known in folders}.get(folder.casefold()):
            raise ConfigError(
                f"the classes {folders[twin]} and {name} would have the same folder, {folder}; choose one of them "
                "with --classes"
            )
        folders[folder] = name
    return folders


def provenance(trained: Trained, run: str, checkpoint: str) -> dict[str, Any]:
    """What drew the pictures, and what it had learnt from."""
    from isthmus import __version__
    from isthmus.apps.trained import without_path

    return {
        "model": trained.name,
        "run": Path(run).name,
        "checkpoint": checkpoint,
        "trained_on": without_path(trained.model.spec.name),
        "isthmus": __version__,
    }
