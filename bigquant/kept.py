"""Colours that a palette is to keep, as people write them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from bigquant.errors import InputError
from bigquant.rounding import round_to


def read_colors(keep: Any) -> NDArray[np.uint8]:
    """Read colours that are to be kept.

    Parameters
    ----------
    keep : sequence of str or array-like, (m, 3) or (m, 1)
        ``#rrggbb``, ``#rgb`` or the names that CSS has, also as one string with commas
        between them; or whole numbers from 0 to 255, RGB or gray.

    Returns
    -------
    ndarray, (m, 3), uint8
        RGB, gray ones too, in their order.

    Raises
    ------
    InputError
        If one is no such colour, or is given twice.

    Examples
    --------
    >>> read_colors("#ffffff, #08f, black").tolist()
    [[255, 255, 255], [0, 136, 255], [0, 0, 0]]
    """
    if isinstance(keep, str):
        keep = keep.split(",")
    try:
        given = np.asarray(keep)
    except ValueError:  # rows of different lengths
        given = np.array(None)
    if given.shape == (0,):
        given = given.reshape(0, 3)
    elif given.dtype.kind == "U" and given.ndim == 1:
        given = np.array([_named(word) for word in given.tolist()])
    if given.ndim != 2 or given.shape[1] not in (1, 3) or given.dtype.kind not in "uif":
        raise InputError(
            f"keep of shape {given.shape} and type {given.dtype}: give a list of colours such as "
            "['#ffffff', 'black'], or rows of 3 (RGB) or 1 (gray) numbers"
        )
    wrong = ~((given >= 0) & (given <= 255) & (given == np.rint(given))).all(axis=1)
    if wrong.any():
        raise InputError(
            f"{given[wrong][0].tolist()} cannot be kept: a colour's values are whole numbers "
            "from 0 to 255"
        )
    colors = np.broadcast_to(given, (len(given), 3)).astype(np.uint8)
    different, times = np.unique(colors, axis=0, return_counts=True)
    if (times > 1).any():
        twice = _hex(different[times > 1][0])
        raise InputError(f"{twice} is to be kept {times.max()} times: name each colour once")
    return colors


def _named(word: str) -> tuple[int, ...]:
    try:
        color: tuple[int, ...] | None = ImageColor.getrgb(word.strip())
    except ValueError:
        color = None
    if color is None or len(color) != 3:  # four with alpha
        raise InputError(
            f"{word!r} is no opaque colour: write it as '#ff8800', '#f80' or by its name in CSS"
        )
    return color


def in_channels(colors: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Bring kept RGB colours (m, 3) to the channels of an image, 3 or 1; grays only to 1."""
    colored = (colors != colors[:, :1]).any(axis=1)
    if channels == 1 and colored.any():
        raise InputError(
            f"{_hex(colors[colored][0])} cannot be kept: the image is gray, and so is its "
            "palette: name grays such as '#808080'"
        )
    return colors[:, :channels]


def join_kept(
    centers: NDArray[np.float64], n_kept: int, dtype: np.dtype[Any]
) -> NDArray[np.float64]:
    """Put the centres that round to one of the first few, which are kept, on it."""
    rounded = round_to(centers, dtype)
    groups = np.unique(rounded, axis=0, return_inverse=True)[1].ravel()
    is_kept = np.isin(groups, groups[:n_kept])
    return np.where(is_kept[:, None], rounded.astype(np.float64), centers)


def _hex(color: NDArray[np.uint8]) -> str:
    return "#" + bytes(color).hex()
