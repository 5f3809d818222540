"""Palettes of colour spaces, from the fit to the file and back: the nearest colours everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import dask
import dask.array as da
import jsonschema
import numpy as np
import pytest
import reference
from conftest import SAMPLES
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.cluster import KMeans
from strategies import chunked, palettes

import bigquant
from bigquant.cli import main
from bigquant.colorcounts import ColorHistogram
from bigquant.colorspace import SPACES, points_of, points_of_centers
from bigquant.errors import InputError
from bigquant.palette import Palette
from bigquant.remap import remap
from bigquant.thumbnail import in_colors

SPACED = SPACES[1:]
KODAK = SAMPLES / "photos" / "imazen+codec-corpus" / "kodak"
SCHEMA = json.loads((Path(bigquant.__file__).parent / "palette.schema.json").read_text())


def nearest_labels(image, palette):
    """Label every pixel by holding its point against those of all colours."""
    channels, flat = palette.channels, image.reshape(-1, image.shape[2])
    points, centers = (points_of(c, palette.space) for c in (flat[:, :channels], palette.colors))
    labels, _ = reference.nearest_scaled(points, centers, np.ones(3))
    labels += palette.first_label
    if image.shape[2] > channels:
        labels[flat[:, -1] == 0] = 0
    return labels.reshape(image.shape[:2])


@given(st.sampled_from(SPACED), chunked(side=20), st.data())
def test_labels_are_those_of_the_nearest_points_for_any_chunks(space, pair, data):
    image, lazy = pair
    has_alpha = image.shape[2] in (2, 4)
    colors = data.draw(palettes(image.shape[2] - has_alpha))
    palette = replace(Palette.from_colors(colors, int(has_alpha)), space=space)
    labels = remap(lazy.rechunk({2: -1}), palette).compute(scheduler="sync")
    np.testing.assert_array_equal(labels, nearest_labels(image, palette))


@pytest.mark.parametrize("space", SPACED)
@pytest.mark.parametrize("first_label", [0, 1])
def test_the_table_of_all_colours_has_the_same_labels(space, first_label, rng, monkeypatch):
    colors = rng.integers(0, 256, (40, 3), dtype=np.uint8)
    colors[7] = colors[3]  # of equal colours the first
    palette = replace(Palette.from_colors(colors, first_label), space=space)
    image = rng.integers(0, 256, (90, 60, 3 + first_label), dtype=np.uint8)
    image[..., 3:] //= 200
    lazy = da.from_array(image, chunks=(50, 40, -1))
    directly = remap(lazy, palette).compute()
    monkeypatch.setattr("bigquant.remap._FEW_POINTS", 0)
    by_table = remap(lazy, palette).compute()
    np.testing.assert_array_equal(by_table, directly)
    np.testing.assert_array_equal(by_table, nearest_labels(image, palette))


@pytest.mark.parametrize("space", SPACED)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_fit_tells_of_its_own_labels(space, channels, china, rng):
    image = china[::4, ::4, :3]
    image = image[..., :1] if channels == 1 else image
    if channels == 4:
        image = np.dstack([image, rng.integers(0, 2, image.shape[:2], dtype=np.uint8) * 255])
    result = bigquant.quantize(image, 12, space=space)
    palette, labels = result.palette, result.labels.compute()
    assert palette.space == space
    np.testing.assert_array_equal(labels, nearest_labels(image, palette))
    counts = np.bincount(labels.ravel(), minlength=palette.k + palette.first_label)
    np.testing.assert_array_equal(counts[palette.first_label :], palette.counts)
    assert palette.mse == pytest.approx(reference.mse(image, result.compute()), rel=1e-12)
    assert isinstance(palette.inertia, int)
    # centres are in 8-bit values, ordered by what is nearest to them in the space
    np.testing.assert_array_equal(np.rint(palette.centers), palette.colors)
    rows, weights = reference.count(reference.opaque_pixels(image))
    centers = points_of_centers(palette.centers, space)
    nearest, _ = reference.nearest(points_of(rows, space), centers)
    masses = np.bincount(nearest, weights, palette.k)
    assert (np.diff(masses) <= 0).all()


@pytest.mark.parametrize("space", SPACED)
def test_a_fit_is_as_good_in_its_space_as_that_of_scikit_learn(space, flower):
    image = flower[::3, ::3]
    palette = bigquant.quantize(image, 16, space=space).palette
    rows, weights = reference.count(image.reshape(-1, 3))
    points = points_of(rows, space)
    theirs = KMeans(16, n_init=4, random_state=0).fit(points, sample_weight=weights)
    _, squares = reference.nearest(points, points_of_centers(palette.centers, space))
    assert weights @ squares < 1.01 * theirs.inertia_


@pytest.mark.parametrize("space", SPACED)
def test_any_chunks_and_workers_give_the_same_bits(space, china, client):
    image = china[:120, :150]
    expected = bigquant.quantize(image, 9, space=space)
    for chunks in [(120, 150, 3), (7, 150, 3), (50, 33, 1), (120, 1, 3)]:
        for scheduler in ("sync", client):
            with dask.config.set(scheduler=scheduler):
                found = bigquant.quantize(da.from_array(image, chunks=chunks), 9, space=space)
                assert found.palette.centers.tobytes() == expected.palette.centers.tobytes()
                assert found.palette.as_json() == expected.palette.as_json()
            if chunks[1] > 1:
                np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("space", SPACED)
def test_as_many_colours_as_the_image_has_leave_no_error(space, rng):
    colors = np.unique(rng.integers(0, 256, (60, 3), dtype=np.uint8), axis=0)
    image = colors[rng.integers(0, len(colors), (40, 40))]
    palette = bigquant.quantize(image, len(np.unique(image.reshape(-1, 3), axis=0))).palette
    spaced = bigquant.quantize(image, palette.k, space=space).palette
    assert spaced.inertia == 0
    assert sorted(spaced.hex) == sorted(palette.hex)


@pytest.mark.parametrize("space", SPACED)
@pytest.mark.parametrize("channels", [1, 3])
def test_kept_colours_stay_as_they_are(space, channels, flower):
    image = flower[::4, ::4, :channels]
    keep = ["#ffffff", "#010101", "#7b7b7b"]
    palette = bigquant.quantize(image, 8, keep=keep, space=space).palette
    assert set(keep) <= set(palette.hex)
    kept = [palette.hex.index(color) for color in keep]
    expected = [[int(color[1:3], 16)] * channels for color in keep]
    np.testing.assert_array_equal(palette.centers[kept], expected)
    sweep = bigquant.sweep(image, [3, 5], keep=keep, space=space)
    assert all(set(keep) <= set(each.hex) for each in sweep)


def test_a_sweep_and_a_choice_of_k_are_fitted_in_the_space(flower):
    image = flower[::3, ::3]
    sweep = bigquant.sweep(image, [2, 4, 8, 16], space="oklab")
    for palette, apart in zip(sweep, sweep.ciede2000_mean, strict=True):
        assert palette.space == "oklab"
        told = bigquant.compare(image, palette.apply(image)).ciede2000_mean
        assert told == pytest.approx(apart, abs=1e-3)
    assert (np.diff(sweep.ciede2000_mean) < 0).all()
    chosen = bigquant.quantize(image, quality=27, space="oklab").palette
    assert (chosen.space, chosen.psnr >= 27) == ("oklab", True)
    assert bigquant.quantize(image, "auto", space="lab").palette.space == "lab"


def test_everything_that_looks_for_the_nearest_colour_knows_the_space(rng):
    image = rng.integers(0, 256, (60, 50, 3), dtype=np.uint8)
    result = bigquant.quantize(image, 6, space="lab")
    palette, labels = result.palette, result.labels.compute()
    assert (labels != remap(da.asarray(image), replace(palette, space="srgb")).compute()).any()
    np.testing.assert_array_equal(in_colors(image, 3, palette), palette.colors[labels])
    frame = result.to_dask_dataframe().compute()
    np.testing.assert_array_equal(frame["cluster"], labels.ravel())
    colors = ColorHistogram.create(3).add(image)
    own = nearest_labels(colors.colors[None], palette)[0]
    np.testing.assert_array_equal(colors.to_dataframe(palette)["cluster"], own)
    applied = palette.apply(image).measure()
    np.testing.assert_array_equal(applied.counts, palette.counts)
    assert applied.inertia == palette.inertia


def test_gray_images_and_palettes_of_rgb_meet_in_the_space(china):
    gray, rgb = china[::4, ::4, :1], china[::4, ::4]
    palette = bigquant.quantize(gray, 5, space="oklab").palette
    applied = palette.apply(rgb)
    expected = nearest_labels(rgb, replace(palette.as_rgb(), space="oklab"))
    np.testing.assert_array_equal(applied.labels.compute(), expected)


# ---------------------------------------------------------------- files and commands


@pytest.mark.parametrize("output", ["out.zarr", "out.tif"])
def test_files_say_the_space_and_apply_goes_by_it(output, china, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(china[::3, ::3]).save("photo.png")
    assert main(["fit", "photo.png", "-k", "9", "--space", "oklab", "-o", output]) == 0
    assert "space    oklab" in capfd.readouterr().out
    expected = bigquant.quantize(bigquant.open_image("photo.png"), 9, space="oklab")
    for name in (output, f"{output}.palette.json"):
        assert main(["palette", name, "--json"]) == 0
        described = json.loads(capfd.readouterr().out)
        assert described["colors"] == expected.palette.colors.tolist()
        assert described["space"] == "oklab"
        jsonschema.validate(described, SCHEMA)
        assert main(["palette", name]) == 0
        assert capfd.readouterr().out.splitlines()[0].endswith(", nearest in oklab")
        assert main(["apply", name, "photo.png", "-o", "again.png", "--overwrite", "-q"]) == 0
        with Image.open("again.png") as again:
            np.testing.assert_array_equal(np.asarray(again), expected.labels.compute())
        assert Palette.load("again.png.palette.json").space == "oklab"


def test_files_of_srgb_are_what_they_were(china):
    palette = bigquant.quantize(china[::8, ::8], 4).palette
    assert palette.as_json()["space"] == "srgb"
    assert Palette.from_json(palette.as_json()).space == "srgb"


def test_a_sweep_of_the_command_line_is_in_the_space(china, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(china[::6, ::6]).save("photo.png")
    command = ["sweep", "photo.png", "-k", "2:4", "--space", "lab", "-o", "all.json", "--json"]
    assert main(command) == 0
    told = json.loads(capfd.readouterr().out)
    assert [palette["space"] for palette in told["palettes"]] == ["lab"] * 3


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        (np.zeros((4, 4, 3), np.uint16), {}, "uint16, 3 bands.*one of 8-bit gray or RGB"),
        (np.zeros((40, 40, 5), np.uint8), {}, "5 bands.*choose one or three bands"),
        (np.zeros((4, 4, 3), np.uint8), {"scale": "std"}, "a scale has no meaning"),
        (np.zeros((4, 4, 3), np.uint8), {"algorithm": "lloyd"}, "use the algorithm 'histogram'"),
        (np.zeros((4, 4, 3), np.uint8), {"algorithm": "dask-ml"}, "leave out --space"),
        (np.zeros((4, 4, 3), np.uint8), {"space": "hsv"}, "must be one of"),
    ],
)
def test_what_has_no_such_space_is_refused_in_a_line(image, options, words):
    with pytest.raises(InputError, match=words) as caught:
        bigquant.quantize(image, 2, **{"space": "oklab", **options})
    assert "\n" not in str(caught.value)


def test_a_table_has_no_space(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "t.parquet", "-k", "2", "--space", "lab"]) == 2
    assert "--space is for images, and t.parquet is a table" in capfd.readouterr().err


# ---------------------------------------------------------------- what it is for


def mean_differences(image):
    """Mean CIEDE2000 of a photo in 16 colours, by the space that they were fitted in."""
    results = {space: bigquant.quantize(image, 16, space=space) for space in SPACES}
    return {space: bigquant.compare(image, r).ciede2000_mean for space, r in results.items()}


@pytest.mark.parametrize("photo", ["china", "flower"])
def test_photos_look_nearer_to_themselves(photo, request):
    apart = mean_differences(request.getfixturevalue(photo))
    assert max(apart["oklab"], apart["lab"]) < 0.9 * apart["srgb"]


@pytest.mark.skipif(not KODAK.is_dir(), reason="no sample photos beside the checkout")
def test_the_kodak_photos_look_nearer_to_themselves():
    lower = {"oklab": 0, "lab": 0}
    for path in sorted(KODAK.glob("*.png")):
        apart = mean_differences(np.array(Image.open(path).convert("RGB")))
        print(path.stem, *(f"{space} {value:.3f}" for space, value in apart.items()))
        for space in lower:
            lower[space] += apart[space] < apart["srgb"]
    assert min(lower.values()) >= 6, lower
