"""The layout of an OME-Zarr group: an image and its labels, in levels. Knows nothing of Dask.

Specifications: https://ngff.openmicroscopy.org/0.5/ (Zarr v3, in shards) and, for older viewers,
https://ngff.openmicroscopy.org/0.4/ (Zarr v2, in chunks). Written by hand because ome-zarr-py's
image with labels does not pass the validation of ome-zarr-models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from bigquant.pyramid import Block
from bigquant.tiling import Level
from bigquant.zarr_chunks import COMPRESSOR, write_chunks
from bigquant.zarr_shard import codec, write_shard

LABELS = "labels/quantized"
VERSIONS = ("0.5", "0.4")
_METHODS = {
    "mean": "mean of 2 x 2 pixels that are part of the image, rounded half up",
    "mode": "most frequent of 2 x 2 labels, the lowest of equally frequent ones; "
    "a label 0 that is kept for nodata only where it is more than half",
}


def create_group(
    path: str,
    levels: Sequence[Level],
    *,
    version: str,
    depth: int,
    label_dtype: np.dtype[Any],
    content: str,
) -> None:
    """Create the group; the arrays hold nothing yet, and nothing is said of them.

    Parameters
    ----------
    path : str
        A folder that does not exist.
    levels : sequence of Level
    version : {"0.5", "0.4"}
    depth : {1, 3}
        Channels of the image.
    label_dtype : dtype
    content : {"both", "image", "labels"}
    """
    group = zarr.create_group(  # a str would be parsed as a URL
        Path(path), zarr_format=3 if version == "0.5" else 2
    )
    if content != "labels":
        _create_arrays(group, version, levels, np.dtype(np.uint8), depth)
    if content != "image":
        labels = group.create_group("labels").create_group("quantized")
        _create_arrays(labels, version, levels, label_dtype, None)


def describe_group(
    path: str,
    n_levels: int,
    *,
    version: str,
    colors: NDArray[np.uint8],
    properties: Mapping[str, Sequence[Any]],
    first_label: int,
    content: str,
    pixel_size: tuple[float, float] | None,
    attributes: Mapping[str, Any],
) -> None:
    """Store the metadata of a group that `create_group` made.

    Parameters
    ----------
    path : str
    n_levels : int
    version : {"0.5", "0.4"}
    colors : ndarray, (k, channels), uint8
        Palette; `first_label` is the label of its first colour.
    properties : Mapping
        What else is said of each colour: names and columns of k values, in JSON's types.
    first_label : {0, 1}
    content : {"both", "image", "labels"}
    pixel_size : (float, float), optional
        Height and width of a pixel in micrometers.
    attributes : Mapping
        Stored under "bigquant" in the group's attributes, in JSON's types.
    """
    group = zarr.open_group(Path(path), mode="r+")
    if content != "labels":
        image = {
            "multiscales": [_multiscale("mean", n_levels, pixel_size, channels=True)],
            "omero": {"channels": _channels(colors.shape[1])},
        }
        _describe(group, version, image)
    group.attrs["bigquant"] = dict(attributes)
    if content != "image":
        _describe(_subgroup(group, "labels"), version, {"labels": ["quantized"]})
        label: dict[str, Any] = {
            "version": version,
            "colors": _label_colors(colors, first_label),
            "properties": _label_properties(properties, first_label),
        }
        if content == "both":
            label["source"] = {"image": "../../"}
        scales = _multiscale("mode", n_levels, pixel_size, channels=False)
        described = {"multiscales": [scales], "image-label": label}
        _describe(_subgroup(group, LABELS), version, described)


def _subgroup(group: zarr.Group, name: str) -> zarr.Group:
    found = group[name]
    assert isinstance(found, zarr.Group)
    return found


@dataclass(frozen=True)
class Sink:
    """Writes blocks into the arrays of a group: as whole shards, or as several whole chunks.

    Parameters
    ----------
    path : str
        Of the group.
    levels : tuple of Level
    version : {"0.5", "0.4"}
    """

    path: str
    levels: tuple[Level, ...]
    version: str

    def write(self, level: int, row: int, column: int, block: Block) -> None:
        """Store the block of a level, by its place in the grid of blocks."""
        cut = self.levels[level]
        for name, pixels in (("", block.colors), (LABELS, block.labels)):
            if pixels is None:
                continue
            folder = Path(self.path) / _folder(name, level, self.version)
            if self.version == "0.5":
                write_shard(folder / str(row) / str(column), pixels, cut.inner, cut.shard)
            else:
                down, across = (s // i for s, i in zip(cut.shard, cut.inner, strict=True))
                write_chunks(folder, pixels, cut.inner, (row * down, column * across))

    def missing(self) -> list[str]:
        """List the files that are not there: Zarr would read them as zeros, without a word."""
        group = zarr.open_group(Path(self.path), mode="r")
        names = [name for name in ("", LABELS) if f"{name}/0".strip("/") in group]
        files = (
            f"{_folder(name, number, self.version)}/{row}/{column}"
            for name in names
            for number, level in enumerate(self.levels)
            for row, column in np.ndindex(_grid(level, self.version))
        )
        return [file for file in files if not (Path(self.path) / file).is_file()]


def _folder(name: str, level: int, version: str) -> str:
    """Name the folder of the rows of a level of the image (of no name) or of the labels."""
    parts = [name] * bool(name) + [str(level)] + ["c"] * (version == "0.5") + ["0"] * (not name)
    return "/".join(parts)


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
        shape = (*lead, *level.shape)
        group.create_array(str(number), shape=shape, dtype=dtype, fill_value=0, **kind)
        assert isinstance(group.store, LocalStore)
        folder = group.store.root / _folder(group.path, number, version)
        for row in range(_grid(level, version)[0]):
            # tasks write files, and would miss a folder removed
            (folder / str(row)).mkdir(parents=True)


def _describe(group: zarr.Group, version: str, facts: Mapping[str, Any]) -> None:
    """Store OME's metadata where the version has it, and which version it is."""
    if version == "0.5":
        group.attrs["ome"] = {"version": version, **facts}
        return
    marked = dict(facts)
    if "multiscales" in marked:
        marked["multiscales"] = [{"version": version, **m} for m in marked["multiscales"]]
    if "omero" in marked:
        marked["omero"] = {"version": version, **marked["omero"]}
    group.attrs.update(marked)


def _multiscale(
    method: str, n_levels: int, pixel_size: tuple[float, float] | None, *, channels: bool
) -> dict[str, Any]:
    unit = {"unit": "micrometer"} if pixel_size else {}
    lead: list[dict[str, str]] = [{"name": "c", "type": "channel"}] if channels else []
    y, x = pixel_size or (1.0, 1.0)
    datasets = []
    for level in range(n_levels):
        scale = [1.0] * len(lead) + [y * 2.0**level, x * 2.0**level]
        # the first pixel's centre lies amid the 2**level pixels that it was made of
        shift = (2.0**level - 1) / 2
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if level:
            steps.append(
                {"type": "translation", "translation": [0.0] * len(lead) + [y * shift, x * shift]}
            )
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    return {
        "name": "quantized",
        "type": method,
        "metadata": {"description": _METHODS[method]},
        "axes": [*lead, *({"name": n, "type": "space", **unit} for n in "yx")],
        "datasets": datasets,
    }


def _channels(depth: int) -> list[dict[str, Any]]:
    names = (
        [("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF")] if depth == 3 else [("gray", "FFFFFF")]
    )
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    return [
        {"label": label, "color": color, "active": True, "window": window} for label, color in names
    ]


def _label_colors(colors: NDArray[np.uint8], first_label: int) -> list[dict[str, Any]]:
    rgb = np.broadcast_to(colors, (len(colors), 3)).tolist()
    entries = [{"label-value": 0, "rgba": [0, 0, 0, 0]}] if first_label else []
    entries += [
        {"label-value": first_label + i, "rgba": [*color, 255]} for i, color in enumerate(rgb)
    ]
    return entries


def _label_properties(
    properties: Mapping[str, Sequence[Any]], first_label: int
) -> list[dict[str, Any]]:
    """List what is said of each label; each that has a colour has an entry."""
    entries: list[dict[str, Any]] = [{"label-value": 0}] if first_label else []
    for label, row in enumerate(zip(*properties.values(), strict=True), first_label):
        entries.append({"label-value": label, **dict(zip(properties, row, strict=True))})
    return entries
