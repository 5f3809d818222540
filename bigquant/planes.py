"""Blocks (y, x, channel) of a Dask array -> blocks (y, x), without a copy on the way."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
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
    starts: list[Any] = []
    if placed:
        for axis in kept:
            firsts = np.cumsum((0, *image.chunks[axis][:-1]))
            starts += [da.from_array(firsts, chunks=1, name=False), (axis,)]
    return da.blockwise(
        _apply,
        kept,
        image,
        (*kept, len(kept)),
        *itertools.chain.from_iterable((argument, None) for argument in arguments),
        *starts,
        function=function,
        n_arguments=len(arguments),
        concatenate=False,
        align_arrays=False,
        token=token,
        dtype=dtype,
        meta=np.empty((0,) * len(kept), dtype),
    )


def _apply(
    blocks: list[NDArray[Any]], *rest: Any, function: Callable[..., Any], n_arguments: int
) -> Any:
    (pixels,) = blocks
    starts = (int(start[0]) for start in rest[n_arguments:])
    return function(pixels, *rest[:n_arguments], *starts)
