"""`compare`: the numbers of slow references, the same bits for any chunks, in one pass."""

from __future__ import annotations

import tracemalloc
from dataclasses import FrozenInstanceError

import dask
import dask.array as da
import numpy as np
import pytest
import reference
from conftest import SAMPLES
from counting import CountingArray, lazily
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio
from strategies import chunkings, images

import bigquant
from bigquant import pixelpairs
from bigquant.cluster import running_on
from bigquant.errors import BigquantError, InputError
from bigquant.metrics import ciede2000

CHUNKS = [(427, 640, 3), (100, 640, 3), (64, 64, 1), ((1, 400, 26), (300, 340), 3), (427, 7, 2)]
#: Half of the thousandths that differences are rounded to, and some last bits.
ROUNDING = 0.000501


@st.composite
def pairs(draw):
    """Draw two images of one size: the second like the first, or quite another."""
    first = draw(images())
    other = draw(st.sampled_from([1, 2, 3, 4]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    second = rng.integers(0, 256, (*first.shape[:2], other))
    if draw(st.booleans()):
        shift = rng.integers(-3, 4, second.shape)
        second = (first[..., :1].astype(int) + shift).clip(0, 255)
    if other in (2, 4):
        second[..., -1] = rng.choice([0, 1, 255], first.shape[:2])
    return first, second.astype(np.uint8)


def opaque(image):
    return image[..., -1] > 0 if image.shape[2] in (2, 4) else np.ones(image.shape[:2], bool)


def colors(image):
    return image[..., : 1 if image.shape[2] < 3 else 3]


def looks(first, second):
    """Let scikit-image measure rows of gray or RGB."""
    labs = [rgb2lab(np.broadcast_to(rows, (len(rows), 3))) for rows in (first, second)]
    return deltaE_ciede2000(*labs)


@given(pairs(), st.data())
def test_numbers_are_those_of_numpy_and_scikit_image(drawn, data):
    first, second = drawn
    lazy = [da.from_array(i, chunks=data.draw(chunkings(i.shape))) for i in drawn]
    shared = opaque(first) & opaque(second)
    if not shared.any():
        with pytest.raises(InputError, match="array a or in array b: there is nothing"):
            bigquant.compare(*lazy)
        return
    with dask.config.set(scheduler="sync"):
        result = bigquant.compare(*lazy)
    a, b = colors(first)[shared], colors(second)[shared]
    depth = max(a.shape[1], b.shape[1])
    a, b = (np.broadcast_to(rows, (len(rows), depth)) for rows in (a, b))
    assert result.pixels == shared.sum()
    assert result.masked == (~shared).sum()
    assert result.masked_in_one == ((opaque(second) > shared).sum(), (opaque(first) > shared).sum())
    assert result.mse == np.square(a.astype(int) - b).sum() / len(a)
    assert result.mse == pytest.approx(mean_squared_error(a, b) * depth)
    if result.mse:
        assert result.psnr == pytest.approx(peak_signal_noise_ratio(a, b))
    else:
        assert result.psnr == np.inf
    seen = looks(a, b)
    assert result.ciede2000_mean == pytest.approx(seen.mean(), abs=ROUNDING)
    expected = np.percentile(seen, 95, method="inverted_cdf")
    assert result.ciede2000_p95 == pytest.approx(expected, abs=ROUNDING)
    assert result.distinct_colors == tuple(
        len(np.unique(reference.opaque_pixels(image), axis=0)) for image in drawn
    )


# ---------------------------------------------------------------- CIEDE2000


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("000000", "ffffff", 100),
        ("ff0000", "00ff00", 86.61),
        ("ff0000", "0000ff", 52.88),
        ("00ff00", "0000ff", 83.19),
    ],
)
def test_differences_that_are_well_known(first, second, expected):
    rows = [np.array([list(bytes.fromhex(color))], np.uint8) for color in (first, second)]
    assert ciede2000(*rows) == pytest.approx(expected, abs=0.01)


def test_a_difference_is_the_same_bits_wherever_the_pair_stands(rng):
    first = rng.integers(0, 256, (40_000, 3), dtype=np.uint8)
    second = (first + rng.integers(-5, 6, first.shape)).clip(0, 255).astype(np.uint8)
    seen = ciede2000(first, second)
    np.testing.assert_allclose(seen, looks(first, second), atol=1e-10)
    order = rng.permutation(len(first))
    assert ciede2000(first[order], second[order]).tobytes() == seen[order].tobytes()
    for start in range(64):
        part = slice(start, start + 1 + start * start)
        assert ciede2000(first[part], second[part]).tobytes() == seen[part].tobytes()


def test_grays_are_seen_as_rgb():
    gray = np.arange(256, dtype=np.uint8)[:, None]
    other = gray[::-1]
    seen = ciede2000(gray, other)
    assert seen.tobytes() == ciede2000(gray.repeat(3, 1), other.repeat(3, 1)).tobytes()


# ---------------------------------------------------------------- the same bits


@pytest.fixture(scope="module")
def other(china):
    noise = np.random.default_rng(1).integers(-9, 10, china.shape)
    return (china + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def expected(china, other):
    return bigquant.compare(china, other)


@pytest.mark.parametrize("first", CHUNKS)
@pytest.mark.parametrize("second", CHUNKS[::2])
def test_results_are_the_same_bits_for_any_chunks(first, second, china, other, expected):
    lazy = da.from_array(china, chunks=first), da.from_array(other, chunks=second)
    assert bigquant.compare(*lazy) == expected


@pytest.mark.parametrize("scheduler", ["threads", "sync", "processes"])
def test_results_are_the_same_bits_for_any_scheduler(scheduler, china, other, expected):
    with dask.config.set(scheduler=scheduler):
        assert bigquant.compare(da.from_array(china, chunks=(99, 200, 3)), other) == expected


def test_results_are_the_same_bits_on_a_cluster(china, other, expected):
    with running_on(workers=2):
        lazy = da.from_array(china, chunks=(99, 200, 3)), da.from_array(other, chunks=(150, 90, 3))
        assert bigquant.compare(*lazy) == expected


def test_results_are_the_same_bits_where_pairs_do_not_fit_at_once(china, other, monkeypatch):
    monkeypatch.setattr(pixelpairs, "_MOST_SLOTS", 64)
    few = bigquant.compare(china[:40], other[:40])
    monkeypatch.undo()
    assert bigquant.compare(china[:40], other[:40]) == few


# ---------------------------------------------------------------- one pass, flat memory


@pytest.mark.parametrize("chunks", [(100, 200, 3), (64, 640, 3), (427, 50, 3)])
def test_every_pixel_is_read_once(chunks, china, other, expected):
    first, second = CountingArray(china), CountingArray(other)
    assert bigquant.compare(lazily(first), lazily(second, chunks)) == expected
    assert (first.reads == 1).all()
    assert (second.reads == 1).all()


def test_a_result_is_compared_with_its_image_in_one_pass(china):
    counting = CountingArray(china)
    lazy = lazily(counting)
    result = bigquant.quantize(lazy, 8)
    counting.reads[:] = 0
    assert bigquant.compare(lazy, result).mse == result.palette.mse
    assert (counting.reads == 1).all()


def test_memory_is_that_of_blocks_not_of_images():
    """Of two images of 48 MB, and of two of 288 MB; neither is ever there as a whole."""

    def draw(block_info, step):
        (top, bottom), (left, right), _ = block_info[None]["array-location"]
        ramp = np.add.outer(np.arange(top, bottom), np.arange(left, right)) // 32 * step % 256
        return np.repeat(ramp.astype(np.uint8)[..., None], 3, axis=2)

    def plan(height, chunks, step):
        sizes = da.core.normalize_chunks(chunks, (height, 8000, 3))
        return da.map_blocks(draw, step=step, chunks=sizes, dtype=np.uint8)

    def peak(height):
        first, second = plan(height, (1000, 1000, 3), 1), plan(height, (300, 8000, 3), 2)
        tracemalloc.reset_peak()
        result = bigquant.compare(first, second)
        assert result.pixels == 8000 * height
        assert result.distinct_colors == (256, 128)
        return tracemalloc.get_traced_memory()[1]

    with dask.config.set(scheduler="threads", num_workers=2):
        tracemalloc.start()
        few, many = peak(2000), peak(12_000)
        tracemalloc.stop()
    assert many < 1.15 * few


# ---------------------------------------------------------------- inputs


@pytest.mark.parametrize("suffix", [".zarr", ".tif"])
@pytest.mark.parametrize(("depth", "k"), [(1, 5), (2, 5), (3, 5), (3, 300), (4, 5)])
def test_an_output_is_as_far_as_its_palette_says(suffix, depth, k, china, tmp_path):
    image = china[..., :1] if depth < 3 else china
    if depth in (2, 4):
        image = np.dstack([image, np.where(china[..., 1] < 60, 0, 255).astype(np.uint8)])
    result = bigquant.quantize(da.from_array(image, chunks=(128, 128, depth)), k)
    path = tmp_path / f"out{suffix}"
    (result.to_zarr if suffix == ".zarr" else result.to_tiff)(path)
    for quantized in (path, str(path), bigquant.open_image(path), result):
        found = bigquant.compare(image, quantized)
        # a palette TIFF is RGB: gray joins it, and has three channels that err
        times = 3 if depth < 3 and quantized is not result and suffix == ".tif" else 1
        assert found.mse == times * result.palette.inertia / result.palette.n_pixels
        assert found.psnr == pytest.approx(result.palette.psnr, rel=1e-15)
        assert found.pixels == result.palette.n_pixels
        assert found.distinct_colors[0] == result.palette.fit["distinct_colors"]


def test_reading_options_are_for_both(china, tmp_path):
    swapped = china[..., ::-1]
    np.save(tmp_path / "a.npy", china)
    np.save(tmp_path / "b.npy", swapped)
    options = {"bands": (2,), "nodata": int(china[0, 0, 1])}
    result = bigquant.compare(tmp_path / "a.npy", tmp_path / "b.npy", **options)
    assert result.mse == 0
    assert result.masked == (china == china[0, 0, 1]).all(axis=-1).sum() > 0
    assert result.masked_in_one == (0, 0)
    green = bigquant.open_image(china, bands=(2,))
    assert bigquant.compare(green, swapped[..., 1]).mse == 0


def test_the_dataclass_is_small_and_frozen(china):
    same = bigquant.compare(china, china)
    assert (same.mse, same.psnr, same.ciede2000_mean, same.ciede2000_p95) == (0, np.inf, 0, 0)
    assert same.as_json()["psnr"] is None
    assert same.as_json()["masked_in_one"] == [0, 0]
    assert len(set(same.distinct_colors)) == 1
    with pytest.raises(FrozenInstanceError):
        same.mse = 1


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ((4, 5, 3), (5, 4, 3), "array a is 5 x 4 pixels, array b 4 x 5: only images of one size"),
        ((4, 5), (4, 6, 3), "array a is 5 x 4 pixels, array b 6 x 4"),
        ((4, 5, 5), (4, 5, 3), "5 bands"),
    ],
)
def test_what_cannot_be_compared_is_one_line(first, second, words):
    with pytest.raises(InputError, match=words) as caught:
        bigquant.compare(np.zeros(first, np.uint8), np.zeros(second, np.uint8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_other_types_are_refused(dtype):
    image = np.zeros((4, 5), np.uint8)
    with pytest.raises(InputError, match=f"array b: has pixels of {np.dtype(dtype)}"):
        bigquant.compare(image, image.astype(dtype))


def test_an_error_while_reading_is_passed_on():
    def fail(block):
        raise BigquantError("a.tif: is damaged")

    image = da.zeros((8, 8), chunks=4, dtype=np.uint8)
    with pytest.raises(BigquantError, match="is damaged"):
        bigquant.compare(image, image.map_blocks(fail, meta=np.empty((0, 0), np.uint8)))


@pytest.mark.skipif(not SAMPLES.exists(), reason="the sample images are not here")
def test_photos_are_as_far_as_scikit_image_says(tmp_path):
    from PIL import Image as pillow

    photos = sorted((SAMPLES / "photos").rglob("*.png"))[:3]
    assert photos
    for path in photos:
        picture = pillow.open(path).convert("RGB")
        reduced = picture.quantize(16).convert("RGB")
        reduced.save(tmp_path / "b.png")
        result = bigquant.compare(path, tmp_path / "b.png")
        a, b = np.asarray(picture), np.asarray(reduced)
        seen = deltaE_ciede2000(rgb2lab(a), rgb2lab(b))
        assert result.psnr == pytest.approx(peak_signal_noise_ratio(a, b))
        assert result.ciede2000_mean == pytest.approx(seen.mean(), abs=ROUNDING)
        expected = np.percentile(seen, 95, method="inverted_cdf")
        assert result.ciede2000_p95 == pytest.approx(expected, abs=ROUNDING)
