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
