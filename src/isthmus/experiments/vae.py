"""The variational autoencoder keeps sum against sum: log-likelihood over pixels, divergence over dimensions.

The ablation is the classic bug, the mean over the pixels against the sum over the dimensions, which is beta = 784: the
code dies (KL 0) and what remains is a model of independent pixels.
"""

from isthmus.experiments.experiment import Bar, Experiment, Training

EXPERIMENTS = (
    Experiment(
        name="vae",
        claim="the bound on binarised MNIST after twenty epochs, and the mean-over-pixels bug that kills the code",
        training=Training(
            model="vae",
            data={"data": ("mnist",), "binarise": True},
            options={"latent": 20, "hidden": 400},
            run={"epochs": 20, "batch_size": 100, "average": 0.999},
        ),
        bars=(Bar("likelihood/nats", at_least=-104.0),),
        ablations={"mean over pixels": {"beta": 784.0}},
        groups=("importance_weighted", "reconstruction"),
    ),
)
