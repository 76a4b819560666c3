"""Do an encoder and a generator invert each other, where no loss compared images?"""

from __future__ import annotations

import torch

from isthmus.core import Autoencodes
from isthmus.core.operations import reconstruct
from isthmus.data.images import Images
from isthmus.errors import DataError
from isthmus.evaluation.parts import each


@torch.no_grad()
def reconstruction_ratio(model: Autoencodes, images: Images) -> float:
    """|x - G(E(x))| / |x' - G(E(x))|: how far reconstructions are from their images, over how far from others.

    Each is a mean over images of Euclidean distances of pixels, x' being the next image (as Donahue et al., 2017,
    arXiv:1605.09782, have it in their code). 0 is perfect; 1 if the code says nothing about the image.
    """
    if len(images) < 2:
        raise DataError(f"the ratio compares an image with another: it takes 2 images or more, got {len(images)}")
    x, rebuilt = (each(f, images, model.device) for f in (lambda b: b.image, lambda b: reconstruct(model, b.image)))
    own, other = ((y - rebuilt).flatten(1).norm(dim=1).mean() for y in (x, x.roll(-1, 0)))
    return (own / other).item()
