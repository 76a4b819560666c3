"""The house rules on who may know whom, read from the source: each failure says where and which rule."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import isthmus
from isthmus.models.catalog import catalog

ROOT = Path(isthmus.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
# Each layer may import those before it, and itself; those that share a place may not import each other.
ORDER = (
    ("errors",),
    ("core",),
    ("nn", "losses"),
    ("data",),
    ("models",),
    ("training",),
    ("evaluation",),
    ("experiments",),
    ("apps",),
    ("__main__",),
)
PLACE = {layer: place for place, layers in enumerate(ORDER) for layer in layers}
HEAVY = ("torch", "torchvision", "sklearn", "matplotlib", "lightning_fabric", "scipy")
UNFIT_FOR_A_MODEL = ("isthmus.training", "torch.optim", "torch.distributed", "lightning", "lightning_fabric")
# Models whose name is also a word of English or of the field (a model called "draw", say): of these only a string
# that is exactly the name counts, and their class's name.
FALSE_FRIENDS = frozenset({"cut", "unit"})


def name_of(file: Path) -> str:
    return ".".join(("isthmus", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a file imports, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports by a relative name"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def below(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def test_every_module_has_a_layer() -> None:
    tops = {file.relative_to(ROOT).with_suffix("").parts[0] for file in FILES} - {"__init__"}
    assert tops <= PLACE.keys()


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_point_one_way(file: Path) -> None:
    layer = file.relative_to(ROOT).with_suffix("").parts[0]
    if layer == "__init__":  # the package's front door loads `load` when it is asked for
        return
    for line, name in imports(file):
        if name.startswith("isthmus.") and name != "isthmus.__version__":
            other = name.split(".")[1]
            allowed = other == layer or PLACE[other] < PLACE[layer]
            assert allowed, f"{file}:{line} {layer} imports {name}, but {other} does not stand below {layer}"


@pytest.mark.parametrize("name", catalog())
def test_a_model_knows_no_other_model_no_loop_and_no_machine(name: str) -> None:
    module = catalog()[name].module
    file = ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")
    models = {entry.module for entry in catalog().values()}
    for line, imported in imports(file):
        assert not below(imported, UNFIT_FOR_A_MODEL), f"{file}:{line} a model imports {imported}"
        assert not below(imported, tuple(models - {module})), f"{file}:{line} a model imports another: {imported}"


def test_the_command_line_starts_without_heavy_libraries() -> None:
    light = ["isthmus", "isthmus.apps.cli", "isthmus.apps.options", "isthmus.models.catalog"]
    light += [name_of(file) for file in FILES if file.stem == "options" or file.parent.name == "commands"]
    program = f"""
import importlib, sys
for name in {light!r}:
    importlib.import_module(name)
    heavy = sorted(set({HEAVY!r}) & set(sys.modules))
    if heavy:
        sys.exit(f"importing {{name}} imports {{', '.join(heavy)}}")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def docstrings(source: str) -> set[tuple[int, int]]:
    """Where the docstrings of a file start: (line, column)."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            found.add((node.body[0].lineno, node.body[0].col_offset))
    return found


@cache
def words(file: Path) -> dict[str, int]:
    """The words of a file and the first line of each, without its prose, which may name a model as an example; comments
    on options are help."""
    source = file.read_text()
    prose = docstrings(source)
    lines: dict[str, int] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        comment = token.type == tokenize.COMMENT and file.stem != "options"
        if token.start not in prose and not comment:
            lines.setdefault(token.string, token.start[0])
    return lines


@pytest.mark.parametrize("name", catalog())
def test_nobody_knows_a_model_by_name(name: str) -> None:
    """Only its own file, its experiment and its card may: everything else asks what a model can do."""
    entry = catalog()[name]
    names = {entry.class_name} | ({name, name.replace("-", "_")} - FALSE_FRIENDS)
    known = re.compile("|".join(rf"(?<![\w-]){word}(?![\w-])" for word in sorted(names)))
    exactly = {f"{quote}{name}{quote}" for quote in "'\""}
    for file in FILES:
        if name_of(file) == entry.module or "experiments" in file.parts:
            continue
        for word, line in words(file).items():
            guilty = known.search(word) or word in exactly
            assert not guilty, f"{file}:{line} knows the model {name}: {word}"


def test_no_console_reads_a_name_as_a_picture() -> None:
    """Else rich prints `folder:train: done` with a railway carriage."""
    calls = [line for file in FILES for line in file.read_text().splitlines() if re.search(r"\bConsole\(", line)]
    assert calls
    assert [line for line in calls if "emoji=False" not in line] == []
