"""Images, chunkings and palettes for hypothesis to draw."""

from __future__ import annotations

from itertools import pairwise

import dask.array as da
import numpy as np
from hypothesis import strategies as st


@st.composite
def images(draw, depths=(1, 2, 3, 4), side=40):
    """Draw an image of few or many colours, with flat parts and perhaps transparent ones."""
    depth = draw(st.sampled_from(depths))
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([2, 5, 256]))
    image = rng.integers(0, levels, (height, width, depth)) * (255 // (levels - 1))
    if depth in (2, 4):
        image[..., -1] = rng.choice([0, 1, 255], (height, width))
    return image.astype(np.uint8)


@st.composite
def chunkings(draw, shape):
    """Draw Dask chunks for an image, regular or not, its channels cut or not."""

    def cut(length):
        borders = draw(st.sets(st.integers(1, length), max_size=4)) | {length}
        edges = [0, *sorted(borders)]
        return tuple(b - a for a, b in pairwise(edges))

    return tuple(cut(length) for length in shape)


@st.composite
def chunked(draw, **options):
    """Draw an image and the same image as a Dask array."""
    image = draw(images(**options))
    return image, da.from_array(image, chunks=draw(chunkings(image.shape)))


@st.composite
def palettes(draw, depth, most=40):
    """Draw palette colours (k, depth), with ties between them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([3, 17, 256]))
    k = draw(st.integers(1, most))
    return (rng.integers(0, levels, (k, depth)) * (255 // (levels - 1))).astype(np.uint8)
