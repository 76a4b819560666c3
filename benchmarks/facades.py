"""The FCN-score of a translator from label maps to photographs, on its own test pairs, and a picture of some of them.

The maps are coloured, with no list of the colours: of those that are frequent and far apart, the most frequent are the
classes. A network learns from the training pairs to tell them in photographs, and is then shown generated ones. The
truth row bounds the score, and the mean of all photographs is a floor.

    isthmus train pix2pix --data pairs:facades --direction b2a --size 64 --crop 0.117 --flip --batch-size 4 \
      --features 32 --steps 4000 --out runs/facades
    python benchmarks/facades.py runs/facades [--classes 12] [--steps 1000] [--picture FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isthmus.data.images import to_bytes, to_unit
from isthmus.data.pictures import grid, save_png
from isthmus.evaluation.parts import each
from isthmus.evaluation.segmentation import fcn_score, labels_from_colours, segmenter
from isthmus.evaluation.sharpness import gradient_energy
from isthmus.training.checkpoint import load_model, read_config
from isthmus.training.settings import data_of, reopen

STEP, APART = 16, 64  # to which levels are rounded, as JPEG leaves none alone; sum of differences over the channels
SHOWN = 8


def palette(maps: Tensor, classes: int) -> list[list[int]]:
    """The most frequent colours of maps uint8 [n, channels, H, W] that are far from more frequent ones."""
    rounded = ((maps.int() + STEP // 2) // STEP * STEP).clamp(max=255).movedim(1, 3).flatten(0, 2)
    colours, counts = rounded.unique(dim=0, return_counts=True)
    found: list[Tensor] = []
    for colour in colours[counts.argsort(descending=True)]:
        if all((colour - other).abs().sum() > APART for other in found):
            found.append(colour)
    return [colour.tolist() for colour in found[:classes]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--classes", type=int, default=12)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    model: Any = load_model(options.run).eval()
    data = data_of(read_config(options.run), options.run)
    train, test = (reopen(data, split, options.run) for split in ("train", "test"))
    with torch.no_grad():
        made = each(lambda batch: to_bytes(model.translate(batch.image, "b")), test[0], torch.device("cpu"))
    maps, photographs, asked, truth = (images.cut(torch.arange(len(images)), None) for images in (*train, *test))
    colours = palette(maps, options.classes)
    learnt, labels = (labels_from_colours(pixels, colours) for pixels in (maps, asked))
    network = segmenter(photographs, learnt, len(colours), steps=options.steps)
    mean = to_bytes(to_unit(photographs).mean(0, keepdim=True)).repeat(len(made), 1, 1, 1)

    rows = {"generated": made, "truth": truth, "mean photograph": mean}
    scores = {name: asdict(fcn_score(network, pixels, labels)) for name, pixels in rows.items()}
    for name, score in scores.items():
        print(f"{name:16}" + "".join(f"  {figure} {value:.3g}" for figure, value in score.items()))
    energy, real = (gradient_energy(to_unit(pixels)).mean().item() for pixels in (made, truth))
    print(f"sharpness of truth {energy / real:.3f}")
    if options.picture:
        chosen = torch.linspace(0, len(made) - 1, SHOWN).long()
        save_png(grid(torch.cat([pixels[chosen] for pixels in (asked, made, truth)]), SHOWN), options.picture)
    if options.json:
        options.json.write_text(json.dumps({"scores": scores, "sharpness": energy / real}, indent=2) + "\n")


if __name__ == "__main__":
    main()
