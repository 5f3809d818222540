"""What a TIFF's tags say beside the pixels: resolution, georeference, profile, layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tifffile

from bigquant.georeference import COPIED, Tag, has_transform, reduce_place

_ORIENTATION = 274
_UNITS = {2: "inch", 3: "centimeter"}
#: Compressions whose decoder knows colour spaces: it makes RGB of YCbCr.
JPEG = {6, 7, 33007, 34892}


@dataclass(frozen=True)
class PageFacts:
    """What the tags of a page say beside the pixels.

    Parameters
    ----------
    tiled : bool
    segment : (int, int)
        Height and width of the tiles or strips.
    compression, photometric : str
    bits : int or tuple of int
        Of a sample.
    big : bool
        Whether the file is a BigTIFF.
    resolution : (float, float), optional
        Pixels per `unit` along x and y.
    unit : {"inch", "centimeter"}, optional
    icc_profile : bytes, optional
    orientation : int
        1 to 8.
    tags : tuple
        GeoTIFF tags, with the orientation of such a file: (code, type, count, value), as
        tifffile's ``extratags`` take them.
    """

    tiled: bool
    segment: tuple[int, int]
    compression: str
    photometric: str
    bits: int | tuple[int, ...]
    big: bool
    resolution: tuple[float, float] | None
    unit: str | None
    icc_profile: bytes | None
    orientation: int
    tags: tuple[Tag, ...]


def collect_facts(
    page: tifffile.TiffPage,
    base: tifffile.TiffPage,
    pixel_size: tuple[float, float] | None,
    world: tuple[Tag, ...] = (),
) -> PageFacts:
    """Collect what is said of a page, which may be a reduced one of `base`.

    A `pixel_size` (height and width in micrometers, of `base`) goes before the tags, which
    microscopes leave at what they like. What a `world` file says of `base` counts where the
    tags have no transform.
    """
    reduced = base.imagewidth / page.imagewidth, base.imagelength / page.imagelength
    x, y = (_ratio(base.tags.valueof(code)) for code in (282, 283))
    unit = base.tags.valueof(296, default=2)
    if pixel_size:
        (y, x), unit = (1e4 / size for size in pixel_size), 3
    resolution = (x / reduced[0], y / reduced[1]) if min(x, y) > 0 else None
    profile = base.tags.valueof(34675)
    orientation = base.tags.valueof(_ORIENTATION)
    known = isinstance(orientation, int) and 1 <= orientation <= 8
    return PageFacts(
        tiled=page.is_tiled,
        segment=segment_shape(page),
        compression=_name_of(page.compression),
        photometric=_name_of(page.photometric),
        bits=page.bitspersample,
        big=page.parent.is_bigtiff,
        resolution=resolution,
        unit=_UNITS.get(int(unit)) if resolution and isinstance(unit, int) else None,
        icc_profile=profile if isinstance(profile, bytes) else None,
        orientation=int(orientation) if known else 1,
        tags=_copied_tags(base, reduced, world),
    )


def _name_of(value: Any) -> str:
    return str(getattr(value, "name", value)).lower()


def _ratio(value: Any) -> float:
    """Divide the parts of a TIFF's rational number; 0 where it is none."""
    try:
        return float(value[0] / value[1])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return 0.0


def _copied_tags(
    page: tifffile.TiffPage, reduced: tuple[float, float], world: tuple[Tag, ...]
) -> tuple[Tag, ...]:
    tags = [_tag(page, code) for code in COPIED if code in page.tags]
    if not has_transform(tags):
        tags += world
    if tags and page.tags.valueof(_ORIENTATION, default=1) != 1:
        tags.insert(0, _tag(page, _ORIENTATION))
    return tuple(tags) if reduced == (1, 1) else reduce_place(tags, *reduced)


def _tag(page: tifffile.TiffPage, code: int) -> Tag:
    tag = page.tags[code]
    count = 0 if isinstance(tag.value, str) else tag.count
    value = int(tag.value) if isinstance(tag.value, int) else tag.value
    return code, int(tag.dtype), count, value


def segment_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """Height and width of the page's tiles or strips."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def decoder_options(page: tifffile.TiffPage) -> dict[str, Any]:
    """Collect what the decoder of a page must be told beside the bytes."""
    if page.compression not in JPEG:
        return {}
    return {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
