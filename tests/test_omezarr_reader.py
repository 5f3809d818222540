"""OME-Zarr groups: levels, series, axes, colours and pixel sizes; what we write is read again."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from outcomes import refused

import bigquant

UM = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
CYX = [{"name": "c", "type": "channel"}, *UM]


def write_image(path, pixels, axes, *, version="0.5", levels=2, omero=None, scale=None, **extra):
    """An OME-Zarr image whose levels are every second pixel of the one before."""
    group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
    datasets = []
    for level in range(levels):
        data = pixels[..., :: 2**level, :: 2**level]
        group.create_array(str(level), data=data, chunks=[min(n, 16) for n in data.shape])
        steps = [{"type": "scale", "scale": [s * 2**level for s in scale]}] if scale else []
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    multiscale = {"datasets": datasets, **({"axes": axes} if axes else {}), **extra}
    image = {"multiscales": [multiscale]}
    if omero:
        image["omero"] = {"channels": omero}
    if version == "0.5":
        group.attrs["ome"] = {"version": version, **image}
    else:
        multiscale["version"] = version
        group.attrs.update(image)
    return group


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (3, 61, 83), np.uint8)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_levels_are_chosen(tmp_path, pixels, version):
    write_image(tmp_path / "a", pixels, CYX, version=version, scale=[1, 0.5, 0.25])
    for level in (0, 1):
        image = bigquant.open_image(tmp_path / "a", level=level)
        step = 2**level
        np.testing.assert_array_equal(image, np.moveaxis(pixels, 0, 2)[::step, ::step])
        assert image.source.pixel_size == pytest.approx((0.5 * step, 0.25 * step))
        assert image.source.format == "OME-Zarr"
        assert image.source.details["levels"] == ["0", "1"]
    for level in (2, -1):
        with refused(tmp_path / "a") as caught:
            bigquant.open_image(tmp_path / "a", level=level)
        assert "choose one of 0, 1" in str(caught.value)


def test_a_level_that_is_named_itself_has_the_axes_of_its_image(tmp_path, pixels):
    write_image(tmp_path / "a", pixels, CYX, version="0.4")
    image = bigquant.open_image(tmp_path / "a" / "1")
    np.testing.assert_array_equal(image, np.moveaxis(pixels, 0, 2)[::2, ::2])


@pytest.mark.parametrize("unit", ["millimeter", "nanometer", "parsec", None])
def test_pixel_sizes_are_micrometers(tmp_path, pixels, unit):
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "unit": unit} for n in "yx")]
    whole = {"coordinateTransformations": [{"type": "scale", "scale": [1, 2, 4]}]}
    write_image(tmp_path / "a", pixels, axes, scale=[1, 3, 5], **whole)
    size = bigquant.open_image(tmp_path / "a").source.pixel_size
    factor = {"millimeter": 1e3, "nanometer": 1e-3}.get(unit)
    assert size == (factor and pytest.approx((6 * factor, 20 * factor)))


@pytest.mark.parametrize(
    ("said", "colors"),
    [
        ([{"label": "Blue"}, {"label": "Green"}, {"label": "Red"}], (2, 1, 0)),
        ([{"label": "R"}, {"label": "B"}, {"label": "G"}], (0, 2, 1)),
        ([{"color": "0000ff"}, {"color": "FF0000"}, {"color": "00FF00"}], (1, 2, 0)),
        ([{"label": "DAPI", "color": "0000FF"}] * 3, (0, 1, 2)),
        ([{"label": "Red"}], (0, 1, 2)),  # not said of all
        (None, (0, 1, 2)),
    ],
)
def test_colours_are_known_by_label_or_colour(tmp_path, pixels, said, colors):
    write_image(tmp_path / "a", pixels, CYX, omero=said)
    image = bigquant.open_image(tmp_path / "a")
    np.testing.assert_array_equal(image, np.moveaxis(pixels[list(colors)], 0, 2))


def test_channels_of_unknown_meaning_are_bands(tmp_path, rng):
    pixels = rng.integers(0, 256, (4, 20, 30), np.uint8)
    write_image(tmp_path / "a", pixels, CYX, levels=1)
    image = bigquant.open_image(tmp_path / "a")
    np.testing.assert_array_equal(image, np.moveaxis(pixels, 0, 2))
    assert (image.channels, image.has_alpha) == (4, False)  # and the fourth is not alpha
    image = bigquant.open_image(tmp_path / "a", bands=[2, 4, 1])
    np.testing.assert_array_equal(image, np.moveaxis(pixels, 0, 2)[..., [1, 3, 0]])
    image = bigquant.open_image(tmp_path / "a", select={"c": 2})
    np.testing.assert_array_equal(image, pixels[2][..., None])


@pytest.mark.parametrize(
    ("windows", "wanted"),
    [
        ([{"min": 0, "max": 4095, "start": 9, "end": 99}] * 3, (0, 4095)),
        ([{"min": 5, "max": 9}, {"min": 0, "max": 7}, {"min": 2, "max": 4}], (0, 9)),
        ([{"min": 0, "max": 70_000}] * 3, (0, 65_535)),
        ([{"min": 0, "max": 9}, {"min": 0}, {"min": 1, "max": 7}], (0, 65_535)),
        ([{"min": 3, "max": 3}] * 3, (0, 65_535)),
        ([{"min": "0", "max": None}] * 3, (0, 65_535)),
        ([None] * 3, (0, 65_535)),
    ],
)
def test_windows_of_channels_tell_the_valid_range(tmp_path, pixels, windows, wanted):
    omero = [{"window": window} for window in windows]
    write_image(tmp_path / "a", pixels.astype(np.uint16), CYX, omero=omero)
    assert bigquant.open_image(tmp_path / "a").source.valid_range == wanted


@pytest.mark.parametrize("version", ["0.1", "0.3", "0.4", "0.5"])
def test_planes_are_selected(tmp_path, rng, version):
    pixels = rng.integers(0, 256, (4, 3, 2, 20, 30), np.uint8)
    axes = {"0.1": None, "0.3": list("tczyx")}.get(version, [{"name": n} for n in "tczyx"])
    write_image(tmp_path / "a", pixels, axes, version=version)
    image = bigquant.open_image(tmp_path / "a", select={"Z": 1, "T": 3})
    np.testing.assert_array_equal(image, np.moveaxis(pixels[3, :, 1], 0, 2))
    with refused(tmp_path / "a") as caught:
        bigquant.open_image(tmp_path / "a", select={"Z": 1})
    assert "t=4, c=3, z=2, y=20, x=30: choose a plane of t" in str(caught.value)


@pytest.mark.parametrize("listed", [False, True])
def test_series_of_a_bioformats2raw_group_are_chosen(tmp_path, pixels, listed):
    group = zarr.create_group(tmp_path / "a", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    names = ["x", "y"] if listed else ["0", "1"]
    if listed:
        group.create_group("OME").attrs["series"] = names
    for shift, name in enumerate(names):
        write_image(tmp_path / "a" / name, pixels + np.uint8(shift), CYX, version="0.4")
    for series in (None, 0, 1):
        image = bigquant.open_image(tmp_path / "a", series=series)
        np.testing.assert_array_equal(image, np.moveaxis(pixels + np.uint8(series or 0), 0, 2))
    with refused(tmp_path / "a") as caught:
        bigquant.open_image(tmp_path / "a", series=2)
    assert "choose one of 0, 1" in str(caught.value)


def test_a_plate_is_refused_with_the_path_of_an_image(tmp_path, pixels):
    group = zarr.create_group(tmp_path / "a", zarr_format=2)
    group.attrs["plate"] = {"wells": [{"path": "B/3"}]}
    well = group.create_group("B/3")
    well.attrs["well"] = {"images": [{"path": "1"}]}
    write_image(tmp_path / "a" / "B" / "3" / "1", pixels, CYX, version="0.4")
    for path in (tmp_path / "a", tmp_path / "a" / "B" / "3"):
        with refused(path) as caught:
            bigquant.open_image(path)
        assert str(caught.value).endswith(f"e.g. {tmp_path}/a/B/3/1")
    assert bigquant.open_image(f"{tmp_path}/a/B/3/1").shape == (61, 83, 3)


@pytest.mark.parametrize("content", ["both", "image", "labels"])
@pytest.mark.parametrize("gray", [False, True])
def test_what_is_written_is_read_again(tmp_path, flower, content, gray):
    image = flower[..., :1] if gray else flower
    result = bigquant.quantize(image, 5)
    result.to_zarr(tmp_path / "out.zarr", content=content)
    again = bigquant.open_image(tmp_path / "out.zarr")
    expected = result.image if content != "labels" else result.labels[..., None]
    np.testing.assert_array_equal(again, expected)
    assert again.source.valid_range == (0, 255)
    if content != "image":
        labels = bigquant.open_image(tmp_path / "out.zarr" / "labels" / "quantized")
        np.testing.assert_array_equal(labels[..., 0], result.labels)


@pytest.mark.parametrize(
    "change",
    [
        {"multiscales": []},
        {"multiscales": 7},
        {"multiscales": [{}]},
        {"multiscales": [{"datasets": [], "axes": CYX}]},
        {"multiscales": [{"datasets": [{"path": "9"}], "axes": CYX}]},
        {"multiscales": [{"datasets": [{"path": None}], "axes": CYX}]},
        {"multiscales": [{"datasets": [{"path": "0"}], "axes": CYX[1:]}]},
        {"multiscales": [{"datasets": [{"path": "0"}], "axes": "abc"}]},
        {"multiscales": [{"datasets": [{"path": "0"}], "axes": [1, 2, 3]}]},
    ],
)
def test_metadata_that_is_wrong_is_refused_in_one_line(tmp_path, pixels, change):
    write_image(tmp_path / "a", pixels, CYX, version="0.4").attrs.update(change)
    with refused(tmp_path / "a"):
        bigquant.open_image(tmp_path / "a")
