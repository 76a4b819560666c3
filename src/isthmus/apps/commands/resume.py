"""Go on with a run."""

from __future__ import annotations

from pathlib import Path

import tyro


def resume(
    run: tyro.conf.Positional[Path],
    steps: int | None = None,
    minutes: float | None = None,
    devices: int | None = None,
    keep: int | None = None,
) -> None:
    """Go on with a run exactly where it stopped: the same weights as if it had never been interrupted.

    Args:
        run: The run folder.
        steps: Train up to this many steps; by default as many as first asked for, and more is fine.
        minutes: Stop (and save) after so long, counted from now; by default as long as first asked for.
        devices: Go on with another number of devices.
        keep: Newest checkpoints to keep.
    """
    changes = {"steps": steps, "minutes": minutes, "devices": devices, "keep": keep}
    from isthmus.training.run import resume as go_on

    go_on(run, **{name: value for name, value in changes.items() if value is not None})
