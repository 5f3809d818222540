"""Which channels are colour, as Pillow's modes of that many bands have it."""

from __future__ import annotations

import pytest
from PIL import Image as pillow

from bigquant.bands import is_image_depth, split_channels


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_the_last_channel_is_alpha_where_the_mode_of_as_many_bands_says_so(mode):
    bands = pillow.new(mode, (1, 1)).getbands()
    colors = [band for band in bands if band != "A"]
    assert split_channels(len(bands)) == (len(colors), "A" in bands)
    assert is_image_depth(len(bands))


@pytest.mark.parametrize("depth", [-1, 0, 5, 6, 100])
def test_other_depths_are_no_images(depth):
    assert not is_image_depth(depth)
    with pytest.raises(KeyError):
        split_channels(depth)
