"""The sample: the same pixels whatever the chunks, and facts of all pixels."""

import pickle
from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import chunkings

from bigquant import samplecounts
from bigquant.passes import sample_blocks
from bigquant.samplecounts import Sample, SampleCounter

TYPES = ["u1", "i2", "u4", "i8", "f2", "f4", "f8", "?"]


def splitmix64(number, seed):
    """After the public-domain C code of Sebastiano Vigna, in whole numbers of any size."""
    state = number * 0x9E3779B97F4A7C15 + seed * 0xD1342543DE82EF95 + 0x9E3779B97F4A7C15
    z = state % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def masked_rows(image, channels):
    """Tell which pixels are no part of an image (..., channels [+ alpha]), in one row."""
    rows = image.reshape(-1, image.shape[-1])
    masked = ~np.isfinite(rows[:, :channels].astype(float)).all(axis=1)
    return masked | (rows[:, channels] == 0) if rows.shape[1] > channels else masked


@st.composite
def scenes(draw):
    """Draw images (y, x, channels [+ alpha]) with masked pixels, and tables; and their chunks."""
    channels, has_alpha = draw(st.integers(1, 6)), draw(st.booleans())
    is_table = draw(st.booleans())
    shape = (draw(st.integers(1, 30)), *(() if is_table else (draw(st.integers(1, 30)),)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = np.dtype(draw(st.sampled_from(TYPES)))
    values = rng.normal(0, 100, (*shape, channels + has_alpha)).round(2)
    scene = values.astype(dtype) if dtype.kind != "u" else np.abs(values).astype(dtype)
    if dtype.kind == "f":
        scene[rng.random(scene.shape) < 0.05] = rng.choice([np.nan, np.inf, -np.inf])
    if has_alpha:
        scene[..., -1] = rng.choice([0, 1], shape)
    return scene, channels, da.from_array(scene, chunks=draw(chunkings(scene.shape)))


@given(scenes(), st.integers(0, 2**31), st.integers(1, 400))
def test_the_pixels_with_the_least_hashes_are_chosen(scene, seed, most):
    image, channels, lazy = scene
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samplecounts, "SAMPLE", most)
        patch.setattr(samplecounts, "_CANDIDATES", 1 << 40)
        found = sample_blocks([lazy], channels, seed).compute(scheduler="sync")
    masked = masked_rows(image, channels)
    rows = image.reshape(-1, image.shape[-1])[:, :channels]
    numbered = sorted((splitmix64(n, seed), n) for n in np.flatnonzero(~masked).tolist())[:most]
    assert found.hashes.tolist() == [value for value, _ in numbered]
    np.testing.assert_array_equal(found.rows, rows[[n for _, n in numbered]])
    rows = rows[~masked]
    assert found.n_pixels == len(rows)
    if len(rows):
        np.testing.assert_array_equal(found.ranges, np.stack([rows.min(0), rows.max(0)], axis=1))
        if rows.dtype.kind != "f":
            assert list(found.squares) == [
                sum(int(v) ** 2 for v in column) for column in rows.T.tolist()
            ]


def test_images_are_numbered_one_after_the_other(rng):
    images = [rng.integers(0, 99, (9, width, 5), dtype=np.uint8) for width in (4, 7)]
    together = sample_blocks([da.from_array(i, chunks=(4, 3, 5)) for i in images], 5, 3).compute()
    rows = np.concatenate([image.reshape(-1, 5) for image in images])
    order = sorted(range(len(rows)), key=lambda number: splitmix64(number, 3))
    np.testing.assert_array_equal(together.rows, rows[order])


def test_samples_are_a_monoid(rng, monkeypatch):
    monkeypatch.setattr(samplecounts, "SAMPLE", 50)
    rows = rng.normal(0, 1, (300, 7)).astype(np.float32)
    counter = SampleCounter.of_shapes([rows.shape], 7, 0)[0]
    borders = [0, 10, 11, 130, 300]
    parts = [counter(rows[start:end], start) for start, end in pairwise(borders)]
    expected = counter(rows, 0)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        merged = Sample.create(7, np.float32)
        for number in order:
            merged = merged.merge(parts[number])
        assert merged.fingerprint == expected.fingerprint
    left = parts[0].merge(parts[1]).merge(parts[2].merge(parts[3]))
    assert left.fingerprint == expected.fingerprint


def test_a_large_image_gives_as_many_as_wanted_also_where_most_of_it_is_masked():
    image = np.ones((1000, 3000, 5), np.uint8)
    image[:400, :, -1] = 0  # more than one candidate in four is left
    found = sample_blocks([da.from_array(image, chunks=(300, 3000, 5))], 4, 0).compute()
    assert len(found.rows) == samplecounts.SAMPLE
    assert found.n_pixels == 600 * 3000
    assert found.rows.shape[1] == 4


def test_squares_of_32_bits_are_exact():
    rows = np.array([[2**32 - 1] * 5, [2**32 - 2] * 5], np.uint32)
    found = SampleCounter.of_shapes([rows.shape], 5, 0)[0](rows, 0)
    assert found.squares == ((2**32 - 1) ** 2 + (2**32 - 2) ** 2,) * 5
    assert found.is_exact
    large = SampleCounter.of_shapes([rows.shape], 5, 0)[0](rows.astype(np.int64) * 9, 0)
    assert not large.is_exact


def test_it_answers_what_histograms_are_asked(rng):
    rows = rng.integers(0, 3, (500, 5)).astype(np.float32)
    found = SampleCounter.of_shapes([rows.shape], 5, 0)[0](rows, 0)
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    factors = np.array([1, 2, 0.5, 1, 1])
    scaled = found.scaled(factors)
    np.testing.assert_array_equal(scaled.colors, distinct * factors)
    np.testing.assert_array_equal(scaled.counts, counts)
    assert found.n_colors == len(distinct)
    assert found.n_centers(10**6, np.empty((0, 5))) == len(distinct)
    np.testing.assert_allclose(found.deviations, rows.std(axis=0, dtype=np.float64))
    assert found.variance(factors) == pytest.approx(
        (rows.var(axis=0, dtype=np.float64) * factors**2).mean()
    )
    np.testing.assert_array_equal(found.percentiles([0, 100]), [rows.min(0), rows.max(0)])
    assert found.sample(10).counts.sum() == 10
    assert found.gather_masses(np.zeros((1, 5))).tolist() == [500]


def test_it_travels_without_what_was_made_of_it(rng):
    rows = rng.normal(0, 1, (5000, 8)).astype(np.float32)
    found = SampleCounter.of_shapes([rows.shape], 8, 0)[0](rows, 0)
    assert found.n_colors == 5000
    data = pickle.dumps(found)
    assert len(data) < rows.nbytes + found.hashes.nbytes + 2000
    assert pickle.loads(data).fingerprint == found.fingerprint  # noqa: S301
    assert found.__sizeof__() >= rows.nbytes
