"""Data specs and options."""

import subprocess
import sys

import pytest

from isthmus.data.options import DataOptions, Source, parse
from isthmus.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("spec", "kind", "argument", "classes"),
    [
        ("digits", "digits", "", None),
        ("MNIST:0-4", "mnist", "", ("0", "1", "2", "3", "4")),
        ("mnist:7", "mnist", "", ("7",)),
        ("usps:0,3,5-7", "usps", "", ("0", "3", "5", "6", "7")),
        ("cifar10:cat, dog", "cifar10", "", ("cat", "dog")),
        ("folder:a/b", "folder", "a/b", None),
        ("folder:/data/pets:cat,dog", "folder", "/data/pets", ("cat", "dog")),
        (r"folder:C:\pets", "folder", r"C:\pets", None),
        (r"folder:C:\pets:cat", "folder", r"C:\pets", ("cat",)),
        ("folder:c:/pets", "folder", "c:/pets", None),
        ("pairs:/data/maps", "pairs", "/data/maps", None),
        (r"pairs:D:\maps", "pairs", r"D:\maps", None),
        ("hf:owner/name", "hf", "owner/name", None),
        ("hf:owner/name:0-1", "hf", "owner/name", ("0", "1")),
    ],
)
def test_grammar(spec, kind, argument, classes):
    assert parse(spec) == Source(spec, kind, argument, classes)


def test_a_path_with_a_colon(tmp_path):
    folder = tmp_path / "a:b"
    folder.mkdir()
    assert parse(f"folder:{folder}").classes is None
    assert parse(f"folder:{folder}:c").classes == ("c",)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mnits", "did you mean mnist"),
        ("foldr:x", "did you mean folder"),
        ("", "there are digits"),
        ("folder:", "lacks what follows"),
        ("hf", "owner/name"),
        ("mnist:", "cannot be read"),
        ("mnist:4-2", "cannot be read"),
        ("mnist:1,,2", "cannot be read"),
    ],
)
def test_malformed_specs_name_the_mend(spec, message):
    with pytest.raises(DataError, match=message):
        parse(spec)


def test_a_bare_folder_is_recognised(tmp_path):
    with pytest.raises(DataError, match=f"write folder:{tmp_path}"):
        parse(str(tmp_path))


def test_selection_of_classes():
    assert parse("mnist:7,3").select(tuple("0123456789")) == [3, 7]
    assert parse("fashion-mnist:Bag,0").select(("Shirt", "Coat", "Bag")) == [0, 2]
    with pytest.raises(DataError, match="class 12; the classes are 0, 1"):
        parse("mnist:12").select(("0", "1"))
    with pytest.raises(DataError, match="have none"):
        parse("folder:x:cat").select(())


def test_sizes():
    assert DataOptions().width_height() is None
    assert DataOptions(size="128").width_height() == (128, 128)
    assert DataOptions(size="128X96").width_height() == (128, 96)
    for size in ("", "0", "12x", "x", "1x2x3", "-4", "big"):
        with pytest.raises(ConfigError, match="width x height"):
            DataOptions(size=size)


@pytest.mark.parametrize("bad", [{"crop": -0.1}, {"crop": 2}, {"test_fraction": 0}, {"test_fraction": 1}, {"data": ()}])
def test_options_out_of_range(bad):
    with pytest.raises(ConfigError):
        DataOptions(**bad)


def test_the_data_root(monkeypatch, tmp_path):
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path / "env"))
    assert DataOptions().root() == tmp_path / "env"
    assert DataOptions(data_root=tmp_path / "own").root() == tmp_path / "own"
    monkeypatch.delenv("ISTHMUS_DATA")
    assert DataOptions().root().parts[-3:] == (".cache", "isthmus", "data")


def test_options_need_no_heavy_import_and_become_a_command_line():
    code = (
        "import sys, tyro; from isthmus.data.options import DataOptions; "
        "o = tyro.cli(DataOptions, args=['--data', 'mnist', 'usps', '--pair', 'class', '--flip', '--channels', '3']); "
        "assert o.data == ('mnist', 'usps') and o.flip and o.channels == 3; "
        "assert not {'torch', 'numpy', 'PIL', 'sklearn', 'torchvision'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_option_has_a_help_text():
    import contextlib
    import io
    from dataclasses import fields

    import tyro

    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        tyro.cli(DataOptions, args=["--help"])
    text = " ".join(out.getvalue().split())
    assert "fixed seed" in text
    for option in fields(DataOptions):
        assert option.name.replace("_", "-") in text
