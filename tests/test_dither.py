"""Dithering: mixtures of two colours by a pixel's place, the same for any chunks, without seams."""

from __future__ import annotations

import json
from dataclasses import replace

import blue_noise
import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import reference
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow
from skimage.filters import gaussian
from strategies import chunked, palettes

import bigquant
from bigquant import Palette
from bigquant.cli import main
from bigquant.colorspace import points_of
from bigquant.dither import dither_block
from bigquant.errors import InputError
from bigquant.mixing import list_cells, mix, sort_partners
from bigquant.thresholds import thresholds

WAYS = ("bayer", "blue-noise")
CHUNKS = [(427, 640, 3), (100, 640, 3), (64, 64, 1), ((1, 400, 26), (300, 340), 3), (427, 7, 2)]
both = pytest.mark.parametrize("dither", WAYS)


@pytest.fixture(scope="module")
def expected(china):
    return {way: bigquant.quantize(china, 8, dither=way) for way in WAYS}


@settings(max_examples=60)
@given(chunked(side=12), st.data())
def test_labels_are_those_of_the_reference_for_any_chunks(pair, data):
    image, lazy = pair
    has_alpha = image.shape[2] in (2, 4)
    dither = data.draw(st.sampled_from(WAYS))
    colors = data.draw(palettes(image.shape[2] - has_alpha))
    palette = Palette.from_colors(colors, int(has_alpha))
    with dask.config.set(scheduler="sync"):
        result = palette.apply(lazy, dither=dither)
        labels, painted = dask.compute(result.labels, result.image)
    allowed = reference.dithered(image, colors, int(has_alpha), thresholds(dither))
    assert np.take_along_axis(allowed, labels[..., None].astype(int), axis=2).all()
    assert labels.dtype == result.labels.dtype == palette.label_dtype
    np.testing.assert_array_equal(painted, palette.table[labels])


@pytest.mark.parametrize("k", [16, 100, 256])
def test_the_reference_leaves_hardly_a_choice(china, k):
    image = china[200:240, 200:240]
    colors = bigquant.quantize(china, k).palette.colors
    allowed = reference.dithered(image, colors, 0, thresholds("bayer"))
    assert (allowed.sum(axis=2) > 1).mean() < 0.02
    labels = dither_block(image, colors, "srgb", 0, "bayer", 0, 0)
    assert np.take_along_axis(allowed, labels[..., None].astype(int), axis=2).all()


@pytest.mark.parametrize("spread", [4, 256], ids=["ties", "all over"])
def test_cells_of_candidates_make_the_same_mixtures_as_all_centres(rng, spread):
    points = rng.integers(0, spread, (5000, 3)).astype(np.float32)
    centers = rng.integers(0, spread, (200, 3)).astype(np.float32)
    partners, cells = sort_partners(centers), list_cells(centers)
    assert cells is not None
    pairs = zip(mix(points, centers, partners), mix(points, centers, partners, cells), strict=True)
    for expected, found in pairs:
        np.testing.assert_array_equal(found, expected)


@both
@pytest.mark.parametrize("chunks", CHUNKS)
def test_results_are_the_same_bits_for_any_chunks(china, expected, chunks, dither):
    result = bigquant.quantize(da.from_array(china, chunks=chunks), 8, dither=dither)
    np.testing.assert_array_equal(result.labels.compute(), expected[dither].labels.compute())
    assert result.measure().as_json() == expected[dither].measure().as_json()


@both
def test_results_are_the_same_bits_on_a_cluster(china, expected, dither):
    from bigquant.cluster import running_on

    with running_on(workers=2):
        result = bigquant.quantize(da.from_array(china, chunks=(150, 200, 3)), 8, dither=dither)
        labels = result.labels.compute()
    np.testing.assert_array_equal(labels, expected[dither].labels.compute())


@both
def test_outputs_hold_what_the_arrays_do(china, expected, dither, tmp_path):
    lazy = da.from_array(china, chunks=(150, 200, 3))
    result, labels = bigquant.quantize(lazy, 8, dither=dither), expected[dither].labels.compute()
    palette = result.to_zarr(tmp_path / "out.zarr")
    result.to_tiff(tmp_path / "out.tif")
    result.to_png(tmp_path / "out.png")
    result.to_npy(tmp_path / "out.npy")
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    np.testing.assert_array_equal(group["labels/quantized/0"][...], labels)
    np.testing.assert_array_equal(group["0"][...], np.moveaxis(palette.table[labels], 2, 0))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), labels)
    np.testing.assert_array_equal(np.asarray(pillow.open(tmp_path / "out.png")), labels)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), labels)
    assert group.attrs["bigquant"]["dither"] == dither
    frame = result.to_dask_dataframe().compute().sort_values(["y", "x"])
    np.testing.assert_array_equal(frame["cluster"], labels.ravel())


@both
def test_the_palette_is_the_same_and_its_numbers_those_of_the_dithered_image(china, dither):
    plain = bigquant.quantize(china, 8).palette
    result = bigquant.quantize(china, 8, dither=dither)
    palette, labels = result.measure(), result.labels.compute()
    np.testing.assert_array_equal(palette.centers, plain.centers)
    np.testing.assert_array_equal(palette.counts, np.bincount(labels.ravel(), minlength=8))
    assert palette.mse == reference.mse(china, result.compute())
    assert palette.mse > plain.mse


@both
def test_two_palettes_in_turn_do_not_mix(china, expected, dither):
    other = Palette.from_colors(expected[dither].palette.colors[::-1])
    for palette in (expected[dither].palette, other) * 2:
        labels = dither_block(china[:50], palette.colors, "srgb", 0, dither, 0, 0)
        flipped = dither_block(china[:50], palette.colors[::-1].copy(), "srgb", 0, dither, 0, 0)
        np.testing.assert_array_equal(palette.colors[labels], palette.colors[::-1][flipped])


@both
@given(st.data())
def test_pixels_that_have_a_colour_of_the_palette_keep_it(dither, data):
    colors = data.draw(palettes(data.draw(st.sampled_from([1, 3])), most=256))
    image = colors[np.random.default_rng(0).integers(0, len(colors), (20, 30))]
    result = Palette.from_colors(colors).apply(image, dither=dither)
    np.testing.assert_array_equal(result.image.compute(scheduler="sync"), image)


@pytest.mark.parametrize(("dither", "side"), [("bayer", 16), ("blue-noise", 64)])
def test_flat_grays_are_met_in_the_mean(dither, side):
    colors = np.array([[20], [50], [180], [230]], np.uint8)
    for gray in range(20, 231):
        image = np.full((side, side, 1), gray, np.uint8)
        painted = colors[dither_block(image, colors, "srgb", 0, dither, 3, 5)].astype(float)
        low, high = colors[colors <= gray].max(), colors[colors >= gray].min()
        assert set(np.unique(painted)) <= {low, high}
        step = (int(high) - low) / side**2
        if min(gray - low, int(high) - gray) > (int(high) - low) / 64:
            assert abs(painted.mean() - gray) <= step / 2 + (int(high) - low) / 8192
        else:  # specks would be all that is seen
            assert abs(painted.mean() - gray) <= (int(high) - low) / 64 + step


@both
@pytest.mark.parametrize("k", [8, 32])
def test_the_mean_of_a_place_comes_nearer_to_the_original(china, flower, dither, k):
    y, x = np.mgrid[0:200, 0:300]
    sky = np.dstack([40 + y * 0.7, 90 + y * 0.5 + x * 0.1, 180 + y * 0.2]).astype(np.uint8)
    for image in (china, flower, sky):
        plain = bigquant.quantize(image, k)
        mixed = plain.palette.apply(image, dither=dither)
        soft = [gaussian(np.asarray(i, float), 3, channel_axis=2) for i in (image, plain, mixed)]
        missed, missed_mixed = (((soft[0] - other) ** 2).sum(axis=2) for other in soft[1:])
        assert missed_mixed.mean() < 0.9 * missed.mean()


@both
def test_the_mean_error_along_the_borders_of_chunks_is_that_of_other_places(dither):
    """Rows 64, 129, ... end a chunk: they meet each of the thresholds' 64 rows once."""
    colors = np.array([[10, 30, 50], [60, 90, 80], [200, 180, 220]], np.uint8)
    flat = np.full((64 * 65, 64, 3), (40, 70, 65), np.uint8)
    result = Palette.from_colors(colors).apply(da.from_array(flat, (65, 64, 3)), dither=dither)
    painted = result.image.compute().astype(int)
    last, first = painted[64::65], painted[::65]
    np.testing.assert_array_equal(last.mean(axis=(0, 1)), painted.mean(axis=(0, 1)))
    np.testing.assert_array_equal(first.mean(axis=(0, 1)), painted.mean(axis=(0, 1)))


@both
def test_seams_cannot_be_told_in_a_photo(china, dither):
    """Rows and columns 24, 49, ... end a chunk: errors change there as after 23, 48, ... and so on.

    The 25 means spread as they do; that of the borders is no further out than 4 of their spreads.
    """
    result = bigquant.quantize(da.from_array(china, chunks=(25, 25, 3)), 8, dither=dither)
    errors = np.asarray(result).astype(int) - china
    for axis, n in enumerate((425, 625)):
        steps = np.abs(np.diff(errors, axis=axis)).sum(axis=2)
        of_rows = np.moveaxis(steps, axis, 0)[: n - 25].mean(axis=1)
        means = of_rows.reshape(-1, 25).mean(axis=0)
        assert abs(means[24] - means[:24].mean()) < 4 * means[:24].std()


@both
def test_masked_pixels_stay_label_0(dither, rng):
    image = rng.integers(0, 256, (40, 50, 4), dtype=np.uint8)
    image[..., 3] = rng.choice([0, 255], (40, 50))
    labels = bigquant.quantize(image, 5, dither=dither).labels.compute()
    np.testing.assert_array_equal(labels == 0, image[..., 3] == 0)


@both
def test_256_colours_beside_a_reserved_label_have_16_bits(dither, rng):
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    colors = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    result = Palette.from_colors(colors, 1).apply(image, dither=dither)
    labels = result.labels.compute()
    assert labels.dtype == np.uint16
    plain = Palette.from_colors(colors).apply(image, dither=dither).labels.compute()
    np.testing.assert_array_equal(labels, plain.astype(int) + 1)


def test_gray_joins_a_palette_of_rgb(china):
    palette = Palette.from_colors([[0, 0, 0], [90, 90, 90], [255, 255, 255]])
    gray = china[..., 1]
    labels = palette.apply(gray, dither="bayer").labels.compute()
    same = Palette.from_colors([[0], [90], [255]]).apply(gray, dither="bayer").labels.compute()
    np.testing.assert_array_equal(labels, same)


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        (np.zeros((4, 4, 3), np.uint8), {"dither": "noise"}, "must be one of"),
        (np.zeros((4, 4, 3), np.uint8), {"dither": "bayer", "quality": 30}, "pixels are farther"),
        (np.zeros((4, 4), np.uint16), {"dither": "bayer"}, "only 8-bit gray and RGB"),
        (np.zeros((9, 9, 5), np.uint8), {"dither": "bayer", "channel_axis": 2}, "only 8-bit gray"),
        (np.zeros((4, 4), np.uint8), {"dither": "bayer", "scale": "std"}, "only 8-bit gray"),
        (np.zeros((4, 4), np.uint8), {"dither": "bayer", "k": 257}, "up to 256 colours"),
    ],
)
def test_what_cannot_be_dithered_is_refused(image, options, words):
    with pytest.raises(InputError, match=words):
        bigquant.quantize(image, **options)


def test_palettes_of_more_than_256_colours_are_refused(rng):
    palette = Palette.from_colors(rng.integers(0, 256, (257, 3)))
    with pytest.raises(InputError, match="up to 256 colours can be dithered"):
        palette.apply(np.zeros((4, 4, 3), np.uint8), dither="bayer")


def test_the_command_line_dithers(china, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pillow.fromarray(china).save("china.png")
    fit = "fit china.png -k 8 --dither bayer -o out.png --json"
    assert main(fit.split()) == 0
    facts = json.loads(capsys.readouterr().out)
    measured = expected["bayer"].measure()
    assert facts["mse"] == measured.mse
    labels = expected["bayer"].labels.compute()
    np.testing.assert_array_equal(np.asarray(pillow.open("out.png")), labels)
    assert Palette.load("out.png.palette.json").mse == measured.mse
    apply = "apply out.png.palette.json china.png -o again.npy --dither bayer -q"
    assert main(apply.split()) == 0
    np.testing.assert_array_equal(np.load("again.npy"), labels)


def test_tables_are_not_dithered(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"a": [1, 2, 3]}).to_parquet("a.parquet")
    assert main(["fit", "a.parquet", "-k", "2", "--dither", "bayer"]) == 2
    assert "--dither is for images" in capfd.readouterr().err


def test_the_blue_noise_is_what_its_generator_makes():
    shipped = thresholds("blue-noise")
    np.testing.assert_array_equal(np.sort(shipped, axis=None), np.arange(64 * 64))
    np.testing.assert_array_equal(shipped, blue_noise.void_and_cluster())


@pytest.mark.parametrize("share", [1 / 64, 1 / 8, 1 / 2, 7 / 8])
def test_the_blue_noise_has_little_energy_at_low_frequencies(share):
    """White noise has 1 at all; below half of the frequency of even spacing little is left."""
    points = (thresholds("blue-noise") < share * 4096).astype(float)
    energy = np.abs(np.fft.fft2(points - points.mean())) ** 2 / points.var() / points.size
    frequencies = np.fft.fftfreq(64)
    radius = np.hypot(frequencies[:, None], frequencies)
    principal = np.sqrt(min(share, 1 - share, 1 / 4))  # as on a grid
    low = (radius > 0) & (radius <= principal / 2)
    assert energy[low].mean() < 0.15


def test_bayer_s_matrix_is_the_published_one():
    ranks = thresholds("bayer")[:16, :16] // 16
    np.testing.assert_array_equal(np.sort(ranks, axis=None), np.arange(256))
    published = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]
    np.testing.assert_array_equal(ranks[:4, :4] // 16, published)


@both
@pytest.mark.parametrize("space", ["linear", "oklab", "lab"])
def test_colours_are_mixed_in_the_space_of_the_palette(china, space, dither):
    image = china[::3, ::3]
    chosen = {"space": space, "dither": dither}
    whole = bigquant.quantize(image, 8, **chosen)
    parts = bigquant.quantize(da.from_array(image, chunks=(40, 57, 2)), 8, **chosen)
    labels = whole.labels.compute()
    np.testing.assert_array_equal(parts.labels.compute(), labels)
    again = whole.palette.apply(image, dither=dither)
    np.testing.assert_array_equal(again.labels.compute(), labels)
    plain = whole.palette.apply(image).labels.compute()
    points = points_of(image.reshape(-1, 3), space).reshape(image.shape)
    centers = points_of(whole.palette.colors, space)

    def blurred(values):
        return gaussian(values, 4, channel_axis=2)

    misses = [np.abs(blurred(centers[found] - points)).mean() for found in (labels, plain)]
    assert misses[0] < 0.97 * misses[1]


def test_light_adds_up_to_that_of_a_gray():
    palette = replace(Palette.from_colors([[0, 0, 0], [255, 255, 255]]), space="linear")
    image = np.full((64, 64, 3), 188, np.uint8)  # half as much light as white
    share = palette.apply(image, dither="blue-noise").labels.compute().mean()
    assert share == pytest.approx(float(points_of(image[0, :1], "linear")[0, 0]), abs=1 / 4096)


def test_the_command_tells_how_it_was_dithered(china, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("a.tif", china[::8, ::8])
    assert main(["fit", "a.tif", "-k", "4", "--dither", "bayer", "-o", "b.tif"]) == 0
    assert "dither   bayer" in capsys.readouterr().out
    assert main(["apply", "b.tif.palette.json", "a.tif", "--json", "-o", "c.tif"]) == 0
    assert "dither" not in json.loads(capsys.readouterr().out)
