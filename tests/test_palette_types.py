"""Palettes of every type and number of bands: their rounding, their numbers, their file."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from outcomes import refused

import bigquant
from bigquant.bincounts import BinnedHistogram
from bigquant.bingrid import Grid
from bigquant.colorcounts import ColorHistogram
from bigquant.display import Display
from bigquant.palette import Palette

SCHEMA = json.loads((Path(bigquant.__file__).parent / "palette.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
INTEGERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
TYPES = [*INTEGERS, "float16", "float32", "float64"]


def bins(pixels):
    """Count pixels (n, c) in bins."""
    grid = Grid.of_type(pixels.dtype, pixels.shape[1])
    if grid is None:
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        grid = Grid.of_range(pixels.dtype, low, high, common=False)
    return BinnedHistogram.create(grid).add(pixels)


@st.composite
def palettes(draw):
    """Draw a palette of any type, any number of bands, scaled or not, fitted or not."""
    dtype, channels = np.dtype(draw(st.sampled_from(TYPES))), draw(st.integers(1, 13))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    k = draw(st.integers(1, 9))
    most = float(np.finfo(dtype).max if dtype.kind == "f" else np.iinfo(dtype).max)
    width = draw(st.sampled_from([1, 300, min(most, 2e18), min(most, 1e100)]))
    centers = rng.normal(0, 1, (k, channels)) * width
    if dtype.kind == "u":
        centers = np.abs(centers)
    centers = centers.clip(-most, most)
    factors = rng.gamma(1, 1, channels) + 1e-9
    scale = draw(st.sampled_from(["none", "range", "std"]))
    ranges = np.column_stack([centers.min(axis=0), centers.max(axis=0)])
    palette = Palette.from_centers(
        *(centers, rng.integers(0, 2**40, k), dtype, ranges, draw(st.integers(0, 1))),
        scale=scale,
        factors=np.ones(channels) if scale == "none" else factors,
    )
    end = palette.first_label + palette.k
    if draw(st.booleans()):
        palette = palette.with_tally(rng.integers(0, 1000, end + 2))
    return palette.with_facts(random_state=0)


# ---------------------------------------------------------------- fitted


@pytest.mark.parametrize("dtype", TYPES)
def test_colours_are_the_centres_rounded_to_the_type(dtype):
    centers = np.array([[0.5], [1.5], [2.25], [100.75], [1e300], [-1e300]])
    palette = Palette.from_centers(centers, np.arange(6)[::-1], dtype, np.array([[0.0, 101.0]]))
    assert palette.colors.dtype == palette.dtype == palette.table.dtype == dtype
    found = palette.colors.ravel().tolist()
    if np.dtype(dtype).kind == "f":
        limits = np.finfo(dtype)
        assert found[:4] == [0.5, 1.5, 2.25, 100.75]
        assert found[4:] == [min(1e300, float(limits.max)), max(-1e300, float(limits.min))]
    else:
        limits = np.iinfo(dtype)
        assert found[:3] == [0, 2, 101]  # 1.5 and 2.25 have become one
        assert limits.max - 2048 <= found[3] <= limits.max
        # without a sign the least is 0, which is there
        assert found[4:] == ([limits.min] if limits.min else [])
        assert palette.counts.tolist()[:2] == [5, 4 + 3]


@given(st.integers(0, 2**32), st.sampled_from(["uint16", "int16", "int8", "float16"]))
def test_numbers_of_one_band_are_exact(seed, dtype):
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    pixels = rng.normal(0, 90, (30, 40, 1)).astype(kind)
    histogram = ColorHistogram.create(1, kind).add(pixels)
    centers = rng.choice(pixels.reshape(-1, 1), 5).astype(float) + 0.25
    palette = Palette.from_fit(histogram, centers, 1)
    labels = reference.labels(pixels, palette.colors.astype(float), 0)
    assert palette.counts.tolist() == np.bincount(labels.ravel(), minlength=palette.k).tolist()
    pairs = zip(pixels.ravel().tolist(), palette.colors[labels].ravel().tolist(), strict=True)
    exact = sum((Fraction(x) - Fraction(c)) ** 2 for x, c in pairs)
    assert palette.inertia == pytest.approx(float(exact))
    if kind.kind != "f":
        assert type(palette.inertia) is int
        assert palette.inertia == exact
    assert palette.ranges.tolist() == [[pixels.min(), pixels.max()]]
    assert palette.mse == pytest.approx(float(exact) / pixels.size)


def test_errors_larger_than_64_bits_are_whole():
    colors = np.array([[0], [65535]], np.uint16)
    histogram = ColorHistogram(colors, np.array([1 << 45, (1 << 45) - 1], np.uint64))
    palette = Palette.from_fit(histogram, np.array([[0.0]]))
    assert palette.inertia == ((1 << 45) - 1) * 65535**2 > 2**64
    assert Palette.from_json(json.loads(palette.encode())).inertia == palette.inertia


@pytest.mark.parametrize(
    ("dtype", "channels"),
    [("uint8", 4), ("int16", 3), ("int32", 2), ("float32", 4), ("float64", 1)],
)
def test_numbers_of_bins_are_measured_in_scaled_units(dtype, channels, rng):
    pixels = (rng.gamma(2, 20, (500, channels)) * 2.0 ** np.arange(channels)).clip(0, 255)
    pixels = pixels.astype(dtype)
    factors = 1 / pixels.std(axis=0)
    histogram = bins(pixels)
    centers = rng.choice(np.unique(pixels, axis=0), 6, replace=False).astype(float)
    palette = Palette.from_fit(histogram, centers, scale="std", factors=factors)
    assert sorted(palette.centers.tolist()) == sorted(centers.tolist())
    labels, squares = reference.nearest(pixels * factors, palette.colors * factors)
    # a bin's width apart, a pixel may be another's
    assert np.abs(palette.counts.astype(int) - np.bincount(labels, minlength=6)).max() <= 1
    assert palette.inertia == pytest.approx(squares.sum(), rel=1e-4)
    assert palette.counts.tolist() == sorted(palette.counts.tolist(), reverse=True)
    assert palette.fit["fingerprint"] == histogram.fingerprint
    least, greatest = pixels.min(axis=0), pixels.max(axis=0)
    wanted = [[0, 255]] * channels if dtype == "uint8" else np.stack([least, greatest], 1).tolist()
    assert palette.ranges.tolist() == wanted
    same = Palette.from_fit(histogram.scaled(factors), centers, scale="std", factors=factors)
    assert (same.counts.tolist(), same.inertia) == (palette.counts.tolist(), palette.inertia)


def test_centres_that_round_to_a_kept_value_become_it(rng):
    histogram = ColorHistogram.create(1, np.uint16).add(rng.integers(0, 3000, (9, 9, 1), np.uint16))
    palette = Palette.from_fit(histogram, np.array([[3000.0], [2999.6], [10.0]]), n_kept=1)
    assert sorted(palette.centers.ravel().tolist()) == [10, 3000]


# ---------------------------------------------------------------- what follows


def test_the_peak_is_the_largest_range_in_scaled_units():
    ranges = np.array([[-10.0, 90.0], [0.0, 1.0]])
    factors = np.array([0.5, 70.0])
    palette = Palette.from_centers(
        *(np.array([[0.0, 0.5]]), np.array([4]), "float32", ranges), scale="std", factors=factors
    )
    palette = palette.with_tally(np.array([4, 0, round(8 / palette.error_unit)]))
    assert palette.mse == pytest.approx(2)
    assert palette.psnr == pytest.approx(10 * math.log10(70**2 / (2 / 2)))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
def test_errors_of_whole_numbers_are_added_up_as_they_are(dtype):
    limits = np.iinfo(dtype)
    ranges = np.array([[limits.min, limits.max]] * 4, float)
    palette = Palette.from_centers(np.array([[1.0] * 4]), np.array([3]), dtype, ranges, 1)
    assert palette.error_unit == 1
    told = palette.with_tally(np.array([5, 7, 3, 9]))
    assert (told.counts.tolist(), told.inertia) == ([7], 3 * 2**20 + 9)
    assert type(told.inertia) is int


def test_rounding_an_error_costs_less_than_anyone_sees(rng):
    pixels = rng.normal(0, 1e6, (1000, 4)).astype(np.float32)
    palette = Palette.from_fit(bins(pixels), pixels[:3].astype(float))
    squares = reference.nearest(pixels, palette.colors.astype(float))[1]
    units = sum(math.floor(square / palette.error_unit + 0.5) for square in squares)
    tally = np.array([*palette.counts, units >> 20, units % 2**20], np.int64)
    assert palette.with_tally(tally).inertia == pytest.approx(squares.sum(), rel=1e-9)
    assert units * 2**30 < 2**83  # of a billion times as many pixels the sum has room


def test_the_reserved_label_has_no_value_and_is_shown_black():
    ranges = np.array([[-1.0, 1.0]] * 3)
    palette = Palette.from_centers(np.zeros((1, 3)), np.array([1]), "float32", ranges, 1)
    assert np.isnan(palette.table[0]).all()
    assert palette.shown_table.tolist() == [[0, 0, 0], [128, 128, 128]]
    assert palette.rows == [(0, 0, 0, 0), (128, 128, 128, 255)]
    whole = Palette.from_centers(np.ones((1, 3)), np.array([1]), "int16", ranges, 1)
    assert whole.table.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_what_is_shown_of_many_bands_is_the_rule_of_the_palette():
    display = Display((3, 0, 2), np.array([[0.0, 100.0]] * 4))
    ranges = np.array([[0.0, 100.0]] * 4)
    palette = Palette.from_centers(
        np.array([[20.0, 7, 0, 100]]), np.array([9]), "uint16", ranges, display=display
    )
    assert palette.hex == ["#ff3300"]
    assert palette.rgb.tolist() == palette.shown_table.tolist() == [[255, 51, 0]]


def test_a_gray_palette_becomes_one_of_rgb(rng):
    pixels = rng.integers(0, 4000, (20, 20, 1), np.uint16)
    gray = Palette.from_fit(ColorHistogram.create(1, np.uint16).add(pixels), np.array([[9.0]]))
    palette = gray.as_rgb()
    assert palette.as_rgb() is palette
    assert palette.hex == gray.hex
    assert palette.colors.dtype == np.uint16
    assert (palette.inertia, palette.psnr) == (3 * gray.inertia, gray.psnr)
    VALIDATOR.validate(palette.as_json())
    assert Palette.from_json(palette.as_json()).as_json() == palette.as_json()


# ---------------------------------------------------------------- the file


@given(palettes())
def test_a_palette_survives_its_file(palette):
    text = palette.encode().decode()
    model = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    VALIDATOR.validate(model)
    loaded = Palette.from_json(model)
    assert loaded.as_json() == palette.as_json()
    assert loaded.colors.dtype == palette.colors.dtype
    np.testing.assert_array_equal(loaded.table, palette.table)
    np.testing.assert_array_equal(loaded.shown_table, palette.shown_table)


def fitted():
    """A model of two colours of four bands of 16 bits."""
    ranges = np.array([[0.0, 4000.0]] * 4)
    centers = np.array([[1.25, 2, 3, 4], [4000, 3000, 2000, 1000.5]])
    palette = Palette.from_centers(centers, np.array([5, 3]), "uint16", ranges, 1)
    return palette.with_tally(np.array([0, 5, 3, 0, 70])).as_json()


DAMAGE = [
    ({"dtype": "complex64"}, "dtype is damaged"),
    ({"dtype": ["uint16"]}, "dtype is damaged"),
    ({"dtype": "uint8"}, "centers is damaged: no value of uint8"),
    ({"dtype": "int16", "k": 3}, "k does not fit"),
    ({"colors": [[1, 2, 3, 5], [4000, 3000, 2000, 1000]]}, "not its centers, rounded"),
    ({"centers": [[1e5, 2, 3, 4], [4000, 3000, 2000, 1000.5]]}, "no value of uint16"),
    ({"centers": [[10**400, 2, 3, 4], [4000, 3000, 2000, 1000.5]]}, "centers is damaged"),
    ({"inertia": -1}, "inertia is damaged"),
    ({"inertia": "1"}, "inertia is damaged"),
    ({"inertia": 10**400}, "more than its pixels can have"),
    ({"scale": "log"}, "scale is damaged"),
    ({"factors": [1, 1, 1, 2]}, "not 1 though nothing is scaled"),
    ({"factors": [1, 1, 1, 0]}, "factors is damaged"),
    ({"factors": [1, 1, 1]}, "factors is not of as many bands"),
    ({"ranges": [[0, 4000]] * 3}, "ranges is not of as many bands"),
    ({"ranges": [[0, 4000]] * 3 + [[5, 4]]}, "ranges is damaged"),
    ({"ranges": [[0, 4000, 1]] * 4}, "ranges is damaged"),
    ({"display": {}}, "display is damaged"),
    ({"display": {"bands": [1, 2, 3]}}, "display is damaged"),
    ({"display": {"bands": [1, 2, 5], "windows": [[0, 1]] * 4}}, "bands that are not there"),
    ({"display": {"bands": [0, 1, 2], "windows": [[0, 1]] * 4}}, "display is damaged"),
    ({"display": {"bands": [1, 2], "windows": [[0, 1]] * 4}}, "display is damaged"),
    ({"display": {"bands": [1, True, 2], "windows": [[0, 1]] * 4}}, "display is damaged"),
    ({"display": {"bands": [1], "windows": [[0, 1]] * 3}}, "display is not of as many bands"),
    ({"display": {**fitted()["display"], "more": 1}}, "display does not fit"),
    ({"display": {"bands": [2], "windows": [[0, 1]] * 4}}, "hex does not fit"),
    ({"space": "srgb"}, "space does not fit"),
    ({"space": "oklab"}, "space does not fit"),
    ({"space": ["oklab"]}, "space is damaged"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGE, ids=[str(d)[:40] for d, _ in DAMAGE])
def test_a_damaged_file_is_one_clear_line(tmp_path, damage, words):
    (tmp_path / "p.json").write_text(json.dumps(fitted() | damage))
    with refused(tmp_path / "p.json", words=words):
        Palette.load(tmp_path / "p.json")


@pytest.mark.parametrize("name", fitted())
def test_a_missing_part_is_named(tmp_path, name):
    model = fitted()
    del model[name]
    (tmp_path / "p.json").write_text(json.dumps(model))
    with refused(tmp_path / "p.json", words=name.replace("bigquant_palette", "schema")):
        Palette.load(tmp_path / "p.json")


def test_bytes_of_other_bands_have_whole_errors_too(tmp_path):
    ranges = np.array([[0.0, 255.0]] * 4)
    palette = Palette.from_centers(np.array([[1.0, 2, 3, 4]]), np.array([5]), "uint8", ranges)
    model = palette.as_json()
    VALIDATOR.validate(model)
    assert (model["space"], model["display"]["bands"]) == ("image", [1, 2, 3])
    for inertia, words in ((1.5, "inertia is damaged"), (5 * 4 * 255**2 + 1, "more than")):
        (tmp_path / "p.json").write_text(json.dumps(model | {"inertia": inertia}))
        with refused(tmp_path / "p.json", words=words):
            Palette.load(tmp_path / "p.json")
