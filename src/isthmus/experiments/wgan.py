"""The loss of the Wasserstein critic tells how good the images are.

At each checkpoint of the training the estimate of the distance, which is what the critic raised over the rounds before
it, is held against the Fréchet distance of draws from the test images, in the features of a judge of real digits.
They should fall together: their correlation is that of ranks. In the ablation nothing bounds the critic's weights, so
that what it raised is no distance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images

DRAWS, EVERY = 2000, 100


def trace(
    folder: Path, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """The rank correlation of estimate and Fréchet distance over the checkpoints, and both at the first and last."""
    import json
    from typing import Any

    from scipy.stats import spearmanr

    from isthmus.evaluation.features import JudgeFeatures, extract, features_of
    from isthmus.evaluation.frechet import frechet_distance
    from isthmus.evaluation.judge import judge
    from isthmus.training.checkpoint import load_model

    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    losses = {row["step"]: row for row in rows if "critic/real" in row}
    eye = JudgeFeatures(judge(train[0], test[0]))
    real = features_of(eye, test[0])
    estimates, distances = [], []
    for step in range(EVERY, max(losses) + 1, EVERY):
        model: Any = load_model(folder, f"step-{step:08d}")
        distances.append(frechet_distance(real, extract(eye, (model.sample(500) for _ in range(DRAWS // 500)))))
        estimates.append(-losses[step]["critic/real"] - losses[step]["critic/fake"])
    return {
        "loss": {
            "rank_correlation": float(spearmanr(estimates, distances).statistic),
            "first": estimates[0],
            "last": estimates[-1],
        },
        "frechet": {"first": distances[0], "last": distances[-1]},
    }


STEPS = 1200

EXPERIMENTS = (
    Experiment(
        name="wgan",
        claim="on MNIST the critic's loss falls with the distance of the images from real ones",
        training=Training(
            model="wgan",
            data={"data": ("mnist",)},
            options={"features": 16, "first_steps": 25, "lr": 2e-4},
            run={
                "steps": STEPS,
                "batch_size": 64,
                "log_every": EVERY,
                "checkpoint_every": EVERY,
                "keep": STEPS // EVERY,
            },
        ),
        bars=(Bar("loss/rank_correlation", at_least=0.8),),
        ablations={"weights not clipped": {"weight_clip": 1e6}},
        trace=trace,
        groups=("samples",),
    ),
)
