"""Names of labels for GDAL and QGIS: a TIFF has no place for them, so they stand beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree


def names_path(path: str | os.PathLike[str]) -> Path:
    """Name GDAL's side file of a raster: NAME.tif.aux.xml."""
    return Path(os.path.abspath(path) + ".aux.xml")


def save_names(path: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Write the side file of a raster of one band; `names` are of the labels 0, 1, ..."""
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    categories = ElementTree.SubElement(band, "CategoryNames")
    for name in names:
        ElementTree.SubElement(categories, "Category").text = name
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path)
