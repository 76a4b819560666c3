"""A run on duty: its model, what that can do, test images, figures."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from isthmus.apps.examples import examples
from isthmus.apps.hub import fetch, is_hub_id
from isthmus.apps.serve.limits import Refused
from isthmus.apps.serve.operations import OPERATIONS, Offer, offered
from isthmus.apps.serve.rows import ONE_AT_A_TIME
from isthmus.apps.trained import Trained, load
from isthmus.core import Spec
from isthmus.data.cache import Array
from isthmus.errors import IsthmusError
from isthmus.models.catalog import catalog
from isthmus.training.checkpoint import WEIGHTS, read_config
from isthmus.training.folder import FIGURES

EXAMPLES = 12


class Duty:
    """A run folder that is served under a name."""

    def __init__(self, name: str, run: str, checkpoint: str = "last", device: str = "auto") -> None:
        self.name, self.run, self.checkpoint, self.device = name, run, checkpoint, device
        self.folder = fetch(run) if is_hub_id(run) else Path(run).expanduser()
        self.config = read_config(self.folder)
        self.trained: Trained | None = None
        self.offers: Mapping[str, Offer] = {}  # what can be asked of it
        self.pictures: dict[str, list[Array]] = {}
        self.lock = Lock()
        self.wake()

    def wake(self) -> bool:
        """Load the model if that has not been done; a run that is being trained may have no weights yet."""
        with self.lock:
            if self.trained is None and not self.unborn():
                trained = load(self.folder, self.checkpoint, self.device)
                with ONE_AT_A_TIME:  # it draws, to see what that is like
                    self.offers = offered(trained)
                self.trained = trained
        return self.trained is not None

    def unborn(self) -> bool:
        """Whether it is a run that has no weights yet."""
        return "run" in self.config and not (self.folder / WEIGHTS).exists()

    def ready(self) -> Trained:
        """The model. Raises Refused while there is none."""
        if self.trained is None:
            raise Refused(409, f"{self.name} has no weights yet, it is still being trained; look at its training")
        return self.trained

    def offer(self, operation: str) -> Offer:
        """The choices of an operation. Raises CapabilityError if the model cannot do it."""
        if operation not in self.offers:
            known = OPERATIONS[operation]
            raise self.ready().unable(known.capability, known.verb)
        return self.offers[operation]

    def describe(self) -> dict[str, Any]:
        """Who made what the run holds."""
        kind = self.trained.name if self.trained else self.config["model"]
        entry = catalog().get(kind)
        paper = entry and {key: getattr(entry, key) for key in ("title", "authors", "year", "arxiv")}
        domains = {letter: about(spec) for letter, spec in self.trained.domains.items()} if self.trained else {}
        return {
            "name": self.name,
            "model": kind,
            "paper": paper,
            "ready": self.trained is not None,
            "domains": domains,
            "operations": self.offers,
            "figures": self.figures(),
        }

    def figures(self) -> dict[str, dict[str, float]]:
        """What `isthmus evaluate` found: numbers by group and name."""
        try:
            found = json.loads((self.folder / FIGURES).read_text())
        except (OSError, ValueError):
            return {}
        groups = {name: group for name, group in found.items() if isinstance(group, dict)}
        return {
            title: {name: value for name, value in group.items() if is_number(value)} for title, group in groups.items()
        }

    def examples(self, domain: str) -> list[Array]:
        """Some test images of a domain; none where the data are not here."""
        trained = self.ready()
        if domain not in trained.domains:
            raise Refused(404, f"{self.name} has no domain {domain!r}; its domains are {', '.join(trained.domains)}")
        with self.lock:
            if domain not in self.pictures:
                place = [*trained.domains].index(domain)
                try:
                    found, _ = examples(trained, str(self.folder), EXAMPLES, 0, place)
                except (IsthmusError, OSError):
                    found = {}
                self.pictures[domain] = [*found.values()]
            return self.pictures[domain]


def about(spec: Spec) -> dict[str, Any]:
    """A domain as the service describes it."""
    return {
        "data": spec.name,
        "channels": spec.channels,
        "height": spec.height,
        "width": spec.width,
        "classes": list(spec.classes),
        "rate": spec.rate,
    }


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def on_duty(runs: Sequence[str], checkpoint: str = "last", device: str = "auto") -> dict[str, Duty]:
    """The runs by their names, which are those of their folders, numbered where two are the same."""
    counts: Counter[str] = Counter()
    found: dict[str, Duty] = {}
    for run in runs:
        plain = Path(run).expanduser().resolve().name or "model"
        counts[plain] += 1
        name = plain if counts[plain] == 1 else f"{plain}-{counts[plain]}"
        found[name] = Duty(name, run, checkpoint, device)
    return found
