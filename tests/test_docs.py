"""What is written about the code is true: commands, links, generated parts, and what the checks run."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement

from isthmus.apps.cli import COMMANDS, command
from isthmus.apps.commands import data as data_command
from isthmus.apps.commands import train as train_command
from isthmus.apps.options import command_line
from isthmus.apps.preset import Preset, take_option
from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError
from isthmus.experiments.experiment import experiments
from isthmus.experiments.run import summary
from isthmus.models.catalog import catalog, find

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]
README = (ROOT / "README.md").read_text()
TRAINING = (ROOT / "docs/training.md").read_text()


def module(name: str, file: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, file)
    assert specification is not None
    assert specification.loader is not None
    made = importlib.util.module_from_spec(specification)
    sys.modules[name] = made
    specification.loader.exec_module(made)
    return made


@functools.cache
def builder() -> ModuleType:
    return module("docs_build", ROOT / "docs/build.py")


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> Iterator[Any]:
    for page in PAGES:
        for line in "".join(blocks(page.read_text(), "bash")).replace("\\\n", "").splitlines():
            words = shlex.split(line.removeprefix("uv run "), comments=True)
            if words[:1] == ["isthmus"]:
                yield pytest.param(words[1:], id=f"{page.stem}: {' '.join(words[1:4])}")


def test_generated_parts_are_up_to_date() -> None:
    assert builder().build(write=False) == [], "run python docs/build.py"


def test_every_card_has_its_model() -> None:
    assert {file.stem for file in (ROOT / "docs/models").glob("*.md")} == {"index", *catalog()}


@pytest.mark.parametrize("words", [*commands()])
def test_commands_that_are_shown_are_understood(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the parsers of the commands themselves, which stop here before any work begins."""
    name, *arguments = words
    (tmp_path / "vae.toml").write_text(blocks(TRAINING, "toml")[0])
    monkeypatch.chdir(tmp_path)
    if name == "train":
        file, arguments = take_option(arguments, "--config")
        preset = Preset.read(Path(file) if file else None)
        model = preset.model or arguments.pop(0)
        train_command.parse(find(model), arguments, preset)
    elif name == "estimate":
        preset = Preset.read(None)
        preset.run["out"] = "nowhere"
        train_command.parse(find(arguments[0]), arguments[1:], preset, prog=name)
    elif name == "data":
        assert arguments[0] == "check"
        only_parse(data_command.check, arguments[1:])
    else:
        assert name in COMMANDS
        only_parse(getattr(importlib.import_module(f"isthmus.apps.commands.{name}"), name), arguments)


def only_parse(function: Any, arguments: list[str]) -> None:
    @functools.wraps(function)
    def nothing(*_: Any, **__: Any) -> None:
        pass

    command_line(nothing, arguments)


def test_a_command_that_does_not_exist_would_be_found_out() -> None:
    with pytest.raises((SystemExit, ConfigError)):
        only_parse(
            importlib.import_module("isthmus.apps.commands.sample").sample, ["runs/a", "--out", "x", "--no-such"]
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_in_the_text_exist(page: Path) -> None:
    named = set(re.findall(r"`isthmus ([a-z]+)", page.read_text()))
    assert named <= COMMANDS.keys()


def test_every_command_of_the_overview_exists() -> None:
    assert all(callable(command(name)) for name in COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    inside = [target.partition("#")[0] for target in targets if not re.match(r"https?://|#", target)]
    assert [target for target in inside if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_examples_compile(page: Path) -> None:
    for block in blocks(page.read_text(), "python"):
        compile(block, str(page), "exec")


def test_the_model_of_the_guide_plays_its_turns(tmp_path: Path) -> None:
    (tmp_path / "gan.py").write_text(blocks(TRAINING, "python")[0])
    model = module("guide", tmp_path / "gan.py").GAN(latent=4, features=4).build(Spec(1, 12, 10))
    turns = list(model.turns(iter([Batch(torch.zeros(3, 1, 12, 10))])))
    assert [turn.player for turn in turns] == list(model.players())
    assert all(turn.total.isfinite() for turn in turns)
    assert model.sample(2).shape == (2, 1, 12, 10)


def test_the_readme_gives_the_two_commands_alone() -> None:
    section = README.split("## Try it")[1].split("\n## ")[0]
    assert blocks(section, "bash") == ["uv run isthmus demo\n", "uv run pytest -n auto --dist loadfile\n"]


def test_the_checks_run_the_readmes_tests() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    (reading,) = [line for line in lines if "pytest" in line]
    assert reading.startswith("tests=\"$(grep -x 'uv run pytest.*' README.md)\"")
    assert lines[-1] == 'bash -c "$tests"'
    assert re.findall(r"^uv run pytest.*$", README, re.MULTILINE) == ["uv run pytest -n auto --dist loadfile"]


def test_pinned_versions_are_names_and_numbers_that_fit() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==[a-z0-9.+!]+", line) for line in lines)
    pinned = dict(line.split("==") for line in lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for wanted in map(Requirement, project["project"]["dependencies"] + project["dependency-groups"]["dev"]):
        name = wanted.name.lower().replace("_", "-")
        assert wanted.specifier.contains(pinned[name]), f"renew requirements.lock: {wanted}"


FORBIDDEN = (r"/work\b/", r"/root\b/", r"shared\b/data", r"pypi\.org", r"pythonhosted\.org", r"download\.pytorch\.org")


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listing, capture_output=True, text=True)
    if found.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, found.stdout.split("\0")):
        file = ROOT / name
        if name.startswith(".ci/") or not file.is_file():  # .ci/ looks for data beside the checkout
            continue
        text = file.read_bytes().decode(errors="replace")
        assert not [pattern for pattern in FORBIDDEN if re.search(pattern, text)], name


def record() -> dict[str, Any]:
    """The result of an experiment with simple figures, as the experiments write it."""
    experiment = experiments()["bridge-digits"]
    runs = [run(variant, seed) for seed in (0, 1, 2) for variant in ("full", *experiment.ablations)]
    return json.loads(json.dumps(summary(experiment, runs)))


def run(variant: str, seed: int) -> dict[str, Any]:
    level = 0.95 if variant == "full" else 0.25
    return {
        "variant": variant,
        "seed": seed,
        "figures": {"a_to_b/accuracy": level + seed / 100, "b_to_a/accuracy": level, "a_to_b/images": 1800.0},
        "training_cpu_seconds": 60.0,
        "parts_cpu_seconds": 90.0,
        "wall_seconds": 100.0,
        "made_with": {"commit": "abc123", "machine": "2 cores", "date": "2026-01-02"},
    }


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(builder(), "RESULTS", tmp_path)
    return tmp_path


def test_the_scoreboard_shows_a_result(results: Path) -> None:
    (results / "bridge-digits.json").write_text(json.dumps(record()))
    *_, line = builder().scoreboard().splitlines()
    cells = [cell.strip() for cell in line.strip("|").split(" | ")]
    assert cells[0] == "bridge-digits"
    assert cells[3] == "a_to_b/accuracy 0.96, b_to_a/accuracy 0.95"
    assert cells[4] == "a_to_b/accuracy ≥ 0.9; b_to_a/accuracy ≥ 0.9"
    assert "no noise pair: a_to_b/accuracy 0.26, b_to_a/accuracy 0.25" in cells[5]
    assert cells[6:] == ["3", "1.0 + 1.5 for its parts", "abc123", "2 cores", "2026-01-02", "pass"]


def test_a_card_shows_every_figure_of_every_variant(results: Path) -> None:
    (results / "bridge-digits.json").write_text(json.dumps(record()))
    text = builder().results("latent-bridge")
    assert "| median (range) | full | no condition in D | no noise pair |" in text
    assert "| a_to_b/accuracy | 0.96 (0.95 to 0.97) | 0.26 (0.25 to 0.27) | 0.26 (0.25 to 0.27) |" in text
    assert "| a_to_b/images | 1,800 | 1,800 | 1,800 |" in text
    assert "| **meets the bar** | yes | no | no |" in text
    assert "`bridge-mnist` has no published result yet" in text
    assert ".png" not in text
    (results / "bridge-digits.png").write_bytes(b"a picture")
    assert "](../results/bridge-digits.png)" in builder().results("latent-bridge")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"bars": ["a_to_b/accuracy ≥ 0.1"]}, "another bar"), ({"variants": {}}, "other ablations")],
)
def test_a_result_that_does_not_fit_the_code_is_refused(results: Path, change: dict[str, Any], message: str) -> None:
    (results / "bridge-digits.json").write_text(json.dumps(record() | change))
    with pytest.raises(ValueError, match=message):
        builder().records()


def test_a_result_of_no_experiment_is_refused(results: Path) -> None:
    (results / "other.json").write_text(json.dumps(record()))
    with pytest.raises(ValueError, match="no experiment called other"):
        builder().records()


def test_a_part_is_replaced_where_it_stands_once() -> None:
    assert builder().filled("<!-- x -->\nold\n<!-- /x -->", "x", "new") == "<!-- x -->\n\nnew\n\n<!-- /x -->"
    with pytest.raises(ValueError, match="0 times"):
        builder().filled("no marks", "x", "new")
