"""Palettes: their order, their rounding, their statistics, their file."""

import math

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import images, palettes

from bigquant.colorcounts import ColorHistogram
from bigquant.palette import Palette


def fitted(image, centers, first_label=0):
    depth = centers.shape[1]
    histogram = ColorHistogram.create(depth).add(image)
    return Palette.from_fit(histogram, centers, first_label)


def test_colours_come_most_common_first_then_by_value():
    image = np.repeat(np.array([[9], [200], [77], [30]], np.uint8), [2, 5, 2, 5], axis=0)
    palette = fitted(image[None], np.array([[9.0], [30.0], [77.0], [200.0]]))
    assert palette.colors.ravel().tolist() == [30, 200, 9, 77]
    assert palette.counts.tolist() == [5, 5, 2, 2]


def test_centres_that_round_to_one_colour_become_one():
    image = np.array([[[10], [10], [11], [250]]], np.uint8)
    palette = fitted(image, np.array([[10.4], [10.2], [250.0]]))
    assert palette.colors.ravel().tolist() == [10, 250]
    assert palette.k == 2
    assert palette.counts.tolist() == [3, 1]


def test_centres_that_round_to_a_kept_colour_become_it():
    image = np.array([[[10], [254], [255], [255], [255]]], np.uint8)
    histogram = ColorHistogram.create(1).add(image)
    palette = Palette.from_fit(histogram, np.array([[255.0], [254.6], [10.0]]), n_kept=1)
    assert palette.centers.ravel().tolist() == [255, 10]
    assert palette.counts.tolist() == [4, 1]


@given(images(depths=(1, 3)), st.data())
def test_statistics_are_those_of_the_written_colours(image, data):
    centers = data.draw(palettes(image.shape[2])) + 0.25
    palette = fitted(image, centers)
    labels = reference.labels(image, palette.colors, 0)
    np.testing.assert_array_equal(palette.counts, np.bincount(labels.ravel(), minlength=palette.k))
    assert palette.mse == reference.mse(image, palette.colors[labels])
    assert palette.shares.sum() == pytest.approx(1)
    assert len(np.unique(palette.colors, axis=0)) == palette.k


def test_psnr_is_per_channel_value():
    image = np.array([[[10, 10, 10], [14, 10, 10]]], np.uint8)
    palette = fitted(image, np.array([[12.0, 10.0, 10.0]]))
    assert palette.mse == 4
    assert palette.psnr == pytest.approx(10 * math.log10(255**2 / (4 / 3)))
    assert fitted(image[:, :1], np.array([[10.0, 10, 10]])).psnr == math.inf


@pytest.mark.parametrize(("k", "first", "dtype"), [(256, 0, "u1"), (256, 1, "u2"), (255, 1, "u1")])
def test_labels_are_8_bit_while_they_fit(k, first, dtype):
    palette = Palette.from_colors(np.arange(k)[:, None] % 256, first)
    assert palette.label_dtype == dtype
    assert len(palette.table) == k + first


def test_a_palette_survives_its_file(tmp_path, china):
    palette = fitted(china, np.array([[10.5, 20, 30], [200, 210, 220.25]]), 1)
    palette = palette.with_facts(algorithm="auto", random_state=0)
    palette.save(tmp_path / "p.json")
    loaded = Palette.load(tmp_path / "p.json")
    assert loaded.as_json() == palette.as_json()
    assert loaded.colors.dtype == np.uint8
    assert loaded.first_label == 1


def test_notebooks_show_swatches():
    html = Palette.from_colors([[255, 0, 0], [0, 0, 255]])._repr_html_()
    assert "#ff0000" in html
    assert "#0000ff" in html
    assert Palette.from_colors([[7]]).hex == ["#070707"]
