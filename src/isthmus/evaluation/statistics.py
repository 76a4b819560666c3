"""Statistics of a data set in a file, to be kept, and shared where the images themselves cannot be.

It is pytorch-fid's .npz file of mean and covariance, with what made them beside it. An extractor that learnt from
images is small and lies in the file too, so that others can compare their images with these by the file alone.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isthmus.core import Spec
from isthmus.data.cache import Array
from isthmus.data.images import Images
from isthmus.errors import ConfigError, DataError
from isthmus.evaluation.features import AutoencoderFeatures, Extractor, JudgeFeatures, encoder, features_of
from isthmus.evaluation.frechet import Moments
from isthmus.evaluation.judge import Judge
from isthmus.evaluation.provenance import Provenance

SUFFIX, WEIGHTS = ".npz", "weights/"
Learnt = JudgeFeatures | AutoencoderFeatures


@dataclass(frozen=True, eq=False)
class Statistics:
    """Moments of features, whose provenance says of what and by which extractor; and the extractor, if it is small."""

    moments: Moments
    extractor: Extractor | None = None

    @classmethod
    def of(cls, images: Images, extractor: Extractor) -> Statistics:
        """Those of a data set."""
        told = {**Provenance.of(extractor, len(images)).to_dict(), "spec": asdict(images.spec)}
        return cls(Moments.of(features_of(extractor, images), **told), extractor)

    @property
    def spec(self) -> Spec | None:
        """That of the images; None where the file does not tell."""
        told = self.moments.provenance.get("spec")
        return spec_of(told) if told else None

    def check(self, extractor: Extractor) -> None:
        """Raise ConfigError if the file says that its features are another extractor's."""
        seen = {"extractor": extractor.name, "weights": extractor.weights, "resizer": extractor.resizer}
        told = {name: self.moments.provenance.get(name, value) for name, value in seen.items()}
        if told != seen:
            words = ("{extractor} (weights {weights}, resized: {resizer})".format(**made) for made in (told, seen))
            raise ConfigError("the statistics are of features of {}, and here images are seen by {}".format(*words))

    def save(self, path: Path) -> None:
        """Write the file. Raises OutputError where that cannot be done."""
        self.moments.save(path, **packed(self.extractor) if isinstance(self.extractor, Learnt) else {})

    @classmethod
    def load(cls, path: Path) -> Statistics:
        """Read such a file, or pytorch-fid's. Raises DataError for anything else."""
        moments = Moments.load(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(moments, unpacked(file) if "learnt" in file else None)
        except (KeyError, ValueError, TypeError, RuntimeError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} holds an extractor that cannot be read: {error}") from None


def packed(extractor: Learnt) -> dict[str, Any]:
    """A small extractor as arrays by name: what it takes to build its network, and the weights."""
    width = extractor.network.width if isinstance(extractor, JudgeFeatures) else None
    state = extractor.network.state_dict()
    weights = {WEIGHTS + name: value.numpy() for name, value in state.items()}
    return {"learnt": json.dumps({"spec": asdict(extractor.spec), "judge": width}), **weights}


def unpacked(arrays: Mapping[str, Array]) -> Learnt:
    """The extractor of such arrays."""
    told = json.loads(str(arrays["learnt"]))
    spec, width = spec_of(told["spec"]), told["judge"]
    state = {name.removeprefix(WEIGHTS): torch.from_numpy(arrays[name]) for name in arrays if name.startswith(WEIGHTS)}
    network = Judge(spec, width) if width else encoder(spec)
    network.load_state_dict(state)
    return JudgeFeatures(network.eval()) if isinstance(network, Judge) else AutoencoderFeatures(network, spec)


def spec_of(told: Mapping[str, Any]) -> Spec:
    return Spec(**{**told, "classes": tuple(told["classes"])})
