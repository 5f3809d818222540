"""`bigquant compare`: what it prints, its limits and its exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image as pillow

import bigquant
from bigquant.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch, capfd, rng):
    """Run a command beside some images: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    pixels = rng.integers(0, 250, (40, 60, 3), dtype=np.uint8)
    pillow.fromarray(pixels).save("a.png")
    tifffile.imwrite("b.tif", pixels + np.uint8(3), photometric="rgb", tile=(16, 16))
    alpha = np.full((40, 60), 255, np.uint8)
    alpha[:7] = 0
    pillow.fromarray(np.dstack([pixels, alpha])).save("glass.png")
    pillow.fromarray(pixels[:5]).save("small.png")
    tifffile.imwrite("wide.tif", pixels.astype(np.uint16), photometric="rgb")

    def run(command):
        code = main(command.split())
        return code, *capfd.readouterr()

    return run


def test_facts_are_those_of_the_function(run):
    code, out, err = run("compare a.png b.tif --json")
    facts = json.loads(out)
    assert (code, err) == (0, "")
    expected = bigquant.compare("a.png", "b.tif").as_json()
    assert facts == {"a": "a.png", "b": "b.tif", "width": 60, "height": 40, **expected}
    assert facts["mse"] == 27


def test_a_table_tells_them_in_words(run):
    code, out, err = run("compare a.png b.tif")
    assert (code, err) == (0, "")
    for words in ("60 x 40 pixels", "38.59 dB (MSE 27.00)", "CIEDE2000", "distinct in A"):
        assert words in out
    assert "masked" not in out
    out = run("compare glass.png a.png")[1]
    assert "420 pixels left out (420 only by A, 0 only by B)" in out
    assert "no error" in out
    assert "masked" not in run("compare glass.png a.png --no-mask")[1]


def test_quiet_prints_nothing(run):
    assert run("compare a.png b.tif -q") == (0, "", "")


@pytest.mark.parametrize(
    "limits", ["mse=27", "mse=28.5 --fail-above ciede2000_mean=9 --fail-above ciede2000_p95=9"]
)
def test_within_the_limits_the_exit_code_is_0(limits, run):
    assert run(f"compare a.png b.tif -q --fail-above {limits}") == (0, "", "")


def test_above_a_limit_the_exit_code_is_1_and_a_line_says_why(run):
    code, out, err = run("compare a.png b.tif --fail-above mse=26.5")
    assert code == 1
    assert "38.59 dB" in out
    assert err == "bigquant: error: a.png and b.tif: mse is 27, above the limit of 26.5\n"


def test_a_line_names_all_limits_that_are_exceeded(run):
    limits = "--fail-above ciede2000_mean=0.1 --fail-above mse=99 --fail-above ciede2000_p95=0.2"
    code, out, err = run(f"compare a.png b.tif -q {limits}")
    facts = bigquant.compare("a.png", "b.tif")
    assert (code, out) == (1, "")
    assert err == (
        "bigquant: error: a.png and b.tif: "
        f"ciede2000_mean is {facts.ciede2000_mean:.6g}, above the limit of 0.1; "
        f"ciede2000_p95 is {facts.ciede2000_p95:.6g}, above the limit of 0.2\n"
    )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("compare a.png", "'B'"),
        ("compare a.png none.tif", "none.tif: no such file"),
        ("compare a.png small.png", "a.png is 60 x 40 pixels, "),
        ("compare a.png small.png", "small.png 60 x 5: only images of one size can be compared"),
        ("compare wide.tif a.png", "wide.tif: has pixels of uint16, and only uint8"),
        ("compare a.png b.tif --fail-above 3", "'3' is not METRIC=VALUE such as"),
        ("compare a.png b.tif --fail-above psnr=30", "of mse, ciede2000_mean, ciede2000_p95"),
        ("compare a.png b.tif --fail-above mse=-1", "a number from 0"),
        ("compare a.png b.tif --fail-above mse=nan", "'mse=nan' is not METRIC=VALUE"),
        ("compare a.png b.tif --fail-above mse=", "'mse=' is not METRIC=VALUE"),
        ("compare a.png b.tif --workers 1 --scheduler tcp://h:1", "exclude each other"),
        ("compare a.png b.tif --bands 1,2,x", "such as 3,2,1"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(command, words, run):
    code, out, err = run(command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("bigquant: error: ")
    assert words in err


def test_an_image_without_a_pixel_to_compare_is_unusable_input(run, tmp_path):
    pillow.fromarray(np.zeros((40, 60, 4), np.uint8)).save("clear.png")
    code, out, err = run("compare a.png clear.png")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "there is nothing to compare" in err


def test_damage_is_an_unreadable_input(run, tmp_path):
    with tifffile.TiffFile("b.tif") as tif:
        tile = tif.pages.first.dataoffsets[-1]
    data = (tmp_path / "b.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(data[: tile + 3])
    code, out, err = run("compare a.png b.tif")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "b.tif: " in err


def test_options_are_for_both_images_or_for_a_only(run, rng):
    """A is what the bands make of it, B is quantized already."""
    bands = rng.integers(0, 9, (6, 40, 60), dtype=np.uint8) * np.uint8(30)
    tifffile.imwrite("six.tif", bands, photometric="minisblack", planarconfig="separate")
    assert run("fit six.tif -k 8 -o out.zarr --bands 3,2,1 -q") == (0, "", "")
    palette = bigquant.Palette.load("out.zarr.palette.json")
    facts = json.loads(run("compare six.tif out.zarr --bands 3,2,1 --a-only --json")[1])
    assert facts["mse"] == palette.mse
    facts = json.loads(run("compare six.tif six.tif --bands 3,2,1 --json")[1])
    assert (facts["mse"], facts["psnr"]) == (0, None)
    code, _, err = run("compare six.tif six.tif --bands 3,2,1 --a-only")
    assert (code, err.count("\n")) == (2, 1)
    assert "six.tif: has 6 bands" in err


def test_it_runs_on_workers(run):
    expected = run("compare a.png b.tif --json")
    assert run("compare a.png b.tif --json --workers 1") == expected
