"""WaveNet remembers as far back as its dilations reach.

The synthesised tones have periods of 50 to 100 samples, within which every fifth sample is a draw from four values: who
does not remember the period before needs 2 bits for 5 samples, 0.4 bits for each, and who does needs nothing after the
first period. The ablation has the same layers up to dilation 8 and sees 16 samples; the bar is half of the best that it
can reach.

From half a tone the model hears the pitch, by Bayes' rule since the pitch is the class, and goes on with the tone. And
the tones that it draws repeat themselves at the pitch that it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.data.images import Images

TOLERANCE = 0.02  # of a frequency that is kept


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """What a sample of the test tones costs, and what becomes of tones.

    Of tones that are continued by what is most probable, the share that keep their strongest frequency; of tones that
    are drawn, the share of samples that equal those before them by a period of the pitch asked for.
    """
    import math

    import torch

    spec, batch = test[0].spec, test[0].batch(torch.arange(len(test[0])))
    tones = batch.image
    nats = torch.cat([model.log_prob(part) for part in tones.split(50)])
    known = (torch.arange(spec.width) < spec.width // 2).expand(1, -1)
    unknown = ~known.flatten()
    true, drawn = (x[:, 0, 0, unknown] for x in (tones, model.complete(tones, known, temperature=0.0)))
    kept = (peaks(drawn, spec.rate) / peaks(true, spec.rate) - 1).abs() <= TOLERANCE
    periods = [spec.rate // int(spec.classes[label].removesuffix("Hz")) for label in batch.label]
    sampled = zip(model.sample(len(tones), batch.label)[:, 0, 0], periods, strict=True)
    repeated = [(tone[period:] == tone[:-period]).float().mean() for tone, period in sampled]
    return {
        "sound": {"bits_per_sample": -nats.mean().item() / (math.log(2) * spec.width)},
        "continued": {"same_frequency": kept.float().mean().item()},
        "drawn": {"repeats_at_pitch": torch.stack(repeated).mean().item()},
    }


def peaks(sounds: Tensor, rate: int) -> Tensor:
    """The strongest frequency of sounds [n, samples], in Hz."""
    import torch

    bins = 8 * rate  # of an eighth of a Hz
    spectrum = torch.fft.rfft(sounds - sounds.mean(1, keepdim=True), n=bins).abs()
    return spectrum.argmax(1) * rate / bins


EXPERIMENTS = (
    Experiment(
        name="wavenet",
        claim="tones of period 100 cost at most half of what they cost a short memory, and go on as they began",
        training=Training(
            model="wavenet",
            data={"data": ("tones",)},
            options={"layers": 7, "blocks": 1, "features": 32, "hidden": 64, "conditional": True, "lr": 3e-3},
            run={"steps": 800, "batch_size": 8},
        ),
        bars=(
            Bar("sound/bits_per_sample", at_most=0.2),
            Bar("continued/same_frequency", at_least=0.9),
            Bar("drawn/repeats_at_pitch", at_least=0.9),
        ),
        ablations={"receptive field 16": {"layers": 4}},
        measure=measure,
    ),
)
