"""Fréchet and kernel distance, precision and recall of 10,000 x 2048 features: Isthmus against the usual packages.

    uv sync --group bench
    python benchmarks/metrics.py [--rounds 3] [--images 10000] [--dims 2048] [--metric frechet]

CPU seconds on one thread, and the peak memory above the features. Each measurement is a process of its own, the
contenders take turns, and medians are given. Features are float32, correlated and not negative, as those of a network
are. The Fréchet distance is timed in two parts: statistics of both sets, and the distance of these statistics.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
Parts = tuple[Callable[..., Any], ...]  # each takes what the one before returns; the first two sets of features


def frechet_isthmus() -> Parts:
    from isthmus.evaluation import Moments, frechet_distance

    return lambda a, b: (Moments.of(a), Moments.of(b)), lambda s: frechet_distance(*s)


def frechet_torch_fidelity() -> Parts:
    from torch_fidelity import metric_fid as peer

    def distance(statistics: Any) -> float:
        return peer.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]

    return lambda a, b: (peer.fid_features_to_statistics(a), peer.fid_features_to_statistics(b)), distance


def frechet_torchmetrics() -> Parts:
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=identity())

    def update(a: Any, b: Any) -> None:
        for features, real in ((a, True), (b, False)):
            for part in features.split(500):
                metric.update(part, real=real)

    return update, lambda _: metric.compute().item()


def frechet_of(module: str, function: str) -> Parts:
    """pytorch-fid and clean-fid take numpy's mean and covariance, and scipy's matrix root."""
    import importlib

    import numpy as np

    peer = getattr(importlib.import_module(module), function)
    pair = lambda x: (np.mean(x, axis=0), np.cov(x, rowvar=False))  # noqa: E731
    return lambda a, b: (*pair(a.numpy()), *pair(b.numpy())), lambda s: float(peer(*s))


def kernel_isthmus() -> Parts:
    from isthmus.evaluation import kernel_distance_subsets

    return (lambda a, b: kernel_distance_subsets(a, b, 100, min(1000, len(a))).value,)


def kernel_isthmus_all_pairs() -> Parts:
    from isthmus.evaluation import kernel_distance

    return (kernel_distance,)


def kernel_torch_fidelity() -> Parts:
    from torch_fidelity import metric_kid as peer

    settings = {"kid_subsets": 100, "kid_subset_size": 1000, "rng_seed": 2020, "verbose": False}
    return (
        lambda a, b: peer.kid_features_to_metric(a, b, **settings | {"kid_subset_size": min(1000, len(a))})[
            "kernel_inception_distance_mean"
        ],
    )


def kernel_torchmetrics() -> Parts:
    from torchmetrics.image.kid import KernelInceptionDistance

    def compute(a: Any, b: Any) -> float:
        metric = KernelInceptionDistance(feature=identity(), subsets=100, subset_size=min(1000, len(a)))
        metric.update(a, real=True)
        metric.update(b, real=False)
        return metric.compute()[0].item()

    return (compute,)


def kernel_clean_fid() -> Parts:
    from cleanfid.fid import kernel_distance as peer

    return (lambda a, b: peer(a.numpy(), b.numpy()),)


def manifold_isthmus() -> Parts:
    from isthmus.evaluation import precision_recall

    return (lambda a, b: [e.value for e in precision_recall(real=a, fake=b, neighbours=5)],)


def manifold_prdc() -> Parts:
    import prdc

    return (lambda a, b: [float(v) for v in prdc.compute_prdc(a.numpy(), b.numpy(), 5).values()],)


def manifold_torch_fidelity() -> Parts:
    from torch_fidelity import metric_prc as peer

    def compute(a: Any, b: Any) -> list[float]:
        found = peer.prc_features_to_metric(b, a, prc_neighborhood=5, verbose=False)
        return [found["precision"], found["recall"]]

    return (compute,)


CONTENDERS: dict[str, dict[str, Callable[[], Parts]]] = {
    "frechet": {
        "isthmus": frechet_isthmus,
        "torchmetrics": frechet_torchmetrics,
        "torch-fidelity": frechet_torch_fidelity,
        "pytorch-fid": lambda: frechet_of("pytorch_fid.fid_score", "calculate_frechet_distance"),
        "clean-fid": lambda: frechet_of("cleanfid.fid", "frechet_distance"),
    },
    "kernel": {
        "isthmus": kernel_isthmus,
        "isthmus, all pairs": kernel_isthmus_all_pairs,
        "torchmetrics": kernel_torchmetrics,
        "torch-fidelity": kernel_torch_fidelity,
        "clean-fid": kernel_clean_fid,
    },
    "manifold": {"isthmus": manifold_isthmus, "torch-fidelity": manifold_torch_fidelity, "prdc": manifold_prdc},
}


def identity() -> Any:
    """An extractor of torchmetrics' that takes features for images."""
    import torch

    class Identity(torch.nn.Module):
        num_features = int(os.environ["DIMS"])

        def forward(self, x: Any) -> Any:
            return x.flatten(1)[:, : self.num_features]

    return Identity()


def measure(metric: str, name: str, images: int, dims: int) -> dict[str, Any]:
    """In this process: seconds of each part, and the peak memory in MB above what the features take."""
    import torch

    torch.set_num_threads(1)
    parts = CONTENDERS[metric][name]()
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(dims, dims, generator=generator) / dims**0.5
    a, b = torch.empty(images, dims), torch.empty(images, dims)
    for features, shift in ((a, 0.0), (b, 0.1)):
        for part in features.split(500):  # so that making them leaves no peak of memory behind
            part.copy_((torch.randn(part.shape, generator=generator) @ mix + shift).relu_())
    before, seconds, value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, [], None
    for i, part in enumerate(parts):
        begin = time.process_time()
        value = part(a, b) if i == 0 else part(value)
        seconds.append(time.process_time() - begin)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"seconds": seconds, "megabytes": peak, "value": value}


def apart(metric: str, name: str, images: int, dims: int) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--images", str(images), "--dims", str(dims), "--measure", metric, name]
    environment = os.environ | THREADS | {"DIMS": str(dims), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--dims", type=int, default=2048)
    parser.add_argument("--metric", choices=[*CONTENDERS], nargs="*", default=[*CONTENDERS])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(*given.measure, given.images, given.dims)))
        return
    figures: dict[str, Any] = {"images": given.images, "dims": given.dims, "rounds": given.rounds}
    for metric in given.metric:
        contenders = CONTENDERS[metric]
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        for _ in range(given.rounds):
            for name in contenders:
                runs[name].append(apart(metric, name, given.images, given.dims))
        figures[metric] = {name: summary(found) for name, found in runs.items()}
        print(metric, json.dumps(figures[metric], indent=2), flush=True)
        if given.json:
            given.json.write_text(json.dumps(figures, indent=2) + "\n")


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians."""
    if failed := [run["error"] for run in runs if "error" in run]:
        return {"error": failed[0]}
    seconds = [median(part) for part in zip(*(run["seconds"] for run in runs), strict=True)]
    total = median(sum(run["seconds"]) for run in runs)
    megabytes = median(run["megabytes"] for run in runs)
    return {"cpu_seconds": total, "of_parts": seconds, "megabytes": megabytes, "value": runs[0]["value"]}


if __name__ == "__main__":
    main()
