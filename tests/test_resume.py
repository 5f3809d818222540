"""A run that was interrupted or killed, and the same command again: it goes on."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
import zarr
from processes import alive, fitting

from bigquant import open_image, tiling
from bigquant.atomic import complete_or_nothing
from bigquant.cli import main
from bigquant.preview import Preview
from bigquant.resume import plan_of
from bigquant.tiff_reader import TiffWindows

#: Runs the command line with small blocks, and kills itself when so many parts are written.
KILLED = """
import os, sys
from pathlib import Path
from bigquant import cli, tiff_parts, tiling
from bigquant.zarr_store import FolderStore

tiling.BLOCK_BYTES = 1 << 16
left = int(sys.argv[1])

def count(path):
    global left
    left -= 1
    if left < 0:
        path.write_bytes(b"half of a")
        os.kill(os.getpid(), number)

def put(store, files, put=FolderStore.put):
    for name in files:
        count(Path(store.path) / name)
    put(store, files)

def write_part(path, *arguments, write_part=tiff_parts.write_part):
    count(path)
    write_part(path, *arguments)

FolderStore.put = put
tiff_parts.write_part = write_part
number = int(sys.argv[2])
sys.argv[1:3] = []
cli.run()
"""
KILLED_AT_THE_END = """
import os, sys
from bigquant import atomic, cli, tiling

tiling.BLOCK_BYTES = 1 << 16
atomic._swap = lambda *_: os.kill(os.getpid(), 9)
cli.main(sys.argv[1:])
"""
KILLED_WHEN_RENAMING = """
import os, sys
from bigquant import cli, tiling

tiling.BLOCK_BYTES = 1 << 16
left = int(sys.argv[1])

def replace(source, target, replace=os.replace):
    global left
    left -= not str(target).endswith((".npz", "plan"))
    if left == 0:
        os.kill(os.getpid(), 9)
    replace(source, target)

os.replace = replace
cli.main(sys.argv[2:])
"""
OPTIONS = ["-k", "5", "--json"]
NOTE = re.compile(r"an interrupted run went on: its palette and (\d+) blocks were kept")


@pytest.fixture(autouse=True)
def _small_blocks_here(monkeypatch, tmp_path):
    monkeypatch.setattr(tiling, "BLOCK_BYTES", 1 << 16)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def scan(tmp_path, rng):
    """A TIFF of 20 blocks, a part of it transparent."""
    pixels = rng.integers(0, 40, (2100, 1900, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[100:1300, 50:800, 3] = 0
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", extrasamples=["unassalpha"])
    return path


def killed(parts, *arguments, number=signal.SIGKILL):
    command = [sys.executable, "-c", KILLED, str(parts), str(int(number)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    codes = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 1}
    assert done.returncode == codes[number], done.stderr
    return done


def fit(capsys, *arguments):
    assert main(["fit", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def blocks_of(path):
    """How many blocks of the full size are written."""
    return math.prod(tiling.plan_pyramid(open_image(path).chunks[:2])[0][0].grid)


def files_at(path):
    if path.is_file():
        return path.read_bytes()
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


CASES = [
    ("out.zarr", "both", 0),
    ("out.zarr", "both", 33),
    ("out.zarr", "labels", 12),
    ("out.tif", "both", 12),
]


@pytest.mark.parametrize(("name", "content", "parts"), CASES)
def test_what_a_killed_run_has_written_is_kept(name, content, parts, scan, tmp_path, capsys):
    command = [str(scan), *OPTIONS, "--content", content, "-o"]
    killed(parts, "fit", *command, name)
    assert not (tmp_path / name).exists()
    facts = fit(capsys, *command, name)
    whole = fit(capsys, *command, f"whole-{name}")
    kept = int(NOTE.fullmatch(*facts["notes"])[1])
    assert (kept > 0) == (parts > 0)
    assert kept < blocks_of(scan)
    assert whole["notes"] == []
    assert "count" not in facts["seconds"]
    assert files_at(tmp_path / name) == files_at(tmp_path / f"whole-{name}")
    palettes = [(tmp_path / f"{n}.palette.json").read_bytes() for n in (name, f"whole-{name}")]
    assert palettes[0] == palettes[1]
    assert_alike(*(tmp_path / f"{n}.preview.json" for n in (name, f"whole-{name}")))
    assert not list(tmp_path.glob(".*"))


def assert_alike(*paths):
    """Pictures and cloud of the interrupted run are those of one that was not."""
    found, whole = map(Preview.load, paths)
    for field in ("before", "after", "error"):
        pair = (getattr(preview.pictures, field) for preview in (found, whole))
        np.testing.assert_array_equal(*pair)
    np.testing.assert_array_equal(found.cloud[1], whole.cloud[1])
    assert list(found.facts["seconds"]) == ["count", "fit", "write"]


@pytest.mark.slow
def test_a_second_interrupt_keeps_what_the_first_and_the_second_run_have_written(
    scan, tmp_path, capsys
):
    command = [str(scan), *OPTIONS, "-o", "out.zarr"]
    first = killed(7, "fit", *command, number=signal.SIGINT)
    assert first.stderr.strip() == (
        "bigquant: error: interrupted: the same command goes on with what lies in "
        f"{tmp_path / '.out.zarr.partial'}"
    )
    marks = tmp_path / ".out.zarr.partial/rests"
    kept = len(list(marks.iterdir()))
    second = killed(7, "fit", *command, number=signal.SIGTERM)
    assert second.stderr.strip().startswith("bigquant: error: terminated: the same command goes on")
    assert len(list(marks.iterdir())) > kept
    assert NOTE.fullmatch(*fit(capsys, *command)["notes"])
    fit(capsys, *command[:-1], "whole.zarr")
    assert files_at(tmp_path / "out.zarr") == files_at(tmp_path / "whole.zarr")


def test_another_plan_starts_afresh(scan, tmp_path, capsys):
    command = [str(scan), *OPTIONS, "-o", "out.zarr"]
    killed(25, "fit", *command)
    partial, saved = tmp_path / ".out.zarr.partial", tmp_path / "saved"
    shutil.copytree(partial, saved)
    changes = (["-k", "6"], ["--seed", "1"], ["--bands", "3,2,1"], ["--content", "labels"])
    changes += (["--space", "oklab"], ["--dither", "bayer"])
    for further in (*changes, "palette", "input"):
        shutil.copytree(saved, partial, dirs_exist_ok=True)
        if further == "palette":
            (partial / "out.zarr.palette.json").write_text("{}")
        if further == "input":
            os.utime(scan)
        options = further if isinstance(further, list) else []
        assert fit(capsys, *command, *options, "--overwrite")["notes"] == [], further
    fit(capsys, *command[:-1], "whole.zarr")
    assert files_at(tmp_path / "out.zarr") == files_at(tmp_path / "whole.zarr")
    assert not partial.exists()


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--compression", "zstd"], ["--cog"]])
def test_tiles_that_are_encoded_otherwise_are_not_kept(options, scan, tmp_path, capsys):
    command = [str(scan), *OPTIONS, "-o", "out.tif"]
    killed(7, "fit", *command)
    assert fit(capsys, *command, *options)["notes"] == []
    fit(capsys, *command[:-1], "whole.tif", *options)
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_what_a_killed_run_without_a_plan_left_behind_is_removed(tmp_path):
    (tmp_path / ".a.partial/a").mkdir(parents=True)
    with complete_or_nothing(tmp_path / "a", overwrite=False, settle=lambda: None) as folder:
        (folder / "a").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_blocks_that_are_written_are_not_read_again(scan, tmp_path, capsys, monkeypatch):
    """All blocks are written, and then the program is killed: nothing is left to read."""
    command = [str(scan), *OPTIONS, "-o", "out.zarr"]
    assert len(open_image(scan).chunks[0]) > 1
    done = subprocess.run([sys.executable, "-c", KILLED_AT_THE_END, "fit", *command])
    assert done.returncode == -9
    monkeypatch.setattr(TiffWindows, "__getitem__", None)
    assert int(NOTE.fullmatch(*fit(capsys, *command)["notes"])[1]) == blocks_of(scan)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_run_that_is_killed_while_outputs_get_their_names_is_run_again(n, scan, tmp_path, capsys):
    """After the first renaming the output is complete, and its palette is not there yet."""
    command = [str(scan), *OPTIONS, "-o", "out.zarr"]
    done = subprocess.run([sys.executable, "-c", KILLED_WHEN_RENAMING, str(n), "fit", *command])
    assert done.returncode == -9
    fit(capsys, *command, "--overwrite")
    fit(capsys, *command[:-1], "whole.zarr")
    assert files_at(tmp_path / "out.zarr") == files_at(tmp_path / "whole.zarr")
    assert not list(tmp_path.glob(".*"))


def test_there_is_no_plan_where_a_change_could_not_be_told(scan, tmp_path):
    image = open_image(np.zeros((5, 5, 3), np.uint8))
    assert plan_of(image, {}) is None
    assert plan_of(open_image(scan), {}) == plan_of(open_image(scan), {})
    store = zarr.create_array(
        tmp_path / "in.zarr", data=np.zeros((9, 9, 3), np.uint8), chunks=(4, 4, 3)
    )
    plan = plan_of(open_image(tmp_path / "in.zarr"), {})
    assert plan == plan_of(open_image(tmp_path / "in.zarr"), {})
    store[0, 0] = 1
    assert plan != plan_of(open_image(tmp_path / "in.zarr"), {})


@pytest.mark.slow
def test_ten_kills_at_random_moments(large, tmp_path, monkeypatch, rng, capsys):
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    for delay in rng.uniform(0.5, 9, 10):
        with fitting(large) as process:
            time.sleep(delay)
            process.kill()
            process.wait()
            assert not alive(process.pid)
        if (tmp_path / "out.zarr").exists():
            assert (tmp_path / "out.zarr.palette.json").exists()
            break
    else:
        assert main(["fit", str(large), "-k", "8", "-o", "out.zarr", "-q"]) == 0
    assert main(["fit", str(large), "-k", "8", "-o", "whole.zarr", "-q"]) == 0
    assert files_at(tmp_path / "out.zarr") == files_at(tmp_path / "whole.zarr")
