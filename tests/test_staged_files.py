"""Strips that are staged, against Pillow; the memory that staging takes."""

from __future__ import annotations

import json
import re
import sys
import warnings

import numpy as np
import pytest
import tifffile
from flat_files import measured, read
from outcomes import refused
from PIL import Image as pillow

import bigquant
from bigquant import flat_reader, staging
from bigquant.cli import main


@pytest.fixture(scope="module")
def photo(china):
    return np.ascontiguousarray(china[150:257, 200:331])


@pytest.mark.parametrize("compression", ["deflate", "lzw", "zstd", "packbits", "lzma"])
@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_single_strip_is_staged(tmp_path, photo, compression, predictor, order, capfd):
    if predictor and compression == "packbits":
        pytest.skip("predictors are for LZW and its successors")
    path = tmp_path / "a.tif"
    tall = np.tile(photo, (3, 1, 1))
    for pixels in (photo, tall, tall[..., 0], np.dstack([tall, tall[..., 0]])):
        tifffile.imwrite(
            path,
            np.ascontiguousarray(pixels),
            byteorder=order,
            compression=compression,
            predictor=predictor,
            rowsperstrip=len(pixels),
            photometric="minisblack" if pixels.ndim == 2 else "rgb",
            extrasamples=["unassalpha"] if pixels.shape[2:] == (4,) else None,
        )
        found = read(path, stage=True)
        np.testing.assert_array_equal(found, pixels.reshape(*pixels.shape[:2], -1))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("compression", ["deflate", "lzw", "zstd"])
def test_a_strip_that_is_cut_is_one_line(tmp_path, photo, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.tile(photo, (3, 1, 1)), compression=compression, rowsperstrip=321)
    with tifffile.TiffFile(path, mode="r+") as tif:
        counts = tif.pages[0].tags["StripByteCounts"]
        counts.overwrite(counts.value[0] - 5000)
    with refused(path, bigquant.BigquantError):
        read(path, stage=True)


def test_the_checksum_of_a_strip_is_compared(tmp_path, photo):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, photo, compression="deflate", rowsperstrip=107)
    with tifffile.TiffFile(path) as tif:
        end = tif.pages[0].dataoffsets[0] + tif.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[end - 1] ^= 1
    path.write_bytes(data)
    with refused(path, bigquant.BigquantError):
        read(path, stage=True)


# ---------------------------------------------------------------- the command line


def test_fit_unpacks_before_it_counts_and_shows_a_bar(tmp_path, photo, monkeypatch, capsys):
    monkeypatch.setattr(flat_reader, "BLOCK_BYTES", 0)
    monkeypatch.setattr(staging.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    pillow.fromarray(photo).save(tmp_path / "a.png")
    fit = ["fit", str(tmp_path / "a.png"), "-k", "4", "--json", "-o", str(tmp_path / "a.zarr")]
    assert main(fit) == 0
    facts = json.loads(capsys.readouterr().out)
    assert next(iter(facts["seconds"])) == "unpack"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main([*fit, "--overwrite"]) == 0
    assert re.search(r"unpacking .*107/107", capsys.readouterr().err)
    assert not list((tmp_path / "temporary").iterdir())
    image = bigquant.open_image(tmp_path / "a.png")
    assert np.array_equal(image.compute(), photo)


@pytest.mark.parametrize("strict", [False, True])
def test_each_of_several_files_has_its_bar_and_a_damaged_one_costs_the_others_nothing(
    tmp_path, photo, monkeypatch, capsys, strict
):
    monkeypatch.setattr(flat_reader, "BLOCK_BYTES", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for name in ("[a].png", "b.png", "cut.png"):
        pillow.fromarray(photo).save(tmp_path / name)
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:-5000])
    fit = ["fit", str(tmp_path), "-k", "4", "-o", f"{tmp_path}/out/", "--json"]
    assert main([*fit, "--strict"] if strict else fit) == (2 if strict else 1)
    out, err = capsys.readouterr()
    assert "cut.png: cannot be decoded" in err
    if not strict:
        assert re.search(r"unpacking \[a\].png .*107/107", err)
        assert re.search(r"unpacking b.png .*107/107", err)
        facts = json.loads(out)
        assert (len(facts["images"]), len(facts["failed"])) == (2, 1)
        assert next(iter(facts["seconds"])) == "unpack"
    assert (tmp_path / "out").exists() is not strict


# ---------------------------------------------------------------- memory

SIDE = 10_240
RAW = SIDE * SIDE * 3 / 1e6
LARGE = {
    "a.jpg": (700, {"quality": 85}),
    "progressive.jpg": (RAW + 500, {"quality": 85, "progressive": True}),
    "a.png": (700, {"compress_level": 1}),
    "interlaced.png": (RAW + 500, {"compression": 1, "interlace": True}),
    "lossy.webp": (700, {"Q": 20, "effort": 0}),
    "deflate.tif": (700, {"compression": "deflate"}),
    "deflated.tif": (700, {"compression": "deflate", "predictor": True}),
    "lzw.tif": (700, {"compression": "lzw"}),
}


@pytest.fixture(scope="module")
def hundred_megapixels(china):
    pixels, rng = np.tile(china, (24, 16, 1))[:SIDE, :SIDE].copy(), np.random.default_rng(0)
    for y in range(0, SIDE, 1024):
        band = pixels[y : y + 1024]
        band += rng.integers(0, 5, band.shape, np.uint8)
    return pixels


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_hundred_megapixels_are_read_in_bounded_memory(tmp_path, hundred_megapixels, name):
    import pyvips

    most, options = LARGE[name]
    path = tmp_path / name
    if name.endswith("tif"):
        tifffile.imwrite(path, hundred_megapixels, rowsperstrip=SIDE, photometric="rgb", **options)
    elif name in ("interlaced.png", "lossy.webp"):
        # lossy WebP has no room for the noise of so many pixels
        picture = pyvips.Image.new_from_array(hundred_megapixels).gaussblur(3)
        picture.write_to_file(str(path), **options)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pillow.fromarray(hundred_megapixels).save(path, **options)
    megabytes, told = measured(path)
    assert isinstance(told, list)
    print(f"{name}: {megabytes:.0f} MB")
    assert megabytes < most
