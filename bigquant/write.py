"""Label or colour blocks -> OME-Zarr or TIFF, complete or not at all.

Blocks are whole shards or whole tiles: two tasks that wrote into one shard would lose each
other's data without a word.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from bigquant import omezarr, tiff_writer
from bigquant.atomic import check_apart, check_target, complete_or_nothing
from bigquant.errors import BigquantError, InputError
from bigquant.levels import Content, settle, write_levels
from bigquant.palette import Palette
from bigquant.source import Source, Tag
from bigquant.tiling import Level, plan_pyramid

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
) -> None:
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
    with _outputs(path, palette if with_palette else None, overwrite) as temporary:
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
        sink = omezarr.Sink(str(temporary), levels)
        write_levels(labels, tiers, parts, sink, str(path))
        _check_complete(str(path), sink.missing())


def write_tiff(
    path: str | os.PathLike[str],
    labels: da.Array,
    palette: Palette,
    source: Source,
    *,
    content: str = "both",
    overwrite: bool = False,
    with_palette: bool = True,
) -> None:
    """Write a tiled BigTIFF and the palette beside it.

    While labels fit 8 bits it is a palette image, whatever `content` is. Above, it is an RGB
    (or gray) image, or with ``content="labels"`` a 16-bit gray one. Resolution, colour
    profile, orientation and GeoTIFF tags of `source` are copied. Parameters are as for
    `write_zarr`.
    """
    check_output(path, content, overwrite, source.path, with_palette=with_palette)
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
    with _outputs(path, palette if with_palette else None, overwrite) as temporary:
        _write_tiles(
            temporary,
            str(path),
            labels,
            plan_pyramid(labels.chunks),
            parts,
            source=source,
            tags=tags,
            colormap=tiff_writer.colormap_of(palette.table) if indexed else None,
            description=json.dumps({"bigquant": palette.as_json()}),
        )


def write_rgb_tiff(
    path: str | os.PathLike[str], image: da.Array, *, overwrite: bool = False
) -> None:
    """Write an image (y, x, 3), uint8, as a tiled BigTIFF without overviews."""
    target = check_target(path, overwrite)
    image_only = [[plan_pyramid(image.chunks[:2])[0][0]]]
    parts = Content(labels=False, channels=3)
    with complete_or_nothing(path, overwrite=overwrite, settle=settle) as folder:
        _write_tiles(folder / target.name, str(path), image, image_only, parts, source=Source())


@contextmanager
def _outputs(
    path: str | os.PathLike[str], palette: Palette | None, overwrite: bool
) -> Iterator[Path]:
    """Hand out the temporary name of an output, which appears with its palette file if any."""
    target, model = Path(os.path.abspath(path)), palette_path(path)
    paths = (path,) if palette is None else (path, model)
    with complete_or_nothing(*paths, overwrite=overwrite, settle=settle) as folder:
        if palette is not None:
            (folder / model.name).write_bytes(palette.encode())
        yield folder / target.name


def _write_tiles(
    temporary: Path,
    shown: str,
    pixels: da.Array,
    tiers: list[list[Level]],
    parts: Content,
    *,
    source: Source,
    tags: tuple[Tag, ...] = (),
    colormap: NDArray[np.uint16] | None = None,
    description: str | None = None,
) -> None:
    sink = tiff_writer.Sink(str(temporary.parent), tuple(itertools.chain(*tiers)))
    write_levels(pixels, tiers, parts, sink, shown)
    _check_complete(shown, sink.missing())
    tiff_writer.assemble(
        str(temporary),
        sink,
        dtype=pixels.dtype if parts.labels else np.dtype(np.uint8),
        depth=(3,) if parts.channels == 3 else (),
        colormap=colormap,
        description=description,
        resolution=source.resolution,
        unit=source.unit,
        icc_profile=source.icc_profile,
        tags=tags,
    )


def _check_complete(shown: str, missing: list[str]) -> None:
    """Believe no task that it has written its block: a worker may have a disk of its own."""
    if missing:
        raise BigquantError(
            f"{shown}: missing blocks: {len(missing)}, e.g. {missing[0]}: choose a folder "
            "that all workers share, see that nobody empties it, and run again"
        )
