"""Palettes wherever they stand: in palette files, and in outputs of bigquant."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import tifffile

from bigquant.errors import InputError, one_line
from bigquant.palette import Palette
from bigquant.palette_model import parse_json, read_bytes
from bigquant.tiff_colors import read_colormap

_TIFFS = (".tif", ".tiff")
#: Documents of a Zarr group, v3 and v2, that hold its attributes.
_ZARR_DOCUMENTS = ("zarr.json", ".zattrs")
#: The largest palette takes 20 MiB with Zarr's indentation.
_MAX_ZARR_BYTES = 64 << 20
_DESCRIPTION, _PALETTE_COLOR = 270, 3


def read_palette(path: str | os.PathLike[str]) -> Palette:
    """Read the palette of a file, whatever has one.

    Parameters
    ----------
    path : path
        A palette file, as for `Palette.load`; an output OUT.zarr or OUT.tif of bigquant; or
        any TIFF with a colour map, all of whose entries are taken, the first as label 0.

    Raises
    ------
    InputError
        If it has no palette or is damaged.
    """
    if os.path.isdir(path):
        return _read_zarr(path)
    if Path(path).suffix.lower() in _TIFFS:
        return _read_tiff(path)
    return Palette.load(path)


def _read_zarr(path: str | os.PathLike[str]) -> Palette:
    for name in _ZARR_DOCUMENTS:
        document = Path(path) / name
        if document.is_file():
            attributes = parse_json(read_bytes(document, _MAX_ZARR_BYTES), document)
            if name == "zarr.json":
                attributes = _find(attributes, "attributes")
            model = _find(attributes, "bigquant", "palette")
            if model is not None:
                return Palette.from_json(model, str(path))
    raise InputError(
        f"{path}: holds no palette: name an output OUT.zarr of bigquant, or a palette file"
    )


def _find(value: Any, *keys: str) -> Any:
    """Go down into JSON; None where there is no such way."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _read_tiff(path: str | os.PathLike[str]) -> Palette:
    try:
        with tifffile.TiffFile(path) as tif:
            page = tif.pages.first
            model = _find(_parse_quietly(page.description), "bigquant")
            if model is None and page.photometric == _PALETTE_COLOR:
                return Palette.from_colors(read_colormap(str(path), page))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # a damaged header raises nearly anything
        raise InputError(f"{path}: not a readable TIFF ({one_line(error)})") from error
    if model is None:
        raise InputError(f"{path}: has no palette: name a palette file, or an image that has one")
    return Palette.from_json(model, str(path))


def _parse_quietly(text: str) -> Any:
    """Parse what may be JSON; None if it is anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
