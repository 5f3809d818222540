"""Label or colour blocks -> OME-Zarr or TIFF, complete or not at all.

A task reads, labels and writes its block, and returns next to nothing. Blocks are whole
shards or whole tiles: two tasks that wrote into one shard would lose each other's data
without a word.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray

from bigquant import cluster, omezarr, tiff_writer
from bigquant.atomic import cannot_write, check_apart, check_target, complete_or_nothing
from bigquant.errors import InputError
from bigquant.painting import paint_block
from bigquant.palette import Palette
from bigquant.source import Source, Tag
from bigquant.tiling import align

CONTENTS = ("both", "image", "labels")
_GDAL_NODATA = 42113


def palette_path(path: str | os.PathLike[str]) -> Path:
    """Name the palette file that lies beside an output NAME: NAME.palette.json.

    The suffix stays, as in GDAL's side files, so that two outputs never share one.
    """
    return Path(os.path.abspath(path) + ".palette.json")


def check_output(
    path: str | os.PathLike[str], content: str, overwrite: bool, source: str | None
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
    check_target(palette_path(path), overwrite)


def write_zarr(
    path: str | os.PathLike[str],
    labels: da.Array,
    palette: Palette,
    source: Source,
    *,
    content: str = "both",
    overwrite: bool = False,
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
    """
    check_output(path, content, overwrite, source.path)
    block, inner = align(labels.chunks)
    labels = labels.rechunk(block)
    shards = [-(-side // step) * step for side, step in zip(block, inner, strict=True)]
    layout = omezarr.Layout(labels.shape, inner, (shards[0], shards[1]))
    with _outputs(path, palette, overwrite) as temporary:
        omezarr.create_group(
            str(temporary),
            layout,
            colors=palette.colors,
            label_dtype=palette.label_dtype,
            first_label=palette.first_label,
            content=content,
            pixel_size=source.pixel_size,
            attributes={"palette": palette.as_json(), "source": source.as_attributes()},
        )
        done = labels.map_blocks(
            _write_zarr_block,
            path=str(temporary),
            shown=str(path),
            table=palette.table,
            content=content,
            token="write-block",
            dtype=np.uint8,
            chunks=tuple((1,) * n for n in labels.numblocks),
            meta=np.empty((0, 0), np.uint8),
        )
        dask.compute(done)


def write_tiff(
    path: str | os.PathLike[str],
    labels: da.Array,
    palette: Palette,
    source: Source,
    *,
    content: str = "both",
    overwrite: bool = False,
) -> None:
    """Write a tiled BigTIFF and the palette beside it.

    While labels fit 8 bits it is a palette image, whatever `content` is. Above, it is an RGB
    (or gray) image, or with ``content="labels"`` a 16-bit gray one. Resolution, colour
    profile, orientation and GeoTIFF tags of `source` are copied. Parameters are as for
    `write_zarr`.
    """
    check_output(path, content, overwrite, source.path)
    indexed = palette.label_dtype == np.uint8
    painted = not indexed and content != "labels"
    tags = source.tags
    if palette.first_label and not painted:
        tags = (*tags, (_GDAL_NODATA, 2, 0, "0"))
    with _outputs(path, palette, overwrite) as temporary:
        _write_tiles(
            temporary,
            str(path),
            labels,
            table=palette.table if painted else None,
            source=source,
            tags=tags,
            colormap=tiff_writer.colormap_of(palette.table) if indexed else None,
            description=json.dumps({"bigquant": palette.as_json()}),
        )


def write_rgb_tiff(
    path: str | os.PathLike[str], image: da.Array, *, overwrite: bool = False
) -> None:
    """Write an image (y, x, 3), uint8, as a tiled BigTIFF."""
    target = check_target(path, overwrite)
    with complete_or_nothing(target, overwrite=overwrite, settle=_settle) as folder:
        _write_tiles(folder / target.name, str(path), image, source=Source())


@contextmanager
def _outputs(path: str | os.PathLike[str], palette: Palette, overwrite: bool) -> Iterator[Path]:
    """Hand out the temporary name of an output, which appears with its palette file."""
    target, model = Path(os.path.abspath(path)), palette_path(path)
    with complete_or_nothing(target, model, overwrite=overwrite, settle=_settle) as folder:
        palette.save(folder / model.name)
        yield folder / target.name


def _write_tiles(
    temporary: Path,
    shown: str,
    blocks: da.Array,
    *,
    source: Source,
    table: NDArray[np.uint8] | None = None,
    tags: tuple[Tag, ...] = (),
    colormap: NDArray[np.uint16] | None = None,
    description: str | None = None,
) -> None:
    block, tile = align(blocks.chunks)
    blocks = blocks.rechunk((*block, *blocks.shape[2:]))
    parts = blocks.map_blocks(
        _encode_tiff_block,
        folder=str(temporary.parent),
        shown=shown,
        tile=tile,
        table=table,
        token="write-block",
        dtype=object,
        drop_axis=2 if blocks.ndim == 3 else None,
        chunks=tuple((1,) * n for n in blocks.numblocks[:2]),
        meta=np.empty((0, 0), object),
    )
    grid = dask.compute(parts.to_delayed().tolist())[0]
    depth = blocks.shape[2:]
    if table is not None and table.shape[1] == 3:
        depth = (3,)
    tiff_writer.assemble(
        str(temporary),
        grid,
        shape=(*blocks.shape[:2], *depth),
        dtype=blocks.dtype if table is None else np.dtype(np.uint8),
        tile=tile,
        colormap=colormap,
        description=description,
        resolution=source.resolution,
        unit=source.unit,
        icc_profile=source.icc_profile,
        tags=tags,
    )


# ---------------------------------------------------------------- run in tasks

_running = 0
_lock = threading.Lock()


@contextmanager
def _writing(shown: str) -> Iterator[None]:
    """Count the tasks of this process that are writing, so that one can wait for them."""
    global _running
    with _lock:
        _running += 1
    try:
        yield
    except OSError as error:
        raise cannot_write(shown, error) from error
    finally:
        with _lock:
            _running -= 1


def _count_writing() -> int:
    return _running


def _settle() -> None:
    """Wait for tasks under way: they would write on, into a folder that is to vanish."""
    cluster.settle("write-block", _count_writing)


def _write_zarr_block(
    labels: NDArray[Any],
    path: str,
    shown: str,
    table: NDArray[np.uint8],
    content: str,
    block_info: Any = None,
) -> NDArray[np.uint8]:
    """Write one block of labels, and of their colours, as whole shards."""
    (top, bottom), (left, right) = block_info[0]["array-location"]
    with _writing(shown):
        if content != "labels":
            planes = np.moveaxis(paint_block(labels, table), 2, 0)
            omezarr.open_array(path, "0")[:, top:bottom, left:right] = planes
        if content != "image":
            omezarr.open_array(path, f"{omezarr.LABELS}/0")[top:bottom, left:right] = labels
    return np.ones((1, 1), np.uint8)


def _encode_tiff_block(
    block: NDArray[Any],
    folder: str,
    shown: str,
    tile: tuple[int, int],
    table: NDArray[np.uint8] | None,
    block_info: Any = None,
) -> tiff_writer.Part:
    """Encode the tiles of one block into a part file of its own."""
    row, column = block_info[0]["chunk-location"][:2]
    if table is not None:
        block = paint_block(block, table)
        block = block[..., 0] if table.shape[1] == 1 else block
    with _writing(shown):
        return tiff_writer.encode_part(f"{folder}/{row}-{column}.part", block, tile)
