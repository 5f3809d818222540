"""OME-TIFF in, OME-TIFF out: judged by ome-types, tifffile and the programs of the other tests."""

from __future__ import annotations

import json
import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import ome_types
import pytest
import tifffile
from PIL import Image as pillow

from bigquant import Palette, inspect, open_image, quantize
from bigquant.tiff_ome import PALETTE

FACTS = {
    "Name": "Schnitt 3 & <Färbung>",
    "AcquisitionDate": "2024-05-06T07:08:09",
    "Description": "kidney, 20x",
}


def write_ome(path, image, levels=1, **metadata):
    """Write an OME-TIFF by tifffile, with levels in SubIFDs."""
    axes = {"axes": "YXS" if image.ndim == 3 else "YX"}
    photometric = "rgb" if image.ndim == 3 else "minisblack"
    with tifffile.TiffWriter(path, ome=True) as tif:
        options = {"photometric": photometric, "tile": (128, 128), "compression": "zlib"}
        tif.write(image, subifds=levels - 1, metadata={**axes, **metadata}, **options)
        for level in range(1, levels):
            tif.write(image[:: 2**level, :: 2**level], subfiletype=1, **options)
    return path


def described(path):
    """The OME model of a file, as ome-types reads and checks it."""
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ome
        return ome_types.from_xml(tif.pages[0].description.encode(), validate=True)


@pytest.fixture
def slide(tmp_path, rng):
    image = rng.integers(0, 4, (1100, 900, 3), np.uint8) * 80
    sizes = {"PhysicalSizeX": 0.2528, "PhysicalSizeY": 505.6, "PhysicalSizeYUnit": "nm"}
    return write_ome(tmp_path / "in.ome.tif", image, levels=2, **FACTS, **sizes), image


def test_the_pixel_size_of_ome_xml_is_read(slide):
    assert open_image(slide[0]).source.pixel_size == pytest.approx((0.5056, 0.2528), rel=1e-12)
    assert inspect(slide[0], level=1)["pixel_size"] == pytest.approx([1.0112, 0.5056], rel=1e-12)


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "inf", "1e300", "wide"])
def test_a_pixel_size_that_is_none_is_not_believed(wrong, tmp_path):
    path = write_ome(tmp_path / "in.ome.tif", np.zeros((20, 30), np.uint8), PhysicalSizeX=wrong)
    assert open_image(path).source.pixel_size is None


@pytest.mark.parametrize(
    ("dtype", "bits", "top"),
    [
        (np.uint16, "12", 4095),
        (np.uint16, "16", 65535),
        (np.uint16, "99999999999", 65535),
        (np.uint16, "many", 65535),
        (np.uint8, "4", 255),
    ],
)
def test_significant_bits_tell_what_samples_can_be(dtype, bits, top, tmp_path):
    path = write_ome(tmp_path / "in.ome.tif", np.zeros((20, 30), dtype), SignificantBits=bits)
    assert open_image(path).source.valid_range == (0, top)


def test_pixels_of_an_unknown_unit_have_no_size(tmp_path):
    sizes = {"PhysicalSizeX": 2, "PhysicalSizeY": 2, "PhysicalSizeXUnit": "pixel"}
    path = write_ome(tmp_path / "in.ome.tif", np.zeros((20, 30), np.uint8), **sizes)
    assert open_image(path).source.pixel_size is None


@pytest.mark.parametrize(
    ("k", "content", "type_", "channels"),
    [(8, "both", "uint8", [1]), (64, "labels", "uint8", [1]), (300, "both", "uint8", [3])],
)
def test_the_output_is_an_ome_tiff_with_pixel_size(k, content, type_, channels, tmp_path, rng):
    image = rng.integers(0, 256, (300, 200, 3), np.uint8)
    path = write_ome(tmp_path / "in.ome.tif", image, PhysicalSizeX=0.25, PhysicalSizeY=0.5, **FACTS)
    result = quantize(open_image(path), k, n_init=1)
    result.to_tiff(tmp_path / "o.ome.tif", content=content)
    (found,) = described(tmp_path / "o.ome.tif").images
    pixels = found.pixels
    assert (found.name, found.description) == (FACTS["Name"], FACTS["Description"])
    assert found.acquisition_date.isoformat() == FACTS["AcquisitionDate"]
    assert (pixels.size_x, pixels.size_y, pixels.type.value) == (200, 300, type_)
    assert (pixels.physical_size_x, pixels.physical_size_y) == (0.25, 0.5)
    assert [channel.samples_per_pixel for channel in pixels.channels] == channels
    with tifffile.TiffFile(tmp_path / "o.ome.tif") as tif:
        (series,) = tif.series
        assert series.kind == "ome"
        expected = result.labels if k < 256 else result.image
        np.testing.assert_array_equal(series.asarray(), expected.compute())


def test_the_palette_stands_in_an_annotation(slide, tmp_path):
    result = quantize(open_image(slide[0]), 8, n_init=1)
    result.to_tiff(tmp_path / "o.tif")
    model = described(tmp_path / "o.tif")
    (annotation,) = model.structured_annotations
    assert annotation.namespace == PALETTE
    assert model.images[0].annotation_refs[0].id == annotation.id
    palette = Palette.from_json(json.loads(annotation.value)["bigquant"])
    assert palette.as_json() == result.palette.as_json()
    with tifffile.TiffFile(tmp_path / "o.tif") as tif:  # as one finds it without ome-types
        root = ElementTree.fromstring(tif.ome_metadata)
    (text,) = (
        element.findtext("{*}Value")
        for element in root.iter()
        if element.get("Namespace") == PALETTE
    )
    assert json.loads(text)["bigquant"] == result.palette.as_json()


def test_overviews_are_levels_for_ome_readers_and_for_others(slide, tmp_path):
    result = quantize(open_image(slide[0]), 8, n_init=1)
    result.to_tiff(tmp_path / "o.tif")
    labels = result.labels.compute()
    with tifffile.TiffFile(tmp_path / "o.tif") as tif:
        assert len(tif.pages) == 1
        (series,) = tif.series
        assert [level.shape for level in series.levels] == [(1100, 900), (550, 450), (275, 225)]
        np.testing.assert_array_equal(series.asarray(), labels)
        starts = [level.keyframe.dataoffsets[0] for level in series.levels]
        assert starts == sorted(starts, reverse=True)
    with pillow.open(tmp_path / "o.tif") as picture:
        np.testing.assert_array_equal(np.asarray(picture), labels)
    again = open_image(tmp_path / "o.tif")
    np.testing.assert_array_equal(again.compute(), result.compute())
    assert open_image(tmp_path / "o.tif", level=2).shape == (275, 225, 3)
    assert again.source.ome == FACTS
    assert again.source.pixel_size == pytest.approx((0.5056, 0.2528), rel=1e-9)
    if shutil.which("gdalinfo"):
        done = subprocess.run(["gdalinfo", "-json", tmp_path / "o.tif"], capture_output=True)
        band = json.loads(done.stdout)["bands"][0]
        assert [overview["size"] for overview in band["overviews"]] == [[450, 550], [225, 275]]


def test_the_same_image_gives_the_same_bytes(slide, tmp_path):
    for name in "ab":
        quantize(open_image(slide[0]), 8, n_init=1).to_tiff(tmp_path / f"{name}.tif")
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_with_cog_the_overviews_stand_in_the_chain(slide, tmp_path):
    quantize(open_image(slide[0]), 8, n_init=1).to_tiff(tmp_path / "o.tif", cog=True)
    with tifffile.TiffFile(tmp_path / "o.tif") as tif:
        assert len(tif.pages) == 3
    assert described(tmp_path / "o.tif").images[0].pixels.size_x == 900


def test_a_source_without_ome_xml_gives_none(tmp_path, rng):
    tifffile.imwrite(tmp_path / "in.tif", rng.integers(0, 9, (20, 30), np.uint8))
    assert open_image(tmp_path / "in.tif").source.ome is None
    quantize(open_image(tmp_path / "in.tif"), 2).to_tiff(tmp_path / "o.ome.tif")
    with tifffile.TiffFile(tmp_path / "o.ome.tif") as tif:
        assert not tif.is_ome
        assert "bigquant" in json.loads(tif.pages[0].description)
