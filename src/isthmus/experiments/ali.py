"""Encoder and generator invert each other although no loss compares images, and the encoder is a distribution.

What is measured, and the ablation, are those of the experiment `bigan`; `deviation` is that of an image's codes about
their mean, which is 0 for an encoder that is a function. The digits are those of MNIST at 16x16; the networks are fully
connected and small for their time, and less is dropped out than in the paper.
"""

from isthmus.experiments.bigan import measure
from isthmus.experiments.experiment import Bar, Experiment, Training

EXPERIMENTS = (
    Experiment(
        name="ali",
        claim="MNIST digits are found back through a code that is drawn, although no loss compares two images",
        training=Training(
            model="ali",
            data={"data": ("mnist",), "size": "16"},
            options={
                "network": "mlp",
                "latent": 10,
                "hidden": 256,
                "units": 200,
                "dropout": 0.0,
                "hidden_dropout": 0.1,
                "lr": 1e-3,
            },
            run={"steps": 6000, "batch_size": 100, "average": 0.998},
        ),
        bars=(
            Bar("inversion/ratio", at_most=0.75),
            Bar("inversion/class_kept", at_least=0.60),
            Bar("codes/deviation", at_least=0.01),
        ),
        ablations={"code hidden from the discriminator": {"joint": False}},
        measure=measure,
        groups=("features",),
    ),
)
