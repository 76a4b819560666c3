"""What a file of weights tells beside them: how far its model was trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from isthmus.core import Spec
from isthmus.data.options import DataOptions
from isthmus.models.autoencoders.vae import VAE
from isthmus.models.bridges.latent_bridge import LatentBridge
from isthmus.training.checkpoint import load_model, load_weights, save_model, weights
from isthmus.training.options import RunOptions
from isthmus.training.run import resume, train


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_each_checkpoint_says_how_far_it_was_trained(average: float, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = RunOptions(
        out=run, steps=8, checkpoint_every=2, keep=9, batch_size=8, average=average, threads=1, accelerator="cpu"
    )
    train(VAE(latent=2, hidden=8), DataOptions(data=("digits:0-1",)), options)
    steps = sorted(path.name for path in (run / "checkpoints").glob("step-*"))
    assert [load_model(run, name).progress for name in steps] == [0, 0.25, 0.5, 0.75, 1]
    assert load_model(run).progress == 1
    assert load_model(run, "best").progress in (0.25, 0.5, 0.75, 1)
    resume(run, steps=16)
    assert load_model(run).progress == 1
    assert load_model(run, "step-00000010").progress == 10 / 16


def test_a_run_that_was_stopped_early_is_as_far_as_it_came(tmp_path: Path) -> None:
    options = RunOptions(out=tmp_path / "run", steps=10**6, minutes=0.002, batch_size=8, threads=1, accelerator="cpu")
    train(VAE(latent=2, hidden=8), DataOptions(data=("digits:0-1",)), options)
    assert 0 < load_model(tmp_path / "run").progress < 0.01


def test_models_inside_a_model_keep_theirs(tmp_path: Path) -> None:
    spec = Spec(1, 4, 4)
    a, b = (VAE(latent=2, hidden=4).build(spec) for _ in range(2))
    a.progress, b.progress = 1.0, 0.5
    bridge = LatentBridge(a=a, b=b, hidden=4, layers=1).build(spec, spec)
    bridge.progress = 0.25
    save_model(bridge, tmp_path / "bridge")
    again = load_model(tmp_path / "bridge")
    assert isinstance(again, LatentBridge)
    assert (again.progress, again.a.progress, again.b.progress) == (0.25, 1, 0.5)  # type: ignore[attr-defined]
    assert weights(again) == weights(bridge)


def test_weights_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """They say nothing, and leave the model as it is."""
    model, other = (VAE(latent=2, hidden=4).build(Spec(1, 4, 4)) for _ in range(2))
    (tmp_path / "new").write_bytes(weights(model))
    save_file(load_file(tmp_path / "new"), tmp_path / "old")
    other.progress = 0.75
    load_weights(other, tmp_path / "old")
    assert other.progress == 0.75
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), other.parameters(), strict=True))
