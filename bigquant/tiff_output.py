"""Label or colour blocks -> TIFF, complete or not at all."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from bigquant import tiff_ome, tiff_writer
from bigquant.atomic import check_target, complete_or_nothing
from bigquant.errors import InputError
from bigquant.gdal_names import names_path, save_names
from bigquant.georeference import Tag
from bigquant.ledger import Plan
from bigquant.levels import Content, write_levels
from bigquant.outputs import (
    check_complete,
    check_output,
    keep_rests,
    save_beside,
    temporary_output,
)
from bigquant.palette import Palette
from bigquant.preview import Preview
from bigquant.pyramid import Layers
from bigquant.rests import Rests
from bigquant.source import Source
from bigquant.tiff_parts import COMPRESSIONS, Sink
from bigquant.tiling import Level, plan_pyramid, plan_tiff
from bigquant.underway import settle

_GDAL_NODATA = 42113


def check_tiff(
    path: str | os.PathLike[str], source: Source, *, compression: str, cog: bool, overwrite: bool
) -> None:
    """Find out, before any work, if a TIFF can be written as it is asked for.

    Raises
    ------
    InputError
        If `compression` is unknown, or there is a file of class names already that may not be
        replaced.
    """
    if compression not in COMPRESSIONS:
        raise InputError(f"compression={compression!r}: must be one of {tuple(COMPRESSIONS)}")
    if cog or source.georeferenced:
        check_target(names_path(path), overwrite)


def write_tiff(
    path: str | os.PathLike[str],
    labels: da.Array,
    palette: Palette,
    source: Source,
    *,
    tally: da.Array | None = None,
    content: str = "both",
    compression: str = "deflate",
    cog: bool = False,
    overwrite: bool = False,
    with_palette: bool = True,
    preview: Preview | None = None,
    plan: Plan | None = None,
) -> Palette:
    """Write a tiled BigTIFF in the order of a cloud-optimized GeoTIFF, and the palette beside it.

    While labels fit 8 bits it is a palette image, whatever `content` is. Above, it is an RGB
    (or gray) image of bytes, transparent where label 0 is reserved, or with ``content="labels"`` a
    16-bit gray one. Tile size (of 16 to 4096 pixels a side), resolution, orientation and
    GeoTIFF tags of `source` are kept, the colour profile if it is one of such colours, and
    what OME-XML says of the image.

    Parameters
    ----------
    path, labels, palette, source, tally, content, overwrite, with_palette, preview, plan
        As for `write_zarr`, and so is what is returned.
    compression : {"deflate", "zstd", "lzw", "none"}
        Of the tiles.
    cog : bool
        Whether to add what GDAL marks a cloud-optimized GeoTIFF by, and the names of the labels
        as NAME.tif.aux.xml; a georeferenced source has that in any case.
    """
    check_output(path, content, overwrite, source.path, with_palette=with_palette)
    check_tiff(path, source, compression=compression, cog=cog, overwrite=overwrite)
    cog = cog or source.georeferenced
    painted = palette.label_dtype != np.uint8 and content != "labels"
    table = palette.shown_table if painted else None
    parts = Content.of(palette, labels=not painted, table=table)
    names = ["nodata"] * palette.first_label + palette.hex if cog and not painted else []
    beside = [names_path(path)] if names or source.crs else []
    with temporary_output(
        path,
        *beside,
        with_palette=with_palette,
        overwrite=overwrite,
        plan=plan,
        with_preview=preview is not None,
    ) as temporary:
        if beside:
            save_names(names_path(temporary), names, source.crs)
        tiers = plan_tiff(labels.chunks, source.tile)
        sink = Sink(str(temporary.parent), tuple(itertools.chain(*tiers)), compression, cog)
        rests = keep_rests(temporary, palette, plan, preview)
        counted = _write_parts(labels, tiers, parts, sink, str(path), rests, tally)
        palette = palette if counted is None else palette.with_tally(counted)
        _assemble(temporary, labels, parts, sink, source, palette)
        save_beside(temporary, palette, preview)
    if overwrite and not beside:  # what GDAL and QGIS noted of the old file
        names_path(path).unlink(missing_ok=True)
    return palette


def write_rgb_tiff(
    path: str | os.PathLike[str], image: da.Array, *, overwrite: bool = False
) -> None:
    """Write an image (y, x, 3), uint8, as a tiled BigTIFF without overviews."""
    target = check_target(path, overwrite)
    image_only = [[plan_pyramid(image.chunks[:2])[0][0]]]
    parts = Content(Layers(colors=image.dtype, channels=3))
    with complete_or_nothing(path, overwrite=overwrite, settle=settle) as folder:
        sink = Sink(str(folder), tuple(image_only[0]))
        _write_parts(image, image_only, parts, sink, str(path))
        _assemble(folder / target.name, image, parts, sink, Source())


def _write_parts(
    pixels: da.Array,
    tiers: list[list[Level]],
    parts: Content,
    sink: Sink,
    shown: str,
    rests: Rests | None = None,
    tally: da.Array | None = None,
) -> NDArray[np.int64] | None:
    counted = write_levels(pixels, tiers, parts, sink, shown, rests=rests, tally=tally)
    check_complete(shown, sink.missing())
    if rests:  # parts are removed as they are copied: from here on a rerun has to make them again
        shutil.rmtree(rests.folder)
    return counted


def _assemble(
    temporary: Path,
    pixels: da.Array,
    parts: Content,
    sink: Sink,
    source: Source,
    palette: Palette | None = None,
) -> None:
    """Make the TIFF of its parts; the palette stands in its description, or in its OME-XML."""
    layers = parts.layers
    dtype, alpha = pixels.dtype if layers.labels else np.dtype(np.uint8), layers.marks_valid
    depth = (layers.channels + alpha,) if layers.channels + alpha > 1 else ()
    description = json.dumps({"bigquant": palette.as_json()}) if palette else None
    if source.ome is not None and description:
        shape = (*pixels.shape[:2], *depth)
        description = tiff_ome.describe(shape, dtype, source.pixel_size, source.ome, description)
    indexed = palette is not None and palette.label_dtype == np.uint8
    shown = "RGB" if indexed or layers.channels == 3 else "GRAY"  # labels of 16 bits have no colour
    tags: tuple[Tag, ...] = source.tags
    if palette and palette.first_label and layers.labels:
        tags = (*tags, (_GDAL_NODATA, 2, 0, "0"))
    tiff_writer.assemble(
        str(temporary),
        sink,
        dtype=dtype,
        depth=depth,
        alpha=alpha,
        nested=source.ome is not None and not sink.framed,
        colormap=tiff_writer.colormap_of(palette.shown_table) if palette and indexed else None,
        description=description,
        resolution=source.resolution,
        unit=source.unit,
        icc_profile=source.profile_of(shown) if indexed or layers.channels else None,
        tags=tags,
    )
