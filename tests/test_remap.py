"""Labels: nearest colours, ties to the lowest, transparent pixels 0, for any chunks."""

import numpy as np
import pytest
import reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import chunked, palettes

from bigquant.palette import Palette
from bigquant.remap import paint, remap


@pytest.fixture(params=[0, 1 << 40], ids=["by table", "by comparison"], autouse=True)
def both_ways(request, monkeypatch):
    monkeypatch.setattr("bigquant.remap._FEW_DISTANCES", request.param)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunked(), st.data())
def test_labels_equal_the_reference_for_any_chunks(pair, data):
    image, lazy = pair
    has_alpha = image.shape[2] in (2, 4)
    colors = data.draw(palettes(image.shape[2] - has_alpha))
    palette = Palette.from_colors(colors, int(has_alpha))
    labels = remap(lazy.rechunk({2: -1}), palette)
    computed = labels.compute(scheduler="sync")
    np.testing.assert_array_equal(computed, reference.labels(image, colors, int(has_alpha)))
    assert labels.chunks == lazy.chunks[:2]
    assert computed.dtype == labels.dtype == palette.label_dtype
    painted = paint(labels, palette).compute(scheduler="sync")
    np.testing.assert_array_equal(painted, palette.table[computed])


@pytest.mark.parametrize(("k", "distinct"), [(256, 256), (257, 257), (3000, 3000), (3000, 9)])
def test_many_colours(rng, k, distinct):
    import dask.array as da

    colors = rng.integers(0, 256, (distinct, 3), dtype=np.uint8)[rng.integers(0, distinct, k)]
    image = rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)
    labels = remap(da.from_array(image, chunks=7), Palette.from_colors(colors))
    expected = reference.labels(image, colors, 0)
    np.testing.assert_array_equal(labels.compute(scheduler="sync"), expected)
