"""Unsupervised Cross-Domain Image Generation: the Classifier. Taigman et al., 2017. arXiv:1611.02200.

The network f of section 5.1, a classifier of the source domain with four convolutions for images of 32 pixels, and
more for larger ones. The last sees all of the map, and what it finds is what the domain transfer network builds upon.
It generates nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Classifies, Describes, Model, Player, Spec, Turn
from isthmus.nn.conv import halvings
from isthmus.nn.initialise import he
from isthmus.nn.labels import classes_of

__all__ = ["DTNClassifier"]


class DTNClassifier(Model, Classifies, Describes):
    """The source's classifier: -log p(class | x)."""

    features: int = 64  # maps of the first convolution; the next have two and four times as many, the last two times
    lr: float = 1e-3  # learning rate of Adam

    def __post_init__(self) -> None:
        self.positive("features", "lr")

    def networks(self, spec: Spec) -> None:
        layers: list[nn.Module] = []
        *larger, last = halvings(spec.height, spec.width)
        before = spec.channels
        for i in range(len(larger)):
            after = self.features << min(i, 2)
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.MaxPool2d(2, ceil_mode=True), nn.ReLU()]
            before = after
        layers += [nn.Conv2d(before, 2 * self.features, last), nn.ReLU(), nn.Flatten()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(2 * self.features, classes_of(spec))
        he(self.body)

    def players(self) -> dict[str, Player]:
        return {"classifier": Player(self.body, self.head, lr=self.lr)}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        yield Turn("classifier", {"class": F.cross_entropy(self.head(self.body(batch.image)).float(), batch.label)})

    def describe(self, image: Tensor) -> Tensor:
        """[batch, 2 features], the layer below the classes."""
        return self.body(image)

    def classify(self, image: Tensor) -> Tensor:
        return self.head(self.body(image)).float().log_softmax(1)
