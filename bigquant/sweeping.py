"""`sweep`: palettes of many numbers of colours, from one pass over the pixels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bigquant.counting import counting
from bigquant.fitting import fit_palettes, mean_differences
from bigquant.image import Image
from bigquant.parameters import (
    alike,
    check_kept,
    check_space,
    check_way,
    read_fitting,
    read_wishes,
)
from bigquant.pipeline import open_all, warn_of_fewer
from bigquant.swept import Sweep


def sweep(
    image: Any,
    k: Sequence[int] = range(2, 11),
    *,
    mask: Any = None,
    nodata: float | None = None,
    bands: Sequence[int] | None = None,
    channel_axis: int | None = None,
    keep: Any = None,
    scale: str = "none",
    space: str = "srgb",
    n_init: str | int = "auto",
    random_state: int | None = 0,
) -> Sweep:
    """Fit a palette for each number of colours, from one pass over the pixels.

    Fits go upward, and each starts from the one before as well: so the error never rises with k,
    and a palette may be a little better than the one that `quantize` finds for the same k.

    Parameters
    ----------
    image
        An image or a list of images, as for `quantize`.
    k : sequence of int
        Numbers of colours, 1 to 65535, in any order. In place of those beyond the distinct colours
        of the image their number stands, with a `PaletteWarning`.
    mask, nodata, bands, channel_axis, keep, scale, space, n_init, random_state
        As for `quantize`; of images of up to 4 bands. In another space than sRGB it is the error
        in that space that never rises with k.

    Returns
    -------
    Sweep

    Raises
    ------
    InputError
        As of `quantize`.
    """
    images = open_all("sweep", image, mask, nodata, bands, channel_axis)
    fitting: dict[str, Any] = {"n_init": n_init, "random_state": random_state}
    return sweep_images(images, k, keep=keep, scale=scale, space=space, **fitting)


def sweep_images(
    images: Sequence[Image],
    k: Sequence[int],
    *,
    keep: Any = None,
    scale: str = "none",
    space: str = "srgb",
    n_init: str | int = "auto",
    random_state: int | None = 0,
    stacklevel: int = 3,
) -> Sweep:
    """Do what `sweep` does with images that are open."""
    ks, kept = read_wishes(k, keep)
    fitting = read_fitting(n_init, random_state)
    images = alike(images)
    check_way(images, scale, "auto", "a sweep")
    check_kept(images, kept, scale)
    check_space(images, space, scale, "auto")
    with counting(images, kept, scale=scale, space=space) as counted:
        for failure in counted.failures.values():
            raise failure
        most = counted.n_centers(ks[-1])
        warn_of_fewer(counted, ks[-1], most, stacklevel)
        ks = [*(k for k in ks if k < most), most]
        start = time.perf_counter()
        palettes = fit_palettes(counted, ks, **fitting)
        differences = mean_differences(counted, palettes)
    seconds = {"count": counted.seconds, "fit": time.perf_counter() - start}
    return Sweep(tuple(ks), tuple(palettes), tuple(differences), seconds, counted.thumbnail)
