"""The main job, end to end, on bundled data."""

from __future__ import annotations

from pathlib import Path


def demo(
    out: Path = Path("demo"),
    seed: int = 0,
    threads: int | None = None,
    overwrite: bool = False,
    serve: bool = False,
    port: int = 8000,
) -> None:
    """Train two autoencoders on handwritten digits, bridge their latent spaces, and write a report; no network needed.

    Digits 0-4 become 5-9 and back: 0=5, 1=6, 2=7, 3=8, 4=9. A minute or two on two cores.

    Args:
        out: Folder for the three runs and the report.
        seed: The same seed is the same demo.
        threads: CPU threads; by default what torch chooses.
        overwrite: Replace what an earlier demo left in the folder.
        serve: In the end open the page where the bridge can be tried.
        port: Where that page is; 0 takes any free one.
    """
    from isthmus.apps.report import PICTURE, REPORT, prepare_folder, write_report
    from isthmus.experiments.experiment import find
    from isthmus.experiments.run import trained

    training = find("bridge-digits").training
    runs = (*training.parts, "bridge")
    prepare_folder(out, runs, overwrite)
    try:
        parts = {name: trained(part, out / name, seed, threads)[0] for name, part in training.parts.items()}
        trained(training, out / "bridge", seed, threads, parts=parts)
        results = write_report(out, out / "bridge", curves=runs)
    except KeyboardInterrupt:  # which says how to resume that one run
        raise KeyboardInterrupt(f"start again with: isthmus demo --overwrite --out {out}") from None

    from rich.console import Console

    console = Console(emoji=False, highlight=False)
    for direction, row in results.items():
        console.print(
            f"{direction.replace('_', ' ')}: accuracy [bold]{row['accuracy']:.1%}[/] (ceiling {row['ceiling']:.1%}), "
            f"diversity {row['diversity']:.2f}"
        )
    console.print(f"Open [bold]{out / REPORT}[/]; the picture is {out / PICTURE}.", soft_wrap=True)
    served = ("bridge", *training.parts)
    if not serve:
        console.print(f"Try it: isthmus serve {' '.join(str(out / run) for run in served)}", soft_wrap=True)
        return
    from isthmus.apps.commands.serve import serve as open_page

    open_page(tuple(str(out / run) for run in served), port=port, open=True, threads=threads)
