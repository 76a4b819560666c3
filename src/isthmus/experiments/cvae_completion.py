"""A code of its own lets a network complete a digit in many ways, where a deterministic one can but blur them.

From the lower left quadrant of binarised MNIST digits the other three are drawn. Figures are log-likelihoods of these
in nats for each image: of the deterministic baseline, which learns in the same run, and of the model, by Monte Carlo
with codes from the prior and by importance sampling with codes of the recognition network, 100 codes each. Both are
lower bounds on average. The gain is that of Monte Carlo over the baseline, which the ablation has too: it trains with
codes from the prior alone, without the recognition network, and learns to ignore them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images

CODES, IMAGES = 100, 2000  # codes for each image, and test images for which that many are drawn


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """Log-likelihoods of what is missing, in nats."""
    import torch

    images = [test[0].batch(index).image for index in torch.arange(IMAGES).split(500)]
    baseline = torch.cat([model.guess_log_prob(part) for part in images]).mean().item()
    drawn = torch.cat([model.conditional_log_prob(part, CODES) for part in images]).mean().item()
    weighed = torch.cat([model.conditional_log_prob(part, CODES, recognise=True) for part in images]).mean().item()
    nats = {"baseline": baseline, "monte_carlo": drawn, "importance": weighed, "gain": drawn - baseline}
    return {"missing": nats}


EXPERIMENTS = (
    Experiment(
        name="cvae-completion",
        claim="three quadrants of a digit from the fourth: more probable than to a deterministic network",
        training=Training(
            model="cvae-completion",
            data={"data": ("mnist",), "binarise": True},
            options={"quadrants": 1, "latent": 50, "hidden": 500},
            run={"steps": 4000, "batch_size": 100, "average": 0.99},
        ),
        bars=(Bar("missing/gain", at_least=15.0),),
        ablations={"codes from the prior in training": {"alpha": 0.0}},
        measure=measure,
    ),
)
