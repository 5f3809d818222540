"""`Palette`: the colours of a quantized image, their shares, and the facts of their fit."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigquant import palette_formats, palette_model
from bigquant.atomic import complete_or_nothing
from bigquant.colorcounts import ColorHistogram
from bigquant.errors import InputError
from bigquant.kept import join_kept
from bigquant.metrics import psnr
from bigquant.notebook import swatches_html
from bigquant.palette_model import naming
from bigquant.palette_rows import RGBA

if TYPE_CHECKING:
    from bigquant.quantized import QuantizedImage

#: Most labels that 16 bits can hold beside the reserved one.
MAX_COLORS = 65535


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
        How the palette was made: algorithm, random_state (the seed), distinct_colors,
        fingerprint (of the colours that were counted), sources (paths of the images),
        versions (of what fitted it).

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
        centers = join_kept(centers, n_kept)
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
        fit = {"fingerprint": histogram.fingerprint}
        return cls(centers, rounded, counts, first_label, int(errors.sum()), fit)

    def with_facts(self, **facts: Any) -> Palette:
        """Add facts of the fit."""
        return replace(self, fit={**self.fit, **facts})

    def with_tally(self, tally: NDArray[np.int64]) -> Palette:
        """Take the numbers of another image: what was counted of it when it was remapped.

        Parameters
        ----------
        tally : ndarray, (first_label + k + 1,), int64
            Pixels of every label, and last the sum of their squared errors.
        """
        counts = tally[self.first_label : -1].astype(np.uint64)
        return replace(self, counts=counts, inertia=int(tally[-1]))

    def as_rgb(self) -> Palette:
        """Make a gray palette one of RGB, its error too."""
        centers = np.broadcast_to(self.centers, (self.k, 3)).copy()
        inertia = self.inertia * (3 // self.colors.shape[1])
        return replace(self, centers=centers, colors=self.rgb, inertia=inertia)

    def apply(
        self,
        image: Any,
        *,
        mask: Any = None,
        nodata: float | None = None,
        bands: Sequence[int] | None = None,
        channel_axis: int | None = None,
    ) -> QuantizedImage:
        """Plan an image in these colours, each pixel in the nearest one; nothing is fitted.

        Nothing is read before the result is computed, written or measured, and then once.

        Parameters
        ----------
        image, mask, nodata, bands, channel_axis
            One image, as for `quantize`. A gray image joins a palette of RGB, and a gray palette
            an image of RGB: then the output is RGB.

        Returns
        -------
        QuantizedImage
            Its palette has these colours and the facts of their fit; the pixels of each colour
            and the error are the image's own, and known when it is written or measured.

        Raises
        ------
        InputError
            If `image` is no 8-bit image, or has pixels to leave out (by alpha, nodata or mask)
            and the palette reserves no label for them.
        """
        # the one step up: the method belongs to the palette, its work to the stages
        from bigquant.pipeline import apply_palette  # noqa: PLC0415

        return apply_palette(
            self, image, mask=mask, nodata=nodata, bands=bands, channel_axis=channel_axis
        )

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

    @property
    def rows(self) -> list[RGBA]:
        """Red, green, blue, alpha of every label; alpha is 0 for label 0 if reserved, else 255."""
        reserved: list[RGBA] = [(0, 0, 0, 0)] * self.first_label
        return reserved + [(*color, 255) for color in self.rgb.tolist()]

    def as_json(self) -> dict[str, Any]:
        """Describe the palette in JSON's types; `palette.schema.json` is the schema of it."""
        return {
            "bigquant_palette": palette_model.SCHEMA,
            "space": "srgb",
            "k": self.k,
            "first_label": self.first_label,
            "colors": self.colors.tolist(),
            "hex": self.hex,
            "centers": self.centers.tolist(),
            "counts": self.counts.tolist(),
            "shares": self.shares.tolist(),
            "inertia": self.inertia,
            "mse": self.mse,
            "psnr": self.psnr if math.isfinite(self.psnr) else None,
            "fit": dict(self.fit),
        }

    def encode(self, suffix: str = ".json") -> bytes:
        """Make the bytes of a palette file of a suffix; see `save`."""
        if suffix == ".json":
            return (json.dumps(self.as_json(), indent=1) + "\n").encode()
        return palette_formats.encode(suffix, self.rows)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a palette file, complete or not at all.

        Parameters
        ----------
        path : path
            Its suffix tells the format: .json holds everything; .gpl (GIMP), .hex, .css, .act
            (Adobe), .pal (JASC), .txt (GDAL) and .qml (QGIS) the colours, in the order of
            the labels. A reserved label 0 is the transparent entry of .css, .act, .txt and
            .qml; the others leave it out.
        overwrite : bool
            Whether a file of that name may be replaced.

        Raises
        ------
        InputError
            If the suffix is unknown, the format cannot hold so many colours, or the file
            cannot be written.
        """
        with naming(path):
            data = self.encode(palette_formats.suffix_of(path))
        with complete_or_nothing(path, overwrite=overwrite, settle=lambda: None) as folder:
            (folder / Path(path).name).write_bytes(data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Palette:
        """Read a palette file of any format that `save` writes, by bigquant or not.

        The file is checked, and nothing of it is run. An entry of alpha 0 reserves label 0;
        without one the first colour has label 0.

        Raises
        ------
        InputError
            If it is no such file, damaged, or larger than 16 MiB.
        """
        with naming(path):
            palette_model.check_file(path)
            suffix = palette_formats.suffix_of(path)
            data = palette_model.read_bytes(path)
            if suffix == ".json":
                return cls._from_model(palette_model.parse_json(data))
            rows = palette_formats.decode(suffix, data)
            colors = [row[:3] for row in rows if row[3]]
            if not colors:
                raise InputError("holds no colours")
            return cls.from_colors(colors, first_label=int(len(colors) < len(rows)))

    @classmethod
    def from_json(cls, model: Any, name: str = "palette") -> Palette:
        """Build the palette that `as_json` described; `name` is what errors call it."""
        with naming(name):
            return cls._from_model(model)

    @classmethod
    def _from_model(cls, model: Any) -> Palette:
        palette_model.check_model(model)
        palette = cls.from_colors(model["centers"], model["first_label"])
        if not np.array_equal(palette.colors, cls.from_colors(model["colors"]).colors):
            raise InputError("not a usable palette: its colors are not its centers, rounded")
        counts = np.array(model["counts"], np.uint64)
        palette = replace(palette, counts=counts, inertia=model["inertia"], fit=model["fit"])
        palette_model.check_consequences(model, palette.as_json())
        return palette

    def _repr_html_(self) -> str:
        error = f", {self.psnr:.2f} dB" if self.n_pixels else ""
        caption = f"<p>{self.k} color{'s' if self.k > 1 else ''}{error}</p>"
        return caption + swatches_html(self.hex, self.shares, self.first_label)
