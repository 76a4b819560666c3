"""Models with random weights in run folders, small enough to be made for every test."""

from __future__ import annotations

from pathlib import Path

import torch

from isthmus.core import Spec
from isthmus.models.autoencoders.vae import VAE
from isthmus.models.bridges.latent_bridge import LatentBridge
from isthmus.training.checkpoint import save_model

WIDE = Spec(3, 16, 24, ("cat", "dog"), "folder:wide")
TALL = Spec(1, 20, 12, (), "folder:tall")


def tiny_vae(spec: Spec = WIDE, seed: int = 0) -> VAE:
    """A VAE whose codes do change its pictures, so that different pictures come out different."""
    torch.manual_seed(seed)
    vae = VAE(latent=4, hidden=16).build(spec)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.mul_(3)
    return vae.eval()


def save_vae(folder: Path, spec: Spec = WIDE, **more: object) -> Path:
    save_model(tiny_vae(spec), folder, **more)
    return folder


def save_bridge(folder: Path, a: Spec = WIDE, b: Spec = TALL, **more: object) -> Path:
    bridge = LatentBridge(a=tiny_vae(a, 1), b=tiny_vae(b, 2), hidden=8, layers=1)
    torch.manual_seed(3)
    save_model(bridge.build(a, b), folder, **more)
    return folder
