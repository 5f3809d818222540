"""What an output shows, ours or anyone's: its palette, and the same pixels before and after."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from bigquant.errors import BigquantError, InputError
from bigquant.image import Image
from bigquant.inputs import ZARR_MARKS, format_of
from bigquant.omezarr import LABELS
from bigquant.outputs import PREVIEW_SUFFIX, preview_path
from bigquant.palette import Palette
from bigquant.palette_files import read_far_palette, read_own_palette
from bigquant.palette_model import read_beside
from bigquant.pipeline import color_histogram
from bigquant.preview import MOST_BYTES, Pictures, Preview
from bigquant.read import open_image
from bigquant.recording import palette_digest
from bigquant.remote import is_url, public
from bigquant.thumbnail import as_shown, thinned

#: Side of the pictures, as of those that a fit leaves.
_SIDE = 512
#: Colours of a quantized image that says nothing of its palette.
_MOST_COLORS = 256
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Shown:
    """An output, looked at.

    Parameters
    ----------
    palette : Palette
    after : ndarray, (y, x, 1 to 4), uint8
    pictures : Pictures, optional
        With the one before, where that is known.
    preview : Preview, optional
        What its fit has left.
    shape : (int, int)
        Height and width of the output.
    is_ours : bool
        Whether its palette, with the error, is one of bigquant.
    """

    palette: Palette
    after: NDArray[np.uint8]
    pictures: Pictures | None
    preview: Preview | None
    shape: tuple[int, int]
    is_ours: bool


def show(output: str, source: str | None, options: Mapping[str, Any]) -> Shown:
    """Find the palette of an output, and read small pictures of it and of what it was made of.

    Where the fit has left pictures none of the pixels is read. Otherwise it is every n-th one of
    output and source, for which all blocks of both are read once.

    Parameters
    ----------
    output : str
        Any image that `open_image` reads, of at most 256 colours if bigquant has not made it.
    source : str, optional
        The image that it was made of; without it the one that its fit names is looked for, if
        the output lies on a disk.
    options : Mapping
        Of fsspec: for the output, and for a source in the same store.

    Raises
    ------
    InputError
        If the output cannot be read or is none, or `source` cannot be its source.
    """
    image = open_image(output, storage_options=options)
    palette = _read_palette(output, image, options)
    size, is_ours = image.shape[:2], palette is not None
    preview = _of_this(_find_preview(output, options), size, palette)
    if palette and preview and preview.pictures and source is None:
        return Shown(palette, preview.pictures.after, preview.pictures, preview, size, is_ours)
    if palette is None:
        palette = _count_colors(_told(output), image)
        after = as_shown(thinned(image, _SIDE), image.channels, palette)
    else:
        after = _read_output(output, image, palette, options)
    before = _read_before(output, source, preview, size, palette, options)
    pictures = None if before is None else Pictures.of(before, after)
    return Shown(palette, after, pictures, preview, size, is_ours)


def _read_palette(output: str, image: Image, options: Mapping[str, Any]) -> Palette | None:
    if not is_url(output):
        return read_own_palette(output)
    return read_far_palette(output, options, "TIFF" in image.source.format)


def _find_preview(output: str, options: Mapping[str, Any]) -> Preview | None:
    """Read what the fit of an output has left beside it, on a disk or behind a URL.

    Web servers may answer whatever they like where there is none: that is none, too.
    """
    if not is_url(output):
        place = preview_path(output)
        return Preview.load(place) if place.exists() else None
    try:
        data = read_beside(output, options, PREVIEW_SUFFIX, MOST_BYTES)
        if data is not None:
            return Preview.decode(data)
        words = "there is none, or it is forbidden"
    except InputError as error:
        words = str(error)
    _log.info("%s%s: is not used: %s", public(output), PREVIEW_SUFFIX, words)
    return None


def _of_this(
    preview: Preview | None, size: tuple[int, ...], palette: Palette | None
) -> Preview | None:
    """Take a preview only if it is of an output of this size and palette: files are copied."""
    if preview is None:
        return None
    facts = preview.facts
    digest = None if palette is None else palette_digest(palette)
    if digest and (facts["height"], facts["width"], facts.get("palette")) == (*size, digest):
        return preview
    _log.info("the preview beside the output is that of another image: it is not used")
    return None


def _count_colors(output: str, image: Image) -> Palette:
    """Make the palette of an image of few colours, the most common first."""
    if image.dtype != np.uint8 or image.channels not in (1, 3):
        raise InputError(
            f"{output}: has {image.channels} band{'s' * (image.channels > 1)} of {image.dtype} and "
            "no palette of bigquant: of others' images those of 8-bit gray or RGB are reported"
        )
    histogram = color_histogram(image)
    if histogram.n_colors > _MOST_COLORS:
        raise InputError(
            f"{output}: has {histogram.n_colors} distinct colours and no palette of bigquant: name "
            f"a quantized image, of at most {_MOST_COLORS} colours"
        )
    order = np.argsort(-histogram.counts.astype(np.int64), kind="stable")
    palette = Palette.from_colors(histogram.colors[order], int(image.has_nodata))
    return replace(palette, counts=histogram.counts[order])


def _read_output(
    output: str, image: Image, palette: Palette, options: Mapping[str, Any]
) -> NDArray[np.uint8]:
    """Read every n-th pixel of an output of ours, of its labels where it has such."""
    labels = _find_labels(output, image, options)
    if labels is None:
        pixels = thinned(image, _SIDE)
        # files hold the colours as they are shown
        return as_shown(pixels, image.channels, palette) if _is_folder(output, image) else pixels
    found, table = thinned(labels, _SIDE)[..., 0], palette.shown_table
    if found.max() >= len(table):
        raise InputError(
            f"{_told(output)}: has label {found.max()}, and its palette ends with "
            f"{len(table) - 1}: it is not the palette of this output"
        )
    alpha = np.where(found >= palette.first_label, np.uint8(255), np.uint8(0))
    return np.dstack([table[found], alpha] if palette.first_label else [table[found]])


def _find_labels(output: str, image: Image, options: Mapping[str, Any]) -> Image | None:
    """Open the labels of an output of ours; None where it has colours only."""
    if _is_folder(output, image):
        folder = f"{output}/{LABELS}"
        has_labels = os.path.isdir(folder)
        if is_url(output):
            has_labels = any(read_beside(folder, options, f"/{mark}") for mark in ZARR_MARKS)
        return open_image(folder, mask=False, storage_options=options) if has_labels else None
    image = open_image(output, mask=False, storage_options=options)
    is_labels = format_of(output) == "npy" or image.dtype == np.uint16  # colours are bytes
    return image if is_labels else None


def _told(name: str) -> str:
    return public(name) if is_url(name) else name


def _is_folder(output: str, image: Image) -> bool:
    """Tell a Zarr of ours from a file."""
    return "Zarr" in image.source.format if is_url(output) else os.path.isdir(output)


def _read_before(
    output: str,
    source: str | None,
    preview: Preview | None,
    size: tuple[int, int],
    palette: Palette,
    options: Mapping[str, Any],
) -> NDArray[np.uint8] | None:
    """Read the pixels that an output was made of; None where nobody knows them any more."""
    known = preview.facts if preview else {"source": None, "reading": {}}
    name, reading = source or known["source"], dict(known["reading"])
    if name is None:
        return None
    mask = reading.get("mask")
    # a preview may come from anyone: it fetches nothing, and from afar it opens nothing here
    is_name_far, is_mask_far = (
        isinstance(place, str) and (is_url(output) or is_url(place)) for place in (name, mask)
    )
    if source is None and (is_name_far or is_mask_far):
        _log.info("the report has no picture from before: name it by --source, %s", name)
        return None
    if is_mask_far:
        _log.info(
            "the picture from before is shown without its mask, %s, which is not opened", mask
        )
        del reading["mask"]
    try:
        image = open_image(name, **reading, storage_options=_options_of(name, output, options))
        _check_source(_told(name), image, _told(output), size, palette)
        pixels = thinned(image, _SIDE)
    except BigquantError as error:
        if source is not None:
            raise
        _log.info("the report has no picture from before: %s", error)
        return None
    return as_shown(pixels, image.channels, palette)


def _options_of(source: str, output: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Hand options on to where they are meant for: what opens one store is no other's business."""
    here, there = urlsplit(output), urlsplit(source)
    is_same = here.scheme == there.scheme and (here.scheme[:4] != "http" or here[1] == there[1])
    return options if is_same or not is_url(output) else {}


def _check_source(
    source: str, image: Image, output: str, size: tuple[int, int], palette: Palette
) -> None:
    """Refuse what an output cannot have been made of."""
    height, width = image.shape[:2]
    if (height, width) != size:
        raise InputError(
            f"{source} is {width} x {height} pixels, {output} {size[1]} x {size[0]}: name the "
            "image that it was made of"
        )
    is_alike = image.channels == palette.channels or {image.channels, palette.channels} == {1, 3}
    if image.dtype != palette.dtype or not is_alike:
        raise InputError(
            f"{source} has {image.channels} bands of {image.dtype}, the palette of {output} "
            f"{palette.channels} of {palette.dtype}: name the image that it was made of"
        )
