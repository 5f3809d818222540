"""Label or colour blocks -> OME-Zarr, TIFF, PNG or .npy, complete or not at all.

Blocks are whole shards, tiles or files: two tasks that wrote into one shard would lose each
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
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from bigquant import flat_writer, omezarr, tiff_writer
from bigquant.atomic import (
    check_apart,
    check_target,
    complete_or_nothing,
    keep_if_interrupted,
    unfinished,
)
from bigquant.errors import BigquantError, InputError
from bigquant.levels import Content, settle, write_levels
from bigquant.palette import Palette
from bigquant.rests import Rests
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
    ome_zarr: str = "0.5",
    overwrite: bool = False,
    with_palette: bool = True,
    plan: str | None = None,
) -> tuple[int, int]:
    """Write an OME-Zarr group and the palette beside it.

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
    ome_zarr : {"0.5", "0.4"}
        Version of the format: 0.5 is Zarr v3, in shards; 0.4 is Zarr v2, each chunk a file.
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
    if ome_zarr not in omezarr.VERSIONS:
        raise InputError(f"ome_zarr={ome_zarr!r}: must be one of {omezarr.VERSIONS}")
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
                version=ome_zarr,
                colors=palette.colors,
                properties=_label_properties(palette),
                label_dtype=palette.label_dtype,
                first_label=palette.first_label,
                content=content,
                pixel_size=source.pixel_size,
                attributes={"palette": palette.as_json(), "source": source.as_attributes()},
            )
        rests = _kept_rests(temporary.parent, plan)
        sink = omezarr.Sink(str(temporary), levels, ome_zarr)
        counts = write_levels(labels, tiers, parts, sink, str(path), rests)
        _check_complete(str(path), sink.missing())
    return counts


def _label_properties(palette: Palette) -> dict[str, list[Any]]:
    """Tell of each colour what viewers show beside it; shares are those of the pixels fitted."""
    properties: dict[str, list[Any]] = {"hex": palette.hex}
    if palette.n_pixels:
        properties |= {"share": palette.shares.tolist(), "count": palette.counts.tolist()}
    return properties


def write_tiff(
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
    """Write a tiled BigTIFF and the palette beside it.

    While labels fit 8 bits it is a palette image, whatever `content` is. Above, it is an RGB
    (or gray) image, or with ``content="labels"`` a 16-bit gray one. Resolution, colour
    profile, orientation and GeoTIFF tags of `source` are copied. Parameters are as for
    `write_zarr`, and so is what is returned.
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
    with _outputs(path, palette if with_palette else None, overwrite, plan) as temporary:
        return _write_tiles(
            temporary,
            str(path),
            labels,
            plan_pyramid(labels.chunks),
            parts,
            plan,
            source=source,
            tags=tags,
            colormap=tiff_writer.colormap_of(palette.table) if indexed else None,
            description=json.dumps({"bigquant": palette.as_json()}),
        )


def write_png(
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
    """Write an indexed PNG, image and labels in one, and the palette beside it.

    Raises an `InputError` above 256 labels, 2**30 pixels or a million pixels a side.
    Resolution and colour profile of `source` are kept. Parameters are as for `write_zarr`, and
    so is what is returned.
    """
    check_output(path, content, overwrite, source.path, with_palette=with_palette)
    flat_writer.check_room(str(path), "png", labels.shape, len(palette.table), content)
    with _outputs(path, palette if with_palette else None, overwrite, plan) as temporary:
        stored = temporary.with_name("labels.part")
        counts = _write_rows(stored, str(path), labels, plan)
        flat_writer.save_png(
            temporary,
            stored,
            table=palette.table,
            transparent=bool(palette.first_label),
            description=palette.as_json(),
            source=source,
        )
    return counts


def write_npy(
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
    """Write the labels (y, x) as a ``.npy`` file, and the palette beside it.

    uint8, or little-endian uint16; ``content="image"`` is refused. Parameters are as for
    `write_zarr`, and so is what is returned.
    """
    check_output(path, content, overwrite, source.path, with_palette=with_palette)
    flat_writer.check_room(str(path), "npy", labels.shape, len(palette.table), content)
    with _outputs(path, palette if with_palette else None, overwrite, plan) as temporary:
        return _write_rows(temporary, str(path), labels, plan)


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
    plan: str | None = None,
) -> Iterator[Path]:
    """Hand out the temporary name of an output, which appears with its palette file if any."""
    target, model = Path(os.path.abspath(path)), palette_path(path)
    paths = (path,) if palette is None else (path, model)
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
    plan: str | None = None,
    *,
    source: Source,
    tags: tuple[Tag, ...] = (),
    colormap: NDArray[np.uint16] | None = None,
    description: str | None = None,
) -> tuple[int, int]:
    sink = tiff_writer.Sink(str(temporary.parent), tuple(itertools.chain(*tiers)))
    counts = _write_parts(pixels, tiers, parts, sink, shown, temporary.parent, plan)
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
    return counts


def _kept_rests(folder: Path, plan: str | None) -> Rests | None:
    """Make a temporary folder one that a rerun can go on with, if there is a plan."""
    if plan is None:
        return None
    rests = Rests(str(folder / "rests"))
    Path(rests.folder).mkdir(exist_ok=True)
    keep_if_interrupted(folder, plan)
    return rests


def _write_rows(temporary: Path, shown: str, labels: da.Array, plan: str | None) -> tuple[int, int]:
    """Write labels as a ``.npy`` file; its parts lie beside it meanwhile."""
    level = plan_pyramid(labels.chunks)[0][0]
    sink = flat_writer.Sink(str(temporary.parent), level, labels.dtype.newbyteorder("<"))
    parts = Content(labels=True, channels=0)
    counts = _write_parts(labels, [[level]], parts, sink, shown, temporary.parent, plan)
    flat_writer.assemble(temporary, sink)
    return counts


def _write_parts(
    pixels: da.Array,
    tiers: list[list[Level]],
    parts: Content,
    sink: tiff_writer.Sink | flat_writer.Sink,
    shown: str,
    folder: Path,
    plan: str | None = None,
) -> tuple[int, int]:
    """Write part files into a folder, all of them, from which one file is made next."""
    rests = _kept_rests(folder, plan)
    counts = write_levels(pixels, tiers, parts, sink, shown, rests)
    _check_complete(shown, sink.missing())
    if rests:  # parts are removed as they are copied: from here on a rerun has to make them again
        shutil.rmtree(rests.folder)
    return counts


def _check_complete(shown: str, missing: list[str]) -> None:
    """Believe no task that it has written its block: a worker may have a disk of its own."""
    if missing:
        raise BigquantError(
            f"{shown}: missing blocks: {len(missing)}, e.g. {missing[0]}: choose a folder "
            "that all workers share, see that nobody empties it, and run again"
        )
