"""What makes an autoencoder this model: no prior, no noise, a bottleneck, principal components where linear."""

from __future__ import annotations

import pytest
import torch

from isthmus.core import Batch, Samples, Spec
from isthmus.errors import ConfigError
from isthmus.models.autoencoders.ae import AE


def built(**options: object) -> AE:
    torch.manual_seed(0)
    return AE(**{"latent": 3, "hidden": 16, "layers": 2} | options).build(Spec(1, 4, 5))  # type: ignore[arg-type]


def test_neither_code_nor_reconstruction_is_random() -> None:
    model, x = built().train(), torch.rand(6, 1, 4, 5) * 2 - 1
    first, second = (next(model.turns(iter([Batch(x)]))).total for _ in range(2))
    assert torch.equal(first, second)
    assert not isinstance(model, Samples)


def test_the_loss_is_the_mean_squared_error_of_pixels_in_0_to_1() -> None:
    model, x = built(), torch.rand(6, 1, 4, 5) * 2 - 1
    turn = next(model.turns(iter([Batch(x)])))
    assert [*turn.losses] == ["reconstruction"]
    expected = ((model.decode(model.encode(x)) - x) / 2).square().mean()
    assert turn.total.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_code_as_large_as_the_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="smaller than the image, which has 20 values"):
        built(latent=20)


def test_the_linear_model_finds_principal_components() -> None:
    torch.manual_seed(0)
    x = (torch.randn(200, 3) @ torch.randn(3, 20) * 0.1 + 0.02 * torch.randn(200, 20)).clamp(-1, 1).view(-1, 1, 4, 5)
    model = built(linear=True, latent=2)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2000, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = next(model.turns(iter([Batch(x)]))).total
        loss.backward()
        return loss

    optimizer.step(closure)
    loss = closure()
    pixels = (x.flatten(1) + 1) / 2
    rest = torch.linalg.svdvals(pixels - pixels.mean(0))[2:].square().sum() / pixels.numel()
    assert loss.item() == pytest.approx(rest.item(), rel=0.03)
    assert loss.item() > 0.999 * rest.item(), "better than the best"
