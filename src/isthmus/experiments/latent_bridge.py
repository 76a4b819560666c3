"""The latent bridge carries classes across: the codes of two frozen autoencoders, joined by a small conditional GAN.

Ablations: a discriminator that does not see the source's code cannot ask for a match, so that the class is left to
chance; without the (source, noise) pair the generator may return its noise.
"""

from collections.abc import Mapping
from typing import Any

from isthmus.experiments.experiment import Bar, Experiment, Training

ABLATIONS: dict[str, dict[str, Any]] = {
    "no condition in D": {"conditional": False},
    "no noise pair": {"noise_pair": 0.0},
}
WAYS = ("a_to_b", "b_to_a")
OPTIONS = {"hidden": 256, "layers": 2, "lr": 1e-3, "penalty": 1.0}
STROKES = {"likelihood": "bernoulli", "latent": 20}
GREY = {"likelihood": "gaussian", "scale": 0.25, "latent": 10}
COLOUR = {"likelihood": "gaussian", "scale": 0.1, "latent": 128, "hidden": 1000, "lr": 5e-4}
ARTICLES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def autoencoder(data: str, seed: int, options: Mapping[str, object] = STROKES, steps: int = 4000) -> Training:
    return Training("vae", {"data": (data,)}, options, {"steps": steps, "batch_size": 128, "seed": seed})


def bridge(name: str, claim: str, a: Training, b: Training, pair: str, bar: Bar, steps: int = 4000) -> Experiment:
    data = {"data": (*a.data["data"], *b.data["data"]), "pair": pair}
    run = {"steps": steps, "batch_size": 128, "average": 0.999}
    return Experiment(
        name, claim, Training("latent-bridge", data, OPTIONS, run, {"a": a, "b": b}), (bar,), ABLATIONS, groups=WAYS
    )


DIGITS = {"latent": 16, "hidden": 256, "likelihood": "gaussian", "scale": 0.25}
SHORT = {"steps": 3000, "log_every": 25}

EXPERIMENTS = (
    Experiment(
        "bridge-digits",
        "scikit-learn's handwritten digits 0-4 become digits 5-9 in a minute; this is what isthmus demo runs",
        Training(
            "latent-bridge",
            {"data": ("digits:0-4", "digits:5-9"), "pair": "0=5,1=6,2=7,3=8,4=9"},
            OPTIONS,
            {"steps": 2000, "log_every": 25},
            {
                "a": Training("vae", {"data": ("digits:0-4",)}, DIGITS, SHORT),
                "b": Training("vae", {"data": ("digits:5-9",)}, DIGITS, {**SHORT, "seed": 1}),
            },
        ),
        (Bar("a_to_b/accuracy", at_least=0.90), Bar("b_to_a/accuracy", at_least=0.90)),
        ABLATIONS,
    ),
    bridge(
        "bridge-mnist",
        "MNIST digits 0-4 become digits 5-9",
        autoencoder("mnist:0-4", seed=0),
        autoencoder("mnist:5-9", seed=1),
        "0=5,1=6,2=7,3=8,4=9",
        Bar("a_to_b/accuracy", at_least=0.95, below="a_to_b/ceiling", points=0.03),
    ),
    bridge(
        "bridge-fashion",
        "MNIST digits become Fashion-MNIST articles, ten classes",
        autoencoder("mnist", seed=0),
        autoencoder("fashion-mnist", seed=1, options=GREY),
        ",".join(f"{digit}={article}" for digit, article in enumerate(ARTICLES)),
        Bar("a_to_b/accuracy", at_least=0.90, below="a_to_b/ceiling", points=0.05),
        steps=5000,
    ),
    bridge(
        "bridge-mnist-m",
        "coloured digits 1-4 on photographs (MNIST-M) become MNIST digits 6-9",
        autoencoder("mnist-m:1-4", seed=0, options=COLOUR, steps=2000),
        autoencoder("mnist:6-9", seed=1),
        "1=6,2=7,3=8,4=9",
        Bar("a_to_b/accuracy", at_least=0.80, below="a_to_b/ceiling", points=0.05),
    ),
)
