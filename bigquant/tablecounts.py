"""Counting by a table of all that can occur: 8-bit colours, and one band of up to 16 bits."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant import kernels

Counted = tuple[NDArray[Any], NDArray[np.uint64]]

_scratch = threading.local()


def are_colors(colors: NDArray[Any]) -> bool:
    """Whether the channels of a colour (n, channels) fit one code of 24 bits."""
    return colors.dtype == np.uint8 and colors.shape[1] <= 3


def are_short(colors: NDArray[Any]) -> bool:
    """Whether colours (n, channels) are of one channel of up to 16 bits."""
    return colors.shape[1] == 1 and colors.dtype.kind in "uif" and colors.dtype.itemsize <= 2


def count_colors(pixels: NDArray[np.uint8], channels: int) -> Counted:
    """Count 8-bit colours in a table of all codes, kept per thread and left empty."""
    tables = _scratch.__dict__.setdefault("tables", {})
    # taken out while in use: a count that is interrupted must not leave a full table behind
    low, high, pages = tables.pop(channels, (None, None, None))
    if low is None:
        n_codes = 256**channels
        low, high = np.zeros(n_codes, np.uint8), np.zeros(n_codes, np.uint32)
        pages = np.zeros(n_codes >> 8, np.bool_)
    block = np.require(pixels, np.uint8, ["C", "W"])  # one layout, so one compiled kernel
    block = block.reshape(-1, pixels.shape[-2], pixels.shape[-1])
    n = kernels.count_codes(block, channels, low, high, pages)
    colors, counts = np.empty((n + 1, channels), np.uint8), np.empty(n + 1, np.uint64)
    kernels.drain_table(low.view(np.uint64), low, high, pages, colors, counts)
    tables[channels] = low, high, pages
    return colors[:n], counts[:n]


def count_short(pixels: NDArray[Any]) -> Counted:
    """Count the values of one band (..., 1 [+ alpha]), by their bits; list them (n, 1) ascending.

    Pixels whose alpha is 0 are passed over, and what is not finite.
    """
    values = pixels[..., 0] if pixels.shape[-1] == 1 else pixels[..., 0][pixels[..., 1] > 0]
    native = pixels.dtype.newbyteorder("=")
    bits = np.require(values, native, ["C", "W"]).reshape(-1).view(f"u{native.itemsize}")
    counts = np.zeros(1 << 8 * native.itemsize, np.uint64)
    kernels.count_bits(bits, counts)
    found = np.flatnonzero(counts)
    known = found.astype(bits.dtype).view(native)
    is_finite = np.isfinite(known)
    known, counts = known[is_finite] + native.type(0), counts[found][is_finite]  # -0 is 0
    return merge_short(known[:0, None], counts[:0], known[:, None], counts, pixels.dtype)


def merge_short(
    a: NDArray[Any],
    counts_a: NDArray[np.uint64],
    b: NDArray[Any],
    counts_b: NDArray[np.uint64],
    dtype: Any,
) -> Counted:
    """Merge two lists of values (n, 1), adding the counts of equal ones."""
    values = np.union1d(a, b)
    counts = np.zeros(len(values), np.uint64)
    for each, theirs in ((a, counts_a), (b, counts_b)):
        np.add.at(counts, np.searchsorted(values, each[:, 0]), theirs)
    return values[:, None].astype(dtype), counts
