"""Pictures: what they show, of how many points, and that no pixel is read for nothing."""

import io
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import tifffile
from counting import CountingArray
from PIL import Image

import bigquant
from bigquant import plot
from bigquant.errors import InputError
from bigquant.thumbnail import in_colors, thumbnail


def drawn(figure):
    """The picture as pixels."""
    file = io.BytesIO(figure._repr_png_())
    return np.asarray(Image.open(file).convert("RGB"))


def has_color(pixels, color):
    return (np.abs(pixels.astype(int) - color).max(axis=-1) <= 1).any()


def test_swatches_have_the_colours_and_their_words(flower):
    palette = bigquant.quantize(flower, 11).palette
    figure = plot.swatches(palette)
    pixels = drawn(figure)
    assert all(has_color(pixels, color) for color in palette.colors.astype(int))
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words[0] == f"{palette.hex[0]}\n{palette.shares[0]:.1%}"
    assert len(words) == 11
    plain = plot.swatches(bigquant.Palette.from_colors([[255, 0, 0]]))
    assert [text.get_text() for text in plain.axes[0].texts] == ["#ff0000"]


def test_the_grid_is_titled_and_in_the_palettes_colours(flower):
    sweep = bigquant.sweep(flower, range(2, 11))
    for figure in (plot.grid(sweep), plot.grid(sweep, flower)):
        assert [axes.get_title() for axes in figure.axes] == [f"k={k}" for k in range(2, 11)]
        shown = np.unique(figure.axes[1].images[0].get_array().reshape(-1, 3), axis=0)
        assert {tuple(c) for c in shown.tolist()} <= {tuple(c) for c in sweep[3].colors.tolist()}
    many = replace(sweep, k=tuple(range(2, 60)), palettes=(sweep[5],) * 58)
    titles = [axes.get_title() for axes in plot.grid(many).axes]
    assert (len(titles), titles[0], titles[-1]) == (plot.MOST_PANELS, "k=2", "k=59")


def test_before_and_after_read_nothing_again(flower):
    counting = CountingArray(flower)
    lazy = da.from_array(counting, chunks=(200, 200, 3), inline_array=True)
    result = bigquant.quantize(lazy, 6)
    figure = plot.before_after(lazy, result)
    assert (counting.reads == 1).all()
    assert figure.axes[1].get_title() == "after, k=6"
    assert (drawn(figure)[-12] == 255).mean() < 0.1  # the bar of shares
    plot.before_after(flower, result.palette)


def test_the_knee_is_marked(flower):
    sweep = bigquant.sweep(flower[::4, ::4], range(2, 11))
    axes = plot.knee(sweep).axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), sweep.mse)
    assert axes.get_title().endswith(f"knee at k={sweep.knee}")
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    assert plot.knee(bigquant.sweep(flower[::9, ::9], [2, 3])).axes[0].get_title()


def test_a_cloud_has_few_points_in_their_own_colours(flower):
    histogram = bigquant.color_histogram(flower)
    figure = plot.scatter3d(histogram)
    points = figure.data[0]
    assert 1000 < len(points.x) <= plot.MOST_POINTS < histogram.n_colors
    assert points.marker.color[0] == f"rgb({points.x[0]}, {points.y[0]}, {points.z[0]})"
    assert points.marker.opacity == 0.5
    titles = [axis.title.text for axis in (figure.layout.scene[f"{a}axis"] for a in "xyz")]
    assert titles == ["R", "G", "B"]
    assert "62,941 distinct colors" in figure.layout.title.text


def test_a_cloud_with_a_palette_has_its_centroids(flower):
    palette = bigquant.quantize(flower, 3).palette
    points, centroids = plot.scatter3d(flower, palette, most=500).data
    assert set(points.marker.color) == {f"rgb({r}, {g}, {b})" for r, g, b in palette.colors}
    np.testing.assert_allclose(np.stack([centroids.x, centroids.y, centroids.z]).T, palette.centers)
    assert min(np.atleast_1d(centroids.marker.size)) > max(points.marker.size)
    with pytest.raises(InputError, match="most=30000: must be 1 to 20000 points"):
        plot.scatter3d(flower, most=30_000)


def test_gray_and_transparent_images_are_drawn(rng):
    gray = rng.integers(0, 256, (40, 30), dtype=np.uint8)
    alpha = np.dstack([gray] * 3 + [np.where(gray > 100, 255, 0).astype(np.uint8)])
    for image in (gray, alpha):
        result = bigquant.quantize(image, 4)
        figure = plot.before_after(image, result)
        assert figure.axes[0].images[0].get_array().shape[2] == (3 if image.ndim == 2 else 4)
        plot.scatter3d(image, result.palette)
    with pytest.raises(InputError, match="are not real numbers"):
        plot.before_after(gray.astype(np.complex64), result)


def test_a_thumbnail_is_of_a_level_that_is_large_enough(tmp_path, rng):
    levels = [np.full((256 >> n, 256 >> n, 3), n + 1, np.uint8) for n in range(3)]
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        options = {"tile": (64, 64), "photometric": "rgb"}
        file.write(levels[0], subifds=2, **options)
        for level in levels[1:]:
            file.write(level, subfiletype=1, **options)
    image = bigquant.open_image(tmp_path / "pyramid.tif")
    found = thumbnail(image, 100)
    assert found.shape == (64, 64, 3)
    assert (found == 2).all()
    assert (thumbnail(image, 600) == 1).all()
    assert (thumbnail(bigquant.open_image(tmp_path / "pyramid.tif", level=2), 600) == 3).all()


@pytest.mark.parametrize("chunks", [(7, 5), (50, 31), (3, 31)])
def test_a_thumbnail_is_every_nth_pixel_for_any_chunks(rng, chunks):
    pixels = rng.integers(0, 256, (50, 31, 3), dtype=np.uint8)
    lazy = da.from_array(pixels, chunks=(*chunks, 3))
    np.testing.assert_array_equal(thumbnail(bigquant.open_image(lazy), 10), pixels[2::5, 2::5])
    np.testing.assert_array_equal(bigquant.quantize(lazy, 2).thumbnail, pixels)
    from bigquant.histogram import ColorCounter, survey

    counted = survey(lazy, ColorCounter(3), 10).compute(scheduler="sync")
    np.testing.assert_array_equal(counted.thumbnail, pixels[2::5, 2::5])


def test_pixels_are_put_into_the_nearest_colours(rng):
    gray = rng.integers(0, 256, (6, 5, 2), dtype=np.uint8)
    palette = bigquant.Palette.from_colors([[0, 0, 0], [200, 200, 200]])
    found = in_colors(gray, 1, palette)
    np.testing.assert_array_equal(found[..., 3], np.where(gray[..., 1] > 0, 255, 0))
    np.testing.assert_array_equal(found[..., 0], np.where(gray[..., 0] > 100, 200, 0))


@pytest.mark.parametrize("shape", [(1, 3000, 3), (3000, 2, 3), (2, 2000, 1)])
def test_very_long_images_are_drawn(rng, shape):
    image = rng.integers(0, 4, shape, np.uint8)
    lazy = da.from_array(image, chunks=(700, 900, -1))
    result, sweep = bigquant.quantize(lazy, 3), bigquant.sweep(lazy, (2, 3))
    step = -(-max(shape) // 512)
    begin = [min(step, side) // 2 for side in shape[:2]]
    expected = image[begin[0] :: step, begin[1] :: step]
    np.testing.assert_array_equal(sweep.thumbnail, expected)
    np.testing.assert_array_equal(thumbnail(bigquant.open_image(image)), expected)
    for figure in (plot.grid(sweep), plot.before_after(image, result), plot.grid(sweep, image)):
        figure.savefig(io.BytesIO(), format="png")
        assert max(figure.get_size_inches()) < 40
