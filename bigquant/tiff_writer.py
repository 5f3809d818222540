"""Tiled BigTIFF in the order of a cloud-optimized GeoTIFF. Knows nothing of Dask.

All directories come first, that of the image before those of its overviews; then the tiles,
those of the smallest overview first and those of the image last. So a program that reads the
file from afar finds all it must know in the first few kilobytes. tifffile writes the
directories, without a tile; where the tiles lie is known then, and is filled in.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from bigquant.tiff_parts import COMPRESSIONS, LEADER, Sink

_COMPRESSION, _OFFSETS, _COUNTS = 259, 324, 325
_PROMISE = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)
#: What GDAL writes after the header of a COG, and relies on where it finds it.
_MARK = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_PROMISE) + _PROMISE


def assemble(
    path: str,
    sink: Sink,
    *,
    dtype: np.dtype[Any],
    depth: tuple[int, ...] = (),
    alpha: bool = False,
    nested: bool = False,
    colormap: NDArray[np.uint16] | None = None,
    description: str | None = None,
    resolution: tuple[float, float] | None = None,
    unit: str | None = None,
    icc_profile: bytes | None = None,
    tags: Sequence[tuple[int, int, int, Any]] = (),
) -> None:
    """Write the TIFF of the part files of a sink: the image and its overviews.

    Parameters
    ----------
    path : str
    sink : Sink
        Its part files are removed as they are copied. Where its tiles stand in frames, the
        file bears GDAL's mark of a COG.
    dtype : dtype
    depth : tuple of int
        Samples of a pixel where they are several: (3,) for RGB, with alpha (2,) or (4,).
    alpha : bool
        Whether the last sample is alpha.
    nested : bool
        Whether the overviews' directories are children of the image's (SubIFDs), as OME-TIFF
        wants them, and not in the chain after it.
    colormap : ndarray, (3, 256), uint16, optional
        Makes it a palette image.
    description : str, optional
        Text for tag 270; what is not ASCII in it becomes references of XML.
    resolution, unit
        Pixels per unit along x and y; "inch" or "centimeter".
    icc_profile : bytes, optional
    tags : sequence
        (code, type, count, value) of further tags.
    """
    common: dict[str, Any] = {"photometric": "rgb" if sum(depth) > 2 else "minisblack"}
    if alpha:
        common["extrasamples"] = ["unassalpha"]
    if depth:
        common["planarconfig"] = "contig"
    if colormap is not None:
        common = {"photometric": "palette", "colormap": colormap}
    first: dict[str, Any] = {"iccprofile": icc_profile}
    if description:
        first["description"] = description.encode("ascii", "xmlcharrefreplace")
    if resolution:
        first["resolution"] = resolution
        first["resolutionunit"] = {"inch": 2, "centimeter": 3}.get(unit or "", 1)
    first["extratags"] = [(*tag, True) for tag in tags]
    if nested:
        first["subifds"] = len(sink.levels) - 1
    sizes = [sink.sizes(number) for number in range(len(sink.levels))]
    with tifffile.TiffWriter(path, bigtiff=True, ome=False) as tif:
        if sink.framed:
            tif.filehandle.write(_MARK)
        for number, level in enumerate(sink.levels):
            tif.write(
                itertools.repeat(b"", sizes[number].size),
                shape=(*level.shape, *depth),
                dtype=dtype,
                tile=level.inner,
                compression="zlib",
                software="bigquant",
                metadata=None,
                subfiletype=1 if number else 0,  # 1: of reduced resolution
                **common,
                **({} if number else first),
            )
    _append_tiles(path, sink, sizes)


def _append_tiles(path: str, sink: Sink, sizes: list[NDArray[np.uint64]]) -> None:
    """Copy the tiles into a file that has directories only, and tell these where they lie."""
    with open(path, "r+b") as file:
        end = file.seek(0, 2)
        starts = []
        for number in reversed(range(len(sizes))):
            stored = sink.stored(sizes[number])
            ends = np.uint64(end) + np.cumsum(stored)
            starts.append(ends - stored.ravel() + np.uint64(LEADER * sink.framed))
            sink.copy(number, stored, file)
            end = int(ends[-1])
    with tifffile.TiffFile(path, mode="r+") as tif:
        pages = [*tif.pages, *(tif.pages.first.pages or ())]
        for page, tiles, counts in zip(pages, reversed(starts), sizes, strict=True):
            page.tags[_COMPRESSION].overwrite(COMPRESSIONS[sink.compression][0])
            page.tags[_OFFSETS].overwrite(tiles.tolist())
            page.tags[_COUNTS].overwrite(counts.ravel().tolist())


def colormap_of(table: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Make the ColorMap tag, (3, 256) with 16-bit entries, of label colours (n, 1 or 3)."""
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, : len(table)] = np.broadcast_to(table, (len(table), 3)).T * np.uint16(257)
    return colormap
