"""Label blocks -> OME-Zarr, PNG or .npy, complete or not at all; `write_tiff` is a file apart.

Blocks are whole shards or whole parts: two tasks that wrote into one shard would lose each
other's data without a word.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask.array as da
from numpy.typing import NDArray

from bigquant import flat_writer, omezarr
from bigquant.errors import InputError
from bigquant.ledger import Plan
from bigquant.levels import Content, write_levels
from bigquant.omezarr_metadata import list_channels
from bigquant.outputs import (
    PALETTE_SUFFIX,
    PREVIEW_SUFFIX,
    check_complete,
    check_output,
    keep_rests,
    save_beside,
    temporary_output,
    zarr_output,
)
from bigquant.palette import Palette
from bigquant.preview import Preview
from bigquant.pyramid import Layers
from bigquant.remote import local_path, public
from bigquant.source import Source
from bigquant.tiling import plan_pyramid
from bigquant.zarr_place import Place


def write_zarr(
    path: str | os.PathLike[str],
    labels: da.Array,
    palette: Palette,
    source: Source,
    *,
    tally: da.Array | None = None,
    dither: str = "none",
    content: str = "both",
    ome_zarr: str = "0.5",
    overwrite: bool = False,
    with_palette: bool = True,
    preview: Preview | None = None,
    plan: Plan | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Palette:
    """Write an OME-Zarr group and the palette beside it.

    Parameters
    ----------
    path : path or URL
        Folder to make, or place of objects, which are marked as complete at last.
    labels : dask.array.Array, (y, x), uint8 or uint16
        Of any chunks.
    palette : Palette
    source : Source
        Its pixel size, or that on the ground in meters, becomes the scale; where it lies on
        Earth is said for GDAL; the rest of it stands in the attributes.
    tally : dask.array.Array, (row, column, n), optional
        Of `remap_and_tally`, where the palette does not know the image's numbers yet: they are
        computed along with the labels, and taken.
    dither : {"none", "bayer", "blue-noise"}
        How the labels were made: it stands in the attributes unless it is "none".
    content : {"both", "image", "labels"}
        The image (c, y, x) of the palette's colours, in their type, ``labels/quantized`` (y, x),
        or both. Labels alone are the group's image, too.
    ome_zarr : {"0.5", "0.4"}
        0.5 is Zarr v3 in shards, 0.4 is Zarr v2.
    overwrite : bool
        Whether an output of that name may be replaced.
    with_palette : bool
        Whether the palette is also written beside it, as NAME.palette.json.
    preview : Preview, optional
        What its report is to show: is written beside it, as NAME.preview.json.
    plan : Plan, optional
        What is to be done: what an interrupted run of the same plan has written is kept. Not for
        a URL.
    storage_options : Mapping, optional
        For a URL: what fsspec is to know, such as credentials.

    Returns
    -------
    Palette
        As it stands in the output.
    """
    if ome_zarr not in omezarr.VERSIONS:
        raise InputError(f"ome_zarr={ome_zarr!r}: must be one of {omezarr.VERSIONS}")
    path = local_path(str(path)) or path
    options = dict(storage_options or {})
    side: dict[str, Any] = {"with_palette": with_palette, "overwrite": overwrite}
    check_output(path, content, source=source.path, options=options, **side)
    table = palette.table if content != "labels" else None
    parts = Content.of(palette, labels=content != "image", table=table)
    tiers = plan_pyramid(labels.chunks, pixel_bytes=parts.layers.bytes)
    levels = tuple(itertools.chain(*tiers))
    shown = public(str(path))
    side |= {"plan": plan, "with_preview": preview is not None}
    with zarr_output(path, options, **side) as (store, temporary):
        if temporary is None or not temporary.exists():
            omezarr.create_group(
                store,
                levels,
                version=ome_zarr,
                depth=palette.channels,
                dtype=palette.dtype,
                label_dtype=palette.label_dtype,
                content=content,
            )
        rests = keep_rests(temporary, palette, plan, preview) if temporary else None
        sink = omezarr.Sink(store, levels, ome_zarr)
        counted = write_levels(labels, tiers, parts, sink, shown, rests=rests, tally=tally)
        check_complete(shown, sink.missing())
        palette = _with_tally(palette, counted)
        if with_palette or temporary:
            store.put_beside(PALETTE_SUFFIX, palette.encode())
        if preview:
            store.put_beside(PREVIEW_SUFFIX, preview.encode())
        omezarr.describe_group(
            store,
            len(levels),
            version=ome_zarr,
            channels=list_channels(palette.display, palette.dtype, palette.ranges),
            dtype=palette.dtype,
            colors=palette.rgb,
            properties=_label_properties(palette),
            first_label=palette.first_label,
            content=content,
            scale=source.scale,
            place=Place.of(source),
            attributes={
                "palette": palette.as_json(),
                "source": source.as_attributes(),
                **({} if dither == "none" else {"dither": dither}),
            },
        )
    return palette


def _label_properties(palette: Palette) -> dict[str, list[Any]]:
    """Tell of each colour its hex code, and its pixels where it was fitted."""
    properties: dict[str, list[Any]] = {"hex": palette.hex}
    if palette.n_pixels:
        properties |= {"share": palette.shares.tolist(), "count": palette.counts.tolist()}
    return properties


def write_png(
    path: str | os.PathLike[str],
    labels: da.Array,
    palette: Palette,
    source: Source,
    *,
    tally: da.Array | None = None,
    content: str = "both",
    overwrite: bool = False,
    with_palette: bool = True,
    preview: Preview | None = None,
    plan: Plan | None = None,
) -> Palette:
    """Write an indexed PNG, image as it is shown and labels in one, and the palette beside it.

    Raises an `InputError` above 256 labels, 2**30 pixels or a million pixels a side.
    Resolution and colour profile of `source` are kept. Parameters and result are as of
    `write_zarr`.
    """
    check_output(path, content, overwrite, source.path, with_palette=with_palette)
    flat_writer.check_room(str(path), "png", labels.shape, len(palette.table), content)
    with temporary_output(
        path,
        with_palette=with_palette,
        overwrite=overwrite,
        plan=plan,
        with_preview=preview is not None,
    ) as temporary:
        stored = temporary.with_name("labels.part")
        palette = _write_rows(stored, temporary, str(path), labels, palette, tally, plan, preview)
        flat_writer.save_png(
            temporary,
            stored,
            table=palette.shown_table,
            transparent=bool(palette.first_label),
            description=palette.as_json(),
            source=source,
        )
        save_beside(temporary, palette, preview)
    return palette


def write_npy(
    path: str | os.PathLike[str],
    labels: da.Array,
    palette: Palette,
    source: Source,
    *,
    tally: da.Array | None = None,
    content: str = "both",
    overwrite: bool = False,
    with_palette: bool = True,
    preview: Preview | None = None,
    plan: Plan | None = None,
) -> Palette:
    """Write the labels (y, x) as a ``.npy`` file, and the palette beside it.

    uint8, or little-endian uint16; ``content="image"`` is refused. Parameters and result are
    as of `write_zarr`.
    """
    check_output(path, content, overwrite, source.path, with_palette=with_palette)
    flat_writer.check_room(str(path), "npy", labels.shape, len(palette.table), content)
    with temporary_output(
        path,
        with_palette=with_palette,
        overwrite=overwrite,
        plan=plan,
        with_preview=preview is not None,
    ) as temporary:
        palette = _write_rows(
            temporary, temporary, str(path), labels, palette, tally, plan, preview
        )
        save_beside(temporary, palette, preview)
    return palette


def _write_rows(
    path: Path,
    temporary: Path,
    shown: str,
    labels: da.Array,
    palette: Palette,
    tally: da.Array | None,
    plan: Plan | None,
    preview: Preview | None,
) -> Palette:
    """Write labels as a ``.npy`` file; its parts lie beside it meanwhile."""
    level = plan_pyramid(labels.chunks)[0][0]
    sink = flat_writer.Sink(str(path.parent), level, labels.dtype.newbyteorder("<"))
    rests = keep_rests(temporary, palette, plan, preview)
    parts = Content(Layers(labels.dtype))
    counted = write_levels(labels, [[level]], parts, sink, shown, rests=rests, tally=tally)
    check_complete(shown, sink.missing())
    if rests:  # parts are removed as they are copied: from here on a rerun has to make them again
        shutil.rmtree(rests.folder)
    flat_writer.assemble(path, sink)
    return _with_tally(palette, counted)


def _with_tally(palette: Palette, counted: NDArray[Any] | None) -> Palette:
    return palette if counted is None else palette.with_tally(counted)
