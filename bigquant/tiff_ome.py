"""OME-XML in a TIFF: what it says of an image, and that of a quantized image.

https://docs.openmicroscopy.org/ome-model/6.2.2/ome-tiff/specification.html
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

#: Namespace of the annotation that holds the palette.
PALETTE = "bigquant/palette"
_MICROMETERS = {
    "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "\u00b5m": 1.0, "\u03bcm": 1.0, "nm": 1e-3,
    "pm": 1e-6, "\u00c5": 1e-4, "in": 25400.0, "ft": 304800.0,
}  # fmt: skip
#: Pixels of an image are neither smaller nor larger, in micrometers.
_SMALLEST, _LARGEST = 1e-5, 1e12


def find_image(xml: str | None, number: int, count: int) -> ElementTree.Element | None:
    """Find the element of an image among those of a file; None where that is not clear."""
    try:
        images = ElementTree.fromstring(xml or "").findall("{*}Image")
    except ElementTree.ParseError:
        return None
    return images[number] if len(images) == count else None


def channel_names(image: ElementTree.Element) -> tuple[str, ...]:
    """List what the channels of an image are called."""
    channels = image.findall("{*}Pixels/{*}Channel")
    return tuple(channel.get("Name", "").strip().lower() for channel in channels)


def pixel_size(image: ElementTree.Element) -> tuple[float, float] | None:
    """Find the height and width of a pixel in micrometers; None where they are not told."""
    pixels = image.find("{*}Pixels")
    sizes = [] if pixels is None else [_length(pixels, f"PhysicalSize{axis}") for axis in "YX"]
    return (sizes[0], sizes[1]) if sizes and min(sizes) > 0 else None


def _length(pixels: ElementTree.Element, name: str) -> float:
    """Read a length in micrometers; 0 where it is none."""
    try:
        length = float(pixels.get(name, 0)) * _MICROMETERS[pixels.get(f"{name}Unit", "\u00b5m")]
    except (KeyError, ValueError):
        return 0.0
    return length if _SMALLEST <= length <= _LARGEST else 0.0


def kept_facts(image: ElementTree.Element) -> dict[str, str]:
    """Collect what an image made of this one inherits: Name, AcquisitionDate, Description."""
    facts = {name: image.findtext(f"{{*}}{name}") for name in ("AcquisitionDate", "Description")}
    facts["Name"] = image.get("Name")
    return {name: text.strip() for name, text in facts.items() if text and text.strip()}


def describe(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    pixel_size: tuple[float, float] | None,
    facts: Mapping[str, str],
    palette: str,
) -> str:
    """Write the OME-XML of an image that is the first page of a file.

    Parameters
    ----------
    shape : tuple
        (y, x) or (y, x, sample).
    dtype : dtype
    pixel_size : (float, float), optional
        Height and width of a pixel in micrometers.
    facts : Mapping
        Of `kept_facts`.
    palette : str
        JSON, which becomes an annotation of the image.
    """
    y, x, samples = (*shape, 1)[:3]
    sizes = {}
    if pixel_size:
        sizes = {
            f"PhysicalSize{axis}": float(f"{size:.12g}")
            for axis, size in zip("YX", pixel_size, strict=True)
        }
    # the same image gets the same file
    identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{shape} {pixel_size} {dict(facts)} {palette}")
    xml = tifffile.OmeXml(UUID=str(identity), Creator="bigquant")
    xml.addimage(
        dtype,
        shape,
        (1, 1, 1, y, x, samples),
        axes="YXS"[: len(shape)],
        **{"Name": "quantized", **facts},
        **sizes,
        CommentAnnotation={"Namespace": PALETTE, "Value": palette},
    )
    return str(xml.tostring(declaration=True))
