"""The first adversarial game covers all classes, and its discriminator finds the ratio of densities.

A judge that was trained on real digits says what class each of 10,000 draws shows, and how sure it is. That the best
discriminator is p / (p + q) (proposition 1) is shown by one that learns to tell two Gaussians on a line apart; what it
is worth where they are one is -log 4. And why the generator does not minimise log(1 - D(G(z))), as the minimax game
would have it: against a discriminator that is ahead, its gradient is next to nothing. That is the control, taken with
a discriminator that learned from the images of a generator that did not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.core import Model, Spec
    from isthmus.data.images import Images

DRAWS, SURE = 10_000, 0.9


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """The rarest class of the draws, how far a discriminator is from the best, and how small gradients become."""
    import torch

    from isthmus.evaluation.judge import judge

    eye = judge(train[0], test[0])
    parts = [eye(model.sample(500)).softmax(1).max(1) for _ in range(DRAWS // 500)]
    sure, label = (torch.cat(columns) for columns in zip(*parts, strict=True))
    shares = label.bincount(minlength=len(test[0].spec.classes)) / DRAWS
    return {
        "drawn": {
            "rarest_class": shares.min().item(),
            "sure": (sure > SURE).float().mean().item(),
            "judge": eye.accuracy,
        },
        "optimum": optimum(model),
        "gradient": gradients(model, train[0]),
    }


def fresh(model: Model, spec: Spec, **changes: Any) -> Any:
    """An untrained model of the same kind for images of that form."""
    return type(model)(**{**model.config(), **changes}).build(spec)


def optimum(model: Model) -> Mapping[str, float]:
    """The largest error of D on a line where p = N(0.3, 0.25^2) and q = N(-0.2, 0.4^2), and the value where p = q."""
    import torch
    from torch.distributions import Normal

    from isthmus.core import Spec

    found = {}
    p, apart = Normal(0.3, 0.25), Normal(-0.2, 0.4)
    for name, q in (("apart", apart), ("equal", p)):
        game = fresh(model, Spec(1, 1, 1), network="mlp", hidden=64, norm="none", generator_norm="none")
        teach(game, lambda n, q=q: (p.sample((n, 1, 1, 1)), q.sample((n, 1, 1, 1))), steps=1000, batch=512, lr=3e-3)
        if name == "apart":
            x = torch.linspace(-1.0, 0.9, 500)
            best = 1 / (1 + (q.log_prob(x) - p.log_prob(x)).exp())
            found["largest_error"] = (game.discriminator(x.view(-1, 1, 1, 1)).sigmoid().flatten() - best).abs().max()
        else:
            losses = game.discriminator_losses(p.sample((20_000, 1, 1, 1)), p.sample((20_000, 1, 1, 1)))
            found["value_of_equals"] = -sum(losses.values())
    return {name: value.item() for name, value in found.items()}


def teach(game: Any, draw: Any, steps: int, batch: int, lr: float) -> None:
    """Let the discriminator alone learn from pairs of real and generated images."""
    import torch

    optimizer = torch.optim.Adam(game.discriminator.parameters(), lr=lr, fused=True)
    with torch.enable_grad():
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
            optimizer.zero_grad()
            sum(game.discriminator_losses(*draw(batch)).values()).backward()
            optimizer.step()


def gradients(model: Model, train: Images) -> Mapping[str, float]:
    """The norm of the minimax generator's gradient, as a share of the other's, when the discriminator is ahead."""
    import torch

    from isthmus.losses.adversarial import objective

    game = fresh(model, model.spec)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        return train.batch(torch.randint(len(train), (n,))).image, game.sample(n)

    teach(game, draw, steps=200, batch=100, lr=1e-3)
    norms = []
    with torch.enable_grad():
        for name in ("minimax", "non-saturating"):
            torch.manual_seed(0)
            loss = objective(name).generator(game.judge(game.sample(500)))
            found = torch.autograd.grad(loss, list(game.generator.parameters()))
            norms.append(torch.cat([g.flatten() for g in found]).norm().item())
    return {"minimax_share": norms[0] / norms[1]}


EXPERIMENTS = (
    Experiment(
        name="gan",
        claim="all ten classes of MNIST are drawn, D is p / (p + q), and the minimax generator has no gradient",
        training=Training(
            model="gan",
            data={"data": ("mnist",), "size": "16"},
            options={
                "network": "conv",
                "latent": 10,
                "features": 32,
                "norm": "batch",
                "generator_norm": "batch",
                "lr": 1e-3,
            },
            run={"steps": 6000, "batch_size": 64, "average": 0.995},
        ),
        bars=(
            Bar("drawn/rarest_class", at_least=0.03),
            Bar("drawn/sure", at_least=0.7),
            Bar("optimum/largest_error", at_most=0.08),
            Bar("gradient/minimax_share", at_most=0.01),
        ),
        measure=measure,
        groups=("samples",),
    ),
)
