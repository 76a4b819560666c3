"""Requests of many clients at once, with batches and without: latency, images per second, answers wrong or lost.

Each contender is `isthmus serve` in a process of its own, at a port of this machine, its weights untrained. Clients ask
one after the other, each for a picture of a seed of its own choice; what a seed gives is asked for before, when nobody
else is there, and an answer that differs from that in any byte is counted as wrong.

    bridge    two autoencoders of dense layers and the bridge between them, which reads many weights for each picture
    pixels    an autoregressive model, which draws pixel by pixel
    cyclegan  a convolutional translator, which keeps a processor busy by itself

    python benchmarks/serving.py [--models bridge pixels cyclegan] [--seconds 30] [--clients 16] [--json FILE]
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np
import torch
from PIL import Image

from isthmus.core import Model, Spec
from isthmus.models.autoencoders.vae import VAE
from isthmus.models.autoregressive.gated_pixelcnn import GatedPixelCNN
from isthmus.models.bridges.latent_bridge import LatentBridge
from isthmus.models.translation.cyclegan import CycleGAN
from isthmus.training.checkpoint import save_model

SEEDS = 32  # that are asked for
BATCH = 16


def bridge() -> tuple[Model, str]:
    spec = Spec(3, 32, 32)
    ends = [VAE(latent=64, hidden=2048).build(spec) for _ in range(2)]
    return LatentBridge(a=ends[0], b=ends[1], hidden=1024).build(spec, spec), "translate"


def pixels() -> tuple[Model, str]:
    return GatedPixelCNN(features=16, layers=4).build(Spec(1, 14, 14)), "generate"


def cyclegan() -> tuple[Model, str]:
    spec = Spec(3, 64, 64)
    return CycleGAN(features=16).build(spec, spec), "translate"


MODELS: Mapping[str, Callable[[], tuple[Model, str]]] = {"bridge": bridge, "pixels": pixels, "cyclegan": cyclegan}


@contextmanager
def service(run: Path, batch: int, threads: int) -> Iterator[tuple[str, int]]:
    """Host and port of `isthmus serve`."""
    program = [sys.executable, "-m", "isthmus", "serve", str(run), "--port", "0"]
    arguments = ["--batch", str(batch), "--threads", str(threads), "--queue", "1000", "--device", "cpu"]
    process = subprocess.Popen([*program, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        host, port = line.split("http://")[1].split("/")[0].split(":")
        yield host, int(port)
    finally:
        process.terminate()
        process.wait(20)


class Client:
    """Asks for the picture of a seed, over one connection."""

    def __init__(self, place: tuple[str, int], operation: str) -> None:
        self.connection = http.client.HTTPConnection(*place, timeout=120)
        self.address, self.fields = f"/api/models/run/{operation}", dict[str, Any]()
        if operation == "translate":
            file = io.BytesIO()
            noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(noise).save(file, "PNG")
            self.fields = {"image": base64.b64encode(file.getvalue()).decode()}

    def ask(self, seed: int) -> bytes:
        body = json.dumps({**self.fields, "seed": seed})
        self.connection.request("POST", self.address, body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise ConnectionError(content.decode())
        return content


def load(place: tuple[str, int], operation: str, clients: int, seconds: float) -> dict[str, Any]:
    """What many clients see."""
    quiet = Client(place, operation)
    expected = [quiet.ask(seed) for seed in range(SEEDS)]
    times: list[float] = []
    wrong, lost = list[int](), list[str]()
    end = time.perf_counter() + seconds

    def visit(number: int) -> None:
        client, random = Client(place, operation), np.random.default_rng(number)
        while (began := time.perf_counter()) < end:
            seed = int(random.integers(SEEDS))
            try:
                if client.ask(seed) != expected[seed]:
                    wrong.append(seed)
            except (OSError, http.client.HTTPException) as error:
                lost.append(str(error))
                client = Client(place, operation)
            times.append(time.perf_counter() - began)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - began
    places = quantiles(times, n=100)
    return {
        "images_per_second": len(times) / spent,
        "p50_ms": 1000 * places[49],
        "p95_ms": 1000 * places[94],
        "answers": len(times),
        "wrong": len(wrong),
        "lost": len(lost),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS], help="which of them")
    parser.add_argument("--seconds", type=float, default=30, help="of load for each contender")
    parser.add_argument("--clients", type=int, default=16, help="at once")
    parser.add_argument("--threads", type=int, default=1, help="of the service's models")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    for name in given.models:
        torch.manual_seed(0)
        model, operation = MODELS[name]()
        figures[name] = {}
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            save_model(model, run)
            for title, batch in (("batched", BATCH), ("alone", 1)):
                with service(run, batch, given.threads) as place:
                    figures[name][title] = load(place, operation, given.clients, given.seconds)
        rates = [figures[name][title]["images_per_second"] for title in ("batched", "alone")]
        figures[name]["ratio"] = rates[0] / rates[1]
        print(name, json.dumps(figures[name], indent=2), flush=True)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
