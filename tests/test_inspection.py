"""What people are told: the facts before a job, and the bars while it runs."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from contextlib import redirect_stderr

import dask
import dask.array as da
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from distributed import LocalCluster
from PIL import Image as pillow
from tiffs import cmyk_profile

from bigquant import InputError, compare, inspect, quantize
from bigquant.cli import main
from bigquant.cluster import running_on
from bigquant.factsheets import fact_sheet, format_bytes
from bigquant.terminal import stage_progress

COMMON = {"width": 90, "height": 70, "dtype": "uint8", "blocks": 1, "chunk": [90, 70], "passes": 2}


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (70, 90, 4), dtype=np.uint8)


def write_tiff(path, pixels):
    tifffile.imwrite(
        path, pixels[..., :3], photometric="rgb", tile=(16, 32), compression="zlib",
        resolution=(20000, 4000), resolutionunit=3, iccprofile=b"profile",
        extratags=[(34735, 3, 4, (1, 1, 0, 0), True)],
    )  # fmt: skip
    return {
        "path": str(path), "format": "TIFF", "channels": 3, "alpha": False,
        "compression": "adobe_deflate", "photometric": "rgb", "tiles": "32 x 16",
        "pixel_size": [2.5, 0.5], "icc_profile": True, "georeferenced": True,
        "axes": {"Y": 70, "X": 90, "S": 3},
    }  # fmt: skip


def write_stripped_tiff(path, pixels):
    tifffile.imwrite(path, pixels[..., 0], bigtiff=True, rowsperstrip=7, photometric="minisblack")
    return {
        "format": "BigTIFF", "channels": 1, "alpha": False, "compression": "none",
        "strips": "90 x 7", "pixel_size": None, "icc_profile": False, "georeferenced": False,
    }  # fmt: skip


def write_png(path, pixels):
    pillow.fromarray(pixels).save(path, "PNG", dpi=(254, 254), icc_profile=b"profile")
    return {"format": "PNG", "channels": 3, "alpha": True, "icc_profile": True}


def write_npy(path, pixels):
    with path.open("wb") as file:
        np.save(file, pixels[..., :2])
    facts = {"format": "npy", "channels": 1, "alpha": True, "pixel_size": None}
    return {**facts, "axes": {"y": 70, "x": 90, "c": 2}}


def write_zarr(path, pixels):
    zarr.create_array(path, data=pixels[..., :3], chunks=(32, 32, 3), shards=(64, 64, 3))
    facts = {"format": "Zarr", "channels": 3, "alpha": False, "compression": "zstd"}
    axes = {"axes": {"y": 70, "x": 90, "c": 3}}
    return {**facts, **axes, "chunks": "32 x 32 x 3", "shards": "64 x 64 x 3"}


def write_older_zarr(path, pixels):
    planes, codec = np.moveaxis(pixels[..., :3], 2, 0)[None], numcodecs.Blosc("lz4")
    options = {"zarr_format": 2, "chunks": (1, 1, 32, 32), "compressors": codec}
    array = zarr.create_array(path, data=planes, **options)
    array.attrs["_ARRAY_DIMENSIONS"] = ["t", "c", "y", "x"]
    axes = {"axes": {"t": 1, "c": 3, "y": 70, "x": 90}, "chunks": "1 x 1 x 32 x 32"}
    return {"format": "Zarr", "channels": 3, "compression": "blosc (lz4)", **axes}


@pytest.mark.parametrize(
    "write",
    [write_tiff, write_stripped_tiff, write_png, write_npy, write_zarr, write_older_zarr],
)
def test_facts_of_a_file_are_right(write, tmp_path, pixels):
    expected = {**COMMON, "path": str(tmp_path / "image"), **write(tmp_path / "image", pixels)}
    facts = inspect(tmp_path / "image")
    assert expected.items() <= facts.items()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["output_bytes"] == 70 * 90 * (facts["channels"] + 1)
    assert facts["memory_per_task"] > 70 * 90 * facts["channels"]


def test_facts_of_an_array_are_right(pixels):
    facts = inspect(da.from_array(pixels, chunks=(30, 40, 4)))
    expected = {"path": None, "format": "array", "channels": 3, "alpha": True, "blocks": 9}
    assert {**COMMON, **expected, "chunk": [40, 30]}.items() <= facts.items()


def test_bands_and_masks_are_told(tmp_path, pixels, capfd):
    np.save(tmp_path / "six.npy", np.dstack([pixels, pixels[..., :2]]))
    facts = inspect(tmp_path / "six.npy")
    assert (facts["bands"], facts["channels"], facts["alpha"]) == (6, 6, False)
    assert (facts["algorithm"], facts["passes"]) == ("lloyd", None)
    facts = inspect(tmp_path / "six.npy", bands=(3, 2, 1), nodata=7)
    assert (facts["colors"], facts["nodata"], facts["masked_by"]) == ([3, 2, 1], 7, ["nodata"])
    assert facts["valid_range"] == [0, 255]
    assert main(["info", str(tmp_path / "six.npy"), "--bands", "3,2,1", "--nodata", "7"]) == 0
    out = capfd.readouterr().out
    assert re.search(r"^bands +3,2,1 of 6\nleft out by +nodata\nnodata +7$", out, re.M)
    assert "3 and alpha, uint8 (0 to 255)" in out


def test_stored_chunks_and_axes_are_told_in_words(tmp_path, pixels, capfd):
    write_zarr(tmp_path / "image", pixels)
    assert main(["info", str(tmp_path / "image")]) == 0
    rows = dict(re.split(" {2,}", row, maxsplit=1) for row in capfd.readouterr().out.splitlines())
    assert rows["axes"] == "y=70, x=90, c=3"
    assert (rows["compression"], rows["stored chunks"]) == ("zstd", "32 x 32 x 3")
    assert rows["stored shards"] == "64 x 64 x 3"


def test_all_axes_of_a_stack_are_told(tmp_path, pixels):
    stack = np.zeros((2, 3, 4, 20, 30), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "TCZYX"}, ome=True)
    facts = inspect(tmp_path / "a.ome.tif", select={"T": 0, "Z": 3}, bands=(1,))
    assert facts["axes"] == {"T": 2, "C": 3, "Z": 4, "Y": 20, "X": 30}


@pytest.mark.parametrize("suffix", ["tif", "jpg"])
@pytest.mark.parametrize("profiled", [False, True])
def test_how_cmyk_became_rgb_is_told(tmp_path, pixels, suffix, profiled, capfd):
    path, profile = tmp_path / f"a.{suffix}", cmyk_profile() if profiled else None
    if suffix == "tif":
        tifffile.imwrite(path, pixels, photometric="separated", iccprofile=profile)
    else:
        pillow.fromarray(pixels, "CMYK").save(path, icc_profile=profile)
    assert main(["info", str(path)]) == 0
    how = "by its" if profiled else "without an"
    assert f"converted to RGB {how} ICC profile" in capfd.readouterr().out


def test_no_pixel_of_an_array_is_read():
    def fail(block):
        raise AssertionError("read")

    zeros = da.zeros((500, 400, 3), dtype=np.uint8, chunks=100)
    lazy = zeros.map_blocks(fail, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    assert inspect(lazy)["blocks"] == 20


@pytest.mark.parametrize("write", [write_tiff, write_stripped_tiff, write_png])
def test_no_pixel_of_a_file_is_read(write, tmp_path, pixels):
    path = tmp_path / "image"
    write(path, pixels)
    before = inspect(path)
    spoil(path)
    with pytest.raises(Exception, match=r"damaged|decoded|differ|broken data"):
        quantize_and_compare(path, pixels)
    assert inspect(path) == before


def spoil(path):
    """Overwrite the pixels in the file with rubbish, and nothing else."""
    data = path.read_bytes()
    if data[:4] == b"\x89PNG":
        start, count = data.index(b"IDAT") + 4, 2000
    else:
        with tifffile.TiffFile(path) as tif:
            start, count = tif.pages.first.dataoffsets[0], 50
    path.write_bytes(data[:start] + b"\xff" * count + data[start + count :])


def quantize_and_compare(path, pixels):
    from bigquant import open_image

    read = open_image(path).compute()
    np.testing.assert_array_equal(read, pixels[..., : read.shape[2]], "they differ")


def test_memory_is_told_for_a_block_not_for_the_image():
    facts = [inspect(da.zeros((n, 4096, 3), dtype=np.uint8, chunks=4096)) for n in (8192, 81920)]
    assert facts[0]["memory_per_task"] == facts[1]["memory_per_task"] < 1 << 29
    # with all its levels: a third more than the image and its labels
    assert facts[1]["output_bytes"] == pytest.approx(4 / 3 * 4 * 81920 * 4096, rel=1e-3)


def test_what_is_no_image_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        inspect(tmp_path / "nothing.tif")
    with pytest.raises(InputError, match="complex"):
        inspect(np.zeros((5, 5, 3), complex))


def test_info_prints_the_facts(tmp_path, pixels, capfd):
    path = tmp_path / "photo.tif"
    write_tiff(path, pixels)
    assert main(["info", str(path), "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == inspect(path)
    assert main(["info", str(path)]) == 0
    text, more = capfd.readouterr()
    for words in ("photo.tif", "90 x 70 pixels", "3, uint8", "32 x 16", "0.5 x 2.5 micrometers"):
        assert words in text
    assert (err, more) == ("", "")


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (64 << 20, "64.0 MiB"), (3 << 40, "3.0 TiB")],
)
def test_bytes_are_written_as_people_do(size, text):
    assert format_bytes(size) == text


def test_facts_stand_in_two_columns_and_none_is_left_out():
    sheet = fact_sheet({"size": "5 x 7", "tiles": None, "channels": 3})
    assert sheet.splitlines() == ["size      5 x 7", "channels  3"]


# ---------------------------------------------------------------- progress


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self):
        return True

    def bars(self):
        """The last state of each bar: stage -> (done, all)."""
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())
        found = re.findall(r"(counting colors|fitting|writing|comparing) .*?(\d+)/(\d+)", text)
        return {stage: (int(done), int(total)) for stage, done, total in found}


@pytest.fixture
def watched(monkeypatch):
    """Run something with a terminal for stderr, and give the terminal back."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")

    def watch(work, address=None, quiet=False):
        with (
            redirect_stderr(Terminal()) as terminal,
            running_on(address) as client,
            stage_progress(client, quiet=quiet),
        ):
            work()
        return terminal

    return watch


@pytest.fixture
def lazy(china):
    return da.from_array(china, chunks=(200, 250, 3))


def test_each_stage_has_a_bar_that_fills(lazy, watched, tmp_path):
    bars = watched(lambda: quantize(lazy, 8).to_zarr(tmp_path / "out.zarr")).bars()
    assert list(bars) == ["counting colors", "fitting", "writing"]
    assert all(done == total > 0 for done, total in bars.values())
    assert bars["counting colors"][1] >= lazy.npartitions


def test_a_comparison_has_a_bar_that_fills(lazy, watched):
    bars = watched(lambda: compare(lazy, lazy)).bars()
    assert bars == {"comparing": (lazy.npartitions, lazy.npartitions)}


def test_each_stage_has_a_bar_on_a_cluster_too(watched, tmp_path):
    def wait(block):
        time.sleep(0.2)
        return block

    image = da.zeros((3072, 2048, 3), dtype=np.uint8, chunks=(1024, 1024, 3)).map_blocks(wait)
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "memory_limit": 0}
    options |= {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": ":0"}}
    with LocalCluster(**options) as cluster:
        address = cluster.scheduler_address
        bars = watched(lambda: quantize(image, 1).to_zarr(tmp_path / "o.zarr"), address).bars()
    assert {"counting colors", "writing"} <= set(bars)
    assert all(done == total > 0 for done, total in bars.values())


def test_a_failure_under_a_bar_is_passed_on(watched):
    with pytest.raises(ZeroDivisionError):
        watched(dask.delayed(lambda: 1 // 0)().compute)


def test_quiet_shows_no_bar(lazy, watched):
    assert watched(lambda: quantize(lazy, 2), quiet=True).getvalue() == ""


def test_without_a_terminal_there_is_no_bar(lazy, capfd):
    assert not sys.stderr.isatty()
    with stage_progress(None, quiet=False):
        quantize(lazy, 2)
    assert capfd.readouterr() == ("", "")
