"""The layout of an OME-Zarr 0.5 group: an image and its labels, in levels. Knows nothing of Dask.

Specification: https://ngff.openmicroscopy.org/0.5/. Written by hand because ome-zarr-py's
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
from bigquant.zarr_shard import codec, write_shard

LABELS = "labels/quantized"


def create_group(
    path: str, levels: Sequence[Level], *, depth: int, label_dtype: np.dtype[Any], content: str
) -> None:
    """Create the group; the arrays hold nothing yet, and nothing is said of them.

    Parameters
    ----------
    path : str
        A folder that does not exist.
    levels : sequence of Level
    depth : {1, 3}
        Channels of the image.
    label_dtype : dtype
    content : {"both", "image", "labels"}
    """
    group = zarr.create_group(Path(path), zarr_format=3)  # a str would be parsed as a URL
    if content != "labels":
        _create_arrays(group, levels, np.dtype(np.uint8), depth)
    if content != "image":
        labels = group.create_group("labels").create_group("quantized")
        _create_arrays(labels, levels, label_dtype, None)


def describe_group(
    path: str,
    n_levels: int,
    *,
    colors: NDArray[np.uint8],
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
    colors : ndarray, (k, channels), uint8
        Palette; `first_label` is the label of its first colour.
    first_label : {0, 1}
    content : {"both", "image", "labels"}
    pixel_size : (float, float), optional
        Height and width of a pixel in micrometers.
    attributes : Mapping
        Stored under "bigquant" in the group's attributes, in JSON's types.
    """
    group = zarr.open_group(Path(path), mode="r+")
    ome: dict[str, Any] = {"version": "0.5"}
    if content != "labels":
        ome["multiscales"] = [_multiscale("mean", n_levels, pixel_size, with_channels=True)]
        ome["omero"] = {"channels": _channels(colors.shape[1])}
        group.attrs["ome"] = ome
    group.attrs["bigquant"] = dict(attributes)
    if content != "image":
        group["labels"].attrs["ome"] = {"version": "0.5", "labels": ["quantized"]}
        source = {"source": {"image": "../../"}} if content == "both" else {}
        group[LABELS].attrs["ome"] = {
            "version": "0.5",
            "multiscales": [_multiscale("mode", n_levels, pixel_size, with_channels=False)],
            "image-label": {"colors": _label_colors(colors, first_label), **source},
        }


@dataclass(frozen=True)
class Sink:
    """Writes blocks into the arrays of a group, as whole shards.

    Parameters
    ----------
    path : str
        Of the group.
    levels : tuple of Level
    """

    path: str
    levels: tuple[Level, ...]

    def write(self, level: int, row: int, column: int, block: Block) -> None:
        """Store the block of a level, by its place in the grid of blocks."""
        cut = self.levels[level]
        for name, pixels in (("", block.colors), (LABELS, block.labels)):
            if pixels is not None:
                path = Path(self.path) / _shard(name, level, row, column)
                write_shard(path, pixels, cut.inner, cut.shard)

    def missing(self) -> list[str]:
        """List the shards that are not there: Zarr would read them as zeros, without a word."""
        group = zarr.open_group(Path(self.path), mode="r")
        names = [name for name in ("", LABELS) if f"{name}/0".strip("/") in group]
        shards = (
            _shard(name, number, row, column)
            for name in names
            for number, level in enumerate(self.levels)
            for row, column in np.ndindex(level.grid)
        )
        return [shard for shard in shards if not (Path(self.path) / shard).is_file()]


def _shard(name: str, level: int, row: int, column: int) -> str:
    """Name the file of a shard of the image (of no name) or of the labels."""
    place = f"{name}/{level}/c" if name else f"{level}/c/0"
    return f"{place}/{row}/{column}"


def _create_arrays(
    group: zarr.Group, levels: Sequence[Level], dtype: np.dtype[Any], depth: int | None
) -> None:
    lead = () if depth is None else (depth,)
    for number, level in enumerate(levels):
        group.create_array(
            str(number),
            shape=(*lead, *level.shape),
            chunks=(*lead, *level.shard),
            dtype=dtype,
            serializer=codec(level.inner, depth),
            compressors=None,
            fill_value=0,
            dimension_names=("y", "x") if depth is None else ("c", "y", "x"),
        )
        assert isinstance(group.store, LocalStore)
        for row in range(level.grid[0]):  # tasks write files, and would miss a folder removed
            file = group.store.root / _shard(group.path, number, row, 0)
            file.parent.mkdir(parents=True)


def _multiscale(
    method: str, n_levels: int, pixel_size: tuple[float, float] | None, *, with_channels: bool
) -> dict[str, Any]:
    unit = {"unit": "micrometer"} if pixel_size else {}
    lead: list[dict[str, str]] = [{"name": "c", "type": "channel"}] if with_channels else []
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
