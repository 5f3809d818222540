"""`bigquant palette`: what it shows, converts and refuses."""

from __future__ import annotations

import json
import re

import pytest

from bigquant.cli import main
from bigquant.palette import Palette


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Run a command where palettes lie: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["sample", "china.tif", "-q"]) == 0
    assert main(["fit", "china.tif", "-k", "6", "-o", "fitted.zarr", "-q"]) == 0
    Palette.from_colors([[255, 0, 0], [0, 0, 255]], 1).save("two.qml")
    (tmp_path / "broken.gpl").write_text("GIMP Palette\n1 2 x\n")
    (tmp_path / "photo.jpg").touch()
    capfd.readouterr()

    def run(command):
        code = main(command.split())
        return code, *capfd.readouterr()

    return run


def test_a_palette_is_shown_with_labels_and_shares(run):
    palette = Palette.load("fitted.zarr.palette.json")
    for name in ("fitted.zarr", "fitted.zarr.palette.json"):
        code, out, err = run(f"palette {name}")
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert (
            lines[0] == f"6 colors of 273280 pixels, {palette.psnr:.2f} dB (MSE {palette.mse:.2f})"
        )
        assert lines[1].split() == ["label", "color", "share"]
        expected = zip(palette.hex, palette.shares, strict=True)
        assert [line.split() for line in lines[2:]] == [
            [str(label), color, f"{share:.2%}"] for label, (color, share) in enumerate(expected)
        ]


def test_a_palette_that_fits_no_image_has_no_shares(run):
    assert run("palette two.qml") == (
        0,
        "2 colors\nlabel  color\n    0  no part of the image\n    1  #ff0000\n    2  #0000ff\n",
        "",
    )


def test_a_terminal_shows_swatches(run, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm")
    _, out, _ = run("palette two.qml")
    assert "\x1b[48;2;255;0;0m      \x1b[0m  #ff0000\n" in out
    assert "\x1b[48;2;0;0;255m      \x1b[0m  #0000ff\n" in out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[48" not in run("palette two.qml")[1]


def test_json_is_the_model(run):
    palette = Palette.load("fitted.zarr.palette.json")
    code, out, _ = run("palette fitted.zarr --json")
    assert (code, json.loads(out)) == (0, palette.as_json())
    code, out, _ = run("palette fitted.zarr -o p.css --json")
    assert (code, json.loads(out)) == (0, palette.as_json())


def test_a_palette_is_converted(run, tmp_path):
    assert run("palette two.qml -o two.act") == (0, "two.act  2 colors\n", "")
    assert run("palette two.act -o two.TXT -q") == (0, "", "")
    assert (tmp_path / "two.TXT").read_text() == "0 0 0 0 0\n1 255 0 0 255\n2 0 0 255 255\n"
    assert run("palette two.qml -o two.act --overwrite -q") == (0, "", "")


BAD = [
    ("palette", "Missing argument 'IN'"),
    ("palette nothing.gpl", "nothing.gpl: no such file: name a palette file"),
    ("palette two.aco", "two.aco: no such file"),
    ("palette photo.jpg", "photo.jpg: a palette file's name ends in .json, .gpl"),
    (
        "palette broken.gpl",
        "broken.gpl: line 2: has 'x' where a whole number from 0 to 255 belongs",
    ),
    ("palette china.tif", "china.tif: has no palette"),
    ("palette https://host/p.gpl", "https://host/p.gpl: a URL"),
    ("palette two.qml -o two.png", "two.png: a palette file's name ends in"),
    ("palette two.qml -o two.qml --overwrite", "two.qml: is the input"),
    ("palette fitted.zarr -o fitted.zarr/p.gpl", "fitted.zarr/p.gpl: is the input fitted.zarr or"),
    ("palette two.qml -o broken.gpl", "broken.gpl: exists already"),
    ("palette two.qml -o none/p.gpl", "there is no folder"),
]


@pytest.mark.parametrize(("command", "words"), BAD, ids=[command for command, _ in BAD])
def test_bad_input_is_one_clear_line_and_exit_code_2(command, words, run, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code, out, err = run(command)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"bigquant: error: [^\n]+\n", err)
    assert words in err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
