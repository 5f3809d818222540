"""`Palette`: the colours of a quantized image, their shares, and the facts of their fit."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigquant import palette_formats, palette_json, palette_model
from bigquant.atomic import complete_or_nothing
from bigquant.display import Display, choose_display
from bigquant.errors import InputError
from bigquant.kept import join_kept
from bigquant.notebook import swatches_html
from bigquant.palette_fit import (
    Histogram,
    count_pixels,
    dtype_of,
    in_scale,
    measure_colors,
    ranges_of,
    settle,
    space_of,
)
from bigquant.palette_model import naming
from bigquant.palette_values import MAX_COLORS, PaletteValues, fields_of_bytes, label_dtype
from bigquant.rounding import round_to

if TYPE_CHECKING:
    from bigquant.quantized import QuantizedImage

__all__ = ["MAX_COLORS", "Palette", "label_dtype"]


@dataclass(frozen=True, eq=False)
class Palette(PaletteValues):
    """Colours in the order of their labels, most common first when they were fitted.

    Its parameters are those of `PaletteValues`.

    Examples
    --------
    >>> palette = Palette.from_colors([[255, 0, 0], [0, 0, 255]])
    >>> palette.k, palette.hex
    (2, ['#ff0000', '#0000ff'])
    """

    @classmethod
    def from_colors(cls, colors: Any, first_label: int = 0) -> Palette:
        """Make a palette of given colours (k, channels), 0 to 255, that fits no image yet."""
        centers = palette_json.as_rows(colors, (1, 3))
        if not (np.isfinite(centers).all() and centers.min() >= 0 and centers.max() <= 255):
            raise InputError("a palette's values must lie in 0 to 255")
        if first_label not in (0, 1):
            raise InputError(f"first_label={first_label}: must be 0 or 1")
        rounded = round_to(centers, np.dtype(np.uint8))
        counts, bands = np.zeros(len(centers), np.uint64), fields_of_bytes(centers.shape[1])
        return cls(centers, rounded, counts, **bands, first_label=first_label)

    @classmethod
    def from_fit(
        cls,
        histogram: Histogram,
        centers: NDArray[np.float64],
        first_label: int = 0,
        n_kept: int = 0,
        *,
        display: Display | None = None,
        scale: str = "none",
        factors: NDArray[np.float64] | None = None,
    ) -> Palette:
        """Order and round fitted centres, and count what they will be nearest to.

        Parameters
        ----------
        histogram : ColorHistogram, BinnedHistogram or SpaceHistogram
            The image's; the last one tells the palette's space.
        centers : ndarray, (k, channels), float64
            In any order, in the image's own units.
        first_label : {0, 1}
            See the class.
        n_kept : int
            So many centres, the first, are kept colours: what rounds to one becomes it.
        display : Display, optional
            Without it all values are shown, from the least to the greatest of each band.
        scale, factors
            See the class.

        Returns
        -------
        Palette
            Centres by the pixels nearest to them, most common first, then by value. Two
            that round to one colour become one, so there may be fewer than came in.
        """
        factors = np.ones(centers.shape[1]) if factors is None else factors
        dtype, ranges = dtype_of(histogram), ranges_of(histogram)
        centers = join_kept(centers, n_kept, dtype)
        counted = in_scale(histogram, factors)
        masses = count_pixels(counted, centers, factors)
        options: Any = {"display": display, "scale": scale, "factors": factors}
        palette = cls.from_centers(centers, masses, dtype, ranges, first_label, **options)
        space = space_of(histogram)
        counts, inertia = measure_colors(counted, palette.colors, factors)
        facts = {"fingerprint": histogram.fingerprint}
        return replace(
            palette, counts=counts.astype(np.uint64), inertia=inertia, space=space, fit=facts
        )

    @classmethod
    def from_centers(
        cls,
        centers: NDArray[np.float64],
        masses: NDArray[Any],
        dtype: Any,
        ranges: NDArray[np.float64],
        first_label: int = 0,
        *,
        display: Display | None = None,
        scale: str = "none",
        factors: NDArray[np.float64] | None = None,
    ) -> Palette:
        """Do so with centres whose pixels, `masses`, are known; the error is not.

        The colours are of type `dtype`; `ranges` and the rest are those of the class.
        """
        centers, colors, became = settle(centers, masses, np.dtype(dtype))
        if colors.dtype == np.uint8:
            ranges = fields_of_bytes(len(ranges))["ranges"]
        counts = np.zeros(len(colors), np.uint64)
        np.add.at(counts, became, masses.astype(np.uint64))
        if display is None:
            options: Any = {"declared": False, "ranges": ranges, "percentiles": ranges.T}
            display = choose_display(colors.dtype, len(ranges), **options)
        factors = np.ones(len(ranges)) if factors is None else factors
        return cls(*(centers, colors, counts, display, factors, ranges, first_label), scale=scale)

    def with_facts(self, **facts: Any) -> Palette:
        """Add facts of the fit."""
        return replace(self, fit={**self.fit, **facts})

    def bare(self) -> Palette:
        """Leave out what is known of images, so that it is small."""
        return replace(self, counts=np.zeros_like(self.counts), inertia=0, fit={})

    def with_tally(self, tally: NDArray[np.int64]) -> Palette:
        """Take the numbers of another image: what was counted of it when it was remapped.

        Parameters
        ----------
        tally : ndarray, (first_label + k + 1 or 2,), int64
            Pixels of every label, and last the sum of their squared errors: a whole number, or
            two in units of `error_unit`, the first of which counts 2**20 times.
        """
        end = self.first_label + self.k
        error = int(tally[end])
        if len(tally) > end + 1:
            error = (error << 20) + int(tally[end + 1])
        is_whole = len(tally) == end + 1 or self.error_unit == 1
        inertia = error if is_whole else error * self.error_unit
        counts = tally[self.first_label : end].astype(np.uint64)
        return replace(self, counts=counts, inertia=inertia)

    def as_rgb(self) -> Palette:
        """Make a gray palette one of RGB, its error too; one of RGB stays as it is."""
        if self.channels != 1:
            return self
        centers, colors = np.repeat(self.centers, 3, axis=1), np.repeat(self.colors, 3, axis=1)
        ranges, factors = np.repeat(self.ranges, 3, axis=0), np.repeat(self.factors, 3)
        display = self.display.as_rgb()
        return replace(
            self,
            centers=centers,
            colors=colors,
            ranges=ranges,
            factors=factors,
            display=display,
            inertia=3 * self.inertia,
        )

    def apply(
        self,
        image: Any,
        *,
        mask: Any = None,
        nodata: float | None = None,
        bands: Sequence[int] | None = None,
        channel_axis: int | None = None,
        dither: str = "none",
    ) -> QuantizedImage:
        """Plan an image in these colours, each pixel in the nearest one; nothing is fitted.

        Nothing is read before the result is computed, written or measured, and then once.

        Parameters
        ----------
        image, mask, nodata, bands, channel_axis
            One image, as for `quantize`. A gray image joins a palette of RGB, and a gray palette
            an image of RGB: then the output is RGB.
        dither
            As for `quantize`: pixels are not in the nearest colours then, but in mixtures of two.

        Returns
        -------
        QuantizedImage
            Its palette has these colours and the facts of their fit; the pixels of each colour
            and the error are the image's own, and known when it is written or measured.

        Raises
        ------
        InputError
            If `image` has another type or other bands than the palette, or has pixels to leave
            out (by alpha, nodata or mask) and the palette reserves no label for them.
        """
        # the one step up: the method belongs to the palette, its work to the stages
        from bigquant.pipeline import apply_palette  # noqa: PLC0415

        reading: Any = {"mask": mask, "nodata": nodata, "bands": bands}
        return apply_palette(self, image, dither=dither, channel_axis=channel_axis, **reading)

    def as_json(self) -> dict[str, Any]:
        """Describe the palette in JSON's types; `palette.schema.json` is the schema of it."""
        return palette_json.describe(self)

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
        palette_json.check_model(model)
        palette = cls(**palette_json.read_fields(model))
        palette_json.check_consequences(model, palette.as_json())
        return palette

    def _repr_html_(self) -> str:
        error = f", {self.psnr:.2f} dB" if self.n_pixels else ""
        caption = f"<p>{self.k} color{'s' if self.k > 1 else ''}{error}</p>"
        return caption + swatches_html(self.hex, self.shares, self.first_label)
