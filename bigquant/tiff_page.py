"""What a TIFF's tags say: which page is the image, how its samples become colours.

No header is believed: what does not fit the file is refused before anything is allocated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from bigquant.errors import InputError
from bigquant.fingerprint import Fingerprint
from bigquant.tiff_strip import is_single_strip, streams

#: GeoTIFF's tags, and the orientation. Not GDAL's nodata (42113): labels have their own.
_COPIED_TAGS = (274, 33550, 33922, 34264, 34735, 34736, 34737)
_UNITS = {2: "inch", 3: "centimeter"}
JPEG = {6, 7, 33007, 34892}
_MAX_SEGMENT_BYTES = 1 << 30


@dataclass(frozen=True)
class ColorRule:
    """How the samples of a page become gray or RGB, with alpha perhaps.

    Parameters
    ----------
    channels : int
        Colour channels, which come first; 1 or 3.
    alpha : int, optional
        Sample that holds alpha.
    premultiplied : bool
        Whether the colours are multiplied by alpha.
    inverted : bool
        Whether 0 is white.
    colormap : bytes, optional
        Palette of the page, RGB triples.
    """

    channels: int
    alpha: int | None = None
    premultiplied: bool = False
    inverted: bool = False
    colormap: bytes | None = None

    @property
    def depth(self) -> int:
        """Channels of the image that the rule makes."""
        return (3 if self.colormap else self.channels) + (self.alpha is not None)

    def apply(self, samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn samples (y, x, sample) into an image (y, x, channel)."""
        colors = samples[..., : self.channels]
        if self.colormap:
            colors = np.frombuffer(self.colormap, np.uint8).reshape(-1, 3)[colors[..., 0]]
        if self.inverted:
            colors = 255 - colors
        if self.alpha is None:
            return np.ascontiguousarray(colors)
        alpha = samples[..., self.alpha, None]
        if self.premultiplied:
            raised = (colors.astype(np.uint32) * 255 + alpha // 2) // np.maximum(alpha, 1)
            colors = np.minimum(raised, 255).astype(np.uint8)
        return np.concatenate([colors, alpha], axis=2)


@dataclass(frozen=True)
class PageFacts:
    """What the tags of a page say beside the pixels.

    Parameters
    ----------
    tiled : bool
    segment : (int, int)
        Height and width of the tiles or strips.
    compression, photometric : str
    big : bool
        Whether the file is a BigTIFF.
    resolution : (float, float), optional
        Pixels per `unit` along x and y.
    unit : {"inch", "centimeter"}, optional
    icc_profile : bytes, optional
    tags : tuple
        GeoTIFF and orientation tags: (code, type, count, value), as tifffile's
        ``extratags`` take them.
    """

    tiled: bool
    segment: tuple[int, int]
    compression: str
    photometric: str
    big: bool
    resolution: tuple[float, float] | None
    unit: str | None
    icc_profile: bytes | None
    tags: tuple[tuple[int, int, int, Any], ...]


@dataclass(frozen=True)
class MainPage:
    """A TIFF's first full-resolution image, found and checked.

    Parameters
    ----------
    index : int
        Of the page in the file.
    fingerprint : Fingerprint
        Of the file, to notice when it changes.
    shape : (int, int, int)
        Height, width, channels of the image that `rule` makes.
    rule : ColorRule
    facts : PageFacts
    single_strip : bool
        Whether its pixels are one compressed strip, that is decoded from its beginning.
    """

    index: int
    fingerprint: Fingerprint
    shape: tuple[int, int, int]
    rule: ColorRule
    facts: PageFacts
    single_strip: bool = False


def describe_page(path: str) -> MainPage:
    """Choose a TIFF's first full-resolution image and check that it can be read.

    Raises
    ------
    InputError
        If the file is no TIFF, is cut short, or holds what is not supported.
    """
    try:
        fingerprint = Fingerprint.take(path)
        with tifffile.TiffFile(path) as tif:
            page = _main_page(path, tif)
            _check_numbers(page)
            rule = _color_rule(path, page)
            _check_extent(path, page, fingerprint.size)
            facts = _collect_facts(page)  # now: long tags are read from the file
    except InputError:
        raise
    except Exception as error:  # a damaged header raises nearly anything
        raise InputError(f"{path}: not a readable TIFF ({one_line(error)})") from error
    shape = (page.imagelength, page.imagewidth, rule.depth)
    return MainPage(page.index, fingerprint, shape, rule, facts, is_single_strip(page))


def _check_numbers(page: tifffile.TiffPage) -> None:
    """Believe no header: what is computed with must be numbers, not texts or lists."""
    numbers = [page.imagewidth, page.imagelength, page.samplesperpixel]
    numbers += [page.tilewidth, page.tilelength] if page.is_tiled else [page.rowsperstrip]
    for values in (numbers, page.dataoffsets, page.databytecounts):
        if isinstance(values, str | bytes) or not all(isinstance(n, int) for n in values):
            raise ValueError("its header has no numbers where numbers belong")
    if min(numbers) < 1:
        raise ValueError("its header gives a size of 0")
    page.decode  # noqa: B018 - made when first asked for; raises if there is no decoder


def _ratio(value: Any) -> float:
    """Divide the parts of a TIFF's rational number; 0 where it is none."""
    try:
        return float(value[0] / value[1])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return 0.0


def _collect_facts(page: tifffile.TiffPage) -> PageFacts:
    x, y = (_ratio(page.tags.valueof(code)) for code in (282, 283))
    resolution = (x, y) if min(x, y) > 0 else None
    unit = page.tags.valueof(296, default=2)
    profile = page.tags.valueof(34675)
    return PageFacts(
        tiled=page.is_tiled,
        segment=segment_shape(page),
        compression=getattr(page.compression, "name", str(page.compression)).lower(),
        photometric=tifffile.PHOTOMETRIC(page.photometric).name.lower(),
        big=page.parent.is_bigtiff,
        resolution=resolution,
        unit=_UNITS.get(int(unit)) if resolution and isinstance(unit, int) else None,
        icc_profile=profile if isinstance(profile, bytes) else None,
        tags=_copied_tags(page),
    )


def _copied_tags(page: tifffile.TiffPage) -> tuple[tuple[int, int, int, Any], ...]:
    tags = []
    for code in _COPIED_TAGS:
        tag = page.tags.get(code)
        if tag is not None and not (code == 274 and tag.value == 1):
            count = 0 if isinstance(tag.value, str) else tag.count
            value = int(tag.value) if isinstance(tag.value, int) else tag.value
            tags.append((code, int(tag.dtype), count, value))
    return tuple(tags)


def segment_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """Height and width of the page's tiles or strips."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _main_page(path: str, tif: tifffile.TiffFile) -> tifffile.TiffPage:
    if not tif.pages or not tif.series:
        raise InputError(f"{path}: contains no image (an unfinished file?)")
    series = max(tif.series, key=lambda s: s.keyframe.imagelength * s.keyframe.imagewidth)
    page = series.keyframe
    if not page.shape or not page.dataoffsets:
        raise InputError(f"{path}: contains no image data (an unfinished file?)")
    planes = {a: n for a, n in zip(series.axes, series.shape, strict=True) if a in "CTZ" and n > 1}
    if planes:
        raise InputError(
            f"{path}: has several planes (axes {series.axes}, shape {series.shape}), "
            "which are not supported yet: save the one you want as its own TIFF"
        )
    return page


def _color_rule(path: str, page: tifffile.TiffPage) -> ColorRule:
    kind = tifffile.PHOTOMETRIC(page.photometric)
    if page.dtype != np.uint8 or (kind.name != "PALETTE" and page.bitspersample != 8):
        raise InputError(
            f"{path}: has {page.bitspersample}-bit samples of type {page.dtype}; only 8-bit "
            "images are supported yet: convert it first, e.g. gdal_translate -ot Byte -scale"
        )
    if page.imagedepth > 1:
        raise InputError(f"{path}: is a volume of {page.imagedepth} planes, not an image")
    extras = tuple(int(extra) for extra in page.extrasamples)
    channels = {"MINISBLACK": 1, "MINISWHITE": 1, "PALETTE": 1, "RGB": 3, "YCBCR": 3}.get(kind.name)
    converted = kind.name != "YCBCR" or page.compression in JPEG  # JPEG decodes to RGB
    if channels is None or page.samplesperpixel - len(extras) != channels or not converted:
        raise InputError(
            f"{path}: {page.samplesperpixel} samples of photometric {kind.name} are not "
            "supported; gray, RGB and palette images are: convert it first"
        )
    if kind.name.startswith("MINIS") and 0 in extras:
        raise InputError(
            f"{path}: has {page.samplesperpixel} bands, and does not say which are red, green "
            "and blue: pick three, e.g. gdal_translate -b 3 -b 2 -b 1 -colorinterp red,green,blue"
        )
    alpha = next((channels + i for i, extra in enumerate(extras) if extra in (1, 2)), None)
    premultiplied = alpha is not None and extras[alpha - channels] == 1
    colormap = None
    if kind.name == "PALETTE":
        if page.colormap is None:
            raise InputError(f"{path}: is a palette image without a colour map")
        colormap = (page.colormap.T >> 8).astype(np.uint8).tobytes()
    return ColorRule(channels, alpha, premultiplied, kind.name == "MINISWHITE", colormap)


def _check_extent(path: str, page: tifffile.TiffPage, size: int) -> None:
    """Believe no header: every tile must lie in the file, and be of a sane size."""
    height, width = segment_shape(page)
    per_plane = 1 if page.planarconfig == 2 else page.samplesperpixel
    raw = height * width * per_plane
    if raw > _MAX_SEGMENT_BYTES and not is_raw(page) and not streams(page):
        raise InputError(
            f"{path}: one {'tile' if page.is_tiled else 'compressed strip'} decodes to "
            f"{raw >> 20} MiB (limit {_MAX_SEGMENT_BYTES >> 20}), too large to read in parts: "
            "rewrite it in tiles, e.g. gdal_translate -co TILED=YES"
        )
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    expected = -(-page.imagelength // height) * -(-page.imagewidth // width) * planes
    offsets = np.array(page.dataoffsets, np.uint64)
    if is_raw(page):
        ends = offsets + np.uint64(page.imagelength * page.imagewidth * page.samplesperpixel)
    elif len(offsets) < expected or len(page.databytecounts) < expected:
        raise InputError(f"{path}: has {len(offsets)} tiles or strips of {expected}: it is damaged")
    else:
        ends = offsets[:expected] + np.array(page.databytecounts[:expected], np.uint64)
    end = max(int(offsets.max()), int(ends.max()))  # sums near 2**64 wrap around
    if end > size:
        raise InputError(
            f"{path}: is truncated: its pixels end at byte {end}, the file at {size}: "
            "copy or write it again"
        )


def is_raw(page: tifffile.TiffPage) -> bool:
    """Whether the pixels lie uncompressed in one piece, so that any row can be read."""
    return (
        not page.is_tiled
        and len(page.dataoffsets) == 1
        and page.dataoffsets[0] > 0  # 0: a strip that was never written
        and page.compression == 1
        and page.predictor == 1
        and page.fillorder == 1
        and not page.is_subsampled
        and page.bitspersample == 8
    )


def one_line(error: Exception) -> str:
    """Name an error of a library in one line of at most 200 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
