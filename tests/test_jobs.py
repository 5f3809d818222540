"""Runs that were interrupted, of several outputs or by `apply`, and the same command again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from bigquant import atomic, flat_writer, tiff_parts, tiling
from bigquant.cli import main
from bigquant.preview import Preview
from bigquant.tiff_reader import TiffWindows
from bigquant.zarr_store import FolderStore

COMMANDS = {"fit": ["fit", "scans", "-k", "4"], "apply": ["apply", "old/palette.json", "scans"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of three TIFFs of two blocks each, and one of their quantized images."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "scans").mkdir()
    for seed, name in enumerate("abc"):
        pixels = np.random.default_rng(seed).integers(0, 40, (200, 1200, 3), dtype=np.uint8)
        tifffile.imwrite(folder / f"scans/{name}.tif", pixels, photometric="rgb", tile=(256, 256))
    assert main(["fit", f"{folder}/scans", "-k", "6", "-o", f"{folder}/old/", "-q"]) == 0
    return folder


@pytest.fixture(autouse=True)
def here(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tiling, "BLOCK_BYTES", 1 << 16)
    for name in ("scans", "old"):
        Path(name).symlink_to(made / name)


def interrupt_after(monkeypatch, parts, file=None):
    """Interrupt, as Ctrl-C does, when so many parts are written (to a file of that name)."""
    left = [parts]

    def count(function, path, *arguments):
        if file is None or file in str(path):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        return function(*arguments)

    put, tiff, flat = FolderStore.put, tiff_parts.write_part, flat_writer.write_part
    monkeypatch.setattr(FolderStore, "put", lambda s, f: count(put, s.path, s, f))
    monkeypatch.setattr(tiff_parts, "write_part", lambda p, *a: count(tiff, p, p, *a))
    monkeypatch.setattr(flat_writer, "write_part", lambda p, *a: count(flat, p, p, *a))


def files_at(path):
    """All files and what is in them; previews tell the time, too."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {
        str(file.relative_to(path)): b"" if ".preview" in file.name else file.read_bytes()
        for file in files
    }


def facts_of(capfd, command):
    assert main([*command, "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def without_seconds(facts):
    return {name: facts[name] for name in facts if name not in ("seconds", "notes")}


CASES = [
    ("fit", "zarr", []),
    ("apply", "zarr", ["--ome-zarr", "0.4"]),
    ("fit", "npy", []),
    ("apply", "png", []),
    ("apply", "tif", ["--cog", "--overwrite"]),
]


@pytest.mark.parametrize(("what", "suffix", "options"), CASES)
def test_outputs_that_are_complete_are_kept_and_the_rest_is_written(
    what, suffix, options, tmp_path, monkeypatch, capfd
):
    command = [*COMMANDS[what], "--format", suffix, *options, "-o", "out/"]
    if "--overwrite" in options:  # what is there is no part of the job
        assert main(["fit", "scans", "-k", "2", "--format", suffix, "-q", "-o", "out/"]) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1, f"out/.b.{suffix}.partial")
        assert main(command) == 130
    assert capfd.readouterr().err == (
        "bigquant: error: interrupted: the same command goes on with what lies in "
        f"{tmp_path}/out/.b.{suffix}.partial; 1 of 3 outputs are complete\n"
    )
    before = os.stat(f"out/a.{suffix}")
    facts = facts_of(capfd, command)
    note = facts["notes"].pop()
    assert note.startswith("an interrupted run went on: " + "its palette, " * (what == "fit"))
    assert "1 output and " in note
    after = os.stat(f"out/a.{suffix}")
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    shutil.move("out", "again")
    whole = facts_of(capfd, command)
    assert files_at(tmp_path / "again") == files_at(tmp_path / "out")
    assert without_seconds(facts) == without_seconds(whole)
    if what == "fit":
        assert_previews_are_alike(f"again/{n}.{suffix}.preview.json" for n in "abc")


def assert_previews_are_alike(paths):
    """Only the time of writing is another than that of a run that was not interrupted."""
    for path in paths:
        found, whole = Preview.load(path), Preview.load(path.replace("again", "out"))
        assert (found.pictures is None) == (whole.pictures is None) == ("/a." not in path)
        np.testing.assert_array_equal(found.cloud[0], whole.cloud[0])
        np.testing.assert_array_equal(found.cloud[1], whole.cloud[1])
        assert list(found.facts["seconds"]) == ["count", "fit", "write"]


def test_what_others_have_put_there_is_refused(tmp_path, monkeypatch, capfd):
    command = [*COMMANDS["fit"], "-o", "out/"]
    with monkeypatch.context() as patch:
        interrupt_after(patch, 0, "out/.c.zarr.partial")
        assert main(command) == 130
    assert "2 of 3 outputs are complete" in capfd.readouterr().err
    shutil.rmtree("out/a.zarr")
    shutil.copytree("old/a.zarr", "out/a.zarr")
    for other in (command, [*command, "-k", "5"]):
        assert main(other) == 2
        assert "out/a.zarr: exists already" in capfd.readouterr().err
    shutil.rmtree("out/a.zarr")
    Path("out/a.zarr.preview.json").unlink()  # then it is written again
    note = facts_of(capfd, command)["notes"][0]
    assert note.startswith("an interrupted run went on: its palette, 1 output and ")
    assert main(command) == 2  # the job is done


def test_an_interrupt_after_all_work_says_so(monkeypatch, capfd):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("bigquant.filejob._tell", interrupt)
    assert main(["fit", "scans/a.tif", "-k", "2", "-o", "out.zarr"]) == 130
    assert capfd.readouterr().err == "bigquant: error: interrupted: the output is complete\n"


def test_what_is_left_of_a_kill_behind_an_output_is_cleared_away(tmp_path, monkeypatch, capfd):
    """The output has got its name, and its hidden folder is there still."""
    command = [*COMMANDS["fit"], "-o", "out/"]
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3, "out/.b.zarr.partial")
        assert main(command) == 130
    (tmp_path / "out/.a.zarr.partial").mkdir()
    (tmp_path / "out/.a.zarr.partial/a.zarr.replaced").touch()
    assert main(command) == 0
    assert not list((tmp_path / "out").glob(".*"))


# ---------------------------------------------------------------- one output

APPLY = ["apply", "old/palette.json", "scans/a.tif", "-o"]


def test_apply_does_not_read_again_what_it_has_written_and_counted(monkeypatch, capfd):
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_swap", interrupt)
        assert main([*APPLY, "out.zarr"]) == 130
    with monkeypatch.context() as patch:
        patch.setattr(TiffWindows, "__getitem__", None)
        facts = facts_of(capfd, [*APPLY, "out.zarr"])
    assert facts["notes"].pop() == "an interrupted run went on: 2 blocks were kept"
    whole = facts_of(capfd, [*APPLY, "whole.zarr"])
    assert (facts["counts"], facts["mse"]) == (whole["counts"], whole["mse"])
    assert files_at(Path("out.zarr")) == files_at(Path("whole.zarr"))


def interrupt(*arguments):
    raise KeyboardInterrupt


CUT = [
    ("zarr", ["--ome-zarr", "0.5"], "out.zarr/labels/quantized/0/c/0/0"),
    ("zarr", ["--ome-zarr", "0.4"], "out.zarr/0/0/0/0"),
    ("zarr", [], "rests/0-0-0.npz"),
    ("tif", [], "0-0-0.part"),
    ("npy", [], "0-0.part"),
]


@pytest.mark.parametrize(("suffix", "options", "cut"), CUT)
def test_a_block_that_is_cut_short_is_written_anew(suffix, options, cut, monkeypatch, capfd):
    """Names may outlive a power failure, and what stands behind them not."""
    command = ["fit", "scans/a.tif", "-k", "3", *options, "-o"]
    with monkeypatch.context() as patch:
        for writer in ("write.check_complete", "tiff_output.check_complete"):
            patch.setattr(f"bigquant.{writer}", interrupt)
        assert main([*command, f"out.{suffix}"]) == 130
    partial = Path(f".out.{suffix}.partial")
    blocks = len(list(partial.glob("rests/0-*")))
    os.truncate(partial / cut, (partial / cut).stat().st_size // 2)
    facts = facts_of(capfd, [*command, f"out.{suffix}"])
    assert facts["notes"].pop().endswith(f"its palette and {blocks - 1} blocks were kept")
    assert main([*command, f"whole.{suffix}", "-q"]) == 0
    assert files_at(Path(f"out.{suffix}")) == files_at(Path(f"whole.{suffix}"))
