"""Blocks (y, x, channel) of a Dask array -> blocks (y, x), without a copy on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
from dask.layers import ArraySliceDep
from numpy.typing import NDArray


def map_pixels(
    function: Callable[..., Any],
    image: da.Array,
    *arguments: Any,
    token: str,
    dtype: Any,
    placed: bool = False,
) -> da.Array:
    """Plan to apply a function to every block of an image, which it turns into one of (y, x).

    That is Dask's ``map_blocks(drop_axis=-1)``, which would copy each block: it joins the chunks
    of the axis that is dropped, also where there is only one.

    Parameters
    ----------
    function : callable
    image : dask.array.Array, (..., channel)
        In any chunks; a block has all channels.
    *arguments
        Further arguments of the function.
    token : str
        Beginning of the tasks' names.
    dtype
        Of the result.
    placed : bool
        Whether the function's last arguments are the index of the block's first row and column.
    """
    image = image.rechunk({-1: -1})
    kept = tuple(range(image.ndim - 1))
    # The channels have one block, and to Dask they bear the index of an axis that is kept: an
    # axis that is dropped would not let the task that reads a block go on with it.
    mapped: list[Any] = [image, (*kept, 0)]
    for argument in arguments:
        mapped += [argument, None]
    if placed:
        mapped += [ArraySliceDep(image.chunks[:-1]), kept]
    return da.blockwise(
        _apply,
        kept,
        *mapped,
        function=function,
        placed=placed,
        align_arrays=False,
        token=token,
        dtype=dtype,
        meta=np.empty((0,) * len(kept), dtype),
    )


def _apply(
    pixels: NDArray[Any], *arguments: Any, function: Callable[..., Any], placed: bool
) -> Any:
    if not placed:
        return function(pixels, *arguments)
    *others, place = arguments
    return function(pixels, *others, *(part.start for part in place))
