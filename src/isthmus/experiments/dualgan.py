"""Wasserstein critics and U-Nets that go there and back: digits become coloured ones without a pair to learn from.

One domain is MNIST, the other the same in blue on yellow; the sets are drawn independently of each other. The true
translation is known and never shown: a judge that was trained on real digits sees translations to grey as they are, and
those to colours after the known transform is undone. The ablation has the critics alone.
"""

from isthmus.experiments.cyclegan import measure
from isthmus.experiments.experiment import Bar, Experiment, Training

EXPERIMENTS = (
    Experiment(
        name="dualgan",
        claim="MNIST digits become blue on yellow, and these white on black, by U-Nets and Wasserstein critics",
        training=Training(
            model="dualgan",
            data={"data": ("mnist", "mnist-coloured")},
            options={"features": 16, "depth": 4, "patch": 2, "critic_steps": 2, "weight_clip": 0.1, "lr": 2e-4},
            run={"steps": 2000, "batch_size": 4},
        ),
        bars=(Bar("transform/kept", at_least=0.95),),
        ablations={"no way back": {"cycle": 0.0}},
        measure=measure,
        groups=("cycles",),
    ),
)
