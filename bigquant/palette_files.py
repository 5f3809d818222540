"""Palettes wherever they stand: in palette files, and in outputs of bigquant."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import PngImagePlugin

from bigquant import remote
from bigquant.errors import InputError, one_line
from bigquant.palette import Palette
from bigquant.palette_model import (
    check_file,
    naming,
    parse_json,
    parse_json_at,
    read_beside,
    read_bytes,
)
from bigquant.tiff_colors import colors_of

_TIFFS = (".tif", ".tiff")
#: Documents of a Zarr group, v3 and v2, that hold its attributes.
_ZARR_DOCUMENTS = ("zarr.json", ".zattrs")
#: The largest palette takes 20 MiB with Zarr's indentation.
_MAX_ZARR_BYTES = 64 << 20
_PALETTE_COLOR = 3


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
    if not os.path.isdir(path) and Path(path).suffix.lower() not in _TIFFS:
        return Palette.load(path)
    with naming(path):
        return _read_zarr(Path(path)) if os.path.isdir(path) else _read_tiff(path)


def read_far_palette(url: str, options: Mapping[str, Any], is_tiff: bool) -> Palette | None:
    """Do as `read_own_palette` does for a Zarr or TIFF behind a URL; `options` are for fsspec."""
    with naming(remote.public(url)):
        if is_tiff:
            try:
                file = remote.open_file(url, options)
            except OSError as error:
                raise InputError(str(error.strerror)) from error
            with file:
                return _find_in_text(_parse_tiff(file)[0])
        return _find_in_zarr(lambda name: read_beside(url, options, f"/{name}", _MAX_ZARR_BYTES))


def read_own_palette(path: str | os.PathLike[str]) -> Palette | None:
    """Read the palette of an output of bigquant, that stands in it or, of ``.npy``, beside it.

    None where an image has none, as it was made by others; damaged ones are an `InputError`.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        places = (Path(f"{path}.palette.json"), Path(path).parent / "palette.json")
        return next((Palette.load(place) for place in places if place.is_file()), None)
    with naming(path):
        if os.path.isdir(path):
            return _find_in_folder(Path(path))
        if suffix in _TIFFS:
            return _find_in_text(_open_tiff(path)[0])
        return _find_in_png(path) if suffix == ".png" else None


def _read_zarr(path: Path) -> Palette:
    palette = _find_in_folder(path)
    if palette is None:
        raise InputError("holds no palette: name an output OUT.zarr of bigquant, or a palette file")
    return palette


def _find_in_folder(path: Path) -> Palette | None:
    def read(name: str) -> bytes | None:
        return read_bytes(path / name, _MAX_ZARR_BYTES) if (path / name).is_file() else None

    return _find_in_zarr(read)


def _find_in_zarr(read: Callable[[str], bytes | None]) -> Palette | None:
    """Find the palette in the documents of a Zarr group, which are read by name."""
    for name in _ZARR_DOCUMENTS:
        data = read(name)
        if data is None:
            continue
        attributes = parse_json(data)
        if name == "zarr.json":
            attributes = _find(attributes, "attributes")
        model = _find(attributes, "bigquant", "palette")
        if model is not None:
            return Palette.from_json(model, name)
    return None


def _find(value: Any, *keys: str) -> Any:
    """Go down into JSON; None where there is no such way."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _read_tiff(path: str | os.PathLike[str]) -> Palette:
    description, colors = _open_tiff(path)
    palette = _find_in_text(description)
    if palette is not None:
        return palette
    if colors is None:
        raise InputError("has no palette: name a palette file, or an image that has one")
    return Palette.from_colors(colors)


def _open_tiff(path: str | os.PathLike[str]) -> tuple[str, NDArray[np.uint8] | None]:
    """Read the description of a TIFF, and its colour map if it is an image of such."""
    check_file(path)
    return _parse_tiff(path)


def _parse_tiff(path: str | os.PathLike[str] | BinaryIO) -> tuple[str, NDArray[np.uint8] | None]:
    try:
        with tifffile.TiffFile(path) as tif:
            page = tif.pages.first
            description = page.description
            colors = colors_of(page.colormap) if page.photometric == _PALETTE_COLOR else None
    except Exception as error:  # a damaged header raises nearly anything
        raise InputError(f"not a readable TIFF ({one_line(error)})") from error
    return description, colors


def _find_in_text(description: str) -> Palette | None:
    """Find the palette in an image description: JSON, alone or in OME-XML; None without."""
    text = html.unescape(description) if description.startswith("<") else description
    start = text.find('{"bigquant"')
    model = None if start < 0 else _find(parse_json_at(text, start), "bigquant")
    return None if model is None else Palette.from_json(model, "its description")


def _find_in_png(path: str | os.PathLike[str]) -> Palette | None:
    """Find the palette in the text of a PNG; None without.

    Pillow's plugin is called by name: `Image.open` refuses many pixels, of which none is read.
    """
    try:
        with PngImagePlugin.PngImageFile(path) as opened:
            text = opened.info.get("bigquant")
    except Exception as error:  # a damaged header raises nearly anything
        raise InputError(f"not a readable PNG ({one_line(error)})") from error
    return Palette.from_json(parse_json(text.encode()), "its text") if text else None
