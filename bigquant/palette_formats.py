"""Palette files of other programs: bytes <-> rows of red, green, blue, alpha, one a label.

====== ============================================ ============ ==========================
suffix format                                       most colours label 0, if reserved
====== ============================================ ============ ==========================
.gpl   GIMP palette                                 any          is left out
.hex   one rrggbb a line                            any          is left out
.css   custom properties ``--color-0`` and so on    any          ``--color-0: transparent``
.act   Adobe colour table                           256 labels   the transparent index
.pal   JASC palette (Paint Shop Pro)                256          is left out
.txt   GDAL colour table, ``value r g b a``         any          value 0, alpha 0
.qml   QGIS style with a paletted renderer          any          value 0, alpha 0
====== ============================================ ============ ==========================

A colour of alpha 0, wherever it stands, is what is no part of the image; any other alpha is
not kept. Values only order the colours: labels count on from the first.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from PIL import ImageColor

from bigquant.errors import InputError
from bigquant.palette_model import naming
from bigquant.palette_qml import decode_qml, encode_qml
from bigquant.palette_rows import RGBA, order_by_value, parse_hex, parse_row, parse_value

_Row = TypeVar("_Row")

_ACT_COLORS = 256
_ACT_BYTES = 3 * _ACT_COLORS
_NO_INDEX = 0xFFFF
_JASC_COLORS = 256


def decode(suffix: str, data: bytes) -> list[RGBA]:
    """Read the colours of a palette file, in their order.

    Parameters
    ----------
    suffix : str
        One of `SUFFIXES`.
    data : bytes

    Raises
    ------
    InputError
        If it is damaged; without the file's name.
    """
    return _FORMATS[suffix][0](data)


def encode(suffix: str, rows: Sequence[RGBA]) -> bytes:
    """Write the colours of labels 0, 1 and so on; the first has an alpha of 0 if reserved.

    Raises
    ------
    InputError
        If the format cannot hold so many; without the file's name.
    """
    return _FORMATS[suffix][1](rows)


def _lines(data: bytes) -> list[str]:
    """Split a text into lines; names of colours may be in any encoding, and are not read."""
    return [line.strip() for line in data.decode("utf-8-sig", errors="replace").splitlines()]


def _parse_lines(
    lines: list[str], parse: Callable[[str], _Row | None], first: int = 1
) -> list[_Row]:
    """Parse lines, of which the first has that number; those that are empty are left out."""
    rows = []
    for number, line in enumerate(lines, first):
        with naming(f"line {number}"):
            row = parse(line) if line else None
        if row is not None:
            rows.append(row)
    return rows


def _opaque(rows: Sequence[RGBA]) -> list[tuple[int, int, int]]:
    return [(red, green, blue) for red, green, blue, alpha in rows if alpha]


def _refuse_more(name: str, found: int, most: int) -> None:
    if found > most:
        raise InputError(
            f"{name} holds at most {most} colours, not {found}: choose another suffix, e.g. .gpl"
        )


def _decode_gpl(data: bytes) -> list[RGBA]:
    lines = _lines(data)
    if not lines or not lines[0].startswith("GIMP Palette"):
        raise InputError("is no GIMP palette: its first line is not 'GIMP Palette'")

    def parse(line: str) -> RGBA | None:
        is_color = not re.match(r"#|\w+:", line)
        return parse_row(line.split(maxsplit=3)[:3]) if is_color else None

    return _parse_lines(lines[1:], parse, first=2)


def _encode_gpl(rows: Sequence[RGBA]) -> bytes:
    lines = [f"{r:3} {g:3} {b:3}\t#{r:02x}{g:02x}{b:02x}\n" for r, g, b in _opaque(rows)]
    # Pillow reads three lines and 256 colours after the first
    return ("GIMP Palette\nName: bigquant\nColumns: 16\n#\n" + "".join(lines)).encode()


def _decode_hex(data: bytes) -> list[RGBA]:
    return _parse_lines(_lines(data), parse_hex)


def _encode_hex(rows: Sequence[RGBA]) -> bytes:
    return "".join(f"{r:02x}{g:02x}{b:02x}\n" for r, g, b in _opaque(rows)).encode()


def _decode_pal(data: bytes) -> list[RGBA]:
    if data.startswith(b"RIFF"):
        raise InputError("is a RIFF palette of Windows: save it as a JASC palette, which is text")
    lines = _lines(data)
    if lines[:2] != ["JASC-PAL", "0100"]:
        raise InputError("is no JASC palette: its first lines are not 'JASC-PAL' and '0100'")
    colors = _parse_lines(lines[3:], lambda line: parse_row(line.split()), first=4)
    if lines[2:3] != [str(len(colors))]:
        promised = lines[2][:20] if len(lines) > 2 else "no"
        raise InputError(f"promises {promised} colours, and has {len(colors)}: it is damaged")
    return colors


def _encode_pal(rows: Sequence[RGBA]) -> bytes:
    colors = _opaque(rows)
    _refuse_more("a JASC palette", len(colors), _JASC_COLORS)
    lines = ["JASC-PAL", "0100", str(len(colors)), *(f"{r} {g} {b}" for r, g, b in colors)]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _decode_css(data: bytes) -> list[RGBA]:
    first, *commented = "\n".join(_lines(data)).split("/*")
    text = first + " ".join(part.partition("*/")[2] for part in commented)
    found: dict[str, RGBA] = {}
    for declaration in re.split("[;{}]", text):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name.startswith("--"):
            if name in found:
                raise InputError(f"sets {name[:20]} twice: remove one")
            found[name] = _parse_css(name, value)
    return list(found.values())


def _parse_css(name: str, value: str) -> RGBA:
    if value.lower() == "transparent":
        return 0, 0, 0, 0
    try:
        return parse_row(map(str, ImageColor.getrgb(value)))
    except ValueError as error:
        raise InputError(
            f"sets {name[:20]} to {value[:20]!r}, no colour that is known here: "
            "write #rrggbb, rgb(r, g, b), hsl(h, s%, l%) or a name"
        ) from error


def _encode_css(rows: Sequence[RGBA]) -> bytes:
    values = [f"#{r:02x}{g:02x}{b:02x}" if alpha else "transparent" for r, g, b, alpha in rows]
    lines = [f"  --color-{label}: {value};\n" for label, value in enumerate(values)]
    return (":root {\n" + "".join(lines) + "}\n").encode()


def _decode_act(data: bytes) -> list[RGBA]:
    if len(data) not in (_ACT_BYTES, _ACT_BYTES + 4):
        raise InputError(
            f"is no Adobe colour table: it has {len(data)} bytes, "
            f"such a table {_ACT_BYTES} or {_ACT_BYTES + 4}"
        )
    n_colors, transparent = _ACT_COLORS, _NO_INDEX
    if len(data) > _ACT_BYTES:
        n_colors = int.from_bytes(data[_ACT_BYTES : _ACT_BYTES + 2], "big")
        transparent = int.from_bytes(data[_ACT_BYTES + 2 :], "big")
    if not 1 <= n_colors <= _ACT_COLORS:
        raise InputError(f"says that it has {n_colors} colours, of 1 to 256: it is damaged")
    alphas = [0 if index == transparent else 255 for index in range(n_colors)]
    return [(data[3 * i], data[3 * i + 1], data[3 * i + 2], a) for i, a in enumerate(alphas)]


def _encode_act(rows: Sequence[RGBA]) -> bytes:
    _refuse_more("an Adobe colour table", len(rows), _ACT_COLORS)
    colors = b"".join(bytes(row[:3]) for row in rows).ljust(_ACT_BYTES, b"\0")
    transparent = _NO_INDEX if rows[0][3] else 0
    return colors + len(rows).to_bytes(2, "big") + transparent.to_bytes(2, "big")


def _decode_txt(data: bytes) -> list[RGBA]:
    return order_by_value(_parse_lines(_lines(data), _parse_txt))


def _parse_txt(line: str) -> tuple[float, RGBA] | None:
    if line.startswith(("#", "INTERPOLATION")):  # QGIS has that, and names the colours
        return None
    value, *color = re.split(r"[\s,:]+", line)[:5]
    row = parse_row(color)
    return (-math.inf, (*row[:3], 0)) if value == "nv" else (parse_value(value), row)


def _encode_txt(rows: Sequence[RGBA]) -> bytes:
    return "".join(f"{v} {r} {g} {b} {a}\n" for v, (r, g, b, a) in enumerate(rows)).encode()


_FORMATS: dict[str, tuple[Callable[[bytes], list[RGBA]], Callable[[Sequence[RGBA]], bytes]]] = {
    ".gpl": (_decode_gpl, _encode_gpl),
    ".hex": (_decode_hex, _encode_hex),
    ".css": (_decode_css, _encode_css),
    ".act": (_decode_act, _encode_act),
    ".pal": (_decode_pal, _encode_pal),
    ".txt": (_decode_txt, _encode_txt),
    ".qml": (decode_qml, encode_qml),
}
#: What can be read and written.
SUFFIXES = tuple(_FORMATS)


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Tell the format of a palette file by its name: one of `SUFFIXES`, or ".json"."""
    suffix, known = Path(path).suffix.lower(), (".json", *SUFFIXES)
    if suffix not in known:
        raise InputError(f"a palette file's name ends in {', '.join(known)}")
    return suffix
