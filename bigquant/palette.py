"""`Palette`: the colours of a quantized image, their shares, and the facts of their fit."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.colorcounts import ColorHistogram
from bigquant.errors import InputError
from bigquant.metrics import psnr

#: Most labels that 16 bits can hold beside the reserved one.
MAX_COLORS = 65535
_SCHEMA = 1


def label_dtype(k: int, first_label: int) -> np.dtype[Any]:
    """Choose the type of the labels of k colours: uint8 while they fit, else uint16."""
    return np.dtype(np.uint8 if first_label + k <= 256 else np.uint16)


@dataclass(frozen=True, eq=False)
class Palette:
    """Colours in the order of their labels, most common first when they were fitted.

    Parameters
    ----------
    centers : ndarray, (k, channels), float64
        Centres of the clusters, 0 to 255.
    colors : ndarray, (k, channels), uint8
        The centres rounded: what is written. 1 (gray) or 3 (RGB) channels.
    counts : ndarray, (k,), uint64
        Pixels nearest to each colour in the fitted image.
    first_label : {0, 1}
        Label of the first colour; 1 where label 0 is kept for pixels that are no part of
        the image (transparent ones).
    inertia : int
        Sum over the fitted image's pixels of the squared distance to their colour.
    fit : Mapping
        How the palette was made: algorithm, random_state, distinct_colors.

    Examples
    --------
    >>> palette = Palette.from_colors([[255, 0, 0], [0, 0, 255]])
    >>> palette.k, palette.hex
    (2, ['#ff0000', '#0000ff'])
    """

    centers: NDArray[np.float64]
    colors: NDArray[np.uint8]
    counts: NDArray[np.uint64]
    first_label: int = 0
    inertia: int = 0
    fit: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_colors(cls, colors: Any, first_label: int = 0) -> Palette:
        """Make a palette of given colours (k, channels), 0 to 255, that fits no image yet."""
        try:
            centers = np.array(colors, np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"colours of a palette must be rows of numbers ({error})") from error
        if (
            centers.ndim != 2
            or not 1 <= len(centers) <= MAX_COLORS
            or centers.shape[1] not in (1, 3)
        ):
            raise InputError(
                f"colours of shape {centers.shape} are no palette: 1 to {MAX_COLORS} rows of "
                "1 (gray) or 3 (RGB) values are"
            )
        if not (np.isfinite(centers).all() and centers.min() >= 0 and centers.max() <= 255):
            raise InputError("a palette's values must lie in 0 to 255")
        if first_label not in (0, 1):
            raise InputError(f"first_label={first_label}: must be 0 or 1")
        rounded = np.rint(centers).astype(np.uint8)
        return cls(centers, rounded, np.zeros(len(centers), np.uint64), first_label)

    @classmethod
    def from_fit(
        cls,
        histogram: ColorHistogram,
        centers: NDArray[np.float64],
        first_label: int = 0,
        n_kept: int = 0,
    ) -> Palette:
        """Order and round fitted centres, and count what they will be nearest to.

        Parameters
        ----------
        histogram : ColorHistogram
            The image's.
        centers : ndarray, (k, channels), float64
            In any order.
        first_label : {0, 1}
            See the class.
        n_kept : int
            So many centres, the first, are kept colours: what rounds to one becomes it.

        Returns
        -------
        Palette
            Centres by the pixels nearest to them, most common first, then by value. Two
            that round to one colour become one, so there may be fewer than came in.
        """
        centers = _joined(centers, n_kept)
        masses = histogram.gather(centers)[:, 0]
        order = np.lexsort((*centers.T[::-1], -masses))
        centers = centers[order]
        rounded = np.rint(centers.clip(0, 255)).astype(np.uint8)
        firsts = np.sort(np.unique(rounded, axis=0, return_index=True)[1])
        centers, rounded = centers[firsts], rounded[firsts]
        whole = rounded.astype(np.int64)
        moments = histogram.gather(rounded.astype(np.float64))
        totals, sums, squares = moments[:, 0], moments[:, 1:-1], moments[:, -1]
        # sum of |x - c|**2 over all pixels x, in whole numbers, so exact
        errors = squares - 2 * (whole * sums).sum(axis=1) + totals * (whole**2).sum(axis=1)
        counts = totals.astype(np.uint64)
        return cls(centers, rounded, counts, first_label, int(errors.sum()))

    def with_facts(self, **facts: Any) -> Palette:
        """Add facts of the fit."""
        return replace(self, fit={**self.fit, **facts})

    @property
    def k(self) -> int:
        """Number of colours."""
        return len(self.colors)

    @property
    def n_pixels(self) -> int:
        """Pixels of the fitted image that are part of it."""
        return int(self.counts.sum())

    @property
    def shares(self) -> NDArray[np.float64]:
        """Part of the pixels that each colour has, (k,), summing to 1."""
        return self.counts / max(1, self.n_pixels)

    @property
    def mse(self) -> float:
        """Squared error per pixel, summed over the channels."""
        return self.inertia / max(1, self.n_pixels)

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio per channel value in dB; infinite without an error."""
        return psnr(self.mse, self.colors.shape[1])

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The colours as RGB (k, 3), gray ones too."""
        return np.broadcast_to(self.colors, (self.k, 3)).copy()

    @property
    def hex(self) -> list[str]:
        """The colours as ``#rrggbb``."""
        return ["#" + bytes(color).hex() for color in self.rgb]

    @property
    def table(self) -> NDArray[np.uint8]:
        """Colour of every label, (first_label + k, channels); label 0 is black if reserved."""
        reserved = np.zeros((self.first_label, self.colors.shape[1]), np.uint8)
        return np.concatenate([reserved, self.colors])

    @property
    def label_dtype(self) -> np.dtype[Any]:
        """Type of the labels: uint8 while they fit, else uint16."""
        return label_dtype(self.k, self.first_label)

    def as_json(self) -> dict[str, Any]:
        """Describe the palette in JSON's types (the schema of the model file)."""
        return {
            "bigquant_palette": _SCHEMA,
            "k": self.k,
            "first_label": self.first_label,
            "colors": self.colors.tolist(),
            "hex": self.hex,
            "centers": self.centers.tolist(),
            "counts": self.counts.tolist(),
            "inertia": self.inertia,
            "mse": self.mse,
            "psnr": self.psnr if math.isfinite(self.psnr) else None,
            "fit": dict(self.fit),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the palette as JSON."""
        Path(path).write_text(json.dumps(self.as_json(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Palette:
        """Read a palette that `save` wrote; the file is checked, and nothing of it is run."""
        try:
            model = json.loads(Path(path).read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a readable palette ({error})") from error
        return cls.from_json(model, str(path))

    @classmethod
    def from_json(cls, model: Any, name: str = "palette") -> Palette:
        """Build the palette that `as_json` described."""
        if not isinstance(model, dict) or model.get("bigquant_palette") != _SCHEMA:
            raise InputError(f"{name}: not a bigquant palette of schema {_SCHEMA}")
        try:
            palette = cls.from_colors(model["centers"], model["first_label"])
            colors = cls.from_colors(model["colors"]).colors
            counts = np.array(model["counts"], np.uint64)
            inertia, fit = int(model["inertia"]), dict(model["fit"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{name}: not a usable palette ({error})") from error
        if palette.centers.shape != colors.shape or counts.shape != colors.shape[:1]:
            raise InputError(f"{name}: centers, colors and counts are not of one length and width")
        if not np.array_equal(palette.colors, colors):
            raise InputError(f"{name}: its colors are not its centers, rounded")
        return cls(palette.centers, colors, counts, palette.first_label, inertia, fit)

    def _repr_html_(self) -> str:
        cells = "".join(
            f'<td style="background:{color};width:3em;height:3em" '
            f'title="{color}, {share:.2%}"></td>'
            for color, share in zip(self.hex[:256], self.shares, strict=False)
        )
        rest = f" (the first 256 of {self.k})" if self.k > 256 else ""
        return f"<table><caption>{self.k} colors{rest}</caption><tr>{cells}</tr></table>"


def _joined(centers: NDArray[np.float64], n_kept: int) -> NDArray[np.float64]:
    """Put the centres that round to one of the first few on it."""
    rounded = np.rint(centers.clip(0, 255))
    codes = rounded @ 256.0 ** np.arange(centers.shape[1])
    is_kept = np.isin(codes, codes[:n_kept])
    return np.where(is_kept[:, None], rounded, centers)
