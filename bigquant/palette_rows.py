"""What palette files have in common: rows of red, green, blue, alpha, from texts."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bigquant.errors import InputError

#: Red, green, blue, alpha, 0 to 255. An alpha of 0 marks what is no part of the image.
RGBA = tuple[int, int, int, int]

_HEX = frozenset("0123456789abcdefABCDEF")


def parse_row(texts: Iterable[str]) -> RGBA:
    """Read three or four whole numbers from 0 to 255; without a fourth it is opaque."""
    numbers = [_parse_byte(text) for text in texts]
    if not 3 <= len(numbers) <= 4:
        raise InputError(f"has {len(numbers)} numbers where red, green and blue belong")
    red, green, blue, alpha = (*numbers, 255)[:4]
    return red, green, blue, alpha


def _parse_byte(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255):
        raise InputError(f"has {text[:20]!r} where a whole number from 0 to 255 belongs")
    return int(text)


def parse_hex(text: str) -> RGBA:
    """Read a colour written as six hexadecimal digits, with or without a #."""
    digits = text.removeprefix("#")
    if len(digits) != 6 or not _HEX.issuperset(digits):
        raise InputError(f"has {text[:20]!r} where a colour rrggbb belongs")
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue, 255


def parse_value(text: str) -> float:
    """Read the value of a raster that a colour stands for."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"has {text[:20]!r} where the value of a pixel belongs")
    return value


def order_by_value(rows: Iterable[tuple[float, RGBA]]) -> list[RGBA]:
    """Bring colours to the order of the values that they stand for."""
    ordered: dict[float, RGBA] = {}
    for value, row in sorted(rows):
        if value in ordered:
            raise InputError(f"gives two colours to the value {value:g}: remove one")
        ordered[value] = row
    return list(ordered.values())
