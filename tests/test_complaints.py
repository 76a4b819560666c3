"""What users of such toolkits have complained of for years, each gone. The others have files of their own:

resume (test_resume), one image or folder without retyping options (test_use_commands), channels, bit depths and sizes
(test_forms, test_data_read), images without contrast (test_conformance), two processes (test_distributed), NaN that
trains on (test_run), layouts, leaks between splits and silent mistakes with data (test_data_folders, test_data_check),
and all of it once for translators (test_translate_end_to_end).
"""

import json
import subprocess
import sys

from isthmus.data.options import DataOptions
from isthmus.models.autoencoders.vae import VAE
from isthmus.training.options import RunOptions
from isthmus.training.run import train

ALONE = """
import sys
for name in ("wandb", "diffusers", "datasets", "huggingface_hub", "torchvision", "visdom", "cv2", "tensorboard", "av"):
    sys.modules[name] = None  # importing it fails
from isthmus.apps.cli import main
sys.exit(main(sys.argv[1:]))
"""


def isthmus(*arguments, cwd):
    command = [sys.executable, "-c", ALONE, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200)


def test_no_extra_no_logger_and_no_network_is_needed(tmp_path):
    """Dependency rot and logger services in the way: only the core is needed, and the run logs by itself."""
    trained = isthmus(
        "train", "vae", "--data", "digits:0-1", "--out", "run", "--steps", 20, "--latent", 2, cwd=tmp_path
    )
    assert trained.returncode == 0, trained.stderr
    drawn = isthmus("sample", "run", "--out", "samples.png", "-n", 4, cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "samples.png").stat().st_size > 100
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 20


def test_weights_and_biases_gets_every_row_when_asked(tmp_path, monkeypatch):
    class Fake:
        def init(self, **settings):
            self.settings, self.rows = settings, []
            return self

        def log(self, values, step):
            self.rows.append((step, values))

        def finish(self):
            self.finished = True

    fake = Fake()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    options = RunOptions(out=tmp_path / "run", steps=20, log_every=10, sample_every=0, wandb="project")
    train(VAE(latent=2, hidden=8), DataOptions(data=("digits:0-1",)), options)
    assert fake.settings["project"] == "project"
    assert [step for step, values in fake.rows if "vae/kl" in values] == [10, 20]
    assert fake.finished
