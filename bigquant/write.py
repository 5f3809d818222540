"""Label or colour blocks -> OME-Zarr or TIFF, complete or not at all.

Blocks are whole shards or whole tiles: two tasks that wrote into one shard would lose each
other's data without a word.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from bigquant import omezarr, tiff_ome, tiff_writer
from bigquant.atomic import (
    check_apart,
    check_target,
    complete_or_nothing,
    keep_if_interrupted,
    unfinished,
)
from bigquant.errors import BigquantError, InputError
from bigquant.gdal_names import names_path, save_names
from bigquant.levels import Content, settle, write_levels
from bigquant.palette import Palette
from bigquant.rests import Rests
from bigquant.source import Source, Tag
from bigquant.tiff_parts import COMPRESSIONS, Sink
from bigquant.tiling import Level, plan_pyramid, plan_tiff

CONTENTS = ("both", "image", "labels")
_GDAL_NODATA = 42113


def palette_path(path: str | os.PathLike[str]) -> Path:
    """Name the palette file that lies beside an output NAME: NAME.palette.json.

    The suffix stays, as in GDAL's side files, so that two outputs never share one.
    """
    return Path(os.path.abspath(path) + ".palette.json")


def check_output(
    path: str | os.PathLike[str],
    content: str,
    overwrite: bool,
    source: str | None,
    *,
    with_palette: bool = True,
) -> None:
    """Find out, before any work, if `path` and its palette file can be written.

    Raises
    ------
    InputError
        If one exists and `overwrite` is false, the folder is missing or not writable, the
        output would overlap the input `source`, or `content` is unknown.
    """
    if content not in CONTENTS:
        raise InputError(f"content={content!r}: must be one of {CONTENTS}")
    check_apart(path, source)
    check_target(path, overwrite)
    if with_palette:
        check_target(palette_path(path), overwrite)


def write_zarr(
    path: str | os.PathLike[str],
    labels: da.Array,
    palette: Palette,
    source: Source,
    *,
    content: str = "both",
    overwrite: bool = False,
    with_palette: bool = True,
    plan: str | None = None,
) -> tuple[int, int]:
    """Write an OME-Zarr 0.5 group (Zarr v3, sharded) and the palette beside it.

    Parameters
    ----------
    path : path
        Folder to make.
    labels : dask.array.Array, (y, x), uint8 or uint16
        Of any chunks.
    palette : Palette
    source : Source
        Its pixel size becomes the scale; the rest of it stands in the attributes.
    content : {"both", "image", "labels"}
        The image (c, y, x) of the palette's colours, ``labels/quantized`` (y, x), or both.
    overwrite : bool
        Whether an output of that name may be replaced.
    with_palette : bool
        Whether the palette is also written beside it, as NAME.palette.json.
    plan : str, optional
        What is to be done, see `unfinished_palette`: what an interrupted run of the same plan
        has written is kept.

    Returns
    -------
    n_done, n_blocks : int
        How many blocks were written already, of how many.
    """
    check_output(path, content, overwrite, source.path, with_palette=with_palette)
    tiers = plan_pyramid(labels.chunks)
    levels = tuple(itertools.chain(*tiers))
    parts = Content(
        labels=content != "image",
        channels=palette.table.shape[1] if content != "labels" else 0,
        nodata=bool(palette.first_label),
        table=palette.table,
    )
    with _outputs(path, palette if with_palette else None, overwrite, plan) as temporary:
        if not temporary.exists():
            omezarr.create_group(
                str(temporary),
                levels,
                colors=palette.colors,
                label_dtype=palette.label_dtype,
                first_label=palette.first_label,
                content=content,
                pixel_size=source.pixel_size,
                attributes={"palette": palette.as_json(), "source": source.as_attributes()},
            )
        rests = _kept_rests(temporary.parent, plan)
        sink = omezarr.Sink(str(temporary), levels)
        counts = write_levels(labels, tiers, parts, sink, str(path), rests)
        _check_complete(str(path), sink.missing())
    return counts


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
    content: str = "both",
    compression: str = "deflate",
    cog: bool = False,
    overwrite: bool = False,
    with_palette: bool = True,
    plan: str | None = None,
) -> tuple[int, int]:
    """Write a tiled BigTIFF in the order of a cloud-optimized GeoTIFF, and the palette beside it.

    While labels fit 8 bits it is a palette image, whatever `content` is. Above, it is an RGB
    (or gray) image, transparent where label 0 is reserved, or with ``content="labels"`` a
    16-bit gray one. Tile size, resolution, colour profile, orientation and GeoTIFF tags of
    `source` are kept, and what OME-XML says of the image.

    Parameters
    ----------
    path, labels, palette, source, content, overwrite, with_palette, plan
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
    indexed = palette.label_dtype == np.uint8
    painted = not indexed and content != "labels"
    tags = source.tags
    if palette.first_label and not painted:
        tags = (*tags, (_GDAL_NODATA, 2, 0, "0"))
    parts = Content(
        labels=not painted,
        channels=palette.table.shape[1] if painted else 0,
        nodata=bool(palette.first_label),
        table=palette.table,
    )
    names = ["nodata"] * palette.first_label + palette.hex if cog and not painted else []
    beside = [names_path(path)] if names else []
    with _outputs(path, palette if with_palette else None, overwrite, plan, *beside) as temporary:
        if names:
            save_names(names_path(temporary), names)
        counts = _write_tiles(
            temporary,
            str(path),
            labels,
            plan_tiff(labels.chunks, source.tile),
            parts,
            _kept_rests(temporary.parent, plan),
            source=source,
            tags=tags,
            colormap=tiff_writer.colormap_of(palette.table) if indexed else None,
            description=json.dumps({"bigquant": palette.as_json()}),
            compression=compression,
            cog=cog,
        )
    if overwrite and not names:  # what GDAL and QGIS noted of the old file
        names_path(path).unlink(missing_ok=True)
    return counts


def write_rgb_tiff(
    path: str | os.PathLike[str], image: da.Array, *, overwrite: bool = False
) -> None:
    """Write an image (y, x, 3), uint8, as a tiled BigTIFF without overviews."""
    target = check_target(path, overwrite)
    image_only = [[plan_pyramid(image.chunks[:2])[0][0]]]
    parts = Content(labels=False, channels=3)
    with complete_or_nothing(path, overwrite=overwrite, settle=settle) as folder:
        _write_tiles(folder / target.name, str(path), image, image_only, parts, source=Source())


def write_palette(
    path: str | os.PathLike[str], palette: Palette, *, overwrite: bool = False
) -> None:
    """Write a palette file, complete or not at all."""
    target = check_target(path, overwrite)
    with complete_or_nothing(path, overwrite=overwrite, settle=settle) as folder:
        palette.save(folder / target.name)


def unfinished_palette(path: str | os.PathLike[str], plan: str) -> Palette | None:
    """Get the palette of an interrupted run of the same plan, if there was one."""
    folder = unfinished(path, plan)
    try:
        return Palette.load(folder / palette_path(path).name) if folder else None
    except InputError:
        return None


@contextmanager
def _outputs(
    path: str | os.PathLike[str],
    palette: Palette | None,
    overwrite: bool,
    plan: str | None,
    *beside: Path,
) -> Iterator[Path]:
    """Hand out the temporary name of an output, which appears with the files beside it."""
    target, model = Path(os.path.abspath(path)), palette_path(path)
    paths = (path,) if palette is None else (path, model)
    paths = (*paths, *beside)
    with complete_or_nothing(*paths, overwrite=overwrite, settle=settle, plan=plan) as folder:
        if palette is not None:
            palette.save(folder / model.name)
        yield folder / target.name


def _write_tiles(
    temporary: Path,
    shown: str,
    pixels: da.Array,
    tiers: list[list[Level]],
    parts: Content,
    rests: Rests | None = None,
    *,
    source: Source,
    tags: tuple[Tag, ...] = (),
    colormap: NDArray[np.uint16] | None = None,
    description: str | None = None,
    compression: str = "deflate",
    cog: bool = False,
) -> tuple[int, int]:
    sink = Sink(str(temporary.parent), tuple(itertools.chain(*tiers)), compression, cog)
    counts = write_levels(pixels, tiers, parts, sink, shown, rests)
    _check_complete(shown, sink.missing())
    if rests:  # what is copied into the TIFF is removed: from here on blocks are to be made again
        shutil.rmtree(rests.folder)
    dtype = pixels.dtype if parts.labels else np.dtype(np.uint8)
    alpha = parts.channels > 0 and parts.nodata
    depth = (parts.channels + alpha,) if parts.channels + alpha > 1 else ()
    if source.ome is not None and description:
        shape = (*pixels.shape[:2], *depth)
        description = tiff_ome.describe(shape, dtype, source.pixel_size, source.ome, description)
    tiff_writer.assemble(
        str(temporary),
        sink,
        dtype=dtype,
        depth=depth,
        alpha=alpha,
        nested=source.ome is not None and not cog,
        colormap=colormap,
        description=description,
        resolution=source.resolution,
        unit=source.unit,
        icc_profile=source.icc_profile,
        tags=tags,
    )
    return counts


def _kept_rests(folder: Path, plan: str | None) -> Rests | None:
    """Make a temporary folder one that a rerun can go on with, if there is a plan."""
    if plan is None:
        return None
    rests = Rests(str(folder / "rests"))
    Path(rests.folder).mkdir(exist_ok=True)
    keep_if_interrupted(folder, plan)
    return rests


def _check_complete(shown: str, missing: list[str]) -> None:
    """Believe no task that it has written its block: a worker may have a disk of its own."""
    if missing:
        raise BigquantError(
            f"{shown}: missing blocks: {len(missing)}, e.g. {missing[0]}: choose a folder "
            "that all workers share, see that nobody empties it, and run again"
        )
