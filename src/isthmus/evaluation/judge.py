"""The judge: a small classifier trained on real images, which says what class an image shows.

It is trained once for each data set and kept, and is never part of a model it judges. Its accuracy on the real test
images belongs beside every figure that rests on it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor, nn

from isthmus.core import Spec
from isthmus.data.cache import root
from isthmus.data.images import Images
from isthmus.errors import DataError
from isthmus.nn.conv import halvings
from isthmus.training.checkpoint import write
from isthmus.training.log import Bar

VERSION = 1  # raised when the network or its training changes, so that judges kept from before are not used
WIDEST = 128  # channels
LARGEST = 32  # sides, in pixels, at which a judge looks at larger images: enough for classes, and affordable


@dataclass(frozen=True)
class Recipe:
    """How a judge is trained."""

    steps: int = 1000
    batch_size: int = 128
    lr: float = 3e-3
    features: int = 16  # channels at full size, doubled at each halving
    seed: int = 0


class Judge(nn.Module):
    """A LeNet of today: two convolutions with batch norm at each size, halved down to 4. [batch, C, H, W] -> logits."""

    accuracy: float  # on the real test images

    def __init__(self, spec: Spec, features: int) -> None:
        super().__init__()
        self.spec, self.width, self.accuracy = spec, features, float("nan")
        layers: list[nn.Module] = []
        inputs, width = spec.channels, features
        shrink = min(1.0, LARGEST / max(spec.height, spec.width))
        self.size = max(1, round(shrink * spec.height)), max(1, round(shrink * spec.width))
        *stages, (h, w) = halvings(*self.size)
        for _ in stages:
            layers += [*convolution(inputs, width), *convolution(width, width), nn.MaxPool2d(2, ceil_mode=True)]
            inputs, width = width, min(2 * width, WIDEST)
        self.trunk = nn.Sequential(*layers, *convolution(inputs, width), nn.Flatten())
        self.penultimate = nn.Sequential(nn.Linear(width * h * w, 128), nn.ReLU())
        self.head = nn.Linear(128, len(spec.classes))

    def features(self, image: Tensor) -> Tensor:
        """The penultimate layer: [batch, 128]."""
        image = image if image.shape[2:] == self.size else F.adaptive_avg_pool2d(image, self.size)
        return self.penultimate(self.trunk(image))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(F.dropout(self.features(image), 0.3, self.training))

    @torch.no_grad()
    def classify(self, image: Tensor) -> Tensor:
        """The most probable class of each image, int64 [batch]."""
        return torch.cat([self(part).argmax(1) for part in torch.split(image, 500)])


def convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def judge(train: Images, test: Images, recipe: Recipe | None = None) -> Judge:
    """The judge of a data set: trained on `train`, its accuracy measured on `test`; kept in the cache.

    Raises DataError if the images have no classes, or only one.
    """
    recipe = recipe or Recipe()
    if train.labels is None or len(train.spec.classes) < 2:
        raise DataError(f"a judge needs images of two classes at least; {train.spec.name} has none to tell apart")
    file = root() / "judges" / f"{identity(train, recipe)}.safetensors"
    state = torch.get_rng_state()
    torch.manual_seed(recipe.seed)
    made = Judge(train.spec, recipe.features)
    if file.exists():
        made.load_state_dict(load_file(file))
    else:
        teach(made, train, recipe)
        write(file, save(made.state_dict()))
    torch.set_rng_state(state)
    made.eval()
    made.accuracy = accuracy(made, test)
    return made


def identity(train: Images, recipe: Recipe) -> str:
    """A hash of all that a judge depends on: the data's pixels and labels, the recipe."""
    assert train.labels is not None
    stamp = hashlib.sha256(json.dumps([VERSION, asdict(recipe), asdict(train.spec)]).encode())
    stamp.update(train.pixels.contiguous().numpy().data)
    stamp.update(train.labels.numpy().data)
    return stamp.hexdigest()[:24]


@torch.enable_grad()
def teach(network: Judge, train: Images, recipe: Recipe) -> None:
    """Cross-entropy, Adam with a one-cycle rate, small random shifts."""
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=recipe.steps)
    shift = max(1, min(train.spec.height, train.spec.width) // 14)
    with Bar(f"judge of {train.spec.name}", recipe.steps, 0) as bar:
        for step in range(1, recipe.steps + 1):
            batch = train.batch(torch.randint(len(train), (recipe.batch_size,)))
            dy, dx = torch.randint(-shift, shift + 1, (2,)).tolist()
            loss = F.cross_entropy(network(batch.image.roll((dy, dx), (2, 3))), batch.label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 50 == 0 or step == recipe.steps:
                bar.update(step, {"cross-entropy": loss.item()}, 0)


def accuracy(network: Judge, data: Images) -> float:
    """The fraction of real images that the judge gets right."""
    assert data.labels is not None
    seen = [network.classify(data.batch(index).image) for index in torch.split(torch.arange(len(data)), 500)]
    return (torch.cat(seen) == data.labels).double().mean().item()
