"""What models there are, read from their files without importing them (or torch).

A model file starts with `Title. Authors, year. arXiv:id.` and defines one class with `Model` as first base. Its other
bases are its capabilities, its annotated attributes its configuration, with the comment behind each as meaning;
`run_defaults` are the options of the run that are to have other defaults for it.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.core import Model

HEADLINE = re.compile(r"(?P<title>.+?)\. (?P<authors>.+?), (?P<year>\d{4})\.(?: arXiv:(?P<arxiv>[\d.]+\d))?")


@dataclass(frozen=True)
class Option:
    """One annotated attribute of a model's class."""

    name: str
    annotation: str  # as written: "int", "Literal['mlp', 'conv']", "Autoencodes"
    meaning: str
    required: bool
    default: Any = None


@dataclass(frozen=True)
class Entry:
    """One model, as its file describes it."""

    name: str  # on the command line: "latent-bridge"
    family: str  # its folder
    title: str
    authors: str
    year: int
    arxiv: str  # empty where there is none
    capabilities: tuple[str, ...]
    options: tuple[Option, ...]
    run_defaults: dict[str, Any]
    module: str
    class_name: str

    def load(self) -> type[Model]:
        """Import the model's class (and torch with it)."""
        return getattr(importlib.import_module(self.module), self.class_name)


def option(node: ast.AnnAssign, lines: list[str]) -> Option:
    """Read `name: annotation = default  # meaning`; the meaning may go on in comment lines below."""
    assert isinstance(node.target, ast.Name)
    end = node.end_lineno or node.lineno
    comments = [lines[end - 1][node.end_col_offset or 0 :]]
    while end < len(lines) and lines[end].lstrip().startswith("#"):
        comments.append(lines[end])
        end += 1
    meaning = " ".join(comment.strip().removeprefix("#").strip() for comment in comments)
    annotation = ast.unparse(node.annotation)
    if node.value is None:
        return Option(node.target.id, annotation, meaning, required=True)
    return Option(node.target.id, annotation, meaning, required=False, default=ast.literal_eval(node.value))


def read(file: Path) -> Entry | None:
    """The entry of a model file; None for a file that defines no model."""
    source = file.read_text(encoding="utf-8")
    tree, lines = ast.parse(source), source.splitlines()
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and [ast.unparse(base) for base in node.bases][:1] == ["Model"]:
            headline = HEADLINE.match(" ".join((ast.get_docstring(tree) or "").split()))
            if headline is None:
                raise ValueError(f"{file}: the docstring must start with 'Title. Authors, year. arXiv:id.'")
            annotated = [n for n in node.body if isinstance(n, ast.AnnAssign)]
            options = [option(n, lines) for n in annotated if not ast.unparse(n.annotation).startswith("ClassVar")]
            return Entry(
                name=file.stem.replace("_", "-"),
                family=file.parent.name,
                title=headline["title"],
                authors=headline["authors"],
                year=int(headline["year"]),
                arxiv=headline["arxiv"] or "",
                capabilities=tuple(ast.unparse(base).lower() for base in node.bases[1:]),
                options=tuple(options),
                run_defaults=assigned(node, "run_defaults", {}),
                module=f"{__package__}.{file.parent.name}.{file.stem}",
                class_name=node.name,
            )
    return None


def assigned(node: ast.ClassDef, name: str, default: Any) -> Any:
    """The literal that a class sets `name` to without an annotation, or the default."""
    values = (n.value for n in node.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == name)
    return next(map(ast.literal_eval, values), default)


@cache
def catalog() -> dict[str, Entry]:
    """Every model by name, in the order of families and names."""
    files = sorted(Path(__file__).parent.glob("*/[a-z]*.py"))
    return {entry.name: entry for entry in map(read, files) if entry}


def find(name: str) -> Entry:
    """The entry of the model called `name`. Raises ConfigError, with the nearest names, if there is none."""
    known = catalog()
    wanted = name.replace("_", "-").lower()
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}"
        raise ConfigError(f"no model named {name!r}; {hint}")
    return known[wanted]


def name_of(model: Model) -> str:
    """The name under which `find` gives this model's class."""
    return type(model).__module__.rsplit(".", 1)[-1].replace("_", "-")
