"""What OME-Zarr says of an image and its labels, in JSON's types. Knows no arrays and no stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Height and width of a pixel, and their unit.
Scale = tuple[float, float, str]

_METHODS = {
    "mean": "mean of 2 x 2 pixels that are part of the image, rounded half up",
    "mode": "most frequent of 2 x 2 labels, the lowest of equally frequent ones; "
    "a label 0 that is kept for nodata only where it is more than half",
}


def image_facts(n_levels: int, scale: Scale | None, depth: int) -> dict[str, Any]:
    """Describe an image (c, y, x) of 1 or 3 channels, in levels that are each half of the last."""
    return {
        "multiscales": [_multiscale("mean", n_levels, scale, channels=True)],
        "omero": {"channels": _channels(depth)},
    }


def value_facts(n_levels: int, scale: Scale | None, path: str, largest: int) -> dict[str, Any]:
    """Describe the labels at a path as a gray image, for programs that want one in any group."""
    scales = _multiscale("mode", n_levels, scale, channels=False)
    for dataset in scales["datasets"]:
        dataset["path"] = f"{path}/{dataset['path']}"
    window = {"min": 0, "max": 255 if largest < 256 else 65535, "start": 0, "end": max(1, largest)}
    channel = {"label": "labels", "color": "FFFFFF", "active": True, "window": window}
    return {"multiscales": [scales], "omero": {"channels": [channel]}}


def label_facts(
    n_levels: int,
    scale: Scale | None,
    colors: NDArray[np.uint8],
    properties: Mapping[str, Sequence[Any]],
    first_label: int,
) -> dict[str, Any]:
    """Describe labels (y, x); the parameters are those of `omezarr.describe_group`."""
    return {
        "multiscales": [_multiscale("mode", n_levels, scale, channels=False)],
        "image-label": {
            "colors": _label_colors(colors, first_label),
            "properties": _label_properties(properties, first_label),
        },
    }


def _multiscale(
    method: str, n_levels: int, scale: Scale | None, *, channels: bool
) -> dict[str, Any]:
    y, x, *named = scale or (1.0, 1.0)
    unit = {"unit": named[0]} if named else {}
    lead: list[dict[str, str]] = [{"name": "c", "type": "channel"}] if channels else []
    datasets = []
    for level in range(n_levels):
        sizes = [1.0] * len(lead) + [y * 2.0**level, x * 2.0**level]
        # the first pixel's centre lies amid the 2**level pixels that it was made of
        shift = (2.0**level - 1) / 2
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": sizes}]
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
