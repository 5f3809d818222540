"""What a fit can be asked for: checked once, at the door, before any work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.colorspace import SPACES
from bigquant.errors import InputError
from bigquant.image import Image
from bigquant.kept import read_colors
from bigquant.palette import MAX_COLORS
from bigquant.thresholds import DITHERS
from bigquant.ways import ALGORITHMS, HISTOGRAM, LLOYD, SCALES, choose_way, way_of

DEFAULT_K = 32
#: Labels that a palette image can tell apart.
MOST_LABELS = 256
_SHOWN = 5


def read_wish(k: int | str, quality: Any, keep: Any, algorithm: str) -> NDArray[np.uint8]:
    """Refuse what no palette can be; list the colours that are to be kept, (m, 3).

    The parameters are those of `quantize`.
    """
    if k != "auto":
        check_k(k, " or 'auto'")
    if quality is not None:
        is_number = isinstance(quality, Real) and not isinstance(quality, bool)
        if not is_number or not 0 < quality < math.inf:
            raise InputError(f"quality={quality!r}: must be a PSNR in dB, above 0")
    if algorithm == "dask-ml" and (k == "auto" or quality is not None):
        raise InputError("dask-ml's own fit chooses no k: use the algorithm 'histogram'")
    return _read_keep(keep, most_colors(k, quality), algorithm)


def choose_k(k: int | str | None, quality: float | None) -> int | str:
    """Tell the `k` of `quantize` that is meant where none is given."""
    if k is None:
        return DEFAULT_K if quality is None else "auto"
    return k


def most_colors(k: int | str, quality: float | None, first_label: int = 1) -> int:
    """Tell how many colours a palette can have; `k` and `quality` are those of `quantize`."""
    if k != "auto":
        return int(k)
    return DEFAULT_K if quality is None else MOST_LABELS - first_label


def read_wishes(k: Sequence[int], keep: Any) -> tuple[list[int], NDArray[np.uint8]]:
    """Do the same for the numbers of colours of a sweep; list them, ascending."""
    try:
        ks = list(k)
    except TypeError:
        raise InputError(f"k={k}: a sweep takes several, such as range(2, 11)") from None
    for each in ks:
        check_k(each)
    if not ks:
        raise InputError("an empty range of k: give numbers of colours such as range(2, 11)")
    ks = sorted({int(each) for each in ks})
    return ks, _read_keep(keep, ks[0], "auto")


def read_fitting(n_init: Any, random_state: Any) -> dict[str, Any]:
    """Refuse what is no number of restarts, and no seed; hand them on as options of a fit."""
    if n_init != "auto" and (not isinstance(n_init, int | np.integer) or n_init < 1):
        raise InputError(f"n_init={n_init!r}: must be 'auto' or at least 1")
    if random_state is not None:
        if not isinstance(random_state, int | np.integer) or not 0 <= random_state < 2**32:
            raise InputError(f"random_state={random_state}: must be None or 0 to 2**32 - 1")
        random_state = int(random_state)
    return {"n_init": n_init, "random_state": random_state}


def check_k(k: Any, other: str = "") -> None:
    """Refuse a number of colours that no palette can have; tell what else it can be."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= MAX_COLORS:
        raise InputError(f"k={k!r}: must be a whole number from 1 to {MAX_COLORS}{other}")


def _read_keep(keep: Any, k: int, algorithm: str) -> NDArray[np.uint8]:
    """List the colours that are to be kept, (m, 3), refusing what a palette of k cannot keep."""
    kept = np.empty((0, 3), np.uint8) if keep is None else read_colors(keep)
    if len(kept) > k:
        raise InputError(f"k={k}: must be at least {len(kept)}, as many colours as are to be kept")
    if len(kept) and algorithm == "dask-ml":
        raise InputError("dask-ml's own fit keeps no colours: use the algorithm 'histogram'")
    return kept


def alike(images: Sequence[Image]) -> list[Image]:
    """Bring images to as many bands: gray joins RGB; what fits no one palette is refused."""
    if not images:
        raise InputError("an empty list: there is no image to fit")
    check_types(images)
    first = images[0]
    is_gray_and_rgb = {image.channels for image in images} == {1, 3}
    others = [
        image
        for image in images
        if image.dtype != first.dtype or (image.channels != first.channels and not is_gray_and_rgb)
    ]
    if others:
        other = others[0]
        raise InputError(
            f"{_described(first)} and {_described(other)} fit no one palette: bring them to one "
            "type and number of bands, e.g. with --bands or gdal_translate -ot, or fit each alone"
        )
    return [image.as_rgb() for image in images] if is_gray_and_rgb else list(images)


def _described(image: Image) -> str:
    plural = "s" if image.channels > 1 else ""
    return f"{image.source.path or 'the array'} ({image.dtype}, {image.channels} band{plural})"


def check_types(images: Sequence[Image]) -> None:
    """Refuse images of what is no real number of up to 64 bits."""
    others = [i for i in images if i.dtype.kind not in "uif" or i.dtype.itemsize > 8]
    if others:
        listed = ", ".join(f"{i.source.path or 'the array'} ({i.dtype})" for i in others[:_SHOWN])
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise InputError(
            f"{listed}{more}: whole or real numbers of up to 64 bits can be quantized: convert "
            "them, e.g. take the magnitude of complex ones"
        )


def check_way(images: Sequence[Image], scale: str, algorithm: str, wish: str | None) -> None:
    """Refuse what the way that such images are fitted in cannot do.

    Parameters
    ----------
    images : sequence of Image
        Of `alike`.
    scale, algorithm : str
        Of `quantize`.
    wish : str, optional
        What is wanted beside a palette of k colours, in words.
    """
    if scale not in SCALES:
        raise InputError(f"scale={scale!r}: must be one of {SCALES}")
    if algorithm not in ALGORITHMS:
        raise InputError(f"algorithm={algorithm!r}: must be one of {ALGORITHMS}")
    dtype, channels = images[0].dtype, images[0].channels
    way = choose_way(dtype, channels, algorithm)
    if algorithm == "histogram" and way == LLOYD:
        raise InputError(
            f"{_described(images[0])}: has too many bands for a histogram, which takes up to 4: "
            "use the algorithm 'lloyd', or choose bands"
        )
    if algorithm == "dask-ml" and scale != "none":
        raise InputError("dask-ml's own fit does not scale bands: use the algorithm 'lloyd'")
    if wish and way == LLOYD:
        raise InputError(
            f"{_described(images[0])}: is fitted over its pixels, pass by pass, and {wish} would "
            "take too many: give one k, or choose up to 4 bands (--bands)"
        )


def check_space(images: Sequence[Image], space: str, scale: str, algorithm: str) -> None:
    """Refuse to measure in another space than the values' own what are no colours of 8 bits."""
    if space not in SPACES:
        raise InputError(f"space={space!r}: must be one of {SPACES}")
    if space == "srgb":
        return
    image, remedy = images[0], "leave out --space (space=)"
    if image.dtype != np.uint8 or image.channels not in (1, 3):
        raise InputError(
            f"{_described(image)}: the space {space!r} is one of 8-bit gray or RGB: {remedy}, or "
            "choose one or three bands (--bands) of 8 bits"
        )
    if scale != "none":
        raise InputError(f"a scale has no meaning in the space {space!r}: {remedy}, or --scale")
    if algorithm not in ("auto", "histogram"):
        raise InputError(
            f"the algorithm {algorithm!r} fits to the values as they are: {remedy}, or use the "
            "algorithm 'histogram'"
        )


def check_countable(images: Sequence[Image]) -> None:
    """Refuse images whose colours are too many to be counted one by one."""
    if way_of(images[0].dtype, images[0].channels) != HISTOGRAM:
        raise InputError(
            f"{_described(images[0])}: may have more colours than can be counted one by one: "
            "choose up to 3 bands of 8 bits, or one of 16"
        )


def check_kept(images: Sequence[Image], kept: NDArray[np.uint8], scale: str) -> None:
    """Refuse to keep colours of 0 to 255 in palettes of other values."""
    image = images[0]
    if len(kept) and (image.dtype != np.uint8 or image.channels not in (1, 3) or scale != "none"):
        raise InputError(
            f"{_described(image)}: colours can be kept in palettes of 8-bit gray or RGB without "
            "--scale only: leave out --keep (keep=)"
        )


def check_dither(
    image: Image, dither: str, k: int, scale: str, quality: float | None = None
) -> None:
    """Refuse to mix colours of a palette of `k`, other than 8-bit gray or RGB, or of too many."""
    if dither not in DITHERS:
        raise InputError(f"dither={dither!r}: must be one of {DITHERS}")
    if dither == "none":
        return
    if image.dtype != np.uint8 or image.channels not in (1, 3) or scale != "none":
        raise InputError(
            f"{_described(image)}: only 8-bit gray and RGB without --scale can be dithered: leave "
            "out --dither (dither=), or choose three bands of 8 bits (--bands)"
        )
    if quality is not None:
        raise InputError(
            f"quality={quality:g} is that of nearest colours, and dithered pixels are farther: "
            "leave out --dither (dither=), or give the number of colours (k)"
        )
    if k > MOST_LABELS:
        raise InputError(
            f"k={k}: up to {MOST_LABELS} colours can be dithered: take fewer, or leave out "
            "--dither (dither=)"
        )
