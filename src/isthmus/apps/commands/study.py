"""Let people judge two sets of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from isthmus.apps.study_results import Score

HEAVY = 25  # megabytes, which is what many mail servers take


def study(
    sets: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="A B")] = (),
    out: Path | None = None,
    mode: Literal["real", "prefer"] = "real",
    trials: int = 50,
    practice: int = 10,
    exposure: int = 1000,
    reference: str | None = None,
    question: str | None = None,
    names: str | None = None,
    size: str | None = None,
    splits: tuple[Literal["train", "test"], Literal["train", "test"]] = ("test", "test"),
    data_root: Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    score: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILES")] = (),
    json: bool = False,
) -> None:
    """Make a page on which people tell real pictures from generated ones, or score what they answered.

    Args:
        sets: Real and generated pictures, or those of two models: folders, or data specs such as mnist:0-4.
        out: The .html file to write; it needs no server and no network.
        mode: real: A is real, and people look for it; prefer: people choose which of two models' pictures they prefer.
        trials: How many pairs each participant sees, practice among them.
        practice: How many come first and do not count; in mode real the answer is told after each.
        exposure: For how many milliseconds a pair is seen; 0 until it is answered.
        reference: A third picture to each pair, such as the source of a translation: a folder with the file names that
            both sets have.
        question: What people are asked, instead of the usual question.
        names: What A and B are called in feedback and figures; by default real,generated or A,B.
        size: Bring all pictures to this size: 64, or 64x48 for width x height; by default they are shown as they are.
        splits: Which split of A and of B, where they are data specs; of a folder all pictures are taken.
        data_root: Where named data sets lie; by default $ISTHMUS_DATA.
        seed: Of the choice of pictures and pairs; order and sides are drawn for each participant.
        overwrite: Replace a page that is there.
        score: Files of results, which the page saves at the end: print the figures instead of making a page.
        json: Print the figures as JSON instead of a table.
    """
    from isthmus.errors import ConfigError

    if bool(score) == bool(sets) or (score and out) or (json and not score):
        raise ConfigError("say isthmus study A B --out PAGE.html to make a page, or --score FILES [--json] to score it")
    if score:
        figures(score, json)
        return
    if len(sets) != 2 or out is None:
        raise ConfigError("isthmus study needs two sets of pictures and --out: isthmus study A B --out PAGE.html")
    if out.suffix.lower() != ".html":
        raise ConfigError(f"--out {out} must be a name that ends in .html")

    from isthmus.apps.plan import check_free

    check_free([out], overwrite)

    from isthmus.apps.study import Design, check_different, make_page, open_pictures
    from isthmus.data.options import DataOptions
    from isthmus.training.checkpoint import write

    design = Design.of(mode, question, names, trials=trials, practice=practice, exposure=exposure, seed=seed)
    options = DataOptions(size=size, data_root=data_root)
    check_different(sets, splits)
    opened = [open_pictures(spec, split, options) for spec, split in zip(sets, splits, strict=True)]
    opened += [open_pictures(reference, "test", options)] if reference else []
    page = make_page(opened, design)
    write(out, page.html)
    megabytes = len(page.html) / 1e6
    print(f"{out}: study {page.id}, {trials} trials, {practice} of them practice; {megabytes:.1f} MB")
    if page.note:
        print(f"note: {page.note}")
    if megabytes > HEAVY:
        print("note: the page is slow to send and to load; --size 256 makes it smaller")


def figures(files: tuple[Path, ...], as_json: bool) -> None:
    """Print the figures of a study."""
    import json

    from isthmus.apps.study_results import score

    found = score(files)
    print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False)) if as_json else show(found)


def show(found: Score) -> None:
    """A row for each participant and one for all, and below it how they agree."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(emoji=False, highlight=False)
    a, b = map(escape, found.study["names"])
    rate = f"{b} taken for {a}" if found.study["mode"] == "real" else f"{b} preferred to {a}"
    console.print(f"\nstudy {found.study['id']}: {escape(found.study['question'])}\n")
    table = Table("participant", box=None, pad_edge=False, header_style="dim")
    for title in ("trials", rate, "95 %", "left chosen", "median ms"):
        table.add_column(title, justify="right")
    for row in (*found.participants, found.pooled):
        style = "bold" if row is found.pooled else None
        cells = (f"{row.rate:.1%}", span(row.interval), f"{row.left:.0%}", f"{row.milliseconds:.0f}")
        table.add_row(escape(row.participant), str(row.trials), *cells, style=style)
    console.print(table)
    console.print(f"\n50 % is chance{': nobody tells them apart' if found.study['mode'] == 'real' else ''}.")
    if found.over_participants is None:
        console.print("Agreement, and an interval over participants, need two raters on the same pairs.")
        return
    console.print(f"over participants (Student's t), 95 %: {span(found.over_participants)}")
    alpha = "undefined, as all choices are the same" if found.alpha is None else f"{found.alpha:.2f}"
    console.print(f"agreement (Krippendorff's alpha, 1 full, 0 chance): {alpha}")


def span(interval: tuple[float, float]) -> str:
    return "{:.1%} to {:.1%}".format(*interval)
