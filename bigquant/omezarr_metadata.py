"""What OME-Zarr says of an image and its labels, in JSON's types. Knows no arrays and no stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.display import Display
from bigquant.rounding import bounds

#: Height and width of a pixel, and their unit.
Scale = tuple[float, float, str]

_METHODS = {
    "mean": "mean of 2 x 2 pixels that are part of the image",
    "mode": "most frequent of 2 x 2 labels, the lowest of equally frequent ones; "
    "a label 0 that is kept for nodata only where it is more than half",
}


def image_facts(
    n_levels: int,
    scale: Scale | None,
    channels: Sequence[Mapping[str, Any]],
    dtype: np.dtype[Any],
) -> dict[str, Any]:
    """Describe an image (c, y, x) of channels, in levels that are each half of the last."""
    scales = _multiscale("mean", n_levels, scale, channels=True)
    if dtype.kind in "iu":
        scales["metadata"]["description"] += ", rounded half up"
    return {"multiscales": [scales], "omero": {"channels": list(channels)}}


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


def list_channels(
    display: Display, dtype: np.dtype[Any], ranges: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Describe each band: in what colour it is shown, if it is, and from dark to bright.

    Parameters
    ----------
    display : Display
    dtype : dtype
        Of the image: what values of up to 16 bits can be is known from it.
    ranges : ndarray, (c, 2), float64
        Least and greatest value of each band.
    """
    limits = ranges
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        limits = np.tile(np.array(bounds(dtype)), (len(ranges), 1))
    # with others beside them, red, green and blue would be taken for all the colour there is
    numbers = [str(band) for band in range(1, len(ranges) + 1)]
    names = {1: ["gray"], 3: ["R", "G", "B"]}.get(len(ranges), numbers)
    channels: list[dict[str, Any]] = []
    for band, ((low, high), (start, end)) in enumerate(
        zip(limits.tolist(), display.windows.tolist(), strict=True)
    ):
        ends = {"min": min(low, start), "max": max(high, end), "start": start, "end": end}
        channels.append(
            {
                "label": names[band],
                "color": _color_of(band, display.bands),
                "active": band in display.bands,
                "window": {name: _plain(value) for name, value in ends.items()},
            }
        )
    return channels


def _color_of(band: int, shown: Sequence[int]) -> str:
    """Mix the colours that a band is shown in; white for one that is shown as gray, or not."""
    if len(shown) == 1 or band not in shown:
        return "FFFFFF"
    return "".join("FF" if band == each else "00" for each in shown)


def _plain(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def _label_colors(colors: NDArray[np.uint8], first_label: int) -> list[dict[str, Any]]:
    entries = [{"label-value": 0, "rgba": [0, 0, 0, 0]}] if first_label else []
    entries += [
        {"label-value": label, "rgba": [*color, 255]}
        for label, color in enumerate(colors.tolist(), first_label)
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
