"""The place on Earth of an OME-Zarr, as GDAL reads it, and the size of its pixels on the ground."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import zarr
from ome_zarr_models import open_ome_zarr
from rasterio.crs import CRS
from rasterio.transform import Affine

from bigquant import open_image, quantize
from bigquant.omezarr import LABELS, VERSIONS

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
NORTH_UP = Affine(10, 0, 5e5, 0, -5, 4.6e6)


def write(folder, version="0.4", crs="EPSG:32632", transform=NORTH_UP, **options):
    """Quantize a GeoTIFF of 700 x 600 pixels."""
    form = {"width": 600, "height": 700, "count": 3, "dtype": "uint8", "driver": "GTiff"}
    with rasterio.open(folder / "in.tif", "w", **form, crs=crs, transform=transform) as file:
        file.write(np.random.default_rng(0).integers(0, 256, (3, 700, 600), np.uint8) // 99)
    result = quantize(open_image(folder / "in.tif"), 4)
    result.to_zarr(folder / "o.zarr", ome_zarr=version, **options)
    return zarr.open_group(folder / "o.zarr", mode="r")


def place_of(path, name):
    with rasterio.open(f'ZARR:"{path}":/{name}') as file:
        return file.crs, file.transform


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32632", NORTH_UP),
        ("EPSG:4326", Affine(1e-4, 0, 7, 0, -1e-4, 50)),
        ("EPSG:2263", Affine(3, 0, 7, 0, 3, 50)),
        (None, NORTH_UP),
    ],
)
def test_gdal_finds_the_place_of_image_and_labels(crs, transform, tmp_path):
    write(tmp_path, crs=crs, transform=transform)
    for name in ("0:0", f"{LABELS}/0"):
        found, where = place_of(tmp_path / "o.zarr", name)
        assert found == (CRS.from_user_input(crs) if crs else None)
        assert where.almost_equals(transform, 1e-9)
    write(tmp_path, crs=crs, transform=transform, content="labels", overwrite=True)
    assert place_of(tmp_path / "o.zarr", f"{LABELS}/0")[1].almost_equals(transform, 1e-9)
    assert place_of(tmp_path / "o.zarr", f"{LABELS}/1")[1].is_identity  # has no coordinates


def test_a_rotated_image_has_none_rather_than_a_wrong_one(tmp_path):
    write(tmp_path, transform=Affine(10, 2, 5e5, 3, -5, 4.6e6))
    assert place_of(tmp_path / "o.zarr", "0:0") == (None, Affine.identity())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("crs", "size"),
    [
        ("EPSG:32632", [5, 10]),
        ("EPSG:2263", [pytest.approx(5 * 1200 / 3937), pytest.approx(10 * 1200 / 3937)]),
        ("EPSG:4326", None),  # degrees are no length
        (None, None),
    ],
)
def test_pixels_are_of_their_size_on_the_ground_in_meters(crs, size, version, tmp_path):
    group = write(tmp_path, version, crs)
    open_ome_zarr(group)
    for member, lead in ((group, [1]), (group[LABELS], [])):
        attributes = member.attrs.asdict()
        scales = attributes.get("ome", attributes)["multiscales"][0]
        assert [axis.get("unit") for axis in scales["axes"][-2:]] == ["meter" if size else None] * 2
        (first, *_), (second, *_) = (s["coordinateTransformations"] for s in scales["datasets"])
        assert first["scale"] == [*lead, *(size or [1, 1])]
        assert second["scale"] == [*lead, *(2 * side for side in first["scale"][-2:])]
    read_again = open_image(tmp_path / "o.zarr").source.pixel_size
    assert read_again == (size and pytest.approx([1e6 * float(s) for s in first["scale"][-2:]]))


@pytest.mark.parametrize("version", VERSIONS)
def test_coordinates_are_those_of_the_centres_of_pixels(version, tmp_path):
    group = write(tmp_path, version)
    for part in (group, group[LABELS]):
        np.testing.assert_allclose(part["x"], 5e5 + 10 * np.arange(600) + 5)
        np.testing.assert_allclose(part["y"], 4.6e6 - 5 * np.arange(700) - 2.5)
        assert part["0"].attrs["_CRS"] == {"url": "http://www.opengis.net/def/crs/EPSG/0/32632"}
        if version == "0.5":
            assert part["x"].metadata.dimension_names == ("x",)
