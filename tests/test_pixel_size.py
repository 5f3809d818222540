"""The physical size of a pixel, wherever a file says it, stands in what is written."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr
from conftest import SAMPLES

import bigquant
from bigquant.omezarr import LABELS, VERSIONS

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
APERIO = "Aperio Image Library v11.2.1\r\n96x64 (256x256) JPEG/RGB Q=30|AppMag = 20|MPP = {}"
SLIDE = SAMPLES / "large/Dana-Farber-AIOS+pathml/tests/testdata/small_HE.svs"


def write_svs(path, mpp=0.499):
    options = {"photometric": "rgb", "tile": (16, 16), "metadata": None}
    with tifffile.TiffWriter(path) as tif:
        said = APERIO.format(mpp)
        tif.write(PIXELS, description=said, **options)
        tif.write(PIXELS[::4, ::4], description=said, **options, subfiletype=1)
        tif.write(PIXELS[::2, ::2], description=said, **options)


def write_ome(path, x=0.325, y=0.65, unit=None, **options):
    metadata = {"axes": "YXS", "PhysicalSizeX": x, "PhysicalSizeY": y}
    if unit:
        metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(path, PIXELS, photometric="rgb", metadata=metadata, **options)


def size_of(path, **choice):
    return bigquant.open_image(path, **choice).source.pixel_size


# ---------------------------------------------------------------- read


def test_a_slide_says_micrometers_per_pixel_in_its_description(tmp_path):
    write_svs(tmp_path / "a.svs")
    assert size_of(tmp_path / "a.svs") == (0.499, 0.499)
    assert size_of(tmp_path / "a.svs", level=1) == (0.998, 0.998)


@pytest.mark.parametrize("mpp", ["", "none", "-1", "0", "nan", "inf"])
def test_a_slide_that_says_nonsense_has_no_size(tmp_path, mpp):
    write_svs(tmp_path / "a.svs", mpp)
    assert size_of(tmp_path / "a.svs") is None


@pytest.mark.skipif(not SLIDE.exists(), reason="the sample images are not there")
def test_a_real_slide():
    with tifffile.TiffFile(SLIDE) as tif:
        parts = tif.pages[0].description.split("|")
    (said,) = (part for part in parts if part.strip().startswith("MPP"))
    assert size_of(SLIDE) == pytest.approx([float(said.split("=")[1])] * 2, rel=1e-12)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [(None, 1), ("µm", 1), ("nm", 1e-3), ("mm", 1e3), ("cm", 1e4), ("pixel", None)],
)
def test_ome_xml_says_the_physical_size(tmp_path, unit, factor):
    write_ome(tmp_path / "a.ome.tif", unit=unit, resolution=(72, 72))
    expected = (0.65 * factor, 0.325 * factor) if factor else (25400 / 72, 25400 / 72)
    assert size_of(tmp_path / "a.ome.tif") == pytest.approx(expected, rel=1e-14)


def test_each_series_of_ome_has_its_own_size(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        for n in (1, 2):
            metadata = {"axes": "YXS", "PhysicalSizeX": n, "PhysicalSizeY": 10 * n}
            tif.write(PIXELS[: 32 * n], photometric="rgb", metadata=metadata)
    for number in (0, 1):
        expected = (10 * (number + 1), number + 1)
        assert size_of(tmp_path / "a.ome.tif", series=number) == expected
    assert size_of(tmp_path / "a.ome.tif", page=1) is None  # which series that is, is not said


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m", "mm", "furlong"])
def test_imagej_says_the_unit_of_its_resolution(tmp_path, unit):
    options = {"imagej": True, "resolution": (4, 2), "metadata": {"unit": unit}}
    tifffile.imwrite(tmp_path / "a.tif", PIXELS[..., 0], **options)
    expected = {"mm": (500, 250), "furlong": None}.get(unit, (0.5, 0.25))
    assert size_of(tmp_path / "a.tif") == expected


# ---------------------------------------------------------------- written


@pytest.mark.parametrize("version", VERSIONS)
def test_the_size_is_written_as_it_was_said_and_read_again(tmp_path, version):
    write_svs(tmp_path / "a.svs")
    image = bigquant.open_image(tmp_path / "a.svs")
    bigquant.quantize(image, 4).to_zarr(tmp_path / "b.zarr", ome_zarr=version)
    bigquant.quantize(image, 4).to_tiff(tmp_path / "b.tif")
    group = zarr.open_group(tmp_path / "b.zarr", mode="r")
    for member, lead in ((group, [1.0]), (group[LABELS], [])):
        attributes = member.attrs.asdict()
        scales = attributes.get("ome", attributes)["multiscales"][0]
        transform = scales["datasets"][0]["coordinateTransformations"][0]
        assert transform == {"type": "scale", "scale": [*lead, 0.499, 0.499]}
        assert [axis.get("unit") for axis in scales["axes"][-2:]] == ["micrometer"] * 2
    assert size_of(tmp_path / "b.zarr") == (0.499, 0.499)
    assert size_of(tmp_path / "b.tif") == pytest.approx((0.499, 0.499), rel=1e-6)


def test_the_size_of_the_level_that_was_read_is_kept(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (600, 900, 3), np.uint8)
    resolution = {"resolution": (1e4 / 0.2528, 1e4 / 0.2528), "resolutionunit": 3}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **resolution)
    bigquant.quantize(bigquant.open_image(tmp_path / "a.tif"), 4).to_zarr(tmp_path / "b.zarr")
    whole, half = (bigquant.open_image(tmp_path / "b.zarr", level=level) for level in (0, 1))
    assert half.source.pixel_size == pytest.approx([2 * s for s in whole.source.pixel_size])
    bigquant.quantize(half, 4).to_zarr(tmp_path / "c.zarr")
    assert size_of(tmp_path / "c.zarr") == half.source.pixel_size
