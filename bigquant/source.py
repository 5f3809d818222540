"""What an image says of itself and must survive quantization."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bigquant.georeference import PLACE, Tag, ground_size
from bigquant.xarray_frame import Frame

_MICROMETERS = {"inch": 25400.0, "centimeter": 10000.0}


@dataclass(frozen=True)
class Source:
    """Where an image comes from, and what its outputs inherit.

    Parameters
    ----------
    path : str, optional
        Absolute path, or URL without what is secret in it; None for arrays.
    format : str
        "TIFF", "PNG", "Zarr", "array" and so on.
    resolution : tuple of float, optional
        Pixels per `unit` along x and y.
    unit : {"inch", "centimeter"}, optional
        Unit of the resolution; None where the file leaves it open.
    icc_profile : bytes, optional
        Embedded colour profile.
    tags : tuple of Tag
        GeoTIFF tags, copied as they are.
    crs : str, optional
        WKT of a CRS that they cannot name.
    valid_range : (float, float), optional
        What the samples can be; None where neither the type nor the file tells.
    tile : (int, int), optional
        Height and width of the tiles that the file is stored in.
    ome : Mapping, optional
        What its OME-XML calls the image, and when it was taken; None without OME-XML.
    details : Mapping
        Facts for people: compression, tile size and the like.
    frame : Frame, optional
        Coordinates and attributes of the xarray object that it came as.
    """

    path: str | None = None
    format: str = "array"
    resolution: tuple[float, float] | None = None
    unit: str | None = None
    icc_profile: bytes | None = None
    tags: tuple[Tag, ...] = ()
    crs: str | None = None
    valid_range: tuple[float, float] | None = None
    tile: tuple[int, int] | None = None
    ome: Mapping[str, str] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    frame: Frame | None = field(default=None, compare=False)

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """Height and width of a pixel in micrometers, where the file tells."""
        if self.unit is None or self.resolution is None or min(self.resolution) <= 0:
            return None
        # 15 digits: what a file gives as 0.499 micrometers comes back as that
        x, y = (float(f"{_MICROMETERS[self.unit] / r:.15g}") for r in self.resolution)
        return y, x

    @property
    def scale(self) -> tuple[float, float, str] | None:
        """Height and width of a pixel, and their unit: on the ground, where that is known."""
        if size := ground_size(self.tags):
            return (*size, "meter")
        return (*self.pixel_size, "micrometer") if self.pixel_size else None

    def profile_of(self, space: str) -> bytes | None:
        """Get the colour profile if it is one of colours in a space, "RGB" or "GRAY"."""
        profile = self.icc_profile
        return profile if profile and profile[16:20] == space.ljust(4).encode() else None

    @property
    def georeferenced(self) -> bool:
        """Whether it is said where on Earth the pixels lie."""
        return self.crs is not None or any(code in PLACE for code, *_ in self.tags)

    def as_attributes(self) -> dict[str, Any]:
        """Describe the source in JSON's types, for the metadata of a Zarr group."""
        facts: dict[str, Any] = {"format": self.format}
        if self.path:
            facts["path"] = self.path
        if self.resolution:
            facts["resolution"] = list(self.resolution)
            facts["resolution_unit"] = self.unit
        if self.icc_profile:
            facts["icc_profile_base64"] = base64.b64encode(self.icc_profile).decode()
        if self.tags:
            facts["tiff_tags"] = {
                str(code): list(value) if isinstance(value, tuple) else value
                for code, _, _, value in self.tags
            }
        if self.crs:
            facts["crs_wkt"] = self.crs
        return facts
