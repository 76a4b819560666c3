"""Encoder and generator invert each other although no loss compares images, and the encoder is a distribution.

What is measured, and the ablation, are those of the experiment `bigan`; `deviation` is that of an image's codes about
their mean, which is 0 for an encoder that is a function. The networks are fully connected, and small for their time.
"""

from isthmus.experiments.bigan import measure
from isthmus.experiments.experiment import Bar, Experiment, Training

EXPERIMENTS = (
    Experiment(
        name="ali",
        claim="MNIST digits are found back through a code that is drawn, although no loss compares two images",
        training=Training(
            model="ali",
            data={"data": ("mnist",)},
            options={
                "network": "mlp",
                "latent": 16,
                "hidden": 512,
                "units": 240,
                "hidden_dropout": 0.2,
                "lr": 2e-4,
            },
            run={"steps": 7000, "batch_size": 64, "average": 0.995},
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
