"""Which channels of an image are colour, and whether the last one is alpha."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Depth of an image -> (colour channels, has alpha), as Pillow and scikit-image read it.
_LAYOUTS = {1: (1, False), 2: (1, True), 3: (3, False), 4: (3, True)}


def split_channels(depth: int) -> tuple[int, bool]:
    """Tell how many of `depth` channels are colours, and if an alpha channel follows them.

    Parameters
    ----------
    depth : int
        1 (gray), 2 (gray and alpha), 3 (RGB) or 4 (RGB and alpha).

    Returns
    -------
    channels : int
        1 or 3.
    has_alpha : bool
        Whether the last channel is alpha: a pixel whose alpha is 0 is no part of the image.

    Raises
    ------
    KeyError
        For any other depth; images are checked where they come in.
    """
    return _LAYOUTS[depth]


def is_image_depth(depth: int) -> bool:
    """Tell whether an image of `depth` channels is gray or RGB, with alpha or without."""
    return depth in _LAYOUTS


def default_colors(depth: int) -> tuple[tuple[int, ...] | None, int | None]:
    """Tell which of `depth` samples that nothing is known of are colours, and which is alpha.

    Returns
    -------
    colors : tuple of int or None
        None where there are more samples than gray or RGB with alpha have.
    alpha : int or None
    """
    if not is_image_depth(depth):
        return None, None
    channels, has_alpha = split_channels(depth)
    return tuple(range(channels)), channels if has_alpha else None


def channel_names(channels: int) -> list[str]:
    """Name the bands of an image, as columns of tables do: three are red, green and blue."""
    named = {1: ["gray"], 3: ["r", "g", "b"]}
    return named.get(channels) or [f"band_{number}" for number in range(1, channels + 1)]


def css_colors(colors: NDArray[np.uint8]) -> list[str]:
    """Write colours (n, 1 or 3), gray or RGB, as CSS does: ``rgb(255, 0, 0)``."""
    rgb = np.broadcast_to(colors, (len(colors), 3))
    return [f"rgb({r}, {g}, {b})" for r, g, b in rgb.tolist()]


def named_colors(names: Sequence[object]) -> tuple[int, ...] | None:
    """Tell by the names of samples which are red, green and blue, if each is there once."""
    initials = [{"red": "r", "green": "g", "blue": "b"}.get(n, n) for n in map(_lower, names)]
    if any(initials.count(color) != 1 for color in "rgb"):
        return None
    return tuple(initials.index(color) for color in "rgb")


def _lower(name: object) -> str:
    return str(name).strip().lower()
