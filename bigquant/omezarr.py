"""The layout of an OME-Zarr 0.5 group: an image and its labels. Knows nothing of Dask.

Specification: https://ngff.openmicroscopy.org/0.5/. Written by hand because ome-zarr-py's
image with labels does not pass the validation of ome-zarr-models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

LABELS = "labels/quantized"


@dataclass(frozen=True)
class Layout:
    """Shape and cutting of the arrays of a group.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    inner : (int, int)
        Chunk that viewers load.
    shard : (int, int)
        File on disk, a multiple of `inner`: what one task writes.
    """

    shape: tuple[int, int]
    inner: tuple[int, int]
    shard: tuple[int, int]


def create_group(
    path: str,
    layout: Layout,
    *,
    colors: NDArray[np.uint8],
    label_dtype: np.dtype[Any],
    first_label: int,
    content: str,
    pixel_size: tuple[float, float] | None,
    attributes: Mapping[str, Any],
) -> None:
    """Create the group with its metadata; the arrays hold nothing yet.

    Parameters
    ----------
    path : str
        A folder that does not exist.
    layout : Layout
    colors : ndarray, (k, channels), uint8
        Palette; `first_label` is the label of its first colour.
    label_dtype : dtype
    first_label : {0, 1}
    content : {"both", "image", "labels"}
    pixel_size : (float, float), optional
        Height and width of a pixel in micrometers.
    attributes : Mapping
        Stored under "bigquant" in the group's attributes, in JSON's types.
    """
    group = zarr.create_group(Path(path), zarr_format=3)  # a str would be parsed as a URL
    depth = colors.shape[1]
    ome: dict[str, Any] = {"version": "0.5"}
    if content != "labels":
        _create_array(group, "0", layout, np.dtype(np.uint8), depth)
        ome["multiscales"] = [_multiscale("quantized", pixel_size, with_channels=True)]
        ome["omero"] = {"channels": _channels(depth)}
        group.attrs["ome"] = ome
    group.attrs["bigquant"] = dict(attributes)
    if content != "image":
        parent = group.create_group("labels")
        parent.attrs["ome"] = {"version": "0.5", "labels": ["quantized"]}
        labels = parent.create_group("quantized")
        _create_array(labels, "0", layout, label_dtype, None)
        source = {"source": {"image": "../../"}} if content == "both" else {}
        labels.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [_multiscale("quantized", pixel_size, with_channels=False)],
            "image-label": {"colors": _label_colors(colors, first_label), **source},
        }


def open_array(path: str, name: str) -> zarr.Array[Any]:
    """Open an array of the group for writing.

    Chunks of zeros are stored too, so that a missing one is always a loss.
    """
    array = zarr.open_array(Path(path) / name, mode="r+")
    return array.with_config({"write_empty_chunks": True})


def _create_array(
    group: zarr.Group, name: str, layout: Layout, dtype: np.dtype[Any], depth: int | None
) -> None:
    lead = () if depth is None else (depth,)
    group.create_array(
        name,
        shape=(*lead, *layout.shape),
        chunks=(*lead, *layout.inner),
        shards=(*lead, *layout.shard),
        dtype=dtype,
        compressors=ZstdCodec(level=3),
        fill_value=0,
        dimension_names=("y", "x") if depth is None else ("c", "y", "x"),
    )


def _multiscale(
    name: str, pixel_size: tuple[float, float] | None, *, with_channels: bool
) -> dict[str, Any]:
    unit = {"unit": "micrometer"} if pixel_size else {}
    lead: list[dict[str, str]] = [{"name": "c", "type": "channel"}] if with_channels else []
    scale = [1.0] * len(lead) + list(pixel_size or (1.0, 1.0))
    return {
        "name": name,
        "axes": [*lead, *({"name": n, "type": "space", **unit} for n in "yx")],
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        ],
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
