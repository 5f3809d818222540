"""What a TIFF says in texts, each kind of file in its own: names of channels, sizes of pixels."""

from __future__ import annotations

import contextlib
import math
from typing import Any
from xml.etree import ElementTree

import tifffile

#: Units as OME and ImageJ write them.
_MICROMETERS = {
    "\N{ANGSTROM SIGN}": 1e-4,
    "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": 1e-4,
    "nm": 1e-3,
    "\N{MICRO SIGN}m": 1.0,
    "\N{GREEK SMALL LETTER MU}m": 1.0,
    "\\u00B5m": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "dm": 1e5,
    "m": 1e6,
    "in": 25400.0,
    "inch": 25400.0,
}


def channel_names(tif: tifffile.TiffFile, found: list[Any], series: Any) -> tuple[str, ...]:
    """Tell what the file calls the channels of an image; nothing where that is not clear."""
    if tif.is_ome:
        pixels = _ome_pixels(tif, found, series)
        channels = [] if pixels is None else pixels.findall("{*}Channel")
        return tuple(channel.get("Name", "").strip().lower() for channel in channels)
    labels = (tif.imagej_metadata or {}).get("Labels") if tif.is_imagej else None
    return tuple(str(label).strip().lower() for label in labels) if labels else ()


def pixel_size(tif: tifffile.TiffFile, found: list[Any], series: Any) -> tuple[float, float] | None:
    """Tell height and width of a pixel in micrometers, at full resolution.

    Parameters
    ----------
    tif : TiffFile
    found : list
        All series of the file.
    series : TiffPageSeries
        The one that is read, or a page by itself.

    Returns
    -------
    tuple or None
        What OME-XML, Aperio's description or ImageJ's unit say; None without any of these,
        where there are the tags for resolution.
    """
    sizes: list[float] = []
    with contextlib.suppress(Exception):  # a text may be damaged where pixels are not
        sizes = [float(value) * _MICROMETERS[unit] for value, unit in _said(tif, found, series)]
    return (sizes[0], sizes[1]) if sizes and all(0 < s < math.inf for s in sizes) else None


def significant_bits(tif: tifffile.TiffFile, found: list[Any], series: Any) -> int | None:
    """Tell how many bits of a sample OME-XML says are used; None where it does not.

    Parameters are as for `pixel_size`.
    """
    pixels = _ome_pixels(tif, found, series) if tif.is_ome else None
    with contextlib.suppress(TypeError, ValueError):  # not said, or no number
        bits = int("" if pixels is None else pixels.get("SignificantBits"))
        return bits if 1 <= bits <= 64 else None
    return None


def _said(tif: tifffile.TiffFile, found: list[Any], series: Any) -> list[tuple[Any, str]]:
    """Height and width of a pixel and their units, as they stand in the file."""
    if tif.is_ome:
        pixels = _ome_pixels(tif, found, series)
        names = [] if pixels is None else ["PhysicalSizeY", "PhysicalSizeX"]
        return [(pixels.get(name), pixels.get(f"{name}Unit", "um")) for name in names]
    if tif.is_svs and series.keyframe.index == 0:  # other pages repeat what is true of this one
        facts = tifffile.tifffile.svs_description_metadata(series.keyframe.description)
        return [(facts["MPP"], "um")] * 2
    if tif.is_imagej:
        ratios = [series.keyframe.tags.valueof(code) for code in (283, 282)]
        return [(ratio[1] / ratio[0], tif.imagej_metadata["unit"]) for ratio in ratios]
    return []


def ome_image(tif: tifffile.TiffFile, found: list[Any], series: Any) -> Any:
    """Find what OME-XML says of an image; nothing where it is not clear which one it is.

    Parameters are as for `pixel_size`.
    """
    try:
        images = ElementTree.fromstring(tif.ome_metadata or "").findall("{*}Image")
    except ElementTree.ParseError:
        return None
    if len(images) != len(found) or not any(s is series for s in found):
        return None
    return images[[s is series for s in found].index(True)]


def _ome_pixels(tif: tifffile.TiffFile, found: list[Any], series: Any) -> Any:
    image = ome_image(tif, found, series)
    return None if image is None else image.find("{*}Pixels")
