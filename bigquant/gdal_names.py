"""What a TIFF has no place for, beside it for GDAL and QGIS: names of labels, an odd CRS."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree


def names_path(path: str | os.PathLike[str]) -> Path:
    """Name GDAL's side file of a raster: NAME.tif.aux.xml."""
    return Path(os.path.abspath(path) + ".aux.xml")


def save_names(path: str | os.PathLike[str], names: Sequence[str], crs: str | None) -> None:
    """Write the side file of a raster: names of the labels 0, 1, ... if any, a CRS if any."""
    root = ElementTree.Element("PAMDataset")
    if crs:
        ElementTree.SubElement(root, "SRS").text = crs
    if names:
        band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
        categories = ElementTree.SubElement(band, "CategoryNames")
        for name in names:
            ElementTree.SubElement(categories, "Category").text = name
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path)
