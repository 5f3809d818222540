"""What is kept of a fit beside its outputs, for the report: from what its passes found anyway."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.palette import Palette
from bigquant.preview import Cloud, Pictures, Preview
from bigquant.quantized import QuantizedImage
from bigquant.remote import is_url, public
from bigquant.thumbnail import as_shown, in_colors


def record(result: QuantizedImage, reading: Mapping[str, Any], command: str | None) -> Preview:
    """Tell of an image that was fitted what its report will show.

    The small picture after is made of the one before: what is written of these pixels is their
    nearest colour, too, or, where the image is dithered, looks alike.

    Parameters
    ----------
    result : QuantizedImage
        Its thumbnail and its cloud may be missing.
    reading : Mapping
        Options of `open_image` that the image was opened with.
    command : str, optional
        What was typed.
    """
    image, palette = result.original, result.palette
    size = image.source.pixel_size
    facts = {
        "source": image.source.path,
        "width": image.shape[1],
        "height": image.shape[0],
        "bands": image.channels,
        "dtype": image.dtype.name,
        "pixel_size": list(size) if size else None,
        "reading": _as_json(reading),
        "dither": result.dither,
        "palette": palette_digest(palette),
        "command": command,
        "seconds": dict(result.seconds),
    }
    pictures = None
    if result.thumbnail is not None:
        before = as_shown(result.thumbnail, image.channels, palette)
        after = in_colors(result.thumbnail, image.channels, palette, result.dither)
        pictures = Pictures.of(before, after)
    return Preview(pictures, None if result.cloud is None else _shown(result.cloud, palette), facts)


def palette_digest(palette: Palette) -> str:
    """Tell what labels mean in a few letters: by it a preview is known to belong to an output."""
    found = hashlib.sha256(f"{palette.first_label} {palette.dtype.str}".encode())
    found.update(np.ascontiguousarray(palette.colors).data)
    return found.hexdigest()


def go_on(previews: Sequence[Preview], kept: Preview) -> list[Preview]:
    """Take for a run that goes on what the interrupted one had found: pictures of the first."""
    return [
        Preview(
            None if number else kept.pictures,
            kept.cloud,
            {**preview.facts, "seconds": kept.facts["seconds"]},
        )
        for number, preview in enumerate(previews)
    ]


def _shown(cloud: tuple[NDArray[Any], NDArray[Any]], palette: Palette) -> Cloud:
    """Show the values of a cloud as gray or RGB; what looks alike becomes one."""
    values, weights = cloud
    colors, which = np.unique(palette.display.rgb(values), axis=0, return_inverse=True)
    return colors, np.bincount(which.ravel(), weights, len(colors)).astype(np.float64)


def _as_json(reading: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of options what is secret, and a nodata that marks no pixel that is not anyway."""
    kept = {name: value for name, value in reading.items() if name != "storage_options"}
    if not math.isfinite(kept.get("nodata", 0)):
        del kept["nodata"]
    mask = kept.get("mask")
    if isinstance(mask, str):
        kept["mask"] = public(mask) if is_url(mask) else os.path.abspath(mask)
    return kept
