"""`ColorHistogram`: distinct colours and their counts. Knows nothing of Dask.

The colour histogram is a sufficient statistic for k-means: it does not matter where a pixel
lies. Histograms form a monoid (`create`, `add`, `merge`; `colors` and `counts` extract), and
counts are integers, so the result is the same for any chunking and any order of merging.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigquant import kernels, tablecounts
from bigquant.bands import channel_names, css_colors
from bigquant.colortree import ColorTree
from bigquant.errors import BigquantError, InputError
from bigquant.nearcolors import label_colors
from bigquant.nearest import assign
from bigquant.notebook import facts_html, swatches_html
from bigquant.percentiles import weighted_percentiles

if TYPE_CHECKING:
    from bigquant.palette import Palette

#: As many distinct rows as 8-bit RGB can have. Data of other types may have more, and
#: would fill the memory: it is refused beyond this.
MAX_DISTINCT = 1 << 24
#: So many pixels can be summed up in 64 bits, squares and all.
_MAX_WHOLE = 1 << 45

#: Of the most common colours that are shown in a notebook.
_SHOWN_COLORS = 32


@dataclass(frozen=True, eq=False)
class ColorHistogram:
    """The distinct colours of an image and how many pixels have each.

    Parameters
    ----------
    colors : ndarray, (n_colors, channels), any real type
        Distinct colours in lexicographic order.
    counts : ndarray, (n_colors,), uint64 or float64
        Pixels of each colour; float64 only where pixels carry weights.

    Examples
    --------
    >>> pixels = np.array([[[255, 0, 0], [0, 0, 0]], [[255, 0, 0], [255, 0, 0]]], np.uint8)
    >>> histogram = ColorHistogram.create(3).add(pixels)
    >>> histogram.colors.tolist(), histogram.counts.tolist()
    ([[0, 0, 0], [255, 0, 0]], [1, 3])
    """

    colors: NDArray[Any]
    counts: NDArray[Any]

    @classmethod
    def create(cls, channels: int, dtype: Any = np.uint8) -> ColorHistogram:
        """Make the empty histogram of colours with `channels` channels of `dtype`."""
        return cls(np.empty((0, channels), dtype), np.empty(0, np.uint64))

    def add(self, pixels: NDArray[Any], weights: NDArray[Any] | None = None) -> ColorHistogram:
        """Count the pixels of one block on top.

        Parameters
        ----------
        pixels : ndarray, (..., channels) or (..., channels + 1)
            Of the histogram's own type. A channel more than the histogram has is alpha:
            pixels whose alpha is 0 are not counted.
        weights : ndarray, (...,), optional
            A weight per pixel, instead of 1; the counts become sums of weights (float64).
        """
        channels = self.colors.shape[1]
        has_alpha = pixels.shape[-1] == channels + 1
        if pixels.dtype != self.colors.dtype or not (has_alpha or pixels.shape[-1] == channels):
            raise InputError(
                f"pixels of shape {pixels.shape} and type {pixels.dtype} cannot be added to a "
                f"histogram of {channels} channels of {self.colors.dtype}"
            )
        if not pixels.size:
            return self
        if weights is None and tablecounts.are_colors(self.colors):
            return self.merge(ColorHistogram(*tablecounts.count_colors(pixels, channels)))
        if weights is None and tablecounts.are_short(self.colors):
            return self.merge(ColorHistogram(*tablecounts.count_short(pixels)))
        rows = pixels.reshape(-1, pixels.shape[-1])
        masses = np.ones(len(rows), np.uint64) if weights is None else weights.reshape(-1)
        if not (masses >= 0).all() or not np.isfinite(masses).all():
            raise InputError("weights must be finite and 0 or more")
        if has_alpha:
            rows, masses = rows[rows[:, -1] > 0, :-1], masses[rows[:, -1] > 0]
        return self.merge(_group_rows(rows, masses))

    def merge(self, other: ColorHistogram) -> ColorHistogram:
        """Add the counts of `other`, a histogram of the same channels and type."""
        if (
            self.colors.shape[1:] != other.colors.shape[1:]
            or self.colors.dtype != other.colors.dtype
        ):
            raise InputError("histograms of different channels or types cannot be merged")
        if not len(self.colors) or not len(other.colors):
            return self if len(self.colors) else other
        if self.counts.dtype == other.counts.dtype == np.uint64:
            if tablecounts.are_colors(self.colors):
                return self._merge_sorted(other)
            if tablecounts.are_short(self.colors):
                return ColorHistogram(
                    *tablecounts.merge_short(
                        self.colors, self.counts, other.colors, other.counts, self.colors.dtype
                    )
                )
        merged = _group_rows(
            np.concatenate([self.colors, other.colors]),
            np.concatenate([self.counts, other.counts]),
        )
        if len(merged.colors) > MAX_DISTINCT:
            raise BigquantError(
                f"the data has more than {MAX_DISTINCT} distinct rows, too many to count in "
                "memory: round it to fewer levels, or use algorithm='dask-ml'"
            )
        return merged

    def _merge_sorted(self, other: ColorHistogram) -> ColorHistogram:
        most = len(self.colors) + len(other.colors)
        colors, counts = np.empty((most, self.colors.shape[1]), np.uint8), np.empty(most, np.uint64)
        n = kernels.merge_sorted(
            self.colors, self.counts, other.colors, other.counts, colors, counts
        )
        return ColorHistogram(colors[:n].copy(), counts[:n].copy())

    @functools.cached_property
    def tree(self) -> ColorTree | None:
        """The colours as a tree of cubes, made once.

        None unless there are three channels of whole numbers up to 255, whatever their type,
        and whole counts.
        """
        if self.colors.shape[1] != 3 or not _are_whole(self.colors, 255):
            return None
        if not _are_whole(self.counts, _MAX_WHOLE) or self.counts.sum() > _MAX_WHOLE:
            return None
        return ColorTree.grow(self.colors.astype(np.uint8), self.counts.astype(np.uint64))

    def gather(self, centers: NDArray[np.float64]) -> NDArray[np.int64]:
        """Sum up the pixels that are nearest to each centre; ties to the lower index.

        Parameters
        ----------
        centers : ndarray, (k, channels), float64

        Returns
        -------
        ndarray, (k, channels + 2), int64
            Their count, the sums of their channels, the sum of all squared values: exact,
            for 8-bit colours with whole counts only.
        """
        if self.tree is not None:
            return self.tree.gather(centers)
        labels, _ = assign(self.colors, centers)
        values, counts = self.colors.astype(np.int64), self.counts.astype(np.int64)
        moments = np.column_stack([np.ones_like(counts), values, (values**2).sum(axis=1)])
        gathered = np.zeros((len(centers), moments.shape[1]), np.int64)
        np.add.at(gathered, labels, counts[:, None] * moments)
        return gathered

    def gather_masses(self, centers: NDArray[np.float64]) -> NDArray[np.int64]:
        """Count the pixels whose colour is nearest to each centre, (k,)."""
        if self.tree is not None:
            return self.tree.gather(centers)[:, 0]
        labels, _ = assign(self.colors.astype(np.float64), centers)
        return np.bincount(labels, self.counts, len(centers)).astype(np.int64)

    def scaled(self, factors: Any) -> ColorHistogram:
        """Make the histogram of the colours times `factors` (channels,), above 0."""
        factors = np.asarray(factors, np.float64)
        return self if (factors == 1).all() else ColorHistogram(self.colors * factors, self.counts)

    @property
    def ranges(self) -> NDArray[np.float64]:
        """Least and greatest value of each channel, (channels, 2)."""
        ends = [self.colors.min(axis=0), self.colors.max(axis=0)]
        return np.stack(ends, axis=1).astype(np.float64)

    def percentiles(self, q: Sequence[float]) -> NDArray[np.float64]:
        """Find the values of each channel that q percent of the pixels do not exceed.

        (len(q), channels)
        """
        return weighted_percentiles(self.colors, self.counts, q)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.colors.shape[1])

    @property
    def n_colors(self) -> int:
        """Number of distinct colours."""
        return len(self.colors)

    @property
    def n_pixels(self) -> int:
        """Number of pixels counted (the sum of the weights, rounded, where they have any)."""
        return int(self.counts.sum())

    @property
    def deviations(self) -> NDArray[np.float64]:
        """Standard deviation of each channel, (channels,)."""
        values, weights = self.colors.astype(np.float64), self.counts[:, None].astype(np.float64)
        total = weights.sum()
        apart = values - (weights * values).sum(axis=0) / total
        found: NDArray[np.float64] = np.sqrt((weights * apart**2).sum(axis=0) / total)
        return found

    def n_centers(self, most: int, kept: NDArray[Any]) -> int:
        """Count the centres that a fit of at most so many has: no more than there are colours.

        Kept colours (m, channels) are among them, whether a pixel has them or not.
        """
        if self.n_colors >= most:
            return most
        return min(most, len({*map(tuple, self.colors.tolist()), *map(tuple, kept.tolist())}))

    def sample(self, most: int) -> ColorHistogram:
        """Choose at most so many colours that stand for all.

        Where there are more, those of `most` pixels, taken at equal distances out of all pixels
        in the order of their colours; the counts are of these pixels. Nothing is left to chance.
        """
        if self.n_colors <= most:
            return self
        ends = np.cumsum(self.counts, dtype=np.float64)
        taken = np.searchsorted(ends, (np.arange(most) + 0.5) * (ends[-1] / most), side="right")
        chosen, counts = np.unique(taken, return_counts=True)
        return ColorHistogram(self.colors[chosen], counts.astype(np.uint64))

    @functools.cached_property
    def fingerprint(self) -> str:
        """Digest of colours and counts: the same for the same pixels, in any order and chunks."""
        digest = hashlib.sha256(f"{self.colors.shape} {self.colors.dtype.str}".encode())
        digest.update(np.ascontiguousarray(self.colors).data)
        digest.update(np.ascontiguousarray(_narrowed(self.counts)).data)
        return f"sha256:{digest.hexdigest()}"

    def to_dataframe(self, palette: Palette | None = None) -> Any:
        """Make a pandas DataFrame of the colours, one a row, with the pixels of each.

        Parameters
        ----------
        palette : Palette, optional
            Of as many channels.

        Returns
        -------
        pandas.DataFrame
            r, g, b (or gray), count and color, ``rgb(255, 0, 0)``: their own, or with a palette
            that of the nearest of its colours, whose label is `cluster`.
        """
        import pandas as pd  # noqa: PLC0415 - takes a while to import

        names = channel_names(self.colors.shape[1])
        if self.colors.shape[1] != len(names):
            raise InputError(f"a histogram of {self.colors.shape[1]} channels has no colours")
        frame = pd.DataFrame(self.colors, columns=names).assign(count=self.counts)
        shown = self.colors
        if palette is not None:
            if palette.colors.shape[1] != len(names):
                raise InputError("the palette has other channels than the histogram")
            labels = np.empty(self.n_colors, np.int32)
            label_colors(self.colors, palette.colors, palette.space, 0, labels)
            frame["cluster"] = labels + palette.first_label
            shown = palette.colors[labels]
        return frame.assign(color=pd.Series(css_colors(shown), dtype=str))

    def _repr_html_(self) -> str:
        order = np.argsort(-self.counts.astype(np.float64), kind="stable")[:_SHOWN_COLORS]
        total = max(1, self.n_pixels)
        facts = {
            "pixels": self.n_pixels,
            "distinct colors": self.n_colors,
            "channels": self.colors.shape[1],
        }
        if self.colors.dtype != np.uint8 or self.colors.shape[1] not in (1, 3):
            return facts_html(facts)
        rgb = np.broadcast_to(self.colors[order], (len(order), 3))
        common = swatches_html(["#" + bytes(c).hex() for c in rgb], self.counts[order] / total)
        return facts_html(facts) + "<p>the most common:</p>" + common

    def __sizeof__(self) -> int:
        """Tell schedulers and workers what it takes to hold or to move it."""
        return object.__sizeof__(self) + self.colors.nbytes + self.counts.nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel small: counts as wide as they must be, and without the tree."""
        return _unpack, (self.colors, _narrowed(self.counts), self.counts.dtype)


def _narrowed(counts: NDArray[Any]) -> NDArray[Any]:
    """Bring whole counts to the narrowest type that holds them."""
    if counts.dtype != np.uint64 or not counts.size:
        return counts
    return counts.astype(np.min_scalar_type(counts.max()))


def _unpack(colors: NDArray[Any], counts: NDArray[Any], dtype: np.dtype[Any]) -> ColorHistogram:
    return ColorHistogram(colors, counts.astype(dtype))


def _are_whole(values: NDArray[Any], most: int) -> bool:
    """Whether values are whole numbers from 0 to `most`."""
    if values.dtype.kind == "u" and np.iinfo(values.dtype).max <= most:
        return True
    in_range = values.size > 0 and values.min() >= 0 and values.max() <= most
    return bool(in_range and (values.dtype.kind in "bui" or (values == np.rint(values)).all()))


def _group_rows(rows: NDArray[Any], masses: NDArray[Any]) -> ColorHistogram:
    """Group equal rows of any type; counts stay exact up to 2**53."""
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        raise InputError("the data contains NaN or infinity: fill or drop those values first")
    colors, inverse = np.unique(rows, axis=0, return_inverse=True)
    counts = np.bincount(inverse.ravel(), weights=masses, minlength=len(colors))
    if masses.dtype == np.uint64:
        return ColorHistogram(colors, counts.astype(np.uint64))
    return ColorHistogram(colors[counts > 0], counts[counts > 0])
