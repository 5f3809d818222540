"""Images beyond 8-bit RGB on the command line, and what GDAL makes of the outputs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import reference
import tifffile
import zarr
from rasterio import Affine

import bigquant
from bigquant.cli import main


def scene(rng, bands):
    """Draw fields of a satellite: bright where the first bands are, dark in the others."""
    fields = rng.integers(0, 5, (8, 10)).repeat(20, axis=0).repeat(20, axis=1)
    levels = np.sort(rng.integers(400, 2600, (5, bands)), axis=0)
    return (levels[fields] + rng.normal(0, 20, (*fields.shape, bands))).astype(np.uint16)


@pytest.fixture
def run(tmp_path, monkeypatch, capfd, rng):
    """Run a command beside some images: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500000, 0, -10, 5000000)}
    for name, dtype, bands in (("four", "uint16", 4), ("six", "uint16", 6), ("sea", "float32", 3)):
        pixels = scene(rng, bands).astype(dtype)
        if dtype == "float32":
            pixels = pixels / np.float32(10000)
            pixels[:40] = np.nan
        size = {"height": pixels.shape[0], "width": pixels.shape[1], "count": bands}
        with rasterio.open(f"{name}.tif", "w", driver="GTiff", dtype=dtype, **size, **place) as out:
            out.write(np.moveaxis(pixels, 2, 0))

    def run(command):
        code = main(command.split())
        return code, *capfd.readouterr()

    return run


def test_info_tells_the_way_and_the_passes(run):
    told = {}
    for name in ("four", "six", "sea"):
        facts = json.loads(run(f"info {name}.tif --json")[1])
        told[name] = facts["channels"], facts["algorithm"], facts["passes"]
    assert told == {"four": (4, "binned", 2), "six": (6, "lloyd", None), "sea": (3, "binned", 3)}
    assert "binned histogram, as fine as memory allows" in run("info four.tif")[1]
    assert "until the colours settle" in run("info six.tif")[1]


@pytest.mark.parametrize(("name", "options"), [("four", ""), ("six", "--bands 3,2,1,4,5,6")])
def test_a_tiff_is_labels_in_the_colours_that_are_shown(run, name, options):
    code, out, err = run(f"fit {name}.tif -k 5 -o out.tif {options}")
    assert (code, err) == (0, "")
    palette = bigquant.Palette.load("out.tif.palette.json")
    assert f"MSE {palette.mse:.2f}" in out
    pixels = bigquant.open_image(f"{name}.tif", bands=(3, 2, 1, 4, 5, 6)[: palette.channels])
    if name == "four":
        pixels = bigquant.open_image("four.tif")
    with rasterio.open("out.tif") as found:
        labels, colormap = found.read(1), found.colormap(1)
    expected = reference.labels(pixels.compute(), palette.colors, 0)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal([colormap[i][:3] for i in range(palette.k)], palette.rgb)
    # fields are told apart, and bright ones are shown brighter
    brightness = palette.rgb.sum(axis=1)
    assert brightness.max() - brightness.min() > 300
    shown = palette.display.bands
    order = np.argsort(palette.colors[:, list(shown)].sum(axis=1))
    assert (np.diff(brightness[order].astype(int)) >= -60).all()


def test_a_sea_of_nan_is_nodata(run):
    assert run("fit sea.tif -k 5 -o out.tif")[0] == 0
    with rasterio.open("out.tif") as found:
        assert found.nodata == 0
        labels = found.read(1)
    assert (labels[:40] == 0).all()
    assert (labels[40:] > 0).all()


def test_an_ome_zarr_has_bands_and_their_windows(run):
    assert run("fit sea.tif -k 5 -o out.zarr --bands 2,1")[0] == 0
    group = zarr.open_group("out.zarr", mode="r")
    palette = bigquant.Palette.load("out.zarr.palette.json")
    assert group["0"].dtype == np.float32
    assert group["0"].shape[0] == 2
    assert np.isnan(group["0"][:, :40]).all()
    windows = [channel["window"] for channel in group.attrs["ome"]["omero"]["channels"]]
    np.testing.assert_allclose(
        [[w["start"], w["end"]] for w in windows], palette.display.windows, rtol=1e-6
    )
    again = bigquant.open_image("out.zarr")
    assert (again.channels, again.dtype) == (2, np.float32)


def test_a_palette_with_its_scale_is_applied(run):
    assert run("fit six.tif -k 5 --scale std -o fitted.tif")[0] == 0
    assert run("apply fitted.tif.palette.json six.tif -o applied.tif")[0] == 0
    np.testing.assert_array_equal(tifffile.imread("applied.tif"), tifffile.imread("fitted.tif"))
    code, _, err = run("apply fitted.tif.palette.json four.tif -o other.tif")
    assert (code, err.count("\n")) == (2, 1)
    assert "is uint16 of 4 bands, the palette uint16 of 6" in err


def test_what_binning_costs_is_told(run):
    facts = json.loads(run("fit four.tif -k 3 -o out.tif --json")[1])
    assert 0 <= facts["binning_bound"] < facts["mse"]
    assert facts["bins"] > 100
    assert "sampled_pixels" in json.loads(run("fit six.tif -k 3 -o six.k3.tif --json")[1])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("fit six.tif -k auto -o out.tif", "give one k"),
        ("fit six.tif -k 3 --algorithm histogram -o out.tif", "use the algorithm 'lloyd'"),
        ("fit four.tif -k 3 --keep #ffffff -o out.tif", "8-bit gray or RGB"),
        ("fit four.tif six.tif -k 3 -o out/", "fit no one palette"),
        ("fit four.tif -k 3 --bands 1,7 -o out.tif", "must be some of 1 to 4"),
        ("sweep six.tif -k 2:4 -o out.csv", "a sweep would take too many"),
    ],
)
def test_what_cannot_be_is_one_line_before_any_work(run, command, words, tmp_path):
    before = sorted(tmp_path.iterdir())
    code, _, err = run(command)
    assert (code, err.count("\n")) == (2, 1)
    assert words in err
    assert sorted(tmp_path.iterdir()) == before
