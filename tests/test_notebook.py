"""What objects show of themselves: small, escaped, with what matters; and DataFrames."""

from xml.etree import ElementTree

import numpy as np
import pytest

import bigquant
from bigquant import notebook
from bigquant.errors import InputError


def objects(image):
    result = bigquant.quantize(image, 5)
    return {
        "palette": result.palette,
        "result": result,
        "sweep": bigquant.sweep(image, range(2, 9)),
        "histogram": bigquant.color_histogram(image),
    }


def test_reprs_are_small_wellformed_and_tell_what_matters(flower):
    for name, shown in objects(flower).items():
        html = shown._repr_html_()
        assert len(html) < 40_000, name
        ElementTree.fromstring(f"<div>{html}</div>")
    result = bigquant.quantize(flower, 5)
    html = result._repr_html_()
    assert all(color in html for color in result.palette.hex)
    assert "<svg" in html
    assert "data:image/png;base64," in html
    assert "640 x 427 pixels" in html


def test_large_palettes_are_shown_in_part():
    palette = bigquant.Palette.from_colors(np.arange(300 * 3).reshape(300, 3) % 256)
    html = palette._repr_html_()
    assert "and 236 more" in html
    assert len(html) < 20_000


def test_text_is_escaped():
    html = notebook.facts_html({"<path>": "<script>alert(1)</script>", "none": None})
    assert "<script>" not in html
    assert "none" not in html
    assert "&quot;" in notebook.picture_html(np.zeros((1, 1, 1), np.uint8), '"onload="')


def test_a_curve_of_one_point_is_drawn():
    ElementTree.fromstring(notebook.curve_html([3], [0.0], 3, "one"))


def test_colours_are_a_dataframe(flower):
    histogram, palette = bigquant.color_histogram(flower), bigquant.quantize(flower, 4).palette
    frame = histogram.to_dataframe(palette)
    assert frame.columns.tolist() == ["r", "g", "b", "count", "cluster", "color"]
    np.testing.assert_array_equal(frame[["r", "g", "b"]], histogram.colors)
    counted = frame.groupby("cluster")["count"].sum()
    np.testing.assert_array_equal(counted, palette.counts)
    assert set(frame.color) == {f"rgb({r}, {g}, {b})" for r, g, b in palette.colors.tolist()}
    plain = histogram.to_dataframe()
    assert plain.columns.tolist() == ["r", "g", "b", "count", "color"]
    assert plain.color[0] == "rgb({}, {}, {})".format(*histogram.colors[0])


def test_labels_of_a_dataframe_are_those_of_the_image(rng):
    image = rng.integers(0, 256, (9, 9, 2), dtype=np.uint8)
    result = bigquant.quantize(image, 3)
    frame = bigquant.color_histogram(image).to_dataframe(result.palette)
    assert frame.columns.tolist() == ["gray", "count", "cluster", "color"]
    assert set(frame.cluster) == {1, 2, 3}
    with pytest.raises(InputError, match="other channels than the histogram"):
        bigquant.color_histogram(np.zeros((2, 2, 3), np.uint8)).to_dataframe(result.palette)


@pytest.mark.parametrize("chunks", [(20, 30), (64, 64)])
def test_pixels_are_a_dask_dataframe(flower, chunks):
    import dask.array as da

    image = flower[:64, :64]
    result = bigquant.quantize(da.from_array(image, chunks=(*chunks, 3)), 3)
    frame = result.to_dask_dataframe()
    assert frame.npartitions == result.labels.npartitions
    found = frame.compute()
    assert found.columns.tolist() == ["y", "x", "r", "g", "b", "cluster", "color"]
    y, x = found.y.to_numpy(), found.x.to_numpy()
    np.testing.assert_array_equal(found[["r", "g", "b"]], image[y, x])
    np.testing.assert_array_equal(found.cluster, result.labels.compute()[y, x])
    assert len(set(zip(y, x, strict=True))) == 64 * 64
    colors = ["rgb({}, {}, {})".format(*c) for c in result.palette.colors.tolist()]
    np.testing.assert_array_equal(found.color, np.array(colors)[found.cluster])
