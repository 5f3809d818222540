"""The command line: what it prints and writes, how it refuses, and its exit codes."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from importlib.metadata import entry_points

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image as pillow

import bigquant
from bigquant import cli, collection, tiff_parts
from bigquant.cli import main

MODULE = [sys.executable, "-m", "bigquant"]
TILED = {"tile": (64, 64), "compression": "zlib", "photometric": "rgb"}


@pytest.fixture
def folder(tmp_path, monkeypatch, rng):
    """The current folder, with good and bad inputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    pixels = rng.integers(0, 256, (100, 150, 4), dtype=np.uint8)
    pillow.fromarray(pixels[..., :3]).save("photo.png")
    pillow.fromarray(np.zeros((8, 8, 4), np.uint8)).save("clear.png")
    pixels[..., 3] = np.where(pixels[..., 3] < 50, 0, 255)
    pillow.fromarray(pixels).save("glass.png")
    tifffile.imwrite("photo.tif", pixels[..., :3], **TILED)
    whole = (tmp_path / "photo.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "head.tif").write_bytes(whole[:8])
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("This is no picture.\n" * 50)
    (tmp_path / "plain").mkdir()
    zarr.create_group("taken.zarr").create_array("0", data=pixels[..., :3])
    zarr.create_group("stored")
    (tmp_path / "plain.zarr").mkdir()
    (tmp_path / "plain.zarr" / "notes.txt").touch()
    (tmp_path / "taken.tif").touch()
    return tmp_path


@pytest.fixture
def run(folder, capfd):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def run(command):
        code = main(command.split())
        return code, *capfd.readouterr()

    return run


def damage(path):
    """Overwrite a tile of a TIFF."""
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages.first.dataoffsets[3]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 200)


def assert_one_line(err, words=""):
    lines = err.strip().splitlines()
    assert len(lines) == 1
    assert err.startswith("bigquant: error: ")
    assert words in lines[0]


# ---------------------------------------------------------------- bad input

BAD = [
    ("fit nothing.tif", "nothing.tif: no such file"),
    ("fit plain", "plain: a folder without images"),
    ("fit *.xyz", "*.xyz: no file matches"),
    ("fit @photo.png", "photo.png: is no readable list"),
    ("fit @empty.tif", "empty.tif: an empty list"),
    ("fit photo.tif photo.png -o o.zarr", "one file for 2 inputs"),
    ("fit photo.tif photo.png -o o/", "photo.tif and photo.png would both become o/photo.zarr"),
    ("fit photo.tif glass.png -o o/ --mask clear.png", "--mask is for one input"),
    ("fit photo.tif --mask clear.png", "clear.png: is 8 x 8 pixels, the image 150 x 100"),
    ("fit photo.tif --mask clear.png --no-mask", "--no-mask excludes"),
    ("fit photo.tif --bands 1,2,x", "such as 3,2,1"),
    ("fit photo.tif --bands 3,2,4", "bands 3,2,4: must be some of 1 to 3"),
    ("fit photo.tif --select T", "such as T=0"),
    ("fit photo.tif --select T=0 --select T=1", "T=0 and T=1: give one of them"),
    ("fit photo.tif --storage-option anon", "such as anon=true"),
    ("fit photo.tif -o o.tif --format zarr", "drop one"),
    ("fit photo.tif cut.tif --strict -o o/", "cut.tif: is truncated"),
    ("fit text.tif", "text.tif: not an image"),
    ("fit empty.tif", "empty.tif: not an image"),
    ("fit cut.tif", "cut.tif"),
    ("fit head.tif", "head.tif"),
    ("fit clear.png", "every pixel of the image is transparent"),
    ("fit photo.png -k 0", "k=0: must be a whole number from 1 to 65535"),
    ("fit photo.png -k 70000", "k=70000: must be a whole number from 1 to 65535"),
    ("fit photo.png -k many", "'many'"),
    ("fit photo.png -o taken.zarr", "taken.zarr: exists already"),
    ("fit photo.tif -o photo.tif --overwrite", "photo.tif: is the input"),
    ("fit taken.zarr/0 -o taken.zarr --overwrite", "taken.zarr/0 or overlaps it"),
    ("fit photo.png -o plain.txt --overwrite", "an output's name ends in"),
    ("fit photo.png -o plain.zarr --overwrite", "plain.zarr: is a folder, and no Zarr"),
    ("fit photo.png -o missing/out.zarr", "there is no folder"),
    ("fit photo.png -o taken.zarr/", "taken.zarr: exists already"),
    ("fit photo.png -o stored", "stored: is a Zarr, and no folder for outputs"),
    ("fit photo.png -o s3://", "s3://: names no place: say s3://BUCKET/OUT.zarr"),
    ("fit photo.png -o memory://out.zarr", "memory://out.zarr: is gone when this command ends"),
    ("fit photo.png -o /proc/out.zarr", "cannot be written in /proc"),
    ("fit photo.png -o out.jpg", "out.jpg: an output's name ends in .zarr, .tif, .png or .npy"),
    (f"fit photo.png -o {'x' * 250}.zarr", "x.zarr"),
    ("fit photo.png --keep red,#ggg", "'#ggg' is no opaque colour"),
    ("fit photo.png --keep #fff,white", "#ffffff is to be kept 2 times"),
    ("fit photo.png --keep #fff,#000 -k 1", "k=1: must be at least 2"),
    ("fit photo.png --keep #fff --algorithm dask-ml", "dask-ml's own fit keeps no colours"),
    ("fit photo.png --bad", "--bad"),
    ("fit photo.png --content all", "'all'"),
    ("fit photo.png --ome-zarr 0.3", "'0.3'"),
    ("fit photo.png --ome-zarr 0.4 -o out.tif", "--ome-zarr is for outputs in .zarr"),
    ("fit photo.png --algorithm magic", "'magic'"),
    ("fit photo.png --seed -1", "-1"),
    ("fit photo.png --workers 0", "0"),
    ("fit photo.png --workers 2 --scheduler tcp://127.0.0.1:1", "exclude each other"),
    ("fit photo.png --scheduler gopher://127.0.0.1:1", "gopher://127.0.0.1:1"),
    ("fit", "INPUT"),
    ("nope", "nope"),
    ("--bad", "--bad"),
    ("info nothing.tif", "nothing.tif: no such file"),
    ("info text.tif", "text.tif: not an image"),
    ("sample out.zarr", "out.zarr: a sample is a TIFF"),
    ("sample out.png", ".tif"),
    ("sample taken.tif", "taken.tif: exists already"),
    ("sample missing/out.tif", "there is no folder"),
    ("sample /proc/out.tif", "cannot be written in /proc"),
    ("sample out.tif --image tree", "'tree'"),
    ("sample out.tif --megapixels 0", "megapixels=0"),
]


@pytest.mark.parametrize(("command", "words"), BAD, ids=[command[:60] for command, _ in BAD])
def test_bad_input_is_one_clear_line_and_exit_code_2(command, words, run, folder):
    before = set(folder.rglob("*"))
    code, out, err = run(command)
    assert_one_line(err, words)
    assert (code, out) == (2, "")
    assert set(folder.rglob("*")) == before


def test_no_scheduler_at_the_address_is_said_within_15_seconds(run, folder):
    start = time.monotonic()
    code, out, err = run("fit photo.png --scheduler 127.0.0.1:1")
    assert time.monotonic() - start < 15
    assert_one_line(err, "no Dask scheduler answers at 127.0.0.1:1")
    assert (code, out) == (2, "")
    assert not list(folder.glob("photo.k32*"))


@pytest.mark.parametrize("output", ["out.zarr", "out.tif"])
def test_a_damaged_tile_is_an_unreadable_input_and_leaves_nothing(output, run, folder):
    damage(folder / "photo.tif")
    code, out, err = run(f"fit photo.tif -k 4 -o {output}")
    assert_one_line(err, "photo.tif: tile or strip 3 is damaged")
    assert (code, out) == (2, "")
    assert not list(folder.glob("*out*"))


def test_a_full_disk_is_exit_code_1_and_leaves_nothing(run, folder, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tiff_parts, "write_part", fail)
    code, _, err = run("fit photo.tif -k 4 -o out.tif")
    assert_one_line(err, "No space left on device")
    assert code == 1
    assert not list(folder.glob("*out*"))


def test_an_error_nobody_foresaw_is_one_line_too(run, folder, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(collection, "quantize_images", fail)
    code, _, err = run("fit photo.tif")
    assert_one_line(err, "RuntimeError: first second (--traceback shows where)")
    assert code == 1
    with pytest.raises(RuntimeError, match="second"):
        main(["fit", "photo.tif", "--traceback"])


def test_ctrl_c_is_one_line_even_where_zarr_is_at_work(run, monkeypatch):
    def interrupted(*arguments, **options):
        coroutine = asyncio.sleep(1)  # zarr has such, that nobody awaits any more
        raise KeyboardInterrupt(coroutine)

    monkeypatch.setattr(collection, "quantize_images", interrupted)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        code, _, err = run("fit photo.png")
        gc.collect()
    assert_one_line(err, "interrupted: nothing was written")
    assert (code, caught) == (130, [])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("fit photo.png -k 2", "the output is complete"),
        ("fit photo.png glass.png -k 2 -o plain/ --json", "2 of 2 outputs are complete"),
        ("sample out.tif --megapixels 0.01", "out.tif is complete"),
        ("sweep photo.png -k 2:3 -o a.csv -o b.json", "a.csv and b.json are complete"),
        ("info photo.png", "(No space left on device)"),
    ],
)
def test_a_stdout_that_is_full_is_one_line_with_what_is_complete(command, words, run, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        code, _, err = run(command)
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
    assert_one_line(err, words)
    assert "stdout cannot be written (No space left on device)" in err
    assert code == 1


# ---------------------------------------------------------------- fit


def squared_error(source, pixels):
    """Mean over the opaque pixels of the squared error, summed over the channels."""
    error = ((source[..., :3].astype(np.int64) - pixels) ** 2).sum(axis=2)
    return error[source[..., 3] > 0].mean() if source.shape[2] == 4 else error.mean()


@pytest.mark.parametrize("output", ["out.zarr", "out.tif"])
@pytest.mark.parametrize("name", ["photo.png", "glass.png", "photo.tif"])
def test_fit_reports_what_it_wrote(name, output, run, folder):
    code, out, err = run(f"fit {name} -k 8 -o {output} --json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    source = tifffile.imread(name) if name == "photo.tif" else np.asarray(pillow.open(name))
    if output == "out.tif":
        pixels = np.asarray(pillow.open(output).convert("RGB"))
    else:
        pixels = np.moveaxis(zarr.open_array("out.zarr/0", mode="r")[:], 0, 2)
    mse = squared_error(source, pixels)
    assert facts["mse"] == pytest.approx(mse, rel=1e-12)
    assert facts["psnr"] == pytest.approx(10 * np.log10(255**2 * 3 / mse))
    opaque = source[source[..., 3] > 0] if source.shape[2] == 4 else source.reshape(-1, 3)
    assert facts["distinct_colors"] == len(np.unique(opaque[:, :3], axis=0))
    expected = {"input": name, "output": output, "width": 150, "height": 100, "k": 8}
    assert expected.items() <= facts.items()
    assert (facts["blocks"], facts["chunk"], facts["notes"]) == (1, [150, 100], [])
    assert set(facts["seconds"]) == {"count", "fit", "write"}
    assert bigquant.Palette.load(facts["palette"]).mse == facts["mse"]


def test_the_output_lies_beside_the_input_by_default(run, folder):
    (folder / "deep").mkdir()
    (folder / "photo.png").rename("deep/my.photo.png")
    os.chdir(folder / "plain")
    code, out, _ = run("fit ../deep/my.photo.png --json")
    assert (code, json.loads(out)["output"]) == (0, "../deep/my.photo.k32.zarr")
    assert (folder / "deep/my.photo.k32.zarr/zarr.json").is_file()
    assert not list((folder / "plain").iterdir())


def test_fit_ends_with_a_summary(run, folder):
    code, out, err = run("fit photo.png -k 4")
    assert (code, err) == (0, "")
    for words in ("150 x 100 pixels", "-> 4", "dB (MSE", "photo.k4.zarr", "count", "write"):
        assert words in out


@pytest.mark.parametrize(
    "command", ["fit photo.png -k 2 -q", "fit photo.png -k 2 -o o.tif --quiet", "sample o.tif -q"]
)
def test_quiet_prints_nothing(command, run):
    assert run(command) == (0, "", "")


@pytest.mark.parametrize("action", ["default", "ignore", "error"])
def test_fewer_colors_than_k_are_noted_whatever_the_warning_filter(action, run, folder):
    pillow.fromarray(np.full((20, 30, 3), 7, np.uint8)).save("flat.png")
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        code, out, err = run("fit flat.png -k 8 --json")
        text = run("fit flat.png -k 8 --overwrite")[1]
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["k"], facts["mse"], facts["psnr"]) == (1, 0, None)
    assert facts["notes"] == ["k=1, not 8: the image has only 1 distinct colour"]
    assert "only 1 distinct" in text


def test_overwrite_replaces_an_output(run):
    assert run("fit photo.tif -k 2 -o taken.zarr/ --overwrite -q") == (0, "", "")
    pixels = np.asarray(bigquant.open_image("taken.zarr/0")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) == 2


def test_the_seed_and_the_algorithm_are_facts_of_the_palette(run, folder):
    run("fit photo.png -k 3 -o a.tif --seed 5 --algorithm histogram")
    fit = json.loads((folder / "a.tif.palette.json").read_text())["fit"]
    assert (fit["random_state"], fit["algorithm"]) == (5, "histogram")


def test_no_command_prints_the_help(run):
    code, out, err = run("")
    assert code == 2
    assert "fit" in out + err
    assert "sample" in out + err


# ---------------------------------------------------------------- the program


def test_help_answers_at_once():
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        help_ = subprocess.run([*MODULE, "fit", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert b"--scheduler" in help_.stdout
    assert min(seconds) < 1.5  # 0.1 s on an idle machine


def test_the_command_line_imports_nothing_heavy():
    code = "import sys, bigquant.cli; print(*{'dask', 'numpy', 'zarr', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_version_and_console_script():
    done = subprocess.run([*MODULE, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(f"version {bigquant.__version__}")
    (script,) = entry_points(group="console_scripts", name="bigquant")
    assert script.load() is cli.run
