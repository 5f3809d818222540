"""Windows of a TIFF, read and decoded by whoever asks for them. Knows nothing of Dask.

What travels to workers is a `TiffWindows` of about a kilobyte; each process opens the file
for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.cmyk import told
from bigquant.raster import Raster, Selection, Windows
from bigquant.source import Source
from bigquant.staging import StagedWindows
from bigquant.tiff_page import ImageFacts, PlaneFacts, describe_image
from bigquant.tiff_pages import open_page
from bigquant.tiling import plan_rows, plan_tiles


def open_tiff(
    path: str,
    selection: Selection,
    options: Mapping[str, Any] | None = None,
    nodata: float | None = None,
) -> Raster:
    """Find the image in a TIFF.

    Parameters
    ----------
    path : str
    selection : Selection
        Of several images, pyramid levels and planes.
    options : Mapping, optional
        For fsspec, where the path is a URL.
    nodata : float, optional
        Instead of the value that the file gives.

    Raises
    ------
    InputError
        If the file is damaged, not supported, or holds several images and none is chosen.
    """
    image = describe_image(path, selection, options, nodata)
    facts, samples, first = image.facts, image.samples, image.planes[0]
    windows: Windows = TiffWindows(first)
    colors, alpha = samples.colors, samples.alpha
    if len(image.planes) > 1:
        windows = StackedWindows(tuple(map(TiffWindows, image.planes)))
        colors, alpha = (0, 1, 2) if image.choice.rgb and samples.depth == 1 else None, None
    if first.few:
        bands = ColorBands(image.planes)
        windows = StagedWindows(path, first.fingerprint, bands, windows.shape, windows.dtype)
    return Raster(
        windows=windows,
        block=_plan_block(windows, image),
        source=_source(path, image),
        colors=colors,
        alpha=alpha,
        premultiplied=samples.premultiplied and alpha is not None,
        nodata=samples.nodata,
        marks=samples.marks,
        mask=None if image.mask is None else TiffWindows(image.mask),
        orientation=facts.orientation,
    )


def _plan_block(windows: Windows, image: ImageFacts) -> tuple[int, int]:
    height, width, depth = windows.shape
    plane, segment = (height, width, depth * windows.dtype.itemsize), image.facts.segment
    if isinstance(windows, StagedWindows):
        return plan_tiles(plane, windows.chunk)
    if image.facts.tiled:
        return plan_tiles(plane, segment)
    return plan_rows(plane, segment[0] if image.planes[0].segment_bytes else 1)


def _source(path: str, image: ImageFacts) -> Source:
    facts, rule = image.facts, image.samples.rule
    details = {
        "axes": dict(image.choice.axes),
        "compression": facts.compression,
        "photometric": facts.photometric,
        "tiles" if facts.tiled else "strips": f"{facts.segment[1]} x {facts.segment[0]}",
        "bits": facts.bits,
        "levels": [f"{x} x {y}" for x, y in image.choice.sizes],
        "series": image.choice.n_series,
    }
    if rule.kind == "cmyk":
        details["cmyk"] = told(rule.profiled)
    return Source(
        path=path,
        format="BigTIFF" if facts.big else "TIFF",
        resolution=facts.resolution,
        unit=facts.unit,
        icc_profile=None if rule.kind == "cmyk" else facts.icc_profile,  # it is RGB now
        tags=facts.tags,
        valid_range=image.samples.valid_range,
        tile=facts.segment if facts.tiled else None,
        ome=image.choice.ome,
        details=details,
    )


@dataclass(frozen=True)
class TiffWindows:
    """A plane of a TIFF as an array (y, x, sample) that reads what is sliced out of it.

    The fingerprint tells if the file has changed since it was planned.
    """

    facts: PlaneFacts

    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, samples."""
        return self.facts.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the samples."""
        return self.facts.dtype

    @property
    def segment_bytes(self) -> int:
        """Bytes that are decoded at once to see a pixel; 0 where any row can be read."""
        return self.facts.segment_bytes

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        rows, columns, channels = key
        y0, y1, _ = rows.indices(self.shape[0])
        x0, x1, _ = columns.indices(self.shape[1])
        page = open_page(self.facts)
        page.bytes.check()
        with np.errstate(all="ignore"):  # of values that nobody asked for
            samples = page.read(y0, max(y0, y1), x0, max(x0, x1))
            if page.convert is not None:
                samples = page.convert(samples)
        return samples[:, :, channels]

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, *map(str, astuple(self.facts)))


@dataclass(frozen=True)
class StackedWindows:
    """Pages of a TIFF, one after another, as the samples of one image."""

    parts: tuple[TiffWindows, ...]

    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, samples."""
        height, width, depth = self.parts[0].shape
        return height, width, depth * len(self.parts)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the samples."""
        return self.parts[0].dtype

    @property
    def segment_bytes(self) -> int:
        """Bytes of a page that are decoded at once to see a pixel."""
        return self.parts[0].segment_bytes

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        start, stop, _ = key[2].indices(self.shape[2])
        depth = self.parts[0].shape[2]
        first = start // depth
        pages = self.parts[first : max(first + 1, -(-stop // depth))]
        samples = np.concatenate([page[*key[:2], :] for page in pages], axis=2)
        return samples[:, :, start - first * depth : stop - first * depth]

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return tuple(part.__dask_tokenize__() for part in self.parts)


@dataclass(frozen=True)
class ColorBands:
    """Pages that are decoded in bands from their top, converted, as the samples of one image."""

    parts: tuple[PlaneFacts, ...]

    def __call__(self, rows: int) -> Iterator[NDArray[Any]]:
        """Decode in bands of so many rows, the last perhaps lower."""
        opened = [open_page(facts) for facts in self.parts]
        for bands in zip(*(page.bands(rows) for page in opened), strict=True):
            yield bands[0] if len(bands) == 1 else np.concatenate(bands, axis=2)
