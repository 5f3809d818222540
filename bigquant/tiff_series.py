"""Which of a TIFF's many pages are the image: series, level, planes, and the mask beside it."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import tifffile

from bigquant import tiff_ome
from bigquant.errors import InputError
from bigquant.raster import Selection
from bigquant.tiff_texts import channel_names, ome_image, pixel_size, significant_bits

_MASK, _REDUCED = 4, 1
_BESIDE = {"label", "macro", "map", "thumbnail", "overview", "preview"}
_RGB = (("red", "green", "blue"), ("r", "g", "b"))


@dataclass(frozen=True)
class Plane:
    """Where a plane of pixels lies.

    Parameters
    ----------
    path : str
    ifd : int
        Byte offset of the page's directory.
    index : int
        Of the page in the file.
    skip : int
        Bytes between that page's pixels and the plane's: some stacks have one directory.
    depth : int
        Slice of a volume that is stored as one page.
    """

    path: str
    ifd: int
    index: int
    skip: int = 0
    depth: int = 0


@dataclass(frozen=True)
class Choice:
    """What of a file is read.

    Parameters
    ----------
    planes : tuple of Plane
        Channels, each a page.
    base : Plane
        Page that bears the metadata: the first, at full resolution.
    axes : tuple of (str, int)
        Names and lengths of all axes, at the level that is read.
    sizes : tuple of (int, int)
        Width and height of each level.
    n_series : int
    rgb : bool
        Whether the planes are said to be red, green and blue.
    mask : Plane, optional
        Page that says it is the mask of an image of this size.
    ome : Mapping, optional
        What is kept of the image's OME-XML, if the file has it.
    pixel_size : (float, float), optional
        Height and width in micrometers at full resolution, where a text says so.
    bits : int, optional
        How many bits of a sample are used, where a text says so.
    """

    planes: tuple[Plane, ...]
    base: Plane
    axes: tuple[tuple[str, int], ...]
    sizes: tuple[tuple[int, int], ...]
    n_series: int
    rgb: bool
    mask: Plane | None
    ome: Mapping[str, str] | None
    pixel_size: tuple[float, float] | None
    bits: int | None = None


def choose_planes(path: str, tif: tifffile.TiffFile, selection: Selection) -> Choice:
    """Find the planes of the image that is asked for: the largest, at full resolution.

    Raises
    ------
    InputError
        If a choice is needed, or the one made does not exist.
    """
    if not tif.pages or not tif.series:
        raise InputError(f"{path}: contains no image (an unfinished file?)")
    found = list(tif.series)
    if selection.page is not None:
        series = _one_page(path, tif, selection)
    else:
        series = _one_series(path, found, selection.series)
    levels = getattr(series, "levels", [series])
    sizes = tuple((s.keyframe.imagewidth, s.keyframe.imagelength) for s in levels)
    if not 0 <= selection.level < len(levels):
        shown = ", ".join(f"{i} ({x} x {y})" for i, (x, y) in enumerate(sizes))
        raise InputError(
            f"{path}: has no level {selection.level}: choose one of {shown} (level 0 is full "
            "resolution)"
        )
    level = levels[selection.level]
    if not level.keyframe.shape or not level.keyframe.dataoffsets:
        raise InputError(f"{path}: contains no image data (an unfinished file?)")
    axes = _axes_of(level)
    stacked, order = _order(path, series, axes, selection.planes)
    planes = tuple(_plane(path, tif, level, axes, where) for where in order)
    base = next(page for page in series if page is not None)
    image = ome_image(tif, found, series) if tif.is_ome else None
    return Choice(
        planes=planes,
        base=Plane(_path_of(path, tif, base), base.offset, base.index),
        axes=tuple(_named(zip(level.axes, level.shape, strict=True)).items()),
        sizes=sizes,
        n_series=len(found),
        rgb=stacked == 3 and channel_names(tif, found, series) in _RGB,
        mask=_find_mask(path, found, level.keyframe),
        pixel_size=pixel_size(tif, found, series),
        bits=significant_bits(tif, found, series),
        ome=None if image is None else tiff_ome.kept_facts(image),
    )


class _Page(list[Any]):
    """A page by itself, with what is asked of a series."""

    def __init__(self, page: tifffile.TiffPage) -> None:
        super().__init__([page])
        self.keyframe, self.axes, self.shape = page, page.axes, page.shape
        self.name, self.dataoffset, self.is_multifile = "", None, False


def _one_page(path: str, tif: tifffile.TiffFile, selection: Selection) -> _Page:
    number, count = selection.page, len(tif.pages)
    assert number is not None
    if not 0 <= number < count:
        raise InputError(f"{path}: has no page {number}: choose one of 0 to {count - 1}")
    if selection.series is not None:
        raise InputError(f"{path}: page {number} and series {selection.series}: choose by one")
    page = tif.pages[number]
    return _Page(page if isinstance(page, tifffile.TiffPage) else page.aspage())


def _one_series(path: str, found: list[Any], number: int | None) -> Any:
    if number is not None:
        if not 0 <= number < len(found):
            raise InputError(f"{path}: has no series {number}: choose one of {_listed(found)}")
        return found[number]
    images = [s for s in found if not _is_mask(s.keyframe) and not _is_beside(s)] or found
    images = [s for s in images if not s.keyframe.subfiletype & _REDUCED] or images
    largest = max(map(_area, images))
    images = [s for s in images if _area(s) == largest]
    if len(images) > 1:
        raise InputError(
            f"{path}: holds {len(images)} images of one size: choose one, e.g. --series "
            f"{found.index(images[0])} of {_listed(found)}"
        )
    return images[0]


def _listed(series: list[Any]) -> str:
    shown = [
        " ".join(filter(None, (str(i), s.name, f"({s.axes} {'x'.join(map(str, s.shape))})")))
        for i, s in enumerate(series[:20])
    ]
    return ", ".join(" ".join(words.split()) for words in shown)


def _area(series: Any) -> int:
    return int(series.keyframe.imagelength) * int(series.keyframe.imagewidth)


def _is_mask(page: tifffile.TiffPage) -> bool:
    return bool(page.subfiletype & _MASK) or page.photometric == _MASK


def _is_beside(series: Any) -> bool:
    """Tell labels and the like of slides from the slide, by the words of their names."""
    words = set(re.findall("[a-z]+", series.name.lower()))
    return bool(words & _BESIDE) and len(series.levels) == 1


def _axes_of(series: Any) -> list[tuple[str, int]]:
    """Name the axes along which pages lie, and their lengths; Z last where pages are volumes."""
    page = series.keyframe
    count = math.prod(series.shape) // max(1, math.prod(page.shape))
    axes: list[tuple[str, int]] = []
    for axis, length in zip(series.axes, series.shape, strict=True):
        if math.prod(n for _, n in axes) == count:
            break
        axes.append((axis, length))
    if math.prod(n for _, n in axes) != count:  # cut otherwise than in pages
        axes = [("I", count)]
    axes.append(("Z", page.imagedepth))
    return list(_named(axes).items())


def _named(axes: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Give each axis longer than 1 a name of its own: two of one name are I and I2."""
    named: dict[str, int] = {}
    for axis, length in axes:
        if length > 1:
            same = sum(name[0] == axis for name in named)
            named[f"{axis}{same + 1}" if same else axis] = length
    return named


def _order(
    path: str, series: Any, axes: list[tuple[str, int]], wanted: Mapping[str, int]
) -> tuple[int, list[tuple[int, ...]]]:
    """List the places along the axes of the planes to read; how many are channels."""
    wanted = {name.strip().upper(): index for name, index in wanted.items()}
    lengths = dict(axes)
    for name, index in wanted.items():
        if name not in lengths or not 0 <= index < lengths[name]:
            shown = ", ".join(f"{a} 0 to {n - 1}" for a, n in axes) or "none"
            raise InputError(f"{path}: has no {name}={index}: its axes with a choice are: {shown}")
    open_ = [name for name in lengths if name not in wanted and name not in ("C", "S")]
    if open_:
        raise InputError(f"{path}: {_ask(series, {name: lengths[name] for name in open_})}")
    ranges = [[wanted[a]] if a in wanted else range(n) for a, n in axes]
    return math.prod(map(len, ranges)), list(itertools.product(*ranges))


def _ask(series: Any, lengths: Mapping[str, int]) -> str:
    example = ",".join(f"{name}=0" for name in lengths)
    planes = dict.fromkeys(lengths, 0)
    if list(lengths) in (["I"], ["Q"]):
        (count,) = lengths.values()
        numbers = _page_numbers(series, min(count, 8))
        if numbers:
            shown = ", ".join(map(str, numbers)) + (", ..." if count > len(numbers) else "")
            return (
                f"has {count} pages of one size: choose one of {shown}, e.g. --page "
                f"{numbers[0]} (page={numbers[0]})"
            )
    shown = ", ".join(f"{name} ({length})" for name, length in lengths.items())
    return f"has several planes along {shown}: choose, e.g. --select {example} (select={planes})"


def _page_numbers(series: Any, count: int) -> list[int]:
    """Tell the numbers of a series' first pages; none where one directory stands for several."""
    try:
        places = [series[i].treeindex for i in range(count)]
    except IndexError:
        return []
    return [place[0] for place in places] if all(len(place) == 1 for place in places) else []


def _plane(
    path: str,
    tif: tifffile.TiffFile,
    series: Any,
    axes: list[tuple[str, int]],
    where: tuple[int, ...],
) -> Plane:
    """Find the page at a place along the axes."""
    page = series.keyframe
    depth = 0
    if page.imagedepth > 1:
        *where_, depth = where
        where, axes = tuple(where_), axes[:-1]
    number = 0
    for index, (_, length) in zip(where, axes, strict=True):
        number = number * length + index
    if number and series.dataoffset is not None and not series.is_multifile:  # in one piece
        first = series[0]
        return Plane(path, first.offset, first.index, number * page.nbytes, depth)
    found = series[number]
    if found is None:
        place = ", ".join(f"{name}={i}" for i, (name, _) in zip(where, axes, strict=True))
        raise InputError(
            f"{path}: the plane {place or 0} lies in another file, which is missing: put the "
            "files of the set into one folder"
        )
    return Plane(_path_of(path, tif, found), found.offset, found.index, 0, depth)


def _path_of(path: str, tif: tifffile.TiffFile, page: Any) -> str:
    """Name the file of a page: sets of files have several."""
    return path if page.parent is tif else str(page.parent.filehandle.path)


def _find_mask(path: str, found: list[Any], page: tifffile.TiffPage) -> Plane | None:
    """Find the mask of a page: of its size, and the next one after it."""
    size = (page.imagelength, page.imagewidth)
    levels = itertools.chain(*(series.levels for series in found))
    masks = [
        mask
        for level in levels
        if _is_mask(level.keyframe)
        and (level.keyframe.imagelength, level.keyframe.imagewidth) == size
        for mask in level
        if mask is not None
    ]
    if _is_mask(page) or not masks:
        return None
    mask = min(masks, key=lambda p: (p.treeindex < page.treeindex, p.treeindex))
    return Plane(path, mask.offset, mask.index)
