"""The losses of every model's first five rounds, against tests/golden/NAME.json.

A change of code that is not meant to change numbers leaves these files as they are. One that is meant to writes them
anew with `pytest tests/test_golden.py --update-golden`, and says in the changelog, under "Numbers", which models now
train differently and why.

Losses of the first round agree within 1e-5 of their turn's scale, or of 1 where that is less: processors round sums of
another order differently in the last bits, and a term that is small beside its turn (a divergence near 0, say) is a
difference of larger numbers. Each round may differ ten times as much as the one before it: two players that answer each
other carry such bits further with every step. With another version of torch the files may have to be written anew; each
says which version wrote it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from isthmus.models.catalog import catalog
from tiny import built, trainer

FOLDER = Path(__file__).parent / "golden"
ROUNDS, TOLERANCE = 5, 1e-5


def played(name: str) -> list[dict[str, float]]:
    game = trainer(built(name).train(), batch_size=8)
    rounds = []
    for _ in range(ROUNDS):
        game.round()
        rounds.append(game.losses())
    return rounds


@pytest.mark.parametrize("name", catalog())
def test_losses_are_what_they_were(name: str, request: pytest.FixtureRequest) -> None:
    file, rounds = FOLDER / f"{name}.json", played(name)
    if request.config.getoption("--update-golden"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(json.dumps({"torch": torch.__version__, "rounds": rounds}, indent=1) + "\n")
    assert file.exists(), f"no golden losses of {name}: write them with pytest tests/test_golden.py --update-golden"
    golden = json.loads(file.read_text())
    for number, (now, then) in enumerate(zip(rounds, golden["rounds"], strict=True), start=1):
        assert now.keys() == then.keys(), f"round {number} of {name} has other loss terms"
        tolerance = TOLERANCE * 10 ** (number - 1)
        for term, value in now.items():
            player = term.split("/")[0]
            scale = sum(abs(loss) for key, loss in then.items() if key.split("/")[0] == player)
            assert value == pytest.approx(then[term], rel=tolerance, abs=tolerance * max(1.0, scale)), (
                f"round {number} of {name}: {term} was {then[term]} (torch {golden['torch']}), "
                f"is {value} (torch {torch.__version__})"
            )


def test_every_golden_file_has_its_model() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} <= catalog().keys()
