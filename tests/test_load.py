"""Trained models from folders and from the hub, and saved again: damage is explained, and nothing is unpickled."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import isthmus
from isthmus.apps import hub
from isthmus.apps.trained import Trained
from isthmus.errors import CheckpointError, ConfigError, IsthmusError, OutputError
from isthmus.training.checkpoint import weights
from tiny_models import TALL, one_sentence, save_bridge, save_vae, tiny_vae

SOURCE = Path(isthmus.__file__).parent


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    save_vae(root / "vae")
    save_bridge(root / "bridge")
    return root


@pytest.fixture(scope="module")
def vae(folders: Path) -> Trained:
    return isthmus.load(folders / "vae")


@pytest.fixture(scope="module")
def bridge(folders: Path) -> Trained:
    return isthmus.load(folders / "bridge")


# --- loading


def test_a_fresh_process_loads_and_uses_a_model_with_no_options(folders: Path, bridge: Trained) -> None:
    code = (
        "import sys, isthmus; assert 'torch' not in sys.modules\n"
        "import numpy as np\n"
        f"model = isthmus.load({str(folders / 'bridge')!r})\n"
        "image = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)\n"
        "print(model.translate(image, seed=7).ravel().tolist())"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    image = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)
    there, here = np.array(json.loads(run.stdout)), bridge.translate(image, seed=7).ravel().astype(int)
    assert np.abs(there - here).max() <= 1  # threads may round differently


def test_load_takes_text_and_home(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folders))
    assert isthmus.load(str(folders / "vae")).name == isthmus.load("~/vae").name == "vae"


def test_the_best_checkpoint_is_another_model(tmp_path: Path) -> None:
    folder = save_vae(tmp_path / "run")
    (folder / "checkpoints" / "best").mkdir(parents=True)
    (folder / "checkpoints" / "best" / "model.safetensors").write_bytes(weights(tiny_vae(seed=5)))
    image = torch.zeros(3, 16, 24)
    last, best = isthmus.load(folder), isthmus.load(folder, checkpoint="best")
    assert not torch.equal(last.encode(image), best.encode(image))
    assert torch.equal(best.encode(image), tiny_vae(seed=5).encode(image[None])[0])
    with pytest.raises(CheckpointError, match=r"worst.*best") as error:
        isthmus.load(folder, checkpoint="worst")
    one_sentence(error)


def newer(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format": 999, "isthmus": "9.9"}))


def foreign(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"_class_name": "SomethingElse"}))


def torn(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text[: len(text) // 2])


def truncated(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def of_another(folder: Path) -> None:
    other = save_vae(folder.parent / "other", TALL)
    (other / "model.safetensors").replace(folder / "model.safetensors")


def unknown_option(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["config"]["wings"] = 2
    (folder / "config.json").write_text(json.dumps(config))


def unknown_model(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model": "phlogiston"}))


def emptied(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def listed(folder: Path) -> None:
    (folder / "config.json").write_text("[1, 2]")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (newer, "newer"),
        (foreign, "SomethingElse"),
        (torn, "damaged"),
        (emptied, "no model"),
        (listed, "config.json"),
        (without_config, "config.json"),
        (without_weights, "isthmus resume"),
        (truncated, "cannot be read"),
        (of_another, "do not fit"),
        (unknown_option, "wings"),
        (unknown_model, "phlogiston"),
    ],
)
def test_a_damaged_folder_is_explained_in_one_sentence(damage, says: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = save_vae(tmp_path / "run")
    damage(folder)
    with pytest.raises(IsthmusError, match=says) as error:
        isthmus.load(folder)
    one_sentence(error)


def test_a_missing_folder_or_device_is_explained(tmp_path: Path, folders: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere") as error:
        isthmus.load(tmp_path / "nowhere")
    one_sentence(error)
    with pytest.raises(ConfigError, match="teapot") as unknown:
        isthmus.load(folders / "vae", device="teapot")
    one_sentence(unknown)


# --- the hub


HUB_ERRORS = ("RepositoryNotFoundError", "GatedRepoError", "LocalEntryNotFoundError")


def fake_hub(monkeypatch: pytest.MonkeyPatch, answer: Path | str | Exception) -> list[tuple[str, list[str]]]:
    """huggingface_hub without a network: it gives a folder, or raises an exception or its own error of that name."""
    asked: list[tuple[str, list[str]]] = []
    errors = types.ModuleType("huggingface_hub.errors")
    for name in HUB_ERRORS:
        setattr(errors, name, type(name, (OSError,), {}))

    def snapshot_download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        if isinstance(answer, Path):
            return str(answer)
        raise answer if isinstance(answer, Exception) else getattr(errors, answer)("a\nlong\nanswer")

    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    return asked


def test_a_hub_id_is_fetched_configuration_and_weights_alone(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_hub(monkeypatch, folders / "vae")
    assert isthmus.load("somebody/portraits").name == "vae"
    assert asked == [("somebody/portraits", ["config.json", "*.safetensors"])]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("RepositoryNotFoundError", "neither a folder somebody/portraits nor a repository"),
        ("LocalEntryNotFoundError", "the hub cannot be reached"),
        ("GatedRepoError", "its owner"),
        (ValueError("odd\nand long"), "somebody/portraits cannot be loaded from the hub: odd and long"),
    ],
)
def test_what_the_hub_refuses_is_explained(answer: str | Exception, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub(monkeypatch, answer)
    with pytest.raises(CheckpointError, match=says) as error:
        isthmus.load("somebody/portraits")
    one_sentence(error)


def test_the_errors_caught_are_those_of_the_hub_library() -> None:
    errors = pytest.importorskip("huggingface_hub.errors", reason="huggingface-hub is an optional extra")
    assert all(issubclass(getattr(errors, name), Exception) for name in HUB_ERRORS)


def test_without_the_hub_package_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match="pip install huggingface-hub") as error:
        isthmus.load("somebody/portraits")
    one_sentence(error)


def test_a_misspelt_run_folder_does_not_go_to_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert not hub.is_hub_id("runs/typo")
    assert not hub.is_hub_id("./runs/typo")
    assert not hub.is_hub_id("a/b/c")
    assert not hub.is_hub_id("alone")
    assert hub.is_hub_id("somebody/portraits-v1.0")


# --- saving


def test_a_saved_model_is_the_same_model(bridge: Trained, tmp_path: Path) -> None:
    bridge.save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    again = isthmus.load(tmp_path / "out")
    images = torch.rand(3, 3, 16, 24) * 2 - 1
    assert torch.equal(again.translate(images, seed=0), bridge.translate(images, seed=0))
    assert again.model.specs == bridge.model.specs
    with pytest.raises(OutputError, match="exists"):
        bridge.save(tmp_path / "out")


def test_saving_keeps_how_pictures_are_read_but_not_where_they_lay(tmp_path: Path) -> None:
    data = {"fit": "pad", "data_root": "/home/somebody"}
    run = save_vae(tmp_path / "run", data=data, run={"steps": 1}, made_with={"torch": "2"})
    isthmus.load(run).save(tmp_path / "out")
    again = isthmus.load(tmp_path / "out")
    assert again.fit == "pad"
    assert again.config["made_with"] == {"torch": "2"}
    assert "somebody" not in (tmp_path / "out" / "config.json").read_text()
    assert "run" not in again.config


def test_the_model_card_names_paper_data_and_use(bridge: Trained, vae: Trained, tmp_path: Path) -> None:
    bridge.save(tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text()
    for part in ("latent-bridge", "arXiv:1805.10130", "folder:wide", "24x16, 3 channels", 'load("mine")', "translate("):
        assert part in card
    assert "sample(" not in card
    vae.save(tmp_path / "other")
    assert "sample(" in (tmp_path / "other" / "README.md").read_text()


def test_a_place_that_cannot_be_written_is_an_output_error(vae: Trained, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as error:
        vae.save(tmp_path / "file" / "below")
    one_sentence(error)


# --- no pickle


def test_nothing_in_the_package_is_unpickled() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 20
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"pickle", "dill", "joblib", "cloudpickle", "shelve"} & set(names), f"{file} imports {names}"
            if not isinstance(node, ast.Call):
                continue
            settings = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if ast.unparse(node.func) == "torch.load":
                assert settings.get("weights_only") == "True", f"{file}:{node.lineno}"
            assert settings.get("allow_pickle") != "True", f"{file}:{node.lineno}"
