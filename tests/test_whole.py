"""The whole of it, from pixels to the levels of an output, equals the reference."""

from __future__ import annotations

import shutil

import dask.array as da
import numpy as np
import pytest
import reference
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import chunkings

import bigquant


@st.composite
def clusters(draw):
    """Draw an image whose best palette is plain to see: far fewer shades than lie between.

    Returns the image and a colour of each cluster.
    """
    depth = draw(st.sampled_from([1, 2, 3, 4]))
    k = draw(st.integers(1, 4))
    shape = draw(st.sampled_from([(9, 11), (1, 1100), (40, 530), (600, 3)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = depth - (depth in (2, 4))
    # one channel, drawn for all, tells the clusters apart
    colors = rng.integers(10, 245, (k, channels))
    colors[:, rng.integers(channels)] = 20 + 70 * rng.permutation(4)[:k]
    which = rng.integers(0, k, shape)
    which.flat[:k] = range(k)
    image = colors[which] + rng.integers(-3, 4, (*shape, channels))
    if depth > channels:
        alpha = rng.choice([0, 1, 255], shape)
        alpha.flat[:k] = 255
        image = np.dstack([image, alpha])
    return image.astype(np.uint8), colors


@settings(max_examples=40, deadline=None)
@given(clusters(), st.data())
def test_an_output_is_the_reference_s(tmp_path_factory, drawn, data):
    image, starts = drawn
    colors, mse, levels = reference.quantize(image, starts)
    folder = tmp_path_factory.mktemp("whole")
    lazy = da.from_array(image, chunks=data.draw(chunkings(image.shape)))
    result = bigquant.quantize(lazy, len(starts))
    np.testing.assert_array_equal(result.palette.colors, colors)
    assert result.palette.mse == pytest.approx(mse, rel=1e-12)
    result.to_zarr(folder / "o.zarr")
    result.to_tiff(folder / "o.tif")
    group = zarr.open_group(folder / "o.zarr", mode="r")
    with tifffile.TiffFile(folder / "o.tif") as tif:
        pages = [page.asarray() for page in tif.pages]
    assert len(group.attrs["ome"]["multiscales"][0]["datasets"]) == len(pages) == len(levels)
    for number, (labels, painted) in enumerate(levels):
        np.testing.assert_array_equal(group[f"labels/quantized/{number}"][:], labels)
        np.testing.assert_array_equal(np.moveaxis(group[str(number)][:], 0, 2), painted)
        np.testing.assert_array_equal(pages[number], labels)
    shutil.rmtree(folder)
