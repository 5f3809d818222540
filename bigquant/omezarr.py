"""The layout of an OME-Zarr group: an image and its labels, in levels. Knows nothing of Dask.

Specifications: https://ngff.openmicroscopy.org/0.5/ (Zarr v3, in shards) and, for older viewers,
https://ngff.openmicroscopy.org/0.4/ (Zarr v2, in chunks). Written by hand because ome-zarr-py's
image with labels does not pass the validation of ome-zarr-models.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from bigquant.omezarr_metadata import image_facts, label_facts, value_facts
from bigquant.pyramid import Block
from bigquant.tiling import Level
from bigquant.zarr_chunks import COMPRESSOR, encode_chunks
from bigquant.zarr_place import Place
from bigquant.zarr_shard import codec, encode_shard
from bigquant.zarr_store import Store

LABELS = "labels/quantized"
VERSIONS = ("0.5", "0.4")


def create_group(
    store: Store,
    levels: Sequence[Level],
    *,
    version: str,
    depth: int,
    dtype: np.dtype[Any],
    label_dtype: np.dtype[Any],
    content: str,
) -> None:
    """Create the group; the arrays hold nothing yet, and nothing is said but that.

    Parameters
    ----------
    store : Store
        Of which nothing is there yet.
    levels : sequence of Level
    version : {"0.5", "0.4"}
    depth : int
        Channels of the image.
    dtype, label_dtype : dtype
        Of the image and of the labels.
    content : {"both", "image", "labels"}
    """
    unfinished = {"bigquant": {"complete": False}}
    with store.opened() as opened:
        kind: Any = {"zarr_format": 3 if version == "0.5" else 2, "attributes": unfinished}
        group = zarr.create_group(opened, **kind)
        if content != "labels":
            _create_arrays(group, version, levels, dtype, depth)
            store.make_folders(_rows("", version, levels))
        if content != "image":
            labels = group.create_group("labels")
            labels = labels.create_group("quantized", attributes=unfinished)
            _create_arrays(labels, version, levels, label_dtype, None)
            store.make_folders(_rows(LABELS, version, levels))


def describe_group(
    store: Store,
    n_levels: int,
    *,
    version: str,
    channels: Sequence[Mapping[str, Any]],
    dtype: np.dtype[Any],
    colors: NDArray[np.uint8],
    properties: Mapping[str, Sequence[Any]],
    first_label: int,
    content: str,
    scale: tuple[float, float, str] | None,
    place: Place | None,
    attributes: Mapping[str, Any],
) -> None:
    """Store the metadata of a group that `create_group` made, last that it is complete.

    Parameters
    ----------
    store : Store
    n_levels : int
    version : {"0.5", "0.4"}
    channels : sequence of Mapping
        What `omezarr_metadata.list_channels` tells of each channel of the image.
    dtype : dtype
        Of the image.
    colors : ndarray, (k, 3), uint8
        The palette as it is shown; `first_label` is the label of its first colour.
    properties : Mapping
        What else is said of each colour: names and columns of k values, in JSON's types.
    first_label : {0, 1}
    content : {"both", "image", "labels"}
    scale : (float, float, str), optional
        Height and width of a pixel, and their unit.
    place : Place, optional
        Where on Earth the image lies.
    attributes : Mapping
        Stored under "bigquant" in the group's attributes, in JSON's types.
    """
    with store.opened() as opened:
        group = zarr.open_group(opened, mode="r+")
        if content != "image":
            _describe(_subgroup(group, "labels"), version, {"labels": ["quantized"]})
            labels = _subgroup(group, LABELS)
            facts = label_facts(n_levels, scale, colors, properties, first_label)
            facts["image-label"] |= {"version": version, "source": {"image": "../../"}}
            _describe(labels, version, facts, {"complete": True})
            if place:
                place.store(labels, version)
        if content == "labels":  # so that there is an image under the group's own name
            facts = value_facts(n_levels, scale, LABELS, first_label + len(colors) - 1)
        else:
            facts = image_facts(n_levels, scale, channels, dtype)
            if place:
                place.store(group, version)
        _describe(group, version, facts, {"complete": True, **attributes})


def _subgroup(group: zarr.Group, name: str) -> zarr.Group:
    found = group[name]
    assert isinstance(found, zarr.Group)
    return found


@dataclass(frozen=True)
class Sink:
    """Writes blocks into the arrays of a group: as whole shards, or as several whole chunks.

    Parameters
    ----------
    store : Store
    levels : tuple of Level
    version : {"0.5", "0.4"}
    """

    store: Store
    levels: tuple[Level, ...]
    version: str

    def write(self, level: int, row: int, column: int, block: Block) -> None:
        """Store the block of a level, by its place in the grid of blocks."""
        cut = self.levels[level]
        for name, pixels in (("", block.colors), (LABELS, block.labels)):
            if pixels is None:
                continue
            folder = _folder(name, level, self.version)
            if self.version == "0.5":
                shard = encode_shard(pixels, cut.inner, cut.shard)
                self.store.put({f"{folder}/{row}/{column}": shard})
                continue
            down, across = (s // i for s, i in zip(cut.shard, cut.inner, strict=True))
            top, left = row * down, column * across
            chunks = encode_chunks(pixels, cut.inner)
            self.store.put({f"{folder}/{top + y}/{left + x}": [data] for y, x, data in chunks})

    def files(self, level: int, row: int, column: int) -> list[str]:
        """Name the files of a block, in both arrays."""
        cut, grid, span = self.levels[level], _grid(self.levels[level], self.version), (1, 1)
        if self.version == "0.4":
            span = cut.shard[0] // cut.inner[0], cut.shard[1] // cut.inner[1]
        rows, columns = (
            range(place * step, min((place + 1) * step, end))
            for place, step, end in zip((row, column), span, grid, strict=True)
        )
        folders = [_folder(name, level, self.version) for name in ("", LABELS)]
        names = itertools.product(folders, rows, columns)
        return [self.store.place(f"{folder}/{y}/{x}") for folder, y, x in names]

    def missing(self) -> list[str]:
        """List the files that are not there: Zarr would read them as zeros, without a word."""
        with self.store.opened() as opened:
            group = zarr.open_group(opened, mode="r")
            names = [name for name in ("", LABELS) if f"{name}/0".strip("/") in group]
        found = self.store.names()
        files = (
            f"{_folder(name, number, self.version)}/{row}/{column}"
            for name in names
            for number, level in enumerate(self.levels)
            for row, column in np.ndindex(_grid(level, self.version))
        )
        return [file for file in files if file not in found]


def _folder(name: str, level: int, version: str) -> str:
    """Name the folder of the rows of a level of the image (of no name) or of the labels."""
    parts = [name] * bool(name) + [str(level)] + ["c"] * (version == "0.5") + ["0"] * (not name)
    return "/".join(parts)


def _rows(name: str, version: str, levels: Sequence[Level]) -> Iterator[str]:
    """Name the folders of all rows of files."""
    for number, level in enumerate(levels):
        for row in range(_grid(level, version)[0]):
            yield f"{_folder(name, number, version)}/{row}"


def _grid(level: Level, version: str) -> tuple[int, int]:
    """Count the files of a level along y and x."""
    if version == "0.5":
        return level.grid
    return -(-level.shape[0] // level.inner[0]), -(-level.shape[1] // level.inner[1])


def _create_arrays(
    group: zarr.Group,
    version: str,
    levels: Sequence[Level],
    dtype: np.dtype[Any],
    depth: int | None,
) -> None:
    lead = () if depth is None else (depth,)
    names = ("y", "x") if depth is None else ("c", "y", "x")
    for number, level in enumerate(levels):
        kind: dict[str, Any] = {
            "chunks": (*lead, *level.shard),
            "serializer": codec(level.inner, depth),
            "compressors": None,
            "dimension_names": names,
        }
        if version == "0.4":
            kind = {
                "chunks": (*lead, *level.inner),
                "filters": None,
                "compressors": COMPRESSOR,
                "order": "C",
                "chunk_key_encoding": {"name": "v2", "separator": "/"},
                "attributes": {"_ARRAY_DIMENSIONS": list(names)},  # as xarray has it
            }
        shape, fill = (*lead, *level.shape), np.nan if dtype.kind == "f" else 0
        group.create_array(str(number), shape=shape, dtype=dtype, fill_value=fill, **kind)


def _describe(
    group: zarr.Group,
    version: str,
    facts: Mapping[str, Any],
    own: Mapping[str, Any] | None = None,
) -> None:
    """Store OME's metadata where the version has it, and what is ours, in one go."""
    ours = {"bigquant": dict(own)} if own else {}
    if version == "0.5":
        group.update_attributes({"ome": {"version": version, **facts}} | ours if facts else ours)
        return
    marked = dict(facts)
    if "multiscales" in marked:
        marked["multiscales"] = [{"version": version, **m} for m in marked["multiscales"]]
    if "omero" in marked:
        marked["omero"] = {"version": version, **marked["omero"]}
    group.update_attributes(marked | ours)
