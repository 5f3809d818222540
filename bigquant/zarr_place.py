"""Where on Earth an image lies, for GDAL and xarray: OME-Zarr has no words for it.

GDAL's driver of Zarr takes the CRS from an attribute "_CRS" of an array, and the transform from
arrays of coordinates named as its dimensions. Those have one length, so that only the full size
has them, and they cannot say that an image is rotated.
https://gdal.org/en/stable/drivers/raster/zarr.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from bigquant.georeference import epsg_of, transform_of
from bigquant.source import Source

_EPSG = "http://www.opengis.net/def/crs/EPSG/0/{}"


@dataclass(frozen=True)
class Place:
    """A CRS, if it is known, and the edge of the first pixel and the step along y and x in it."""

    crs: Mapping[str, str]
    y: tuple[float, float]
    x: tuple[float, float]

    @classmethod
    def of(cls, source: Source) -> Place | None:
        """Find the place of a source; None where it has none, or is rotated."""
        transform, code = transform_of(source.tags), epsg_of(source.tags)
        if transform is None or (transform[2], transform[4]) != (0, 0):
            return None
        crs = {"wkt": source.crs} if source.crs else {}
        if code is not None:
            crs = {"url": _EPSG.format(code)}
        return cls(crs, (transform[3], transform[5]), (transform[0], transform[1]))

    def store(self, group: zarr.Group, version: str) -> None:
        """Store it with the levels of an image or of labels."""
        array = group["0"]
        assert isinstance(array, zarr.Array)
        if self.crs:
            array.update_attributes({"_CRS": dict(self.crs)})
        height, width = array.shape[-2:]
        for name, length, (edge, step) in (("y", height, self.y), ("x", width, self.x)):
            kind: dict[str, Any] = {"dimension_names": [name]}
            if version == "0.4":
                kind = {"attributes": {"_ARRAY_DIMENSIONS": [name]}}
            centers = edge + step * (np.arange(length) + 0.5)
            group.create_array(name, data=centers, overwrite=True, **kind)
