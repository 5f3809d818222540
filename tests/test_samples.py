"""Sample photos: the same pixels for any chunks, of the size asked for, with real noise."""

from __future__ import annotations

import json

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow

from bigquant import InputError, samples
from bigquant.cli import main
from bigquant.samples import sample_image
from bigquant.tiff_output import write_rgb_tiff


@pytest.fixture(scope="module")
def enlarged():
    """The photo at two megapixels, whole, and made without noise by Pillow."""
    large = sample_image("china", 2).compute()
    with pillow.fromarray(sample_image("china").compute()) as photo:
        smooth = photo.resize(large.shape[1::-1], pillow.Resampling.BILINEAR)
    return large, np.asarray(smooth).astype(float)


@pytest.mark.parametrize("name", samples.NAMES)
def test_without_megapixels_it_is_the_photo_of_scikit_learn(name, request):
    photo = sample_image(name)
    assert isinstance(photo, da.Array)
    assert photo.dtype == np.uint8
    np.testing.assert_array_equal(photo.compute(), request.getfixturevalue(name))


@pytest.mark.parametrize("megapixels", [1e-6, 0.01, 0.273, 1, 7.3, 1000, 1_000_000])
@pytest.mark.parametrize("name", samples.NAMES)
def test_the_size_is_what_was_asked_for(name, megapixels):
    height, width, depth = sample_image(name, megapixels).shape
    assert depth == 3
    assert abs(height * width - megapixels * 1e6) <= (height + width) / 2 + 1  # half a pixel a side
    if megapixels >= 1:
        assert width / height == pytest.approx(640 / 427, rel=2e-3)


@pytest.mark.parametrize("megapixels", [0, -1, 1_000_001, float("nan"), float("inf")])
def test_a_size_that_is_none_is_refused(megapixels):
    with pytest.raises(InputError, match=f"megapixels={megapixels}: must be above 0"):
        sample_image("china", megapixels)


def test_an_unknown_photo_is_refused():
    with pytest.raises(InputError, match=r"'tree': choose one of china, flower"):
        sample_image("tree")


def test_planning_a_huge_image_makes_no_pixel():
    plan = sample_image("china", 100_000)
    assert plan.nbytes > 2.9e11
    assert plan.npartitions < 10_000
    corner = plan[-3:, -5:].compute()
    assert corner.shape == (3, 5, 3)


CUTS = st.lists(st.integers(1, 1999), max_size=6, unique=True).map(sorted)


@settings(max_examples=10)
@given(CUTS, CUTS)
def test_a_block_has_the_same_pixels_whatever_the_chunks(enlarged, rows, columns):
    whole, _ = enlarged
    chunks = tuple(
        tuple(np.diff([0, *(cut for cut in cuts if cut < side), side]).tolist())
        for cuts, side in zip((rows, columns), whole.shape[:2], strict=True)
    )
    parts = da.map_blocks(
        samples._make_block, photo="china", size=whole.shape[:2], noise=samples._NOISE,
        chunks=(*chunks, (3,)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8),
    )  # fmt: skip
    np.testing.assert_array_equal(parts.compute(), whole)


@pytest.mark.parametrize("window", [np.s_[:1, :1], np.s_[700:702, 900:], np.s_[-1:, :]])
def test_a_window_computed_alone_equals_the_whole(window, enlarged):
    np.testing.assert_array_equal(sample_image("china", 2)[window].compute(), enlarged[0][window])


def test_the_blocks_of_a_large_image_meet_without_a_seam():
    plan = sample_image("flower", 60)
    assert plan.npartitions > 1
    seam = plan.chunks[1][0]
    strip = plan[:40, seam - 20 : seam + 20].compute().astype(float)
    steps = np.abs(np.diff(strip, axis=1)).mean(axis=(0, 2))
    assert steps[19] < 1.3 * np.median(steps)  # no larger across the seam than elsewhere


def middle(enlarged):
    """Noise where no value is clipped."""
    large, smooth = enlarged
    return (large - smooth)[(smooth > 20).all(axis=2) & (smooth < 235).all(axis=2)]


def test_the_noise_has_a_standard_deviation_of_4(enlarged):
    noise = middle(enlarged)
    assert len(noise) > 500_000
    np.testing.assert_allclose(noise.std(axis=0), 4, rtol=0.02)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.05)
    assert np.abs(noise).max() <= 4 * 2 * 3**0.5 + 1


def test_the_noise_of_neighbours_and_channels_is_independent(enlarged):
    large, smooth = enlarged
    noise = np.where((smooth > 20) & (smooth < 235), large - smooth, 0)
    pairs = [
        (noise[1:], noise[:-1]),
        (noise[:, 1:], noise[:, :-1]),
        (noise[:, 4:], noise[:, :-4]),
        (noise[1:, 1:], noise[:-1, :-1]),
        (noise[..., 0], noise[..., 1]),
        (noise[:, 1:, 0], noise[:, :-1, 2]),
    ]
    for a, b in pairs:
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.01


def test_the_picture_is_the_photo_enlarged(enlarged):
    large, smooth = enlarged
    down = [
        np.asarray(pillow.fromarray(image.astype(np.uint8)).resize((64, 43), pillow.Resampling.BOX))
        for image in (large, smooth)
    ]
    assert np.abs(down[0].astype(int) - down[1]).max() <= 2


def test_it_is_written_as_a_tiled_tiff(tmp_path, enlarged):
    write_rgb_tiff(tmp_path / "out.tif", sample_image("china", 2))
    with tifffile.TiffFile(tmp_path / "out.tif") as tif:
        page = tif.pages.first
        assert (tif.is_bigtiff, page.is_tiled, page.photometric.name) == (True, True, "RGB")
        np.testing.assert_array_equal(page.asarray(), enlarged[0])


@pytest.mark.parametrize("name", samples.NAMES)
def test_the_command_writes_the_photo(name, tmp_path, capfd, request):
    path = tmp_path / "out.tif"
    assert main(["sample", str(path), "--image", name, "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == {"output": str(path), "width": 640, "height": 427}
    assert err == ""
    np.testing.assert_array_equal(tifffile.imread(path), request.getfixturevalue(name))
