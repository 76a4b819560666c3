"""Write the parts of the documentation that the code and the results know best.

    python docs/build.py            write them
    python docs/build.py --check    change nothing; exit with 1 if any is stale

A generated part stands between `<!-- name -->` and `<!-- /name -->`. Results are the files `result.json` that
`isthmus experiment` writes, kept as docs/results/EXPERIMENT.json; where its `result.png` is kept beside it, the card
shows it. mkdocs loads this file too: `on_config` lists the cards in the navigation, so that a new card is named nowhere
else.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import isthmus
from isthmus.experiments.experiment import Experiment, experiments
from isthmus.models.catalog import Entry, Option, catalog, option

DOCS = Path(__file__).resolve().parent
ROOT, CARDS, RESULTS = DOCS.parent, DOCS / "models", DOCS / "results"
FULL = "full"  # the variant without ablation
PAIRING = " or within "  # what follows in a bar names a second figure

Record = Mapping[str, Any]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def number(value: float) -> str:
    """Four significant digits, or all of a large number; what is but rounding is 0."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value if abs(value) > 1e-16 else 0:.4g}"


def paper(entry: Entry) -> str:
    """The paper of a model, with its link where it has one."""
    link = f" [arXiv:{entry.arxiv}](https://arxiv.org/abs/{entry.arxiv})" if entry.arxiv else ""
    return f"{entry.title}. {entry.authors}, {entry.year}.{link}"


def models(folder: str) -> str:
    """The table of models; `folder` leads to the cards."""
    rows = [
        [f"[{name}]({folder}{name}.md)", entry.family, paper(entry), ", ".join(entry.capabilities)]
        for name, entry in catalog().items()
    ]
    return table(["model", "family", "paper", "can"], rows)


def options(of: Iterable[Option]) -> str:
    """A table of options as the command line has them."""
    rows = [[f"`{flag(o)}`", f"`{o.annotation}`", default(o), o.meaning] for o in of]
    return table(["option", "type", "default", "meaning"], rows)


def flag(of: Option) -> str:
    """The option's name on the command line, where what is on by default can only be turned off."""
    return ("--no-" if of.default is True else "--") + of.name.replace("_", "-")


def default(of: Option) -> str:
    return "required" if of.required else f"`{of.default}`"


def options_in(file: str, class_name: str) -> list[Option]:
    """The options that a class of our package declares as its annotated attributes."""
    source = (Path(isthmus.__file__).parent / file).read_text(encoding="utf-8")
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == class_name]
    return [option(node, source.splitlines()) for node in classes[0].body if isinstance(node, ast.AnnAssign)]


def experiments_of(model: str) -> list[Experiment]:
    return [experiment for experiment in experiments().values() if experiment.training.model == model]


def decisive(model: str) -> str:
    """What a model's experiments claim, their bars, and the ablations that must miss them."""
    rows = [
        [
            f"`{e.name}`",
            e.claim,
            "; ".join(map(str, e.bars)),
            "; ".join(f"{name} ({settings(values)})" for name, values in e.ablations.items()) or "within the measure",
        ]
        for e in experiments_of(model)
    ]
    return table(["experiment", "claim", "bar", "ablations, which must miss it"], rows)


def settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}={value}`" for name, value in values.items())


def records() -> dict[str, Record]:
    """The results by experiment. Raises ValueError for one that does not fit the code, by name."""
    found = {}
    for file in sorted(RESULTS.glob("*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        experiment = experiments().get(file.stem)
        if experiment is None or record["experiment"] != file.stem:
            raise ValueError(f"{file.name} is the result of no experiment called {file.stem}")
        if record["bars"] != [str(bar) for bar in experiment.bars]:
            raise ValueError(f"{file.name} was measured against another bar: run isthmus experiment {file.stem} again")
        if record["variants"].keys() != {FULL, *experiment.ablations}:
            raise ValueError(f"{file.name} has other ablations: run isthmus experiment {file.stem} again")
        found[file.stem] = record
    return found


def results(model: str) -> str:
    """For each experiment of a model, every figure of every variant: median, and range over the seeds."""
    known, parts = records(), []
    for experiment in experiments_of(model):
        record = known.get(experiment.name)
        if record is None:
            parts.append(f"`{experiment.name}` has no published result yet; `isthmus experiment {experiment.name}`.")
        else:
            parts.append(result(record))
    return "\n\n".join(parts)


def result(record: Record) -> str:
    rows = [
        [name, *(with_range(record, variant, name) for variant in record["variants"])]
        for name in record["variants"][FULL]["median"]
    ]
    rows.append(["**meets the bar**", *("yes" if v["meets_bars"] else "no" for v in record["variants"].values())])
    name = record["experiment"]
    caption = f"`{name}`, {seeds(record)} seeds, {made(record)}: **{verdict(record)}**"
    picture = [f"![What each variant shows, and its figures](../results/{name}.png)"]
    parts = [
        caption,
        *picture * (RESULTS / f"{name}.png").exists(),
        table(["median (range)", *record["variants"]], rows),
    ]
    return "\n\n".join(parts)


def with_range(record: Record, variant: str, name: str) -> str:
    if name not in record["variants"][variant]["median"]:  # not every seed had it
        return "none"
    values = [run["figures"][name] for run in record["runs"] if run["variant"] == variant]
    middle, ends = number(record["variants"][variant]["median"][name]), (number(min(values)), number(max(values)))
    return middle if ends[0] == ends[1] else f"{middle} ({ends[0]} to {ends[1]})"


def seeds(record: Record) -> str:
    return str(len({run["seed"] for run in record["runs"]}))


def verdict(record: Record) -> str:
    return "pass" if record["passed"] else "FAIL"


def made(record: Record, *keys: str) -> str:
    """With what, where and when the figures were made."""
    keys = keys or ("commit", "machine", "date")
    return ", ".join(
        " and ".join(dict.fromkeys(str(run["made_with"][key]) for run in record["runs"] if run["made_with"].get(key)))
        or "unknown"
        for key in keys
    )


def barred(record: Record, variant: str) -> str:
    """The figures that the bars name."""
    names = []
    for bar in record["bars"]:
        own, _, other = bar.partition(PAIRING)
        names += [own.split()[0], *other.split()[-1:]]
    medians = record["variants"][variant]["median"]
    return ", ".join(f"{name} {number(medians[name])}" for name in dict.fromkeys(names))


def cpu_minutes(record: Record) -> str:
    """CPU minutes of training the full model, and those of the trained models that it takes."""
    runs = [run for run in record["runs"] if run["variant"] == FULL]
    own, parts = (median(run[key] for run in runs) / 60 for key in ("training_cpu_seconds", "parts_cpu_seconds"))
    return f"{own:.1f}" + (f" + {parts:.1f} for its parts" if parts else "")


def scoreboard() -> str:
    """All results, a row each."""
    rows = [row(record) for record in records().values()]
    columns = ("experiment", "model", "claim", "figures", "bar", "ablations", "seeds", "training, CPU minutes")
    if not rows:
        return "There are no published results yet."
    return table([*columns, "commit", "machine", "date", "verdict"], rows)


def row(record: Record) -> list[str]:
    entry = catalog()[record["model"]]
    ablations = [f"{name}: {barred(record, name)}" for name in record["variants"] if name != FULL]
    return [
        record["experiment"],
        f"[{entry.name}](models/{entry.name}.md): {paper(entry)}",
        record["claim"],
        barred(record, FULL),
        "; ".join(record["bars"]),
        "; ".join(ablations),
        seeds(record),
        cpu_minutes(record),
        *(made(record, key) for key in ("commit", "machine", "date")),
        verdict(record),
    ]


def options_of(entry: Entry) -> str:
    """A model's options, and those of the run that have other defaults for it."""
    own = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in entry.run_defaults.items())
    return options(entry.options) + (
        f"\n\nOf the run's options it has other defaults, as in the paper: `{own}`." if own else ""
    )


def card_parts(entry: Entry) -> dict[str, Callable[[], str]]:
    about = f"{paper(entry)}\n\nFamily: {entry.family}. It {', '.join(entry.capabilities)}."
    parts: dict[str, Callable[[], str]] = {"paper": lambda: about, "options": lambda: options_of(entry)}
    if experiments_of(entry.name):  # what is only used, not trained, has none
        parts |= {"experiments": lambda: decisive(entry.name), "results": lambda: results(entry.name)}
    return parts


def generated() -> dict[Path, dict[str, Callable[[], str]]]:
    """Every file with generated parts, and what makes each."""
    return {
        ROOT / "README.md": {"models": lambda: models("docs/models/")},
        CARDS / "index.md": {"models": lambda: models("")},
        DOCS / "data.md": {"options": lambda: options(options_in("data/options.py", "DataOptions"))},
        DOCS / "training.md": {"options": lambda: options(options_in("training/options.py", "RunOptions"))},
        DOCS / "scoreboard.md": {"scoreboard": scoreboard},
        **{CARDS / f"{name}.md": card_parts(entry) for name, entry in catalog().items()},
    }


def filled(text: str, name: str, content: str) -> str:
    """`text` with the part `name` replaced. Raises ValueError unless it stands there exactly once."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    new, count = pattern.subn(lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text)
    if count != 1:
        raise ValueError(f"the part between <!-- {name} --> and <!-- /{name} --> is there {count} times, not once")
    return new


def build(*, write: bool) -> list[str]:
    """Bring every generated part up to date, or only look; returns what was stale or cannot be made."""
    stale = []
    for file, parts in generated().items():
        place = file.relative_to(ROOT).as_posix()
        if not file.exists():
            stale.append(f"{place} is missing")
            continue
        text = new = file.read_text(encoding="utf-8")
        try:
            for name, make in parts.items():
                new = filled(new, name, make())
        except ValueError as error:
            stale.append(f"{place}: {error}")
            continue
        if new != text:
            stale.append(f"{place} is stale")
            if write:
                file.write_text(new, encoding="utf-8")
    return stale


def on_config(config: Any) -> Any:
    """For mkdocs: the cards in the navigation, behind the table of models."""
    for section in config["nav"]:
        section.get("Models", []).extend({name: f"models/{name}.md"} for name in catalog())
    return config


def main(arguments: Sequence[str]) -> int:
    check = list(arguments) == ["--check"]
    if arguments and not check:
        print("usage: python docs/build.py [--check]", file=sys.stderr)
        return 2
    found = build(write=not check)
    for line in found:
        print(line if check else line.replace("is stale", "written"))
    return int(bool(found)) if check else int(any(not line.endswith("is stale") for line in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
