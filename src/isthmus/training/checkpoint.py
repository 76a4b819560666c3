"""Models as files: a description in JSON, weights as safetensors. Nothing is pickled, so loading runs no foreign code.

A description is a name, a configuration and the specs the model was built for; a model inside a model is described in
turn, and its weights lie among those of the outer one. So a folder with `config.json` and `model.safetensors` is all
that it takes to use a model, here or on the hub.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from isthmus import __version__
from isthmus.core import Model, Spec
from isthmus.errors import CheckpointError, OutputError
from isthmus.models.catalog import catalog, find, name_of

FORMAT = 1  # of the run folder; raised when older versions of Isthmus can no longer read it
CONFIG, WEIGHTS = "config.json", "model.safetensors"
UNFINISHED = ".writing-"  # what starts with it is not there yet, or no more


def describe(model: Model) -> dict[str, Any]:
    """Plain data from which `rebuild` makes the same model, without its weights."""
    values = model.config().items()
    return {
        "model": name_of(model),
        "config": {key: describe(value) if isinstance(value, Model) else value for key, value in values},
        "specs": [asdict(spec) for spec in model.specs],
    }


def rebuild(description: dict[str, Any]) -> Model:
    """The model described, with fresh weights. Raises CheckpointError for a configuration that its class refuses."""
    entry = find(description["model"])
    values = {k: rebuild(v) if isinstance(v, dict) and "model" in v else v for k, v in description["config"].items()}
    unknown = set(values) - {option.name for option in entry.options}
    if unknown:
        names = ", ".join(sorted(unknown))
        raise CheckpointError(f"{entry.name} has no option {names}: the model was saved by another version of Isthmus")
    return entry.load()(**values).build(*specs_of(description))


def specs_of(description: dict[str, Any]) -> list[Spec]:
    """What the model described was built for."""
    return [Spec(**{**spec, "classes": tuple(spec["classes"])}) for spec in description["specs"]]


def own_tensors(model: Model) -> dict[str, Tensor]:
    """Every persistent tensor of the model once, although modules may share it under several names."""
    seen: dict[int, str] = {}
    tensors = model.state_dict(keep_vars=True)
    return {name: t for name, t in tensors.items() if seen.setdefault(id(t), name) == name}


def own_models(model: Model) -> dict[str, Model]:
    """The model, under the name "", and all models inside it."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Model)}


def weights(model: Model) -> bytes:
    """The model's weights in the safetensors format, with how far each of its models was trained."""
    progress = {name: inner.progress for name, inner in own_models(model).items()}
    tensors = {name: t.detach().cpu().contiguous() for name, t in own_tensors(model).items()}
    return save(tensors, {"progress": json.dumps(progress)})


def load_weights(model: Model, file: Path) -> None:
    """Fill `model` with the weights in `file`. Raises CheckpointError if they are damaged or of another model."""
    try:
        with safe_open(file, "pt") as content:
            stored = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            progress = json.loads((content.metadata() or {}).get("progress", "{}"))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"the weights in {file} cannot be read ({error}); use another checkpoint") from None
    ours = own_tensors(model)
    wrong = [
        n for n in ours.keys() | stored.keys() if n not in ours or n not in stored or ours[n].shape != stored[n].shape
    ]
    if wrong:
        raise CheckpointError(
            f"the weights in {file} do not fit the model that {CONFIG} describes (first: {min(wrong)})"
        )
    with torch.no_grad():
        for name, tensor in ours.items():
            tensor.copy_(stored[name])
    for name, inner in own_models(model).items():
        inner.progress = progress.get(name, inner.progress)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends well: a reader sees all of the file or none of it.

    Raises OutputError where it cannot be written, e.g. on a full disk.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def write(path: Path, content: bytes | str) -> None:
    """Write a whole file, or leave what was there."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_config(folder: Path, model: Model, **more: Any) -> None:
    """Write `config.json`: the description of `model`, with `more` beside it."""
    header = {"isthmus": __version__, "format": FORMAT}
    write(folder / CONFIG, json.dumps({**header, **describe(model), **more}, indent=2) + "\n")


def save_model(model: Model, folder: Path, **more: Any) -> None:
    """Write all that it takes to use `model`: `config.json` and `model.safetensors`."""
    write_config(folder, model, **more)
    write(folder / WEIGHTS, weights(model))


def read_config(folder: Path) -> dict[str, Any]:
    """The content of `config.json`. Raises CheckpointError if it is missing, damaged or of a newer format."""
    if not folder.is_dir():
        raise CheckpointError(f"there is no run folder {folder}; give one that 'isthmus train' made")
    try:
        config = json.loads((folder / CONFIG).read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is not a run folder: it has no {CONFIG}") from None
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{folder / CONFIG} is damaged ({error}); train again or restore the file") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{folder / CONFIG} describes no model of Isthmus")
    if config.get("format", 0) > FORMAT:
        raise CheckpointError(f"{folder} was made by Isthmus {config.get('isthmus')}, which is newer: upgrade Isthmus")
    if not {"model", "config", "specs"} <= config.keys() and "_class_name" not in config:
        raise CheckpointError(f"{folder / CONFIG} describes no model of Isthmus")
    return config


def load_model(folder: Path, checkpoint: str = "last") -> Model:
    """The trained model of a run folder, in evaluation mode on the CPU.

    `checkpoint` is "last", "best" or the name of a folder in `checkpoints/`. A folder in the layout of another
    library, whose config.json names its class, is read by the model of that class name.
    """
    config = read_config(folder)
    if "model" not in config:
        return load_foreign(folder, config["_class_name"])
    file = folder / WEIGHTS if checkpoint == "last" else folder / "checkpoints" / checkpoint / WEIGHTS
    if not file.exists():
        there = ", ".join(sorted(path.parent.name for path in folder.glob(f"checkpoints/*/{WEIGHTS}")))
        mend = f"there are: {there}" if there else f"it was stopped before its first: isthmus resume {folder}"
        raise CheckpointError(f"{folder} has no checkpoint {checkpoint!r}; {mend}")
    try:
        model = rebuild(config)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / CONFIG} does not describe a model ({error!r})") from None
    load_weights(model, file)
    return model.eval()


def load_foreign(folder: Path, class_name: str) -> Model:
    """A model saved by another library, read by our model class of the same name."""
    for entry in catalog().values():
        if entry.class_name == class_name:
            loader = getattr(entry.load(), "from_folder", None)
            if loader is not None:
                return loader(folder)
    raise CheckpointError(f"{folder} holds a {class_name} of another library, which no model of Isthmus can read")
