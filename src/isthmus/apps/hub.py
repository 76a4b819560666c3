"""Trained models from the Hugging Face hub, by the optional package `huggingface-hub`."""

from __future__ import annotations

import re
from pathlib import Path

from isthmus.errors import CheckpointError

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # owner/name
WANTED = ["config.json", "*.safetensors"]


def is_hub_id(path: str) -> bool:
    """Whether this names a repository, since it cannot be a folder here (even a misspelt one)."""
    return HUB_ID.fullmatch(path) is not None and not Path(path).exists() and not Path(path).parent.exists()


def fetch(name: str) -> Path:
    """The local copy of a model's repository "owner/name", downloaded unless it is there: configuration and weights.

    Raises CheckpointError without the package, without network, or if there is no such repository.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError:
        raise CheckpointError(
            f"there is no folder {name}, and to load it from the hub takes: pip install huggingface-hub"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=WANTED))
    except GatedRepoError:
        raise CheckpointError(f"{name} is shown on the hub to those alone whom its owner lets in; ask there") from None
    except RepositoryNotFoundError:
        raise CheckpointError(f"there is neither a folder {name} nor a repository of that name on the hub") from None
    except LocalEntryNotFoundError:
        raise CheckpointError(
            f"there is no folder {name}, and the hub cannot be reached: check the path or the network"
        ) from None
    except Exception as error:  # the hub and the network raise exceptions of many families
        raise CheckpointError(f"{name} cannot be loaded from the hub: {' '.join(str(error).split())}") from error
